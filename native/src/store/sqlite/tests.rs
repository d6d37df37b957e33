use std::{collections::BTreeMap as Map, fs, net::IpAddr, process};

use chanwire_core::{
    hub::{ChannelLog, ChannelRecord, DamagedName, ReleasedChannel, Sender},
    wire::{Address, Channel, Timestamp},
};

use super::*;
use crate::store::{
    last_commit,
    rows::{id, seal},
};

const NOW: i64 = 1_698_937_472;

fn put(name: &str, host: &str, position: u64) -> Write {
    Write::PutChannel(ChannelRecord {
        channel: Channel { channel_name: name.parse().unwrap(), address: Address::new(host, 22240).unwrap() },
        registered_from: Some(IpAddr::from([192, 168, 1, 5])),
        position,
        lease: None,
        account: None,
    })
}

fn message(channel_name: &str, id: u64, message_content: &str) -> StoredMessage {
    StoredMessage::new(
        channel_name.parse().unwrap(),
        id,
        "user1".parse().unwrap(),
        message_content.into(),
        Timestamp::from_unix(NOW + id as i64),
    )
}

fn append(channel_name: &str, id: u64) -> Write {
    Write::from(message(channel_name, id, "Hello, World!"))
}

fn end(channel_name: &str, last_id: u64) -> ChannelLog {
    let last_timestamp = Timestamp::from_unix(NOW + last_id as i64);
    ChannelLog {
        channel_name: channel_name.parse().unwrap(),
        last_id,
        first_id: 1,
        last_timestamp,
        since: Timestamp::default(),
        account: None,
    }
}

/// Removes the clock's times from a snapshot: those at which names were taken off the list.
fn timeless(mut snapshot: Snapshot) -> Snapshot {
    snapshot.logs.iter_mut().for_each(|log| log.since = Timestamp::default());
    snapshot
}

