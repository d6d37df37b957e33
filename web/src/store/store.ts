/** Rows and bytes of all connections, in bounded memory: the oldest are dropped first, and how many is known. */

import { unpackFlags, type Batch, type Direction, type Fault, type Flags } from "../decode/batch";
import { ByteStream } from "./bytes";
import { ReadMarks, type Read } from "./marks";

export interface Limits {
  readonly rows: number;
  /** Memory for bytes and read marks. */
  readonly bytes: number;
}

export const DEFAULT_LIMITS: Limits = { rows: 1_000_000, bytes: 256 * 1024 * 1024 };

/** One row, made when it is looked at. */
export interface StoredRow extends Flags {
  readonly number: number;
  readonly connection: number;
  readonly time: number;
  /** Position of the first byte in its direction's stream. */
  readonly start: number;
  readonly length: number;
  readonly rtt: number | undefined;
  /** Number of the answer's or the request's row. */
  readonly pair: number | undefined;
  readonly head: string;
  readonly summary: string;
  readonly fault: Fault | undefined;
}

const CHUNK = 16 * 1024;

class Chunk {
  readonly connection = new Uint32Array(CHUNK);
  readonly flags = new Uint8Array(CHUNK);
  readonly time = new Float64Array(CHUNK);
  readonly start = new Float64Array(CHUNK);
  readonly length = new Float64Array(CHUNK);
  readonly rtt = new Float32Array(CHUNK);
  readonly pair = new Float64Array(CHUNK);
  readonly head: string[] = [];
  readonly summary: string[] = [];
}

class Stream {
  readonly bytes = new ByteStream();
  readonly reads = new ReadMarks();

  get allocated(): number {
    return this.bytes.allocated + this.reads.allocated;
  }

  dropBefore(position: number): void {
    this.bytes.dropBefore(position);
    this.reads.dropBefore(position);
  }
}

interface Connection {
  readonly out: Stream;
  readonly in: Stream;
  open: boolean;
  /** Rows held of this connection. */
  rows: number;
}

export class FrameStore {
  readonly #limits: Limits;
  #chunks: Chunk[] = [];
  /** Number of the row at the first chunk's first place. */
  #base = 1;
  #first = 1;
  #end = 1;
  #cleared = 1;
  #allocated = 0;
  #connections = new Map<number, Connection>();
  #faults = new Map<number, Fault>();
  #heads = new Map<string, string>();

