//! A store in a SQLite database.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use chanwire_core::{
    hub::{ChannelRecord, SendKey, Snapshot, Write},
    wire::{ChannelName, ChannelSettings, StoredMessage},
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, config::DbConfig, params};

use super::{
    CommitError, Store, StoreError,
    checkpoint::{self, Checkpointer},
    connection::{configure, connect_beside},
    damage::DamageLog,
    data_dir::DataDir,
    erasure::{Deletions, EraserHandle},
    insert::Insert,
    last_commit::{Noted, Noter},
    message_key::{MAX_ID, MAX_LOG, key_range, message_key},
    migration::{self, Reports},
    reader::SqliteReader,
    retention::{self, Retention, Trimmer},
    roles,
    room::Room,
    rows::{self, DamagedRow, LogRow, MessageChecksums, MessageColumns, RowError},
    schema,
    sends::{self, NewSend, SendRetention},
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
    /// `None` only while it is being dropped.
    eraser: Option<EraserHandle>,
    pub(super) deletions: Arc<Deletions>,
    coordinator: Arc<WriteCoordinator>,
    room: Arc<Room>,
    pub(super) watch: Arc<Watch>,
    damage: Arc<DamageLog>,
    status: Arc<StoreStatus>,
    noter: Noter,
    log_numbers: LogNumbers,
    /// The keys that a start loads.
    send_retention: SendRetention,
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
        let is_current = schema::is_current(&connection).map_err(failed)?;
        let reports = (!is_current).then(Reports::start).transpose()?;
        let complete = noted.check(&connection, &directory, &file);
        // A missing part is the better explanation for inconsistent pages.
        if !matches!(complete, Err(StoreError::Incomplete { .. })) {
            schema::check_pages(&connection, &file)?;
        }
        let note = complete?;
        if let Some(reports) = reports {
            migration::replace(connection, &file, &reports, || false)?;
            connection = schema::connect(&file).map_err(failed)?;
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(StoreError::NoWriteAheadLog { file, mode });
        }
        configure(&connection).map_err(failed)?;
        // The first transaction opens the WAL, which the watch looks up.
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(failed)?;
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
        let log_numbers = LogNumbers::new(&connection).map_err(failed)?;
        let (checkpointer, coordinator) = (Some(checkpointer), Arc::<WriteCoordinator>::default());
        let deletions = Arc::new(Deletions::open(&directory));
        let parts = (Arc::clone(&coordinator), Arc::clone(&room));
        let (noted, of_store) = (Arc::clone(&deletions), (Arc::clone(&watch), Arc::clone(&status)));
        let eraser = Some(EraserHandle::start(&file, noted, parts, of_store.0, of_store.1)?);
        Ok(Self {
            connection,
            file,
            checkpointer,
            eraser,
            deletions,
            coordinator,
            room,
            watch,
            damage,
            status,
            noter,
            log_numbers,
            send_retention: SendRetention { window: Duration::MAX, max_keys: usize::MAX },
            _directory: directory,
        })
    }

    /// Loads the keys within these limits only.
    pub(super) fn limit_sends(&mut self, retention: SendRetention) {
        self.send_retention = retention;
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
        let deletes = writes.iter().any(|write| matches!(write, Write::Delete { .. }));
        let noted = admitted.and_then(|()| if deletes { self.deletions.note() } else { Ok(()) });
        let written = noted.and_then(|()| work(self));
        if let Some(checkpointer) = &mut self.checkpointer {
            self.watch.wrote(written.is_ok().then(|| checkpointer.frames()));
            if written.is_ok() {
                self.room.note_frames(checkpointer.frames());
            }
            if let Ok(refused) = &written {
                let stored = writes.iter().filter(|write| !refused.contains_key(write.channel_name()));
                self.noter.note(checkpointer.frames(), stored);
            }
            checkpointer.after_commit();
        }
        drop(lock);
        written
    }

    /// Moves the WAL into the database if it has no room for a commit: that of retention or erasing may have filled it, and
    /// they do not come back before the next commit.
    fn empty_full_wal(&self) {
        if self.room.is_wal_full() {
            let file = &self.file;
            let moved = roll_back(&self.connection)
                .map_err(StoreError::sqlite("write", file))
                .and_then(|()| checkpoint::passive(&self.connection, file, &self.watch));
            match moved {
                Ok(moved) => drop(self.room.note_moved(moved)),
                // The commit is refused, or meets the same trouble and says so.
                Err(error) => tracing::debug!(%error, "the WAL was not moved before a commit"),
            }
        }
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
                Refusal::Message(error) => RowError::at("write", &file)(error),
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
        let retention = self.send_retention;
        self.read(|connection| {
            let (mut found, mut damaged) = rows::snapshot(connection)?;
            damaged.extend(sends::add_recent(connection, &mut found, retention)?);
            Ok((found, damaged))
        })
    }

    fn load_names(&mut self, names: &[ChannelName]) -> Result<Snapshot, StoreError> {
        self.read(|connection| {
            let (mut found, mut damaged) = rows::snapshot_of(connection, names)?;
            damaged.extend(sends::add_last(connection, &mut found, names)?);
            Ok((found, damaged))
        })
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), CommitError> {
        self.empty_full_wal();
        // Before the write lock is taken, so that retention can make room meanwhile.
        let admitted = added(writes).map_or(Ok(()), |bytes| self.room.admit(bytes));
        let refused = self.transact(admitted, writes, |store| store.write(writes))?;
        self.refuse(refused)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.empty_full_wal();
        let admitted = self.room.admit(0);
        self.transact(admitted, &[], |store| store.touch().map(|()| Refusals::new())).map(drop)
    }

    fn status(&self) -> Arc<StoreStatus> {
        Arc::clone(&self.status)
    }
}

