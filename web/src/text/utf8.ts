/** UTF-8, one character at a time, with the positions that `TextDecoder` does not tell. */

/** Returns the character at `at`, or undefined where the byte there begins none (RFC 3629). */
export function characterAt(
  bytes: Uint8Array,
  at: number,
): { readonly code: number; readonly length: number } | undefined {
  const lead = bytes[at];
  if (lead < 0x80) return { code: lead, length: 1 };
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || at + length > bytes.length) return undefined;
  let code = lead & (0xff >> (length + 1));
  for (let i = 1; i < length; i += 1) {
    const next = bytes[at + i];
    if ((next & 0xc0) !== 0x80) return undefined;
    code = (code << 6) | (next & 0x3f);
  }
  const shortest = length === 2 ? 0x80 : length === 3 ? 0x800 : 0x10000;
  if (code < shortest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined;
  return { code, length };
}
