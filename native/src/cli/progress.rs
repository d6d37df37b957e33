//! Progress of long work, on a terminal.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Read, Write as _},
    time::{Duration, Instant},
};

/// Time until progress is first shown, and between two updates.
const FIRST: Duration = Duration::from_secs(1);
const NEXT: Duration = Duration::from_millis(200);

/// A line of progress on standard error; nothing where that is no terminal. It is cleared when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    /// The time of the next update; `None` where standard error is no terminal.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Shows progress of work that prints nothing until it is done.
    pub(super) fn new() -> Self {
        Self { next: io::stderr().is_terminal().then(Instant::now), shown: false }
    }

    /// Shows progress of work that prints as it goes on or is soon done: after a moment, and only where its output does
    /// not go to a terminal, which would show it.
    pub(super) fn beside_output() -> Self {
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self { next: watched.then(|| Instant::now() + FIRST), shown: false }
    }

    /// Shows how much of the copying is done. The copy is checked after the last page, which takes a while too.
    pub(super) fn copied(&mut self, done: u32, all: u32) {
        if done < all {
            self.update(format_args!("copying: {} %", u64::from(done) * 100 / u64::from(all)));
        } else {
            self.show("checking the copy");
        }
    }

    /// Returns the time of the next update, if there is one.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Shows the progress, unless it was updated a moment ago.
    pub(super) fn update(&mut self, progress: impl Display) {
        if self.next.is_some_and(|next| next <= Instant::now()) {
            self.show(progress);
        }
    }

    fn show(&mut self, progress: impl Display) {
        if self.next.is_some() {
            self.next = Some(Instant::now() + NEXT);
            self.shown = true;
            // The work is done all the same if this cannot be seen.
            let _ = write!(io::stderr(), "\r{progress}\u{1b}[K");
        }
    }

    /// Removes the line.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A reader that shows how much of it was read.
pub(super) struct Watched<R> {
    input: R,
    read: u64,
    /// The size of the whole input, where it is known.
    size: Option<u64>,
    progress: Progress,
}

impl<R> Watched<R> {
    pub(super) fn new(input: R, size: Option<u64>) -> Self {
        Self { input, read: 0, size: size.filter(|size| *size > 0), progress: Progress::beside_output() }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(bytes)?;
        self.read += u64::try_from(count).unwrap_or(u64::MAX);
        if count == 0 {
            self.progress.clear();
        } else {
            self.progress.update(share_read(self.read, self.size));
        }
        Ok(count)
    }
}

fn share_read(read: u64, size: Option<u64>) -> String {
    let megabytes = |bytes: u64| bytes / 1_000_000;
    match size {
        Some(size) => {
            let percent = u128::from(read) * 100 / u128::from(size);
            format!("read {} of {} MB, {} %", megabytes(read), megabytes(size), percent.min(100))
        }
        None => format!("read {} MB", megabytes(read)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_a_percentage_where_the_size_is_known() {
        assert_eq!(share_read(57_000_000, Some(228_000_000)), "read 57 of 228 MB, 25 %");
        assert_eq!(share_read(3_000_000, Some(2_000_000)), "read 3 of 2 MB, 100 %");
        assert_eq!(share_read(3_999_999, None), "read 3 MB");
    }

    #[test]
    fn nothing_is_shown_without_a_terminal_or_early() {
        let mut no_terminal = Progress { next: None, shown: false };
        no_terminal.update("x");
        assert!(!no_terminal.shown);
        let mut early = Progress { next: Some(Instant::now() + FIRST), shown: false };
        early.update("x");
        assert!(!early.shown);
    }
}
