//! Requests, responses and pushes, as they are read and written.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "callers build these values, and the protocol fixes their fields"
)]

use alloc::{borrow::Cow, format, string::String, vec::Vec};

use super::{
    Address, ChannelName, Command, StartLine as _, Status, Timestamp, Username, encode,
    payload::{Field, FieldKind, Members, MembersOf, PayloadFault, PayloadFaultKind},
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
        /// Whether [`Notice`]s may be sent to this connection. The last HELLO decides.
        notices: bool,
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

/// A channel and where it is hosted: what HOST registers and LIST lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Channel {
    /// Its name.
    pub channel_name: ChannelName,
    /// The address of its peer server.
    pub address: Address,
}

/// A message to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// The user who sends it.
    pub username: Username,
    /// The text.
    pub message_content: String,
    /// The channel it is for; without one, the one channel of the address it is sent to.
    pub channel_name: Option<ChannelName>,
}

/// A message as its channel keeps it: what a push carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StoredMessage {
    /// The channel it is in.
    pub channel_name: ChannelName,
    /// Its number in the channel: 1 for the first, then without a gap, below 2^53.
    pub id: u64,
    /// The user who sent it.
    pub username: Username,
    /// The text.
    pub message_content: String,
    /// The time at which the server took it. Never below that of the message before.
    pub timestamp: Timestamp,
}

/// A response of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Response {
    /// To LIST: the channels in order of creation.
    Channels(Vec<Channel>),
    /// To HOST: the channel is on the list.
    Hosted {
        /// Its name.
        channel_name: ChannelName,
    },
    /// To MESSAGE: it is on stable storage.
    Delivered {
        /// The time that was stored with it.
        timestamp: Timestamp,
    },
    /// To UNHOST: the channel is off the list.
    Removed {
        /// Its name.
        channel_name: ChannelName,
    },
    /// To JOIN: messages are pushed from now on.
    Joined {
        /// The channel's name.
        channel_name: ChannelName,
        /// The id of the first message that is pushed.
        first_id: u64,
        /// The id of the channel's last message; 0 if it has none.
        last_id: u64,
    },
    /// To LEAVE: no message is pushed any more.
    Left {
        /// The channel's name.
        channel_name: ChannelName,
    },
    /// To HISTORY: the messages, oldest first.
    History {
        /// The channel's name.
        channel_name: ChannelName,
        /// The messages.
        messages: Vec<StoredMessage>,
    },
    /// To HELLO: what the server can do.
    Hello(Hello),
    /// To CONNECTIONS: a page of the server's connections.
    Connections {
        /// The connections, in the order of their numbers.
        connections: Vec<ConnectionRow>,
        /// The number after which the next page begins; `None` at the end.
        next: Option<u64>,
    },
    /// To DISCONNECT: the connection is being ended.
    Disconnected {
        /// Its number.
        connection: u64,
    },
    /// To anything that went wrong.
    Error(ErrorResponse),
}

/// The abilities and limits of a server, for one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Hello {
    /// The version of the protocol: 1.
    pub protocol: u64,
    /// The optional parts of the protocol that the server has. A client ignores names that it does not know.
    pub features: Vec<String>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// The largest payload that the server reads, in bytes.
    pub max_payload: u64,
    /// The rate of requests beyond which the server reads more slowly, in units a second; `None` for no such limit.
    pub units_per_second: Option<u64>,
    /// The units that may be spent at once.
    pub burst: Option<u64>,
    /// The seconds for which a message may be sent again under its id without being stored twice.
    pub retry_window: Option<u64>,
}

impl Hello {
    /// Makes the answer of a server without optional parts and rates.
    #[must_use]
    pub const fn new(max_payload: u64) -> Self {
        Self {
            protocol: PROTOCOL,
            features: Vec::new(),
            encrypted: false,
            max_payload,
            units_per_second: None,
            burst: None,
            retry_window: None,
        }
    }
}

/// A server's connection, as CONNECTIONS lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionRow {
    /// Its number, which is also in the server's log: connections are counted as they are accepted.
    pub connection: u64,
    /// The address from which it came; `unknown` without address rights, and `operator` for one of the operator.
    pub peer: String,
    /// The address of the listener that accepted it; `None` for one of the operator.
    pub listener: Option<String>,
    /// The whole seconds for which it is open.
    pub seconds: u64,
    /// Its requests.
    pub requests: u64,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Messages pushed to it.
    pub pushes: u64,
    /// Channels that it has joined.
    pub joined: u64,
    /// Bytes that wait until it reads.
    pub waiting_bytes: u64,
}

