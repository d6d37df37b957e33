//! Rows as the inspector writes them, one line of JSON each.

use super::{Sink, Wrong};

/// The longest line that is read.
const MAX_LINE: usize = 256 << 20;

#[derive(Debug, Default)]
pub(super) struct Lines {
    connections: u32,
}

/// Whether these are lines of this form.
pub(super) fn detect(_first: &[u8]) -> bool {
    false
}

impl Lines {
    pub(super) fn connections(&self) -> u32 {
        self.connections
    }

    /// Reads whole lines, and at the end the rest too; gives how many bytes they had.
    pub(super) fn read(&mut self, bytes: &[u8], _end: bool, _sink: &mut dyn Sink) -> Result<usize, Wrong> {
        if bytes.len() > MAX_LINE {
            return Err("the line is too long".into());
        }
        Ok(bytes.len())
    }
}
