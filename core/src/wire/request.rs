//! Requests.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "callers build these values, and the protocol fixes their fields"
)]

use alloc::{string::String, vec::Vec};

use super::{
    Channel, ChannelName, Command, Credentials, Message, Role, RoleTarget, Username, encode,
    fields::{
        ACCOUNT, AFTER, BEFORE, CHANNEL_NAME, CLIENT_MESSAGE_ID, CONNECTION, CONTAINS, HISTORY, ID, LEASE, LIMIT,
        MEMBERS_ONLY, MESSAGE_CONTENT, NOTICES, PASSWORD, ROLE, SECONDS, SENDER_OF, SLOW_MODE, TOKEN, USERNAME,
    },
    moderation::word_of,
    payload::{Field, FieldKind, Members, PayloadFault, PayloadFaultKind},
};

/// A request of a client.
///
/// Any value can be encoded; a server accepts it if no message is empty and every number in its range, which
/// [`validate`](Self::validate) tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Request {
    /// List the channels.
    List,
    /// Put a channel on the list.
    Host(Host),
    /// Deliver a message.
    Message(Message),
    /// Take a channel off the list.
    Unhost {
        /// Its name.
        channel_name: ChannelName,
    },
    /// Push a channel's messages to this connection.
    Join {
        /// The channel's name.
        channel_name: ChannelName,
        /// The message that is pushed first.
        from: JoinFrom,
        /// The name that WHO shows.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        username: Option<Username>,
    },
    /// Stop pushing a channel's messages.
    Leave {
        /// The channel's name.
        channel_name: ChannelName,
    },
    /// Give a channel's stored messages.
    History {
        /// The channel's name.
        channel_name: ChannelName,
        /// The range of messages.
        range: HistoryRange,
        /// The number of at most: 1 to 1000, [`HISTORY_LIMIT`] where nothing is said.
        limit: u16,
    },
    /// Say what the server can do.
    Hello {
        /// Whether [notices](super::Notice) may be sent to this connection. The last HELLO decides.
        notices: bool,
    },
    /// Take this connection for an account's from now on.
    Auth(Credentials),
    /// Say who has joined a channel.
    Who {
        /// The channel's name.
        channel_name: ChannelName,
    },
    /// List the channels, a page at a time.
    Channels {
        /// The position after which the page begins; 0 for the beginning of the list.
        after: u64,
        /// The number of channels at most: 1 to 1000, [`CHANNELS_LIMIT`] where nothing is said.
        limit: u16,
        /// A part that the names of the listed channels contain, in any case of ASCII letters: 1 to 64 characters.
        contains: Option<String>,
    },
    /// Delete a message.
    Delete {
        /// The channel's name.
        channel_name: ChannelName,
        /// The message's number in the channel.
        id: u64,
    },
    /// Give somebody a role in a channel, or none.
    Role {
        /// The channel's name.
        channel_name: ChannelName,
        /// The one to whom it is given.
        target: RoleTarget,
        /// The role; `None` takes the one there is.
        role: Option<Role>,
        /// The seconds after which it ends: 1 to 31536000; `None` if it does not end.
        seconds: Option<u32>,
    },
    /// Change the settings of a channel, as far as they are given, and show them.
    Settings {
        /// The channel's name.
        channel_name: ChannelName,
        /// Whether only members may read and write.
        members_only: Option<bool>,
        /// The seconds between two messages of a sender: 0 to 3600.
        slow_mode: Option<u16>,
    },
    /// List the server's connections.
    Connections {
        /// The number after which the list begins; 0 for its beginning.
        after: u64,
        /// The number of connections at most: 1 to 1000, [`CONNECTIONS_LIMIT`] where nothing is said.
        limit: u16,
    },
    /// End a connection.
    Disconnect {
        /// Its number.
        connection: u64,
    },
}

/// The most messages that HISTORY gives where the request does not say.
pub const HISTORY_LIMIT: u16 = 100;

/// The most channels that CHANNELS gives where the request does not say.
pub const CHANNELS_LIMIT: u16 = 100;

/// The most connections that CONNECTIONS gives where the request does not say.
pub const CONNECTIONS_LIMIT: u16 = 100;