/// The version of the protocol that HELLO names.
const PROTOCOL: u64 = 1;

/// News of a channel that is no message, for a connection that joined it and asked for notices with HELLO. It answers
/// no request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Notice {
    /// The kind of news. A client ignores a kind that it does not know.
    pub notice: String,
    /// The channel.
    pub channel_name: String,
}

/// An answer that says what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ErrorResponse {
    /// The side that is to blame.
    pub blame: Blame,
    /// The protocol's name of the error.
    pub error: Cow<'static, str>,
    /// A description.
    pub details: String,
    /// The seconds after which to come back, where the server says so.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub retry_after: Option<u32>,
}

/// The side that is to blame for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Blame {
    /// REQUEST_ERROR: the client's.
    Request,
    /// SERVER_ERROR: the server's.
    Server,
}

pub(super) const CHANNEL_NAME: &str = "channel_name";
const PEER_SERVER_IP: &str = "peer_server_ip";
const PEER_SERVER_PORT: &str = "peer_server_port";
pub(super) const USERNAME: &str = "username";
const MESSAGE_CONTENT: &str = "message_content";
const TIMESTAMP: &str = "timestamp";
const CHANNELS: &str = "channels";
const ERROR: &str = "error";
const DETAILS: &str = "details";
const RETRY_AFTER: &str = "retry_after";
const ID: &str = "id";
const STATUS: &str = "status";
const LEASE: &str = "lease";
const AFTER: &str = "after";
const BEFORE: &str = "before";
const HISTORY: &str = "history";
const LIMIT: &str = "limit";
const FIRST_ID: &str = "first_id";
const LAST_ID: &str = "last_id";
const MESSAGES: &str = "messages";
const NOTICES: &str = "notices";
const PROTOCOL_VERSION: &str = "protocol";
const FEATURES: &str = "features";
const ENCRYPTED: &str = "encrypted";
const MAX_PAYLOAD: &str = "max_payload";
const UNITS_PER_SECOND: &str = "units_per_second";
const BURST: &str = "burst";
const RETRY_WINDOW: &str = "retry_window";
const NOTICE: &str = "notice";
const CONNECTION: &str = "connection";
const CONNECTIONS: &str = "connections";
const PEER: &str = "peer";
const LISTENER: &str = "listener";
const SECONDS: &str = "seconds";
const REQUESTS: &str = "requests";
const RECEIVED_BYTES: &str = "received_bytes";
const SENT_BYTES: &str = "sent_bytes";
const PUSHES: &str = "pushes";
const JOINED_CHANNELS: &str = "joined";
const WAITING_BYTES: &str = "waiting_bytes";
const NEXT: &str = "next";

/// The names of all errors, in the order of the protocol's table.
const ERROR_NAMES: &[&str] = &[
    "Malformed command",
    "Unknown command",
    "Invalid payload",
    "Payload too large",
    "Incomplete request",
    "Request timed out",
    "Channel not found",
    "Channel already exists",
    "Channel hosted elsewhere",
    "Not the channel's host",
    "Not allowed",
    "Already joined",
    "Not joined",
    "Limit reached",
    "Connection not found",
    "Database connection failed",
    "Slow consumer",
    "Channel removed",
    "Disconnected",
    "Server busy",
    ErrorResponse::SERVER_STOPPING,
];

/// Errors that answer no request, but give the reason for closing.
const CLOSING: [&str; 6] = [
    "Slow consumer",
    "Server busy",
    ErrorResponse::SERVER_STOPPING,
    "Request timed out",
    "Channel removed",
    "Disconnected",
];

