//! The frame decoder: invariance, tiling, agreement with the naive decoder, and memory.

use chanwire_core::wire::{Command, Decoder, Place, StartLine, Status};

use super::Input;
use crate::{
    model, show,
    stream::{check_tiling, run},
};

/// Decodes any stream in any pieces, as either direction. `grown` runs a closure and returns the growth of the memory
/// in use, in bytes. The caller provides it, because only a program can choose its allocator.
///
/// # Panics
/// If the items depend on the pieces, do not tile the stream or differ from the naive decoder's, or if the decoder
/// keeps more memory than the needed part of a frame allows.
pub fn decoder(data: &[u8], grown: impl Fn(&mut dyn FnMut()) -> i64) {
    let mut input = Input::new(data);
    let limit = input.limit(65_536, 1);
    let (stream, pieces) = input.pieces();
    check::<Command>(stream, &pieces, limit);
    check::<Status>(stream, &pieces, limit);
    check_kept(&pieces, limit, grown);
}

fn check<H: StartLine>(stream: &[u8], pieces: &[&[u8]], limit: usize) {
    let whole = run::<H>([stream], limit);
    check_tiling(&whole, stream.len());
    assert_eq!(run::<H>(pieces.iter().copied(), limit), whole, "{pieces:?}");
    let items: Vec<_> = whole.all().cloned().collect();
    assert_eq!(items, model::items(stream, limit), "{}", show::bytes(stream));
}

/// The factor of kept over needed bytes: 2, because bytes are moved only when that frees more than it moves, times 2,
/// because a growing buffer doubles.
const SLACK: usize = 4;

fn check_kept(pieces: &[&[u8]], limit: usize, grown: impl Fn(&mut dyn FnMut()) -> i64) {
    let mut decoder = Decoder::<Command>::new(limit);
    // A buffer keeps its capacity until it is empty.
    let (mut kept, mut needed, mut largest) = (0, 0, 0);
    for piece in pieces {
        kept += grown(&mut || {
            decoder.feed(piece);
            while decoder.next_item().is_some() {}
        });
        largest = largest.max(needed + piece.len());
        needed = match decoder.partial().map(|partial| (partial.place, partial.span.len())) {
            Some((Place::StartLine, length)) => usize::try_from(length).unwrap(),
            Some((Place::Payload, length)) => usize::try_from(length).unwrap().min(limit),
            _ => {
                assert_eq!(kept, 0, "white space, skipped objects and idleness cost nothing: {pieces:?}");
                (needed, largest) = (0, 0);
                continue;
            }
        };
        let most = SLACK * largest + 64;
        assert!(usize::try_from(kept).unwrap() <= most, "{kept} bytes are kept and not {most}: {pieces:?}");
    }
}
