//! Captures that somebody else made: a file's or a paste's bytes in, what its connections carried out.
//!
//! [`Import`] takes the bytes in pieces of any size and tells a [`Sink`] what it finds as soon as it can. Nothing here
//! reads a file or a clock. Whatever the bytes are, memory is bounded and the work is linear in them; what cannot be
//! read ends in an [`ImportError`] that says where.

mod connections;
mod container;
mod hex;
mod lines;
mod link;
mod pcapng;
mod record;
mod summary;
mod tcp;
mod unpack;

use std::fmt;

use self::{
    connections::Connections,
    container::{Container, Packet, Step},
    hex::{Dump, Piece},
    lines::Lines,
    link::{Content, PacketKind, link_name},
    unpack::{Ending, Unwrapper, Wrapping},
};
pub use self::{
    record::CaptureImport,
    summary::{OtherPackets, Summary},
};
use crate::{Direction, Time, guess_direction};

/// How many bytes are looked at to tell what they are.
pub const PREVIEW: usize = 64 << 10;

/// The longest text that can be read as a hex dump, in bytes.
pub const MAX_DUMP: usize = hex::MAX_TEXT;

/// What a capture tells, in the order in which it passed. Connections are numbered from 1. Times count from 1970, or from
/// midnight where the capture tells no date, and are unknown where it tells none.
pub trait Sink {
    /// A connection begins.
    fn open(&mut self, connection: u32, time: Time, client: &str, server: &str);
    /// Bytes of one read or one segment.
    fn bytes(&mut self, connection: u32, direction: Direction, time: Time, bytes: &[u8]);
    /// Bytes are missing here: so many, or 0 where it is not known. What comes next may begin inside a frame.
    fn gap(&mut self, connection: u32, direction: Direction, time: Time, bytes: u64, text: &str);
    /// One direction has ended: nothing more of it is known.
    fn end(&mut self, connection: u32, direction: Direction, time: Time);
    /// One direction was ended by whoever sends it.
    fn shut_down(&mut self, connection: u32, direction: Direction, time: Time);
    /// The connection is over. `bad` when it was not meant to end so.
    fn close(&mut self, connection: u32, time: Time, reason: &str, bad: bool);
    /// A line of JSON, as the inspector writes rows: it says everything itself.
    ///
    /// # Errors
    /// Why it is no such line.
    fn line(&mut self, line: &[u8]) -> Result<(), String>;
}

/// What is to be known before reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Show every TCP connection, also those that do not look like the protocol.
    pub everything: bool,
    /// The direction of raw bytes and of dumps of them; detected from the bytes where it is not given.
    pub direction: Option<Direction>,
    /// The largest payload in bytes without addresses: raw ones or a dump of them. The protocol's limits where it is
    /// not given.
    pub max_payload: Option<usize>,
}

/// Why a capture cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The position in the capture at which reading stopped.
    pub at: u64,
    /// What is wrong there, and what can be done.
    pub message: String,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl std::error::Error for ImportError {}

/// What is wrong, and where if it is not at the front.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wrong {
    at: Option<u64>,
    message: String,
}

impl Wrong {
    fn at(mut self, place: u64) -> Self {
        self.at.get_or_insert(place);
        self
    }
}

impl<S: Into<String>> From<S> for Wrong {
    fn from(message: S) -> Self {
        Self { at: None, message: message.into() }
    }
}

/// The forms that a capture can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The older container of packets, as `tcpdump -w` writes it.
    Pcap,
    /// The newer container of packets, as Wireshark writes it.
    PcapNg,
    /// Rows as the inspector writes them.
    JsonLines,
    /// A dump in hexadecimal digits.
    Hex,
    /// The bytes of one direction.
    Raw,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
            Self::JsonLines => "JSON Lines",
            Self::Hex => "hex dump",
            Self::Raw => "raw bytes",
        })
    }
}

/// What a capture seems to be, by its first bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The form it is read as.
    pub format: Format,
    /// Whether the bytes look like the protocol. Of packets it is not known before they are read.
    pub recognised: bool,
    /// Which direction the bytes are, where they are one and tell it.
    pub direction: Option<Direction>,
    /// In words, for the person who opened it.
    pub words: String,
    /// The first bytes that were found in a dump or are raw.
    pub bytes: Vec<u8>,
    /// It is compressed.
    pub compressed: bool,
    /// Why it cannot be read, and what can be done.
    pub refusal: Option<String>,
}

/// Reads one capture.
#[derive(Debug)]
pub struct Import {
    options: ImportOptions,
    reader: Reader,
    /// What was fed and is not used up: less than one packet, block or line, or a text that is read as a whole.
    rest: Vec<u8>,
    /// Where the rest starts.
    at: u64,
}

