//! Commands and queries of a hub to its store, and their outcomes.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, net::IpAddr};

use super::digest::digest;
use crate::{
    endpoint::{Pushes, Reply},
    wire::{
        AccountName, Channel, ChannelName, ChannelSettings, ClientMessageId, HistoryRange, MAX_HISTORY, Role,
        StoredMessage, Timestamp, Username, encode_history,
    },
};

/// The most requests that one commit carries: enough to make the cost of a sync small for each, and few enough that
/// the first of them does not wait long for the last.
pub const MAX_COMMIT: usize = 4096;

/// A command to the store. A hub waits for its [`StoreOutcome`] before it gives the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Make all of these durable, in this order, or none of them.
    Commit(Arc<Vec<Write>>),
    /// Read the stored state of these names back, after a failed commit that changed no others.
    Load(Vec<ChannelName>),
}

/// One thing to make durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Store this directory entry, replacing one of the same name. The name belongs to its account from now on, or to none.
    PutChannel(ChannelRecord),
    /// Remove the entry of this name from the directory. Its messages and its last id stay.
    RemoveChannel(ChannelName),
    /// Remove the entry of this name from the list, and keep it for its host.
    ReleaseChannel {
        /// The channel's name.
        channel_name: ChannelName,
        /// The wall time until which it is kept.
        until: Timestamp,
    },
    /// Drop the name, which is neither listed nor released and has no messages, with its roles and settings, and the keys of
    /// its messages, all of which are past the window. Its ids start again at 1.
    DropName(ChannelName),
    /// Append this message to its channel. Its id is the channel's last plus one.
    Append {
        /// The message.
        message: StoredMessage,
        /// The key under which it was sent, which is stored with it; `None` if it has no `client_message_id`.
        send_key: Option<SendKey>,
    },
    /// Delete a message, which is stored and not deleted, unless retention has dropped it: replace it by what is left of
    /// it. Set the digest of its key to 0, if it has one, at once or when other copies of the text are erased. Append the
    /// record of the deletion, whose id is the channel's last plus one.
    Delete {
        /// The message without its text, as it stays.
        tombstone: StoredMessage,
        /// The record.
        record: StoredMessage,
    },
    /// Store the role of a subject in a channel, replacing the one that it has.
    SetRole {
        /// The channel's name.
        channel_name: ChannelName,
        /// The one who has it.
        subject: RoleSubject,
        /// The role; `None` for none any more.
        role: Option<GivenRole>,
    },
    /// Store the settings of a channel.
    SetSettings {
        /// The channel's name.
        channel_name: ChannelName,
        /// The settings.
        settings: ChannelSettings,
    },
    /// Drop all roles of a name, and set its settings to those of a new channel.
    DropModeration(ChannelName),
}

/// The write of a message that was sent without a `client_message_id`.
impl From<StoredMessage> for Write {
    fn from(message: StoredMessage) -> Self {
        Self::Append { message, send_key: None }
    }
}

impl Write {
    /// Returns the name of the channel that it changes.
    #[must_use]
    pub const fn channel_name(&self) -> &ChannelName {
        match self {
            Self::PutChannel(record) => &record.channel.channel_name,
            Self::RemoveChannel(channel_name)
            | Self::ReleaseChannel { channel_name, .. }
            | Self::SetRole { channel_name, .. }
            | Self::SetSettings { channel_name, .. }
            | Self::DropModeration(channel_name)
            | Self::DropName(channel_name) => channel_name,
            Self::Append { message, .. } | Self::Delete { record: message, .. } => &message.channel_name,
        }
    }
}

/// An entry of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRecord {
    /// The channel, as it is listed.
    pub channel: Channel,
    /// The address of the client whose HOST registered it; `None` for the operator.
    pub registered_from: Option<IpAddr>,
    /// The account that hosts it, to which the name belongs; `None` for a guest's or the operator's.
    pub account: Option<AccountName>,
    /// Its position in the order of creation: a channel created later has a greater one.
    pub position: u64,
    /// The seconds for which it stays without another HOST; `None` for until UNHOST.
    pub lease: Option<u32>,
}

