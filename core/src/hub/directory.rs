//! The listed channels, and which of them live here.

use alloc::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
    vec::Vec,
};
use core::{mem, net::IpAddr, ops::Bound, time::Duration};

use super::{ListenerId, access::Asker, changes::uncount, lists::Lists, storage::ChannelRecord};
use crate::{
    Time,
    admission::of_subscriber,
    endpoint::Listing,
    rights::{Principal, Rights, View},
    wire::{AccountName, Address, Channel, ChannelName, Location},
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
    located: BTreeSet<Located>,
    /// Those of the operator's channels.
    located_fixed: BTreeSet<Located>,
    /// The number of listed channels that live here; `None` after something that it depends on has changed.
    local_count: Option<usize>,
    rights: Arc<Rights>,
    /// The encoded lists.
    pub(super) lists: Lists,
}

/// The place of a channel: a location of it, the number of its rule, and its position.
type Located = (Location, Option<usize>, u64);

/// A channel of the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) channel: Channel,
    /// The number of the rule that decides the rights to it.
    pub(super) rule: Option<usize>,
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
#[derive(Clone, Debug)]
enum Owner {
    /// The operator fixed it on the command line: no client may.
    Operator,
    /// The account that hosted it; of a guest's, a client at the registered address, or at the address that the HOST came
    /// from; `None` for the operator's.
    Client { account: Option<AccountName>, registered_from: Option<IpAddr> },
}

#[derive(Debug, Default)]
struct Listener {
    /// The address by which it is named.
    name: Option<Address>,
    locations: BTreeSet<Location>,
    /// The channel that a guest's message without a name means, if that was found out since something changed.
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
    /// Returns whether this client has the rights of the channel's host.
    pub(super) fn is_hosted_by(&self, asker: Asker<'_>) -> bool {
        match &self.owner {
            Owner::Operator => asker.is_operator,
            Owner::Client { account, registered_from } => {
                is_host(asker, account.as_ref(), *registered_from, &self.channel.address)
            }
        }
    }

    /// Returns the account that this client's HOST gives it to: a guest's channel becomes an account's when its host
    /// repeats the HOST signed in.
    pub(super) fn claimed_by<'a>(&self, asker: Asker<'a>) -> Option<&'a AccountName> {
        let Owner::Client { account: None, registered_from } = self.owner else { return None };
        let address = Asker { account: None, is_operator: false, ..asker };
        asker.account.filter(|_| is_host(address, None, registered_from, &self.channel.address))
    }

    /// Returns the account that hosts it.
    pub(super) const fn account(&self) -> Option<&AccountName> {
        match &self.owner {
            Owner::Client { account, .. } => account.as_ref(),
            Owner::Operator => None,
        }
    }

    /// Returns the address that its HOST came from.
    pub(super) const fn registered_from(&self) -> Option<IpAddr> {
        match self.owner {
            Owner::Operator => None,
            Owner::Client { registered_from, .. } => registered_from,
        }
    }

    /// Returns the address that its HOST came from, as limits have it: an IPv6 address stands for its /64 network. An
    /// account's counts for no address.
    pub(super) fn host(&self) -> Option<IpAddr> {
        self.registered_from().filter(|_| self.account().is_none()).map(of_subscriber)
    }

    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self.owner, Owner::Operator)
    }
}

impl Released {
    /// Returns whether this client was the channel's host.
    pub(super) fn was_hosted_by(&self, asker: Asker<'_>) -> bool {
        let ChannelRecord { channel, registered_from, account, .. } = &self.record;
        is_host(asker, account.as_ref(), *registered_from, &channel.address)
    }
}

