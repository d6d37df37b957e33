//! Pins: a server's key by its hash.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use thiserror::Error;

/// The name of the hash in the text form.
const HASH: &str = "sha256/";

/// The SHA-256 of a public key, that is of the DER encoding of a certificate's SubjectPublicKeyInfo. A renewed
/// certificate with the same key has the same pin.
///
/// Its text form is `sha256/BASE64`, as in `curl --pinnedpubkey`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; SHA256_OUTPUT_LEN]);

impl Pin {
    /// Returns the pin of a SubjectPublicKeyInfo.
    pub(crate) fn of(public_key: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        // Both have the length of the hash.
        hash.copy_from_slice(digest(&SHA256, public_key).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// The error for a text that is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[error("expected sha256/ and the 44 characters of a SHA-256 in base64")]
pub struct NotAPin;

impl FromStr for Pin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let hash = STANDARD.decode(text.strip_prefix(HASH).ok_or(NotAPin)?).map_err(|_| NotAPin)?;
        hash.try_into().map(Self).map_err(|_| NotAPin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_the_hash_in_base64_and_is_read_back() {
        // The SHA-256 of "abc", from FIPS 180-2.
        let text = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        assert_eq!(Pin::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(Pin::of(b"abc")));
    }

    #[test]
    fn a_text_with_another_hash_or_length_is_no_pin() {
        for text in
            ["", "sha256/", "sha256/ungWv48Bz", "sha1/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", "sha256/eHl6"]
        {
            assert_eq!(text.parse::<Pin>(), Err(NotAPin), "{text}");
        }
    }
}
