//! The clock of retention by age. A wall clock that jumps must neither drop messages early nor keep them for ever.

use std::{collections::BTreeMap, time::Duration};

/// The most by which a message's time may be ahead of the clock and still count as correct.
const AHEAD: i64 = 60;

/// A clock for retention. It follows the wall clock, but advances at most an eighth faster than monotonic time. So
/// after a jump messages age at most an eighth faster, and a lag is caught up.
#[derive(Debug)]
pub(super) struct AgeClock {
    /// Milliseconds since 1970.
    now: i64,
    /// The monotonic time at which it was set.
    at: Duration,
    /// Whether the warning is logged, and the clock has not caught up since.
    is_behind: bool,
}

/// The lead of the wall clock, in seconds, above which a warning is logged.
const WARN_LEAD: i64 = 60;

impl AgeClock {
    /// Creates a clock at the wall time, or at the newest message's time if that message would be too old at the wall
    /// time: either the server was down for so long or the clock has jumped.
    pub(super) fn start(wall: i64, newest: Option<i64>, age: Duration, at: Duration) -> Self {
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let begin = newest.filter(|newest| wall.saturating_sub(*newest) > age).unwrap_or(wall);
        let mut clock = Self { now: begin.saturating_mul(1000), at, is_behind: false };
        clock.log_lag(wall);
        clock
    }

    /// Advances the clock towards this wall time. Returns its time, in seconds since 1970.
    pub(super) fn advance(&mut self, wall: i64, at: Duration) -> i64 {
        let passed = i64::try_from(at.saturating_sub(self.at).as_millis()).unwrap_or(i64::MAX);
        let furthest = self.now.saturating_add(passed).saturating_add(passed / 8);
        self.now = wall.saturating_mul(1000).min(furthest);
        self.at = at;
        self.log_lag(wall);
        self.now.div_euclid(1000)
    }

    /// Logs when the clock falls far behind the wall clock, and when it has caught up.
    fn log_lag(&mut self, wall: i64) {
        let lag = wall.saturating_sub(self.now.div_euclid(1000));
        if lag > WARN_LEAD && !self.is_behind {
            tracing::warn!(
                seconds = lag,
                "the wall clock is far ahead of the retention clock: messages age by elapsed time until it has caught up"
            );
        } else if lag <= 1 && self.is_behind {
            tracing::info!("the retention clock has caught up with the wall clock");
        }
        self.is_behind = lag > WARN_LEAD || self.is_behind && lag > 1;
    }
}

/// Returns whether a message's time is too far ahead of the clock to be correct.
pub(super) const fn is_ahead(timestamp: i64, now: i64) -> bool {
    timestamp > now.saturating_add(AHEAD)
}

/// Channel logs whose oldest message is ahead of the clock, so that its age is unknown. Such a message is dropped once
/// it has been seen for the maximum age.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// By log, its marks: the id of the last message at some time, and how long ago that was.
    logs: BTreeMap<i64, Vec<(u64, Duration)>>,
}

/// The number of marks that a log gets within the maximum age.
const MARKS: u32 = 16;

impl Waits {
    /// Updates the logs after time has passed. `logs` are those that wait now, each with its oldest and last message.
    /// Returns those among them that did not wait before.
    pub(super) fn update(&mut self, passed: Duration, age: Duration, logs: &BTreeMap<i64, (u64, u64)>) -> Vec<i64> {
        self.logs.retain(|log, _| logs.contains_key(log));
        let mut new = Vec::new();
        for (log, (first, last)) in logs {
            let marks = self.logs.entry(*log).or_insert_with(|| {
                new.push(*log);
                Vec::new()
            });
            marks.retain(|(id, _)| id >= first);
            marks.iter_mut().for_each(|(_, waited)| *waited = waited.saturating_add(passed));
            if marks.last().is_none_or(|(id, waited)| id < last && *waited >= age / MARKS) {
                marks.push((*last, Duration::ZERO));
            }
        }
        new
    }

