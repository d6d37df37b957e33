//! The traffic that passed last, for watchers that come late.
//!
//! It is bounded in bytes: the oldest events go first. What is dropped still counts: for each connection that goes on,
//! how much of it is missing, so that a late watcher is told of a gap of that size.

use std::collections::{BTreeMap, VecDeque};

use axum::body::Bytes;
use chanwire_inspect::{Direction, Time};

use super::{
    cutter::Cut,
    open_connection::{OpenConnection, Piece},
};

/// Recent events of all connections, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    limit: usize,
    events: VecDeque<Event>,
    weight: usize,
    /// Connections that were open when the oldest event that is kept happened, as they were then.
    before: BTreeMap<u32, OpenConnection>,
    dropped: Earlier,
}

/// One event of one connection.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) connection: u32,
    /// Since 1970.
    pub(super) time: Time,
    pub(super) what: Happened,
}

#[derive(Debug)]
pub(super) enum Happened {
    Open(Box<OpenConnection>),
    Bytes(Piece),
    End(Direction),
    Close { reason: String, bad: bool },
}

/// Traffic that passed before everything that a watcher is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// Connections that were over by then.
    pub(crate) connections: u64,
    /// Frames, of these and of all other connections.
    pub(crate) frames: u64,
    /// And their bytes.
    pub(crate) bytes: u64,
}

impl Backlog {
    /// Creates an empty backlog that keeps at most so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Returns the most bytes that it keeps.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Keeps an event, and drops the oldest ones that there is no room for.
    pub(super) fn keep(&mut self, mut event: Event) {
        if let Happened::Bytes(piece) = &mut event.what
            && self.limit > 0
        {
            // A short piece must not keep the whole buffer that it was read into.
            piece.bytes = Bytes::copy_from_slice(&piece.bytes);
        }
        self.weight += event.weight();
        self.events.push_back(event);
        while self.weight > self.limit {
            let Some(oldest) = self.events.pop_front() else { break };
            self.weight -= oldest.weight();
            self.drop_event(oldest);
        }
    }

    fn drop_event(&mut self, Event { connection, what, .. }: Event) {
        match what {
            Happened::Open(live) => drop(self.before.insert(connection, *live)),
            Happened::Bytes(piece) => {
                self.dropped.bytes += piece.bytes.len() as u64;
                self.dropped.frames += piece.cuts.iter().filter(|cut| cut.is_frame).count() as u64;
                if let Some(live) = self.before.get_mut(&connection) {
                    live.pass(&piece);
                }
            }
            Happened::End(direction) => {
                if let Some(live) = self.before.get_mut(&connection) {
                    live.end(direction);
                }
            }
            Happened::Close { .. } => {
                self.before.remove(&connection);
                self.dropped.connections += 1;
            }
        }
    }

    /// Returns the connections that were open before the first event.
    pub(super) fn before(&self) -> impl Iterator<Item = (u32, &OpenConnection)> {
        self.before.iter().map(|(connection, live)| (*connection, live))
    }

    /// Returns the kept events, the oldest first.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Returns the count of what is not kept.
    pub(super) const fn dropped(&self) -> Earlier {
        self.dropped
    }
}

impl Event {
    /// Estimates the memory that it takes.
    fn weight(&self) -> usize {
        128 + match &self.what {
            Happened::Open(live) => live.weight(),
            Happened::Bytes(piece) => piece.bytes.len() + piece.cuts.len() * size_of::<Cut>(),
            Happened::End(_) => 0,
            Happened::Close { reason, .. } => reason.len(),
        }
    }
}
