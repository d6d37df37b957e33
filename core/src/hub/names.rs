//! The names that are known: how long they are kept for a host, and when they are dropped.

use core::time::Duration;

use super::{Hub, Moment};
use crate::{
    Time,
    wire::{ChannelName, Timestamp},
};

/// The least and the most seconds for which a channel whose lease has ended is kept for its host. Between them, it is
/// the lease's length.
pub(super) const GRACE: (u32, u32) = (60, 3600);

/// The time after which a name is looked at again that cannot be dropped yet.
pub(super) const DROP_RETRY: Duration = Duration::from_secs(60);

/// Returns the time of a moment of wall time, as the clock went on from the start: later leaps do not count.
pub(super) fn time_at(origin: Moment, wall: Timestamp) -> Time {
    let seconds = wall.as_unix().saturating_sub(origin.wall.as_unix()).max(0);
    origin.time.after(Duration::from_secs(seconds.unsigned_abs()))
}

impl Hub {
    /// Returns the wall time of a time, rounded up: see [`time_at`].
    pub(super) fn wall_at(&self, time: Time) -> Timestamp {
        let seconds = time.since(self.origin.time).as_millis().div_ceil(1000);
        Timestamp::from_unix(self.origin.wall.as_unix().saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// Returns the number of known names: those that are listed, kept for a host, or that ever had a message and are
    /// not dropped.
    #[must_use]
    pub fn names(&self) -> usize {
        self.logs.len()
    }

    /// Marks a name as in use, so that it is no longer due to be dropped.
    pub(super) fn mark_in_use(&mut self, channel_name: &ChannelName) {
        match self.logs.get_mut(channel_name) {
            Some(log) => {
                if let Some(at) = log.drop_at.take() {
                    self.directory.remove_end(channel_name, at);
                }
            }
            None => drop(self.logs.insert(channel_name.clone(), super::Log::default())),
        }
    }

    /// Drops a name.
    pub(super) fn drop_name(&mut self, channel_name: &ChannelName) {
        self.owners.set(channel_name, None);
        self.moderation.take(channel_name);
        self.senders.drop_channel(channel_name);
        if let Some(at) = self.logs.remove(channel_name).and_then(|log| log.drop_at) {
            self.directory.remove_end(channel_name, at);
        }
    }

    /// Returns the time after which a name is dropped that is neither listed nor keeps a message. It outlives the keys of
    /// its messages: its ids start again, and no key may then mean an id of another message.
    pub(super) fn drop_names_after(&self) -> Duration {
        self.limits.drop_names_after.max(self.limits.retry_window)
    }

    /// Has a name dropped later if it is neither listed nor an account's and keeps no message; at once if it never had any.
    pub(super) fn idle(&mut self, channel_name: &ChannelName, now: Time) {
        let Some(log) = self.logs.get(channel_name) else { return };
        if self.directory.has(channel_name) || log.first_id <= log.last_id || self.owners.of(channel_name).is_some() {
            return;
        }
        if log.last_id == 0 {
            self.logs.remove(channel_name);
        } else {
            self.keep_idle(channel_name, now.after(self.drop_names_after()));
        }
    }

    /// Has a name dropped at this time.
    pub(super) fn keep_idle(&mut self, channel_name: &ChannelName, until: Time) {
        let Some(log) = self.logs.get_mut(channel_name) else { return };
        if let Some(at) = log.drop_at.replace(until) {
            self.directory.remove_end(channel_name, at);
        }
        self.directory.add_end(channel_name, until);
    }
}
