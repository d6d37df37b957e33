//! Recorded traffic as packets that Wireshark and tshark read.
//!
//! The bytes are real and the packets are not: each piece of a stream becomes a TCP segment with sequence numbers that
//! follow from the recorded positions, after a handshake and before a FIN or a reset, so that a stream can be followed
//! and a gap shows as segments that were not captured.

use std::{collections::BTreeMap, net::SocketAddr};

use etherparse::TcpHeader;

use super::packet::{endpoints, packet};
use crate::{Capture, Direction, Entry, RowKind, Time, capture::HALF_CLOSED};

/// Packets begin with their IP header.
const LINK_RAW: u16 = 101;

/// The most bytes of a stream that one packet carries.
const SEGMENT: usize = 32 << 10;

/// The longest comment of one packet, in bytes.
const MAX_COMMENT: usize = 1024;

/// With this begins the comment of a packet before which traffic is missing: an import need not wait for it.
pub(crate) const GAP: &str = "missing before this: ";

/// With this begins the comment of a connection's last packet that says why it is over.
pub(crate) const OVER: &str = "the connection is over: ";

/// With this begins what a file says of the program that wrote it.
pub(crate) const WRITER: &str = "chanwire ";

/// The subject of a gap of one direction.
const MISSING: &str = "missing";

/// Writes a pcapng file.
///
/// Every event is appended to a buffer as whole blocks, so the buffer may be taken at any time.
#[derive(Debug, Default)]
pub struct PcapNg {
    out: Vec<u8>,
    /// Connections that are not over.
    connections: BTreeMap<u32, Connection>,
    with_secrets: bool,
}

/// A connection that was opened.
#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    server: SocketAddr,
    out: Way,
    back: Way,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Way {
    /// The next sequence number.
    next: u32,
    ended: bool,
    /// A gap that rows reported, and the position at which the direction goes on.
    missing: Option<(String, u64)>,
    /// A comment for the next packet.
    comment: Option<String>,
    /// The position of the next row if none is missing.
    expected: u64,
}

impl Connection {
    const fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Out => &self.out,
            Direction::In => &self.back,
        }
    }

    const fn way_mut(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.back,
        }
    }
}

impl PcapNg {
    /// Begins a file: its header is in the buffer.
    #[must_use]
    pub fn new() -> Self {
        let mut file = Self::default();
        // Version 1.0, and a section of unspecified length.
        let mut header = Vec::new();
        header.extend(0x1a2b_3c4d_u32.to_le_bytes());
        header.extend([1, 0, 0, 0]);
        header.extend((-1_i64).to_le_bytes());
        option(&mut header, 4, format!("{WRITER}{}", env!("CARGO_PKG_VERSION")).as_bytes());
        option(&mut header, 0, &[]);
        file.block(0x0a0d_0d0a, &header);
        let mut interface = Vec::new();
        interface.extend(LINK_RAW.to_le_bytes());
        interface.extend([0, 0]);
        interface.extend(0_u32.to_le_bytes());
        option(&mut interface, 2, b"chanwire");
        // Times are in nanoseconds.
        option(&mut interface, 9, &[9]);
        option(&mut interface, 0, &[]);
        file.block(1, &interface);
        file
    }

    /// Takes the bytes that were written since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Returns the number of bytes that wait to be taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Returns whether no bytes wait to be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Returns whether a connection was opened and is not over.
    #[must_use]
    pub fn has(&self, connection: u32) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Opens a connection by three packets. Addresses that are not known are made up from its number; of two families,
    /// IPv4 is written as mapped IPv6.
    pub fn open(
        &mut self,
        connection: u32,
        time: impl Into<Time>,
        client: Option<SocketAddr>,
        server: Option<SocketAddr>,
    ) {
        let time = time.into();
        let (client, server) = endpoints(connection, client, server);
        // Each connection starts somewhere else, as real ones do.
        let start = 1_000_u32.wrapping_mul(connection.wrapping_add(1));
        let way = |next| Way { next, ..Way::default() };
        let opened = Connection { client, server, out: way(start), back: way(start ^ 0x8000_0000) };
        self.connections.insert(connection, opened);
        self.packet(connection, Direction::Out, time, &[], Flags::Syn, &[]);
        self.packet(connection, Direction::In, time, &[], Flags::SynAck, &[]);
        self.packet(connection, Direction::Out, time, &[], Flags::Ack, &[]);
    }