/// Every message of the store, read from its tables.
fn messages(store: &SqliteStore) -> Vec<StoredMessage> {
    let sql =
        "SELECT name, place & 0x3fffffffff, username, content, timestamp, messages.account, deleted, deletes FROM messages JOIN logs ON log = place >> 38
        ORDER BY place";
    let mut select = store.connection.prepare(sql).unwrap();
    let rows = select.query_map([], |row| {
        Ok(StoredMessage {
            channel_name: row.get::<_, String>(0)?.parse().unwrap(),
            id: id(row, 1)?,
            username: row.get::<_, String>(2)?.parse().unwrap(),
            message_content: row.get(3)?,
            timestamp: Timestamp::from_unix(row.get(4)?),
            account: row.get::<_, Option<String>>(5)?.map(|account| account.parse().unwrap()),
            deleted: row.get(6)?,
            deletes: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The bytes of each file in a directory but the lock, and the index of the log, which SQLite makes anew.
fn bytes(directory: &Path) -> Map<String, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name != "chanwire.lock" && !name.ends_with("-shm"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

/// Opening this directory fails with such words and changes nothing in it.
#[track_caller]
fn refused(directory: &Path, words: &str) {
    let before = bytes(directory);
    let error = SqliteStore::open(directory).err().unwrap().to_string();
    assert!(error.contains(words), "{error}");
    assert!(error.contains(directory.to_str().unwrap()), "{error}");
    assert!(bytes(directory) == before, "{:?} became {:?}", before.keys(), bytes(directory).keys());
}

#[test]
fn commits_are_loaded_again_also_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(store.load().unwrap(), Snapshot::default());
    store.commit(&[put("b", "LocalHost", 1), put("a", "::1", 2), append("b", 1)]).unwrap();
    store.commit(&[append("b", 2), append("elsewhere", 1), append("b", 3)]).unwrap();
    store.commit(&[]).unwrap();

    let channels = [put("b", "LocalHost", 1), put("a", "::1", 2)].map(|write| match write {
        Write::PutChannel(record) => record,
        other => panic!("{other:?}"),
    });
    let snapshot =
        Snapshot { channels: channels.into(), logs: vec![end("b", 3), end("elsewhere", 1)], ..Snapshot::default() };
    let stored = [("b", 1), ("b", 2), ("b", 3), ("elsewhere", 1)].map(|(name, id)| message(name, id, "Hello, World!"));
    assert_eq!((store.load().unwrap(), messages(&store)), (snapshot.clone(), stored.to_vec()));
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!((store.load().unwrap(), messages(&store)), (snapshot, stored.to_vec()));
    store.commit(&[append("b", 4)]).unwrap();
}

#[test]
fn a_channel_takes_the_place_of_the_one_of_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[put("a", "10.0.0.1", 1), put("b", "10.0.0.2", 2)]).unwrap();
    store.commit(&[put("a", "10.0.0.3", 1)]).unwrap();
    store.commit(&[put("b", "10.0.0.2", 3)]).unwrap();
    let channels = store.load().unwrap().channels;
    let listed: Vec<_> = channels.iter().map(|record| (record.channel.address.host(), record.position)).collect();
    assert_eq!(listed, [("10.0.0.3", 1), ("10.0.0.2", 3)]);
    store.commit(&[put("c", "10.0.0.4", 4), put("d", "10.0.0.4", 3)]).unwrap_err();
    assert_eq!(store.load().unwrap().channels, channels);
}

#[test]
fn a_channel_that_is_removed_leaves_its_messages_and_its_last_id() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[put("a", "10.0.0.1", 1), put("b", "10.0.0.2", 2), append("a", 1), append("a", 2)]).unwrap();
    store
        .commit(&[Write::RemoveChannel("a".parse().unwrap()), Write::RemoveChannel("never there".parse().unwrap())])
        .unwrap();
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let Snapshot { channels, logs, .. } = timeless(store.load().unwrap());
    let names: Vec<&str> = channels.iter().map(|record| record.channel.channel_name.as_str()).collect();
    assert_eq!((names, logs), (vec!["b"], vec![end("a", 2)]));
    // Hosted here again, its ids go on; in one commit it may go and come back.
    store.commit(&[append("a", 1)]).unwrap_err();
    let back =
        [put("a", "10.0.0.1", 3), Write::RemoveChannel("a".parse().unwrap()), put("a", "10.0.0.3", 4), append("a", 3)];
    store.commit(&back).unwrap();
    let Snapshot { channels, logs, .. } = timeless(store.load().unwrap());
    let listed: Vec<_> = channels.iter().map(|record| (record.channel.address.host(), record.position)).collect();
    assert_eq!((listed, logs), (vec![("10.0.0.2", 2), ("10.0.0.3", 4)], vec![end("a", 3)]));
}

#[test]
fn leases_and_the_operators_channels_are_loaded_as_they_were_put() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let record = |name: &str, position, registered_from, lease| ChannelRecord {
        channel: Channel { channel_name: name.parse().unwrap(), address: Address::new("10.0.0.1", 22240).unwrap() },
        registered_from,
        position,
        lease,
        account: None,
    };
    let from = Some(IpAddr::from([10, 0, 0, 1]));
    let mut records =
        vec![record("a", 1, from, Some(10)), record("b", 2, from, None), record("c", 3, None, Some(86_400))];
    let puts: Vec<Write> = records.iter().cloned().map(Write::PutChannel).collect();
    store.commit(&puts).unwrap();
    assert_eq!(store.load().unwrap().channels, records);
    // A HOST without a lease takes it away, one with a lease sets it.
    (records[0].lease, records[1].lease) = (None, Some(300));
    let puts: Vec<Write> = records[..2].iter().cloned().map(Write::PutChannel).collect();
    store.commit(&puts).unwrap();
    drop(store);
    assert_eq!(SqliteStore::open(directory.path()).unwrap().load().unwrap().channels, records);
}

/// The names that a commit is without, and why.
fn without(committed: Result<(), CommitError>) -> Vec<(ChannelName, String)> {
    let CommitError::Without { refusals } = committed.unwrap_err() else { panic!("nothing is stored") };
    refusals.into_iter().map(|(name, error)| (name, error.to_string())).collect()
}

