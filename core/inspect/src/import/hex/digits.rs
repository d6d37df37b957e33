//! Dumps without offsets.

use super::Piece;

/// Nothing but pairs of digits; spaces, colons, dashes, commas and line ends may stand between them.
pub(super) fn plain(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for token in text.split(|char: char| char.is_ascii_whitespace() || matches!(char, ':' | '-' | ',' | ';')) {
        if !token.is_empty() {
            pairs(token, &mut bytes)?;
        }
    }
    // Two words that are hexadecimal by accident are no dump.
    (bytes.len() > 1).then_some(bytes)
}

/// Arrays of C, each with bytes as `0x4c`, whatever is declared around them. Wireshark names those of a followed stream
/// `peer0_0` and `peer1_0` by who sent them.
pub(super) fn arrays(text: &str) -> Option<Vec<Piece>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}')?;
        // What is declared around them has no bytes.
        if before.contains("0x") {
            return None;
        }
        let name = before.rsplit(|char: char| char.is_ascii_whitespace()).find(|word| word.contains('['));
        let indented = name.is_some_and(|name| name.starts_with("peer1_"));
        blocks.push(Piece { bytes: bytes_of(inside)?, indented, time: None });
        rest = after;
    }
    (!rest.contains("0x") && blocks.iter().any(|block| block.bytes.len() > 1)).then_some(blocks)
}

/// The bytes between the braces of an array.
fn bytes_of(inside: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = inside;
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_ascii_whitespace() || char == ',');
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
        } else if let Some(digits) = rest.strip_prefix("0x") {
            pairs(digits.get(..2)?, &mut bytes)?;
            rest = digits.get(2..)?;
        } else {
            return rest.is_empty().then_some(bytes);
        }
    }
}

/// Bytes written as `0x4c` or `\x4c`, with what C or a shell puts around them.
pub(super) fn escaped(text: &str) -> Option<Vec<u8>> {
    let marks = text.matches("0x").count().max(text.matches("\\x").count());
    if marks < 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(marks);
    for (index, part) in text.split("\\x").flat_map(|part| part.split("0x")).enumerate() {
        if index == 0 {
            // What stands before the first byte: a declaration, a quote.
            continue;
        }
        let digits = part.get(..2)?;
        pairs(digits, &mut bytes)?;
        let after = part.get(2..).unwrap_or_default();
        let is_punctuation = |char: char| {
            char.is_ascii_whitespace()
                || matches!(char, ',' | ';' | '"' | '\'' | '\\' | '{' | '}' | '[' | ']' | '(' | ')')
        };
        let after = after.split("/*").next().unwrap_or_default();
        if !after.chars().all(is_punctuation) {
            return None;
        }
    }
    (bytes.len() == marks).then_some(bytes)
}

/// Adds the bytes of an even number of digits.
pub(super) fn pairs(token: &str, bytes: &mut Vec<u8>) -> Option<()> {
    if !token.len().is_multiple_of(2) {
        return None;
    }
    for pair in token.as_bytes().chunks_exact(2) {
        let [high, low] = pair else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(())
}

fn digit(char: u8) -> Option<u8> {
    char::from(char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
