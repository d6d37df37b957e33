//! Captures that are made up, and a sink that remembers.

use std::collections::{BTreeMap, BTreeSet};

use chanwire_inspect::{
    Direction, Time,
    import::{Import, ImportError, ImportOptions, Sink, Summary},
};
use etherparse::{PacketBuilder, TcpHeader};

pub(crate) const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
pub(crate) const SERVER: ([u8; 4], u16) = ([192, 0, 2, 9], 22_236);

/// Everything that was reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Imported {
    /// One line for each event, bytes as text.
    pub(crate) events: Vec<String>,
    /// The bytes of each direction; a gap is written `[n missing]`.
    pub(crate) streams: BTreeMap<(u32, Direction), Vec<u8>>,
    /// The number of bytes that were reported.
    pub(crate) bytes: u64,
    /// The directions that have ended, and connections that are over: nothing follows of them.
    ended: BTreeSet<(u32, Option<Direction>)>,
}

impl Imported {
    pub(crate) fn stream(&self, connection: u32, direction: Direction) -> String {
        self.streams
            .get(&(connection, direction))
            .map(|bytes| String::from_utf8_lossy(bytes).into())
            .unwrap_or_default()
    }

    fn add(&mut self, connection: u32, direction: Direction, bytes: &[u8]) {
        self.streams.entry((connection, direction)).or_default().extend_from_slice(bytes);
    }
}

impl Sink for Imported {
    fn open(&mut self, connection: u32, _: Time, client: &str, server: &str) {
        self.events.push(format!("{connection} open {client} {server}"));
    }

    fn bytes(&mut self, connection: u32, direction: Direction, _: Time, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "an event without bytes");
        self.events.push(format!("{connection} {direction} {}", bytes.escape_ascii()));
        self.add(connection, direction, bytes);
        self.bytes += bytes.len() as u64;
        assert!(!self.ended.contains(&(connection, Some(direction))), "bytes after the end: {:#?}", self.events);
        assert!(!self.ended.contains(&(connection, None)), "bytes after the connection: {:#?}", self.events);
    }

    fn gap(&mut self, connection: u32, direction: Direction, _: Time, bytes: u64, text: &str) {
        self.events.push(format!("{connection} {direction} gap {bytes} {text}"));
        self.add(connection, direction, format!("[{bytes} missing]").as_bytes());
    }

    fn end(&mut self, connection: u32, direction: Direction, _: Time) {
        self.events.push(format!("{connection} {direction} end"));
    }

    fn shut_down(&mut self, connection: u32, direction: Direction, _: Time) {
        self.events.push(format!("{connection} {direction} shut down"));
        assert!(self.ended.insert((connection, Some(direction))), "ended twice: {:#?}", self.events);
    }

    fn close(&mut self, connection: u32, _: Time, reason: &str, bad: bool) {
        self.events.push(format!("{connection} close {reason}{}", if bad { "!" } else { "" }));
        assert!(self.ended.insert((connection, None)), "closed twice: {:#?}", self.events);
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.events.push(format!("line {}", line.escape_ascii()));
        Ok(())
    }
}

/// Reads a capture that comes in pieces of these sizes, over and over.
pub(crate) fn read_in(
    capture: &[u8],
    sizes: &[usize],
    options: ImportOptions,
) -> (Imported, Result<Summary, ImportError>) {
    let mut imported = Imported::default();
    let mut import = Import::new(options);
    let mut rest = capture;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*size).clamp(1, rest.len()));
        if let Err(error) = import.feed(piece, &mut imported) {
            return (imported, Err(error));
        }
        rest = more;
    }
    let summary = import.finish(&mut imported);
    (imported, summary)
}

pub(crate) fn read(capture: &[u8]) -> (Imported, Summary) {
    let (imported, summary) = read_in(capture, &[usize::MAX], ImportOptions::default());
    (imported, summary.expect("the capture can be read"))
}

/// A TCP segment of a connection between [`CLIENT`] and [`SERVER`], as an IPv4 packet.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) from: Direction,
    pub(crate) sequence: u32,
    pub(crate) acknowledges: Option<u32>,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) bytes: Vec<u8>,
    pub(crate) port: u16,
}

