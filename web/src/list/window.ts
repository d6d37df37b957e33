/** The rows of the list that the page holds: the part of the worker's view that was asked for last. */

import type { ListRow } from "../decode/messages";

export class RowWindow {
  readonly epoch: number;
  /** The view's position of the first row. */
  readonly position: number;
  readonly rows: readonly ListRow[];

  constructor(epoch = 0, position = 0, rows: readonly ListRow[] = []) {
    this.epoch = epoch;
    this.position = position;
    this.rows = rows;
  }

  get end(): number {
    return this.position + this.rows.length;
  }

  at(position: number): ListRow | undefined {
    return this.rows[position - this.position];
  }

  covers(start: number, end: number): boolean {
    return start >= end || (start >= this.position && end <= this.end);
  }

  /** Returns the position of the row with this number, if it is here. Numbers ascend. */
  positionOf(number: number): number | undefined {
    let low = 0;
    let high = this.rows.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.rows[middle].number;
      if (found === number) return this.position + middle;
      if (found < number) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }
}
