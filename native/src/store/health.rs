//! Logging of repeated failures: once when they begin and once when they end.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    StoreError,
    status::{Operation, StoreStatus},
};

/// A failure of a repeated operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store panicked: {0}; this is a defect, please report it")]
    Panic(String),
}

/// Turns a panic into a failure, so that the server answers SERVER_ERROR instead of hanging. The hub reloads after
/// every failure, so it does not depend on state that the panic left.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let says = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            Err(Failure::Panic(says.unwrap_or("without a message").to_owned()))
        }
    }
}

/// The state of a repeated operation: working or failing.
pub(super) struct Health {
    operation: Operation,
    status: Arc<StoreStatus>,
    failures: u64,
}

impl Health {
    /// Creates the state of a working operation.
    pub(super) const fn new(operation: Operation, status: Arc<StoreStatus>) -> Self {
        Self { operation, status, failures: 0 }
    }

    /// Returns whether the last result was a failure.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Runs the operation once, and logs the result if it differs from the last one. A panic is a failure.
    pub(super) fn attempt<T>(&mut self, work: impl FnOnce() -> Result<T, StoreError>) -> Option<T> {
        let result = guard(work);
        self.observe(&result);
        result.ok()
    }

    /// Records a result in the store's status, and logs it if it differs from the last one.
    pub(super) fn observe<T>(&mut self, result: &Result<T, impl fmt::Display>) {
        let operation = self.operation.name();
        match result {
            Err(error) => {
                self.status.record(self.operation, false);
                if self.failures == 0 {
                    tracing::error!(operation, %error, "the store fails; further failures are not logged");
                }
                self.failures = self.failures.saturating_add(1);
            }
            Ok(_) if self.failures > 0 => {
                self.status.record(self.operation, true);
                tracing::info!(operation, failures = self.failures, "the store works again");
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
            let mut health = Health::new(Operation::Commit, Arc::default());
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
