/** From what the module gives to what the page shows. */

import type { Row } from "../wasm/chanwire_compose";
import type { Detail, Verdict } from "./messages";

export function verdict(row: Row): Verdict {
  return {
    kind: row.kind,
    start: row.span.start,
    end: row.span.end,
    head: row.head,
    summary: row.summary,
    ...(row.fault && { fault: row.fault }),
  };
}

/** A detail as the module gives it. */
export type ModuleDetail = Omit<Detail, "tokens"> & { readonly tokens: readonly number[] };

export function detailFrom(detail: ModuleDetail): Detail {
  return { ...detail, tokens: Float64Array.from(detail.tokens) };
}
