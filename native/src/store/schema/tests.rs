use std::{
    fs,
    net::IpAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use chanwire_core::{
    hub::{ChannelLog, ChannelRecord, Query, Snapshot, Write},
    wire::{Address, Channel, HistoryRange, StoredMessage, Timestamp},
};

use super::*;
use crate::store::{
    SqliteStore, Store as _, back_up,
    migration::{self, Reports},
    restore, rows,
};

/// Databases of earlier versions, as SQL: the statements of the version, and rows of every kind.
const FIXTURES: [&str; MIGRATIONS.len() - 1] = [
    include_str!("fixtures/version_1.sql"),
    include_str!("fixtures/version_2.sql"),
    include_str!("fixtures/version_3.sql"),
    include_str!("fixtures/version_4.sql"),
    include_str!("fixtures/version_5.sql"),
];

/// Creates a database of this version.
fn create_version(version: usize, directory: &Path) -> Connection {
    let file = directory.join(DATABASE);
    fs::write(&file, "").unwrap();
    let connection = connect(&file).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(FIXTURES[version - 1]).unwrap();
    connection
}

fn message(channel_name: &str, id: u64, seconds: i64, username: &str, content: &str) -> StoredMessage {
    StoredMessage::new(
        channel_name.parse().unwrap(),
        id,
        username.parse().unwrap(),
        content.into(),
        Timestamp::from_unix(seconds),
    )
}

/// Returns all messages of a channel.
fn messages(store: &SqliteStore, channel_name: &str) -> Vec<StoredMessage> {
    let range = HistoryRange::After(0);
    let query = Query {
        channel_name: channel_name.parse().unwrap(),
        range,
        limit: 100,
        max_bytes: usize::MAX,
        purpose: chanwire_core::hub::Purpose::Replay,
    };
    store.reader().unwrap().read(&query).unwrap()
}

const QUOTED: &str = "böse \"1\" '\u{202e}";
const LAST_ID: u64 = (1 << 38) - 1;

/// Returns the content of every fixture; no leases for a version without them.
fn content(version: usize) -> (Snapshot, Vec<StoredMessage>) {
    let channel = |name: &str, host: &str, port, from: Option<&str>, position, lease: Option<u32>| ChannelRecord {
        channel: Channel { channel_name: name.parse().unwrap(), address: Address::new(host, port).unwrap() },
        registered_from: from.map(|from| from.parse::<IpAddr>().unwrap()),
        position,
        lease: lease.filter(|_| version >= 2),
        account: None,
    };
    let log = |name: &str, first_id, last_id, seconds| ChannelLog {
        channel_name: name.parse().unwrap(),
        last_id,
        first_id,
        last_timestamp: Timestamp::from_unix(seconds),
        since: Timestamp::default(),
        account: None,
    };
    let stored = Snapshot {
        moderation: Vec::new(),
        released: Vec::new(),
        damaged: Vec::new(),
        channels: vec![
            channel("general", "192.0.2.7", 22240, Some("192.0.2.8"), 0, Some(300)),
            channel(QUOTED, "LocalHost", 22236, None, 3, None),
            channel("art", "2001:db8::5", 1, Some("::1"), 7, Some(86_400)),
            channel("empty", "7.chat.example", 65535, Some("10.0.0.9"), 9, None),
        ],
        logs: vec![
            log("general", 1, 3, 1_698_937_475),
            log(QUOTED, 1, 2, 1_698_937_472),
            log("dropped", 8, 7, 1_698_937_472),
            log("trimmed", 8, 9, 253_402_300_799),
            log("last", LAST_ID, LAST_ID, -62_167_219_200),
        ],
        sends: Vec::new(),
    };
    let messages = vec![
        message("general", 1, 1_698_937_472, "user1", "Hello, World!"),
        message("general", 2, 1_698_937_472, "ü", "{\"a\": [\"'\\\"]}\n\t\r"),
        message("general", 3, 1_698_937_475, "𝄞", &"é".repeat(2500)),
        message(QUOTED, 1, 0, "a", "a\0b\0"),
        message(QUOTED, 2, 1_698_937_472, "b \u{10ffff}", "1"),
        message("trimmed", 8, 253_402_300_799, "u", "eight"),
        message("trimmed", 9, 253_402_300_799, "u", "nine"),
        message("last", LAST_ID, -62_167_219_200, "last", "\u{feff}\u{2028}"),
    ];
    (stored, messages)
}

/// Everything in a database: its version, its tables and their rows.
fn dump(connection: &Connection) -> Vec<String> {
    let mut dump = vec![version(connection).unwrap().to_string()];
    let mut select = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let objects = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    for (kind, name, sql) in objects.map(|object| object.unwrap()) {
        let (kind, name, sql): (String, String, Option<String>) = (kind, name, sql);
        dump.push(format!("{kind} {name} {sql:?}"));
        if kind == "table" {
            let mut select = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let columns = select.column_count();
            let mut rows = select.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let row: Vec<_> = (0..columns).map(|column| row.get_ref(column).unwrap()).collect();
                dump.push(format!("{row:?}"));
            }
        }
    }
    dump
}

