//! Where frames begin and end in a stream that passes.

use chanwire_core::{
    Limits,
    wire::{Command, Decoder, Item, StartLine, Status},
};
use chanwire_inspect::Direction;

/// Finds the ends of the frames of one direction. It keeps nothing of them: every connection has two, and a frame may
/// have 64 MiB.
#[derive(Debug)]
pub(crate) enum Cutter {
    Out(Box<Side<Command>>),
    In(Box<Side<Status>>),
}

#[derive(Debug)]
pub(crate) struct Side<H> {
    decoder: Decoder<H>,
    position: u64,
}

/// The end of something, in bytes from the start of the piece that it ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) at: usize,
    /// A frame, or what should have been one.
    pub(crate) is_frame: bool,
    /// A request that is answered, or an answer.
    pub(crate) is_paired: bool,
}

impl Cutter {
    pub(crate) fn new(direction: Direction) -> Self {
        let (requests, answers) = (Limits::server().max_payload, Limits::client().max_payload);
        match direction {
            Direction::Out => {
                Self::Out(Box::new(Side { decoder: Decoder::new(requests).boundaries_only(), position: 0 }))
            }
            Direction::In => Self::In(Box::new(Side { decoder: Decoder::new(answers).boundaries_only(), position: 0 })),
        }
    }

    /// Whether the stream is between two frames.
    pub(crate) fn is_between(&self) -> bool {
        match self {
            Self::Out(side) => side.decoder.partial().is_none(),
            Self::In(side) => side.decoder.partial().is_none(),
        }
    }

    /// Takes the next bytes of the stream; tells of the ends in them, in order.
    pub(crate) fn take(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>) {
        match self {
            Self::Out(side) => side.take(bytes, cuts, |_| true),
            Self::In(side) => side.take(bytes, cuts, |status| status != Status::Push),
        }
    }
}

impl<H: StartLine> Side<H> {
    fn take(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>, is_paired: impl Fn(H) -> bool) {
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
            cuts.push(Cut { at: at.min(bytes.len()), is_frame, is_paired });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_where_they_end_however_they_come() {
        let stream = b"LIST\r\n \nHOST\r\n{}LIST\n";
        let mut whole = Vec::new();
        Cutter::new(Direction::Out).take(stream, &mut whole);
        let ends: Vec<(usize, bool)> = whole.iter().map(|cut| (cut.at, cut.is_frame)).collect();
        assert_eq!(ends, [(6, true), (8, false), (16, true), (21, true)]);

        let (mut cutter, mut single) = (Cutter::new(Direction::Out), Vec::new());
        for (position, byte) in stream.chunks(1).enumerate() {
            let mut cuts = Vec::new();
            cutter.take(byte, &mut cuts);
            single.extend(cuts.into_iter().map(|cut| (position + cut.at, cut.is_frame)));
        }
        // White space ends where the next frame begins, which is known one byte later.
        assert_eq!(single, [(6, true), (8, false), (16, true), (21, true)]);
        assert!(cutter.is_between());
    }

    #[test]
    fn a_frame_that_arrives_takes_no_memory_however_large_it_is() {
        let (mut cutter, mut cuts) = (Cutter::new(Direction::In), Vec::new());
        cutter.take(b"OK\r\n{\"message_history\": \"", &mut cuts);
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..1000 {
            cutter.take(&piece, &mut cuts);
            let Cutter::In(side) = &cutter else { panic!("another direction") };
            assert_eq!(side.decoder.kept(), 0);
        }
        assert_eq!((cuts.len(), cutter.is_between()), (0, false));
        cutter.take(b"\"}OK\r\n{}", &mut cuts);
        let ends: Vec<usize> = cuts.iter().map(|cut| cut.at).collect();
        assert_eq!(ends, [2, 8]);
    }

    #[test]
    fn pushes_are_no_answers() {
        let mut cuts = Vec::new();
        Cutter::new(Direction::In).take(b"MESSAGE\r\n{}OK\r\n{}OK\r\n{", &mut cuts);
        let paired: Vec<bool> = cuts.iter().map(|cut| cut.is_paired).collect();
        assert_eq!(paired, [false, true]);
    }
}
