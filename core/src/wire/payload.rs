//! The members of a payload, checked in the order that the protocol prescribes.

use alloc::{format, string::String};
use core::fmt;

use super::{
    Address, ErrorResponse, Timestamp,
    json::{JsonError, Reader, TokenKind},
};

/// A field that a payload may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub kind: FieldKind,
    /// Whether it must be there. An optional field that is `null` is absent.
    pub required: bool,
}

impl Field {
    pub(crate) const fn required(name: &'static str, kind: FieldKind) -> Self {
        Self { name, kind, required: true }
    }

    pub(crate) const fn optional(name: &'static str, kind: FieldKind) -> Self {
        Self { name, kind, required: false }
    }
}

/// The greatest id: what a number holds exactly in every language.
const MAX_ID: u64 = (1 << 53) - 1;

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// A channel's or a user's name.
    Name,
    /// What a message says.
    Content,
    /// An IP address or a host name.
    Host,
    /// A TCP port.
    Port,
    /// A message's number in its channel.
    Id,
    /// A message's number, or 0 for the place before the first.
    IdOrZero,
    /// How long a channel stays on the list without another HOST, in seconds.
    Lease,
    /// How many messages, or none.
    Count,
    /// How many messages at most.
    Limit,
    /// A moment.
    Timestamp,
    /// Any string.
    Text,
    /// An array.
    Array,
}

impl FieldKind {
    /// What such a field must be, in words that complete "Field 'x' must be …".
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Name => {
                "a string of 1 to 64 characters, without control characters and without white space at its ends"
            }
            Self::Content => "a string of 1 character or more",
            Self::Host => "an IPv4 or IPv6 address or a host name, not unspecified, multicast or zoned",
            Self::Port => "an integer from 1 to 65535",
            Self::Id => "an integer from 1 to 9007199254740991",
            Self::IdOrZero => "an integer from 0 to 9007199254740991",
            Self::Lease => "an integer from 10 to 86400, in seconds",
            Self::Count => "an integer from 0 to 1000",
            Self::Limit => "an integer from 1 to 1000",
            Self::Timestamp => "a time such as 2023-11-02T15:04:32Z",
            Self::Text => "a string",
            Self::Array => "an array of objects",
        }
    }

    /// Whether its values are integers; otherwise they are strings, or objects in an array.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        self.range().is_some()
    }

    /// The least and the greatest integer that it may be.
    const fn range(self) -> Option<(u64, u64)> {
        Some(match self {
            Self::Port => (1, 65_535),
            Self::Id => (1, MAX_ID),
            Self::IdOrZero => (0, MAX_ID),
            Self::Lease => (10, 86_400),
            Self::Count => (0, 1000),
            Self::Limit => (1, 1000),
            Self::Name | Self::Content | Self::Host | Self::Timestamp | Self::Text | Self::Array => return None,
        })
    }
}

/// What is wrong inside a payload whose end is known. The connection goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadFault {
    /// The offset in the payload of the byte, or of the value, that is wrong. A field that is missing has none.
    pub at: Option<usize>,
    /// What is wrong.
    pub kind: PayloadFaultKind,
}

/// What is wrong inside a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFaultKind {
    /// It is not JSON, or not UTF-8.
    Json(JsonError),
    /// A known field stands twice in it.
    Duplicate(&'static str),
    /// A required field is not there.
    Missing(&'static str),
    /// A field is not what it must be.
    Wrong(Field),
    /// Two fields are there of which one excludes the other.
    Conflict(&'static str, &'static str),
    /// A place to begin after, beyond the last message. `last_id` is the channel's.
    BeyondEnd {
        /// The field.
        field: &'static str,
        /// The channel's last id.
        last_id: u64,
    },
}

impl fmt::Display for PayloadFaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Duplicate(name) => write!(f, "Field '{name}' appears more than once"),
            Self::Missing(name) => write!(f, "Missing required field '{name}'"),
            Self::Wrong(field) => write!(f, "Field '{}' must be {}", field.name, field.kind.rule()),
            Self::Conflict(one, other) => write!(f, "Field '{one}' cannot be given together with '{other}'"),
            Self::BeyondEnd { field, last_id } => write!(f, "Field '{field}' is beyond the last id {last_id}"),
        }
    }
}

