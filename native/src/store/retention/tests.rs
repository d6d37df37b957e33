use std::{
    fs,
    sync::{Mutex, mpsc},
    thread,
};

use chanwire_core::{
    hub::{ChannelLog, SendKey, Sender, Write},
    wire::StoredMessage,
};

use super::*;
use crate::store::{SqliteStore, Store as _, room};

const NOW: i64 = 1_698_937_472;
const SENDS: SendRetention = SendRetention { window: Duration::MAX, max_keys: usize::MAX };
const NONE: Retention = Retention { count: None, age: None, bytes: None, sends: SENDS };

fn message(channel_name: &str, id: u64, length: usize) -> Write {
    Write::from(StoredMessage::new(
        channel_name.parse().unwrap(),
        id,
        "u".parse().unwrap(),
        "é".repeat(length / 2),
        Timestamp::from_unix(NOW + id as i64),
    ))
}

/// So many messages of this many bytes in "a", at a second each from `NOW` + 1 on, and two in "b".
fn store(directory: &Path, count: u64, length: usize) -> SqliteStore {
    let mut store = SqliteStore::open(directory).unwrap();
    let mut writes: Vec<Write> = (1..=count).map(|id| message("a", id, length)).collect();
    writes.extend([message("b", 1, 2), message("b", 2, 2)]);
    store.commit(&writes).unwrap();
    store
}

/// Drops all that is due at this time, and says what was told of it.
fn trim(trimmer: &Trimmer, now: i64) -> Vec<(ChannelName, u64)> {
    let mut trimmed = Vec::new();
    for log in trimmer.due(Timestamp::from_unix(now)).unwrap() {
        while let Some(cut) = trimmer.trim(log, Timestamp::from_unix(now)).unwrap() {
            trimmed.push((cut.channel_name, cut.first_id));
        }
    }
    trimmed
}

/// The first and last id of each log, after a look at whether its bytes are what its messages have.
fn ends(store: &mut SqliteStore, trimmer: &Trimmer) -> Vec<(ChannelName, u64, u64)> {
    let sql = "SELECT name, bytes, (SELECT COALESCE(SUM(octet_length(username) + octet_length(content) + 24), 0)
        FROM messages WHERE place >> 38 = logs.log) FROM logs";
    let mut select = trimmer.connection.prepare(sql).unwrap();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        assert_eq!(id(row, 1).unwrap(), id(row, 2).unwrap(), "{:?}", row.get::<_, String>(0));
    }
    let ends = |ChannelLog { channel_name, first_id, last_id, .. }| (channel_name, first_id, last_id);
    store.load().unwrap().logs.into_iter().map(ends).collect()
}

fn end(name: &str, first_id: u64, last_id: u64) -> (ChannelName, u64, u64) {
    (name.parse().unwrap(), first_id, last_id)
}

#[test]
fn each_limit_drops_the_oldest_and_nothing_else() {
    // A message of ten bytes counts 35, one of two bytes 27.
    let cases = [
        (NONE, 1, 1),
        (Retention { count: Some(7), ..NONE }, 4, 1),
        (Retention { count: Some(10), ..NONE }, 1, 1),
        (Retention { bytes: Some(350), ..NONE }, 1, 1),
        (Retention { bytes: Some(349), ..NONE }, 2, 1),
        (Retention { bytes: Some(35), ..NONE }, 10, 2),
        (Retention { bytes: Some(26), ..NONE }, 11, 3),
        // Ten seconds after the first: it is just not too old.
        (Retention { age: Some(Duration::from_secs(10)), ..NONE }, 1, 1),
        (Retention { age: Some(Duration::from_secs(9)), ..NONE }, 2, 2),
        (Retention { age: Some(Duration::from_secs(4)), ..NONE }, 7, 3),
        (Retention { age: Some(Duration::MAX), ..NONE }, 1, 1),
        // Whichever drops the most.
        (Retention { count: Some(7), bytes: Some(100), age: Some(Duration::from_secs(9)), ..NONE }, 9, 2),
        (Retention { count: Some(1), bytes: Some(100), age: Some(Duration::from_secs(9)), ..NONE }, 10, 2),
    ];
    for (retention, a, b) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut store = store(directory.path(), 10, 10);
        let trimmer = store.trimmer(retention).unwrap();
        let trimmed = trim(&trimmer, NOW + 11);
        assert_eq!(ends(&mut store, &trimmer), [end("a", a, 10), end("b", b, 2)], "{retention:?}");
        let expected = [("a", a), ("b", b)].into_iter().filter(|(_, first_id)| *first_id > 1);
        assert!(trimmed.iter().map(|(name, first_id)| (name.as_str(), *first_id)).eq(expected), "{trimmed:?}");
        assert_eq!(trim(&trimmer, NOW + 11), [], "{retention:?}");
    }
}

