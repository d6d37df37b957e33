//! Layout of the input line on the rows of a terminal.

use chanwire_inspect::is_shown;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

const TAB: usize = 8;

/// The rows of a line, each no wider than the terminal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) rows: Vec<Row>,
    /// The row that the cursor is in.
    pub(super) cursor_row: usize,
    /// The length of the text before the cursor in its row, in bytes.
    pub(super) cursor_at: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    /// In columns.
    pub(super) width: usize,
}

impl Layout {
    /// Lays out a prompt and a text with its cursor, a byte position, on rows of this many columns, at least 1.
    ///
    /// Hidden characters are written out, a tab is blanks up to a multiple of eight columns, and a line break begins a
    /// row that is indented by the prompt's width.
    pub(super) fn new(prompt: &str, text: &str, cursor: usize, columns: usize) -> Self {
        let indent = prompt.width();
        let (prompt, indent) = if indent < columns { (prompt, indent) } else { ("", 0) };
        let mut layout = Self { rows: vec![Row { text: prompt.into(), width: indent }], cursor_row: 0, cursor_at: 0 };
        let mut placed = false;
        for (start, cluster) in text.grapheme_indices(true) {
            if start >= cursor && !placed {
                placed = true;
                // The cursor stands where its character does, also where that begins a row.
                let first = cluster.chars().next().filter(|first| *first != '\n' && *first != '\r');
                layout.make_room(first.and_then(char::width).unwrap_or(1), columns);
                layout.place_cursor();
            }
            match cluster {
                "\n" | "\r\n" => layout.rows.push(Row { text: " ".repeat(indent), width: indent }),
                "\t" => {
                    layout.make_room(1, columns);
                    let column = layout.last().width;
                    let blanks = (TAB - column % TAB).min(columns - column);
                    layout.push(&" ".repeat(blanks), blanks, columns);
                }
                _ if (start..start + cluster.len()).all(|at| !text.is_char_boundary(at) || is_shown(text, at)) => {
                    layout.push(cluster, cluster.width(), columns);
                }
                _ => {
                    for (at, char) in cluster.char_indices() {
                        if is_shown(text, start + at) {
                            layout.push(char.encode_utf8(&mut [0; 4]), char.width().unwrap_or(0), columns);
                        } else {
                            for char in char.escape_unicode() {
                                layout.push(char.encode_utf8(&mut [0; 4]), 1, columns);
                            }
                        }
                    }
                }
            }
        }
        if !placed {
            layout.make_room(1, columns);
            layout.place_cursor();
        }
        layout
    }

    /// Keeps as many rows as there is height for, the cursor's among them.
    pub(super) fn window(mut self, height: usize) -> Self {
        let height = height.max(1);
        if self.rows.len() > height {
            let first = (self.cursor_row + 1).saturating_sub(height).min(self.rows.len() - height);
            self.rows.drain(..first);
            self.rows.truncate(height);
            self.cursor_row -= first;
        }
        self
    }

    /// Returns the text before the cursor in its row.
    pub(super) fn before_cursor(&self) -> &str {
        let row = self.rows.get(self.cursor_row);
        row.and_then(|row| row.text.get(..self.cursor_at)).unwrap_or_default()
    }

    /// Puts a row above the others.
    pub(super) fn under(mut self, top: Option<String>) -> Self {
        if let Some(text) = top {
            let width = text.width();
            self.rows.insert(0, Row { text, width });
            self.cursor_row += 1;
        }
        self
    }

    fn last(&mut self) -> &mut Row {
        if self.rows.is_empty() {
            self.rows.push(Row::default());
        }
        let last = self.rows.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there is a row")]
        &mut self.rows[last]
    }

    /// Begins a new row if this number of columns does not fit into the current one.
    fn make_room(&mut self, width: usize, columns: usize) {
        let row = self.last();
        if row.width > 0 && row.width + width > columns {
            self.rows.push(Row::default());
        }
    }

    fn push(&mut self, text: &str, width: usize, columns: usize) {
        self.make_room(width, columns);
        let row = self.last();
        row.text += text;
        row.width += width;
    }

    fn place_cursor(&mut self) {
        self.cursor_at = self.last().text.len();
        self.cursor_row = self.rows.len() - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rows, with `|` for the cursor.
    fn rows(prompt: &str, text: &str, cursor: usize, columns: usize) -> Vec<String> {
        let layout = Layout::new(prompt, text, cursor, columns);
        let mut rows: Vec<String> = layout.rows.into_iter().map(|row| row.text).collect();
        rows[layout.cursor_row].insert(layout.cursor_at, '|');
        rows
    }

    #[test]
    fn a_text_wraps_at_the_terminals_width() {
        assert_eq!(rows("> ", "", 0, 80), ["> |"]);
        assert_eq!(rows("> ", "abcd", 4, 8), ["> abcd|"]);
        assert_eq!(rows("> ", "abcdef", 6, 8), ["> abcdef", "|"]);
        assert_eq!(rows("> ", "abcdef", 5, 8), ["> abcde|f"]);
        assert_eq!(rows("> ", "abcdefg", 6, 8), ["> abcdef", "|g"]);
        assert_eq!(rows("> ", "abcdefghijklmno", 0, 8), ["> |abcdef", "ghijklmn", "o"]);
    }

    #[test]
    fn wide_and_composed_characters_have_their_width() {
        assert_eq!(rows("> ", "世界世界", 12, 7), ["> 世界", "世界|"]);
        assert_eq!(rows("> ", "世界世界", 6, 7), ["> 世界", "|世界"]);
        for (text, width) in [
            ("e\u{301}", 1),
            ("👩\u{200d}💻", 2),
            ("👍🏽", 2),
            ("🇩🇪", 2),
            ("می\u{200c}خ", 3),
            ("가", 2),
            ("❤\u{fe0f}", 2),
        ] {
            let layout = Layout::new("", text, text.len(), 80);
            assert_eq!((layout.rows[0].width, &*layout.rows[0].text), (width, text));
        }
    }

    #[test]
    fn tabs_breaks_and_hidden_characters_are_seen() {
        assert_eq!(rows("> ", "a\tb", 3, 80), ["> a     b|"]);
        assert_eq!(rows("> ", "a\nb\n", 4, 80), ["> a", "  b", "  |"]);
        assert_eq!(rows("> ", "a\nb", 1, 80), ["> a|", "  b"]);
        assert_eq!(rows("> ", "\u{1b}[2J\u{202e}x", 1, 80), [r"> \u{1b}|[2J\u{202e}x"]);
        assert_eq!(rows("> ", "a\u{200d}b", 1 + 3, 80), [r"> a\u{200d}|b"]);
    }

    #[test]
    fn any_width_and_height_have_a_cursor_and_no_row_too_wide() {
        let text = "世a\tb👩\u{200d}💻\u{1b}e\u{301}\n\u{202e}क\u{94d}ष end";
        let cursors: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
        for columns in 1..30 {
            for &cursor in &cursors {
                for height in 0..6 {
                    let layout = Layout::new("> ", text, cursor, columns).window(height);
                    assert!(layout.rows.len() <= height.max(1) || height > layout.rows.len());
                    let row = &layout.rows[layout.cursor_row];
                    assert!(row.text.is_char_boundary(layout.cursor_at));
                    // A character that is wider than the terminal has a row of its own.
                    assert!(layout.rows.iter().all(|row| row.width <= columns.max(2)), "{columns}");
                }
            }
        }
    }
}
