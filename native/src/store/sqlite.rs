//! A store in a SQLite database.

use std::{
    cell::Cell,
    collections::{BTreeMap, btree_map::Entry},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use chanwire_core::{
    hub::{Snapshot, Write},
    wire::{ChannelName, StoredMessage},
};
use rusqlite::{Connection, Transaction, TransactionBehavior, config::DbConfig};

use super::{
    CommitError, Store, StoreError,
    checkpoint::{self, Checkpointer},
    connection::{configure, connect_beside},
    damage::DamageLog,
    data_dir::DataDir,
    last_commit::{Noted, Noter},
    message_key::{MAX_ID, MAX_LOG, key_range, message_key},
    reader::SqliteReader,
    retention::{self, Retention, Trimmer},
    room::Room,
    rows::{self, DamagedRow, LogRow, MessageChecksums, RowError},
    schema,
    space::{self, SpaceHandle},
    status::StoreStatus,
    watch::Watch,
    write_coordinator::WriteCoordinator,
};
use crate::clock::wall_time;

/// A store in a data directory, which no other process can use meanwhile.
pub(crate) struct SqliteStore {
    connection: Connection,
    file: PathBuf,
    /// `None` only while it is being dropped.
    checkpointer: Option<Checkpointer>,
    coordinator: Arc<WriteCoordinator>,
    room: Arc<Room>,
    pub(super) watch: Arc<Watch>,
    damage: Arc<DamageLog>,
    status: Arc<StoreStatus>,
    noter: Noter,
    log_numbers: LogNumbers,
    /// Last, so that the directory is free only after the database is closed.
    _directory: DataDir,
}

impl SqliteStore {
    /// Opens a store without a size limit.
    #[cfg(test)]
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_within(directory, None)
    }

    /// Opens the store in a directory, and creates both if they are missing. Its files take at most `max` bytes.
    ///
    /// A refused database, for example a damaged one or one of another application, is left unchanged.
    pub(crate) fn open_within(directory: &Path, max: Option<u64>) -> Result<Self, StoreError> {
        let directory = DataDir::open(directory)?;
        let noted = Noted::read(&directory, &directory.file(schema::DATABASE))?;
        let file = schema::find(&directory)?;
        let failed = |cause| StoreError::sqlite("open", &file)(cause);
        let mut connection = schema::connect(&file).map_err(failed)?;
        // Until the database is accepted, closing it must not checkpoint its WAL either.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        schema::check_tables(&connection, &file)?;
        let complete = noted.check(&connection, &directory, &file);
        // A missing part is the better explanation for inconsistent pages.
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
            checkpoint::truncate(&connection, &file)?;
        }
        let room = Arc::new(Room::new(file.clone(), max));
        room.prepare(&connection).and_then(|()| room.measure(&connection)).map_err(failed)?;
        let watch = Arc::new(Watch::start(&connection, &file)?);
        let beside = connect_beside(&file).map_err(failed)?;
        let long = room.long();
        let status = Arc::new(StoreStatus::new(&file));
        let parts = (Arc::clone(&watch), Arc::clone(&status));
        let checkpointer = Checkpointer::start(beside, &mut connection, file.clone(), parts, long)?;
        let noter = Noter::start(&directory, &file, note)?;
        let damage = Arc::new(DamageLog::new(&file));
        let (checkpointer, coordinator, log_numbers) = (Some(checkpointer), Arc::default(), LogNumbers::new());
        Ok(Self {
            connection,
            file,
            checkpointer,
            coordinator,
            room,
            watch,
            damage,
            status,
            noter,
            log_numbers,
            _directory: directory,
        })
    }

    /// Opens a reader with a separate connection, so that reads never wait for a commit.
    pub(crate) fn reader(&self) -> Result<SqliteReader, StoreError> {
        let (watch, damage) = (Arc::clone(&self.watch), Arc::clone(&self.damage));
        SqliteReader::open(&self.file, watch, damage, Arc::clone(&self.status))
    }

    /// Opens a trimmer, which applies the retention limits on a separate connection.
    pub(crate) fn trimmer(&self, retention: Retention) -> Result<Trimmer, StoreError> {
        let (coordinator, room, watch) =
            (Arc::clone(&self.coordinator), Arc::clone(&self.room), Arc::clone(&self.watch));
        let logs = (Arc::clone(&self.damage), Arc::clone(&self.status));
        Trimmer::open(&self.file, retention, coordinator, room, watch, logs)
    }

    /// Refuses commits while fewer than this number of bytes are free on the file system.
    pub(crate) fn watch_space(&self, least: u64) -> Result<SpaceHandle, StoreError> {
        let directory = self.file.parent().unwrap_or(Path::new("/")).to_owned();
        space::watch(Arc::clone(&self.room), Arc::clone(&self.status), least, move || space::free(&directory))
    }

    /// Reads in one transaction, and logs which rows are damaged.
    fn read(
        &self,
        read: impl FnOnce(&Connection) -> Result<(Snapshot, Vec<DamagedRow>), RowError>,
    ) -> Result<Snapshot, StoreError> {
        self.watch.check_database(&self.connection)?;
        let begun = begin(&self.connection, TransactionBehavior::Deferred).map_err(RowError::from);
        let (found, damaged) =
            begun.and_then(|transaction| read(&transaction)).map_err(RowError::at("read", &self.file))?;
        self.damage.rows(&damaged);
        Ok(found)
    }

    /// Writes a commit, except for names whose writes cannot be stored. Returns the reasons for those names.
    fn write<'w>(&mut self, writes: &'w [Write]) -> Result<Refusals<'w>, StoreError> {
        let failed = |cause| StoreError::sqlite("write", &self.file)(cause);
        let transaction = begin(&self.connection, TransactionBehavior::Immediate).map_err(failed)?;
        let Written { grown, forgotten, refused } =
            write_all(&transaction, writes, &self.log_numbers).map_err(RowError::at("write", &self.file))?;
        self.room.measure(&transaction).map_err(failed)?;
        if !forgotten.is_empty() {
            self.noter.drop_names(&forgotten);
        }
        transaction.commit().map_err(failed)?;
        self.coordinator.note_growth(grown);
        if self.room.is_short() {
            self.coordinator.request_room();
        }
        Ok(refused)
    }

    /// Commits a transaction that writes a page and changes nothing.
    fn touch(&self) -> Result<(), StoreError> {
        let touched = begin(&self.connection, TransactionBehavior::Immediate).and_then(|transaction| {
            schema::touch(&transaction)?;
            transaction.commit()
        });
        touched.map_err(StoreError::sqlite("write", &self.file))
    }

    /// Runs a transaction with the write lock, and what belongs before and after it. `writes` is what it stores.
    fn transact<'w>(
        &mut self,
        admitted: Result<(), StoreError>,
        writes: &'w [Write],
        work: impl FnOnce(&mut Self) -> Result<Refusals<'w>, StoreError>,
    ) -> Result<Refusals<'w>, StoreError> {
        let coordinator = Arc::clone(&self.coordinator);
        let lock = coordinator.lock();
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.before_commit(&self.connection);
        }
        self.watch.check(&self.connection)?;
        let written = admitted.and_then(|()| work(self));
        if let Some(checkpointer) = &mut self.checkpointer {
            self.watch.wrote(written.is_ok().then(|| checkpointer.frames()));
            if let Ok(refused) = &written {
                let stored = writes.iter().filter(|write| !refused.contains_key(write.channel_name()));
                self.noter.note(checkpointer.frames(), stored);
            }
            checkpointer.after_commit();
        }
        drop(lock);
        written
    }

    /// Logs why writes of some names are not stored.
    fn refuse(&self, refused: Refusals<'_>) -> Result<(), CommitError> {
        if refused.is_empty() {
            return Ok(());
        }
        let error = |(name, refusal): (&ChannelName, Refusal)| {
            if let Refusal::Row(row) = &refusal {
                self.damage.rows(std::slice::from_ref(row));
            }
            let (file, channel_name) = (self.file.clone(), name.clone());
            let error = match refusal {
                Refusal::Row(row) => RowError::at("write", &file)(row.into()),
                Refusal::IdGap { found, expected } => StoreError::IdGap { file, channel_name, expected, found },
                Refusal::NoLog => StoreError::NoLog { file, channel_name },
                Refusal::NoId => StoreError::NoId { file, channel_name },
            };
            self.damage.refused(name, &error);
            (name.clone(), error)
        };
        Err(CommitError::Without { refusals: refused.into_iter().map(error).collect() })
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.read(rows::snapshot)
    }

    fn load_names(&mut self, names: &[ChannelName]) -> Result<Snapshot, StoreError> {
        self.read(|connection| rows::snapshot_of(connection, names))
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), CommitError> {
        let frames = self.checkpointer.as_ref().map_or(0, Checkpointer::frames);
        // Before the write lock is taken, so that retention can make room meanwhile.
        let admitted = added(writes).map_or(Ok(()), |bytes| self.room.admit(bytes, frames));
        let refused = self.transact(admitted, writes, |store| store.write(writes))?;
        self.refuse(refused)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        let admitted = self.room.admit(0, self.checkpointer.as_ref().map_or(0, Checkpointer::frames));
        self.transact(admitted, &[], |store| store.touch().map(|()| Refusals::new())).map(drop)
    }

    fn status(&self) -> Arc<StoreStatus> {
        Arc::clone(&self.status)
    }
}

