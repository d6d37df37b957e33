//! Responses.

use alloc::{string::String, vec::Vec};

use super::{
    AccountName, Blame, Channel, ChannelName, ChannelSettings, Command, ConnectionRow, ErrorResponse, ListedChannel,
    ListedRole, Role, StartLine as _, Status, StoredMessage, Timestamp, User, encode,
    fields::{
        ACCOUNT, AUTHENTICATED, BURST, CHANNEL, CHANNEL_NAME, CHANNEL_PAGE, CHANNELS, COMPLETE, CONNECTION,
        CONNECTION_PAGE, CONNECTIONS, COUNT, DELIVERED, ENCRYPTED, FEATURES, FIRST_ID, HELLO, HISTORY_PAGE, ID, JOINED,
        LAST_ID, LISTED, LISTED_CHANNEL, LISTED_ROLE, MAX_PAYLOAD, MESSAGES, NAMED, NEXT, NUMBERED, ONE_MESSAGE,
        PROTOCOL_VERSION, RETRY_WINDOW, ROLE, ROLE_SET, ROLES, ROW, SETTINGS, STATUS, STORED_MESSAGE, TIMESTAMP,
        UNITS_PER_SECOND, USER, USERS, WHO,
    },
    message::digits,
    moderation::word_of,
    payload::{Members, PayloadFault},
};

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
        /// Its number in the channel, if it was sent with an id of the client's.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        id: Option<u64>,
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
    /// To AUTH: the connection is the account's from now on.
    Authenticated {
        /// The account.
        account: AccountName,
    },
    /// To WHO: the connections and users that have joined.
    Who {
        /// The channel's name.
        channel_name: ChannelName,
        /// The number of connections.
        count: u64,
        /// The users that have given a name, the one that joined first of all first.
        users: Vec<User>,
        /// Whether these are all users of all connections.
        complete: bool,
    },
    /// To CHANNELS: a page of the list of channels.
    ChannelPage {
        /// The channels, in the order of their creation.
        channels: Vec<ListedChannel>,
        /// The position after which the next page begins; `None` at the end.
        next: Option<u64>,
    },
    /// To DELETE: the message is deleted.
    Deleted {
        /// The channel's name.
        channel_name: ChannelName,
        /// The message's number in the channel.
        id: u64,
    },
    /// To ROLE: it is given.
    RoleSet {
        /// The channel's name.
        channel_name: ChannelName,
        /// The role; `None` if there is none now.
        role: Option<Role>,
    },
    /// To SETTINGS: those that are in force.
    Settings {
        /// The channel's name.
        channel_name: ChannelName,
        /// The settings.
        settings: ChannelSettings,
        /// The roles that were given, for those who may give some. None where there are none.
        roles: Vec<ListedRole>,
    },
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
    /// The feature of a server that stores a message once, however often it is sent under its `client_message_id`.
    pub const CLIENT_MESSAGE_ID: &'static str = "client_message_id";

    /// The feature of a server that has accounts, which AUTH is for.
    pub const AUTH: &'static str = "auth";

    /// The feature of a server that says who has joined a channel, by WHO and by notices.
    pub const PRESENCE: &'static str = "presence";

    /// The feature of a server that lists its channels in pages by CHANNELS.
    pub const CHANNELS: &'static str = "channels";

    /// The feature of a server whose channels are moderated by DELETE, ROLE and SETTINGS.
    pub const MODERATION: &'static str = "moderation";

    /// Returns whether the server has this feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

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

/// The version of the protocol that HELLO names.
const PROTOCOL: u64 = 1;

