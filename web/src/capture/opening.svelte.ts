/** The capture that is being opened, chosen, dropped or pasted, from its preview to its last row. */

import type { CapturePreview, Direction } from "../decode/messages";
import { previewCapture, readCapture } from "../source/capture";
import type { Inspector } from "../state/inspector.svelte";

export class Opening {
  /** The dialog is there. */
  asking = $state(false);
  name = $state("");
  capture: Blob | undefined = $state.raw();
  preview: CapturePreview | undefined = $state.raw();
  /** Why it cannot be opened. */
  problem = $state("");
  everything = $state(false);
  direction: Direction | undefined = $state();
  /** The part that is read, while it is being read. */
  progress: number | undefined = $state();
  /** A summary of the capture that was read last. */
  words = $state("");
  readonly #inspector: Inspector;
  #stop = new AbortController();
  #asked = 0;

  constructor(inspector: Inspector) {
    this.#inspector = inspector;
  }

  get reading(): boolean {
    return this.progress !== undefined;
  }

  /** Asks what to open. */
  ask(): void {
    if (this.reading) return;
    this.capture = undefined;
    this.preview = undefined;
    this.problem = "";
    this.name = "";
    this.asking = true;
  }

  dismiss(): void {
    this.asking = false;
  }

  /** Looks at the chosen file. */
  async choose(capture: Blob, name: string): Promise<void> {
    if (this.reading) return;
    this.ask();
    this.#asked += 1;
    const asked = this.#asked;
    this.name = name;
    this.everything = false;
    try {
      const preview = await previewCapture(this.#inspector.decoder, capture);
      if (asked !== this.#asked) return;
      this.preview = preview;
      this.direction = preview.direction;
      this.capture = capture;
    } catch (error) {
      if (asked === this.#asked) this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  /** Reads the capture of the preview. Drops earlier rows. */
  async open(): Promise<void> {
    const { capture, preview, name } = this;
    if (capture === undefined || preview === undefined || this.reading) return;
    this.asking = false;
    this.#stop = new AbortController();
    const inspector = this.#inspector;
    this.progress = 0;
    this.words = "";
    await inspector.beginCapture();
    const options = {
      everything: this.everything,
      direction: preview.format === "raw" || preview.format === "hex" ? this.direction : undefined,
    };
    try {
      const words = await readCapture(
        inspector.decoder,
        capture,
        options,
        (part) => (this.progress = part),
        this.#stop.signal,
      );
      this.words = `${name}: ${words}`;
      inspector.say(this.words);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.words = `${name} cannot be read: ${why}`;
      inspector.tell(this.words);
    } finally {
      // Also where it could not be read to its end, what was read is shown.
      await inspector.endCapture();
      this.progress = undefined;
    }
  }

  stop(): void {
    this.#stop.abort();
  }
}
