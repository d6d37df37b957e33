//! Recorded traffic of all connections, in bounded memory.

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

use crate::{Direction, Ending, Row, Statistics, StatisticsRow, Time, Timeline, time::milliseconds};
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
/// Record the events of each connection in order, and requests before their answers: [`open`](Self::open), then
/// [`bytes`](Self::bytes), [`end`](Self::end), [`note`](Self::note) and [`gap`](Self::gap), and at last
/// [`close`](Self::close) or [`leave`](Self::leave). Each row is numbered when it is complete, from 1, over all
/// connections; a number is never given twice. The capture holds the rows from [`first`](Self::first) to before
/// [`end_number`](Self::end_number).
///
/// - **Rows tile their stream** and do not depend on how it was divided into reads, except where a frame is sought after
///   a gap. A row has at most 64 KiB of white space or of discarded bytes.
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
    /// Closed connections by their last row, with which they are dropped.
    closed: BTreeSet<(u64, u32)>,
    /// Connections with bytes that are in no row yet.
    busy: BTreeSet<u32>,
    store: Store,
    /// The memory that connections take beside their rows.
    pending: usize,
    /// The part of that memory that giving up arriving frames and dropping open requests would free.
    unfinished: usize,
    clock: Clock,
    /// The number of visits to connections, for tests of cost; a pass over all counts each.
    #[cfg(test)]
    visits: std::cell::Cell<usize>,
}

/// Traffic that is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The number of missing bytes, 0 where it is not known.
    pub bytes: u64,
    /// The number of missing frames, if they are whole ones: then the stream goes on at a frame's first byte. `None`
    /// where it may go on anywhere, so that the next frame has to be found.
    pub frames: Option<u64>,
    /// The number of missing requests that are owed an answer, or of missing answers, without pushes. `None` where it is
    /// not known: then nothing more is paired on the connection.
    pub paired: Option<u64>,
}

/// A frame that is still arriving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arriving<'a> {
    /// Its connection.
    pub connection: u32,
    /// Its direction.
    pub direction: Direction,
    /// Its position in its stream, up to the last byte that came.
    pub span: chanwire_core::Span,
    /// Its command or status; empty while that is not complete.
    pub head: &'static str,
    /// The part of it that is being read, in words: "inside a payload".
    pub state: String,
    /// Its bytes so far.
    pub bytes: &'a [u8],
}

/// The subject of the note that a connection is over.
pub(crate) const CLOSED: &str = "closed";

/// The subject of the note that one direction has ended before the other.
pub(crate) const HALF_CLOSED: &str = "half-closed";

/// The least memory that a capture may be given.
const LEAST_LIMIT: usize = 1 << 20;

