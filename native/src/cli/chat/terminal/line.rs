//! The line that is being typed, and those that were typed before.

use std::{collections::VecDeque, mem};

use unicode_segmentation::GraphemeCursor;

/// The most bytes of a line: as many as a message can have.
pub(super) const MAX_LINE: usize = 65_536;

/// Lines that are remembered at most, and their bytes.
const REMEMBERED: usize = 1000;
const REMEMBERED_BYTES: usize = 1 << 20;

/// A line with a cursor, which is between two grapheme clusters.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    cursor: usize,
}

impl Line {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the byte position of the cursor.
    pub(super) const fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the text and leaves nothing.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        mem::take(&mut self.text)
    }

    pub(super) fn set(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
    }

    /// Inserts a text at the cursor, if the line has room for it.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        if self.text.len() + text.len() > MAX_LINE {
            return false;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        self.snap();
        true
    }

    /// Replaces this many bytes before the cursor, if the line has room for the text.
    pub(super) fn replace_before(&mut self, length: usize, text: &str) -> bool {
        let start = self.cursor.saturating_sub(length);
        if self.text.len() - (self.cursor - start) + text.len() > MAX_LINE || !self.text.is_char_boundary(start) {
            return false;
        }
        self.remove_from(start);
        self.insert(text)
    }

    pub(super) fn backspace(&mut self) {
        self.remove_from(self.previous());
    }

    pub(super) fn delete(&mut self) {
        let end = self.next();
        self.text.replace_range(self.cursor..end, "");
        self.snap();
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.previous();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.next();
    }

    pub(super) fn word_left(&mut self) {
        self.cursor = self.word_before();
        if !self.is_between() {
            self.cursor = self.previous();
        }
    }

    pub(super) fn word_right(&mut self) {
        let after = self.after();
        let begin = after.find(|char: char| !char.is_whitespace()).unwrap_or(after.len());
        let word = after.get(begin..).unwrap_or_default();
        self.cursor += begin + word.find(char::is_whitespace).unwrap_or(word.len());
        self.snap();
    }

    /// Moves to the start of the row.
    pub(super) fn home(&mut self) {
        self.cursor = self.row_start();
    }

    /// Moves to the end of the row.
    pub(super) fn end(&mut self) {
        self.cursor = self.row_end();
    }

    /// Removes the word before the cursor.
    pub(super) fn kill_word(&mut self) {
        self.remove_from(self.word_before());
    }

    /// Removes the row up to the cursor.
    pub(super) fn kill_to_start(&mut self) {
        self.remove_from(self.row_start());
    }

    /// Removes the rest of the row.
    pub(super) fn kill_to_end(&mut self) {
        let end = self.row_end();
        self.text.replace_range(self.cursor..end, "");
        self.snap();
    }

    /// Returns the text before the cursor.
    pub(super) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// Returns the text after the cursor.
    pub(super) fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    fn row_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |at| at + 1)
    }

    fn row_end(&self) -> usize {
        self.after().find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    fn previous(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn next(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    fn word_before(&self) -> usize {
        let word = self.before().trim_end();
        let start = word.char_indices().rev().find(|(_, char)| char.is_whitespace());
        start.map_or(0, |(at, blank)| at + blank.len_utf8())
    }

    fn remove_from(&mut self, start: usize) {
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
        self.snap();
    }

    /// Puts the cursor between clusters again, after a change made one of two.
    fn snap(&mut self) {
        if !self.is_between() {
            self.cursor = self.next();
        }
    }

    /// Returns whether the cursor is between two clusters.
    fn is_between(&self) -> bool {
        GraphemeCursor::new(self.cursor, self.text.len(), true).is_boundary(&self.text, 0).unwrap_or(true)
    }
}

/// The lines that were typed before, the last one at the end.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    bytes: usize,
    /// Which one is shown, counted from the last, and what was being typed.
    shown: Option<(usize, String)>,
}

impl History {
    pub(super) fn add(&mut self, line: &str) {
        self.shown = None;
        if line.is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.into());
        while self.lines.len() > REMEMBERED || self.bytes > REMEMBERED_BYTES {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    pub(super) fn up(&mut self, line: &mut Line) {
        let back = self.shown.as_ref().map_or(0, |(back, _)| back + 1);
        let Some(earlier) = self.lines.iter().rev().nth(back) else { return };
        let typed = self.shown.take().map_or_else(|| line.take(), |(_, typed)| typed);
        self.shown = Some((back, typed));
        line.set(earlier.clone());
    }

    /// Returns the last line that contains a text, in any case of the letters A to Z, among those before the last
    /// `later` ones, and its number from the last.
    pub(super) fn find(&self, text: &str, later: usize) -> Option<(usize, &str)> {
        let text = text.to_ascii_lowercase();
        let mut lines = self.lines.iter().rev().enumerate().skip(later);
        lines.find(|(_, line)| line.to_ascii_lowercase().contains(&text)).map(|(back, line)| (back, line.as_str()))
    }

    pub(super) fn down(&mut self, line: &mut Line) {
        match self.shown.take() {
            None => {}
            Some((0, typed)) => line.set(typed),
            Some((back, typed)) => {
                if let Some(later) = self.lines.iter().rev().nth(back - 1) {
                    line.set(later.clone());
                }
                self.shown = Some((back - 1, typed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use unicode_segmentation::UnicodeSegmentation as _;

    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        assert!(line.insert(text));
        line
    }

    #[test]
    fn the_cursor_moves_by_what_is_seen_as_one_character() {
        let mut typed = line("a👩\u{200d}💻e\u{301}世");
        let mut places = vec![typed.cursor()];
        while typed.cursor() > 0 {
            typed.left();
            places.push(typed.cursor());
        }
        assert_eq!(places, [18, 15, 12, 1, 0]);
        typed.right();
        typed.delete();
        assert_eq!(typed.text(), "ae\u{301}世");
        typed.end();
        typed.backspace();
        typed.backspace();
        assert_eq!((typed.text(), typed.cursor()), ("a", 1));
    }

    #[test]
    fn words_and_rows_are_removed_whole_also_wide_ones() {
        let mut typed = line("one 世界 二三");
        typed.kill_word();
        assert_eq!((typed.text(), typed.cursor()), ("one 世界 ", 11));
        typed.kill_word();
        assert_eq!(typed.text(), "one ");
        let mut rows = line("first\nsecond row");
        rows.word_left();
        rows.kill_to_start();
        assert_eq!((rows.text(), rows.cursor()), ("first\nrow", 6));
        rows.kill_to_end();
        rows.home();
        rows.left();
        rows.home();
        rows.word_right();
        assert_eq!((rows.text(), rows.cursor()), ("first\n", 5));
    }

    #[test]
    fn any_keys_leave_the_cursor_between_two_clusters() {
        let texts = ["a", " ", "世", "\u{301}", "\u{200d}", "👩", "\n", "🇩", "क\u{94d}", "\u{200c}"];
        let mut random = 7_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let mut typed = Line::default();
        for _ in 0..20_000 {
            match next(16) {
                0 => typed.left(),
                1 => typed.right(),
                2 => typed.backspace(),
                3 => typed.delete(),
                4 => typed.word_left(),
                5 => typed.word_right(),
                6 => typed.home(),
                7 => typed.end(),
                8 if next(4) == 0 => typed.kill_word(),
                9 if next(8) == 0 => typed.kill_to_start(),
                10 if next(8) == 0 => typed.kill_to_end(),
                _ => assert!(typed.insert(texts.get(usize::try_from(next(10)).unwrap()).unwrap())),
            }
            let boundary = |at: usize| {
                at == typed.text().len() || typed.text().grapheme_indices(true).any(|(start, _)| start == at)
            };
            assert!(boundary(typed.cursor()), "{:?} at {}", typed.text(), typed.cursor());
        }
    }

    #[test]
    fn a_line_has_room_for_a_message_and_no_more() {
        let mut typed = line(&"a".repeat(MAX_LINE));
        assert!(!typed.insert("b"));
        assert_eq!(typed.text().len(), MAX_LINE);
    }

    #[test]
    fn earlier_lines_come_back_and_so_does_the_one_being_typed() {
        let (mut history, mut typed) = (History::default(), Line::default());
        history.up(&mut typed);
        assert!(typed.is_empty());
        ["one", "two", "two", ""].iter().for_each(|line| history.add(line));
        typed.set("half".into());
        history.up(&mut typed);
        assert_eq!(typed.text(), "two");
        history.up(&mut typed);
        history.up(&mut typed);
        assert_eq!(typed.text(), "one");
        history.down(&mut typed);
        assert_eq!(typed.text(), "two");
        history.down(&mut typed);
        history.down(&mut typed);
        assert_eq!(typed.text(), "half");
        (0..2000).for_each(|number| history.add(&number.to_string().repeat(1000)));
        assert!(history.lines.len() <= REMEMBERED && history.bytes <= REMEMBERED_BYTES);
    }
}
