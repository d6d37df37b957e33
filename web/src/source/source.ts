/** Where traffic comes from, and who takes it. What stands after a source is the same for every source. */

import type { Direction } from "../decode/messages";

/** One connection as its source hands it out. */
export interface Link {
  /** Whether bytes can be sent. */
  readonly writable: boolean;
  /** Bytes as one write; ignored when the link is not writable. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Shut down the sending half, after what was sent before. */
  end(): void;
  /** Close the connection. */
  close(): void;
  /** The store has taken and decoded so many received bytes: as many more may come. */
  taken(bytes: number): void;
}

/** What a source tells of one connection, in order. Times are taken by the receiver. */
export interface LinkEvents {
  opened(local: string, remote: string): void;
  /** Bytes as one read or one write. */
  bytes(direction: Direction, bytes: Uint8Array<ArrayBuffer>): void;
  ended(direction: Direction): void;
  /** The last event. `bad` when it was not meant to end so. */
  closed(reason: string, bad: boolean): void;
}

/** Something a connection can be made to. */
export interface Target {
  readonly id: string;
  readonly address: string;
  readonly channel?: string;
}

export interface Source {
  /** What can be connected to. */
  targets(): Promise<readonly Target[]>;
  connect(target: Target, events: LinkEvents): Link;
}

/** The source does not accept who asks. */
export class Refused extends Error {}
