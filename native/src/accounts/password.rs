//! Hashes of passwords, as the string form of Argon2 has them: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.

use std::{fmt, str::FromStr};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use subtle::ConstantTimeEq as _;

/// Base64 as these strings have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// The bytes of a new salt.
const SALT: usize = 16;

/// The bytes of a new hash.
const HASH: usize = 32;

/// The cost of hashing a password, with the bounds that keep a server able to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Memory in KiB (`m`).
    memory: u32,
    /// Passes over the memory (`t`).
    passes: u32,
    /// Lanes (`p`).
    lanes: u32,
}

impl Cost {
    /// The cost of new hashes: the first choice of OWASP and of the crate.
    pub(super) const NEW: Self = Self { memory: 19_456, passes: 2, lanes: 1 };

    fn new(memory: u32, passes: u32, lanes: u32) -> Result<Self, String> {
        for (name, number, range) in [("m", memory, 8..=65_536), ("t", passes, 1..=16), ("p", lanes, 1..=16)] {
            if !range.contains(&number) {
                return Err(format!("{name} is {number}, and may be {} to {}", range.start(), range.end()));
            }
        }
        if memory < 8 * lanes {
            return Err(format!("m is {memory}, and must be at least 8 times p, {}", 8 * lanes));
        }
        Ok(Self { memory, passes, lanes })
    }

    /// Hashes a password into so many bytes.
    fn hash(self, password: &[u8], salt: &[u8], length: usize) -> Result<Vec<u8>, HashError> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(length))
            .map_err(|error| HashError(error.to_string()))?;
        let mut hash = vec![0; length];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, salt, &mut hash)
            .map_err(|error| HashError(error.to_string()))?;
        Ok(hash)
    }
}

/// The reason why a password cannot be hashed, such as too little memory.
#[derive(Debug, thiserror::Error)]
#[error("cannot hash a password: {0}")]
pub(crate) struct HashError(String);

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PasswordHash {
    /// Hashes a password with a random salt.
    pub(crate) fn new(password: &str) -> Result<Self, HashError> {
        let mut salt = vec![0; SALT];
        getrandom::fill(&mut salt).map_err(|error| HashError(format!("the system gives no random bytes: {error}")))?;
        let hash = Cost::NEW.hash(password.as_bytes(), &salt, HASH)?;
        Ok(Self { cost: Cost::NEW, salt, hash })
    }

    /// Returns whether it is the hash of this password.
    pub(crate) fn matches(&self, password: &str) -> Result<bool, HashError> {
        let hash = self.cost.hash(password.as_bytes(), &self.salt, self.hash.len())?;
        Ok(hash.ct_eq(&self.hash).into())
    }

    pub(super) const fn cost(&self) -> Cost {
        self.cost
    }

    /// Returns a hash that no password has, and that costs so much.
    pub(super) fn of_nothing(cost: Cost) -> Self {
        // A password has it by a chance of 1 in 2^256.
        Self { cost, salt: vec![0; SALT], hash: vec![0; HASH] }
    }
}

/// Shows no secret: passwords can be guessed by their hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Formats the string that is stored.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cost: Cost { memory, passes, lanes }, salt, hash } = self;
        let (salt, hash) = (BASE64.encode(salt), BASE64.encode(hash));
        write!(f, "$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
    }
}

