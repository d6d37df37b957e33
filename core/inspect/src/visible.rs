//! Text of a peer, made safe to show.

mod joining;
mod tables;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

/// Returns a text in which nothing is hidden and nothing acts: controls, line and paragraph separators, and characters
/// that reorder or hide what stands around them are written out, `\n` `\r` `\t` and else `\u{202e}`.
///
/// The zero-width joiners stay where they are text: between letters of scripts that need them, after a virama, and
/// inside emoji sequences, as do the selectors and tags of emoji.
///
/// So it stays on its line, cannot steer a terminal, and reads the way it is stored. It is for eyes: a backslash that
/// the peer wrote stays one, and the text cannot be taken back from it.
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
    written_out(text, |_| false)
}

/// Does as [`visible`] for messages of people: tabs and all blanks that end no line stay.
///
/// ```
/// use chanwire_inspect::readable;
///
/// assert_eq!(readable("日\u{3000}本\u{202e}"), "日\u{3000}本\\u{202e}");
/// assert_eq!(readable("name\tport\n"), "name\tport\\n");
/// ```
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    written_out(text, is_blank)
}

/// Returns whether [`visible`] leaves the character at this byte position of the text as it is.
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

/// Returns the text with its hidden characters written out, but for those that stay.
fn written_out(text: &str, stays: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut line = Line { stays, ..Line::new(usize::MAX) };
    // Without a limit a line takes everything.
    let _ = fmt::Write::write_str(&mut line, text);
    Cow::Owned(line.finish())
}

/// Formats a text, makes it visible and cuts it after about `limit` characters. The rest is never looked at.
pub(crate) fn one_line(limit: usize, shown: fmt::Arguments<'_>) -> String {
    let mut line = Line::new(limit);
    // The one error there is says that the line is full.
    let _ = fmt::Write::write_fmt(&mut line, shown);
    line.finish()
}

/// A line that is being written.
struct Line {
    text: String,
    /// Which hidden characters stay as they are wherever they stand.
    stays: fn(char) -> bool,
    room: usize,
    full: bool,
}

impl Line {
    fn new(room: usize) -> Self {
        Self { text: String::new(), stays: |_| false, room, full: false }
    }

    fn finish(mut self) -> String {
        if self.full {
            // A joiner or selector at the end belonged to a character that is cut off.
            let kept = self.text.trim_end_matches(is_hidden).len();
            self.text.truncate(kept);
            self.text.push('…');
        }
        self.text
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (at, char) in text.char_indices() {
            if self.room == 0 {
                self.full = true;
                return Err(fmt::Error);
            }
            self.room -= 1;
            if !is_hidden(char) {
                self.text.push(char);
                continue;
            }
            let (before, rest) = text.split_at(at);
            let after = rest.get(char.len_utf8()..).unwrap_or_default();
            match char {
                shown if (self.stays)(shown) || joining::is_text(before, shown, after) => self.text.push(shown),
                '\n' => self.text.push_str(r"\n"),
                '\r' => self.text.push_str(r"\r"),
                '\t' => self.text.push_str(r"\t"),
                hidden => self.text.extend(hidden.escape_unicode()),
            }
        }
        Ok(())
    }
}

/// Returns whether a character is not seen, reads as another, or changes how others are read: controls, separators and
/// every blank but the space, private characters, and default ignorable ones, which are the marks of direction,
/// joiners, selectors and fillers. The page's own list is the same one; a test compares them.
pub(crate) fn is_hidden(char: char) -> bool {
    // Most texts are nothing else.
    if matches!(char, ' '..='~') {
        return false;
    }
    let code = u32::from(char);
    let place = HIDDEN.partition_point(|&(_, last)| last < code);
    HIDDEN.get(place).is_some_and(|&(first, _)| first <= code)
}

/// First and last of each run, ascending, by Unicode 17.
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

/// Returns whether it is a tab, or a blank that ends no line.
fn is_blank(char: char) -> bool {
    char == '\t' || char.is_whitespace() && !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}')
}