#[test]
fn a_channel_that_has_lost_all_its_messages_keeps_its_last_id() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), 3, 10);
    let trimmer = store.trimmer(Retention { age: Some(Duration::from_secs(60)), ..NONE }).unwrap();
    assert_eq!(trim(&trimmer, NOW + 600), [("a".parse().unwrap(), 4), ("b".parse().unwrap(), 3)]);
    assert_eq!(ends(&mut store, &trimmer), [end("a", 4, 3), end("b", 3, 2)]);
    store.commit(&[message("a", 3, 2)]).unwrap_err();
    drop((trimmer, store));
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[message("a", 4, 2)]).unwrap();
    let trimmer = store.trimmer(NONE).unwrap();
    assert_eq!(ends(&mut store, &trimmer), [end("a", 4, 4), end("b", 3, 2)]);
}

#[test]
fn no_transaction_drops_more_than_a_batch() {
    for (count, length, at_most) in [(2_000, 10, 256), (100, 65_000, 9)] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = store(directory.path(), count, length);
        let trimmer = store.trimmer(Retention { count: Some(10), ..NONE }).unwrap();
        let trimmed = trim(&trimmer, NOW);
        let mut before = 1;
        for (name, first_id) in &trimmed {
            assert_eq!(name, "a");
            assert!((1..=at_most).contains(&(first_id - before)), "{trimmed:?}");
            before = *first_id;
        }
        assert_eq!(ends(&mut store, &trimmer)[0], end("a", count - 9, count));
    }
}

#[test]
fn growing_logs_are_trimmed_in_the_background_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), 50, 10);
    let trimmer = store.trimmer(Retention { count: Some(20), ..NONE }).unwrap();
    let (sender, trimmed) = mpsc::channel();
    let handle = start_trimmer(trimmer, move |name, first_id| sender.send((name, first_id)).unwrap()).unwrap();
    let next = || trimmed.recv_timeout(Duration::from_secs(30)).unwrap();
    // Excess from before its start, and new excess.
    assert_eq!(next(), ("a".parse().unwrap(), 31));
    let more: Vec<Write> = (51..=60).map(|id| message("a", id, 10)).collect();
    store.commit(&more).unwrap();
    assert_eq!(next(), ("a".parse().unwrap(), 41));
    store.commit(&(3..=30).map(|id| message("b", id, 10)).collect::<Vec<_>>()).unwrap();
    assert_eq!(next(), ("b".parse().unwrap(), 11));
    handle.close();
    assert_eq!(trimmed.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

#[test]
fn a_channel_whose_row_is_damaged_is_passed_over_and_the_others_are_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), 50, 10);
    store.commit(&(3..=50).map(|id| message("b", id, 10)).collect::<Vec<_>>()).unwrap();
    let other = rusqlite::Connection::open(directory.path().join("chanwire.db")).unwrap();
    // The damaged log is due, whichever column is changed.
    for (change, back) in [("bytes = bytes + 1", "bytes = bytes - 1"), ("last_id = 1 << 36", "last_id = 50")] {
        other.execute(&format!("UPDATE logs SET {change} WHERE log = 1"), []).unwrap();
        let trimmer = store.trimmer(Retention { count: Some(20), ..NONE }).unwrap();
        let due = trimmer.due(Timestamp::from_unix(NOW)).unwrap();
        assert_eq!(due, [1, 2].into());
        let trimmed = Mutex::new(BTreeSet::new());
        trimmer.trim_all(due, Timestamp::from_unix(NOW), &|name, _| trimmed.lock().unwrap().extend([name])).unwrap();
        assert_eq!(trimmed.into_inner().unwrap(), ["b".parse().unwrap()].into());
        let count = "SELECT count(*) FROM messages WHERE place >> 38 = 1";
        assert_eq!(other.query_row(count, [], |row| row.get(0)), Ok(50));
        other.execute(&format!("UPDATE logs SET {back} WHERE log = 1"), []).unwrap();
        let last_id = store.load_names(&["b".parse().unwrap()]).unwrap().logs[0].last_id;
        store.commit(&[message("b", last_id + 1, 10)]).unwrap();
    }
    // When it is sound again it is trimmed as well.
    let trimmer = store.trimmer(Retention { count: Some(20), ..NONE }).unwrap();
    assert_eq!(trim(&trimmer, NOW), [("a".parse().unwrap(), 31), ("b".parse().unwrap(), 33)]);
}

