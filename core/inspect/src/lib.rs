//! The inspector's engine: it makes rows of a connection's bytes, one [`Row`] for each stretch of a stream.
//!
//! The page and the command line both show rows, so they say the same about the same bytes, and all of it comes from
//! the decoder: nothing here parses the protocol a second time.
//!
//! - [`Capture`] holds recorded traffic of many connections, in bounded memory, and pairs answers with their requests.
//! - [`Listing`] reads one direction and holds nothing.
//! - [`import`] reads captures of other programs, [`PcapNg`] writes one.
//! - [`commands`], [`compose`](compose()), [`fill`] and [`check`] are for writing requests: the forms come from the
//!   tables that the server checks with, and the server's own parser judges what was typed. [`plan`] says how they are
//!   sent.
//! - Passwords and tokens of AUTH are masked in rows and in what is written, unless it is asked for with its secrets.
//! - [`sandbox`] is the whole server in memory, to try them on.
//! - [`visible`](visible()) is for text of a peer: nothing in it can steer a terminal or mislead an eye.

mod capture;
mod compose;
mod ending;
mod export;
mod filter;
mod guess;
pub mod import;
mod lines;
mod listing;
pub mod plan;
mod row;
pub mod sandbox;
mod secret;
mod statistics;
mod summary;
mod time;
mod tree;
mod typed;
mod view;
mod viewer;
mod visible;

pub use capture::{Arriving, Capture, Carried, Entry, Gap, MAX_OPEN_REQUESTS, ReadPart, Restored};
pub use compose::{CommandField, CommandForm, Filled, Problem, ValueKind, check, commands, compose, fill};
pub use ending::{Ending, ShownEnding};
pub use export::{MAX_GOLDEN, PcapNg, golden, golden_of};
pub use filter::{Completion, CompletionKind, Completions, Filter, MAX_LENGTH as MAX_FILTER, Mistake, complete};
pub use guess::guess_direction;
pub use lines::{JsonLinesReader, JsonLinesWriter};
pub use listing::Listing;
pub use row::{Direction, Fault, Field, FieldKind, Row, RowKind};
pub(crate) use statistics::Statistics;
pub use statistics::{StatisticsGroup, StatisticsRow, Timeline};
pub use summary::MAX_SUMMARY;
pub use time::Time;
pub use tree::{MAX_FIELDS, MAX_TEXT};
pub use view::View;
pub use viewer::{
    ArrivingFrame, Detail, ExportFormat, ExportPart, ExportRequest, ExportScope, FieldDetail, ListRow, Located,
    ReadRegion, Region, Scanning, ShownFrame, Status, Step, StreamPiece, Viewer, detail,
};
pub use visible::{is_shown, readable, visible};
