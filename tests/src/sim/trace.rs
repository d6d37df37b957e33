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

    /// Notes an event of connection, client or job number `subject`, with these bytes.
    pub(super) fn note(&mut self, now: Time, subject: u64, event: &'static str, bytes: &[u8]) {
        (now, subject, event, bytes).hash(&mut self.hasher);
        if self.verbose {
            self.show(now, format_args!("#{subject} {event} {}", bytes.escape_ascii()));
        }
    }

    /// Notes an event, described in words that are made only if the trace is shown.
    pub(super) fn describe<D: Display>(
        &mut self,
        now: Time,
        subject: u64,
        event: &'static str,
        words: impl FnOnce() -> D,
    ) {
        (now, subject, event).hash(&mut self.hasher);
        if self.verbose {
            self.show(now, format_args!("#{subject} {event} {}", words()));
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
