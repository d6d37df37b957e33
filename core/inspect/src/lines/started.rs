//! The time at which a recording began, as its lines spell it.

use chanwire_core::wire::Timestamp;

use crate::{Time, capture::FIRST_DATE};

/// The number of digits of a second's fraction, usually and where a time has nanoseconds.
const DIGITS: [usize; 2] = [6, 9];

/// Returns a time as RFC 3339, where it is a date.
pub(super) fn written(origin: Time) -> Option<String> {
    let nanoseconds = origin.nanoseconds().filter(|origin| *origin >= FIRST_DATE)?;
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let whole = Timestamp::from_unix(seconds).to_string();
    let whole = whole.strip_suffix('Z')?;
    let [usual, all] = DIGITS;
    Some(if rest % 1000 == 0 { format!("{whole}.{:0usual$}Z", rest / 1000) } else { format!("{whole}.{rest:0all$}Z") })
}

/// Reads it, in nanoseconds since 1970: RFC 3339 in UTC, with any fraction of a second.
pub(super) fn read(text: &str) -> Option<i64> {
    let (whole, fraction) = text.strip_suffix('Z')?.split_once('.').unwrap_or((text.strip_suffix('Z')?, ""));
    let seconds = format!("{whole}Z").parse::<Timestamp>().ok()?.as_unix();
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let [.., all] = DIGITS;
    let nanoseconds: i64 = format!("{fraction:0<all$}").get(..all)?.parse().ok()?;
    Time::from_parts(seconds, nanoseconds).nanoseconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        assert_eq!(written(1_698_937_472_250.5.into()).as_deref(), Some("2023-11-02T15:04:32.250500Z"));
        for origin in [1_698_937_472_000_000_000, 1_698_937_472_999_999_999, 1_790_000_000_123_456_789, 1 << 62] {
            let again = written(Time::from_nanoseconds(origin)).as_deref().and_then(read);
            assert_eq!(again, Some(origin));
        }
        assert_eq!(read("2023-11-02T15:04:32Z"), Some(1_698_937_472_000_000_000));
        assert_eq!(read("2023-11-02T15:04:32.1234567891Z"), Some(1_698_937_472_123_456_789));
        for none in ["2023-11-02T15:04:32", "2023-11-02T15:04:32.x5Z", "2023-11-02T15:04:32.+5Z", "yesterday", "Z"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn only_dates_are_written() {
        for none in [0.0, 5.0, 43_200_000.0, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(written(none.into()), None, "{none}");
        }
    }
}
