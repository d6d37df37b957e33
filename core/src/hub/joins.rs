//! The subscriptions of all connections, and how far each has been delivered.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
    vec::Vec,
};
use core::mem;

use super::{
    ConnectionId,
    effects::Effects,
    presence::{NamedJoin, Users},
    refusal,
    storage::Replay,
};
use crate::{
    Time,
    endpoint::{Pushes, ServerCommand},
    wire::{Address, ChannelName, Location, Notice, StoredMessage, User},
};

/// The most joins of a connection that are removed at once when it disconnects; more are removed in steps.
const IMMEDIATE_CLEAN_UP: usize = 8;

/// Subscriptions that one call looks at to send notices, unless one channel has more.
const NOTIFY_STEP: usize = 4096;

/// Joins of disconnected connections that one call removes.
const CLEAN_UP_STEP: usize = 1024;

/// Every join of every connection.
///
/// A subscription is first *replaying*: it gets pages of stored messages, one at a time for each connection, as fast as
/// the connection reads them. Once it has every stored message it is *live* and gets each commit. Both states keep the
/// next id, so the change from one to the other neither skips nor repeats a message.
///
/// The cost of a call does not depend on the number of joins, except for those of the connection or channel concerned.
#[derive(Debug, Default)]
pub(super) struct Joins {
    channels: BTreeMap<ChannelName, JoinedChannel>,
    /// The joined channels at each location.
    located: BTreeMap<Location, BTreeSet<ChannelName>>,
    subscribers: BTreeMap<ConnectionId, Subscriber>,
    /// Disconnected connections, with the channels from which their subscriptions are not removed yet. They get no
    /// pushes.
    departed: BTreeMap<ConnectionId, Subscriber>,
    /// The number of joins of `subscribers`.
    count: usize,
    /// The channels of which a notice of presence is due, by its time.
    due: BTreeSet<(Time, ChannelName)>,
}

/// A channel with at least one subscription.
#[derive(Debug)]
struct JoinedChannel {
    address: Address,
    subscriptions: BTreeMap<ConnectionId, Subscription>,
    users: Users,
}

#[derive(Debug)]
struct Subscription {
    /// The id of the next message to push.
    next: u64,
    /// The channel's last id in the answer to JOIN. After an end of stream, messages are pushed up to it.
    promised: u64,
    /// The key in [`Subscriber::replaying`]; `None` once it is live.
    turn: Option<u64>,
    /// The last id of a removed channel: the connection is closed once it is pushed.
    close_after: Option<u64>,
    /// The join under its name; `None` without one.
    named: Option<Box<NamedJoin>>,
}

impl Subscription {
    const fn is_live(&self) -> bool {
        self.turn.is_none()
    }

    /// Returns whether messages are still to be pushed after an end of stream.
    const fn is_owed(&self) -> bool {
        self.next <= self.promised
    }
}

#[derive(Debug, Default)]
struct Subscriber {
    channels: BTreeSet<ChannelName>,
    /// The replaying channels in round-robin order.
    replaying: BTreeMap<u64, ChannelName>,
    next_turn: u64,
    page: Page,
    /// The number of [owed](Subscription::is_owed) subscriptions.
    owed: usize,
    /// The peer has ended its stream: the connection is finished once nothing is owed.
    ending: bool,
}

impl Subscriber {
    /// Appends a channel to the round-robin order.
    fn add_turn(&mut self, channel_name: &ChannelName) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.replaying.insert(turn, channel_name.clone());
        turn
    }
}

/// The state of a connection's page. A connection has at most one page at a time.
#[derive(Debug, Default, PartialEq, Eq)]
enum Page {
    #[default]
    None,
    /// Requested from the store.
    Requested,
    /// Sent to the connection, and not drained yet.
    Sent,
}

impl Joins {
    /// Returns whether a connection has joined a channel.
    pub(super) fn is_joined(&self, id: ConnectionId, channel_name: &ChannelName) -> bool {
        self.subscribers.get(&id).is_some_and(|subscriber| subscriber.channels.contains(channel_name))
    }

