//! Everything that was recorded, in bounded memory.

mod carried;
mod chunk;
mod clock;
mod connection;
mod entry;
mod flags;
mod pairing;
mod reads;
mod restored;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chanwire_core::Limits;

use crate::{Direction, Row, Statistics, StatisticsRow, Time, Timeline, time::milliseconds};
pub use carried::Carried;
pub(crate) use chunk::{Chunk, Escapes};
pub(crate) use clock::FIRST_DATE;
use clock::{At, Clock};
use connection::{Connection, Recording};
pub use entry::{Entry, ReadPart};
pub use pairing::MAX_OPEN_REQUESTS;
pub use restored::Restored;
use store::Store;

/// Rows and bytes of all connections: what the inspector shows, searches and exports.
///
/// Tell it what happens on each connection, in order, and requests before their answers: [`open`](Self::open), then
/// [`bytes`](Self::bytes), [`end`](Self::end), [`note`](Self::note) and [`gap`](Self::gap), and at last
/// [`close`](Self::close) or [`leave`](Self::leave). Each row is numbered when it is complete, from 1, over all
/// connections; a number is never given twice. What is held are the rows from [`first`](Self::first) to before
/// [`end_number`](Self::end_number).
///
/// - **Rows tile their stream** and do not depend on how it was cut, but for bytes that mean nothing, of which a row
///   has at most 64 KiB.
/// - **Answers are paired** with their requests, in request order, also when pipelined.
/// - **Bounded.** When memory reaches the limit the oldest rows are dropped. A frame that is too large to be held while
///   it arrives is given up, and a row says so.
/// - **Frugal.** A row costs 36 bytes beside its own bytes. Fields and summary are made for the rows that are looked
///   at, by [`describe`](Self::describe).
///
/// ```
/// use chanwire_inspect::{Capture, Direction};
///
/// let mut capture = Capture::new(64 << 20);
/// capture.open(1, "192.0.2.7:50123");
/// capture.bytes(1, Direction::Out, 10.0, b"LIST\r\n");
/// capture.bytes(1, Direction::In, 12.5, b"OK\r\n{\"channels\": []}");
/// let answer = capture.entry(2).unwrap();
/// assert_eq!((answer.time(), answer.pair(), answer.rtt()), (2.5, Some(1), Some(2.5)));
/// assert_eq!(capture.describe(2).unwrap().summary, "0 channels");
/// ```
#[derive(Debug)]
pub struct Capture {
    connections: BTreeMap<u32, Connection>,
    /// Connections that are closed, by their last row: when that goes, they go.
    closed: BTreeSet<(u64, u32)>,
    /// Connections of which bytes wait that are in no row yet.
    busy: BTreeSet<u32>,
    store: Store,
    /// What connections take beside their rows.
    pending: usize,
    /// What of that is free once frames that arrive are given up and open requests are forgotten.
    unfinished: usize,
    clock: Clock,
    /// How many connections were looked at, one or all at a time.
    #[cfg(test)]
    looked: std::cell::Cell<usize>,
}

/// Traffic that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// How many bytes, 0 where it is not known.
    pub bytes: u64,
    /// Whole frames are missing, so many: the stream goes on at a frame's first byte. `None` where it may go on
    /// anywhere, so that the next frame has to be found.
    pub frames: Option<u64>,
    /// How many requests that are answered, or answers, are missing. `None` where it is not known: then nothing more is
    /// paired on the connection.
    pub paired: Option<u64>,
}

/// A frame that is still arriving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arriving<'a> {
    /// Its connection.
    pub connection: u32,
    /// Which way it goes.
    pub direction: Direction,
    /// Where it stands in its stream, as far as it has come.
    pub span: chanwire_core::Span,
    /// Its command or status; empty while that is not complete.
    pub head: &'static str,
    /// Which part of it is being read, in words: "inside a payload".
    pub state: String,
    /// Its bytes so far.
    pub bytes: &'a [u8],
}

/// What the note is about that a connection is over.
pub(crate) const CLOSED: &str = "closed";

/// What the note is about that one direction has ended before the other.
pub(crate) const HALF_CLOSED: &str = "half-closed";