impl Response {
    /// Reads the payload of an answer with this status to a request with this command.
    ///
    /// Pushes and notices are no answers: for them, [`StoredMessage::decode`] and [`Notice::decode`](super::Notice::decode) are there, and this
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
                let (_, channels) = Members::read_list(payload, &LISTED, CHANNELS, &CHANNEL, Channel::of::<3>)?;
                Ok(Self::Channels(channels))
            }
            (_, Command::Message) => {
                let members = Members::read(payload, &DELIVERED)?;
                Ok(Self::Delivered { timestamp: members.timestamp(TIMESTAMP)?, id: members.optional_integer(ID)? })
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
            (_, Command::Auth) => {
                Ok(Self::Authenticated { account: Members::read(payload, &AUTHENTICATED)?.name(ACCOUNT)? })
            }
            (_, Command::Who) => {
                let (members, users) = Members::read_list(payload, &WHO, USERS, &USER, User::of)?;
                Ok(Self::Who {
                    channel_name: members.name(CHANNEL_NAME)?,
                    count: members.integer(COUNT)?,
                    users,
                    complete: members.flag(COMPLETE)?,
                })
            }
            (_, Command::Channels) => {
                let (members, channels) =
                    Members::read_list(payload, &CHANNEL_PAGE, CHANNELS, &LISTED_CHANNEL, ListedChannel::of)?;
                Ok(Self::ChannelPage { channels, next: members.optional_integer(NEXT)? })
            }
            (_, Command::Delete) => {
                let members = Members::read(payload, &ONE_MESSAGE)?;
                Ok(Self::Deleted { channel_name: members.name(CHANNEL_NAME)?, id: members.integer(ID)? })
            }
            (_, Command::Role) => {
                let members = Members::read(payload, &ROLE_SET)?;
                Ok(Self::RoleSet { channel_name: members.name(CHANNEL_NAME)?, role: members.role(ROLE)? })
            }
            (_, Command::Settings) => {
                let (members, roles) = Members::read_list(payload, &SETTINGS, ROLES, &LISTED_ROLE, ListedRole::of)?;
                let (channel_name, settings) = (members.name(CHANNEL_NAME)?, ChannelSettings::of(&members)?);
                Ok(Self::Settings { channel_name, settings, roles })
            }
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
            Self::Delivered { timestamp, id } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "delivered").display(TIMESTAMP, timestamp).optional_integer(ID, *id);
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
            Self::Authenticated { account } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "authenticated").text(ACCOUNT, account);
                });
            }
            Self::Who { channel_name, count, users, complete } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(CHANNEL_NAME, channel_name).integer(COUNT, *count);
                    object.objects(USERS, users, |object, user| user.write(object)).flag(COMPLETE, *complete);
                });
            }
            Self::ChannelPage { channels, next } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.objects(CHANNELS, channels, |object, channel| channel.write(object));
                    object.optional_integer(NEXT, *next);
                });
            }
            Self::Deleted { channel_name, id } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "deleted").text(CHANNEL_NAME, channel_name).integer(ID, *id);
                });
            }
            Self::RoleSet { channel_name, role } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(STATUS, "set").text(CHANNEL_NAME, channel_name).text(ROLE, word_of(*role));
                });
            }
            Self::Settings { channel_name, settings, roles } => {
                encode::start_line(out, Status::Ok);
                encode::object(out, |object| {
                    object.text(CHANNEL_NAME, channel_name);
                    settings.write(object);
                    if !roles.is_empty() {
                        object.objects(ROLES, roles, |object, role| role.write(object));
                    }
                });
            }
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

/// The most bytes of the payload that answers CHANNELS or CONNECTIONS.
const MAX_PAGE: usize = MAX_HISTORY;

/// Returns the answer to CHANNELS, cut so that its payload has at most 262,144 bytes, but for one channel if there is
/// any. `next` is the position after which the next page begins if nothing is cut.
pub(crate) fn channel_page(mut channels: Vec<ListedChannel>, next: Option<u64>) -> Response {
    let position = |channel: &ListedChannel| channel.position;
    let next = cut_page(CHANNELS, &mut channels, next, position, |channel, object| channel.write(object));
    Response::ChannelPage { channels, next }
}

/// Returns the answer to CONNECTIONS, cut so that its payload has at most 262,144 bytes, but for one row if there is
/// any. `next` is the number after which the next page begins if nothing is cut.
pub(crate) fn connection_page(mut connections: Vec<ConnectionRow>, next: Option<u64>) -> Response {
    let number = |row: &ConnectionRow| row.connection;
    let next = cut_page(CONNECTIONS, &mut connections, next, number, |row, object| row.write(object));
    Response::Connections { connections, next }
}

/// Returns the answer to WHO, cut so that its payload has at most 262,144 bytes.
pub(crate) fn who(channel_name: ChannelName, count: u64, mut users: Vec<User>, mut complete: bool) -> Response {
    let mut bytes = Vec::new();
    let empty = Response::Who { channel_name: channel_name.clone(), count, users: Vec::new(), complete: false };
    empty.encode(&mut bytes);
    let fits = users.iter().take_while(|user| {
        bytes.extend_from_slice(b", ");
        encode::object(&mut bytes, |object| user.write(object));
        bytes.len() <= MAX_PAGE
    });
    let kept = fits.count();
    complete &= kept == users.len();
    users.truncate(kept);
    Response::Who { channel_name, count, users, complete }
}

/// Cuts the rows of the member `list` to those that fit into a page, and returns the number after which the next page
/// begins.
fn cut_page<T>(
    list: &str,
    rows: &mut Vec<T>,
    next: Option<u64>,
    number: impl Fn(&T) -> u64,
    write: impl Fn(&T, &mut encode::Object<'_>),
) -> Option<u64> {
    let mut row_bytes = Vec::new();
    // The bytes of the rows so far, and the number of those that fit if the page ends with them.
    let (mut bytes, mut fitting) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        row_bytes.clear();
        encode::object(&mut row_bytes, |object| write(row, object));
        bytes += row_bytes.len() + if index > 0 { ", ".len() } else { 0 };
        let is_last = index + 1 == rows.len();
        let next = if is_last { next } else { Some(number(row)) };
        let around = "{\"\": []}".len() + list.len() + next.map_or(0, |next| ", \"next\": ".len() + digits(next));
        if bytes + around > MAX_PAGE {
            break;
        }
        fitting = index + 1;
    }
    let kept = fitting.max(1);
    if kept >= rows.len() {
        return next;
    }
    rows.truncate(kept);
    rows.last().map(number)
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