#[test]
fn a_gap_in_the_ids_of_a_channel_refuses_what_the_commit_has_of_it_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("a", 1), append("b", 1)]).unwrap();
    let a = [message("a", 1, "Hello, World!")];
    for (last, (wrong, expected)) in (2..).zip([(4, 3), (2, 3), (0, 3), (u64::MAX, 3)]) {
        let writes = [
            put("a", "10.0.0.1", 1),
            append("b", last),
            append("a", 2),
            put("c", "10.0.0.1", last),
            append("a", wrong),
        ];
        let refused = without(store.commit(&writes));
        let [(name, error)] = &refused[..] else { panic!("{refused:?}") };
        let says = format!("message {wrong} of channel \"a\" was to be stored in ");
        assert!(name == "a" && error.starts_with(&says), "{refused:?}");
        assert!(error.contains(&format!("where {expected} is next")), "{error}");
        let found = store.load().unwrap();
        assert_eq!((&found.logs[..], found.channels.len()), (&[end("a", 1), end("b", last)][..], 1));
        assert_eq!(messages(&store)[..1], a);
        assert_eq!(messages(&store).len() as u64, 1 + last);
    }
    store.commit(&[append("a", 2), append("new", 1)]).unwrap();
    // The note of the last commit counts what was stored.
    drop(store);
    SqliteStore::open(directory.path()).unwrap();
}

#[test]
fn a_name_that_no_number_is_left_for_is_refused_and_the_others_of_its_commit_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("a", 1)]).unwrap();
    store.log_numbers.max = 2;
    store.commit(&[append("b", 1)]).unwrap();
    for last in 2..4 {
        let refused = without(store.commit(&[append("a", last), append("c", 1), append("c", 2), append("b", last)]));
        let [(name, error)] = &refused[..] else { panic!("{refused:?}") };
        assert!(name == "c" && error.contains("has no place for messages of channel \"c\""), "{refused:?}");
        assert_eq!(store.load().unwrap().logs, [end("a", last), end("b", last)]);
    }
    // The number of a name that is forgotten is free.
    store
        .connection
        .execute_batch("DELETE FROM logs WHERE name = 'b'; DELETE FROM messages WHERE place >> 38 = 2")
        .unwrap();
    store.commit(&[append("c", 1)]).unwrap();
}

#[test]
fn a_message_that_no_id_is_left_for_is_refused_and_the_others_of_its_commit_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("a", 1), append("b", 1)]).unwrap();
    let almost = format!("UPDATE logs SET last_id = {0}, first_id = {0} + 1 WHERE name = 'a'", MAX_ID - 1);
    store.connection.execute(&almost, []).unwrap();
    seal(&store.connection);
    store.commit(&[append("a", MAX_ID)]).unwrap();
    let refused = without(store.commit(&[append("b", 2), append("a", MAX_ID + 1), append("b", 3)]));
    let [(name, error)] = &refused[..] else { panic!("{refused:?}") };
    assert!(name == "a" && error.contains("has no place for another message of channel \"a\""), "{refused:?}");
    store.commit(&[append("b", 4)]).unwrap();
}

#[test]
fn numbers_of_logs_are_used_again_when_the_greatest_was_given_and_no_message_has_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&["a", "b", "c", "d", "e"].map(|name| append(name, 1))).unwrap();
    // 2 and 4 are free, but there is a message of 4; and of the last numbers only one is free.
    let sql = format!(
        "DELETE FROM logs WHERE log IN (2, 4); DELETE FROM messages WHERE place >> 38 = 2;
         INSERT INTO logs (log, name, last_id, last_timestamp, first_id)
            VALUES ({}, 'y', 0, 0, 1), ({MAX_LOG}, 'z', 0, 0, 1);",
        MAX_LOG - 2
    );
    store.connection.execute_batch(&sql).unwrap();
    seal(&store.connection);
    drop(store);
    fs::remove_file(directory.path().join(last_commit::NAME)).unwrap();
    // It begins after the greatest, and there is none.
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let numbers = |store: &SqliteStore| {
        let mut select = store.connection.prepare("SELECT name, log FROM logs WHERE name LIKE 'new %'").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect::<Map<String, i64>>()
    };
    let new = |number: i64| (format!("new {number}"), number);
    store.commit(&[append("new 2", 1), append("new 6", 1)]).unwrap();
    store.commit(&[append("new 7", 1)]).unwrap();
    assert_eq!(numbers(&store), Map::from([2, 6, 7].map(new)));
    // A refused name gets no number.
    assert_eq!(without(store.commit(&[append("new 8", 1), append("new 8", 9)])).len(), 1);
    assert_eq!(numbers(&store), Map::from([2, 6, 7].map(new)));
    store.log_numbers.last.set(MAX_LOG - 3);
    let free = MAX_LOG - 1;
    store.commit(&[append(&format!("new {free}"), 1), append("new 8", 1)]).unwrap();
    assert_eq!(numbers(&store), Map::from([2, 6, 7, 8, free].map(new)));
}

