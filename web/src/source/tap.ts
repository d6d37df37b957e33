/** The tap: live traffic of other clients, as `chanwire tap` tells it over the bridge's WebSocket. */

import type { Direction } from "../decode/messages";
import { closeReason, type SocketLike } from "./bridge";
import { memory, plural } from "../text/format";
import { parseControl, type FromBridge, type ToBridge } from "./control";
import { authenticate, type Outcome } from "./authenticate";
import type { Accept, Link, LinkEvents, Source, Target } from "./source";

/** Credit is given back in steps of this size, and when nothing waits any more. */
const CREDIT_STEP = 256 * 1024;

/** Before a record's own bytes: what it is, its connection, its time and their length. */
const HEAD = 17;

const KIND = { open: 1, out: 2, in: 3, endOut: 4, endIn: 5, close: 6, gapOut: 7, gapIn: 8 } as const;

const DIRECTIONS: Readonly<Record<number, Direction>> = {
  [KIND.out]: "out",
  [KIND.in]: "in",
  [KIND.endOut]: "out",
  [KIND.endIn]: "in",
  [KIND.gapOut]: "out",
  [KIND.gapIn]: "in",
};

/** A tap's connection: it can be watched and nothing else. */
class Watched implements Link {
  readonly writable = false;
  readonly watched = true;
  readonly #taken: (bytes: number) => void;

  constructor(taken: (bytes: number) => void) {
    this.#taken = taken;
  }

  send(): void {}
  end(): void {}
  close(): void {}

  taken(bytes: number): void {
    this.#taken(bytes);
  }
}

/** A message that was handed on: how much it cost, and how many received bytes in it are not decoded yet. */
interface Cost {
  readonly bytes: number;
  undecoded: number;
}

export class TapSource implements Source {
  readonly #token: string;
  readonly #dial: () => SocketLike;
  readonly #refused: () => void;
  readonly #epoch: number;
  note = "";
  #accept: Accept | undefined;
  #socket: SocketLike | undefined;
  #connections = new Map<number, LinkEvents>();
  #costs: Cost[] = [];
  #credit = 0;

  /** `epoch` is the time, in milliseconds since 1970, from which the page counts. */
  constructor(token: string, dial: () => SocketLike, refused: () => void, epoch = performance.timeOrigin) {
    this.#token = token;
    this.#dial = dial;
    this.#refused = refused;
    this.#epoch = epoch;
  }

  accept(accept: Accept): void {
    this.#accept = accept;
  }

  /** Begins to watch. A tap connects nothing by itself, so there are no targets. */
  targets(): Promise<readonly Target[]> {
    return authenticate((outcome) => this.#watch(outcome), this.#refused);
  }

  #watch({ resolve, reject, closed }: Outcome<readonly Target[]>): void {
    const socket = this.#dial();
    // Bytes of an earlier watch that were not decoded never will be.
    this.#costs = [];
    this.#credit = 0;
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.addEventListener("open", () => this.#say({ type: "token", token: this.#token }));
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) {
        this.#take(data);
        return;
      }
      const message = typeof data === "string" ? parseControl(data) : undefined;
      if (message?.type === "welcome" && message.tap !== undefined) {
        this.#say({ type: "watch" });
      } else if (message?.type === "watching") {
        this.note = earlier(message);
        // Not before: what a client said until then may be missing.
        resolve([]);
      } else {
        reject(new Error("This server is no tap; reload the page."));
        socket.close(1000);
      }
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#socket = undefined;
      const words = code === 1006 ? "the tap is gone (is it still running?)" : closeReason(code, reason);
      closed(code, words);
      for (const events of this.#connections.values()) events.closed(words, true);
      this.#connections.clear();
    });
  }

  connect(): Link {
    throw new Error("a tap is watched, not connected to");
  }

  /** Stops watching. */
  stop(): void {
    this.#socket?.close(1000);
  }

  #say(message: ToBridge): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #take(message: ArrayBuffer): void {
    const view = new DataView(message);
    let undecoded = 0;
    for (let at = 0; at + HEAD <= message.byteLength;) {
      const length = view.getUint32(at + 13, true);
      const bytes = new Uint8Array(message, at + HEAD, length);
      const time = view.getFloat64(at + 5, true) - this.#epoch;
      const kind = view.getUint8(at);
      this.#record(kind, view.getUint32(at + 1, true), time, bytes);
      if (kind === KIND.in) undecoded += length;
      at += HEAD + length;
    }
    this.#costs.push({ bytes: message.byteLength, undecoded });
    this.#took(0);
  }

  #record(kind: number, connection: number, time: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (kind === KIND.open) {
      const { client, server } = said(bytes) as { client: string; server: string };
      const link = new Watched((taken) => this.#took(taken));
      const events = this.#accept?.({ id: String(connection), address: `${client} to ${server}` }, link);
      if (events === undefined) return;
      this.#connections.set(connection, events);
      events.opened(client, server, time);
      return;
    }
    const events = this.#connections.get(connection);
    if (events === undefined) return;
    const direction = DIRECTIONS[kind];
    if (kind === KIND.close) {
      const { reason, bad } = said(bytes) as { reason: string; bad: boolean };
      this.#connections.delete(connection);
      events.closed(reason, bad, time);
    } else if (direction === undefined) {
      return;
    } else if (kind === KIND.out || kind === KIND.in) {
      // The worker takes the buffer, so it has to be this record's own.
      events.bytes(direction, bytes.slice(), time);
    } else if (kind === KIND.endOut || kind === KIND.endIn) {
      events.ended(direction, time);
    } else {
      const gap = said(bytes) as { bytes: number; frames: number; paired: number; text: string };
      events.gap?.(direction, gap, time);
    }
  }

  /** Gives credit back for decoded bytes, and for everything that came before them. */
  #took(bytes: number): void {
    let left = bytes;
    while (this.#costs.length > 0) {
      const [first] = this.#costs;
      const decoded = Math.min(left, first.undecoded);
      first.undecoded -= decoded;
      left -= decoded;
      if (first.undecoded > 0) break;
      this.#credit += first.bytes;
      this.#costs.shift();
    }
    if (this.#credit === 0 || (this.#credit < CREDIT_STEP && this.#costs.length > 0)) return;
    this.#say({ type: "credit", bytes: this.#credit });
    this.#credit = 0;
  }
}

/** Describes the traffic that is not shown because it passed too long ago. */
function earlier({ connections, frames, bytes }: Extract<FromBridge, { type: "watching" }>): string {
  if (connections + frames + bytes === 0) return "";
  const passed = `${plural(frames, "frame")} (${memory(bytes)}) passed before what the tap still has`;
  return connections === 0 ? passed : `${passed}, and ${plural(connections, "connection")} ended`;
}

function said(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes));
}
