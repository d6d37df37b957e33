//! The values at a path in a payload.

use std::borrow::Cow;

use chanwire_core::wire::json::{Reader, Token, TokenKind};

use super::path::Path;
use crate::{Entry, RowKind};

/// A value to compare. Objects and arrays have no comparable value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    Truth(bool),
    Null,
    /// An object or array.
    Nested,
}

/// Returns whether any value at the path satisfies the predicate. False if the text is not JSON.
pub(super) fn any<'a>(entry: &Entry<'a>, path: &Path, holds: impl FnMut(Found<'a>) -> bool) -> bool {
    ask(entry, path, holds).unwrap_or(false)
}

/// Tests each value at the path until one satisfies the predicate. Returns `None` if the text is not JSON.
pub(super) fn ask<'a>(entry: &Entry<'a>, path: &Path, mut holds: impl FnMut(Found<'a>) -> bool) -> Option<bool> {
    let mut reader = Reader::new(payload(entry)?);
    let mut walk = Walk { names: path.names(), open: Vec::new(), key: None };
    let mut holding = false;
    while let Some(token) = reader.next_token().ok()? {
        if let Some(found) = walk.take(&token) {
            holding = holding || holds(found);
        }
    }
    Some(holding)
}

/// Returns the payload of a frame.
pub(super) fn payload<'a>(entry: &Entry<'a>) -> Option<&'a [u8]> {
    if entry.kind() != RowKind::Frame {
        return None;
    }
    let bytes = entry.bytes();
    bytes.get(memchr::memchr(b'{', bytes)?..)
}

/// A traversal of a payload that matches a path. An array may be skipped by the path or be entered by an index, so
/// several matches are followed at once.
struct Walk<'p, 'a> {
    names: &'p [String],
    open: Vec<Open>,
    key: Option<Cow<'a, str>>,
}

/// An open object or array.
struct Open {
    /// Bit `n` is set if the first `n` names of the path lead here.
    mask: u64,
    array: bool,
    /// The index of an array's next element.
    index: u64,
}

impl<'a> Walk<'_, 'a> {
    /// Takes the next token. Returns its value if it is at the path.
    fn take(&mut self, token: &Token<'a>) -> Option<Found<'a>> {
        let found = match token.kind {
            TokenKind::Key(name) => {
                self.key = Some(name.decode());
                return None;
            }
            TokenKind::ObjectEnd | TokenKind::ArrayEnd => {
                self.open.pop();
                return None;
            }
            TokenKind::ObjectStart | TokenKind::ArrayStart => Found::Nested,
            TokenKind::Number(spelled) => Found::Number(spelled.parse().unwrap_or(f64::NAN)),
            TokenKind::String(text) => Found::Text(text.decode()),
            TokenKind::Boolean(truth) => Found::Truth(truth),
            TokenKind::Null => Found::Null,
        };
        let mask = self.mask();
        if found == Found::Nested {
            self.open.push(Open { mask, array: matches!(token.kind, TokenKind::ArrayStart), index: 0 });
        }
        (mask >> self.names.len() & 1 == 1).then_some(found)
    }

    /// Returns the mask of the next value: see [`Open::mask`].
    fn mask(&mut self) -> u64 {
        let key = self.key.take();
        let Some(parent) = self.open.last_mut() else { return 1 };
        if parent.mask == 0 {
            return 0;
        }
        let index;
        let (name, same) = if parent.array {
            index = parent.index.to_string();
            parent.index += 1;
            (index.as_str(), parent.mask)
        } else {
            (key.as_deref().unwrap_or_default(), 0)
        };
        let names = self.names.iter().enumerate();
        let next = names.filter(|(at, wanted)| parent.mask >> at & 1 == 1 && *wanted == name);
        next.fold(same, |mask, (at, _)| mask | 1 << (at + 1))
    }
}

/// Calls `give` with the name of each member of the objects at the path `outer`.
pub(super) fn member_names(entry: &Entry<'_>, outer: &[String], mut give: impl FnMut(&str)) {
    let Some(payload) = payload(entry) else { return };
    let mut reader = Reader::new(payload);
    let mut walk = Walk { names: outer, open: Vec::new(), key: None };
    while let Ok(Some(token)) = reader.next_token() {
        walk.take(&token);
        let within = walk.open.last().is_some_and(|open| !open.array && open.mask >> outer.len() & 1 == 1);
        if let (TokenKind::Key(name), true) = (token.kind, within) {
            give(&name.decode());
        }
    }
}
