//! Counts of connections and listeners.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use chanwire_core::{
    endpoint::{RateScope, Reason, Throttled},
    wire::ErrorResponse,
};

use crate::tls::HandshakeFailure;

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP without encryption.
    Plain,
    /// TCP with TLS.
    Tls,
    /// A Unix socket for clients.
    Unix,
    /// The operator's socket.
    Operator,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Tls, Self::Unix, Self::Operator];

    /// Returns its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Operator => "operator",
        }
    }
}

/// Counts of connections, changed when one begins or ends or is refused something, and never by a request that is
/// carried out.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    plain: KindCounts,
    tls: KindCounts,
    unix: KindCounts,
    operator: KindCounts,
    /// Accepted connections of which the first byte or the TLS handshake is awaited.
    pending: AtomicU64,
    /// Failed TLS handshakes, in the order of [`HandshakeFailure::ALL`].
    handshake_failures: [AtomicU64; HandshakeFailure::ALL.len()],
    /// Connections that ended or were refused, in the order of [`Reason::ALL`].
    ended: Vec<AtomicU64>,
    /// Requests that wait, or have waited, for the rate of their connection, and for that of its address.
    throttled: [ThrottleCounts; 2],
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

/// The connections that wait for one rate.
#[derive(Debug, Default)]
struct ThrottleCounts {
    waiting: AtomicU64,
    /// The time for which connections have waited.
    milliseconds: AtomicU64,
}

impl Default for ConnectionCounts {
    fn default() -> Self {
        Self {
            plain: KindCounts::default(),
            tls: KindCounts::default(),
            pending: AtomicU64::default(),
            handshake_failures: Default::default(),
            unix: KindCounts::default(),
            operator: KindCounts::default(),
            ended: Reason::ALL.iter().map(|_| AtomicU64::default()).collect(),
            throttled: Default::default(),
            errors: ErrorResponse::NAMES.iter().map(|_| AtomicU64::default()).collect(),
            listeners: Default::default(),
        }
    }
}

impl ConnectionCounts {
    /// Counts an accepted connection as open until it is [closed](Self::close).
    pub(crate) fn open(&self, kind: Kind) {
        let KindCounts { open, accepted } = self.of(kind);
        accepted.fetch_add(1, Relaxed);
        open.fetch_add(1, Relaxed);
    }

    /// Counts a connection as open no longer.
    pub(crate) fn close(&self, kind: Kind) {
        self.of(kind).open.fetch_sub(1, Relaxed);
    }

    /// Counts a connection of which the first byte or the TLS handshake is awaited until the guard is dropped.
    pub(crate) fn pending(&self) -> PendingConnection<'_> {
        self.pending.fetch_add(1, Relaxed);
        PendingConnection(&self.pending)
    }

    /// Returns the number of connections of which the first byte or the TLS handshake is awaited.
    pub(super) fn pending_now(&self) -> u64 {
        self.pending.load(Relaxed)
    }

    /// Counts a failed TLS handshake.
    pub(crate) fn handshake_failed(&self, failure: HandshakeFailure) {
        let index = HandshakeFailure::ALL.iter().position(|other| *other == failure);
        if let Some(count) = index.and_then(|index| self.handshake_failures.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Returns each reason of failed TLS handshakes with its count.
    pub(super) fn handshake_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.handshake_failures.iter().map(|count| count.load(Relaxed));
        HandshakeFailure::ALL.iter().map(|failure| failure.name()).zip(counts)
    }

    const fn of(&self, kind: Kind) -> &KindCounts {
        match kind {
            Kind::Plain => &self.plain,
            Kind::Tls => &self.tls,
            Kind::Unix => &self.unix,
            Kind::Operator => &self.operator,
        }
    }

    /// Counts a connection that ended, or was refused, for this reason.
    pub(crate) fn end(&self, reason: Reason) {
        let index = Reason::ALL.iter().position(|other| *other == reason);
        if let Some(count) = index.and_then(|index| self.ended.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    const fn throttled(&self, scope: RateScope) -> &ThrottleCounts {
        let [connection, address] = &self.throttled;
        match scope {
            RateScope::Connection => connection,
            RateScope::Address => address,
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

    /// Returns each reason with the number of connections that ended or were refused for it.
    pub(super) fn ended(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().copied().zip(self.ended.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns each rate's name with the connections that wait for it, and the time for which connections have waited.
    pub(super) fn waits(&self) -> [(&'static str, u64, Duration); 2] {
        [("connection", RateScope::Connection), ("address", RateScope::Address)].map(|(name, scope)| {
            let ThrottleCounts { waiting, milliseconds } = self.throttled(scope);
            (name, waiting.load(Relaxed), Duration::from_millis(milliseconds.load(Relaxed)))
        })
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

/// A connection that is counted as pending.
#[must_use]
pub(crate) struct PendingConnection<'c>(&'c AtomicU64);

impl Drop for PendingConnection<'_> {
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

/// The part of a connection in the counts of those that wait.
#[derive(Debug)]
pub(crate) struct CountedWait {
    counts: Arc<ConnectionCounts>,
    waits_for: Option<RateScope>,
    counted: Throttled,
}

impl CountedWait {
    pub(crate) fn new(counts: Arc<ConnectionCounts>) -> Self {
        Self { counts, waits_for: None, counted: Throttled::default() }
    }

    /// Counts the rate for which the connection waits now, and the times for which it has waited.
    pub(crate) fn update(&mut self, waits_for: Option<RateScope>, times: Throttled) {
        if waits_for != self.waits_for {
            if let Some(scope) = self.waits_for {
                self.counts.throttled(scope).waiting.fetch_sub(1, Relaxed);
            }
            if let Some(scope) = waits_for {
                self.counts.throttled(scope).waiting.fetch_add(1, Relaxed);
            }
            self.waits_for = waits_for;
        }
        let before = std::mem::replace(&mut self.counted, times);
        for (scope, time, before) in [
            (RateScope::Connection, times.connection, before.connection),
            (RateScope::Address, times.address, before.address),
        ] {
            let more = time.saturating_sub(before).as_millis();
            if more > 0 {
                let more = u64::try_from(more).unwrap_or(u64::MAX);
                self.counts.throttled(scope).milliseconds.fetch_add(more, Relaxed);
            }
        }
    }
}

impl Drop for CountedWait {
    fn drop(&mut self) {
        self.update(None, self.counted);
    }
}