#[test]
fn databases_of_every_older_version_are_migrated_with_all_their_rows() {
    for version in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        drop(create_version(version, directory.path()));
        let (stored, all) = content(version);
        for _ in 0..2 {
            let mut store = SqliteStore::open(directory.path()).unwrap();
            let mut loaded = store.load().unwrap();
            for log in &mut loaded.logs {
                let since = std::mem::take(&mut log.since).as_unix();
                if version < 5 {
                    // Not recorded, so the time counts from now.
                    assert!((since - crate::clock::wall_time().as_unix()).abs() < 100, "{since}");
                } else {
                    assert_eq!(since, 1_698_940_000);
                }
            }
            assert_eq!(loaded, stored, "from version {version}");
            let other = connect(&directory.path().join(DATABASE)).unwrap();
            assert_eq!(super::version(&other).unwrap(), KNOWN);
            rows::verify(&other).unwrap();
            let mut select = other.prepare("SELECT bytes FROM logs ORDER BY log").unwrap();
            let bytes: Vec<i64> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            assert_eq!(bytes, [5112, 60, 0, 59, 34], "from version {version}");
            let found: Vec<_> = stored.logs.iter().flat_map(|log| messages(&store, &log.channel_name)).collect();
            assert_eq!(found, all, "from version {version}");
        }
        // It can be written like a new one.
        let mut store = SqliteStore::open(directory.path()).unwrap();
        let next = message("general", 4, 1_698_937_476, "u", "four");
        let first = message("new", 1, 1_698_937_476, "u", "first");
        let writes =
            [Write::from(next.clone()), Write::RemoveChannel("general".parse().unwrap()), Write::from(first.clone())];
        store.commit(&writes).unwrap();
        assert_eq!(messages(&store, "general")[3..], [next]);
        assert_eq!(messages(&store, "new"), [first]);
        rows::verify(&connect(&directory.path().join(DATABASE)).unwrap()).unwrap();
    }
}

#[test]
fn a_migration_that_is_interrupted_anywhere_leaves_the_older_version_whole() {
    for version in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(DATABASE);
        let before = dump(&create_version(version, directory.path()));
        let (mut cuts, reports) = (0, Reports::start().unwrap());
        // Each try is interrupted one step later than the one before, until one is complete.
        for steps in 1.. {
            let left = Arc::new(AtomicU32::new(steps));
            let interrupt = move || left.fetch_sub(1, Relaxed) == 1;
            let migrated = migration::replace(connect(&file).unwrap(), &file, &reports, interrupt);
            assert!(!directory.path().join(NASCENT).exists());
            if migrated.is_ok() {
                break;
            }
            cuts += 1;
            let after = dump(&connect(&file).unwrap());
            assert_eq!(after, before, "from version {version}, interrupted after {steps} steps");
        }
        assert!(cuts > 10, "{cuts} tries were interrupted");
        let connection = connect(&file).unwrap();
        assert_eq!(super::version(&connection).unwrap(), KNOWN);
        rows::verify(&connection).unwrap();
    }
}

#[test]
fn a_migration_that_fails_leaves_the_older_version_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE);
    let connection = create_version(1, directory.path());
    // A column that a later migration adds is there already.
    connection.execute_batch("ALTER TABLE logs ADD COLUMN bytes TEXT").unwrap();
    let before = dump(&connection);
    migration::replace(connection, &file, &Reports::start().unwrap(), || false).unwrap_err();
    assert_eq!(dump(&connect(&file).unwrap()), before);
}

