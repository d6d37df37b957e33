//! A capture of connections, row by row.

use std::io::{Read, Write};

use chanwire_inspect::{
    Capture, Direction, Entry, Filter, JsonLinesWriter, RowKind,
    import::{CaptureImport, ImportOptions},
};

use super::{Outcome, Trouble, fill};
use crate::logging;

/// Bytes held of connections: more than one read can complete.
const HELD: usize = 256 << 20;

/// The rows that are shown, and their form.
pub(super) struct Shown<'a> {
    pub(super) filter: Option<&'a Filter>,
    pub(super) json: bool,
    pub(super) with_secrets: bool,
}

/// Prints the rows of a capture as they are complete, and at the end, for people, what it was.
pub(super) fn decode(
    input: &mut dyn Read,
    mut bytes: Vec<u8>,
    mut count: usize,
    options: ImportOptions,
    Shown { filter, json, with_secrets }: Shown<'_>,
    out: &mut dyn Write,
) -> Result<Outcome, Trouble> {
    let mut import = CaptureImport::new(options, 0);
    let mut rows = Rows {
        filter,
        lines: json.then(|| JsonLinesWriter::new().with_secrets(with_secrets)),
        next: 1,
        has_faults: false,
    };
    let mut capture = Capture::new(HELD);
    let read = loop {
        if count == 0 {
            let read = import.finish(&mut capture);
            rows.print(&capture, &[], out)?;
            break read;
        }
        let fed = import.feed(bytes.get(..count).unwrap_or_default(), &mut capture);
        let marks = import.take_marks();
        rows.print(&capture, &marks, out)?;
        capture.release(rows.next);
        if let Err(error) = fed {
            break Err(error);
        }
        count = fill(input, &mut bytes)?;
    };
    out.flush().map_err(Trouble::Write)?;
    let summary = read.map_err(|error| Trouble::Import(error.to_string()))?;
    // A script gets lines alone, and notes on what they lack.
    if !json || summary.lacks() {
        let all = if summary.passed_over > 0 && !options.everything { " (--all shows them)" } else { "" };
        logging::say(&format!("{summary}{all}"));
    }
    Ok(match (summary.cut || summary.unproven, rows.has_faults) {
        (true, _) => Outcome::Cut,
        (false, true) => Outcome::Refused,
        (false, false) => Outcome::Done,
    })
}

struct Rows<'a> {
    filter: Option<&'a Filter>,
    lines: Option<JsonLinesWriter>,
    /// The number of the next row.
    next: u64,
    has_faults: bool,
}

impl Rows<'_> {
    fn print(&mut self, capture: &Capture, marks: &[u64], out: &mut dyn Write) -> Result<(), Trouble> {
        let end = capture.end_number();
        let mut text = Vec::new();
        if let (Some(lines), Some(origin)) = (&mut self.lines, capture.origin()) {
            lines.set_origin(origin);
        }
        for entry in capture.entries(self.next, end) {
            if self.filter.is_some_and(|filter| !filter.matches(&entry)) {
                continue;
            }
            // An error answer is no fault, if it is one as it should be.
            self.has_faults |= entry.is_bad() && entry.describe().fault.is_some();
            match &mut self.lines {
                Some(lines) => lines.row(capture, &entry, marks.contains(&entry.number()), &mut text),
                None => line(capture, &entry, &mut text),
            }
        }
        self.next = end;
        out.write_all(&text).map_err(Trouble::Write)
    }
}

/// Formats a row for people: number, time in seconds, connection, direction, fault mark, head, round trip, length
/// and what it says. A fault has its place on a second line.
fn line(capture: &Capture, entry: &Entry<'_>, out: &mut Vec<u8>) {
    let way = match (entry.kind(), entry.direction()) {
        (RowKind::Note, _) => "--",
        (_, Direction::Out) => "->",
        (_, Direction::In) => "<-",
    };
    let mark = if entry.is_bad() {
        '!'
    } else if entry.kind() == RowKind::Skipped {
        '-'
    } else {
        ' '
    };
    let took = entry.rtt().map(|rtt| format!("{rtt:.1}ms")).unwrap_or_default();
    let length = if entry.length() > 0 { entry.length().to_string() } else { String::new() };
    let time = if entry.is_timed() { format!("{:.6}", entry.time() / 1000.0) } else { String::new() };
    let before = format!("{:>7} {time:>12} {:>5} {way}", entry.number(), format!("#{}", entry.connection()));
    let row = format!("{before} {mark} {:<13} {took:>9} {length:>6} {}", entry.head(), entry.summary());
    out.extend_from_slice(row.trim_end().as_bytes());
    out.push(b'\n');
    let fault = capture.describe(entry.number()).and_then(|row| row.fault);
    if let Some((fault, at)) = fault.as_ref().and_then(|fault| Some((fault, fault.at?))) {
        let at = at - capture.position(entry);
        let after = if fault.closes { "; a server closes the connection here" } else { "" };
        let place = format!("{:1$} {mark} at byte {at} of the frame{after}\n", "", before.chars().count());
        out.extend_from_slice(place.as_bytes());
    }
}
