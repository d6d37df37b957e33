//! The expressions of filters, and their spelling.

use std::fmt::{self, Display, Formatter, Write as _};

use memchr::memmem::Finder;

use super::{
    path::Path,
    pattern::Pattern,
    spelling::{in_name, quote},
};
use crate::Direction;

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    /// At least two, of which one must hold.
    Or(Vec<Self>),
    /// At least two, all of which must hold.
    And(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// A question about one field.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// It is there; of `push` and `err` that it is so.
    Has(Field),
    Compare(Field, Operator, Value),
    OneOf(Field, Vec<Value>),
    Contains(Field, Needle),
    Matches(Field, Pattern),
}

/// A field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    No,
    Time,
    Delta,
    Rtt,
    Len,
    Conn,
    Dir,
    Cmd,
    Status,
    Push,
    Err,
    Text,
    Bytes,
    Json(Path),
}

/// The named fields, with the meaning of each.
pub(super) const FIELDS: [(&str, Field, &str); 13] = [
    ("no", Field::No, "number of the row"),
    ("time", Field::Time, "time since the first event, as 2s"),
    ("delta", Field::Delta, "time since the row before it, as 50ms"),
    ("rtt", Field::Rtt, "round trip of an answer, as 50ms"),
    ("len", Field::Len, "length in bytes"),
    ("conn", Field::Conn, "number of the connection"),
    ("dir", Field::Dir, "in or out"),
    ("cmd", Field::Cmd, "command, of an answer the one it answers"),
    ("status", Field::Status, "status of an answer"),
    ("push", Field::Push, "pushed by the server: a message or a notice"),
    ("err", Field::Err, "name of the error; alone: anything bad"),
    ("text", Field::Text, "the row as text, escapes decoded"),
    ("bytes", Field::Bytes, "the row's bytes"),
];

/// The kind of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Duration,
    Direction,
    Truth,
    Text,
    Bytes,
    /// Any value of JSON.
    Json,
}

impl Field {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::No | Self::Len | Self::Conn => Kind::Number,
            Self::Time | Self::Delta | Self::Rtt => Kind::Duration,
            Self::Dir => Kind::Direction,
            Self::Push => Kind::Truth,
            Self::Cmd | Self::Status | Self::Err | Self::Text => Kind::Text,
            Self::Bytes => Kind::Bytes,
            Self::Json(_) => Kind::Json,
        }
    }

    /// Returns whether some rows have it and others do not, so that it says something alone.
    pub(super) const fn may_be_absent(&self) -> bool {
        matches!(self, Self::Rtt | Self::Cmd | Self::Status | Self::Push | Self::Err | Self::Json(_))
    }
}

impl Kind {
    pub(super) const fn is_ordered(self) -> bool {
        matches!(self, Self::Number | Self::Duration | Self::Json)
    }

    pub(super) const fn is_searched(self) -> bool {
        matches!(self, Self::Text | Self::Bytes | Self::Json)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Operator {
    pub(super) const fn spelled(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    pub(super) const fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// A value that a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    /// In milliseconds.
    Duration(f64),
    Direction(Direction),
    Truth(bool),
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

/// Bytes that are looked for.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    finder: Box<Finder<'static>>,
    /// They were written as bytes.
    raw: bool,
}

impl Needle {
    pub(super) fn text(text: &str) -> Self {
        Self { finder: Box::new(Finder::new(text.as_bytes()).into_owned()), raw: false }
    }

    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self { finder: Box::new(Finder::new(bytes).into_owned()), raw: true }
    }

    pub(super) fn get(&self) -> &[u8] {
        self.finder.needle()
    }

    pub(super) fn finder(&self) -> &Finder<'static> {
        &self.finder
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.finder.find(bytes).is_some()
    }
}

/// Writes it so that it can be parsed again.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |f: &mut Formatter<'_>, parts: &[Self], between: &str, inner: fn(&Self) -> bool| {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    f.write_str(between)?;
                }
                if inner(part) { write!(f, "({part})")? } else { write!(f, "{part}")? }
            }
            Ok(())
        };
        match self {
            Self::Or(parts) => list(f, parts, " || ", |part| matches!(part, Self::Or(_))),
            Self::And(parts) => list(f, parts, " && ", |part| matches!(part, Self::Or(_) | Self::And(_))),
            Self::Not(inner) => match &**inner {
                Self::Test(Test::Has(_)) | Self::Not(_) => write!(f, "!{inner}"),
                _ => write!(f, "!({inner})"),
            },
            Self::Test(test) => write!(f, "{test}"),
        }
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Has(field) => write!(f, "{field}"),
            Self::Compare(field, operator, value) => write!(f, "{field} {} {value}", operator.spelled()),
            Self::OneOf(field, values) => {
                write!(f, "{field} in (")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    write!(f, "{value}")?;
                }
                f.write_char(')')
            }
            Self::Contains(Field::Text, needle) => write!(f, "{needle}"),
            Self::Contains(field, needle) => write!(f, "{field} contains {needle}"),
            Self::Matches(field, pattern) => {
                write!(f, "{field} ~ ")?;
                quote(pattern.source(), f)
            }
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::Json(path) = self else {
            let name = FIELDS.iter().find(|(_, field, _)| field == self).map_or("", |(name, ..)| name);
            return f.write_str(name);
        };
        f.write_str("json")?;
        for name in path.names() {
            f.write_char('.')?;
            if !name.is_empty() && name.chars().all(in_name) {
                f.write_str(name)?;
            } else {
                quote(name, f)?;
            }
        }
        Ok(())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write_number(*number, f),
            Self::Duration(millis) => {
                write_number(*millis, f)?;
                f.write_str("ms")
            }
            Self::Direction(direction) => write!(f, "{direction}"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Text(text) => quote(text, f),
            Self::Bytes(bytes) => write_bytes(bytes, f),
            Self::Null => f.write_str("null"),
        }
    }
}

impl Display for Needle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.get()) {
            Ok(text) if !self.raw => quote(text, f),
            _ => write_bytes(self.get(), f),
        }
    }
}

fn write_number(number: f64, f: &mut Formatter<'_>) -> fmt::Result {
    if number == 0.0 || (1e-6..1e15).contains(&number.abs()) { write!(f, "{number}") } else { write!(f, "{number:e}") }
}

fn write_bytes(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("0x")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
