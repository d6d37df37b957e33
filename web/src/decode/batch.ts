/** Rows as they travel from the decoder's worker to the store: columns, not objects. */

export type Direction = "out" | "in";

export const DIRECTIONS: readonly Direction[] = ["out", "in"];

/** A note is not traffic: it says that a connection opened, ended or closed. */
export type RowKind = "frame" | "fault" | "skipped" | "note";

const KINDS: readonly RowKind[] = ["frame", "fault", "skipped", "note"];

/** Bits of the flags column; the kind stands above them. */
const INWARD = 1;
const PUSH = 2;
const BAD = 4;
const KIND_SHIFT = 4;

export interface Flags {
  readonly kind: RowKind;
  readonly direction: Direction;
  /** A message that the server sent unasked. */
  readonly push: boolean;
  /** A decoder's fault, an error answer, or a note of a failure. */
  readonly bad: boolean;
}

export function packFlags(flags: Flags): number {
  return (
    (flags.direction === "in" ? INWARD : 0) |
    (flags.push ? PUSH : 0) |
    (flags.bad ? BAD : 0) |
    (KINDS.indexOf(flags.kind) << KIND_SHIFT)
  );
}

export function unpackFlags(bits: number): Flags {
  return {
    kind: KINDS[bits >> KIND_SHIFT],
    direction: (bits & INWARD) !== 0 ? "in" : "out",
    push: (bits & PUSH) !== 0,
    bad: (bits & BAD) !== 0,
  };
}

/** What is wrong with a frame. Positions count from the frame's first byte. */
export interface Fault {
  readonly error: string;
  readonly details: string;
  readonly at?: number;
  /** The server closes the connection after it. */
  readonly closes: boolean;
}

/** One row on its way into a batch. Positions count from the start of the direction's stream. */
export interface NewRow extends Flags {
  readonly connection: number;
  readonly time: number;
  readonly start: number;
  readonly end: number;
  /** Head and summary are made safe to show by whoever writes them. */
  readonly head: string;
  readonly summary: string;
  /** Round-trip time in milliseconds, NaN where there is none. */
  readonly rtt: number;
  /** Number of the request's row, 0 where there is none. */
  readonly pair: number;
  /** Kept, because the row's bytes alone do not say it again: an answer is right or wrong for its request. */
  readonly fault?: Fault;
}

export interface Batch {
  /** Number of the first row; the others follow without a gap. */
  readonly first: number;
  readonly count: number;
  readonly connection: Uint32Array;
  readonly flags: Uint8Array;
  readonly time: Float64Array;
  readonly start: Float64Array;
  readonly length: Float64Array;
  readonly rtt: Float32Array;
  readonly pair: Float64Array;
  readonly head: string[];
  readonly summary: string[];
  readonly faults: [row: number, fault: Fault][];
}

export class BatchBuilder {
  #rows: NewRow[] = [];
  #next = 1;

  /** Number of rows that wait. */
  get waiting(): number {
    return this.#rows.length;
  }

  /** Add a row; returns its number, which counts from 1 over all connections. */
  push(row: NewRow): number {
    this.#rows.push(row);
    return this.#next + this.#rows.length - 1;
  }

  /** The rows that waited, as columns. */
  take(): Batch {
    const rows = this.#rows;
    const count = rows.length;
    const batch: Batch = {
      first: this.#next,
      count,
      connection: new Uint32Array(count),
      flags: new Uint8Array(count),
      time: new Float64Array(count),
      start: new Float64Array(count),
      length: new Float64Array(count),
      rtt: new Float32Array(count),
      pair: new Float64Array(count),
      head: new Array<string>(count),
      summary: new Array<string>(count),
      faults: [],
    };
    rows.forEach((row, i) => {
      batch.connection[i] = row.connection;
      batch.flags[i] = packFlags(row);
      batch.time[i] = row.time;
      batch.start[i] = row.start;
      batch.length[i] = row.end - row.start;
      batch.rtt[i] = row.rtt;
      batch.pair[i] = row.pair;
      batch.head[i] = row.head;
      batch.summary[i] = row.summary;
      if (row.fault !== undefined) batch.faults.push([this.#next + i, row.fault]);
    });
    this.#rows = [];
    this.#next += count;
    return batch;
  }
}

/** The buffers of a batch that can be handed over instead of copied. */
export function transferables(batch: Batch): ArrayBuffer[] {
  const columns = [
    batch.connection,
    batch.flags,
    batch.time,
    batch.start,
    batch.length,
    batch.rtt,
    batch.pair,
  ];
  return columns.map((column) => column.buffer as ArrayBuffer);
}