#[test]
fn retention_goes_on_when_it_can_after_it_could_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), 50, 10);
    let trimmer = store.trimmer(Retention { count: Some(20), ..NONE }).unwrap();
    let log = trimmer.due(Timestamp::from_unix(NOW)).unwrap().pop_first().unwrap();
    trimmer.connection.pragma_update(None, "query_only", true).unwrap();
    let error = trimmer.trim(log, Timestamp::from_unix(NOW)).unwrap_err().to_string();
    assert!(error.starts_with("cannot drop old messages of "), "{error}");
    assert_eq!(ends(&mut store, &trimmer)[0], end("a", 1, 50));
    // A commit is not kept from its turn by that.
    store.commit(&[message("a", 51, 10)]).unwrap();
    trimmer.connection.pragma_update(None, "query_only", false).unwrap();
    assert_eq!(trim(&trimmer, NOW), [("a".parse().unwrap(), 32)]);
}

#[test]
fn without_commits_the_trimmer_keeps_the_log_short() {
    let directory = tempfile::tempdir().unwrap();
    let count = 4_000;
    let mut store = SqliteStore::open(directory.path()).unwrap();
    for first in (1..=count).step_by(100) {
        store.commit(&(first..first + 100).map(|id| message("a", id, 16_000)).collect::<Vec<_>>()).unwrap();
    }
    let trimmer = store.trimmer(Retention { count: Some(1), ..NONE }).unwrap();
    let log = directory.path().join("chanwire.db-wal");
    let mut longest = 0;
    while trimmer.trim(1, Timestamp::from_unix(NOW)).unwrap().is_some() {
        longest = longest.max(trimmer.frames.load(Relaxed));
    }
    assert!(longest < checkpoint::left_alone(checkpoint::LONG) + 512, "{longest} frames");
    assert!(fs::metadata(log).unwrap().len() <= u64::from(4 * checkpoint::LONG) * 4096 + (8 << 20));
}

#[test]
fn commits_go_on_while_a_channel_is_trimmed_and_the_trimmer_keeps_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), 20_000, 200);
    let commit = |store: &mut SqliteStore, next: &mut u64| {
        let began = Instant::now();
        store.commit(&(*next..*next + 20).map(|id| message("a", id, 200)).collect::<Vec<_>>()).unwrap();
        *next += 20;
        began.elapsed()
    };
    let mut next = 20_001;
    let mut alone: Vec<Duration> = (0..200).map(|_| commit(&mut store, &mut next)).collect();
    let trimmer = store.trimmer(Retention { count: Some(100), ..NONE }).unwrap();
    let (sender, trimmed) = mpsc::channel();
    let handle = start_trimmer(trimmer, move |_, first_id| sender.send(first_id).unwrap()).unwrap();
    let mut beside = Vec::new();
    let mut first_id = 1;
    while first_id < 20_000 {
        beside.push(commit(&mut store, &mut next));
        first_id = trimmed.try_iter().last().unwrap_or(first_id);
        thread::yield_now();
        assert!(beside.len() < 100_000, "the trimmer is starved: it is at {first_id} of {next}");
    }
    handle.close();
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (alone, beside) = (median(&mut alone), median(&mut beside));
    println!("a commit takes {alone:?} alone and {beside:?} beside the trimmer");
    assert!(beside < 10 * alone + Duration::from_millis(20), "{alone:?} alone, {beside:?} beside the trimmer");
}

/// The bytes that the database and its WAL take.
fn on_disk(directory: &Path) -> u64 {
    let size = |name: &str| fs::metadata(directory.join(name)).map_or(0, |file| file.len());
    size("chanwire.db") + size("chanwire.db-wal")
}

const MAX: u64 = 16 << 20;

