/** Text from a peer, made so that nothing in it is invisible or changes how the rest is read. */

import { hexByte } from "./format";
import { isJoining } from "./joining";
import { characterAt } from "./utf8";

/** A run of characters that are shown as they are, or one mark that stands for a character or a byte. */
export interface Piece {
  readonly text: string;
  readonly mark: boolean;
  /** Byte positions. */
  readonly start: number;
  readonly end: number;
  /** The line ends after it. */
  readonly breaks: boolean;
}

/**
 * Controls, what is private, separators and blanks (the space is taken out below), and what is ignorable by default:
 * marks of direction, joiners, selectors, fillers. The program's own list is compared with this line by its tests.
 */
const HIDDEN = /[\p{Cc}\p{Co}\p{Z}\p{Default_Ignorable_Code_Point}\u2800\ufff9-\ufffb\u{13430}-\u{1343f}]/u;

export function isVisible(code: number): boolean {
  if (code < 0x7f) return code >= 0x20;
  return !HIDDEN.test(String.fromCodePoint(code));
}

const SHORT: ReadonlyMap<number, string> = new Map([
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0d, "\\r"],
]);

/** Returns the sign for a character that is not visible itself, as the decoder's own summaries write it. */
function markOf(code: number): string {
  return SHORT.get(code) ?? `\\u{${code.toString(16)}}`;
}

/** As many characters as decide whether a joiner is text: a flag and its tags. */
const CONTEXT = 8;

/** Returns the characters from `at` on. */
function charactersAt(bytes: Uint8Array, at: number): string {
  let text = "";
  for (let count = 0; count < CONTEXT && at < bytes.length; count += 1) {
    const character = characterAt(bytes, at);
    if (character === undefined) break;
    text += String.fromCodePoint(character.code);
    at += character.length;
  }
  return text;
}

export function visible(bytes: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  let run = "";
  let runStart = 0;
  let before = "";
  const flush = (end: number) => {
    if (run !== "") pieces.push({ text: run, mark: false, start: runStart, end, breaks: false });
    run = "";
  };
  for (let at = 0; at < bytes.length;) {
    const character = characterAt(bytes, at);
    const next = at + (character?.length ?? 1);
    const shown =
      character !== undefined &&
      (isVisible(character.code) || isJoining(before, character.code, () => charactersAt(bytes, next)));
    if (shown) {
      if (run === "") runStart = at;
      run += String.fromCodePoint(character.code);
    } else {
      flush(at);
      pieces.push({
        text: character === undefined ? `\\x${hexByte(bytes[at])}` : markOf(character.code),
        mark: true,
        start: at,
        end: next,
        breaks: character?.code === 0x0a,
      });
    }
    before = character === undefined ? "" : before + String.fromCodePoint(character.code);
    if (before.length > 16 * CONTEXT) before = before.slice(-2 * CONTEXT);
    at = next;
  }
  flush(bytes.length);
  return pieces;
}

const encoder = new TextEncoder();

/** Does the same for text that is a string already. */
export function visibleString(text: string): Piece[] {
  return visible(encoder.encode(text));
}

/** Returns it as plain text, for places that hold nothing else, such as a note in the list. */
export function visibleText(text: string): string {
  return visibleString(text)
    .map((piece) => piece.text)
    .join("");
}
