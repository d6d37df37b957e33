use chanwire_core::{
    hub::{ChannelLog, Write},
    wire::{StoredMessage, Timestamp},
};

use super::*;
use crate::store::{SqliteStore, Store as _};

pub(in crate::store) fn append(store: &mut SqliteStore, ids: std::ops::RangeInclusive<u64>) {
    let message = |id| {
        StoredMessage::new(
            "a".parse().unwrap(),
            id,
            "u".parse().unwrap(),
            "x".repeat(1000),
            Timestamp::from_unix(1_698_937_472),
        )
    };
    store.commit(&ids.map(message).map(Write::from).collect::<Vec<_>>()).unwrap();
}

fn last_id(directory: &Path) -> u64 {
    let logs = SqliteStore::open(directory).unwrap().load().unwrap().logs;
    let [ChannelLog { last_id, first_id: 1, .. }] = logs[..] else { panic!("{logs:?}") };
    last_id
}

#[test]
fn a_backup_is_the_store_as_it_was_when_it_began_though_commits_go_on() {
    let (data, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(data.path()).unwrap();
    append(&mut store, 1..=10_000);
    let file = backups.path().join("chanwire.db");
    let mut seen = Vec::new();
    let mut next = 10_001;
    let size = back_up(data.path(), &file, |done, all| {
        append(&mut store, next..=next + 9);
        next += 10;
        seen.push((done, all));
    });
    assert_eq!(size.unwrap(), fs::metadata(&file).unwrap().len());
    // It was told of the progress, and never begun anew.
    assert!(seen.len() > 2 && seen.is_sorted(), "{seen:?}");
    assert!(seen.last().is_some_and(|(done, all)| done == all), "{seen:?}");
    drop(store);
    assert_eq!((last_id(backups.path()), last_id(data.path())), (10_000, next - 1));
}

#[test]
fn a_backup_has_what_only_the_log_has_and_leaves_the_log_there() {
    let (data, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(data.path()).unwrap();
    append(&mut store, 1..=3);
    let log = data.path().join("chanwire.db-wal");
    let before = fs::read(&log).unwrap();
    assert!(!before.is_empty());
    back_up(data.path(), &backups.path().join("chanwire.db"), |_, _| {}).unwrap();
    assert_eq!(fs::read(&log).unwrap(), before);
    assert_eq!(last_id(backups.path()), 3);
    append(&mut store, 4..=4);
}

#[test]
fn nothing_that_is_there_is_replaced_and_nothing_is_left_of_a_backup_that_failed() {
    let (data, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(data.path()).unwrap();
    append(&mut store, 1..=3);
    let file = backups.path().join("some.db");
    let refused = |directory: &Path, file: &Path| back_up(directory, file, |_, _| {}).unwrap_err().to_string();
    for name in ["some.db", "some.db.part"] {
        let there = backups.path().join(name);
        fs::write(&there, "precious").unwrap();
        assert!(refused(data.path(), &file).starts_with(&format!("{} is there already", there.display())));
        assert_eq!(fs::read(&there).unwrap(), b"precious");
        fs::remove_file(there).unwrap();
    }
    assert!(refused(backups.path(), &file).starts_with("there is no database "));
    assert!(refused(data.path(), &backups.path().join("no/where.db")).starts_with("cannot create "));
    // Somebody takes the name while the copy is made.
    let error = back_up(data.path(), &file, |_, _| fs::write(&file, "precious").unwrap()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{} is there already", file.display())), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert_eq!(fs::read_dir(backups.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_store_gives_no_backup() {
    let (data, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    append(&mut SqliteStore::open(data.path()).unwrap(), 1..=1000);
    let source = data.path().join("chanwire.db");
    let mut bytes = fs::read(&source).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 16].fill(0xff);
    fs::write(&source, bytes).unwrap();
    let error = back_up(data.path(), &backups.path().join("some.db"), |_, _| {}).unwrap_err().to_string();
    assert!(error.contains(&format!("{} is damaged: ", source.display())), "{error}");
    assert_eq!(fs::read_dir(backups.path()).unwrap().count(), 0);
}
