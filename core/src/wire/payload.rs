//! The members of a payload, checked in the order that the protocol prescribes.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, str::FromStr};

use super::{
    Address, ErrorResponse, Role, Timestamp,
    json::{JsonError, Reader, TokenKind},
};

/// A field that a payload may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The kind of its values.
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

/// A kind of field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// A channel's or a user's name.
    Name,
    /// An account's name.
    AccountName,
    /// A password or a token, which is not to be shown.
    Secret,
    /// The text of a message.
    Content,
    /// A client's id of a message.
    ClientMessageId,
    /// A part of a channel's name.
    Part,
    /// An IP address or a host name.
    Host,
    /// A TCP port.
    Port,
    /// A message's number in its channel.
    Id,
    /// A message's number, or 0 for the place before the first; another number or count.
    IdOrZero,
    /// The seconds for which a channel stays on the list without another HOST.
    Lease,
    /// A time in seconds.
    Seconds,
    /// The seconds after which a role ends.
    RoleSeconds,
    /// The seconds between two messages of a sender.
    SlowMode,
    /// An IP address.
    Ip,
    /// A role, or none.
    Role,
    /// The number of messages, or none.
    Count,
    /// The number of messages or rows at most.
    Limit,
    /// A moment.
    Timestamp,
    /// Any string.
    Text,
    /// `true` or `false`.
    Flag,
    /// An array of objects.
    Array,
    /// An array of strings.
    Texts,
}

impl FieldKind {
    /// Returns the rule for its values, which completes "Field 'x' must be …".
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Name => {
                "a string of 1 to 64 characters, without control characters and without white space at its ends"
            }
            Self::AccountName => {
                "a string of 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first of them a letter or a digit"
            }
            Self::Secret => "a string of 1 to 1024 bytes of UTF-8",
            Self::Content => "a string of 1 character or more",
            Self::ClientMessageId => "a string of 16 to 64 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'",
            Self::Part => "a string of 1 to 64 characters",
            Self::Host => "an IPv4 or IPv6 address or a host name, not unspecified, multicast or zoned",
            Self::Port => "an integer from 1 to 65535",
            Self::Id => "an integer from 1 to 9007199254740991",
            Self::IdOrZero => "an integer from 0 to 9007199254740991",
            Self::Lease => "an integer from 10 to 86400, in seconds",
            Self::Seconds => "an integer from 1 to 86400, in seconds",
            Self::RoleSeconds => "an integer from 1 to 31536000, in seconds",
            Self::SlowMode => "an integer from 0 to 3600, in seconds",
            Self::Ip => "an IPv4 or IPv6 address",
            Self::Role => "'moderator', 'member', 'muted', 'banned' or 'none'",
            Self::Count => "an integer from 0 to 1000",
            Self::Limit => "an integer from 1 to 1000",
            Self::Timestamp => "a time such as 2023-11-02T15:04:32Z",
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::Array => "an array of objects",
            Self::Texts => "an array of strings",
        }
    }

    /// Returns whether its values are integers.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        self.range().is_some()
    }

    /// Returns whether a field of this kind may be this integer.
    pub(super) fn allows_integer(self, value: u64) -> bool {
        self.range().is_some_and(|(least, most)| (least..=most).contains(&value))
    }

    /// Returns whether a field of this kind may be this text.
    pub(super) fn allows_text(self, text: &str) -> bool {
        match self {
            Self::Content => !text.is_empty(),
            Self::Part => (1..=64).contains(&text.chars().take(65).count()),
            _ => true,
        }
    }

    /// Returns the least and the greatest integer that it may be.
    const fn range(self) -> Option<(u64, u64)> {
        Some(match self {
            Self::Port => (1, 65_535),
            Self::Id => (1, MAX_ID),
            Self::IdOrZero => (0, MAX_ID),
            Self::Lease => (10, 86_400),
            Self::Seconds => (1, 86_400),
            Self::RoleSeconds => (1, 31_536_000),
            Self::SlowMode => (0, 3600),
            Self::Count => (0, 1000),
            Self::Limit => (1, 1000),
            Self::Name
            | Self::AccountName
            | Self::Secret
            | Self::Content
            | Self::ClientMessageId
            | Self::Part
            | Self::Host
            | Self::Ip
            | Self::Role
            | Self::Timestamp
            | Self::Text
            | Self::Flag
            | Self::Array
            | Self::Texts => return None,
        })
    }
}