/// The ids of a channel's messages. They outlive the messages and the directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelLog {
    /// The channel's name.
    pub channel_name: ChannelName,
    /// The last id that was given.
    pub last_id: u64,
    /// The id of the oldest message that is kept; one more than the last if none is.
    pub first_id: u64,
    /// The last message's time.
    pub last_timestamp: Timestamp,
    /// The wall time at which the name was last taken off the list, or a message of it dropped.
    pub since: Timestamp,
    /// The account that the name belongs to: that of the last [`PutChannel`](Write::PutChannel).
    pub account: Option<AccountName>,
}

/// The roles and settings of a channel that has any. They belong to a name with a [`ChannelLog`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModerationRecord {
    /// The channel's name.
    pub channel_name: ChannelName,
    /// The settings.
    pub settings: ChannelSettings,
    /// The roles, each of another subject.
    pub roles: Vec<(RoleSubject, GivenRole)>,
}

/// The one who has a role in a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleSubject {
    /// An account.
    Account(AccountName),
    /// Those who come from an address. An IPv6 address stands for its /64 network, and is the first of it.
    Address(IpAddr),
}

/// A role as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenRole {
    /// The role.
    pub role: Role,
    /// The wall time at which it ends; `None` if it does not end.
    pub until: Option<Timestamp>,
    /// The number of the message by whose sender the subject was named, which is an address.
    pub sender_of: Option<u64>,
}

/// A stored message's key: with its channel, it says which message a repeated MESSAGE repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendKey {
    /// The sender.
    pub sender: Sender,
    /// The sender's id of the message.
    pub client_message_id: ClientMessageId,
    /// The [`digest`](Self::digest) of the message; 0 once it is deleted.
    pub digest: u64,
}

/// The key of a message that was sent with one, and what its answer said. It outlives the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRecord {
    /// The name of the message's channel.
    pub channel_name: ChannelName,
    /// The message's number in the channel.
    pub id: u64,
    /// The message's time.
    pub timestamp: Timestamp,
    /// The key.
    pub key: SendKey,
}

impl SendRecord {
    /// Returns the record of a message that is stored with this key.
    #[must_use]
    pub fn new(message: &StoredMessage, key: SendKey) -> Self {
        Self { channel_name: message.channel_name.clone(), id: message.id, timestamp: message.timestamp, key }
    }
}

/// A sender of messages, as its ids are kept apart from those of others: `guest:` and the username, or `account:` and the
/// account's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// Guests under this username.
    Guest(Username),
    /// An account, under whichever username.
    Account(AccountName),
}

/// An entry that is not on the list: its lease has ended, and it is kept for its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedChannel {
    /// The entry, as it was listed.
    pub record: ChannelRecord,
    /// The wall time until which it is kept.
    pub until: Timestamp,
}

/// The state of a store: all of it when a hub starts, or that of the requested names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory.
    pub channels: Vec<ChannelRecord>,
    /// Channels that are kept for their hosts.
    pub released: Vec<ReleasedChannel>,
    /// The log of each name that ever had a message, belongs to an account, or has roles or settings.
    pub logs: Vec<ChannelLog>,
    /// The roles and settings of the names that have any.
    pub moderation: Vec<ModerationRecord>,
    /// The keys of stored messages, in the order of their commits. For a hub that starts: all that are stored; where a
    /// store has dropped some, these are the first of all. For a [`Load`](StoreCommand::Load): those of the requested names
    /// among the last [`MAX_COMMIT`] that are stored, since a commit has no more and the hub knows all others.
    pub sends: Vec<SendRecord>,
    /// Names that cannot be used. They appear nowhere else in the snapshot.
    pub damaged: Vec<DamagedName>,
}

impl SendKey {
    /// Returns the digest by which two messages under one id are told apart. It is never 0.
    #[must_use]
    pub fn digest(username: &Username, message_content: &str) -> u64 {
        digest(&[username, message_content]).max(1)
    }
}

impl ModerationRecord {
    /// Makes the record of a channel without roles.
    #[must_use]
    pub const fn new(channel_name: ChannelName, settings: ChannelSettings) -> Self {
        Self { channel_name, settings, roles: Vec::new() }
    }

    /// Sets the role of a subject, as [`SetRole`](Write::SetRole) does.
    pub fn set_role(&mut self, subject: &RoleSubject, role: Option<GivenRole>) {
        self.roles.retain(|(other, _)| other != subject);
        self.roles.extend(role.map(|role| (subject.clone(), role)));
    }
}

