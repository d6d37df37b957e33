//! The times of the last messages in channels with slow mode.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use super::Sender;
use crate::{Time, wire::ChannelName};

/// The most senders whose last message is timed. Beyond it, those who wrote the longest time ago may write sooner.
const MAX_TIMED: usize = 100_000;

/// The longest time between two messages that a channel can ask for.
const LONGEST: Duration = Duration::from_secs(3600);

/// The time of the last message of each sender in each channel with slow mode, in memory only.
#[derive(Debug, Default)]
pub(super) struct SlowMode {
    last: BTreeMap<(ChannelName, Sender), Time>,
    order: BTreeSet<(Time, ChannelName, Sender)>,
}

impl SlowMode {
    /// Notes that a message of a sender was stored, which was received at `at`.
    pub(super) fn sent(&mut self, channel_name: ChannelName, sender: Sender, at: Time) {
        self.order.insert((at, channel_name.clone(), sender.clone()));
        let key = (channel_name, sender);
        if let Some(before) = self.last.insert(key.clone(), at).filter(|before| *before != at) {
            self.order.remove(&(before, key.0, key.1));
        }
        let is_over = |first: &(Time, ChannelName, Sender)| at.since(first.0) >= LONGEST;
        // Two for each that is added, so that the past ones are dropped in the end.
        for _ in 0..2 {
            if (self.last.len() > MAX_TIMED || self.order.first().is_some_and(is_over))
                && let Some((_, channel_name, sender)) = self.order.pop_first()
            {
                self.last.remove(&(channel_name, sender));
            }
        }
    }

    /// Returns the seconds that are left until a sender may write again, where there must be so many between two
    /// messages; `None` if it may.
    pub(super) fn wait(&self, channel_name: &ChannelName, sender: &Sender, seconds: u16, at: Time) -> Option<u32> {
        let last = self.last.get(&(channel_name.clone(), sender.clone()))?;
        let left = Duration::from_secs(seconds.into()).checked_sub(at.since(*last))?;
        let left = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        (left > 0).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn sender(number: usize) -> Sender {
        Sender::Guest(format!("{number}").parse().unwrap())
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn the_seconds_left_are_rounded_up() {
        let (name, mut slow): (ChannelName, _) = ("a".parse().unwrap(), SlowMode::default());
        slow.sent(name.clone(), sender(1), at(1500));
        for (time, left) in [(0, Some(10)), (1500, Some(10)), (1501, Some(10)), (10_501, Some(1)), (11_500, None)] {
            assert_eq!(slow.wait(&name, &sender(1), 10, at(time)), left, "{time}");
        }
        assert_eq!(slow.wait(&name, &sender(2), 10, at(1500)), None);
        assert_eq!(slow.wait(&name, &sender(1), 0, at(1500)), None);
        // A longer time counts at once.
        assert_eq!(slow.wait(&name, &sender(1), 3600, at(11_500)), Some(3590));
    }

    #[test]
    fn past_and_excess_senders_are_dropped() {
        let (name, mut slow): (ChannelName, _) = ("a".parse().unwrap(), SlowMode::default());
        for number in 0..=MAX_TIMED {
            slow.sent(name.clone(), sender(number), at(number as u64));
        }
        assert_eq!((slow.last.len(), slow.order.len()), (MAX_TIMED, MAX_TIMED));
        assert_eq!(slow.wait(&name, &sender(0), 3600, at(0)), None);
        assert_eq!(slow.wait(&name, &sender(1), 3600, at(1)), Some(3600));
        for number in 0..MAX_TIMED {
            slow.sent(name.clone(), sender(0), at(10_000_000 + number as u64));
        }
        assert_eq!((slow.last.len(), slow.order.len()), (1, 1));
    }
}
