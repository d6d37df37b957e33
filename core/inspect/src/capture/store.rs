//! Stored rows, in chunks. The oldest chunk is dropped first.

use std::collections::VecDeque;

use super::{
    chunk::{Cells, Chunk, Extra, SOME_ERROR},
    clock::At,
    entry::Entry,
    flags::Flags,
    reads::Reads,
    words::Word,
};
use crate::{Direction, RowKind, Statistics, statistics::Times};

/// The most rows of a chunk.
const CHUNK_ROWS: usize = 65_536;

/// The most bytes of a chunk of several rows; fewer if the capture's limit is small.
const CHUNK_BYTES: usize = 4 << 20;

/// The least number of chunks within the limit.
const CHUNKS: usize = 16;

/// The most names of errors that are kept. The protocol has 16; a hostile server may send any number.
const MAX_ERRORS: usize = 250;

/// Rows of all connections.
#[derive(Debug)]
pub(crate) struct Store {
    chunks: VecDeque<Chunk>,
    /// The memory of all chunks but the last.
    closed: usize,
    limit: usize,
    end: u64,
    cleared: u64,
    clears: u64,
    bad: u64,
    bad_seen: u64,
    last_time: Option<f64>,
    errors: Vec<String>,
    statistics: Statistics,
    times: Times,
}

/// A row to be stored.
#[derive(Debug)]
pub(super) struct NewRow<'a> {
    pub(super) connection: u32,
    pub(super) time: f64,
    pub(super) flags: Flags,
    pub(super) start: u32,
    pub(super) word: Word,
    pub(super) bytes: &'a [u8],
    pub(super) reads: Reads,
    /// The name of the fault.
    pub(super) error: Option<&'a str>,
    pub(super) extra: Option<Extra>,
    /// The number of the request that this row answers.
    pub(super) answers: Option<u64>,
    /// The round trip of an answer.
    pub(super) rtt: Option<f64>,
}

