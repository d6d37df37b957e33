//! Captures of other programs: the bytes of a file or a paste go in, the events of its connections come out.
//!
//! [`Import`] takes the bytes in pieces of any size and reports events to a [`Sink`] as soon as it can. Nothing here
//! reads a file or a clock. Memory is bounded and the work is linear for any bytes; a capture that cannot be read ends
//! in an [`ImportError`] that says where.

mod connections;
mod container;
mod detect;
mod dump;
mod encoding;
mod hex;
mod lines;
mod link;
mod packet;
mod packets;
mod pcapng;
mod preview;
mod record;
mod summary;
mod tcp;

use std::fmt;

use self::{
    container::Container,
    detect::{detect, detect_encoding, dump_of},
    dump::DumpImport,
    encoding::{Encoding, EncodingDecoder, Ending},
    lines::{Lines, ends_inside},
    packets::Packets,
};
pub use self::{
    detect::is_clear,
    preview::{Preview, preview},
    record::CaptureImport,
    summary::{OtherPackets, Summary},
};
use crate::{Direction, Time};

/// The most bytes from which the form of a capture is detected.
pub const PREVIEW: usize = 64 << 10;

/// A receiver of a capture's events, in the order in which they happened. Connections are numbered from 1. Times count
/// from 1970, or from midnight where the capture tells no date, and are unknown where it tells none.
pub trait Sink {
    /// Begins a connection.
    fn open(&mut self, connection: u32, time: Time, client: &str, server: &str);
    /// Records the bytes of one read or one segment.
    fn bytes(&mut self, connection: u32, direction: Direction, time: Time, bytes: &[u8]);
    /// Records that bytes are missing here, 0 if the number is unknown. The next bytes may begin inside a
    /// frame.
    fn gap(&mut self, connection: u32, direction: Direction, time: Time, bytes: u64, text: &str);
    /// Ends one direction of which nothing more is known.
    fn end(&mut self, connection: u32, direction: Direction, time: Time);
    /// Ends one direction that its sender has shut down.
    fn shut_down(&mut self, connection: u32, direction: Direction, time: Time);
    /// Ends the connection. `bad` when it was not meant to end so.
    fn close(&mut self, connection: u32, time: Time, reason: &str, bad: bool);
    /// Takes a line of JSON as the inspector writes rows.
    ///
    /// # Errors
    /// Why it is no such line.
    fn line(&mut self, line: &[u8]) -> Result<(), String>;
}

/// Options of an import.
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
    /// The error at that position, and how to mend it.
    pub message: String,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl std::error::Error for ImportError {}

/// An error while reading a capture. A reader that knows the position adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReadError {
    at: Option<u64>,
    message: String,
}

impl ReadError {
    fn at(mut self, position: u64) -> Self {
        self.at.get_or_insert(position);
        self
    }
}

impl<S: Into<String>> From<S> for ReadError {
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

/// Reads one capture.
#[derive(Debug)]
pub struct Import {
    options: ImportOptions,
    reader: Reader,
    /// Bytes that were fed and are not used up: less than one packet, block or line.
    rest: Vec<u8>,
    /// The position of the rest.
    at: u64,
}

#[derive(Debug)]
enum Reader {
    /// Too few bytes came to tell.
    Unknown,
    Packets(Box<Packets>),
    Lines(Lines),
    Dump(Box<DumpImport>),
    Raw(Direction),
    Encoded(Box<Encoded>),
}

/// An encoded capture.
#[derive(Debug)]
struct Encoded {
    encoding: Encoding,
    decoder: EncodingDecoder,
    inner: Import,
}

impl Import {
    /// Begins an import.
    #[must_use]
    pub fn new(options: ImportOptions) -> Self {
        Self { options, reader: Reader::Unknown, rest: Vec::new(), at: 0 }
    }

