//! Chance in the tests of the real program. A run that fails can be repeated from its seed.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    thread,
};

/// The variable that names the seed. Without it each run has another.
const SEED: &str = "CHANWIRE_SEED";

/// Numbers that differ from run to run. A test that fails with one in its hands says how to have the same again.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    numbers: fastrand::Rng,
}

impl Chance {
    /// Starts from the seed that the environment names, or a random one.
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

    /// Draws a number below this one.
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

/// Returns the number of times that a test kills the server. A long run sets far more.
///
/// # Panics
///
/// If the variable holds no number.
#[must_use]
pub fn crash_rounds() -> usize {
    const ROUNDS: &str = "CHANWIRE_CRASH_ROUNDS";
    env::var(ROUNDS).map_or(5, |rounds| rounds.parse().unwrap_or_else(|_| panic!("{ROUNDS}={rounds} is no number")))
}
