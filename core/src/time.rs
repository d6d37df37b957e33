//! Monotonic time, handed in by the caller.

use core::time::Duration;

/// A moment in milliseconds since an origin that the caller picks.
///
/// Nothing in this crate asks a clock: every call that depends on time takes the moment at which it happens. A
/// caller must never let it run backwards; wall time is a different thing, see [`Timestamp`](crate::wire::Timestamp).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// Makes the moment `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the moment `after` this one; the end of time if there is none.
    #[must_use]
    pub const fn after(self, after: Duration) -> Self {
        let millis = after.as_millis();
        let millis = if millis > u64::MAX as u128 { u64::MAX } else { millis as u64 };
        Self(self.0.saturating_add(millis))
    }

    /// Returns the time from `earlier` to this moment; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
