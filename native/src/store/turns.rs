//! What the two writers of a store, the commits and retention, have to do with each other.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Who writes next, and what has grown since retention looked.
///
/// SQLite has one writer at a time too, but there the second one sleeps in steps of milliseconds until the first is
/// done; here it goes on at once.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: Mutex<()>,
    grown: Mutex<Grown>,
    /// Told when the first log has grown. Two of them, so that a commit wakes nobody who pauses.
    grew: Condvar,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct Grown {
    logs: BTreeSet<i64>,
    /// Whether commits need room.
    room: bool,
    closed: bool,
}

impl Turns {
    /// Waits for the turn to write, and has it until the guard goes.
    pub(super) fn take(&self) -> MutexGuard<'_, ()> {
        // Whoever panicked with it has left a transaction that is rolled back.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These logs have more messages now.
    pub(super) fn note(&self, logs: Vec<i64>) {
        let mut grown = self.grown();
        let first = grown.logs.is_empty();
        grown.logs.extend(logs);
        if first && !grown.logs.is_empty() {
            self.grew.notify_all();
        }
    }

    /// Commits need room: retention is not to wait any longer.
    pub(super) fn want_room(&self) {
        let mut grown = self.grown();
        if !grown.room {
            grown.room = true;
            self.grew.notify_all();
            self.closed.notify_all();
        }
    }

    /// The logs that have grown since it was asked last. It waits until there are some or room is wanted, but not beyond
    /// `end`; `None` once it is closed.
    pub(super) fn grown_by(&self, end: Instant) -> Option<BTreeSet<i64>> {
        let grown = self.wait(&self.grew, end, |grown| !grown.closed && !grown.room && grown.logs.is_empty());
        (!grown.closed).then_some(grown).map(|mut grown| {
            grown.room = false;
            mem::take(&mut grown.logs)
        })
    }

    /// Waits for a time, or until room is wanted or it is closed. Whether it is not closed.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        !self.wait(&self.closed, Instant::now() + pause, |grown| !grown.closed && !grown.room).closed
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.grown().closed = true;
        self.grew.notify_all();
        self.closed.notify_all();
    }

    fn wait(&self, told: &Condvar, end: Instant, unfit: impl FnMut(&mut Grown) -> bool) -> MutexGuard<'_, Grown> {
        let left = end.saturating_duration_since(Instant::now());
        told.wait_timeout_while(self.grown(), left, unfit).unwrap_or_else(PoisonError::into_inner).0
    }

    fn grown(&self) -> MutexGuard<'_, Grown> {
        // A set and a flag are whole whenever somebody panics.
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
