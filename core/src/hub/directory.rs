//! The listed channels, and which of them live here.

use alloc::{
    collections::{BTreeMap, BTreeSet, btree_map},
    vec::Vec,
};
use core::{mem, net::IpAddr, ops::Bound, time::Duration};

use super::{ListenerId, Peer, listed::Listed, storage::ChannelRecord};
use crate::{
    Time,
    admission::of_subscriber,
    endpoint::Listing,
    wire::{Address, Channel, ChannelName, Location},
};

/// The channels in order of creation. An entry is durable, or fixed by the operator for this run.
#[derive(Debug)]
pub(super) struct Directory {
    entries: BTreeMap<u64, Entry>,
    positions: BTreeMap<ChannelName, u64>,
    next_position: u64,
    /// Channels that are not listed, and kept for their hosts.
    released: BTreeMap<ChannelName, Released>,
    /// The ends of leases, the times until which channels are kept for their hosts, and those at which names are
    /// dropped.
    ends: BTreeSet<(Time, ChannelName)>,
    /// The number of listed channels of each host, by [`Entry::host`].
    hosts: BTreeMap<IpAddr, usize>,
    listeners: Vec<Listener>,
    /// The locations of all listeners, each with the number of listeners that have it.
    local: BTreeMap<Location, usize>,
    /// The locations of all channels, with their positions. A channel does not note whether it is local, so a change of
    /// local addresses costs the same however many channels are listed.
    located: BTreeSet<(Location, u64)>,
    /// Those of the operator's channels.
    located_fixed: BTreeSet<(Location, u64)>,
    /// The number of listed channels that live here; `None` after something that it depends on has changed.
    local_count: Option<usize>,
    /// The encoded list.
    pub(super) listed: Listed,
}

/// A channel of the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) channel: Channel,
    owner: Owner,
    /// The time of the last HOST of its host. A lease is counted from it, also one that comes later.
    hosted: Time,
    pub(super) lease: Option<Lease>,
}

/// A channel whose lease has ended.
#[derive(Debug)]
pub(super) struct Released {
    record: ChannelRecord,
    /// The time until which only its last host may host it.
    pub(super) until: Time,
}

/// The time for which a channel stays on the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) seconds: u32,
    ends: Time,
}

/// The rights to move a channel.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// The operator fixed it on the command line: no client may.
    Operator,
    /// A client at the registered address, or at the address that the HOST came from; `None` for the operator's.
    Client(Option<IpAddr>),
}

#[derive(Debug, Default)]
struct Listener {
    /// The address by which it is named.
    name: Option<Address>,
    locations: BTreeSet<Location>,
    /// The channel that a message without a name means, if that was found out since something changed.
    meant: Option<Meant>,
}

/// The channels that a message without a name may mean: those at a local address of its listener, but only the
/// operator's if there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    None,
    One(ChannelName),
    Several,
}

impl Entry {
    /// Returns whether this peer has the rights of the channel's host.
    pub(super) fn is_hosted_by(&self, peer: Peer) -> bool {
        match (peer, self.owner) {
            (Peer::Address(_) | Peer::NoAddressRights, Owner::Operator) => false,
            (Peer::Operator, Owner::Operator) => true,
            (peer, Owner::Client(from)) => is_host(peer, from, &self.channel.address),
        }
    }

    /// Returns the address that its HOST came from.
    pub(super) const fn registered_from(&self) -> Option<IpAddr> {
        match self.owner {
            Owner::Operator => None,
            Owner::Client(from) => from,
        }
    }

    /// Returns the address that its HOST came from, as limits have it: an IPv6 address stands for its /64 network.
    pub(super) fn host(&self) -> Option<IpAddr> {
        self.registered_from().map(of_subscriber)
    }

    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self.owner, Owner::Operator)
    }
}

impl Released {
    /// Returns whether this peer was the channel's host.
    pub(super) fn was_hosted_by(&self, peer: Peer) -> bool {
        is_host(peer, self.record.registered_from, &self.record.channel.address)
    }
}

