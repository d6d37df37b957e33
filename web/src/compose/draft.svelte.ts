/** What is being written in Compose, as a form and as raw bytes, and what the server would say of it. */

import type { DecoderClient } from "../decode/client";
import type { FieldDetail, Problem, Verdict } from "../decode/messages";
import { formatLines, parseEscapes } from "../text/escapes";

export type Mode = "form" | "raw";

/** What would be sent, or why nothing can be. */
export interface Outcome {
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  readonly problems: readonly Problem[];
  readonly verdicts: readonly Verdict[];
}

const NOTHING: Outcome = { bytes: undefined, problems: [], verdicts: [] };
const encoder = new TextEncoder();

export class Draft {
  mode: Mode = $state("form");
  command = $state("");
  raw = $state("");
  outcome: Outcome = $state.raw(NOTHING);
  readonly #decoder: Pick<DecoderClient, "ask">;
  #values: Record<string, Record<string, string>> = $state({});
  #asked = 0;

  constructor(decoder: Pick<DecoderClient, "ask">) {
    this.#decoder = decoder;
  }

  /** What was typed for the chosen command. */
  get values(): Readonly<Record<string, string>> {
    return this.#values[this.command] ?? {};
  }

  set(field: string, text: string): void {
    this.#values[this.command] = { ...this.values, [field]: text };
  }

  /** Work out what would be sent. Reads the state, so that an effect runs again when it changes. */
  async evaluate(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const outcome = await (this.mode === "form"
      ? this.#form(this.command, $state.snapshot(this.values))
      : this.#raw(this.raw));
    // Answers to what has been changed since are out of date.
    if (asked === this.#asked) this.outcome = outcome;
  }

  /** Fill the form with the values of the command's example. */
  async fillExample(example: string): Promise<void> {
    const { command } = this;
    const detail = await this.#decoder.ask("describe", { direction: "out", bytes: encoder.encode(example) });
    const named = (detail?.fields ?? []).map((field: FieldDetail) => [field.name, field.text] as const);
    this.#values[command] = Object.fromEntries(named);
  }

  /** Go on with these bytes in Raw. */
  editRaw(bytes: Uint8Array): void {
    this.raw = formatLines(bytes);
    this.mode = "raw";
  }

  async #form(command: string, values: Readonly<Record<string, string>>): Promise<Outcome> {
    if (command === "") return NOTHING;
    const composed = await this.#decoder.ask("compose", { command, values });
    if ("problems" in composed) return { ...NOTHING, problems: composed.problems };
    return { ...NOTHING, bytes: composed.bytes };
  }

  async #raw(text: string): Promise<Outcome> {
    const parsed = parseEscapes(text);
    if ("error" in parsed) {
      return { ...NOTHING, problems: [{ message: `${parsed.error} (character ${parsed.at + 1})` }] };
    }
    if (parsed.bytes.length === 0) return NOTHING;
    const verdicts = await this.#decoder.ask("check", { bytes: parsed.bytes });
    return { bytes: parsed.bytes, problems: [], verdicts };
  }
}
