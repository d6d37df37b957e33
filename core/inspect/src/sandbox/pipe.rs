//! One direction of a connection: the bytes between one end's write and the other's read.

use std::collections::VecDeque;

use chanwire_core::Time;

/// Bytes in transit, in order. Bounded, like socket buffers.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Chunks with their arrival times.
    chunks: VecDeque<(Time, Vec<u8>)>,
    held: usize,
    capacity: usize,
    /// The arrival time of the last chunk. Later ones arrive no earlier.
    last: Time,
    end: End,
}

/// The progress of the end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    ArrivesAt(Time),
    Read,
}

impl Pipe {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { chunks: VecDeque::new(), held: 0, capacity, last: Time::from_millis(0), end: End::Open }
    }

    /// Returns the number of bytes that can be written now.
    pub(super) const fn room(&self) -> usize {
        self.capacity.saturating_sub(self.held)
    }

    /// Returns whether the end of the stream was written.
    pub(super) fn is_finished(&self) -> bool {
        self.end != End::Open
    }

    /// Queues bytes that arrive at `at`, but not before earlier bytes.
    pub(super) fn push(&mut self, at: Time, bytes: Vec<u8>) {
        self.last = self.last.max(at);
        self.held += bytes.len();
        self.chunks.push_back((self.last, bytes));
    }

    /// Queues the end of the stream, which arrives at `at`, but not before earlier bytes.
    pub(super) fn finish(&mut self, at: Time) {
        if self.end == End::Open {
            self.last = self.last.max(at);
            self.end = End::ArrivesAt(self.last);
        }
    }

    /// Returns the time at which bytes or the end can be read, if it is known.
    pub(super) fn ready_at(&self) -> Option<Time> {
        match (self.chunks.front(), self.end) {
            (Some((at, _)), _) => Some(*at),
            (None, End::ArrivesAt(at)) => Some(at),
            (None, End::Open | End::Read) => None,
        }
    }

    /// Returns the number of bytes that have arrived.
    pub(super) fn arrived(&self, now: Time) -> usize {
        self.chunks.iter().take_while(|(at, _)| *at <= now).map(|(_, bytes)| bytes.len()).sum()
    }

    /// Reads up to this number of arrived bytes.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, chunk)) = self.chunks.front_mut()
        {
            let rest = chunk.split_off(chunk.len().min(count - taken.len()));
            taken.append(chunk);
            *chunk = rest;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.held -= taken.len();
        taken
    }

    /// Reads the end of the stream, once, if it has arrived.
    pub(super) fn take_end(&mut self, now: Time) -> bool {
        let arrived = self.chunks.is_empty() && matches!(self.end, End::ArrivesAt(at) if at <= now);
        if arrived {
            self.end = End::Read;
        }
        arrived
    }
}
