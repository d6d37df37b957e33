//! TOML texts, read with every fault at once.

use std::{collections::BTreeSet, ops::Range, path::Path, sync::Arc};

use toml::de::DeTable;

use super::finding::{Finding, Place};

/// The most times that a text is parsed, each time without the lines on which the last time failed.
const ROUNDS: usize = 32;

/// The text of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TomlText<'a> {
    pub(crate) file: &'a Arc<Path>,
    pub(crate) text: &'a str,
}

impl TomlText<'_> {
    /// Reads what is valid TOML, and returns the syntax errors with the findings of the reader.
    pub(crate) fn read(&self, read: impl FnOnce(&DeTable<'_>) -> Vec<Finding>) -> Vec<Finding> {
        let (broken, mut findings) = self.blank_broken_lines();
        let found = read(DeTable::parse_recoverable(&broken.text).0.get_ref());
        findings.extend(found.into_iter().filter(|finding| !broken.is_misplaced(finding.order().1)));
        findings
    }

    /// Returns the place of what begins at a byte.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let (line, column) = position(self.text, span.start);
        Place { file: self.file.clone(), line, column }
    }

    /// Returns the text without the lines that have syntax errors, and the errors. A parser goes on after most errors,
    /// but not after all.
    fn blank_broken_lines(&self) -> (Broken, Vec<Finding>) {
        let mut broken = Broken { text: self.text.into(), headers: BTreeSet::new() };
        let mut findings = Vec::new();
        for _ in 0..ROUNDS {
            let (_, errors) = DeTable::parse_recoverable(&broken.text);
            let mut lines = BTreeSet::new();
            for error in errors {
                let place = self.place(error.span().unwrap_or_default());
                // One error can cause another on its line.
                if lines.insert(place.line) {
                    let message = error.message().trim().replace('\n', ", ");
                    findings.push(Finding::of_file(place, format!("invalid TOML: {message}")));
                }
            }
            if lines.is_empty() {
                break;
            }
            let mut blanked = String::with_capacity(broken.text.len());
            for (index, line) in broken.text.split_inclusive('\n').enumerate() {
                if !lines.contains(&(index + 1)) {
                    blanked.push_str(line);
                    continue;
                }
                if line.trim_start().starts_with('[') {
                    broken.headers.insert(index + 1);
                }
                // As many bytes, so that positions stay.
                blanked.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            }
            if blanked == broken.text {
                break;
            }
            broken.text = blanked;
        }
        (broken, findings)
    }
}

/// A text whose lines with syntax errors are blank.
struct Broken {
    text: String,
    /// The lines of headers among them, counted from 1.
    headers: BTreeSet<usize>,
}

impl Broken {
    /// Returns whether a line belongs to a section whose header is broken.
    fn is_misplaced(&self, line: usize) -> bool {
        let Some(header) = self.headers.range(..=line).next_back() else { return false };
        let between = self.text.lines().take(line).skip(*header);
        !between.into_iter().any(|line| line.trim_start().starts_with('['))
    }
}

/// Returns the line and the column of a byte.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
