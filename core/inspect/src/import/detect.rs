//! Detection of a capture's form by its first bytes.

use super::{
    Format, PREVIEW, ReadError,
    container::Container,
    encoding::Encoding,
    hex::{self, Dump},
    lines, link,
};
use crate::{Direction, guess_direction};

/// Returns whether these first bytes determine the form of a capture, so that later bytes cannot change it.
#[must_use]
pub fn is_clear(bytes: &[u8]) -> bool {
    if let Some(encoding) = detect_encoding(bytes) {
        return is_clear(&encoding.decode_first(bytes));
    }
    Container::detect(bytes).is_some() || lines::detect(bytes) || guess_direction(bytes).is_some()
}

/// Returns the encoding of a capture that begins with these bytes.
pub(super) fn detect_encoding(first: &[u8]) -> Option<Encoding> {
    Encoding::detect(first).filter(|encoding| {
        // Only dumps and JSON are decoded. A client's bytes in such an encoding are invalid, and are shown undecoded.
        *encoding == Encoding::Gzip
            || matches!(detect(&encoding.decode_first(first)).0, Format::JsonLines | Format::Hex)
    })
}

/// Returns the form of the first bytes, and their direction if they have one.
pub(super) fn detect(first: &[u8]) -> (Format, Option<Direction>) {
    if let Some(container) = Container::detect(first) {
        return (if container.name() == "pcap" { Format::Pcap } else { Format::PcapNg }, None);
    }
    if lines::detect(first) {
        return (Format::JsonLines, None);
    }
    let guess = guess_direction(first);
    // Bytes that look like the protocol are not a dump.
    if guess.is_none()
        && let Some(dump) = dump_of(first)
    {
        let direction = dump.ok().and_then(|dump| stream_of(&dump).1);
        return (Format::Hex, direction);
    }
    (Format::Raw, guess)
}

/// Returns the dump that starts with these bytes, which may end inside a line.
pub(super) fn dump_of(first: &[u8]) -> Option<Result<Dump, ReadError>> {
    let whole = if first.len() < PREVIEW {
        first
    } else {
        let end = first.iter().rposition(|byte| *byte == b'\n').unwrap_or(first.len() & !1);
        first.get(..end).unwrap_or(first)
    };
    hex::parse(std::str::from_utf8(whole).ok()?)
}

/// Returns the link type of each block's packet, if the blocks of a dump are packets.
pub(super) fn packets_of(dump: &Dump) -> Option<Vec<i32>> {
    if dump.blocks.is_empty() || dump.blocks.iter().any(|piece| piece.indented) {
        return None;
    }
    let first = link::guess(&dump.blocks.first()?.bytes)?;
    // A later block of unknown link type is taken to have that of the first one.
    Some(dump.blocks.iter().map(|piece| link::guess(&piece.bytes).unwrap_or(first)).collect())
}

/// Returns the first bytes of the side with which a dump begins, and their direction.
pub(super) fn stream_of(dump: &Dump) -> (Vec<u8>, Option<Direction>) {
    let first = dump.blocks.first().is_some_and(|piece| piece.indented);
    let side = |indented| {
        let pieces = dump.blocks.iter().filter(move |piece| piece.indented == indented);
        pieces.flat_map(|piece| piece.bytes.iter().copied()).take(PREVIEW).collect::<Vec<u8>>()
    };
    let bytes = side(first);
    let guess = guess_direction(&bytes).or_else(|| {
        Some(match guess_direction(&side(!first))? {
            Direction::Out => Direction::In,
            Direction::In => Direction::Out,
        })
    });
    (bytes, guess)
}
