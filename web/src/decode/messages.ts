/** What the page and the decoder's worker say to each other. */

import type { CommandForm, Problem } from "../wasm/chanwire_wasm";
import type { Batch, Direction, Fault } from "./batch";

/** Positions count from the first byte of the frame; `end` is exclusive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export type ValueKind = "object" | "array" | "string" | "number" | "boolean" | "null";

export interface FieldDetail {
  readonly name: string;
  readonly key?: Range;
  readonly value: Range;
  readonly kind: ValueKind;
  readonly text: string;
  readonly children: readonly FieldDetail[];
  /** Members that were left out because there are too many to show. */
  readonly omitted: number;
}

/** Classes of bytes, as told by the decoder's spans. */
export const TOKEN = {
  command: 1,
  separator: 2,
  punctuation: 3,
  key: 4,
  string: 5,
  number: 6,
  literal: 7,
} as const;

export interface Detail {
  readonly command?: Range;
  readonly separator?: Range;
  readonly payload?: Range;
  readonly fields: readonly FieldDetail[];
  readonly omitted: number;
  /** Triples of start, end and class, ascending and apart. */
  readonly tokens: Float64Array;
}

/** A frame that has begun and not ended. */
export interface Arriving {
  readonly connection: number;
  readonly direction: Direction;
  /** Positions in the stream. */
  readonly start: number;
  readonly end: number;
  readonly head: string;
  readonly state: string;
}

/** What the server would say of one piece of raw bytes. */
export interface Verdict {
  readonly kind: "frame" | "fault" | "skipped";
  readonly start: number;
  readonly end: number;
  readonly head: string;
  readonly summary: string;
  /** `at` counts from the first of all the bytes. */
  readonly fault?: Fault;
}

export type Composed =
  { readonly bytes: Uint8Array<ArrayBuffer> } | { readonly problems: readonly Problem[] };

export interface Questions {
  describe: {
    ask: { readonly direction: Direction; readonly bytes: Uint8Array<ArrayBuffer> };
    answer: Detail | undefined;
  };
  compose: {
    ask: { readonly command: string; readonly values: Readonly<Record<string, string>> };
    answer: Composed;
  };
  check: { ask: { readonly bytes: Uint8Array<ArrayBuffer> }; answer: readonly Verdict[] };
}

export type Question = keyof Questions;

export type ToWorker =
  | { readonly type: "open"; readonly connection: number }
  | {
      readonly type: "bytes";
      readonly connection: number;
      readonly direction: Direction;
      readonly time: number;
      readonly bytes: Uint8Array<ArrayBuffer>;
    }
  | {
      readonly type: "end";
      readonly connection: number;
      readonly direction: Direction;
      readonly time: number;
    }
  | {
      readonly type: "note";
      readonly connection: number;
      readonly time: number;
      readonly head: string;
      readonly text: string;
      readonly bad: boolean;
    }
  | { readonly type: "close"; readonly connection: number; readonly time: number }
  | { readonly type: "ask"; readonly id: number; readonly question: Question; readonly ask: unknown };

export type FromWorker =
  | { readonly type: "ready"; readonly version: string; readonly forms: readonly CommandForm[] }
  | { readonly type: "failed"; readonly message: string }
  | {
      readonly type: "rows";
      readonly batch: Batch;
      /** Received bytes that were decoded, by connection. */
      readonly taken: readonly (readonly [connection: number, bytes: number])[];
      readonly arriving: readonly Arriving[];
      /** Connections of which this is the last batch. */
      readonly closed: readonly number[];
    }
  | { readonly type: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly type: "refused"; readonly id: number; readonly message: string };

export type { CommandForm, Problem };
