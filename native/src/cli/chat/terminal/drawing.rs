//! Drawing: the output above the input line, and the input line itself.

use std::fmt::Write as _;

use super::layout::Layout;

/// The part of a line that is on the screen.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// The widths of its rows up to the cursor's.
    widths: Vec<usize>,
    /// The column of the cursor.
    column: usize,
}

impl Drawn {
    pub(super) fn is_nothing(&self) -> bool {
        self.widths.is_empty()
    }

    /// Returns control sequences that erase it on a terminal of this many columns.
    ///
    /// A terminal that has become narrower has broken rows that no longer fit.
    pub(super) fn erase(&mut self, columns: usize) -> String {
        let mut out = String::from("\r");
        let above = match self.widths.split_last() {
            None => 0,
            Some((_, above)) => {
                let broken = |width: &usize| width.div_ceil(columns).max(1);
                above.iter().map(broken).sum::<usize>() + self.column.saturating_sub(1) / columns
            }
        };
        if above > 0 {
            let _ = write!(out, "\u{1b}[{above}A");
        }
        *self = Self::default();
        out + "\u{1b}[J"
    }

    /// Returns text and control sequences that draw it at the cursor, which is at the start of an empty row.
    pub(super) fn draw(&mut self, layout: &Layout) -> String {
        let mut out = String::new();
        for (index, row) in layout.rows.iter().enumerate() {
            out += if index > 0 { "\r\n" } else { "" };
            out += &row.text;
        }
        let up = layout.rows.len() - 1 - layout.cursor_row;
        if up > 0 {
            let _ = write!(out, "\u{1b}[{up}A");
        }
        out.push('\r');
        let before = layout.before_cursor();
        // Written again, so that the cursor is where the terminal, with its own idea of widths, has put this text.
        out += before;
        self.column = unicode_width::UnicodeWidthStr::width(before);
        self.widths = layout.rows.iter().take(layout.cursor_row + 1).map(|row| row.width).collect();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, columns: usize) -> Drawn {
        let mut drawn = Drawn::default();
        drawn.draw(&Layout::new("> ", text, text.len(), columns));
        drawn
    }

    #[test]
    fn all_rows_of_a_line_are_erased() {
        assert_eq!(Drawn::default().erase(80), "\r\u{1b}[J");
        assert_eq!(drawn("short", 80).erase(80), "\r\u{1b}[J");
        assert_eq!(drawn(&"a".repeat(130), 60).erase(60), "\r\u{1b}[2A\u{1b}[J");
        // 58 and two: the row is full and the cursor below it.
        assert_eq!(drawn(&"a".repeat(58), 60).erase(60), "\r\u{1b}[1A\u{1b}[J");
        // Rows of 60, 60 and 12 columns on a terminal that has 30 now.
        assert_eq!(drawn(&"a".repeat(130), 60).erase(30), "\r\u{1b}[4A\u{1b}[J");
    }

    #[test]
    fn the_cursor_is_put_after_what_stands_before_it() {
        let mut drawn = Drawn::default();
        let out = drawn.draw(&Layout::new("> ", "世界\nb", 3, 80));
        assert_eq!(out, "> 世界\r\n  b\u{1b}[1A\r> 世");
        assert_eq!(drawn.erase(80), "\r\u{1b}[J");
    }
}
