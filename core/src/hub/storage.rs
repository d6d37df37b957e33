//! What a hub asks of a store, and what it hears back.

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use crate::wire::{Channel, StoredMessage, Timestamp};

/// What the store must do next. A hub waits for its [`StoreOutcome`] before it gives the next command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Make all of these durable, in this order, or none of them.
    Commit(Vec<Write>),
    /// Read back everything that a hub must know.
    Load,
}

/// One thing to make durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Keep this directory entry in place of any other of its name.
    PutChannel(ChannelRecord),
    /// Append this message to its channel. Its id is the channel's last plus one.
    Append(StoredMessage),
}

/// An entry of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRecord {
    /// The channel, as it is listed.
    pub channel: Channel,
    /// Where the HOST came from that registered it at this address.
    pub registered_from: IpAddr,
    /// Its place in the order of creation: a channel created later has a greater one.
    pub position: u64,
}

/// How far a channel's messages go. It outlives the messages and the directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelLog {
    /// The channel's name.
    pub channel_name: String,
    /// The last id that was given.
    pub last_id: u64,
    /// The last message's time.
    pub last_timestamp: Timestamp,
}

/// Everything that a hub must know of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory.
    pub channels: Vec<ChannelRecord>,
    /// One for each name that ever had a message.
    pub logs: Vec<ChannelLog>,
}

/// What became of a [`StoreCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// Everything in the commit is on stable storage.
    Committed,
    /// This was read.
    Loaded(Snapshot),
    /// It failed. Of a commit it means "not known to be stored".
    Failed,
}
