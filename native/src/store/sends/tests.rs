use std::path::Path;

use chanwire_core::hub::{Sender, Write};

use super::*;
use crate::store::{CommitError, SqliteStore, Store as _, rows, schema};

const NOW: i64 = 1_698_937_472;
const HOUR: SendRetention = SendRetention { window: Duration::from_secs(3600), max_keys: 1_000_000 };

fn message(channel_name: &str, id: u64, at: i64) -> StoredMessage {
    StoredMessage::new(
        channel_name.parse().unwrap(),
        id,
        "ann".parse().unwrap(),
        format!("message {id}"),
        Timestamp::from_unix(at),
    )
}

fn key(number: u64) -> SendKey {
    SendKey {
        sender: Sender::Guest("ann".parse().unwrap()),
        client_message_id: format!("{number:016}").parse().unwrap(),
        digest: u64::MAX - number,
    }
}

fn append(channel_name: &str, id: u64, at: i64) -> Write {
    Write::Append { message: message(channel_name, id, at), send_key: Some(key(id)) }
}

fn record(channel_name: &str, id: u64, at: i64) -> SendRecord {
    SendRecord::new(&message(channel_name, id, at), key(id))
}

fn other(directory: &Path) -> Connection {
    schema::connect(&directory.join(schema::DATABASE)).unwrap()
}

fn ids(sends: &[SendRecord]) -> Vec<u64> {
    sends.iter().map(|send| send.id).collect()
}

#[test]
fn keys_are_stored_with_their_messages_in_the_order_of_the_commits() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let mut expected = Vec::new();
    for ids in [1..=3, 4..=80, 81..=81] {
        let writes: Vec<Write> = ids.clone().flat_map(|id| [append("a", id, NOW), append("b", id, NOW)]).collect();
        store.commit(&writes).unwrap();
        expected.extend(ids.flat_map(|id| [record("a", id, NOW), record("b", id, NOW)]));
    }
    // One without a key.
    store.commit(&[Write::from(message("a", 82, NOW))]).unwrap();
    assert_eq!(store.load().unwrap().sends, expected);
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(store.load().unwrap().sends, expected);
    rows::verify(&other(directory.path())).unwrap();
}

#[test]
fn a_commit_that_is_refused_for_a_name_stores_no_key_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let refused = store.commit(&[append("a", 1, NOW), append("gap", 2, NOW)]);
    assert!(matches!(refused, Err(CommitError::Without { .. })), "{refused:?}");
    assert_eq!(store.load().unwrap().sends, [record("a", 1, NOW)]);
}

#[test]
fn of_some_names_the_last_keys_are_found_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let most = MAX_COMMIT as u64;
    store.commit(&(1..=most + 10).map(|id| append("a", id, NOW)).collect::<Vec<_>>()).unwrap();
    store.commit(&[append("b", 1, NOW), append("c", 1, NOW)]).unwrap();
    let found = store.load_names(&["b".parse().unwrap(), "nothing".parse().unwrap()]).unwrap();
    assert_eq!(found.sends, [record("b", 1, NOW)]);
    let found = store.load_names(&["a".parse().unwrap()]).unwrap();
    assert_eq!(ids(&found.sends), (13..=most + 10).collect::<Vec<_>>());
}

#[test]
fn a_start_loads_the_newest_keys_within_the_window_at_their_channels_last_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let times = [0, 10, 20, 3600, 3610, 3620];
    let writes: Vec<Write> = times.iter().zip(1..).map(|(at, id)| append("a", id, NOW + at)).collect();
    store.commit(&writes).unwrap();
    store.commit(&[append("quiet", 1, NOW - 3600), append("ahead", 1, NOW * 2)]).unwrap();
    let loaded = |store: &mut SqliteStore, retention| {
        store.limit_sends(retention);
        store.load().unwrap().sends
    };
    let a = |ids: &[u64]| ids.iter().map(|id| record("a", *id, NOW + times[*id as usize - 1])).collect::<Vec<_>>();
    let others = [record("quiet", 1, NOW - 3600), record("ahead", 1, NOW * 2)];
    assert_eq!(loaded(&mut store, HOUR), [a(&[4, 5, 6]), others.to_vec()].concat());
    let longer = SendRetention { window: Duration::from_secs(3601), ..HOUR };
    assert_eq!(loaded(&mut store, longer), [a(&[3, 4, 5, 6]), others.to_vec()].concat());
    assert_eq!(loaded(&mut store, SendRetention { max_keys: 3, ..HOUR }), [a(&[6]), others.to_vec()].concat());
}