/// Checkpoints the WAL completely, so that the database is one file.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        let closed = self.checkpointer.take().map(|checkpointer| checkpointer.close(&self.connection));
        if let Some(Err(error)) = closed {
            // Closing must not checkpoint the WAL either: a file that replaced the database is left unchanged.
            match self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
                Ok(true) => tracing::error!(%error, "the WAL was not moved into the database, and is left as it is"),
                Ok(false) | Err(_) => tracing::error!(
                    %error,
                    "the WAL was not moved into the database, and SQLite, which closes it now, may try again"
                ),
            }
        }
    }
}

/// Begins a transaction after rolling back a failed commit.
fn begin(connection: &Connection, behavior: TransactionBehavior) -> rusqlite::Result<Transaction<'_>> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    Transaction::new_unchecked(connection, behavior)
}

/// Estimates the bytes that these writes add; `None` if they only remove.
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

/// A reason why the writes of a name cannot be stored.
enum Refusal {
    /// A stored row of it is damaged.
    Row(DamagedRow),
    IdGap {
        found: u64,
        expected: u64,
    },
    NoLog,
    NoId,
}

/// The names whose writes are not stored, with the reasons. Those of the others are.
type Refusals<'w> = BTreeMap<&'w ChannelName, Refusal>;

/// The end of a channel's messages.
struct Tail {
    log: LogRow,
    checksums: MessageChecksums,
}