#[derive(Debug)]
enum Reader {
    /// Too little is there to tell.
    Unknown,
    Packets(Box<Packets>),
    Lines(Lines),
    /// A dump is read as a whole.
    Dump,
    Raw(Direction),
    Wrapped(Box<Wrapped>),
}

/// A capture inside of something else.
#[derive(Debug)]
struct Wrapped {
    wrapping: Wrapping,
    unwrapper: Unwrapper,
    inner: Import,
}

#[derive(Debug)]
struct Packets {
    container: Container,
    connections: Connections,
    /// The time of the last packet that has one.
    time: Time,
    packets: u64,
    other: OtherPackets,
}

impl Import {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(options: ImportOptions) -> Self {
        Self { options, reader: Reader::Unknown, rest: Vec::new(), at: 0 }
    }

    /// Takes the next bytes and tells what they complete.
    ///
    /// # Errors
    /// When they cannot be read. What was told before stays true; nothing more can be fed.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), ImportError> {
        if matches!(self.reader, Reader::Unknown) {
            self.rest.extend_from_slice(bytes);
            let is_clear = Container::detect(&self.rest).is_some() || Wrapping::of(&self.rest) == Some(Wrapping::Gzip);
            if is_clear || self.rest.len() >= PREVIEW {
                self.begin(sink)?;
            }
            return Ok(());
        }
        if self.rest.is_empty() {
            let used = self.read(bytes, sink)?;
            self.rest.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        self.rest.extend_from_slice(bytes);
        self.read_rest(sink)
    }

    /// There are no more bytes: tells what is left.
    ///
    /// # Errors
    /// When the bytes cannot be read as anything.
    pub fn finish(mut self, sink: &mut dyn Sink) -> Result<Summary, ImportError> {
        if matches!(self.reader, Reader::Unknown) {
            self.begin(sink)?;
        }
        let format = self.format().unwrap_or(Format::Raw);
        let mut summary = Summary::new(format, !self.rest.is_empty());
        match &mut self.reader {
            Reader::Packets(packets) => {
                packets.finish(sink, &mut summary);
                if let Some(link) = packets.other.link.filter(|_| summary.connections == 0) {
                    let message = format!(
                        "the packets are of link type {link}{}, which is not understood; capture on an Ethernet, \
                         loopback or `any` interface",
                        link_name(link)
                    );
                    return Err(ImportError { at: self.at, message });
                }
            }
            Reader::Lines(lines) => {
                summary.connections = 0;
                // Whoever wrote it did not come to the line's end.
                let is_begun = ends_inside(&self.rest);
                summary.cut = match lines.read(&self.rest, true, sink) {
                    Err(_) if is_begun => true,
                    read => read.map(|_| false).map_err(|wrong| self.error(&wrong))?,
                };
            }
            Reader::Dump => {
                summary.cut = false;
                self.dump(sink, &mut summary)?;
            }
            Reader::Raw(direction) => {
                sink.end(1, *direction, Time::UNKNOWN);
                sink.close(1, Time::UNKNOWN, "the file ends", false);
            }
            Reader::Unknown => summary.connections = 0,
            Reader::Wrapped(_) => return self.finish_wrapped(sink),
        }
        Ok(summary)
    }

