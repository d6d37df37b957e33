//! The wire format: the ends of frames, their content, their canonical bytes and positions.
//!
//! [`Decoder`] cuts a stream into frames and knows nothing of payloads; [`Request::decode`], [`Response::decode`]
//! and [`StoredMessage::decode`] read one payload and know nothing of streams. So a payload that is wrong inside
//! never shakes the framing.

mod address;
mod brackets;
mod client_message_id;
mod connection_row;
mod credentials;
mod encode;
mod error_response;
mod fault;
mod fields;
mod frame;
mod item;
pub mod json;
mod listed_channel;
mod message;
mod moderation;
mod name;
mod notice;
mod payload;
mod request;
mod response;
#[cfg(feature = "serde")]
mod serde_text;
mod start_line;
mod timestamp;
mod user;

pub(crate) use address::Location;
pub use address::{Address, NotAnAddress, canonical};
pub use brackets::MAX_DEPTH;
pub use client_message_id::{ClientMessageId, NotAClientMessageId};
pub use connection_row::ConnectionRow;
pub use credentials::{Credentials, NotASecret, Secret};
pub use error_response::{Blame, ErrorResponse};
pub use fault::{Fault, FaultKind, Place, TLS_HANDSHAKE};
pub use frame::{Decoder, Partial, ResumeState};
pub use item::{Frame, Item, Skipped};
pub use listed_channel::{ChannelActivity, ListedChannel};
pub use message::{Channel, DELETED_CONTENT, Message, StoredMessage};
pub use moderation::{ChannelSettings, ListedRole, NotARole, Role, RoleTarget};
pub use name::{AccountName, ChannelName, NotAName, Username};
pub use notice::{Notice, Presence};
pub use payload::{Field, FieldKind, PayloadFault, PayloadFaultKind};
pub use request::{CHANNELS_LIMIT, CONNECTIONS_LIMIT, HISTORY_LIMIT, HistoryRange, Host, JoinFrom, Request};
pub use response::{Hello, Response, encode_channels};
pub(crate) use response::{
    LIST_END, LIST_SEPARATOR, LIST_START, MAX_HISTORY, channel_page, connection_page, encode_channel, encode_history,
    who,
};
pub use start_line::{Command, StartLine, Status, UnknownCommand, UnknownStatus};
pub use timestamp::{NotATimestamp, Timestamp};
pub use user::User;
