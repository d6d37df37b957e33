//! Lines of JSON, one after the other, as the inspector writes rows.

use super::{ReadError, Sink};

/// The longest line that is read. A row's bytes may be an answer of 64 MiB, and base64 makes a third more of them.
const MAX_LINE: usize = 100 << 20;

/// A reader of lines. It remembers how many bytes of the rest hold no line end, so that none is looked at twice.
#[derive(Debug, Default)]
pub(super) struct Lines {
    searched: usize,
}

/// Returns whether these are lines of this form: the first one, or its beginning, is of a connection or a row.
pub(super) fn detect(first: &[u8]) -> bool {
    let line = first.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let Some(inside) = line.trim_ascii_start().strip_prefix(b"{") else { return false };
    let inside = inside.trim_ascii_start();
    [&b"\"connection\""[..], b"\"row\""].iter().any(|name| inside.starts_with(name))
}

impl Lines {
    /// Reads whole lines, and at the end the rest too; gives how many bytes they had. The error says where.
    pub(super) fn read(&mut self, bytes: &[u8], end: bool, sink: &mut dyn Sink) -> Result<usize, ReadError> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let searched = std::mem::take(&mut self.searched);
            let found = memchr::memchr(b'\n', rest.get(searched..).unwrap_or_default());
            let (line, length) = match found {
                Some(at) => (rest.get(..searched + at).unwrap_or_default(), searched + at + 1),
                None if end && !rest.is_empty() => (rest, rest.len()),
                None if rest.len() > MAX_LINE => {
                    return Err(
                        ReadError::from(format!("a line of more than {MAX_LINE} bytes is not read")).at(used as u64)
                    );
                }
                None => {
                    self.searched = rest.len();
                    return Ok(used);
                }
            };
            sink.line(line.strip_suffix(b"\r").unwrap_or(line))
                .map_err(|message| ReadError::from(message).at(used as u64))?;
            used += length;
        }
    }
}

/// Returns whether a line of JSON ends before its value does.
pub(super) fn ends_inside(line: &[u8]) -> bool {
    let inside = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof());
    // Half a number is taken for a wrong one.
    inside(line) || inside(&[line, b"0"].concat())
}
