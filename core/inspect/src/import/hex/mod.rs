//! Reads dumps as common tools and programming languages write them.
//!
//! Supported forms:
//! - `hexdump` without options and with `-C`, `-x`, `-o`, `-d` or `-b`
//! - `xxd` without options and with `-e`, `-b`, `-p` or `-i`
//! - `od` with bytes or words in any base, and offsets in any base
//! - `tcpdump -x` and `-X`
//! - exports of Wireshark and tshark: hex dump, hex stream, escaped string, C array, and a followed stream as C arrays
//!   or as a hex dump, in which the server's lines are indented
//! - notations of programming languages: literals, and lists in base 10 and 16
//!
//! A dump whose bytes are ambiguous, such as the output of `od -c`, is refused.

mod digits;
mod form;
mod layout;
mod line;
mod literal;
mod offsets;
mod reader;
mod run;

use self::{
    digits::{arrays, buffer, decimals, escaped, list, plain},
    form::Group,
    layout::{Detected, layout, likeness},
    line::Layout,
    literal::literals,
    run::{Run, UNKNOWN_REPEAT},
};
pub(super) use self::{form::Form, reader::Reader};
use super::ReadError;
use crate::Time;

/// The bytes of a dump.
#[derive(Debug, PartialEq)]
pub(super) struct Dump {
    /// The blocks, none of them empty. A block begins wherever the offsets start over at 0; each array is one block.
    pub(super) blocks: Vec<Piece>,
    pub(super) syntax: Syntax,
}

/// The syntax of a dump. It is detected at the start, and the rest is read by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Lines with offsets, which can be read one by one.
    Lines(Layout),
    /// Nothing but digits or numbers, which can be read one by one.
    Run(Form),
    /// A literal, a list or arrays, which can only be read as a whole.
    Whole(Form),
}

/// A step of reading a dump from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// The start of a block, with the properties of its [`Piece`].
    Block { indented: bool, time: Time },
    /// The next bytes of the current block. A dump without any [`Self::Block`] is a single block.
    Bytes(&'a [u8]),
}

/// One block of a dump.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Whether its lines are indented, as those of the server are in Wireshark.
    pub(super) indented: bool,
    /// The time that tcpdump printed before it.
    pub(super) time: Time,
}

impl Dump {
    pub(super) const fn form(&self) -> Form {
        match self.syntax {
            Syntax::Lines(Layout { form, .. }) | Syntax::Run(form) | Syntax::Whole(form) => form,
        }
    }
}

/// Reads a text as a dump: `None` if it does not look like one, an error if it does and cannot be read.
pub(super) fn parse(text: &str) -> Option<Result<Dump, ReadError>> {
    let layout = layout(text);
    match &layout {
        Detected::Layout(layout) if layout.is_certain => return Some(lines(text, *layout)),
        Detected::Refusal { reason, is_dump: true } => return Some(Err((*reason).into())),
        _ => {}
    }
    if let Some(bytes) = plain(text) {
        return Some(Ok(digits_alone(text, bytes)));
    }
    if let Some(bytes) = literals(text) {
        return Some(Ok(one(bytes, Syntax::Whole(Form::Literal))));
    }
    if let Some(blocks) = arrays(text) {
        return Some(Ok(Dump { blocks, syntax: Syntax::Whole(Form::Escaped) }));
    }
    if let Some(bytes) = escaped(text) {
        return Some(Ok(one(bytes, Syntax::Whole(Form::Escaped))));
    }
    if let Some(bytes) = buffer(text) {
        return Some(bytes.map(|bytes| one(bytes, Syntax::Whole(Form::Plain))).map_err(Into::into));
    }
    if let Some(bytes) = list(text) {
        return Some(bytes.map(|bytes| one(bytes, Syntax::Whole(Form::List))).map_err(Into::into));
    }
    if let Some(bytes) = decimals(text) {
        return Some(Ok(one(bytes, Syntax::Run(Form::List))));
    }
    if let Some(reason) = ambiguity(text) {
        return Some(Err(reason.into()));
    }
    match layout {
        Detected::Layout(layout) => Some(lines(text, layout)),
        Detected::Refusal { reason, .. } => Some(Err(reason.into())),
        Detected::Nothing => None,
    }
}

/// Returns the reason why the bytes of a dump without offsets are ambiguous, if they are.
fn ambiguity(text: &str) -> Option<&'static str> {
    let is_repeat = |line: &&str| line.trim() == "*";
    if text.lines().any(|line| is_repeat(&line)) {
        let rest: Vec<&str> = text.lines().filter(|line| !is_repeat(line)).collect();
        return plain(&rest.join("\n")).map(|_| UNKNOWN_REPEAT);
    }
    // Characters, as od -An -c prints them.
    let words = || text.lines().next().unwrap_or_default().split_ascii_whitespace();
    let is_escape = |word: &str| word.len() == 2 && word.starts_with('\\');
    let single = words().filter(|word| word.len() == 1).count();
    let are_characters = words().all(|word| word.len() <= 3) && words().any(is_escape) && 2 * single > words().count();
    (text.starts_with("  ") && are_characters).then_some(layout::UNSUPPORTED)
}

/// Reads digits without any context: as little-endian words or numbers in base 10 if they then look more like the
/// protocol, else as bytes in base 16.
fn digits_alone(text: &str, bytes: Vec<u8>) -> Dump {
    let words = || text.split_ascii_whitespace().map(|word| word.strip_prefix("0x").unwrap_or(word));
    let width = words().next().map_or(0, str::len);
    if matches!(width, 4 | 8 | 16) && words().count() > 1 && words().all(|word| word.len() <= width) {
        let mut swapped = Vec::with_capacity(bytes.len());
        let mut run = Run::words(width / 2);
        let read = run.feed(text.as_bytes(), &mut swapped).and_then(|()| run.finish(&mut swapped));
        if read.is_ok() && likeness(&swapped) > likeness(&bytes) {
            return one(swapped, Syntax::Run(Form::Words(Group { base: 16, bytes: width / 2 })));
        }
    }
    match decimals(text) {
        Some(decimal) if likeness(&decimal) > likeness(&bytes) => one(decimal, Syntax::Run(Form::List)),
        _ => one(bytes, Syntax::Run(Form::Plain)),
    }
}

/// Reads lines with offsets.
fn lines(text: &str, layout: Layout) -> Result<Dump, ReadError> {
    let mut blocks: Vec<Piece> = Vec::new();
    let mut collect = |part: Part<'_>| match part {
        Part::Block { indented, time } => blocks.push(Piece { bytes: Vec::new(), indented, time }),
        Part::Bytes(bytes) => {
            if let Some(block) = blocks.last_mut() {
                block.bytes.extend_from_slice(bytes);
            }
        }
    };
    let syntax = Syntax::Lines(layout);
    let mut reader = Reader::new(syntax);
    reader.feed(text.as_bytes(), &mut collect)?;
    reader.finish(&mut collect)?;
    blocks.retain(|block| !block.bytes.is_empty());
    Ok(Dump { blocks, syntax })
}

fn one(bytes: Vec<u8>, syntax: Syntax) -> Dump {
    Dump { blocks: vec![Piece { bytes, ..Piece::default() }], syntax }
}

#[cfg(test)]
mod forms;
#[cfg(test)]
mod tests;
