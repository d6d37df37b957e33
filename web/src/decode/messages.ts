/**
 * Messages between the page and the decoder's worker.
 *
 * The worker owns everything that is recorded. The page holds the rows that it shows and the frame that is selected,
 * and asks for the rest. Rows are numbered from 1 in the order in which they complete, over all connections, and keep
 * their number for ever; a clear does not start again, a reset does.
 */

import type { CommandForm, Filled, Planned, Problem } from "../wasm/chanwire_compose";

/** Seen from the client: requests go out, answers and pushes come in. */
export type Direction = "out" | "in";

export const DIRECTIONS: readonly Direction[] = ["out", "in"];

/**
 * A "frame" begins and ends as one, though its contents may be wrong; a "fault" is bytes that are no frame; "skipped"
 * bytes are passed over. A "note" says that a connection opened, ended or closed, and a "gap" that traffic is missing:
 * neither has bytes.
 */
export type RowKind = "frame" | "fault" | "skipped" | "note" | "gap";

/** One row of the list, as it is shown. Head and summary are safe to show. */
export interface ListRow {
  readonly number: number;
  readonly connection: number;
  readonly direction: Direction;
  readonly kind: RowKind;
  /** A message that the server sent unasked. */
  readonly push: boolean;
  /** A decoder's fault, an error answer, or a note of a failure. */
  readonly bad: boolean;
  readonly marked: boolean;
  readonly highlighted: boolean;
  /** Milliseconds since the capture's first event. */
  readonly time: number;
  /** False where its time is not known: `time` is then that of the row before it. Absent otherwise. */
  readonly timed?: false;
  /** Milliseconds since the row above it in the view; absent in its first row. */
  readonly delta: number | undefined;
  readonly head: string;
  /** Of an answer, the milliseconds since its request was complete. */
  readonly rtt: number | undefined;
  /** Number of the answer's request, or of the request's answer. It may no longer be held. */
  readonly pair: number | undefined;
  readonly length: number;
  readonly summary: string;
}

/** Positions count from the first byte of the frame, where its user says nothing else; `end` is exclusive. */
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
  /** Values of the payload that are not among the fields, because there are too many to show. */
  readonly omitted: number;
  /** Triples of start, end and class, ascending and apart. */
  readonly tokens: Float64Array;
}

/** The fault of a row's bytes. `at` counts from the row's first byte. */
export interface Fault {
  readonly error: string;
  readonly details: string;
  readonly at?: number;
  /** The server closes the connection after it. */
  readonly closes: boolean;
}

/** The part of a read or write that lies in the frame. */
export interface ReadPart extends Range {
  /** Milliseconds since the capture's first event. */
  readonly time: number;
  /** It began in this frame, so a border stands before its first byte. */
  readonly begins: boolean;
  /** It ended in this frame, so a border stands after its last byte. */
  readonly ends: boolean;
}

/** The reason for the end of a connection, in the words of the server's log. */
export interface Ending {
  readonly reason: string;
  /** The limit that was reached, with its value in bytes, seconds or connections. */
  readonly limit?: string;
  readonly value?: number;
  /** The address of the part of the protocol's page that explains it. */
  readonly about: string;
}

/** One row of any kind, not only a frame, with everything that is shown of it. */
export interface Frame {
  readonly row: ListRow;
  /** Position of the row's first byte in its direction's stream. */
  readonly position: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly reads: readonly ReadPart[];
  /** Absent in what is no frame. */
  readonly detail: Detail | undefined;
  readonly fault: Fault | undefined;
  /** Only in the note that a connection is over. */
  readonly ending?: Ending;
}