    /// Returns whether a channel has subscriptions.
    pub(super) fn has_subscriptions(&self, channel_name: &ChannelName) -> bool {
        self.channels.contains_key(channel_name)
    }

    /// Returns the number of channels that a connection has joined.
    pub(super) fn count(&self, id: ConnectionId) -> usize {
        self.subscribers.get(&id).map_or(0, |subscriber| subscriber.channels.len())
    }

    /// Returns the number of connections that have joined a channel, and of those that are not live. It looks at each.
    pub(super) fn count_in(&self, channel_name: &ChannelName) -> (usize, usize) {
        let Some(joined) = self.channels.get(channel_name) else { return (0, 0) };
        let open = joined.subscriptions.iter().filter(|(id, _)| !self.departed.contains_key(id));
        open.fold((0, 0), |(joined, behind), (_, subscription)| {
            (joined + 1, behind + usize::from(!subscription.is_live()))
        })
    }

    /// Returns the channels that a connection has joined.
    pub(super) fn channels_of(&self, id: ConnectionId) -> impl Iterator<Item = &ChannelName> {
        self.subscribers.get(&id).into_iter().flat_map(|subscriber| &subscriber.channels)
    }

    /// Returns the connections that have joined a channel.
    pub(super) fn subscribers_of(&self, channel_name: &ChannelName) -> Vec<ConnectionId> {
        let joined = self.channels.get(channel_name).into_iter();
        let ids = joined.flat_map(|joined| joined.subscriptions.keys().copied());
        ids.filter(|id| !self.departed.contains_key(id)).collect()
    }

    /// Returns the joined channels at a location.
    pub(super) fn channels_at(&self, location: &Location) -> impl Iterator<Item = &ChannelName> {
        self.located.get(location).into_iter().flatten()
    }

    /// Subscribes a connection to the channel at this address, from the id `next` on, under the name of a user. `last_id`
    /// is the channel's last id.
    #[expect(clippy::too_many_arguments, reason = "they are the facts of one join")]
    pub(super) fn join(
        &mut self,
        id: ConnectionId,
        channel_name: &ChannelName,
        address: &Address,
        next: u64,
        last_id: u64,
        user: Option<User>,
        now: Time,
    ) {
        // A request that was read before the connection closed is still carried out.
        self.clean_up(id);
        let subscriber = self.subscribers.entry(id).or_default();
        let turn = (next <= last_id).then(|| subscriber.add_turn(channel_name));
        let mut subscription = Subscription { next, promised: last_id, turn, close_after: None, named: None };
        subscriber.channels.insert(channel_name.clone());
        subscriber.owed += usize::from(subscription.is_owed());
        self.count += 1;
        if !self.channels.contains_key(channel_name) {
            let users = Users::new(now);
            let joined = JoinedChannel { address: address.clone(), subscriptions: BTreeMap::new(), users };
            self.channels.insert(channel_name.clone(), joined);
            self.locate(channel_name, address);
        }
        if let Some(joined) = self.channels.get_mut(channel_name) {
            subscription.named = user.map(|user| joined.users.join(user));
            joined.subscriptions.insert(id, subscription);
        }
        self.schedule_notice(channel_name);
    }

    /// Sets the time of a channel's next notice, after its subscriptions have changed.
    fn schedule_notice(&mut self, channel_name: &ChannelName) {
        let Some(JoinedChannel { users, subscriptions, .. }) = self.channels.get_mut(channel_name) else { return };
        let next = users.next_notice(subscriptions.len());
        let before = users.due.replace(next);
        if before != Some(next) {
            before.map(|before| self.due.remove(&(before, channel_name.clone())));
            self.due.insert((next, channel_name.clone()));
        }
    }

