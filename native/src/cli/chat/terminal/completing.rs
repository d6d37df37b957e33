//! Completion of the line by one candidate after the other.

use super::line::Line;
use crate::cli::chat::completion::Completion;

/// A completion that further keys may change.
#[derive(Debug)]
pub(super) struct Completing {
    /// The candidates, and at last the text that was typed.
    candidates: Vec<String>,
    /// The one in the line.
    shown: usize,
}

impl Completing {
    /// Puts the first candidate into the line. Without one, the tab that asked for it goes there.
    pub(super) fn begin(line: &mut Line, completion: Completion) -> Option<Self> {
        let Completion { replaced, mut candidates } = completion;
        if candidates.is_empty() {
            line.insert("\t");
            return None;
        }
        let before = line.before();
        candidates.push(before.get(before.len().saturating_sub(replaced)..).unwrap_or_default().into());
        let mut completing = Self { shown: candidates.len() - 1, candidates };
        completing.next(line);
        Some(completing)
    }

    /// Puts the next candidate in place of the one in the line.
    pub(super) fn next(&mut self, line: &mut Line) {
        let next = (self.shown + 1) % self.candidates.len();
        if let (Some(shown), Some(text)) = (self.candidates.get(self.shown), self.candidates.get(next))
            && line.replace_before(shown.len(), text)
        {
            self.shown = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(replaced: usize, candidates: &[&str]) -> Completion {
        Completion { replaced, candidates: candidates.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn candidates_come_one_after_the_other_and_at_last_what_was_typed() {
        let mut line = Line::default();
        line.insert("hi an there");
        (0.." there".len()).for_each(|_| line.left());
        let mut completing = Completing::begin(&mut line, completion(2, &["Anna ", "ann "])).unwrap();
        for text in ["hi Anna  there", "hi ann  there", "hi an there", "hi Anna  there"] {
            assert_eq!(line.text(), text);
            assert_eq!(line.after().len(), " there".len());
            completing.next(&mut line);
        }
    }

    #[test]
    fn a_tab_that_completes_nothing_is_a_tab() {
        let mut line = Line::default();
        line.insert("x");
        assert!(Completing::begin(&mut line, completion(1, &[])).is_none());
        assert_eq!(line.text(), "x\t");
    }

    #[test]
    fn a_full_line_keeps_what_was_typed() {
        let mut line = Line::default();
        line.set("a".repeat(super::super::line::MAX_LINE));
        let mut completing = Completing::begin(&mut line, completion(1, &["ann: "])).unwrap();
        completing.next(&mut line);
        assert_eq!(line.text(), "a".repeat(super::super::line::MAX_LINE));
    }
}