impl PayloadFault {
    /// The protocol's name of the error.
    pub const ERROR: &'static str = "Invalid payload";

    /// The answer that the protocol gives to it.
    #[must_use]
    pub fn reply(&self) -> ErrorResponse {
        ErrorResponse::request(Self::ERROR, format!("{}", self.kind))
    }
}

impl fmt::Display for PayloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Self::ERROR, self.kind)
    }
}

impl core::error::Error for PayloadFault {}

impl From<JsonError> for PayloadFault {
    fn from(error: JsonError) -> Self {
        Self { at: Some(error.at), kind: PayloadFaultKind::Json(error) }
    }
}

/// The most fields that any table has.
const MOST: usize = 5;

/// The values of a payload's known fields.
pub(crate) struct Members<'a> {
    payload: &'a [u8],
    table: &'static [Field],
    values: [Option<Value<'a>>; MOST],
}

/// A value: its first token, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    kind: TokenKind<'a>,
    start: usize,
    end: usize,
}

impl<'a> Members<'a> {
    /// Reads a whole payload. JSON comes before anything that the fields say, a field twice before any one field.
    pub(crate) fn read(payload: &'a [u8], table: &'static [Field]) -> Result<Self, PayloadFault> {
        debug_assert!(table.len() <= MOST, "a table of more fields than there are places");
        let mut members = Self { payload, table, values: [None; MOST] };
        let mut reader = Reader::new(payload);
        let mut duplicate = None;
        // The field whose value comes next, and the field whose object or array is open.
        let (mut next, mut open) = (None, None);
        while let Some(token) = reader.next_token()? {
            match token.kind {
                TokenKind::ObjectStart if reader.depth() == 1 => {}
                TokenKind::Key(name) if reader.depth() == 1 => {
                    let name = name.decode();
                    next = table.iter().position(|field| field.name == name);
                    if let Some(index) = next
                        && members.values.get(index).is_some_and(Option::is_some)
                    {
                        duplicate = duplicate.or(table.get(index).map(|field| (token.start, field.name)));
                    }
                }
                TokenKind::ObjectEnd | TokenKind::ArrayEnd => {
                    if reader.depth() == 1
                        && let Some(value) = open.take().and_then(|index| members.value_mut(index))
                    {
                        value.end = token.end;
                    }
                }
                kind => {
                    if let Some(index) = next.take() {
                        if let Some(place) = members.values.get_mut(index) {
                            *place = Some(Value { kind, start: token.start, end: token.end });
                        }
                        open = matches!(kind, TokenKind::ObjectStart | TokenKind::ArrayStart).then_some(index);
                    }
                }
            }
        }
        match duplicate {
            Some((at, name)) => Err(PayloadFault { at: Some(at), kind: PayloadFaultKind::Duplicate(name) }),
            None => Ok(members),
        }
    }

