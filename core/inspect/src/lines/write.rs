use std::{borrow::Cow, collections::BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chanwire_core::wire::StartLine as _;

use super::{ConnectionLine, RowLine, started};
use crate::{Capture, Entry, RowKind, Time};

/// Writes rows as lines of JSON.
#[derive(Debug, Default)]
pub struct JsonLinesWriter {
    /// Connections that were opened in the output and not closed.
    named: BTreeSet<u32>,
    started: Option<String>,
    with_secrets: bool,
}

impl JsonLinesWriter {
    /// Returns a writer that has written nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the passwords and tokens of AUTH, which are masked otherwise.
    #[must_use]
    pub fn with_secrets(self, with_secrets: bool) -> Self {
        Self { with_secrets, ..self }
    }

    /// Sets the origin of the capture's times, since 1970, for connections written from now on.
    pub fn set_origin(&mut self, origin: impl Into<Time>) {
        self.started = started::written(origin.into());
    }

    /// Appends the line of a row, after a line for its connection if it is the connection's first row.
    pub fn row(&mut self, capture: &Capture, entry: &Entry<'_>, marked: bool, out: &mut Vec<u8>) {
        let connection = entry.connection();
        if self.named.insert(connection) {
            let label = Cow::Borrowed(capture.label(connection).unwrap_or_default());
            append(&ConnectionLine { connection, label, started: self.started.as_deref().map(Cow::Borrowed) }, out);
        }
        append(&row_line(capture, entry, marked, self.with_secrets), out);
        if entry.is_closed() {
            self.drop_connection(connection);
        }
    }

    /// Drops the state of a connection without further rows.
    pub fn drop_connection(&mut self, connection: u32) {
        self.named.remove(&connection);
    }
}

fn row_line<'a>(capture: &Capture, entry: &Entry<'a>, marked: bool, with_secrets: bool) -> RowLine<'a> {
    let (text, base64) = match entry.bytes_for(with_secrets) {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => (Some(Cow::Borrowed(text)), None),
            Err(_) => (None, Some(STANDARD.encode(bytes))),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => (Some(Cow::Owned(text)), None),
            Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
        },
    };
    let has_bytes = entry.length() > 0;
    let (begins, ends, reads) = entry.read_marks();
    let described = entry.row(false);
    RowLine {
        row: entry.number(),
        connection: entry.connection(),
        direction: entry.direction(),
        kind: entry.kind(),
        time: entry.is_timed().then(|| entry.time()),
        position: capture.position(entry),
        head: entry.head().into(),
        text: text.filter(|_| has_bytes),
        base64: base64.map(Into::into),
        says: entry.note().map(Cow::Borrowed),
        fault: described.fault,
        bad: entry.is_bad() && entry.kind() == RowKind::Note,
        push: entry.is_push(),
        asked: entry.status().and_then(|_| entry.command()).map(|command| command.name().into()),
        pair: entry.pair(),
        rtt: entry.rtt(),
        error: entry.error(),
        begins,
        ends,
        reads: reads.iter().map(|mark| (mark.offset, mark.time)).collect(),
        marked,
        summary: Some(described.summary.into()),
    }
}

fn append(line: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Neither a text nor a number in it can fail, and a vector takes everything.
    let _ = serde_json::to_writer(&mut *out, line);
    out.push(b'\n');
}
