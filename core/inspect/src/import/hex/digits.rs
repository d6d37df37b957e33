//! Dumps without offsets.

use super::{Piece, run::Run};

/// Reads pairs of digits and nothing else; spaces, colons, dashes, commas and line ends may stand between them.
pub(super) fn plain(text: &str) -> Option<Vec<u8>> {
    let bytes = all_of(Run::pairs(), text)?;
    // Two words that are hexadecimal by accident are no dump.
    (bytes.len() > 1).then_some(bytes)
}

fn all_of(mut run: Run, text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    run.feed(text.as_bytes(), &mut bytes).and_then(|()| run.finish(&mut bytes)).ok().map(|()| bytes)
}

/// Reads arrays of C, each with bytes as `0x4c`, and any declarations around them. Wireshark names those of a followed
/// stream `peer0_0` and `peer1_0` by who sent them.
pub(super) fn arrays(text: &str) -> Option<Vec<Piece>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}')?;
        // Declarations around them have no bytes.
        if before.contains("0x") {
            return None;
        }
        let name = before.rsplit(|char: char| char.is_ascii_whitespace()).find(|word| word.contains('['));
        let indented = name.is_some_and(|name| name.starts_with("peer1_"));
        blocks.push(Piece { bytes: bytes_of(inside)?, indented, ..Piece::default() });
        rest = after;
    }
    (!rest.contains("0x") && blocks.iter().any(|block| block.bytes.len() > 1)).then_some(blocks)
}

/// Reads the bytes between the braces of an array.
fn bytes_of(inside: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = inside;
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_ascii_whitespace() || char == ',');
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
        } else if let Some(digits) = rest.strip_prefix("0x") {
            let end = digits.find([',', ' ', '\n', '\r', '\t', '/']).unwrap_or(digits.len());
            let (digits, after) = digits.split_at_checked(end)?;
            // Go leaves zeros out.
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 2)?);
            rest = after;
        } else {
            return rest.is_empty().then_some(bytes);
        }
    }
}

/// Reads bytes written as `0x4c` or `\x4c`, with the punctuation of C or a shell around them.
pub(super) fn escaped(text: &str) -> Option<Vec<u8>> {
    let marks = text.matches("0x").count().max(text.matches("\\x").count());
    if marks < 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(marks);
    for (index, part) in text.split("\\x").flat_map(|part| part.split("0x")).enumerate() {
        if index == 0 {
            // Before the first byte stands a declaration or a quote, and no text.
            let is_start = part.trim_end().chars().next_back().is_none_or(|char| !char.is_alphanumeric());
            if is_start { continue } else { return None }
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

/// Reads bytes in angle brackets, as Node.js shows a buffer: `<Buffer 4c 49>`, `<4c 49>`. An error where some were left
/// out.
pub(super) fn buffer(text: &str) -> Option<Result<Vec<u8>, &'static str>> {
    let (_, rest) = text.split_once('<')?;
    let (inside, _) = rest.split_once('>')?;
    let inside = inside.strip_prefix("Buffer").unwrap_or(inside).trim();
    let (digits, left_out) = inside.split_once("...").map_or((inside, false), |(digits, _)| (digits, true));
    let bytes = plain(digits).or_else(|| {
        let mut one = Vec::new();
        pairs(digits.trim(), &mut one).filter(|()| !one.is_empty()).map(|()| one)
    })?;
    Some(if left_out {
        Err("some bytes of this buffer were left out (...); print all of it, with toString('hex')")
    } else {
        Ok(bytes)
    })
}

/// Reads a list of numbers in brackets, as most languages show bytes: `[76, 73, 83]`, `{76, 73}`, `[76 73]`. Signed
/// ones count too.
pub(super) fn list(text: &str) -> Option<Result<Vec<u8>, &'static str>> {
    // Other brackets may stand around it, and before it what it is.
    let is_number = |char: char| char.is_ascii_whitespace() || char.is_ascii_hexdigit() || matches!(char, '-' | ',');
    let mut starts = text.match_indices(['[', '{']);
    let (open, inside, after) = starts.find_map(|(start, _)| {
        let (open, rest) = text.split_at_checked(start)?;
        let end = rest.find([']', '}'])?;
        let inside = rest.get(1..end)?;
        let numbers = inside.split("...").next()?;
        let is_list = numbers.chars().all(is_number) && numbers.split([',', ' ', '\n']).count() >= 4;
        is_list.then_some((open, inside, rest.get(end + 1..)?))
    })?;
    let (inside, left_out) = inside.split_once("... ").map_or((inside, false), |(inside, _)| (inside, true));
    let mut numbers = Vec::new();
    for word in inside.split(|char: char| char == ',' || char.is_ascii_whitespace()).filter(|word| !word.is_empty()) {
        numbers.push(word);
    }
    let decimal = || -> Option<Vec<u8>> {
        let byte = |word: &&str| word.parse::<u8>().ok().or_else(|| word.parse::<i8>().ok().map(i8::cast_unsigned));
        numbers.iter().map(byte).collect()
    };
    let hex = || -> Option<Vec<u8>> {
        let byte = |word: &&str| (word.len() <= 2).then(|| u8::from_str_radix(word, 16).ok())?;
        numbers.iter().map(byte).collect()
    };
    // Zeros stand before numbers in base 16 alone.
    let is_padded = numbers.iter().any(|word| word.len() == 2 && word.starts_with('0'));
    let bytes = match (decimal().filter(|_| !is_padded), hex()) {
        (Some(decimal), Some(hex)) => {
            if is_text(&hex) && !is_text(&decimal) {
                hex
            } else {
                decimal
            }
        }
        (Some(decimal), None) => decimal,
        (None, hex) => hex?,
    };
    // Other lists have numbers too.
    if numbers.len() < 4 || !is_text(&bytes) || open.contains('"') && !open.contains("data") || after.contains('[') {
        return None;
    }
    Some(if left_out { Err("some numbers of this list were left out (...); print all of it") } else { Ok(bytes) })
}

/// Reads numbers in base 10 and nothing else.
pub(super) fn decimals(text: &str) -> Option<Vec<u8>> {
    all_of(Run::decimals(), text).filter(|bytes| bytes.len() >= 4 && is_text(bytes))
}

/// Returns whether nearly all of it is printable, as the protocol is.
fn is_text(bytes: &[u8]) -> bool {
    let read = bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n' | b'\t' | 0x20..=0x7e)).count();
    8 * read >= 7 * bytes.len()
}
