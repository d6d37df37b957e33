use std::{fs, net::IpAddr};

use chanwire_core::{
    hub::{ChannelLog, ChannelRecord, Query, Snapshot, Write},
    wire::{Address, Channel, HistoryRange, StoredMessage, Timestamp},
};

use super::*;
use crate::store::{SqliteStore, Store as _};

/// A database as the version of this number made it, with a channel and three messages, one of them in another log.
fn made_by(version: usize, directory: &Path) -> Connection {
    let file = directory.join(DATABASE);
    fs::write(&file, "").unwrap();
    let connection = connect(&file).unwrap();
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    for migration in &MIGRATIONS[..version] {
        connection.execute_batch(migration).unwrap();
    }
    connection.pragma_update(None, "user_version", version as i32).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection
        .execute_batch(
            "INSERT INTO channels (position, name, host, port, registered_from)
                 VALUES (7, 'general', '192.0.2.7', 22240, '192.0.2.8');
             INSERT INTO logs (log, name, last_id, last_timestamp) VALUES (1, 'general', 2, 1002), (2, 'böse', 1, 1003);
             INSERT INTO messages VALUES (1, 1, 1001, 'u', 'one'), (1, 2, 1002, 'ü', ''), (2, 1, 1003, 'u', '𝄞');",
        )
        .unwrap();
    if version >= 3 {
        let count = "UPDATE logs SET bytes = CASE log WHEN 1 THEN 54 ELSE 29 END";
        connection.execute(count, []).unwrap();
    }
    connection
}

fn message(channel_name: &str, id: u64, username: &str, content: &str) -> StoredMessage {
    StoredMessage {
        channel_name: channel_name.into(),
        id,
        username: username.into(),
        message_content: content.into(),
        timestamp: Timestamp::from_unix(1000 + id as i64),
    }
}

/// All of a channel, as a client is given it.
fn messages(store: &SqliteStore, channel_name: &str) -> Vec<StoredMessage> {
    let range = HistoryRange::After(0);
    let query = Query { channel_name: channel_name.into(), range, limit: 100, max_bytes: usize::MAX };
    store.reader().unwrap().read(&query).unwrap()
}

#[test]
fn what_every_older_version_made_is_brought_to_this_one_with_all_that_is_in_it() {
    let log = |name: &str, last_id, seconds| ChannelLog {
        channel_name: name.into(),
        last_id,
        first_id: 1,
        last_timestamp: Timestamp::from_unix(seconds),
    };
    let general = Channel { channel_name: "general".into(), address: Address::new("192.0.2.7", 22240).unwrap() };
    let from = Some(IpAddr::from([192, 0, 2, 8]));
    let stored = Snapshot {
        channels: vec![ChannelRecord { channel: general, registered_from: from, position: 7, lease: None }],
        logs: vec![log("general", 2, 1002), log("böse", 1, 1003)],
    };
    for version in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        drop(made_by(version, directory.path()));
        for _ in 0..2 {
            let mut store = SqliteStore::open(directory.path()).unwrap();
            assert_eq!(store.load().unwrap(), stored, "from version {version}");
            let other = connect(&directory.path().join(DATABASE)).unwrap();
            assert_eq!(super::version(&other).unwrap(), KNOWN);
            let mut select = other.prepare("SELECT bytes FROM logs ORDER BY log").unwrap();
            let bytes: Vec<i64> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            assert_eq!(bytes, [1 + 3 + 24 + 2 + 24, 1 + 4 + 24], "from version {version}");
            let general = [message("general", 1, "u", "one"), message("general", 2, "ü", "")];
            assert_eq!(messages(&store, "general"), general, "from version {version}");
            let other = StoredMessage { timestamp: Timestamp::from_unix(1003), ..message("böse", 1, "u", "𝄞") };
            assert_eq!(messages(&store, "böse"), [other], "from version {version}");
        }
        // It is as good as a new one.
        let mut store = SqliteStore::open(directory.path()).unwrap();
        let next = message("general", 3, "u", "three");
        store.commit(&[Write::Append(next.clone()), Write::RemoveChannel("general".into())]).unwrap();
        assert_eq!(store.load().unwrap().logs[0], log("general", 3, 1003));
        assert_eq!(messages(&store, "general")[2..], [next]);
    }
}

