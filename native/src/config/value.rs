//! The values of keys: one form for file, environment and flags.

use std::{
    ffi::OsStr,
    fmt::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use toml::de::DeValue;

use super::{bytes, duration};

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    /// Bytes.
    Size(u64),
    Time(Duration),
    Unlimited,
    Text(String),
    Path(PathBuf),
    Bool(bool),
    List(Vec<Self>),
    /// The place in a list of a section that leaves a key out.
    Unset,
}

/// The type and range of a key's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A number in this range.
    Number { min: u64, max: u64, unlimited: bool },
    /// A number of bytes from a minimum, or `unlimited`.
    Size { min: u64 },
    /// A time such as `30m`.
    Time { unlimited: bool },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text with a syntax of its own.
    Text { expected: &'static str, check: fn(&str) -> Result<(), String> },
    /// The path of a directory.
    Path,
    /// The path of a file.
    File,
    /// Yes or no.
    Bool,
}

const UNLIMITED: &str = "unlimited";

impl Kind {
    /// Returns the type and range in words.
    pub(crate) fn expected(&self) -> String {
        let or = |unlimited: bool| if unlimited { ", or \"unlimited\"" } else { "" };
        match self {
            Self::Number { min, max, unlimited } => format!("a number from {min} to {max}{}", or(*unlimited)),
            Self::Size { min: 0 | 1 } => {
                "a number of bytes, or a size such as \"512K\", \"100M\" or \"2G\", or \"unlimited\"".into()
            }
            Self::Size { min } => {
                format!(
                    "a number of bytes, or a size such as \"512M\" or \"20G\", at least {}, or \"unlimited\"",
                    size(*min)
                )
            }
            Self::Time { unlimited } => {
                format!("a time such as \"90s\", \"30m\", \"12h\" or \"30d\"{}", or(*unlimited))
            }
            Self::Choice(words) => words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or "),
            Self::Text { expected, .. } => (*expected).into(),
            Self::Path => "the path of a directory".into(),
            Self::File => "the path of a file".into(),
            Self::Bool => "true or false".into(),
        }
    }

    /// Parses one value of a flag or a variable.
    pub(crate) fn parse_os(&self, text: &OsStr) -> Result<Value, String> {
        match (self, text.to_str()) {
            (Self::Path | Self::File, _) if text.is_empty() => Err(format!("expected {}", self.expected())),
            (Self::Path | Self::File, _) => Ok(Value::Path(text.into())),
            (_, Some(text)) => self.parse(text),
            (_, None) => Err("it is not UTF-8".into()),
        }
    }

    /// Parses one value.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Number { unlimited: true, .. } | Self::Time { unlimited: true } if text == UNLIMITED => {
                Ok(Value::Unlimited)
            }
            Self::Number { .. } => match text.parse() {
                Ok(number) => self.number(number),
                Err(_) => Err(format!("expected {}", self.expected())),
            },
            Self::Size { min } => match bytes(text)?.0 {
                None => Ok(Value::Unlimited),
                Some(bytes) => at_least(*min, bytes),
            },
            Self::Time { .. } => duration(text).map(Value::Time),
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.into())),
            Self::Choice(_) => Err(format!("expected {}", self.expected())),
            Self::Text { check, .. } => check(text).map(|()| Value::Text(text.into())),
            Self::Path | Self::File => self.parse_os(OsStr::new(text)),
            Self::Bool => match text.parse() {
                Ok(bool) => Ok(Value::Bool(bool)),
                Err(_) => Err(format!("expected {}", self.expected())),
            },
        }
    }

    /// Parses one value of a file.
    pub(crate) fn parse_toml(&self, value: &DeValue<'_>) -> Result<Value, String> {
        match (self, value) {
            (Self::Number { .. }, DeValue::String(text)) if **text != *UNLIMITED => Err(self.wrong_type(value)),
            (Self::Bool, DeValue::Boolean(bool)) => Ok(Value::Bool(*bool)),
            (Self::Bool, _) => Err(self.wrong_type(value)),
            (_, DeValue::String(text)) => self.parse(text),
            (Self::Number { .. } | Self::Size { .. }, DeValue::Integer(number)) => {
                let digits: String = number.as_str().chars().filter(|char| *char != '_').collect();
                match i128::from_str_radix(&digits, number.radix()) {
                    Ok(number) => self.number(number),
                    Err(_) => Err(format!("expected {}", self.expected())),
                }
            }
            _ => Err(self.wrong_type(value)),
        }
    }

    fn wrong_type(&self, value: &DeValue<'_>) -> String {
        let article = if value.type_str().starts_with(['a', 'i']) { "an" } else { "a" };
        format!("expected {}, found {article} {}", self.expected(), value.type_str())
    }

    fn number(&self, number: i128) -> Result<Value, String> {
        match self {
            Self::Size { min } => match u64::try_from(number).ok().filter(|bytes| (1..=1 << 63).contains(bytes)) {
                Some(bytes) => at_least(*min, bytes),
                None => Err(format!("expected {}", self.expected())),
            },
            Self::Number { min, max, .. } => match u64::try_from(number).ok().filter(|it| (min..=max).contains(&it)) {
                Some(number) => Ok(Value::Number(number)),
                None => Err(format!("{number} is not in {min}..={max}")),
            },
            _ => Err(format!("expected {}", self.expected())),
        }
    }
}

fn at_least(min: u64, bytes: u64) -> Result<Value, String> {
    if bytes < min { Err(format!("at least {} are needed", size(min))) } else { Ok(Value::Size(bytes)) }
}

/// Returns a number with the largest unit that divides it.
fn with_unit(number: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor));
    let (unit, factor) = unit.copied().unwrap_or(("", 1));
    format!("{}{unit}", number / factor)
}

fn size(bytes: u64) -> String {
    with_unit(bytes, &[("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)])
}

/// Formats the value as flags and variables have it; a list with commas.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Size(bytes) => f.write_str(&size(*bytes)),
            Self::Time(time) => {
                f.write_str(&with_unit(time.as_secs(), &[("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]))
            }
            Self::Unlimited => f.write_str(UNLIMITED),
            Self::Text(text) => f.write_str(text),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Unset => f.write_str("unset"),
            Self::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    value.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl Value {
    /// Returns the value as TOML.
    pub(crate) fn to_toml(&self) -> String {
        match self {
            Self::Number(_) | Self::Bool(_) => self.to_string(),
            Self::List(values) => {
                format!("[{}]", values.iter().map(Self::to_toml).collect::<Vec<_>>().join(", "))
            }
            _ => quoted(&self.to_string()),
        }
    }

    /// Returns the value as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Bool(bool) => (*bool).into(),
            Self::Unset => serde_json::Value::Null,
            Self::List(values) => values.iter().map(Self::to_json).collect(),
            _ => self.to_string().into(),
        }
    }

    /// Returns the number or the bytes; `None` where there is no limit.
    pub(super) const fn limit(&self) -> Option<u64> {
        match self {
            Self::Number(number) | Self::Size(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) const fn time(&self) -> Option<Duration> {
        match self {
            Self::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Returns the values of a list, or the only one.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            value => std::slice::from_ref(value),
        }
    }
}

/// Returns a text as a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(char));
            }
            _ => quoted.push(char),
        }
    }
    quoted + "\""
}
