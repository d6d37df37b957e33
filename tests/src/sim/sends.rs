//! The laws of messages with a client's id: stored once for as long as the id is kept, always the same answer, and loud
//! where the id belongs to another message.

use std::{collections::BTreeMap, time::Duration};

use chanwire_core::{
    hub::HubLimits,
    wire::{AccountName, ChannelName, Message, StoredMessage, Timestamp},
};

use crate::store::Disk;

/// The messages with ids that are stored.
#[derive(Debug)]
pub(super) struct Sends {
    window: Duration,
    max_keys: usize,
    /// By channel, sender and the client's id, the messages that were stored so.
    stored: BTreeMap<(ChannelName, String, String), Vec<Stored>>,
    /// The number of all of them.
    count: usize,
    /// The number of commits that became durable.
    commits: u64,
}

#[derive(Debug)]
struct Stored {
    message: StoredMessage,
    /// Its place in the order in which all of them became durable.
    place: usize,
    /// The number of its commit.
    commit: u64,
}

impl Sends {
    pub(super) const fn new(limits: &HubLimits) -> Self {
        let (window, max_keys) = (limits.retry_window, limits.max_send_keys);
        Self { window, max_keys, stored: BTreeMap::new(), count: 0, commits: 0 }
    }

    /// Notes that a commit becomes durable.
    pub(super) const fn begin_commit(&mut self) {
        self.commits += 1;
    }

    /// Checks and notes a message that became durable. Returns whether there was one with its id.
    pub(super) fn stored(&mut self, asked: &Message, stored: &StoredMessage) -> bool {
        let Some(key) = key_of(asked, stored.account.as_ref(), &stored.channel_name) else { return false };
        let place = self.count;
        self.count += 1;
        let before = self.stored.entry(key).or_default();
        if let Some(first) = before.last() {
            // As many others came after it, or this one is younger by the window. Times of other channels do not count.
            let seconds = stored.timestamp.as_unix() - first.message.timestamp.as_unix();
            let is_past = seconds >= i64::try_from(self.window.as_secs()).unwrap_or(i64::MAX);
            let is_dropped = is_past || place - first.place > self.max_keys;
            assert!(is_dropped, "{stored:?} is stored, and {first:?} has its id");
        }
        before.push(Stored { message: stored.clone(), place, commit: self.commits });
        before.len() > 1
    }

    /// Notes that a message's deletion became durable.
    pub(super) fn deleted(&mut self, tombstone: &StoredMessage) {
        for Stored { message, .. } in self.stored.values_mut().flatten() {
            if (&message.channel_name, message.id) == (&tombstone.channel_name, tombstone.id) {
                *message = tombstone.clone();
            }
        }
    }

    /// Checks that a message which is acknowledged is the one that was stored last with its id, or in the same commit as
    /// that: a jump of the clock ends the window between two messages of a commit.
    pub(super) fn acknowledged(
        &self,
        asked: &Message,
        account: Option<&AccountName>,
        timestamp: Timestamp,
        id: u64,
    ) -> StoredMessage {
        let stored = self.of(asked, account).find(|stored| (stored.timestamp, stored.id) == (timestamp, id));
        let Some(stored) = stored else {
            panic!("{asked:?} is acknowledged as {id} at {timestamp}, and that is not stored")
        };
        // Of a deleted one the text is not known.
        let is_it = stored.deleted || stored.message_content == asked.message_content;
        assert!(is_it, "another message is acknowledged: {stored:?}, {asked:?}");
        stored.clone()
    }

    /// Checks that every message that became durable is in the store, and so every acknowledged one.
    pub(super) fn check_stored(&self, disk: &Disk) {
        for Stored { message, .. } in self.stored.values().flatten() {
            let index = usize::try_from(message.id).ok().and_then(|id| id.checked_sub(1));
            let kept = index.and_then(|index| disk.messages(&message.channel_name).get(index));
            assert_eq!(kept, Some(message), "a message with an id is lost");
        }
    }

    /// Returns whether another message was stored last with this one's id.
    pub(super) fn is_reused(&self, asked: &Message, account: Option<&AccountName>) -> bool {
        self.of(asked, account).any(|stored| stored.message_content != asked.message_content)
    }

    /// Returns the message that was stored last with this one's id, of each channel that it may be for, and those of
    /// the same commit.
    fn of(&self, asked: &Message, account: Option<&AccountName>) -> impl Iterator<Item = &StoredMessage> + use<'_> {
        let (sender, name) = (sender_of(asked, account), asked.channel_name.clone());
        let id = asked.client_message_id.as_ref().map(ToString::to_string);
        let is_its = move |(key, stored): (&(ChannelName, String, String), &'_ Vec<Stored>)| {
            name.as_ref().is_none_or(|name| key.0 == *name)
                && key.1 == sender
                && Some(&key.2) == id.as_ref()
                && !stored.is_empty()
        };
        let its = self.stored.iter().filter(move |(key, stored)| is_its((key, stored)));
        its.flat_map(|(_, stored)| {
            let last = stored.last().map(|last| last.commit);
            stored.iter().filter(move |stored| Some(stored.commit) == last).map(|stored| &stored.message)
        })
    }
}

fn key_of(asked: &Message, account: Option<&AccountName>, name: &ChannelName) -> Option<(ChannelName, String, String)> {
    let id = asked.client_message_id.as_ref()?;
    Some((name.clone(), sender_of(asked, account), id.to_string()))
}

/// Returns whose message it is: the account's, or the guest's of this name.
fn sender_of(asked: &Message, account: Option<&AccountName>) -> String {
    account.map_or_else(|| format!("guest:{}", asked.username), |account| format!("account:{account}"))
}
