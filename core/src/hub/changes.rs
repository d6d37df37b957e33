//! The names whose directory entry a commit changes, and who waits for what becomes of them.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
};

use super::ConnectionId;

/// Changes that are with the store, or in the commit that is being put together.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Each with whether it is not listed yet.
    names: BTreeMap<String, bool>,
    new: usize,
    /// Connections whose next request is decided by what becomes of a name, first come first.
    waiting: BTreeMap<String, VecDeque<ConnectionId>>,
}

impl Changes {
    pub(super) fn contains(&self, channel_name: &str) -> bool {
        self.names.contains_key(channel_name)
    }

    /// How many of them are not listed yet.
    pub(super) const fn new_names(&self) -> usize {
        self.new
    }

    pub(super) fn begin(&mut self, channel_name: String, is_new: bool) {
        if self.names.insert(channel_name, is_new).is_none() {
            self.new += usize::from(is_new);
        }
    }

    /// It is known what became of it.
    pub(super) fn end(&mut self, channel_name: &str) {
        if let Some(is_new) = self.names.remove(channel_name) {
            self.new -= usize::from(is_new);
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A connection's next request waits for a name.
    pub(super) fn wait(&mut self, channel_name: String, id: ConnectionId) {
        self.waiting.entry(channel_name).or_default().push_back(id);
    }

    /// The connection that has waited longest for a name, if it no longer changes.
    pub(super) fn next_waiting(&mut self, channel_name: &str) -> Option<ConnectionId> {
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

    /// Takes all that wait.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = ConnectionId> + use<> {
        core::mem::take(&mut self.waiting).into_values().flatten()
    }
}
