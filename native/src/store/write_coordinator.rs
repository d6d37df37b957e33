//! Coordinates the store's two writers: commits and retention.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Retention;

/// The write lock, and the channel logs that have grown since retention looked.
///
/// SQLite also admits one writer at a time, but its busy handler polls in steps of milliseconds; here the second writer
/// continues at once.
#[derive(Debug, Default)]
pub(super) struct WriteCoordinator {
    write_lock: Mutex<()>,
    grown: Mutex<Grown>,
    /// Notified when a first log has grown. Separate from the pause's, which no commit must end.
    grew: Condvar,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct Grown {
    logs: BTreeSet<i64>,
    /// Whether commits need room.
    room: bool,
    /// Limits that retention has not taken yet.
    retention: Option<Retention>,
    closed: bool,
}

impl WriteCoordinator {
    /// Waits for the write lock, and holds it until the guard is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        // The transaction of a thread that panicked with the lock is rolled back.
        self.write_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records logs that have grown.
    pub(super) fn note_growth(&self, logs: Vec<i64>) {
        let mut grown = self.grown();
        let first = grown.logs.is_empty();
        grown.logs.extend(logs);
        if first && !grown.logs.is_empty() {
            self.grew.notify_all();
        }
    }

    /// Gives retention other limits, and ends its waiting.
    pub(super) fn retain(&self, retention: Retention) {
        self.grown().retention = Some(retention);
        self.grew.notify_all();
    }

    /// Takes the limits that retention was given, if it was given any.
    pub(super) fn take_retention(&self) -> Option<Retention> {
        self.grown().retention.take()
    }

    /// Ends retention's waiting, because commits need room.
    pub(super) fn request_room(&self) {
        let mut grown = self.grown();
        if !grown.room {
            grown.room = true;
            self.grew.notify_all();
            self.closed.notify_all();
        }
    }

    /// Takes the logs that have grown since the last call. Waits until there are some, commits need room or there are
    /// other limits, at most until `end`. Returns `None` once closed.
    pub(super) fn wait_for_growth(&self, end: Instant) -> Option<BTreeSet<i64>> {
        let is_quiet =
            |grown: &mut Grown| !grown.closed && !grown.room && grown.retention.is_none() && grown.logs.is_empty();
        let grown = self.wait(&self.grew, end, is_quiet);
        (!grown.closed).then_some(grown).map(|mut grown| {
            grown.room = false;
            mem::take(&mut grown.logs)
        })
    }

    /// Waits for a time, or until commits need room or it is closed. Returns whether it is still open.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        !self.wait(&self.closed, Instant::now() + pause, |grown| !grown.closed && !grown.room).closed
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.grown().closed = true;
        self.grew.notify_all();
        self.closed.notify_all();
    }

    fn wait(&self, condition: &Condvar, end: Instant, unfit: impl FnMut(&mut Grown) -> bool) -> MutexGuard<'_, Grown> {
        let left = end.saturating_duration_since(Instant::now());
        condition.wait_timeout_while(self.grown(), left, unfit).unwrap_or_else(PoisonError::into_inner).0
    }

    fn grown(&self) -> MutexGuard<'_, Grown> {
        // No holder can panic half-way through a change.
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
