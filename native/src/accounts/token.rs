//! Tokens: random secrets with which programs sign in.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chanwire_core::wire::Timestamp;
use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

/// The beginning of every token, by which programs that look for leaked secrets find them.
const PREFIX: &str = "cwt_";

/// The random bytes of a token.
const RANDOM: usize = 32;

/// A token of an account. Its secret is not kept: the hash of 256 random bits tells nothing about them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) sha256: [u8; 32],
    /// The time from which it is refused, if there is one.
    pub(crate) expires: Option<Timestamp>,
}

impl Token {
    /// Makes a token with a new secret.
    pub(crate) fn new(name: String, expires: Option<Timestamp>) -> Result<(Self, Secret), String> {
        let mut random = Zeroizing::new([0; RANDOM]);
        getrandom::fill(random.as_mut()).map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let secret = Secret(Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(*random))));
        Ok((Self { name, sha256: sha256(&secret.0), expires }, secret))
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns whether it has this hash, in a time that does not tell where they differ.
    pub(super) fn has(&self, sha256: &[u8; 32]) -> Choice {
        self.sha256.ct_eq(sha256)
    }
}

/// Shows no hash, since it is of no use there.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// The secret of a new token, which is shown once.
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

/// Hashes the secret of a token.
pub(super) fn sha256(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_secret_until_it_expires() {
        let (token, Secret(secret)) = Token::new("bot".into(), Some(Timestamp::from_unix(100))).unwrap();
        assert!(bool::from(token.has(&sha256(&secret))));
        assert!(!bool::from(token.has(&sha256(&secret.to_uppercase()))));
        assert_eq!([99, 100].map(|now| token.has_expired(Timestamp::from_unix(now))), [false, true]);
        let (other, Secret(again)) = Token::new("bot".into(), None).unwrap();
        assert!(*again != *secret && !other.has_expired(Timestamp::from_unix(i64::MAX)));
    }

    #[test]
    fn a_secret_has_256_random_bits_and_a_prefix() {
        let (_, Secret(secret)) = Token::new("bot".into(), None).unwrap();
        let random = secret.strip_prefix("cwt_").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
    }

    #[test]
    fn a_hash_is_the_one_of_sha256sum() {
        let hex: String = sha256("abc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