/// Drops all that is due by the wall clock when every key has been stored for some seconds, and returns the sizes of the
/// batches.
fn drop_all(connection: &Connection, retention: SendRetention, (now, seconds): (i64, u64)) -> Vec<usize> {
    let mut ages = SendAges::default();
    for at in [0, seconds] {
        ages.advance(connection, retention.window, Duration::from_secs(at)).unwrap();
    }
    drop_due_at(connection, retention, &ages, now)
}

fn drop_due_at(connection: &Connection, retention: SendRetention, ages: &SendAges, now: i64) -> Vec<usize> {
    let next = || Some(due(connection, retention, ages, Timestamp::from_unix(now)).unwrap());
    let batches = std::iter::from_fn(next).take_while(|due| !due.is_empty());
    batches.inspect(|due| drop_due(connection, due).unwrap()).map(|due| due.len()).collect()
}

/// Returns the ids of the keys that are there.
fn left(connection: &Connection) -> Vec<u64> {
    let mut left = Vec::new();
    for_each::<rusqlite::Error>(connection, "ORDER BY seq", [], |read| {
        left.extend(read.unwrap().keys().map(|key| id_of(key.place)));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    left
}

/// Commits each of these writes by itself, so that each has a row.
fn commit_each(store: &mut SqliteStore, writes: impl IntoIterator<Item = Write>) {
    writes.into_iter().for_each(|write| store.commit(&[write]).unwrap());
}

#[test]
fn keys_past_the_window_at_their_channels_last_message_are_dropped_in_batches() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    // 33 of these keys make a row.
    let writes: Vec<Write> = (1..=5000).map(|id| append("a", id, NOW + i64::from(id > 4980))).collect();
    store.commit(&writes).unwrap();
    let other = other(directory.path());
    store.commit(&[append("b", 1, NOW + 10_000), append("a", 5001, NOW + 3599)]).unwrap();
    assert_eq!(drop_all(&other, HOUR, (NOW * 2, 0)), [0; 0]);
    store.commit(&[append("a", 5002, NOW + 3600)]).unwrap();
    // No clock is asked.
    assert_eq!(drop_all(&other, HOUR, (0, 0)), [64, 64, 22]);
    assert_eq!(left(&other), (4951..=5000).chain([1, 5001, 5002]).collect::<Vec<_>>());
}

#[test]
fn keys_of_a_quiet_channel_are_dropped_once_both_clocks_have_them_past_the_window() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    commit_each(&mut store, [append("a", 1, NOW), append("b", 1, NOW + 1)]);
    let other = other(directory.path());
    for (now, seconds) in [(NOW * 2, 3599), (NOW + 3599, 10_000), (0, 10_000)] {
        assert_eq!(drop_all(&other, HOUR, (now, seconds)), [0; 0], "{now} {seconds}");
    }
    assert_eq!(drop_all(&other, HOUR, (NOW + 3600, 3600)), [1]);
    assert_eq!(drop_all(&other, HOUR, (NOW + 3601, 3600)), [1]);
}

#[test]
fn new_keys_with_the_numbers_of_dropped_ones_are_as_new_as_any() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let other = other(directory.path());
    let mut ages = SendAges::default();
    store.commit(&(1..=20).map(|id| append("a", id, NOW)).collect::<Vec<_>>()).unwrap();
    for at in [0, 3600] {
        ages.advance(&other, HOUR.window, Duration::from_secs(at)).unwrap();
    }
    assert_eq!(drop_due_at(&other, HOUR, &ages, NOW + 3600), [1]);
    assert!(left(&other).is_empty());
    ages.fall_back(newest(&other).unwrap());
    store.commit(&[append("b", 1, NOW + 3600)]).unwrap();
    ages.advance(&other, HOUR.window, Duration::from_secs(3601)).unwrap();
    // The clock is ahead for a moment.
    assert_eq!(drop_due_at(&other, HOUR, &ages, NOW * 2), [0; 0]);
}

