/** Bytes as pairs of hexadecimal digits, as a person types them. */

import type { Parsed } from "./escapes";
import { hexByte } from "./format";

/** Parses bytes. White space and commas between them are layout; `0x` may stand before one. */
export function parseHex(text: string): Parsed {
  const out: number[] = [];
  const pattern = /[\s,]+|0x(?=[0-9a-fA-F]{2})|([0-9a-fA-F]{2})/y;
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const found = pattern.exec(text);
    if (found === null) {
      const lone = /^[0-9a-fA-F]/.test(text.slice(at));
      return {
        error: lone ? "A byte is two hexadecimal digits" : `'${text[at]}' is no hexadecimal digit`,
        at,
      };
    }
    if (found[1] !== undefined) out.push(parseInt(found[1], 16));
  }
  return { bytes: Uint8Array.from(out) };
}

/** Returns the text that `parseHex` turns into exactly these bytes: 16 in a line. */
export function formatHex(bytes: Uint8Array): string {
  let text = "";
  bytes.forEach((byte, at) => {
    text += at === 0 ? hexByte(byte) : `${at % 16 === 0 ? "\n" : " "}${hexByte(byte)}`;
  });
  return text;
}
