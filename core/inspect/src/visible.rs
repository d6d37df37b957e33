//! What a peer said, made safe to show.

use std::{borrow::Cow, fmt};

/// A text in which nothing is hidden and nothing acts: controls, line and paragraph separators, and characters that
/// reorder or hide what stands around them are written out, `\n` `\r` `\t` and else `\u{202e}`.
///
/// So it stays on its line, cannot steer a terminal, and reads the way it is stored. It is for eyes: a backslash that
/// the peer wrote stays one, and the text cannot be taken back from it.
///
/// ```
/// use chanwire_inspect::visible;
///
/// assert_eq!(visible("ok\u{1b}[2J\u{202e}\r\n"), r"ok\u{1b}[2J\u{202e}\r\n");
/// assert_eq!(visible("naïve 😀"), "naïve 😀");
/// ```
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut line = Line::new(usize::MAX);
    // Without a limit a line takes everything.
    let _ = fmt::Write::write_str(&mut line, text);
    Cow::Owned(line.finish())
}

/// As [`visible`], for what people write to each other: blanks stay, and so do the characters without which neither
/// many scripts nor many emoji are whole, where they have a meaning: the two joiners between what they can join, and a
/// variation selector after what it can vary.
///
/// ```
/// use chanwire_inspect::readable;
///
/// assert_eq!(readable("👩\u{200d}👧 می\u{200c}خواهم\u{202e}"), "👩\u{200d}👧 می\u{200c}خواهم\\u{202e}");
/// assert_eq!(readable("pay\u{200d}pal \u{200d}"), r"pay\u{200d}pal \u{200d}");
/// ```
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut begin, mut before) = (String::new(), 0, None);
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let stays = match char {
            '\u{200c}' | '\u{200d}' => {
                before.is_some_and(is_joined) && chars.peek().is_some_and(|(_, after)| is_joined(*after))
            }
            '\u{fe00}'..='\u{fe0f}' => before.is_some_and(is_varied),
            blank => is_blank(blank),
        };
        if stays && is_hidden(char) {
            let end = at + char.len_utf8();
            shown += &visible(text.get(begin..at).unwrap_or_default());
            shown.push(char);
            begin = end;
        }
        before = Some(char);
    }
    Cow::Owned(shown + &visible(text.get(begin..).unwrap_or_default()))
}

/// What is shown, made visible and cut after about `limit` characters. What is beyond the cut is never looked at.
pub(crate) fn one_line(limit: usize, shown: fmt::Arguments<'_>) -> String {
    let mut line = Line::new(limit);
    // The one error there is says that the line is full.
    let _ = fmt::Write::write_fmt(&mut line, shown);
    line.finish()
}

/// A line that is being written.
struct Line {
    text: String,
    room: usize,
    full: bool,
}

impl Line {
    fn new(room: usize) -> Self {
        Self { text: String::new(), room, full: false }
    }

    fn finish(mut self) -> String {
        if self.full {
            self.text.push('…');
        }
        self.text
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.room == 0 {
                self.full = true;
                return Err(fmt::Error);
            }
            match char {
                '\n' => self.text.push_str(r"\n"),
                '\r' => self.text.push_str(r"\r"),
                '\t' => self.text.push_str(r"\t"),
                hidden if is_hidden(hidden) => self.text.extend(hidden.escape_unicode()),
                plain => self.text.push(plain),
            }
            self.room -= 1;
        }
        Ok(())
    }
}

/// Whether a character is not seen, reads as another, or changes how others are read: controls, separators and every
/// blank but the space, private characters, and what is ignorable by default, which are the marks of direction, joiners,
/// selectors and fillers. The page's own list is the same one; a test compares them.
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

/// A blank that ends no line.
fn is_blank(char: char) -> bool {
    char.is_whitespace() && !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}')
}

