/** Sources of traffic, and their receivers. Everything after a source is the same for every source. */

import type { Direction } from "../decode/messages";

/**
 * One of the things that are done, in order, to send what was composed: a write of its own, a wait in milliseconds,
 * the end of the sending half, or a reset of the connection.
 */
export type Step =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly wait: number }
  | { readonly end: true }
  | { readonly reset: true };

/** Returns whether nothing can be sent after these. */
export function holdsEnd(steps: readonly Step[]): boolean {
  return steps.some((step) => "end" in step || "reset" in step);
}

/** One connection as its source hands it out. */
export interface Link {
  /** Whether bytes can be sent. */
  readonly writable: boolean;
  /** It is somebody else's connection, and can only be watched. */
  readonly watched?: boolean;
  /**
   * Carries out these steps after those given before: all of them or, where too much waits already, none, which is
   * reported as `refused`. Ignored when the link is not writable.
   */
  send(steps: readonly Step[]): void;
  /** Shuts down the sending half, after what was sent before. */
  end(): void;
  /** Closes the connection. */
  close(): void;
  /** Notes that so many received bytes were decoded: as many more may come. */
  taken(bytes: number): void;
}

/**
 * Events of one connection, in order. A source that knows the time of an event gives it, in milliseconds of
 * `performance.now()`; otherwise it is the time of the call.
 */
export interface LinkEvents {
  opened(local: string, remote: string, time?: number): void;
  /** Bytes as one read or one write; those that go out, when they have left. */
  bytes(direction: Direction, bytes: Uint8Array<ArrayBuffer>, time?: number): void;
  ended(direction: Direction, time?: number): void;
  /** Reports that nothing of the last steps will be sent, and why. */
  refused(why: string): void;
  /** Traffic is missing here: whole frames, of which so many are requests that are answered, or answers. */
  gap?(
    direction: Direction,
    gap: { readonly bytes: number; readonly frames: number; readonly paired: number; readonly text: string },
    time?: number,
  ): void;
  /** Reports the last event. `bad` when it was not meant to end so. */
  closed(reason: string, bad: boolean, time?: number): void;
}

/** Takes a connection that the page did not ask for, and says where its events go. */
export type Accept = (target: Target, link: Link) => LinkEvents;

/** Something a connection can be made to. */
export interface Target {
  readonly id: string;
  /** With `tls://` in front where it is reached by TLS. */
  readonly address: string;
  readonly channel?: string;
  /** The client that connects, where the source plays several. */
  readonly client?: string;
}

export interface Source {
  /** Something to say of what there is, once the targets are known. */
  readonly note?: string;
  /** Returns the targets that can be connected to. */
  targets(): Promise<readonly Target[]>;
  connect(target: Target, events: LinkEvents): Link;
  /** Another source was chosen. */
  stop?(): void;
  /** Sets the receiver of connections that begin without being asked for, where a source has such. */
  accept?(accept: Accept): void;
}

/** The source does not accept who asks. */
export class Refused extends Error {}
