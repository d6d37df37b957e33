/** From the decoder's row to what Details and Bytes show of one frame. */

import type { Field, Row, Span } from "../wasm/chanwire_wasm";
import type { Fault } from "./batch";
import { TOKEN, type Detail, type FieldDetail, type Range, type Verdict } from "./messages";

/** More members than this are counted instead of listed: a page of 100,000 lines helps nobody. */
const MOST_FIELDS = 2000;

function shift(span: Span, by: number): Range {
  return { start: span.start - by, end: span.end - by };
}

/** A fault with its position counted from `base`. */
export function faultFrom(fault: NonNullable<Row["fault"]>, base: number): Fault {
  const { error, details, closes } = fault;
  return fault.at === undefined
    ? { error, details, closes }
    : { error, details, closes, at: fault.at - base };
}

export function describe(row: Row): Detail {
  const base = row.span.start;
  const room = { left: MOST_FIELDS };
  const fields = prune(row.fields, base, room);
  return {
    ...(row.command && { command: shift(row.command, base) }),
    ...(row.separator && { separator: shift(row.separator, base) }),
    ...(row.payload && { payload: shift(row.payload, base) }),
    fields,
    omitted: row.fields.length - fields.length,
    tokens: tokens(row),
  };
}

export function verdict(row: Row): Verdict {
  return {
    kind: row.kind,
    start: row.span.start,
    end: row.span.end,
    head: row.head,
    summary: row.summary,
    ...(row.fault && { fault: faultFrom(row.fault, 0) }),
  };
}

function prune(fields: readonly Field[], base: number, room: { left: number }): FieldDetail[] {
  const kept = fields.slice(0, room.left);
  room.left -= kept.length;
  return kept.map((field) => {
    const children = prune(field.children, base, room);
    return {
      name: field.name,
      ...(field.key && { key: shift(field.key, base) }),
      value: shift(field.value, base),
      kind: field.kind,
      text: field.text,
      children,
      omitted: field.children.length - children.length,
    };
  });
}

const VALUE_TOKEN = {
  string: TOKEN.string,
  number: TOKEN.number,
  boolean: TOKEN.literal,
  null: TOKEN.literal,
} as const;

/** The classes of the frame's bytes; what no field covers within the payload is punctuation. */
function tokens(row: Row): Float64Array {
  const base = row.span.start;
  const out: number[] = [];
  const add = (span: Span, token: number) => {
    if (span.end > span.start) out.push(span.start - base, span.end - base, token);
  };
  if (row.command) add(row.command, TOKEN.command);
  if (row.separator) add(row.separator, TOKEN.separator);
  if (row.payload) {
    let at = row.payload.start;
    const leaf = (span: Span, token: number) => {
      add({ start: at, end: span.start }, TOKEN.punctuation);
      add(span, token);
      at = span.end;
    };
    const walk = (fields: readonly Field[]) => {
      for (const field of fields) {
        if (field.key) leaf(field.key, TOKEN.key);
        if (field.kind === "object" || field.kind === "array") walk(field.children);
        else leaf(field.value, VALUE_TOKEN[field.kind]);
      }
    };
    walk(row.fields);
    add({ start: at, end: row.payload.end }, TOKEN.punctuation);
  }
  return Float64Array.from(out);
}