/// Whether a joiner beside this character has a meaning.
fn is_joined(char: char) -> bool {
    matches!(char, '\u{fe00}'..='\u{fe0f}') || (!char.is_ascii() && !char.is_whitespace() && !is_hidden(char))
}

/// Whether a variation selector after this character has a meaning: also after those of the keys of a telephone.
fn is_varied(char: char) -> bool {
    matches!(char, '0'..='9' | '#' | '*') || (!char.is_ascii() && !char.is_whitespace() && !is_hidden(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_after_its_limit_and_says_so() {
        assert_eq!(one_line(3, format_args!("{}{}", "ab", "c")), "abc");
        assert_eq!(one_line(3, format_args!("{}{}", "ab", "cd")), "abc…");
        assert_eq!(one_line(2, format_args!("\n\u{7f}x")), r"\n\u{7f}…");
        assert_eq!(one_line(0, format_args!("")), "");
    }

    #[test]
    fn joiners_stay_where_they_join_and_nothing_else_that_hides_does() {
        for same in [
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥",
            "می\u{200c}خواهم",
            "plain",
            "1\u{fe0f}\u{20e3}",
            "日\u{3000}本\u{a0}!",
        ] {
            assert_eq!(readable(same), same);
        }
        for (text, shown) in [
            ("a\u{200d}b", r"a\u{200d}b"),
            ("é\u{200d}", r"é\u{200d}"),
            ("\u{200c}é", r"\u{200c}é"),
            ("é\u{200d}\u{200d}é", r"é\u{200d}\u{200d}é"),
            ("é\u{200d}\u{202e}é", r"é\u{200d}\u{202e}é"),
            ("é\u{200d} é", r"é\u{200d} é"),
            ("a\u{fe0f}", r"a\u{fe0f}"),
            ("é\u{fe0f}\u{fe0f}", "é\u{fe0f}\\u{fe0f}"),
            ("\u{2028}é\u{e0100}", r"\u{2028}é\u{e0100}"),
            ("é\u{200b}é\u{200d}é\u{1b}[2J", "é\\u{200b}é\u{200d}é\\u{1b}[2J"),
        ] {
            assert_eq!(readable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_hides_is_written_out_and_what_shows_stays() {
        for hidden in
            "\0\u{1b}\u{7f}\u{85}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                       \u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}\u{34f}\u{180b}\u{17b4}\u{fe0f}\u{e0100}\u{e01ef}\u{a0}\u{3000}\u{e000}\u{2800}"
                .chars()
        {
            let code = format!("\\u{{{:x}}}", u32::from(hidden));
            assert_eq!(visible(&format!("a{hidden}b")), format!("a{code}b"));
        }
        let shown = "a bé\u{301}日本\\ \u{2010}\u{2027}\u{fffd}\u{600}\u{378}";
        assert!(matches!(visible(shown), Cow::Borrowed(same) if same == shown));
    }

    /// What the page marks as hidden, as its source says it.
    fn of_the_page() -> regex::Regex {
        let source = include_str!("../../../web/src/text/visible.ts");
        let class = source.split("const HIDDEN = /").nth(1).and_then(|rest| rest.split("/u;").next()).unwrap();
        regex::Regex::new(class).unwrap()
    }

    #[test]
    fn the_same_characters_hide_in_the_page_and_by_unicode() {
        let page = of_the_page();
        let unicode = regex::Regex::new(
            r"^[\p{Cc}\p{Co}\p{Z}\p{Default_Ignorable_Code_Point}\u{2800}\u{fff9}-\u{fffb}\u{13430}-\u{1343f}]$",
        )
        .unwrap();
        let mut buffer = [0; 4];
        for char in ('\0'..=char::MAX).filter(|char| *char != ' ') {
            let text: &str = char.encode_utf8(&mut buffer);
            assert_eq!(is_hidden(char), unicode.is_match(text), "{char:?}");
            assert_eq!(is_hidden(char), page.is_match(text), "{char:?}");
        }
        assert!(!is_hidden(' '));
    }
}
