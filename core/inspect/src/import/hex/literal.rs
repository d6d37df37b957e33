//! Literals of programming languages.

use crate::guess_direction;

/// Reads literals such as Python's `b'LIST\r\n'`, C's and Go's `"LIST\r\n"`, a shell's `$'LIST\r\n'`, and nothing else
/// but the punctuation that joins them.
pub(super) fn literals(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.trim();
    let mut is_bytes = false;
    while !rest.is_empty() {
        let start = rest.find(['"', '\''])?;
        let (before, literal) = rest.split_at_checked(start)?;
        let joined = before.trim_start_matches(|char: char| " \t\r\n,;+()[]\\".contains(char));
        match joined.trim_end_matches('(') {
            "b" | "B" => is_bytes = true,
            "" | "$" => {}
            "bytearrayb" | "bytesb" => is_bytes = true,
            other if other.ends_with("(b") => is_bytes = true,
            _ => return None,
        }
        rest = literal_of(literal, &mut bytes)?;
        if rest.trim_matches(|char: char| " \t\r\n,;+()[]\\".contains(char)).is_empty() {
            break;
        }
    }
    // Other texts stand in quotes as well.
    (!bytes.is_empty() && (is_bytes || guess_direction(&bytes).is_some())).then_some(bytes)
}

/// Adds the bytes of the literal that the text starts with; gives what follows it.
fn literal_of<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    while let Some((at, char)) = chars.next() {
        if char == quote {
            return text.get(at + char.len_utf8()..);
        }
        if char != '\\' {
            bytes.extend(char.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let (at, escape) = chars.next()?;
        let mut digits = |from: usize, length: usize, base| {
            let number = u32::from_str_radix(text.get(from..from + length)?, base).ok()?;
            (0..length - usize::from(from == at)).for_each(|_| _ = chars.next());
            Some(number)
        };
        match escape {
            'x' => bytes.push(u8::try_from(digits(at + 1, 2, 16)?).ok()?),
            'u' => bytes.extend(char::from_u32(digits(at + 1, 4, 16)?)?.encode_utf8(&mut [0; 4]).bytes()),
            'U' => bytes.extend(char::from_u32(digits(at + 1, 8, 16)?)?.encode_utf8(&mut [0; 4]).bytes()),
            '0'..='7' => {
                let octal = text.get(at..)?.bytes().take(3).take_while(|byte| (b'0'..b'8').contains(byte)).count();
                bytes.push(u8::try_from(digits(at, octal, 8)?).ok()?);
            }
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'v' => bytes.push(11),
            'f' => bytes.push(12),
            'e' => bytes.push(27),
            '\n' => {}
            '\\' | '\'' | '"' | '?' | '/' => bytes.push(u8::try_from(escape).ok()?),
            _ => return None,
        }
    }
    None
}
