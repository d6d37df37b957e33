/** Which way bytes go, seen from the client: requests go out, answers and pushes come in. */
export type Direction = "out" | "in";

/** Positions count from the first of all the bytes, from 0; `end` is exclusive. */
export interface Span {
  start: number;
  end: number;
}

/** A value in a payload. */
export interface Field {
  /** The member's name; an element's index in its array. */
  name: string;
  /** The name with its quotes; absent for elements of an array. */
  key?: Span;
  /** The value. */
  value: Span;
  kind: "object" | "array" | "string" | "number" | "boolean" | "null";
  /** Decoded, cut at 4096 characters; empty for objects and arrays. The peer's own text: make it visible. */
  text: string;
  children: Field[];
}

/** The protocol's name of the fault. */
export interface Fault {
  error: string;
  details: string;
  /** The absolute position of the byte at fault; absent when no one byte is. */
  at?: number;
  /** The server closes the connection after it. */
  closes: boolean;
}

/** One stretch of one direction. Rows tile their stream: every byte belongs to exactly one row. */
export interface Row {
  kind: "frame" | "fault" | "skipped";
  direction: Direction;
  span: Span;
  /** The command or status; of a fault as far as it is known; of skipped bytes "white space", "object" or "discarded". */
  head: string;
  /** A MESSAGE from the server. */
  push: boolean;
  command?: Span;
  separator?: Span;
  payload?: Span;
  /** The payload's members; none if the payload is no JSON. */
  fields: Field[];
  /** The number of values of the payload that are not among the fields. */
  omitted?: number;
  /** One line, safe to show. */
  summary: string;
  /** Also of a frame whose payload is wrong. */
  fault?: Fault;
  /** The status of an answer. */
  status?: "OK" | "REQUEST_ERROR" | "SERVER_ERROR";
  /** The name of the error in an error answer, safe to show. */
  error?: string;
}

export interface CommandField {
  name: string;
  kind: "text" | "integer";
  required: boolean;
  /** The values that it may have, in words that complete "must be …". */
  hint: string;
}

export interface CommandForm {
  command: string;
  fields: CommandField[];
  /** A request as it stands on the wire. */
  example: string;
}

export interface Problem {
  /** Absent if it is no one field's. */
  field?: string;
  message: string;
}

export type Composed = { bytes: Uint8Array } | { problems: Problem[] };

/** A request as it is written in a form. */
export interface Filled {
  command: string;
  /** The value of each field that is not empty. */
  values: Record<string, string>;
}

/** One of the things that are done, in order, to send something: a write of its own, a wait in milliseconds, the end. */
export type PlanStep = { bytes: Uint8Array<ArrayBuffer> } | { wait: number } | { end: true } | { reset: true };

export type Planned = { steps: PlanStep[] } | { problems: Problem[] };