    fn value_mut(&mut self, index: usize) -> Option<&mut Value<'a>> {
        self.values.get_mut(index)?.as_mut()
    }

    /// The value of a field as `read` understands it: `None` where an optional field is absent.
    fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Self, &Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, PayloadFault> {
        let found = self.table.iter().zip(&self.values).find(|(field, _)| field.name == name);
        let missing = PayloadFault { at: None, kind: PayloadFaultKind::Missing(name) };
        let Some((field, value)) = found else { return Err(missing) };
        match value {
            None if field.required => Err(missing),
            None => Ok(None),
            Some(Value { kind: TokenKind::Null, .. }) if !field.required => Ok(None),
            Some(value) => match read(self, value) {
                Some(read) => Ok(Some(read)),
                None => Err(PayloadFault { at: Some(value.start), kind: PayloadFaultKind::Wrong(*field) }),
            },
        }
    }

    fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Self, &Value<'a>) -> Option<T>,
    ) -> Result<T, PayloadFault> {
        self.optional(name, read)?.ok_or(PayloadFault { at: None, kind: PayloadFaultKind::Missing(name) })
    }

    pub(crate) fn name(&self, name: &'static str) -> Result<String, PayloadFault> {
        self.required(name, |_, value| value.text(is_name))
    }

    pub(crate) fn optional_name(&self, name: &'static str) -> Result<Option<String>, PayloadFault> {
        self.optional(name, |_, value| value.text(is_name))
    }

    pub(crate) fn content(&self, name: &'static str) -> Result<String, PayloadFault> {
        self.required(name, |_, value| value.text(|text| !text.is_empty()))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<String, PayloadFault> {
        self.required(name, |_, value| value.text(|_| true))
    }

    pub(crate) fn address(&self, host: &'static str, port: &'static str) -> Result<Address, PayloadFault> {
        let spelled = self.required(host, |_, value| value.text(|text| Address::new(text, 1).is_some()))?;
        self.required(port, |_, value| Address::new(spelled, value.integer(1, 65_535)?.try_into().ok()?))
    }

    pub(crate) fn integer(&self, name: &'static str) -> Result<u64, PayloadFault> {
        self.required(name, |members, value| members.ranged(name, value))
    }

    pub(crate) fn optional_integer(&self, name: &'static str) -> Result<Option<u64>, PayloadFault> {
        self.optional(name, |members, value| members.ranged(name, value))
    }

    /// Refuses two fields of which one excludes the other.
    pub(crate) fn either(&self, one: &'static str, other: &'static str) -> Result<(), PayloadFault> {
        let place = |name| {
            let found = self.table.iter().zip(&self.values).find(|(field, _)| field.name == name);
            found.and_then(|(_, value)| value.as_ref()).filter(|value| value.kind != TokenKind::Null)
        };
        match (place(one), place(other)) {
            (Some(_), Some(value)) => {
                Err(PayloadFault { at: Some(value.start), kind: PayloadFaultKind::Conflict(other, one) })
            }
            _ => Ok(()),
        }
    }

    fn ranged(&self, name: &'static str, value: &Value<'a>) -> Option<u64> {
        let field = self.table.iter().find(|field| field.name == name)?;
        let (least, most) = field.kind.range()?;
        value.integer(least, most)
    }

    pub(crate) fn timestamp(&self, name: &'static str) -> Result<Timestamp, PayloadFault> {
        self.required(name, |_, value| Timestamp::parse(&value.text(|_| true)?))
    }

    /// The bytes of each object in an array, with their offset in the payload.
    pub(crate) fn objects(&self, name: &'static str) -> Result<alloc::vec::Vec<(usize, &'a [u8])>, PayloadFault> {
        self.required(name, |members, value| {
            if value.kind != TokenKind::ArrayStart {
                return None;
            }
            let mut objects = alloc::vec::Vec::new();
            let mut reader = Reader::new(members.payload.get(value.start..value.end)?);
            let mut start = None;
            // The array has been read once: it holds no error.
            while let Ok(Some(token)) = reader.next_token() {
                match (token.kind, reader.depth()) {
                    (TokenKind::ArrayStart, 1) | (TokenKind::ArrayEnd, 0) => {}
                    (TokenKind::ObjectStart, 2) => start = Some(value.start + token.start),
                    (TokenKind::ObjectEnd, 1) => {
                        let start = start.take()?;
                        objects.push((start, members.payload.get(start..value.start + token.end)?));
                    }
                    (_, 0 | 1) | (TokenKind::ArrayStart, 2) => return None,
                    _ => {}
                }
            }
            Some(objects)
        })
    }
}

impl Value<'_> {
    fn text(&self, accept: impl FnOnce(&str) -> bool) -> Option<String> {
        let TokenKind::String(text) = self.kind else { return None };
        let text = text.decode();
        accept(&text).then(|| text.into_owned())
    }

    fn integer(&self, least: u64, most: u64) -> Option<u64> {
        let TokenKind::Number(spelled) = self.kind else { return None };
        // No fraction, no exponent, no sign: `parse` refuses them all but a plus, which JSON has not.
        spelled.parse().ok().filter(|number| (least..=most).contains(number))
    }
}

/// Whether this can be a channel's or a user's name.
fn is_name(text: &str) -> bool {
    // A scalar value has at most four bytes, so a long text need not be counted.
    text.len() <= 256
        && (1..=64).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
}
