//! Recent traffic, replayed to watchers that attach later.
//!
//! Bounded in bytes: the oldest events are evicted first. Evicted events are still counted, for each open connection,
//! so that a late watcher's gap has the right size.

use std::collections::{BTreeMap, VecDeque};

use axum::body::Bytes;
use chanwire_inspect::{Direction, Time};

use super::{
    boundaries::Boundary,
    open_connection::{OpenConnection, Piece},
};

/// Recent events of all connections, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    limit: usize,
    events: VecDeque<Event>,
    weight: usize,
    /// Connections open before the oldest event in `events`, in their state at that time.
    initial: BTreeMap<u32, OpenConnection>,
    evicted: EarlierTraffic,
}

/// One event of one connection.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) connection: u32,
    /// Since 1970.
    pub(super) time: Time,
    pub(super) kind: EventKind,
}

/// The kind of an event, with its data.
#[derive(Debug)]
pub(super) enum EventKind {
    Open(Box<OpenConnection>),
    Bytes(Piece),
    End(Direction),
    Close { reason: String, bad: bool },
}

/// Counts of the traffic before a watcher's first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EarlierTraffic {
    /// Connections that closed before it.
    pub(crate) connections: u64,
    /// Frames of all connections.
    pub(crate) frames: u64,
    /// Bytes of all connections.
    pub(crate) bytes: u64,
}

impl Backlog {
    /// Creates an empty backlog of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Returns the limit in bytes.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Appends an event and evicts the oldest ones beyond the limit.
    pub(super) fn push(&mut self, mut event: Event) {
        if let EventKind::Bytes(piece) = &mut event.kind
            && self.limit > 0
        {
            // A copy, so that a short piece does not keep a whole read buffer alive.
            piece.bytes = Bytes::copy_from_slice(&piece.bytes);
        }
        self.weight += event.weight();
        self.events.push_back(event);
        while self.weight > self.limit {
            let Some(oldest) = self.events.pop_front() else { break };
            self.weight -= oldest.weight();
            self.evict(oldest);
        }
    }

    fn evict(&mut self, Event { connection, kind, .. }: Event) {
        match kind {
            EventKind::Open(open) => drop(self.initial.insert(connection, *open)),
            EventKind::Bytes(piece) => {
                self.evicted.bytes += piece.bytes.len() as u64;
                self.evicted.frames += piece.boundaries.iter().filter(|boundary| boundary.is_frame).count() as u64;
                if let Some(open) = self.initial.get_mut(&connection) {
                    open.count(&piece);
                }
            }
            EventKind::End(direction) => {
                if let Some(open) = self.initial.get_mut(&connection) {
                    open.end(direction);
                }
            }
            EventKind::Close { .. } => {
                self.initial.remove(&connection);
                self.evicted.connections += 1;
            }
        }
    }

    /// Returns the connections open before the first event, in their state at that time.
    pub(super) fn initial(&self) -> impl Iterator<Item = (u32, &OpenConnection)> {
        self.initial.iter().map(|(connection, open)| (*connection, open))
    }

    /// Returns the events, the oldest first.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// Returns the counts of evicted traffic.
    pub(super) const fn evicted(&self) -> EarlierTraffic {
        self.evicted
    }
}

impl Event {
    /// Estimates the event's memory in bytes.
    fn weight(&self) -> usize {
        128 + match &self.kind {
            EventKind::Open(open) => open.weight(),
            EventKind::Bytes(piece) => piece.bytes.len() + piece.boundaries.len() * size_of::<Boundary>(),
            EventKind::End(_) => 0,
            EventKind::Close { reason, .. } => reason.len(),
        }
    }
}
