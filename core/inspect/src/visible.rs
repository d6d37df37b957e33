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

/// As [`visible`], for what people write to each other: the two joiners, without which neither many scripts nor many
/// emoji are whole, stay as they are between characters that they can join.
///
/// ```
/// use chanwire_inspect::readable;
///
/// assert_eq!(readable("👩\u{200d}👧 می\u{200c}خواهم\u{202e}"), "👩\u{200d}👧 می\u{200c}خواهم\\u{202e}");
/// assert_eq!(readable("pay\u{200d}pal \u{200d}"), r"pay\u{200d}pal \u{200d}");
/// ```
#[must_use]
pub fn readable(text: &str) -> Cow<'_, str> {
    let part = |from, to| text.get(from..to).unwrap_or_default();
    let (mut shown, mut begin) = (String::new(), 0);
    for (at, joiner) in text.match_indices(['\u{200c}', '\u{200d}']) {
        let end = at + joiner.len();
        let neighbours = [part(0, at).chars().next_back(), part(end, text.len()).chars().next()];
        if neighbours.into_iter().all(|neighbour| neighbour.is_some_and(is_joined)) {
            shown += &visible(part(begin, at));
            shown += joiner;
            begin = end;
        }
    }
    if begin == 0 {
        return visible(text);
    }
    Cow::Owned(shown + &visible(part(begin, text.len())))
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

/// Whether a character is a control, a separator of lines, or one that reorders text or takes no room in it.
pub(crate) fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            // Soft hyphen, Arabic letter mark, Hangul and Mongolian fillers.
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}'
            // Zero-width characters and directional marks.
            | '\u{200b}'..='\u{200f}'
            // Line and paragraph separators, embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, isolates, deprecated formats.
            | '\u{2060}'..='\u{206f}'
            // Zero-width no-break space, interlinear annotations.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Tags, which spell ASCII that nobody sees.
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether a joiner beside this character has a meaning.
fn is_joined(char: char) -> bool {
    !char.is_ascii() && !char.is_whitespace() && !is_hidden(char)
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
        for same in ["👩\u{200d}👩\u{200d}👧", "❤\u{fe0f}\u{200d}🔥", "می\u{200c}خواهم", "plain"] {
            assert_eq!(readable(same), same);
        }
        for (text, shown) in [
            ("a\u{200d}b", r"a\u{200d}b"),
            ("é\u{200d}", r"é\u{200d}"),
            ("\u{200c}é", r"\u{200c}é"),
            ("é\u{200d}\u{200d}é", r"é\u{200d}\u{200d}é"),
            ("é\u{200d}\u{202e}é", r"é\u{200d}\u{202e}é"),
            ("é\u{200d} é", r"é\u{200d} é"),
            ("é\u{200b}é\u{200d}é\u{1b}[2J", "é\\u{200b}é\u{200d}é\\u{1b}[2J"),
        ] {
            assert_eq!(readable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_hides_is_written_out_and_what_shows_stays() {
        for hidden in
            "\0\u{1b}\u{7f}\u{85}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                       \u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}"
                .chars()
        {
            let code = format!("\\u{{{:x}}}", u32::from(hidden));
            assert_eq!(visible(&format!("a{hidden}b")), format!("a{code}b"));
        }
        let shown = "a b\u{a0}é\u{301}日本\u{fe0f}\\ \u{2010}\u{2027}\u{202f}\u{205f}";
        assert!(matches!(visible(shown), Cow::Borrowed(same) if same == shown));
    }
}
