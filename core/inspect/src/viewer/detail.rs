//! The parts of a frame. Positions count from the frame's first byte.

use chanwire_core::Span;
use serde::Serialize;

use crate::{Field, FieldKind, Row};

/// The parts of a frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detail {
    /// Its command or status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Region>,
    /// The CRLF after the command or status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<Region>,
    /// Its payload, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Region>,
    /// The payload's members.
    pub fields: Vec<FieldDetail>,
    /// The number of values omitted beyond the limit.
    pub omitted: u64,
    /// Triples of start, end and class, ascending and disjoint. Classes are 1 command or status, 2 separator, 3
    /// punctuation, 4 key, 5 string, 6 number, 7 `true`, `false` and `null`.
    pub tokens: Vec<u64>,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

/// A value and its position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldDetail {
    /// See [`Field::name`].
    pub name: String,
    /// See [`Field::key`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Region>,
    /// See [`Field::value`].
    pub value: Region,
    /// See [`Field::kind`].
    pub kind: FieldKind,
    /// See [`Field::text`].
    pub text: String,
    /// See [`Field::children`].
    pub children: Vec<Self>,
}

/// The class of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Command = 1,
    Separator = 2,
    Punctuation = 3,
    Key = 4,
    String = 5,
    Number = 6,
    Literal = 7,
}

/// Returns the parts of a row whose positions count from the row's first byte; `None` if it is not a frame.
#[must_use]
pub fn detail(row: &Row) -> Option<Detail> {
    let command = row.command?;
    let mut tokens = Tokens::default();
    tokens.add(command, Class::Command);
    if let Some(separator) = row.separator {
        tokens.add(separator, Class::Separator);
    }
    if let Some(payload) = row.payload {
        tokens.at = payload.start;
        tokens.walk(&row.fields);
        tokens.upto(payload.end);
    }
    Some(Detail {
        command: Some(command.into()),
        separator: row.separator.map(Into::into),
        payload: row.payload.map(Into::into),
        fields: row.fields.iter().map(Into::into).collect(),
        omitted: row.omitted,
        tokens: tokens.triples,
    })
}

impl From<Span> for Region {
    fn from(span: Span) -> Self {
        Self { start: span.start, end: span.end }
    }
}

impl From<&Field> for FieldDetail {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            key: field.key.map(Into::into),
            value: field.value.into(),
            kind: field.kind,
            text: field.text.clone(),
            children: field.children.iter().map(Into::into).collect(),
        }
    }
}

/// The classes of bytes, in order.
#[derive(Default)]
struct Tokens {
    triples: Vec<u64>,
    /// The end of the classified bytes of the payload.
    at: u64,
}

impl Tokens {
    fn add(&mut self, span: Span, class: Class) {
        if !span.is_empty() {
            self.triples.extend([span.start, span.end, class as u64]);
        }
    }

    /// Classifies bytes that no value covers as punctuation.
    fn upto(&mut self, end: u64) {
        self.add(Span::new(self.at, end), Class::Punctuation);
        self.at = self.at.max(end);
    }

    fn leaf(&mut self, span: Span, class: Class) {
        self.upto(span.start);
        self.add(span, class);
        self.at = span.end;
    }

    fn walk(&mut self, fields: &[Field]) {
        for field in fields {
            if let Some(key) = field.key {
                self.leaf(key, Class::Key);
            }
            let class = match field.kind {
                FieldKind::Object | FieldKind::Array => {
                    self.walk(&field.children);
                    continue;
                }
                FieldKind::String => Class::String,
                FieldKind::Number => Class::Number,
                FieldKind::Boolean | FieldKind::Null => Class::Literal,
            };
            self.leaf(field.value, class);
        }
    }
}
