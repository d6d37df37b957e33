//! Recorded connections as tests: see `Export` in the inspector, "as a test".
//!
//! Each row of a file has some bytes and the decoder's result for them. A run decodes the bytes again, split in several
//! ways, and compares the results.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::{fs, path::Path};

use chanwire_inspect::golden;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    direction: chanwire_inspect::Direction,
    text: Option<String>,
    /// The bytes, if they are not text.
    base64: Option<String>,
}

/// Runs every file in a folder. Returns how many there were.
///
/// # Panics
///
/// If the decoder's results differ from those in a file.
pub fn run_folder(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    for path in &files {
        println!("running {}", path.display());
        run(&fs::read_to_string(path).unwrap());
    }
    files.len()
}

/// Runs one file.
///
/// # Panics
///
/// If the decoder's results differ from those in the file.
pub fn run(file: &str) {
    let (mut out, mut r#in) = (Vec::new(), Vec::new());
    for line in file.lines() {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let stream = if line.direction == chanwire_inspect::Direction::Out { &mut out } else { &mut r#in };
        match (line.text, line.base64) {
            (Some(text), None) => stream.extend(text.into_bytes()),
            (None, Some(encoded)) => stream.extend(decoded(&encoded)),
            _ => panic!("a row must have its bytes either as text or as base64"),
        }
    }
    for step in [usize::MAX, 1, 7, 4096] {
        let now = golden(out.chunks(step.min(out.len().max(1))), r#in.chunks(step.min(r#in.len().max(1))));
        let differs = now.lines().zip(file.lines()).find(|(now, then)| now != then);
        assert_eq!(differs, None, "the decoded and the recorded row differ");
        assert_eq!(now.lines().count(), file.lines().count(), "rows");
    }
}

/// Decodes base64 by RFC 4648 without the library that wrote it.
fn decoded(encoded: &str) -> Vec<u8> {
    let value = |char: u8| match char {
        b'A'..=b'Z' => Some(char - b'A'),
        b'a'..=b'z' => Some(char - b'a' + 26),
        b'0'..=b'9' => Some(char - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let values: Vec<u8> = encoded.bytes().filter_map(value).collect();
    let mut bytes = Vec::new();
    for four in values.chunks(4) {
        let bits = four.iter().fold(0_u32, |bits, value| bits << 6 | u32::from(*value)) << (6 * (4 - four.len()));
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1));
    }
    bytes
}
