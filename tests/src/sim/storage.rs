//! The server's store under faults: it stalls, it fails, and it denies commits that it has kept.

use chanwire_core::{
    Time,
    hub::{StoreCommand, StoreOutcome, Write},
};
use fastrand::Rng;

use super::{later, tally::Tally};
use crate::store::{Disk, Fate};

/// The misbehaviour of a store. Chances are in a hundred, times in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct StoreFaults {
    /// The chance that a command fails.
    pub(super) fail: u8,
    /// The chance that a failed commit is kept all the same.
    pub(super) keep: u8,
    /// The chance that a command stalls.
    pub(super) stall: u8,
    /// The longest time that it takes otherwise.
    pub(super) slow: u64,
}

impl StoreFaults {
    /// A store that does what it should.
    pub(super) const NONE: Self = Self { fail: 0, keep: 0, stall: 0, slow: 5 };
}

/// The longest that a command takes: less than a client waits for an answer.
const STALL: u64 = 20_000;

/// The durable state, and the command that is running on it.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) disk: Disk,
    pub(super) faults: StoreFaults,
    /// The time until which every command fails.
    pub(super) outage: Time,
    job: Option<Job>,
    jobs: u64,
}

#[derive(Debug)]
struct Job {
    number: u64,
    command: StoreCommand,
    fate: Fate,
    outcome: Option<StoreOutcome>,
}

/// A job that was begun: when it is done, and when that is reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) number: u64,
    pub(super) done: Time,
    pub(super) reported: Time,
}

impl Storage {
    pub(super) fn new(faults: StoreFaults) -> Self {
        Self { disk: Disk::default(), faults, outage: Time::default(), job: None, jobs: 0 }
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// Begins a command of the hub.
    ///
    /// # Panics
    ///
    /// If the command before has no outcome yet.
    pub(super) fn begin(&mut self, now: Time, command: StoreCommand, rng: &mut Rng, tally: &mut Tally) -> Begun {
        assert!(self.job.is_none(), "a second command for the store: {command:?}");
        let done = later(now, self.span(rng, tally));
        let reported = later(done, self.span(rng, tally));
        let fate = if now < self.outage || rng.u8(0..100) < self.faults.fail {
            match rng.u8(0..100) {
                chance if chance < self.faults.keep => Fate::Denied,
                chance if chance % 4 == 3 => Fate::Refused,
                _ => Fate::Lost,
            }
        } else {
            Fate::Done
        };
        match (&command, fate) {
            (StoreCommand::Load(_), Fate::Done) => tally.loads += 1,
            (StoreCommand::Load(_), _) => tally.failed_loads += 1,
            (_, Fate::Lost) => tally.lost_commits += 1,
            (_, Fate::Denied) => tally.denied_commits += 1,
            (_, Fate::Refused) => tally.refused_commits += 1,
            (_, Fate::Done) => tally.commits += 1,
        }
        self.jobs += 1;
        self.job = Some(Job { number: self.jobs, command, fate, outcome: None });
        Begun { number: self.jobs, done, reported }
    }

    /// Begins a read. Returns when it is done, when that is reported, and whether it works.
    pub(super) fn begin_read(&self, now: Time, rng: &mut Rng, tally: &mut Tally) -> (Time, Time, bool) {
        let done = later(now, self.span(rng, tally));
        let reported = later(done, self.span(rng, tally));
        let works = now >= self.outage && rng.u8(0..100) >= self.faults.fail;
        tally.failed_reads += u64::from(!works);
        (done, reported, works)
    }

    /// Draws how long a command takes, in milliseconds.
    fn span(&self, rng: &mut Rng, tally: &mut Tally) -> u64 {
        if rng.u8(0..100) < self.faults.stall {
            tally.stalls += 1;
            rng.u64(500..=STALL / 2)
        } else {
            rng.u64(0..=self.faults.slow)
        }
    }

    /// Carries out the command of this number, and returns the writes that became durable.
    pub(super) fn carry_out(&mut self, number: u64) -> Vec<Write> {
        let Some(job) = self.job.as_mut().filter(|job| job.number == number && job.outcome.is_none()) else {
            return Vec::new();
        };
        job.outcome = Some(self.disk.carry_out(&job.command, job.fate));
        match &job.command {
            StoreCommand::Commit(writes) if matches!(job.fate, Fate::Done | Fate::Denied) => writes.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Returns the outcome of the command of this number, unless the machine died meanwhile.
    pub(super) fn finish(&mut self, number: u64) -> Option<StoreOutcome> {
        self.job.take_if(|job| job.number == number).and_then(|job| job.outcome)
    }

    /// Kills the machine: the seed decides whether the running command is done. Returns what became durable by it.
    pub(super) fn crash(&mut self, rng: &mut Rng) -> Vec<Write> {
        let number = self.job.as_ref().map_or(0, |job| job.number);
        let writes = if rng.bool() { self.carry_out(number) } else { Vec::new() };
        self.job = None;
        writes
    }
}
