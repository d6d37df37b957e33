//! Random numbers for tests of the real program. A failed run can be repeated with its seed.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    thread,
};

/// The environment variable with the seed. Without it, each run uses another one.
const SEED: &str = "CHANWIRE_SEED";

/// A random number generator. A test that panics while it holds one prints how to repeat it with the same seed.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    numbers: fastrand::Rng,
}

impl Chance {
    /// Uses the seed in the environment, or else a random one.
    ///
    /// # Panics
    ///
    /// If the variable holds no number.
    #[must_use]
    pub fn new() -> Self {
        let seed = match env::var(SEED) {
            Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED}={seed} is no number")),
            Err(_) => RandomState::new().hash_one(0),
        };
        Self { seed, numbers: fastrand::Rng::with_seed(seed) }
    }

    /// Draws a number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.numbers.usize(..bound)
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        if thread::panicking() {
            let test = thread::current().name().unwrap_or_default().to_owned();
            let seed = self.seed;
            eprintln!("to repeat it: {SEED}={seed} cargo test -p chanwire-tests --features binary -- --exact {test}");
        }
    }
}

/// Returns how often a test kills the server: 5 times, or as often as the environment variable says in a long run.
///
/// # Panics
///
/// If the variable holds no number.
#[must_use]
pub fn crash_rounds() -> usize {
    const ROUNDS: &str = "CHANWIRE_CRASH_ROUNDS";
    env::var(ROUNDS).map_or(5, |rounds| rounds.parse().unwrap_or_else(|_| panic!("{ROUNDS}={rounds} is no number")))
}
