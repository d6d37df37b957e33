use std::{collections::BTreeSet, fs};

use chanwire_core::{
    hub::{Query, Write},
    wire::HistoryRange,
};

use super::*;
use crate::store::{CommitError, SqliteStore, Store as _, checksum::add_function, schema};

const TEXT: &str = "the text of a message";

fn append(channel_name: &str, id: u64) -> Write {
    let at = Timestamp::from_unix(1_698_937_472 + id as i64);
    let (channel_name, username) = (channel_name.parse().unwrap(), "user".parse().unwrap());
    let mut message = StoredMessage::new(channel_name, id, username, format!("{TEXT} {id}"), at);
    message.account = (id == 3).then(|| "ann".parse().unwrap());
    message.into()
}

fn put(name: &str, position: u64) -> Write {
    Write::PutChannel(ChannelRecord {
        channel: Channel { channel_name: name.parse().unwrap(), address: Address::new("192.0.2.7", 22240).unwrap() },
        registered_from: Some([192, 0, 2, 8].into()),
        position,
        lease: Some(300),
        account: (name == "a").then(|| "ann".parse().unwrap()),
    })
}

/// A store with messages 1 to 5 of "a" and "b", both of which are listed. Message 3 and "a" are an account's.
fn store(directory: &Path) -> SqliteStore {
    let mut store = SqliteStore::open(directory).unwrap();
    let mut writes = vec![put("a", 1), put("b", 2)];
    writes.extend((1..=5).flat_map(|id| [append("a", id), append("b", id)]));
    store.commit(&writes).unwrap();
    store
}

fn read(store: &SqliteStore, channel_name: &str, range: HistoryRange) -> Result<Vec<u64>, String> {
    let query = Query {
        channel_name: channel_name.parse().unwrap(),
        range,
        limit: 100,
        max_bytes: usize::MAX,
        purpose: chanwire_core::hub::Purpose::Replay,
    };
    let read = store.reader().unwrap().read(&query).map_err(|error| error.to_string())?;
    Ok(read.into_iter().map(|message| message.id).collect())
}

/// Every number in a column, and every one that differs in one bit, within what SQLite can keep.
fn flips(number: i64) -> impl Iterator<Item = i64> {
    (0..63).map(move |bit| number ^ 1 << bit)
}

#[test]
fn no_single_bit_of_a_message_changes_unnoticed_and_the_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let file = directory.path().join("chanwire.db");
    let other = schema::connect(&file).unwrap();
    let row = "SELECT place, timestamp, checksum, username, content FROM messages WHERE place & 0xff = 3 LIMIT 1";
    let (place, timestamp, checksum): (i64, i64, i64) =
        other.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut changes: Vec<String> = flips(timestamp).map(|flip| format!("timestamp = {flip}")).collect();
    changes.extend(flips(checksum).map(|flip| format!("checksum = {flip}")));
    let free = |flip: &i64| *flip > 0 && (flip & 0xff > 5 || flip >> 38 > 2);
    changes.extend(flips(place).filter(free).map(|flip| format!("place = {flip}")));
    for (column, text) in
        [("username", "user".to_owned()), ("content", format!("{TEXT} 3")), ("account", "ann".to_owned())]
    {
        for at in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            changes.push(format!("{column} = CAST(x'{hex}' AS TEXT)"));
        }
    }
    changes.extend(["account = NULL", "deleted = 1", "deleted = 2", "deletes = 1", "deletes = -1"].map(Into::into));
    assert!(changes.len() > 300);
    for change in changes {
        other.execute_batch(&format!("UPDATE messages SET {change} WHERE place = {place}")).unwrap();
        for (range, is_in_it) in [
            (HistoryRange::Last, true),
            (HistoryRange::After(2), true),
            (HistoryRange::Before(4), true),
            (HistoryRange::After(3), false),
            (HistoryRange::Before(3), false),
        ] {
            match read(&store, "a", range) {
                Ok(ids) => assert!(!is_in_it && ids.len() == 2, "{change} is read, {range:?}: {ids:?}"),
                Err(error) => {
                    let says = [
                        "message 3 of channel \"a\" does not match its checksum",
                        "message 3 of channel \"a\" is missing",
                    ];
                    let known = says.iter().any(|says| error.contains(says));
                    assert!(is_in_it && known && error.contains("chanwire.db is damaged"), "{change}: {error}");
                }
            }
        }
        assert_eq!(read(&store, "b", HistoryRange::Last).unwrap(), [1, 2, 3, 4, 5]);
        let RowError::Damaged(_) = verify(&other).unwrap_err() else { panic!("{change}") };
        let whole = format!(
            "DELETE FROM messages WHERE NOT (place >> 38 IN (1, 2) AND place & 0x3fffffffff IN (1, 2, 3, 4, 5));
             REPLACE INTO messages (place, timestamp, checksum, username, content, account)
                 VALUES ({place}, {timestamp}, {checksum}, 'user', '{TEXT} 3', 'ann')"
        );
        other.execute_batch(&whole).unwrap();
    }
    verify(&other).unwrap();
    assert_eq!(read(&store, "a", HistoryRange::Last).unwrap(), [1, 2, 3, 4, 5]);
}

