//! Dumps without offsets that are read as they come: pairs of digits, words of them, and numbers in base 10.

use crate::import::ReadError;

/// The error of a text that stops being a dump.
pub(super) const NOT_A_DUMP: &str = "from here on this is no hex dump any more";

pub(super) const UNKNOWN_REPEAT: &str =
    "nothing tells how many lines the * of this dump stands for; print all of them (-v)";

/// A reader of a dump that has nothing but its bytes.
#[derive(Debug)]
pub(super) struct Run {
    kind: Kind,
    token: Token,
    /// Words that may be the last ones, whose zeros may be padding.
    held: Vec<u8>,
    position: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Pairs of hexadecimal digits.
    Pairs,
    /// Pairs that form words of this number of bytes, the low byte first.
    Words(usize),
    /// Numbers in base 10.
    Decimals,
}

/// The part of a token that came so far.
#[derive(Clone, Copy, Debug, Default)]
struct Token {
    /// Its number of digits.
    digits: usize,
    /// The value of its digits, or of those that are no whole byte yet.
    value: u16,
    /// Whether it began with `0x`.
    prefixed: bool,
}

impl Run {
    pub(super) const fn pairs() -> Self {
        Self::new(Kind::Pairs)
    }

    /// Reads words of this number of bytes. Zeros at the end, fewer than a word, are padding.
    pub(super) const fn words(bytes: usize) -> Self {
        Self::new(Kind::Words(bytes))
    }

    pub(super) const fn decimals() -> Self {
        Self::new(Kind::Decimals)
    }

    const fn new(kind: Kind) -> Self {
        let token = Token { digits: 0, value: 0, prefixed: false };
        Self { kind, token, held: Vec::new(), position: 0 }
    }

    /// Reads the next part of the text; appends its bytes to `out`.
    pub(super) fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = out.len();
        let read = text.iter().try_for_each(|char| {
            self.char(*char, out).map_err(|error| error.at(self.position))?;
            self.position += 1;
            Ok(())
        });
        if let Kind::Words(size) = self.kind {
            self.held.extend(out.drain(start..));
            let words = self.held.len() / size;
            self.release(words.saturating_sub(2) * size, size, out);
        }
        read
    }

    /// Ends the text; appends its last bytes to `out`.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        self.end_token(out).map_err(|error| error.at(self.position))?;
        if let Kind::Words(size) = self.kind {
            let start = out.len();
            self.release(self.held.len(), size, out);
            let zeros = out.iter().skip(start).rev().take_while(|byte| **byte == 0).count();
            out.truncate(out.len() - zeros.min(size - 1));
        }
        Ok(())
    }

    /// Moves this number of bytes of words to `out`, the high byte first.
    fn release(&mut self, bytes: usize, size: usize, out: &mut Vec<u8>) {
        for word in self.held.drain(..bytes).as_slice().chunks(size) {
            out.extend(word.iter().rev());
        }
    }

    fn char(&mut self, char: u8, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let is_between = match self.kind {
            Kind::Pairs | Kind::Words(_) => matches!(char, b':' | b'-' | b',' | b';'),
            Kind::Decimals => char == b',',
        };
        if is_between || char.is_ascii_whitespace() {
            return self.end_token(out);
        }
        let Token { digits, value, prefixed } = self.token;
        if self.kind == Kind::Decimals {
            let digit = u16::from(char.wrapping_sub(b'0'));
            let value = value * 10 + digit;
            if digit > 9 || value > 255 {
                return Err(NOT_A_DUMP.into());
            }
            self.token = Token { digits: digits + 1, value, prefixed };
            return Ok(());
        }
        if char == b'x' && (digits, value, prefixed) == (1, 0, false) {
            self.token = Token { prefixed: true, ..Token::default() };
            return Ok(());
        }
        let digit = match char {
            b'0'..=b'9' => char - b'0',
            b'a'..=b'f' => char - b'a' + 10,
            b'A'..=b'F' => char - b'A' + 10,
            b'*' => return Err(UNKNOWN_REPEAT.into()),
            _ => return Err(NOT_A_DUMP.into()),
        };
        if digits.is_multiple_of(2) {
            self.token.value = digit.into();
        } else {
            out.push((value as u8) << 4 | digit);
        }
        self.token.digits += 1;
        Ok(())
    }

    fn end_token(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let Token { digits, value, .. } = std::mem::take(&mut self.token);
        match self.kind {
            Kind::Decimals if digits > 0 => out.push(value as u8),
            Kind::Pairs | Kind::Words(_) if !digits.is_multiple_of(2) => return Err(NOT_A_DUMP.into()),
            _ => {}
        }
        Ok(())
    }
}