#[test]
fn a_migration_that_fails_leaves_the_older_version_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = made_by(1, directory.path());
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    // A column that a later migration adds is there already.
    connection.execute_batch("ALTER TABLE logs ADD COLUMN bytes TEXT").unwrap();
    migrate(&mut connection).unwrap_err();
    assert_eq!(version(&connection).unwrap(), 1);
    assert_eq!(connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap(), pages);
    connection.prepare("SELECT lease FROM channels").unwrap_err();
}

#[test]
fn a_migration_that_fails_while_it_copies_messages_leaves_them_where_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let connection = made_by(3, directory.path());
    // There would be two messages in one place.
    connection.execute("INSERT INTO messages VALUES (1, (1 << 38) | 1, 1009, 'u', 'far')", []).unwrap();
    drop(connection);
    for _ in 0..2 {
        let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("cannot open "), "{error}");
        let connection = connect(&directory.path().join(DATABASE)).unwrap();
        assert_eq!(version(&connection).unwrap(), 3);
        let count = "SELECT count(*) FROM messages WHERE log = 1 AND id IN (1, 2, (1 << 38) | 1)";
        assert_eq!(connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    }
}

#[test]
fn what_is_damaged_is_found_before_it_is_copied_and_what_is_copied_is_in_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let connection = made_by(3, directory.path());
    let many = "WITH RECURSIVE n(id) AS (SELECT 3 UNION ALL SELECT id + 1 FROM n WHERE id < 80000)
        INSERT INTO messages SELECT 1, id, 1009, 'u', printf('%0800d', id) FROM n";
    connection.execute_batch(&format!("{many}; UPDATE logs SET last_id = 80000 WHERE log = 1")).unwrap();
    connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    drop(connection);
    let file = directory.path().join(DATABASE);
    let sound = fs::read(&file).unwrap();
    assert!(sound.len() > CHECKED_WHOLE as usize * 4096);
    // A page that says that it has a message less: SQLite reads it as if that were true.
    let mut bytes = sound.clone();
    let of_messages = |page: &&mut [u8]| page.starts_with(&[10]) && page[3..5] == [0, 4];
    let page = bytes.chunks_mut(4096).rfind(of_messages).unwrap();
    page[4] = 3;
    fs::write(&file, &bytes).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
    assert!(error.contains(" is damaged: "), "{error}");
    assert_eq!(fs::read(&file).unwrap(), bytes);

    fs::write(&file, sound).unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(fs::metadata(directory.path().join("chanwire.db-wal")).unwrap().len(), 0);
    let range = HistoryRange::After(79_999);
    let query = Query { channel_name: "general".into(), range, limit: 100, max_bytes: usize::MAX };
    let last = store.reader().unwrap().read(&query).unwrap();
    assert_eq!(
        last,
        [StoredMessage {
            timestamp: Timestamp::from_unix(1009),
            ..message("general", 80_000, "u", &format!("{:0800}", 80_000))
        }]
    );
}

/// Fills the page that a table begins with.
fn damage_root(directory: &Path, table: &str) {
    let file = directory.join(DATABASE);
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: u32 = connect(&file).unwrap().query_row(root, [table], |row| row.get(0)).unwrap();
    let page = page as usize;
    let mut bytes = fs::read(&file).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xff);
    fs::write(&file, bytes).unwrap();
}

#[test]
fn of_a_large_database_the_tables_that_are_loaded_are_checked_and_messages_when_they_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let message = |id| StoredMessage {
        channel_name: "general".into(),
        id,
        username: "u".into(),
        message_content: "x".repeat(60_000),
        timestamp: Timestamp::from_unix(1004),
    };
    for first in (1..=1_200).step_by(100) {
        store.commit(&(first..first + 100).map(|id| Write::Append(message(id))).collect::<Vec<_>>()).unwrap();
    }
    drop(store);
    assert!(fs::metadata(directory.path().join(DATABASE)).unwrap().len() > CHECKED_WHOLE as u64 * 4096);

    damage_root(directory.path(), "messages");
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(error.contains("malformed; restore the data directory from a backup"), "{error}");
    drop(store);
    damage_root(directory.path(), "logs");
    let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
    assert!(error.contains(" is damaged: ") && !error.contains('\n'), "{error}");
}

#[test]
fn a_version_that_never_was_is_refused() {
    for version in [0, -1, i32::MIN] {
        let error = check_version(version, Path::new("some.db")).unwrap_err().to_string();
        assert!(error.contains(&format!("its schema has the version {version}; restore")), "{error}");
    }
    (1..=KNOWN).for_each(|version| check_version(version, Path::new("some.db")).unwrap());
}
