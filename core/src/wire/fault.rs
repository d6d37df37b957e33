//! Faults of a peer in the bytes of a frame, and their answers.

use alloc::{borrow::Cow, format, string::String};
use core::fmt::{self, Write as _};

use super::{Command, ErrorResponse, StartLine, Status, start_line::MAX_START_LINE};
use crate::Span;

/// A fault in the stream, always the peer's. It knows its own reply.
///
/// A fault is recoverable if and only if the end of the faulty frame is still known, but for two that close by
/// decision: what does not look like the protocol is not searched for an end.
///
/// | kind | the peer | is told REQUEST_ERROR | and its connection |
/// |---|---|---|---|
/// | `BareLf` | ended a command by `\n` alone | `Malformed command` | goes on |
/// | `BareCr` | ended a command by a `\r` with no `\n` after it | `Malformed command` | goes on |
/// | `UnknownStartLine` | sent a command that is not known | `Unknown command` | goes on |
/// | `BadByte` | sent a byte that no command has | `Malformed command` | closes |
/// | `LongStartLine` | sent a command of more than 32 bytes | `Malformed command` | closes |
/// | `Stray` | sent an object or array that no command precedes | `Malformed command` | goes on |
/// | `PayloadIsArray` | sent an array for a payload | `Invalid payload` | goes on |
/// | `PayloadNotObject` | began a payload with anything else | `Invalid payload` | closes |
/// | `Mismatch` | closed another bracket than the one that was open | `Invalid payload` | closes |
/// | `TooDeep` | nested deeper than 64 levels | `Invalid payload` | closes |
/// | `TooLarge` | sent more of a payload than the limit | `Payload too large` | closes |
/// | `Incomplete` | ended its stream inside a frame | `Incomplete request` | closes |
/// | `TimedOut` | took longer for a frame than the limit | `Request timed out` | closes |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes that belong to the fault: from the frame's first byte to the last that was looked at.
    pub span: Span,
    /// The position of the byte at which it was decided, if it was one byte.
    pub at: Option<u64>,
    /// The start line of the frame as far as it was read; empty where none was.
    pub start_line: String,
    /// The kind of fault.
    pub kind: FaultKind,
    /// The name of a start line in this direction: "command" or "status".
    pub(crate) noun: &'static str,
}

/// The first byte of a TLS handshake, with which no start line begins.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// A kind of fault. Offsets count from the payload's first byte, or the command's, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A line ended by a bare `\n`.
    BareLf,
    /// A line ended by a `\r` with no `\n` after it.
    BareCr,
    /// A well-formed start line that is not known.
    UnknownStartLine,
    /// A byte that no start line has.
    BadByte {
        /// The byte.
        byte: u8,
        /// Its offset in the word.
        offset: u64,
    },
    /// A start line of more than 32 bytes.
    LongStartLine,
    /// An object or array where a start line should stand.
    Stray,
    /// A payload that is an array.
    PayloadIsArray,
    /// A payload that starts with neither `{` nor `[`.
    PayloadNotObject {
        /// The byte in the brace's place.
        byte: u8,
    },
    /// A bracket that closes another than the one that is open.
    Mismatch {
        /// Its offset.
        offset: u64,
        /// The bracket that would have closed it.
        expected: char,
    },
    /// More than 64 levels of brackets.
    TooDeep {
        /// The offset of the bracket that opens one too many.
        offset: u64,
    },
    /// A payload of more bytes than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended inside a frame.
    Incomplete(Place),
    /// The frame took too long.
    TimedOut {
        /// The deadline in seconds from the frame's first byte.
        seconds: u64,
    },
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The start line, up to and with its CRLF.
    StartLine,
    /// Between the CRLF and the payload's first byte.
    BeforePayload,
    /// The payload.
    Payload,
    /// An object or array that is skipped.
    Skipped,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartLine => "inside a first word",
            Self::BeforePayload => "before the payload",
            Self::Payload => "inside a payload",
            Self::Skipped => "inside a skipped object",
        })
    }
}

impl Fault {
    /// Returns whether the connection goes on after it. This is the only such table.
    #[must_use]
    pub const fn is_recoverable(&self) -> bool {
        match self.kind {
            FaultKind::BareLf
            | FaultKind::BareCr
            | FaultKind::UnknownStartLine
            | FaultKind::Stray
            | FaultKind::PayloadIsArray => true,
            // By decision, although an end could be searched for.
            FaultKind::BadByte { .. } | FaultKind::LongStartLine | FaultKind::PayloadNotObject { .. } => false,
            FaultKind::Mismatch { .. }
            | FaultKind::TooDeep { .. }
            | FaultKind::TooLarge { .. }
            | FaultKind::Incomplete(_)
            | FaultKind::TimedOut { .. } => false,
        }
    }