static CHANNEL: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(PEER_SERVER_IP, FieldKind::Host),
    Field::required(PEER_SERVER_PORT, FieldKind::Port),
];
static HOST: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(PEER_SERVER_IP, FieldKind::Host),
    Field::required(PEER_SERVER_PORT, FieldKind::Port),
    Field::optional(LEASE, FieldKind::Lease),
];
static NAMED: [Field; 1] = [Field::required(CHANNEL_NAME, FieldKind::Name)];
static JOIN: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::optional(AFTER, FieldKind::IdOrZero),
    Field::optional(HISTORY, FieldKind::Count),
];
static RANGE: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::optional(AFTER, FieldKind::IdOrZero),
    Field::optional(BEFORE, FieldKind::Id),
    Field::optional(LIMIT, FieldKind::Limit),
];
static MESSAGE: [Field; 3] = [
    Field::required(USERNAME, FieldKind::Name),
    Field::required(MESSAGE_CONTENT, FieldKind::Content),
    Field::optional(CHANNEL_NAME, FieldKind::Name),
];
static STORED_MESSAGE: [Field; 5] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(ID, FieldKind::Id),
    Field::required(USERNAME, FieldKind::Name),
    Field::required(MESSAGE_CONTENT, FieldKind::Content),
    Field::required(TIMESTAMP, FieldKind::Timestamp),
];
static LISTED: [Field; 1] = [Field::required(CHANNELS, FieldKind::Array)];
static JOINED: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(FIRST_ID, FieldKind::Id),
    Field::required(LAST_ID, FieldKind::IdOrZero),
];
static HISTORY_PAGE: [Field; 2] =
    [Field::required(CHANNEL_NAME, FieldKind::Name), Field::required(MESSAGES, FieldKind::Array)];
static ASK_HELLO: [Field; 1] = [Field::optional(NOTICES, FieldKind::Flag)];
static HELLO: [Field; 7] = [
    Field::required(PROTOCOL_VERSION, FieldKind::Id),
    Field::required(FEATURES, FieldKind::Texts),
    Field::required(ENCRYPTED, FieldKind::Flag),
    Field::required(MAX_PAYLOAD, FieldKind::Id),
    Field::optional(UNITS_PER_SECOND, FieldKind::Id),
    Field::optional(BURST, FieldKind::Id),
    Field::optional(RETRY_WINDOW, FieldKind::Id),
];
static PAGE: [Field; 2] = [Field::optional(AFTER, FieldKind::IdOrZero), Field::optional(LIMIT, FieldKind::Limit)];
static NUMBERED: [Field; 1] = [Field::required(CONNECTION, FieldKind::IdOrZero)];
static CONNECTION_PAGE: [Field; 2] =
    [Field::required(CONNECTIONS, FieldKind::Array), Field::optional(NEXT, FieldKind::IdOrZero)];
static ROW: [Field; 10] = [
    Field::required(CONNECTION, FieldKind::IdOrZero),
    Field::required(PEER, FieldKind::Text),
    Field::optional(LISTENER, FieldKind::Text),
    Field::required(SECONDS, FieldKind::IdOrZero),
    Field::required(REQUESTS, FieldKind::IdOrZero),
    Field::required(RECEIVED_BYTES, FieldKind::IdOrZero),
    Field::required(SENT_BYTES, FieldKind::IdOrZero),
    Field::required(PUSHES, FieldKind::IdOrZero),
    Field::required(JOINED_CHANNELS, FieldKind::IdOrZero),
    Field::required(WAITING_BYTES, FieldKind::IdOrZero),
];
static NEWS: [Field; 2] = [Field::required(NOTICE, FieldKind::Text), Field::required(CHANNEL_NAME, FieldKind::Name)];
static DELIVERED: [Field; 1] = [Field::required(TIMESTAMP, FieldKind::Timestamp)];
static FAILED: [Field; 3] = [
    Field::required(ERROR, FieldKind::Text),
    Field::required(DETAILS, FieldKind::Text),
    Field::optional(RETRY_AFTER, FieldKind::Seconds),
];

