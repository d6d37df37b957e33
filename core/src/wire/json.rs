//! A strict reader of JSON that knows the place of each value.
//!
//! A general parser gives values; this protocol owes its users the byte at which a payload goes wrong, the span of
//! each field, and the refusal of lone surrogates even in fields that nobody reads. So it reads tokens, without
//! recursion and without building anything.

#![expect(clippy::exhaustive_enums, clippy::exhaustive_structs, reason = "JSON has no further tokens")]

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt;

use memchr::memchr;

use super::MAX_DEPTH;

/// One token, with offsets into the text that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind.
    pub kind: TokenKind<'a>,
    /// Offset of its first byte.
    pub start: usize,
    /// Offset after its last byte.
    pub end: usize,
}

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// A member's name with its quotes; its colon has been read.
    Key(Text<'a>),
    /// A string with its quotes.
    String(Text<'a>),
    /// A number, as it is spelled.
    Number(&'a str),
    /// `true` or `false`
    Boolean(bool),
    /// `null`
    Null,
}

/// The text between the quotes of a string: well-formed, escapes still in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Returns the text as it is spelled, without its quotes.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.raw
    }

    /// Returns what it means: borrowed where nothing is escaped.
    #[must_use]
    #[inline]
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// A text that is not JSON, or not UTF-8: the first byte at which it cannot be, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonError {
    /// Offset of the byte; the text's length if it ends too early.
    pub at: usize,
    /// The problem there, or what was expected.
    pub problem: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Malformed JSON at byte {}: {}", self.at, self.problem)
    }
}

impl core::error::Error for JsonError {}

/// A reader of the tokens of one JSON text, nested at most 64 deep. It checks the text to its last byte.
///
/// ```
/// use chanwire_core::wire::json::{Reader, TokenKind};
///
/// let mut reader = Reader::new(br#"{"port": 22236}"#);
/// let mut numbers = Vec::new();
/// while let Some(token) = reader.next_token()? {
///     if let TokenKind::Number(spelled) = token.kind {
///         numbers.push((spelled, token.start));
///     }
/// }
/// assert_eq!(numbers, [("22236", 9)]);
/// # Ok::<(), chanwire_core::wire::json::JsonError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The bytes from the start that are UTF-8: all of them, if nothing is wrong.
    utf_8: &'a str,
    at: usize,
    /// Bit `i` says that level `i` is an array.
    arrays: u64,
    depth: u32,
    expect: Expect,
}

/// The tokens that may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or the end of an array that has none yet.
    FirstElement,
    /// A key, or the end of an object that has none yet.
    FirstKey,
    CommaOrEnd,
    Nothing,
}

