//! The joins of all connections: who subscribes to which channel, and how far each has read.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::mem;

use super::{ConnectionId, effects::Effects, refusal, storage::Replay};
use crate::{
    endpoint::{Pushes, ServerCommand},
    wire::{Address, Location, StoredMessage},
};

/// A connection that joined no more channels than this is taken out of them at once when it leaves.
const FEW: usize = 8;

/// Channels that connections which left are taken out of by one call.
const STEP: usize = 1024;

/// Every join of every connection.
///
/// A subscription is *live* once everything stored was handed over: from then on it is pushed each commit. Before, it
/// is *replaying*: it is given pages of stored messages, one at a time for each connection, as fast as they are read.
/// The next id is known in either state, so that the passage from one to the other leaves no gap and gives nothing
/// twice.
///
/// No call costs more because more is joined, but for what is sent, and for what one connection joined.
#[derive(Debug, Default)]
pub(super) struct Joins {
    channels: BTreeMap<String, Joined>,
    /// The joined channels at each location.
    located: BTreeSet<(Location, String)>,
    subscribers: BTreeMap<ConnectionId, Subscriber>,
    /// Connections that left, with the channels that still have subscriptions of theirs. Nothing is pushed by them.
    departed: BTreeMap<ConnectionId, Subscriber>,
    /// The joins of `subscribers`.
    count: usize,
}

/// A channel that is joined.
#[derive(Debug)]
struct Joined {
    address: Address,
    subscriptions: BTreeMap<ConnectionId, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    /// The id of the message that is pushed next.
    next: u64,
    /// The last id that an end of stream waits for: what the answer to JOIN said.
    promised: u64,
    /// Its turn in [`Subscriber::replaying`]; `None` once it is live.
    turn: Option<u64>,
    /// The channel was removed: when this id was pushed, the connection is closed.
    until: Option<u64>,
}

impl Subscription {
    const fn is_live(&self) -> bool {
        self.turn.is_none()
    }

    /// Returns whether something is to be pushed before an end of stream.
    const fn is_owed(&self) -> bool {
        self.next <= self.promised
    }
}

#[derive(Debug, Default)]
struct Subscriber {
    channels: BTreeSet<String>,
    /// The channels that are replayed, by their turns.
    replaying: BTreeMap<u64, String>,
    next_turn: u64,
    page: Page,
    /// Subscriptions of which something is [owed](Subscription::is_owed).
    owed: usize,
    /// The peer has ended its stream: it is owed what was promised and no more.
    ending: bool,
}

impl Subscriber {
    /// Gives a channel the last turn.
    fn add_turn(&mut self, channel_name: &str) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.replaying.insert(turn, channel_name.into());
        turn
    }
}

/// The one page that a connection may have at a time.
#[derive(Debug, Default, PartialEq, Eq)]
enum Page {
    #[default]
    None,
    /// The store was asked for it.
    Requested,
    /// The connection has not read it yet.
    Handed,
}

impl Joins {
    pub(super) fn is_joined(&self, id: ConnectionId, channel_name: &str) -> bool {
        self.subscribers.get(&id).is_some_and(|subscriber| subscriber.channels.contains(channel_name))
    }

    /// Returns whether a channel has subscriptions.
    pub(super) fn has(&self, channel_name: &str) -> bool {
        self.channels.contains_key(channel_name)
    }

    /// Returns the number of channels that a connection has joined.
    pub(super) fn count(&self, id: ConnectionId) -> usize {
        self.subscribers.get(&id).map_or(0, |subscriber| subscriber.channels.len())
    }

    /// Returns the joined channels at a location.
    pub(super) fn at(&self, location: Location) -> impl Iterator<Item = String> {
        let from = (location.clone(), String::new());
        let at = move |(other, _): &&(Location, String)| *other == location;
        self.located.range(from..).take_while(at).map(|(_, name)| name.clone())
    }

