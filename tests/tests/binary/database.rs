//! The data directory's content, read without the server.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use chanwire_tests::process::Launch;

use rusqlite::{Connection, OpenFlags};
use tempfile::tempdir;

use crate::requests::{host_at, message_to};

/// One stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) timestamp: i64,
    pub(crate) username: String,
    pub(crate) content: String,
}

/// Returns every channel's messages by id, after a look at what must always hold: ids from 1 without a gap, timestamps
/// that never fall, and an end that is kept apart and says the same.
///
/// It reads a copy, so that a directory whose server crashed is left as the crash left it.
pub(crate) fn messages(data_dir: &Path) -> BTreeMap<String, Vec<Stored>> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["chanwire.db", "chanwire.db-wal"] {
        if let Ok(bytes) = fs::read(data_dir.join(name)) {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let database = Connection::open_with_flags(copy.path().join("chanwire.db"), flags).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");

    let mut select = database.prepare("SELECT log, name, last_id, last_timestamp FROM logs").unwrap();
    let logs = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    let logs: Vec<(i64, String, i64, i64)> = logs.map(Result::unwrap).collect();
    let sql =
        "SELECT place & 0x3fffffffff, timestamp, username, content FROM messages WHERE place >> 38 = ?1 ORDER BY place";
    let mut select = database.prepare(sql).unwrap();
    let mut all = BTreeMap::new();
    for (log, name, last_id, last_timestamp) in logs {
        let rows = select.query_map([log], |row| {
            Ok(Stored { id: row.get(0)?, timestamp: row.get(1)?, username: row.get(2)?, content: row.get(3)? })
        });
        let messages: Vec<Stored> = rows.unwrap().map(Result::unwrap).collect();
        assert!(messages.iter().map(|message| message.id).eq(1..=last_id), "{name} ends at {last_id}: {messages:?}");
        assert!(messages.is_sorted_by_key(|message| message.timestamp), "{name}: {messages:?}");
        assert_eq!(messages.last().map(|last| last.timestamp), Some(last_timestamp), "{name}");
        all.insert(name, messages);
    }
    all
}

/// Returns a channel's messages, in order.
pub(crate) fn stored_contents(data_dir: &Path, channel: &str) -> Vec<String> {
    let messages = messages(data_dir).remove(channel).unwrap_or_default();
    messages.into_iter().map(|message| message.content).collect()
}

/// Returns the files of a data directory, and those that others than its owner may use.
fn files_and_open_ones(data_dir: &Path) -> (Vec<String>, Vec<String>) {
    let modes = fs::read_dir(data_dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode())
    });
    let modes: Vec<(String, u32)> = modes.collect();
    let open = modes.iter().filter(|(_, mode)| mode & 0o077 != 0);
    (
        modes.iter().map(|(name, _)| name.clone()).collect(),
        open.map(|(name, mode)| format!("{name}: {mode:o}")).collect(),
    )
}

#[test]
fn every_file_of_the_data_directory_is_private_under_any_umask() {
    let parent = tempdir().unwrap();
    let data = parent.path().join("data");
    let launch = Launch::serve(&data).args(["--advertise", "192.0.2.9:22236"]).after("umask 000");
    for round in 0..2 {
        let server = launch.start();
        let mut peer = server.connect();
        assert!(peer.ask(host_at("general", "192.0.2.9", 22236)).is_ok());
        assert!(peer.ask(message_to("general", "u", "kept")).is_ok());
        let (files, open) = files_and_open_ones(&data);
        for name in ["chanwire.db", "chanwire.db-wal", "chanwire.db-shm", "chanwire.lock", "operator.sock"] {
            assert!(files.iter().any(|file| file == name), "{name} is missing from {files:?}");
        }
        assert_eq!((round, open), (round, vec![]));
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        server.stop();
        assert_eq!(files_and_open_ones(&data).1, Vec::<String>::new());
    }
    let backup = parent.path().join("some.db");
    let finished = Launch::new(["backup", "--data-dir"]).arg(&data).arg(&backup).after("umask 000").run();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
}
