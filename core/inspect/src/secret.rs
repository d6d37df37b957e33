//! Secrets in recorded bytes: the passwords and tokens of AUTH.

use std::{borrow::Cow, ops::Range};

use chanwire_core::wire::json::{Reader, TokenKind};

use crate::Field;

/// The members whose values are secrets.
const NAMES: [&str; 2] = ["password", "token"];

/// The text of a masked field. It does not tell how long the secret is.
const MASKED: &str = "********";

/// The byte in place of each byte of a secret, and of each digit of a number that stands for one. What is JSON stays
/// JSON, and positions stay.
const MASK: u8 = b'*';
const MASKED_DIGIT: u8 = b'1';

/// Masks the secrets among the fields of an AUTH.
pub(crate) fn mask_fields(fields: &mut [Field]) {
    for field in fields.iter_mut().filter(|field| NAMES.contains(&field.name.as_str())) {
        mask_field(field);
    }
}

fn mask_field(field: &mut Field) {
    if !field.text.is_empty() {
        field.text = MASKED.into();
    }
    field.children.iter_mut().for_each(mask_field);
}

/// Masks the secrets in the bytes of an AUTH.
pub(crate) fn mask_auth(frame: &[u8]) -> Cow<'_, [u8]> {
    let start = frame.iter().position(|byte| *byte == b'{').unwrap_or(frame.len());
    let payload = frame.get(start..).unwrap_or_default();
    match spans(payload) {
        Some(spans) => mask(frame, spans.into_iter().map(|span| start + span.start..start + span.end)),
        // Where no member can be told from another, all of it may be secret.
        None => mask(frame, Some(start + 1..frame.len().saturating_sub(1))),
    }
}

/// Masks the values that look like secrets in bytes that are no frame, such as an AUTH that is cut off.
pub(crate) fn mask_loosely(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut spans = Vec::new();
    for name in NAMES {
        let key = format!("\"{name}\"");
        let mut at = 0;
        while let Some(found) = find(bytes, at, key.as_bytes()) {
            at = found + key.len();
            let colon = after_space(bytes, at);
            if bytes.get(colon) == Some(&b':') {
                let value = value(bytes, after_space(bytes, colon + 1));
                at = value.end;
                spans.push(value);
            }
        }
    }
    mask(bytes, spans)
}

/// Returns the values of the secret members of a payload, without the quotes of strings; `None` if it is no JSON.
fn spans(payload: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut reader = Reader::new(payload);
    let mut spans = Vec::new();
    // The depth of the secret member that is being read.
    let mut secret = None;
    loop {
        let token = match reader.next_token() {
            Ok(Some(token)) => token,
            Ok(None) => return Some(spans),
            Err(_) => return None,
        };
        match (token.kind, secret) {
            (TokenKind::Key(name), None) if reader.depth() == 1 && NAMES.contains(&&*name.decode()) => secret = Some(1),
            (TokenKind::String(_) | TokenKind::Key(_), Some(_)) => spans.push(token.start + 1..token.end - 1),
            (TokenKind::Number(_), Some(_)) => spans.push(token.start..token.end),
            _ => {}
        }
        let is_over = !matches!(token.kind, TokenKind::Key(_)) && reader.depth() <= 1;
        secret = secret.filter(|_| !is_over);
    }
}

fn mask(bytes: &[u8], spans: impl IntoIterator<Item = Range<usize>>) -> Cow<'_, [u8]> {
    let mut masked = Cow::Borrowed(bytes);
    for span in spans.into_iter().filter(|span| !span.is_empty()) {
        let is_quoted = span.start.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'"');
        let secret = masked.to_mut().get_mut(span).unwrap_or_default();
        let is_number = !is_quoted && secret.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
        for byte in secret {
            match is_number {
                true if byte.is_ascii_digit() => *byte = MASKED_DIGIT,
                true => {}
                false => *byte = MASK,
            }
        }
    }
    masked
}

fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let found = bytes.get(from..)?.windows(wanted.len()).position(|window| window == wanted);
    found.map(|found| from + found)
}

fn after_space(bytes: &[u8], from: usize) -> usize {
    let space = bytes.iter().skip(from).take_while(|byte| byte.is_ascii_whitespace());
    from + space.count()
}

/// Returns the value that begins here, without the quotes of a string; what is cut off goes to the end.
fn value(bytes: &[u8], start: usize) -> Range<usize> {
    if bytes.get(start) != Some(&b'"') {
        let rest = bytes.iter().skip(start).take_while(|byte| !b",}]".contains(byte));
        return start..start + rest.count();
    }
    let start = start + 1;
    let mut at = start;
    while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
        at += if *byte == b'\\' { 2 } else { 1 };
    }
    start..at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(payload: &str) -> String {
        String::from_utf8(mask_auth(format!("AUTH\r\n{payload}").as_bytes()).into_owned()).unwrap()
    }

    fn loosely(text: &str) -> String {
        String::from_utf8(mask_loosely(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn the_secrets_of_an_auth_are_masked_and_nothing_else_is() {
        for (payload, masked) in [
            (r#"{"account": "ann", "password": "hunter2"}"#, r#"{"account": "ann", "password": "*******"}"#),
            (r#"{"token" : "a\"b\u00e9"}"#, r#"{"token" : "**********"}"#),
            (r#"{"pass\u0077ord": "é"}"#, r#"{"pass\u0077ord": "**"}"#),
            (r#"{"password": -12.5e3, "n": 7}"#, r#"{"password": -11.1e1, "n": 7}"#),
            (r#"{"token": ["a", {"k": 7}], "n": "x"}"#, r#"{"token": ["*", {"*": 1}], "n": "x"}"#),
            (r#"{"password": "a", "password": "b"}"#, r#"{"password": "*", "password": "*"}"#),
            (r#"{"a": {"password": "x"}, "token": null}"#, r#"{"a": {"password": "x"}, "token": null}"#),
            (r#"{"password": ""}"#, r#"{"password": ""}"#),
        ] {
            assert_eq!(auth(payload), format!("AUTH\r\n{masked}"));
        }
    }

    #[test]
    fn of_an_auth_that_is_no_json_everything_is_masked() {
        assert_eq!(auth(r#"{"password": "a"b"}"#), format!("AUTH\r\n{{{}}}", "*".repeat(17)));
        assert_eq!(auth("x"), "AUTH\r\nx");
    }

    #[test]
    fn what_looks_like_a_secret_is_masked_to_its_end_or_to_the_end_of_the_bytes() {
        for (text, masked) in [
            (r#"AUTH\r\n{"account": "ann", "password": "hunt"#, r#"AUTH\r\n{"account": "ann", "password": "****"#),
            (r#"{"token":"a\"b", "n": "c"} x"#, r#"{"token":"****", "n": "c"} x"#),
            (r#"{"password" : 1234, "n": 5}"#, r#"{"password" : 1111, "n": 5}"#),
            (r#"{"password": hunter}"#, r#"{"password": ******}"#),
            (r#"{"password": "a\"#, r#"{"password": "**"#),
            (r#""password""#, r#""password""#),
            (r#"{"message_content": "\"password\": \"x\""}"#, r#"{"message_content": "\"password\": \"x\""}"#),
        ] {
            assert_eq!(loosely(text), masked);
        }
    }

    #[test]
    fn bytes_without_secrets_are_not_copied() {
        assert!(matches!(mask_loosely(b"LIST\r\n"), Cow::Borrowed(_)));
        assert!(matches!(mask_auth(b"AUTH\r\n{}"), Cow::Borrowed(_)));
    }
}
