//! Ids by which clients name their messages.

use alloc::{string::String, sync::Arc};
use core::{fmt, ops::Deref, str::FromStr};

use super::{
    fields::CLIENT_MESSAGE_ID,
    payload::{Field, FieldKind, PayloadFault, PayloadFaultKind},
};

/// A client's id of a message: 16 to 64 of `A–Z a–z 0–9 . _ : -`. It is random, new for each message, and the same each
/// time that the message is sent.
///
/// A clone shares the text.
///
/// ```
/// use chanwire_core::wire::ClientMessageId;
///
/// let id: ClientMessageId = "8f14e45fceea167a5a36dedd4bea2543".parse()?;
/// assert_eq!(id, ClientMessageId::from_random(0x8f14_e45f_ceea_167a_5a36_dedd_4bea_2543));
///
/// for text in ["0", "too short", "not only the allowed characters!"] {
///     assert!(text.parse::<ClientMessageId>().is_err());
/// }
/// # Ok::<(), chanwire_core::wire::NotAClientMessageId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMessageId(Arc<str>);

/// A text that is no [`ClientMessageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAClientMessageId;

impl ClientMessageId {
    /// The least and the greatest number of characters.
    const LENGTH: core::ops::RangeInclusive<usize> = 16..=64;

    /// Makes an id of 128 random bits: 32 hexadecimal digits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        Self(alloc::format!("{bits:032x}").into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NotAClientMessageId {
    const FAULT: PayloadFaultKind =
        PayloadFaultKind::Wrong(Field::optional(CLIENT_MESSAGE_ID, FieldKind::ClientMessageId));
}

impl TryFrom<&str> for ClientMessageId {
    type Error = NotAClientMessageId;

    fn try_from(text: &str) -> Result<Self, NotAClientMessageId> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        match Self::LENGTH.contains(&text.len()) && text.bytes().all(is_allowed) {
            true => Ok(Self(text.into())),
            false => Err(NotAClientMessageId),
        }
    }
}

impl FromStr for ClientMessageId {
    type Err = NotAClientMessageId;

    fn from_str(text: &str) -> Result<Self, NotAClientMessageId> {
        text.try_into()
    }
}

impl TryFrom<String> for ClientMessageId {
    type Error = NotAClientMessageId;

    fn try_from(text: String) -> Result<Self, NotAClientMessageId> {
        text.as_str().try_into()
    }
}

impl Deref for ClientMessageId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for NotAClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::FAULT.fmt(f)
    }
}

impl core::error::Error for NotAClientMessageId {}

impl From<NotAClientMessageId> for PayloadFault {
    fn from(_: NotAClientMessageId) -> Self {
        Self { at: None, kind: NotAClientMessageId::FAULT }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString as _};

    use super::*;

    #[test]
    fn an_id_has_16_to_64_characters() {
        for (length, is_valid) in [(0, false), (15, false), (16, true), (64, true), (65, false)] {
            assert_eq!(ClientMessageId::try_from("a".repeat(length)).is_ok(), is_valid, "{length}");
        }
    }

    #[test]
    fn an_id_has_letters_digits_and_four_marks_of_ascii_alone() {
        for character in (0..=0x17f_u32).filter_map(char::from_u32) {
            let is_valid = character.is_ascii_alphanumeric() || ['.', '_', ':', '-'].contains(&character);
            let text = format!("aaaaaaaaaaaaaaaa{character}");
            assert_eq!(text.parse::<ClientMessageId>().is_ok(), is_valid, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_field_and_the_rule() {
        let error = "0".parse::<ClientMessageId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "Field 'client_message_id' must be a string of 16 to 64 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'"
        );
        assert_eq!(format!("{:?}", PayloadFault::from(error).kind), format!("{:?}", NotAClientMessageId::FAULT));
    }
}