    /// Returns the logs that wait.
    pub(super) fn logs(&self) -> impl Iterator<Item = i64> {
        self.logs.keys().copied()
    }

    /// Returns the id of the newest message of a log that has waited for the maximum age; 0 if none has.
    pub(super) fn expired_up_to(&self, log: i64, age: Duration) -> u64 {
        let marks = self.logs.get(&log).map(Vec::as_slice).unwrap_or_default();
        marks.iter().filter(|(_, waited)| *waited >= age).map(|(id, _)| *id).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const NOW: i64 = 1_800_000_000;

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * DAY)
    }

    #[test]
    fn a_leap_forward_ages_messages_by_the_time_that_passes() {
        let mut clock = AgeClock::start(NOW, Some(NOW - 5), days(30), Duration::ZERO);
        assert_eq!(clock.advance(NOW + 60, Duration::from_secs(60)), NOW + 60);
        let leapt = NOW + 74 * 365 * DAY as i64;
        let later = clock.advance(leapt, Duration::from_secs(120));
        assert!((NOW + 120..=NOW + 130).contains(&later), "{later}");
        let week = clock.advance(leapt, days(8));
        assert!((NOW + 8 * DAY as i64 - 100..=NOW + 9 * DAY as i64).contains(&week), "{week}");
        // The clock is corrected.
        assert_eq!(clock.advance(NOW + 8 * DAY as i64, days(8)), NOW + 8 * DAY as i64);
    }

    #[test]
    fn a_lag_is_caught_up_and_a_clock_that_goes_back_drops_less() {
        let mut clock = AgeClock::start(NOW, None, days(1), Duration::ZERO);
        for hour in 1..=8 {
            clock.advance(NOW + 3600 * (hour + 1), Duration::from_secs(3600) * hour as u32);
        }
        assert_eq!(clock.advance(NOW + 3600 * 10, Duration::from_secs(3600 * 9)), NOW + 3600 * 10);
        assert_eq!(clock.advance(NOW - 1000, Duration::from_secs(3600 * 9 + 1)), NOW - 1000);
    }

    #[test]
    fn a_clock_at_the_start_by_which_every_message_is_too_old_is_not_trusted() {
        let mut clock = AgeClock::start(NOW, Some(NOW - 40 * DAY as i64), days(30), Duration::ZERO);
        assert_eq!(clock.advance(NOW, Duration::ZERO), NOW - 40 * DAY as i64);
        let mut clock = AgeClock::start(NOW, Some(NOW - 20 * DAY as i64), days(30), Duration::ZERO);
        assert_eq!(clock.advance(NOW, Duration::ZERO), NOW);
        // A time ahead of the clock is ignored.
        let mut clock = AgeClock::start(NOW, Some(NOW * 2), days(30), Duration::ZERO);
        assert_eq!(clock.advance(NOW, Duration::ZERO), NOW);
    }

    #[test]
    fn messages_behind_a_wrong_time_are_dropped_after_the_maximum_age() {
        let (mut waits, age) = (Waits::default(), days(32));
        let mut dropped = 0;
        // Ten messages a day, the first one with a wrong time.
        for day in 0..100 {
            let last = 10 * (day + 1);
            waits.update(days(1), age, &BTreeMap::from([(1, (dropped + 1, last))]));
            dropped = dropped.max(waits.expired_up_to(1, age));
            assert!(waits.logs[&1].len() <= 20, "{waits:?}");
            // Never early, and late by at most a sixteenth and one interval.
            assert!(dropped <= last.saturating_sub(10 * 32), "day {day}: {dropped} of {last}");
            assert!(dropped >= last.saturating_sub(10 * 36), "day {day}: {dropped} of {last}");
        }
        waits.update(days(1), age, &BTreeMap::new());
        assert_eq!(waits.expired_up_to(1, age), 0);
    }
}
