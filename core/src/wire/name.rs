//! Names of channels, users and accounts.

use alloc::{string::String, sync::Arc};
use core::{borrow::Borrow, fmt, ops::Deref, str::FromStr};

use super::{
    fields::{ACCOUNT, CHANNEL_NAME, USERNAME},
    payload::{Field, FieldKind, PayloadFault, PayloadFaultKind},
};

/// A text that is no name, with the field that it was to be in.
///
/// ```
/// use chanwire_core::wire::ChannelName;
///
/// let error = ChannelName::try_from(" general").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "Field 'channel_name' must be a string of 1 to 64 characters, \
///      without control characters and without white space at its ends"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAName {
    /// The field.
    pub field: Field,
}

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PayloadFaultKind::Wrong(self.field).fmt(f)
    }
}

impl core::error::Error for NotAName {}

impl From<NotAName> for PayloadFault {
    fn from(error: NotAName) -> Self {
        Self { at: None, kind: PayloadFaultKind::Wrong(error.field) }
    }
}

macro_rules! name {
    ($(#[$documentation:meta])* $name:ident in $field:expr, $kind:expr, $is_name:expr) => {
        $(#[$documentation])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NotAName;

            fn try_from(text: &str) -> Result<Self, NotAName> {
                match $is_name(text) {
                    true => Ok(Self(text.into())),
                    false => Err(NotAName { field: Field::required($field, $kind) }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                text.as_str().try_into()
            }
        }

        impl FromStr for $name {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                text.try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                (*name.0).into()
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of a channel: 1 to 64 characters, no control character, no white space at its ends.
    ///
    /// A clone shares the text. Names are ordered and hashed as their texts are, so a map of names can be searched by
    /// text. Case matters.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use chanwire_core::wire::ChannelName;
    ///
    /// let general: ChannelName = "general".parse()?;
    /// assert_eq!(general, "general");
    /// assert_ne!(general, "General");
    ///
    /// let topics = BTreeMap::from([(general.clone(), "everything")]);
    /// assert_eq!(topics.get("general"), Some(&"everything"));
    ///
    /// for text in ["", "two\nlines", "space at the end "] {
    ///     assert!(ChannelName::try_from(text).is_err());
    /// }
    /// # Ok::<(), chanwire_core::wire::NotAName>(())
    /// ```
    ChannelName in CHANNEL_NAME, FieldKind::Name, is_name
}

name! {
    /// The name of a user: 1 to 64 characters, no control character, no white space at its ends.
    ///
    /// A clone shares the text.
    ///
    /// ```
    /// use chanwire_core::wire::Username;
    ///
    /// let ann: Username = "ann".parse()?;
    /// assert_eq!(format!("<{ann}>"), "<ann>");
    /// assert!(Username::try_from("a".repeat(65)).is_err());
    /// # Ok::<(), chanwire_core::wire::NotAName>(())
    /// ```
    Username in USERNAME, FieldKind::Name, is_name
}

name! {
    /// The name of an account: 1 to 32 characters of `a-z 0-9 . _ -`, the first of them a letter or a digit.
    ///
    /// A clone shares the text.
    ///
    /// ```
    /// use chanwire_core::wire::AccountName;
    ///
    /// let ann: AccountName = "ann.bot-2".parse()?;
    /// assert_eq!(ann, "ann.bot-2");
    ///
    /// let error = AccountName::try_from("Ann").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "Field 'account' must be a string of 1 to 32 characters of a-z, 0-9, '.', '_' and '-', \
    ///      the first of them a letter or a digit"
    /// );
    /// # Ok::<(), chanwire_core::wire::NotAName>(())
    /// ```
    AccountName in ACCOUNT, FieldKind::AccountName, is_account_name
}

/// Returns whether this can be a channel's or a user's name.
fn is_name(text: &str) -> bool {
    if text.is_ascii() {
        let bytes = text.as_bytes();
        return (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| !byte.is_ascii_control())
            && bytes.first() != Some(&b' ')
            && bytes.last() != Some(&b' ');
    }
    // A scalar value has at most four bytes, so a long text need not be counted.
    text.len() <= 256
        && (1..=64).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
}

/// Returns whether this can be an account's name.
fn is_account_name(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 32
        && text.bytes().next().is_some_and(is_alphanumeric)
        && text.bytes().all(|byte| is_alphanumeric(byte) || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format};

    use super::*;

    #[test]
    fn a_clone_shares_its_text() {
        let name: ChannelName = "general".parse().unwrap();
        assert!(core::ptr::eq(name.as_str(), name.clone().as_str()));
    }

    #[test]
    fn names_are_ordered_as_their_texts_are_and_found_by_them() {
        let texts = ["Z", "a", "ab", "b", "ä", "\u{10ffff}"];
        let names: BTreeMap<Username, usize> =
            texts.iter().rev().map(|text| (text.parse().unwrap(), text.len())).collect();
        assert!(names.keys().map(Username::as_str).eq(texts));
        for text in texts {
            assert_eq!(names.get(text), Some(&text.len()));
        }
    }

    #[test]
    fn a_name_is_shown_as_its_text_is() {
        let name = ChannelName::try_from("a \"b\"").unwrap();
        assert_eq!(format!("{name}|{name:>7}|{name:?}"), "a \"b\"|  a \"b\"|\"a \\\"b\\\"\"");
    }

    #[test]
    fn the_longest_names_have_64_characters_of_any_size() {
        for character in ["a", "é", "€", "😀"] {
            assert!(ChannelName::try_from(character.repeat(64)).is_ok(), "{character}");
            assert!(ChannelName::try_from(character.repeat(65)).is_err(), "{character}");
        }
    }

    #[test]
    fn an_account_has_1_to_32_characters() {
        for (length, is_valid) in [(0, false), (1, true), (32, true), (33, false)] {
            assert_eq!(AccountName::try_from("a".repeat(length)).is_ok(), is_valid, "{length}");
        }
    }

    #[test]
    fn an_account_has_small_letters_digits_and_three_marks_that_do_not_come_first() {
        for character in (0..=0x17f_u32).filter_map(char::from_u32) {
            let is_alphanumeric = character.is_ascii_lowercase() || character.is_ascii_digit();
            let is_later = is_alphanumeric || ['.', '_', '-'].contains(&character);
            assert_eq!(format!("{character}a").parse::<AccountName>().is_ok(), is_alphanumeric, "{character:?}");
            assert_eq!(format!("a{character}").parse::<AccountName>().is_ok(), is_later, "{character:?}");
        }
    }

    #[test]
    fn an_error_names_the_field() {
        assert!(format!("{}", ChannelName::try_from("").unwrap_err()).starts_with("Field 'channel_name' must be "));
        assert!(format!("{}", Username::try_from("").unwrap_err()).starts_with("Field 'username' must be "));
        assert!(format!("{}", AccountName::try_from("").unwrap_err()).starts_with("Field 'account' must be "));
    }
}
