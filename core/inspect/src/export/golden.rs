//! Export of a connection as a golden test: its bytes and the decoded rows.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::{Capture, Direction, Fault, RowKind};

/// The most bytes of a golden test.
pub const MAX_GOLDEN: usize = 8 << 20;

/// A line of the file. All rows of the client come before those of the server.
#[derive(Serialize)]
struct Line<'a> {
    row: u64,
    direction: Direction,
    kind: RowKind,
    head: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
}

/// Returns a golden test for these bytes of a client and a server: one line of JSON for each row, with its bytes and
/// decoded content. Decoding the bytes again gives the same file, however they are cut, unless the decoder has changed.
#[must_use]
pub fn golden<'a>(requests: impl IntoIterator<Item = &'a [u8]>, answers: impl IntoIterator<Item = &'a [u8]>) -> String {
    // Without a limit: the rows of short frames take more memory than their bytes.
    let mut capture = Capture::new(usize::MAX);
    capture.open(1, "");
    requests.into_iter().for_each(|bytes| capture.bytes(1, Direction::Out, 0.0, bytes));
    capture.end(1, Direction::Out, 0.0);
    answers.into_iter().for_each(|bytes| capture.bytes(1, Direction::In, 0.0, bytes));
    capture.end(1, Direction::In, 0.0);
    let mut file = String::new();
    for entry in capture.entries(capture.first(), capture.end_number()) {
        let described = entry.row(false);
        let text = std::str::from_utf8(entry.bytes()).ok();
        let line = Line {
            row: entry.number(),
            direction: entry.direction(),
            kind: entry.kind(),
            head: entry.head(),
            text,
            base64: text.is_none().then(|| STANDARD.encode(entry.bytes())),
            pair: entry.pair(),
            error: entry.error().map(Into::into),
            summary: described.summary,
            fault: described.fault,
        };
        // None of its members can fail.
        file.push_str(&serde_json::to_string(&line).unwrap_or_default());
        file.push('\n');
    }
    file
}

/// Returns the file of a test for a connection of a capture, with its passwords and tokens if they are wanted.
///
/// # Errors
///
/// Why there can be none.
pub fn golden_of(capture: &Capture, connection: u32, with_secrets: bool) -> Result<String, String> {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    let (mut sizes, mut missing) = ([0_u64; 2], false);
    for entry in capture.entries(capture.first(), capture.end_number()) {
        if entry.connection() != connection {
            continue;
        }
        missing |= entry.kind() == RowKind::Gap;
        if entry.length() == 0 {
            continue;
        }
        let (rows, size) = match (entry.direction(), &mut sizes) {
            (Direction::Out, [out, _]) => (&mut requests, out),
            (Direction::In, [_, r#in]) => (&mut answers, r#in),
        };
        missing |= capture.position(&entry) != *size;
        *size += entry.length() as u64;
        rows.push(entry.bytes_for(with_secrets));
    }
    let size: u64 = sizes.iter().sum();
    if missing {
        return Err(format!(
            "connection {connection} lacks traffic, so that its rows cannot be told from what is left"
        ));
    }
    if size == 0 {
        return Err(format!("nothing of connection {connection} is held"));
    }
    if size > MAX_GOLDEN as u64 {
        return Err(format!("connection {connection} has {size} bytes, and a test at most {MAX_GOLDEN}"));
    }
    Ok(golden(requests.iter().map(|row| &**row), answers.iter().map(|row| &**row)))
}