    /// How many bytes were taken in and are not read yet, so that a caller can tell how far it is.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match &self.reader {
            // Of what is compressed it is not known how much of the file it was.
            Reader::Wrapped(wrapped) if wrapped.wrapping != Wrapping::Gzip => wrapped.inner.waiting(),
            _ => self.rest.len(),
        }
    }

    /// What the capture is, once that is known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        match &self.reader {
            Reader::Unknown => None,
            Reader::Packets(packets) if packets.container.name() == "pcap" => Some(Format::Pcap),
            Reader::Packets(_) => Some(Format::PcapNg),
            Reader::Lines(_) => Some(Format::JsonLines),
            Reader::Dump => Some(Format::Hex),
            Reader::Raw(_) => Some(Format::Raw),
            Reader::Wrapped(wrapped) => wrapped.inner.format(),
        }
    }

    /// The first bytes, or all there are, are in the rest: decides what they are.
    fn begin(&mut self, sink: &mut dyn Sink) -> Result<(), ImportError> {
        if let Some(words) = unpack::foreign(&self.rest) {
            return Err(self.error(&format!("this is {words}").into()));
        }
        if let Some(wrapping) = Wrapping::of(&self.rest) {
            let (unwrapper, inner) = (wrapping.unwrapper(), Self::new(self.options));
            self.reader = Reader::Wrapped(Box::new(Wrapped { wrapping, unwrapper, inner }));
            return self.read_rest(sink);
        }
        let (format, direction) = detect(&self.rest);
        self.reader = match format {
            Format::Pcap | Format::PcapNg => match Container::detect(&self.rest) {
                Some(container) => Reader::Packets(Box::new(Packets::new(container, self.options))),
                None => Reader::Unknown,
            },
            Format::JsonLines => Reader::Lines(Lines::default()),
            Format::Hex => Reader::Dump,
            // An empty file has no connection.
            Format::Raw if self.rest.is_empty() => Reader::Unknown,
            Format::Raw => {
                let direction = self.options.direction.or(direction).unwrap_or(Direction::Out);
                sink.open(1, Time::UNKNOWN, "", "");
                Reader::Raw(direction)
            }
        };
        self.read_rest(sink)
    }

    fn read_rest(&mut self, sink: &mut dyn Sink) -> Result<(), ImportError> {
        let rest = std::mem::take(&mut self.rest);
        let read = self.read(&rest, sink);
        self.rest = rest;
        self.rest.drain(..read?);
        Ok(())
    }

    /// Reads what it can of bytes that start at the position; gives how many it used.
    fn read(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<usize, ImportError> {
        let used = match &mut self.reader {
            Reader::Packets(packets) => {
                let (used, result) = packets.read(bytes, sink);
                self.at += used as u64;
                return result.map(|()| used).map_err(|wrong| self.error(&wrong));
            }
            Reader::Lines(lines) => lines.read(bytes, false, sink).map_err(|wrong| self.error(&wrong))?,
            Reader::Dump if bytes.len() > hex::MAX_TEXT => {
                return Err(self.error(&format!("a hex dump of more than {} bytes is not read", hex::MAX_TEXT).into()));
            }
            Reader::Raw(direction) => {
                if !bytes.is_empty() {
                    sink.bytes(1, *direction, Time::UNKNOWN, bytes);
                }
                bytes.len()
            }
            Reader::Wrapped(wrapped) => {
                let Wrapped { wrapping, unwrapper, inner } = &mut **wrapped;
                let end = self.at + bytes.len() as u64;
                let fed = unwrapper.feed::<Failed>(bytes, |bytes| Ok(inner.feed(bytes, sink)?));
                fed.map_err(|failed| failed.outside(*wrapping, end))?;
                bytes.len()
            }
            Reader::Dump | Reader::Unknown => 0,
        };
        self.at += used as u64;
        Ok(used)
    }

    fn finish_wrapped(self, sink: &mut dyn Sink) -> Result<Summary, ImportError> {
        let end = self.at;
        let Reader::Wrapped(wrapped) = self.reader else { return Ok(Summary::new(Format::Raw, false)) };
        let Wrapped { wrapping, unwrapper, mut inner } = *wrapped;
        let finished = unwrapper.finish::<Failed>(|bytes| Ok(inner.feed(bytes, sink)?));
        let ending = finished.map_err(|failed| failed.outside(wrapping, end))?;
        let summary = inner.finish(sink).map_err(|error| Failed::from(error).outside(wrapping, end))?;
        Ok(Summary {
            cut: summary.cut || ending == Ending::Cut,
            unproven: ending == Ending::Unproven,
            compressed: wrapping == Wrapping::Gzip,
            ..summary
        })
    }

    fn dump(&mut self, sink: &mut dyn Sink, summary: &mut Summary) -> Result<(), ImportError> {
        let text = String::from_utf8_lossy(&self.rest);
        let dump = match hex::parse(&text) {
            Some(Ok(dump)) => dump,
            Some(Err(wrong)) => return Err(self.error(&wrong)),
            None => return Err(self.error(&"from here on this is no hex dump any more".into())),
        };
        if let Some(links) = packets_of(&dump) {
            let mut packets = Packets::new(Container::Pcap, self.options);
            for (piece, link) in dump.blocks.iter().zip(links) {
                packets.take(&Packet { time: piece.time, ..Packet::new(link, &piece.bytes) }, sink);
            }
            packets.finish(sink, summary);
            return Ok(());
        }
        let first = self.options.direction.or(stream_of(&dump).1).unwrap_or(Direction::Out);
        sink.open(1, Time::UNKNOWN, "", "");
        let sides = sides(&dump, first);
        for (piece, direction) in dump.blocks.iter().zip(&sides) {
            sink.bytes(1, *direction, Time::UNKNOWN, &piece.bytes);
        }
        for direction in [Direction::Out, Direction::In] {
            if sides.contains(&direction) {
                sink.end(1, direction, Time::UNKNOWN);
            }
        }
        sink.close(1, Time::UNKNOWN, "the dump ends", false);
        Ok(())
    }

    fn error(&self, wrong: &Wrong) -> ImportError {
        ImportError { at: self.at + wrong.at.unwrap_or(0), message: wrong.message.clone() }
    }
}

