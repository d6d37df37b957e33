//! Rows as lines of JSON: the form in which a capture is kept, and loses nothing.
//!
//! One line names a connection and stands before its first row; each other line is a row. Bytes are a text where they
//! are UTF-8, and in base64 where they are not. Times of rows are in milliseconds since `started`, where that is known.
//!
//! ```json
//! {"connection":1,"label":"192.0.2.7:50123","started":"2023-11-02T15:04:32.250000Z"}
//! {"row":1,"connection":1,"direction":"out","kind":"frame","time":0,"position":0,"head":"LIST","text":"LIST\r\n","pair":2,"begins":true,"ends":true,"summary":"which channels are there?"}
//! ```

mod read;
mod started;
mod write;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use read::JsonLinesReader;
pub use write::JsonLinesWriter;

use crate::{Direction, Fault, RowKind};

/// A line about a connection.
#[derive(Debug, Serialize, Deserialize)]
struct ConnectionLine<'a> {
    connection: u32,
    #[serde(borrow)]
    label: Cow<'a, str>,
    /// When time 0 of the rows was.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    started: Option<Cow<'a, str>>,
}

/// A line about a row. Members that follow from the bytes are there for people and other programs, and not read back.
#[derive(Debug, Serialize, Deserialize)]
struct RowLine<'a> {
    row: u64,
    #[serde(default)]
    connection: u32,
    direction: Direction,
    kind: RowKind,
    /// Of a row without it, it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    #[serde(default)]
    position: u64,
    #[serde(borrow, default)]
    head: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
    /// The text of a note or a gap.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    says: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    /// Of a note: of a failure.
    #[serde(default, skip_serializing_if = "is_false")]
    bad: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    push: bool,
    /// The command that an answer answers.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    asked: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pair: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtt: Option<f64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    /// A read begins at its first byte.
    #[serde(default, skip_serializing_if = "is_false")]
    begins: bool,
    /// A read ends with its last byte.
    #[serde(default, skip_serializing_if = "is_false")]
    ends: bool,
    /// The start and time of each read in it, unless one brought it at the row's own time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<(u32, f64)>,
    #[serde(default, skip_serializing_if = "is_false")]
    marked: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    summary: Option<Cow<'a, str>>,
}

const fn is_false(truth: &bool) -> bool {
    !*truth
}
