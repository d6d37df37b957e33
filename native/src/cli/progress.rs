//! How far long work is, for somebody who watches.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Read, Write as _},
    time::{Duration, Instant},
};

/// How long work takes before anything is said of it, and how often it is said then.
const FIRST: Duration = Duration::from_secs(1);
const NEXT: Duration = Duration::from_millis(200);

/// A line of progress on standard error; nothing where that is no terminal. It is cleared when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    /// When to say more; never where nobody watches.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Progress of work that prints nothing until it is done.
    pub(super) fn new() -> Self {
        Self { next: io::stderr().is_terminal().then(Instant::now), shown: false }
    }

    /// Progress of work that prints as it goes on or is soon done: nothing for a moment, and nothing where what it prints
    /// goes to a terminal, and is seen there.
    pub(super) fn beside_output() -> Self {
        let watched = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self { next: watched.then(|| Instant::now() + FIRST), shown: false }
    }

    /// Shows how much of the copying is done. The copy is checked after the last page, which takes a while too.
    pub(super) fn copied(&mut self, done: u32, all: u32) {
        if done < all {
            self.tell(format_args!("copying: {} %", u64::from(done) * 100 / u64::from(all)));
        } else {
            self.show("checking the copy");
        }
    }

    /// When there is something to say again, if ever.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Says how far the work is, unless that was said a moment ago.
    pub(super) fn tell(&mut self, how_far: impl Display) {
        if self.next.is_some_and(|next| next <= Instant::now()) {
            self.show(how_far);
        }
    }

    fn show(&mut self, how_far: impl Display) {
        if self.next.is_some() {
            self.next = Some(Instant::now() + NEXT);
            self.shown = true;
            // The work is done all the same if this cannot be seen.
            let _ = write!(io::stderr(), "\r{how_far}\u{1b}[K");
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

/// A reader that says how much of it was read.
pub(super) struct Watched<R> {
    input: R,
    read: u64,
    /// How much there is, where that is known.
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
            self.progress.tell(how_far(self.read, self.size));
        }
        Ok(count)
    }
}

fn how_far(read: u64, size: Option<u64>) -> String {
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
    fn how_far_it_is_has_a_share_where_the_size_is_known() {
        assert_eq!(how_far(57_000_000, Some(228_000_000)), "read 57 of 228 MB, 25 %");
        assert_eq!(how_far(3_000_000, Some(2_000_000)), "read 3 of 2 MB, 100 %");
        assert_eq!(how_far(3_999_999, None), "read 3 MB");
    }

    #[test]
    fn nothing_is_said_where_nobody_watches_or_before_it_takes_long() {
        let mut nobody = Progress { next: None, shown: false };
        nobody.tell("x");
        assert!(!nobody.shown);
        let mut early = Progress { next: Some(Instant::now() + FIRST), shown: false };
        early.tell("x");
        assert!(!early.shown);
    }
}