impl FromStr for PasswordHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a hash as `chanwire account passwd` writes it, $argon2id$v=19$m=…,t=…,p=…$SALT$HASH";
        let mut parts = text.split('$');
        if parts.next() != Some("") {
            return Err(wrong().into());
        }
        match parts.next() {
            Some("argon2id") => {}
            Some(other @ ("argon2i" | "argon2d" | "2a" | "2b" | "2y" | "5" | "6" | "y" | "scrypt")) => {
                return Err(format!(
                    "the hash is of the kind {other}, and only argon2id is known; set a password anew"
                ));
            }
            _ => return Err(wrong().into()),
        }
        let (Some("v=19"), Some(cost), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong().into());
        };
        let number = |part: Option<&str>, name: &str| {
            let digits = part?.strip_prefix(name)?.strip_prefix('=')?;
            (!digits.starts_with('+')).then(|| digits.parse().ok()).flatten()
        };
        let mut costs = cost.split(',');
        let (Some(memory), Some(passes), Some(lanes), None) =
            (number(costs.next(), "m"), number(costs.next(), "t"), number(costs.next(), "p"), costs.next())
        else {
            return Err(wrong().into());
        };
        let cost = Cost::new(memory, passes, lanes)?;
        let bytes = |text, name, range: std::ops::RangeInclusive<usize>| {
            let bytes = BASE64.decode(text).map_err(|error| format!("the {name} is not base64: {error}"))?;
            match range.contains(&bytes.len()) {
                true => Ok(bytes),
                false => Err(format!(
                    "the {name} has {} bytes, and may have {} to {}",
                    bytes.len(),
                    range.start(),
                    range.end()
                )),
            }
        };
        Ok(Self { cost, salt: bytes(salt, "salt", 8..=64)?, hash: bytes(hash, "hash", 16..=64)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that lacks its last part.
    const CUT: &str = "$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHQ$";

    #[test]
    fn a_password_matches_its_own_hash_alone() {
        let hash = PasswordHash::new("correct horse").unwrap();
        let read: PasswordHash = hash.to_string().parse().unwrap();
        assert_eq!(read, hash);
        assert!(hash.to_string().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        for (password, matches) in [("correct horse", true), ("correct horsf", false), ("", false)] {
            assert_eq!(read.matches(password).unwrap(), matches, "{password}");
        }
        assert_ne!(PasswordHash::new("correct horse").unwrap(), hash, "a new salt");
    }

    #[test]
    fn debug_output_has_neither_salt_nor_hash() {
        let hash = PasswordHash::new("correct horse").unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash { cost: Cost { memory: 19456, passes: 2, lanes: 1 }, .. }");
    }

    #[test]
    fn a_string_that_is_no_hash_is_refused_with_the_reason() {
        let hash = BASE64.encode([7; 32]);
        let with = |cost: &str| format!("$argon2id$v=19${cost}$c2FsdHNhbHQ${hash}");
        assert!(with("m=64,t=2,p=1").parse::<PasswordHash>().is_ok());
        for (text, words) in [
            ("secret".to_owned(), "expected a hash as"),
            (String::new(), "expected a hash as"),
            ("$2b$12$abc".into(), "only argon2id is known"),
            (format!("$argon2i$v=19$m=64,t=2,p=1$c2FsdHNhbHQ${hash}"), "only argon2id is known"),
            (format!("$argon2id$m=64,t=2,p=1$c2FsdHNhbHQ${hash}"), "expected a hash as"),
            (with("m=64,t=2"), "expected a hash as"),
            (with("m=64,t=2,p=1,q=1"), "expected a hash as"),
            (with("m=+64,t=2,p=1"), "expected a hash as"),
            (with("t=2,m=64,p=1"), "expected a hash as"),
            (with("m=65537,t=2,p=1"), "m is 65537, and may be 8 to 65536"),
            (with("m=64,t=0,p=1"), "t is 0, and may be 1 to 16"),
            (with("m=64,t=2,p=17"), "p is 17, and may be 1 to 16"),
            (with("m=64,t=2,p=9"), "m is 64, and must be at least 8 times p, 72"),
            (format!("{CUT}é"), "the hash is not base64"),
            (format!("{CUT}AAAA"), "the hash has 3 bytes, and may have 16 to 64"),
            (format!("$argon2id$v=19$m=64,t=2,p=1$AAAA${hash}"), "the salt has 3 bytes, and may have 8 to 64"),
            (with("m=64,t=2,p=1") + "$", "expected a hash as"),
        ] {
            let error = text.parse::<PasswordHash>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_hash_of_nothing_costs_the_same_and_no_password_has_it() {
        let hash = PasswordHash::of_nothing(Cost::new(64, 1, 1).unwrap());
        assert_eq!(hash.cost(), Cost::new(64, 1, 1).unwrap());
        assert!(!hash.matches("").unwrap());
    }

    #[test]
    fn a_hash_of_the_reference_implementation_is_known() {
        // Of its test.c: version 0x13, t=2, m=2^8, p=1.
        let known = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let hash: PasswordHash = known.parse().unwrap();
        assert!(hash.matches("password").unwrap());
        assert!(!hash.matches("Password").unwrap());
        assert_eq!(hash.to_string(), known);
    }
}
