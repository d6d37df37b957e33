//! Traffic over time, in bounded memory.

use serde::Serialize;

use super::histogram::Histogram;

/// The most slots. When the capture grows longer than they reach, each is made twice as wide.
const SLOTS: usize = 1024;

/// The first width of a slot, in milliseconds.
const FIRST_WIDTH: f64 = 1.0;

/// Rows by the time at which they came.
#[derive(Debug)]
pub(crate) struct Times {
    width: f64,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    frames: u64,
    bad: u64,
    trips: Histogram,
}

impl Slot {
    fn merge(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bad += other.bad;
        self.trips.merge(&other.trips);
    }
}

impl Default for Times {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, slots: Vec::new() }
    }
}

impl Times {
    /// Counts a row at this time, in milliseconds from the capture's origin.
    pub(crate) fn take(&mut self, time: f64, bad: bool, trip: Option<f64>) {
        while time >= self.width * SLOTS as f64 {
            self.widen();
        }
        // A time before the origin counts as the first moment.
        let at = ((time / self.width) as usize).min(SLOTS - 1);
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slot::default);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            slot.frames += 1;
            slot.bad += u64::from(bad);
            if let Some(trip) = trip {
                slot.trips.take(trip);
            }
        }
    }

    fn widen(&mut self) {
        self.width *= 2.0;
        let pairs = self.slots.chunks(2).map(|pair| {
            let mut slot = pair.first().cloned().unwrap_or_default();
            pair.iter().skip(1).for_each(|second| slot.merge(second));
            slot
        });
        self.slots = pairs.collect();
    }

    /// Returns at most `buckets` equal buckets from the slot of `from`.
    pub(crate) fn timeline(&self, from: f64, buckets: usize) -> Timeline {
        let first = ((from / self.width) as usize).min(self.slots.len());
        let slots = self.slots.get(first..).unwrap_or_default();
        let step = slots.len().div_ceil(buckets.max(1)).max(1);
        let merged: Vec<Slot> = slots
            .chunks(step)
            .map(|run| {
                let mut slot = Slot::default();
                run.iter().for_each(|one| slot.merge(one));
                slot
            })
            .collect();
        Timeline {
            start: first as f64 * self.width,
            step: if merged.is_empty() { 0.0 } else { step as f64 * self.width },
            frames: merged.iter().map(|slot| slot.frames).collect(),
            bad: merged.iter().map(|slot| slot.bad).collect(),
            p99: merged.iter().map(|slot| slot.trips.percentile(99)).collect(),
        }
    }
}

/// Equal buckets that cover the time from the oldest row held to the newest. Times are in milliseconds from the
/// capture's origin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// When the first bucket begins.
    pub start: f64,
    /// The length of each; 0 when there is none.
    pub step: f64,
    /// The number of rows that came in each.
    pub frames: Vec<u64>,
    /// The number of bad rows in each.
    pub bad: Vec<u64>,
    /// The round trip that 99 of 100 answers in each did not exceed, where there were any.
    pub p99: Vec<Option<f64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_bucket_however_long_the_capture_grows() {
        let mut times = Times::default();
        for at in 0..5000_u32 {
            times.take(f64::from(at), at % 5 == 0, (at % 2 == 0).then_some(3.0));
            if at % 250 == 0 {
                let timeline = times.timeline(0.0, 100);
                assert!(timeline.frames.len() <= 100, "{timeline:?}");
                assert_eq!(timeline.frames.iter().sum::<u64>(), u64::from(at + 1));
            }
        }
        let timeline = times.timeline(0.0, 50);
        assert_eq!(timeline.bad.iter().sum::<u64>(), 1000);
        assert!(timeline.start + timeline.step * timeline.frames.len() as f64 > 4999.0);
        assert!(timeline.p99.iter().all(|trip| trip.is_some_and(|trip| (trip - 3.0).abs() < 0.2)));
        let later = times.timeline(4000.0, 50);
        assert!(later.start <= 4000.0 && later.start > 3980.0 && later.frames.iter().sum::<u64>() < 1010, "{later:?}");
        assert_eq!(Times::default().timeline(0.0, 9).step, 0.0);
    }
}
