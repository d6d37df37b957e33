//! Notices that wait until they can be sent.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use crate::wire::{ChannelName, Notice};

/// The notices that wait for one connection: at most one of each kind and channel, so they are bounded by its joins.
#[derive(Debug, Default)]
pub(super) struct WaitingNotices(BTreeMap<ChannelName, Vec<Arc<Notice>>>);

impl WaitingNotices {
    /// Adds a notice. It replaces one of its kind and channel.
    pub(super) fn add(&mut self, notice: Arc<Notice>) {
        let waiting = self.0.entry(notice.channel_name().clone()).or_default();
        match waiting.iter_mut().find(|earlier| earlier.kind() == notice.kind()) {
            Some(earlier) => *earlier = Arc::new(notice.replacing(earlier)),
            None => waiting.push(notice),
        }
    }

    /// Takes the next notice.
    pub(super) fn pop(&mut self) -> Option<Arc<Notice>> {
        let mut first = self.0.first_entry()?;
        let notice = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        notice
    }

    /// Drops the notices of a channel that are of such a kind.
    pub(super) fn drop_of(&mut self, channel_name: &ChannelName, is_such: impl Fn(&Notice) -> bool) {
        if let Some(waiting) = self.0.get_mut(channel_name) {
            waiting.retain(|notice| !is_such(notice));
            if waiting.is_empty() {
                self.0.remove(channel_name);
            }
        }
    }

    /// Drops all notices.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