#[test]
fn a_migration_keeps_the_permissions_and_the_owner_and_replaces_what_a_crash_has_left() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE);
    let connection = create_version(5, directory.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may do this; for others the owner is their own.
    let _ = std::os::unix::fs::chown(&file, Some(12_345), Some(12_346));
    let owner = |file: &Path| fs::metadata(file).map(|found| (found.uid(), found.gid())).unwrap();
    let before = owner(&file);
    fs::write(directory.path().join(NASCENT), "incomplete").unwrap();
    migration::replace(connection, &file, &Reports::start().unwrap(), || false).unwrap();
    assert!(!directory.path().join(NASCENT).exists());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(owner(&file), before);
    SqliteStore::open(directory.path()).unwrap();
}

/// Fills some pages with a text that is then in free pages, and in the unused parts of others.
fn leave_remains(connection: &Connection) {
    let scratch = "CREATE TABLE scratch (id INTEGER PRIMARY KEY, text TEXT);
        WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1000)
        INSERT INTO scratch SELECT id, 'remains' FROM n;
        DELETE FROM scratch WHERE id BETWEEN 2 AND 999";
    connection.execute_batch(scratch).unwrap();
}

fn holds_remains(file: &Path) -> bool {
    fs::read(file).unwrap().windows(7).any(|bytes| bytes == b"remains")
}

#[test]
fn a_migration_clears_what_deleted_rows_have_left() {
    for version in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(DATABASE);
        let connection = create_version(version, directory.path());
        leave_remains(&connection);
        connection.execute_batch("DROP TABLE scratch").unwrap();
        drop(connection);
        assert!(holds_remains(&file));
        drop(SqliteStore::open(directory.path()).unwrap());
        assert!(!holds_remains(&file), "from version {version}");
        let connection = connect(&file).unwrap();
        let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap();
        assert!(version < 5 || free == 0, "{free}");
    }
}

#[test]
fn a_database_that_another_program_reads_is_not_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let connection = create_version(5, directory.path());
    connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    let before = dump(&connection);
    let reading = connection.unchecked_transaction().unwrap();
    reading.query_row("SELECT count(*) FROM logs", [], |_| Ok(())).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
    let file = directory.path().join(DATABASE);
    let expected =
        format!("cannot migrate {}: database is locked; close the other program that has it open", file.display());
    assert_eq!(error, expected);
    assert_eq!(dump(&reading), before);
    drop(reading);
    drop(connection);
    SqliteStore::open(directory.path()).unwrap();
}

#[test]
fn backups_of_every_older_version_are_restored() {
    for version in 1..MIGRATIONS.len() {
        let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        leave_remains(&create_version(version, old.path()));
        let backup = old.path().join("some.backup");
        back_up(old.path(), &backup, |_, _| {}).unwrap();
        assert!(holds_remains(&backup));
        connect(&backup).unwrap().execute_batch("DROP TABLE scratch").unwrap();
        let restored = restore(&backup, new.path(), |_, _| {}).unwrap();
        let (stored, messages) = content(version);
        let leased = stored.channels.iter().filter(|channel| channel.lease.is_some()).count() as u64;
        assert_eq!(
            (restored.channels, restored.leased, restored.messages),
            (stored.channels.len() as u64, leased, messages.len() as u64)
        );
        assert!(!holds_remains(&new.path().join(DATABASE)));
        assert_eq!(SqliteStore::open(new.path()).unwrap().load().unwrap().channels, stored.channels);
        let names: Vec<_> = fs::read_dir(new.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name == NASCENT || name == "chanwire.db.part"), "{names:?}");
    }
}

