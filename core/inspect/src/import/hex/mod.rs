//! Hexadecimal dumps, as people paste them.
//!
//! Known are `hexdump -C`, `hexdump`, `xxd`, `xxd -e`, `xxd -p`, `xxd -i`, `od` with its bytes or words in base 16 or
//! its words in base 8 and offsets in any base, `tcpdump -x` and `-X`, and what Wireshark and tshark give: hex dump,
//! hex stream, escaped string, C array, and a followed stream as hex dump, in which the server's lines are indented, or
//! as C arrays.

mod digits;
mod line;
mod offsets;

use self::{
    digits::{arrays, escaped, plain},
    line::{Layout, layout},
    offsets::Reader,
};
use super::Wrong;

/// The longest text that is read as a dump.
pub(super) const MAX_TEXT: usize = 256 << 20;

/// Bytes that stood in a dump.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Dump {
    /// Each dump that starts over at its offset 0 is one block, and each array.
    pub(super) blocks: Vec<Piece>,
    pub(super) form: Form,
}

/// One block of a dump.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Its lines are indented, as Wireshark shows what the server said.
    pub(super) indented: bool,
    /// The time of day that tcpdump printed before it, in milliseconds.
    pub(super) time: Option<f64>,
}

/// How a dump is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing but digits.
    #[default]
    Plain,
    /// Each byte is `0x4c` or `\x4c`.
    Escaped,
    /// Lines with offsets.
    Offsets,
    /// Lines with offsets and words of so many bytes, the low byte first.
    Words(usize),
    /// Lines with offsets and words of 16 bits in base 8, the low byte first.
    OctalWords,
}

impl Form {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Plain => "hexadecimal digits",
            Self::Escaped => "escaped bytes",
            Self::Offsets => "a hex dump",
            Self::Words(2) => "a hex dump of 16-bit words, the low byte first",
            Self::Words(4) => "a hex dump of 32-bit words, the low byte first",
            Self::Words(_) => "a hex dump of words, the low byte first",
            Self::OctalWords => "an octal dump of 16-bit words, the low byte first",
        }
    }
}

/// Whether a text looks like a dump: `None` if it does not, an error if it does and is none.
pub(super) fn parse(text: &str) -> Option<Result<Dump, Wrong>> {
    let layout = layout(text);
    // What looks like digits alone may have offsets of an even number of digits.
    if let Some(bytes) = plain(text).filter(|_| !layout.is_some_and(|layout| layout.is_certain)) {
        return Some(Ok(one(bytes, Form::Plain)));
    }
    if let Some(blocks) = arrays(text) {
        return Some(Ok(Dump { blocks, form: Form::Escaped }));
    }
    if let Some(bytes) = escaped(text) {
        return Some(Ok(one(bytes, Form::Escaped)));
    }
    Some(Reader::new(layout?).read(text))
}

fn one(bytes: Vec<u8>, form: Form) -> Dump {
    Dump { blocks: vec![Piece { bytes, ..Piece::default() }], form }
}

#[cfg(test)]
mod tests;