#[test]
fn a_number_that_is_used_again_has_no_key_of_the_name_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let keyed = |name: &str, id: u64| {
        let Write::Append { message, .. } = append(name, id) else { panic!("a message") };
        let client_message_id = "0123456789abcdef".parse().unwrap();
        let send_key = SendKey { sender: Sender::Guest("ann".parse().unwrap()), client_message_id, digest: id };
        Write::Append { message, send_key: Some(send_key) }
    };
    store.commit(&[keyed("a", 1), keyed("b", 1)]).unwrap();
    store
        .connection
        .execute_batch("DELETE FROM logs WHERE log = 1; DELETE FROM messages WHERE place >> 38 = 1")
        .unwrap();
    store.log_numbers.max = 2;
    store.commit(&[append("c", 1)]).unwrap();
    let found = store.load().unwrap();
    assert_eq!(found.logs.len(), 2);
    assert!(found.sends.iter().map(|send| &*send.channel_name).eq(["b"]), "{:?}", found.sends);
}

#[test]
fn a_name_belongs_to_the_account_that_hosted_it_last_also_without_messages() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let put_by = |name: &str, position, account: Option<&str>| {
        let Write::PutChannel(record) = put(name, "192.0.2.7", position) else { unreachable!("it puts a channel") };
        Write::PutChannel(ChannelRecord { account: account.map(|account| account.parse().unwrap()), ..record })
    };
    let owners = |store: &mut SqliteStore| -> Vec<(String, u64, Option<String>)> {
        let logs = store.load().unwrap().logs.into_iter();
        logs.map(|log| (log.channel_name.into(), log.last_id, log.account.map(Into::into))).collect()
    };
    let of_ann = |last_id| vec![("a".to_owned(), last_id, Some("ann".to_owned()))];
    // One commit, and another order of the same in it; a guest's channel has no log.
    store.commit(&[put_by("a", 1, Some("ann")), put_by("b", 2, None)]).unwrap();
    assert_eq!(owners(&mut store), of_ann(0));
    let channels = store.load().unwrap().channels;
    let accounts: Vec<_> = channels.iter().map(|record| record.account.as_deref()).collect();
    assert_eq!(accounts, [Some("ann"), None]);
    let until = Timestamp::from_unix(NOW);
    store.commit(&[Write::ReleaseChannel { channel_name: "a".parse().unwrap(), until }]).unwrap();
    assert_eq!(store.load().unwrap().released[0].record.account.as_deref(), Some("ann"));
    store.commit(&[Write::RemoveChannel("a".parse().unwrap())]).unwrap();
    store.commit(&[Write::DropName("a".parse().unwrap())]).unwrap();
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(owners(&mut store), of_ann(0));
    store.commit(&[append("a", 1)]).unwrap();
    assert_eq!(owners(&mut store), of_ann(1));
    store.commit(&[put_by("a", 3, Some("bob")), append("a", 2)]).unwrap();
    assert_eq!(owners(&mut store), [("a".to_owned(), 2, Some("bob".to_owned()))]);
    store.commit(&[append("a", 3), put_by("a", 3, None)]).unwrap();
    assert_eq!(owners(&mut store), [("a".to_owned(), 3, None)]);
    rows::verify(&store.connection).unwrap();
}

#[test]
fn any_text_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let texts =
        ["\0", "a\0b\0", "é", "e\u{301}", "𝄞 \u{10ffff}\u{feff}", "'; DROP TABLE logs; --", "\u{2028}\r\n\t\\\"", "1"];
    let sent: Vec<StoredMessage> = texts
        .iter()
        .map(|text| {
            let name = text.replace(char::is_control, "?");
            let username = format!("!{name}!").parse().unwrap();
            let account = text.is_ascii().then(|| "ann".parse().unwrap());
            StoredMessage { username, account, ..message(&format!("name {name}"), 1, text) }
        })
        .collect();
    let writes: Vec<Write> = sent.iter().cloned().map(Write::from).collect();
    store.commit(&writes).unwrap();
    let logs: Vec<ChannelLog> = sent.iter().map(|sent| end(&sent.channel_name, 1)).collect();
    assert_eq!((messages(&store), store.load().unwrap().logs), (sent.clone(), logs));
    // The names are found again, each as itself.
    let writes: Vec<Write> = sent.iter().map(|sent| append(&sent.channel_name, 2)).collect();
    store.commit(&writes).unwrap();
}

