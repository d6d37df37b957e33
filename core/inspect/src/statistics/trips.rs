//! Round trips of one kind of traffic: exact while they are few, then to within a few percent.

use super::histogram::Histogram;

/// The most times that are kept as they are: 8 KB for each kind of traffic.
const MAX_EXACT: usize = 1000;

/// Times in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Trips {
    /// Every time, in order of size; empty once there are more than [`MAX_EXACT`].
    exact: Vec<f64>,
    all: Histogram,
    approximate: bool,
}

impl Trips {
    pub(super) fn take(&mut self, millis: f64) {
        self.all.take(millis);
        if self.approximate {
            return;
        }
        if self.exact.len() == MAX_EXACT {
            self.approximate = true;
            self.exact = Vec::new();
        } else {
            let place = self.exact.partition_point(|earlier| earlier.total_cmp(&millis).is_le());
            self.exact.insert(place, millis);
        }
    }

    /// Returns this percentile.
    pub(super) fn percentile(&self, percent: usize) -> Option<f64> {
        if self.approximate {
            return self.all.percentile(percent as u64);
        }
        let rank = (self.exact.len() * percent).div_ceil(100).max(1);
        self.exact.get(rank - 1).copied()
    }

    /// Returns whether percentiles are the middle of a range and not a time that was seen.
    pub(super) const fn is_approximate(&self) -> bool {
        self.approximate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_are_times_that_were_seen_and_of_many_near_them() {
        let mut trips = Trips::default();
        let mut seen = Vec::new();
        assert_eq!(trips.percentile(50), None);
        for at in 0..2 * MAX_EXACT {
            let millis = ((at * 7919) % 2003) as f64 / 7.0;
            trips.take(millis);
            seen.push(millis);
            seen.sort_by(f64::total_cmp);
            assert_eq!(trips.is_approximate(), seen.len() > MAX_EXACT);
            for percent in [50, 95, 99] {
                let exact = seen[(seen.len() * percent).div_ceil(100) - 1];
                let reported = trips.percentile(percent).unwrap();
                let near = if trips.is_approximate() { exact / 25.0 + 0.001 } else { 0.0 };
                assert!((reported - exact).abs() <= near, "{reported} for {exact}");
            }
        }
    }
}
