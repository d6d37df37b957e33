//! What requests, responses and pushes say.

use alloc::{borrow::Cow, string::String, vec::Vec};

use super::{
    Address, Command, Head as _, Status, Timestamp, encode,
    payload::{Field, FieldKind, Members, PayloadFault},
};

/// What a client asks for.
///
/// Any value can be encoded; a server accepts it if its strings are what the fields must be, which
/// [`validate`](Self::validate) tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Request {
    /// Which channels are there?
    List,
    /// Put a channel on the list.
    Host(Channel),
    /// Deliver a message.
    Message(Message),
}

/// A channel and where it is hosted: what HOST registers and LIST lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    /// Its name.
    pub channel_name: String,
    /// Where its peer server listens.
    pub address: Address,
}

/// A message to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who says it.
    pub username: String,
    /// What is said.
    pub message_content: String,
    /// The channel it is for; without one, the one channel of the address it is sent to.
    pub channel_name: Option<String>,
}

/// A message as its channel keeps it: what a push carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredMessage {
    /// The channel it is in.
    pub channel_name: String,
    /// Its number in the channel: 1 for the first, then without a gap, below 2^53.
    pub id: u64,
    /// Who said it.
    pub username: String,
    /// What was said.
    pub message_content: String,
    /// When the server took it. Never below that of the message before.
    pub timestamp: Timestamp,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Response {
    /// To LIST: the channels in order of creation.
    Channels(Vec<Channel>),
    /// To HOST: the channel is on the list.
    Hosted {
        /// Its name.
        channel_name: String,
    },
    /// To MESSAGE: it is on stable storage.
    Delivered {
        /// The time that was stored with it.
        timestamp: Timestamp,
    },
    /// To anything that went wrong.
    Error(ErrorResponse),
}

/// An answer that says what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorResponse {
    /// Whose doing it was.
    pub blame: Blame,
    /// The protocol's name of the error.
    pub error: Cow<'static, str>,
    /// What happened and where, in words.
    pub details: String,
}

/// Whose doing an error was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// REQUEST_ERROR: the client's.
    Request,
    /// SERVER_ERROR: the server's.
    Server,
}

const CHANNEL_NAME: &str = "channel_name";
const PEER_SERVER_IP: &str = "peer_server_ip";
const PEER_SERVER_PORT: &str = "peer_server_port";
const USERNAME: &str = "username";
const MESSAGE_CONTENT: &str = "message_content";
const TIMESTAMP: &str = "timestamp";
const CHANNELS: &str = "channels";
const ERROR: &str = "error";
const DETAILS: &str = "details";
const ID: &str = "id";

/// Errors that answer no request.
const NOTICES: [&str; 4] = ["Slow consumer", "Server busy", "Request timed out", "Channel removed"];

static CHANNEL: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(PEER_SERVER_IP, FieldKind::Host),
    Field::required(PEER_SERVER_PORT, FieldKind::Port),
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
static HOSTED: [Field; 1] = [Field::required(CHANNEL_NAME, FieldKind::Name)];
static DELIVERED: [Field; 1] = [Field::required(TIMESTAMP, FieldKind::Timestamp)];
static FAILED: [Field; 2] = [Field::required(ERROR, FieldKind::Text), Field::required(DETAILS, FieldKind::Text)];

impl Command {
    /// The fields of its payload, in the order in which they are checked and written.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::List => &[],
            Self::Host => &CHANNEL,
            Self::Message => &MESSAGE,
        }
    }
}

