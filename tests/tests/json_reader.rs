//! The JSON reader against serde_json: what it accepts, what that means, and the byte at which it refuses.

use chanwire_core::wire::json::Reader;
use chanwire_tests::{
    fuzz_bodies::check_json,
    generate::{self, times},
    show, tree,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(times(2500))]

    #[test]
    fn valid_texts_have_the_same_values(text in generate::json_text()) {
        check_json(&text);
    }

    #[test]
    fn invalid_texts_are_refused_at_the_same_offset(text in generate::mutated(generate::json_text())) {
        check_json(&text);
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
        check_json(format!("{{\"a\": [\"{}\"]}}", pieces.concat()).as_bytes());
    }

    #[test]
    fn strings_of_any_bytes_read_alike(bytes in proptest::collection::vec(
        prop_oneof![3 => any::<u8>(), 2 => 0x80_u8..=0xff, 1 => Just(0x80), 4 => 0x20_u8..0x7f], 0..24)
    ) {
        check_json(&[b"[\"", &bytes[..], b"\"]"].concat());
    }

    #[test]
    fn a_truncated_text_is_invalid_at_its_end(
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
            check_json(text);
        }
        texts = longer;
    }
}

#[test]
fn nothing_follows_an_error() {
    let mut reader = Reader::new(b"[1 2]");
    assert!(reader.next_token().is_ok() && reader.next_token().is_ok());
    let refused = reader.next_token().unwrap_err();
    assert_eq!((refused.at, refused.problem), (3, "expected ',' or ']'"));
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
