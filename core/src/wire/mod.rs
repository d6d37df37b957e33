//! The wire format: the ends of frames, their content, their canonical bytes and positions.
//!
//! [`Decoder`] cuts a stream into frames and knows nothing of payloads; [`Request::decode`], [`Response::decode`]
//! and [`StoredMessage::decode`] read one payload and know nothing of streams. So a payload that is wrong inside
//! never shakes the framing.

mod address;
mod brackets;
mod connection_row;
mod encode;
mod error_response;
mod fault;
mod fields;
mod frame;
mod item;
pub mod json;
mod message;
mod name;
mod payload;
mod request;
mod response;
#[cfg(feature = "serde")]
mod serde_text;
mod start_line;
mod timestamp;

pub(crate) use address::Location;
pub use address::{Address, NotAnAddress, canonical};
pub use brackets::MAX_DEPTH;
pub use connection_row::ConnectionRow;
pub use error_response::{Blame, ErrorResponse};
pub use fault::{Fault, FaultKind, Place};
pub use frame::{Decoder, Partial, ResumeState};
pub use item::{Frame, Item, Skipped};
pub use message::{Channel, Message, StoredMessage};
pub use name::{ChannelName, NotAName, Username};
pub use payload::{Field, FieldKind, PayloadFault, PayloadFaultKind};
pub use request::{CONNECTIONS_LIMIT, HISTORY_LIMIT, HistoryRange, Host, JoinFrom, Request};
pub use response::{Hello, Notice, Response, encode_channels};
pub(crate) use response::{
    LIST_END, LIST_SEPARATOR, LIST_START, MAX_HISTORY, connection_page, encode_channel, encode_history,
};
pub use start_line::{Command, StartLine, Status, UnknownCommand, UnknownStatus};
pub use timestamp::{NotATimestamp, Timestamp};