/// Returns whether this peer has the rights of the host of a channel at `address` whose HOST came from
/// `registered_from`.
fn is_host(peer: Peer, registered_from: Option<IpAddr>, address: &Address) -> bool {
    match peer {
        Peer::Operator => true,
        Peer::NoAddressRights => false,
        Peer::Address(ip) => registered_from == Some(ip) || address.is_at(ip),
    }
}

impl Directory {
    /// Makes a directory without channels, whose past lists may hold so many bytes.
    pub(super) fn new(max_past_lists: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            positions: BTreeMap::new(),
            next_position: 0,
            released: BTreeMap::new(),
            ends: BTreeSet::new(),
            hosts: BTreeMap::new(),
            listeners: Vec::new(),
            local: BTreeMap::new(),
            located: BTreeSet::new(),
            located_fixed: BTreeSet::new(),
            local_count: None,
            listed: Listed::new(max_past_lists),
        }
    }

    /// Adds a listener with these local addresses.
    pub(super) fn add_listener(&mut self, addresses: &[Address]) -> ListenerId {
        let listener = ListenerId(self.listeners.len());
        self.listeners.push(Listener::default());
        self.set_local_addresses(listener, addresses);
        listener
    }

    /// Replaces a listener's local addresses. Returns the locations that are local no more.
    pub(super) fn set_local_addresses(&mut self, id: ListenerId, addresses: &[Address]) -> Vec<Location> {
        let Some(listener) = self.listeners.get_mut(id.0) else { return Vec::new() };
        self.local_count = None;
        let locations = addresses.iter().flat_map(Address::locations).collect();
        let before = mem::replace(listener, Listener { name: addresses.first().cloned(), locations, meant: None });
        for location in &listener.locations {
            *self.local.entry(location.clone()).or_default() += 1;
        }
        let mut lost = Vec::new();
        for location in before.locations {
            let btree_map::Entry::Occupied(mut listeners) = self.local.entry(location) else { continue };
            *listeners.get_mut() -= 1;
            if *listeners.get() == 0 {
                lost.push(listeners.remove_entry().0);
            }
        }
        lost
    }

    /// Gives no channel that is created from now on a position up to this one.
    pub(super) fn reserve(&mut self, position: Option<u64>) {
        self.next_position = self.next_position.max(position.map_or(0, |position| position.saturating_add(1)));
    }

    /// Lists a channel that no client may move, until the process ends.
    pub(super) fn fix(&mut self, channel: Channel) {
        let position = self.position_for(&channel.channel_name);
        self.insert(position, channel, Owner::Operator, Time::default(), None);
    }

    /// Lists a channel as it is stored, by a HOST that was received at `now`. A fixed channel of its name has
    /// precedence.
    pub(super) fn put(&mut self, record: ChannelRecord, now: Time) {
        let ChannelRecord { channel, registered_from, position, lease } = record;
        let before = self.get(&channel.channel_name);
        if before.is_some_and(Entry::is_fixed) {
            return;
        }
        // A HOST that waited for something does not take back what a later one has given.
        let hosted = before.map_or(now, |entry| entry.hosted.max(now));
        let lease = lease.map(|seconds| Lease::new(seconds, hosted));
        self.insert(position, channel, Owner::Client(registered_from), hosted, lease);
    }

    /// Takes a channel off the list and keeps it for its host.
    pub(super) fn release(&mut self, channel_name: &ChannelName, until: Time) {
        let entry =
            self.positions.get(channel_name).and_then(|position| Some((*position, self.entries.get(position)?)));
        let Some((position, entry)) = entry.filter(|(_, entry)| !entry.is_fixed()) else { return };
        let registered_from = entry.registered_from();
        let lease = entry.lease.map(|lease| lease.seconds);
        let record = ChannelRecord { channel: entry.channel.clone(), registered_from, position, lease };
        self.keep(record, until);
    }

    /// Keeps a channel that is not listed for its host.
    pub(super) fn keep(&mut self, record: ChannelRecord, until: Time) {
        let name = record.channel.channel_name.clone();
        if self.get(&name).is_some_and(Entry::is_fixed) {
            return;
        }
        self.remove(&name);
        self.next_position = self.next_position.max(record.position + 1);
        self.ends.insert((until, name.clone()));
        self.released.insert(name, Released { record, until });
    }

    /// Returns the channel of this name that is kept for its host.
    pub(super) fn released(&self, channel_name: &ChannelName) -> Option<&Released> {
        self.released.get(channel_name)
    }

    /// Returns whether a channel of this name is listed, or kept for its host.
    pub(super) fn has(&self, channel_name: &ChannelName) -> bool {
        self.positions.contains_key(channel_name) || self.released.contains_key(channel_name)
    }

    /// Adds the time at which a name may be dropped.
    pub(super) fn add_end(&mut self, channel_name: &ChannelName, at: Time) {
        self.ends.insert((at, channel_name.clone()));
    }

    pub(super) fn remove_end(&mut self, channel_name: &ChannelName, at: Time) {
        self.ends.remove(&(at, channel_name.clone()));
    }

    /// Takes a channel off the list, and keeps it for nobody.
    pub(super) fn remove(&mut self, channel_name: &ChannelName) {
        if let Some(released) = self.released.remove(channel_name) {
            self.ends.remove(&(released.until, channel_name.clone()));
        }
        let Some(position) = self.positions.remove(channel_name) else { return };
        if let Some(entry) = self.entries.remove(&position) {
            if let Some(host) = entry.host()
                && let btree_map::Entry::Occupied(mut count) = self.hosts.entry(host)
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
            let Entry { channel, lease, .. } = entry;
            if let Some(lease) = lease {
                self.ends.remove(&(lease.ends, channel_name.clone()));
            }
            for location in channel.address.locations() {
                let located = (location, position);
                self.located.remove(&located);
                self.located_fixed.remove(&located);
            }
        }
        self.reset_meant();
        self.listed.change(position);
    }

    /// Lists a channel as it is stored. If it was so before, its lease goes on.
    pub(super) fn restore(&mut self, record: ChannelRecord, now: Time) {
        let before = self.get(&record.channel.channel_name);
        let same = before.filter(|entry| entry.lease.map(|lease| lease.seconds) == record.lease);
        let hosted = same.map_or(now, |entry| entry.hosted);
        self.put(record, hosted);
    }

    /// Takes a channel off the list that is not stored.
    pub(super) fn remove_stored(&mut self, channel_name: &ChannelName) {
        if self.get(channel_name).is_none_or(|entry| !entry.is_fixed()) {
            self.remove(channel_name);
        }
    }

    /// Counts a channel's lease from `now`, at which its host's HOST was received.
    pub(super) fn renew(&mut self, channel_name: &ChannelName, now: Time) {
        let Some(entry) = self.get_mut(channel_name) else { return };
        entry.hosted = entry.hosted.max(now);
        if let Some(lease) = entry.lease {
            let lease = Lease::new(lease.seconds, entry.hosted);
            self.set_lease(channel_name, lease);
        }
    }

    fn set_lease(&mut self, channel_name: &ChannelName, lease: Lease) {
        if let Some(Entry { lease: Some(old), .. }) = self.get_mut(channel_name) {
            let before = mem::replace(old, lease);
            self.ends.remove(&(before.ends, channel_name.clone()));
            self.ends.insert((lease.ends, channel_name.clone()));
        }
    }

    /// Returns the time at which the next lease ends, or the next channel or name has been kept long enough.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// Returns what ends next after `after`, or first of all, if it has ended: see [`next_end`](Self::next_end).
    pub(super) fn next_ended(&self, after: Option<&(Time, ChannelName)>, now: Time) -> Option<(Time, ChannelName)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.ends.range((from, Bound::Unbounded)).next().filter(|(end, _)| *end <= now).cloned()
    }

    pub(super) fn get(&self, channel_name: &ChannelName) -> Option<&Entry> {
        self.entries.get(self.positions.get(channel_name)?)
    }

    fn get_mut(&mut self, channel_name: &ChannelName) -> Option<&mut Entry> {
        self.entries.get_mut(self.positions.get(channel_name)?)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the number of listed channels whose host is this, by [`Entry::host`].
    pub(super) fn hosted_by(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).copied().unwrap_or(0)
    }

    /// Returns the number of listed channels that live here.
    pub(super) fn local_count(&mut self) -> usize {
        if let Some(count) = self.local_count {
            return count;
        }
        // A channel at `localhost` may have two local locations.
        let positions = self.local.keys().flat_map(|location| positions_at(&self.located, location));
        let mut positions: Vec<u64> = positions.collect();
        positions.sort_unstable();
        positions.dedup();
        *self.local_count.insert(positions.len())
    }

    /// Returns the position in the order of creation of the channel of this name. A new channel takes the next one,
    /// which is never given again.
    pub(super) fn position_for(&mut self, channel_name: &ChannelName) -> u64 {
        let kept = || self.released.get(channel_name).map(|released| released.record.position);
        self.positions.get(channel_name).copied().or_else(kept).unwrap_or_else(|| {
            self.next_position += 1;
            self.next_position - 1
        })
    }

    /// Returns whether this is a local address of any listener.
    pub(super) fn is_local(&self, address: &Address) -> bool {
        address.locations().any(|location| self.local.contains_key(&location))
    }

    /// Returns the channels that a message without a name may mean, through this listener.
    pub(super) fn meant_at(&mut self, id: ListenerId) -> Meant {
        let Some(listener) = self.listeners.get_mut(id.0) else { return Meant::None };
        let at = |located| {
            let mut positions = listener.locations.iter().flat_map(move |location| positions_at(located, location));
            // A channel at `localhost` may have two of the listener's locations.
            positions.next().map(|first| (first, positions.any(|position| position != first)))
        };
        let meant = || match at(&self.located_fixed).or_else(|| at(&self.located)) {
            None => Meant::None,
            Some((_, true)) => Meant::Several,
            Some((position, false)) => {
                self.entries.get(&position).map_or(Meant::None, |entry| Meant::One(entry.channel.channel_name.clone()))
            }
        };
        match &listener.meant {
            Some(known) => known.clone(),
            None => {
                let meant = meant();
                listener.meant = Some(meant.clone());
                meant
            }
        }
    }

    /// Notes that a channel was put or removed: another may be meant by a message without a name.
    fn reset_meant(&mut self) {
        self.local_count = None;
        self.listeners.iter_mut().for_each(|listener| listener.meant = None);
    }

    /// Returns the address by which this listener is named.
    pub(super) fn name_of(&self, listener: ListenerId) -> Option<&Address> {
        self.listeners.get(listener.0)?.name.as_ref()
    }

    /// Returns the answer to LIST.
    pub(super) fn list(&mut self) -> Listing {
        self.listed.current(&self.entries, |entry| &entry.channel)
    }

    /// Returns the answer to LIST, if this has not returned it since it changed.
    pub(super) fn unpublished_list(&mut self) -> Option<Listing> {
        self.listed.unpublished(&self.entries, |entry| &entry.channel)
    }

    fn insert(&mut self, position: u64, channel: Channel, owner: Owner, hosted: Time, lease: Option<Lease>) {
        let name = channel.channel_name.clone();
        self.remove(&name);
        self.next_position = self.next_position.max(position + 1);
        if let Some(lease) = lease {
            self.ends.insert((lease.ends, name.clone()));
        }
        for location in channel.address.locations() {
            if matches!(owner, Owner::Operator) {
                self.located_fixed.insert((location.clone(), position));
            }
            self.located.insert((location, position));
        }
        self.reset_meant();
        self.positions.insert(name, position);
        let entry = Entry { channel, owner, hosted, lease };
        if let Some(host) = entry.host() {
            *self.hosts.entry(host).or_default() += 1;
        }
        self.entries.insert(position, entry);
        self.listed.change(position);
    }
}

impl Lease {
    fn new(seconds: u32, from: Time) -> Self {
        Self { seconds, ends: from.after(Duration::from_secs(seconds.into())) }
    }
}

/// Returns the positions of the channels at a location.
fn positions_at<'a>(
    located: &'a BTreeSet<(Location, u64)>,
    location: &Location,
) -> impl Iterator<Item = u64> + use<'a> {
    located.range((location.clone(), 0)..=(location.clone(), u64::MAX)).map(|(_, position)| *position)
}