fn row(connection: &Connection, table: &str, rowid: i64) -> Vec<rusqlite::types::Value> {
    let mut select = connection.prepare(&format!("SELECT * FROM {table} WHERE rowid = ?1")).unwrap();
    let columns = select.column_count();
    select.query_row([rowid], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap()
}

/// The names that are not damaged.
fn sound(found: &Snapshot) -> [Vec<&str>; 2] {
    let channels = found.channels.iter().map(|record| record.channel.channel_name.as_str());
    [channels.collect(), found.logs.iter().map(|log| log.channel_name.as_str()).collect()]
}

#[test]
fn no_single_bit_of_the_directory_or_of_a_log_changes_unnoticed_and_its_channel_alone_is_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path());
    let other = schema::connect(&directory.path().join("chanwire.db")).unwrap();
    for (table, key, numbers, texts) in [
        (
            "channels",
            "position",
            &["port", "lease", "released"][..],
            &["host", "registered_from", "name", "account"][..],
        ),
        ("logs", "log", &["last_id", "first_id", "last_timestamp", "bytes", "since"], &["name", "account"]),
    ] {
        for column in numbers.iter().chain(texts) {
            let value: rusqlite::types::Value = other
                .query_row(&format!("SELECT {column} FROM {table} WHERE {key} = 1"), [], |row| row.get(0))
                .unwrap();
            let changed: BTreeSet<String> = match &value {
                rusqlite::types::Value::Integer(number) => flips(*number).map(|flip| flip.to_string()).collect(),
                rusqlite::types::Value::Text(text) if *column == "name" => [format!("'{text}0'")].into(),
                rusqlite::types::Value::Text(text) if *column == "account" => {
                    [format!("'{text}0'"), "'Ann'".to_owned(), "NULL".to_owned()].into()
                }
                rusqlite::types::Value::Text(text) => {
                    [format!("'{}'", text.replacen('2', "3", 1)), format!("'{text}0'")].into()
                }
                _ => ["0".to_owned(), "1".to_owned()].into(),
            };
            for change in changed {
                let sound_row = row(&other, table, 1);
                other.execute(&format!("UPDATE {table} SET {column} = {change} WHERE {key} = 1"), []).unwrap();
                let damaged_row = row(&other, table, 1);
                verify(&other).unwrap_err();
                let name = if *column == "name" { "a0" } else { "a" };
                let found = store.load().unwrap();
                let position = (table == "channels").then_some(1);
                let apart = DamagedName { channel_name: name.parse().ok(), position };
                assert!(found.damaged.contains(&apart), "{column} = {change}: {found:?}");
                assert!(sound(&found).iter().all(|names| !names.contains(&name) && names.contains(&"b")), "{found:?}");
                let found = store.load_names(&["b".parse().unwrap(), name.parse().unwrap()]).unwrap();
                assert_eq!((&found.damaged[..], sound(&found)), (&[apart][..], [vec!["b"], vec!["b"]]), "{column}");

                // Every write of its name is refused and overwrites nothing; other names' writes are stored. Messages
                // do not touch the directory.
                let until = Timestamp::from_unix(0);
                let mut writes = vec![
                    put(name, 1),
                    Write::RemoveChannel(name.parse().unwrap()),
                    Write::ReleaseChannel { channel_name: name.parse().unwrap(), until },
                    Write::DropName(name.parse().unwrap()),
                ];
                writes.extend((table == "logs").then(|| append(name, 6)));
                for write in writes {
                    let id = store.load_names(&["b".parse().unwrap()]).unwrap().logs[0].last_id + 1;
                    let CommitError::Without { refusals } = store.commit(&[write, append("b", id)]).unwrap_err() else {
                        panic!("{column} = {change}")
                    };
                    let error = refusals[name].to_string();
                    let says = format!("row 1 of the table {table}, channel {name:?}, does not match its checksum");
                    assert!(refusals.len() == 1 && error.contains(&says), "{column} = {change}: {error}");
                    assert_eq!(store.load_names(&["b".parse().unwrap()]).unwrap().logs[0].last_id, id);
                    assert_eq!(row(&other, table, 1), damaged_row);
                }
                if table == "logs" && *column != "name" {
                    let error = read(&store, "a", HistoryRange::Last).unwrap_err();
                    assert!(error.contains("chanwire.db is damaged: row 1 of the table logs"), "{error}");
                }
                let restore = format!("UPDATE {table} SET {column} = ?1 WHERE {key} = 1");
                other.execute(&restore, [&value]).unwrap();
                assert_eq!(row(&other, table, 1), sound_row);
            }
        }
    }
    assert_eq!(store.load().unwrap().damaged, []);
    verify(&other).unwrap();
}

