//! `chanwire decode`

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
};

use chanwire_inspect::{
    Direction, Filter, Listing, Row, RowKind, guess_direction,
    import::{Format, ImportOptions, preview},
    visible,
};
use clap::{Args, ValueEnum};

use super::{Failure, Outcome, filter};

mod capture;

/// How much is read at one time.
const READ: usize = 64 * 1024;

#[derive(Debug, Args)]
#[command(after_long_help = filter::HELP)]
pub(super) struct Decode {
    /// The recorded bytes of one direction, a pcap or pcapng file, JSON Lines, or a hex dump; `-` or nothing for
    /// standard input
    file: Option<PathBuf>,

    /// Which direction they are, where they are of one
    #[arg(long, value_name = "DIRECTION", default_value = "auto")]
    direction: Which,

    /// Show only what passes this filter, such as 'err || cmd == HOST'
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,

    /// Show every TCP connection of a capture, also those that do not look like the protocol
    #[arg(long)]
    all: bool,

    /// The largest payload of the bytes of one direction [default: 65536 for requests, 67108864 for responses]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_payload: Option<u32>,

    /// Print each frame as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// As the first bytes tell; requests if they do not
    Auto,
    /// What a client sent
    Requests,
    /// What a server sent
    Responses,
}

impl Decode {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let filter = self.filter.as_deref().map(filter::parse).transpose()?;
        let mut input: Box<dyn Read> = match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => {
                Box::new(File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?)
            }
            _ => Box::new(io::stdin()),
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        let decoded = self.decode(&mut input, filter.as_ref(), &mut out);
        match decoded.and_then(|outcome| out.flush().map_err(Trouble::Write).map(|()| outcome)) {
            Ok(outcome) => Ok(outcome),
            // Somebody who stops reading has seen enough.
            Err(Trouble::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
            Err(Trouble::Write(error)) => Err(format!("cannot print the frames: {error}").into()),
            Err(Trouble::Read(error)) => Err(format!("cannot read {}: {error}", self.source()).into()),
            Err(Trouble::Import(why)) => Err(format!("cannot read {}: {why}", self.source()).into()),
        }
    }

    fn source(&self) -> String {
        self.file.as_ref().map_or_else(|| "standard input".into(), |path| path.display().to_string())
    }

    fn decode(&self, input: &mut dyn Read, filter: Option<&Filter>, out: &mut dyn Write) -> Result<Outcome, Trouble> {
        let mut bytes = vec![0; READ];
        let count = fill(input, &mut bytes)?;
        let first = bytes.get(..count).unwrap_or_default();
        let seen = preview(first);
        let is_stream = self.direction != Which::Auto || seen.format == Format::Raw;
        if let Some(path) =
            self.file.as_deref().filter(|_| self.direction == Which::Auto && is_stream && !seen.recognised)
        {
            // Somebody may have taken another file than they wanted.
            let path = path.display();
            if first.is_empty() {
                eprintln!("{path} is empty");
            } else {
                eprintln!(
                    "{path} is no pcap, pcapng, JSON Lines or hex dump, and does not look like the protocol; it is \
                     read as what a client sent"
                );
            }
        }
        if is_stream && filter.is_none() {
            return self.decode_stream(input, bytes, count, out);
        }
        let direction = match self.direction {
            Which::Auto => None,
            Which::Requests => Some(Direction::Out),
            Which::Responses => Some(Direction::In),
        };
        let options = ImportOptions { everything: self.all, direction };
        capture::decode(input, bytes, count, options, filter, self.json, out)
    }

    /// The bytes of one direction: each frame is printed when it is there, and nothing is kept.
    fn decode_stream(
        &self,
        input: &mut dyn Read,
        mut bytes: Vec<u8>,
        mut count: usize,
        out: &mut dyn Write,
    ) -> Result<Outcome, Trouble> {
        let first = bytes.get(..count).unwrap_or_default();
        let direction = match self.direction {
            Which::Requests => Direction::Out,
            Which::Responses => Direction::In,
            Which::Auto => guess_direction(first).unwrap_or(Direction::Out),
        };
        let max_payload = self.max_payload.and_then(|bytes| usize::try_from(bytes).ok());
        let mut listing = Listing::new(direction, max_payload);
        let mut outcome = Outcome::Done;
        loop {
            if count == 0 {
                listing.finish();
            } else {
                listing.feed(bytes.get(..count).unwrap_or_default());
            }
            while let Some(row) = listing.next_row() {
                if row.fault.is_some() {
                    outcome = Outcome::Refused;
                }
                self.print(&row, out).map_err(Trouble::Write)?;
            }
            if count == 0 {
                return Ok(outcome);
            }
            out.flush().map_err(Trouble::Write)?;
            count = fill(input, &mut bytes)?;
        }
    }

    fn print(&self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, row)?;
            return out.write_all(b"\n");
        }
        let mark = match (&row.fault, row.kind) {
            (Some(_), _) => '!',
            (None, RowKind::Skipped) => '-',
            (None, _) => ' ',
        };
        let head = visible(&row.head);
        let line = format!("{:>10} {:>8} {mark} {head:<13} {}", row.span.start, row.span.len(), row.summary);
        writeln!(out, "{}", line.trim_end())?;
        match row.fault.as_ref().and_then(|fault| Some((fault, fault.at?))) {
            Some((fault, at)) => {
                let after = if fault.closes { "; a server closes the connection here" } else { "" };
                writeln!(out, "{:>10} {:>8} {mark} {:<13} at byte {at}{after}", "", "", "")
            }
            None => Ok(()),
        }
    }
}

/// Which end failed.
enum Trouble {
    Read(io::Error),
    Write(io::Error),
    /// The capture cannot be understood.
    Import(String),
}

/// One read; 0 at the end.
fn fill(input: &mut dyn Read, bytes: &mut [u8]) -> Result<usize, Trouble> {
    loop {
        match input.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(Trouble::Read),
        }
    }
}