impl Tail {
    /// Finds the end of a channel's messages, and begins a log for a channel that never had one.
    fn of(
        transaction: &Connection,
        channel_name: &ChannelName,
        numbers: &LogNumbers,
    ) -> Result<Result<Self, Refusal>, RowError> {
        let log = match LogRow::find(transaction, channel_name) {
            Ok(Some(log)) => log,
            Ok(None) => match numbers.next(transaction)? {
                Some(log) => LogRow::new(log, channel_name.clone()),
                None => return Ok(Err(Refusal::NoLog)),
            },
            Err(RowError::Row(row)) => return Ok(Err(Refusal::Row(row))),
            Err(error) => return Err(error),
        };
        Ok(Ok(Self { log, checksums: MessageChecksums::new(channel_name) }))
    }

    /// Puts a message at the end.
    fn append<'w>(&mut self, message: &'w StoredMessage) -> Result<NewRow<'w>, Refusal> {
        let Self { log, checksums } = self;
        let expected = log.last_id + 1;
        if message.id != expected {
            return Err(Refusal::IdGap { found: message.id, expected });
        }
        if expected > MAX_ID {
            return Err(Refusal::NoId);
        }
        let (username, content) = (&message.username, &message.message_content);
        log.last_id = expected;
        log.last_timestamp = message.timestamp.as_unix();
        log.bytes = log.bytes.saturating_add(retention::size(username, content));
        let key = message_key(log.log, expected);
        let checksum = checksums.of(key, log.last_timestamp, username, content);
        Ok(NewRow { key, checksum, message })
    }
}

/// Records the time at which a name was taken off the list, from which its time to be dropped counts.
fn unlisted(
    transaction: &Connection,
    channel_name: &ChannelName,
    tails: &mut BTreeMap<&ChannelName, Tail>,
) -> Result<(), RowError> {
    let now = wall_time().as_unix();
    if let Some(tail) = tails.get_mut(channel_name) {
        tail.log.since = tail.log.since.max(now);
    } else if let Some(mut log) = LogRow::find(transaction, channel_name)? {
        log.since = log.since.max(now);
        log.write(transaction)?;
    }
    Ok(())
}

/// An allocator of log numbers. Ascending, because messages are appended fastest at the end of their table; free
/// numbers are reused only when there is none above.
struct LogNumbers {
    /// The last number assigned since the start.
    last: Cell<Option<i64>>,
    /// The greatest.
    max: i64,
}

impl LogNumbers {
    const fn new() -> Self {
        Self { last: Cell::new(None), max: MAX_LOG }
    }

    /// Returns the number of the next log: the first one after the last that no log has and no message; from 1 on when
    /// there is none above.
    fn next(&self, transaction: &Connection) -> rusqlite::Result<Option<i64>> {
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
            let before = match self.last.get() {
                Some(last) => last,
                None => greatest.query_row([], |row| row.get(0))?,
            };
            let next = match exists.exists([before + 1])? {
                true => before_gap.query_row([before + 1], |row| row.get::<_, i64>(0))? + 1,
                false => before + 1,
            };
            if next > self.max {
                if mem::replace(&mut wrapped, true) {
                    return Ok(None);
                }
                self.last.set(Some(0));
                continue;
            }
            self.last.set(Some(next));
            if !has_messages.exists(key_range(next, 0..=MAX_ID).into_inner())? {
                return Ok(Some(next));
            }
        }
    }
}

