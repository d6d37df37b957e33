/** The bytes of one direction of one connection, in segments, so that old ones can be dropped without copying. */

const FIRST_SEGMENT = 16 * 1024;
const LARGEST_SEGMENT = 4 * 1024 * 1024;

interface Segment {
  /** Position in the stream of the segment's first byte. */
  readonly start: number;
  readonly data: Uint8Array;
  used: number;
}

export class ByteStream {
  #segments: Segment[] = [];
  #end = 0;
  #dropped = 0;
  #allocated = 0;

  /** Position of the first byte still held. */
  get start(): number {
    return this.#segments.length > 0 ? Math.max(this.#segments[0].start, this.#dropped) : this.#end;
  }

  /** Position after the last byte. */
  get end(): number {
    return this.#end;
  }

  /** Memory in bytes, spare room included. */
  get allocated(): number {
    return this.#allocated;
  }

  append(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      let last = this.#segments.at(-1);
      if (last === undefined || last.used === last.data.length) {
        // Segments double, so that many small connections cost little and a large one has few segments.
        const size = last === undefined ? FIRST_SEGMENT : Math.min(last.data.length * 2, LARGEST_SEGMENT);
        last = { start: this.#end, data: new Uint8Array(size), used: 0 };
        this.#segments.push(last);
        this.#allocated += size;
      }
      const part = rest.subarray(0, last.data.length - last.used);
      last.data.set(part, last.used);
      last.used += part.length;
      this.#end += part.length;
      rest = rest.subarray(part.length);
    }
  }

  /** A copy of the bytes from `start` to before `end`; what is no longer held, or not there yet, is left out. */
  read(start: number, end: number): Uint8Array<ArrayBuffer> {
    const from = Math.max(start, this.start);
    const to = Math.min(end, this.#end);
    const out = new Uint8Array(Math.max(0, to - from));
    if (out.length === 0) return out;
    for (let i = this.#find(from); i < this.#segments.length; i += 1) {
      const segment = this.#segments[i];
      if (segment.start >= to) break;
      const lower = Math.max(from, segment.start);
      const upper = Math.min(to, segment.start + segment.used);
      out.set(segment.data.subarray(lower - segment.start, upper - segment.start), lower - from);
    }
    return out;
  }

  /** Forget the bytes before `position`. Memory is given back a whole segment at a time. */
  dropBefore(position: number): void {
    const limit = Math.min(position, this.#end);
    this.#dropped = Math.max(this.#dropped, limit);
    let gone = 0;
    for (const segment of this.#segments) {
      if (segment.start + segment.used > limit) break;
      gone += 1;
      this.#allocated -= segment.data.length;
    }
    if (gone > 0) this.#segments.splice(0, gone);
  }

  /** Index of the segment that holds `position`. */
  #find(position: number): number {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#segments[middle].start <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
