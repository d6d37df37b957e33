//! `chanwire decode`

use std::{
    fs::{File, Metadata},
    io::{self, Read, Write},
    path::PathBuf,
};

use chanwire_inspect::{
    Direction, Filter,
    import::{Format, ImportOptions, is_clear, preview},
};
use clap::{Args, ValueEnum};

use super::{Failure, Outcome, filter, progress::Watched};
use crate::logging;

mod capture;
mod stream;

/// The most bytes of one read.
const READ: usize = 64 * 1024;

/// Show the frames in a recorded stream or capture, and their faults
#[derive(Debug, Args)]
#[command(after_long_help = help())]
pub(super) struct Decode {
    /// A capture in any form that is listed below; `-` or nothing for standard input
    file: Option<PathBuf>,

    /// The direction of raw bytes, or of a dump of them
    #[arg(long, value_name = "DIRECTION", default_value = "auto")]
    direction: Which,

    /// Show only what passes this filter, such as 'err || cmd == HOST'
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,

    /// Show every TCP connection of packets, also those that do not look like the protocol
    #[arg(long)]
    all: bool,

    /// The largest payload of raw bytes of one direction [default: 65536 for requests, 67108864 for responses]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_payload: Option<u32>,

    /// Show passwords and tokens, which are masked otherwise
    #[arg(long)]
    with_secrets: bool,

    /// Print each frame as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Help on the output, for `--help`.
pub(super) const COLUMNS: &str = "\
Columns for the bytes of one direction:
  offset, length, kind, start line, summary
Columns for everything else:
  number, seconds since the first event, connection, direction, kind,
  start line, round trip of an answer, length, summary
Kind: ! a fault or an error answer, - skipped bytes, blank for other frames.
The position of a fault follows on a separate line.

With --json, a line for each frame:
  for the bytes of one direction: kind, direction, span, head, summary, fields
    with their spans; for a fault its error, details and position (at)
  for everything else the format of `tap --write FILE.jsonl`: a line for each
    connection, and rows with their bytes (text or base64), time and pair
  Gaps in the capture are reported on standard error.

Exit codes:
  0  no fault
  1  the input cannot be read or is truncated; the rows before are printed
  2  the command line is wrong, or an option does not fit the file
  3  a shown row has a fault";

/// The forms of captures that are read, for `--help`.
const FORMS: &str = "\
Formats, detected from the content:
  packets      pcap and pcapng, on Ethernet, loopback, Linux cooked (any), raw
               IP, PPP, PPPoE, MPLS and Cisco HDLC; through VLAN, MPLS, PPPoE,
               IP in IP, GRE, ERSPAN, EtherIP, VXLAN, Geneve and GTP-U
  rows         JSON Lines of tap --write and of the inspector, and its tests
  raw bytes    of one direction
  dumps        xxd (-b -e -g -c -p -i), hexdump (-C -b -d -o -x), od (bytes and
               words in any base: -t x1 x2 x4 x8 o1 d1 u1 ..., also -t x1c; -A
               d o x n), tcpdump -x and -X, tshark -x, Wireshark's hex dump,
               hex stream, C arrays and followed streams
  literals     Python b'...' and bytearray, C and Go strings, \\x4c escapes,
               $'...' of a shell, Go %#v, Node.js <Buffer ...> and its JSON,
               lists of bytes in base 10 or 16
  around them  gzip; UTF-8 with a byte order mark; UTF-16
Other archives, and dumps that are ambiguous (od -c, hexdump -c), are refused by
name. A literal, list or array may have 64 MiB of text; all other forms are read
as a stream of any size.";

const PROGRESS: &str = "\
Progress is shown on standard error while reading takes long, if that is a
terminal and standard output is not.";

fn help() -> String {
    format!("{FORMS}\n\n{COLUMNS}\n\n{PROGRESS}\n\n{}", filter::HELP)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Detect it from the first bytes; requests if that fails
    Auto,
    /// The stream of a client
    Requests,
    /// The stream of a server
    Responses,
}

impl Decode {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let filter = self.filter.as_deref().map(filter::parse).transpose()?;
        let mut input: Box<dyn Read> = match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => {
                let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
                let size = file.metadata().ok().filter(Metadata::is_file).map(|file| file.len());
                Box::new(Watched::new(file, size))
            }
            _ => Box::new(Watched::new(io::stdin(), None)),
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        let decoded = self.decode(&mut input, filter.as_ref(), &mut out);
        match decoded.and_then(|outcome| out.flush().map_err(Trouble::Write).map(|()| outcome)) {
            Ok(outcome) => Ok(outcome),
            // A reader that closes standard output has seen enough.
            Err(Trouble::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
            Err(Trouble::Write(error)) => Err(format!("cannot print the frames: {error}").into()),
            Err(Trouble::Read(error)) => Err(format!("cannot read {}: {error}", self.source()).into()),
            Err(Trouble::Usage(reason)) => Err(Failure::usage(reason)),
            Err(Trouble::Import(reason)) => Err(format!("cannot read {}: {reason}", self.source()).into()),
        }
    }