/** A frame that has begun and not ended. */
export interface Arriving {
  readonly connection: number;
  readonly direction: Direction;
  /** Positions in the stream. */
  readonly start: number;
  readonly end: number;
  /** Its command or status; empty while that is not complete. */
  readonly head: string;
  /** Which part of it is being read: "inside a payload". */
  readonly state: string;
  /** Its first bytes, enough to know it by. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A server's verdict on one piece of raw bytes, as the decoder tells it: nothing is sent. */
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

/** Why a filter cannot be read. Positions are of JavaScript's strings. */
export interface Mistake {
  readonly at: number;
  /** At least 1, also at the end of the text. */
  readonly length: number;
  readonly message: string;
}

export interface Completion {
  /** The replacement of the text between `Completions.start` and `end`. */
  readonly text: string;
  readonly kind: "field" | "operator" | "value";
  /** A description in a few words. */
  readonly hint: string;
}

/** The completions at the caret. Positions are of the text of the filter. */
export interface Completions extends Range {
  readonly items: readonly Completion[];
}

/** Traffic of one kind since the last clear. Times are round trips in milliseconds, absent where there are none. */
export interface StatisticsRow {
  /** A command counts its requests, a status its answers, "push" what came unasked, "other" what is no frame. */
  readonly group: "command" | "status" | "push" | "other";
  readonly name: string;
  readonly count: number;
  readonly bytes: number;
  /** Of a command: those that were wrong or were answered by an error. */
  readonly bad: number;
  readonly p50: number | undefined;
  readonly p95: number | undefined;
  readonly p99: number | undefined;
  /** The round trips are to within 4 %. */
  readonly approximate: boolean;
}

export interface StatisticsTable {
  readonly rows: readonly StatisticsRow[];
}

/** Equal buckets that cover the time from the oldest row held to the newest. */
export interface Timeline {
  /** Milliseconds since the capture's first event. */
  readonly start: number;
  /** Milliseconds; 0 when there is nothing. */
  readonly step: number;
  readonly frames: Float64Array;
  readonly bad: Float64Array;
  /** Milliseconds, NaN where nothing was answered. */
  readonly p99: Float64Array;
}

/** A connection of the capture, and its two ends in words. */
export interface CapturedConnection {
  readonly number: number;
  readonly label: string;
}

/** One row of a connection as the stream is read: what was said, in order. */
export interface StreamPiece {
  readonly row: ListRow;
  /** The row's first bytes, at most as many as were asked for. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The format of a capture. */
export interface CapturePreview {
  readonly format: "pcap" | "pcapng" | "jsonl" | "hex" | "raw";
  /** Whether it looks like the protocol, as far as can be told before it is read. */
  readonly recognised: boolean;
  /** Of bytes of one direction, which one they seem to be. */
  readonly direction?: Direction;
  /** A description of the format, for the user. */
  readonly words: string;
  /** The first bytes that are in it, where it is no container of packets. */
  readonly bytes: readonly number[];
}

export type ExportFormat = "jsonl" | "bin" | "test" | "pcapng";

export interface Export {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Ask again with this as `cursor`; absent in the last part. */
  readonly next?: number;
}

export interface Questions {
  /** A row with its bytes and parts; undefined when it is not held. */
  frame: { ask: { readonly number: number }; answer: Frame | undefined };
  /** The rows of the row's connection around it, the row itself too. */
  stream: {
    ask: {
      readonly number: number;
      readonly before: number;
      readonly after: number;
      /** The most bytes of one row. */
      readonly bytes: number;
    };
    answer: readonly StreamPiece[];
  };
  /** An empty text means no filter. A mistake leaves the last one in force. */
  filter: {
    ask: { readonly which: "filter" | "highlight"; readonly text: string };
    answer: { readonly mistake?: Mistake };
  };
  /** Only rows of these times, in milliseconds since the capture's first event: from `from` up to and with `to`. */
  range: { ask: { readonly from: number; readonly to: number } | undefined; answer: undefined };
  complete: { ask: { readonly text: string; readonly caret: number }; answer: Completions };
  /** The position of a row in the view, or of the nearest one, after it if there is one. */
  locate: {
    ask: { readonly number: number };
    answer: { readonly epoch: number; readonly position: number; readonly exact: boolean } | undefined;
  };
  /**
   * The next row of the view in one direction, from a row that need not be in it. With `to: "text"`, `text` is looked
   * for as by the filter `text contains …`.
   */
  step: {
    ask: {
      readonly from: number;
      readonly by: 1 | -1;
      readonly to: "highlight" | "bad" | "mark" | "text";
      readonly text?: string;
    };
    answer: number | undefined;
  };
  /** The connections that are open or of which a row is held, by number, wherever they came from. */
  connections: { ask: undefined; answer: readonly CapturedConnection[] };
  /** Forget everything but the filter and the highlight, and number rows and connections from 1 again. */
  reset: { ask: undefined; answer: undefined };
  statistics: { ask: undefined; answer: StatisticsTable };
  timeline: { ask: { readonly buckets: number }; answer: Timeline };
  /**
   * `bin` is one direction of one connection; `test` is one connection, which may be named by one of its rows.
   * Everything is given in parts of a few MiB.
   */
  export: {
    ask: {
      readonly format: ExportFormat;
      readonly scope: "all" | "view" | { readonly number: number };
      readonly connection?: number;
      readonly direction?: Direction;
      readonly cursor?: number;
      /** Whether passwords and tokens are exported, too; they are masked otherwise. */
      readonly secrets?: boolean;
    };
    answer: Export;
  };
  /** The form of the composer, filled in, that makes exactly these bytes, if there is one. */
  fill: { ask: { readonly bytes: Uint8Array<ArrayBuffer> }; answer: Filled | undefined };
  /** The format of a capture, by its first bytes. */
  preview: { ask: { readonly bytes: Uint8Array<ArrayBuffer> }; answer: CapturePreview };
  /** Reads a capture, in order: `begin`, its bytes in pieces, `end`. */
  import: {
    ask:
      | {
          readonly step: "begin";
          /** Also connections that do not look like the protocol. */
          readonly everything: boolean;
          readonly direction?: Direction;
        }
      | { readonly step: "bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
      | { readonly step: "end" };
    /** `words` describes for the user what was read, in the answer to `end`. After an error nothing more is read. */
    answer: { readonly error?: string; readonly words?: string };
  };
  compose: {
    ask: { readonly command: string; readonly values: Readonly<Record<string, string>> };
    answer: Composed;
  };
  check: { ask: { readonly bytes: Uint8Array<ArrayBuffer> }; answer: readonly Verdict[] };
  /** The steps by which bytes are sent with faults made on purpose; `faults` has the fields of the form, by name. */
  plan: {
    ask: { readonly bytes: Uint8Array<ArrayBuffer>; readonly faults: Readonly<Record<string, string>> };
    answer: Planned;
  };
}

export type Question = keyof Questions;

/** Recorded events of one connection, in order. Times are in milliseconds since 1970. */
export type Recorded =
  | { readonly type: "open"; readonly connection: number; readonly label: string }
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
  | {
      /** Traffic is missing here. Without a direction both may lack some. */
      readonly type: "gap";
      readonly connection: number;
      readonly direction?: Direction;
      readonly time: number;
      /** The number of missing bytes, 0 where it is not known. */
      readonly bytes: number;
      /** Whole frames are missing, so many: the stream goes on at a frame's first byte. */
      readonly frames?: number;
      /** How many of those frames are requests that get an answer, or answers, so that later ones are paired rightly. */
      readonly paired?: number;
      readonly text: string;
    }
  | { readonly type: "close"; readonly connection: number; readonly time: number };

export type ToWorker =
  | Recorded
  /** The most memory that what is recorded may take. */
  | { readonly type: "limit"; readonly bytes: number }
  | { readonly type: "clear" }
  /** Freezes the view; the capture goes on. */
  | { readonly type: "pause"; readonly paused: boolean }
  /** The rows that the list shows; answered by `window` now and whenever they change. Following shows the last ones. */
  | { readonly type: "look"; readonly position: number; readonly count: number; readonly follow: boolean }
  | { readonly type: "mark"; readonly number: number; readonly on: boolean }
  | { readonly type: "ask"; readonly id: number; readonly question: Question; readonly ask: unknown };

export interface Status {
  /** A new one with each change of filter or time range, and with clear: positions start again from 0. */
  readonly epoch: number;
  /** Positions of the view's rows that are held: from `begin` to before `end`. Rows that are dropped leave at the front. */
  readonly begin: number;
  readonly end: number;
  /** Number of the oldest row held. */
  readonly first: number;
  /** Number of the next row that will be captured. */
  readonly captured: number;
  /** Rows dropped since the last clear because memory was full. */
  readonly dropped: number;
  /** Bad rows held. */
  readonly bad: number;
  /** The view does not show all yet: so many rows are looked at, of so many. */
  readonly scanning: { readonly done: number; readonly total: number } | undefined;
  /** Rows of the view that the highlight matches; undefined without one. */
  readonly highlights: number | undefined;
  /** In bytes: what is in use, and the most there may be. */
  readonly memory: number;
  readonly limit: number;
  /** The memory that the engine has taken, in bytes. It gives it back when it is cleared, and not before. */
  readonly heap: number;
  /** Frames a second. */
  readonly rate: number;
  /** Received bytes that were decoded since the last status, by connection: credit for the source. */
  readonly taken: readonly (readonly [connection: number, bytes: number])[];
  readonly arriving: readonly Arriving[];
  /** Rows since the last status, for announcements. */
  readonly added: number;
  readonly addedBad: number;
}

export type FromWorker =
  | { readonly type: "ready"; readonly version: string; readonly forms: readonly CommandForm[] }
  | { readonly type: "failed"; readonly message: string }
  /** When anything changed, at most once in 16 ms. */
  | { readonly type: "status"; readonly status: Status }
  /** Rows of the view from `position` on. */
  | {
      readonly type: "window";
      readonly epoch: number;
      readonly position: number;
      readonly rows: readonly ListRow[];
    }
  /** `DecoderClient` makes of it what `Questions` says. */
  | { readonly type: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly type: "refused"; readonly id: number; readonly message: string };

export type { CommandForm, Filled, Planned, Problem };