impl Request {
    /// The command that asks for it.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::List => Command::List,
            Self::Host(_) => Command::Host,
            Self::Message(_) => Command::Message,
        }
    }

    /// Reads the payload of a frame with this command.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it, in the protocol's order: JSON, a field twice, then each field.
    pub fn decode(command: Command, payload: &[u8]) -> Result<Self, PayloadFault> {
        match command {
            Command::List => Ok(Self::List),
            Command::Host => Channel::of(&Members::read(payload, command.fields())?).map(Self::Host),
            Command::Message => {
                let members = Members::read(payload, command.fields())?;
                Ok(Self::Message(Message {
                    username: members.name(USERNAME)?,
                    message_content: members.content(MESSAGE_CONTENT)?,
                    channel_name: members.optional_name(CHANNEL_NAME)?,
                }))
            }
        }
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::head(out, self.command());
        match self {
            Self::List => {}
            Self::Host(channel) => encode::object(out, |object| channel.write(object)),
            Self::Message(message) => encode::object(out, |object| {
                object
                    .text(USERNAME, &message.username)
                    .text(MESSAGE_CONTENT, &message.message_content)
                    .optional_text(CHANNEL_NAME, message.channel_name.as_deref());
            }),
        }
    }

    /// Whether a server would accept it: what it would say of the canonical bytes.
    ///
    /// # Errors
    ///
    /// What a server would find wrong.
    pub fn validate(&self) -> Result<(), PayloadFault> {
        let mut frame = Vec::new();
        self.encode(&mut frame);
        let payload = frame.get(self.command().name().len() + 2..).unwrap_or_default();
        Self::decode(self.command(), payload).map(|_| ())
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
        let members = Members::read(payload, &STORED_MESSAGE)?;
        Ok(Self {
            channel_name: members.name(CHANNEL_NAME)?,
            id: members.id(ID)?,
            username: members.name(USERNAME)?,
            message_content: members.content(MESSAGE_CONTENT)?,
            timestamp: members.timestamp(TIMESTAMP)?,
        })
    }
}

impl Response {
    /// Reads the payload of an answer with this status to a request with this command.
    ///
    /// A push is no answer: for it, [`StoredMessage::decode`] is there, and this finds its fields missing.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it.
    pub fn decode(command: Command, status: Status, payload: &[u8]) -> Result<Self, PayloadFault> {
        match (status, command) {
            (Status::RequestError, _) => ErrorResponse::decode(Blame::Request, payload).map(Self::Error),
            (Status::ServerError, _) => ErrorResponse::decode(Blame::Server, payload).map(Self::Error),
            (Status::Ok | Status::Push, Command::List) => {
                Members::read_list(payload, &LISTED, &CHANNEL, Channel::of).map(Self::Channels)
            }
            (Status::Ok | Status::Push, Command::Host) => {
                let channel_name = Members::read(payload, &HOSTED)?.name(CHANNEL_NAME)?;
                Ok(Self::Hosted { channel_name })
            }
            (Status::Ok | Status::Push, Command::Message) => {
                let timestamp = Members::read(payload, &DELIVERED)?.timestamp(TIMESTAMP)?;
                Ok(Self::Delivered { timestamp })
            }
        }
    }

    /// The status that it begins with.
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
            Self::Hosted { channel_name } => {
                encode::head(out, Status::Ok);
                encode::object(out, |object| {
                    object.text("status", "success").text(CHANNEL_NAME, channel_name);
                });
            }
            Self::Delivered { timestamp } => {
                encode::head(out, Status::Ok);
                encode::object(out, |object| {
                    object.text("status", "delivered").display(TIMESTAMP, timestamp);
                });
            }
            Self::Error(error) => error.encode(out),
        }
    }
}

/// Appends the answer to LIST, from channels that nobody need gather first.
pub fn encode_channels<'a>(channels: impl IntoIterator<Item = &'a Channel>, out: &mut Vec<u8>) {
    encode::head(out, Status::Ok);
    encode::object(out, |object| {
        object.objects(CHANNELS, channels, |object, channel| channel.write(object));
    });
}

impl ErrorResponse {
    /// A REQUEST_ERROR.
    #[must_use]
    pub fn request(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { blame: Blame::Request, error: error.into(), details: details.into() }
    }

    /// A SERVER_ERROR.
    #[must_use]
    pub fn server(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { blame: Blame::Server, error: error.into(), details: details.into() }
    }

    /// The status that it begins with.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.blame {
            Blame::Request => Status::RequestError,
            Blame::Server => Status::ServerError,
        }
    }

    /// Whether it answers no request, but tells why the server closes the connection. Requests that are open then have
    /// an unknown outcome.
    #[must_use]
    pub fn is_notice(&self) -> bool {
        NOTICES.contains(&&*self.error)
    }

    fn decode(blame: Blame, payload: &[u8]) -> Result<Self, PayloadFault> {
        let members = Members::read(payload, &FAILED)?;
        Ok(Self { blame, error: members.text(ERROR)?.into(), details: members.text(DETAILS)? })
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::head(out, self.status());
        encode::object(out, |object| {
            object.text(ERROR, &self.error).text(DETAILS, &self.details);
        });
    }
}

impl core::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.error, self.details)
    }
}
