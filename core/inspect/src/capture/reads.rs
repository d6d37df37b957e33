//! The reads that brought a row.

use std::collections::VecDeque;

/// The start of a read in a row that several reads brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReadMark {
    pub(crate) offset: u32,
    pub(crate) time: f64,
}

/// The reads that a piece lies in.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// A read begins at its first byte.
    pub(super) begins: bool,
    /// A read ends with its last byte.
    pub(super) ends: bool,
    /// The start of each of its reads, unless the only one is the one that completed it.
    pub(super) marks: Vec<ReadMark>,
}

/// Returns the reads that the bytes from `start` to before `end` lie in; drops the reads that end before.
pub(super) fn reads_of(reads: &mut VecDeque<(u64, f64)>, received: u64, start: u64, end: u64, time: f64) -> Reads {
    while reads.get(1).is_some_and(|(next, _)| *next <= start) {
        reads.pop_front();
    }
    let Some((first, first_time)) = reads.front().copied() else { return Reads::default() };
    let mut of_piece = Reads { begins: first == start, ends: end == received, marks: Vec::new() };
    let offset = |position: u64| u32::try_from(position - start).unwrap_or(u32::MAX);
    let begins = reads.iter().skip(1).take_while(|(begin, _)| *begin <= end);
    let mut later = Vec::new();
    for (begin, at) in begins {
        if *begin == end {
            of_piece.ends = true;
        } else {
            later.push(ReadMark { offset: offset(*begin), time: *at });
        }
    }
    if !later.is_empty() || first_time.to_bits() != time.to_bits() {
        of_piece.marks.push(ReadMark { offset: 0, time: first_time });
        of_piece.marks.append(&mut later);
    }
    of_piece
}
