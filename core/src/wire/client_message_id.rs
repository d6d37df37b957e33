//! Ids by which clients name their messages.

use alloc::string::String;
use core::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    str::{self, FromStr},
};

use super::{
    fields::CLIENT_MESSAGE_ID,
    payload::{Field, FieldKind, PayloadFault, PayloadFaultKind},
};

/// The least and the greatest number of characters.
const LENGTH: (usize, usize) = (16, 64);

/// A client's id of a message: 16 to 64 of `A–Z a–z 0–9 . _ : -`. It is random, new for each message, and the same each
/// time that the message is sent.
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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientMessageId {
    /// The characters, and zeros behind them.
    bytes: [u8; LENGTH.1],
    length: u8,
}

/// A text that is no [`ClientMessageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAClientMessageId;

impl ClientMessageId {
    /// Makes an id of 128 random bits: 32 hexadecimal digits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        let mut bytes = [0; LENGTH.1];
        for (digit, byte) in (0..32).rev().zip(&mut bytes) {
            *byte = b"0123456789abcdef".get((bits >> (4 * digit)) as usize & 0xf).copied().unwrap_or_default();
        }
        Self { bytes, length: 32 }
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.bytes.get(..self.length.into()).unwrap_or_default()).unwrap_or_default()
    }
}

impl NotAClientMessageId {
    const FAULT: PayloadFaultKind =
        PayloadFaultKind::Wrong(Field::optional(CLIENT_MESSAGE_ID, FieldKind::ClientMessageId));
}

impl TryFrom<&str> for ClientMessageId {
    type Error = NotAClientMessageId;

    fn try_from(text: &str) -> Result<Self, NotAClientMessageId> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'.' | b'_' | b':' | b'-');
        // Without an early end, many are checked at one time.
        let is_valid = || text.bytes().fold(true, |valid, byte| valid & is_allowed(byte));
        let mut bytes = [0; LENGTH.1];
        match bytes.get_mut(..text.len()) {
            Some(place) if text.len() >= LENGTH.0 && is_valid() => {
                place.copy_from_slice(text.as_bytes());
                Ok(Self { bytes, length: text.len() as u8 })
            }
            _ => Err(NotAClientMessageId),
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
        self.as_str()
    }
}

impl Hash for ClientMessageId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for ClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ClientMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
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
