//! Reports on a migration, to the log and to the service manager, which would end a start that takes longer than it
//! expects.
//!
//! A thread sends them, because some steps are one call that returns at its end: a sync, and a table that is dropped.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use crate::{service_manager, store::StoreError};

/// The interval of reports.
const REPORT: Duration = Duration::from_secs(5);

const THREAD: &str = "migration-reports";

/// A step of a migration.
#[derive(Clone, Debug)]
pub(in crate::store) enum Step {
    /// Every page of the older database is checked.
    Check,
    /// The rows are copied to a file, which is expected to have these bytes then.
    Copy { copy: PathBuf, bytes: u64 },
    /// The copy's tables become those of this version.
    Convert,
    /// The copy is synced.
    Sync,
}

/// Reports on a migration, from now until it is dropped.
#[must_use = "reports end when it is dropped"]
pub(in crate::store) struct Reports {
    step: Arc<Mutex<Step>>,
    /// `None` only while it is being dropped.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reports {
    /// Starts with the check of the older database.
    pub(in crate::store) fn start() -> Result<Self, StoreError> {
        Self::start_with(REPORT, |step| {
            tracing::info!("migrating the database: {step}");
            service_manager::migrating(step, 4 * REPORT);
        })
    }

    /// Calls `tell` at once and then once an interval.
    fn start_with(interval: Duration, tell: impl Fn(&Step) + Send + 'static) -> Result<Self, StoreError> {
        let step = Arc::new(Mutex::new(Step::Check));
        let (end, ended) = channel();
        let current = Arc::clone(&step);
        tell(&Step::Check);
        let report = move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let step = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tell(&step);
            }
        };
        let thread = Builder::new().name(THREAD.into()).spawn(report);
        let thread = thread.map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
        Ok(Self { step, end: Some(end), thread: Some(thread) })
    }

    /// Sets the step that is reported from now on.
    pub(super) fn set(&self, step: Step) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }
}

impl Drop for Reports {
    /// Returns after the last report.
    fn drop(&mut self) {
        self.end = None;
        // A panic in it was printed, and the migration does not depend on it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check => f.write_str("checking its pages"),
            Self::Copy { copy, bytes } => {
                let copied = fs::metadata(copy).map_or(0, |copy| copy.len());
                write!(f, "{copied} of {bytes} bytes copied")
            }
            Self::Convert => f.write_str("converting its tables"),
            Self::Sync => f.write_str("syncing the copy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_while_a_step_makes_no_call_and_end_with_the_migration() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, reports) = channel();
        let tell = move |step: &Step| drop(sender.send(step.to_string()));
        let running = Reports::start_with(Duration::from_millis(1), tell).unwrap();
        let copy = directory.path().join("copy");
        fs::write(&copy, "12345").unwrap();
        let steps = [
            (Step::Check, "checking its pages"),
            (Step::Copy { copy, bytes: 9 }, "5 of 9 bytes copied"),
            (Step::Convert, "converting its tables"),
            (Step::Sync, "syncing the copy"),
        ];
        for (step, text) in steps {
            running.set(step);
            assert_eq!(reports.iter().filter(|report| report == text).take(3).count(), 3);
        }
        drop(running);
        // Those that were sent before, and the end.
        assert!(reports.iter().all(|report| report == "syncing the copy"));
    }

    #[test]
    fn the_first_report_is_sent_at_once() {
        let (sender, reports) = channel();
        let running = Reports::start_with(Duration::MAX, move |step| drop(sender.send(step.to_string()))).unwrap();
        assert_eq!(reports.recv().unwrap(), "checking its pages");
        drop(running);
        reports.recv().unwrap_err();
    }
}