    fn source(&self) -> String {
        self.file.as_ref().map_or_else(|| "standard input".into(), |path| path.display().to_string())
    }

    fn decode(&self, input: &mut dyn Read, filter: Option<&Filter>, out: &mut dyn Write) -> Result<Outcome, Trouble> {
        let mut bytes = vec![0; READ];
        let mut count = 0;
        // A pipe may give less than is needed to detect the form.
        while count < READ && !is_clear(bytes.get(..count).unwrap_or_default()) {
            match fill(input, bytes.get_mut(count..).unwrap_or_default())? {
                0 => break,
                more => count += more,
            }
        }
        let first = bytes.get(..count).unwrap_or_default();
        let seen = preview(first);
        if let Some(words) = seen.refusal {
            return Err(Trouble::Import(words));
        }
        self.refuse_what_does_not_apply(seen.format)?;
        if seen.format != Format::Raw || seen.compressed {
            let (direction, max_payload) = (self.direction.given(), self.max_payload());
            let options = ImportOptions { everything: self.all, direction, max_payload };
            let shown = capture::Shown { filter, json: self.json, with_secrets: self.with_secrets };
            return capture::decode(input, bytes, count, options, shown, out);
        }
        if let Some(path) = self.file.as_deref().filter(|_| self.direction == Which::Auto && !seen.recognised) {
            // It may be another file than the user wanted.
            let path = path.display();
            if first.is_empty() {
                logging::say(&format!("{path} is empty"));
            } else {
                logging::say(&format!(
                    "{path} is no pcap, pcapng, JSON Lines or hex dump, and does not look like the protocol; it is \
                     read as what a client sent"
                ));
            }
        }
        let direction = self.direction.given().or(seen.direction).unwrap_or(Direction::Out);
        let (max_payload, json, with_secrets) = (self.max_payload(), self.json, self.with_secrets);
        stream::Stream { direction, max_payload, filter, json, with_secrets }.decode(input, bytes, count, out)
    }

    fn max_payload(&self) -> Option<usize> {
        self.max_payload.and_then(|bytes| usize::try_from(bytes).ok())
    }

    /// Refuses options that would change nothing.
    fn refuse_what_does_not_apply(&self, format: Format) -> Result<(), Trouble> {
        let has_packets = matches!(format, Format::Pcap | Format::PcapNg | Format::Hex);
        let has_one_direction = matches!(format, Format::Raw | Format::Hex);
        let wrong = if self.all && !has_packets {
            "--all is for the connections of a packet capture"
        } else if self.max_payload.is_some() && format != Format::Raw {
            "--max-payload is for the raw bytes of one direction"
        } else if self.direction != Which::Auto && !has_one_direction {
            "--direction is for the bytes of one direction"
        } else {
            return Ok(());
        };
        Err(Trouble::Usage(format!("{wrong}, and {} is {}; leave the option out", self.source(), named(format))))
    }
}

/// Returns the name of a format in a sentence.
const fn named(format: Format) -> &'static str {
    match format {
        Format::Pcap => "a pcap file",
        Format::PcapNg => "a pcapng file",
        Format::JsonLines => "JSON Lines",
        Format::Hex => "a hex dump",
        Format::Raw => "raw bytes",
    }
}

impl Which {
    const fn given(self) -> Option<Direction> {
        match self {
            Self::Auto => None,
            Self::Requests => Some(Direction::Out),
            Self::Responses => Some(Direction::In),
        }
    }
}

/// Which end failed.
enum Trouble {
    Read(io::Error),
    Write(io::Error),
    /// The capture cannot be understood.
    Import(String),
    /// An option does not fit what there is to decode.
    Usage(String),
}

/// Reads once; returns 0 at the end.
fn fill(input: &mut dyn Read, bytes: &mut [u8]) -> Result<usize, Trouble> {
    loop {
        match input.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(Trouble::Read),
        }
    }
}
