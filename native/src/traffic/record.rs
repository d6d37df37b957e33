//! What a watcher is told, and how it is written for the page.

use axum::body::Bytes;
use chanwire_inspect::{Direction, Gap, Time};
use serde_json::json;

/// One event of one connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) connection: u32,
    /// Since 1970.
    pub(crate) time: Time,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Open {
        client: String,
        server: String,
    },
    Bytes(Direction, Bytes),
    /// Traffic that this watcher did not get.
    Gap(Direction, Gap, String),
    End(Direction),
    Close {
        reason: String,
        bad: bool,
    },
}

impl Record {
    /// Returns the room that it takes in a queue.
    pub(super) fn weight(&self) -> usize {
        64 + match &self.what {
            What::Open { client, server } => client.len() + server.len(),
            What::Bytes(_, bytes) => bytes.len(),
            What::Gap(_, _, text) => text.len(),
            What::End(_) => 0,
            What::Close { reason, .. } => reason.len(),
        }
    }

    /// Writes it for the page: a byte that says what it is, the connection, the time, the length of what follows, all
    /// with the low byte first, and then the stream's bytes or JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let json;
        let (kind, body): (u8, &[u8]) = match &self.what {
            What::Open { client, server } => {
                json = json!({"client": client, "server": server}).to_string();
                (1, json.as_bytes())
            }
            What::Bytes(Direction::Out, bytes) => (2, bytes),
            What::Bytes(Direction::In, bytes) => (3, bytes),
            What::End(Direction::Out) => (4, b""),
            What::End(Direction::In) => (5, b""),
            What::Close { reason, bad } => {
                json = json!({"reason": reason, "bad": bad}).to_string();
                (6, json.as_bytes())
            }
            What::Gap(direction, gap, text) => {
                json =
                    json!({"bytes": gap.bytes, "frames": gap.frames, "paired": gap.paired, "text": text}).to_string();
                (if *direction == Direction::Out { 7 } else { 8 }, json.as_bytes())
            }
        };
        out.push(kind);
        out.extend(self.connection.to_le_bytes());
        out.extend(self.time.milliseconds().unwrap_or_default().to_le_bytes());
        out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(body);
    }
}
