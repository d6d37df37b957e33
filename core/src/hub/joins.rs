//! Who hears which channel, and how far.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::{ConnectionId, Effect, refusal, storage::Replay};
use crate::{endpoint::Pushes, wire::StoredMessage};

/// Every join of every connection.
///
/// A subscription is *live* once everything stored was handed over: from then on it hears each commit. Before, it is
/// *replaying*: it is given pages of stored messages, one at a time for each connection, as fast as it reads them.
/// Which id comes next is known in either state, so that the passage from one to the other leaves no gap and gives
/// nothing twice.
#[derive(Debug, Default)]
pub(super) struct Joins {
    channels: BTreeMap<String, BTreeMap<ConnectionId, Subscription>>,
    readers: BTreeMap<ConnectionId, Reader>,
}

#[derive(Debug)]
struct Subscription {
    /// The id of the message that is pushed next.
    next: u64,
    /// The last id that an end of stream waits for: what the answer to JOIN said.
    promised: u64,
    live: bool,
    /// The channel has gone: when this id was pushed, the connection is closed.
    until: Option<u64>,
}

#[derive(Debug, Default)]
struct Reader {
    channels: BTreeSet<String>,
    /// The channels that are replayed, the next one first.
    replaying: VecDeque<String>,
    page: Page,
    /// The peer has ended its stream: it is owed what was promised and no more.
    ending: bool,
}

/// The one page that a connection may have at a time.
#[derive(Debug, Default, PartialEq, Eq)]
enum Page {
    #[default]
    None,
    /// The store was asked for it.
    Asked,
    /// The connection has not read it yet.
    Handed,
}

impl Joins {
    pub(super) fn is_joined(&self, id: ConnectionId, channel_name: &str) -> bool {
        self.readers.get(&id).is_some_and(|reader| reader.channels.contains(channel_name))
    }

    /// Whether anybody hears this channel, or is still to have some of it.
    pub(super) fn has(&self, channel_name: &str) -> bool {
        self.channels.contains_key(channel_name)
    }

    /// How many channels a connection has joined.
    pub(super) fn count(&self, id: ConnectionId) -> usize {
        self.readers.get(&id).map_or(0, |reader| reader.channels.len())
    }

    /// Channels that anybody hears.
    pub(super) fn channels(&self) -> impl Iterator<Item = &String> {
        self.channels.keys()
    }

    /// Pushes go to this connection from the id `next` on; `last_id` is the channel's last.
    pub(super) fn join(&mut self, id: ConnectionId, channel_name: &str, next: u64, last_id: u64) {
        let live = next > last_id;
        let subscription = Subscription { next, promised: last_id, live, until: None };
        self.channels.entry(channel_name.into()).or_default().insert(id, subscription);
        let reader = self.readers.entry(id).or_default();
        reader.channels.insert(channel_name.into());
        if !live {
            reader.replaying.push_back(channel_name.into());
        }
    }

