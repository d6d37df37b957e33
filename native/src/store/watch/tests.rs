use std::{fs::OpenOptions, sync::Arc};

use chanwire_core::{
    hub::{Query, Write},
    wire::{HistoryRange, StoredMessage, Timestamp},
};
use tempfile::TempDir;

use super::*;
use crate::store::{CommitError, SqliteStore, Store as _};

fn append(store: &mut SqliteStore, ids: std::ops::RangeInclusive<u64>, length: usize) -> Result<(), CommitError> {
    let message = |id| {
        StoredMessage::new(
            "a".parse().unwrap(),
            id,
            "u".parse().unwrap(),
            "x".repeat(length),
            Timestamp::from_unix(1_698_937_472),
        )
    };
    store.commit(&ids.map(message).map(Write::from).collect::<Vec<_>>())
}

fn last_id(directory: &Path) -> u64 {
    SqliteStore::open(directory).unwrap().load().unwrap().logs[0].last_id
}

/// A store whose directory is in another, with messages 1 to 20, ten of them only in the WAL.
fn store(parent: &TempDir) -> (SqliteStore, PathBuf) {
    let directory = parent.path().join("data");
    append(&mut SqliteStore::open(&directory).unwrap(), 1..=10, 100).unwrap();
    let mut store = SqliteStore::open(&directory).unwrap();
    append(&mut store, 11..=20, 100).unwrap();
    (store, directory)
}

/// Writes over a file in place, as `cp` does.
fn overwrite(file: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).truncate(true).open(file).unwrap();
    io::Write::write_all(&mut &file, bytes).unwrap();
}

/// An earlier state of the same database: it has its own size and is sound.
fn backup(parent: &TempDir) -> Vec<u8> {
    let other = parent.path().join("other");
    let mut store = SqliteStore::open(&other).unwrap();
    append(&mut store, 1..=5, 100).unwrap();
    drop(store);
    fs::read(other.join("chanwire.db")).unwrap()
}

type Fault = fn(&Path, &[u8]);

const FAULTS: [(&str, &str, Fault); 10] = [
    ("chanwire.db", "was removed, or its directory was moved", |data, _| {
        fs::remove_file(data.join("chanwire.db")).unwrap();
    }),
    ("chanwire.db", "was removed, or its directory was moved", |data, _| {
        fs::rename(data, data.with_file_name("away")).unwrap();
    }),
    ("chanwire.db", "was replaced by another file", |data, _| {
        fs::rename(data, data.with_file_name("away")).unwrap();
        drop(SqliteStore::open(data).unwrap());
    }),
    ("chanwire.db", "was replaced by another file", |data, backup| {
        fs::write(data.join("new"), backup).unwrap();
        fs::rename(data.join("new"), data.join("chanwire.db")).unwrap();
    }),
    ("chanwire.db", "was written by another program", |data, backup| overwrite(&data.join("chanwire.db"), backup)),
    ("chanwire.db", "was written by another program", |data, backup| {
        let larger = [backup, &[0; 4096]].concat();
        overwrite(&data.join("chanwire.db"), &larger);
    }),
    ("chanwire.db", "was cut short, to 4096 bytes of ", |data, backup| {
        overwrite(&data.join("chanwire.db"), &backup[..4096]);
    }),
    ("chanwire.db-wal", "was removed, or its directory was moved", |data, _| {
        fs::remove_file(data.join("chanwire.db-wal")).unwrap();
    }),
    ("chanwire.db-wal", "was cut short, to 5000 bytes of ", |data, _| {
        let wal = OpenOptions::new().write(true).open(data.join("chanwire.db-wal")).unwrap();
        wal.set_len(5000).unwrap();
    }),
    ("chanwire.db-wal", "was written by another program", |data, _| {
        let bytes = fs::read(data.join("chanwire.db-wal")).unwrap();
        overwrite(&data.join("chanwire.db-wal"), &vec![7; bytes.len()]);
    }),
];

#[test]
fn a_change_behind_the_stores_back_refuses_all_that_follows_and_what_stands_there_is_left_as_it_is() {
    for (number, (file, problem, fault)) in FAULTS.iter().enumerate() {
        let parent = tempfile::tempdir().unwrap();
        let backup = backup(&parent);
        let (mut store, data) = store(&parent);
        let reader = store.reader().unwrap();
        fault(&data, &backup);
        let bytes = |name| fs::read(data.join(name)).ok();
        let before = ["chanwire.db", "chanwire.db-wal"].map(bytes);
        for _ in 0..2 {
            let error = append(&mut store, 21..=21, 100).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{} {problem}", data.join(file).display())), "{number}: {error}");
            assert!(error.contains("stop the server, "), "{error}");
        }
        store.load().unwrap_err();
        let query = Query {
            channel_name: "a".parse().unwrap(),
            range: HistoryRange::Last,
            limit: 1,
            max_bytes: 1,
            purpose: chanwire_core::hub::Purpose::Replay,
        };
        reader.read(&query).unwrap_err();
        drop((reader, store));
        assert!(["chanwire.db", "chanwire.db-wal"].map(bytes) == before, "{number}: {file} {problem}");
    }
}