/// A row of `messages`.
struct NewRow<'w> {
    key: i64,
    checksum: i64,
    message: &'w StoredMessage,
}

/// The result of a commit's writes.
struct Written<'w> {
    /// The logs that have more messages now.
    grown: Vec<i64>,
    /// The names that are forgotten, with their last ids.
    forgotten: Vec<(&'w str, u64)>,
    refused: Refusals<'w>,
}

/// Writes a commit. Of each name, either all writes are applied or none.
fn write_all<'w>(transaction: &Connection, writes: &'w [Write], numbers: &LogNumbers) -> Result<Written<'w>, RowError> {
    // Each channel's end is read once and written once, however many of its messages are in the commit.
    let mut tails: BTreeMap<&ChannelName, Tail> = BTreeMap::new();
    let mut lines = Vec::with_capacity(writes.len());
    let mut forgotten = Vec::new();
    let mut refused = Refusals::new();
    // Names are checked first, so that nothing has to be undone for a refused one.
    for write in writes {
        let name = write.channel_name();
        if refused.contains_key(name) {
            continue;
        }
        let refusal = match write {
            Write::Append(message) => {
                let tail = match tails.entry(name) {
                    Entry::Occupied(tail) => Ok(tail.into_mut()),
                    Entry::Vacant(entry) => Tail::of(transaction, name, numbers)?.map(|tail| entry.insert(tail)),
                };
                tail.and_then(|tail| tail.append(message)).map(|line| lines.push(line)).err()
            }
            _ => damaged(transaction, name)?.map(Refusal::Row),
        };
        if let Some(refusal) = refusal {
            refused.insert(name, refusal);
        }
    }
    if !refused.is_empty() {
        tails.retain(|name, _| !refused.contains_key(name));
        lines.retain(|line| !refused.contains_key(&line.message.channel_name));
    }
    for write in writes.iter().filter(|write| !refused.contains_key(write.channel_name())) {
        match write {
            Write::PutChannel(record) => rows::put_channel(transaction, record, None)?,
            Write::RemoveChannel(channel_name) => {
                transaction.prepare_cached("DELETE FROM channels WHERE name = ?1")?.execute([channel_name.as_str()])?;
                unlisted(transaction, channel_name, &mut tails)?;
            }
            Write::ReleaseChannel { channel_name, until } => {
                if let Some((record, _)) = rows::find_channel(transaction, channel_name)? {
                    rows::put_channel(transaction, &record, Some(*until))?;
                }
                unlisted(transaction, channel_name, &mut tails)?;
            }
            Write::DropName(channel_name) => match LogRow::find(transaction, channel_name)? {
                Some(log) if log.first_id > log.last_id => {
                    transaction.prepare_cached("DELETE FROM logs WHERE log = ?1")?.execute([log.log])?;
                    forgotten.push((channel_name.as_str(), log.last_id));
                }
                // A name with messages is never dropped.
                Some(_) => tracing::error!(
                    channel_name = channel_name.as_str(),
                    "a name was to be forgotten that keeps messages (a bug, please report)"
                ),
                None => {}
            },
            Write::Append(_) => {}
        }
    }
    insert(transaction, &lines)?;
    for tail in tails.values() {
        tail.log.write(transaction)?;
    }
    Ok(Written { grown: tails.into_values().map(|tail| tail.log.log).collect(), forgotten, refused })
}

/// Returns a damaged row of a name, if there is one.
fn damaged(transaction: &Connection, name: &ChannelName) -> Result<Option<DamagedRow>, RowError> {
    let found = rows::find_channel(transaction, name).and_then(|_| LogRow::find(transaction, name));
    match found {
        Ok(_) => Ok(None),
        Err(RowError::Row(row)) => Ok(Some(row)),
        Err(error) => Err(error),
    }
}

/// The most rows that one statement inserts. Each statement costs as much as a row, and seeks the end of the table.
const INSERTS: [usize; 3] = [64, 8, 1];

static INSERT: LazyLock<[String; INSERTS.len()]> = LazyLock::new(|| {
    let values = |rows| vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    INSERTS.map(|rows| {
        format!("INSERT INTO messages (place, timestamp, checksum, username, content) VALUES {}", values(rows))
    })
});

fn insert(transaction: &Connection, lines: &[NewRow<'_>]) -> rusqlite::Result<()> {
    let mut rest = lines;
    for (rows, sql) in INSERTS.iter().zip(INSERT.iter()) {
        let (whole, left) = rest.split_at(rest.len() - rest.len() % rows);
        rest = left;
        if whole.is_empty() {
            continue;
        }
        let mut insert = transaction.prepare_cached(sql)?;
        for lines in whole.chunks(*rows) {
            for (row, NewRow { key, checksum, message }) in lines.iter().enumerate() {
                let before = row * 5;
                insert.raw_bind_parameter(before + 1, key)?;
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
