//! Connections to the store's database.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, config::DbConfig};

use super::schema;

/// Timeout for a lock held by another program, such as the sqlite3 shell.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens one more connection to the store's database, for a thread of its own. The store's own connection is closed
/// last, and is the only one that may move the WAL then.
pub(super) fn connect_beside(file: &Path) -> rusqlite::Result<Connection> {
    let connection = schema::connect(file)?;
    configure(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Configures a connection before it is used.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Every commit syncs the WAL before it returns; a sync reaches the medium on macOS too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    // What a row loses is overwritten, and so are the pages that become free: see the module `erasure`.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    // The checkpointer moves the WAL.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
}
