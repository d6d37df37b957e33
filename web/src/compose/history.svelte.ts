/** Requests sent from Compose, newest first, kept from one visit to the next. */

import { stored, store } from "../state/storage";
import { formatEscapes, parseEscapes } from "../text/escapes";

/** The fields of the form for faults made on purpose, by name, as they were typed. */
export type Typed = Readonly<Record<string, string>>;

export interface Sent {
  /** As escapes: bytes that are no text are kept as they were. */
  readonly text: string;
  readonly faults: Typed;
}

const KEY = "chanwire.compose";
/** The most entries that are kept: nobody finds one again in a longer menu. */
const MOST = 40;
/** The longest entry that is kept: the browser's storage is small. */
const LONGEST = 8192;

/** Reads the stored history; leaves out entries that are not usable. */
export function parseHistory(value: unknown): readonly Sent[] {
  if (!Array.isArray(value)) return [];
  return (value as unknown[]).flatMap(parseSent).slice(0, MOST);
}

function parseSent(value: unknown): Sent[] {
  if (typeof value !== "object" || value === null) return [];
  const { text, faults } = value as Record<string, unknown>;
  if (typeof text !== "string" || text.length > LONGEST || "error" in parseEscapes(text)) return [];
  if (typeof faults !== "object" || faults === null) return [];
  const typed = Object.entries(faults).filter((entry) => typeof entry[1] === "string");
  return [{ text, faults: Object.fromEntries(typed) as Typed }];
}

/** An AUTH, or a member that has its secret. */
const SECRET = /^\s*AUTH\b|"(password|token)"\s*:/m;

export class History {
  entries: readonly Sent[] = $state.raw(parseHistory(stored(KEY)));

  /** Adds a request, unless it may have a password or a token; the same bytes with the same faults are kept once. */
  add(bytes: Uint8Array, faults: Typed): void {
    const text = formatEscapes(bytes);
    if (text.length > LONGEST || SECRET.test(new TextDecoder().decode(bytes))) return;
    const sent = {
      text,
      faults: Object.fromEntries(Object.entries(faults).filter(([, typed]) => typed !== "")),
    };
    const same = JSON.stringify(sent);
    const others = this.entries.filter((entry) => JSON.stringify(entry) !== same);
    this.entries = [sent, ...others].slice(0, MOST);
    store(KEY, this.entries);
  }

  clear(): void {
    this.entries = [];
    store(KEY, this.entries);
  }
}
