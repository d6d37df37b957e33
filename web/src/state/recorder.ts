/** Joins a source to the decoder: numbers connections, hands their bytes over, gives credit back. */

import type { DecoderClient } from "../decode/client";
import type { CapturedConnection, Status } from "../decode/messages";
import type { Link, LinkEvents, Source, Step, Target } from "../source/source";
import { visibleText } from "../text/visible";

const MOST_CLOSED = 64;

/** Of a file, the first connections are named; all of them are in the list of rows. */
const MOST_CAPTURED = 64;

/** `captured`: it was read from a file. */
export type ConnectionState = "connecting" | "open" | "closed" | "captured";

export interface ConnectionInfo {
  readonly number: number;
  readonly target: Target;
  readonly state: ConnectionState;
  readonly remote: string;
  readonly local: string;
  /** It is somebody else's: nothing can be sent on it, nor can it be closed. */
  readonly watched: boolean;
  /** Our sending half is shut down. */
  readonly ended: boolean;
  /** The peer's sending half is shut down. */
  readonly peerEnded: boolean;
  readonly reason: string;
}

/** Bytes can be sent on it. */
export function isWritable({ state, ended, watched }: ConnectionInfo): boolean {
  return state === "open" && !ended && !watched;
}

/** The state in which a connection begins. */
const OPENING = {
  state: "connecting",
  local: "",
  ended: false,
  peerEnded: false,
  reason: "",
} as const;

interface Entry {
  info: ConnectionInfo;
  link: Link | undefined;
}

export interface RecorderEvents {
  /** Connections came, went or changed. */
  connections(all: readonly ConnectionInfo[]): void;
  /** Announces it. */
  said(text: string): void;
  /** Reports that something is not sent that was to be. */
  refused(why: string): void;
}

export class Recorder {
  readonly #decoder: Pick<DecoderClient, "send">;
  readonly #events: RecorderEvents;
  readonly #now: () => number;
  readonly #epoch: number;
  #entries = new Map<number, Entry>();
  #next = 1;

  /** Sources tell times by the page's clock, which is `now`; what is recorded has dates: they count from `epoch`. */
  constructor(
    decoder: Pick<DecoderClient, "send">,
    events: RecorderEvents,
    now: () => number = () => performance.now(),
    epoch = performance.timeOrigin,
  ) {
    this.#decoder = decoder;
    this.#events = events;
    this.#now = now;
    this.#epoch = epoch;
  }

  /** Begins a connection; returns its number. */
  connect(source: Source, target: Target): number {
    const { number, entry, events } = this.#open(target, "page", false);
    entry.link = source.connect(target, events);
    this.#tell();
    return number;
  }

  /** Takes a connection that the source began. */
  accept(target: Target, link: Link): { number: number; events: LinkEvents } {
    const { number, entry, events } = this.#open(target, "client", link.watched === true);
    entry.link = link;
    this.#tell();
    return { number, events };
  }

  /** Closes and drops every connection, and numbers the next one 1. Later events of the old ones are not recorded. */
  reset(): void {
    const open = [...this.#entries.values()].filter(({ info }) => info.state !== "closed");
    this.#entries.clear();
    this.#next = 1;
    for (const { link } of open) link?.close();
    this.#tell();
  }

  /** Takes the connections of a file; the next ones are numbered after them. */
  captured(connections: readonly CapturedConnection[]): void {
    this.#next = Math.max(this.#next, (connections.at(-1)?.number ?? 0) + 1);
    for (const { number, label } of connections.slice(0, MOST_CAPTURED)) {
      const target = { id: String(number), address: label };
      const info: ConnectionInfo = {
        ...OPENING,
        number,
        target,
        state: "captured",
        remote: label,
        watched: true,
      };
      this.#entries.set(number, { info, link: undefined });
    }
    this.#tell();
  }

  send(connection: number, steps: readonly Step[]): void {
    this.#entries.get(connection)?.link?.send(steps);
  }

  end(connection: number): void {
    this.#entries.get(connection)?.link?.end();
  }

  close(connection: number): void {
    this.#entries.get(connection)?.link?.close();
  }

  /** Gives credit back for decoded bytes. */
  took({ taken }: Pick<Status, "taken">): void {
    for (const [connection, bytes] of taken) this.#entries.get(connection)?.link?.taken(bytes);
  }

  #open(target: Target, who: string, watched: boolean): { number: number; entry: Entry; events: LinkEvents } {
    const number = this.#next;
    this.#next += 1;
    this.#decoder.send({ type: "open", connection: number, label: target.address });
    const info: ConnectionInfo = { ...OPENING, number, target, remote: target.address, watched };
    const entry: Entry = { info, link: undefined };
    this.#entries.set(number, entry);
    return { number, entry, events: this.#listen(number, entry, who) };
  }

  #listen(number: number, entry: Entry, who: string): LinkEvents {
    // A connection that was forgotten may still tell how it ends.
    const known = () => this.#entries.get(number) === entry;
    const record: DecoderClient["send"] = (message) => {
      if (known()) this.#decoder.send(message);
    };
    const change = (part: Partial<ConnectionInfo>, words?: string) => {
      if (!known()) return;
      entry.info = { ...entry.info, ...part };
      this.#tell();
      if (words !== undefined) this.#events.said(words);
    };
    const at = (time: number) => this.#epoch + time;
    const note = (time: number, head: string, text: string, bad: boolean) => {
      record({ type: "note", connection: number, time: at(time), head, text: visibleText(text), bad });
    };
    return {
      opened: (local, remote, time = this.#now()) => {
        note(time, "connected", `${local} to ${remote}`, false);
        change({ state: "open", local, remote }, `Connection ${number} to ${remote} is open`);
      },
      bytes: (direction, bytes, time = this.#now()) => {
        record({ type: "bytes", connection: number, direction, time: at(time), bytes });
      },
      ended: (direction, time = this.#now()) => {
        record({ type: "end", connection: number, direction, time: at(time) });
        const half = direction === "out" ? who : "server";
        note(time, "half-closed", `the ${half} shut down its sending half`, false);
        change(direction === "out" ? { ended: true } : { peerEnded: true });
      },
      refused: (why) => this.#events.refused(why),
      gap: (direction, { bytes, frames, paired, text }, time = this.#now()) => {
        const gap = { bytes, frames, paired, text: visibleText(text) };
        record({ type: "gap", connection: number, direction, time: at(time), ...gap });
      },
      closed: (reason, bad, time = this.#now()) => {
        record({ type: "close", connection: number, time: at(time) });
        note(time, "closed", reason, bad);
        change({ state: "closed", reason }, `Connection ${number} is closed: ${reason}`);
      },
    };
  }

  #tell(): void {
    this.#forget();
    this.#events.connections([...this.#entries.values()].map((entry) => entry.info));
  }

  /** Drops closed connections but the last ones: a source may have thousands in a day. */
  #forget(): void {
    const closed = [...this.#entries.values()].filter(({ info }) => info.state === "closed");
    for (const { info } of closed.slice(0, -MOST_CLOSED)) this.#entries.delete(info.number);
  }
}
