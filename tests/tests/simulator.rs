//! The whole server in a simulated world: no law is broken, whatever fails.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::{num::NonZero, thread};

use chanwire_tests::{
    generate::fewer,
    sim::{Run, Tally, run},
};

/// The number of worlds tried; `make simulate SEEDS=…` tries as many as asked.
const SEEDS: u32 = 2000;

fn clean(seed: u64) -> Run {
    run(seed, false).unwrap_or_else(|violation| {
        panic!("seed {seed}: {violation}\nTo see what led to it: make simulate SEED={seed}")
    })
}

#[test]
fn no_law_is_broken_in_any_world_and_every_fault_occurs() {
    let seeds = fewer(SEEDS);
    let jobs = thread::available_parallelism().map_or(1, NonZero::get);
    let share = |first| {
        (0..u64::from(seeds)).skip(first).step_by(jobs).fold(Tally::default(), |mut total, seed| {
            total += &clean(seed).tally;
            total
        })
    };
    // The first share is this thread's: where there is only one thread, it is all.
    let total = thread::scope(|scope| {
        let others: Vec<_> = (1..jobs).map(|first| scope.spawn(move || share(first))).collect();
        others.into_iter().fold(share(0), |mut total, other| {
            total += &other.join().unwrap();
            total
        })
    });
    // In a few worlds not everything happens.
    for (name, count) in total.counts().into_iter().filter(|_| seeds == SEEDS) {
        assert!(count > 0, "in {SEEDS} worlds there is not one of: {name}\n{total}");
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..50 {
        assert_eq!(clean(seed), clean(seed));
    }
}

#[test]
fn another_seed_gives_another_run() {
    let mut hashes: Vec<_> = (0..50).map(|seed| clean(seed).hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 50);
}
