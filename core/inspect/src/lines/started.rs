//! When a recording began, as its lines tell it.

use chanwire_core::wire::Timestamp;

use crate::capture::FIRST_DATE;

/// Times are told to the microsecond, which is what a time in milliseconds since 1970 can tell.
const DIGITS: usize = 6;

/// Milliseconds since 1970 as RFC 3339, where they are a date.
pub(super) fn written(origin: f64) -> Option<String> {
    if !(FIRST_DATE..1e15).contains(&origin) {
        return None;
    }
    let microseconds = (origin * 1000.0).round() as u64;
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let whole = Timestamp::from_unix(i64::try_from(seconds).ok()?).to_string();
    let whole = whole.strip_suffix('Z')?;
    Some(format!("{whole}.{rest:0DIGITS$}Z"))
}

/// Reads it, in milliseconds since 1970: RFC 3339 in UTC, with any fraction of a second.
pub(super) fn read(text: &str) -> Option<f64> {
    let (whole, fraction) = text.strip_suffix('Z')?.split_once('.').unwrap_or((text.strip_suffix('Z')?, ""));
    let seconds = Timestamp::parse(&format!("{whole}Z"))?.as_unix();
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: f64 = format!("0.{fraction}0").parse().ok()?;
    Some((seconds as f64 + fraction) * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        assert_eq!(written(1_698_937_472_250.5).as_deref(), Some("2023-11-02T15:04:32.250500Z"));
        for origin in [1_698_937_472_000.0, 1_698_937_472_999.999, 1_790_000_000_123.456] {
            let again = written(origin).as_deref().and_then(read).unwrap();
            assert!((again - origin).abs() < 0.001, "{origin} became {again}");
        }
        assert_eq!(read("2023-11-02T15:04:32Z"), Some(1_698_937_472_000.0));
        for none in ["2023-11-02T15:04:32", "2023-11-02T15:04:32.x5Z", "2023-11-02T15:04:32.+5Z", "yesterday", "Z"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_date_is_not_told() {
        for none in [0.0, 5.0, 43_200_000.0, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(written(none), None, "{none}");
        }
    }
}
