//! A capture behind JavaScript's types.
//!
//! Structured values leave as one text of JSON: making an object from it is faster than setting each member from here.
//! Bytes leave as bytes.

use chanwire_inspect::{ExportFormat, ExportRequest, ExportScope, Gap, Step};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::parse;

/// A capture as one person looks at it.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Viewer(pub(crate) chanwire_inspect::Viewer);

#[wasm_bindgen]
impl Viewer {
    /// Returns an empty capture with this memory limit in bytes.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(limit: f64) -> Self {
        Self(chanwire_inspect::Viewer::new(bytes_of(limit)))
    }

    /// Returns the state for a viewer in another instance of the module to go on from as this one would after `clear`,
    /// as a text; `undefined` where it cannot be serialized.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn carried(&self) -> Result<Option<String>, JsError> {
        self.0.capture().carried().map(|carried| json(&carried)).transpose()
    }

    /// Returns a viewer that goes on with what `carried` gave.
    ///
    /// # Errors
    ///
    /// The mistake in the text.
    pub fn resumed(limit: f64, carried: &str) -> Result<Self, JsError> {
        Ok(Self(chanwire_inspect::Viewer::resumed(bytes_of(limit), serde_json::from_str(carried)?)))
    }

    /// Changes the limit.
    #[wasm_bindgen(js_name = setLimit)]
    pub fn set_limit(&mut self, limit: f64) {
        self.0.capture_mut().set_limit(bytes_of(limit));
    }

    /// Opens a connection.
    pub fn open(&mut self, connection: u32, label: &str) {
        self.0.capture_mut().open(connection, label);
    }

    /// Records the bytes of one read or write.
    ///
    /// # Errors
    ///
    /// A direction that is neither `out` nor `in`.
    pub fn bytes(
        &mut self,
        connection: u32,
        #[wasm_bindgen(unchecked_param_type = "Direction")] direction: &str,
        time: f64,
        bytes: &[u8],
    ) -> Result<(), JsError> {
        self.0.capture_mut().bytes(connection, parse(direction)?, time, bytes);
        Ok(())
    }

    /// Ends one direction.
    ///
    /// # Errors
    ///
    /// A direction that is neither `out` nor `in`.
    pub fn end(
        &mut self,
        connection: u32,
        #[wasm_bindgen(unchecked_param_type = "Direction")] direction: &str,
        time: f64,
    ) -> Result<(), JsError> {
        self.0.capture_mut().end(connection, parse(direction)?, time);
        Ok(())
    }

    /// Adds a note about a connection.
    pub fn note(&mut self, connection: u32, time: f64, head: &str, text: &str, bad: bool) {
        self.0.capture_mut().note(connection, time, head, text, bad);
    }

    /// Records that traffic is missing.
    ///
    /// # Errors
    ///
    /// A direction that is neither `out` nor `in`.
    #[expect(clippy::too_many_arguments, reason = "JavaScript hands over what it has")]
    pub fn gap(
        &mut self,
        connection: u32,
        #[wasm_bindgen(unchecked_param_type = "Direction | undefined")] direction: Option<String>,
        time: f64,
        bytes: f64,
        frames: Option<f64>,
        paired: Option<f64>,
        text: &str,
    ) -> Result<(), JsError> {
        let direction = direction.as_deref().map(parse).transpose()?;
        let gap = Gap {
            bytes: bytes as u64,
            frames: frames.map(|count| count as u64),
            paired: paired.map(|count| count as u64),
        };
        self.0.capture_mut().gap(connection, direction, time, gap, text);
        Ok(())
    }

    /// Closes the connection.
    pub fn close(&mut self, connection: u32, time: f64) {
        self.0.capture_mut().close(connection, time);
    }

    /// Drops every row.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Freezes the view, or continues it.
    pub fn pause(&mut self, paused: bool) {
        self.0.pause(paused);
    }

    /// Sets or removes a mark.
    pub fn mark(&mut self, number: f64, on: bool) {
        self.0.mark(number as u64, on);
    }

    /// Looks at rows that were not looked at yet, for a bounded time. Returns whether there are more.
    pub fn advance(&mut self) -> bool {
        self.0.advance()
    }

    /// Returns the status, as JSON.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn status(&self) -> Result<String, JsError> {
        json(&self.0.status())
    }

    /// Returns the rows of the view from a position on, as JSON.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn rows(&self, position: f64, count: u32) -> Result<String, JsError> {
        json(&self.0.rows(position as u64, usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// Returns a row with its parts, as JSON; `null` when it is not held.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn frame(&self, number: f64) -> Result<String, JsError> {
        json(&self.0.frame(number as u64))
    }

    /// Returns a row with its fields as JSON, as `chanwire decode --json` prints it. `null` when it is not held.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn describe(&self, number: f64) -> Result<String, JsError> {
        json(&self.0.capture().describe(number as u64))
    }

    /// Returns a row's bytes, with passwords and tokens masked.
    #[wasm_bindgen(js_name = bytesOf)]
    #[must_use]
    pub fn bytes_of(&self, number: f64) -> Vec<u8> {
        self.0.capture().entry(number as u64).map_or_else(Vec::new, |entry| entry.masked_bytes().into())
    }

    /// Returns the rows of a row's connection around it, as JSON; ask for their bytes by number.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn stream(&self, number: f64, before: u32, after: u32) -> Result<String, JsError> {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let pieces = self.0.stream(number as u64, count(before), count(after));
        json(&pieces.iter().map(|piece| &piece.row).collect::<Vec<_>>())
    }

    /// Sets the filter; returns the mistake in it as JSON, if there is one.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    #[wasm_bindgen(js_name = setFilter)]
    pub fn set_filter(&mut self, text: &str) -> Result<Option<String>, JsError> {
        self.0.set_filter(text).err().map(|mistake| json(&in_units(mistake, text))).transpose()
    }

    /// Sets the highlight; returns the mistake in it as JSON, if there is one.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    #[wasm_bindgen(js_name = setHighlight)]
    pub fn set_highlight(&mut self, text: &str) -> Result<Option<String>, JsError> {
        self.0.set_highlight(text).err().map(|mistake| json(&in_units(mistake, text))).transpose()
    }

    /// Shows only rows of these times, in milliseconds.
    #[wasm_bindgen(js_name = setRange)]
    pub fn set_range(&mut self, from: Option<f64>, to: Option<f64>) {
        self.0.set_range(from.zip(to));
    }

    /// Returns the completions at the caret, as JSON.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn complete(&self, text: &str, caret: u32) -> Result<String, JsError> {
        let completions = chanwire_inspect::complete(text, bytes_before(text, caret), self.0.capture());
        let (start, end) = (units_before(text, completions.start), units_before(text, completions.end));
        json(&chanwire_inspect::Completions { start, end, items: completions.items })
    }

    /// Returns the position of a row in the view, as JSON; `null` where there is no row.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn locate(&self, number: f64) -> Result<String, JsError> {
        json(&self.0.locate(number as u64))
    }

    /// Returns the next row of a kind, forward or back.
    ///
    /// # Errors
    ///
    /// A kind that there is none of.
    pub fn step(
        &self,
        from: f64,
        forward: bool,
        #[wasm_bindgen(unchecked_param_type = "'highlight' | 'bad' | 'mark' | 'text'")] to: &str,
        text: Option<String>,
    ) -> Result<Option<f64>, JsError> {
        let step = match to {
            "highlight" => Step::Highlight,
            "bad" => Step::Bad,
            "mark" => Step::Mark,
            "text" => Step::Text(text.unwrap_or_default()),
            _ => return Err(JsError::new("a step is to a highlight, what is bad, a mark or a text")),
        };
        Ok(self.0.step(from as u64, forward, &step).map(|number| number as f64))
    }

    /// Returns the connections that are open or of which a row is held, in order, as JSON: `number` and `label` of
    /// each.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn connections(&self) -> Result<String, JsError> {
        #[derive(Serialize)]
        struct Named<'a> {
            number: u32,
            label: &'a str,
        }
        let capture = self.0.capture();
        let named = |number| Named { number, label: capture.label(number).unwrap_or_default() };
        json(&capture.connections().map(named).collect::<Vec<_>>())
    }

    /// Returns the statistics, as JSON.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn statistics(&self) -> Result<String, JsError> {
        json(&self.0.statistics())
    }

    /// Returns the next part of a file: of one row, of those of the view, or of all. Without `secrets`, passwords and tokens
    /// are masked in it.
    ///
    /// # Errors
    ///
    /// Why there is no such file.
    #[expect(clippy::too_many_arguments, reason = "JavaScript hands over what it has")]
    pub fn export(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "'jsonl' | 'bin' | 'test' | 'pcapng'")] format: &str,
        row: Option<f64>,
        view: bool,
        connection: Option<u32>,
        #[wasm_bindgen(unchecked_param_type = "Direction | undefined")] direction: Option<String>,
        cursor: Option<f64>,
        secrets: bool,
    ) -> Result<ExportPart, JsError> {
        let format = match format {
            "jsonl" => ExportFormat::JsonL,
            "bin" => ExportFormat::Bin,
            "test" => ExportFormat::Test,
            "pcapng" => ExportFormat::PcapNg,
            _ => return Err(JsError::new("a format is jsonl, bin, test or pcapng")),
        };
        let scope = match row {
            Some(number) => ExportScope::Row(number as u64),
            None if view => ExportScope::View,
            None => ExportScope::All,
        };
        let direction = direction.as_deref().map(parse).transpose()?;
        let request = ExportRequest { format, scope, connection, direction, with_secrets: secrets };
        let part = self.0.export(request, cursor.map(|cursor| cursor as u64));
        part.map(ExportPart).map_err(|message| JsError::new(&message))
    }

    /// Returns traffic over time, as JSON.
    ///
    /// # Errors
    ///
    /// None in practice: what cannot be written as JSON.
    pub fn timeline(&self, buckets: u32) -> Result<String, JsError> {
        json(&self.0.capture().timeline(usize::try_from(buckets).unwrap_or(usize::MAX)))
    }
}

