//! A row that is held, as it is asked about.

use std::borrow::Cow;

use chanwire_core::wire::{Command, Status};

use super::{
    chunk::{Cells, Chunk, Extra, SOME_ERROR},
    flags::Flags,
    reads::ReadMark,
    words::{SkipReason, Word},
};
use crate::{Direction, Fault, Listing, Row, RowKind, listing::plain_row, summary};

/// One row of a [`Capture`](crate::Capture).
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    errors: &'a [String],
    chunk: &'a Chunk,
    place: usize,
    cells: Cells,
    flags: Flags,
}

/// The part of a read, or of a write, that lies in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadPart {
    /// Where it starts and ends, counted from the row's first byte.
    pub start: usize,
    /// See `start`.
    pub end: usize,
    /// When it came, in milliseconds from the capture's origin.
    pub time: f64,
    /// It began in this row.
    pub begins: bool,
    /// It ended in this row.
    pub ends: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn new(errors: &'a [String], chunk: &'a Chunk, place: usize) -> Option<Self> {
        let cells = chunk.cells(place)?;
        Some(Self { errors, chunk, place, cells, flags: Flags::of(cells.flags) })
    }

    /// Its number, from 1 over all connections.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.chunk.first() + self.place as u64
    }

    /// Its connection.
    #[must_use]
    pub const fn connection(&self) -> u32 {
        self.cells.connection
    }

    /// Which way its bytes went; of a note it means nothing.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.flags.direction()
    }

    /// What it stands for.
    #[must_use]
    pub const fn kind(&self) -> RowKind {
        self.flags.kind()
    }

    /// Whether it is a message that the server pushed.
    #[must_use]
    pub const fn is_push(&self) -> bool {
        self.flags.is_push()
    }

    /// Whether something is wrong: a decoder's fault, an error answer, a note of a failure, or missing traffic.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        self.flags.bad()
    }

    /// When it was complete, in milliseconds from the capture's first event; where that is [not
    /// known](Self::is_timed), the time of the row before it.
    #[must_use]
    pub const fn time(&self) -> f64 {
        self.cells.time
    }

    /// Whether it is known when it was complete.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        self.flags.is_timed()
    }

    /// The milliseconds since the row before it was complete, of whatever connection.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        self.chunk.time_before(self.place).filter(|_| self.is_timed()).map(|before| self.time() - before)
    }

    /// For an answer, the milliseconds since its request was complete.
    #[must_use]
    pub fn rtt(&self) -> Option<f64> {
        (!self.cells.rtt.is_nan()).then_some(self.cells.rtt)
    }

    /// The number of the request that it answers, or of its answer. That row may no longer be held.
    #[must_use]
    pub fn pair(&self) -> Option<u64> {
        let distance = u64::from(self.cells.pair);
        let number = self.number();
        let is_answer = self.direction() == Direction::In;
        (distance > 0).then(|| if is_answer { number.saturating_sub(distance) } else { number + distance })
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.chunk.range(self.place).len()
    }

    /// Its bytes; none of a note or a gap.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.chunk.bytes(self.place)
    }

    /// Whether a backslash is among its bytes: without one, they mean what they spell.
    pub(crate) const fn has_escapes(&self) -> bool {
        self.flags.has_escapes()
    }

    /// The command of a request or a push, and of an answer the one that it is known to answer.
    #[must_use]
    pub fn command(&self) -> Option<Command> {
        match self.word() {
            Word::Command(command) => Some(command),
            Word::Status(Status::Push) => Some(Command::Message),
            Word::Status(_) => self.flags.asked(),
            Word::Skipped(_) | Word::Other => None,
        }
    }

    /// The status of an answer.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self.word() {
            Word::Status(status) if status != Status::Push => Some(status),
            _ => None,
        }
    }

    fn word(&self) -> Word {
        Word::of_code(self.cells.head)
    }

    /// Its command or status; of a fault as far as it is known, of skipped bytes why they are, of a note what it is
    /// about. Safe to show.
    #[must_use]
    pub fn head(&self) -> &'a str {
        match (self.word().text(), self.extra()) {
            (Some(text), _) => text,
            (None, Some(Extra::Fault { head, .. } | Extra::Note { head, .. })) => head,
            (None, None) => "",
        }
    }

    /// It is the note that its connection is over: after it nothing of it is expected.
    pub(crate) fn is_closed(&self) -> bool {
        self.kind() == RowKind::Note && self.head() == super::CLOSED
    }

    /// What a note or a gap says.
    #[must_use]
    pub fn note(&self) -> Option<&'a str> {
        match self.extra()? {
            Extra::Note { text, .. } => Some(text),
            Extra::Fault { .. } => None,
        }
    }

    /// The protocol's name of what is wrong: of the fault, or of the error that an answer is. Safe to show.
    #[must_use]
    pub fn error(&self) -> Option<Cow<'a, str>> {
        match self.cells.error {
            0 => None,
            SOME_ERROR => self.describe().error.map(Cow::Owned),
            code => self.errors.get(usize::from(code) - 1).map(|name| Cow::Borrowed(name.as_str())),
        }
    }

    fn extra(&self) -> Option<&'a Extra> {
        if self.flags.has_extra() { self.chunk.extra(self.place) } else { None }
    }

    /// The reads that brought it.
    #[must_use]
    pub fn reads(&self) -> Vec<ReadPart> {
        let length = self.length();
        if length == 0 {
            return Vec::new();
        }
        let alone = [ReadMark { offset: 0, time: self.time() }];
        let marks = self.chunk.reads(self.place).unwrap_or(&alone);
        let ends = marks.iter().skip(1).map(|mark| mark.offset as usize).chain([length]);
        let last = marks.len() - 1;
        let parts = marks.iter().zip(ends).enumerate().map(|(index, (mark, end))| ReadPart {
            start: mark.offset as usize,
            end,
            time: mark.time,
            begins: index > 0 || self.flags.begins(),
            ends: index < last || self.flags.ends(),
        });
        parts.collect()
    }

    /// Whether a read begins at its first byte, whether one ends with its last, and where each begins in it and when it
    /// came, unless one brought it at the row's own time.
    pub(crate) fn read_marks(&self) -> (bool, bool, &'a [ReadMark]) {
        let marks = self.chunk.reads(self.place).unwrap_or_default();
        (self.flags.begins(), self.flags.ends(), marks)
    }

    /// Where its first byte stands, from where its connection counts.
    pub(super) fn offset(&self) -> u64 {
        self.cells.start.into()
    }

    /// All that is to be said about it. Positions count from its own first byte: see
    /// [`Capture::describe`](crate::Capture::describe).
    #[must_use]
    pub fn describe(&self) -> Row {
        self.row(true)
    }

    /// One line that says what it is about, safe to show.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.note() {
            Some(text) => text.into(),
            None => self.row(false).summary,
        }
    }

    pub(crate) fn row(&self, with_fields: bool) -> Row {
        let row = match self.kind() {
            RowKind::Frame => {
                let mut listing = Listing::new(self.direction(), Some(usize::MAX));
                if !with_fields {
                    listing = listing.without_fields();
                }
                listing.feed(self.bytes());
                listing.next_row_asked(self.flags.asked())
            }
            _ => None,
        };
        let row = row.unwrap_or_else(|| {
            let span = chanwire_core::Span::new(0, self.length() as u64);
            plain_row(self.kind(), self.direction(), span, self.head().into(), self.plain_summary())
        });
        let fault = row.fault.or_else(|| self.fault().cloned());
        Row { fault, pair: self.pair(), rtt: self.rtt(), ..row }
    }

    /// The decoder's fault, if it is no frame.
    fn fault(&self) -> Option<&'a Fault> {
        self.extra()?.fault()
    }

    fn plain_summary(&self) -> String {
        let length = self.length() as u64;
        match (self.extra(), self.word()) {
            (Some(Extra::Fault { fault, .. }), _) => summary::of_fault(fault),
            (Some(Extra::Note { text, .. }), _) => text.clone(),
            (None, Word::Skipped(why)) => match why {
                SkipReason::WhiteSpace => summary::of_white_space(length),
                SkipReason::Object => summary::of_object(length),
                SkipReason::Discarded => summary::of_discarded(length),
                SkipReason::Cut => summary::of_cut(length),
                SkipReason::Unaligned => summary::of_unaligned(length),
            },
            (None, _) => String::new(),
        }
    }
}
