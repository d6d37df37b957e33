//! A whole server and its clients, run from a seed. Network, disk and clock are simulated; all other code is the real
//! one.
//!
//! ```text
//!   Client ─┐ pipes that cut, delay,            ┌─ Server ─┐             ┌─ storage that fails, stalls,
//!   Client ─┤ freeze, reset and fill up         ├─ Server ─┤── Hub ──────┤  and crashes with or without
//!   Rogue  ─┘ ──────────────────────────────────┴─ Server ─┘             └─ its last commit
//!       │                                             │                        │
//!       └──────────────────────► the judge ◄──────────┴────────────────────────┘
//! ```
//!
//! The seed decides the size of the world, the kinds of faults, and each cut, delay and failure. There is one thread
//! and one virtual clock, and every order follows from the seed, so a run repeats exactly.
//!
//! Faults happen for a while. Then they stop, every client sends a last round of requests, and all must be answered and
//! closed within a bounded time. The laws are documented in `judge` and `ledger`.
#![expect(clippy::panic, reason = "a panic reports a broken law")]

mod actor;
mod judge;
mod ledger;
mod life;
mod moderation;
mod pipe;
mod plan;
mod process;
mod queue;
mod rights;
mod rogue;
mod sends;
mod socket;
mod storage;
mod subscriptions;
mod tally;
mod trace;
mod versions;
mod workload;
mod world;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use chanwire_core::Time;
pub use tally::Tally;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Counters of its events.
    pub tally: Tally,
    /// A hash of all events in order. Two runs of one seed have the same hash.
    pub hash: u64,
}

/// Runs the world of a seed. `verbose` prints its events to standard error.
///
/// # Errors
///
/// The message of the panic, which names the broken law.
pub fn run(seed: u64, verbose: bool) -> Result<Run, String> {
    catch_unwind(AssertUnwindSafe(|| {
        let (tally, hash) = world::World::new(seed, verbose).run();
        Run { tally, hash }
    }))
    .map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").into()
}

/// Returns the time `millis` milliseconds after `now`.
const fn later(now: Time, millis: u64) -> Time {
    now.after(Duration::from_millis(millis))
}
