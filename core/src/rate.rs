//! Rates: how many units may be used, and how fast they come back.

use core::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::Time;

/// A rate: units that come back each second, up to a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a rate is these two numbers")]
pub struct Rate {
    /// The units that come back each second.
    pub units_per_second: NonZeroU32,
    /// The most units that are there at a time, and so the most that can be used at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// Makes a rate; `None` if one of the numbers is 0.
    #[must_use]
    pub const fn new(units_per_second: u32, burst: u32) -> Option<Self> {
        match (NonZeroU32::new(units_per_second), NonZeroU32::new(burst)) {
            (Some(units_per_second), Some(burst)) => Some(Self { units_per_second, burst }),
            _ => None,
        }
    }

    /// Returns the nanoseconds after which so many units are back.
    const fn nanos(self, units: u64) -> u64 {
        units.saturating_mul(1_000_000_000) / self.units_per_second.get() as u64
    }
}

/// A bucket of units that refills at a [`Rate`]. Users may share it.
///
/// It is full at first, and may go below empty: [`charge`](Self::charge) takes whatever a request cost, once
/// [`reserve`](Self::reserve) or [`ready_at`](Self::ready_at) has allowed one. It holds one number, the time at which
/// it will be full (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371), so an idle bucket
/// costs nothing.
///
/// ```
/// use chanwire_core::{Bucket, Rate, Time};
///
/// let rate = Rate::new(2, 3).expect("not 0");
/// let bucket = Bucket::new(rate);
/// let start = Time::from_millis(1_000);
/// // Three at once, then one each half second.
/// let slots: Vec<u64> = (0..5).map(|_| bucket.reserve(start).since(start).as_millis() as u64).collect();
/// assert_eq!(slots, [0, 0, 0, 500, 1_000]);
/// ```
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    /// The time at which it is full, in nanoseconds since the origin of [`Time`].
    full_at: AtomicU64,
}

impl Bucket {
    /// Makes a full bucket.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self { rate, full_at: AtomicU64::new(0) }
    }

    /// Returns its rate.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one unit for a request, and returns the time at which it may be carried out: `now` if a unit is there.
    /// Reservations are served in the order in which they are made.
    #[must_use = "the request is to wait until then"]
    pub fn reserve(&self, now: Time) -> Time {
        self.allowed_at(now, self.take(now, 1), 1)
    }

    /// Takes units that a request has cost, whether they are there or not.
    pub fn charge(&self, now: Time, units: u64) {
        let _ = self.take(now, units);
    }

    /// Returns the time at which a unit is there: `now` if one is.
    #[must_use]
    pub fn ready_at(&self, now: Time) -> Time {
        self.ready_for(now, 1)
    }

    /// Returns the time at which so many units are there, which are at most the burst: `now` if they are.
    pub(crate) fn ready_for(&self, now: Time, units: u32) -> Time {
        self.allowed_at(now, self.full_at.load(Ordering::Relaxed), units)
    }

    /// Gives back units that were taken.
    pub(crate) fn give_back(&self, units: u64) {
        let given_back = |full_at: u64| Some(full_at.saturating_sub(self.rate.nanos(units)));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, given_back);
    }

    /// Returns the time at which it is full: `now` if it is.
    #[must_use]
    pub fn full_at(&self, now: Time) -> Time {
        Time::from_millis(self.full_at.load(Ordering::Relaxed).div_ceil(NANOS_PER_MILLI)).max(now)
    }

    /// Returns the time from which on a request of so many units is allowed, if the bucket is full at `full_at` without
    /// it.
    fn allowed_at(&self, now: Time, full_at: u64, units: u32) -> Time {
        // The units are there when no more than the rest of the burst is missing.
        let missing = self.rate.nanos(u64::from(self.rate.burst.get().saturating_sub(units)));
        Time::from_millis(full_at.saturating_sub(missing).div_ceil(NANOS_PER_MILLI)).max(now)
    }

    /// Takes units. Returns the time at which it would have been full.
    fn take(&self, now: Time, units: u64) -> u64 {
        let now = now.as_millis().saturating_mul(NANOS_PER_MILLI);
        let taken = |full_at: u64| full_at.max(now).saturating_add(self.rate.nanos(units));
        match self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| Some(taken(full_at))) {
            Ok(before) | Err(before) => before,
        }
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;
