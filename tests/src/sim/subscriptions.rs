//! The channels that one connection has joined, and its position in each: as the hub delivers, or as a client receives.

use std::collections::{BTreeMap, BTreeSet};

use chanwire_core::{
    endpoint::Pushes,
    wire::{ChannelName, Decoder, Item, Status, StoredMessage},
};

use crate::store::Disk;

/// The joins of one connection.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(BTreeMap<ChannelName, Join>);

/// One join.
#[derive(Debug)]
struct Join {
    /// The id that comes next.
    next: u64,
    /// The last id when it was joined: an end of the stream waits for it.
    promised: u64,
    /// The version of the directory by which it was joined.
    version: usize,
}

impl Subscriptions {
    /// Adds a channel whose pushes come from `first_id` on.
    ///
    /// # Panics
    ///
    /// If the channel is joined already.
    pub(super) fn join(&mut self, channel_name: &ChannelName, first_id: u64, promised: u64, version: usize) {
        let before = self.0.insert(channel_name.clone(), Join { next: first_id, promised, version });
        assert!(before.is_none(), "'{channel_name}' is joined a second time");
    }

    /// Removes a channel: no more pushes come.
    ///
    /// # Panics
    ///
    /// If the channel is not joined.
    pub(super) fn leave(&mut self, channel_name: &str) {
        assert!(self.0.remove(channel_name).is_some(), "'{channel_name}' is left and was not joined");
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn has_joined(&self, channel_name: &str) -> bool {
        self.0.contains_key(channel_name)
    }

    /// Returns the number of joined channels.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the id that comes next and the version of the directory by which the channel was joined.
    pub(super) fn of(&self, channel_name: &str) -> Option<(u64, usize)> {
        self.0.get(channel_name).map(|join| (join.next, join.version))
    }

    /// Checks a pushed message and counts it.
    ///
    /// # Panics
    ///
    /// If the channel is not joined, if another message is due, or if it is not what the store holds.
    pub(super) fn push(&mut self, message: &StoredMessage, disk: &Disk, texts: Texts<'_>) {
        let Some(join) = self.0.get_mut(&message.channel_name) else {
            panic!("nobody has joined, and this is pushed: {message:?}")
        };
        assert_eq!(message.id, join.next, "the id of what is pushed of '{}'", message.channel_name);
        check_durable(message, disk, texts);
        join.next += 1;
    }

    /// Checks that every promised message was pushed.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub(super) fn check_promised(&self) {
        let owed = self.0.iter().find(|(_, join)| join.next <= join.promised);
        assert!(owed.is_none(), "a peer has ended, and this was promised to it: {owed:?}");
    }

    /// Returns whether every message was pushed up to the known ids of the channels.
    pub(super) fn has_all(&self, known: &BTreeMap<ChannelName, u64>) -> bool {
        self.0.iter().all(|(name, join)| known.get(name).is_none_or(|known| join.next > *known))
    }
}

/// The deleted messages whose text may still be shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Texts<'a> {
    /// All: they may have been on their way before.
    OnTheirWay,
    /// Those whose deletion is stored, and its outcome not known to the hub.
    Undecided(&'a BTreeSet<(ChannelName, u64)>),
}

/// Checks that a message that a client was shown is in the store, as it was shown, or was.
///
/// # Panics
///
/// If it is not.
pub(super) fn check_durable(message: &StoredMessage, disk: &Disk, texts: Texts<'_>) {
    let index = usize::try_from(message.id - 1).unwrap_or(usize::MAX);
    let stored = disk.messages(&message.channel_name).get(index);
    let target = (message.channel_name.clone(), message.id);
    let may_be_text = match texts {
        Texts::OnTheirWay => true,
        Texts::Undecided(deleting) => deleting.contains(&target),
    };
    if !may_be_text || disk.original(&target.0, target.1) != Some(message) {
        assert_eq!(stored, Some(message), "somebody is shown a message that is not so in the store");
    }
}

/// Decodes the messages of pushes.
///
/// # Panics
///
/// If the bytes are not their frames.
pub(super) fn messages(pushes: &Pushes) -> Vec<StoredMessage> {
    let mut decoder = Decoder::<Status>::new(usize::MAX);
    decoder.feed(pushes.bytes());
    let mut messages = Vec::new();
    while let Some(item) = decoder.next_item() {
        match item {
            Item::Frame(frame) if frame.start_line == Status::Push => match StoredMessage::decode(frame.payload) {
                Ok(message) => messages.push(message),
                Err(fault) => panic!("a push has a wrong payload: {fault:?}"),
            },
            item => panic!("{item:?} among pushes"),
        }
    }
    assert_eq!(messages.len(), pushes.len(), "how many messages are pushed");
    messages
}
