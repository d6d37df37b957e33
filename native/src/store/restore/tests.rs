use chanwire_core::{
    hub::{ChannelRecord, Write},
    wire::Channel,
};

use super::*;
use crate::store::{SqliteStore, Store as _, back_up, backup::tests::append};

fn host(store: &mut SqliteStore, name: &str, position: u64, lease: Option<u32>) {
    let channel = Channel { channel_name: name.parse().unwrap(), address: "192.0.2.7:1".parse().unwrap() };
    let record = ChannelRecord { channel, registered_from: None, position, lease, account: None };
    store.commit(&[Write::PutChannel(record)]).unwrap();
}

fn last_id(directory: &Path) -> u64 {
    SqliteStore::open(directory).unwrap().load().unwrap().logs[0].last_id
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// A data directory with messages 1 to 30, the last ten only in the WAL as a crash leaves it, and a backup of the first
/// ten.
fn crashed(parent: &Path) -> (PathBuf, PathBuf) {
    let (running, data, backup) = (parent.join("running"), parent.join("data"), parent.join("some.db"));
    let mut store = SqliteStore::open(&running).unwrap();
    append(&mut store, 1..=10);
    host(&mut store, "a", 1, None);
    host(&mut store, "b", 2, Some(60));
    back_up(&running, &backup, |_, _| {}).unwrap();
    append(&mut store, 11..=20);
    drop(store);
    let mut store = SqliteStore::open(&running).unwrap();
    append(&mut store, 21..=30);
    fs::create_dir(&data).unwrap();
    for name in ["chanwire.db", "chanwire.db-wal"] {
        fs::copy(running.join(name), data.join(name)).unwrap();
    }
    (data, backup)
}

#[test]
fn a_backup_takes_the_place_of_a_database_and_of_its_log_and_both_are_kept() {
    let parent = tempfile::tempdir().unwrap();
    let (data, backup) = crashed(parent.path());
    let bytes = fs::read(&backup).unwrap();
    let restored = restore(&backup, &data, |_, _| {}).unwrap();
    assert_eq!((restored.channels, restored.leased, restored.messages), (2, 1, 10));
    assert_eq!(last_id(&data), 10);
    assert!(fs::read(&backup).unwrap() == bytes);
    let kept = restored.replaced.unwrap();
    let away = parent.path().join("away");
    fs::create_dir(&away).unwrap();
    fs::rename(&kept, away.join("chanwire.db")).unwrap();
    fs::rename(with_suffix(&kept, "-wal"), away.join("chanwire.db-wal")).unwrap();
    assert_eq!(last_id(&away), 30);
    let names: Vec<String> = files(&data).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["chanwire.db", "chanwire.last-commit", "chanwire.lock"]);
}

#[test]
fn an_invalid_backup_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let (data, backup) = crashed(parent.path());
    drop(DataDir::open(&data).unwrap());
    let file = |name: &str, bytes: &[u8]| {
        let file = parent.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let whole = fs::read(&backup).unwrap();
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&1000_u32.to_be_bytes());
    let mut damaged = whole.clone();
    let last = whole.len() - 4096;
    damaged[last..last + 16].fill(0xff);
    let before = files(&data);
    for (file, words) in [
        (parent.path().join("nothing"), "there is no database "),
        (file("text", b"precious"), "is not a database"),
        (file("cut", &whole[..whole.len() - 4096]), "is cut short"),
        (file("newer", &newer), "was written by a newer chanwire"),
        (file("damaged", &damaged), " is damaged: "),
        (data.join("chanwire.db"), "is the database of this data directory itself"),
    ] {
        let error = restore(&file, &data, |_, _| {}).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&file.display().to_string()), "{words}: {error}");
        let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let after: Vec<_> = files(&data).into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect();
        assert!(after == before, "{words}: {:?}", names(&after));
    }
    let _in_use = DataDir::open(&data).unwrap();
    let error = restore(&backup, &data, |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("is in use by another chanwire process"), "{error}");
}

#[test]
fn no_store_opens_what_an_interrupted_restore_left_and_the_next_one_makes_it_good() {
    let parent = tempfile::tempdir().unwrap();
    let (data, backup) = crashed(parent.path());
    fs::write(data.join(schema::RESTORING), "").unwrap();
    fs::write(data.join("chanwire.db.part"), "half").unwrap();
    fs::remove_file(data.join("chanwire.db-wal")).unwrap();
    let error = SqliteStore::open(&data).err().unwrap().to_string();
    assert!(error.contains("run `chanwire restore` again"), "{error}");
    restore(&backup, &data, |_, _| {}).unwrap();
    assert_eq!(last_id(&data), 10);
}

#[test]
fn a_backup_is_restored_into_a_directory_that_is_not_there() {
    let parent = tempfile::tempdir().unwrap();
    let (_, backup) = crashed(parent.path());
    let data = parent.path().join("new/data");
    assert_eq!(restore(&backup, &data, |_, _| {}).unwrap().replaced, None);
    assert_eq!(last_id(&data), 10);
}
