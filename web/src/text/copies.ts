/** A frame as text for somewhere else: what goes onto the clipboard. */

import type { Frame } from "../decode/messages";
import { formatEscapes } from "./escapes";
import { hexByte } from "./format";
import { isVisible } from "./visible";

const LINE = 16;

/** Returns offsets, bytes and their letters, as `hexdump -C` prints them. */
export function asHex(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += LINE) {
    const part = Array.from(bytes.subarray(at, at + LINE));
    const hex = part.map((byte, i) => (i === 8 ? ` ${hexByte(byte)}` : hexByte(byte))).join(" ");
    const letters = part
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."))
      .join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex.padEnd(3 * LINE)}  |${letters}|`);
  }
  return lines.join("\n");
}

/** Returns them with escapes that Compose reads back. */
export function asText(bytes: Uint8Array): string {
  return formatEscapes(bytes);
}

/** Returns the payload as on the wire, with invisible characters escaped; undefined where there is none. */
export function asJson({ bytes, detail }: Frame): string | undefined {
  if (detail?.payload === undefined) return undefined;
  const text = new TextDecoder().decode(bytes.subarray(detail.payload.start, detail.payload.end));
  let json = "";
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const layout = code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
    json += layout || isVisible(code) ? character : escaped(character);
  }
  return json;
}

function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");
}

/** Returns a line for a POSIX shell that says the same bytes to a server, or shows what a server said. */
export function asCommandLine({ row, bytes }: Frame, address: string): string {
  let format = "";
  for (const byte of bytes) {
    if (byte === 0x0d) format += "\\r";
    else if (byte === 0x0a) format += "\\n";
    else if (byte === 0x25) format += "%%";
    // A digit after an octal escape of three digits is a digit.
    else if (byte < 0x20 || byte >= 0x7f || byte === 0x27 || byte === 0x5c) {
      format += `\\${byte.toString(8).padStart(3, "0")}`;
    } else format += String.fromCharCode(byte);
  }
  if (row.direction === "in") return `printf '${format}' | chanwire decode --direction responses`;
  const found = /^(tls:\/\/)?(\[?([0-9A-Za-z.:-]+?)\]?):(\d+)$/.exec(address);
  const [, tls, place, host, port] = found ?? ["", undefined, "HOST", "HOST", "PORT"];
  const program =
    tls === undefined ? `nc -N ${host} ${port}` : `openssl s_client -quiet -connect ${place}:${port}`;
  return `printf '${format}' | ${program}`;
}
