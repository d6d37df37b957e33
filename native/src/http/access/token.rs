//! The token that authenticates a page to the bridge.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// A secret of 128 random bits, generated at each start and written as 32 lower-case hexadecimal digits.
///
/// `Display` writes the secret, for the URL that the user opens; `Debug` hides it, so that it is not logged by
/// accident.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    /// Generates a token from the system's random source.
    ///
    /// # Errors
    /// If the system's random source fails.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bits) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        Ok(Self(digits))
    }

    /// Returns whether `given` is this token, in constant time.
    pub(in crate::http) fn matches(&self, given: &str) -> bool {
        self.0.as_slice().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

fn digit(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' + (half - 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_32_lower_case_hexadecimal_digits_and_each_is_new() {
        let token = Token::generate().unwrap().to_string();
        assert_eq!(token.len(), 32);
        assert!(token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert_ne!(token, Token::generate().unwrap().to_string());
    }

    #[test]
    fn only_the_whole_token_matches() {
        let token = Token(*b"000102030405060708090a0b0c0d0e0f");
        assert!(token.matches("000102030405060708090a0b0c0d0e0f"));
        assert!(!token.matches("000102030405060708090a0b0c0d0e0e"));
        assert!(!token.matches("000102030405060708090A0B0C0D0E0F"));
        assert!(!token.matches("000102030405060708090a0b0c0d0e0"));
        assert!(!token.matches("000102030405060708090a0b0c0d0e0f0"));
        assert!(!token.matches(""));
    }

    #[test]
    fn every_half_byte_has_its_digit() {
        let digits: Vec<u8> = (0..16).map(digit).collect();
        assert_eq!(digits, b"0123456789abcdef");
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let token = Token::generate().unwrap();
        assert!(!format!("{token:?}").contains(&token.to_string()));
    }
}
