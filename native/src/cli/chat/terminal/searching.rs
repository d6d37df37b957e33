//! Search through the lines that were typed before.

use std::mem;

use chanwire_inspect::readable;

use super::line::{History, Line};

/// The longest text that is looked for, in bytes.
const MAX_PATTERN: usize = 128;

/// An open search. The line that is found takes the place of the one that was being typed.
#[derive(Debug)]
pub(super) struct Searching {
    pattern: String,
    /// The number of the line that was found, counted from the last.
    found: Option<usize>,
    /// Whether no line has the pattern.
    fails: bool,
    typed: Line,
}

impl Searching {
    /// Begins a search for nothing so far.
    pub(super) fn begin(line: &mut Line) -> Self {
        Self { pattern: String::new(), found: None, fails: false, typed: mem::take(line) }
    }

    /// Returns the prompt of the line.
    pub(super) fn prompt(&self) -> String {
        let fails = if self.fails { "no match" } else { "search" };
        format!("({fails}: {}) ", readable(&self.pattern))
    }

    /// Looks for a longer text, from the line that was found on.
    pub(super) fn push(&mut self, char: char, history: &History, line: &mut Line) {
        if self.pattern.len() + char.len_utf8() <= MAX_PATTERN {
            self.pattern.push(char);
            self.find(self.found.unwrap_or(0), history, line);
        }
    }

    /// Looks for a shorter text, from the last line on.
    pub(super) fn pop(&mut self, history: &History, line: &mut Line) {
        self.pattern.pop();
        self.found = None;
        drop(line.take());
        if !self.pattern.is_empty() {
            self.find(0, history, line);
        }
        self.fails &= !self.pattern.is_empty();
    }

    /// Looks for an earlier line.
    pub(super) fn again(&mut self, history: &History, line: &mut Line) {
        if !self.pattern.is_empty() {
            self.find(self.found.map_or(0, |found| found + 1), history, line);
        }
    }

    fn find(&mut self, later: usize, history: &History, line: &mut Line) {
        let found = history.find(&self.pattern, later);
        self.fails = found.is_none();
        if let Some((number, text)) = found {
            self.found = Some(number);
            line.set(text.into());
        }
    }

    /// Returns whether a line was found, which is then shown.
    pub(super) const fn has_found(&self) -> bool {
        self.found.is_some()
    }

    /// Ends the search: the line that was found stays, or else the one that was being typed comes back.
    pub(super) fn accept(self, line: &mut Line) {
        if self.found.is_none() {
            *line = self.typed;
        }
    }

    /// Ends the search, and the line that was being typed comes back.
    pub(super) fn cancel(self, line: &mut Line) {
        *line = self.typed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        ["one apple", "two Apples", "three pears", "two apples again"].iter().for_each(|line| history.add(line));
        history
    }

    fn typed() -> Line {
        let mut line = Line::default();
        line.set("half".into());
        line
    }

    #[test]
    fn the_last_line_with_the_text_is_found_and_then_earlier_ones() {
        let (history, mut line) = (history(), typed());
        let mut search = Searching::begin(&mut line);
        assert!(line.is_empty());
        "apple".chars().for_each(|char| search.push(char, &history, &mut line));
        assert_eq!((line.text(), &*search.prompt()), ("two apples again", "(search: apple) "));
        for text in ["two Apples", "one apple"] {
            search.again(&history, &mut line);
            assert_eq!(line.text(), text);
        }
        search.again(&history, &mut line);
        assert_eq!((line.text(), &*search.prompt()), ("one apple", "(no match: apple) "));
        search.pop(&history, &mut line);
        assert_eq!((line.text(), &*search.prompt()), ("two apples again", "(search: appl) "));
        search.accept(&mut line);
        assert_eq!(line.text(), "two apples again");
    }

    #[test]
    fn a_search_that_finds_nothing_or_is_given_up_leaves_what_was_typed() {
        let (history, mut line) = (history(), typed());
        let mut search = Searching::begin(&mut line);
        search.again(&history, &mut line);
        search.pop(&history, &mut line);
        search.push('x', &history, &mut line);
        assert_eq!(search.prompt(), "(no match: x) ");
        search.accept(&mut line);
        assert_eq!(line.text(), "half");
        let mut search = Searching::begin(&mut line);
        search.push('p', &history, &mut line);
        assert_eq!(line.text(), "two apples again");
        search.cancel(&mut line);
        assert_eq!(line.text(), "half");
        let mut search = Searching::begin(&mut line);
        (0..1000).for_each(|_| search.push('é', &history, &mut line));
        assert!(search.pattern.len() <= MAX_PATTERN);
    }
}
