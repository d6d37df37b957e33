use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chanwire_core::wire::{Command, StartLine as _};
use serde::de::IgnoredAny;

use super::{ConnectionLine, RowLine, started};
use crate::{Capture, Direction, Restored, RowKind, capture::CLOSED, visible};

/// The most requests that are kept until their answers come.
const MAX_OPEN: usize = 1 << 20;

/// The most connections in one file.
const MAX_CONNECTIONS: usize = 1 << 20;

/// The most connections that are kept at one time though none of their rows is held. The label of any other is dropped
/// with its last row.
const MAX_KEPT: usize = 1 << 16;

/// The longest label, in bytes. It has two addresses.
const MAX_LABEL: usize = 1024;

/// A reader of the lines that [`JsonLinesWriter`](super::JsonLinesWriter) writes, into a capture.
///
/// Its rows are those that were written, with their times, reads and pairs, but with numbers of the capture that they
/// go to; connections are numbered in the order in which the lines name them. Frames are decoded again; of other rows,
/// the line says what was wrong. The lines of a [test](crate::golden) are read too.
#[derive(Debug)]
pub struct JsonLinesReader {
    /// The number that is added to each connection's.
    before: u32,
    /// The numbers that requests have here, by the numbers that they were written with.
    open: BTreeMap<u64, u64>,
    /// The numbers that connections have here, by the numbers that they were written with.
    numbers: BTreeMap<u32, u32>,
    /// Those of them that are kept, and in which order they came.
    kept: BTreeSet<u32>,
    order: VecDeque<u32>,
    /// The milliseconds that are added to each time.
    shift: f64,
    /// The position of the next row of a test, in each direction.
    position: [u64; 2],
}

impl JsonLinesReader {
    /// Returns a reader whose first connection becomes `before` + 1.
    #[must_use]
    pub const fn new(before: u32) -> Self {
        Self {
            before,
            open: BTreeMap::new(),
            numbers: BTreeMap::new(),
            kept: BTreeSet::new(),
            order: VecDeque::new(),
            shift: 0.0,
            position: [0; 2],
        }
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }

    /// Reads one line, without its line end. Returns the number of the row if it is marked.
    ///
    /// # Errors
    ///
    /// Why it is none of these lines.
    pub fn line(&mut self, line: &[u8], capture: &mut Capture) -> Result<Option<u64>, String> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        // The kind is read first, so that errors name the line's kind.
        let is: Is = serde_json::from_slice(line).map_err(|error| reason(&error))?;
        if is.row.is_none() {
            let said: ConnectionLine<'_> = serde_json::from_slice(line).map_err(|error| reason(&error))?;
            if let Some(text) = said.started {
                let started = started::read(&text).ok_or_else(|| {
                    format!("started: '{}' is no time such as 2023-11-02T15:04:32.25Z", visible(&text))
                })?;
                self.shift = capture.count_from(started);
            }
            self.open(said.connection, &said.label, capture)?;
            return Ok(None);
        }
        let row: RowLine<'_> = serde_json::from_slice(line).map_err(|error| reason(&error))?;
        let row = match (is.connection, is.time) {
            (Some(_), _) => row,
            (None, None) => self.of_test(row),
            (None, Some(_)) => return Err("missing field `connection`".into()),
        };
        let (written, marked, answered) = (row.row, row.marked, row.pair.is_some() && row.direction == Direction::Out);
        let is_closed = row.kind == RowKind::Note && row.head == CLOSED;
        let here = self.here(row.connection, capture)?;
        let number = capture.restore(&self.restored(row, here, capture)?)?;
        if answered && self.open.len() < MAX_OPEN {
            self.open.insert(written, number);
        }
        if is_closed && self.kept.remove(&here) {
            capture.close_silently(here);
        }
        Ok(marked.then_some(number))
    }

    /// Ends the lines.
    pub fn finish(&mut self, capture: &mut Capture) {
        for connection in std::mem::take(&mut self.kept) {
            capture.close_silently(connection);
        }
        self.order = VecDeque::new();
    }

    /// Takes a connection's line.
    fn open(&mut self, connection: u32, label: &str, capture: &mut Capture) -> Result<(), String> {
        if label.len() > MAX_LABEL {
            return Err(format!("a label of more than {MAX_LABEL} bytes is not read"));
        }
        // A line that comes again says nothing new.
        if !self.numbers.contains_key(&connection) {
            let here = self.number(connection)?;
            self.keep(here, label, capture);
        }
        Ok(())
    }

    /// Returns the number here of a row's connection, and opens it if need be.
    fn here(&mut self, connection: u32, capture: &mut Capture) -> Result<u32, String> {
        let here = match self.numbers.get(&connection) {
            Some(here) => *here,
            None => self.number(connection)?,
        };
        if capture.label(here).is_none() {
            self.keep(here, "", capture);
        }
        Ok(here)
    }

    /// Returns a number for a connection that was not named before.
    fn number(&mut self, connection: u32) -> Result<u32, String> {
        if connection == 0 {
            return Err("connections are numbered from 1 on, and none is 0".into());
        }
        if self.numbers.len() == MAX_CONNECTIONS {
            return Err(format!("a file of more than {MAX_CONNECTIONS} connections is not read; open a part of it"));
        }
        let here = self.before.checked_add(self.connections() + 1);
        let here = here.ok_or("there are no numbers left for connections; clear what was captured before")?;
        self.numbers.insert(connection, here);
        Ok(here)
    }

    fn keep(&mut self, here: u32, label: &str, capture: &mut Capture) {
        capture.open_restored(here, &visible(label));
        if self.kept.insert(here) {
            self.order.push_back(here);
        }
        while self.kept.len() > MAX_KEPT || self.order.len() > 2 * MAX_KEPT {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.kept.remove(&oldest) {
                capture.close_silently(oldest);
            }
        }
    }

    /// Completes a row of a test, which has neither time nor position and is of the only connection.
    fn of_test<'a>(&mut self, row: RowLine<'a>) -> RowLine<'a> {
        let is_answer = row.direction == Direction::In;
        let [out, r#in] = self.position;
        let position = if is_answer { r#in } else { out };
        RowLine { connection: 1, begins: true, ends: true, position, ..row }
    }

    fn restored<'a>(&mut self, row: RowLine<'a>, here: u32, capture: &Capture) -> Result<Restored<'a>, String> {
        let bytes = match (row.text, row.base64) {
            (Some(_), Some(_)) => return Err("a row has its bytes as text or as base64, not as both".into()),
            (Some(Cow::Borrowed(text)), None) => Cow::Borrowed(text.as_bytes()),
            (Some(Cow::Owned(text)), None) => Cow::Owned(text.into_bytes()),
            (None, Some(encoded)) => {
                let decoded = STANDARD.decode(encoded.as_bytes());
                Cow::Owned(decoded.map_err(|error| format!("base64: {error}"))?)
            }
            (None, None) => Cow::Borrowed(&[][..]),
        };
        let asked = match row.asked {
            None => None,
            Some(word) => Some(
                Command::parse(word.as_bytes())
                    .ok_or_else(|| format!("asked: there is no command '{}'", visible(&word)))?,
            ),
        };
        let request =
            row.pair.filter(|_| row.direction == Direction::In).and_then(|request| self.open.remove(&request));
        // A test does not say it of an answer, but it has the request.
        let asked = asked.or_else(|| capture.entry(request?)?.command());
        if let Some(position) = self.position.get_mut(usize::from(row.direction == Direction::In)) {
            *position = row.position.saturating_add(bytes.len() as u64);
        }
        Ok(Restored {
            connection: here,
            direction: row.direction,
            kind: row.kind,
            time: row.time.map(|time| time + self.shift),
            position: row.position,
            bytes,
            head: visible(&row.head).into_owned().into(),
            says: row.says.map(|says| visible(&says).into_owned().into()).unwrap_or_default(),
            bad: row.bad,
            fault: row.fault,
            asked,
            answers: request,
            rtt: row.rtt,
            begins: row.begins,
            ends: row.ends,
            reads: row.reads.into_iter().map(|(offset, time)| (offset, time + self.shift)).collect(),
        })
    }
}

#[derive(serde::Deserialize)]
struct Is {
    row: Option<IgnoredAny>,
    connection: Option<IgnoredAny>,
    time: Option<IgnoredAny>,
}

/// Returns an error's text without the line number, which is always 1.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.replace(
        &format!(" at line {} column {}", error.line(), error.column()),
        &format!(" at column {}", error.column()),
    )
}
