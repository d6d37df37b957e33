/** The draft in Compose, its fault plan, and the server's verdicts on it. */

import type { DecoderClient } from "../decode/client";
import type { Problem, Verdict } from "../decode/messages";
import type { Step } from "../source/source";
import { formatLines, parseEscapes, type Parsed } from "../text/escapes";
import { formatHex, parseHex } from "../text/hex";
import { History, type Sent, type Typed } from "./history.svelte";

export type Mode = "form" | "raw";

/** The notation of raw bytes. */
export type Notation = "escapes" | "hex";

/** The steps that would be sent, or the reason why nothing can be. */
export interface Outcome {
  /** As it was composed. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  /** As it is sent; there are none while anything is wrong. */
  readonly steps: readonly Step[];
  /** Problems of the composed request and of the fault plan. */
  readonly problems: readonly Problem[];
  readonly faultProblems: readonly Problem[];
  /** The server's verdicts on the bytes, were they all that a connection sends. */
  readonly verdicts: readonly Verdict[];
}

const NOTHING: Outcome = { bytes: undefined, steps: [], problems: [], faultProblems: [], verdicts: [] };
const encoder = new TextEncoder();

export class Draft {
  mode: Mode = $state("form");
  command = $state("");
  raw = $state("");
  notation: Notation = $state("escapes");
  /** The values of the fault plan. */
  faults: Typed = $state.raw({});
  outcome: Outcome = $state.raw(NOTHING);
  readonly history = new History();
  readonly #decoder: Pick<DecoderClient, "ask">;
  #values: Record<string, Record<string, string>> = $state({});
  #asked = 0;

  constructor(decoder: Pick<DecoderClient, "ask">) {
    this.#decoder = decoder;
  }

  /** Returns the values of the chosen command's fields. */
  get values(): Readonly<Record<string, string>> {
    return this.#values[this.command] ?? {};
  }

  set(field: string, text: string): void {
    this.#values[this.command] = { ...this.values, [field]: text };
  }

  /** Returns whether something is to go wrong. */
  get isFaulty(): boolean {
    return Object.values(this.faults).some((typed) => typed.trim() !== "");
  }

  setFault(field: string, text: string): void {
    this.faults = { ...this.faults, [field]: text };
  }

  /** Evaluates the draft. Reads the state, so that an effect runs again when it changes. */
  async evaluate(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const { mode, command, raw, notation } = this;
    const values = $state.snapshot(this.values);
    const faults = this.faults;
    const judged = mode === "raw" || this.isFaulty;
    const composed = await (mode === "form" ? this.#form(command, values) : this.#raw(raw, notation));
    const outcome =
      composed.bytes === undefined ? composed : await this.#plan(composed.bytes, faults, judged);
    // Answers to what has been changed since are out of date.
    if (asked === this.#asked) this.outcome = outcome;
  }

  /** Goes on with the example of a command, in its form. */
  loadExample(example: string): Promise<void> {
    return this.load(encoder.encode(example));
  }

  /** Goes on with these bytes: in a form where they are one whole request that it makes, otherwise raw. */
  async load(bytes: Uint8Array): Promise<void> {
    const copy = Uint8Array.from(bytes);
    const filled = await this.#decoder.ask("fill", { bytes: copy });
    if (filled === undefined) {
      this.editRaw(copy);
    } else {
      this.#values[filled.command] = filled.values;
      this.command = filled.command;
      this.mode = "form";
    }
  }

  /** Goes on with a request that was sent before, with its faults. */
  async loadSent({ text, faults }: Sent): Promise<void> {
    const parsed = parseEscapes(text);
    if ("error" in parsed) return;
    this.faults = faults;
    await this.load(parsed.bytes);
  }

  /** Goes on with these bytes in Raw. */
  editRaw(bytes: Uint8Array): void {
    this.raw = this.notation === "hex" ? formatHex(bytes) : formatLines(bytes);
    this.mode = "raw";
  }

  /** Writes the same bytes in another notation; a text that is no bytes yet stays as it is. */
  write(notation: Notation): void {
    const parsed = parse(this.raw, this.notation);
    this.notation = notation;
    if ("bytes" in parsed)
      this.raw = notation === "hex" ? formatHex(parsed.bytes) : formatLines(parsed.bytes);
  }

  /** Notes that the draft was sent. */
  sent(): void {
    const { bytes } = this.outcome;
    if (bytes !== undefined) this.history.add(bytes, this.faults);
  }

  async #form(command: string, values: Readonly<Record<string, string>>): Promise<Outcome> {
    if (command === "") return NOTHING;
    const composed = await this.#decoder.ask("compose", { command, values });
    if ("problems" in composed) return { ...NOTHING, problems: composed.problems };
    return { ...NOTHING, bytes: composed.bytes };
  }

  async #raw(text: string, notation: Notation): Promise<Outcome> {
    const parsed = parse(text, notation);
    if ("error" in parsed) {
      return { ...NOTHING, problems: [{ message: `${parsed.error} (character ${parsed.at + 1})` }] };
    }
    return parsed.bytes.length === 0 ? NOTHING : { ...NOTHING, bytes: parsed.bytes };
  }

  async #plan(bytes: Uint8Array<ArrayBuffer>, faults: Typed, judged: boolean): Promise<Outcome> {
    const planned = await this.#decoder.ask("plan", { bytes, faults });
    if ("problems" in planned) return { ...NOTHING, bytes, faultProblems: planned.problems };
    const { steps } = planned;
    const verdicts = judged ? await this.#decoder.ask("check", { bytes: joined(steps) }) : [];
    return { ...NOTHING, bytes, steps, verdicts };
  }
}

function parse(text: string, notation: Notation): Parsed {
  return notation === "hex" ? parseHex(text) : parseEscapes(text);
}

/** Returns all the bytes that the steps write. */
export function joined(steps: readonly Step[]): Uint8Array<ArrayBuffer> {
  const pieces = steps.flatMap((step) => ("bytes" in step ? [step.bytes] : []));
  const all = new Uint8Array(pieces.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
