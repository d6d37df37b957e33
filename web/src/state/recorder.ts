/** Joins a source to the decoder: numbers connections, hands their bytes over, gives credit back. */

import type { DecoderClient } from "../decode/client";
import type { Direction, Status } from "../decode/messages";
import type { Link, LinkEvents, Source, Target } from "../source/source";
import { visibleText } from "../text/visible";

export type ConnectionState = "connecting" | "open" | "closed";

export interface ConnectionInfo {
  readonly number: number;
  readonly target: Target;
  readonly state: ConnectionState;
  readonly remote: string;
  readonly local: string;
  /** Our sending half is shut down. */
  readonly ended: boolean;
  /** The peer's sending half is shut down. */
  readonly peerEnded: boolean;
  readonly reason: string;
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
}

export class Recorder {
  readonly #decoder: Pick<DecoderClient, "send">;
  readonly #events: RecorderEvents;
  readonly #now: () => number;
  #entries = new Map<number, Entry>();
  #next = 1;

  constructor(
    decoder: Pick<DecoderClient, "send">,
    events: RecorderEvents,
    now: () => number,
  ) {
    this.#decoder = decoder;
    this.#events = events;
    this.#now = now;
  }

  /** Begin a connection; returns its number. */
  connect(source: Source, target: Target): number {
    const number = this.#next;
    this.#next += 1;
    this.#decoder.send({ type: "open", connection: number, label: target.address });
    const info: ConnectionInfo = {
      number,
      target,
      state: "connecting",
      remote: target.address,
      local: "",
      ended: false,
      peerEnded: false,
      reason: "",
    };
    const entry: Entry = { info, link: undefined };
    this.#entries.set(number, entry);
    entry.link = source.connect(target, this.#listen(number, entry));
    this.#tell();
    return number;
  }

  send(connection: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#entries.get(connection)?.link?.send(bytes);
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

  #listen(number: number, entry: Entry): LinkEvents {
    const change = (part: Partial<ConnectionInfo>) => {
      entry.info = { ...entry.info, ...part };
      this.#tell();
    };
    const note = (head: string, text: string, bad: boolean) => {
      this.#decoder.send({
        type: "note",
        connection: number,
        time: this.#now(),
        head,
        text: visibleText(text),
        bad,
      });
    };
    return {
      opened: (local, remote) => {
        note("connected", `${local} to ${remote}`, false);
        change({ state: "open", local, remote });
        this.#events.said(`Connection ${number} to ${remote} is open`);
      },
      bytes: (direction, bytes) => {
        this.#decoder.send({ type: "bytes", connection: number, direction, time: this.#now(), bytes });
      },
      ended: (direction) => {
        this.#decoder.send({ type: "end", connection: number, direction, time: this.#now() });
        note("half-closed", this.#halfClose(direction), false);
        change(direction === "out" ? { ended: true } : { peerEnded: true });
      },
      closed: (reason, bad) => {
        this.#decoder.send({ type: "close", connection: number, time: this.#now() });
        note("closed", reason, bad);
        change({ state: "closed", reason });
        this.#events.said(`Connection ${number} is closed: ${reason}`);
      },
    };
  }

  #halfClose(direction: Direction): string {
    return direction === "out"
      ? "the page shut down its sending half"
      : "the server shut down its sending half";
  }

  #tell(): void {
    this.#events.connections([...this.#entries.values()].map((entry) => entry.info));
  }
}
