//! A database's content, read without the server.

use std::{fs, path::Path};

use rusqlite::Connection;

/// A message: its id, who said it, and what.
pub(crate) type Row = (i64, String, String);

/// Returns the messages of `general`, which are dense up to its last id, in a copy of this directory's database: so
/// what a crash left stays as it is.
pub(crate) fn general(data_dir: &Path) -> Vec<Row> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["chanwire.db", "chanwire.db-wal"] {
        if let Ok(bytes) = fs::read(data_dir.join(name)) {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
    }
    let database = Connection::open(copy.path().join("chanwire.db")).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let logs = "SELECT log, last_id, bytes FROM logs WHERE name = 'general'";
    let (log, last_id, bytes): (i64, i64, i64) =
        database.query_row(logs, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap_or_default();
    let messages = "SELECT place & 0x3fffffffff, username, content FROM messages WHERE place >> 38 = ?1 ORDER BY place";
    let mut select = database.prepare(messages).unwrap();
    let rows = select.query_map([log], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let messages: Vec<Row> = rows.map(Result::unwrap).collect();
    let first_id = messages.first().map_or(last_id + 1, |(id, ..)| *id);
    assert!(messages.iter().map(|(id, ..)| *id).eq(first_id..=last_id), "a gap below {last_id}: {messages:?}");
    let counted: usize = messages.iter().map(|(_, username, content)| username.len() + content.len() + 24).sum();
    assert_eq!(usize::try_from(bytes), Ok(counted));
    messages
}