impl Capture {
    /// Returns an empty capture with a memory limit in bytes, at least 1 MiB.
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
            visits: std::cell::Cell::default(),
        }
    }

    /// Changes the limit. Rows beyond it are dropped at once.
    pub fn set_limit(&mut self, limit: usize) {
        self.store.set_limit(limit.max(LEAST_LIMIT));
        let time = self.clock.at(Time::UNKNOWN);
        self.relieve(time);
        self.settle();
    }

    /// Opens a connection to a server with the protocol's own limits. The label names its ends.
    pub fn open(&mut self, connection: u32, label: &str) {
        self.open_with(connection, label, Limits::server().max_payload, Limits::client().max_payload);
    }

    /// Opens a connection with these limits on the payloads of requests and answers, in bytes.
    pub fn open_with(&mut self, connection: u32, label: &str, max_request: usize, max_answer: usize) {
        self.insert(connection, Connection::new(label, max_request, max_answer));
    }

    /// Opens a connection whose rows are to be [restored](Self::restore).
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

    /// Takes the bytes of one read or write. Times may count from any origin; a plain number is in milliseconds. Bytes
    /// of a connection that is not open are ignored.
    pub fn bytes(&mut self, connection: u32, direction: Direction, time: impl Into<Time>, bytes: &[u8]) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| recording.bytes(direction, time, bytes));
        self.relieve(time);
    }

    /// Ends one direction.
    pub fn end(&mut self, connection: u32, direction: Direction, time: impl Into<Time>) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| recording.end(direction, time));
        // Evidence for the reason: only a direction that its sender ended, not one that a close ends.
        self.change(connection, |state, _| state.note_end(direction));
    }

    /// Ends one direction because its sender has shut down. A row says so, unless the other direction had ended before:
    /// then the connection is over.
    pub fn shut_down(&mut self, connection: u32, direction: Direction, time: impl Into<Time>) {
        let time = time.into();
        self.end(connection, direction, time);
        let other = if direction == Direction::Out { Direction::In } else { Direction::Out };
        if self.connections.get(&connection).is_some_and(|state| !state.has_ended(other)) {
            let who = if direction == Direction::Out { "client" } else { "server" };
            self.note(connection, time, HALF_CLOSED, &format!("the {who} shut down its sending half"), false);
        }
    }

    /// Closes the connection: only notes about it may follow.
    pub fn close(&mut self, connection: u32, time: impl Into<Time>) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| {
            recording.end(Direction::Out, time);
            recording.end(Direction::In, time);
        });
        self.close_silently(connection);
    }

    /// Stops recording the connection, though it may go on. A frame that is arriving is cut, which is no fault.
    pub fn leave(&mut self, connection: u32, time: impl Into<Time>) {
        let time = self.clock.at(time.into());
        self.record(connection, |mut recording| recording.skip(None, time, Gap::default()));
        self.close_silently(connection);
    }

    /// Stops recording the connection; drops a frame that is arriving.
    pub(crate) fn close_silently(&mut self, connection: u32) {
        self.change(connection, |state, _| state.close());
        self.drop_closed();
    }

    /// Adds a note about a connection, in words that are safe to show; `bad` marks a failure. A note that the connection
    /// is over also gets the [`Ending`] that its traffic shows, unless the text has one.
    pub fn note(&mut self, connection: u32, time: impl Into<Time>, head: &str, text: &str, bad: bool) {
        let time = self.clock.at(time.into());
        let ending = self.connections.get(&connection).filter(|_| head == CLOSED && Ending::in_text(text).is_none());
        match ending.and_then(Connection::ending) {
            Some(ending) => self.store.note(connection, time, head, &format!("{text}: {ending}"), bad),
            None => self.store.note(connection, time, head, text, bad),
        };
        self.touch(connection);
        self.settle();
    }

    /// Records that traffic is missing here, in this direction, or for `None` perhaps in both. The text says why and is
    /// safe to show.
    pub fn gap(&mut self, connection: u32, direction: Option<Direction>, time: impl Into<Time>, gap: Gap, text: &str) {
        let time = self.clock.at(time.into());
        self.skip(connection, direction, time, gap, text);
    }

    fn skip(&mut self, connection: u32, direction: Option<Direction>, time: At, gap: Gap, text: &str) {
        self.record(connection, |mut recording| recording.skip(direction, time, gap));
        let row = self.store.end();
        // A gap is placed where its direction goes on.
        let offset = self.change(connection, |state, _| {
            state.touch(row);
            direction.map_or(0, |direction| state.offset(direction, row, state.position(direction)))
        });
        self.store.gap(connection, direction, time, offset.unwrap_or_default(), text);
        self.settle();
    }

    /// Drops every row and resets the statistics. Open connections stay open, and numbers go on.
    pub fn clear(&mut self) {
        self.store.clear();
        self.drop_requests();
        self.drop_closed();
        if self.connections.is_empty() {
            // The next times may count from elsewhere.
            self.clock = Clock::default();
        }
    }

    /// Drops the rows before this number, which are not needed any more. Open connections stay open, and numbers go on.
    pub fn release(&mut self, before: u64) {
        self.store.release(before);
        self.drop_closed();
    }

    /// Returns the time of the first event, which the times of rows count from.
    #[must_use]
    pub fn origin(&self) -> Option<Time> {
        self.clock.origin.map(Time::from_nanoseconds)
    }

    /// Prepares to restore rows whose times count from `started`, in nanoseconds since 1970. Returns the milliseconds
    /// to add to their times here.
    pub(crate) fn count_from(&mut self, started: i64) -> f64 {
        match self.clock.origin {
            Some(origin) if origin >= FIRST_DATE => milliseconds(started.saturating_sub(origin)),
            // The origin here is no date, so the two cannot be compared.
            Some(_) => 0.0,
            None => {
                self.clock.origin = Some(started);
                0.0
            }
        }
    }

    /// Returns the number of the oldest row that is held.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.store.first()
    }

    /// Returns the number that the next row gets.
    #[must_use]
    pub const fn end_number(&self) -> u64 {
        self.store.end()
    }

    /// Returns the number of rows dropped or released since the last clear.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.store.first() - self.store.cleared()
    }

    /// Returns the number of times it was cleared.
    #[must_use]
    pub const fn clears(&self) -> u64 {
        self.store.clears()
    }

    /// Returns the number of held rows that are bad: see [`Entry::is_bad`].
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.store.bad()
    }

    /// Returns the number of bad rows that there ever were.
    #[must_use]
    pub const fn bad_seen(&self) -> u64 {
        self.store.bad_seen()
    }

    /// Returns the memory in use, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.memory() + self.pending
    }

    /// Returns the most memory that may be in use.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.store.limit()
    }

    /// Returns the row with this number, if it is held.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<Entry<'_>> {
        self.store.entry(number)
    }

    /// Returns the held rows from one number to before another, oldest first.
    pub fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Entry<'_>> {
        self.store.entries(from, to)
    }

    /// Returns the position of a row's first byte in its direction's stream.
    #[must_use]
    pub fn position(&self, entry: &Entry<'_>) -> u64 {
        let base = self.connections.get(&entry.connection()).map_or(0, |connection| connection.base_of(entry));
        base + entry.offset()
    }

    /// Returns a row with its fields and summary. Its spans are absolute positions in its stream; passwords and tokens
    /// are masked.
    #[must_use]
    pub fn describe(&self, number: u64) -> Option<Row> {
        self.describe_for(number, false)
    }

    /// Returns a row as [`describe`](Self::describe) does, with its secrets if they are wanted.
    #[must_use]
    pub fn describe_for(&self, number: u64, with_secrets: bool) -> Option<Row> {
        let entry = self.entry(number)?;
        Some(entry.describe_for(with_secrets).moved(self.position(&entry)))
    }

    /// Returns the connection's label, if any row of it is held or it is open.
    #[must_use]
    pub fn label(&self, connection: u32) -> Option<&str> {
        self.connections.get(&connection).map(Connection::label)
    }

    /// Returns the connections that are open or of which a row is held, in order.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        self.connections.keys().copied()
    }

    /// Returns the frames that are still arriving.
    pub fn arriving(&self) -> impl Iterator<Item = Arriving<'_>> {
        // Of very many connections few are in the middle of a frame, and this is asked many times a second.
        let busy = self.busy.iter().filter_map(|connection| Some((*connection, self.connections.get(connection)?)));
        #[cfg(test)]
        let busy = busy.inspect(|_| self.visits.set(self.visits.get() + 1));
        busy.flat_map(|(connection, state)| state.arriving(connection))
    }

    /// Returns the statistics since the last clear.
    #[must_use]
    pub fn statistics(&self) -> Vec<StatisticsRow> {
        self.counted().table()
    }

    /// Returns traffic over time from the oldest row held, in at most this number of buckets.
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

    /// Records on a connection that is open.
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

    /// Changes a connection, and the totals that it is part of.
    fn change<R>(&mut self, connection: u32, work: impl FnOnce(&mut Connection, &mut Store) -> R) -> Option<R> {
        let state = self.connections.get_mut(&connection)?;
        #[cfg(test)]
        self.visits.set(self.visits.get() + 1);
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
        // `closed` has it under its last row already.
        let is_indexed = is_closed && state.last_row() == last_row;
        if !state.is_open() && !is_indexed {
            self.closed.remove(&(last_row, connection));
            self.closed.insert((state.last_row(), connection));
        }
        Some(result)
    }

    /// Frees memory when unfinished frames and open requests take more than half of the limit. Drops open requests, which
    /// are then only counted; if that is not enough, gives up the largest arriving frames, enough of them that this need
    /// not soon be done again.
    fn relieve(&mut self, time: At) {
        if self.unfinished <= self.limit() / 2 {
            return;
        }
        self.drop_requests();
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
        self.visits.set(self.visits.get() + self.connections.len());
        arriving.sort_unstable();
        while self.unfinished > self.limit() / 8 * 3 {
            let Some((_, connection, direction)) = arriving.pop() else { return };
            let text = "a frame that was too large to be held while it arrived is given up";
            self.skip(connection, Some(direction), time, Gap::default(), text);
        }
    }

    fn drop_requests(&mut self) {
        #[cfg(test)]
        self.visits.set(self.visits.get() + self.connections.len());
        for state in self.connections.values_mut() {
            let (memory, unfinished) = (state.memory(), state.unfinished());
            state.drop_requests();
            self.pending = self.pending - memory + state.memory();
            self.unfinished = self.unfinished - unfinished + state.unfinished();
        }
    }

    /// Drops the oldest rows while more memory is in use than may be.
    fn settle(&mut self) {
        while self.memory() > self.limit() && self.store.drop_oldest() {
            self.drop_closed();
        }
    }

    /// Drops closed connections of which no row is held.
    fn drop_closed(&mut self) {
        let first = self.store.first();
        while let Some((_, connection)) = self.closed.first().copied().filter(|(last, _)| *last < first) {
            self.closed.pop_first();
            if let Some(dropped) = self.connections.remove(&connection) {
                self.pending -= dropped.memory();
                self.unfinished -= dropped.unfinished();
                self.busy.remove(&connection);
            }
        }
    }
}
