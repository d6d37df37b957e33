//! A trace of events: a hash by which two runs are compared, and lines for a person who looks into one.

use std::{
    fmt::Display,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use chanwire_core::Time;

/// The trace of one run.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: DefaultHasher,
    verbose: bool,
}

impl Trace {
    pub(super) fn new(verbose: bool) -> Self {
        Self { hasher: DefaultHasher::new(), verbose }
    }

    /// Something happened to connection, client or job number `who`, with these bytes.
    pub(super) fn note(&mut self, now: Time, who: u64, what: &'static str, bytes: &[u8]) {
        (now, who, what, bytes).hash(&mut self.hasher);
        if self.verbose {
            self.show(now, format_args!("#{who} {what} {}", bytes.escape_ascii()));
        }
    }

    /// The same, told in words that are made only if somebody reads them.
    pub(super) fn tell<D: Display>(&mut self, now: Time, who: u64, what: &'static str, words: impl FnOnce() -> D) {
        (now, who, what).hash(&mut self.hasher);
        if self.verbose {
            self.show(now, format_args!("#{who} {what} {}", words()));
        }
    }

    #[expect(clippy::print_stderr, reason = "this is what it is for")]
    fn show(&self, now: Time, line: impl Display) {
        eprintln!("{:>9} ms  {line}", now.as_millis());
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
