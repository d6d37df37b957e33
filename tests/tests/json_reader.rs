//! The JSON reader against serde_json: what it accepts, what that means, and the byte at which it refuses.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use chanwire_core::wire::json::{JsonError, Reader};
use chanwire_tests::{
    generate::{self, times},
    show, tree,
};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Compares what both make of a text.
///
/// Three differences are right. The reader stops at 64 levels. It accepts a number that no double can hold, since it
/// reads spellings and no field wants such a number. And it names the start of a broken sequence, where serde_json
/// names its end.
fn compare(text: &[u8]) -> Result<(), TestCaseError> {
    let shown = show::bytes(text);
    let other = serde_json::from_slice::<Value>(text);
    match (tree::value(text), other) {
        (Ok((value, false)), Ok(other)) => prop_assert_eq!(value, other, "{}", shown),
        (Ok((_, true)), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{error}: {shown}"),
        (Ok(_), other) => prop_assert!(false, "accepted, unlike {other:?}: {shown}"),
        (Err(error), Ok(_)) => prop_assert_eq!(error.problem, "nested deeper than 64 levels", "{}", shown),
        (Err(error), Err(_)) => check_offset(text, error)?,
    }
    Ok(())
}

/// What stands before the byte can be completed to JSON; with the byte it cannot.
fn check_offset(text: &[u8], error: JsonError) -> Result<(), TestCaseError> {
    let shown = show::bytes(text);
    let (before, from) = (&text[..error.at], &text[error.at..]);
    let completable = |text: &[u8]| match serde_json::from_slice::<Value>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof() || error.to_string().contains("out of range"),
    };
    // Reads the grammar alone: neither numbers nor scalar values.
    let grammatical =
        |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).map_or_else(|error| error.is_eof(), |_| true);
    prop_assert!(completable(before), "{error} comes too late: {shown}");
    match error.problem {
        "nested deeper than 64 levels" => prop_assert!(matches!(from, [b'{' | b'[', ..]), "{error}: {shown}"),
        "invalid UTF-8" => {
            // The first sequence that is no UTF-8, or one that the text cuts.
            let valid = std::str::from_utf8(text).unwrap_err().valid_up_to();
            prop_assert_eq!(valid, error.at, "{}", shown);
        }
        "a lone surrogate in an escape" => {
            let escape = std::str::from_utf8(&from[..6]).unwrap();
            let unit = u16::from_str_radix(&escape[2..], 16).unwrap();
            prop_assert!(escape.starts_with("\\u") && (0xd800..0xe000).contains(&unit), "{error}: {shown}");
            // With any scalar's low half after it, a high half would be none; so what follows is no low half.
            let paired = [before, &from[..6], b"\\udc00\""].concat();
            let follows = from.get(6..12).is_some_and(|next| next.starts_with(b"\\ud") || next.starts_with(b"\\uD"));
            prop_assert!(unit >= 0xdc00 || !follows || completable(&paired), "{error}: {shown}");
        }
        _ => match from {
            [] => prop_assert!(!before.is_empty() || text.is_empty(), "{error}: {shown}"),
            [byte, ..] => {
                // serde_json looks at four digits at once, so it must be given as many.
                let digits: &[u8] = if error.problem.contains("hexadecimal") { b"0000" } else { b"" };
                prop_assert!(!grammatical(&[before, &[*byte], digits].concat()), "{error} comes too early: {shown}");
            }
        },
    }
    Ok(())
}

proptest! {
    #![proptest_config(times(2500))]

    #[test]
    fn right_texts_mean_the_same(text in generate::json_text()) {
        compare(&text)?;
    }

    #[test]
    fn wrong_texts_are_refused_where_they_go_wrong(text in generate::mutated(generate::json_text())) {
        compare(&text)?;
    }

    #[test]
    fn escapes_and_surrogates_in_any_order_read_alike(
        pieces in proptest::collection::vec(
            prop_oneof![
                "\\\\u[dD][89a-fA-F][0-9a-f]{2}",
                "\\\\u[0-9a-fA-F]{4}",
                "\\\\ud83d\\\\ude00",
                "\\\\[\"\\\\/bfnrtux]",
                "\\\\u[0-9a-fg]{0,3}",
                "[a-z\u{7f}\u{e9}\u{2028}]{1,9}",
            ],
            0..6,
        )
    ) {
        compare(format!("{{\"a\": [\"{}\"]}}", pieces.concat()).as_bytes())?;
    }

    #[test]
    fn strings_of_any_bytes_read_alike(bytes in proptest::collection::vec(
        prop_oneof![3 => any::<u8>(), 2 => 0x80_u8..=0xff, 1 => Just(0x80), 4 => 0x20_u8..0x7f], 0..24)
    ) {
        compare(&[b"[\"", &bytes[..], b"\"]"].concat())?;
    }

    #[test]
    fn a_text_that_only_ends_too_early_is_wrong_at_its_end(
        text in generate::json_text(), at in any::<prop::sample::Index>()
    ) {
        let beginning = &text[..at.index(text.len() + 1)];
        // Cut inside a scalar value, it is no UTF-8 and wrong there.
        prop_assume!(std::str::from_utf8(beginning).is_ok());
        if let Err(error) = tree::value(beginning) {
            prop_assert_eq!(error.at, beginning.len(), "{}: {}", error, show::bytes(beginning));
        }
    }
}

#[test]
fn every_short_text_reads_alike() {
    // All texts of up to five of the bytes that make numbers, words' beginnings and lists.
    let alphabet = b"0-.e,[]{}\":1 ";
    let mut texts: Vec<Vec<u8>> = vec![Vec::new()];
    for _ in 0..4 {
        let longer: Vec<Vec<u8>> =
            texts.iter().flat_map(|text| alphabet.iter().map(|byte| [&text[..], &[*byte]].concat())).collect();
        for text in &longer {
            compare(text).unwrap_or_else(|error| panic!("{error}"));
        }
        texts = longer;
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut reader = Reader::new(b"[1 2]");
    assert!(reader.next_token().is_ok() && reader.next_token().is_ok());
    assert_eq!(reader.next_token(), Err(JsonError { at: 3, problem: "expected ',' or ']'" }));
    assert_eq!(reader.next_token(), Ok(None));
}

#[test]
fn spans_hold_the_spelling() {
    let text = br#" {"\u0061" : [ -1.5e3 , "x\n", true,null ] } "#;
    let mut reader = Reader::new(text);
    let mut spelled = Vec::new();
    while let Some(token) = reader.next_token().unwrap() {
        spelled.push(std::str::from_utf8(&text[token.start..token.end]).unwrap());
    }
    assert_eq!(spelled, ["{", "\"\\u0061\"", "[", "-1.5e3", "\"x\\n\"", "true", "null", "]", "}"]);
}