/// Returns pseudorandom numbers, below the limit that each call gives.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |limit| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    }
}

#[test]
fn whatever_the_clock_says_a_key_is_kept_for_its_window_and_goes_in_the_end() {
    const WINDOW: i64 = 3600;
    for seed in 0..4 {
        let directory = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(directory.path()).unwrap();
        let other = other(directory.path());
        let (mut random, mut ages) = (numbers(seed), SendAges::default());
        let (mut elapsed, mut skew, mut last) = (0, 0, [(0, 0); 3]);
        let mut stored = Vec::new();
        let mut dropped = 0;
        for _ in 0..60 {
            let is_pass = match random(6) {
                0 => {
                    elapsed += random(1500) as i64;
                    false
                }
                1 => {
                    skew = [0, 0, 100_000, -100_000, WINDOW][random(5) as usize];
                    false
                }
                2 | 3 => {
                    let channel = random(3) as usize;
                    let (id, at) = &mut last[channel];
                    *at = (NOW + elapsed + skew).max(*at);
                    let ids = *id + 1..=*id + 1 + random(300);
                    *id = *ids.end();
                    let name = ["a", "b", "c"][channel];
                    store.commit(&ids.clone().map(|id| append(name, id, *at)).collect::<Vec<_>>()).unwrap();
                    stored.extend(ids.map(|id| (channel, elapsed, record(name, id, *at))));
                    false
                }
                _ => {
                    ages.advance(&other, HOUR.window, Duration::from_secs(elapsed as u64)).unwrap();
                    let batches = drop_due_at(&other, HOUR, &ages, NOW + elapsed + skew);
                    assert!(batches.iter().all(|count| *count <= BATCH), "{batches:?}");
                    dropped += batches.iter().sum::<usize>();
                    true
                }
            };
            if !is_pass {
                continue;
            }
            let known = store.load().unwrap().sends;
            let needed = stored.iter().filter(|(channel, at, send)| {
                let last = Timestamp::from_unix(last[*channel].1);
                elapsed - at < WINDOW && !SendKey::is_past(send.timestamp, last, HOUR.window)
            });
            let known: std::collections::BTreeSet<_> = known.iter().map(|send| (&send.channel_name, send.id)).collect();
            for (_, at, send) in needed {
                assert!(known.contains(&(&send.channel_name, send.id)), "seed {seed}, {elapsed}: {send:?} of {at}");
            }
        }
        assert!(dropped > 0, "seed {seed}");
        for _ in 0..2 {
            elapsed += 300_000;
            ages.advance(&other, HOUR.window, Duration::from_secs(elapsed as u64)).unwrap();
        }
        drop_due_at(&other, HOUR, &ages, NOW + elapsed);
        assert!(left(&other).is_empty(), "seed {seed}");
    }
}

#[test]
fn keys_beyond_the_count_are_dropped_oldest_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&(1..=300).map(|id| append("a", id, NOW)).collect::<Vec<_>>()).unwrap();
    let other = other(directory.path());
    assert_eq!(drop_all(&other, SendRetention { max_keys: 20, ..HOUR }, (NOW, 0)), [8]);
    // The row that has the first of them is whole.
    assert_eq!(left(&other), (265..=300).collect::<Vec<_>>());
    store.commit(&[append("a", 301, NOW)]).unwrap();
    assert_eq!(left(&other), (265..=301).collect::<Vec<_>>());
}

#[test]
fn a_key_of_a_clock_that_ran_ahead_keeps_none_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let later = NOW + 3600;
    commit_each(&mut store, [append("ahead", 1, NOW * 2), append("a", 1, NOW), append("a", 2, later)]);
    let other = other(directory.path());
    assert_eq!(drop_all(&other, HOUR, (later, 0)), [1]);
    let found = store.load().unwrap().sends;
    assert_eq!(found, [record("ahead", 1, NOW * 2), record("a", 2, later)]);
}