#[test]
fn ten_thousand_messages_in_many_commits_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let names = ["a", "b", "c"];
    let all: Vec<StoredMessage> =
        (0..10_000).map(|n| message(names[n % 3], n as u64 / 3 + 1, &format!("message {n}"))).collect();
    let mut rest = all.as_slice();
    for size in (1..).map(|n| n * 7 % 100) {
        let (now, later) = rest.split_at(size.min(rest.len()));
        let writes: Vec<Write> = now.iter().cloned().map(Write::from).collect();
        store.commit(&writes).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(store.load().unwrap().logs, [end("a", 3334), end("b", 3333), end("c", 3333)]);
    let mut sorted = all;
    sorted.sort_by(|a, b| (&a.channel_name, a.id).cmp(&(&b.channel_name, b.id)));
    assert!(messages(&store) == sorted);
}

#[test]
fn both_connections_sync_each_commit_and_leave_the_log_to_the_checkpointer() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let other = schema::connect(&store.file).unwrap();
    configure(&other).unwrap();
    for connection in [&store.connection, &other] {
        let value = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(value("synchronous"), 2, "FULL");
        assert_eq!(value("wal_autocheckpoint"), 0);
        assert_eq!(value("fullfsync"), 1);
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}

#[test]
fn a_full_disk_fails_commits_and_loses_nothing_that_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let limit = |store: &SqliteStore, pages: u32| {
        let set: rusqlite::Result<u32> =
            store.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0));
        set.unwrap()
    };
    let big = |id| Write::from(message("a", id, &"x".repeat(65_000)));
    store.commit(&[big(1)]).unwrap();
    let pages = limit(&store, 1);
    let before = (store.load().unwrap(), messages(&store));
    for _ in 0..2 {
        let error = store.commit(&[append("a", 2), append("b", 1), big(3)]).unwrap_err().to_string();
        let says = format!("cannot write {}: database or disk is full; free some space", store.file.display());
        assert!(error.starts_with(&says), "{error}");
        assert_eq!((store.load().unwrap(), messages(&store)), before);
    }
    assert_eq!(limit(&store, pages + 100), pages + 100);
    store.commit(&[append("a", 2), append("b", 1), big(3)]).unwrap();
    assert_eq!(store.load().unwrap().logs, [end("a", 3), end("b", 1)]);
}

#[test]
fn an_unfinished_transaction_is_neither_loaded_nor_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let leave_open = "BEGIN IMMEDIATE; INSERT INTO logs (name, last_id, last_timestamp) VALUES ('ghost', 1, 1)";
    store.connection.execute_batch(leave_open).unwrap();
    assert_eq!(store.load().unwrap(), Snapshot::default());
    store.connection.execute_batch(leave_open).unwrap();
    store.commit(&[append("a", 1)]).unwrap();
    assert_eq!(store.load().unwrap().logs, [end("a", 1)]);
}

#[test]
fn a_second_opener_is_refused_until_the_first_has_closed() {
    let directory = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(directory.path()).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
    let says = format!("is in use by another chanwire process (pid {})", process::id());
    assert!(error.contains(&says), "{error}");
    drop(first);
    SqliteStore::open(directory.path()).unwrap();
}

#[test]
fn a_closed_store_is_one_file_with_everything_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("a", 1)]).unwrap();
    drop(store);
    assert_eq!(bytes(directory.path()).keys().collect::<Vec<_>>(), ["chanwire.db", last_commit::NAME]);
    let copy = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join("chanwire.db"), copy.path().join("chanwire.db")).unwrap();
    assert_eq!(SqliteStore::open(copy.path()).unwrap().load().unwrap().logs, [end("a", 1)]);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_not_changed() {
    for content in ["x", "SQLite format 3\0", &"no database at all\n".repeat(1000)] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("chanwire.db"), content).unwrap();
        refused(directory.path(), "chanwire.db is not a database, and was left as it is; move it away");
    }
}

#[test]
fn the_database_of_another_application_is_refused_and_left_as_it_is() {
    for mode in ["DELETE", "WAL"] {
        let directory = tempfile::tempdir().unwrap();
        let other = Connection::open(directory.path().join("chanwire.db")).unwrap();
        other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        other.pragma_update(None, "application_id", 0x0102_0304).unwrap();
        other.pragma_update(None, "journal_mode", mode).unwrap();
        other.execute_batch("CREATE TABLE logs (text TEXT); INSERT INTO logs VALUES ('precious')").unwrap();
        drop(other);
        refused(
            directory.path(),
            "is the database of another application (its id is 0x01020304), and was left as it is",
        );
    }
}