#[test]
fn a_full_store_drops_the_oldest_of_the_largest_channels_and_takes_no_more_than_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open_within(directory.path(), Some(MAX)).unwrap();
    store.commit(&(1..=100).map(|id| message("small", id, 1_000)).collect::<Vec<_>>()).unwrap();
    let handle = start_trimmer(store.trimmer(NONE).unwrap(), |_, _| {}).unwrap();
    for round in 0..400 {
        for (name, count) in [("a", 6), ("b", 3)] {
            let first = round * count + 1;
            let writes: Vec<Write> = (first..first + count).map(|id| message(name, id, 20_000)).collect();
            // On a machine that has much to do, retention may need longer than a commit waits for it.
            while let Err(error) = store.commit(&writes) {
                assert!(error.to_string().contains("raise --store-max"), "{error}");
            }
            let taken = on_disk(directory.path());
            assert!(taken <= MAX, "{taken} bytes");
        }
    }
    handle.close();
    let trimmer = store.trimmer(NONE).unwrap();
    let ends = ends(&mut store, &trimmer);
    let [small, a, b] = &ends[..] else { panic!("{ends:?}") };
    assert_eq!(*small, end("small", 1, 100));
    assert!((a.2, b.2) == (2_400, 1_200) && a.1 > 1_500 && b.1 > 300, "{ends:?}");
    assert!(a.2 - a.1 + b.2 - b.1 > 200, "{ends:?}");
}

#[test]
fn a_wal_that_retention_has_filled_keeps_no_commit_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open_within(directory.path(), Some(MAX)).unwrap();
    for id in 1..=260 {
        store.commit(&[message("a", id, 20_000)]).unwrap();
    }
    // Longer than any of retention's, so that one is enough.
    let trimmer = store.trimmer(NONE).unwrap();
    trimmer.connection.execute_batch("CREATE TABLE more (bytes); INSERT INTO more VALUES (zeroblob(4800000))").unwrap();
    trimmer.room.measure(&trimmer.connection).unwrap();
    trimmer.wrote(true);
    assert!(trimmer.room.is_wal_full() && trimmer.room.admit(20_000).is_err());
    store.commit(&[message("a", 261, 20_000)]).unwrap();
    assert!(!trimmer.room.is_wal_full());
}

/// Messages of "a" with keys, and one an hour later, which has them past their window.
fn with_old_keys(directory: &Path, count: u64) -> SqliteStore {
    let mut store = SqliteStore::open(directory).unwrap();
    let keyed = |id: u64| {
        let Write::Append { mut message, .. } = message("a", id, 10) else { panic!("a message") };
        message.timestamp = Timestamp::from_unix(if id > count { NOW + 3600 } else { NOW });
        let client_message_id = format!("{id:016}").parse().unwrap();
        let send_key = SendKey { sender: Sender::Guest("ann".parse().unwrap()), client_message_id, digest: id };
        Write::Append { message, send_key: Some(send_key) }
    };
    store.commit(&(1..=count + 1).map(keyed).collect::<Vec<_>>()).unwrap();
    store
}

const OLD_KEYS: Retention = Retention {
    count: Some(10),
    sends: SendRetention { window: Duration::from_secs(3600), max_keys: 1_000_000 },
    ..NONE
};

