/** The bytes that a connection has still to send: taken whole or not at all, and handed on a little at a time. */

import { count, plural } from "../text/format";
import type { Step } from "./source";

/** So much may wait on one connection, handed on or not. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_STEPS = 131_072;

/**
 * So much is with the bridge at a time, half of what it has room for. It reads our credit and our leave behind what we
 * send, and only while it has room: with more they would wait for a server that may itself wait for our credit.
 */
const WINDOW_BYTES = 1024 * 1024;
const WINDOW_STEPS = 2048;

/** The bridge's bound on one message. */
const LARGEST_WRITE = 1024 * 1024;

function sizeOf(step: Step): number {
  return "bytes" in step ? step.bytes.length : 0;
}

export class Outgoing {
  readonly #give: (step: Step) => void;
  #waiting: Step[] = [];
  /** Handed on, and not known to be done. */
  #given: Step[] = [];
  /** Of both. */
  #bytes = 0;
  #givenBytes = 0;

  /** `give` hands one step on; writes that are too large for one message come in parts. */
  constructor(give: (step: Step) => void) {
    this.#give = give;
  }

  /** Takes these steps after those before; returns the reason why none of them is taken, if too much waits already. */
  take(steps: readonly Step[]): string | undefined {
    const parts = steps.flatMap(inParts);
    const size = parts.reduce((sum, part) => sum + sizeOf(part), 0);
    const all = this.#waiting.length + this.#given.length + parts.length;
    if (this.#bytes + size > MAX_BYTES || all > MAX_STEPS) {
      const waits = `${count(this.#bytes)} B in ${plural(all - parts.length, "step")} still wait to leave`;
      return `Nothing of this was sent: ${waits}. Let the server read, or disconnect.`;
    }
    this.#bytes += size;
    for (const part of parts) this.#waiting.push(part);
    this.#handOn();
    return undefined;
  }

  /** Notes that so many bytes have left as one write; returns them. */
  wrote(count: number): Uint8Array<ArrayBuffer>[] {
    const left: Uint8Array<ArrayBuffer>[] = [];
    while (count > 0 && this.#given.length > 0) {
      const [first] = this.#given;
      if (!("bytes" in first)) {
        this.#given.shift();
        continue;
      }
      const part = first.bytes.slice(0, count);
      count -= part.length;
      this.#bytes -= part.length;
      this.#givenBytes -= part.length;
      if (part.length === first.bytes.length) this.#given.shift();
      else this.#given[0] = { bytes: first.bytes.subarray(part.length) };
      left.push(part);
    }
    this.#handOn();
    return left;
  }

  /** Notes that a wait is over. */
  waited(): void {
    if (this.#given.length > 0 && "wait" in this.#given[0]) this.#given.shift();
    this.#handOn();
  }

  #handOn(): void {
    let next = 0;
    for (; next < this.#waiting.length; next += 1) {
      const step = this.#waiting[next];
      const fits = this.#givenBytes + sizeOf(step) <= WINDOW_BYTES && this.#given.length < WINDOW_STEPS;
      if (!fits && this.#given.length > 0) break;
      this.#given.push(step);
      this.#givenBytes += sizeOf(step);
      this.#give(step);
    }
    if (next > 0) this.#waiting.splice(0, next);
  }
}

function inParts(step: Step): Step[] {
  if (!("bytes" in step) || step.bytes.length <= LARGEST_WRITE) return [step];
  const parts: Step[] = [];
  for (let at = 0; at < step.bytes.length; at += LARGEST_WRITE) {
    parts.push({ bytes: step.bytes.subarray(at, at + LARGEST_WRITE) });
  }
  return parts;
}
