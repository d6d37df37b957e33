//! The time for which a client may repeat a message under its id.

use std::time::Duration;

/// The longest margin before the end of the server's window.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);

/// Returns whether a message may be sent again under its id, this long after it was sent first, to a server with this
/// window.
///
/// The server counts by the times that it stores with messages, and the try is on its way for a while: a margin of an
/// eighth of the window, at most a minute, covers both. `elapsed` includes the time for which the machine was suspended.
pub(crate) fn is_repeatable(elapsed: Duration, retry_window: Duration) -> bool {
    elapsed < retry_window - (retry_window / 8).min(LONGEST_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_repeated_until_a_margin_before_the_end_of_the_window() {
        let seconds = Duration::from_secs;
        for (window, last) in [(0, None), (8, Some(7)), (480, Some(420)), (3600, Some(3540))] {
            let last = last.map(|last| seconds(last) - Duration::from_nanos(1));
            assert_eq!(last.is_some(), is_repeatable(Duration::ZERO, seconds(window)));
            assert!(last.is_none_or(|last| is_repeatable(last, seconds(window))), "{window}");
            let end = last.map_or(Duration::ZERO, |last| last + Duration::from_nanos(1));
            assert!(!is_repeatable(end, seconds(window)), "{window}");
        }
        assert!(is_repeatable(seconds(u32::MAX.into()), Duration::MAX));
    }
}