/// Returns whether this client has the rights of the host of a channel of an account, or of a guest's channel at `address`
/// whose HOST came from `registered_from`.
fn is_host(
    asker: Asker<'_>,
    account: Option<&AccountName>,
    registered_from: Option<IpAddr>,
    address: &Address,
) -> bool {
    asker.is_operator
        || match account {
            Some(account) => asker.account == Some(account),
            None => asker.address().is_some_and(|ip| registered_from == Some(ip) || address.is_at(ip)),
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
            lists: Lists::new(Rights::default().view(Principal::Guest), max_past_lists),
            rights: Arc::default(),
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
        let ChannelRecord { channel, registered_from, account, position, lease } = record;
        let before = self.get(&channel.channel_name);
        if before.is_some_and(Entry::is_fixed) {
            return;
        }
        // A HOST that waited for something does not take back what a later one has given.
        let hosted = before.map_or(now, |entry| entry.hosted.max(now));
        let lease = lease.map(|seconds| Lease::new(seconds, hosted));
        self.insert(position, channel, Owner::Client { account, registered_from }, hosted, lease);
    }

    /// Takes a channel off the list and keeps it for its host.
    pub(super) fn release(&mut self, channel_name: &ChannelName, until: Time) {
        let entry =
            self.positions.get(channel_name).and_then(|position| Some((*position, self.entries.get(position)?)));
        let Some((position, entry)) = entry.filter(|(_, entry)| !entry.is_fixed()) else { return };
        let registered_from = entry.registered_from();
        let lease = entry.lease.map(|lease| lease.seconds);
        let (channel, account) = (entry.channel.clone(), entry.account().cloned());
        let record = ChannelRecord { channel, registered_from, account, position, lease };
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
            uncount(&mut self.hosts, entry.host());
            let Entry { channel, rule, lease, .. } = entry;
            if let Some(lease) = lease {
                self.ends.remove(&(lease.ends, channel_name.clone()));
            }
            for location in channel.address.locations() {
                let located = (location, rule, position);
                self.located.remove(&located);
                self.located_fixed.remove(&located);
            }
        }
        self.reset_meant();
        self.lists.change(position);
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

    /// Returns the listed channels from a position on, in order of creation.
    pub(super) fn entries_from(&self, position: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(position..).map(|(position, entry)| (*position, entry))
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

    /// Returns the channels of a view that a message without a name may mean, through this listener. The cost does not
    /// depend on the number of channels.
    pub(super) fn meant_at(&mut self, id: ListenerId, view: &View) -> Meant {
        let is_guests = self.lists.is_guests(view);
        let Some(listener) = self.listeners.get_mut(id.0) else { return Meant::None };
        if let Some(known) = listener.meant.as_ref().filter(|_| is_guests) {
            return known.clone();
        }
        let at = |located| {
            // Two channels of each rule are enough. A channel at `localhost` may have two of the listener's locations.
            let of_rules = |location| view.rules().flat_map(move |rule| positions_of(located, location, rule).take(2));
            let mut positions = listener.locations.iter().flat_map(of_rules);
            positions.next().map(|first| (first, positions.any(|position| position != first)))
        };
        let meant = match at(&self.located_fixed).or_else(|| at(&self.located)) {
            None => Meant::None,
            Some((_, true)) => Meant::Several,
            Some((position, false)) => {
                self.entries.get(&position).map_or(Meant::None, |entry| Meant::One(entry.channel.channel_name.clone()))
            }
        };
        if is_guests {
            listener.meant = Some(meant.clone());
        }
        meant
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

    /// Returns the answer to LIST of a principal with this view, and the number of channels that were looked at for it.
    pub(super) fn list(&mut self, view: &View) -> (Listing, usize) {
        self.lists.current(view, &self.entries)
    }

    /// Returns the answer to LIST of guests, if this has not returned it since it changed.
    pub(super) fn unpublished_list(&mut self) -> Option<Listing> {
        self.lists.unpublished(&self.entries)
    }

    /// Returns the accounts, and the rights to channels.
    pub(super) const fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Replaces the accounts, and the rights to channels. Returns those of before.
    pub(super) fn set_rights(&mut self, rights: Arc<Rights>) -> Arc<Rights> {
        let before = mem::replace(&mut self.rights, rights);
        (self.located, self.located_fixed) = Default::default();
        for (position, entry) in &mut self.entries {
            entry.rule = self.rights.rule_of(&entry.channel.channel_name);
            for location in entry.channel.address.locations() {
                if entry.is_fixed() {
                    self.located_fixed.insert((location.clone(), entry.rule, *position));
                }
                self.located.insert((location, entry.rule, *position));
            }
        }
        self.reset_meant();
        self.lists.set_guests(self.rights.view(Principal::Guest), &self.entries);
        before
    }

    fn insert(&mut self, position: u64, channel: Channel, owner: Owner, hosted: Time, lease: Option<Lease>) {
        let name = channel.channel_name.clone();
        self.remove(&name);
        self.next_position = self.next_position.max(position + 1);
        if let Some(lease) = lease {
            self.ends.insert((lease.ends, name.clone()));
        }
        let rule = self.rights.rule_of(&name);
        for location in channel.address.locations() {
            if matches!(owner, Owner::Operator) {
                self.located_fixed.insert((location.clone(), rule, position));
            }
            self.located.insert((location, rule, position));
        }
        self.reset_meant();
        self.positions.insert(name, position);
        let entry = Entry { channel, rule, owner, hosted, lease };
        if let Some(host) = entry.host() {
            *self.hosts.entry(host).or_default() += 1;
        }
        self.entries.insert(position, entry);
        self.lists.change(position);
    }
}

impl Lease {
    fn new(seconds: u32, from: Time) -> Self {
        Self { seconds, ends: from.after(Duration::from_secs(seconds.into())) }
    }
}

/// Returns the positions of the channels at a location.
fn positions_at<'a>(located: &'a BTreeSet<Located>, location: &Location) -> impl Iterator<Item = u64> + use<'a> {
    let (first, last) = ((location.clone(), None, 0), (location.clone(), Some(usize::MAX), u64::MAX));
    located.range(first..=last).map(|(.., position)| *position)
}

/// Returns the positions of the channels of a rule, or of none, at a location.
fn positions_of<'a>(
    located: &'a BTreeSet<Located>,
    location: &Location,
    rule: Option<usize>,
) -> impl Iterator<Item = u64> + use<'a> {
    let (first, last) = ((location.clone(), rule, 0), (location.clone(), rule, u64::MAX));
    located.range(first..=last).map(|(.., position)| *position)
}