#[test]
fn the_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    // While the new version is only in the WAL, the database's header has the old one.
    for only_in_the_log in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        SqliteStore::open(directory.path()).unwrap().commit(&[append("a", 1)]).unwrap();
        let newer = Connection::open(directory.path().join("chanwire.db")).unwrap();
        newer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, only_in_the_log).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        drop(newer);
        assert_eq!(bytes(directory.path()).contains_key("chanwire.db-wal"), only_in_the_log);
        refused(
            directory.path(),
            "written by a newer chanwire (its schema is version 99, this program knows version 6)",
        );
    }
}

#[test]
fn a_log_without_its_database_is_refused_and_left_as_it_is() {
    for suffix in ["-wal", "-journal"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(format!("chanwire.db{suffix}")), "precious").unwrap();
        refused(directory.path(), &format!("chanwire.db is missing, but its log {}", directory.path().display()));
    }
}

#[test]
fn a_directory_in_the_place_of_the_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("chanwire.db")).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap().to_string();
    assert!(error.starts_with("cannot read the database"), "{error}");
}

#[test]
fn a_start_that_was_cut_short_is_made_good_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("chanwire.db.new"), "half").unwrap();
    SqliteStore::open(directory.path()).unwrap().commit(&[append("a", 1)]).unwrap();
    assert_eq!(SqliteStore::open(directory.path()).unwrap().load().unwrap().logs, [end("a", 1)]);
    assert_eq!(bytes(directory.path()).keys().collect::<Vec<_>>(), ["chanwire.db", last_commit::NAME]);
}

#[test]
fn a_commit_of_any_size_is_stored_row_by_row() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let mut expected = Map::from([("a", Vec::new()), ("b", Vec::new()), ("c", Vec::new())]);
    for size in (1..20).chain([63, 64, 65, 72, 137, 200]) {
        let mut writes = Vec::new();
        for number in 0..size {
            // Most go to one channel, and some of the others among them.
            let name = ["a", "b", "a", "a", "c"][(number + size) % 5];
            let messages = expected.get_mut(name).unwrap();
            let next = messages.len() as u64 + 1;
            messages.push(message(name, next, &format!("{name} {next}")));
            writes.push(Write::from(message(name, next, &format!("{name} {next}"))));
        }
        store.commit(&writes).unwrap();
    }
    let mut stored = messages(&store);
    stored.sort_by(|one, other| one.channel_name.cmp(&other.channel_name));
    assert_eq!(stored, expected.into_values().flatten().collect::<Vec<_>>());
}

#[test]
fn an_empty_database_was_not_always_so_and_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("chanwire.db"), "").unwrap();
    refused(directory.path(), "chanwire.db is damaged: it is empty; restore the data directory from a backup");
}

#[test]
fn a_row_that_cannot_be_is_reported_with_its_channel() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let damages = [
        ("host = '0.0.0.0'", "row 1 of the table channels, channel \"a\", is hosted at \"0.0.0.0\", port 22240"),
        ("registered_from = 'x'", "row 1 of the table channels, channel \"a\", was registered from \"x\""),
        ("name = ' a'", "row 1 of the table channels, channel \" a\", has a name that no channel can have"),
        ("port = 70000", "row 1 of the table channels, channel \"a\", does not match its checksum"),
        ("position = -1", "row -1 of the table channels, channel \"a\", does not match its checksum"),
    ];
    for (damage, says) in damages {
        store.connection.execute("DELETE FROM channels", []).unwrap();
        store.commit(&[put("a", "10.0.0.1", 1)]).unwrap();
        store.connection.execute(&format!("UPDATE channels SET {damage}"), []).unwrap();
        seal(&store.connection);
        let DamagedName { channel_name, position } = &store.load().unwrap().damaged[0];
        // Nobody can ask for a name that is none, and its position is not given to another channel.
        assert_eq!(channel_name.as_deref(), Some("a").filter(|_| !damage.starts_with("name")), "{says}");
        assert_eq!(*position, Some(1).filter(|_| !damage.starts_with("position")), "{says}");
        let (_, damaged) = rows::snapshot(&store.connection).unwrap();
        assert_eq!(damaged[0].to_string(), says);
    }
}