#[test]
fn a_migration_that_fails_while_it_copies_messages_leaves_them_where_they_were() {
    // Version 3: two messages would get the same key. Version 4: a message belongs to no channel.
    for (version, stray) in [
        (3, "INSERT INTO messages VALUES (1, (1 << 38) | 1, 1009, 'u', 'far')"),
        (4, "INSERT INTO messages VALUES (3 << 38 | 1, 1009, 'u', 'lost')"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let connection = create_version(version, directory.path());
        connection.execute(stray, []).unwrap();
        let before = dump(&connection);
        drop(connection);
        for _ in 0..2 {
            let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
            assert!(error.contains("cannot migrate "), "{error}");
            assert_eq!(dump(&connect(&directory.path().join(DATABASE)).unwrap()), before);
        }
    }
}

#[test]
fn damaged_rows_are_found_before_a_migration_copies_them() {
    let directory = tempfile::tempdir().unwrap();
    let connection = create_version(3, directory.path());
    let many = "WITH RECURSIVE n(id) AS (SELECT 4 UNION ALL SELECT id + 1 FROM n WHERE id < 80000)
        INSERT INTO messages SELECT 1, id, 1009, 'u', printf('%0800d', id) FROM n";
    connection.execute_batch(&format!("{many}; UPDATE logs SET last_id = 80000 WHERE log = 1")).unwrap();
    connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    drop(connection);
    let file = directory.path().join(DATABASE);
    let sound = fs::read(&file).unwrap();
    assert!(sound.len() > CHECKED_WHOLE as usize * 4096);
    // A page whose header counts one message too few. SQLite reads it without an error.
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
    let query = Query {
        channel_name: "general".parse().unwrap(),
        range,
        limit: 100,
        max_bytes: usize::MAX,
        purpose: chanwire_core::hub::Purpose::Replay,
    };
    let last = store.reader().unwrap().read(&query).unwrap();
    assert_eq!(last, [message("general", 80_000, 1009, "u", &format!("{:0800}", 80_000))]);
}

/// Overwrites the root page of a table.
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
fn a_large_database_is_checked_except_for_its_messages_which_fail_when_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let message = |id| {
        StoredMessage::new(
            "general".parse().unwrap(),
            id,
            "u".parse().unwrap(),
            "x".repeat(60_000),
            Timestamp::from_unix(1004),
        )
    };
    for first in (1..=1_200).step_by(100) {
        store.commit(&(first..first + 100).map(|id| Write::from(message(id))).collect::<Vec<_>>()).unwrap();
    }
    drop(store);
    assert!(fs::metadata(directory.path().join(DATABASE)).unwrap().len() > CHECKED_WHOLE as u64 * 4096);

    damage_root(directory.path(), "messages");
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.load().unwrap();
    let query = Query {
        channel_name: "general".parse().unwrap(),
        range: HistoryRange::Last,
        limit: 1,
        max_bytes: 1,
        purpose: chanwire_core::hub::Purpose::Replay,
    };
    let error = store.reader().unwrap().read(&query).unwrap_err().to_string();
    assert!(error.contains("malformed; restore the data directory from a backup"), "{error}");
    drop(store);
    damage_root(directory.path(), "logs");
    let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
    assert!(error.contains(" is damaged: ") && !error.contains('\n'), "{error}");
}

#[test]
fn tables_of_another_version_than_the_recorded_one_are_refused_and_left_as_they_are() {
    for actual in 1..=MIGRATIONS.len() {
        for recorded in 1..=MIGRATIONS.len() {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join(DATABASE);
            if actual < MIGRATIONS.len() {
                drop(create_version(actual, directory.path()));
            } else {
                drop(SqliteStore::open(directory.path()).unwrap());
            }
            connect(&file).unwrap().pragma_update(None, "user_version", recorded as i64).unwrap();
            let before = fs::read(&file).unwrap();
            let opened = SqliteStore::open(directory.path());
            if actual == recorded {
                opened.unwrap();
                continue;
            }
            let path = file.display();
            let error = opened.err().unwrap().to_string();
            let expected = format!(
                "cannot open {path}: its version says {recorded} but its tables are those of another; restore the data \
                 directory from a backup"
            );
            assert_eq!(error, expected, "tables of version {actual}");
            assert!(fs::read(&file).unwrap() == before, "tables of version {actual}, recorded {recorded}");
            let wal = fs::read(directory.path().join("chanwire.db-wal")).unwrap_or_default();
            assert!(wal.is_empty(), "tables of version {actual}, recorded {recorded}");
        }
    }
}

#[test]
fn foreign_tables_are_no_reason_to_refuse_a_database() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(directory.path()).unwrap());
    let connection = connect(&directory.path().join(DATABASE)).unwrap();
    let added = "CREATE TABLE notes (text TEXT); CREATE INDEX by_time ON messages (timestamp);
        CREATE VIEW names AS SELECT name FROM logs; ANALYZE";
    connection.execute_batch(added).unwrap();
    drop(connection);
    SqliteStore::open(directory.path()).unwrap();
}

#[test]
fn a_version_that_never_was_is_refused() {
    for version in [0, -1, i32::MIN] {
        let error = check_version(version, Path::new("some.db")).unwrap_err().to_string();
        assert!(error.contains(&format!("its schema has the version {version}; restore")), "{error}");
    }
    (1..=KNOWN).for_each(|version| check_version(version, Path::new("some.db")).unwrap());
}
