use std::time::Instant;

use chanwire_core::{
    hub::{Purpose, Write},
    wire::Timestamp,
};

use super::*;
use crate::store::{SqliteStore, Store as _, connection::BUSY_TIMEOUT, schema};

/// A store with messages 1 to 10 of "a" whose texts have 100 bytes together each, and one of "b".
fn store(directory: &Path) -> (SqliteStore, SqliteReader) {
    let mut store = SqliteStore::open(directory).unwrap();
    let message = |channel_name: &str, id| {
        Write::from(StoredMessage::new(
            channel_name.parse().unwrap(),
            id,
            "user".parse().unwrap(),
            format!("{id:096}"),
            Timestamp::from_unix(1_698_937_472),
        ))
    };
    let mut writes: Vec<Write> = (1..=10).map(|id| message("a", id)).collect();
    writes.push(message("b", 1));
    store.commit(&writes).unwrap();
    let reader = store.reader().unwrap();
    (store, reader)
}

fn query(range: HistoryRange, limit: usize, max_bytes: usize) -> Query {
    Query { channel_name: "a".parse().unwrap(), range, limit, max_bytes, purpose: Purpose::Replay }
}

fn ids(reader: &SqliteReader, range: HistoryRange, limit: usize, max_bytes: usize) -> Vec<u64> {
    let messages = reader.read(&query(range, limit, max_bytes)).unwrap();
    messages.iter().for_each(|message| assert_eq!(message.message_content, format!("{:096}", message.id)));
    messages.iter().map(|message| message.id).collect()
}

#[test]
fn every_range_gives_what_is_next_to_it_in_order() {
    use HistoryRange::{After, Before, Last};
    let directory = tempfile::tempdir().unwrap();
    let (_store, reader) = store(directory.path());
    let (all, none): (Vec<u64>, [u64; 0]) = ((1..=10).collect(), []);
    for (range, limit, expected) in [
        (After(0), 100, &all[..]),
        (After(0), 3, &[1, 2, 3]),
        (After(7), 100, &[8, 9, 10]),
        (After(10), 100, &none),
        (After((1 << 53) - 1), 100, &none),
        (Before(4), 100, &[1, 2, 3]),
        (Before(9), 2, &[7, 8]),
        (Before(1), 100, &none),
        (Before((1 << 53) - 1), 1, &[10]),
        (Last, 100, &all),
        (Last, 2, &[9, 10]),
    ] {
        assert_eq!(ids(&reader, range, limit, usize::MAX), expected, "{range:?}, at most {limit}");
    }
    let nobody = Query { channel_name: "never".parse().unwrap(), ..query(Last, 100, usize::MAX) };
    assert_eq!(reader.read(&nobody).unwrap(), []);
}

#[test]
fn reading_stops_when_it_has_enough_bytes_but_not_before_one_message() {
    use HistoryRange::{After, Before, Last};
    let directory = tempfile::tempdir().unwrap();
    let (_store, reader) = store(directory.path());
    for (bytes, count) in [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3), (999, 10), (1000, 10)] {
        assert_eq!(ids(&reader, After(0), 100, bytes), (1..=count).collect::<Vec<_>>(), "{bytes} bytes");
        let newest: Vec<u64> = (11 - count..=10).collect();
        assert_eq!(ids(&reader, Last, 100, bytes), newest, "{bytes} bytes");
        assert_eq!(ids(&reader, Before(11), 100, bytes), newest, "{bytes} bytes");
    }
}

#[test]
fn a_page_is_whole_as_it_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, reader) = store(directory.path());
    let sent = StoredMessage::new(
        "a".parse().unwrap(),
        11,
        "ü\u{202e}".parse().unwrap(),
        "\0'; DROP TABLE logs; --\u{10ffff}".into(),
        Timestamp::from_unix(1_698_937_999),
    );
    store.commit(&[Write::from(sent.clone())]).unwrap();
    assert_eq!(reader.read(&query(HistoryRange::Last, 1, usize::MAX)).unwrap(), [sent]);
}

#[test]
fn a_reader_does_not_wait_for_a_commit_that_is_not_done_and_sees_nothing_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, reader) = store(directory.path());
    let writer = schema::connect(&directory.path().join("chanwire.db")).unwrap();
    writer
        .execute_batch(
            "BEGIN IMMEDIATE;
             INSERT INTO messages (place, timestamp, checksum, username, content)
                SELECT log << 38 | 11, 0, row_checksum('a', log << 38 | 11, 0, 'user', printf('%096d', 11)),
                'user', printf('%096d', 11) FROM logs WHERE name = 'a';
             UPDATE logs SET last_id = 11 WHERE name = 'a';",
        )
        .unwrap();
    rows::seal(&writer);
    let last = || ids(&reader, HistoryRange::Last, 1, usize::MAX);
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(last(), [10]);
    }
    // Had it waited for the lock once, it would have waited for so long.
    assert!(began.elapsed() < BUSY_TIMEOUT, "{:?}", began.elapsed());
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(last(), [11]);
    drop(store);
}

#[test]
fn a_reader_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, reader) = store(directory.path());
    reader.connection.execute("DELETE FROM messages", []).unwrap_err();
    assert_eq!(ids(&reader, HistoryRange::After(0), 100, usize::MAX).len(), 10);
}