    /// Returns the time of the next notice.
    pub(super) fn next_notice(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Notifies the subscribers of the channels whose notice is due, those that want notices. It stops after some, so
    /// that many channels do not delay requests.
    pub(super) fn notify(&mut self, now: Time, wants: impl Fn(ConnectionId) -> bool, effects: &mut Effects) {
        let mut looked_at = 0;
        // Subscriptions of disconnected connections are removed first.
        while self.is_clean() && looked_at < NOTIFY_STEP && self.next_notice().is_some_and(|at| at <= now) {
            let Some((at, channel_name)) = self.due.pop_first() else { return };
            let Some(joined) = self.channels.get_mut(&channel_name) else { continue };
            let count = joined.subscriptions.len();
            looked_at += 1 + count;
            joined.users.due = None;
            if joined.users.next_notice(count) > at {
                // It has grown.
                self.schedule_notice(&channel_name);
            } else if let Some(presence) = joined.users.take_notice(&channel_name, count, now) {
                let to = joined.subscriptions.keys().copied().filter(|id| wants(*id)).collect();
                effects.notify(to, Arc::new(Notice::Presence(presence)));
            }
        }
    }

    /// Returns the number of connections that have joined a channel, the users among them, the one who joined first of all
    /// first, and whether these are all users.
    pub(super) fn who(&mut self, channel_name: &ChannelName) -> (usize, Vec<User>, bool) {
        let departed = self.departed.iter_mut();
        let departed: Vec<ConnectionId> =
            departed.filter_map(|(id, subscriber)| subscriber.channels.remove(channel_name).then_some(*id)).collect();
        for id in departed {
            self.unsubscribe(id, channel_name);
        }
        let Some(joined) = self.channels.get_mut(channel_name) else { return (0, Vec::new(), true) };
        let (users, complete) = joined.users.listed();
        (joined.subscriptions.len(), users, complete)
    }

    /// Sets a channel's address.
    pub(super) fn relocate(&mut self, channel_name: &ChannelName, address: &Address) {
        if let Some(joined) = self.channels.get_mut(channel_name)
            && joined.address != *address
        {
            let before = mem::replace(&mut joined.address, address.clone());
            self.unlocate(channel_name, &before);
            self.locate(channel_name, address);
        }
    }

    fn locate(&mut self, channel_name: &ChannelName, address: &Address) {
        for location in address.locations() {
            self.located.entry(location).or_default().insert(channel_name.clone());
        }
    }

    fn unlocate(&mut self, channel_name: &ChannelName, address: &Address) {
        for location in address.locations() {
            let btree_map::Entry::Occupied(mut channels) = self.located.entry(location) else { continue };
            channels.get_mut().remove(channel_name);
            if channels.get().is_empty() {
                channels.remove();
            }
        }
    }

    /// Ends a connection's subscription to a channel.
    pub(super) fn leave(&mut self, id: ConnectionId, channel_name: &ChannelName) {
        let subscription = self.unsubscribe(id, channel_name);
        if let (Some(subscriber), Some(subscription)) = (self.subscribers.get_mut(&id), subscription) {
            subscriber.channels.remove(channel_name);
            subscriber.owed -= usize::from(subscription.is_owed());
            subscription.turn.map(|turn| subscriber.replaying.remove(&turn));
            self.count -= 1;
        }
        self.drop_if_done(id);
    }

    /// Drops a subscriber without channels and without a page.
    fn drop_if_done(&mut self, id: ConnectionId) {
        // A requested or undrained page is still to be reported on.
        let done = |subscriber: &Subscriber| {
            subscriber.channels.is_empty() && subscriber.page == Page::None && !subscriber.ending
        };
        if self.subscribers.get(&id).is_some_and(done) {
            self.subscribers.remove(&id);
        }
    }

    /// Removes a connection: nothing is pushed to it any more.
    pub(super) fn remove_subscriber(&mut self, id: ConnectionId) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        self.count -= subscriber.channels.len();
        let is_few = subscriber.channels.len() <= IMMEDIATE_CLEAN_UP;
        self.departed.insert(id, subscriber);
        if is_few {
            self.clean_up(id);
        }
    }

