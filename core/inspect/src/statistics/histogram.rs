//! A histogram of times, in bounded memory.

/// Buckets per doubling, so that a bucket's width is at most 1/16 of its value.
const STEPS: u32 = 16;

/// A power of two below which every microsecond has a bucket of its own.
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Longer times count as this one: 12 days.
const LONGEST: u64 = 1 << 40;

/// Counts of times.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// By bucket, as far as any was seen.
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    /// Counts a time in milliseconds.
    pub(super) fn take(&mut self, millis: f64) {
        let bucket = bucket((millis * 1000.0) as u64);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// Returns this percentile in milliseconds: the middle of its bucket.
    pub(super) fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let (low, high) = (lowest(bucket), lowest(bucket + 1));
        Some((low + (high - 1 - low) / 2) as f64 / 1000.0)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.total += other.total;
    }
}

fn bucket(micros: u64) -> usize {
    let micros = micros.min(LONGEST);
    let doublings = micros.checked_ilog2().unwrap_or(0).saturating_sub(STEP_BITS);
    (u64::from(doublings * STEPS) + (micros >> doublings)) as usize
}

/// Returns the fewest microseconds that belong in a bucket.
fn lowest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let doublings = (bucket / u64::from(STEPS)).saturating_sub(1);
    (bucket - doublings * u64::from(STEPS)) << doublings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_without_a_gap_and_narrow() {
        for at in 0..=bucket(LONGEST) {
            let (low, high) = (lowest(at), lowest(at + 1));
            assert!(low < high && (high - low) * u64::from(STEPS) <= low.max(u64::from(STEPS)), "{low} {high}");
            assert_eq!((bucket(low), bucket(high - 1)), (at, at));
        }
        assert_eq!(bucket(u64::MAX), bucket(LONGEST));
    }

    #[test]
    fn a_percentile_is_near_what_sorting_gives() {
        let mut times: Vec<f64> = (1..=1000_u32).map(|at| f64::from(at * at % 7919) / 10.0 + 0.5).collect();
        let mut histogram = Histogram::default();
        times.iter().for_each(|time| histogram.take(*time));
        times.sort_by(f64::total_cmp);
        for percent in [1, 50, 95, 99, 100] {
            let exact = times[usize::try_from(percent * 10 - 1).unwrap()];
            let reported = histogram.percentile(percent).unwrap();
            assert!((reported - exact).abs() <= exact / 25.0, "{reported} for {exact}");
        }
        assert_eq!(Histogram::default().percentile(50), None);
    }
}
