//! Times of a capture: since its first event, wherever the times of its events count from.

use crate::{Time, time::milliseconds};

/// The earliest time that is taken for a date, in nanoseconds since 1970: a capture without dates counts from 0, and
/// some dumps count from midnight.
pub(crate) const FIRST_DATE: i64 = 366 * 86_400 * 1_000_000_000;

/// A converter of times from any origin into times since the first event. Dates may follow times that are none.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// In nanoseconds.
    pub(super) origin: Option<i64>,
    /// Nanoseconds since the origin.
    pub(super) last: i64,
}

/// The time of a recorded event.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Milliseconds since the first event: of an event whose time is not known, those of the one before it.
    pub(super) time: f64,
    pub(super) is_known: bool,
}

impl Clock {
    pub(super) fn at(&mut self, time: Time) -> At {
        let known = time.nanoseconds();
        if let Some(time) = known {
            let origin = self.origin.get_or_insert(time);
            if *origin < FIRST_DATE && time >= FIRST_DATE {
                // From counted times to dates: time goes on from where it was.
                *origin = time.saturating_sub(self.last);
            }
            self.last = time.saturating_sub(*origin);
        }
        At { time: milliseconds(self.last), is_known: known.is_some() }
    }
}
