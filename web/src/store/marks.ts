/** Where reads (or writes) ended in one direction's stream: an ascending list of positions with their times. */

const CHUNK = 1024;

export interface Read {
  readonly start: number;
  readonly end: number;
  /** When it was taken, in milliseconds. */
  readonly time: number;
}

export class ReadMarks {
  #chunks: Float64Array[] = [];
  /** Marks gone from the front of the first chunk. */
  #skip = 0;
  #used = 0;
  #base = 0;

  /** Memory in bytes. */
  get allocated(): number {
    return this.#chunks.length * CHUNK * 16;
  }

  push(end: number, time: number): void {
    if (this.#used === this.#chunks.length * CHUNK) this.#chunks.push(new Float64Array(CHUNK * 2));
    const chunk = this.#chunks[this.#chunks.length - 1];
    const at = this.#used % CHUNK;
    chunk[at * 2] = end;
    chunk[at * 2 + 1] = time;
    this.#used += 1;
  }

  /** The reads that carried any byte from `start` to before `end`. */
  covering(start: number, end: number): Read[] {
    const reads: Read[] = [];
    for (let i = this.#after(start); i < this.#used; i += 1) {
      const read = {
        start: i === this.#skip ? this.#base : this.#end(i - 1),
        end: this.#end(i),
        time: this.#time(i),
      };
      if (read.start >= end) break;
      reads.push(read);
    }
    return reads;
  }

  /** Forget the reads that ended at or before `position`. */
  dropBefore(position: number): void {
    const kept = this.#after(position);
    if (kept === this.#skip) return;
    this.#base = this.#end(kept - 1);
    if (kept === this.#used) {
      this.#chunks = [];
      this.#used = 0;
      this.#skip = 0;
      return;
    }
    const whole = Math.floor(kept / CHUNK);
    this.#chunks.splice(0, whole);
    this.#used -= whole * CHUNK;
    this.#skip = kept - whole * CHUNK;
  }

  #end(index: number): number {
    return this.#chunks[Math.floor(index / CHUNK)][(index % CHUNK) * 2];
  }

  #time(index: number): number {
    return this.#chunks[Math.floor(index / CHUNK)][(index % CHUNK) * 2 + 1];
  }

  /** Index of the first read that ends after `position`. */
  #after(position: number): number {
    let low = this.#skip;
    let high = this.#used;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#end(middle) > position) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