#[test]
fn a_pass_drops_a_bounded_number_of_keys_and_says_whether_some_are_left() {
    let directory = tempfile::tempdir().unwrap();
    // Of one commit, 33 such keys make a row.
    let dropped = SEND_BATCHES * sends::BATCH;
    let store = with_old_keys(directory.path(), (dropped as u64 + 10) * 33);
    let mut trimmer = store.trimmer(OLD_KEYS).unwrap();
    let left = |trimmer: &Trimmer| {
        trimmer.connection.query_row("SELECT count(*) FROM sends", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let now = (Timestamp::from_unix(NOW), Duration::ZERO);
    assert!(trimmer.drop_sends(now, &|_, _| {}).unwrap());
    assert_eq!(left(&trimmer), 11);
    assert!(!trimmer.drop_sends(now, &|_, _| {}).unwrap());
    assert_eq!(left(&trimmer), 1);
}

#[test]
fn messages_are_dropped_though_keys_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let store = with_old_keys(directory.path(), 49);
    let (sender, trimmed) = mpsc::channel();
    let other = rusqlite::Connection::open(directory.path().join("chanwire.db")).unwrap();
    let mut trimmer = store.trimmer(OLD_KEYS).unwrap();
    other.execute_batch("ALTER TABLE sends RENAME TO elsewhere").unwrap();
    trimmer.drop_sends((Timestamp::from_unix(NOW), Duration::ZERO), &|_, _| {}).unwrap_err();
    let handle = start_trimmer(trimmer, move |name, first_id| sender.send((name, first_id)).unwrap()).unwrap();
    assert_eq!(trimmed.recv_timeout(Duration::from_secs(30)).unwrap(), ("a".parse().unwrap(), 41));
    handle.close();
}

#[test]
fn no_transaction_that_makes_room_writes_more_frames_than_are_kept_for_it() {
    // Those of 2,050 bytes fill a page each, by half.
    for lengths in [&[20_000][..], &[2_050], &[65_000], &[1_000], &[50], &[10, 3_990, 8_200, 2_050]] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open_within(directory.path(), Some(4 * MAX)).unwrap();
        let mut ids = 1..=3_000;
        let mut bytes = 0;
        while bytes < 6 << 20
            && let Some(first) = ids.next()
        {
            let messages = (first..first + 20).map(|id| (id, lengths[id as usize % lengths.len()]));
            // The channels are beside each other in the table.
            let writes: Vec<Write> = ["a", "b", "c"]
                .iter()
                .flat_map(|name| messages.clone().map(|(id, length)| message(name, id, length)))
                .collect();
            ids.nth(18);
            bytes += messages.map(|(_, length)| length * 3).sum::<usize>();
            store.commit(&writes).unwrap();
        }
        drop(store);
        let store = SqliteStore::open_within(directory.path(), Some(4 * MAX)).unwrap();
        let trimmer = store.trimmer(NONE).unwrap();
        let mut most = 0;
        for log in 1..=3 {
            loop {
                let before = trimmer.frames.load(Relaxed);
                if trimmer.drop_some(log, Reason::Room, Timestamp::from_unix(NOW)).unwrap().is_none() {
                    break;
                }
                // The WAL may have started over.
                let after = trimmer.frames.load(Relaxed);
                most = most.max(after.checked_sub(before).unwrap_or(after));
            }
        }
        assert!((1..=room::RETENTION_FRAMES).contains(&most), "{most} frames, of messages of {lengths:?} bytes");
    }
}

#[test]
fn a_full_store_keeps_about_as_much_of_each_channel_that_is_larger_than_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open_within(directory.path(), Some(MAX)).unwrap();
    store.commit(&(1..=100).map(|id| message("small", id, 1_000)).collect::<Vec<_>>()).unwrap();
    let trimmer = store.trimmer(NONE).unwrap();
    for round in 0..400 {
        for (name, count) in [("a", 6), ("b", 3)] {
            let first = round * count + 1;
            store.commit(&(first..first + count).map(|id| message(name, id, 20_000)).collect::<Vec<_>>()).unwrap();
            trimmer.make_room(Timestamp::from_unix(NOW), &|_, _| {}).unwrap();
        }
    }
    let ends = ends(&mut store, &trimmer);
    let [small, a, b] = &ends[..] else { panic!("{ends:?}") };
    assert_eq!(*small, end("small", 1, 100));
    // They differ at most by what one transaction drops and by later messages.
    let (a, b) = (a.2 - a.1, b.2 - b.1);
    assert!(a.abs_diff(b) < 130 && a + b > 200, "{ends:?}");
}

#[test]
fn without_anything_to_drop_a_full_store_refuses_messages_and_takes_what_removes() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open_within(directory.path(), Some(MAX)).unwrap();
    let mut id = 1;
    let error = loop {
        match store.commit(&[message("a", id, 60_000)]) {
            Ok(()) => id += 1,
            Err(error) => break error.to_string(),
        }
        assert!(id < 1_000);
    };
    assert!(error.contains("raise --store-max"), "{error}");
    store.commit(&[Write::RemoveChannel("a".parse().unwrap())]).unwrap();
    assert!(on_disk(directory.path()) <= MAX);
    // It goes on as soon as there is room.
    let trimmer = store.trimmer(Retention { count: Some(1), ..NONE }).unwrap();
    trim(&trimmer, NOW);
    store.commit(&[message("a", id, 60_000)]).unwrap();
}

/// Messages of "a" with these times.
fn stamped(directory: &Path, times: &[i64]) -> SqliteStore {
    let mut store = SqliteStore::open(directory).unwrap();
    let message = |(id, time): (usize, &i64)| {
        Write::from(StoredMessage::new(
            "a".parse().unwrap(),
            id as u64 + 1,
            "u".parse().unwrap(),
            "c".into(),
            Timestamp::from_unix(*time),
        ))
    };
    store.commit(&times.iter().enumerate().map(message).collect::<Vec<_>>()).unwrap();
    store
}

