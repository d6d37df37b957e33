//! The names whose directory entry a commit changes, and the connections that wait for them.

use alloc::collections::{BTreeMap, VecDeque};

use super::ConnectionId;
use crate::wire::ChannelName;

/// Changes that are with the store, or in the commit that is being put together.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The names, each with whether it is not listed yet.
    names: BTreeMap<ChannelName, bool>,
    new: usize,
    /// Connections whose next request is decided by what becomes of a name, first come first.
    waiting: BTreeMap<ChannelName, VecDeque<ConnectionId>>,
}

impl Changes {
    pub(super) fn contains(&self, channel_name: &ChannelName) -> bool {
        self.names.contains_key(channel_name)
    }

    /// Returns the number of names that are not listed yet.
    pub(super) const fn new_names(&self) -> usize {
        self.new
    }

    pub(super) fn begin(&mut self, channel_name: ChannelName, is_new: bool) {
        if self.names.insert(channel_name, is_new).is_none() {
            self.new += usize::from(is_new);
        }
    }

    /// Ends a change whose outcome is known.
    pub(super) fn end(&mut self, channel_name: &ChannelName) {
        if let Some(is_new) = self.names.remove(channel_name) {
            self.new -= usize::from(is_new);
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has a connection's next request wait for a name.
    pub(super) fn wait(&mut self, channel_name: ChannelName, id: ConnectionId) {
        self.waiting.entry(channel_name).or_default().push_back(id);
    }

    /// Takes the connection that has waited longest for a name, if that no longer changes.
    pub(super) fn next_waiting(&mut self, channel_name: &ChannelName) -> Option<ConnectionId> {
        if self.contains(channel_name) {
            return None;
        }
        let waiting = self.waiting.get_mut(channel_name)?;
        let id = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(channel_name);
        }
        id
    }

    /// Takes all waiting connections.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = ConnectionId> + use<> {
        core::mem::take(&mut self.waiting).into_values().flatten()
    }
}
