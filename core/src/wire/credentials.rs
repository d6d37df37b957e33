//! Passwords and tokens, which no log shows.

use alloc::sync::Arc;
use core::{fmt, str::FromStr};

use super::{
    AccountName,
    fields::{ACCOUNT, PASSWORD, TOKEN},
    payload::{Field, FieldKind, Members, PayloadFault, PayloadFaultKind},
};

/// The proof of a client that it belongs to an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "whoever verifies credentials handles each form")]
pub enum Credentials {
    /// The name of an account, and its password.
    Password {
        /// The account.
        account: AccountName,
        /// Its password.
        password: Secret,
    },
    /// A token, which says whose it is.
    Token(Secret),
}

impl Credentials {
    /// Returns the account that they name. A token names none.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountName> {
        match self {
            Self::Password { account, .. } => Some(account),
            Self::Token(_) => None,
        }
    }

    /// Reads them from the members of a payload, which has exactly one of the two forms.
    pub(super) fn of(members: &Members<'_>) -> Result<Self, PayloadFault> {
        let account = members.optional_name(ACCOUNT)?;
        let password = members.optional_name(PASSWORD)?;
        let token = members.optional_name(TOKEN)?;
        members.either(ACCOUNT, TOKEN)?;
        members.either(PASSWORD, TOKEN)?;
        let missing = |name| PayloadFault { at: None, kind: PayloadFaultKind::Missing(name) };
        match (account, password, token) {
            (_, _, Some(token)) => Ok(Self::Token(token)),
            (Some(account), Some(password), None) => Ok(Self::Password { account, password }),
            (None, _, None) => Err(missing(ACCOUNT)),
            (Some(_), None, None) => Err(missing(PASSWORD)),
        }
    }
}

/// A password or a token: 1 to 1024 bytes of UTF-8.
///
/// Its text is given by [`expose`](Self::expose) alone. A clone shares the text.
///
/// ```
/// use chanwire_core::wire::Secret;
///
/// let secret: Secret = "correct horse".parse()?;
/// assert_eq!(secret.expose(), "correct horse");
/// assert_eq!(format!("{secret:?}"), "Secret");
///
/// assert!("".parse::<Secret>().is_err());
/// assert!("a".repeat(1025).parse::<Secret>().is_err());
/// # Ok::<(), chanwire_core::wire::NotASecret>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

/// A text that is no [`Secret`]: it is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotASecret;

impl Secret {
    /// The least and the greatest number of bytes.
    const LENGTH: core::ops::RangeInclusive<usize> = 1..=1024;

    /// Returns the text, to be verified or sent. It is not to be shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl NotASecret {
    const FAULT: PayloadFaultKind = PayloadFaultKind::Wrong(Field::optional(PASSWORD, FieldKind::Secret));
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        match Self::LENGTH.contains(&text.len()) {
            true => Ok(Self(text.into())),
            false => Err(NotASecret),
        }
    }
}

/// Shows nothing of the text, not even its length.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for NotASecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::FAULT.fmt(f)
    }
}

impl core::error::Error for NotASecret {}

impl From<NotASecret> for PayloadFault {
    fn from(_: NotASecret) -> Self {
        Self { at: None, kind: NotASecret::FAULT }
    }
}

/// Refuses: what is serialized is kept and logged.
#[cfg(feature = "serde")]
impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a password or token is not serialized"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString as _};

    use super::*;

    #[test]
    fn a_secret_has_1_to_1024_bytes() {
        for (length, is_valid) in [(0, false), (1, true), (1024, true), (1025, false)] {
            assert_eq!("a".repeat(length).parse::<Secret>().is_ok(), is_valid, "{length}");
        }
        assert!("é".repeat(512).parse::<Secret>().is_ok());
        assert!("é".repeat(513).parse::<Secret>().is_err());
    }

    #[test]
    fn credentials_show_the_account_and_no_secret() {
        let secret: Secret = "hunter2".parse().unwrap();
        let password = Credentials::Password { account: "ann".parse().unwrap(), password: secret.clone() };
        assert_eq!(format!("{password:?}"), "Password { account: \"ann\", password: Secret }");
        assert_eq!(format!("{:?}", Credentials::Token(secret)), "Token(Secret)");
    }

    #[test]
    fn an_error_names_the_rule() {
        let error = "".parse::<Secret>().unwrap_err();
        assert_eq!(error.to_string(), "Field 'password' must be a string of 1 to 1024 bytes of UTF-8");
    }
}