    /// Removes all subscriptions of a disconnected connection.
    fn clean_up(&mut self, id: ConnectionId) {
        for channel_name in self.departed.remove(&id).into_iter().flat_map(|subscriber| subscriber.channels) {
            self.unsubscribe(id, &channel_name);
        }
    }

    /// Removes some subscriptions of disconnected connections.
    pub(super) fn clean_up_some(&mut self) {
        for _ in 0..CLEAN_UP_STEP {
            let Some(mut first) = self.departed.first_entry() else { return };
            first.get_mut().replaying.pop_first();
            match first.get_mut().channels.pop_first() {
                Some(channel_name) => {
                    let id = *first.key();
                    self.unsubscribe(id, &channel_name);
                }
                None => drop(first.remove()),
            }
        }
    }

    /// Returns whether [`clean_up_some`](Self::clean_up_some) has nothing to do.
    pub(super) fn is_clean(&self) -> bool {
        self.departed.is_empty()
    }

    /// Removes a subscription from its channel, and the channel with its last one.
    fn unsubscribe(&mut self, id: ConnectionId, channel_name: &ChannelName) -> Option<Subscription> {
        let joined = self.channels.get_mut(channel_name)?;
        let mut subscription = joined.subscriptions.remove(&id)?;
        if let Some(named) = subscription.named.take() {
            joined.users.leave(*named);
        }
        if joined.subscriptions.is_empty()
            && let Some(joined) = self.channels.remove(channel_name)
        {
            self.unlocate(channel_name, &joined.address);
            joined.users.due.map(|at| self.due.remove(&(at, channel_name.clone())));
        } else {
            self.schedule_notice(channel_name);
        }
        Some(subscription)
    }

    /// Returns the subscriptions of a channel, without those of disconnected connections.
    fn subscriptions(&mut self, channel_name: &ChannelName) -> impl Iterator<Item = (ConnectionId, &mut Subscription)> {
        let subscriptions =
            self.channels.get_mut(channel_name).into_iter().flat_map(|joined| &mut joined.subscriptions);
        let departed = &self.departed;
        subscriptions.map(|(id, subscription)| (*id, subscription)).filter(|(id, _)| !departed.contains_key(id))
    }

    /// Pushes newly committed messages of a channel to its live subscriptions, in order.
    pub(super) fn publish(&mut self, channel_name: &ChannelName, messages: &[&StoredMessage], effects: &mut Effects) {
        let Some(last) = messages.last() else { return };
        let mut to = Vec::new();
        for (id, subscription) in self.subscriptions(channel_name).filter(|(_, subscription)| subscription.is_live()) {
            subscription.next = last.id + 1;
            to.push(id);
        }
        if !to.is_empty() {
            effects.push(to, Pushes::new(messages.iter().copied()));
        }
    }

    /// Requests the next page for a connection, if it may have one: returns the channel and the id that the page begins
    /// after.
    pub(super) fn next_page(&mut self, id: ConnectionId) -> Option<(ChannelName, u64)> {
        let subscriber = self.subscribers.get_mut(&id).filter(|subscriber| subscriber.page == Page::None)?;
        let (_, channel_name) = subscriber.replaying.first_key_value()?;
        let subscription = self.channels.get(channel_name)?.subscriptions.get(&id)?;
        subscriber.page = Page::Requested;
        Some((channel_name.clone(), subscription.next - 1))
    }

