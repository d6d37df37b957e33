//! A driver of one end of a connection, one system call at a time.

use chanwire_core::{
    Time,
    endpoint::{ConnectionAction, Endpoint},
};
use fastrand::Rng;

use super::{later, pipe::Pipe};
use crate::link::End;

/// The pace at which an end reads and writes, and the distance of its peer. Gaps and delays are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The most bytes that one read takes.
    pub(super) read: usize,
    /// The longest pause between two reads.
    pub(super) read_gap: u64,
    /// The most bytes that one write gives.
    pub(super) write: usize,
    /// The longest pause between two writes.
    pub(super) write_gap: u64,
    /// The longest time that bytes need to the peer.
    pub(super) delay: u64,
}

impl Pace {
    /// As fast as it goes.
    pub(super) const PROMPT: Self = Self { read: 65_536, read_gap: 0, write: 65_536, write_gap: 0, delay: 3 };

    /// Draws the arrival time of bytes that leave now.
    pub(super) fn arrival(&self, now: Time, rng: &mut Rng) -> Time {
        later(now, rng.u64(0..=self.delay))
    }
}

/// One end with its socket.
#[derive(Debug)]
pub(super) struct Socket<E> {
    pub(super) end: End<E>,
    pub(super) pace: Pace,
    /// The time at which it is driven next.
    pub(super) wake: Option<Time>,
    next_read: Time,
    next_write: Time,
    /// The time when the sending half was shut down.
    pub(super) finished: Option<Time>,
    /// The last time it could write, or had nothing to write.
    pub(super) flowed: Time,
}

/// The effects of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    /// Whether bytes were read, or the end of the stream.
    pub(super) read: bool,
    /// Whether bytes were written, or the end of the stream.
    pub(super) wrote: bool,
    /// The number of bytes that were written.
    pub(super) bytes: usize,
    /// The endpoint's wish for its connection.
    pub(super) link: ConnectionAction,
}

impl<E: Endpoint> Socket<E> {
    pub(super) const fn new(endpoint: E, pace: Pace, now: Time) -> Self {
        let end = End::new(endpoint);
        Self { end, pace, wake: None, next_read: now, next_write: now, finished: None, flowed: now }
    }

    /// Describes its state in short.
    pub(super) fn state(&self) -> String {
        let endpoint = &self.end.endpoint;
        let (link, deadline, wants) = (endpoint.action(), endpoint.poll_timeout(), endpoint.wants_read());
        format!("{link:?}, {deadline:?}, wants to read: {wants}, to write: {}", self.has_output())
    }

    /// Notes that output is about to be queued: it waits from now on, unless some already does.
    pub(super) fn before_output(&mut self, now: Time) {
        if !self.has_output() {
            self.flowed = now;
        }
    }

    pub(super) fn has_output(&self) -> bool {
        self.end.endpoint.transmit(&mut [&[][..]; 1]) > 0
    }

    /// Lets time pass, then writes at most once and reads at most once.
    pub(super) fn step(&mut self, now: Time, incoming: &mut Pipe, outgoing: &mut Pipe, rng: &mut Rng) -> Moved {
        let due = |endpoint: &E| endpoint.poll_timeout().is_some_and(|deadline| deadline.at <= now);
        self.before_output(now);
        if due(&self.end.endpoint) {
            self.end.endpoint.handle_timeout(now);
            assert!(!due(&self.end.endpoint), "{:?} has come and stays", self.end.endpoint.poll_timeout());
        }
        let (mut read, mut wrote, mut count) = (false, false, 0);
        if self.has_output() && now >= self.next_write && outgoing.room() > 0 {
            let most = rng.usize(1..=self.pace.write).min(outgoing.room());
            let bytes = self.end.write(now, most);
            if !bytes.is_empty() {
                (wrote, count) = (true, bytes.len());
                outgoing.push(self.pace.arrival(now, rng), bytes);
                self.next_write = later(now, rng.u64(0..=self.pace.write_gap));
            }
        }
        if wrote {
            self.flowed = now;
        }
        self.before_output(now);
        if self.finished.is_none() && self.end.action() == ConnectionAction::FinishWriting && self.end.has_finished() {
            outgoing.finish(self.pace.arrival(now, rng));
            self.finished = Some(now);
            wrote = true;
        }
        if self.end.endpoint.wants_read() && self.end.action() < ConnectionAction::Close && now >= self.next_read {
            let bytes = incoming.take(now, rng.usize(1..=self.pace.read));
            if !bytes.is_empty() {
                self.end.arrive(&bytes);
                self.next_read = later(now, rng.u64(0..=self.pace.read_gap));
                read = self.end.read(now, bytes.len()).is_some();
            } else if incoming.is_at_end(now) {
                self.end.end_arrives();
                read = self.end.read(now, 1).is_some();
            }
        }
        Moved { read, wrote, bytes: count, link: self.end.action() }
    }

    /// Returns the time of the next step, as things stand.
    pub(super) fn next_step(&self, now: Time, incoming: &Pipe, outgoing: &Pipe) -> Option<Time> {
        if self.end.endpoint.action() >= ConnectionAction::Close {
            return Some(now);
        }
        let deadline = self.end.endpoint.poll_timeout().map(|deadline| deadline.at);
        let write = (self.has_output() && outgoing.room() > 0).then_some(self.next_write);
        let finish =
            (self.finished.is_none() && self.end.endpoint.action() == ConnectionAction::FinishWriting).then_some(now);
        let ready = incoming.ready_at().filter(|_| self.end.endpoint.wants_read());
        let read = ready.map(|ready| ready.max(self.next_read));
        [deadline, write, finish, read].into_iter().flatten().min().map(|at| at.max(now))
    }
}