    /// Returns the protocol's name of the error.
    #[must_use]
    pub const fn error(&self) -> &'static str {
        match self.kind {
            FaultKind::BareLf
            | FaultKind::BareCr
            | FaultKind::BadByte { .. }
            | FaultKind::LongStartLine
            | FaultKind::Stray => "Malformed command",
            FaultKind::UnknownStartLine => "Unknown command",
            FaultKind::PayloadIsArray
            | FaultKind::PayloadNotObject { .. }
            | FaultKind::Mismatch { .. }
            | FaultKind::TooDeep { .. } => "Invalid payload",
            FaultKind::TooLarge { .. } => "Payload too large",
            FaultKind::Incomplete(_) => "Incomplete request",
            FaultKind::TimedOut { .. } => "Request timed out",
        }
    }

    /// Returns a description of the fault and its place.
    #[must_use]
    pub fn details(&self) -> String {
        let noun = self.noun;
        match self.kind {
            FaultKind::BareLf => format!(r"A {noun} must end with \r\n, found a bare \n (with nc: nc -C)"),
            FaultKind::BareCr => format!(r"A {noun} must end with \r\n, found a bare \r (with nc: nc -C)"),
            FaultKind::UnknownStartLine => match self.in_capitals() {
                Some(name) => format!("Unknown {noun} '{}' (case matters: {name})", self.start_line),
                None => format!("Unknown {noun} '{}'", self.start_line),
            },
            FaultKind::BadByte { byte: TLS_HANDSHAKE, offset: 0 } => {
                format!("A {noun} must come first, found the beginning of a TLS handshake; TLS is off here")
            }
            FaultKind::BadByte { byte, offset } => format!(
                "A {noun} is 1 to {MAX_START_LINE} letters or underscores and then \\r\\n, found {} at byte {offset}",
                Byte(byte)
            ),
            FaultKind::LongStartLine => {
                format!("A {noun} has at most {MAX_START_LINE} bytes, found one more at byte {MAX_START_LINE}")
            }
            FaultKind::Stray => {
                format!("A {noun} must come first, found an object or array that no {noun} precedes")
            }
            FaultKind::PayloadIsArray => "The payload must be a JSON object, found an array".into(),
            FaultKind::PayloadNotObject { byte } => {
                format!("The payload must be a JSON object, found {} at byte 0", Byte(byte))
            }
            FaultKind::Mismatch { offset, expected } => {
                format!("Malformed JSON at byte {offset}: expected '{expected}' before any other bracket closes")
            }
            FaultKind::TooDeep { offset } => {
                format!("Malformed JSON at byte {offset}: nested deeper than {} levels", super::MAX_DEPTH)
            }
            FaultKind::TooLarge { limit } => format!("The payload exceeds the limit of {limit} bytes"),
            FaultKind::Incomplete(Place::StartLine) => format!("The connection ended inside a {noun}"),
            FaultKind::Incomplete(place) => format!("The connection ended {place}"),
            FaultKind::TimedOut { seconds } => format!("The request was not complete after {seconds} seconds"),
        }
    }

    /// Returns the known start line that differs from this one in case alone.
    fn in_capitals(&self) -> Option<&'static str> {
        fn known<H: StartLine>(word: &str) -> Option<&'static str> {
            H::parse(word.as_bytes()).map(H::name)
        }
        let word = self.start_line.to_ascii_uppercase();
        if self.noun == Command::NOUN { known::<Command>(&word) } else { known::<Status>(&word) }
    }

    /// Returns the answer that the protocol gives to it.
    #[must_use]
    pub fn reply(&self) -> ErrorResponse {
        ErrorResponse::request(Cow::Borrowed(self.error()), self.details())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error(), self.details())
    }
}

impl core::error::Error for Fault {}

/// A byte as an error's details show it: harmless in a terminal and a log.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\r' => f.write_str(r"'\r'"),
            b'\n' => f.write_str(r"'\n'"),
            b'\t' => f.write_str(r"'\t'"),
            b' '..=b'~' => {
                f.write_char('\'')?;
                f.write_char(char::from(self.0))?;
                f.write_char('\'')
            }
            byte => write!(f, "0x{byte:02x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_table_of_faults_says_what_each_of_them_does() {
        let kinds = [
            FaultKind::BareLf,
            FaultKind::BareCr,
            FaultKind::UnknownStartLine,
            FaultKind::BadByte { byte: b'!', offset: 0 },
            FaultKind::LongStartLine,
            FaultKind::Stray,
            FaultKind::PayloadIsArray,
            FaultKind::PayloadNotObject { byte: b'x' },
            FaultKind::Mismatch { offset: 1, expected: '}' },
            FaultKind::TooDeep { offset: 64 },
            FaultKind::TooLarge { limit: 65_536 },
            FaultKind::Incomplete(Place::Payload),
            FaultKind::TimedOut { seconds: 120 },
        ];
        let rows: Vec<&str> = include_str!("fault.rs").lines().filter(|line| line.starts_with("/// | `")).collect();
        assert_eq!(rows.len(), kinds.len());
        for (row, kind) in rows.into_iter().zip(kinds) {
            let fault = Fault { span: Span::new(0, 1), at: None, start_line: String::new(), kind, noun: "command" };
            let name = format!("{kind:?}");
            let name = name.split([' ', '(']).next().unwrap_or_default();
            let then = if fault.is_recoverable() { "goes on" } else { "closes" };
            assert!(row.starts_with(&format!("/// | `{name}` | ")), "{name}: {row}");
            assert!(row.ends_with(&format!(" | `{}` | {then} |", fault.error())), "{name}: {row}");
        }
    }
}