    pub(super) fn leave(&mut self, id: ConnectionId, channel_name: &str) {
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.channels.remove(channel_name);
            reader.replaying.retain(|name| name != channel_name);
        }
        self.unsubscribe(id, channel_name);
        self.tidy(id);
    }

    /// Forgets a reader that has nothing to read any more.
    fn tidy(&mut self, id: ConnectionId) {
        // A page that was asked for, or that is not read, is still on its way.
        let done = |reader: &Reader| reader.channels.is_empty() && reader.page == Page::None && !reader.ending;
        if self.readers.get(&id).is_some_and(done) {
            self.readers.remove(&id);
        }
    }

    /// The connection hears nothing any more.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        let Some(reader) = self.readers.remove(&id) else { return };
        for channel_name in reader.channels {
            self.unsubscribe(id, &channel_name);
        }
    }

    fn unsubscribe(&mut self, id: ConnectionId, channel_name: &str) {
        if let Some(subscribers) = self.channels.get_mut(channel_name) {
            subscribers.remove(&id);
            if subscribers.is_empty() {
                self.channels.remove(channel_name);
            }
        }
    }

    /// These messages of a channel, in order, are durable now.
    pub(super) fn publish(&mut self, channel_name: &str, messages: &[&StoredMessage], effects: &mut VecDeque<Effect>) {
        let Some(subscribers) = self.channels.get_mut(channel_name) else { return };
        let Some(last) = messages.last() else { return };
        let mut to = Vec::new();
        for (id, subscription) in subscribers.iter_mut().filter(|(_, subscription)| subscription.live) {
            subscription.next = last.id + 1;
            to.push(*id);
        }
        if !to.is_empty() {
            effects.push_back(Effect::Push { to, pushes: Pushes::new(messages.iter().copied()) });
        }
    }

    /// The page that is to be read next for a connection: its channel, and the id that it begins after.
    pub(super) fn next_page(&mut self, id: ConnectionId) -> Option<(String, u64)> {
        let reader = self.readers.get_mut(&id).filter(|reader| reader.page == Page::None)?;
        let channel_name = reader.replaying.front()?;
        let subscription = self.channels.get(channel_name)?.get(&id)?;
        reader.page = Page::Asked;
        Some((channel_name.clone(), subscription.next - 1))
    }

    /// The page after `after` that was asked for is here: messages and none beyond `last_id`, the channel's last; or
    /// `None` if they cannot be read.
    pub(super) fn page(
        &mut self,
        id: ConnectionId,
        channel_name: &str,
        after: u64,
        page: Option<Replay>,
        last_id: u64,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        reader.page = Page::None;
        let subscription = self.channels.get_mut(channel_name).and_then(|subscribers| subscribers.get_mut(&id));
        // It may have left the channel meanwhile, and even joined it again.
        let Some(subscription) = subscription.filter(|subscription| subscription.next == after + 1) else {
            return self.tidy(id);
        };
        let pushes = match page {
            None => Err(refusal::replay_failed(channel_name)),
            Some(page) if page.first_id == subscription.next && !page.pushes.is_empty() => Ok(page.pushes),
            Some(_) => Err(refusal::replay_overtaken(channel_name)),
        };
        let pushes = match pushes {
            Ok(pushes) => pushes,
            Err(error) => {
                self.forget(id);
                effects.push_back(Effect::CloseSlow { connection: id, error });
                return;
            }
        };
        subscription.next += pushes.len() as u64;
        reader.page = Page::Handed;
        effects.push_back(Effect::Replay { connection: id, pushes: Arc::new(pushes) });
        reader.replaying.retain(|name| name != channel_name);
        subscription.live = subscription.next > last_id;
        if !subscription.live {
            // The others have their turn first.
            reader.replaying.push_back(channel_name.into());
        } else if subscription.until.is_some() {
            self.close_gone(id, channel_name, effects);
            return;
        }
        self.finish_if_done(id, effects);
    }

    /// The connection has read its page.
    pub(super) fn drained(&mut self, id: ConnectionId) {
        if let Some(reader) = self.readers.get_mut(&id)
            && reader.page == Page::Handed
        {
            reader.page = Page::None;
        }
        self.tidy(id);
    }

    /// The peer has ended its stream: it is to have what was promised, and then to be closed.
    pub(super) fn end(&mut self, id: ConnectionId, effects: &mut VecDeque<Effect>) {
        self.readers.entry(id).or_default().ending = true;
        self.finish_if_done(id, effects);
    }

    fn finish_if_done(&mut self, id: ConnectionId, effects: &mut VecDeque<Effect>) {
        let Some(reader) = self.readers.get(&id).filter(|reader| reader.ending) else { return };
        let owed = reader.channels.iter().filter_map(|name| self.channels.get(name)?.get(&id));
        if owed.into_iter().all(|subscription| subscription.next > subscription.promised) {
            self.forget(id);
            effects.push_back(Effect::Finish { connection: id });
        }
    }

    /// A channel goes to `last_id`, by a commit that was not known to be stored: those who are live and have not heard of
    /// that read it from the store. The connections are to be fed.
    pub(super) fn catch_up(&mut self, channel_name: &str, last_id: u64) -> Vec<ConnectionId> {
        let Some(subscribers) = self.channels.get_mut(channel_name) else { return Vec::new() };
        let behind =
            subscribers.iter_mut().filter(|(_, subscription)| subscription.live && subscription.next <= last_id);
        let behind = behind.map(|(id, subscription)| {
            subscription.live = false;
            *id
        });
        let behind: Vec<ConnectionId> = behind.collect();
        for id in &behind {
            self.readers.entry(*id).or_default().replaying.push_back(channel_name.into());
        }
        behind
    }

    /// The channel has gone; `last_id` is its last message. Those who have it all are closed, the others then.
    pub(super) fn remove(&mut self, channel_name: &str, last_id: u64, effects: &mut VecDeque<Effect>) {
        let Some(subscribers) = self.channels.get_mut(channel_name) else { return };
        let mut done = Vec::new();
        for (id, subscription) in subscribers {
            subscription.until = Some(last_id);
            if subscription.live {
                done.push(*id);
            }
        }
        for id in done {
            self.close_gone(id, channel_name, effects);
        }
    }

    fn close_gone(&mut self, id: ConnectionId, channel_name: &str, effects: &mut VecDeque<Effect>) {
        self.forget(id);
        effects.push_back(Effect::Close { connection: id, error: refusal::removed(channel_name) });
    }

    /// How many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        self.channels.values().map(BTreeMap::len).sum()
    }
}
