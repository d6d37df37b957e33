//! Frame boundaries in passing traffic.

use chanwire_core::{
    Limits,
    wire::{Command, Decoder, Item, StartLine, Status},
};
use chanwire_inspect::Direction;

/// A finder of the frame boundaries in one direction of a connection. It buffers no payload.
#[derive(Debug)]
pub(crate) enum BoundaryFinder {
    Out(Box<Side<Command>>),
    In(Box<Side<Status>>),
}

/// The decoder of one direction, and its position in the stream.
#[derive(Debug)]
pub(crate) struct Side<H> {
    decoder: Decoder<H>,
    position: u64,
}

/// The end of a frame or of skipped bytes, as an offset into the piece that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    pub(crate) at: usize,
    /// Whether a frame or a fault ends here.
    pub(crate) is_frame: bool,
    /// Whether it belongs to a pair of request and answer: a request, or an answer to one.
    pub(crate) is_paired: bool,
}

impl BoundaryFinder {
    pub(crate) fn new(direction: Direction) -> Self {
        let (requests, answers) = (Limits::server().max_payload, Limits::client().max_payload);
        match direction {
            Direction::Out => {
                Self::Out(Box::new(Side { decoder: Decoder::new(requests).boundaries_only(), position: 0 }))
            }
            Direction::In => Self::In(Box::new(Side { decoder: Decoder::new(answers).boundaries_only(), position: 0 })),
        }
    }

    /// Returns whether the stream is at a frame boundary.
    pub(crate) fn is_at_boundary(&self) -> bool {
        match self {
            Self::Out(side) => side.decoder.partial().is_none(),
            Self::In(side) => side.decoder.partial().is_none(),
        }
    }

    /// Reads the next bytes of the stream and appends the boundaries in them, in order.
    pub(crate) fn feed(&mut self, bytes: &[u8], boundaries: &mut Vec<Boundary>) {
        match self {
            Self::Out(side) => side.feed(bytes, boundaries, |_| true),
            Self::In(side) => side.feed(bytes, boundaries, Status::is_answer),
        }
    }
}

impl<H: StartLine> Side<H> {
    fn feed(&mut self, bytes: &[u8], boundaries: &mut Vec<Boundary>, is_paired: impl Fn(H) -> bool) {
        let start = self.position;
        self.position += bytes.len() as u64;
        let mut rest = bytes;
        while let Some(item) = self.decoder.next_item_of(&mut rest) {
            let (is_frame, is_paired) = match &item {
                Item::Frame(frame) => (true, is_paired(frame.start_line)),
                Item::Fault(_) => (true, true),
                Item::Skipped(..) => (false, false),
            };
            let at = usize::try_from(item.span().end.saturating_sub(start)).unwrap_or(usize::MAX);
            boundaries.push(Boundary { at: at.min(bytes.len()), is_frame, is_paired });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_do_not_depend_on_the_sizes_of_reads() {
        let stream = b"LIST\r\n \nHOST\r\n{}LIST\n";
        let mut whole = Vec::new();
        BoundaryFinder::new(Direction::Out).feed(stream, &mut whole);
        let ends: Vec<(usize, bool)> = whole.iter().map(|boundary| (boundary.at, boundary.is_frame)).collect();
        assert_eq!(ends, [(6, true), (8, false), (16, true), (21, true)]);

        let (mut finder, mut single) = (BoundaryFinder::new(Direction::Out), Vec::new());
        for (position, byte) in stream.chunks(1).enumerate() {
            let mut boundaries = Vec::new();
            finder.feed(byte, &mut boundaries);
            single.extend(boundaries.into_iter().map(|boundary| (position + boundary.at, boundary.is_frame)));
        }
        // The end of white space is known only with the first byte of the next frame.
        assert_eq!(single, [(6, true), (8, false), (16, true), (21, true)]);
        assert!(finder.is_at_boundary());
    }

    #[test]
    fn a_frame_is_not_buffered_whatever_its_size() {
        let (mut finder, mut boundaries) = (BoundaryFinder::new(Direction::In), Vec::new());
        finder.feed(b"OK\r\n{\"message_history\": \"", &mut boundaries);
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..1000 {
            finder.feed(&piece, &mut boundaries);
            let BoundaryFinder::In(side) = &finder else { panic!("another direction") };
            assert_eq!(side.decoder.kept(), 0);
        }
        assert_eq!((boundaries.len(), finder.is_at_boundary()), (0, false));
        finder.feed(b"\"}OK\r\n{}", &mut boundaries);
        let ends: Vec<usize> = boundaries.iter().map(|boundary| boundary.at).collect();
        assert_eq!(ends, [2, 8]);
    }

    #[test]
    fn pushes_are_not_paired() {
        let mut boundaries = Vec::new();
        BoundaryFinder::new(Direction::In).feed(b"MESSAGE\r\n{}OK\r\n{}OK\r\n{", &mut boundaries);
        let paired: Vec<bool> = boundaries.iter().map(|boundary| boundary.is_paired).collect();
        assert_eq!(paired, [false, true]);
    }
}