/// A name that is changed in the row alone is damaged as it was and as it is.
#[test]
fn a_name_that_is_changed_in_its_row_and_not_in_the_index_is_kept_apart_under_both() {
    for (table, text) in [("channels", "channel-in-the-directory"), ("logs", "channel-with-a-log")] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = store(directory.path());
        store.commit(&[put("channel-in-the-directory", 3), append("channel-with-a-log", 1)]).unwrap();
        drop(store);
        let file = directory.path().join("chanwire.db");
        let mut bytes = fs::read(&file).unwrap();
        let root: usize = {
            let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
            schema::connect(&file).unwrap().query_row(root, [table], |row| row.get::<_, i64>(0)).unwrap() as usize
        };
        let page = &mut bytes[(root - 1) * 4096..root * 4096];
        let at = page.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        page[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let mut store = SqliteStore::open(directory.path()).unwrap();
        let found = store.load().unwrap();
        let names: BTreeSet<&str> =
            found.damaged.iter().filter_map(|damaged| damaged.channel_name.as_deref()).collect();
        let changed = text.replacen('c', "b", 1);
        assert_eq!(names, [changed.as_str(), text].into(), "{found:?}");
        let CommitError::Without { refusals } =
            store.commit(&[append(text, 2), put(text, 9), append("a", 6)]).unwrap_err()
        else {
            panic!("refused altogether")
        };
        assert!(refusals.keys().eq([text]), "{refusals:?}");
        assert_eq!(read(&store, "a", HistoryRange::Last).unwrap(), [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn a_flipped_bit_in_the_file_is_never_served() {
    let directory = tempfile::tempdir().unwrap();
    drop(store(directory.path()));
    let file = directory.path().join("chanwire.db");
    let whole = fs::read(&file).unwrap();
    let found: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(TEXT.as_bytes())).collect();
    assert_eq!(found.len(), 10);
    for at in found.into_iter().flat_map(|at| [at - 6, at - 5, at - 1, at, at + 10, at + TEXT.len() + 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&file, bytes).unwrap();
        let Ok(store) = SqliteStore::open(directory.path()) else { continue };
        let read = ["a", "b"].map(|name| read(&store, name, HistoryRange::Last));
        assert!(read.iter().any(Result::is_err), "byte {at}: {read:?}");
        assert!(read.iter().any(Result::is_ok), "byte {at}: {read:?}");
    }
}

#[test]
fn sql_computes_the_checksum_of_a_message_of_any_length() {
    let connection = Connection::open_in_memory().unwrap();
    add_function(&connection).unwrap();
    let mut checksums = MessageChecksums::new("general");
    let (key, timestamp, username) = (1 << 38 | 7, 1_698_937_472, "ü");
    // A long row leaves nothing of itself in a short one after it, and a guest's checksum says nothing of an account.
    for length in [0, 1, 100, 400, 5000, 100_000, 3] {
        let content = "x".repeat(length);
        for (account, deleted, deletes, more) in [
            (None, false, None, ""),
            (Some("ann"), false, None, ", 'ann'"),
            (None, true, None, ", 'deleted'"),
            (Some("ann"), false, Some(7), ", 'ann', 'deletes', 7"),
        ] {
            let sql = format!("SELECT row_checksum('general', ?1, ?2, ?3, ?4{more})");
            let expected = connection.query_row(&sql, params![key, timestamp, username, content], |row| row.get(0));
            let columns = MessageColumns { timestamp, username, content: &content, account, deleted, deletes };
            assert_eq!(Ok(checksums.of(key, &columns)), expected, "{length}");
        }
    }
}
