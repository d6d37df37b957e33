//! Exports of a viewer's capture as files, in parts.

use serde::Deserialize;

use super::Viewer;
use crate::{Direction, Entry, JsonLinesWriter, PcapNg, Time, golden_of};

/// The approximate bytes of a part.
const PART: usize = 4 << 20;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Rows as lines of JSON: nothing is lost.
    JsonL,
    /// The bytes of one direction of one connection.
    Bin,
    /// One connection as a test: see [`golden_of`].
    Test,
    /// Packets.
    PcapNg,
}

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExportScope {
    /// All that are held.
    All,
    /// Those of the view.
    View,
    /// One.
    Row(u64),
}

/// The request for an export.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExportRequest {
    /// As what.
    pub format: ExportFormat,
    /// Which rows.
    pub scope: ExportScope,
    /// Only rows of this connection. Bytes and a test are of one: without it, that of the first row.
    pub connection: Option<u32>,
    /// Only rows of this direction. Bytes are of one: without it, that of the first row.
    pub direction: Option<Direction>,
    /// Whether the passwords and tokens of AUTH are written, which are masked otherwise.
    pub with_secrets: bool,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPart {
    /// The file's name.
    pub name: String,
    /// Its next bytes.
    pub bytes: Vec<u8>,
    /// The cursor of the next part; `None` after the last one.
    pub next: Option<u64>,
}

/// An export that is not done.
#[derive(Debug)]
pub(super) struct Running {
    request: ExportRequest,
    /// The number of the next row to be written, which is also the cursor.
    next: u64,
    /// Rows that come later are not part of it.
    end: u64,
    /// When the capture's times began, since 1970.
    origin: Time,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Lines(JsonLinesWriter),
    Packets(Box<PcapNg>),
    Bytes,
}

impl Viewer {
    /// Returns the first part of a file, or with a cursor that the last part gave, the next one.
    ///
    /// # Errors
    ///
    /// Why there is no such file, or no such part.
    pub fn export(&mut self, request: ExportRequest, cursor: Option<u64>) -> Result<ExportPart, String> {
        let mut running = match cursor {
            None => self.begin_export(request)?,
            Some(cursor) if cursor < self.capture.store().cleared() => {
                self.exporting = None;
                return Err("it was cleared meanwhile; what is written is only the beginning".into());
            }
            Some(cursor) => match self.exporting.take() {
                Some(running) if running.next == cursor && running.request.format == request.format => running,
                _ => return Err("another export was begun since; begin this one again".into()),
            },
        };
        let name = running.name();
        if request.format == ExportFormat::Test {
            let connection = running.request.connection.unwrap_or_default();
            let bytes = golden_of(&self.capture, connection, request.with_secrets)?.into_bytes();
            return Ok(ExportPart { name, bytes, next: None });
        }
        let mut bytes = Vec::new();
        let first = self.capture.first();
        running.next = running.next.max(first);
        while bytes.len() < PART && running.next < running.end {
            let number = match request.scope {
                ExportScope::View => match self.view.number_at(self.view.position_of(running.next)) {
                    Some(number) if number < running.end => number,
                    _ => break,
                },
                ExportScope::All | ExportScope::Row(_) => running.next,
            };
            running.next = number + 1;
            if let Some(entry) = self.capture.entry(number).filter(|entry| running.wants(entry)) {
                let marked = self.marks.contains(&number);
                match &mut running.writer {
                    Writer::Lines(lines) => lines.row(&self.capture, &entry, marked, &mut bytes),
                    Writer::Packets(packets) => {
                        packets.row(&self.capture, &entry, running.origin, marked);
                        bytes.append(&mut packets.take());
                    }
                    Writer::Bytes => bytes.extend_from_slice(&entry.bytes_for(request.with_secrets)),
                }
            }
        }
        // A part that is not full is the last one.
        let next = (bytes.len() >= PART && running.next < running.end).then_some(running.next);
        self.exporting = next.map(|_| running);
        Ok(ExportPart { name, bytes, next })
    }

    fn begin_export(&self, request: ExportRequest) -> Result<Running, String> {
        let (first, end) = match request.scope {
            ExportScope::Row(number) => (number, number + 1),
            ExportScope::All => (self.capture.first(), self.capture.end_number()),
            ExportScope::View => {
                let (begin, end) = (self.view.begin(), self.view.end());
                let last = end.checked_sub(1).and_then(|last| self.view.number_at(last));
                (self.view.number_at(begin).unwrap_or_default(), last.map_or(0, |last| last + 1))
            }
        };
        if first >= end || self.capture.entry(first).is_none() {
            return Err("there are no rows to export".into());
        }
        let mut request = request;
        if matches!(request.format, ExportFormat::Bin | ExportFormat::Test) {
            // One connection, and for bytes one direction: that of the first row that has any.
            let mut rows = self.capture.entries(first, end).filter(|entry| entry.length() > 0);
            let fits = |entry: &Entry<'_>| {
                request.connection.is_none_or(|connection| connection == entry.connection())
                    && request.direction.is_none_or(|direction| direction == entry.direction())
            };
            let row = rows.find(fits).ok_or("there are no such bytes to export")?;
            request.connection = Some(row.connection());
            request.direction = (request.format == ExportFormat::Bin).then(|| row.direction());
        }
        let origin = self.capture.origin().unwrap_or_default();
        let writer = match request.format {
            ExportFormat::JsonL => {
                let mut lines = JsonLinesWriter::new().with_secrets(request.with_secrets);
                lines.set_origin(origin);
                Writer::Lines(lines)
            }
            ExportFormat::PcapNg => Writer::Packets(Box::new(PcapNg::new().with_secrets(request.with_secrets))),
            ExportFormat::Bin | ExportFormat::Test => Writer::Bytes,
        };
        Ok(Running { request, next: first, end, origin, writer })
    }
}

impl Running {
    fn wants(&self, entry: &Entry<'_>) -> bool {
        self.request.connection.is_none_or(|connection| connection == entry.connection())
            && self.request.direction.is_none_or(|direction| direction == entry.direction())
    }

    fn name(&self) -> String {
        let rows = match self.request.scope {
            ExportScope::Row(number) => format!("-row-{number}"),
            ExportScope::All | ExportScope::View => String::new(),
        };
        let connection =
            self.request.connection.map(|connection| format!("-connection-{connection}")).unwrap_or_default();
        let direction = self.request.direction.map(|direction| format!("-{direction}")).unwrap_or_default();
        let ending = match self.request.format {
            ExportFormat::JsonL => "jsonl",
            ExportFormat::Bin => "bin",
            ExportFormat::Test => return format!("recorded{connection}.jsonl"),
            ExportFormat::PcapNg => "pcapng",
        };
        format!("chanwire{rows}{connection}{direction}.{ending}")
    }
}
