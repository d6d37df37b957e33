//! The channels that are listed, and which of them live here.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::net::IpAddr;

use super::{ListenerId, storage::ChannelRecord};
use crate::wire::{Address, Channel, encode_channels};

/// The channels in order of creation. What stands in it is durable, or fixed by the operator for this run.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: BTreeMap<u64, Entry>,
    positions: BTreeMap<String, u64>,
    next_position: u64,
    listeners: Vec<Listener>,
    /// The answer to LIST, made when it is first asked for after a change.
    listed: Option<Arc<[u8]>>,
}

/// A channel of the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) channel: Channel,
    owner: Owner,
    /// Whether it is registered under an own address of this server.
    pub(super) is_here: bool,
}

/// Who may move a channel.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// The operator fixed it on the command line: no client may.
    Operator,
    /// Whoever sends from the registered address, or from where the HOST came.
    Client(IpAddr),
}

#[derive(Debug)]
struct Listener {
    own: Vec<Address>,
    /// The channels registered at one of its addresses.
    channels: BTreeSet<String>,
}

impl Entry {
    /// Whether a client at this address is the channel's host.
    pub(super) fn is_hosted_by(&self, peer: IpAddr) -> bool {
        match self.owner {
            Owner::Operator => false,
            Owner::Client(registered_from) => registered_from == peer || self.channel.address.is_at(peer),
        }
    }

    const fn is_fixed(&self) -> bool {
        matches!(self.owner, Owner::Operator)
    }
}

impl Directory {
    /// The server accepts connections at these addresses as well, through one more listener.
    pub(super) fn add_listener(&mut self, own: Vec<Address>) -> ListenerId {
        self.listeners.push(Listener { own, channels: BTreeSet::new() });
        self.settle_all();
        ListenerId(self.listeners.len() - 1)
    }

    /// A listener's own addresses are these now.
    pub(super) fn set_own_addresses(&mut self, listener: ListenerId, own: Vec<Address>) {
        if let Some(listener) = self.listeners.get_mut(listener.0) {
            listener.own = own;
            self.settle_all();
        }
    }

    /// Lists a channel that no client may move, until the process ends.
    pub(super) fn fix(&mut self, channel: Channel) {
        let position = self.position_for(&channel.channel_name);
        self.insert(position, channel, Owner::Operator);
    }

    /// Lists a channel as it is stored. A fixed one of its name comes first.
    pub(super) fn put(&mut self, record: ChannelRecord) {
        if self.get(&record.channel.channel_name).is_some_and(Entry::is_fixed) {
            return;
        }
        self.insert(record.position, record.channel, Owner::Client(record.registered_from));
    }

    /// Puts these stored channels in the place of all that are stored.
    pub(super) fn replace(&mut self, records: Vec<ChannelRecord>) {
        let fixed = |entry: &Entry| entry.is_fixed();
        self.entries.retain(|_, entry| fixed(entry));
        let kept: BTreeSet<u64> = self.entries.keys().copied().collect();
        self.positions.retain(|_, position| kept.contains(position));
        for listener in &mut self.listeners {
            let stays = |name: &String| self.positions.contains_key(name);
            listener.channels.retain(stays);
        }
        self.listed = None;
        for record in records {
            self.put(record);
        }
    }

    pub(super) fn get(&self, channel_name: &str) -> Option<&Entry> {
        self.entries.get(self.positions.get(channel_name)?)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place in the order of creation of the channel of this name. A new channel's is kept for it: a place that
    /// comes to nothing is never taken again.
    pub(super) fn position_for(&mut self, channel_name: &str) -> u64 {
        self.positions.get(channel_name).copied().unwrap_or_else(|| {
            self.next_position += 1;
            self.next_position - 1
        })
    }

    /// The channels registered at an own address of this listener.
    pub(super) fn channels_at(&self, listener: ListenerId) -> impl Iterator<Item = &str> {
        self.listeners.get(listener.0).into_iter().flat_map(|listener| &listener.channels).map(String::as_str)
    }

    /// The address by which this listener is named.
    pub(super) fn name_of(&self, listener: ListenerId) -> Option<&Address> {
        self.listeners.get(listener.0)?.own.first()
    }

    /// The answer to LIST, shared by everybody who asks between two changes.
    pub(super) fn list(&mut self) -> Arc<[u8]> {
        let entries = &self.entries;
        let encode = || {
            let mut out = Vec::new();
            encode_channels(entries.values().map(|entry| &entry.channel), &mut out);
            out.into()
        };
        self.listed.get_or_insert_with(encode).clone()
    }

    fn insert(&mut self, position: u64, channel: Channel, owner: Owner) {
        let name = channel.channel_name.clone();
        if let Some(before) = self.positions.insert(name, position) {
            self.entries.remove(&before);
        }
        self.next_position = self.next_position.max(position + 1);
        let is_here = settle(&mut self.listeners, &channel);
        self.entries.insert(position, Entry { channel, owner, is_here });
        self.listed = None;
    }

    fn settle_all(&mut self) {
        for entry in self.entries.values_mut() {
            entry.is_here = settle(&mut self.listeners, &entry.channel);
        }
    }
}

/// Notes at which listeners a channel lives, and says whether it does at any.
fn settle(listeners: &mut [Listener], channel: &Channel) -> bool {
    let mut is_here = false;
    for listener in listeners {
        if listener.own.iter().any(|own| own.same_place(&channel.address)) {
            is_here = true;
            listener.channels.insert(channel.channel_name.clone());
        } else {
            listener.channels.remove(&channel.channel_name);
        }
    }
    is_here
}