impl Command {
    /// Returns the fields of its payload, in the order in which they are checked and written.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::List => &[],
            Self::Host => &HOST,
            Self::Message => &MESSAGE,
            Self::Unhost | Self::Leave => &NAMED,
            Self::Join => &JOIN,
            Self::History => &RANGE,
            Self::Hello => &ASK_HELLO,
            Self::Connections => &PAGE,
            Self::Disconnect => &NUMBERED,
        }
    }
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
            }),
            Command::Unhost => Self::Unhost { channel_name: members.name(CHANNEL_NAME)? },
            Command::Leave => Self::Leave { channel_name: members.name(CHANNEL_NAME)? },
            Command::Join => {
                let channel_name = members.name(CHANNEL_NAME)?;
                let after = members.optional_integer(AFTER)?;
                let last = members.optional_integer(HISTORY)?.and_then(|count| u16::try_from(count).ok());
                members.either(AFTER, HISTORY)?;
                let from = after.map_or(JoinFrom::Last(last.unwrap_or(0)), JoinFrom::After);
                Self::Join { channel_name, from }
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
            Self::Unhost { channel_name } | Self::Leave { channel_name } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name);
            }),
            Self::Join { channel_name, from } => encode::object(out, |object| {
                object.text(CHANNEL_NAME, channel_name);
                let (after, last) = match *from {
                    JoinFrom::After(id) => (Some(id), None),
                    JoinFrom::Last(0) => (None, None),
                    JoinFrom::Last(count) => (None, Some(count.into())),
                };
                object.optional_integer(AFTER, after).optional_integer(HISTORY, last);
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
                    .optional_text(CHANNEL_NAME, message.channel_name.as_deref());
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
            Self::List | Self::Unhost { .. } | Self::Leave { .. } | Self::Hello { .. } => Ok(()),
            Self::Host(Host { lease, .. }) => check_integer(table, LEASE, lease.map(Into::into)),
            Self::Message(Message { message_content, .. }) => {
                check(table, MESSAGE_CONTENT, |_| !message_content.is_empty())
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

impl Channel {
    fn of(members: &Members<'_>) -> Result<Self, PayloadFault> {
        Ok(Self {
            channel_name: members.name(CHANNEL_NAME)?,
            address: members.address(PEER_SERVER_IP, PEER_SERVER_PORT)?,
        })
    }

    fn write(&self, object: &mut encode::Object<'_>) {
        object
            .text(CHANNEL_NAME, &self.channel_name)
            .text(PEER_SERVER_IP, self.address.host())
            .integer(PEER_SERVER_PORT, self.address.port().into());
    }
}

impl StoredMessage {
    /// Reads the payload of a push.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadFault> {
        Self::of(&Members::read(payload, &STORED_MESSAGE)?)
    }

    fn of(members: &Members<'_>) -> Result<Self, PayloadFault> {
        Ok(Self {
            channel_name: members.name(CHANNEL_NAME)?,
            id: members.integer(ID)?,
            username: members.name(USERNAME)?,
            message_content: members.content(MESSAGE_CONTENT)?,
            timestamp: members.timestamp(TIMESTAMP)?,
        })
    }
}

impl StoredMessage {
    /// Appends the frame by which it is pushed, in canonical bytes.
    pub fn encode_push(&self, out: &mut Vec<u8>) {
        encode::start_line(out, Status::Push);
        encode::object(out, |object| self.write(object));
    }

    /// Returns the length of that frame where no text needs an escape. It is longer by the escapes.
    pub(crate) fn plain_push_length(&self) -> usize {
        const WITHOUT_TEXTS: &str = "MESSAGE\r\n{\"channel_name\": \"\", \"id\": , \"username\": \"\", \"message_content\": \"\", \
                                     \"timestamp\": \"1970-01-01T00:00:00Z\"}";
        WITHOUT_TEXTS.len()
            + digits(self.id)
            + self.channel_name.len()
            + self.username.len()
            + self.message_content.len()
    }

    fn write(&self, object: &mut encode::Object<'_>) {
        object
            .text(CHANNEL_NAME, &self.channel_name)
            .integer(ID, self.id)
            .text(USERNAME, &self.username)
            .text(MESSAGE_CONTENT, &self.message_content)
            .display(TIMESTAMP, self.timestamp);
    }
}

impl Response {
    /// Reads the payload of an answer with this status to a request with this command.
    ///
    /// Pushes and notices are no answers: for them, [`StoredMessage::decode`] and [`Notice::decode`] are there, and this
    /// finds their fields missing.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it.
    pub fn decode(command: Command, status: Status, payload: &[u8]) -> Result<Self, PayloadFault> {
        match (status, command) {
            (Status::RequestError, _) => ErrorResponse::decode(Blame::Request, payload).map(Self::Error),
            (Status::ServerError, _) => ErrorResponse::decode(Blame::Server, payload).map(Self::Error),
            (_, Command::List) => {
                let (_, channels) = Members::read_list(payload, &LISTED, CHANNELS, &CHANNEL, Channel::of)?;
                Ok(Self::Channels(channels))
            }
            (_, Command::Message) => {
                let timestamp = Members::read(payload, &DELIVERED)?.timestamp(TIMESTAMP)?;
                Ok(Self::Delivered { timestamp })
            }
            (_, Command::Join) => {
                let members = Members::read(payload, &JOINED)?;
                Ok(Self::Joined {
                    channel_name: members.name(CHANNEL_NAME)?,
                    first_id: members.integer(FIRST_ID)?,
                    last_id: members.integer(LAST_ID)?,
                })
            }
            (_, Command::History) => {
                let (members, messages) =
                    Members::read_list(payload, &HISTORY_PAGE, MESSAGES, &STORED_MESSAGE, StoredMessage::of)?;
                Ok(Self::History { channel_name: members.name(CHANNEL_NAME)?, messages })
            }
            (_, Command::Hello) => Hello::decode(payload).map(Self::Hello),
            (_, Command::Connections) => {
                let (members, connections) =
                    Members::read_list(payload, &CONNECTION_PAGE, CONNECTIONS, &ROW, ConnectionRow::of)?;
                Ok(Self::Connections { connections, next: members.optional_integer(NEXT)? })
            }
            (_, Command::Disconnect) => {
                Ok(Self::Disconnected { connection: Members::read(payload, &NUMBERED)?.integer(CONNECTION)? })
            }
            (_, Command::Host | Command::Unhost | Command::Leave) => {
                let channel_name = Members::read(payload, &NAMED)?.name(CHANNEL_NAME)?;
                Ok(match command {
                    Command::Unhost => Self::Removed { channel_name },
                    Command::Leave => Self::Left { channel_name },
                    _ => Self::Hosted { channel_name },
                })
            }
        }
    }

    /// Returns the status that it begins with.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Error(error) => error.status(),
            _ => Status::Ok,
        }
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Channels(channels) => encode_channels(channels, out),
            Self::Hosted { channel_name } => encode_status(out, "success", channel_name),
            Self::Removed { channel_name } => encode_status(out, "removed", channel_name),
            Self::Left { channel_name } => encode_status(out, "left", channel_name),
            Self::Delivered { timestamp } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "delivered").display(TIMESTAMP, timestamp);
                });
            }
            Self::Joined { channel_name, first_id, last_id } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "joined").text(CHANNEL_NAME, channel_name);
                    object.integer(FIRST_ID, *first_id).integer(LAST_ID, *last_id);
                });
            }
            Self::History { channel_name, messages } => write_history(out, channel_name, messages),
            Self::Hello(hello) => hello.encode(out),
            Self::Connections { connections, next } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.objects(CONNECTIONS, connections, |object, row| row.write(object));
                    object.optional_integer(NEXT, *next);
                });
            }
            Self::Disconnected { connection } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "disconnected").integer(CONNECTION, *connection);
                });
            }
            Self::Error(error) => error.encode(out),
        }
    }
}

