//! Counts of connections and listeners.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use chanwire_core::{endpoint::Reason, wire::ErrorResponse};

/// The reasons for which a connection is refused.
const REFUSALS: [Reason; 4] = [Reason::ServerBusy, Reason::AddressBusy, Reason::Denied, Reason::ProxyHeader];

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP without encryption.
    Plain,
    /// The operator's socket.
    Operator,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Operator];

    /// Returns its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Operator => "operator",
        }
    }
}

/// Counts of connections, changed when one begins or ends or is refused something, and never by a request that is
/// carried out.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    plain: KindCounts,
    operator: KindCounts,
    /// Connections that were refused, in the order of [`REFUSALS`].
    refused: [AtomicU64; REFUSALS.len()],
    /// The errors that connections sent without the hub, in the order of [`ErrorResponse::NAMES`].
    errors: Vec<AtomicU64>,
    /// The listeners that accept connections, and all of them.
    listeners: (AtomicUsize, AtomicUsize),
}

#[derive(Debug, Default)]
struct KindCounts {
    open: AtomicU64,
    accepted: AtomicU64,
}

impl Default for ConnectionCounts {
    fn default() -> Self {
        Self {
            plain: KindCounts::default(),
            operator: KindCounts::default(),
            refused: Default::default(),
            errors: ErrorResponse::NAMES.iter().map(|_| AtomicU64::default()).collect(),
            listeners: Default::default(),
        }
    }
}

impl ConnectionCounts {
    /// Counts an accepted connection until the guard is dropped.
    pub(crate) fn open(&self, kind: Kind) -> OpenConnection<'_> {
        let KindCounts { open, accepted } = self.of(kind);
        accepted.fetch_add(1, Relaxed);
        open.fetch_add(1, Relaxed);
        OpenConnection(open)
    }

    const fn of(&self, kind: Kind) -> &KindCounts {
        match kind {
            Kind::Plain => &self.plain,
            Kind::Operator => &self.operator,
        }
    }

    /// Counts a connection that was refused for this reason.
    pub(crate) fn refuse(&self, reason: Reason) {
        let index = REFUSALS.iter().position(|other| *other == reason);
        if let Some(count) = index.and_then(|index| self.refused.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts an error that was sent without the hub.
    pub(crate) fn error(&self, error: &ErrorResponse) {
        let index = ErrorResponse::NAMES.iter().position(|name| *name == error.error);
        if let Some(count) = index.and_then(|index| self.errors.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Adds a listener, which is to accept connections from its first [`listen`](Self::listen) on.
    pub(crate) fn add_listener(&self) {
        self.listeners.1.fetch_add(1, Relaxed);
    }

    /// Counts a listener that accepts connections until the guard is dropped.
    pub(crate) fn listen(&self) -> OpenListener<'_> {
        self.listeners.0.fetch_add(1, Relaxed);
        OpenListener(&self.listeners.0)
    }

    /// Returns the number of open connections of a kind, and of all that were accepted.
    pub(super) fn connections(&self, kind: Kind) -> (u64, u64) {
        let KindCounts { open, accepted } = self.of(kind);
        (open.load(Relaxed), accepted.load(Relaxed))
    }

    /// Returns the number of open connections of every kind.
    pub(crate) fn open_now(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.connections(*kind).0).sum()
    }

    /// Returns each reason with the number of connections that were refused for it.
    pub(super) fn refused(&self) -> impl Iterator<Item = (Reason, u64)> {
        REFUSALS.into_iter().zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns each error's name with its count.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ErrorResponse::NAMES.iter().copied().zip(self.errors.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns the number of listeners that accept connections, and of all.
    pub(super) fn listeners(&self) -> (usize, usize) {
        (self.listeners.0.load(Relaxed), self.listeners.1.load(Relaxed))
    }
}

/// A connection that is counted as open.
#[must_use]
pub(crate) struct OpenConnection<'c>(&'c AtomicU64);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A listener that is counted as open.
#[must_use]
pub(crate) struct OpenListener<'c>(&'c AtomicUsize);

impl Drop for OpenListener<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