/// A fault inside a payload whose end is known. The peer is answered REQUEST_ERROR `Invalid payload`, with its first
/// fault, and its connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadFault {
    /// The offset in the payload of the byte, or of the value, that is wrong. A field that is missing has none.
    pub at: Option<usize>,
    /// The kind of fault.
    pub kind: PayloadFaultKind,
}

/// A kind of fault inside a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

    /// Returns the answer that the protocol gives to it.
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

/// The most fields of a table, but for those that have a size of their own.
const MAX_FIELDS: usize = 8;

/// The values of the known fields of an object.
pub(crate) type Members<'a> = MembersOf<'a, MAX_FIELDS>;

/// The values of the known fields of an object, which are at most `SIZE`. A request's few take less time to set up than
/// the largest table's.
pub(crate) struct MembersOf<'a, const SIZE: usize> {
    table: &'static [Field],
    values: [Option<Value<'a>>; SIZE],
    /// The first known field that stands twice.
    duplicate: Option<PayloadFault>,
}

/// A field's array of objects, as far as it is read.
struct List<T> {
    items: Vec<T>,
    /// The first fault of an object.
    fault: Option<PayloadFault>,
    /// Whether everything in it is an object.
    only_objects: bool,
}

/// A value: its first token, and its start.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    kind: TokenKind<'a>,
    start: usize,
}

impl<'a, const SIZE: usize> MembersOf<'a, SIZE> {
    /// Reads a whole payload. JSON comes before anything that the fields say, a field twice before any one field.
    pub(crate) fn read(payload: &'a [u8], table: &'static [Field]) -> Result<Self, PayloadFault> {
        Self::read_whole(payload, table, |_, _| Ok(()))
    }