    /// Joins a channel at this address: pushes go to this connection from the id `next` on; `last_id` is the channel's
    /// last.
    pub(super) fn join(&mut self, id: ConnectionId, channel_name: &str, address: &Address, next: u64, last_id: u64) {
        // It was closed, and what it asked before that is still carried out.
        self.clean_up(id);
        let subscriber = self.subscribers.entry(id).or_default();
        let turn = (next <= last_id).then(|| subscriber.add_turn(channel_name));
        let subscription = Subscription { next, promised: last_id, turn, until: None };
        subscriber.channels.insert(channel_name.into());
        subscriber.owed += usize::from(subscription.is_owed());
        self.count += 1;
        if !self.channels.contains_key(channel_name) {
            let joined = Joined { address: address.clone(), subscriptions: BTreeMap::new() };
            self.channels.insert(channel_name.into(), joined);
            self.locate(channel_name, address);
        }
        if let Some(joined) = self.channels.get_mut(channel_name) {
            joined.subscriptions.insert(id, subscription);
        }
    }

    /// Notes that a channel is at this address now.
    pub(super) fn relocate(&mut self, channel_name: &str, address: &Address) {
        if let Some(joined) = self.channels.get_mut(channel_name)
            && joined.address != *address
        {
            let before = mem::replace(&mut joined.address, address.clone());
            self.unlocate(channel_name, &before);
            self.locate(channel_name, address);
        }
    }

    fn locate(&mut self, channel_name: &str, address: &Address) {
        self.located.extend(address.locations().map(|location| (location, channel_name.into())));
    }

    fn unlocate(&mut self, channel_name: &str, address: &Address) {
        for location in address.locations() {
            self.located.remove(&(location, channel_name.into()));
        }
    }

    pub(super) fn leave(&mut self, id: ConnectionId, channel_name: &str) {
        let subscription = self.unsubscribe(id, channel_name);
        if let (Some(subscriber), Some(subscription)) = (self.subscribers.get_mut(&id), subscription) {
            subscriber.channels.remove(channel_name);
            subscriber.owed -= usize::from(subscription.is_owed());
            subscription.turn.map(|turn| subscriber.replaying.remove(&turn));
            self.count -= 1;
        }
        self.drop_if_done(id);
    }

    /// Drops a reader that has nothing to read any more.
    fn drop_if_done(&mut self, id: ConnectionId) {
        // A page that was asked for, or that is not read, is still on its way.
        let done = |subscriber: &Subscriber| {
            subscriber.channels.is_empty() && subscriber.page == Page::None && !subscriber.ending
        };
        if self.subscribers.get(&id).is_some_and(done) {
            self.subscribers.remove(&id);
        }
    }

