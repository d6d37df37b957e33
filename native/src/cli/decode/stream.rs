//! The bytes of one direction, frame by frame.

use std::io::{self, Read, Write};

use chanwire_core::Limits;
use chanwire_inspect::{Capture, Direction, Filter, Listing, Row, RowKind, visible};

use super::{Outcome, Trouble, fill};

/// Bytes held where frames are searched: more than the largest frame, twice.
const HELD: usize = 256 << 20;

/// Settings for reading and showing a stream.
pub(super) struct Stream<'a> {
    pub(super) direction: Direction,
    pub(super) max_payload: Option<usize>,
    pub(super) filter: Option<&'a Filter>,
    pub(super) json: bool,
    pub(super) with_secrets: bool,
}

/// Makes rows of bytes.
enum Rows<'a> {
    /// Each as it comes; nothing is kept.
    All(Box<Listing>),
    /// Rows that pass a filter.
    Some { capture: Box<Capture>, direction: Direction, filter: &'a Filter, next: u64, with_secrets: bool },
}

impl Stream<'_> {
    /// Prints each frame when it is there. So many bytes are read already.
    pub(super) fn decode(
        &self,
        input: &mut dyn Read,
        mut bytes: Vec<u8>,
        mut count: usize,
        out: &mut dyn Write,
    ) -> Result<Outcome, Trouble> {
        let mut rows = self.rows();
        let mut outcome = Outcome::Done;
        loop {
            rows.feed(bytes.get(..count).unwrap_or_default());
            while let Some(row) = rows.next() {
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

    fn rows(&self) -> Rows<'_> {
        let Some(filter) = self.filter else {
            return Rows::All(Box::new(Listing::new(self.direction, self.max_payload).with_secrets(self.with_secrets)));
        };
        let (request, answer) = (Limits::server().max_payload, Limits::client().max_payload);
        let mut capture = Box::new(Capture::new(HELD));
        capture.open_with(1, "", self.max_payload.unwrap_or(request), self.max_payload.unwrap_or(answer));
        Rows::Some { capture, direction: self.direction, filter, next: 1, with_secrets: self.with_secrets }
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

impl Rows<'_> {
    /// Takes what was read; nothing is the end.
    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::All(listing) if bytes.is_empty() => listing.finish(),
            Self::All(listing) => listing.feed(bytes),
            Self::Some { capture, direction, .. } if bytes.is_empty() => capture.end(1, *direction, 0.0),
            Self::Some { capture, direction, next, .. } => {
                capture.release(*next);
                capture.bytes(1, *direction, 0.0, bytes);
            }
        }
    }

    fn next(&mut self) -> Option<Row> {
        match self {
            Self::All(listing) => listing.next_row(),
            Self::Some { capture, filter, next, with_secrets, .. } => {
                let found = capture.entries(*next, capture.end_number()).find(|entry| filter.matches(entry));
                let number = found.map(|entry| entry.number());
                *next = number.map_or(capture.end_number(), |number| number + 1);
                capture.describe_for(number?, *with_secrets)
            }
        }
    }
}
