//! Faults and warnings about a configuration, each with its place.

use std::{fmt, path::Path, sync::Arc};

use chanwire_inspect::visible;
use serde_json::{Value as Json, json};

/// The place of something in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<Path>,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters.
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(Place),
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => place.fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// The weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The configuration is not used.
    Fault,
    Warning,
}

/// A fault of a configuration, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The place, where the file has one.
    pub(crate) at: Origin,
    /// The key, where it is about one.
    pub(crate) key: Option<String>,
    pub(crate) message: String,
    /// The key or value that may have been meant.
    pub(crate) suggestion: Option<String>,
}

impl Finding {
    pub(crate) fn fault(at: Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        let (key, message) = (Some(key.into()), message.into());
        Self { severity: Severity::Fault, at, key, message, suggestion: None }
    }

    /// Makes a fault of the whole file.
    pub(crate) fn of_file(place: Place, message: impl Into<String>) -> Self {
        let (at, message) = (Origin::File(place), message.into());
        Self { severity: Severity::Fault, at, key: None, message, suggestion: None }
    }

    pub(crate) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    pub(crate) fn suggest(self, suggestion: Option<String>) -> Self {
        Self { suggestion, ..self }
    }

    pub(crate) fn is_fault(&self) -> bool {
        self.severity == Severity::Fault
    }

    /// Returns its order in a report: by file and line, then variables and flags.
    pub(crate) fn order(&self) -> (bool, usize, usize) {
        match &self.at {
            Origin::File(place) => (false, place.line, place.column),
            _ => (true, 0, 0),
        }
    }

    /// Returns `FILE:LINE:COLUMN: KEY MESSAGE; did you mean THIS?`, or the flag or the variable in place of the key.
    pub(crate) fn words(&self) -> String {
        let mut text = match (&self.at, &self.key) {
            (Origin::File(place), Some(key)) => format!("{place}: {key}"),
            (Origin::File(place), None) => format!("{place}:"),
            (Origin::Default, Some(key)) => key.clone(),
            (origin, _) => origin.to_string(),
        };
        // A message about the key itself continues the sentence.
        if !self.message.starts_with("is ") && !text.ends_with(':') {
            text.push(':');
        }
        text = format!("{text} {}", self.message);
        if let Some(suggestion) = &self.suggestion {
            text += &format!("; did you mean {suggestion}?");
        }
        // Keys and values are whatever the file holds.
        visible(&text).into_owned()
    }

    /// Returns the finding as an object.
    pub(crate) fn to_json(&self) -> Json {
        let severity = match self.severity {
            Severity::Fault => "fault",
            Severity::Warning => "warning",
        };
        let mut object = json!({
            "severity": severity,
            "key": self.key,
            "message": self.message,
            "suggestion": self.suggestion,
        });
        if let Some(object) = object.as_object_mut() {
            object.extend(origin_members(&self.at));
        }
        object
    }
}

/// Returns the members that tell an origin.
pub(crate) fn origin_members(origin: &Origin) -> serde_json::Map<String, Json> {
    let members = match origin {
        Origin::Default => json!({"origin": "default"}),
        Origin::File(Place { file, line, column }) => {
            json!({"origin": "file", "file": file.display().to_string(), "line": line, "column": column})
        }
        Origin::Variable(name) => json!({"origin": "environment", "variable": name}),
        Origin::Flag(flag) => json!({"origin": "flag", "flag": format!("--{flag}")}),
    };
    match members {
        Json::Object(members) => members,
        _ => serde_json::Map::new(),
    }
}

/// The words, after `warning:` if it is one.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_fault() { "" } else { "warning: " })?;
        f.write_str(&self.words())
    }
}