    /// Pushes nothing to the connection any more.
    pub(super) fn remove_subscriber(&mut self, id: ConnectionId) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        self.count -= subscriber.channels.len();
        let is_few = subscriber.channels.len() <= FEW;
        self.departed.insert(id, subscriber);
        if is_few {
            self.clean_up(id);
        }
    }

    /// Takes a connection that left out of the channels that it joined.
    fn clean_up(&mut self, id: ConnectionId) {
        for channel_name in self.departed.remove(&id).into_iter().flat_map(|subscriber| subscriber.channels) {
            self.unsubscribe(id, &channel_name);
        }
    }

    /// Takes some of the connections that left out of their channels.
    pub(super) fn clean_up_some(&mut self) {
        for _ in 0..STEP {
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

    fn unsubscribe(&mut self, id: ConnectionId, channel_name: &str) -> Option<Subscription> {
        let joined = self.channels.get_mut(channel_name)?;
        let subscription = joined.subscriptions.remove(&id);
        if joined.subscriptions.is_empty()
            && let Some(joined) = self.channels.remove(channel_name)
        {
            self.unlocate(channel_name, &joined.address);
        }
        subscription
    }

    /// Returns the subscriptions of a channel, but for those of connections that left.
    fn subscriptions(&mut self, channel_name: &str) -> impl Iterator<Item = (ConnectionId, &mut Subscription)> {
        let subscriptions =
            self.channels.get_mut(channel_name).into_iter().flat_map(|joined| &mut joined.subscriptions);
        let departed = &self.departed;
        subscriptions.map(|(id, subscription)| (*id, subscription)).filter(|(id, _)| !departed.contains_key(id))
    }

    /// Pushes messages of a channel that are durable now, in order.
    pub(super) fn publish(&mut self, channel_name: &str, messages: &[&StoredMessage], effects: &mut Effects) {
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

    /// Returns the page that is to be read next for a connection: its channel, and the id that it begins after.
    pub(super) fn next_page(&mut self, id: ConnectionId) -> Option<(String, u64)> {
        let subscriber = self.subscribers.get_mut(&id).filter(|subscriber| subscriber.page == Page::None)?;
        let (_, channel_name) = subscriber.replaying.first_key_value()?;
        let subscription = self.channels.get(channel_name)?.subscriptions.get(&id)?;
        subscriber.page = Page::Requested;
        Some((channel_name.clone(), subscription.next - 1))
    }

    /// Takes the page after `after` that was asked for: messages, none of them beyond `last_id`, the channel's last; or
    /// `None` if they cannot be read.
    pub(super) fn page(
        &mut self,
        id: ConnectionId,
        channel_name: &str,
        after: u64,
        page: Option<Replay>,
        last_id: u64,
        effects: &mut Effects,
    ) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return };
        subscriber.page = Page::None;
        let joined = self.channels.get_mut(channel_name);
        let subscription = joined.and_then(|joined| joined.subscriptions.get_mut(&id));
        // It may have left the channel meanwhile, and even joined it again.
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
        subscriber.page = Page::Handed;
        effects.send(id, ServerCommand::Replay(Arc::new(pushes)));
        if let Some(turn) = subscription.turn.take() {
            subscriber.replaying.remove(&turn);
        }
        if subscription.next <= last_id {
            // The others have their turn first.
            subscription.turn = Some(subscriber.add_turn(channel_name));
        } else if subscription.until.is_some() {
            self.close_removed(id, channel_name, effects);
            return;
        }
        self.finish_if_done(id, effects);
    }

    /// Notes that a connection has read its page.
    pub(super) fn drained(&mut self, id: ConnectionId) {
        if let Some(subscriber) = self.subscribers.get_mut(&id)
            && subscriber.page == Page::Handed
        {
            subscriber.page = Page::None;
        }
        self.drop_if_done(id);
    }

    /// Finishes a connection whose peer has ended its stream, as soon as it has what was promised.
    pub(super) fn end(&mut self, id: ConnectionId, effects: &mut Effects) {
        self.subscribers.entry(id).or_default().ending = true;
        self.finish_if_done(id, effects);
    }

    fn finish_if_done(&mut self, id: ConnectionId, effects: &mut Effects) {
        if self.subscribers.get(&id).is_some_and(|subscriber| subscriber.ending && subscriber.owed == 0) {
            self.remove_subscriber(id);
            effects.send(id, ServerCommand::Finish);
        }
    }

    /// Replays the messages up to `last_id`, of a commit that was not known to be stored, to live subscriptions.
    /// Returns their connections, which are to be given a page.
    pub(super) fn catch_up(&mut self, channel_name: &str, last_id: u64) -> Vec<ConnectionId> {
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

    /// Closes the subscribers of a channel that was removed, each when it has the messages up to `last_id`, the
    /// channel's last.
    pub(super) fn remove(&mut self, channel_name: &str, last_id: u64, effects: &mut Effects) {
        let mut done = Vec::new();
        for (id, subscription) in self.subscriptions(channel_name) {
            subscription.until = Some(last_id);
            if subscription.is_live() {
                done.push(id);
            }
        }
        for id in done {
            self.close_removed(id, channel_name, effects);
        }
    }

    fn close_removed(&mut self, id: ConnectionId, channel_name: &str, effects: &mut Effects) {
        self.remove_subscriber(id);
        effects.send(id, ServerCommand::Close(refusal::removed(channel_name)));
    }

    /// Returns the number of joins.
    pub(super) const fn len(&self) -> usize {
        self.count
    }
}