    /// Reads a whole payload whose field `list` is an array of objects, and each of them by its members as `item` does.
    pub(crate) fn read_list<T, const M: usize>(
        payload: &'a [u8],
        table: &'static [Field],
        list: &'static str,
        item_table: &'static [Field],
        item: impl Fn(&MembersOf<'a, M>) -> Result<T, PayloadFault>,
    ) -> Result<(Self, Vec<T>), PayloadFault> {
        Self::read_lists(payload, table, [list], item_table, item).map(|(members, [items])| (members, items))
    }

    /// Reads a whole payload whose fields `lists` are arrays of objects of one kind. One that is absent is empty.
    pub(crate) fn read_lists<T, const N: usize, const M: usize>(
        payload: &'a [u8],
        table: &'static [Field],
        lists: [&'static str; N],
        item_table: &'static [Field],
        item: impl Fn(&MembersOf<'a, M>) -> Result<T, PayloadFault>,
    ) -> Result<(Self, [Vec<T>; N]), PayloadFault> {
        let mut read = lists.map(|_| List { items: Vec::new(), fault: None, only_objects: true });
        let members = Self::read_whole(payload, table, |name, reader| {
            let list = lists.iter().position(|list| *list == name).and_then(|index| read.get_mut(index));
            let Some(List { items, fault, only_objects }) = list else { return Ok(()) };
            let depth = reader.depth();
            while let Some(token) = reader.next_token()? {
                match token.kind {
                    TokenKind::ArrayEnd if reader.depth() < depth => break,
                    TokenKind::ObjectStart if reader.depth() == depth + 1 => {
                        let mut members = MembersOf::<M>::new(item_table);
                        members.fill(reader, |_, _| Ok(()))?;
                        if fault.is_none() {
                            match members.without_duplicate().and_then(|members| item(&members)) {
                                Ok(item) => items.push(item),
                                Err(wrong) => *fault = Some(wrong),
                            }
                        }
                    }
                    _ => *only_objects = false,
                }
            }
            Ok(())
        })?;
        for (name, list) in lists.iter().zip(&read) {
            members.optional(name, |value| (value.kind == TokenKind::ArrayStart && list.only_objects).then_some(()))?;
            list.fault.map_or(Ok(()), Err)?;
        }
        Ok((members, read.map(|list| list.items)))
    }

    /// Reads a whole payload of which one field is an array of strings, and these strings: `None` if there is anything
    /// else in the array.
    pub(crate) fn read_texts(
        payload: &'a [u8],
        table: &'static [Field],
    ) -> Result<(Self, Option<Vec<String>>), PayloadFault> {
        let (mut texts, mut only_texts) = (Vec::new(), true);
        let members = Self::read_whole(payload, table, |_, reader| {
            let depth = reader.depth();
            while let Some(token) = reader.next_token()? {
                match token.kind {
                    TokenKind::ArrayEnd if reader.depth() < depth => break,
                    TokenKind::String(text) if reader.depth() == depth => texts.push(text.decode().into_owned()),
                    _ => only_texts = false,
                }
            }
            Ok(())
        })?;
        Ok((members, only_texts.then_some(texts)))
    }

    /// Reads a whole payload. `array` is given the name of each known field whose value is an array, and may read on from
    /// its opening to its end.
    fn read_whole(
        payload: &'a [u8],
        table: &'static [Field],
        mut array: impl FnMut(&'static str, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<Self, PayloadFault> {
        let mut members = Self::new(table);
        let mut reader = Reader::new(payload);
        while let Some(token) = reader.next_token()? {
            if token.kind == TokenKind::ObjectStart && reader.depth() == 1 {
                members.fill(&mut reader, &mut array)?;
            }
        }
        members.without_duplicate()
    }

    fn new(table: &'static [Field]) -> Self {
        debug_assert!(table.len() <= SIZE, "a table of more fields than there are places");
        Self { table, values: [None; SIZE], duplicate: None }
    }

    /// Reads the object whose brace was read last.
    fn fill(
        &mut self,
        reader: &mut Reader<'a>,
        mut array: impl FnMut(&'static str, &mut Reader<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let depth = reader.depth();
        // The field whose value comes next.
        let mut next = None;
        while let Some(token) = reader.next_token()? {
            match token.kind {
                TokenKind::Key(name) if reader.depth() == depth => {
                    let name = name.decode();
                    next = self.table.iter().position(|field| field.name == name);
                    if let Some(index) = next
                        && self.values.get(index).is_some_and(Option::is_some)
                    {
                        let twice = |field: &Field| PayloadFault {
                            at: Some(token.start),
                            kind: PayloadFaultKind::Duplicate(field.name),
                        };
                        self.duplicate = self.duplicate.or(self.table.get(index).map(twice));
                    }
                }
                TokenKind::ObjectEnd if reader.depth() < depth => break,
                kind => {
                    let index: usize = next.take().unwrap_or(usize::MAX);
                    if let (Some(field), Some(place)) = (self.table.get(index), self.values.get_mut(index)) {
                        *place = Some(Value { kind, start: token.start });
                        if kind == TokenKind::ArrayStart {
                            array(field.name, reader)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn without_duplicate(self) -> Result<Self, PayloadFault> {
        match self.duplicate {
            Some(fault) => Err(fault),
            None => Ok(self),
        }
    }

    /// Reads the value of a field by `read`: `None` where an optional field is absent.
    fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, PayloadFault> {
        let found = self.table.iter().zip(&self.values).find(|(field, _)| field.name == name);
        let missing = PayloadFault { at: None, kind: PayloadFaultKind::Missing(name) };
        let Some((field, value)) = found else { return Err(missing) };
        match value {
            None if field.required => Err(missing),
            None => Ok(None),
            Some(Value { kind: TokenKind::Null, .. }) if !field.required => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(PayloadFault { at: Some(value.start), kind: PayloadFaultKind::Wrong(*field) }),
            },
        }
    }

    fn required<T>(&self, name: &'static str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Result<T, PayloadFault> {
        self.optional(name, read)?.ok_or(PayloadFault { at: None, kind: PayloadFaultKind::Missing(name) })
    }

    pub(crate) fn name<N: FromStr>(&self, name: &'static str) -> Result<N, PayloadFault> {
        self.required(name, Value::parse)
    }

    pub(crate) fn optional_name<N: FromStr>(&self, name: &'static str) -> Result<Option<N>, PayloadFault> {
        self.optional(name, Value::parse)
    }

    /// Reads a role, or `none`.
    pub(crate) fn role(&self, name: &'static str) -> Result<Option<Role>, PayloadFault> {
        self.required(name, |value| match &*value.text()? {
            Role::NONE => Some(None),
            word => word.parse().ok().map(Some),
        })
    }

    pub(crate) fn content(&self, name: &'static str) -> Result<String, PayloadFault> {
        self.required(name, |value| value.text().filter(|text| FieldKind::Content.allows_text(text)))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<String, PayloadFault> {
        self.required(name, Value::text)
    }

    pub(crate) fn optional_text(&self, name: &'static str) -> Result<Option<String>, PayloadFault> {
        self.optional(name, Value::text)
    }

    /// Reads a part of a channel's name, if there is one.
    pub(crate) fn optional_part(&self, name: &'static str) -> Result<Option<String>, PayloadFault> {
        self.optional(name, |value| value.text().filter(|text| FieldKind::Part.allows_text(text)))
    }

    pub(crate) fn address(&self, host: &'static str, port: &'static str) -> Result<Address, PayloadFault> {
        // The host's fault is reported first, but the address is built only once.
        let number = self.required(port, |value| value.integer(1, 65_535)?.try_into().ok());
        let usable = *number.as_ref().unwrap_or(&1);
        let address = self.required(host, |value| Address::new(value.text()?, usable))?;
        number.map(|_| address)
    }

    pub(crate) fn integer(&self, name: &'static str) -> Result<u64, PayloadFault> {
        self.required(name, |value| self.ranged(name, value))
    }

    pub(crate) fn optional_integer(&self, name: &'static str) -> Result<Option<u64>, PayloadFault> {
        self.optional(name, |value| self.ranged(name, value))
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

    fn ranged(&self, name: &'static str, value: &Value<'_>) -> Option<u64> {
        let field = self.table.iter().find(|field| field.name == name)?;
        let (least, most) = field.kind.range()?;
        value.integer(least, most)
    }

    /// Returns the strings of a field's array, which were [read](Self::read_texts) with the payload.
    pub(crate) fn texts(&self, name: &'static str, read: Option<Vec<String>>) -> Result<Vec<String>, PayloadFault> {
        self.required(name, |value| read.filter(|_| value.kind == TokenKind::ArrayStart))
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, PayloadFault> {
        self.required(name, Value::flag)
    }

    pub(crate) fn optional_flag(&self, name: &'static str) -> Result<Option<bool>, PayloadFault> {
        self.optional(name, Value::flag)
    }

    pub(crate) fn timestamp(&self, name: &'static str) -> Result<Timestamp, PayloadFault> {
        self.required(name, Value::parse)
    }
}

impl Value<'_> {
    fn text(&self) -> Option<String> {
        let TokenKind::String(text) = self.kind else { return None };
        Some(text.decode().into_owned())
    }

    /// Reads a string of which a value is made.
    fn parse<T: FromStr>(&self) -> Option<T> {
        let TokenKind::String(text) = self.kind else { return None };
        text.decode().parse().ok()
    }

    const fn flag(&self) -> Option<bool> {
        match self.kind {
            TokenKind::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    fn integer(&self, least: u64, most: u64) -> Option<u64> {
        let TokenKind::Number(spelled) = self.kind else { return None };
        // No fraction, no exponent, no sign: `parse` refuses them all but a plus, which JSON has not.
        spelled.parse().ok().filter(|number| (least..=most).contains(number))
    }
}