/// Why a wrapped capture could not be read: for what stands around it or for itself.
enum Failed {
    Around(Wrong),
    Inside(ImportError),
}

impl From<Wrong> for Failed {
    fn from(wrong: Wrong) -> Self {
        Self::Around(wrong)
    }
}

impl From<ImportError> for Failed {
    fn from(error: ImportError) -> Self {
        Self::Inside(error)
    }
}

impl Failed {
    /// The error with its place in the file, of which so much was fed.
    fn outside(self, wrapping: Wrapping, end: u64) -> ImportError {
        match (self, wrapping) {
            (Self::Around(wrong), _) => ImportError { at: end, message: wrong.message },
            (Self::Inside(error), Wrapping::Gzip) => {
                let message = format!("at byte {} of what is compressed: {}", error.at, error.message);
                ImportError { at: end, message }
            }
            (Self::Inside(error), _) => ImportError { at: wrapping.place(error.at).min(end), ..error },
        }
    }
}

impl Packets {
    fn new(container: Container, options: ImportOptions) -> Self {
        Self {
            container,
            connections: Connections::new(options.everything),
            time: Time::UNKNOWN,
            packets: 0,
            other: OtherPackets::default(),
        }
    }

    /// Reads whole packets; gives how many bytes they had.
    fn read(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> (usize, Result<(), Wrong>) {
        let mut used = 0;
        loop {
            match self.container.step(bytes.get(used..).unwrap_or_default()) {
                Ok(Step::Read(length, packet)) => {
                    if let Some(packet) = packet {
                        self.take(&packet, sink);
                    }
                    used += length;
                }
                Ok(Step::Incomplete) => return (used, Ok(())),
                Err(wrong) => return (used, Err(wrong)),
            }
        }
    }

    fn take(&mut self, packet: &Packet<'_>, sink: &mut dyn Sink) {
        self.packets += 1;
        self.time = self.time.max(packet.time);
        match link::content(packet) {
            Content::Tcp { from, to, segment } => {
                if self.container.is_own() {
                    self.connections.show_all();
                }
                let over = packet.over.as_deref();
                self.connections.take(packet.time, (from, to), &segment, over, sink);
            }
            Content::Other(kind) => {
                self.other.count(kind);
                if kind == PacketKind::Link {
                    self.other.link = Some(packet.link);
                }
            }
        }
    }

    fn finish(&mut self, sink: &mut dyn Sink, summary: &mut Summary) {
        summary.add(&self.connections.finish(self.time, sink));
        summary.packets = self.packets;
        summary.other = self.other;
        summary.broken_blocks = self.container.broken();
    }
}

/// Whether it is clear from these first bytes what a capture is, whatever follows.
#[must_use]
pub fn is_clear(bytes: &[u8]) -> bool {
    if let Some(wrapping) = Wrapping::of(bytes) {
        return is_clear(&wrapping.unwrap_first(bytes));
    }
    Container::detect(bytes).is_some() || lines::detect(bytes) || guess_direction(bytes).is_some()
}

/// Tells from the first bytes what a capture is.
#[must_use]
pub fn preview(bytes: &[u8]) -> Preview {
    let first = bytes.get(..PREVIEW).unwrap_or(bytes);
    if let Some(wrapping) = Wrapping::of(first) {
        let inner = preview(&wrapping.unwrap_first(first));
        let compressed = inner.compressed || wrapping == Wrapping::Gzip;
        let words =
            if wrapping == Wrapping::Gzip { format!("{}, compressed by gzip", inner.words) } else { inner.words };
        return Preview { compressed, words, ..inner };
    }
    let (format, direction) = detect(first);
    let plain = |recognised, words: String, bytes| Preview {
        format,
        recognised,
        direction,
        words,
        bytes,
        compressed: false,
        refusal: None,
    };
    if let Some(words) = unpack::foreign(first) {
        let refusal = Some(format!("it is {words}"));
        return Preview { refusal, ..plain(false, capital(words.into()), Vec::new()) };
    }
    match format {
        Format::Pcap => plain(true, "A pcap file".into(), Vec::new()),
        Format::PcapNg => plain(true, "A pcapng file".into(), Vec::new()),
        Format::JsonLines => plain(true, "Rows that the inspector exported".into(), Vec::new()),
        Format::Hex => match dump_of(first) {
            Some(Ok(dump)) => {
                let form = dump.form.words();
                let found: usize = dump.blocks.iter().map(|piece| piece.bytes.len()).sum();
                if packets_of(&dump).is_some() {
                    let packets = dump.blocks.len();
                    let s = if packets == 1 { "" } else { "s" };
                    return plain(
                        true,
                        format!("A packet dump: {packets} packet{s}, {found} bytes in {form}"),
                        Vec::new(),
                    );
                }
                let (bytes, direction) = stream_of(&dump);
                let told = told(direction);
                let words = format!("{found} bytes in {form}, {told}");
                Preview { direction, ..plain(direction.is_some(), capital(words), bytes) }
            }
            Some(Err(wrong)) => {
                let at = wrong.at.unwrap_or(0);
                plain(false, format!("A hex dump that cannot be read: at byte {at}, {}", wrong.message), Vec::new())
            }
            None => plain(false, "Not known".into(), Vec::new()),
        },
        Format::Raw if first.is_empty() => plain(false, "Nothing: it is empty".into(), Vec::new()),
        Format::Raw => {
            let more = if bytes.len() > first.len() { "more than " } else { "" };
            let ends = match direction {
                Some(_) if has_bare_line_ends(first) => "; its lines end with a bare LF, as nothing but text would",
                _ => "",
            };
            let words = format!("{more}{} raw bytes, {}{ends}", first.len(), told(direction));
            plain(direction.is_some(), capital(words), first.to_vec())
        }
    }
}

fn told(direction: Option<Direction>) -> &'static str {
    match direction {
        Some(Direction::Out) => "what a client sent",
        Some(Direction::In) => "what a server sent",
        None => "which do not look like the protocol",
    }
}

