use std::{fs, ops::RangeInclusive, time::Duration};

use chanwire_core::wire::{StoredMessage, Timestamp};

use super::*;
use crate::store::{Retention, SendRetention, SqliteStore, Store as _, start_trimmer};

fn note(generation: u8, frames: u32, messages: u64) -> LastCommit {
    let wal = (frames > 0).then_some(Wal { salts: [generation; 8], frames });
    LastCommit { wal, messages, last: (7, messages) }
}

#[test]
fn a_torn_note_is_no_note() {
    let (one, other) = (note(1, 2, 3).encode(), note(9, 300, u64::MAX).encode());
    assert_eq!(one.len(), LENGTH);
    for note in [note(1, 2, 3), note(9, 300, u64::MAX), LastCommit::default()] {
        assert_eq!(LastCommit::decode(&note.encode()), Some(note));
    }
    for at in 0..LENGTH {
        assert_eq!(LastCommit::decode(&one[..at]), None);
        let mixed = [&other[..at], &one[at..]].concat();
        let decoded = LastCommit::decode(&mixed);
        assert!(decoded.is_none() || mixed == one, "{at}");
        let mut changed = one.clone();
        changed[at] ^= 1;
        assert_eq!(LastCommit::decode(&changed), None, "{at}");
    }
    assert_eq!(LastCommit::decode(&[0; LENGTH]), None);
}

/// A history of commits, of which some begin the WAL anew and some append nothing. Whatever a crash leaves of the note,
/// the state after it or after any later commit is complete, with the WAL or checkpointed. An earlier state is not, if
/// messages are missing or the WAL is the same one.
#[test]
fn a_state_is_complete_if_and_only_if_it_is_no_earlier_than_the_note() {
    for history in 0..1_u32 << 12 {
        let (mut frames, mut messages, mut generation) = (0, 0, 0);
        let states: Vec<LastCommit> = (0..6)
            .map(|commit| {
                let bits = history >> (2 * commit);
                if bits & 1 == 1 {
                    (generation, frames) = (generation + 1, 0);
                }
                frames += 2;
                messages += u64::from(bits >> 1 & 1);
                note(generation, frames, messages)
            })
            .collect();
        for (at, noted) in states.iter().enumerate() {
            for (then, state) in states.iter().enumerate() {
                let found = Found { wal: state.wal, messages: state.messages, last_id: state.messages };
                let checkpointed = Found { wal: None, ..found };
                if then >= at {
                    assert_eq!(
                        noted.missing(&found).or(noted.missing(&checkpointed)),
                        None,
                        "{history:b}: {at}, {then}"
                    );
                    continue;
                }
                let is_same_wal = noted.wal.unwrap().salts == state.wal.unwrap().salts;
                let lost = noted.messages > state.messages;
                assert_eq!(noted.missing(&found).is_some(), lost || is_same_wal, "{history:b}: {at}, {then}");
                assert_eq!(noted.missing(&checkpointed).is_some(), lost);
            }
        }
    }
}

#[test]
fn missing_messages_are_counted() {
    let noted = note(1, 30, 900);
    let found = Found { wal: noted.wal, messages: 900, last_id: 900 };
    let wal = Some(Wal { salts: [1; 8], frames: 12 });
    let says = |found| noted.missing(&found).unwrap();
    assert_eq!(
        says(Found { wal, messages: 366, last_id: 366 }),
        "18 of 30 WAL frames are missing, the last 534 of the 900 messages ever stored are missing"
    );
    assert_eq!(says(Found { wal, ..found }), "18 of 30 WAL frames are missing");
    let other = says(Found { wal: None, messages: 1000, last_id: 0 });
    assert!(other.starts_with("the message that was stored last, 900 of its channel, is missing"), "{other}");
}