impl Store {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            closed: 0,
            limit,
            end: 1,
            cleared: 1,
            clears: 0,
            bad: 0,
            bad_seen: 0,
            last_time: None,
            errors: Vec::new(),
            statistics: Statistics::default(),
            times: Times::default(),
        }
    }

    /// Returns an empty store whose rows are numbered from `end` on.
    pub(super) fn after(limit: usize, end: u64, bad_seen: u64) -> Self {
        Self { end, cleared: end, bad_seen, ..Self::new(limit) }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(super) fn first(&self) -> u64 {
        self.chunks.front().map_or(self.end, Chunk::first)
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(crate) const fn cleared(&self) -> u64 {
        self.cleared
    }

    pub(super) const fn clears(&self) -> u64 {
        self.clears
    }

    pub(super) const fn bad(&self) -> u64 {
        self.bad
    }

    pub(super) const fn bad_seen(&self) -> u64 {
        self.bad_seen
    }

    pub(super) const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    pub(super) const fn statistics_mut(&mut self) -> &mut Statistics {
        &mut self.statistics
    }

    pub(super) const fn times(&self) -> &Times {
        &self.times
    }

    /// Returns the names of all recorded errors.
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }

    pub(super) fn memory(&self) -> usize {
        self.closed + self.chunks.back().map_or(0, Chunk::memory)
    }

    /// Returns the chunk that holds this row, or else the first one after it.
    pub(crate) fn chunk_at(&self, number: u64) -> Option<&Chunk> {
        self.chunks.get(self.index_of(number))
    }

    fn index_of(&self, number: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.end() <= number)
    }

    pub(super) fn entry(&self, number: u64) -> Option<Entry<'_>> {
        let chunk = self.chunk_at(number)?;
        self.entry_in(chunk, chunk.place(number)?)
    }

    pub(crate) fn entry_in<'a>(&'a self, chunk: &'a Chunk, place: usize) -> Option<Entry<'a>> {
        Entry::new(&self.errors, chunk, place)
    }

    pub(super) fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Entry<'_>> {
        let chunks = self.chunks.iter().skip(self.index_of(from)).take_while(move |chunk| chunk.first() < to);
        chunks.flat_map(move |chunk| {
            let place = |number: u64| usize::try_from(number.saturating_sub(chunk.first())).unwrap_or(usize::MAX);
            (place(from)..place(to).min(chunk.len())).filter_map(|place| self.entry_in(chunk, place))
        })
    }

    /// Adds a row and returns its number.
    pub(super) fn add(&mut self, row: NewRow<'_>) -> u64 {
        let number = self.end;
        let error = row.error.map_or(0, |name| self.intern(name));
        let mut flags = row.flags.with_reads(&row.reads).with_escapes(row.bytes);
        if row.extra.is_some() {
            flags = flags.with_extra();
        }
        let pair = row.answers.map_or(0, |request| self.link(request, number));
        let cells = Cells {
            time: row.time,
            start: row.start,
            connection: row.connection,
            pair,
            rtt: row.rtt.unwrap_or(f64::NAN),
            flags: flags.bits(),
            head: row.word.code(),
            error,
        };
        let chunk = self.room_for(row.bytes.len());
        chunk.push(cells, row.bytes);
        if !row.reads.marks.is_empty() {
            chunk.add_reads(row.reads.marks);
        }
        if let Some(extra) = row.extra {
            chunk.add_extra(extra);
        }
        self.end += 1;
        self.bad += u64::from(flags.bad());
        self.bad_seen += u64::from(flags.bad());
        self.last_time = Some(row.time);
        self.times.take(row.time, flags.bad(), row.rtt);
        number
    }

    pub(super) fn note(&mut self, connection: u32, time: At, head: &str, text: &str, bad: bool) -> u64 {
        let extra = Extra::Note { head: head.into(), text: text.into() };
        self.say(connection, time, Flags::new(RowKind::Note, Direction::In).with_bad(bad), 0, extra)
    }

    pub(super) fn gap(
        &mut self,
        connection: u32,
        direction: Option<Direction>,
        time: At,
        start: u32,
        text: &str,
    ) -> u64 {
        let head = match direction {
            Some(_) => "missing",
            None => "missing, both ways",
        };
        let extra = Extra::Note { head: head.into(), text: text.into() };
        let flags = Flags::new(RowKind::Gap, direction.unwrap_or(Direction::In)).with_bad(true);
        self.say(connection, time, flags, start, extra)
    }

    fn say(&mut self, connection: u32, time: At, flags: Flags, start: u32, extra: Extra) -> u64 {
        self.add(NewRow {
            connection,
            time: time.time,
            flags: flags.with_untimed(!time.is_known),
            start,
            word: Word::Other,
            bytes: &[],
            reads: Reads::default(),
            error: None,
            extra: Some(extra),
            answers: None,
            rtt: None,
        })
    }

    /// Lets a request know its answer. Returns how far they are apart.
    fn link(&mut self, request: u64, answer: u64) -> u32 {
        let distance = u32::try_from(answer - request).unwrap_or(0);
        let index = self.index_of(request);
        if let Some(chunk) = self.chunks.get_mut(index)
            && let Some(place) = chunk.place(request)
        {
            chunk.set_pair(place, distance);
        }
        distance
    }

    /// Returns the chunk for a row of this length.
    fn room_for(&mut self, bytes: usize) -> &mut Chunk {
        let most = (self.limit / CHUNKS).min(CHUNK_BYTES);
        let full =
            |chunk: &Chunk| chunk.len() >= CHUNK_ROWS || chunk.byte_len() + bytes > most || chunk.memory() > 4 * most;
        match self.chunks.back_mut() {
            Some(last) if last.len() > 0 && full(last) => {
                last.close();
                self.closed += last.memory();
                // The next one is likely to be like this one.
                let (rows, bytes) = (last.len(), last.byte_len().min(most));
                let next = Chunk::new(self.end, self.last_time, rows, bytes);
                self.chunks.push_back(next);
            }
            Some(_) => {}
            None => self.chunks.push_back(Chunk::new(self.end, self.last_time, 0, 0)),
        }
        let last = self.chunks.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there is one, by the lines above")]
        &mut self.chunks[last]
    }

    /// Drops the oldest rows, but never the newest ones. Returns whether there were any to drop.
    pub(super) fn drop_oldest(&mut self) -> bool {
        if self.chunks.len() < 2 {
            return false;
        }
        if let Some(oldest) = self.chunks.pop_front() {
            self.closed -= oldest.memory();
            self.bad -= oldest.flags().iter().filter(|bits| Flags::of(**bits).bad()).count() as u64;
        }
        true
    }

    /// Drops the rows before this number, as far as no row after it is in the same chunk.
    pub(super) fn release(&mut self, before: u64) {
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= before) && self.drop_oldest() {}
        if let [last] = self.chunks.make_contiguous()
            && last.len() > 0
            && last.end() <= before
        {
            self.bad -= last.flags().iter().filter(|bits| Flags::of(**bits).bad()).count() as u64;
            self.chunks.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.closed = 0;
        self.cleared = self.end;
        self.clears += 1;
        self.bad = 0;
        self.statistics = Statistics::default();
        self.times = Times::default();
    }

    /// Returns a code for the name of an error. 0 stands for none.
    fn intern(&mut self, name: &str) -> u8 {
        let code = |place: usize| u8::try_from(place + 1).unwrap_or(SOME_ERROR);
        if let Some(place) = self.errors.iter().position(|known| known == name) {
            return code(place);
        }
        if self.errors.len() == MAX_ERRORS {
            return SOME_ERROR;
        }
        self.errors.push(name.into());
        code(self.errors.len() - 1)
    }
}
