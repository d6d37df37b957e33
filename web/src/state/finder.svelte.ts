/** Finds text in the frames of the view, one after another. */

import type { Frames } from "./frames.svelte";

export class Finder {
  open = $state(false);
  text = $state("");
  /** The last search found nothing. */
  failed = $state(false);
  /** Counts up when the search is asked for, so that its field takes the focus again. */
  asked = $state(0);
  readonly #frames: Frames;

  constructor(frames: Frames) {
    this.#frames = frames;
  }

  show(): void {
    this.open = true;
    this.asked += 1;
  }

  close(): void {
    this.open = false;
    this.failed = false;
  }

  async go(by: 1 | -1): Promise<void> {
    const { text } = this;
    this.failed = text !== "" && !(await this.#frames.step("text", by, text));
  }
}