impl<'a> Reader<'a> {
    /// Makes a reader at the start of this text.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        // Once for the whole text costs less than once for each string.
        Self { bytes, utf_8: utf_8(bytes), at: 0, arrays: 0, depth: 0, expect: Expect::Value }
    }

    /// Returns the number of objects and arrays that are open.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// Reads the next token; `None` after the last, when nothing but white space follows.
    ///
    /// # Errors
    ///
    /// The first byte at which the text cannot be JSON. After an error the reader has no more to say.
    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        self.skip_space();
        if self.expect == Expect::CommaOrEnd {
            return match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                    if self.in_array() { self.value() } else { self.key() }.map(Some)
                }
                Some(b']') if self.in_array() => Ok(Some(self.close(TokenKind::ArrayEnd))),
                Some(b'}') if !self.in_array() => Ok(Some(self.close(TokenKind::ObjectEnd))),
                _ if self.in_array() => self.fail("expected ',' or ']'"),
                _ => self.fail("expected ',' or '}'"),
            };
        }
        match (self.expect, self.peek()) {
            (Expect::Nothing, None) => Ok(None),
            (Expect::Nothing, Some(_)) => self.fail("expected nothing more"),
            (Expect::FirstElement, Some(b']')) => Ok(Some(self.close(TokenKind::ArrayEnd))),
            (Expect::FirstKey, Some(b'}')) => Ok(Some(self.close(TokenKind::ObjectEnd))),
            (Expect::FirstKey, Some(b'"')) => self.key().map(Some),
            (Expect::FirstKey, _) => self.fail("expected a name in double quotes or '}'"),
            _ => self.value().map(Some),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&mut self, problem: &'static str) -> Result<T, JsonError> {
        self.fail_at(self.at, problem)
    }

    #[cold]
    fn fail_at<T>(&mut self, at: usize, problem: &'static str) -> Result<T, JsonError> {
        self.at = self.bytes.len();
        self.expect = Expect::Nothing;
        Err(JsonError { at, problem })
    }

    fn skip_space(&mut self) {
        self.at += self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    }

    fn in_array(&self) -> bool {
        self.arrays >> self.depth.saturating_sub(1) & 1 == 1
    }

    fn open(&mut self, kind: TokenKind<'a>) -> Result<Token<'a>, JsonError> {
        if self.depth == MAX_DEPTH {
            return self.fail("nested deeper than 64 levels");
        }
        let (bit, array) = (1 << self.depth, kind == TokenKind::ArrayStart);
        self.arrays = if array { self.arrays | bit } else { self.arrays & !bit };
        self.depth += 1;
        self.expect = if array { Expect::FirstElement } else { Expect::FirstKey };
        self.at += 1;
        Ok(Token { kind, start: self.at - 1, end: self.at })
    }

    fn close(&mut self, kind: TokenKind<'a>) -> Token<'a> {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
        self.after_value();
        Token { kind, start: self.at - 1, end: self.at }
    }

    fn after_value(&mut self) {
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    fn value(&mut self) -> Result<Token<'a>, JsonError> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => return self.open(TokenKind::ObjectStart),
            Some(b'[') => return self.open(TokenKind::ArrayStart),
            Some(b'"') => TokenKind::String(self.text()?),
            Some(b'-' | b'0'..=b'9') => TokenKind::Number(self.number()?),
            Some(b't') => self.word("true", TokenKind::Boolean(true))?,
            Some(b'f') => self.word("false", TokenKind::Boolean(false))?,
            Some(b'n') => self.word("null", TokenKind::Null)?,
            _ => return self.fail("expected a value"),
        };
        self.after_value();
        Ok(Token { kind, start, end: self.at })
    }

    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    fn key(&mut self) -> Result<Token<'a>, JsonError> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return self.fail("expected a name in double quotes");
        }
        let text = self.text()?;
        let end = self.at;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fail("expected ':'");
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(Token { kind: TokenKind::Key(text), start, end })
    }

    fn word(&mut self, word: &'static str, kind: TokenKind<'a>) -> Result<TokenKind<'a>, JsonError> {
        let same = self.rest().iter().zip(word.as_bytes()).take_while(|(a, b)| a == b).count();
        self.at += same;
        if same == word.len() { Ok(kind) } else { self.fail("expected true, false or null") }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.str(start, self.at)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { self.fail("expected a digit") } else { Ok(()) }
    }

    /// Reads a string, from its opening quote to after its closing one.
    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    fn text(&mut self) -> Result<Text<'a>, JsonError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain(self.rest());
            let problem = match self.peek() {
                Some(b'"') => {
                    let raw = self.str(start, self.at)?;
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    match self.escape() {
                        Ok(length) => {
                            self.at += length;
                            continue;
                        }
                        Err((offset, problem)) => (self.at + offset, problem),
                    }
                }
                Some(_) => (self.at, "a control character in a string must be escaped"),
                None => (self.at, "expected '\"'"),
            };
            // Bytes before it that are no UTF-8 come first.
            self.str(start, self.at)?;
            return self.fail_at(problem.0, problem.1);
        }
    }

    /// Returns the length of the escape that starts here, a surrogate pair being one; or the offset of what is wrong in
    /// it.
    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    fn escape(&self) -> Result<usize, (usize, &'static str)> {
        let rest = self.rest();
        match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => unicode_escape(rest),
            _ => Err((1, "expected one of \" \\ / b f n r t u after a backslash")),
        }
    }

    fn str(&mut self, start: usize, end: usize) -> Result<&'a str, JsonError> {
        match self.utf_8.get(start..end) {
            Some(text) => Ok(text),
            None => self.fail_at(self.utf_8.len(), "invalid UTF-8"),
        }
    }
}

/// Returns the length of the `\u` escape that starts here, or of the two of a surrogate pair; or the offset of what is
/// wrong.
fn unicode_escape(rest: &[u8]) -> Result<usize, (usize, &'static str)> {
    match hex(rest, 2)? {
        0xdc00..=0xdfff => Err((0, "a lone surrogate in an escape")),
        0xd800..=0xdbff => match (rest.get(6), rest.get(7)) {
            (Some(b'\\'), Some(b'u')) => match hex(rest, 8)? {
                0xdc00..=0xdfff => Ok(12),
                _ => Err((0, "a lone surrogate in an escape")),
            },
            (None, _) | (Some(b'\\'), None) => Err((rest.len(), "expected the second half of a surrogate pair")),
            _ => Err((0, "a lone surrogate in an escape")),
        },
        _ => Ok(6),
    }
}

