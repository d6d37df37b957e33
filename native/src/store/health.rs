//! Logging a thing that fails again and again: once when it begins and once when it is over.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::StoreError;

/// A failure of work that is tried over and over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store panicked: {0}; this is a defect, please report it")]
    Panic(String),
}

/// Makes a panic a failure like any other: a server that answers SERVER_ERROR is better than one that hangs. After
/// any failure the hub loads, so nothing is built on what the panic left behind.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let says = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            Err(Failure::Panic(says.unwrap_or("without a message").to_owned()))
        }
    }
}

/// Whether something works that is tried over and over.
pub(super) struct Health {
    what: &'static str,
    failures: u64,
}

impl Health {
    /// Begins with something that works so far.
    pub(super) const fn new(what: &'static str) -> Self {
        Self { what, failures: 0 }
    }

    /// Tries once, and logs the result if it differs from the last one. A panic is a failure.
    pub(super) fn attempt<T>(&mut self, work: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
        let result = guard(work);
        self.observe(&result);
        result.ok()
    }

    /// Takes note of one try, and logs it if it came out otherwise than the one before.
    pub(super) fn observe<T>(&mut self, result: &Result<T, impl fmt::Display>) {
        match result {
            Err(error) => {
                if self.failures == 0 {
                    tracing::error!(what = self.what, %error, "the store fails; further failures are not logged");
                }
                self.failures = self.failures.saturating_add(1);
            }
            Ok(_) if self.failures > 0 => {
                tracing::info!(what = self.what, failures = self.failures, "the store works again");
                self.failures = 0;
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_the_first_failure_and_the_recovery_are_logged() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut health = Health::new("commit");
            for result in [Ok(()), Err("full"), Err("still full"), Err("broken"), Ok(()), Ok(()), Err("again")] {
                health.observe(&result);
            }
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 3, "{log}");
        for (line, parts) in lines.iter().zip([["ERROR", "full"], ["INFO", "failures=3"], ["ERROR", "again"]]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        }
    }
}
