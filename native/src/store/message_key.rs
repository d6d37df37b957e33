//! The primary key of the table of messages (its column `place`): one integer of a message's log and id.
//!
//! An integer key is a rowid, by which SQLite keeps rows of up to about 4,000 bytes in the table's pages; clustered by
//! two columns, bytes beyond 1,000 would need overflow pages. Appending at the end of the table, where the newest log
//! grows, leaves the earlier pages untouched: a commit of 25 messages of 100 bytes writes four or five pages there,
//! and seven elsewhere or with two columns.

use std::ops::RangeInclusive;

const ID_BITS: u32 = 38;

/// The highest id of a message, and the mask of the id in a key: a million messages an hour for thirty years.
pub(crate) const MAX_ID: u64 = (1 << ID_BITS) - 1;

/// The highest number of a log: 33 million names that ever had messages.
pub(super) const MAX_LOG: i64 = i64::MAX >> ID_BITS;

/// Returns the key of a log's message. The log is at most [`MAX_LOG`], and the id at most [`MAX_ID`].
pub(super) fn message_key(log: i64, id: u64) -> i64 {
    log << ID_BITS | (id & MAX_ID).cast_signed()
}

/// Returns the id in a message key.
pub(super) fn id_of(key: i64) -> u64 {
    key.cast_unsigned() & MAX_ID
}

/// Returns the log in a message key.
pub(super) const fn log_of(key: i64) -> i64 {
    key >> ID_BITS
}

/// Returns the keys of these ids in a log; an empty range if no message can have them.
pub(super) fn key_range(log: i64, ids: RangeInclusive<u64>) -> RangeInclusive<i64> {
    let (first, last) = ids.into_inner();
    if first > last.min(MAX_ID) {
        return RangeInclusive::new(1, 0);
    }
    message_key(log, first)..=message_key(log, last.min(MAX_ID))
}

/// Returns SQL for the key of the oldest message of a row of `logs`; NULL if it has none.
pub(super) fn oldest_key_sql() -> String {
    format!("(SELECT MIN(place) FROM messages WHERE place BETWEEN log << {ID_BITS} AND (log << {ID_BITS}) + {MAX_ID})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_in_order_of_log_and_then_id() {
        let logs = [1, 2, 3, MAX_LOG - 1, MAX_LOG];
        let ids = [1, 2, 3, MAX_ID - 1, MAX_ID];
        let all = logs.iter().flat_map(|log| ids.iter().map(|id| (*log, *id)));
        let keys: Vec<i64> = all.clone().map(|(log, id)| message_key(log, id)).collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
        assert!(all.clone().eq(keys.iter().map(|key| (log_of(*key), id_of(*key)))));
        for log in logs {
            let expected: Vec<i64> =
                all.clone().filter(|of| of.0 == log).map(|(log, id)| message_key(log, id)).collect();
            let range = super::key_range(log, 0..=u64::MAX);
            assert!(keys.iter().all(|key| range.contains(key) == expected.contains(key)), "log {log}");
        }
    }

    #[test]
    fn a_range_of_ids_has_their_keys_and_no_others() {
        for (first, last) in [(0, 0), (1, 1), (3, 2), (2, 5), (MAX_ID, u64::MAX), (MAX_ID + 1, u64::MAX), (u64::MAX, 0)]
        {
            for log in [1, 7, MAX_LOG] {
                let range = key_range(log, first..=last);
                for id in (0..10).chain([MAX_ID - 1, MAX_ID]) {
                    assert_eq!(
                        range.contains(&message_key(log, id)),
                        (first..=last).contains(&id),
                        "{first}..={last}, {id}"
                    );
                }
                assert!(
                    !range.contains(&message_key(log - 1, MAX_ID))
                        && (log == MAX_LOG || !range.contains(&message_key(log + 1, 0)))
                );
            }
        }
    }
}
