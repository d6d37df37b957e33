//! Captures of other programs, read into a viewer.

use chanwire_inspect::{
    Direction,
    import::{self, CaptureImport, Format, ImportError, ImportOptions},
};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::{Viewer, parse, viewer::json};

/// One capture that is being read.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Importer(Option<CaptureImport>);

/// The result of a step, as the page reads it.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

#[wasm_bindgen]
impl Importer {
    /// Begins an import. `everything` shows every TCP connection.
    ///
    /// # Errors
    ///
    /// A direction that is neither `out` nor `in`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        everything: bool,
        #[wasm_bindgen(unchecked_param_type = "Direction | undefined")] direction: Option<String>,
    ) -> Result<Self, JsError> {
        let direction = direction.as_deref().map(parse).transpose()?;
        Ok(Self(Some(CaptureImport::new(ImportOptions { everything, direction, max_payload: None }, 0))))
    }

    /// Takes the next bytes; returns the result as JSON: an `error`, or nothing.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn feed(&mut self, bytes: &[u8], viewer: &mut Viewer) -> Result<String, JsError> {
        let Some(import) = &mut self.0 else { return json(&over()) };
        let fed = import.feed(bytes, viewer.0.capture_mut());
        for number in import.take_marks() {
            viewer.0.mark(number, true);
        }
        json(&fed.map_or_else(|error| wrong(&error), |()| Outcome::default()))
    }

    /// Ends the capture; returns the result as JSON: an `error`, or `words`.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn finish(&mut self, viewer: &mut Viewer) -> Result<String, JsError> {
        let Some(mut import) = self.0.take() else { return json(&over()) };
        let marks = import.take_marks();
        let outcome = match import.finish(viewer.0.capture_mut()) {
            Ok(summary) => Outcome { words: Some(summary.to_string()), ..Outcome::default() },
            Err(error) => wrong(&error),
        };
        for number in marks {
            viewer.0.mark(number, true);
        }
        json(&outcome)
    }
}

fn wrong(error: &ImportError) -> Outcome {
    Outcome { error: Some(format!("at byte {}: {}", error.at, error.message)), ..Outcome::default() }
}

fn over() -> Outcome {
    Outcome { error: Some("the capture was read already".into()), ..Outcome::default() }
}

/// Returns the form of a capture, by its first bytes, as JSON.
///
/// # Errors
///
/// None in practice: what cannot be written as JSON.
#[wasm_bindgen]
pub fn preview(bytes: &[u8]) -> Result<String, JsError> {
    #[derive(Serialize)]
    struct Shown {
        format: &'static str,
        recognised: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        direction: Option<Direction>,
        words: String,
        bytes: Vec<u8>,
    }
    let mut seen = import::preview(bytes);
    seen.bytes.truncate(whole_characters(&seen.bytes, 256));
    json(&Shown {
        format: match seen.format {
            Format::Pcap => "pcap",
            Format::PcapNg => "pcapng",
            Format::JsonLines => "jsonl",
            Format::Hex => "hex",
            Format::Raw => "raw",
        },
        recognised: seen.recognised,
        direction: seen.direction,
        words: seen.words,
        bytes: seen.bytes,
    })
}

/// Returns the most bytes, up to `limit`, that do not end inside a character of UTF-8.
fn whole_characters(bytes: &[u8], limit: usize) -> usize {
    let continues = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let limit = limit.min(bytes.len());
    (limit.saturating_sub(3)..=limit).rev().find(|at| !continues(at)).unwrap_or(limit)
}