fn append(store: &mut SqliteStore, ids: RangeInclusive<u64>) {
    for id in ids {
        let message = StoredMessage::new(
            "a".parse().unwrap(),
            id,
            "u".parse().unwrap(),
            "x".repeat(500),
            Timestamp::from_unix(1_698_937_472),
        );
        store.commit(&[Write::from(message)]).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Opens it, as a server's start does, and stores one more.
#[track_caller]
fn goes_on(directory: &Path) {
    let mut store = SqliteStore::open(directory).unwrap();
    let last_id = store.load().unwrap().logs[0].last_id;
    append(&mut store, last_id + 1..=last_id + 1);
}

#[test]
fn an_older_a_torn_and_no_note_are_no_alarm_after_a_crash_or_a_clean_end() {
    let parent = tempfile::tempdir().unwrap();
    let (data, crashed) = (parent.path().join("data"), parent.path().join("crashed"));
    let mut notes = vec![vec![], b"torn".to_vec(), vec![0; LENGTH]];
    let mut store = SqliteStore::open(&data).unwrap();
    for id in 1..=12 {
        append(&mut store, id..=id);
        notes.push(fs::read(data.join(NAME)).unwrap());
        if id % 5 == 0 {
            // A checkpoint after which the WAL is begun anew.
            drop(store);
            store = SqliteStore::open(&data).unwrap();
        }
    }
    copy(&data, &crashed);
    drop(store);
    for left in [&crashed, &data] {
        for bytes in &notes {
            let started = parent.path().join("started");
            copy(left, &started);
            fs::write(started.join(NAME), bytes).unwrap();
            goes_on(&started);
            fs::remove_file(started.join(NAME)).unwrap();
            goes_on(&started);
        }
    }
}

#[test]
fn changes_by_another_program_through_sqlite_raise_no_alarm() {
    const STATEMENTS: [&str; 7] = [
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(RESTART)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(RESTART); UPDATE messages SET username = 'v'",
        "DELETE FROM messages WHERE place & 3 = 0",
        "PRAGMA journal_mode = DELETE",
        "VACUUM",
    ];
    for statement in STATEMENTS {
        for is_killed in [true, false] {
            let parent = tempfile::tempdir().unwrap();
            let (data, crashed, left) =
                (parent.path().join("data"), parent.path().join("crashed"), parent.path().join("left"));
            let mut store = SqliteStore::open(&data).unwrap();
            append(&mut store, 1..=10);
            copy(&data, &crashed);
            drop(store);
            for data in [&crashed, &data] {
                let other = Connection::open(data.join("chanwire.db")).unwrap();
                other.query_row("SELECT count(*) FROM messages", [], |_| Ok(())).unwrap();
                other.execute_batch(statement).unwrap();
                if is_killed {
                    copy(data, &left);
                    goes_on(&left);
                }
                drop(other);
                goes_on(data);
            }
        }
    }
}

#[test]
fn changes_beside_a_running_store_raise_no_alarm() {
    let parent = tempfile::tempdir().unwrap();
    let (data, left) = (parent.path().join("data"), parent.path().join("left"));
    let mut store = SqliteStore::open(&data).unwrap();
    let other = Connection::open(data.join("chanwire.db")).unwrap();
    for id in 1..=8 {
        append(&mut store, id..=id);
        other.execute_batch("UPDATE messages SET username = 'v'; PRAGMA wal_checkpoint(RESTART)").unwrap();
        copy(&data, &left);
        goes_on(&left);
    }
}

#[test]
fn a_link_in_place_of_the_note_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (data, target) = (parent.path().join("data"), parent.path().join("target"));
    fs::create_dir(&data).unwrap();
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, data.join(NAME)).unwrap();
    let error = SqliteStore::open(&data).err().unwrap().to_string();
    assert!(error.contains("it is a symbolic link, which is not followed"), "{error}");
    assert_eq!(fs::read(target).unwrap(), b"precious");
}

/// A name is forgotten: what was counted of it is missing by design, wherever a crash falls.
#[test]
fn dropped_names_are_not_missed() {
    let parent = tempfile::tempdir().unwrap();
    let (data, crashed) = (parent.path().join("data"), parent.path().join("crashed"));
    let mut store = SqliteStore::open(&data).unwrap();
    append(&mut store, 1..=20);
    let sends = SendRetention { window: Duration::MAX, max_keys: usize::MAX };
    let trimmer = store.trimmer(Retention { count: None, age: None, bytes: Some(1), sends }).unwrap();
    let handle = start_trimmer(trimmer, |_, _| {}).unwrap();
    while store.load().unwrap().logs[0].first_id <= 20 {
        std::thread::yield_now();
    }
    handle.close();
    store.commit(&[Write::DropName("a".parse().unwrap())]).unwrap();
    copy(&data, &crashed);
    assert_eq!(SqliteStore::open(&crashed).unwrap().load().unwrap().logs, []);
    append(&mut store, 1..=2);
    drop(store);
    goes_on(&data);
    // The note is lowered and its commit is lost: the name is still there.
    let note = LastCommit { messages: 0, ..LastCommit::decode(&fs::read(data.join(NAME)).unwrap()).unwrap() };
    fs::write(data.join(NAME), LastCommit { last: (0, 0), ..note }.encode()).unwrap();
    goes_on(&data);
}
