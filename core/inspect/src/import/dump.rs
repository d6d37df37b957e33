//! The import of a dump: its blocks are packets, or the two sides of one connection.

use super::{
    ImportOptions, Sink, Summary, Wrong,
    container::Container,
    detect::{packets_of, stream_of},
    hex::{Dump, Part, Reader},
    link,
    packet::Packet,
    packets::Packets,
};
use crate::{Direction, Time};

/// Bytes of a stream are recorded in pieces of this size.
const PIECE: usize = 64 << 10;

/// The longest packet that is read from a dump, in bytes.
const MAX_PACKET: usize = 1 << 20;

/// A dump that is imported as its text comes.
#[derive(Debug)]
pub(super) struct DumpImport {
    reader: Reader,
    blocks: Blocks,
}

#[derive(Debug)]
enum Blocks {
    Packets(Box<PacketBlocks>),
    Stream(StreamBlocks),
}

/// Blocks that are packets.
#[derive(Debug)]
struct PacketBlocks {
    packets: Packets,
    /// The kind of link of a packet that does not tell its own.
    link: i32,
    packet: Vec<u8>,
    time: Time,
}

/// Blocks that are what the two ends of a connection sent.
#[derive(Debug)]
struct StreamBlocks {
    /// The direction of blocks with the indentation of the first one.
    first: Direction,
    first_indented: bool,
    direction: Direction,
    waiting: Vec<u8>,
    /// Whether anything was sent: requests, and answers.
    seen: [bool; 2],
}

impl DumpImport {
    /// Begins the dump whose first part, or all of it, is `first`.
    pub(super) fn begin(first: &Dump, options: ImportOptions, sink: &mut dyn Sink) -> Self {
        let reader = Reader::new(first.syntax);
        if let Some(link) = packets_of(first).and_then(|links| links.first().copied()) {
            let packets = Packets::new(Container::Pcap, options);
            let blocks = PacketBlocks { packets, link, packet: Vec::new(), time: Time::UNKNOWN };
            return Self { reader, blocks: Blocks::Packets(Box::new(blocks)) };
        }
        let direction = options.direction.or(stream_of(first).1).unwrap_or(Direction::Out);
        sink.open(1, Time::UNKNOWN, "", "");
        let blocks = StreamBlocks {
            first: direction,
            first_indented: first.blocks.first().is_some_and(|block| block.indented),
            direction,
            waiting: Vec::new(),
            seen: [false; 2],
        };
        Self { reader, blocks: Blocks::Stream(blocks) }
    }

    /// Returns the number of bytes of text that were fed and are not read yet.
    pub(super) fn waiting(&self) -> usize {
        self.reader.waiting()
    }

    /// Reads the next bytes of the text.
    pub(super) fn feed(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), Wrong> {
        let Self { reader, blocks } = self;
        let mut taken = Ok(());
        let read = reader.feed(text, &mut |part| {
            if taken.is_ok() {
                taken = blocks.take(part, sink);
            }
        });
        let read = taken.and(read);
        if read.is_err() {
            blocks.end_block(sink);
        }
        read
    }

    /// Ends the dump.
    pub(super) fn finish(self, sink: &mut dyn Sink, summary: &mut Summary) -> Result<(), Wrong> {
        let Self { reader, mut blocks } = self;
        let mut taken = Ok(());
        let read = reader.finish(&mut |part| {
            if taken.is_ok() {
                taken = blocks.take(part, sink);
            }
        });
        blocks.end_block(sink);
        taken.and(read)?;
        match blocks {
            Blocks::Packets(mut blocks) => blocks.packets.finish(sink, summary),
            Blocks::Stream(mut blocks) => {
                blocks.finish(sink);
                Ok(())
            }
        }
    }
}

impl Blocks {
    /// Records the part of the last block that came.
    fn end_block(&mut self, sink: &mut dyn Sink) {
        match self {
            Self::Packets(blocks) => blocks.end_packet(sink),
            Self::Stream(blocks) => blocks.flush(1, sink),
        }
    }

    fn take(&mut self, part: Part<'_>, sink: &mut dyn Sink) -> Result<(), Wrong> {
        if let Part::Block { .. } = part {
            self.end_block(sink);
        }
        match (self, part) {
            (Self::Packets(blocks), Part::Block { time, .. }) => blocks.time = time,
            (Self::Packets(blocks), Part::Bytes(bytes)) => {
                blocks.packet.extend_from_slice(bytes);
                if blocks.packet.len() > MAX_PACKET {
                    return Err(format!("a packet of more than {MAX_PACKET} bytes is not read").into());
                }
            }
            (Self::Stream(blocks), Part::Block { indented, .. }) => {
                blocks.direction = match (blocks.first, indented == blocks.first_indented) {
                    (first, true) => first,
                    (Direction::Out, false) => Direction::In,
                    (Direction::In, false) => Direction::Out,
                };
            }
            (Self::Stream(blocks), Part::Bytes(bytes)) => {
                blocks.waiting.extend_from_slice(bytes);
                blocks.flush(PIECE, sink);
            }
        }
        Ok(())
    }
}

impl PacketBlocks {
    fn end_packet(&mut self, sink: &mut dyn Sink) {
        if self.packet.is_empty() {
            return;
        }
        // After the first packet, one that tells no link of its own may be any packet.
        let link = link::guess(&self.packet).unwrap_or(self.link);
        self.packets.take(&Packet { time: self.time, ..Packet::new(link, &self.packet) }, sink);
        self.packet.clear();
    }
}

impl StreamBlocks {
    /// Records bytes that wait, in pieces of at most [`PIECE`], while there are so many.
    fn flush(&mut self, least: usize, sink: &mut dyn Sink) {
        let mut start = 0;
        while self.waiting.len() - start >= least {
            let rest = self.waiting.get(start..).unwrap_or_default();
            let piece = rest.get(..PIECE).unwrap_or(rest);
            sink.bytes(1, self.direction, Time::UNKNOWN, piece);
            start += piece.len();
        }
        if start > 0 {
            let [out, r#in] = &mut self.seen;
            *(if self.direction == Direction::Out { out } else { r#in }) = true;
            self.waiting.drain(..start);
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink) {
        for (direction, seen) in [Direction::Out, Direction::In].into_iter().zip(self.seen) {
            if seen {
                sink.end(1, direction, Time::UNKNOWN);
            }
        }
        sink.close(1, Time::UNKNOWN, "the dump ends", false);
    }
}
