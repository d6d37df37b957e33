//! A row's bytes as text, with escapes decoded.

use std::borrow::Cow;

use memchr::memchr2;

use crate::Entry;

/// Returns the row as text: its bytes with the escapes of JSON's strings decoded and invalid UTF-8 replaced; of a note
/// its subject and text.
pub(super) fn of<'a>(entry: &Entry<'a>) -> Cow<'a, str> {
    match entry.note() {
        Some(text) => Cow::Owned(format!("{} {text}", entry.head())),
        None if !entry.has_escapes() => String::from_utf8_lossy(entry.bytes()),
        None => Cow::Owned(lossy(decode(entry.bytes()))),
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Returns the bytes with escapes between quotes decoded. Invalid escapes stay as they are.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut quoted = false;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let length = match special {
            [b'"', ..] => {
                quoted = !quoted;
                out.push(b'"');
                1
            }
            _ if quoted => match escape(special) {
                Some((char, length)) => {
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    length
                }
                None => {
                    // Copied as a pair, so that an escaped quote does not end the string.
                    let pair = special.get(..2).unwrap_or(special);
                    out.extend_from_slice(pair);
                    pair.len()
                }
            },
            _ => {
                out.push(b'\\');
                1
            }
        };
        rest = special.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// Returns the character of the escape at the start, and the escape's length. A lone surrogate is replaced.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let char = match bytes.get(1)? {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unicode(bytes),
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((char, 2))
}

fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    };
    let first = unit(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6));
    }
    match unit(6) {
        Some(second @ 0xdc00..0xe000) => {
            let char = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
            Some((char, 12))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, 6)),
    }
}