/// The least memory that a capture may be given.
const LEAST_LIMIT: usize = 1 << 20;

impl Capture {
    /// An empty capture that takes at most so many bytes of memory; at least 1 MiB.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            connections: BTreeMap::new(),
            closed: BTreeSet::new(),
            busy: BTreeSet::new(),
            store: Store::new(limit.max(LEAST_LIMIT)),
            pending: 0,
            unfinished: 0,
            clock: Clock::default(),
            #[cfg(test)]
            looked: std::cell::Cell::default(),
        }
    }

    /// Changes the limit. What is too much is dropped at once.
    pub fn set_limit(&mut self, limit: usize) {
        self.store.set_limit(limit.max(LEAST_LIMIT));
        let time = self.clock.at(Time::UNKNOWN);
        self.relieve(time);
        self.settle();
    }

    /// A connection was opened, to a server with the protocol's own limits. The label says who it is with.
    pub fn open(&mut self, connection: u32, label: &str) {
        self.open_with(connection, label, Limits::server().max_payload, Limits::client().max_payload);
    }

    /// A connection was opened, of which requests and answers have payloads of at most so many bytes.
    pub fn open_with(&mut self, connection: u32, label: &str, max_request: usize, max_answer: usize) {
        self.insert(connection, Connection::new(label, max_request, max_answer));
    }

    /// A connection of which rows are to be [restored](Self::restore).
    pub(crate) fn open_restored(&mut self, connection: u32, label: &str) {
        self.insert(connection, Connection::restored(label));
    }

    fn insert(&mut self, connection: u32, opened: Connection) {
        self.pending += opened.memory();
        self.unfinished += opened.unfinished();
        if let Some(before) = self.connections.insert(connection, opened) {
            self.pending -= before.memory();
            self.unfinished -= before.unfinished();
            self.closed.remove(&(before.last_row(), connection));
            self.busy.remove(&connection);
        }
        self.settle();
    }

    /// Takes the bytes of one read or write, at a time from any origin: a number counts milliseconds. Bytes of a
    /// connection that is not open are ignored.
    pub fn bytes(&mut self, connection: u32, direction: Direction, time: impl Into<Time>, bytes: &[u8]) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| recording.bytes(direction, time, bytes));
        self.relieve(time);
    }

    /// One direction has ended.
    pub fn end(&mut self, connection: u32, direction: Direction, time: impl Into<Time>) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| recording.end(direction, time));
    }

    /// The client or the server has shut down its sending half. A row says so, unless the other one had before: then
    /// the connection is over.
    pub fn shut_down(&mut self, connection: u32, direction: Direction, time: impl Into<Time>) {
        let time = time.into();
        self.end(connection, direction, time);
        let other = if direction == Direction::Out { Direction::In } else { Direction::Out };
        if self.connections.get(&connection).is_some_and(|state| !state.has_ended(other)) {
            let who = if direction == Direction::Out { "client" } else { "server" };
            self.note(connection, time, HALF_CLOSED, &format!("the {who} shut down its sending half"), false);
        }
    }

    /// The connection is closed: nothing of it follows but notes.
    pub fn close(&mut self, connection: u32, time: impl Into<Time>) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| {
            recording.end(Direction::Out, time);
            recording.end(Direction::In, time);
        });
        self.close_silently(connection);
    }

    /// Nothing more is recorded of the connection, though it may go on. What is arriving is cut, and nobody's fault.
    pub fn leave(&mut self, connection: u32, time: impl Into<Time>) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| recording.skip(None, time, Gap::default()));
        self.close_silently(connection);
    }

    /// Nothing more is recorded of the connection. What is arriving is forgotten.
    pub(crate) fn close_silently(&mut self, connection: u32) {
        self.change(connection, |state, _| state.close());
        self.forget();
    }

    /// What happened to a connection, in words that are safe to show.
    pub fn note(&mut self, connection: u32, time: impl Into<Time>, head: &str, text: &str, bad: bool) {
        let time = self.clock.at(time.into());
        self.store.note(connection, time, head, text, bad);
        self.touch(connection);
        self.settle();
    }

    /// Traffic is missing here, in one direction or perhaps in both; the text says why and is safe to show.
    pub fn gap(&mut self, connection: u32, direction: Option<Direction>, time: impl Into<Time>, gap: Gap, text: &str) {
        let time = self.clock.at(time.into());
        self.skip(connection, direction, time, gap, text);
    }

    fn skip(&mut self, connection: u32, direction: Option<Direction>, time: At, gap: Gap, text: &str) {
        self.record(connection, |mut recording| recording.skip(direction, time, gap));
        let row = self.store.end();
        // A gap stands where its direction goes on.
        let start = self.change(connection, |state, _| {
            state.touch(row);
            direction.map_or(0, |direction| state.offset(direction, row, state.position(direction)))
        });
        self.store.gap(connection, direction, time, start.unwrap_or_default(), text);
        self.settle();
    }

    /// Forgets every row and all that was counted. What is open stays open, and numbers go on.
    pub fn clear(&mut self) {
        self.store.clear();
        self.forget_requests();
        self.forget();
        if self.connections.is_empty() {
            // What comes next may count its times from elsewhere.
            self.clock = Clock::default();
        }
    }

    /// Drops the rows before this number, which are not needed any more. What is open stays open, and numbers go on.
    pub fn release(&mut self, before: u64) {
        self.store.release(before);
        self.forget();
    }

    /// The time of the first event, from which rows count, as it was told.
    #[must_use]
    pub fn origin(&self) -> Option<Time> {
        self.clock.origin.map(Time::from_nanoseconds)
    }

    /// Rows are to be restored whose times count from `started`, in nanoseconds since 1970. Gives the milliseconds to be
    /// added to their times here.
    pub(crate) fn count_from(&mut self, started: i64) -> f64 {
        match self.clock.origin {
            Some(origin) if origin >= FIRST_DATE => milliseconds(started.saturating_sub(origin)),
            // What is here counts from somewhere that is not known.
            Some(_) => 0.0,
            None => {
                self.clock.origin = Some(started);
                0.0
            }
        }
    }

    /// Number of the oldest row that is held.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.store.first()
    }

    /// The number that the next row gets.
    #[must_use]
    pub const fn end_number(&self) -> u64 {
        self.store.end()
    }

    /// How many rows were dropped since the last clear because memory was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.store.first() - self.store.cleared()
    }

    /// How often it was cleared.
    #[must_use]
    pub const fn clears(&self) -> u64 {
        self.store.clears()
    }

    /// How many rows that are held are bad: see [`Entry::is_bad`].
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.store.bad()
    }

    /// How many bad rows there ever were.
    #[must_use]
    pub const fn bad_seen(&self) -> u64 {
        self.store.bad_seen()
    }

    /// The memory in use, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.memory() + self.pending
    }

    /// The most memory that may be in use.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.store.limit()
    }

    /// The row with this number, if it is held.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<Entry<'_>> {
        self.store.entry(number)
    }

    /// The rows that are held from one number to before another, oldest first.
    pub fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Entry<'_>> {
        self.store.entries(from, to)
    }

    /// Where a row's first byte stands in its direction's stream.
    #[must_use]
    pub fn position(&self, entry: &Entry<'_>) -> u64 {
        let base = self.connections.get(&entry.connection()).map_or(0, |connection| connection.base_of(entry));
        base + entry.offset()
    }

    /// All that is to be said about a row: its fields and summary, by the absolute positions in its stream.
    #[must_use]
    pub fn describe(&self, number: u64) -> Option<Row> {
        let entry = self.entry(number)?;
        Some(entry.describe().moved(self.position(&entry)))
    }

    /// Who the connection is with, if any row of it is held or it is open.
    #[must_use]
    pub fn label(&self, connection: u32) -> Option<&str> {
        self.connections.get(&connection).map(Connection::label)
    }

    /// The connections that are open or of which a row is held, in order.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        self.connections.keys().copied()
    }

    /// The frames that are still arriving.
    pub fn arriving(&self) -> impl Iterator<Item = Arriving<'_>> {
        // Of very many connections few are in the middle of anything, and this is asked many times a second.
        let busy = self.busy.iter().filter_map(|connection| Some((*connection, self.connections.get(connection)?)));
        #[cfg(test)]
        let busy = busy.inspect(|_| self.looked.set(self.looked.get() + 1));
        busy.flat_map(|(connection, state)| state.arriving(connection))
    }

    /// What was counted since the last clear.
    #[must_use]
    pub fn statistics(&self) -> Vec<StatisticsRow> {
        self.counted().table()
    }

    /// Traffic over time, in at most so many buckets, from the oldest row held on.
    #[must_use]
    pub fn timeline(&self, buckets: usize) -> Timeline {
        let from = self.entry(self.first()).map_or(0.0, |entry| entry.time());
        self.store.times().timeline(from, buckets)
    }

    const fn counted(&self) -> &Statistics {
        self.store.statistics()
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Lets something be recorded on a connection that is open.
    fn record(&mut self, connection: u32, work: impl FnOnce(Recording<'_>)) {
        self.change(connection, |state, store| {
            if let Some(recording) = state.recording(connection, store) {
                work(recording);
            }
        });
        self.settle();
    }

    fn touch(&mut self, connection: u32) {
        let last = self.store.end() - 1;
        self.change(connection, |state, _| state.touch(last));
    }

    /// Changes a connection, and what is counted of it.
    fn change<R>(&mut self, connection: u32, work: impl FnOnce(&mut Connection, &mut Store) -> R) -> Option<R> {
        let state = self.connections.get_mut(&connection)?;
        #[cfg(test)]
        self.looked.set(self.looked.get() + 1);
        let (memory, unfinished, is_closed, last_row) =
            (state.memory(), state.unfinished(), !state.is_open(), state.last_row());
        let result = work(state, &mut self.store);
        self.pending = self.pending - memory + state.memory();
        self.unfinished = self.unfinished - unfinished + state.unfinished();
        if state.waiting().iter().any(|(bytes, _)| *bytes > 0) {
            self.busy.insert(connection);
        } else {
            self.busy.remove(&connection);
        }
        let is_in_place = is_closed && state.last_row() == last_row;
        if !state.is_open() && !is_in_place {
            self.closed.remove(&(last_row, connection));
            self.closed.insert((state.last_row(), connection));
        }
        Some(result)
    }

    /// Where what is no row yet takes half of all memory: only counts open requests, then gives up the largest frames
    /// that are arriving, and enough of them that it need not soon be done again.
    fn relieve(&mut self, time: At) {
        if self.unfinished <= self.limit() / 2 {
            return;
        }
        self.forget_requests();
        if self.unfinished <= self.limit() / 2 {
            return;
        }
        let mut arriving: Vec<_> = self
            .connections
            .iter()
            .flat_map(|(connection, state)| state.waiting().map(|(bytes, direction)| (bytes, *connection, direction)))
            .filter(|(bytes, ..)| *bytes > 0)
            .collect();
        #[cfg(test)]
        self.looked.set(self.looked.get() + self.connections.len());
        arriving.sort_unstable();
        while self.unfinished > self.limit() / 8 * 3 {
            let Some((_, connection, direction)) = arriving.pop() else { return };
            let text = "a frame that was too large to be held while it arrived is given up";
            self.skip(connection, Some(direction), time, Gap::default(), text);
        }
    }

    fn forget_requests(&mut self) {
        #[cfg(test)]
        self.looked.set(self.looked.get() + self.connections.len());
        for state in self.connections.values_mut() {
            let (memory, unfinished) = (state.memory(), state.unfinished());
            state.forget_requests();
            self.pending = self.pending - memory + state.memory();
            self.unfinished = self.unfinished - unfinished + state.unfinished();
        }
    }

    /// Drops the oldest rows while more memory is in use than may be.
    fn settle(&mut self) {
        while self.memory() > self.limit() && self.store.drop_oldest() {
            self.forget();
        }
    }

    /// Forgets connections that are closed and of which no row is held.
    fn forget(&mut self) {
        let first = self.store.first();
        while let Some((_, connection)) = self.closed.first().copied().filter(|(last, _)| *last < first) {
            self.closed.pop_first();
            if let Some(gone) = self.connections.remove(&connection) {
                self.pending -= gone.memory();
                self.unfinished -= gone.unfinished();
                self.busy.remove(&connection);
            }
        }
    }
}
