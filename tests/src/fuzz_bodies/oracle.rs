//! Another parser's opinion: where an object ends, what is JSON, what that means, and where it goes wrong.

use chanwire_core::wire::{Command, FaultKind, Request, json::JsonError};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{StreamDeserializer, Value, de::SliceRead};

use crate::{
    show,
    stream::{Seen, run},
    tree,
};

/// Compares any bytes, as a JSON text and as the beginning of a payload with something behind it.
///
/// # Panics
///
/// If serde_json disagrees.
pub fn oracle(data: &[u8]) {
    check_json(data);
    if let [b'{' | b'[', ..] = data {
        check_end(data);
    }
}

/// Parses the first value in these bytes with another parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It ends before this byte.
    Ends(usize),
    /// It is right as far as it goes.
    Incomplete,
    /// It is no JSON.
    Wrong,
}

fn verdict<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Verdict {
    let mut values = StreamDeserializer::<_, T>::new(SliceRead::new(bytes));
    match values.next() {
        None => Verdict::Incomplete,
        Some(Ok(_)) => Verdict::Ends(values.byte_offset()),
        Some(Err(error)) if error.is_eof() && !wants_digits(bytes) => Verdict::Incomplete,
        Some(Err(_)) => Verdict::Wrong,
    }
}

/// Returns whether this may end inside an escape. serde_json looks at its four digits at once, so it calls incomplete
/// what is wrong already in the first three.
fn wants_digits(bytes: &[u8]) -> bool {
    let wrong = |bytes: &[u8]| serde_json::from_slice::<IgnoredAny>(bytes).is_err_and(|error| !error.is_eof());
    let tail = &bytes[bytes.len().saturating_sub(5)..];
    tail.windows(2).any(|pair| pair == b"\\u") && wrong(&[bytes, b"0000"].concat())
}

/// Runs an object or array as the payload of a HOST and compares its end with serde_json's.
///
/// They may disagree in one way only: what is wrong inside the brackets is nothing to the frame layer, so where the
/// oracle finds an error the decoder may find an end; it must then find the payload wrong. And beyond 64 levels it
/// stops, where the oracle goes on.
///
/// # Panics
///
/// If they disagree in another way.
pub fn check_end(payload: &[u8]) {
    const BEFORE: &[u8] = b"HOST\r\n";
    let run = run::<Command>([&[BEFORE, payload].concat()[..]], usize::MAX);
    let first = run.all().next().unwrap();
    let shown = show::bytes(payload);
    if matches!(first, Seen::Fault { kind: FaultKind::TooDeep { .. }, .. }) {
        return;
    }
    match verdict::<IgnoredAny>(payload) {
        Verdict::Ends(end) => {
            assert_eq!(first.span().end, (BEFORE.len() + end) as u64, "{first:?} but end {end}: {shown}");
            let whole = match first {
                Seen::Frame { .. } => payload.starts_with(b"{"),
                Seen::Fault { kind, .. } => payload.starts_with(b"[") && *kind == FaultKind::PayloadIsArray,
                Seen::Skipped(..) => false,
            };
            assert!(whole, "{first:?}: {shown}");
        }
        Verdict::Incomplete => {
            let incomplete = matches!(first, Seen::Fault { kind: FaultKind::Incomplete(_), .. });
            assert!(incomplete, "{first:?} of what has no end: {shown}");
        }
        Verdict::Wrong => {
            if let Seen::Frame { payload, .. } = first {
                let read = Request::decode(Command::Host, payload);
                assert!(read.is_err(), "{read:?} of what is no JSON: {shown}");
            }
        }
    }
}

/// Compares what the reader and serde_json make of a text.
///
/// Three differences are right. The reader stops at 64 levels. It accepts a number that no double can hold, since it
/// reads spellings and no field wants such a number. And it names the start of a broken sequence, where serde_json
/// names its end.
///
/// # Panics
///
/// If there is another one.
pub fn check_json(text: &[u8]) {
    let shown = show::bytes(text);
    match (tree::value(text), serde_json::from_slice::<Value>(text)) {
        (Ok((value, false)), Ok(other)) => assert_eq!(value, other, "{shown}"),
        (Ok((_, true)), Err(error)) => assert!(error.to_string().contains("out of range"), "{error}: {shown}"),
        (Ok(_), other) => panic!("accepted, unlike {other:?}: {shown}"),
        (Err(error), Ok(_)) => assert_eq!(error.problem, "nested deeper than 64 levels", "{shown}"),
        (Err(error), Err(_)) => check_offset(text, error),
    }
}

/// Checks that the text before the byte can be completed to JSON, and that with the byte it cannot.
fn check_offset(text: &[u8], error: JsonError) {
    let shown = show::bytes(text);
    let (before, from) = text.split_at(error.at);
    let completable = |text: &[u8]| match serde_json::from_slice::<Value>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof() || error.to_string().contains("out of range"),
    };
    // Reads the grammar alone: neither numbers nor scalar values.
    let grammatical =
        |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).map_or_else(|error| error.is_eof(), |_| true);
    assert!(completable(before), "{error} comes too late: {shown}");
    match error.problem {
        "nested deeper than 64 levels" => assert!(matches!(from, [b'{' | b'[', ..]), "{error}: {shown}"),
        "invalid UTF-8" => {
            // The first sequence that is no UTF-8, or one that the text cuts.
            let valid = std::str::from_utf8(text).unwrap_err().valid_up_to();
            assert_eq!(valid, error.at, "{shown}");
        }
        "a lone surrogate in an escape" => {
            let escape = std::str::from_utf8(&from[..6]).unwrap();
            let unit = u16::from_str_radix(&escape[2..], 16).unwrap();
            assert!(escape.starts_with("\\u") && (0xd800..0xe000).contains(&unit), "{error}: {shown}");
            // With any scalar's low half after it, a high half would be none; so what follows is no low half.
            let paired = [before, &from[..6], b"\\udc00\""].concat();
            let follows = from.get(6..12).is_some_and(|next| next.starts_with(b"\\ud") || next.starts_with(b"\\uD"));
            assert!(unit >= 0xdc00 || !follows || completable(&paired), "{error}: {shown}");
        }
        _ => match from {
            [] => assert!(!before.is_empty() || text.is_empty(), "{error}: {shown}"),
            [byte, ..] => {
                // serde_json looks at four digits at once, so it must be given as many.
                let digits: &[u8] = if error.problem.contains("hexadecimal") { b"0000" } else { b"" };
                assert!(!grammatical(&[before, &[*byte], digits].concat()), "{error} comes too early: {shown}");
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_tells_an_end_from_an_error() {
        assert_eq!(verdict::<Value>(b"{\"a\": \"}\"} x"), Verdict::Ends(10));
        assert_eq!(verdict::<Value>(b"{\"a\": \"}\""), Verdict::Incomplete);
        assert_eq!(verdict::<Value>(b"{\"a\" 1}"), Verdict::Wrong);
        assert_eq!(verdict::<Value>(b"{\"\\u00"), Verdict::Incomplete);
        assert_eq!(verdict::<Value>(b"[{\"\\u\"]"), Verdict::Wrong);
    }
}
