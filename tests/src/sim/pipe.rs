//! One direction of a connection: the bytes between one end's write and the other's read.

use std::collections::VecDeque;

use chanwire_core::Time;

/// Bytes in transit, in order. Their number is bounded, as by two socket buffers: a writer waits for the reader.
#[derive(Debug)]
pub(super) struct Pipe {
    /// The chunks, each with the time at which it can be read.
    chunks: VecDeque<(Time, Vec<u8>)>,
    /// The number of bytes of the first chunk that were already read.
    taken: usize,
    /// The number of bytes that were written and not read.
    unread: usize,
    capacity: usize,
    /// The time when the last byte arrives. Nothing later arrives before it.
    last: Time,
    /// The time when the end of the stream arrives, once it is queued.
    end: Option<Time>,
    /// Whether the reading end is closed: a write is answered by a reset.
    pub(super) reader_closed: bool,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            taken: 0,
            unread: 0,
            capacity,
            last: Time::default(),
            end: None,
            reader_closed: false,
        }
    }

    /// Returns the number of bytes that can be written now.
    pub(super) fn room(&self) -> usize {
        if self.end.is_some() { 0 } else { self.capacity.saturating_sub(self.unread) }
    }

    /// Returns the number of bytes that were written and not read.
    pub(super) const fn unread(&self) -> usize {
        self.unread
    }

    /// Queues bytes that arrive at `at`, but not before earlier bytes.
    pub(super) fn push(&mut self, at: Time, bytes: Vec<u8>) {
        self.last = self.last.max(at);
        self.unread += bytes.len();
        self.chunks.push_back((self.last, bytes));
    }

    /// Queues the end of the stream, which arrives at `at`, but not before earlier bytes.
    pub(super) fn finish(&mut self, at: Time) {
        if self.end.is_none() {
            self.last = self.last.max(at);
            self.end = Some(self.last);
        }
    }

    /// Delays everything that has not arrived by `now` until `until`.
    pub(super) fn hold(&mut self, now: Time, until: Time) {
        let arrivals = self.chunks.iter_mut().map(|(at, _)| at).chain(&mut self.end);
        arrivals.filter(|at| **at > now).for_each(|at| *at = until.max(*at));
        self.last = self.last.max(until);
    }

    /// Drops all unread bytes.
    pub(super) fn destroy(&mut self) {
        self.chunks.clear();
        (self.taken, self.unread) = (0, 0);
    }

    /// Returns the time when the next bytes or the end arrive, if any are queued.
    pub(super) fn ready_at(&self) -> Option<Time> {
        self.chunks.front().map(|(at, _)| *at).or(self.end)
    }

    /// Reads at most `max` of the bytes that have arrived.
    pub(super) fn take(&mut self, now: Time, max: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some((at, chunk)) = self.chunks.front()
            && *at <= now
            && taken.len() < max
        {
            let rest = chunk.get(self.taken..).unwrap_or_default();
            let count = rest.len().min(max - taken.len());
            taken.extend_from_slice(rest.get(..count).unwrap_or_default());
            if count == rest.len() {
                self.chunks.pop_front();
                self.taken = 0;
            } else {
                self.taken += count;
            }
        }
        self.unread -= taken.len();
        taken
    }

    /// Returns whether everything was read and the end has arrived.
    pub(super) fn is_at_end(&self, now: Time) -> bool {
        self.chunks.is_empty() && self.end.is_some_and(|end| end <= now)
    }
}