const FAR: i64 = 4_102_444_800;

#[test]
fn a_message_from_the_year_2100_keeps_those_behind_it_no_longer_than_their_age() {
    let directory = tempfile::tempdir().unwrap();
    let times = [NOW + 1, FAR, NOW + 2, NOW + 3, FAR, NOW + 9, FAR];
    let mut store = stamped(directory.path(), &times);
    let trimmer = store.trimmer(Retention { age: Some(Duration::from_secs(10)), ..NONE }).unwrap();
    assert_eq!(trim(&trimmer, NOW + 12), [("a".parse().unwrap(), 2)]);
    // The next message that is too old takes the wrong one along.
    assert_eq!(trimmer.trim(1, Timestamp::from_unix(NOW + 13)).unwrap().unwrap().first_id, 4);
    assert_eq!(trimmer.trim(1, Timestamp::from_unix(NOW + 20)).unwrap().unwrap().first_id, 7);
    assert_eq!(ends(&mut store, &trimmer), [end("a", 7, 7)]);
}

#[test]
fn messages_that_are_all_from_the_year_2100_go_when_they_have_waited() {
    let directory = tempfile::tempdir().unwrap();
    let store = stamped(directory.path(), &[FAR; 600]);
    let mut trimmer = store.trimmer(Retention { age: Some(Duration::from_secs(100)), ..NONE }).unwrap();
    let begin = trimmer.ages.as_ref().unwrap().at;
    let wall = wall_time();
    let mut look = |seconds: u64| {
        let now =
            trimmer.look(Timestamp::from_unix(wall.as_unix() + seconds as i64), begin + Duration::from_secs(seconds));
        trim(&trimmer, now.unwrap().as_unix())
    };
    assert_eq!(look(1), []);
    assert_eq!(look(99), []);
    assert_eq!(look(101).last(), Some(&("a".parse().unwrap(), 601)));
}

#[test]
fn a_leap_of_the_clock_drops_nothing_that_has_not_aged() {
    let directory = tempfile::tempdir().unwrap();
    let wall = wall_time().as_unix();
    let store = stamped(directory.path(), &[wall - 50, wall - 10, wall]);
    let mut trimmer = store.trimmer(Retention { age: Some(Duration::from_secs(100)), ..NONE }).unwrap();
    let begin = trimmer.ages.as_ref().unwrap().at;
    let mut look = |wall: i64, seconds: u64| {
        let now = trimmer.look(Timestamp::from_unix(wall), begin + Duration::from_secs(seconds)).unwrap();
        trim(&trimmer, now.as_unix())
    };
    assert_eq!(look(FAR, 5), []);
    assert_eq!(look(FAR, 6), []);
    assert_eq!(look(FAR, 60), [("a".parse().unwrap(), 2)]);
    assert_eq!(look(wall + 61, 61), []);
}

/// Deletes a message of "a", whose record has this id.
fn deletion(id: u64, record: u64) -> Write {
    let Write::Append { message, .. } = message("a", id, 10) else { panic!("a message") };
    let at = Timestamp::from_unix(NOW + record as i64);
    let record = StoredMessage::record("a".parse().unwrap(), record, "host".parse().unwrap(), id, at);
    Write::Delete { tombstone: message.tombstone(), record }
}

#[test]
fn the_bytes_of_a_log_are_those_that_deletions_leave() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), 10, 1000);
    let trimmer = store.trimmer(Retention { count: Some(4), ..NONE }).unwrap();
    // One is deleted after it was found to be dropped, one before, and one stays.
    let cut = trimmer.cut(1, Reason::Due(Timestamp::from_unix(NOW))).unwrap().unwrap();
    store.commit(&[deletion(2, 11), deletion(9, 12)]).unwrap();
    assert!(trimmer.drop_below(1, &cut, Timestamp::from_unix(NOW)).unwrap());
    assert_eq!(ends(&mut store, &trimmer), [end("a", 7, 12), end("b", 1, 2)]);
    // A message that was dropped meanwhile has a record all the same.
    store.commit(&[deletion(3, 13)]).unwrap();
    assert_eq!(ends(&mut store, &trimmer), [end("a", 7, 13), end("b", 1, 2)]);
    trim(&trimmer, NOW);
    assert_eq!(ends(&mut store, &trimmer), [end("a", 10, 13), end("b", 1, 2)]);
}