/// Drops a name, whose messages retention has dropped.
fn drop_name(store: &mut SqliteStore, directory: &Path, name: &str, log: i64) {
    let sql = format!(
        "DELETE FROM messages WHERE place >> 38 = {log}; UPDATE logs SET first_id = last_id + 1 WHERE name = '{name}'"
    );
    other(directory).execute_batch(&sql).unwrap();
    rows::seal(&other(directory));
    store.commit(&[Write::DropName(name.parse().unwrap())]).unwrap();
}

#[test]
fn the_keys_of_a_dropped_name_are_of_no_other_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    commit_each(&mut store, [append("a", 1, NOW), append("b", 1, NOW)]);
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("b", 2, NOW)]).unwrap();
    drop_name(&mut store, directory.path(), "b", 2);
    // The commit leaves them to retention.
    assert_eq!(left(&other(directory.path())), [1, 1, 2]);
    store.commit(&[append("c", 1, NOW)]).unwrap();
    let expected = [record("a", 1, NOW), record("c", 1, NOW)];
    assert_eq!(store.load().unwrap().sends, expected);
    drop_name(&mut store, directory.path(), "c", 3);
    drop(store);
    // Nor after a start, when no log has the number.
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("d", 1, NOW)]).unwrap();
    assert_eq!(store.load().unwrap().sends, [record("a", 1, NOW), record("d", 1, NOW)]);
    assert_eq!(left(&other(directory.path())), [1, 1, 2, 1, 1]);
    // Retention drops them at once.
    assert_eq!(drop_all(&other(directory.path()), HOUR, (NOW, 0)), [3]);
    assert_eq!(store.load().unwrap().sends, [record("a", 1, NOW), record("d", 1, NOW)]);
    rows::verify(&other(directory.path())).unwrap();
}

#[test]
fn no_change_of_a_key_goes_unnoticed_and_the_others_are_loaded() {
    for (change, row) in [
        ("keys = CAST(keys || x'00' AS BLOB)", 2),
        ("keys = substr(keys, 1, 51)", 2),
        ("keys = x''", 2),
        ("checksum = checksum + 1", 2),
        ("seq = 7", 7),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(directory.path()).unwrap();
        commit_each(&mut store, (1..=3).map(|id| append("a", id, NOW)));
        let other = other(directory.path());
        other.execute_batch(&format!("UPDATE sends SET {change} WHERE seq = 2")).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((ids(&loaded.sends), loaded.damaged.len(), loaded.logs.len()), ([1, 3].into(), 0, 1), "{change}");
        let damaged = find_damaged(&other).unwrap().unwrap().to_string();
        assert_eq!(damaged, format!("row {row} of the table sends does not match its checksum"));
        // A backup has the others, too.
        let (backup, restored) = (directory.path().join("some.backup"), directory.path().join("restored"));
        crate::store::back_up(directory.path(), &backup, |_, _| {}).unwrap();
        crate::store::restore(&backup, &restored, |_, _| {}).unwrap();
        assert_eq!(ids(&SqliteStore::open(&restored).unwrap().load().unwrap().sends), [1, 3], "{change}");
    }
}

#[test]
fn a_backup_has_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backup) = (directory.path().join("data"), directory.path().join("some.backup"));
    let mut store = SqliteStore::open(&data).unwrap();
    store.commit(&[append("a", 1, NOW)]).unwrap();
    crate::store::back_up(&data, &backup, |_, _| {}).unwrap();
    let restored = directory.path().join("restored");
    crate::store::restore(&backup, &restored, |_, _| {}).unwrap();
    assert_eq!(SqliteStore::open(&restored).unwrap().load().unwrap().sends, [record("a", 1, NOW)]);
}

#[test]
fn a_row_with_keys_of_several_channels_loses_those_of_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&(1..=100).flat_map(|id| [append("a", id, NOW), append("b", id, NOW)]).collect::<Vec<_>>()).unwrap();
    store.commit(&[append("b", 101, NOW)]).unwrap();
    let other = other(directory.path());
    drop_of_log(&other, 2).unwrap();
    assert_eq!(store.load().unwrap().sends, (1..=100).map(|id| record("a", id, NOW)).collect::<Vec<_>>());
    assert_eq!(find_damaged(&other).unwrap(), None);
}
