/** Sizes of the panes, kept from one visit to the next. */

import { store, stored } from "./storage";

const KEY = "chanwire.layout";

export interface Shares {
  /** Height of the list, in hundredths of what the list and the panes share. */
  list: number;
  /** Right edges of Details and Bytes, in hundredths of the width. */
  details: number;
  bytes: number;
  /** Heights in pixels of the strip above the list: with the chart, and with a table. */
  chart: number;
  table: number;
}

const DEFAULTS: Shares = { list: 52, details: 29, bytes: 68, chart: 88, table: 180 };

function within(value: unknown, low: number, high: number, otherwise: number): number {
  return typeof value === "number" && value >= low && value <= high ? value : otherwise;
}

/** Shares as they were stored; whatever is not usable is the default. */
export function parseShares(value: unknown): Shares {
  const known = (typeof value === "object" && value !== null ? value : {}) as Partial<
    Record<keyof Shares, unknown>
  >;
  const details = within(known.details, 10, 80, DEFAULTS.details);
  return {
    list: within(known.list, 10, 90, DEFAULTS.list),
    details,
    bytes: within(known.bytes, details + 10, 90, Math.min(90, Math.max(DEFAULTS.bytes, details + 10))),
    chart: within(known.chart, 48, 400, DEFAULTS.chart),
    table: within(known.table, 48, 400, DEFAULTS.table),
  };
}

export class Layout {
  readonly shares: Shares = $state(parseShares(stored(KEY)));

  set(part: Partial<Shares>): void {
    Object.assign(this.shares, part);
    store(KEY, this.shares);
  }
}