/// A part of a file.
#[derive(Debug)]
#[wasm_bindgen]
pub struct ExportPart(chanwire_inspect::ExportPart);

#[wasm_bindgen]
impl ExportPart {
    /// Returns the file's name.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn name(&self) -> String {
        self.0.name.clone()
    }

    /// Returns its next bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.bytes.clone()
    }

    /// Returns the cursor of the next part.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        self.0.next.map(|next| next as f64)
    }
}

/// Converts a number of bytes. JavaScript's numbers are exact up to 2^53.
fn bytes_of(number: f64) -> usize {
    number as usize
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, JsError> {
    serde_json::to_string(value).map_err(|error| JsError::new(&error.to_string()))
}

/// Converts a mistake to JavaScript's positions, with a length of at least 1: there must be something to point at.
fn in_units(mistake: chanwire_inspect::Mistake, text: &str) -> chanwire_inspect::Mistake {
    let at = units_before(text, mistake.at);
    let end = units_before(text, mistake.at + mistake.length);
    chanwire_inspect::Mistake { at, length: (end - at).max(1), ..mistake }
}

/// Returns the number of UTF-16 units before a byte.
fn units_before(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).encode_utf16().count()
}

/// Returns the number of bytes before a UTF-16 unit.
fn bytes_before(text: &str, units: u32) -> usize {
    let mut left = units as usize;
    let before = text.chars().take_while(|char| {
        let fits = left >= char.len_utf16();
        left = left.saturating_sub(char.len_utf16());
        fits
    });
    before.map(char::len_utf8).sum()
}