    /// Takes the next bytes and reports the events that they complete.
    ///
    /// # Errors
    /// When they cannot be read. Events reported before stay true; nothing more can be fed.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), ImportError> {
        if matches!(self.reader, Reader::Unknown) {
            self.rest.extend_from_slice(bytes);
            let is_clear =
                Container::detect(&self.rest).is_some() || Encoding::detect(&self.rest) == Some(Encoding::Gzip);
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

    /// Ends the capture and reports the events that are left.
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
                packets.finish(sink, &mut summary).map_err(|error| self.error(&error))?;
            }
            Reader::Lines(lines) => {
                summary.connections = 0;
                // Its writer did not come to the line's end.
                let is_begun = ends_inside(&self.rest);
                summary.cut = match lines.read(&self.rest, true, sink) {
                    Err(_) if is_begun => true,
                    read => read.map(|_| false).map_err(|error| self.error(&error))?,
                };
            }
            Reader::Raw(direction) => {
                sink.end(1, *direction, Time::UNKNOWN);
                sink.close(1, Time::UNKNOWN, "the file ends", false);
            }
            Reader::Unknown => summary.connections = 0,
            Reader::Dump(_) => return self.finish_dump(summary, sink),
            Reader::Encoded(_) => return self.finish_encoded(sink),
        }
        Ok(summary)
    }

    /// Returns the number of bytes that were fed and are not read yet, so that a caller can show progress.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match &self.reader {
            // The position in a compressed file is unknown.
            Reader::Encoded(encoded) if encoded.encoding != Encoding::Gzip => encoded.inner.waiting(),
            Reader::Dump(dump) => self.rest.len() + dump.waiting(),
            _ => self.rest.len(),
        }
    }

    /// Returns the form of the capture, once that is known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        match &self.reader {
            Reader::Unknown => None,
            Reader::Packets(packets) if packets.container() == "pcap" => Some(Format::Pcap),
            Reader::Packets(_) => Some(Format::PcapNg),
            Reader::Lines(_) => Some(Format::JsonLines),
            Reader::Dump(_) => Some(Format::Hex),
            Reader::Raw(_) => Some(Format::Raw),
            Reader::Encoded(encoded) => encoded.inner.format(),
        }
    }

    /// Decides on the form of the capture: its first bytes, or all of them, are in the rest.
    fn begin(&mut self, sink: &mut dyn Sink) -> Result<(), ImportError> {
        // A fixed number of bytes decides, so that it does not matter how they come.
        let first = self.rest.get(..PREVIEW).unwrap_or(&self.rest);
        if let Some(words) = encoding::unsupported(first) {
            return Err(self.error(&format!("this is {words}").into()));
        }
        if let Some(encoding) = detect_encoding(first) {
            let (decoder, inner) = (encoding.decoder(), Self::new(self.options));
            self.reader = Reader::Encoded(Box::new(Encoded { encoding, decoder, inner }));
            return self.read_rest(sink);
        }
        let (format, direction) = detect(first);
        self.reader = match format {
            Format::Pcap | Format::PcapNg => match Container::detect(first) {
                Some(container) => Reader::Packets(Box::new(Packets::new(container, self.options))),
                None => Reader::Unknown,
            },
            Format::JsonLines => Reader::Lines(Lines::default()),
            Format::Hex => match dump_of(first) {
                Some(Ok(dump)) => Reader::Dump(Box::new(DumpImport::new(&dump, self.options, sink))),
                Some(Err(error)) => return Err(self.error(&error)),
                None => Reader::Unknown,
            },
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

    /// Reads as much as it can of bytes that start at the position; returns the number of bytes used.
    fn read(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> Result<usize, ImportError> {
        let used = match &mut self.reader {
            Reader::Packets(packets) => {
                let (used, result) = packets.read(bytes, sink);
                self.at += used as u64;
                return result.map(|()| used).map_err(|error| self.error(&error));
            }
            Reader::Lines(lines) => lines.read(bytes, false, sink).map_err(|error| self.error(&error))?,
            Reader::Dump(dump) => {
                dump.feed(bytes, sink).map_err(|error| in_dump(error, self.at))?;
                bytes.len()
            }
            Reader::Raw(direction) => {
                if !bytes.is_empty() {
                    sink.bytes(1, *direction, Time::UNKNOWN, bytes);
                }
                bytes.len()
            }
            Reader::Encoded(encoded) => {
                let Encoded { encoding, decoder, inner } = &mut **encoded;
                let end = self.at + bytes.len() as u64;
                let fed = decoder.feed::<EncodedError>(bytes, |bytes| Ok(inner.feed(bytes, sink)?));
                fed.map_err(|error| error.in_file(*encoding, end))?;
                bytes.len()
            }
            Reader::Unknown => 0,
        };
        self.at += used as u64;
        Ok(used)
    }

    fn finish_encoded(self, sink: &mut dyn Sink) -> Result<Summary, ImportError> {
        let end = self.at;
        let Reader::Encoded(encoded) = self.reader else { return Ok(Summary::new(Format::Raw, false)) };
        let Encoded { encoding, decoder, mut inner } = *encoded;
        let finished = decoder.finish::<EncodedError>(|bytes| Ok(inner.feed(bytes, sink)?));
        let ending = finished.map_err(|error| error.in_file(encoding, end))?;
        let summary = inner.finish(sink).map_err(|error| EncodedError::from(error).in_file(encoding, end))?;
        Ok(Summary {
            cut: summary.cut || ending == Ending::Truncated,
            unproven: ending == Ending::Unverified,
            compressed: encoding == Encoding::Gzip,
            ..summary
        })
    }

    fn finish_dump(self, mut summary: Summary, sink: &mut dyn Sink) -> Result<Summary, ImportError> {
        if let Reader::Dump(dump) = self.reader {
            dump.finish(sink, &mut summary).map_err(|error| in_dump(error, self.at))?;
        }
        Ok(summary)
    }

    fn error(&self, error: &ReadError) -> ImportError {
        ImportError { at: self.at + error.at.unwrap_or(0), message: error.message.clone() }
    }
}

/// Converts an error of a dump, whose positions count from the dump's first byte. One without a position is at `here`.
fn in_dump(error: ReadError, here: u64) -> ImportError {
    ImportError { at: error.at.unwrap_or(here), message: error.message }
}

/// An error of a capture's encoding, or of the decoded capture.
enum EncodedError {
    Encoding(ReadError),
    Content(ImportError),
}

impl From<ReadError> for EncodedError {
    fn from(error: ReadError) -> Self {
        Self::Encoding(error)
    }
}

impl From<ImportError> for EncodedError {
    fn from(error: ImportError) -> Self {
        Self::Content(error)
    }
}

impl EncodedError {
    /// Returns the error with its position in the file, of which `end` bytes were fed.
    fn in_file(self, encoding: Encoding, end: u64) -> ImportError {
        match (self, encoding) {
            (Self::Encoding(error), _) => ImportError { at: end, message: error.message },
            (Self::Content(error), Encoding::Gzip) => {
                let message = format!("at byte {} of what is compressed: {}", error.at, error.message);
                ImportError { at: end, message }
            }
            (Self::Content(error), _) => ImportError { at: encoding.file_position(error.at).min(end), ..error },
        }
    }
}