/// Returns the longest start that is UTF-8.
const fn utf_8(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => match core::str::from_utf8(bytes.split_at(error.valid_up_to()).0) {
            Ok(text) => text,
            Err(_) => "",
        },
    }
}

/// The number of bytes between two escapes that are copied as one piece of a known length.
const PIECE: usize = 32;

/// The length from which a text is scanned many bytes at once.
const LONG: usize = 32;

/// Returns the number of bytes from the start that are neither quote, backslash nor control character.
#[inline(always)]
pub(super) fn plain(bytes: &[u8]) -> usize {
    // Most texts are names, and end within three words.
    let Some((short, long)) = bytes.split_first_chunk::<24>() else { return plain_by_words(bytes) };
    match plain_by_words(short) {
        24 => 24 + plain_to_the_end(long),
        at => at,
    }
}

fn plain_to_the_end(bytes: &[u8]) -> usize {
    let (short, long) = bytes.split_at_checked(LONG).unwrap_or((bytes, &[]));
    let at = plain_by_words(short);
    if at < LONG {
        return at;
    }
    let (blocks, _) = long.as_chunks::<64>();
    // Without a way out within a block, so that the compiler compares many bytes at once.
    let is_plain = |block: &&[u8; 64]| !block.iter().fold(false, |any, byte| any | is_special(*byte));
    let skipped = 64 * blocks.iter().take_while(is_plain).count();
    LONG + skipped + plain_by_words(long.get(skipped..).unwrap_or_default())
}

const ONES: u64 = 0x0101_0101_0101_0101;

#[inline(always)]
fn plain_by_words(bytes: &[u8]) -> usize {
    // A byte below what is taken from it borrows from its high bit. The lowest marked byte is exact: a borrow can only
    // mark bytes above one that is marked.
    let below = |word: u64| {
        let (quote, backslash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
        word.wrapping_sub(ONES * 0x20) | quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES)
    };
    by_words(bytes, |word| below(word) & !word, is_special)
}

/// Returns the number of bytes from the start that are no backslash.
fn up_to_backslash(bytes: &[u8]) -> usize {
    let (short, long) = bytes.split_at_checked(LONG).unwrap_or((bytes, &[]));
    let is_backslash = |word: u64| {
        let other = word ^ (ONES * b'\\' as u64);
        other.wrapping_sub(ONES) & !other
    };
    match by_words(short, is_backslash, |byte| byte == b'\\') {
        LONG => LONG + memchr(b'\\', long).unwrap_or(long.len()),
        at => at,
    }
}

/// Returns the number of bytes from the start that are not such: `marks` sets the high bit of the first byte of a word
/// that is, and may set those of others after it.
#[inline(always)]
fn by_words(bytes: &[u8], marks: impl Fn(u64) -> u64, is_such: impl Fn(u8) -> bool) -> usize {
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        let marked = marks(u64::from_le_bytes(*word)) & HIGHS;
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
    }
    8 * words.len() + rest.iter().take_while(|byte| !is_such(**byte)).count()
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// Reads the four hexadecimal digits at `offset`.
fn hex(bytes: &[u8], offset: usize) -> Result<u32, (usize, &'static str)> {
    (offset..offset + 4).try_fold(0, |value, at| {
        let digit = bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        digit.map(|digit| value << 4 | digit).ok_or((at, "expected four hexadecimal digits"))
    })
}

