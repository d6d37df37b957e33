//! Moments, exact to the nanosecond.

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds from any origin, 1970 where it is a date, or not known.
///
/// A number of milliseconds becomes one as well; one that is not finite is not known.
///
/// ```
/// use chanwire_inspect::Time;
///
/// assert_eq!(Time::from(2.5), Time::from_nanoseconds(2_500_000));
/// assert_eq!(Time::from(f64::NAN), Time::UNKNOWN);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time(Option<i64>);

impl Time {
    /// A moment that is not known.
    pub const UNKNOWN: Self = Self(None);

    /// Returns the time this number of nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(Some(nanoseconds))
    }

    /// Returns the time these seconds and nanoseconds after the origin; unknown beyond the year 2262.
    #[must_use]
    pub fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(nanoseconds)))
    }

    /// Returns nanoseconds since the origin, if the moment is known.
    #[must_use]
    pub const fn nanoseconds(self) -> Option<i64> {
        self.0
    }

    /// Returns milliseconds since the origin, as exactly as a float can say it.
    #[must_use]
    pub fn milliseconds(self) -> Option<f64> {
        self.0.map(milliseconds)
    }

    /// Returns the time this number of milliseconds later.
    #[must_use]
    pub fn plus(self, milliseconds: f64) -> Self {
        match (self.0, Self::from(milliseconds).0) {
            (Some(moment), Some(more)) => Self(moment.checked_add(more)),
            _ => Self::UNKNOWN,
        }
    }
}

/// Returns nanoseconds as milliseconds.
pub(crate) fn milliseconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}

impl From<f64> for Time {
    fn from(milliseconds: f64) -> Self {
        // Apart, since of a date a float has no digits for nanoseconds.
        let whole = milliseconds.trunc();
        let rest = ((milliseconds - whole) * 1e6).round();
        Self((whole.abs() < 9e12).then(|| whole as i64 * 1_000_000 + rest as i64))
    }
}