impl RoleSubject {
    /// Returns a subject from its text, as it was stored.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("account", name) => name.parse().ok().map(Self::Account),
            ("address", ip) => ip.parse().ok().map(Self::Address),
            _ => None,
        }
    }
}

/// Writes the text that is stored for it: `account:` and the name, or `address:` and the address.
impl fmt::Display for RoleSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(f, "account:{name}"),
            Self::Address(ip) => write!(f, "address:{ip}"),
        }
    }
}

impl Sender {
    const GUEST: &str = "guest:";
    const ACCOUNT: &str = "account:";

    /// Returns the sender of the messages of an account, or of a guest under this username.
    #[must_use]
    pub fn of(account: Option<&AccountName>, username: &Username) -> Self {
        account.map_or_else(|| Self::Guest(username.clone()), |account| Self::Account(account.clone()))
    }

    /// Returns a sender from its text, as it was stored; `None` if that is no sender's.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        let guest = text.strip_prefix(Self::GUEST).and_then(|name| name.try_into().ok()).map(Self::Guest);
        guest.or_else(|| text.strip_prefix(Self::ACCOUNT)?.try_into().ok().map(Self::Account))
    }

    /// Returns the two parts of the text that is stored for it.
    #[must_use]
    pub fn parts(&self) -> [&str; 2] {
        match self {
            Self::Guest(username) => [Self::GUEST, username],
            Self::Account(account) => [Self::ACCOUNT, account],
        }
    }
}

/// A name whose stored state is damaged. No request on it is carried out, and its stored state is not overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedName {
    /// The name; `None` if the stored text cannot be a name.
    pub channel_name: Option<ChannelName>,
    /// The position of its directory entry in the order of creation, which stays reserved; `None` if it has no entry.
    pub position: Option<u64>,
}

/// The outcome of a [`StoreCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// Everything in the commit is on stable storage.
    Committed,
    /// Like [`Committed`](Self::Committed), except that the writes to these names cannot be stored. The stored state of
    /// these names is to be read back.
    CommittedWithout(Vec<ChannelName>),
    /// The stored state of the requested names.
    Loaded(Snapshot),
    /// The command failed. Whether a commit is stored is unknown.
    Failed,
    /// The store refused a commit before it began, for example because its disk is full. None of its writes is stored.
    Refused,
}

/// A query for messages. It never waits for a commit, and returns messages committed by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The channel.
    pub channel_name: ChannelName,
    /// The range of messages in it.
    pub range: HistoryRange,
    /// The most messages.
    pub limit: usize,
    /// Reading may stop after texts of this many bytes in total, but not before one message.
    pub max_bytes: usize,
    /// The purpose of reading them.
    pub purpose: Purpose,
}

/// A purpose of reading messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a HISTORY up to this id. Later messages may be in an unfinished commit.
    History {
        /// The last id that may be shown.
        last_id: u64,
    },
    /// To push them.
    Replay,
    /// To decide a request about this message.
    LookUp {
        /// Its id.
        id: u64,
    },
}

/// The encoded result of a [`Query`]; `None` if reading failed.
pub type Page = Option<Found>;

/// Messages read from the store, encoded for sending.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The answer to a HISTORY.
    History(Reply),
    /// A page to push.
    Replay(Replay),
    /// A message, if the store has it.
    Message(Option<StoredMessage>),
}

/// Messages to push, with the id of the first. Ids are dense.
#[derive(Debug, PartialEq, Eq)]
pub struct Replay {
    pub(super) first_id: u64,
    pub(super) pushes: Pushes,
}

impl Query {
    /// Encodes the messages that were read, in order of their ids. Encoding is most of the work of a page, so it is
    /// done on the reading thread and not by the hub.
    #[must_use]
    pub fn found(&self, mut messages: Vec<StoredMessage>) -> Found {
        match self.purpose {
            Purpose::History { last_id } => {
                messages.retain(|message| message.id <= last_id);
                let newest = !matches!(self.range, HistoryRange::After(_));
                let bytes = encode_history(&self.channel_name, &messages, newest, MAX_HISTORY);
                Found::History(Reply::Encoded(bytes.into()))
            }
            Purpose::Replay => {
                let first_id = messages.first().map_or(0, |message| message.id);
                Found::Replay(Replay { first_id, pushes: Pushes::encode(&messages) })
            }
            Purpose::LookUp { id } => Found::Message(messages.into_iter().find(|message| message.id == id)),
        }
    }
}
