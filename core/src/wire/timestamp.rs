//! Wall time as the protocol writes it.

use core::{fmt, str::FromStr};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// A moment of wall time in whole seconds, from year 0 to year 9999, the range of RFC 3339 in 20 bytes.
///
/// ```
/// use chanwire_core::wire::Timestamp;
///
/// let when = Timestamp::from_unix(1_698_937_472);
/// assert_eq!(when.to_string(), "2023-11-02T15:04:32Z");
/// assert_eq!("2023-11-02T15:04:32Z".parse(), Ok(when));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const YEARS: (i64, i64) = (-62_167_219_200, 253_402_300_799);

impl Timestamp {
    /// Makes the moment so many seconds after 1970, UTC. Moments outside of the years 0 to 9999 become the nearest one
    /// inside.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(YEARS.0, YEARS.1))
    }

    /// Returns the seconds since 1970, UTC.
    #[must_use]
    pub const fn as_unix(self) -> i64 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
        let number = |at: usize, length: usize| {
            bytes
                .get(at..at + length)?
                .iter()
                .try_fold(0_u32, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
        };
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if separators.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
            return None;
        }
        let small = |at| number(at, 2).and_then(|number| u8::try_from(number).ok());
        let month = Month::try_from(small(5)?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(number(0, 4)?).ok()?, month, small(8)?).ok()?;
        let time = Time::from_hms(small(11)?, small(14)?, small(17)?).ok()?;
        Some(Self(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()))
    }
}

/// Text that is no time in the protocol's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotATimestamp;

impl fmt::Display for NotATimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a time in UTC and whole seconds, such as 2023-11-02T15:04:32Z")
    }
}

impl core::error::Error for NotATimestamp {}

/// Reads the protocol's form: RFC 3339, UTC, whole seconds, ending in `Z`.
impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        Self::parse(text).ok_or(NotATimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        // Digit by digit: this stands in every answer to a MESSAGE, and formatting is most of what such an answer
        // costs.
        let mut text = *b"0000-00-00T00:00:00Z";
        let year = year.unsigned_abs();
        let numbers = [
            year / 100,
            year % 100,
            month.into(),
            day.into(),
            at.hour().into(),
            at.minute().into(),
            at.second().into(),
        ];
        for (place, number) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(numbers) {
            if let Some([tens, ones]) = text.get_mut(place..place + 2) {
                *tens += (number / 10 % 10) as u8;
                *ones += (number % 10) as u8;
            }
        }
        f.write_str(core::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_representable_moment_reads_back() {
        for seconds in [YEARS.0, -1, 0, 951_782_400, 1_698_937_472, 4_102_444_799, YEARS.1] {
            let when = Timestamp::from_unix(seconds);
            assert_eq!(when.to_string().len(), 20);
            assert_eq!(when.to_string().parse(), Ok(when));
        }
        assert_eq!(Timestamp::from_unix(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2023-11-02T15:04:32",
            "2023-11-02t15:04:32Z",
            "2023-13-02T15:04:32Z",
            "2023-11-02T15:04:60Z",
            "2023-02-29T00:00:00Z",
            "2023-11-02T15:04:3éZ",
            "+023-11-02T15:04:32Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp), "{text}");
        }
    }
}