fn capital(mut words: String) -> String {
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn has_bare_line_ends(bytes: &[u8]) -> bool {
    bytes.contains(&b'\n') && !bytes.windows(2).any(|pair| pair == b"\r\n")
}

/// What the first bytes are, and which direction if they are one.
fn detect(first: &[u8]) -> (Format, Option<Direction>) {
    if let Some(container) = Container::detect(first) {
        return (if container.name() == "pcap" { Format::Pcap } else { Format::PcapNg }, None);
    }
    if lines::detect(first) {
        return (Format::JsonLines, None);
    }
    let guess = guess_direction(first);
    // A dump is text, and none of the protocol's words is one.
    if guess.is_none()
        && let Some(dump) = dump_of(first)
    {
        let direction = dump.ok().and_then(|dump| stream_of(&dump).1);
        return (Format::Hex, direction);
    }
    (Format::Raw, guess)
}

/// Whether a line of JSON ends before its value does.
fn ends_inside(line: &[u8]) -> bool {
    let inside = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|wrong| wrong.is_eof());
    // Half a number is taken for a wrong one.
    inside(line) || inside(&[line, b"0"].concat())
}

/// The dump that starts with these bytes, which may end inside a line.
fn dump_of(first: &[u8]) -> Option<Result<Dump, Wrong>> {
    let whole = if first.len() < PREVIEW {
        first
    } else {
        let end = first.iter().rposition(|byte| *byte == b'\n').unwrap_or(first.len() & !1);
        first.get(..end).unwrap_or(first)
    };
    hex::parse(std::str::from_utf8(whole).ok()?)
}

/// The kinds of links of a dump's blocks, if each of them is a packet.
fn packets_of(dump: &Dump) -> Option<Vec<i32>> {
    if dump.blocks.is_empty() || dump.blocks.iter().any(|piece| piece.indented) {
        return None;
    }
    let first = link::guess(&dump.blocks.first()?.bytes)?;
    // After the first one, what cannot be understood may be any packet.
    Some(dump.blocks.iter().map(|piece| link::guess(&piece.bytes).unwrap_or(first)).collect())
}

/// The bytes of a dump's side that comes first, and which direction that is.
fn stream_of(dump: &Dump) -> (Vec<u8>, Option<Direction>) {
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

/// The direction of each piece, if the first one's is known.
fn sides(dump: &Dump, first: Direction) -> Vec<Direction> {
    let indented = dump.blocks.first().is_some_and(|piece: &Piece| piece.indented);
    let other = if first == Direction::Out { Direction::In } else { Direction::Out };
    dump.blocks.iter().map(|piece| if piece.indented == indented { first } else { other }).collect()
}
