//! The progress of long work, on a terminal only.

use std::io::{self, IsTerminal as _, Stderr, Write as _};

/// A line of progress on standard error; nothing where that is no terminal.
pub(super) struct Progress {
    err: Stderr,
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let err = io::stderr();
        Self { on_terminal: err.is_terminal(), err }
    }

    /// Shows how much of the copying is done. The copy is checked after the last page, which takes a while too.
    pub(super) fn copied(&mut self, done: u32, all: u32) {
        if done < all {
            self.show(&format!("copying: {} %", u64::from(done) * 100 / u64::from(all)));
        } else {
            self.show("checking the copy");
        }
    }

    fn show(&mut self, text: &str) {
        if self.on_terminal {
            // The work is done all the same if this cannot be seen.
            let _ = write!(self.err, "\r\x1b[K{text}").and_then(|()| self.err.flush());
        }
    }
}

/// Clears the line.
impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}
