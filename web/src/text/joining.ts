/** Joiners and selectors that are part of the spelling of the characters around them. */

/** Scripts that need joiners. The program has the same ones; its tests compare them, and the viramas, with these lines. */
const SCRIPTS =
  "Adlm Arab Bali Beng Deva Gujr Guru Java Khmr Knda Mand Mlym Mong Mymr Nkoo Orya Rohg Sinh Syrc Taml Telu".split(
    " ",
  );

/** Signs that join the consonants before and after them. */
const VIRAMA = /[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca]/u;

/** Letters and marks of one of the scripts before, and after. */
const BETWEEN = SCRIPTS.map((script) => {
  const letter = `(?=[\\p{L}\\p{M}])\\p{scx=${script}}`;
  return [new RegExp(`${letter}$`, "u"), new RegExp(`^${letter}`, "u")] as const;
});

const AFTER_VIRAMA = new RegExp(`${VIRAMA.source}$`, "u");

/** An emoji that can be part of a sequence: no digit, half of a flag or skin tone. */
const EMOJI = "(?![0-9#*]|\\p{Regional_Indicator}|\\p{Emoji_Modifier})\\p{Emoji}";
const LAST_EMOJI = new RegExp(`${EMOJI}$`, "u");
const FIRST_EMOJI = new RegExp(`^${EMOJI}`, "u");

/** An element of an emoji sequence (UTS #51), which may have a selector or a skin tone. */
const ELEMENT = new RegExp(`${EMOJI}(?:\\ufe0f|\\p{Emoji_Modifier})?$`, "u");

/** The tags of the flags of England, Scotland and Wales. */
const FLAG =
  /^\u{1f3f4}\u{e0067}\u{e0062}(?:\u{e0065}\u{e006e}\u{e0067}|\u{e0073}\u{e0063}\u{e0074}|\u{e0077}\u{e006c}\u{e0073})\u{e007f}$/u;

function joinsLetters(before: string, after: string): boolean {
  if (AFTER_VIRAMA.test(before) && !/^[\u200c\u200d]/.test(after)) return true;
  return BETWEEN.some(([last, first]) => last.test(before) && first.test(after));
}

function joinsEmoji(before: string, after: string): boolean {
  return ELEMENT.test(before) && FIRST_EMOJI.test(after);
}

/**
 * Returns whether a hidden character between these texts is text: a joiner between letters of a script that needs it,
 * after a virama, or inside an emoji sequence; a selector that belongs to an emoji; the tags of a flag.
 */
export function isJoining(before: string, code: number, following: () => string): boolean {
  if (code === 0x200c) return joinsLetters(before, following());
  if (code === 0x200d) {
    const after = following();
    return joinsLetters(before, after) || joinsEmoji(before, after);
  }
  if (code === 0xfe0e || code === 0xfe0f) {
    if (/[0-9#*]$/.test(before)) return code === 0xfe0f && following().startsWith("\u20e3");
    return LAST_EMOJI.test(before);
  }
  if (code >= 0xe0020 && code <= 0xe007f) {
    const earlier = /.?[\u{e0020}-\u{e007f}]{0,6}$/u.exec(before)?.[0] ?? "";
    const later = /^[\u{e0020}-\u{e007f}]{0,6}/u.exec(following())?.[0] ?? "";
    return FLAG.test(earlier + String.fromCodePoint(code) + later);
  }
  return false;
}
