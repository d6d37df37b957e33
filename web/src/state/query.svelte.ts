/** One line in the filter language: what is typed, what of it is in force, and what is wrong with it. */

import type { DecoderClient } from "../decode/client";
import type { Completions, Mistake } from "../decode/messages";

/** While somebody types, what is typed is tried this long after the last key. */
const PAUSE_MS = 150;

export class Query {
  readonly which: "filter" | "highlight";
  text = $state("");
  /** The text that is in force. */
  applied = $state("");
  mistake: Mistake | undefined = $state.raw();

  readonly #decoder: Pick<DecoderClient, "ask">;
  readonly #changed: (text: string) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is told what is in force, when that changes. */
  constructor(
    which: "filter" | "highlight",
    decoder: Pick<DecoderClient, "ask">,
    changed: (text: string) => void,
  ) {
    this.which = which;
    this.#decoder = decoder;
    this.#changed = changed;
  }

  /** Takes the typed text. */
  typed(text: string): void {
    this.text = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.apply(), PAUSE_MS);
  }

  set(text: string): void {
    this.text = text;
    void this.apply();
  }

  /** Puts the text in force. A wrong one leaves the last in force. */
  async apply(): Promise<void> {
    clearTimeout(this.#timer);
    const { text } = this;
    const { mistake } = await this.#decoder.ask("filter", { which: this.which, text });
    if (text !== this.text) return;
    this.mistake = mistake;
    if (mistake !== undefined || text === this.applied) return;
    this.applied = text;
    this.#changed(text);
  }

  complete(caret: number): Promise<Completions> {
    return this.#decoder.ask("complete", { text: this.text, caret });
  }
}