    /// Writes bytes of one direction, with a comment on the first packet of them.
    pub fn bytes(
        &mut self,
        connection: u32,
        direction: Direction,
        time: impl Into<Time>,
        bytes: &[u8],
        comment: Option<&str>,
    ) {
        let time = time.into();
        let gap = self.take_comment(connection, direction);
        let comment = match (gap, comment) {
            (Some(gap), Some(comment)) => Some(format!("{gap}; {comment}")),
            (Some(gap), None) => Some(gap),
            (None, comment) => comment.map(str::to_owned),
        };
        let mut notes: &[&str] = &comment.as_deref().map_or_else(Vec::new, |comment| vec![comment]);
        for piece in bytes.chunks(SEGMENT) {
            self.packet(connection, direction, time, piece, Flags::Push, notes);
            notes = &[];
        }
    }

    /// Records a gap of this length in one direction; 0 if the length is unknown.
    pub fn gap(&mut self, connection: u32, direction: Direction, bytes: u64, text: &str) {
        let Some(way) = self.way_mut(connection, direction) else { return };
        // One byte stands for a number that is not known.
        let missing = u32::try_from(bytes.max(1)).unwrap_or(u32::MAX).min(1 << 29);
        way.next = way.next.wrapping_add(missing);
        way.comment.get_or_insert_with(|| format!("{GAP}{text}"));
    }

    fn way_mut(&mut self, connection: u32, direction: Direction) -> Option<&mut Way> {
        self.connections.get_mut(&connection).map(|opened| opened.way_mut(direction))
    }

    fn take_comment(&mut self, connection: u32, direction: Direction) -> Option<String> {
        self.way_mut(connection, direction)?.comment.take()
    }

    /// Ends one direction.
    pub fn end(&mut self, connection: u32, direction: Direction, time: impl Into<Time>) {
        if !self.has_ended(connection, direction) {
            self.last(connection, direction, time.into(), Flags::Fin, None);
        }
    }

    /// Returns whether a direction has ended.
    fn has_ended(&self, connection: u32, direction: Direction) -> bool {
        self.connections.get(&connection).is_none_or(|opened| opened.way(direction).ended)
    }

    /// Closes the connection: ends each direction that has not ended, or resets it from the one given. The reason is a
    /// comment on its last packet.
    pub fn close(&mut self, connection: u32, time: impl Into<Time>, reset: Option<Direction>, reason: Option<&str>) {
        let time = time.into();
        if !self.has(connection) {
            return;
        }
        let reason = reason.map(|reason| format!("{OVER}{reason}"));
        match reset {
            Some(direction) => {
                // A gap before a reset is written before it as well.
                for side in [Direction::Out, Direction::In] {
                    self.say_missing(connection, side);
                }
                self.last(connection, direction, time, Flags::Reset, reason.as_deref());
            }
            None => {
                let [out, back] = [Direction::Out, Direction::In].map(|side| !self.has_ended(connection, side));
                if out {
                    let reason = reason.as_deref().filter(|_| !back);
                    self.last(connection, Direction::Out, time, Flags::Fin, reason);
                }
                if back {
                    self.last(connection, Direction::In, time, Flags::Fin, reason.as_deref());
                }
            }
        }
        self.drop_connection(connection);
    }

    /// Drops the state of a connection without further rows.
    pub fn drop_connection(&mut self, connection: u32) {
        self.connections.remove(&connection);
    }