impl Segment {
    pub(crate) fn new(from: Direction, sequence: u32, bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self { from, sequence, acknowledges: Some(0), syn: false, fin: false, reset: false, bytes, port: CLIENT.1 }
    }

    pub(crate) fn syn(from: Direction, sequence: u32) -> Self {
        let acknowledges = (from == Direction::In).then_some(0);
        Self { syn: true, acknowledges, ..Self::new(from, sequence, b"") }
    }

    pub(crate) fn fin(from: Direction, sequence: u32) -> Self {
        Self { fin: true, ..Self::new(from, sequence, b"") }
    }

    /// Returns the same segment of a connection whose numbers are so much larger.
    pub(crate) fn moved(self, by: u32) -> Self {
        let acknowledges = self.acknowledges.map(|sequence| sequence.wrapping_add(by));
        Self { sequence: self.sequence.wrapping_add(by), acknowledges, ..self }
    }

    fn tcp(&self) -> TcpHeader {
        let (source, destination) = self.ports();
        let mut tcp = TcpHeader::new(source, destination, self.sequence, 1024);
        (tcp.syn, tcp.fin, tcp.rst) = (self.syn, self.fin, self.reset);
        tcp.ack = self.acknowledges.is_some();
        tcp.acknowledgment_number = self.acknowledges.unwrap_or_default();
        tcp
    }

    fn ports(&self) -> (u16, u16) {
        if self.from == Direction::Out { (self.port, SERVER.1) } else { (SERVER.1, self.port) }
    }

    pub(crate) fn ipv4(&self) -> Vec<u8> {
        let (a, b) = if self.from == Direction::Out { (CLIENT.0, SERVER.0) } else { (SERVER.0, CLIENT.0) };
        let mut packet = Vec::new();
        PacketBuilder::ipv4(a, b, 64).tcp_header(self.tcp()).write_to_vec(&mut packet, &self.bytes).unwrap();
        packet
    }

    pub(crate) fn ipv6(&self) -> Vec<u8> {
        let (mut a, mut b) = ([0; 16], [0; 16]);
        (a[15], b[15]) = if self.from == Direction::Out { (1, 9) } else { (9, 1) };
        let mut packet = Vec::new();
        PacketBuilder::ipv6(a, b, 64).tcp_header(self.tcp()).write_to_vec(&mut packet, &self.bytes).unwrap();
        packet
    }
}

/// Writes a pcap file of these packets, a millisecond apart.
pub(crate) fn pcap(link: u32, packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut file = header(link);
    for (index, packet) in packets.into_iter().enumerate() {
        record(&mut file, index as u32, &packet, packet.len() as u32);
    }
    file
}

pub(crate) fn header(link: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(u32::to_le_bytes(word));
    }
    file
}

pub(crate) fn record(file: &mut Vec<u8>, milliseconds: u32, packet: &[u8], length: u32) {
    let microseconds = milliseconds % 1000 * 1000;
    for word in [1_700_000_000 + milliseconds / 1000, microseconds, packet.len() as u32, length] {
        file.extend(word.to_le_bytes());
    }
    file.extend_from_slice(packet);
}

/// Returns a connection with these bytes, each direction as one segment.
pub(crate) fn talk(out: &[u8], back: &[u8]) -> Vec<Segment> {
    use Direction::{In, Out};
    let (a, b) = (100, 5000);
    let (a_end, b_end) = (a + 1 + out.len() as u32, b + 1 + back.len() as u32);
    let with = |segment: Segment, acknowledges| Segment { acknowledges: Some(acknowledges), ..segment };
    vec![
        Segment::syn(Out, a),
        with(Segment::syn(In, b), a + 1),
        with(Segment::new(Out, a + 1, out), b + 1),
        with(Segment::new(In, b + 1, back), a_end),
        with(Segment::fin(Out, a_end), b_end),
        with(Segment::fin(In, b_end), a_end + 1),
    ]
}
