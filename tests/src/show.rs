//! Streams, items and payloads as text that a person can review.

use std::fmt::Write as _;

use chanwire_core::{
    Span,
    wire::{Command, Decoder, Fault, Item, PayloadFault, Request, Response, Skipped, StartLine, Status, StoredMessage},
};

/// Shows bytes as a Rust byte string; a long run of one byte is shown as `‹a×1000›`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        let byte = run.iter().take(1).flat_map(|byte| byte.escape_ascii()).map(char::from);
        let byte: String = byte.collect::<String>().replace("\\\"", "\"").replace("\\'", "'");
        if run.len() > 16 {
            let _ = write!(out, "‹{byte}×{}›", run.len());
        } else {
            out.push_str(&byte.repeat(run.len()));
        }
    }
    out
}

fn span(span: Span) -> String {
    format!("{}..{}", span.start, span.end)
}

/// A head whose frames have a meaning that a table shows.
pub trait Meaning: StartLine {
    /// Describes the payload's meaning, or the fault in it.
    fn meaning(self, payload: &[u8]) -> String;
}

impl Meaning for Command {
    fn meaning(self, payload: &[u8]) -> String {
        decoded(&Request::decode(self, payload))
    }
}

impl Meaning for Status {
    /// Shows only the text: an answer's meaning depends on its request, which no table of one direction knows.
    fn meaning(self, payload: &[u8]) -> String {
        match self {
            Self::Push => decoded(&StoredMessage::decode(payload)),
            _ => bytes(payload),
        }
    }
}

/// A value that a table shows by what it says, not by how it is held.
pub trait Shown {
    /// Describes its meaning.
    fn shown(&self) -> String;
}

impl Shown for Request {
    fn shown(&self) -> String {
        let mut out = Vec::new();
        self.encode(&mut out);
        bytes(&out)
    }
}

impl Shown for Response {
    fn shown(&self) -> String {
        let mut out = Vec::new();
        self.encode(&mut out);
        bytes(&out)
    }
}

impl Shown for StoredMessage {
    fn shown(&self) -> String {
        let Self { channel_name, id, username, message_content, timestamp, account, deleted, deletes } = self;
        let account = account.as_ref().map_or(String::new(), |account| format!(" of the account {account}"));
        let deleted = if *deleted { " deleted" } else { "" };
        let deletes = deletes.map(|id| format!(" deletes {id}")).unwrap_or_default();
        format!("{channel_name:?} {id} {username:?} {message_content:?} {timestamp}{account}{deleted}{deletes}")
    }
}

/// Returns the result of decoding a payload.
pub fn decoded<T: Shown>(result: &Result<T, PayloadFault>) -> String {
    match result {
        Ok(value) => format!("means {}", value.shown()),
        Err(fault) => {
            let reply = fault.reply();
            let at = fault.at.map_or(String::from("no byte"), |at| format!("byte {at}"));
            format!("{}: {} [{at}]", reply.error, bytes(reply.details.as_bytes()))
        }
    }
}

/// Describes what a decoder reports of a stream: each item with its span, the number of bytes after which it is known,
/// and its meaning; then what the end of the stream adds.
pub fn stream<H: Meaning>(stream: &[u8], limit: usize) -> String {
    let mut out = format!("    {}\n", bytes(stream));
    let mut decoder = Decoder::<H>::new(limit);
    for (index, byte) in stream.iter().enumerate() {
        decoder.feed(std::slice::from_ref(byte));
        items(&mut decoder, &format!("after {}", index + 1), &mut out);
    }
    decoder.finish();
    items(&mut decoder, "at end", &mut out);
    out
}

/// Appends a line for each item that is there.
pub fn items<H: Meaning>(decoder: &mut Decoder<H>, when: &str, out: &mut String) {
    while let Some(item) = decoder.next_item() {
        let kind = match &item {
            Item::Frame(frame) => format!(
                "frame {} {}, CRLF {}, payload {}: {}",
                frame.start_line.name(),
                span(frame.start_line_span),
                span(frame.separator),
                span(frame.payload_span),
                frame.start_line.meaning(frame.payload),
            ),
            Item::Fault(fault) => fault_line(fault),
            Item::Skipped(_, Skipped::WhiteSpace) => "white space".into(),
            Item::Skipped(_, Skipped::Object) => "skipped object".into(),
            Item::Skipped(_, Skipped::Discarded) => "discarded".into(),
        };
        let _ = writeln!(out, "  {:<9} {when:<10} {kind}", span(item.span()));
    }
}

/// Returns a fault as a line: the answer, the offset, and the effect on the connection.
#[must_use]
pub fn fault_line(fault: &Fault) -> String {
    let at = fault.at.map_or(String::from("no byte"), |at| format!("byte {at}"));
    let next = if fault.is_recoverable() { "goes on" } else { "closes" };
    format!(
        "{}: {} [head '{}', {at}, {next}]",
        fault.error(),
        bytes(fault.details().as_bytes()),
        bytes(fault.start_line.as_bytes())
    )
}
