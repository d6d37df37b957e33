//! A store in a SQLite database.

use std::{
    cell::Cell,
    collections::{BTreeMap, btree_map::Entry},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use chanwire_core::{
    hub::{ReleasedChannel, Snapshot, Write},
    wire::StoredMessage,
};
use rusqlite::{Connection, Transaction, TransactionBehavior, config::DbConfig};

use super::{
    Store, StoreError,
    checkpoint::{self, Checkpointer},
    checksum::Checksum,
    data_dir::DataDir,
    last_commit::{Noted, Noter},
    place::{MAX_ID, MAX_LOG, place, places},
    reader::SqliteReader,
    retention::{self, Retention, Trimmer},
    room::Room,
    rows::{self, LogRow, RowError, message_checksum},
    schema,
    space::{self, SpaceHandle},
    turns::Turns,
    watch::Watch,
};
use crate::clock::wall_time;

/// How long to wait for some other program that has the database locked: a person with SQLite's shell.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A store in a data directory, which no other process can use meanwhile.
pub(crate) struct SqliteStore {
    connection: Connection,
    file: PathBuf,
    /// `None` only while it is being dropped.
    checkpointer: Option<Checkpointer>,
    turns: Arc<Turns>,
    room: Arc<Room>,
    pub(super) watch: Arc<Watch>,
    noter: Noter,
    /// The number that was last given to a log, if any was since the start.
    last_log: Cell<Option<i64>>,
    /// Last, so that the directory is free only after the database is closed.
    _directory: DataDir,
}

impl SqliteStore {
    /// Opens a store that takes as much space as comes.
    #[cfg(test)]
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_within(directory, None)
    }

    /// Opens the store in a directory, and makes both if they are missing. Its files take so many bytes at most.
    ///
    /// What it refuses, for example the database of another application, or one that is damaged, it leaves as it is.
    pub(crate) fn open_within(directory: &Path, max: Option<u64>) -> Result<Self, StoreError> {
        let directory = DataDir::open(directory)?;
        let noted = Noted::read(&directory, &directory.file(schema::DATABASE))?;
        let file = schema::find(&directory)?;
        let failed = |cause| StoreError::sqlite("open", &file)(cause);
        let mut connection = schema::connect(&file).map_err(failed)?;
        // Until it is known to be one that this program may write, closing it must not move its log either.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        schema::check_tables(&connection, &file)?;
        let complete = noted.check(&connection, &directory, &file);
        // What is missing says more than what does not fit together without it.
        if !matches!(complete, Err(StoreError::Incomplete { .. })) {
            schema::check_pages(&connection, &file)?;
        }
        let note = complete?;
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
        let room = Arc::new(Room::new(file.clone(), max));
        room.prepare(&connection).and_then(|()| room.measure(&connection)).map_err(failed)?;
        let watch = Arc::new(Watch::start(&connection, &file)?);
        let beside = connect_beside(&file).map_err(failed)?;
        let long = room.long();
        let checkpointer = Checkpointer::start(beside, &mut connection, file.clone(), Arc::clone(&watch), long)?;
        let noter = Noter::start(&directory, &file, note)?;
        let (checkpointer, turns, last_log) = (Some(checkpointer), Arc::default(), Cell::default());
        Ok(Self { connection, file, checkpointer, turns, room, watch, noter, last_log, _directory: directory })
    }

    /// Reads this store on a connection of its own, so that it never waits for a commit.
    pub(crate) fn reader(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::open(&self.file, Arc::clone(&self.watch))
    }

    /// Drops what this store need not keep, on a connection of its own.
    pub(crate) fn trimmer(&self, retention: Retention) -> Result<Trimmer, StoreError> {
        let (turns, room, watch) = (Arc::clone(&self.turns), Arc::clone(&self.room), Arc::clone(&self.watch));
        Trimmer::open(&self.file, retention, turns, room, watch)
    }

    /// Stops storing while less than so many bytes are free on the file system, and lets it go on by itself.
    pub(crate) fn watch_space(&self, least: u64) -> Result<SpaceHandle, StoreError> {
        let directory = self.file.parent().unwrap_or(Path::new("/")).to_owned();
        space::watch(Arc::clone(&self.room), least, move || space::free(&directory))
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
        let failed = || RowError::at("read", &self.file);
        let transaction = self.begin(TransactionBehavior::Deferred).map_err(|cause| failed()(cause.into()))?;
        let (channels, released) = rows::channels(&transaction).map_err(failed())?;
        let mut logs = Vec::new();
        LogRow::for_each(&transaction, |log| {
            logs.push(log.into());
            Ok(())
        })
        .map_err(failed())?;
        Ok(Snapshot { channels, released, logs })
    }

    /// Reads what is stored of these names.
    fn find(&self, names: &[String]) -> Result<Snapshot, RowError> {
        let transaction = self.begin(TransactionBehavior::Deferred)?;
        let mut found = Snapshot::default();
        for name in names {
            match rows::find_channel(&transaction, name)? {
                Some((record, None)) => found.channels.push(record),
                Some((record, Some(until))) => found.released.push(ReleasedChannel { record, until }),
                None => {}
            }
            found.logs.extend(LogRow::find(&transaction, name)?.map(Into::into));
        }
        Ok(found)
    }

    fn write(&self, writes: &[Write]) -> Result<(), StoreError> {
        let failed = |cause| StoreError::sqlite("write", &self.file)(cause);
        let transaction = self.begin(TransactionBehavior::Immediate).map_err(failed)?;
        let grown = write_all(&transaction, writes, &self.last_log).map_err(|refusal| match refusal {
            Refusal::Row(error) => RowError::at("write", &self.file)(error),
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
        self.room.measure(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        self.turns.note(grown);
        if self.room.is_short() {
            self.turns.want_room();
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.watch.check_database(&self.connection)?;
        self.read()
    }

    fn load_names(&mut self, names: &[String]) -> Result<Snapshot, StoreError> {
        self.watch.check_database(&self.connection)?;
        self.find(names).map_err(RowError::at("read", &self.file))
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let frames = self.checkpointer.as_ref().map_or(0, Checkpointer::frames);
        // Before its turn: retention makes room meanwhile.
        let admitted = added(writes).map_or(Ok(()), |bytes| self.room.admit(bytes, frames));
        let turns = Arc::clone(&self.turns);
        let turn = turns.take();
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.before_commit(&self.connection);
        }
        self.watch.check(&self.connection)?;
        let written = admitted.and_then(|()| self.write(writes));
        if let Some(checkpointer) = &mut self.checkpointer {
            self.watch.wrote(written.is_ok().then(|| checkpointer.frames()));
            if written.is_ok() {
                self.noter.note(checkpointer.frames(), writes);
            }
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
    // The checkpointer moves the log.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))
}

/// About how many bytes these writes add; `None` if they only remove.
fn added(writes: &[Write]) -> Option<u64> {
    writes.iter().fold(None, |sum, write| {
        let bytes = match write {
            Write::Append(message) => retention::size(&message.username, &message.message_content),
            Write::RemoveChannel(_) => return sum,
            _ => 200,
        };
        Some(sum.unwrap_or(0) + bytes)
    })
}

/// Why a write is not stored.
enum Refusal<'w> {
    Row(RowError),
    IdGap { message: &'w StoredMessage, expected: u64 },
    NoLog { message: &'w StoredMessage },
    NoId { message: &'w StoredMessage },
}

impl<E: Into<RowError>> From<E> for Refusal<'_> {
    fn from(error: E) -> Self {
        Self::Row(error.into())
    }
}

/// Where a channel's messages end.
struct Tail {
    log: LogRow,
    /// The checksum of the channel's name.
    of_name: Checksum,
}

impl Tail {
    /// Where this channel's messages end; a log is begun for a channel that never had one.
    fn of<'w>(
        transaction: &Connection,
        message: &'w StoredMessage,
        last_log: &Cell<Option<i64>>,
    ) -> Result<Self, Refusal<'w>> {
        let channel_name = &message.channel_name;
        let of_name = Checksum::default().text(channel_name);
        let log = match LogRow::find(transaction, channel_name)? {
            Some(log) => log,
            None => match next_log(transaction, last_log)? {
                Some(log) => LogRow::new(log, channel_name),
                None => return Err(Refusal::NoLog { message }),
            },
        };
        Ok(Self { log, of_name })
    }
}

/// Notes when a name was taken off the list: it is forgotten some time after that.
fn unlisted(transaction: &Connection, channel_name: &str, tails: &mut BTreeMap<&str, Tail>) -> Result<(), RowError> {
    let now = wall_time().as_unix();
    if let Some(tail) = tails.get_mut(channel_name) {
        tail.log.since = tail.log.since.max(now);
    } else if let Some(mut log) = LogRow::find(transaction, channel_name)? {
        log.since = log.since.max(now);
        log.write(transaction)?;
    }
    Ok(())
}

/// The number of the next log: the first one after `last` that no log has and no message; from 1 on when there is none
/// above. Numbers are used again only then, because messages are appended fastest at the end of their table.
fn next_log(transaction: &Connection, last: &Cell<Option<i64>>) -> rusqlite::Result<Option<i64>> {
    let mut greatest = transaction.prepare_cached("SELECT COALESCE(MAX(log), 0) FROM logs")?;
    let mut exists = transaction.prepare_cached("SELECT 1 FROM logs WHERE log = ?1")?;
    let mut before_gap = transaction.prepare_cached(
        "SELECT log FROM logs AS one WHERE log >= ?1 AND NOT EXISTS (SELECT 1 FROM logs WHERE log = one.log + 1)
         ORDER BY log LIMIT 1",
    )?;
    let mut has_messages =
        transaction.prepare_cached("SELECT 1 FROM messages WHERE place BETWEEN ?1 AND ?2 LIMIT 1")?;
    let mut wrapped = false;
    loop {
        let before = match last.get() {
            Some(last) => last,
            None => greatest.query_row([], |row| row.get(0))?,
        };
        let next = match exists.exists([before + 1])? {
            true => before_gap.query_row([before + 1], |row| row.get::<_, i64>(0))? + 1,
            false => before + 1,
        };
        if next > MAX_LOG {
            if mem::replace(&mut wrapped, true) {
                return Ok(None);
            }
            last.set(Some(0));
            continue;
        }
        last.set(Some(next));
        if !has_messages.exists(places(next, 0..=MAX_ID).into_inner())? {
            return Ok(Some(next));
        }
    }
}

/// A row of `messages`.
struct Line<'w> {
    place: i64,
    checksum: i64,
    message: &'w StoredMessage,
}

/// Says which logs have more messages now.
fn write_all<'w>(
    transaction: &Connection,
    writes: &'w [Write],
    last_log: &Cell<Option<i64>>,
) -> Result<Vec<i64>, Refusal<'w>> {
    // Each channel's end is read once and written once, however many of its messages are in the commit.
    let mut tails: BTreeMap<&str, Tail> = BTreeMap::new();
    let mut lines = Vec::with_capacity(writes.len());
    for write in writes {
        match write {
            Write::PutChannel(record) => rows::put_channel(transaction, record, None)?,
            Write::RemoveChannel(channel_name) => {
                transaction.prepare_cached("DELETE FROM channels WHERE name = ?1")?.execute([channel_name])?;
                unlisted(transaction, channel_name, &mut tails)?;
            }
            Write::ReleaseChannel { channel_name, until } => {
                if let Some((record, _)) = rows::find_channel(transaction, channel_name)? {
                    rows::put_channel(transaction, &record, Some(*until))?;
                }
                unlisted(transaction, channel_name, &mut tails)?;
            }
            Write::ForgetName(channel_name) => match LogRow::find(transaction, channel_name)? {
                Some(log) if log.first_id > log.last_id => {
                    transaction.prepare_cached("DELETE FROM logs WHERE log = ?1")?.execute([log.log])?;
                }
                // What is kept is never forgotten.
                Some(_) => tracing::error!(
                    channel_name,
                    "a name was to be forgotten that keeps messages (a bug, please report)"
                ),
                None => {}
            },
            Write::Append(message) => {
                let tail = match tails.entry(&message.channel_name) {
                    Entry::Occupied(tail) => tail.into_mut(),
                    Entry::Vacant(place) => place.insert(Tail::of(transaction, message, last_log)?),
                };
                let Tail { log: tail, of_name } = tail;
                let expected = tail.last_id + 1;
                if message.id != expected {
                    return Err(Refusal::IdGap { message, expected });
                }
                if expected > MAX_ID {
                    return Err(Refusal::NoId { message });
                }
                tail.last_id = expected;
                tail.last_timestamp = message.timestamp.as_unix();
                tail.bytes = tail.bytes.saturating_add(retention::size(&message.username, &message.message_content));
                let place = place(tail.log, expected);
                let (username, content) = (&message.username, &message.message_content);
                let checksum = message_checksum(*of_name, place, tail.last_timestamp, username, content);
                lines.push(Line { place, checksum, message });
            }
        }
    }
    insert(transaction, &lines)?;
    for tail in tails.values() {
        tail.log.write(transaction)?;
    }
    Ok(tails.into_values().map(|tail| tail.log.log).collect())
}

/// How many rows a statement inserts: as many as possible. A statement costs as much as a row, and looks for the end
/// of the table anew.
const INSERTS: [usize; 3] = [64, 8, 1];

static INSERT: LazyLock<[String; INSERTS.len()]> = LazyLock::new(|| {
    let values = |rows| vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    INSERTS.map(|rows| {
        format!("INSERT INTO messages (place, timestamp, checksum, username, content) VALUES {}", values(rows))
    })
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
            for (row, Line { place, checksum, message }) in lines.iter().enumerate() {
                let before = row * 5;
                insert.raw_bind_parameter(before + 1, place)?;
                insert.raw_bind_parameter(before + 2, message.timestamp.as_unix())?;
                insert.raw_bind_parameter(before + 3, checksum)?;
                insert.raw_bind_parameter(before + 4, message.username.as_str())?;
                insert.raw_bind_parameter(before + 5, message.message_content.as_str())?;
            }
            insert.raw_execute()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