/// Decodes the escapes of a text that a [`Reader`] has accepted.
#[inline(never)]
fn unescape(raw: &str) -> String {
    let mut out = Vec::with_capacity(raw.len() + PIECE);
    let mut rest = raw.as_bytes();
    loop {
        let plain = up_to_backslash(rest);
        match rest.first_chunk::<PIECE>() {
            // Most pieces between escapes are short. A copy whose length is known takes a few instructions, and what it
            // takes too much goes again.
            Some(piece) if plain <= PIECE => {
                let end = out.len() + plain;
                out.extend_from_slice(piece);
                out.truncate(end);
            }
            _ => out.extend_from_slice(rest.get(..plain).unwrap_or_default()),
        }
        let escape = rest.get(plain..).unwrap_or_default();
        let length = match escape.get(1) {
            Some(b'u') => {
                let (char, length) = unicode(escape);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                length
            }
            Some(byte) => {
                out.push(match byte {
                    b'b' => 0x8,
                    b'f' => 0xc,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    // `"`, `\` and `/` stand for themselves.
                    itself => *itself,
                });
                2
            }
            None => break,
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    // It is: what is between escapes was, and escapes are ASCII.
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Returns the character of the `\u` escape that starts here, and its length.
fn unicode(escape: &[u8]) -> (char, usize) {
    let (scalar, length) = match (hex(escape, 2), hex(escape, 8)) {
        (Ok(high @ 0xd800..=0xdbff), Ok(low @ 0xdc00..=0xdfff)) => {
            (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        (Ok(unit), _) => (unit, 6),
        (Err(_), _) => return (char::REPLACEMENT_CHARACTER, 2),
    };
    (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn read(text: &[u8]) -> Result<usize, JsonError> {
        let mut reader = Reader::new(text);
        let mut tokens = 0;
        while reader.next_token()?.is_some() {
            tokens += 1;
        }
        Ok(tokens)
    }

    fn error_at(text: &[u8]) -> usize {
        read(text).unwrap_err().at
    }

    #[test]
    fn errors_name_the_first_byte_that_cannot_be() {
        assert_eq!(error_at(br#"{"a": 1 "b": 2}"#), 8);
        assert_eq!(error_at(br#"{"a": 01}"#), 7);
        assert_eq!(error_at(br#"{"a": -}"#), 7);
        assert_eq!(error_at(br#"{"a": 1.}"#), 8);
        assert_eq!(error_at(br#"{"a": 1e+}"#), 9);
        assert_eq!(error_at(br#"{"a": trxe}"#), 8);
        assert_eq!(error_at(br#"{"a",}"#), 4);
        assert_eq!(error_at(br#"{a: 1}"#), 1);
        assert_eq!(error_at(br#"{"a": [1,]}"#), 9);
        assert_eq!(error_at(br#"{"a": 1,}"#), 8);
        assert_eq!(error_at(br#"{} x"#), 3);
        assert_eq!(error_at(b"{\"a\": \"\n\"}"), 7);
        assert_eq!(error_at(br#"{"a": "\x"}"#), 8);
        assert_eq!(error_at(br#"{"a": "\u12g4"}"#), 11);
        assert_eq!(error_at(b""), 0);
        assert_eq!(error_at(b"{"), 1);
    }

    #[test]
    fn a_lone_surrogate_is_refused_at_its_backslash() {
        assert_eq!(error_at(br#"{"a": "\ud800"}"#), 7);
        assert_eq!(error_at(br#"{"a": "\udc00\ud800"}"#), 7);
        assert_eq!(error_at(br#"{"a": "\ud800\u0041"}"#), 7);
        assert_eq!(read(br#"{"a": "\ud83d\ude00"}"#), Ok(4));
    }

    #[test]
    fn invalid_utf_8_comes_before_what_is_wrong_after_it() {
        assert_eq!(read(b"{\"a\": \"x\xffy\n\"}"), Err(JsonError { at: 8, problem: "invalid UTF-8" }));
        assert_eq!(error_at(b"{\"a\xc3\": 1}"), 3);
        assert_eq!(error_at(b"\xff"), 0);
    }

    #[test]
    fn strings_decode_to_what_they_mean() {
        let mut reader = Reader::new(br#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#);
        let Ok(Some(Token { kind: TokenKind::String(text), .. })) = reader.next_token() else { panic!("a string") };
        assert_eq!(text.decode(), "a\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}z");
    }

    #[test]
    fn plain_runs_end_at_the_first_special_byte_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for length in 0..40 {
                let mut bytes = vec![0xe9_u8; 40];
                bytes[length] = special;
                assert_eq!(plain(&bytes), length);
                assert_eq!(plain(&bytes[..length]), length);
            }
        }
        for length in 0..80 {
            // No other byte is taken for one, not even beside it.
            for other in 0..=u8::MAX {
                let mut bytes = vec![if other == b'\\' { b'a' } else { other }; 80];
                assert_eq!(up_to_backslash(&bytes), bytes.len());
                bytes[length] = b'\\';
                assert_eq!(up_to_backslash(&bytes), length);
            }
        }
        let others: Vec<u8> = (0x20..=0xff).filter(|byte| !matches!(byte, b'"' | b'\\')).collect();
        assert_eq!(plain(&others), others.len());
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(read(&[vec![b'['; 64], vec![b']'; 64]].concat()), Ok(128));
        assert_eq!(error_at(&[vec![b'['; 65], vec![b']'; 65]].concat()), 64);
    }
}
