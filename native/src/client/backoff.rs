//! Backoff between attempts to connect.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential backoff with jitter, so that the clients of a restarted server do not reconnect all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    tries: u32,
    random: u64,
}

impl Backoff {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { tries: 0, random: seed }
    }

    /// Returns the next wait, which is jittered between half and all of its nominal length.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(2_u32.saturating_pow(self.tries)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let half = whole / 2;
        let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(self.next_random() % millis.saturating_add(1))
    }

    /// Returns the wait before the next attempt: the next one, or the time that the server asked for with up to a second
    /// more.
    pub(crate) fn wait(&mut self, retry_after: Option<Duration>) -> Duration {
        match retry_after {
            None => self.next_wait(),
            Some(time) => time + Duration::from_millis(self.next_random() % 1000),
        }
    }

    /// Resets the backoff to the shortest wait.
    pub(crate) const fn reset(&mut self) {
        self.tries = 0;
    }

    /// Returns the next number of SplitMix64, which is as random as jitter needs.
    const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_no_two_clients_wait_alike() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..40).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        for seed in 0..100 {
            for (tries, wait) in (0..).zip(waits(seed)) {
                let whole = FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST);
                assert!(wait >= whole / 2 && wait <= whole, "{tries}: {wait:?}");
            }
        }
        assert_ne!(waits(1), waits(2));
        let asked = Duration::from_secs(3);
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..100).map(|_| backoff.wait(Some(asked))).collect();
        assert!(waits.iter().all(|wait| *wait >= asked && *wait < asked + Duration::from_secs(1)), "{waits:?}");
        assert_ne!(waits.first(), waits.last());
        let mut backoff = Backoff::new(1);
        let _ = (backoff.next_wait(), backoff.next_wait());
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
