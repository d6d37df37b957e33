//! Where a message stands in the table of messages.
//!
//! One number tells its log and its id. SQLite keeps a row by such a number in its table's pages up to about 4,000
//! bytes; clustered by two columns, what is beyond 1,000 bytes needs pages of its own. And at the end of the table, where
//! the log that was begun last grows, it appends without touching the pages before: a commit of 25 messages of 100 bytes
//! writes four or five pages there, and seven in the midst or by two columns.

use std::ops::RangeInclusive;

const ID_BITS: u32 = 38;

/// The highest id that a message can have, and what is left of its place when the log is taken away: a million
/// messages an hour for thirty years.
pub(crate) const MAX_ID: u64 = (1 << ID_BITS) - 1;

/// The highest number of a log: 33 million names that ever had a message.
pub(super) const MAX_LOG: i64 = i64::MAX >> ID_BITS;

/// Returns the place of a log's message. The log is at most [`MAX_LOG`], and the id at most [`MAX_ID`].
pub(super) fn place(log: i64, id: u64) -> i64 {
    log << ID_BITS | (id & MAX_ID).cast_signed()
}

/// Returns the id of the message at a place.
pub(super) fn id_at(place: i64) -> u64 {
    place.cast_unsigned() & MAX_ID
}

/// Returns the places of these ids in a log; none if there can be none.
pub(super) fn places(log: i64, ids: RangeInclusive<u64>) -> RangeInclusive<i64> {
    let (first, last) = ids.into_inner();
    if first > last.min(MAX_ID) {
        return RangeInclusive::new(1, 0);
    }
    place(log, first)..=place(log, last.min(MAX_ID))
}

/// Returns SQL for the place of the oldest message of a row of `logs`; NULL if none is kept.
pub(super) fn oldest() -> String {
    format!("(SELECT MIN(place) FROM messages WHERE place BETWEEN log << {ID_BITS} AND (log << {ID_BITS}) + {MAX_ID})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_order_of_log_and_then_id_and_no_two_are_the_same() {
        let logs = [1, 2, 3, MAX_LOG - 1, MAX_LOG];
        let ids = [1, 2, 3, MAX_ID - 1, MAX_ID];
        let all = logs.iter().flat_map(|log| ids.iter().map(|id| (*log, *id)));
        let places: Vec<i64> = all.clone().map(|(log, id)| place(log, id)).collect();
        assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
        assert!(all.clone().map(|(_, id)| id).eq(places.iter().map(|place| id_at(*place))));
        for log in logs {
            let own: Vec<i64> = all.clone().filter(|of| of.0 == log).map(|(log, id)| place(log, id)).collect();
            let range = super::places(log, 0..=u64::MAX);
            assert!(places.iter().all(|place| range.contains(place) == own.contains(place)), "log {log}");
        }
    }

    #[test]
    fn a_range_of_ids_has_their_places_and_no_others() {
        for (first, last) in [(0, 0), (1, 1), (3, 2), (2, 5), (MAX_ID, u64::MAX), (MAX_ID + 1, u64::MAX), (u64::MAX, 0)]
        {
            for log in [1, 7, MAX_LOG] {
                let range = places(log, first..=last);
                for id in (0..10).chain([MAX_ID - 1, MAX_ID]) {
                    assert_eq!(range.contains(&place(log, id)), (first..=last).contains(&id), "{first}..={last}, {id}");
                }
                assert!(
                    !range.contains(&place(log - 1, MAX_ID)) && (log == MAX_LOG || !range.contains(&place(log + 1, 0)))
                );
            }
        }
    }
}
