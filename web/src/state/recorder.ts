/** Joins a source to the decoder: numbers connections, hands their bytes over, gives credit back. */

import type { DecoderClient } from "../decode/client";
import type { Status } from "../decode/messages";
import type { Link, LinkEvents, Source, Step, Target } from "../source/source";
import { visibleText } from "../text/visible";

const MOST_CLOSED = 64;

export type ConnectionState = "connecting" | "open" | "closed";

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

interface Entry {
  info: ConnectionInfo;
  link: Link | undefined;
}

export interface RecorderEvents {
  /** Connections came, went or changed. */
  connections(all: readonly ConnectionInfo[]): void;
  /** Worth an announcement. */
  said(text: string): void;
  /** Something is not sent that was to be. */
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

  /** Begin a connection; returns its number. */
  connect(source: Source, target: Target): number {
    const { number, entry, events } = this.#open(target, "page", false);
    entry.link = source.connect(target, events);
    this.#tell();
    return number;
  }

  /** Take a connection that the source began. */
  accept(target: Target, link: Link): { number: number; events: LinkEvents } {
    const { number, entry, events } = this.#open(target, "client", link.watched === true);
    entry.link = link;
    this.#tell();
    return { number, events };
  }

  /** Connections up to this number were recorded without a source: what is opened next is numbered after them. */
  reserve(last: number): void {
    this.#next = Math.max(this.#next, last + 1);
  }

  /** The number that the next connection gets. */
  get next(): number {
    return this.#next;
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

  /** What was decoded may come again. */
  took({ taken }: Pick<Status, "taken">): void {
    for (const [connection, bytes] of taken) this.#entries.get(connection)?.link?.taken(bytes);
  }

  #open(target: Target, who: string, watched: boolean): { number: number; entry: Entry; events: LinkEvents } {
    const number = this.#next;
    this.#next += 1;
    this.#decoder.send({ type: "open", connection: number, label: target.address });
    const info: ConnectionInfo = {
      number,
      target,
      state: "connecting",
      remote: target.address,
      local: "",
      watched,
      ended: false,
      peerEnded: false,
      reason: "",
    };
    const entry: Entry = { info, link: undefined };
    this.#entries.set(number, entry);
    return { number, entry, events: this.#listen(number, entry, who) };
  }

  #listen(number: number, entry: Entry, who: string): LinkEvents {
    const change = (part: Partial<ConnectionInfo>) => {
      entry.info = { ...entry.info, ...part };
      this.#tell();
    };
    const at = (time: number) => this.#epoch + time;
    const note = (time: number, head: string, text: string, bad: boolean) => {
      this.#decoder.send({
        type: "note",
        connection: number,
        time: at(time),
        head,
        text: visibleText(text),
        bad,
      });
    };
    return {
      opened: (local, remote, time = this.#now()) => {
        note(time, "connected", `${local} to ${remote}`, false);
        change({ state: "open", local, remote });
        this.#events.said(`Connection ${number} to ${remote} is open`);
      },
      bytes: (direction, bytes, time = this.#now()) => {
        this.#decoder.send({ type: "bytes", connection: number, direction, time: at(time), bytes });
      },
      ended: (direction, time = this.#now()) => {
        this.#decoder.send({ type: "end", connection: number, direction, time: at(time) });
        const half = direction === "out" ? who : "server";
        note(time, "half-closed", `the ${half} shut down its sending half`, false);
        change(direction === "out" ? { ended: true } : { peerEnded: true });
      },
      refused: (why) => this.#events.refused(why),
      gap: (direction, { bytes, frames, paired, text }, time = this.#now()) => {
        const gap = { bytes, frames, paired, text: visibleText(text) };
        this.#decoder.send({ type: "gap", connection: number, direction, time: at(time), ...gap });
      },
      closed: (reason, bad, time = this.#now()) => {
        this.#decoder.send({ type: "close", connection: number, time: at(time) });
        note(time, "closed", reason, bad);
        change({ state: "closed", reason });
        this.#events.said(`Connection ${number} is closed: ${reason}`);
      },
    };
  }

  #tell(): void {
    this.#forget();
    this.#events.connections([...this.#entries.values()].map((entry) => entry.info));
  }

  /** A source may have thousands of connections in a day; of those that are closed the last ones are kept. */
  #forget(): void {
    const closed = [...this.#entries.values()].filter(({ info }) => info.state === "closed");
    for (const { info } of closed.slice(0, -MOST_CLOSED)) this.#entries.delete(info.number);
  }
}