  constructor(limits: Limits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** Number of the oldest row held. */
  get first(): number {
    return this.#first;
  }

  /** The number that the next row gets. */
  get end(): number {
    return this.#end;
  }

  /** Rows dropped since the last clear to stay within the limits. */
  get dropped(): number {
    return this.#first - this.#cleared;
  }

  get limits(): Limits {
    return this.#limits;
  }

  /** Memory for bytes and read marks. */
  get allocated(): number {
    return this.#allocated;
  }

  open(connection: number): void {
    this.#connections.set(connection, { out: new Stream(), in: new Stream(), open: true, rows: 0 });
  }

  /** No bytes follow; what is held stays until its rows are dropped. */
  close(connection: number): void {
    const entry = this.#connections.get(connection);
    if (entry === undefined) return;
    entry.open = false;
    this.#forgetIfEmpty(connection, entry);
  }

  /** Take the bytes of one read or write. */
  take(connection: number, direction: Direction, time: number, bytes: Uint8Array): void {
    const stream = this.#connections.get(connection)?.[direction];
    if (stream === undefined) return;
    this.#account(stream, () => {
      stream.bytes.append(bytes);
      stream.reads.push(stream.bytes.end, time);
    });
    this.#enforce();
  }

  append(batch: Batch): void {
    for (let i = 0; i < batch.count; i += 1) {
      const number = this.#end;
      const place = number - this.#base;
      const at = place % CHUNK;
      let chunk = this.#chunks[Math.floor(place / CHUNK)];
      if (chunk === undefined) {
        chunk = new Chunk();
        this.#chunks.push(chunk);
      }
      chunk.connection[at] = batch.connection[i];
      chunk.flags[at] = batch.flags[i];
      chunk.time[at] = batch.time[i];
      chunk.start[at] = batch.start[i];
      chunk.length[at] = batch.length[i];
      chunk.rtt[at] = batch.rtt[i];
      chunk.pair[at] = batch.pair[i];
      chunk.head[at] = this.#intern(batch.head[i]);
      chunk.summary[at] = batch.summary[i];
      this.#end += 1;
      const entry = this.#connections.get(batch.connection[i]);
      if (entry !== undefined) entry.rows += 1;
      if (batch.pair[i] >= this.#first) this.#setPair(batch.pair[i], number);
    }
    for (const [row, fault] of batch.faults) this.#faults.set(row, fault);
    this.#enforce();
  }

  /** The row of that number, if it is still held. */
  row(number: number): StoredRow | undefined {
    if (!this.has(number)) return undefined;
    const chunk = this.#chunks[Math.floor((number - this.#base) / CHUNK)];
    const at = (number - this.#base) % CHUNK;
    const rtt = chunk.rtt[at];
    const pair = chunk.pair[at];
    return {
      ...unpackFlags(chunk.flags[at]),
      number,
      connection: chunk.connection[at],
      time: chunk.time[at],
      start: chunk.start[at],
      length: chunk.length[at],
      rtt: Number.isNaN(rtt) ? undefined : rtt,
      pair: pair === 0 ? undefined : pair,
      head: chunk.head[at],
      summary: chunk.summary[at],
      fault: this.#faults.get(number),
    };
  }

  has(number: number): boolean {
    return Number.isInteger(number) && number >= this.#first && number < this.#end;
  }

  bytes(row: StoredRow): Uint8Array<ArrayBuffer> {
    const stream = this.#connections.get(row.connection)?.[row.direction];
    return stream === undefined ? new Uint8Array(0) : stream.bytes.read(row.start, row.start + row.length);
  }

  /** The reads that brought the row's bytes, with positions of the stream. */
  reads(row: StoredRow): Read[] {
    const stream = this.#connections.get(row.connection)?.[row.direction];
    return stream === undefined ? [] : stream.reads.covering(row.start, row.start + row.length);
  }

  /** The first bytes of a frame that is still arriving. */
  peek(connection: number, direction: Direction, start: number, end: number): Uint8Array {
    return this.#connections.get(connection)?.[direction].bytes.read(start, end) ?? new Uint8Array(0);
  }

  /** Forget every row and its bytes. Numbers go on from where they are. */
  clear(): void {
    while (this.#first < this.#end) this.#dropOldest();
    this.#cleared = this.#end;
    this.#chunks = [];
    this.#base = this.#end;
  }

  #enforce(): void {
    while (
      this.#first < this.#end &&
      (this.#end - this.#first > this.#limits.rows || this.#allocated > this.#limits.bytes)
    ) {
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const number = this.#first;
    const place = number - this.#base;
    const chunk = this.#chunks[0];
    const connection = chunk.connection[place];
    const entry = this.#connections.get(connection);
    if (entry !== undefined) {
      const { kind, direction } = unpackFlags(chunk.flags[place]);
      if (kind !== "note") {
        const stream = entry[direction];
        this.#account(stream, () => stream.dropBefore(chunk.start[place] + chunk.length[place]));
      }
      entry.rows -= 1;
      this.#forgetIfEmpty(connection, entry);
    }
    this.#faults.delete(number);
    this.#first += 1;
    if (this.#first - this.#base === CHUNK) {
      this.#chunks.shift();
      this.#base += CHUNK;
    }
  }

  #forgetIfEmpty(connection: number, entry: Connection): void {
    if (entry.open || entry.rows > 0) return;
    this.#allocated -= entry.out.allocated + entry.in.allocated;
    this.#connections.delete(connection);
  }

  #account(stream: Stream, change: () => void): void {
    const before = stream.allocated;
    change();
    this.#allocated += stream.allocated - before;
  }

  #setPair(number: number, pair: number): void {
    const chunk = this.#chunks[Math.floor((number - this.#base) / CHUNK)];
    chunk.pair[(number - this.#base) % CHUNK] = pair;
  }

  /** Commands and statuses are few: one string for all rows that carry the same. */
  #intern(head: string): string {
    const known = this.#heads.get(head);
    if (known !== undefined) return known;
    if (this.#heads.size < 1000) this.#heads.set(head, head);
    return head;
  }
}
