//! The status of a running store and counts of its work, for metrics and health checks.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// An operation that a store repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Commit,
    Load,
    Read,
    Checkpoint,
    Retention,
    /// Looking for free space.
    Space,
    /// Erasing the texts of deleted messages from the files.
    Erasure,
}

impl Operation {
    /// Every operation, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] =
        [Self::Commit, Self::Load, Self::Read, Self::Checkpoint, Self::Retention, Self::Space, Self::Erasure];

    /// Returns its name in logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Load => "load",
            Self::Read => "read",
            Self::Checkpoint => "checkpoint",
            Self::Retention => "retention",
            Self::Space => "space",
            Self::Erasure => "erasure",
        }
    }

    /// Returns whether clients are answered SERVER_ERROR while it fails.
    const fn is_vital(self) -> bool {
        matches!(self, Self::Commit | Self::Load | Self::Read)
    }
}

/// Upper bounds of the durations of commits, in microseconds. A sync takes 0.1 ms on a good disk and 10 ms on a plain one.
const MICROSECONDS: [u64; 16] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// The durations of commits, by upper bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durations {
    counts: [u64; MICROSECONDS.len() + 1],
    sum: Duration,
}

impl Durations {
    fn observe(&mut self, time: Duration) {
        let bucket = MICROSECONDS.partition_point(|bound| u128::from(*bound) < time.as_micros());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += time;
    }

    /// Returns each bound in microseconds with the number of durations up to it and above the one before. The last has
    /// no bound.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        MICROSECONDS.into_iter().map(Some).chain([None]).zip(self.counts)
    }

    pub(crate) const fn sum(&self) -> Duration {
        self.sum
    }
}

/// The status of a store, shared by its threads and those that ask.
#[derive(Debug, Default)]
pub(crate) struct StoreStatus {
    /// The database; `None` for a store without files.
    file: Option<PathBuf>,
    operations: [OperationStatus; Operation::ALL.len()],
    is_low_on_space: AtomicBool,
    /// Messages dropped because the store was full.
    evicted: AtomicU64,
    commits: Mutex<Durations>,
}

#[derive(Debug, Default)]
struct OperationStatus {
    is_failing: AtomicBool,
    failures: AtomicU64,
}

impl StoreStatus {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..Self::default() }
    }

    #[expect(clippy::indexing_slicing, reason = "the array has an element for each operation")]
    const fn of(&self, operation: Operation) -> &OperationStatus {
        &self.operations[operation as usize]
    }

    /// Returns the path of the database, if the store has one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Records the result of an operation.
    pub(super) fn record(&self, operation: Operation, works: bool) {
        let status = self.of(operation);
        status.is_failing.store(!works, Relaxed);
        if !works {
            status.failures.fetch_add(1, Relaxed);
        }
    }

    /// Records whether commits are refused because too little space is free.
    pub(super) fn set_low_on_space(&self, is_low: bool) {
        self.is_low_on_space.store(is_low, Relaxed);
    }

    pub(super) fn evict(&self, messages: u64) {
        self.evicted.fetch_add(messages, Relaxed);
    }

    pub(super) fn committed(&self, time: Duration) {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).observe(time);
    }

    /// Returns the number of an operation's failures.
    pub(crate) fn failures(&self, operation: Operation) -> u64 {
        self.of(operation).failures.load(Relaxed)
    }

    /// Returns the number of messages that were dropped because the store was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Returns the durations of all commits.
    pub(crate) fn commits(&self) -> Durations {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what keeps the store from working; `None` if nothing does.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.is_low_on_space.load(Relaxed) {
            return Some("too little space is free (--store-min-free)".into());
        }
        let is_failing = |operation: &Operation| operation.is_vital() && self.of(*operation).is_failing.load(Relaxed);
        let failing: Vec<&str> = Operation::ALL.into_iter().filter(is_failing).map(Operation::name).collect();
        (!failing.is_empty()).then(|| format!("{} fails, see the log", failing.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_works_again_when_every_vital_operation_does() {
        let status = StoreStatus::default();
        assert_eq!(status.fault(), None);
        status.record(Operation::Checkpoint, false);
        assert_eq!(status.fault(), None, "it costs space, not answers");
        status.record(Operation::Commit, false);
        status.record(Operation::Read, false);
        assert_eq!(status.fault().as_deref(), Some("commit, read fails, see the log"));
        status.record(Operation::Commit, true);
        assert_eq!(status.fault().as_deref(), Some("read fails, see the log"));
        status.record(Operation::Read, true);
        assert_eq!(status.fault(), None);
        status.set_low_on_space(true);
        assert!(status.fault().is_some());
        assert_eq!(Operation::ALL.map(|operation| status.failures(operation)), [1, 0, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn operations_are_numbered_in_order() {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number);
        }
    }

    #[test]
    fn a_duration_is_counted_below_its_bound() {
        let mut durations = Durations::default();
        for micros in [0, 100, 101, 60_000_000] {
            durations.observe(Duration::from_micros(micros));
        }
        let counted: Vec<_> = durations.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(Some(100), 2), (Some(250), 1), (None, 1)]);
        assert_eq!(durations.sum(), Duration::from_micros(60_000_201));
    }
}
