//! A store in a SQLite database.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use chanwire_core::{
    hub::{ChannelLog, ChannelRecord, Snapshot, Write},
    wire::{Address, Channel, StoredMessage, Timestamp},
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, config::DbConfig, params};

use super::{
    Store, StoreError,
    checkpoint::{self, Checkpointer},
    data_dir::DataDir,
    place::{MAX_ID, MAX_LOG, oldest, place},
    reader::SqliteReader,
    retention::{self, Retention, Trimmer},
    schema,
    turns::Turns,
    watch::Watch,
};

/// How long to wait for some other program that has the database locked: a person with SQLite's shell.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A store in a data directory, which no other process can use meanwhile.
pub(crate) struct SqliteStore {
    connection: Connection,
    file: PathBuf,
    /// `None` only while it is being dropped.
    checkpointer: Option<Checkpointer>,
    turns: Arc<Turns>,
    watch: Arc<Watch>,
    /// Last, so that the directory is free only after the database is closed.
    _directory: DataDir,
}

impl SqliteStore {
    /// Opens the store in a directory, and makes both if they are missing.
    ///
    /// What it refuses, for example the database of another application, or one that is damaged, it leaves as it is.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let directory = DataDir::open(directory)?;
        let file = schema::find(&directory)?;
        let failed = |cause| StoreError::sqlite("open", &file)(cause);
        let mut connection = schema::connect(&file).map_err(failed)?;
        // Until it is known to be one that this program may write, closing it must not move its log either.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        schema::check_log(&connection, &file)?;
        schema::check_pages(&connection, &file)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(StoreError::NoWriteAheadLog { file, mode });
        }
        configure(&connection).map_err(failed)?;
        if schema::migrate(&mut connection).map_err(failed)? {
            // No commit is to wait for what that has written.
            checkpoint::empty(&connection, &file)?;
        }
        let watch = Arc::new(Watch::start(&connection, &file)?);
        let beside = connect_beside(&file).map_err(failed)?;
        let checkpointer = Checkpointer::start(beside, &mut connection, file.clone(), Arc::clone(&watch))?;
        let checkpointer = Some(checkpointer);
        Ok(Self { connection, file, checkpointer, turns: Arc::default(), watch, _directory: directory })
    }

    /// Reads this store on a connection of its own, so that it never waits for a commit.
    pub(crate) fn reader(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::open(&self.file, Arc::clone(&self.watch))
    }

    /// Drops what this store need not keep, on a connection of its own.
    pub(crate) fn trimmer(&self, retention: Retention) -> Result<Trimmer, StoreError> {
        Trimmer::open(&self.file, retention, Arc::clone(&self.turns), Arc::clone(&self.watch))
    }

    /// Makes sure that nothing of a commit that failed is seen by what comes next.
    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }

    fn begin(&self, behavior: TransactionBehavior) -> rusqlite::Result<Transaction<'_>> {
        self.roll_back()?;
        Transaction::new_unchecked(&self.connection, behavior)
    }

    fn read(&self) -> Result<Snapshot, StoreError> {
        let failed = |cause| StoreError::sqlite("read", &self.file)(cause);
        let damaged = |what| StoreError::Damaged { file: self.file.clone(), what };
        let transaction = self.begin(TransactionBehavior::Deferred).map_err(failed)?;
        let mut snapshot = Snapshot::default();
        let mut select = transaction
            .prepare_cached("SELECT position, name, host, port, registered_from, lease FROM channels ORDER BY position")
            .map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            snapshot.channels.push(channel(row).map_err(failed)?.map_err(damaged)?);
        }
        let ends = format!(
            "SELECT name, last_id, last_timestamp, COALESCE({} & {MAX_ID}, last_id + 1) FROM logs ORDER BY log",
            oldest()
        );
        let mut select = transaction.prepare_cached(&ends).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            snapshot.logs.push(log(row).map_err(failed)?);
        }
        Ok(snapshot)
    }

    fn write(&self, writes: &[Write]) -> Result<(), StoreError> {
        let failed = |cause| StoreError::sqlite("write", &self.file)(cause);
        let transaction = self.begin(TransactionBehavior::Immediate).map_err(failed)?;
        let grown = write_all(&transaction, writes).map_err(|refusal| match refusal {
            Refusal::Sqlite(cause) => failed(cause),
            Refusal::IdGap { message, expected } => StoreError::IdGap {
                file: self.file.clone(),
                channel_name: message.channel_name.clone(),
                expected,
                found: message.id,
            },
            Refusal::NoLog { message } => {
                StoreError::NoLog { file: self.file.clone(), channel_name: message.channel_name.clone() }
            }
            Refusal::NoId { message } => {
                StoreError::NoId { file: self.file.clone(), channel_name: message.channel_name.clone() }
            }
        })?;
        transaction.commit().map_err(failed)?;
        self.turns.note(grown);
        Ok(())
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.watch.check_database(&self.connection)?;
        self.read()
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let turns = Arc::clone(&self.turns);
        let turn = turns.take();
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.before_commit(&self.connection);
        }
        self.watch.check(&self.connection)?;
        let written = self.write(writes);
        if let Some(checkpointer) = &mut self.checkpointer {
            self.watch.wrote(written.is_ok().then(|| checkpointer.frames()));
            checkpointer.after_commit();
        }
        drop(turn);
        written
    }
}

