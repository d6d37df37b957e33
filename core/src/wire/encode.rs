//! Canonical bytes: the one way in which this crate writes a frame.

use alloc::{string::String, vec::Vec};
use core::fmt::{Display, Write as _};

use super::{json::plain, start_line::StartLine};

/// A writer of one payload: `{"key": value, "key": value}`.
///
/// It cannot fail and cannot write anything but well-formed JSON, since nothing is ever pasted into it.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

/// Writes a start line and its CRLF.
pub(crate) fn start_line<H: StartLine>(out: &mut Vec<u8>, start_line: H) {
    out.extend_from_slice(start_line.name().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes an object whose members `fill` adds.
pub(crate) fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, empty: true });
    out.push(b'}');
}

impl Object<'_> {
    /// Writes a member that is a string.
    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        quoted(self.out, value);
        self
    }

    /// Writes a member that is a string, if there is one.
    pub(crate) fn optional_text(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(key, value);
        }
        self
    }

    /// Writes a member that is a string whose display form needs no escape.
    pub(crate) fn display(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.key(key);
        self.out.push(b'"');
        display(self.out, value);
        self.out.push(b'"');
        self
    }

    /// Writes a member that is an integer.
    pub(crate) fn integer(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key);
        display(self.out, value);
        self
    }

    /// Writes a member that is an integer, if there is one.
    pub(crate) fn optional_integer(&mut self, key: &str, value: Option<u64>) -> &mut Self {
        if let Some(value) = value {
            self.integer(key, value);
        }
        self
    }

    /// Writes a member that is `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key);
        display(self.out, value);
        self
    }

    /// Writes a member that is an array of strings.
    pub(crate) fn texts(&mut self, key: &str, texts: &[String]) -> &mut Self {
        self.key(key);
        self.out.push(b'[');
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                self.out.extend_from_slice(b", ");
            }
            quoted(self.out, text);
        }
        self.out.push(b']');
        self
    }

    /// Writes a member that is an array of objects, each filled from one item.
    pub(crate) fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) -> &mut Self {
        self.key(key);
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.extend_from_slice(b", ");
            }
            object(self.out, |object| fill(object, item));
        }
        self.out.push(b']');
        self
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.extend_from_slice(b", ");
        }
        self.empty = false;
        quoted(self.out, key);
        self.out.extend_from_slice(b": ");
    }
}

fn display(out: &mut Vec<u8>, value: impl Display) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl core::fmt::Write for Sink<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // A vector takes every byte, and the values written here are the standard library's and the timestamp's.
    let _ = write!(Sink(out), "{value}");
}

/// Writes a string with its quotes. Everything but `"`, `\` and controls below U+0020 stays as it is.
fn quoted(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((before, [byte, after @ ..])) = rest.split_at_checked(plain(rest)) {
        out.extend_from_slice(before);
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control => display(out, format_args!("\\u{:04x}", control)),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
