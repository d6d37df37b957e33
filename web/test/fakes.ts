/** Stand-ins for what a test does not want to be real. */

import type { SocketLike } from "../src/source/bridge";

type Listeners = Record<string, ((event: never) => void)[]>;

/** A WebSocket whose other side is the test. */
export class FakeSocket implements SocketLike {
  binaryType: BinaryType = "blob";
  readonly sent: (string | Uint8Array)[] = [];
  closed: number | undefined;
  #listeners: Listeners = {};

  /** Control messages sent so far, parsed. */
  get controls(): unknown[] {
    return this.sent.filter((data) => typeof data === "string").map((data) => JSON.parse(data as string));
  }

  send(data: string | Uint8Array): void {
    this.sent.push(typeof data === "string" ? data : data.slice());
  }

  close(code?: number): void {
    this.closed = code ?? 1005;
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    (this.#listeners[type] ??= []).push(listener);
  }

  open(): void {
    this.#emit("open", {});
  }

  says(message: unknown): void {
    this.#emit("message", { data: JSON.stringify(message) });
  }

  text(data: string): void {
    this.#emit("message", { data });
  }

  bytes(data: Uint8Array): void {
    this.#emit("message", { data: data.slice().buffer });
  }

  dies(code: number, reason = ""): void {
    this.#emit("close", { code, reason });
  }

  #emit(type: string, event: object): void {
    for (const listener of this.#listeners[type] ?? []) listener(event as never);
  }
}

/** Numbers that look random and repeat exactly (xorshift). */
export function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export function ascii(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/**
 * Returns the first position at which two runs of bytes differ, -1 where they are the same. (`toEqual` takes seconds
 * over large arrays.)
 */
export function differAt(one: Uint8Array, other: Uint8Array): number {
  if (one.length !== other.length) return Math.min(one.length, other.length);
  return one.findIndex((byte, i) => byte !== other[i]);
}
