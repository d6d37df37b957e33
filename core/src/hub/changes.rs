//! The names whose directory entry a commit changes, and the connections that wait for them.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};
use core::net::IpAddr;

use super::ConnectionId;
use crate::wire::ChannelName;

/// Changes that are with the store, or in the commit that is being put together.
#[derive(Debug, Default)]
pub(super) struct Changes {
    names: BTreeMap<ChannelName, Change>,
    new: usize,
    /// The number of channels that each address is to host and does not host yet.
    hosts: BTreeMap<IpAddr, usize>,
    /// Connections whose next request is decided by what becomes of a name, first come first.
    waiting: BTreeMap<ChannelName, VecDeque<ConnectionId>>,
}

/// A change of a name.
#[derive(Debug)]
struct Change {
    /// Whether it is not listed yet.
    is_new: bool,
    /// The address that is to host it and does not host it yet, as [`of_subscriber`](crate::admission) has it.
    new_host: Option<IpAddr>,
}

impl Changes {
    pub(super) fn contains(&self, channel_name: &ChannelName) -> bool {
        self.names.contains_key(channel_name)
    }

    /// Returns the number of names that are not listed yet.
    pub(super) const fn new_names(&self) -> usize {
        self.new
    }

    /// Returns the number of channels that an address is to host and does not host yet.
    pub(super) fn new_channels_of(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).copied().unwrap_or(0)
    }

    pub(super) fn begin(&mut self, channel_name: ChannelName, is_new: bool, new_host: Option<IpAddr>) {
        if self.names.insert(channel_name, Change { is_new, new_host }).is_none() {
            self.new += usize::from(is_new);
            if let Some(host) = new_host {
                *self.hosts.entry(host).or_default() += 1;
            }
        }
    }

    /// Ends a change whose outcome is known.
    pub(super) fn end(&mut self, channel_name: &ChannelName) {
        let Some(Change { is_new, new_host }) = self.names.remove(channel_name) else { return };
        self.new -= usize::from(is_new);
        if let Some(host) = new_host
            && let Entry::Occupied(mut count) = self.hosts.entry(host)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
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
