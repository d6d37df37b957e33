//! The spelling of words and quoted texts in a filter.

use std::fmt::{self, Write};

/// Returns whether a character may stand in a word without quotes.
pub(super) fn in_word(char: char) -> bool {
    !char.is_whitespace() && !char.is_control() && !"\"'()&|!=<>~,{}".contains(char)
}

/// Returns whether a character may stand in a name of a path without quotes.
pub(super) fn in_name(char: char) -> bool {
    in_word(char) && !matches!(char, '.' | '[' | ']')
}

/// Writes a text between quotes, as the lexer reads it back.
pub(super) fn quote(text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            hidden if crate::visible::is_hidden(hidden) => write!(out, "\\u{{{:x}}}", u32::from(hidden))?,
            plain => out.write_char(plain)?,
        }
    }
    out.write_char('"')
}