/// What is in the log goes into the database's file, which then is all there is.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        let closed = self.checkpointer.take().map(|checkpointer| checkpointer.close(&self.connection));
        if let Some(Err(error)) = closed {
            // Closing must not move the WAL either: a file that was put in the database's place is left as it is.
            let left = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            tracing::error!(%error, ?left, "the WAL was not moved into the database, and is left as it is");
        }
    }
}

/// Opens one more connection to the store's database, for a thread of its own. The store's own connection is closed last,
/// and is the only one that may move the WAL then.
pub(super) fn connect_beside(file: &Path) -> rusqlite::Result<Connection> {
    let connection = schema::connect(file)?;
    configure(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// What a connection is told before it is used.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    // Every commit syncs the log before it returns; a sync reaches the medium on macOS too.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    // The checkpointer moves the log. What one great commit has added to its file is given back.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", checkpoint::BOUND, |_| Ok(()))
}

/// Why a write is not stored.
enum Refusal<'w> {
    Sqlite(rusqlite::Error),
    IdGap { message: &'w StoredMessage, expected: u64 },
    NoLog { message: &'w StoredMessage },
    NoId { message: &'w StoredMessage },
}

impl From<rusqlite::Error> for Refusal<'_> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Where a channel's messages end.
struct Tail {
    log: i64,
    last_id: u64,
    last_timestamp: i64,
    /// By how much the messages of this commit make it larger.
    added: u64,
}

/// A row of `messages`.
struct Line<'w> {
    place: i64,
    timestamp: i64,
    message: &'w StoredMessage,
}

/// Says which logs have more messages now.
fn write_all<'w>(transaction: &Connection, writes: &'w [Write]) -> Result<Vec<i64>, Refusal<'w>> {
    // Each channel's end is read once and written once, however many of its messages are in the commit.
    let mut tails: BTreeMap<&str, Tail> = BTreeMap::new();
    let mut lines = Vec::with_capacity(writes.len());
    for write in writes {
        match write {
            Write::PutChannel(record) => put_channel(transaction, record)?,
            Write::RemoveChannel(channel_name) => {
                transaction.prepare_cached("DELETE FROM channels WHERE name = ?1")?.execute([channel_name])?;
            }
            Write::Append(message) => {
                let tail = match tails.entry(&message.channel_name) {
                    Entry::Occupied(tail) => tail.into_mut(),
                    Entry::Vacant(place) => place.insert(tail(transaction, &message.channel_name)?),
                };
                let expected = tail.last_id + 1;
                if message.id != expected {
                    return Err(Refusal::IdGap { message, expected });
                }
                if tail.log > MAX_LOG {
                    return Err(Refusal::NoLog { message });
                }
                if expected > MAX_ID {
                    return Err(Refusal::NoId { message });
                }
                tail.last_id = expected;
                tail.last_timestamp = message.timestamp.as_unix();
                tail.added += retention::size(&message.username, &message.message_content);
                lines.push(Line { place: place(tail.log, expected), timestamp: tail.last_timestamp, message });
            }
        }
    }
    insert(transaction, &lines)?;
    let mut update = transaction
        .prepare_cached("UPDATE logs SET last_id = ?2, last_timestamp = ?3, bytes = bytes + ?4 WHERE log = ?1")?;
    for tail in tails.values() {
        update.execute(params![tail.log, integer(tail.last_id)?, tail.last_timestamp, integer(tail.added)?])?;
    }
    Ok(tails.into_values().map(|tail| tail.log).collect())
}

