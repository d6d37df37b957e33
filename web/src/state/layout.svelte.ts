/** Sizes of the panes, kept from one visit to the next. */

const KEY = "chanwire.layout";

export interface Shares {
  /** Height of the list, in hundredths of what the list and the panes share. */
  list: number;
  /** Right edges of Details and Bytes, in hundredths of the width. */
  details: number;
  bytes: number;
}

const DEFAULTS: Shares = { list: 52, details: 29, bytes: 68 };

type Storage = Pick<globalThis.Storage, "getItem" | "setItem">;

function within(value: unknown, low: number, high: number, otherwise: number): number {
  return typeof value === "number" && value >= low && value <= high ? value : otherwise;
}

/** Shares as they were stored; whatever is not usable is the default. */
export function parseShares(text: string | null): Shares {
  let stored: Partial<Record<keyof Shares, unknown>> = {};
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    if (typeof value === "object" && value !== null) stored = value;
  } catch {
    // Somebody else's text under our key: the defaults serve.
  }
  const details = within(stored.details, 10, 80, DEFAULTS.details);
  return {
    list: within(stored.list, 10, 90, DEFAULTS.list),
    details,
    bytes: within(stored.bytes, details + 10, 90, Math.min(90, Math.max(DEFAULTS.bytes, details + 10))),
  };
}

/** The browser may refuse storage altogether; then sizes last as long as the page. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

export class Layout {
  readonly shares: Shares = $state(parseShares(storage()?.getItem(KEY) ?? null));

  set(part: Partial<Shares>): void {
    Object.assign(this.shares, part);
    try {
      storage()?.setItem(KEY, JSON.stringify(this.shares));
    } catch {
      // Full or forbidden: the sizes are not worth an error.
    }
  }
}