/// A channel to be put on the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Host {
    /// The channel.
    pub channel: Channel,
    /// The seconds for which it stays on the list without another HOST: 10 to 86400; `None` for until UNHOST.
    pub lease: Option<u32>,
}

/// The start of pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum JoinFrom {
    /// With the first message whose id is greater.
    After(u64),
    /// With as many of the last messages: 0 to 1000, and 0 where the request does not say.
    Last(u16),
}

/// A range of stored messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum HistoryRange {
    /// The last ones.
    Last,
    /// The first ones whose id is greater.
    After(u64),
    /// The last ones whose id is smaller.
    Before(u64),
}

impl Request {
    /// Returns the command that asks for it.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::List => Command::List,
            Self::Host(_) => Command::Host,
            Self::Message(_) => Command::Message,
            Self::Unhost { .. } => Command::Unhost,
            Self::Join { .. } => Command::Join,
            Self::Leave { .. } => Command::Leave,
            Self::History { .. } => Command::History,
            Self::Hello { .. } => Command::Hello,
            Self::Auth(_) => Command::Auth,
            Self::Who { .. } => Command::Who,
            Self::Channels { .. } => Command::Channels,
            Self::Delete { .. } => Command::Delete,
            Self::Role { .. } => Command::Role,
            Self::Settings { .. } => Command::Settings,
            Self::Connections { .. } => Command::Connections,
            Self::Disconnect { .. } => Command::Disconnect,
        }
    }

    /// Returns whether it is about the server's connections, and so for its operator alone.
    pub(crate) const fn is_about_connections(&self) -> bool {
        matches!(self, Self::Connections { .. } | Self::Disconnect { .. })
    }

    /// Reads the payload of a frame with this command.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it, in the protocol's order: JSON, a field twice, then each field.
    pub fn decode(command: Command, payload: &[u8]) -> Result<Self, PayloadFault> {
        if command == Command::List {
            return Ok(Self::List);
        }
        let members = Members::read(payload, command.fields())?;
        Ok(match command {
            Command::List => Self::List,
            Command::Host => Self::Host(Host {
                channel: Channel::of(&members)?,
                lease: members.optional_integer(LEASE)?.and_then(|lease| u32::try_from(lease).ok()),
            }),
            Command::Message => Self::Message(Message {
                username: members.name(USERNAME)?,
                message_content: members.content(MESSAGE_CONTENT)?,
                channel_name: members.optional_name(CHANNEL_NAME)?,
                client_message_id: members.optional_name(CLIENT_MESSAGE_ID)?,
            }),
            Command::Unhost => Self::Unhost { channel_name: members.name(CHANNEL_NAME)? },
            Command::Leave => Self::Leave { channel_name: members.name(CHANNEL_NAME)? },
            Command::Join => {
                let channel_name = members.name(CHANNEL_NAME)?;
                let after = members.optional_integer(AFTER)?;
                let last = members.optional_integer(HISTORY)?.and_then(|count| u16::try_from(count).ok());
                let username = members.optional_name(USERNAME)?;
                members.either(AFTER, HISTORY)?;
                let from = after.map_or(JoinFrom::Last(last.unwrap_or(0)), JoinFrom::After);
                Self::Join { channel_name, from, username }
            }
            Command::History => {
                let channel_name = members.name(CHANNEL_NAME)?;
                let (after, before) = (members.optional_integer(AFTER)?, members.optional_integer(BEFORE)?);
                let limit = members.optional_integer(LIMIT)?.and_then(|limit| u16::try_from(limit).ok());
                members.either(AFTER, BEFORE)?;
                let range = match (after, before) {
                    (Some(id), _) => HistoryRange::After(id),
                    (None, Some(id)) => HistoryRange::Before(id),
                    (None, None) => HistoryRange::Last,
                };
                Self::History { channel_name, range, limit: limit.unwrap_or(HISTORY_LIMIT) }
            }
            Command::Hello => Self::Hello { notices: members.optional_flag(NOTICES)?.unwrap_or(false) },
            Command::Auth => Self::Auth(Credentials::of(&members)?),
            Command::Who => Self::Who { channel_name: members.name(CHANNEL_NAME)? },
            Command::Channels => {
                let after = members.optional_integer(AFTER)?.unwrap_or(0);
                let limit = members.optional_integer(LIMIT)?.and_then(|limit| u16::try_from(limit).ok());
                let contains = members.optional_part(CONTAINS)?;
                Self::Channels { after, limit: limit.unwrap_or(CHANNELS_LIMIT), contains }
            }
            Command::Delete => Self::Delete { channel_name: members.name(CHANNEL_NAME)?, id: members.integer(ID)? },
            Command::Role => {
                let channel_name = members.name(CHANNEL_NAME)?;
                let target = RoleTarget::of(&members)?;
                let role = members.role(ROLE)?;
                let seconds = members.optional_integer(SECONDS)?.and_then(|seconds| u32::try_from(seconds).ok());
                Self::Role { channel_name, target, role, seconds }
            }
            Command::Settings => {
                let channel_name = members.name(CHANNEL_NAME)?;
                let members_only = members.optional_flag(MEMBERS_ONLY)?;
                let slow_mode = members.optional_integer(SLOW_MODE)?.and_then(|seconds| u16::try_from(seconds).ok());
                Self::Settings { channel_name, members_only, slow_mode }
            }
            Command::Connections => {
                let after = members.optional_integer(AFTER)?.unwrap_or(0);
                let limit = members.optional_integer(LIMIT)?.and_then(|limit| u16::try_from(limit).ok());
                Self::Connections { after, limit: limit.unwrap_or(CONNECTIONS_LIMIT) }
            }
            Command::Disconnect => Self::Disconnect { connection: members.integer(CONNECTION)? },
        })
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::start_line(out, self.command());
        match self {
            Self::List => {}
            Self::Host(host) => encode::object(out, |object| {
                host.channel.write(object);
                object.optional_integer(LEASE, host.lease.map(Into::into));
            }),
            Self::Unhost { channel_name } | Self::Leave { channel_name } | Self::Who { channel_name } => {
                encode::object(out, |object| {
                    object.text(CHANNEL_NAME, channel_name);
                })
            }
            Self::Join { channel_name, from, username } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name);
                let (after, last) = match *from {
                    JoinFrom::After(id) => (Some(id), None),
                    JoinFrom::Last(0) => (None, None),
                    JoinFrom::Last(count) => (None, Some(count.into())),
                };
                object.optional_integer(AFTER, after).optional_integer(HISTORY, last);
                object.optional_text(USERNAME, username.as_deref());
            }),
            Self::History { channel_name, range, limit } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name);
                let (after, before) = match *range {
                    HistoryRange::Last => (None, None),
                    HistoryRange::After(id) => (Some(id), None),
                    HistoryRange::Before(id) => (None, Some(id)),
                };
                object.optional_integer(AFTER, after).optional_integer(BEFORE, before);
                object.optional_integer(LIMIT, (*limit != HISTORY_LIMIT).then_some((*limit).into()));
            }),
            Self::Hello { notices } => encode::object(out, |object| {
                if *notices {
                    object.flag(NOTICES, true);
                }
            }),
            Self::Auth(Credentials::Password { account, password }) => encode::object(out, |object| {
                object.text(ACCOUNT, account).text(PASSWORD, password.expose());
            }),
            Self::Auth(Credentials::Token(token)) => encode::object(out, |object| {
                object.text(TOKEN, token.expose());
            }),
            Self::Channels { after, limit, contains } => encode::object(out, |object| {
                object.optional_integer(AFTER, (*after > 0).then_some(*after));
                object.optional_integer(LIMIT, (*limit != CHANNELS_LIMIT).then_some((*limit).into()));
                object.optional_text(CONTAINS, contains.as_deref());
            }),
            Self::Delete { channel_name, id } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name).integer(ID, *id);
            }),
            Self::Role { channel_name, target, role, seconds } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name);
                target.write(object);
                object.text(ROLE, word_of(*role)).optional_integer(SECONDS, seconds.map(Into::into));
            }),
            Self::Settings { channel_name, members_only, slow_mode } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name);
                if let Some(members_only) = members_only {
                    object.flag(MEMBERS_ONLY, *members_only);
                }
                object.optional_integer(SLOW_MODE, slow_mode.map(Into::into));
            }),
            Self::Connections { after, limit } => encode::object(out, |object| {
                object.optional_integer(AFTER, (*after > 0).then_some(*after));
                object.optional_integer(LIMIT, (*limit != CONNECTIONS_LIMIT).then_some((*limit).into()));
            }),
            Self::Disconnect { connection } => encode::object(out, |object| {
                object.integer(CONNECTION, *connection);
            }),
            Self::Message(message) => encode::object(out, |object| {
                object
                    .text(USERNAME, &message.username)
                    .text(MESSAGE_CONTENT, &message.message_content)
                    .optional_text(CHANNEL_NAME, message.channel_name.as_deref())
                    .optional_text(CLIENT_MESSAGE_ID, message.client_message_id.as_deref());
            }),
        }
    }

    /// Checks its fields as a server does: a content that is empty, and numbers out of their range.
    ///
    /// # Errors
    ///
    /// The fault that a server would find first, without a place in the payload.
    pub fn validate(&self) -> Result<(), PayloadFault> {
        let table = self.command().fields();
        match self {
            Self::List
            | Self::Unhost { .. }
            | Self::Leave { .. }
            | Self::Hello { .. }
            | Self::Who { .. }
            | Self::Auth(_) => Ok(()),
            Self::Host(Host { lease, .. }) => check_integer(table, LEASE, lease.map(Into::into)),
            Self::Message(Message { message_content, .. }) => {
                check(table, MESSAGE_CONTENT, |kind| kind.allows_text(message_content))
            }
            Self::Join { from, .. } => match *from {
                JoinFrom::After(id) => check_integer(table, AFTER, Some(id)),
                JoinFrom::Last(count) => check_integer(table, HISTORY, Some(count.into())),
            },
            Self::History { range, limit, .. } => {
                match *range {
                    HistoryRange::Last => {}
                    HistoryRange::After(id) => check_integer(table, AFTER, Some(id))?,
                    HistoryRange::Before(id) => check_integer(table, BEFORE, Some(id))?,
                }
                check_integer(table, LIMIT, Some((*limit).into()))
            }
            Self::Channels { after, limit, contains } => {
                check_integer(table, AFTER, Some(*after))?;
                check_integer(table, LIMIT, Some((*limit).into()))?;
                check(table, CONTAINS, |kind| contains.as_ref().is_none_or(|part| kind.allows_text(part)))
            }
            Self::Delete { id, .. } => check_integer(table, ID, Some(*id)),
            Self::Role { target, seconds, .. } => {
                if let RoleTarget::SenderOf(id) = target {
                    check_integer(table, SENDER_OF, Some(*id))?;
                }
                check_integer(table, SECONDS, seconds.map(Into::into))
            }
            Self::Settings { slow_mode, .. } => check_integer(table, SLOW_MODE, slow_mode.map(Into::into)),
            Self::Connections { after, limit } => {
                check_integer(table, AFTER, Some(*after))?;
                check_integer(table, LIMIT, Some((*limit).into()))
            }
            Self::Disconnect { connection } => check_integer(table, CONNECTION, Some(*connection)),
        }
    }
}

fn check_integer(table: &'static [Field], name: &'static str, value: Option<u64>) -> Result<(), PayloadFault> {
    check(table, name, |kind| value.is_none_or(|value| kind.allows_integer(value)))
}

/// Checks that the values of a field's kind include one.
fn check(
    table: &'static [Field],
    name: &'static str,
    is_allowed: impl FnOnce(FieldKind) -> bool,
) -> Result<(), PayloadFault> {
    let fault = |kind| Err(PayloadFault { at: None, kind });
    match table.iter().find(|field| field.name == name) {
        None => fault(PayloadFaultKind::Missing(name)),
        Some(field) if is_allowed(field.kind) => Ok(()),
        Some(field) => fault(PayloadFaultKind::Wrong(*field)),
    }
}