/// How many rows a statement inserts: as many as possible. A statement costs as much as a row, and looks for the end
/// of the table anew.
const INSERTS: [usize; 3] = [64, 8, 1];

static INSERT: LazyLock<[String; INSERTS.len()]> = LazyLock::new(|| {
    let values = |rows| vec!["(?, ?, ?, ?)"; rows].join(", ");
    INSERTS.map(|rows| format!("INSERT INTO messages (place, timestamp, username, content) VALUES {}", values(rows)))
});

fn insert(transaction: &Connection, lines: &[Line<'_>]) -> rusqlite::Result<()> {
    let mut rest = lines;
    for (rows, sql) in INSERTS.iter().zip(INSERT.iter()) {
        let (whole, left) = rest.split_at(rest.len() - rest.len() % rows);
        rest = left;
        if whole.is_empty() {
            continue;
        }
        let mut insert = transaction.prepare_cached(sql)?;
        for lines in whole.chunks(*rows) {
            for (row, Line { place, timestamp, message }) in lines.iter().enumerate() {
                let before = row * 4;
                insert.raw_bind_parameter(before + 1, place)?;
                insert.raw_bind_parameter(before + 2, timestamp)?;
                insert.raw_bind_parameter(before + 3, message.username.as_str())?;
                insert.raw_bind_parameter(before + 4, message.message_content.as_str())?;
            }
            insert.raw_execute()?;
        }
    }
    Ok(())
}

/// Where this channel's messages end; a log is begun for a channel that never had one.
fn tail(transaction: &Connection, channel_name: &str) -> rusqlite::Result<Tail> {
    let mut select = transaction.prepare_cached("SELECT log, last_id, last_timestamp FROM logs WHERE name = ?1")?;
    let found = select
        .query_row([channel_name], |row| {
            Ok(Tail { log: row.get(0)?, last_id: id(row, 1)?, last_timestamp: row.get(2)?, added: 0 })
        })
        .optional()?;
    if let Some(tail) = found {
        return Ok(tail);
    }
    let mut insert =
        transaction.prepare_cached("INSERT INTO logs (name, last_id, last_timestamp) VALUES (?1, 0, 0)")?;
    Ok(Tail { log: insert.insert([channel_name])?, last_id: 0, last_timestamp: 0, added: 0 })
}

fn put_channel(transaction: &Connection, record: &ChannelRecord) -> rusqlite::Result<()> {
    let address = &record.channel.address;
    let mut put = transaction.prepare_cached(
        "INSERT INTO channels (position, name, host, port, registered_from, lease) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (name) DO UPDATE SET position = excluded.position, host = excluded.host, port = excluded.port,
         registered_from = excluded.registered_from, lease = excluded.lease",
    )?;
    put.execute(params![
        integer(record.position)?,
        record.channel.channel_name,
        address.host(),
        address.port(),
        record.registered_from.map_or_else(String::new, |ip| ip.to_string()),
        record.lease
    ])?;
    Ok(())
}

/// A row of `channels`, or what is wrong with it.
fn channel(row: &Row<'_>) -> rusqlite::Result<Result<ChannelRecord, String>> {
    let (position, channel_name, host) = (id(row, 0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?);
    let (port, registered_from) = (row.get(3)?, row.get::<_, String>(4)?);
    let registered_from = match registered_from.as_str() {
        "" => None,
        ip => match ip.parse() {
            Ok(ip) => Some(ip),
            Err(_) => return Ok(Err(format!("the channel {channel_name:?} was registered from {ip:?}"))),
        },
    };
    let Some(address) = Address::new(host.as_str(), port) else {
        return Ok(Err(format!("the channel {channel_name:?} is hosted at {host:?}, port {port}")));
    };
    let lease = row.get(5)?;
    Ok(Ok(ChannelRecord { channel: Channel { channel_name, address }, registered_from, position, lease }))
}

fn log(row: &Row<'_>) -> rusqlite::Result<ChannelLog> {
    Ok(ChannelLog {
        channel_name: row.get(0)?,
        last_id: id(row, 1)?,
        first_id: id(row, 3)?,
        last_timestamp: Timestamp::from_unix(row.get(2)?),
    })
}

/// A count as SQLite keeps it.
pub(super) fn integer(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A count, from a column.
pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

#[cfg(test)]
mod tests;
