/** Connects a source to the decoder: numbers the connections, passes their bytes on and returns credit. */

import type { DecoderClient } from "../decode/client";
import type { CapturedConnection, Status } from "../decode/messages";
import type { Link, LinkEvents, Source, Step, Target } from "../source/source";
import { visibleText } from "../text/visible";

/** The most closed connections that stay in the list of connections. */
const MAX_CLOSED = 64;

/** The most connections of a file in the list of connections. All of them have rows. */
const MAX_CAPTURED = 64;

/** The state of a connection. `captured`: read from a file. */
export type ConnectionState = "connecting" | "open" | "closed" | "captured";

export interface ConnectionInfo {
  readonly number: number;
  readonly target: Target;
  readonly state: ConnectionState;
  readonly remote: string;
  readonly local: string;
  /** Whether it belongs to another program: the page can neither send on it nor close it. */
  readonly watched: boolean;
  /** Whether the client's sending half is shut down. */
  readonly ended: boolean;
  /** Whether the server's sending half is shut down. */
  readonly peerEnded: boolean;
  readonly reason: string;
}

/** Returns whether the page can send on a connection. */
export function isWritable({ state, ended, watched }: ConnectionInfo): boolean {
  return state === "open" && !ended && !watched;
}

/** The initial properties of a connection. */
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
  /** Handles a change of the list of connections. */
  connections(all: readonly ConnectionInfo[]): void;
  /** Announces a change to screen readers. */
  announced(text: string): void;
  /** Reports that the source refused to send. */
  refused(why: string): void;
}

export class Recorder {
  readonly #decoder: Pick<DecoderClient, "send">;
  readonly #events: RecorderEvents;
  readonly #now: () => number;
  readonly #epoch: number;
  #entries = new Map<number, Entry>();
  #next = 1;

  /** Creates a recorder. Sources give times of the page's clock `now`; records have dates: `epoch` plus that time. */
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

  /** Opens a connection and returns its number. */
  connect(source: Source, target: Target): number {
    const { number, entry, events } = this.#open(target, "page", false);
    entry.link = source.connect(target, events);
    this.#update();
    return number;
  }

  /** Adds a connection that the source opened. */
  accept(target: Target, link: Link): { number: number; events: LinkEvents } {
    const { number, entry, events } = this.#open(target, "client", link.watched === true);
    entry.link = link;
    this.#update();
    return { number, events };
  }

  /** Closes and removes every connection, and numbers the next one 1. Later events of the removed ones are ignored. */
  reset(): void {
    const open = [...this.#entries.values()].filter(({ info }) => info.state !== "closed");
    this.#entries.clear();
    this.#next = 1;
    for (const { link } of open) link?.close();
    this.#update();
  }

  /** Adds the connections of a file; later connections are numbered after them. */
  captured(connections: readonly CapturedConnection[]): void {
    this.#next = Math.max(this.#next, (connections.at(-1)?.number ?? 0) + 1);
    for (const { number, label } of connections.slice(0, MAX_CAPTURED)) {
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
    this.#update();
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

  /** Returns credit to the sources for decoded bytes. */
  returnCredit({ taken }: Pick<Status, "taken">): void {
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
    // A removed connection may still have events.
    const isListed = () => this.#entries.get(number) === entry;
    const record: DecoderClient["send"] = (message) => {
      if (isListed()) this.#decoder.send(message);
    };
    const change = (part: Partial<ConnectionInfo>, words?: string) => {
      if (!isListed()) return;
      entry.info = { ...entry.info, ...part };
      this.#update();
      if (words !== undefined) this.#events.announced(words);
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

  /** Reports the list of connections. */
  #update(): void {
    this.#dropClosed();
    this.#events.connections([...this.#entries.values()].map((entry) => entry.info));
  }

  /** Removes the oldest closed connections beyond the limit. */
  #dropClosed(): void {
    const closed = [...this.#entries.values()].filter(({ info }) => info.state === "closed");
    for (const { info } of closed.slice(0, -MAX_CLOSED)) this.#entries.delete(info.number);
  }
}
