//! Breaking of painted lines into rows.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

const TAB: usize = 8;

/// The sequence that ends colours.
const PLAIN: &str = "\u{1b}[0m";

/// A piece of a painted line.
enum Piece<'a> {
    /// A sequence that sets or ends a colour.
    Colour(&'a str),
    /// A grapheme, which is seen as one character.
    Character(&'a str),
}

/// Returns the pieces of a painted line.
fn pieces(line: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let is_colour = rest.starts_with('\u{1b}');
        let length =
            if is_colour { rest.find('m').map_or(rest.len(), |at| at + 1) } else { rest.graphemes(true).next()?.len() };
        let (piece, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(if is_colour { Piece::Colour(piece) } else { Piece::Character(piece) })
    })
}

/// Breaks a painted line into rows of at most so many columns. Each row ends its colours.
pub(super) fn wrap(line: &str, columns: usize) -> Vec<String> {
    let (mut rows, mut row, mut width, mut colour) = (Vec::new(), String::new(), 0, "");
    for piece in pieces(line) {
        match piece {
            Piece::Colour(sequence) => {
                row += sequence;
                colour = if sequence == PLAIN { "" } else { sequence };
            }
            Piece::Character(text) => {
                // A tab goes to the end of the row at most.
                let least = if text == "\t" { 1 } else { text.width() };
                if width > 0 && width + least > columns {
                    row += if colour.is_empty() { "" } else { PLAIN };
                    rows.push(std::mem::replace(&mut row, colour.into()));
                    width = 0;
                }
                if text == "\t" {
                    let blanks = (TAB - width % TAB).min(columns.saturating_sub(width)).max(1);
                    row.extend(std::iter::repeat_n(' ', blanks));
                    width += blanks;
                } else {
                    row += text;
                    width += least;
                }
            }
        }
    }
    rows.push(row);
    rows
}

/// Removes the colours of a row.
pub(super) fn plain(row: &str) -> String {
    let texts = pieces(row).filter_map(|piece| match piece {
        Piece::Colour(_) => None,
        Piece::Character(text) => Some(text),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_break_between_characters_and_keep_their_colours() {
        for (line, columns, rows) in [
            ("", 4, &[""][..]),
            ("abcd", 4, &["abcd"]),
            ("abcde", 4, &["abcd", "e"]),
            ("a世界b", 4, &["a世", "界b"]),
            ("ab世界", 3, &["ab", "世", "界"]),
            ("e\u{301}e\u{301}", 1, &["e\u{301}", "e\u{301}"]),
            ("世", 1, &["世"]),
            ("a\tb", 20, &["a       b"]),
            ("\tb", 4, &["    ", "b"]),
            ("\u{1b}[1mabc\u{1b}[0mde", 2, &["\u{1b}[1mab\u{1b}[0m", "\u{1b}[1mc\u{1b}[0md", "e"]),
        ] {
            assert_eq!(wrap(line, columns), rows, "{line:?} {columns}");
        }
    }

    #[test]
    fn no_row_is_too_wide_and_no_text_is_lost() {
        let texts = ["a", "世", "e\u{301}", " ", "👩\u{200d}💻", "\u{1b}[1m", "\u{1b}[0m", "ß"];
        let mut random = 7_u64;
        for _ in 0..2000 {
            let mut line = String::new();
            for _ in 0..40 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                line += texts.get(usize::try_from((random >> 33) % 8).unwrap()).unwrap();
            }
            for columns in [2, 3, 7, 100] {
                let rows = wrap(&line, columns);
                assert!(rows.iter().all(|row| plain(row).width() <= columns), "{line:?} {columns}");
                assert_eq!(rows.iter().map(|row| plain(row)).collect::<String>(), plain(&line));
            }
        }
    }
}
