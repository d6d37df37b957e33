//! The wire format: the ends of frames, their content, their canonical bytes and positions.
//!
//! [`Decoder`] cuts a stream into frames and knows nothing of payloads; [`Request::decode`], [`Response::decode`]
//! and [`StoredMessage::decode`] read one payload and know nothing of streams. So a payload that is wrong inside
//! never shakes the framing.

mod address;
mod brackets;
mod encode;
mod fault;
mod frame;
mod item;
pub mod json;
mod message;
mod name;
mod payload;
#[cfg(feature = "serde")]
mod serde_text;
mod start_line;
mod timestamp;

pub(crate) use address::Location;
pub use address::{Address, NotAnAddress, canonical};
pub use brackets::MAX_DEPTH;
pub use fault::{Fault, FaultKind, Place};
pub use frame::{Decoder, Partial, ResumeState};
pub use item::{Frame, Item, Skipped};
pub use message::{
    Blame, CONNECTIONS_LIMIT, Channel, ConnectionRow, ErrorResponse, HISTORY_LIMIT, Hello, HistoryRange, Host,
    JoinFrom, Message, Notice, Request, Response, StoredMessage, encode_channels,
};
pub(crate) use message::{
    LIST_END, LIST_SEPARATOR, LIST_START, MAX_HISTORY, connection_page, encode_channel, encode_history,
};
pub use name::{ChannelName, NotAName, Username};
pub use payload::{Field, FieldKind, PayloadFault, PayloadFaultKind};
pub use start_line::{Command, StartLine, Status, UnknownCommand, UnknownStatus};
pub use timestamp::{NotATimestamp, Timestamp};