impl Hello {
    fn decode(payload: &[u8]) -> Result<Self, PayloadFault> {
        let (members, features) = Members::read_texts(payload, &HELLO)?;
        Ok(Self {
            protocol: members.integer(PROTOCOL_VERSION)?,
            features: members.texts(FEATURES, features)?,
            encrypted: members.flag(ENCRYPTED)?,
            max_payload: members.integer(MAX_PAYLOAD)?,
            units_per_second: members.optional_integer(UNITS_PER_SECOND)?,
            burst: members.optional_integer(BURST)?,
            retry_window: members.optional_integer(RETRY_WINDOW)?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode::start_line(out, Status::Ok);
        encode::object(out, |object| {
            object
                .integer(PROTOCOL_VERSION, self.protocol)
                .texts(FEATURES, &self.features)
                .flag(ENCRYPTED, self.encrypted)
                .integer(MAX_PAYLOAD, self.max_payload)
                .optional_integer(UNITS_PER_SECOND, self.units_per_second)
                .optional_integer(BURST, self.burst)
                .optional_integer(RETRY_WINDOW, self.retry_window);
        });
    }
}

impl ConnectionRow {
    fn of(members: &MembersOf<'_, 10>) -> Result<Self, PayloadFault> {
        Ok(Self {
            connection: members.integer(CONNECTION)?,
            peer: members.text(PEER)?,
            listener: members.optional_text(LISTENER)?,
            seconds: members.integer(SECONDS)?,
            requests: members.integer(REQUESTS)?,
            received_bytes: members.integer(RECEIVED_BYTES)?,
            sent_bytes: members.integer(SENT_BYTES)?,
            pushes: members.integer(PUSHES)?,
            joined: members.integer(JOINED_CHANNELS)?,
            waiting_bytes: members.integer(WAITING_BYTES)?,
        })
    }

    fn write(&self, object: &mut encode::Object<'_>) {
        object
            .integer(CONNECTION, self.connection)
            .text(PEER, &self.peer)
            .optional_text(LISTENER, self.listener.as_deref())
            .integer(SECONDS, self.seconds)
            .integer(REQUESTS, self.requests)
            .integer(RECEIVED_BYTES, self.received_bytes)
            .integer(SENT_BYTES, self.sent_bytes)
            .integer(PUSHES, self.pushes)
            .integer(JOINED_CHANNELS, self.joined)
            .integer(WAITING_BYTES, self.waiting_bytes);
    }
}

/// The most bytes of the payload that answers CONNECTIONS.
const MAX_CONNECTIONS: usize = MAX_HISTORY;

/// Returns the answer to CONNECTIONS, cut so that its payload has at most 262,144 bytes, but for one row if there is
/// any. `next` is the number after which the next page begins if nothing is cut.
pub(crate) fn connection_page(mut connections: Vec<ConnectionRow>, next: Option<u64>) -> Response {
    let mut row_bytes = Vec::new();
    // The bytes of the rows so far, and the number of those that fit if the page ends with them.
    let (mut rows, mut fitting) = (0, 0);
    for (index, row) in connections.iter().enumerate() {
        row_bytes.clear();
        encode::object(&mut row_bytes, |object| row.write(object));
        rows += row_bytes.len() + if index > 0 { ", ".len() } else { 0 };
        let is_last = index + 1 == connections.len();
        let next = if is_last { next } else { Some(row.connection) };
        let around = "{\"connections\": []}".len() + next.map_or(0, |next| ", \"next\": ".len() + digits(next));
        if rows + around > MAX_CONNECTIONS {
            break;
        }
        fitting = index + 1;
    }
    let kept = fitting.max(1);
    if kept >= connections.len() {
        return Response::Connections { connections, next };
    }
    connections.truncate(kept);
    let next = connections.last().map(|row| row.connection);
    Response::Connections { connections, next }
}

/// Returns the number of digits of a number.
fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

impl Notice {
    /// Makes a notice.
    #[must_use]
    pub fn new(notice: impl Into<String>, channel_name: impl Into<String>) -> Self {
        Self { notice: notice.into(), channel_name: channel_name.into() }
    }

    /// Reads the payload of a notice. Members that are not known are ignored.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadFault> {
        let members = Members::read(payload, &NEWS)?;
        Ok(Self { notice: members.text(NOTICE)?, channel_name: members.name(CHANNEL_NAME)? })
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::start_line(out, Status::Notice);
        encode::object(out, |object| {
            object.text(NOTICE, &self.notice).text(CHANNEL_NAME, &self.channel_name);
        });
    }
}

fn encode_status(out: &mut Vec<u8>, status: &str, channel_name: &str) {
    encode::start_line(out, Status::Ok);
    encode::object(out, |object| {
        object.text(STATUS, status).text(CHANNEL_NAME, channel_name);
    });
}

/// The most bytes of the payload that answers a HISTORY.
pub(crate) const MAX_HISTORY: usize = 262_144;

/// Encodes the whole answer to HISTORY in canonical bytes, cut so that its payload has at most `max_bytes`, but for one
/// message if there is any. Of `messages`, oldest first, those next to the start are kept, or the newest.
pub(crate) fn encode_history(
    channel_name: &str,
    messages: &[StoredMessage],
    newest: bool,
    max_bytes: usize,
) -> Vec<u8> {
    let sizes = messages.iter().map(|message| {
        let mut one = Vec::new();
        encode::object(&mut one, |object| message.write(object));
        one.len() + ", ".len()
    });
    let mut frame = Vec::new();
    let empty: [&StoredMessage; 0] = [];
    write_history(&mut frame, channel_name, empty);
    // The bytes around the messages, without the start line. The first message has no comma before it.
    let around = frame.len() - (Status::Ok.name().len() + 2);
    let mut room = (max_bytes + ", ".len()).saturating_sub(around);
    let mut fits = |size: &usize| {
        let fit = *size <= room;
        room = room.saturating_sub(*size);
        fit
    };
    let kept = if newest {
        let sizes: Vec<usize> = sizes.collect();
        sizes.iter().rev().take_while(|size| fits(size)).count()
    } else {
        sizes.take_while(|size| fits(size)).count()
    };
    let kept = kept.max(1).min(messages.len());
    let skipped = if newest { messages.len() - kept } else { 0 };
    frame.clear();
    write_history(&mut frame, channel_name, messages.iter().skip(skipped).take(kept));
    frame
}

fn write_history<'a>(out: &mut Vec<u8>, channel_name: &str, messages: impl IntoIterator<Item = &'a StoredMessage>) {
    encode::start_line(out, Status::Ok);
    encode::object(out, |object| {
        object.text(CHANNEL_NAME, channel_name);
        object.objects(MESSAGES, messages, |object, message| message.write(object));
    });
}

