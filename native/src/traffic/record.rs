//! Records for watchers, and their encoding for the page.

use axum::body::Bytes;
use chanwire_inspect::{Direction, Gap, Time};
use serde_json::json;

/// One event of one connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) connection: u32,
    /// Since 1970.
    pub(crate) time: Time,
    pub(crate) kind: RecordKind,
}

/// The kind of a record, with its data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RecordKind {
    Open {
        client: String,
        server: String,
    },
    Bytes(Direction, Bytes),
    /// Traffic that was dropped for this watcher.
    Gap(Direction, Gap, String),
    End(Direction),
    Close {
        reason: String,
        bad: bool,
    },
}

impl Record {
    /// Returns the bytes that it counts in a queue.
    pub(super) fn weight(&self) -> usize {
        64 + match &self.kind {
            RecordKind::Open { client, server } => client.len() + server.len(),
            RecordKind::Bytes(_, bytes) => bytes.len(),
            RecordKind::Gap(_, _, text) => text.len(),
            RecordKind::End(_) => 0,
            RecordKind::Close { reason, .. } => reason.len(),
        }
    }

    /// Encodes the record for the page: a tag byte, then the connection, the time and the body's length in
    /// little-endian order, then the body, which is the stream's bytes or JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let json;
        let (tag, body): (u8, &[u8]) = match &self.kind {
            RecordKind::Open { client, server } => {
                json = json!({"client": client, "server": server}).to_string();
                (1, json.as_bytes())
            }
            RecordKind::Bytes(Direction::Out, bytes) => (2, bytes),
            RecordKind::Bytes(Direction::In, bytes) => (3, bytes),
            RecordKind::End(Direction::Out) => (4, b""),
            RecordKind::End(Direction::In) => (5, b""),
            RecordKind::Close { reason, bad } => {
                json = json!({"reason": reason, "bad": bad}).to_string();
                (6, json.as_bytes())
            }
            RecordKind::Gap(direction, gap, text) => {
                json =
                    json!({"bytes": gap.bytes, "frames": gap.frames, "paired": gap.paired, "text": text}).to_string();
                (if *direction == Direction::Out { 7 } else { 8 }, json.as_bytes())
            }
        };
        out.push(tag);
        out.extend(self.connection.to_le_bytes());
        out.extend(self.time.milliseconds().unwrap_or_default().to_le_bytes());
        out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(body);
    }
}
