//! Escaping of untrusted text for display.

mod joining;
mod tables;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

/// Escapes control characters, line and paragraph separators, and characters that hide or reorder the text around
/// them: as `\n`, `\r` and `\t`, and all others like `\u{202e}`.
///
/// Zero-width joiners are kept where they are part of the text: between letters of scripts that need them, after a
/// virama, and inside emoji sequences. So are the selectors and tags of emoji.
///
/// The result stays on one line, has no terminal escape sequences, and shows characters in the order in which they are
/// stored. It is for display only and cannot be reversed, because backslashes are not escaped.
///
/// ```
/// use chanwire_inspect::visible;
///
/// assert_eq!(visible("ok\u{1b}[2J\u{202e}\r\n"), r"ok\u{1b}[2J\u{202e}\r\n");
/// assert_eq!(visible("naïve 👩\u{200d}💻 می\u{200c}خواهم"), "naïve 👩\u{200d}💻 می\u{200c}خواهم");
/// assert_eq!(visible("pay\u{200d}pal"), r"pay\u{200d}pal");
/// ```
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Escapes a text like [`visible`], but keeps tabs and all blanks except line breaks. For chat messages.
///
/// ```
/// use chanwire_inspect::readable;
///
/// assert_eq!(readable("日\u{3000}本\u{202e}"), "日\u{3000}本\\u{202e}");
/// assert_eq!(readable("name\tport\n"), "name\tport\\n");
/// ```
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    escape(text, is_blank)
}

/// Returns whether [`visible`] keeps the character at this byte position.
#[must_use]
pub fn is_shown(text: &str, at: usize) -> bool {
    let Some((before, char, after)) = text.split_at_checked(at).and_then(|(before, rest)| {
        let char = rest.chars().next()?;
        Some((before, char, rest.get(char.len_utf8()..)?))
    }) else {
        return false;
    };
    !is_hidden(char) || joining::is_text(before, char, after)
}

/// Escapes the hidden characters of a text, except those for which `keep` is true.
fn escape(text: &str, keep: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaper = Escaper { keep, ..Escaper::new(usize::MAX) };
    // Without a limit this cannot fail.
    let _ = fmt::Write::write_str(&mut escaper, text);
    Cow::Owned(escaper.finish())
}

/// Formats a text, escapes it and truncates it after `limit` characters, without formatting the rest.
pub(crate) fn one_line(limit: usize, shown: fmt::Arguments<'_>) -> String {
    let mut escaper = Escaper::new(limit);
    // An error only means that the limit was reached.
    let _ = fmt::Write::write_fmt(&mut escaper, shown);
    escaper.finish()
}

/// A writer that escapes hidden characters, up to a limit of characters.
struct Escaper {
    text: String,
    /// The hidden characters that are kept everywhere.
    keep: fn(char) -> bool,
    /// Characters that may still be written.
    remaining: usize,
    truncated: bool,
}

impl Escaper {
    fn new(limit: usize) -> Self {
        Self { text: String::new(), keep: |_| false, remaining: limit, truncated: false }
    }

    fn finish(mut self) -> String {
        if self.truncated {
            // A joiner or selector at the end belongs to a character that was truncated.
            let kept = self.text.trim_end_matches(is_hidden).len();
            self.text.truncate(kept);
            self.text.push('…');
        }
        self.text
    }
}

impl fmt::Write for Escaper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, char) in text.char_indices() {
            if self.remaining == 0 {
                self.truncated = true;
                return Err(fmt::Error);
            }
            self.remaining -= 1;
            if !is_hidden(char) {
                self.text.push(char);
                continue;
            }
            let (before, rest) = text.split_at(at);
            let after = rest.get(char.len_utf8()..).unwrap_or_default();
            match char {
                shown if (self.keep)(shown) || joining::is_text(before, shown, after) => self.text.push(shown),
                '\n' => self.text.push_str(r"\n"),
                '\r' => self.text.push_str(r"\r"),
                '\t' => self.text.push_str(r"\t"),
                hidden => self.text.extend(hidden.escape_unicode()),
            }
        }
        Ok(())
    }
}

/// Returns whether a character is invisible, ambiguous, or affects the display of others: controls, separators, blanks
/// other than the space, private-use characters, and default ignorable ones (direction marks, joiners, variation
/// selectors, fillers). The page has the same list; a test compares them.
pub(crate) fn is_hidden(char: char) -> bool {
    // Fast path for ASCII.
    if matches!(char, ' '..='~') {
        return false;
    }
    let code = u32::from(char);
    let index = HIDDEN.partition_point(|&(_, last)| last < code);
    HIDDEN.get(index).is_some_and(|&(first, _)| first <= code)
}

/// The ranges of hidden characters by Unicode 17, ascending, each with its first and last code point.
const HIDDEN: [(u32, u32); 26] = [
    (0x0, 0x1f),
    (0x7f, 0xa0),
    (0xad, 0xad),
    (0x34f, 0x34f),
    (0x61c, 0x61c),
    (0x115f, 0x1160),
    (0x1680, 0x1680),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xe000, 0xf8ff),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffb),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe0fff),
    (0xf0000, 0xffffd),
    (0x10_0000, 0x10_fffd),
];

/// Returns whether a character is a tab, or a blank that is no line break.
fn is_blank(char: char) -> bool {
    char == '\t' || char.is_whitespace() && !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}')
}