/// Checkpoints the WAL completely, so that the database is one file.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some(eraser) = self.eraser.take() {
            eraser.close();
        }
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
    roll_back(connection)?;
    Transaction::new_unchecked(connection, behavior)
}

/// Rolls back a failed commit.
fn roll_back(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

/// The bytes of the pages that a deletion changes beside those of its record: the message's, and its key's.
const DELETED: u64 = 2 * 4096;

/// Estimates the bytes that these writes add; `None` if they only remove.
fn added(writes: &[Write]) -> Option<u64> {
    writes.iter().fold(None, |sum, write| {
        let bytes = match write {
            Write::Append { message, send_key } => {
                let key = send_key.as_ref().map_or(0, sends::size);
                retention::size(&message.username, &message.message_content) + key
            }
            Write::Delete { record, .. } => DELETED + retention::size(&record.username, &record.message_content),
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
    /// A message of it is missing.
    Message(RowError),
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
    fn append<'w>(&mut self, message: &'w StoredMessage, send_key: Option<&'w SendKey>) -> Result<NewRow<'w>, Refusal> {
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
        let checksum = checksums.of(key, &MessageColumns::of(message));
        Ok(NewRow { key, checksum, message, send_key })
    }
}

/// A message to be replaced by what is left of it.
struct Deletion<'w> {
    key: i64,
    checksum: i64,
    tombstone: &'w StoredMessage,
}

impl Tail {
    /// Replaces a message by what is left of it, and puts the record of the deletion at the end. There is no [`Deletion`]
    /// where retention has dropped the message.
    fn delete<'w>(
        &mut self,
        transaction: &Connection,
        tombstone: &'w StoredMessage,
        record: &'w StoredMessage,
    ) -> Result<Result<(Option<Deletion<'w>>, NewRow<'w>), Refusal>, RowError> {
        let key = message_key(self.log.log, tombstone.id);
        let deletion = if tombstone.id < self.log.first_id {
            None
        } else {
            let length = "SELECT octet_length(content) FROM messages WHERE place = ?1";
            let mut length = transaction.prepare_cached(length)?;
            let Some(length) = length.query_row([key], |row| rows::id(row, 0)).optional()? else {
                return Ok(Err(Refusal::Message(rows::missing(&tombstone.channel_name, tombstone.id))));
            };
            let left = tombstone.message_content.len() as u64;
            self.log.bytes = self.log.bytes.saturating_sub(length).saturating_add(left);
            let checksum = self.checksums.of(key, &MessageColumns::of(tombstone));
            Some(Deletion { key, checksum, tombstone })
        };
        Ok(self.append(record, None).map(|record| (deletion, record)))
    }
}

/// Replaces deleted messages. The digests of their keys are erased with the copies of their texts.
fn replace_deleted(transaction: &Connection, deletions: &[Deletion<'_>]) -> Result<(), RowError> {
    for Deletion { key, checksum, tombstone } in deletions {
        let sql = "UPDATE messages SET content = ?2, deleted = 1, checksum = ?3 WHERE place = ?1";
        transaction.prepare_cached(sql)?.execute(params![key, tombstone.message_content, checksum])?;
    }
    Ok(())
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
///
/// The keys of a dropped name stay until retention drops them, and have its log by the number alone. So numbers begin
/// above those of all logs and keys of the start, and the keys of a number that is reused are dropped.
struct LogNumbers {
    /// The last number assigned, or the greatest at the start.
    last: Cell<i64>,
    /// Whether numbers are reused.
    starts_over: Cell<bool>,
    /// The greatest.
    max: i64,
}

impl LogNumbers {
    fn new(connection: &Connection) -> rusqlite::Result<Self> {
        let of_logs = connection.query_row("SELECT COALESCE(MAX(log), 0) FROM logs", [], |row| row.get(0))?;
        let last = sends::greatest_log(connection)?.max(of_logs);
        Ok(Self { last: Cell::new(last), starts_over: Cell::new(false), max: MAX_LOG })
    }

    /// Returns the number of the next log: the first one after the last that no log has and no message; from 1 on when
    /// there is none above. Drops the keys that have it.
    fn next(&self, transaction: &Connection) -> rusqlite::Result<Option<i64>> {
        let mut exists = transaction.prepare_cached("SELECT 1 FROM logs WHERE log = ?1")?;
        let mut before_gap = transaction.prepare_cached(
            "SELECT log FROM logs AS one WHERE log >= ?1 AND NOT EXISTS (SELECT 1 FROM logs WHERE log = one.log + 1)
             ORDER BY log LIMIT 1",
        )?;
        let mut has_messages =
            transaction.prepare_cached("SELECT 1 FROM messages WHERE place BETWEEN ?1 AND ?2 LIMIT 1")?;
        let mut wrapped = false;
        loop {
            let before = self.last.get();
            let next = match exists.exists([before + 1])? {
                true => before_gap.query_row([before + 1], |row| row.get::<_, i64>(0))? + 1,
                false => before + 1,
            };
            if next > self.max {
                if mem::replace(&mut wrapped, true) {
                    return Ok(None);
                }
                self.last.set(0);
                self.starts_over.set(true);
                continue;
            }
            self.last.set(next);
            if !has_messages.exists(key_range(next, 0..=MAX_ID).into_inner())? {
                if self.starts_over.get() {
                    sends::drop_of_log(transaction, next)?;
                }
                return Ok(Some(next));
            }
        }
    }
}

/// A row of `messages`.
#[derive(Clone, Copy)]
struct NewRow<'w> {
    key: i64,
    checksum: i64,
    message: &'w StoredMessage,
    send_key: Option<&'w SendKey>,
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
    let mut deletions = Vec::new();
    let mut forgotten = Vec::new();
    let mut refused = Refusals::new();
    // Names are checked first, so that nothing has to be undone for a refused one.
    for write in writes {
        let name = write.channel_name();
        if refused.contains_key(name) {
            continue;
        }
        let refusal = match write {
            Write::Append { message, send_key } => {
                let tail = match tails.entry(name) {
                    Entry::Occupied(tail) => Ok(tail.into_mut()),
                    Entry::Vacant(entry) => Tail::of(transaction, name, numbers)?.map(|tail| entry.insert(tail)),
                };
                tail.and_then(|tail| tail.append(message, send_key.as_ref())).map(|line| lines.push(line)).err()
            }
            Write::PutChannel(record) => match damaged(transaction, name)? {
                Some(row) => Some(Refusal::Row(row)),
                None => give_name(transaction, record, &mut tails, numbers)?.err(),
            },
            Write::Delete { tombstone, record } => {
                let tail = match tails.entry(name) {
                    Entry::Occupied(tail) => Ok(tail.into_mut()),
                    Entry::Vacant(entry) => Tail::of(transaction, name, numbers)?.map(|tail| entry.insert(tail)),
                };
                let deleted = match tail {
                    Ok(tail) => tail.delete(transaction, tombstone, record)?,
                    Err(refusal) => Err(refusal),
                };
                let note = |(deletion, line)| {
                    deletions.extend(deletion);
                    lines.push(line);
                };
                deleted.map(note).err()
            }
            Write::SetRole { .. } | Write::SetSettings { .. } => {
                let tail = match tails.entry(name) {
                    Entry::Occupied(tail) => Ok(tail.into_mut()),
                    Entry::Vacant(entry) => Tail::of(transaction, name, numbers)?.map(|tail| entry.insert(tail)),
                };
                let set = |tail: &mut Tail| {
                    if let Write::SetSettings { settings, .. } = write {
                        tail.log.settings = *settings;
                    }
                };
                tail.map(set).err()
            }
            Write::DropModeration(_) => match (tails.get_mut(name), LogRow::find(transaction, name)) {
                (Some(tail), _) => {
                    tail.log.settings = ChannelSettings::default();
                    None
                }
                (None, Ok(Some(mut log))) => {
                    log.settings = ChannelSettings::default();
                    tails.insert(name, Tail { log, checksums: MessageChecksums::new(name) });
                    None
                }
                (None, Ok(None)) => None,
                (None, Err(RowError::Row(row))) => Some(Refusal::Row(row)),
                (None, Err(error)) => return Err(error),
            },
            _ => damaged(transaction, name)?.map(Refusal::Row),
        };
        if let Some(refusal) = refusal {
            refused.insert(name, refusal);
        }
    }
    if !refused.is_empty() {
        tails.retain(|name, _| !refused.contains_key(name));
        lines.retain(|line| !refused.contains_key(&line.message.channel_name));
        deletions.retain(|deletion| !refused.contains_key(&deletion.tombstone.channel_name));
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
                Some(log) if log.first_id > log.last_id && log.account.is_none() => {
                    transaction.prepare_cached("DELETE FROM logs WHERE log = ?1")?.execute([log.log])?;
                    roles::drop_of_log(transaction, log.log)?;
                    forgotten.push((channel_name.as_str(), log.last_id));
                }
                // A name with messages, or of an account, is never dropped.
                Some(_) => tracing::error!(
                    channel_name = channel_name.as_str(),
                    "a name was to be forgotten that keeps messages or is an account's (a bug, please report)"
                ),
                None => {}
            },
            Write::SetRole { channel_name, subject, role } => {
                if let Some(Tail { log, .. }) = tails.get(channel_name) {
                    roles::set(transaction, log.log, channel_name, subject, role.as_ref())?;
                }
            }
            Write::DropModeration(channel_name) => {
                if let Some(Tail { log, .. }) = tails.get(channel_name) {
                    roles::drop_of_log(transaction, log.log)?;
                }
            }
            Write::SetSettings { .. } | Write::Append { .. } | Write::Delete { .. } => {}
        }
    }
    replace_deleted(transaction, &deletions)?;
    insert(transaction, &lines)?;
    let dropped: BTreeSet<&ChannelName> = writes
        .iter()
        .filter_map(|write| if let Write::DropModeration(name) = write { Some(name) } else { None })
        .collect();
    for (name, Tail { log, .. }) in &tails {
        // The hub knows nothing of such a name any more, so nobody would drop its row.
        let is_unused = log.last_id == 0 && log.account.is_none() && log.settings == ChannelSettings::default();
        if is_unused && dropped.contains(name) && !roles::are_in_log(transaction, log.log)? {
            transaction.prepare_cached("DELETE FROM logs WHERE log = ?1")?.execute([log.log])?;
        } else {
            log.write(transaction)?;
        }
    }
    Ok(Written { grown: tails.into_values().map(|tail| tail.log.log).collect(), forgotten, refused })
}

/// Gives the name of a channel to the account that hosts it, or to none. The name of an account has a log also without
/// messages.
fn give_name<'w>(
    transaction: &Connection,
    record: &'w ChannelRecord,
    tails: &mut BTreeMap<&'w ChannelName, Tail>,
    numbers: &LogNumbers,
) -> Result<Result<(), Refusal>, RowError> {
    let name = &record.channel.channel_name;
    let tail = match tails.entry(name) {
        Entry::Occupied(tail) => tail.into_mut(),
        Entry::Vacant(entry) => {
            let before = LogRow::find(transaction, name)?.and_then(|log| log.account);
            if before == record.account {
                return Ok(Ok(()));
            }
            match Tail::of(transaction, name, numbers)? {
                Ok(tail) => entry.insert(tail),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    };
    tail.log.account.clone_from(&record.account);
    Ok(Ok(()))
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

static INSERT: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("messages (place, timestamp, checksum, username, content, account, deletes)", 7));

/// Inserts messages, and the keys of those that have one.
fn insert(transaction: &Connection, lines: &[NewRow<'_>]) -> rusqlite::Result<()> {
    INSERT.run(transaction, lines, |insert, before, NewRow { key, checksum, message, .. }| {
        insert.raw_bind_parameter(before + 1, key)?;
        insert.raw_bind_parameter(before + 2, message.timestamp.as_unix())?;
        insert.raw_bind_parameter(before + 3, checksum)?;
        insert.raw_bind_parameter(before + 4, message.username.as_str())?;
        insert.raw_bind_parameter(before + 5, message.message_content.as_str())?;
        insert.raw_bind_parameter(before + 6, message.account.as_deref())?;
        insert.raw_bind_parameter(before + 7, message.deletes.map(u64::cast_signed))
    })?;
    let sends = lines.iter().filter_map(|line| {
        let NewRow { key: place, message, send_key, .. } = *line;
        send_key.map(|key| NewSend { place, message, key })
    });
    sends::insert(transaction, sends)
}

#[cfg(test)]
mod tests;