    /// Writes the last packet of a direction, after a gap in it.
    fn last(&mut self, connection: u32, direction: Direction, time: Time, flags: Flags, reason: Option<&str>) {
        self.say_missing(connection, direction);
        let gap = self.take_comment(connection, direction);
        let notes: Vec<&str> = gap.as_deref().into_iter().chain(reason).collect();
        self.packet(connection, direction, time, &[], flags, &notes);
    }

    /// Leaves room for a gap that rows reported, up to the position at which the direction goes on.
    fn say_missing(&mut self, connection: u32, direction: Direction) {
        let Some(way) = self.way_mut(connection, direction) else { return };
        let expected = way.expected;
        if let Some((text, position)) = way.missing.take() {
            self.gap(connection, direction, position.saturating_sub(expected), &text);
        }
    }

    /// Writes the passwords and tokens of AUTH, which are masked otherwise in [rows](Self::row).
    #[must_use]
    pub fn with_secrets(self, with_secrets: bool) -> Self {
        Self { with_secrets, ..self }
    }

    /// Writes a row of a capture whose times count from `origin`, since 1970. Its fault and its mark become a comment,
    /// and missing traffic before it a gap.
    pub fn row(&mut self, capture: &Capture, entry: &Entry<'_>, origin: impl Into<Time>, is_marked: bool) {
        // Packets have a time, also where what they carry has none.
        let origin = Time::from_nanoseconds(origin.into().nanoseconds().unwrap_or_default());
        let (connection, time) = (entry.connection(), origin.plus(entry.time()));
        if !self.has(connection) {
            let (client, server) = addresses(capture.label(connection).unwrap_or_default());
            let first = entry.reads().first().map_or(entry.time(), |read| read.time);
            self.open(connection, origin.plus(first), client, server);
        }
        match entry.kind() {
            RowKind::Frame | RowKind::Fault | RowKind::Skipped => {
                let direction = entry.direction();
                let position = capture.position(entry);
                let Some(way) = self.way_mut(connection, direction) else { return };
                let (expected, said) = (way.expected, way.missing.take());
                way.expected = position.saturating_add(entry.length() as u64);
                if position > expected || said.is_some() {
                    let text = said.map_or_else(|| "rows that are not exported".to_owned(), |(text, _)| text);
                    self.gap(connection, direction, position.saturating_sub(expected), &text);
                }
                let mut comment = comment(entry, is_marked);
                let row = entry.bytes_for(self.with_secrets);
                for read in entry.reads() {
                    let bytes = row.get(read.start..read.end).unwrap_or_default();
                    self.bytes(connection, direction, origin.plus(read.time), bytes, comment.take().as_deref());
                }
            }
            RowKind::Gap => {
                let text = entry.note().unwrap_or_default();
                let both = entry.head() != MISSING;
                let directions = [Direction::Out, Direction::In].into_iter();
                for direction in directions.filter(|direction| both || *direction == entry.direction()) {
                    // A gap of unknown length shows in the next row's position.
                    let position = if both { 0 } else { capture.position(entry) };
                    let Some(way) = self.way_mut(connection, direction) else { return };
                    let (_, end) = way.missing.get_or_insert_with(|| (text.into(), 0));
                    *end = position.max(*end);
                }
            }
            RowKind::Note if entry.is_closed() => {
                let reason = entry.note().unwrap_or_default();
                let by = if reason.contains("client") { Direction::Out } else { Direction::In };
                // A failure is written as a reset, as the client saw it.
                let reset = (entry.is_bad() || reason.contains("reset")).then_some(by);
                self.close(connection, time, reset, Some(reason));
            }
            RowKind::Note if entry.head() == HALF_CLOSED => {
                let is_server = entry.note().is_some_and(|text| text.starts_with("the server"));
                let (direction, other) =
                    if is_server { (Direction::In, Direction::Out) } else { (Direction::Out, Direction::In) };
                // The last packet of all says why the connection is over, which is not known yet.
                if !self.has_ended(connection, other) {
                    self.end(connection, direction, time);
                }
            }
            RowKind::Note => {}
        }
    }

