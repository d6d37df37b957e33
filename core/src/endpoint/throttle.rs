//! The rate of a connection: its requests wait, and none is lost.

use alloc::sync::Arc;
use core::{mem, time::Duration};

use crate::{Bucket, Rate, Span, Time, wire::Command};

/// The rate at which a [`Server`](super::Server) takes requests: one of its connection, and one that it shares with
/// all connections from its address.
///
/// A request that comes too fast is not refused. The endpoint stops decoding, and wanting to read, until the buckets
/// allow the next one; so the order of answers is kept, and a client that knows nothing of rates is only slower.
#[derive(Debug)]
pub struct Throttle {
    connection: Bucket,
    /// `None`: the connection has no address, as one through a Unix socket.
    address: Option<Arc<Bucket>>,
    /// A unit of the address's bucket is taken for the next request.
    is_reserved: bool,
    /// The pause that is under way.
    pause: Option<Pause>,
    /// The time spent in pauses that are over.
    paused: Throttled,
    /// The end of the last skipped bytes in the connection's stream.
    skipped_to: u64,
    /// Skipped bytes that are not charged yet.
    skipped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    from: Time,
    until: Time,
    scope: RateScope,
}

/// A rate for which requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a throttle has these two")]
pub enum RateScope {
    /// That of the connection.
    Connection,
    /// That of all connections from its address.
    Address,
}

/// Times for which requests of a connection have waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a throttle has these two")]
pub struct Throttled {
    /// For the rate of the connection.
    pub connection: Duration,
    /// For the rate of all connections from its address.
    pub address: Duration,
}

impl Throttled {
    const fn of(&mut self, scope: RateScope) -> &mut Duration {
        match scope {
            RateScope::Connection => &mut self.connection,
            RateScope::Address => &mut self.address,
        }
    }
}

/// The payload bytes that a request's units cover. Each further 4 KiB cost one unit more, as do skipped bytes.
const BYTES_PER_UNIT: u64 = 4096;

impl Throttle {
    /// Makes the throttle of a new connection from an address with this bucket.
    #[must_use]
    pub const fn new(connection: Rate, address: Arc<Bucket>) -> Self {
        Self::with(connection, Some(address))
    }

    /// Makes the throttle of a new connection that has no address, such as one through a Unix socket.
    #[must_use]
    pub const fn without_address(connection: Rate) -> Self {
        Self::with(connection, None)
    }

    const fn with(connection: Rate, address: Option<Arc<Bucket>>) -> Self {
        let paused = Throttled { connection: Duration::ZERO, address: Duration::ZERO };
        Self {
            connection: Bucket::new(connection),
            address,
            is_reserved: false,
            pause: None,
            paused,
            skipped_to: 0,
            skipped: 0,
        }
    }

    /// Returns the connection's own rate.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.connection.rate()
    }

    /// Returns whether the next request is taken now. A pause begins if it is not.
    pub(super) fn admits(&mut self, now: Time) -> bool {
        if let Some(Pause { from, until, scope }) = self.pause {
            if now < until {
                return false;
            }
            *self.paused.of(scope) += now.since(from);
            self.pause = None;
        }
        let mut scope = RateScope::Connection;
        let mut until = self.connection.ready_at(now);
        if until <= now
            && !self.is_reserved
            && let Some(address) = &self.address
        {
            self.is_reserved = true;
            scope = RateScope::Address;
            until = address.reserve(now);
        }
        if until > now {
            self.pause = Some(Pause { from: now, until, scope });
        }
        until <= now
    }

    /// Returns the time at which the pause ends that is under way.
    pub(super) fn paused_until(&self) -> Option<Time> {
        self.pause.map(|pause| pause.until)
    }

    /// Returns the rate for which requests wait now, if they do.
    pub(super) fn waits_for(&self) -> Option<RateScope> {
        self.pause.map(|pause| pause.scope)
    }

    /// Returns the times spent in pauses so far.
    pub(super) fn paused(&self, now: Time) -> Throttled {
        let mut paused = self.paused;
        if let Some(Pause { from, until, scope }) = self.pause {
            *paused.of(scope) += now.min(until).since(from);
        }
        paused
    }

    /// Takes the units of what was decoded.
    pub(super) fn charge(&mut self, now: Time, cost: Cost) {
        self.take(now, cost.units());
    }

    /// Takes the units of bytes that are skipped: white space, and faults. Those that were charged before are not charged
    /// again.
    pub(super) fn charge_skipped(&mut self, now: Time, span: Span) {
        let skipped = self.skipped + span.end.saturating_sub(span.start.max(self.skipped_to));
        self.skipped_to = self.skipped_to.max(span.end);
        self.skipped = skipped % BYTES_PER_UNIT;
        let units = skipped / BYTES_PER_UNIT;
        if units > 0 {
            self.take(now, units);
        }
    }

    fn take(&mut self, now: Time, units: u64) {
        self.connection.charge(now, units);
        if let Some(address) = &self.address {
            address.charge(now, units - u64::from(mem::take(&mut self.is_reserved)));
        }
    }
}

/// A use of a connection's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// A request with so many bytes of payload.
    Request(Command, usize),
    /// A fault, with so many bytes of payload.
    Fault(usize),
}

impl Cost {
    const fn units(self) -> u64 {
        let (units, payload) = match self {
            Self::Request(Command::List | Command::Message | Command::Leave | Command::Hello, payload) => (1, payload),
            Self::Request(Command::Auth, payload) => (10, payload),
            Self::Request(Command::Join, payload) | Self::Fault(payload) => (2, payload),
            Self::Request(
                Command::Host
                | Command::Unhost
                | Command::History
                | Command::Who
                | Command::Channels
                | Command::Delete
                | Command::Role
                | Command::Settings
                | Command::Connections
                | Command::Disconnect,
                payload,
            ) => (5, payload),
        };
        units + payload.saturating_sub(1) as u64 / BYTES_PER_UNIT
    }
}
