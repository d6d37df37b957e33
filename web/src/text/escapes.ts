/** Raw bytes as text that a person can type: `\r \n \t \xNN \\`, everything else as UTF-8. */

import { hexByte } from "./format";
import { characterAt } from "./utf8";
import { isVisible } from "./visible";

export type Parsed =
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  /** `at` counts UTF-16 units of the text, as a textarea's selection does. */
  | { readonly error: string; readonly at: number };

const SHORT: Readonly<Record<string, number>> = { r: 0x0d, n: 0x0a, t: 0x09, "\\": 0x5c };
const encoder = new TextEncoder();

/**
 * Returns the bytes of the text. Line breaks of the text itself are layout and give no bytes: which of LF and CR LF
 * is meant matters too much here to be guessed.
 */
export function parseEscapes(text: string): Parsed {
  const out: number[] = [];
  for (let at = 0; at < text.length;) {
    const unit = text[at];
    if (unit === "\n" || unit === "\r") {
      at += 1;
    } else if (unit === "\\") {
      const next = text[at + 1];
      if (next === undefined) return { error: "A \\ must be followed by r, n, t, x or \\", at };
      if (next === "x") {
        const digits = text.slice(at + 2, at + 4);
        if (!/^[0-9a-fA-F]{2}$/.test(digits)) return { error: "\\x needs two hexadecimal digits", at };
        out.push(parseInt(digits, 16));
        at += 4;
      } else if (Object.hasOwn(SHORT, next)) {
        out.push(SHORT[next]);
        at += 2;
      } else {
        return { error: `\\${next} is no escape; use \\r \\n \\t \\xNN or \\\\`, at };
      }
    } else {
      const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
      if (/\p{Cs}/u.test(character)) return { error: "Half a surrogate pair has no bytes", at };
      out.push(...encoder.encode(character));
      at += character.length;
    }
  }
  return { bytes: Uint8Array.from(out) };
}

/** Returns the text that `parseEscapes` turns into exactly these bytes. */
export function formatEscapes(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const character = characterAt(bytes, at);
    const short = Object.keys(SHORT).find((key) => SHORT[key] === bytes[at]);
    if (short !== undefined) {
      text += `\\${short}`;
      at += 1;
    } else if (character !== undefined && isVisible(character.code)) {
      text += String.fromCodePoint(character.code);
      at += character.length;
    } else {
      text += `\\x${hexByte(bytes[at])}`;
      at += 1;
    }
  }
  return text;
}

/** Returns the same text with a line break after each CR LF, to be read by a person. */
export function formatLines(bytes: Uint8Array): string {
  return formatEscapes(bytes).replaceAll("\\r\\n", "\\r\\n\n").replace(/\n$/, "");
}