    fn packet(&mut self, connection: u32, from: Direction, time: Time, bytes: &[u8], flags: Flags, notes: &[&str]) {
        let Some(Connection { client, server, out, back }) = self.connections.get_mut(&connection) else { return };
        let (source, destination, way, other) = match from {
            Direction::Out => (*client, *server, out, back),
            Direction::In => (*server, *client, back, out),
        };
        let (sequence, acknowledged) = (way.next, other.next);
        let mut tcp = TcpHeader::new(source.port(), destination.port(), sequence, 65_535);
        tcp.syn = matches!(flags, Flags::Syn | Flags::SynAck);
        tcp.fin = flags == Flags::Fin;
        tcp.rst = flags == Flags::Reset;
        tcp.psh = flags == Flags::Push;
        tcp.ack = flags != Flags::Syn;
        tcp.acknowledgment_number = if tcp.ack { acknowledged } else { 0 };
        let counted = bytes.len() as u32 + u32::from(tcp.syn || tcp.fin);
        way.next = way.next.wrapping_add(counted);
        way.ended |= tcp.fin;
        let Some(packet) = packet(source, destination, tcp, bytes) else { return };
        let mut block = Vec::with_capacity(packet.len() + 64);
        let nanoseconds = time.nanoseconds().unwrap_or_default().max(0).cast_unsigned();
        let length = packet.len() as u32;
        for word in [0, (nanoseconds >> 32) as u32, nanoseconds as u32, length, length] {
            block.extend(word.to_le_bytes());
        }
        block.extend_from_slice(&packet);
        pad(&mut block);
        for note in notes {
            let end = note.floor_char_boundary(MAX_COMMENT);
            option(&mut block, 1, note.get(..end).unwrap_or_default().as_bytes());
        }
        if !notes.is_empty() {
            option(&mut block, 0, &[]);
        }
        self.block(6, &block);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = (body.len() + 12) as u32;
        self.out.extend(kind.to_le_bytes());
        self.out.extend(length.to_le_bytes());
        self.out.extend_from_slice(body);
        self.out.extend(length.to_le_bytes());
    }
}

/// Returns the client and the server in a connection's label: `A to B`, or the server alone, each with `tls://` in
/// front where that side was encrypted.
fn addresses(label: &str) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let address = |side: &str| side.strip_prefix("tls://").unwrap_or(side).parse().ok();
    match label.split_once(" to ") {
        Some((client, server)) => (address(client), address(server)),
        None => (None, address(label)),
    }
}

fn comment(entry: &Entry<'_>, is_marked: bool) -> Option<String> {
    let fault = entry.is_bad().then(|| {
        let row = entry.describe();
        match row.fault.and_then(|fault| fault.at) {
            Some(at) => format!("{} (at byte {at} of the frame)", row.summary),
            None => row.summary,
        }
    });
    match (is_marked, fault) {
        (true, Some(fault)) => Some(format!("marked; {fault}")),
        (true, None) => Some("marked".into()),
        (false, fault) => fault,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flags {
    Syn,
    SynAck,
    Ack,
    Push,
    Fin,
    Reset,
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    block.extend_from_slice(value);
    pad(block);
}

/// Pads a block to a multiple of four bytes, at which everything in it starts.
fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_side_keeps_its_address_in_packets() {
        let address = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        let sides = (address("192.0.2.7:5"), address("[::1]:6"));
        for label in ["192.0.2.7:5 to [::1]:6", "tls://192.0.2.7:5 to [::1]:6", "tls://192.0.2.7:5 to tls://[::1]:6"] {
            assert_eq!(addresses(label), sides, "{label}");
        }
        assert_eq!(addresses("tls://[::1]:6"), (None, sides.1));
        assert_eq!(addresses("tls://chat.example:1"), (None, None));
    }
}