/// The answer to LIST up to the first channel, between two channels, and after the last.
pub(crate) const LIST_START: &[u8] = b"OK\r\n{\"channels\": [";
pub(crate) const LIST_SEPARATOR: &[u8] = b", ";
pub(crate) const LIST_END: &[u8] = b"]}";

/// Appends one channel of the answer to LIST.
pub(crate) fn encode_channel(channel: &Channel, out: &mut Vec<u8>) {
    encode::object(out, |object| channel.write(object));
}

/// Appends the answer to LIST in canonical bytes.
pub fn encode_channels<'a>(channels: impl IntoIterator<Item = &'a Channel>, out: &mut Vec<u8>) {
    encode::start_line(out, Status::Ok);
    encode::object(out, |object| {
        object.objects(CHANNELS, channels, |object, channel| channel.write(object));
    });
}

impl ErrorResponse {
    /// The names of all errors that a server of this protocol sends, in the order of the protocol's table.
    pub const NAMES: &'static [&'static str] = ERROR_NAMES;

    /// The name of the error by which a server says that it stops. A request that is unanswered before it was not
    /// carried out.
    pub const SERVER_STOPPING: &'static str = "Server stopping";

    /// Makes a REQUEST_ERROR.
    #[must_use]
    pub fn request(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { blame: Blame::Request, error: error.into(), details: details.into(), retry_after: None }
    }

    /// Makes a SERVER_ERROR.
    #[must_use]
    pub fn server(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { blame: Blame::Server, error: error.into(), details: details.into(), retry_after: None }
    }

    /// Makes the reason that a server which stops gives to a connection with notices. The client comes back after so
    /// many seconds.
    #[must_use]
    pub fn server_stopping(retry_after: u32) -> Self {
        let unit = if retry_after == 1 { "second" } else { "seconds" };
        let details = format!("The server stops; come back in {retry_after} {unit}");
        Self { retry_after: Some(retry_after), ..Self::server(Self::SERVER_STOPPING, details) }
    }

    /// Returns the status that it begins with.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.blame {
            Blame::Request => Status::RequestError,
            Blame::Server => Status::ServerError,
        }
    }

    /// Returns whether it answers no request, but is the server's reason for closing. Requests that are open then have
    /// an unknown outcome.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        CLOSING.contains(&&*self.error)
    }

    fn decode(blame: Blame, payload: &[u8]) -> Result<Self, PayloadFault> {
        let members = Members::read(payload, &FAILED)?;
        let retry_after = members.optional_integer(RETRY_AFTER)?.and_then(|seconds| u32::try_from(seconds).ok());
        Ok(Self { blame, error: members.text(ERROR)?.into(), details: members.text(DETAILS)?, retry_after })
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::start_line(out, self.status());
        encode::object(out, |object| {
            object
                .text(ERROR, &self.error)
                .text(DETAILS, &self.details)
                .optional_integer(RETRY_AFTER, self.retry_after.map(Into::into));
        });
    }
}

impl core::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.error, self.details)
    }
}

impl core::error::Error for ErrorResponse {}
