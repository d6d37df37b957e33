//! What the inspector shows of a connection's bytes: one [`Row`] for each stretch of a stream.
//!
//! The page and the command line both show rows, so they say the same about the same bytes, and what they say is the
//! decoder's own: nothing here parses the protocol a second time.
//!
//! - [`Listing`] reads one direction; [`Conversation`] reads both and pairs answers with their requests.
//! - [`commands`], [`compose`] and [`check`] are for writing requests: the forms come from the tables that the server
//!   checks with, and the server's own reading judges what was typed.
//! - [`visible`] is for everything that a peer said: nothing in it can steer a terminal or mislead an eye.
//!
//! ```
//! use chanwire_inspect::{Conversation, Direction};
//!
//! let mut conversation = Conversation::new(None);
//! conversation.feed(Direction::Out, 0.0, b"LIST\r\n");
//! let rows = conversation.feed(Direction::In, 2.5, b"OK\r\n{\"channels\": []}");
//! assert_eq!((rows[0].summary.as_str(), rows[0].pair, rows[0].rtt), ("0 channels", Some(0), Some(2.5)));
//! ```

mod compose;
mod conversation;
mod guess;
mod listing;
mod row;
mod summary;
mod tree;
mod visible;

pub use compose::{CommandField, CommandForm, Problem, ValueKind, check, commands, compose};
pub use conversation::{Conversation, MAX_OPEN_REQUESTS};
pub use guess::guess_direction;
pub use listing::Listing;
pub use row::{Direction, Fault, Field, FieldKind, Partial, Row, RowKind};
pub use summary::MAX_SUMMARY;
pub use tree::{MAX_FIELDS, MAX_TEXT};
pub use visible::{readable, visible};
