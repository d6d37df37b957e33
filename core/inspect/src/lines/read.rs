use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chanwire_core::wire::{Command, Head as _};

use super::{ConnectionLine, RowLine};
use crate::{Capture, Restored, visible};

/// How many requests are remembered whose answers are still to come.
const MAX_OPEN: usize = 1 << 20;

/// Reads what [`JsonLinesWriter`](super::JsonLinesWriter) wrote, line by line, into a capture.
///
/// The rows that come of it are those that were written: with their times, reads and pairs, but with numbers of the
/// capture that they go to. What a frame says is decoded again; of what is no frame, the line says what was wrong.
#[derive(Debug)]
pub struct JsonLinesReader {
    /// What is added to each connection's number.
    before: u32,
    /// The numbers that requests have here, by the numbers that they were written with.
    open: BTreeMap<u64, u64>,
    opened: BTreeSet<u32>,
}

impl JsonLinesReader {
    /// Connection 1 of the lines becomes `before` + 1.
    #[must_use]
    pub const fn new(before: u32) -> Self {
        Self { before, open: BTreeMap::new(), opened: BTreeSet::new() }
    }

    /// How many connections there were so far.
    #[must_use]
    pub fn connections(&self) -> u32 {
        u32::try_from(self.opened.len()).unwrap_or(u32::MAX)
    }

    /// Reads one line, without its line end. Gives the number of the row if it is marked.
    ///
    /// # Errors
    ///
    /// Why it is none of these lines.
    pub fn line(&mut self, line: &[u8], capture: &mut Capture) -> Result<Option<u64>, String> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        // Which one it is comes first, so that it can be said what is wrong with it.
        let is_row = serde_json::from_slice::<IsRow>(line).map_err(|error| why(&error))?.row.is_some();
        if !is_row {
            let ConnectionLine { connection, label } = serde_json::from_slice(line).map_err(|error| why(&error))?;
            self.open(connection, &label, capture)?;
            return Ok(None);
        }
        let row: RowLine<'_> = serde_json::from_slice(line).map_err(|error| why(&error))?;
        let (written, marked, answered) = (row.row, row.marked, row.pair.is_some() && row.rtt.is_none());
        if !self.opened.contains(&row.connection) {
            self.open(row.connection, "", capture)?;
        }
        let number = capture.restore(&self.restored(row)?)?;
        if answered && self.open.len() < MAX_OPEN {
            self.open.insert(written, number);
        }
        Ok(marked.then_some(number))
    }

    /// There are no more lines.
    pub fn finish(&mut self, capture: &mut Capture) {
        for connection in std::mem::take(&mut self.opened) {
            capture.close_silently(self.before.saturating_add(connection));
        }
    }

    fn open(&mut self, connection: u32, label: &str, capture: &mut Capture) -> Result<(), String> {
        // What has another number here must not become a connection that was there before, or an earlier one of the lines.
        let here = self.before.checked_add(connection).filter(|_| connection > 0);
        let here = here.ok_or_else(|| format!("connections are numbered from 1 on, and none is {connection}"))?;
        if self.opened.insert(connection) {
            capture.open(here, &visible(label));
        }
        Ok(())
    }

    fn restored<'a>(&mut self, row: RowLine<'a>) -> Result<Restored<'a>, String> {
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
        let request = row.pair.filter(|_| row.rtt.is_some()).and_then(|request| self.open.remove(&request));
        Ok(Restored {
            connection: self.before.saturating_add(row.connection),
            direction: row.direction,
            kind: row.kind,
            time: row.time,
            position: row.position,
            bytes,
            head: visible(&row.head).into_owned().into(),
            says: row.says.map(|says| visible(&says).into_owned().into()).unwrap_or_default(),
            bad: row.bad,
            fault: row.fault,
            asked,
            answers: request.zip(row.rtt),
            rtt: row.rtt,
            begins: row.begins,
            ends: row.ends,
            reads: row.reads,
        })
    }
}

#[derive(serde::Deserialize)]
struct IsRow {
    row: Option<serde::de::IgnoredAny>,
}

/// Without the line's number, which is always 1.
fn why(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.replace(
        &format!(" at line {} column {}", error.line(), error.column()),
        &format!(" at column {}", error.column()),
    )
}