#[test]
fn changes_after_the_last_commit_are_detected_at_close() {
    let parent = tempfile::tempdir().unwrap();
    let backup = backup(&parent);
    let (store, data) = store(&parent);
    overwrite(&data.join("chanwire.db"), &backup);
    drop(store);
    assert!(fs::read(data.join("chanwire.db")).unwrap() == backup);
}

#[test]
fn a_read_notices_that_the_database_was_overwritten() {
    let parent = tempfile::tempdir().unwrap();
    let backup = backup(&parent);
    let (store, data) = store(&parent);
    let reader = store.reader().unwrap();
    overwrite(&data.join("chanwire.db"), &backup);
    let query = Query {
        channel_name: "a".parse().unwrap(),
        range: HistoryRange::Last,
        limit: 1,
        max_bytes: 1,
        purpose: chanwire_core::hub::Purpose::Replay,
    };
    let error = reader.read(&query).unwrap_err().to_string();
    assert!(error.contains("was written by another program"), "{error}");
}

#[test]
fn other_programs_may_use_the_database_through_sqlite() {
    let others: [fn(&Connection); 5] = [
        |other| other.query_row("SELECT count(*) FROM messages", [], |_| Ok(())).unwrap(),
        |other| other.execute_batch("UPDATE logs SET bytes = bytes").unwrap(),
        |other| other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap(),
        |other| other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap(),
        |other| {
            other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            other.execute_batch("CREATE TABLE IF NOT EXISTS other (a); PRAGMA wal_checkpoint(PASSIVE)").unwrap();
            other.execute_batch("INSERT INTO other SELECT zeroblob(100000 + 50000 * count(*)) FROM other").unwrap();
        },
    ];
    for (number, use_it) in others.iter().enumerate() {
        let parent = tempfile::tempdir().unwrap();
        let (mut store, data) = store(&parent);
        for id in 21..=24 {
            let other = Connection::open(data.join("chanwire.db")).unwrap();
            use_it(&other);
            drop(other);
            append(&mut store, id..=id, 100).unwrap_or_else(|error| panic!("{number}: {error}"));
        }
        drop(store);
        assert_eq!(last_id(&data), 24);
    }
}

#[test]
fn a_writer_that_never_rests_is_not_taken_for_another_program_and_does_not_hide_one() {
    let parent = tempfile::tempdir().unwrap();
    let (mut store, data) = store(&parent);
    let mut next = 21;
    // Several times around the WAL, with checkpoints of both kinds.
    for _ in 0..600 {
        append(&mut store, next..=next + 3, 60_000).unwrap();
        next += 4;
    }
    // A checkpoint makes a file that was cut longer again.
    while store.watch.known().checkpoints > 0 {
        std::thread::yield_now();
    }
    overwrite(&data.join("chanwire.db"), &[0; 8192]);
    let error = append(&mut store, next..=next, 100).unwrap_err().to_string();
    // The thread that checkpoints may have seen it between the cut and the bytes.
    assert!(error.contains("was cut short, to "), "{error}");
}

#[test]
fn a_checkpoint_that_panics_hides_no_other_program() {
    let parent = tempfile::tempdir().unwrap();
    let (mut store, data) = store(&parent);
    let other = store.reader().unwrap();
    let watch = Arc::clone(&store.watch);
    let file = data.join("chanwire.db");
    let connection = crate::store::schema::connect(&file).unwrap();
    let panics = std::panic::AssertUnwindSafe(|| watch.checkpoint(&connection, || panic!("as it was told")));
    std::panic::catch_unwind(panics).unwrap_err();
    // As long as before: a checkpoint would change it so.
    let mut bytes = fs::read(&file).unwrap();
    bytes.iter_mut().skip(4096).for_each(|byte| *byte ^= 1);
    fs::write(&file, bytes).unwrap();
    let error = append(&mut store, 21..=21, 100).unwrap_err().to_string();
    assert!(error.contains("was written by another program"), "{error}");
    drop((other, connection));
}