#[test]
fn the_log_stays_short_under_a_writer_that_never_rests() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let log = directory.path().join("chanwire.db-wal");
    let (content, per_commit, commits) = ("x".repeat(8000), 16, 640);
    let mut longest = 0;
    for commit in 0..commits {
        let first = commit * per_commit + 1;
        let writes: Vec<Write> =
            (first..first + per_commit).map(|id| Write::from(message("a", id, &content))).collect();
        store.commit(&writes).unwrap();
        longest = longest.max(fs::metadata(&log).unwrap().len());
    }
    // 82 MB of content; a commit adds about 200 kB to the log.
    let bound = u64::from(4 * crate::store::checkpoint::LONG) * 4096 + (1 << 20);
    assert!(longest <= bound, "the log grew to {longest} bytes");
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(store.load().unwrap().logs, [end("a", commits * per_commit)]);
}

#[test]
fn a_reader_that_holds_the_log_stops_no_commit_and_the_log_shrinks_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let log = directory.path().join("chanwire.db-wal");
    let content = "x".repeat(60_000);
    let mut next = 1;
    let mut commit = |store: &mut SqliteStore| {
        let writes: Vec<Write> = (next..next + 16).map(|id| Write::from(message("a", id, &content))).collect();
        store.commit(&writes).unwrap();
        next += 16;
        fs::metadata(&log).unwrap().len()
    };
    commit(&mut store);
    let reader = schema::connect(&store.file).unwrap();
    let transaction = reader.unchecked_transaction().unwrap();
    let count = |connection: &Connection| -> i64 {
        connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&transaction), 16);
    let bound = store.room.wal_bound();
    assert!((0..100).any(|_| commit(&mut store) > bound + (8 << 20)));
    assert_eq!(count(&transaction), 16, "the reader sees what it began with");
    drop(transaction);
    // Started over, the log's file is cut to its bound.
    assert!((0..100).any(|_| commit(&mut store) <= bound));
}

#[test]
fn of_some_names_what_is_stored_is_found_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[put("a", "127.0.0.1", 1), put("b", "127.0.0.1", 2), put("c", "127.0.0.1", 3)]).unwrap();
    store.commit(&[append("a", 1), append("a", 2), append("b", 1), append("d", 1)]).unwrap();
    let Snapshot { channels, logs, .. } = store.load().unwrap();
    let all = ["a", "b", "c", "d", "never"];
    for names in [&["a"][..], &["c"], &["d", "never"], &["d", "a"], &all] {
        let names: Vec<ChannelName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut found = store.load_names(&names).unwrap();
        let is_meant = |name: &ChannelName| names.contains(name);
        let channels = channels.iter().filter(|record| is_meant(&record.channel.channel_name));
        found.channels.sort_by_key(|record| record.position);
        assert!(found.channels.iter().eq(channels), "{names:?}: {found:?}");
        found.logs.sort_by_key(|log| log.channel_name.clone());
        assert!(found.logs.iter().eq(logs.iter().filter(|log| is_meant(&log.channel_name))), "{names:?}: {found:?}");
    }
}

#[test]
fn a_channel_that_is_released_is_kept_until_it_is_put_or_removed_and_a_name_is_forgotten_with_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[put("a", "10.0.0.1", 1), put("b", "10.0.0.2", 2), append("a", 1)]).unwrap();
    let records = store.load().unwrap().channels;
    let until = Timestamp::from_unix(NOW);
    let release = |name: &str| Write::ReleaseChannel { channel_name: name.parse().unwrap(), until };
    store.commit(&[append("a", 2), release("a"), append("a", 3), release("never there")]).unwrap();
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let loaded = store.load().unwrap();
    let kept = ReleasedChannel { record: records[0].clone(), until };
    assert_eq!((&loaded.channels[..], &loaded.released[..]), (&records[1..], &[kept][..]));
    assert!((loaded.logs[0].since.as_unix() - wall_time().as_unix()).abs() < 100, "{:?}", loaded.logs);
    store.commit(&[put("a", "10.0.0.1", 1), release("b")]).unwrap();
    store.commit(&[Write::RemoveChannel("b".parse().unwrap())]).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!((&loaded.channels[..], &loaded.released[..]), (&records[..1], &[][..]));

    // A name with messages is not dropped.
    store.commit(&[Write::RemoveChannel("a".parse().unwrap()), Write::DropName("a".parse().unwrap())]).unwrap();
    assert_eq!(timeless(store.load().unwrap()).logs, [end("a", 3)]);
    let trimmed = "DELETE FROM messages; UPDATE logs SET first_id = 4, bytes = 0";
    store.connection.execute_batch(trimmed).unwrap();
    seal(&store.connection);
    store.commit(&[append("b", 1), Write::DropName("a".parse().unwrap()), append("c", 1)]).unwrap();
    store.commit(&[append("a", 1)]).unwrap();
    assert_eq!(store.load().unwrap().logs, [end("b", 1), end("c", 1), end("a", 1)]);
}

