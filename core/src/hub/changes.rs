//! The names whose directory entry a commit changes, and the connections that wait for them.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};
use core::net::IpAddr;

use super::ConnectionId;
use crate::wire::{AccountName, ChannelName};

/// Changes that are with the store, or in the commit that is being put together.
#[derive(Debug, Default)]
pub(super) struct Changes {
    names: BTreeMap<ChannelName, Change>,
    new: usize,
    /// The number of channels that each address is to host and does not host yet.
    hosts: BTreeMap<IpAddr, usize>,
    /// The number of roles that are new.
    new_roles: usize,
    /// The number of names that are to belong to each account and do not yet.
    accounts: BTreeMap<AccountName, usize>,
    /// Connections whose next request is decided by what becomes of a name, first come first.
    waiting: BTreeMap<ChannelName, VecDeque<ConnectionId>>,
}

/// A change of a name.
#[derive(Debug)]
pub(super) struct Change {
    /// Whether it is not listed yet.
    pub(super) is_new: bool,
    /// The address that is to host it and does not host it yet, as [`of_subscriber`](crate::admission) has it.
    pub(super) new_host: Option<IpAddr>,
    /// The account that it is to belong to and does not belong to yet.
    pub(super) new_owner: Option<AccountName>,
    /// Whether a role is new in it.
    pub(super) is_new_role: bool,
}

impl Change {
    /// Returns the change of a name that is taken off the list, or dropped, or whose moderation is another.
    pub(super) const fn of_known_name() -> Self {
        Self { is_new: false, new_host: None, new_owner: None, is_new_role: false }
    }
}

impl Changes {
    pub(super) fn contains(&self, channel_name: &ChannelName) -> bool {
        self.names.contains_key(channel_name)
    }

    /// Returns the number of names that are not listed yet.
    pub(super) const fn new_names(&self) -> usize {
        self.new
    }

    /// Returns the number of roles that are to be stored and are not yet.
    pub(super) const fn new_roles(&self) -> usize {
        self.new_roles
    }

    /// Returns the number of channels that an address is to host and does not host yet.
    pub(super) fn new_channels_of(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).copied().unwrap_or(0)
    }

    /// Returns the number of names that are to belong to an account and do not yet.
    pub(super) fn new_names_of(&self, account: &AccountName) -> usize {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// Begins the change of a name that no other changes.
    pub(super) fn begin(&mut self, channel_name: ChannelName, change: Change) {
        let Entry::Vacant(place) = self.names.entry(channel_name) else { return };
        self.new += usize::from(change.is_new);
        self.new_roles += usize::from(change.is_new_role);
        if let Some(host) = change.new_host {
            *self.hosts.entry(host).or_default() += 1;
        }
        if let Some(owner) = &change.new_owner {
            *self.accounts.entry(owner.clone()).or_default() += 1;
        }
        place.insert(change);
    }

    /// Ends a change whose outcome is known.
    pub(super) fn end(&mut self, channel_name: &ChannelName) {
        let Some(Change { is_new, new_host, new_owner, is_new_role }) = self.names.remove(channel_name) else { return };
        self.new -= usize::from(is_new);
        self.new_roles -= usize::from(is_new_role);
        uncount(&mut self.hosts, new_host);
        uncount(&mut self.accounts, new_owner);
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

/// Takes one from the count of a key, which is removed with the last.
pub(super) fn uncount<K: Ord>(counts: &mut BTreeMap<K, usize>, key: Option<K>) {
    if let Some(key) = key
        && let Entry::Occupied(mut count) = counts.entry(key)
    {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