    /// Sends a connection the requested page after the id `after`, or closes the connection if the page is `None`
    /// because the read failed. No message of it is beyond `last_id`, the channel's last.
    pub(super) fn send_page(
        &mut self,
        id: ConnectionId,
        channel_name: &ChannelName,
        after: u64,
        page: Option<Replay>,
        last_id: u64,
        effects: &mut Effects,
    ) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return };
        subscriber.page = Page::None;
        let joined = self.channels.get_mut(channel_name);
        let subscription = joined.and_then(|joined| joined.subscriptions.get_mut(&id));
        // The connection may have left the channel since the request, and even joined it again.
        let Some(subscription) = subscription.filter(|subscription| subscription.next == after + 1) else {
            return self.drop_if_done(id);
        };
        let pushes = match page {
            None => Err(refusal::replay_failed(channel_name)),
            Some(page) if page.first_id == subscription.next && !page.pushes.is_empty() => Ok(page.pushes),
            Some(_) => Err(refusal::replay_overtaken(channel_name)),
        };
        let pushes = match pushes {
            Ok(pushes) => pushes,
            Err(error) => {
                self.remove_subscriber(id);
                effects.send(id, ServerCommand::CloseSlow(error));
                return;
            }
        };
        let was_owed = subscription.is_owed();
        subscription.next += pushes.len() as u64;
        subscriber.owed -= usize::from(was_owed && !subscription.is_owed());
        subscriber.page = Page::Sent;
        effects.send(id, ServerCommand::Replay(Arc::new(pushes)));
        if let Some(turn) = subscription.turn.take() {
            subscriber.replaying.remove(&turn);
        }
        if subscription.next <= last_id {
            // Round robin: the other channels come first.
            subscription.turn = Some(subscriber.add_turn(channel_name));
        } else if subscription.close_after.is_some() {
            self.close_removed(id, channel_name, effects);
            return;
        }
        self.finish_if_done(id, effects);
    }

    /// Records that a connection's output is drained, so that it may have its next page.
    pub(super) fn drained(&mut self, id: ConnectionId) {
        if let Some(subscriber) = self.subscribers.get_mut(&id)
            && subscriber.page == Page::Sent
        {
            subscriber.page = Page::None;
        }
        self.drop_if_done(id);
    }

    /// Finishes a connection whose peer has ended its stream, once nothing is owed to it.
    pub(super) fn peer_ended(&mut self, id: ConnectionId, effects: &mut Effects) {
        self.subscribers.entry(id).or_default().ending = true;
        self.finish_if_done(id, effects);
    }

    fn finish_if_done(&mut self, id: ConnectionId, effects: &mut Effects) {
        if self.subscribers.get(&id).is_some_and(|subscriber| subscriber.ending && subscriber.owed == 0) {
            self.remove_subscriber(id);
            effects.send(id, ServerCommand::Finish);
        }
    }

    /// Turns the live subscriptions that lack messages up to `last_id` back to replaying, after a commit whose outcome
    /// was unknown turned out to be stored. Returns their connections, which need a page.
    pub(super) fn catch_up(&mut self, channel_name: &ChannelName, last_id: u64) -> Vec<ConnectionId> {
        let behind = self.subscriptions(channel_name);
        let behind = behind.filter(|(_, subscription)| subscription.is_live() && subscription.next <= last_id);
        let behind: Vec<ConnectionId> = behind.map(|(id, _)| id).collect();
        for id in &behind {
            let subscription = self.channels.get_mut(channel_name).and_then(|joined| joined.subscriptions.get_mut(id));
            if let (Some(subscription), Some(subscriber)) = (subscription, self.subscribers.get_mut(id)) {
                subscription.turn = Some(subscriber.add_turn(channel_name));
            }
        }
        behind
    }

    /// Closes the subscribers of a removed channel, each once the messages up to `last_id`, the channel's last, are
    /// pushed to it.
    pub(super) fn remove_channel(&mut self, channel_name: &ChannelName, last_id: u64, effects: &mut Effects) {
        let mut done = Vec::new();
        for (id, subscription) in self.subscriptions(channel_name) {
            subscription.close_after = Some(last_id);
            if subscription.is_live() {
                done.push(id);
            }
        }
        for id in done {
            self.close_removed(id, channel_name, effects);
        }
    }

    fn close_removed(&mut self, id: ConnectionId, channel_name: &ChannelName, effects: &mut Effects) {
        self.remove_subscriber(id);
        effects.send(id, ServerCommand::Close(refusal::removed(channel_name)));
    }

    /// Returns the number of joins.
    pub(super) const fn len(&self) -> usize {
        self.count
    }
}