/// Deletes a message that [`append`] makes; its record has this id.
fn delete(channel_name: &str, id: u64, record: u64) -> Write {
    let at = Timestamp::from_unix(NOW + record as i64);
    let record = StoredMessage::record(channel_name.parse().unwrap(), record, "host".parse().unwrap(), id, at);
    Write::Delete { tombstone: message(channel_name, id, "Hello, World!").tombstone(), record }
}

#[test]
fn a_deletion_replaces_the_message_and_appends_its_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("a", 1), append("b", 1), append("a", 2), append("a", 3)]).unwrap();
    store.commit(&[append("a", 4), delete("a", 2, 5), delete("b", 1, 2), append("a", 6), delete("a", 3, 7)]).unwrap();
    let left = |id| message("a", id, "Hello, World!").tombstone();
    let record = |name: &str, id, deletes| match delete(name, deletes, id) {
        Write::Delete { record, .. } => record,
        other => panic!("{other:?}"),
    };
    let plain = |id| message("a", id, "Hello, World!");
    let all = [
        [plain(1), left(2), left(3), plain(4), record("a", 5, 2), plain(6), record("a", 7, 3)].to_vec(),
        [message("b", 1, "Hello, World!").tombstone(), record("b", 2, 1)].to_vec(),
    ];
    assert_eq!(messages(&store), all.concat());
    drop(store);
    // The next start finds it whole, and every row in order.
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(messages(&store), all.concat());
    rows::verify(&store.connection).unwrap();
    assert_eq!(store.load().unwrap().logs, [end("a", 7), end("b", 2)]);
}

#[test]
fn a_deletion_of_a_missing_message_or_under_a_wrong_id_is_refused_for_its_name_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[append("a", 1), append("a", 2), append("b", 1)]).unwrap();
    store.connection.execute_batch("DELETE FROM messages WHERE place = 1 << 38 | 1").unwrap();
    let before = messages(&store);
    for (refused, next) in [([delete("a", 2, 3), delete("a", 1, 4)], 2), ([delete("a", 2, 4), append("a", 3)], 3)] {
        let names = without(store.commit(&[&refused[..], &[append("b", next)]].concat()));
        assert_eq!(names.len(), 1);
        assert_eq!(messages(&store).iter().filter(|message| message.channel_name == "a").count(), 1);
        assert_eq!(messages(&store)[0], before[0]);
    }
}

#[test]
fn the_key_of_a_deleted_message_stays_without_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let keyed = |name: &str, id: u64| {
        let Write::Append { message, .. } = append(name, id) else { panic!("a message") };
        let client_message_id = format!("{id:016}").parse().unwrap();
        let send_key = SendKey { sender: Sender::Guest("ann".parse().unwrap()), client_message_id, digest: id };
        Write::Append { message, send_key: Some(send_key) }
    };
    store.commit(&[keyed("a", 1), keyed("b", 1), keyed("a", 2), append("a", 3), keyed("b", 2)]).unwrap();
    store.commit(&[delete("a", 2, 4), delete("a", 3, 5)]).unwrap();
    let digests = |store: &mut SqliteStore| {
        let sends = store.load().unwrap().sends.into_iter();
        sends.map(|send| (send.channel_name.to_string(), send.id, send.key.digest)).collect::<Vec<_>>()
    };
    let left =
        [("a", 1, 1), ("b", 1, 1), ("a", 2, 0), ("b", 2, 2)].map(|(name, id, digest)| (name.to_string(), id, digest));
    // Closing erases what is left to be erased.
    drop(store);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(digests(&mut store), left);
    rows::verify(&store.connection).unwrap();
}
