//! Rows as they are shown. Their serialised form is read by the page and written by `--json`.

use std::{fmt, str::FromStr};

use chanwire_core::{Span, wire};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct as _};

/// Which way bytes go, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the server: requests.
    Out,
    /// From the server to the client: answers and pushes.
    In,
}

/// `out` and `in`, as they are serialised.
impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "out",
            Self::In => "in",
        })
    }
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "out" => Ok(Self::Out),
            "in" => Ok(Self::In),
            _ => Err(format!("a direction is 'out' or 'in', found '{}'", crate::visible(word))),
        }
    }
}

/// The kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// A complete frame; its payload may be wrong inside.
    Frame,
    /// Bytes that are no frame.
    Fault,
    /// Bytes that mean nothing.
    Skipped,
    /// No traffic, but what happened to a connection: it opened, ended or closed.
    Note,
    /// Traffic that is missing.
    Gap,
}

/// One stretch of one direction. Rows tile their stream: every byte belongs to exactly one row. A note or a gap has no
/// bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its kind.
    pub kind: RowKind,
    /// Which stream it is of.
    pub direction: Direction,
    /// Its bytes, by their absolute positions in that stream.
    #[serde(serialize_with = "span")]
    pub span: Span,
    /// The command or status. For a fault, as far as it is known; for skipped bytes, why they are skipped.
    pub head: String,
    /// Whether it came unasked, a message that the server pushed or a notice, so that it answers nothing.
    pub push: bool,
    /// The span of a frame's command or status.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_span")]
    pub command: Option<Span>,
    /// The span of the CRLF after it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_span")]
    pub separator: Option<Span>,
    /// The span of a frame's payload, if its command takes one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_span")]
    pub payload: Option<Span>,
    /// The payload's members; none if the payload is no JSON.
    pub fields: Vec<Field>,
    /// The number of values of the payload that are not among the fields: see [`MAX_FIELDS`](crate::MAX_FIELDS).
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// One line that says what it is about, safe to show: see [`visible`](crate::visible()).
    pub summary: String,
    /// The fault; also in a frame whose payload is wrong inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The status of an answer: OK, REQUEST_ERROR or SERVER_ERROR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// The protocol's name of the error in an error answer, safe to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// For an answer, the number of its request's row in its [`Capture`](crate::Capture), and for a request that of its
    /// answer's. That row may no longer be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<u64>,
    /// For an answer, the milliseconds since its request was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<f64>,
}

impl Row {
    /// Returns the row with every position increased by this number of bytes.
    #[must_use]
    pub fn moved(mut self, by: u64) -> Self {
        let spans = [Some(&mut self.span), self.command.as_mut(), self.separator.as_mut(), self.payload.as_mut()];
        spans.into_iter().flatten().for_each(|span| move_on(span, by));
        move_fields(&mut self.fields, by);
        if let Some(at) = self.fault.as_mut().and_then(|fault| fault.at.as_mut()) {
            *at += by;
        }
        self
    }
}

fn move_fields(fields: &mut [Field], by: u64) {
    for field in fields {
        move_on(&mut field.value, by);
        if let Some(key) = &mut field.key {
            move_on(key, by);
        }
        move_fields(&mut field.children, by);
    }
}

const fn move_on(span: &mut Span, by: u64) {
    span.start += by;
    span.end += by;
}

/// A value in a payload, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// The member's name, decoded and cut at [`MAX_TEXT`](crate::MAX_TEXT); an element's index in its array.
    pub name: String,
    /// The member's name with its quotes; an element of an array has none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_span")]
    pub key: Option<Span>,
    /// The value.
    #[serde(serialize_with = "span")]
    pub value: Span,
    /// The kind of the value.
    pub kind: FieldKind,
    /// The value, decoded and cut at [`MAX_TEXT`](crate::MAX_TEXT); empty for an object or array. It is the peer's
    /// own text: show it through [`visible`](crate::visible()).
    pub text: String,
    /// The members or elements of an object or array.
    pub children: Vec<Field>,
}

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// An object.
    Object,
    /// An array.
    Array,
    /// A string.
    String,
    /// A number, as it is spelled.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
}

/// A fault in a row, in the words in which the protocol answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The protocol's name of the error.
    pub error: String,
    /// A description of the fault and its place, in words.
    pub details: String,
    /// The absolute position of the byte, or of the value, at fault, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Whether the connection is closed after it, so that later bytes are discarded.
    pub closes: bool,
}

impl Fault {
    pub(crate) fn of_frame(fault: &wire::Fault) -> Self {
        Self { error: fault.error().into(), details: fault.details(), at: fault.at, closes: !fault.is_recoverable() }
    }

    /// Returns the fault of a payload that starts at this position.
    pub(crate) fn of_payload(fault: &wire::PayloadFault, start: u64) -> Self {
        let reply = fault.reply();
        let at = fault.at.map(|offset| start + offset as u64);
        Self { error: reply.error.into_owned(), details: reply.details, at, closes: false }
    }
}

fn span<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_struct("Span", 2)?;
    object.serialize_field("start", &span.start)?;
    object.serialize_field("end", &span.end)?;
    object.end()
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn optional_span<S: Serializer>(optional: &Option<Span>, serializer: S) -> Result<S::Ok, S::Error> {
    match optional {
        Some(found) => span(found, serializer),
        None => serializer.serialize_none(),
    }
}
