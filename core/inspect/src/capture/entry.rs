//! A row that is held.

use std::borrow::Cow;

use chanwire_core::wire::{Command, Status};

use super::{
    chunk::{Cells, Chunk, Extra, SOME_ERROR},
    flags::Flags,
    reads::ReadMark,
    words::{SkipReason, Word},
};
use crate::{Direction, Ending, Fault, Listing, Row, RowKind, listing::plain_row, secret, summary};

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
    /// Its start, counted from the row's first byte.
    pub start: usize,
    /// See `start`.
    pub end: usize,
    /// Its time, in milliseconds since the capture's first event.
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

    /// Returns its number, from 1 over all connections.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.chunk.first() + self.place as u64
    }

    /// Returns its connection.
    #[must_use]
    pub const fn connection(&self) -> u32 {
        self.cells.connection
    }

    /// Returns the direction of its bytes; of a note it means nothing.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.flags.direction()
    }

    /// Returns the kind of the row.
    #[must_use]
    pub const fn kind(&self) -> RowKind {
        self.flags.kind()
    }

    /// Returns whether it came unasked: a message that the server pushed, or a notice.
    #[must_use]
    pub const fn is_push(&self) -> bool {
        self.flags.is_push()
    }

    /// Returns whether it is a decoder's fault, an error answer, a note of a failure, or missing traffic.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        self.flags.bad()
    }

    /// Returns the time at which it was complete, in milliseconds since the capture's first event; where that is [not
    /// known](Self::is_timed), the time of the row before it.
    #[must_use]
    pub const fn time(&self) -> f64 {
        self.cells.time
    }

    /// Returns whether its time is known.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        self.flags.is_timed()
    }

    /// Returns the milliseconds since the row before it was complete, of any connection.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        self.chunk.time_before(self.place).filter(|_| self.is_timed()).map(|before| self.time() - before)
    }

    /// Returns the round trip of an answer: the milliseconds since its request was complete.
    #[must_use]
    pub fn rtt(&self) -> Option<f64> {
        (!self.cells.rtt.is_nan()).then_some(self.cells.rtt)
    }

    /// Returns the number of the request that it answers, or of its answer. That row may no longer be held.
    #[must_use]
    pub fn pair(&self) -> Option<u64> {
        let distance = u64::from(self.cells.pair);
        let number = self.number();
        let is_answer = self.direction() == Direction::In;
        (distance > 0).then(|| if is_answer { number.saturating_sub(distance) } else { number + distance })
    }

    /// Returns the number of its bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.chunk.range(self.place).len()
    }

    /// Returns its bytes; none of a note or a gap.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.chunk.bytes(self.place)
    }

    /// Returns its bytes with the passwords and tokens of AUTH masked. They are as many, and what is JSON stays JSON.
    #[must_use]
    pub fn masked_bytes(&self) -> Cow<'a, [u8]> {
        let bytes = self.bytes();
        match (self.kind(), self.direction(), self.word()) {
            (RowKind::Frame, Direction::Out, Word::Command(Command::Auth)) => secret::mask_auth(bytes),
            (RowKind::Frame, ..) => Cow::Borrowed(bytes),
            _ => secret::mask_loosely(bytes),
        }
    }

    /// Returns its bytes, masked unless they are wanted with their secrets.
    pub(crate) fn bytes_for(&self, with_secrets: bool) -> Cow<'a, [u8]> {
        if with_secrets { Cow::Borrowed(self.bytes()) } else { self.masked_bytes() }
    }

    /// Returns whether a backslash is among its bytes: without one, nothing in them is escaped.
    pub(crate) const fn has_escapes(&self) -> bool {
        self.flags.has_escapes()
    }

    /// Returns the command of a request or a push, or the one that an answer is known to answer.
    #[must_use]
    pub fn command(&self) -> Option<Command> {
        match self.word() {
            Word::Command(command) => Some(command),
            Word::Status(Status::Push) => Some(Command::Message),
            Word::Status(_) => self.flags.asked(),
            Word::Skipped(_) | Word::Other => None,
        }
    }

    /// Returns the status of an answer.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self.word() {
            Word::Status(status) if status.is_answer() => Some(status),
            _ => None,
        }
    }

    fn word(&self) -> Word {
        Word::of_code(self.cells.head)
    }

    /// Returns its command or status, as far as it is known of a fault; the reason of skipped bytes; the subject of a
    /// note. Safe to show.
    #[must_use]
    pub fn head(&self) -> &'a str {
        match (self.word().text(), self.extra()) {
            (Some(text), _) => text,
            (None, Some(Extra::Fault { head, .. } | Extra::Note { head, .. })) => head,
            (None, None) => "",
        }
    }

    /// Returns whether it is the note that its connection is over, after which no row of it is expected.
    pub(crate) fn is_closed(&self) -> bool {
        self.kind() == RowKind::Note && self.head() == super::CLOSED
    }

    /// Returns the reason for the end of its connection, if it is the note that it is over and has one.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        if self.is_closed() { Ending::in_text(self.note()?) } else { None }
    }

    /// Returns the text of a note or a gap.
    #[must_use]
    pub fn note(&self) -> Option<&'a str> {
        match self.extra()? {
            Extra::Note { text, .. } => Some(text),
            Extra::Fault { .. } => None,
        }
    }

    /// Returns the protocol's name of the fault, or of the error that an answer reports. Safe to show.
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

    /// Returns the reads that brought it.
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

    /// Returns whether a read begins at its first byte, whether one ends with its last, and the start and time of each
    /// read in it, unless one brought it at the row's own time.
    pub(crate) fn read_marks(&self) -> (bool, bool, &'a [ReadMark]) {
        let marks = self.chunk.reads(self.place).unwrap_or_default();
        (self.flags.begins(), self.flags.ends(), marks)
    }

    /// Returns the position of its first byte, relative to its connection's base.
    pub(super) fn offset(&self) -> u64 {
        self.cells.start.into()
    }

    /// Returns it with fields and summary; passwords and tokens are masked. Positions count from its own first byte: see
    /// [`Capture::describe`](crate::Capture::describe).
    #[must_use]
    pub fn describe(&self) -> Row {
        self.describe_for(false)
    }

    /// Returns it as [`describe`](Self::describe) does, with its secrets if they are wanted.
    #[must_use]
    pub fn describe_for(&self, with_secrets: bool) -> Row {
        self.row_for(true, with_secrets)
    }

    /// Returns its summary in one line, safe to show.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.note() {
            Some(text) => text.into(),
            None => self.row(false).summary,
        }
    }

    pub(crate) fn row(&self, with_fields: bool) -> Row {
        self.row_for(with_fields, false)
    }

    fn row_for(&self, with_fields: bool, with_secrets: bool) -> Row {
        let row = match self.kind() {
            RowKind::Frame => {
                let mut listing = Listing::new(self.direction(), Some(usize::MAX)).with_secrets(with_secrets);
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

    /// Returns the decoder's fault, if it is no frame.
    fn fault(&self) -> Option<&'a Fault> {
        self.extra()?.fault()
    }

    fn plain_summary(&self) -> String {
        let length = self.length() as u64;
        match (self.extra(), self.word()) {
            (Some(Extra::Fault { fault, .. }), _) => summary::of_fault(fault),
            (Some(Extra::Note { text, .. }), _) => text.clone(),
            (None, Word::Skipped(reason)) => match reason {
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
