//! A prefilter: rows of a chunk that the bytes alone rule out.
//!
//! Only bytes that must occur may be searched for. A text need not occur as it is spelled, since its characters may be
//! escaped, and a number may be spelled in many ways: a row that is lost here is lost for good.

use memchr::memmem::Finder;

use super::expr::{Expr, Field, Needle, Operator, Test, Value};
use crate::capture::{Chunk, Escapes};

/// Bytes in every row that a filter matches, unless the filter must look at the row anyway.
#[derive(Clone, Debug)]
pub(crate) struct Required {
    finder: Finder<'static>,
    /// Rows with these may have it escaped.
    unless: Escapes,
    /// Notes are texts without bytes.
    unless_note: bool,
}

impl Required {
    /// Returns the requirement of an expression; of several the longest.
    pub(super) fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::And(parts) => parts.iter().filter_map(Self::of).max_by_key(|required| required.finder.needle().len()),
            // Neither alternatives nor negations are requirements.
            Expr::Or(_) | Expr::Not(_) => None,
            Expr::Test(test) => Self::of_test(test),
        }
    }

    fn of_test(test: &Test) -> Option<Self> {
        let required = match test {
            Test::Contains(Field::Bytes, needle) => {
                Self { finder: needle.finder().clone(), unless: Escapes::None, unless_note: false }
            }
            Test::Contains(Field::Text, needle) => Self::text(needle, true)?,
            Test::Contains(Field::Json(_), needle) => Self::text(needle, false)?,
            Test::Compare(Field::Json(_), Operator::Equal, Value::Text(text)) => {
                Self::text(&Needle::text(text), false)?
            }
            Test::Compare(Field::Bytes, Operator::Equal, Value::Bytes(bytes)) => {
                Self { finder: Needle::bytes(bytes).finder().clone(), unless: Escapes::None, unless_note: false }
            }
            _ => return None,
        };
        // Empty bytes are no requirement.
        (!required.finder.needle().is_empty()).then_some(required)
    }

    fn text(needle: &Needle, unless_note: bool) -> Option<Self> {
        // It stands for bytes that are no UTF-8, and those are spelled differently.
        let replaced = needle.get().windows(3).any(|window| window == "\u{fffd}".as_bytes());
        // Only these have an escape that is not their number.
        let short = needle.get().iter().any(|byte| matches!(byte, b'"' | b'\\' | b'/' | 8 | 9 | 10 | 12 | 13));
        let unless = if short { Escapes::Any } else { Escapes::Coded };
        (!replaced).then(|| Self { finder: needle.finder().clone(), unless, unless_note })
    }
}

/// The places of a chunk's rows that the filter must look at, ascending.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    chunk: &'a Chunk,
    required: &'a Required,
    /// The offset at which the search goes on.
    offset: usize,
    /// The place of the next row that has the bytes.
    hit: Option<usize>,
    place: usize,
    end: usize,
}

impl<'a> Candidates<'a> {
    /// Returns the candidates from one place to before another.
    pub(crate) fn new(chunk: &'a Chunk, required: &'a Required, place: usize, end: usize) -> Self {
        let offset = chunk.range(place).start;
        let mut candidates = Self { chunk, required, offset, hit: None, place, end: end.min(chunk.len()) };
        candidates.search();
        candidates
    }

    /// Looks for the next row that has all of the bytes.
    fn search(&mut self) {
        self.hit = None;
        let length = self.required.finder.needle().len();
        // Not beyond the last row in question.
        let last = self.chunk.range(self.end.saturating_sub(1)).end;
        while let Some(found) =
            self.chunk.all_bytes().get(self.offset..last).and_then(|rest| self.required.finder.find(rest))
        {
            let at = self.offset + found;
            let place = self.chunk.place_of(at);
            let row = self.chunk.range(place);
            if at + length <= row.end {
                self.offset = row.end;
                self.hit = Some(place);
                return;
            }
            // It reaches into the next row.
            self.offset = at + 1;
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let limit = self.hit.unwrap_or(self.end);
        let Required { unless, unless_note, .. } = *self.required;
        let between = if unless == Escapes::None && !unless_note {
            None
        } else {
            self.chunk.next_special(self.place, limit, unless, unless_note)
        };
        match (between, self.hit) {
            (Some(place), _) => {
                self.place = place + 1;
                Some(place)
            }
            (None, Some(place)) => {
                self.place = place + 1;
                self.search();
                Some(place)
            }
            (None, None) => {
                self.place = self.end;
                None
            }
        }
    }
}
