//! The clocks of a process: monotonic time and wall time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chanwire_core::{Time, wire::Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// A clock of monotonic time, in milliseconds since it was started, for the state machines of
/// [`protocol`](crate::protocol).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts a clock.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Returns the time.
    #[must_use]
    pub fn now(self) -> Time {
        let millis = self.origin.elapsed().as_millis();
        Time::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Returns the instant at which this clock shows `time`.
    pub(crate) fn instant(self, time: Time) -> tokio::time::Instant {
        let after = time.since(Time::default());
        // A day stands for deadlines that no instant can represent; it is beyond all of the protocol's.
        let at = self.origin.checked_add(after).unwrap_or_else(|| self.origin + std::time::Duration::from_secs(86_400));
        at.into()
    }
}

/// A clock like [`Clock`] that includes the time for which the machine was suspended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootClock {
    origin: Duration,
}

impl BootClock {
    /// Starts a clock.
    pub(crate) fn start() -> Self {
        Self { origin: since_boot() }
    }

    /// Returns the time.
    pub(crate) fn now(self) -> Time {
        Time::default().after(since_boot().saturating_sub(self.origin))
    }

    /// Returns the instant at which this clock shows `time`, unless the machine is suspended before.
    pub(crate) fn instant(self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::now() + time.since(self.now())
    }
}

/// Returns the time since the machine was booted, including suspend.
pub(crate) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the wall time for timestamps.
pub(crate) fn wall_time() -> Timestamp {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // The clock is before 1970.
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    };
    Timestamp::from_unix(seconds)
}
