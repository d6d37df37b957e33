//! The import of a hex dump whose blocks are packets, or the two directions of one connection.

use super::{
    ImportOptions, ReadError, Sink, Summary,
    container::Container,
    detect::{packets_of, stream_of},
    hex::{Dump, Part, Reader},
    link,
    packet::Packet,
    packets::Packets,
};
use crate::{Direction, Time};

/// The largest piece of a stream that is recorded at once, in bytes.
const MAX_PIECE: usize = 64 << 10;

/// The largest packet in bytes.
const MAX_PACKET: usize = 1 << 20;

/// An incremental import of a dump.
#[derive(Debug)]
pub(super) struct DumpImport {
    reader: Reader,
    blocks: Blocks,
}

/// The meaning of the blocks, with the state of their import.
#[derive(Debug)]
enum Blocks {
    Packets(Box<PacketBlocks>),
    Stream(StreamBlocks),
}

/// The import of blocks that are packets.
#[derive(Debug)]
struct PacketBlocks {
    packets: Packets,
    /// The link type of packets whose own cannot be guessed.
    link_type: i32,
    packet: Vec<u8>,
    time: Time,
}

/// The import of blocks that are the two directions of a connection.
#[derive(Debug)]
struct StreamBlocks {
    /// The direction of the blocks that are indented like the first one.
    first: Direction,
    first_indented: bool,
    direction: Direction,
    /// Bytes in `direction` that are not recorded yet.
    buffer: Vec<u8>,
    /// Whether there were bytes from the client and from the server.
    seen: [bool; 2],
}

impl DumpImport {
    /// Creates the import of a dump whose beginning, already parsed, is `first`.
    pub(super) fn new(first: &Dump, options: ImportOptions, sink: &mut dyn Sink) -> Self {
        let reader = Reader::new(first.syntax);
        if let Some(link_type) = packets_of(first).and_then(|link_types| link_types.first().copied()) {
            let packets = Packets::new(Container::Pcap, options);
            let blocks = PacketBlocks { packets, link_type, packet: Vec::new(), time: Time::UNKNOWN };
            return Self { reader, blocks: Blocks::Packets(Box::new(blocks)) };
        }
        let direction = options.direction.or(stream_of(first).1).unwrap_or(Direction::Out);
        sink.open(1, Time::UNKNOWN, "", "");
        let blocks = StreamBlocks {
            first: direction,
            first_indented: first.blocks.first().is_some_and(|block| block.indented),
            direction,
            buffer: Vec::new(),
            seen: [false; 2],
        };
        Self { reader, blocks: Blocks::Stream(blocks) }
    }

    /// Returns the number of bytes of text that were fed and not parsed so far.
    pub(super) fn waiting(&self) -> usize {
        self.reader.waiting()
    }

    /// Reads the next bytes of the text.
    pub(super) fn feed(&mut self, text: &[u8], sink: &mut dyn Sink) -> Result<(), ReadError> {
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
    pub(super) fn finish(self, sink: &mut dyn Sink, summary: &mut Summary) -> Result<(), ReadError> {
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
    /// Records the rest of the current block.
    fn end_block(&mut self, sink: &mut dyn Sink) {
        match self {
            Self::Packets(blocks) => blocks.end_packet(sink),
            Self::Stream(blocks) => blocks.flush(1, sink),
        }
    }

    /// Handles the start of a block, or bytes of it.
    fn take(&mut self, part: Part<'_>, sink: &mut dyn Sink) -> Result<(), ReadError> {
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
                blocks.buffer.extend_from_slice(bytes);
                blocks.flush(MAX_PIECE, sink);
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
        let link_type = link::guess(&self.packet).unwrap_or(self.link_type);
        self.packets.take(&Packet { time: self.time, ..Packet::new(link_type, &self.packet) }, sink);
        self.packet.clear();
    }
}

impl StreamBlocks {
    /// Records the buffer in pieces of at most [`MAX_PIECE`] bytes, while it has at least `least` bytes.
    fn flush(&mut self, least: usize, sink: &mut dyn Sink) {
        let mut start = 0;
        while self.buffer.len() - start >= least {
            let rest = self.buffer.get(start..).unwrap_or_default();
            let piece = rest.get(..MAX_PIECE).unwrap_or(rest);
            sink.bytes(1, self.direction, Time::UNKNOWN, piece);
            start += piece.len();
        }
        if start > 0 {
            let [out, r#in] = &mut self.seen;
            *(if self.direction == Direction::Out { out } else { r#in }) = true;
            self.buffer.drain(..start);
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
