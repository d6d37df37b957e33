//! The database's identity, schema version and migrations.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{
    StoreError, checksum,
    data_dir::DataDir,
    rows::{LogRow, RowError, id},
    wal::{self, Wal},
};
use crate::files;

pub(super) const DATABASE: &str = "chanwire.db";
/// The name of a new or migrated database until it is complete.
pub(super) const NASCENT: &str = "chanwire.db.new";

/// Marks a directory whose database is being replaced by a backup.
pub(super) const RESTORING: &str = "chanwire.restoring";

/// The application's id in the header of its databases.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"chwr");

/// The migrations: element n makes version n + 1 from version n. Released ones never change.
///
/// Names are stored once, in `logs`, which outlives both a channel's directory entry and its messages. `messages` is in
/// order of log and id, so that a page of a channel's history is one range, and so is what retention drops.
///
/// A row's checksum covers a column that was added after it only where the column has not its default.
const MIGRATIONS: [&str; 6] = [
    "
    CREATE TABLE channels (
        position        INTEGER PRIMARY KEY,
        name            TEXT    NOT NULL UNIQUE,
        host            TEXT    NOT NULL,
        port            INTEGER NOT NULL,
        registered_from TEXT    NOT NULL
    ) STRICT;
    CREATE TABLE logs (
        log             INTEGER PRIMARY KEY,
        name            TEXT    NOT NULL UNIQUE,
        last_id         INTEGER NOT NULL,
        last_timestamp  INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE messages (
        log             INTEGER NOT NULL,
        id              INTEGER NOT NULL,
        timestamp       INTEGER NOT NULL,
        username        TEXT    NOT NULL,
        content         TEXT    NOT NULL,
        PRIMARY KEY (log, id)
    ) STRICT, WITHOUT ROWID;
",
    // The operator's HOST came from nowhere: registered_from is empty.
    "
    ALTER TABLE channels ADD COLUMN lease INTEGER;
",
    // The bytes counted by retention, in a row that each commit writes anyway. Each message counts 24 bytes besides its
    // texts.
    "
    ALTER TABLE logs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE logs SET bytes = (
        SELECT COALESCE(SUM(octet_length(username) + octet_length(content) + 24), 0)
        FROM messages WHERE messages.log = logs.log
    );
",
    // One number for the log and the id: see the module `message_key`.
    "
    CREATE TABLE placed (
        place           INTEGER PRIMARY KEY,
        timestamp       INTEGER NOT NULL,
        username        TEXT    NOT NULL,
        content         TEXT    NOT NULL
    ) STRICT;
    INSERT INTO placed SELECT log << 38 | id, timestamp, username, content FROM messages ORDER BY log, id;
    DROP TABLE messages;
    ALTER TABLE placed RENAME TO messages;
",
    // A checksum for each row: see the module `checksum`. `first_id` is the oldest message that is kept, or one more
    // than `last_id`; `since` is when the name was last taken off the list or a message of it dropped. A channel that
    // is `released` is not on the list: it is kept for its host until then.
    "
    ALTER TABLE channels ADD COLUMN released INTEGER;
    ALTER TABLE channels ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    UPDATE channels SET checksum = row_checksum(position, name, host, port, registered_from, lease, released);
    ALTER TABLE logs ADD COLUMN first_id INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE logs ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE logs ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    UPDATE logs SET since = unixepoch(), first_id = COALESCE((
        SELECT MIN(place) & 0x3fffffffff FROM messages
        WHERE place BETWEEN log << 38 AND (log << 38) + 0x3fffffffff
    ), last_id + 1);
    UPDATE logs SET checksum = row_checksum(log, name, last_id, first_id, last_timestamp, bytes, since);
    CREATE TABLE checked (
        place           INTEGER PRIMARY KEY,
        timestamp       INTEGER NOT NULL,
        checksum        INTEGER NOT NULL,
        username        TEXT    NOT NULL,
        content         TEXT    NOT NULL
    ) STRICT;
    INSERT INTO checked SELECT place, timestamp,
        CASE WHEN name IS NOT NULL THEN row_checksum(name, place, timestamp, username, content) END, username, content
        FROM messages LEFT JOIN logs ON log = place >> 38 ORDER BY place;
    DROP TABLE messages;
    ALTER TABLE checked RENAME TO messages;
",
    // Accounts own channels, names and messages; NULL for an address or a guest. A message that is `deleted` has lost
    // its content; `deletes` is the id of the message that it deletes. `sends` has the keys of messages whose clients may
    // send them again, in the order of the commits: see the module `sends`. `until` is when a role ends, and `sender_of` the
    // message by which its subject was named.
    "
    ALTER TABLE channels ADD COLUMN account TEXT;
    ALTER TABLE logs ADD COLUMN account TEXT;
    ALTER TABLE logs ADD COLUMN members_only INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE logs ADD COLUMN slow_mode INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE messages ADD COLUMN account TEXT;
    ALTER TABLE messages ADD COLUMN deletes INTEGER;
    ALTER TABLE messages ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE sends (
        seq             INTEGER PRIMARY KEY,
        keys            BLOB    NOT NULL,
        checksum        INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE roles (
        log             INTEGER NOT NULL,
        subject         TEXT    NOT NULL,
        role            TEXT    NOT NULL,
        until           INTEGER,
        sender_of       INTEGER,
        checksum        INTEGER NOT NULL,
        PRIMARY KEY (log, subject)
    ) STRICT, WITHOUT ROWID;
",
];

/// The tables of this program.
const TABLES: &str = "'channels', 'logs', 'messages', 'sends', 'roles'";

/// The last version whose migration copies the messages from one table to another.
const COPIES_MESSAGES: i32 = 5;

const KNOWN: i32 = MIGRATIONS.len() as i32;

/// Finds the database in a directory, creates it if it is missing, and refuses one that is not chanwire's.
///
/// Reads the header before SQLite opens the file, because SQLite may change a file that it opens.
pub(super) fn find(directory: &DataDir) -> Result<PathBuf, StoreError> {
    let file = directory.file(DATABASE);
    if directory.file(RESTORING).exists() {
        return Err(StoreError::RestoreInterrupted { file });
    }
    for suffix in ["-wal", "-shm"] {
        let beside = directory.file(&format!("{DATABASE}{suffix}"));
        if beside.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(StoreError::file("use", beside)(io::Error::other("it is not a regular file")));
        }
    }
    match header(&file).map_err(StoreError::file("read the database", &file))? {
        None => create(directory, &file)?,
        Some(header) => {
            check(&file, &header)?;
            check_wal(&file, &header)?;
        }
    }
    Ok(file)
}

/// Refuses a WAL beside a database that is not in WAL mode, as backups are not: SQLite would move the one into the
/// other. It enters the mode before it creates a WAL, and removes the WAL before it leaves the mode.
fn check_wal(file: &Path, header: &[u8]) -> Result<(), StoreError> {
    const LEGACY: u8 = 1;
    if header.get(18) != Some(&LEGACY) {
        return Ok(());
    }
    let wal = wal::path_of(file);
    match wal::read(&wal).map_err(StoreError::file("read", &wal))? {
        Some(Wal { frames: 1.., .. }) => Err(StoreError::ForeignWal { file: file.to_owned(), wal }),
        _ => Ok(()),
    }
}

/// Finds the database in a directory that another process may be using, without changing anything.
pub(super) fn find_existing(directory: &Path) -> Result<PathBuf, StoreError> {
    let file = directory.join(DATABASE);
    check_file(&file).map(|()| file)
}

/// Refuses a file that is not a database of this program.
pub(super) fn check_file(file: &Path) -> Result<(), StoreError> {
    match header(file).map_err(StoreError::file("read the database", file))? {
        None => Err(StoreError::NoDatabase { file: file.to_owned() }),
        Some(header) => check(file, &header),
    }
}

/// Reads the first bytes of a file, as many of a header's 100 as there are; `None` if there is no such file.
fn header(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut header = Vec::new();
    match files::open_regular(File::options().read(true), file) {
        Ok(file) => file.take(100).read_to_end(&mut header)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(header))
}

fn check(file: &Path, header: &[u8]) -> Result<(), StoreError> {
    // This program gives a database its name only once it is complete, so this is another program's file.
    if header.is_empty() {
        return Err(StoreError::Damaged { file: file.to_owned(), problem: "it is empty".into() });
    }
    let number = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    match (header.starts_with(b"SQLite format 3\0"), number(68), number(60)) {
        (true, Some(APPLICATION_ID), Some(version)) => {
            check_version(version.cast_signed(), file)?;
            check_length(file, header)
        }
        (true, Some(application_id), _) => Err(StoreError::OtherApplication { file: file.to_owned(), application_id }),
        _ => Err(StoreError::NotADatabase { file: file.to_owned() }),
    }
}

/// Refuses a truncated database. SQLite does not detect a missing part of less than a page. With a WAL, the missing
/// pages may be in it.
fn check_length(file: &Path, header: &[u8]) -> Result<(), StoreError> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let number = |at: usize| header.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
    let page = header.get(16..).and_then(|bytes| bytes.first_chunk().copied().map(u16::from_be_bytes));
    // The format encodes 65536 as 1.
    let page = page.map(|size| if size == 1 { 1 << 16 } else { u64::from(size) });
    // The page count is valid if these two are equal: the last writer was SQLite 3.7 or later.
    let pages = number(28).filter(|_| number(24) == number(92)).map(u64::from);
    let expected = page.zip(pages).map_or(0, |(page, pages)| page.saturating_mul(pages));
    let found = fs::metadata(file).map_err(StoreError::file("read the database", file))?.len();
    if found < expected {
        let problem = format!("it is cut short, {found} bytes are left of {expected}");
        return Err(StoreError::Damaged { file: file.to_owned(), problem });
    }
    Ok(())
}

/// Refuses a schema version later than this program's, or none.
fn check_version(found: i32, file: &Path) -> Result<(), StoreError> {
    let file = file.to_owned();
    match found {
        1..=KNOWN => Ok(()),
        ..1 => Err(StoreError::Damaged { file, problem: format!("its schema has the version {found}") }),
        _ => Err(StoreError::Newer { file, found, known: KNOWN }),
    }
}

/// Creates a database under a temporary name and renames it, so that a crash leaves a complete one or none.
fn create(directory: &DataDir, file: &Path) -> Result<(), StoreError> {
    for suffix in ["-wal", "-journal"] {
        let log = directory.file(&format!("{DATABASE}{suffix}"));
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            return Err(StoreError::LogWithoutDatabase { file: file.to_owned(), log });
        }
    }
    let nascent = directory.file(NASCENT);
    remove_nascent(&nascent)?;
    // SQLite's other files take their permissions from this one.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&nascent);
    let opened = opened.map_err(StoreError::file("create the database", &nascent))?;
    fill(&nascent).map_err(StoreError::sqlite("create", &nascent))?;
    opened
        .sync_all()
        .and_then(|()| fs::rename(&nascent, file))
        .map_err(StoreError::file("create the database", &nascent))?;
    directory.sync()
}

/// Removes an incomplete database that a crash has left. Of a symbolic link, only the link is removed.
pub(super) fn remove_nascent(nascent: &Path) -> Result<(), StoreError> {
    match fs::remove_file(nascent) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::file("remove what is left of a new database", nascent)(error))
        }
        _ => Ok(()),
    }
}

fn fill(nascent: &Path) -> rusqlite::Result<()> {
    let mut connection = connect(nascent)?;
    // No journal: a crash leaves only the temporary file, and there must be no second file.
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection)
}

/// Opens an existing database file that is not a symbolic link.
pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLite would refuse a link anywhere in the path; its directory may be one.
    let directory = file.parent().and_then(|directory| directory.canonicalize().ok());
    let resolved = directory.zip(file.file_name()).map(|(directory, name)| directory.join(name));
    let connection = Connection::open_with_flags(resolved.as_deref().unwrap_or(file), flags)?;
    checksum::add_function(&connection)?;
    Ok(connection)
}

/// Opens a database file that nothing writes, in a directory that cannot be written.
pub(super) fn connect_immutable(file: &Path) -> rusqlite::Result<Connection> {
    let path = percent_encode(file.as_os_str().as_bytes(), NON_ALPHANUMERIC).to_string().replace("%2F", "/");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

/// The rows of a database.
pub(super) struct Counted {
    pub(super) listed: u64,
    pub(super) leases: u64,
    pub(super) messages: u64,
}

/// Counts the rows of a database of this version that nothing else uses.
pub(super) fn count(file: &Path) -> rusqlite::Result<Counted> {
    let sql = "SELECT count(*), count(lease), (SELECT count(*) FROM messages) FROM channels WHERE released IS NULL";
    connect(file)?
        .query_row(sql, [], |row| Ok(Counted { listed: id(row, 0)?, leases: id(row, 1)?, messages: id(row, 2)? }))
}

/// Refuses a database of a later version, which only its WAL may say yet, and one whose tables are not those of the
/// version that it says it has: a migration would fail halfway, or make other tables of them.
pub(super) fn check_tables(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |cause| StoreError::sqlite("open", file)(cause);
    let found = version(connection).map_err(failed)?;
    check_version(found, file)?;
    if columns(connection).map_err(failed)? == columns_of(found).map_err(failed)? {
        return Ok(());
    }
    Err(StoreError::OtherTables { file: file.to_owned(), version: found })
}

/// A column of one of the tables, with all that the table's definition says of it and of the table.
#[derive(PartialEq, Eq)]
struct Column {
    table: String,
    has_no_rowid: bool,
    is_strict: bool,
    name: String,
    kind: String,
    is_not_null: bool,
    default: Option<String>,
    place_in_key: i64,
}

/// Reads the columns of the tables that a version of this program made, ignoring other tables.
fn columns(connection: &Connection) -> rusqlite::Result<Vec<Column>> {
    let mut select = connection.prepare(&format!(
        "SELECT tables.name, wr, strict, columns.name, columns.type, \"notnull\", dflt_value, pk
         FROM pragma_table_list AS tables, pragma_table_xinfo(tables.name) AS columns
         WHERE tables.schema = 'main' AND tables.name IN ({TABLES}) ORDER BY tables.name, cid",
    ))?;
    let columns = select.query_map([], |row| {
        Ok(Column {
            table: row.get(0)?,
            has_no_rowid: row.get(1)?,
            is_strict: row.get(2)?,
            name: row.get(3)?,
            kind: row.get(4)?,
            is_not_null: row.get(5)?,
            default: row.get(6)?,
            place_in_key: row.get(7)?,
        })
    })?;
    columns.collect()
}

/// Returns the columns of the tables that a version has: those that its migrations make of nothing.
fn columns_of(version: i32) -> rusqlite::Result<Vec<Column>> {
    let connection = Connection::open_in_memory()?;
    checksum::add_function(&connection)?;
    for migration in MIGRATIONS.iter().take(usize::try_from(version).unwrap_or_default()) {
        connection.execute_batch(migration)?;
    }
    columns(&connection)
}

/// The most pages of a database whose every page is looked at when it is opened: 64 MiB, which takes about
/// 0.15 seconds. Of a larger one only the tables are looked at that the server takes into memory, 0.05 seconds for
/// 100,000 channels; a damaged page of messages is found when it is read, and by a backup. One of an older version is
/// looked at whole, whatever its size: what is copied to the tables of this one is found damaged now or never.
const CHECKED_WHOLE: i64 = 16 * 1024;

/// Refuses a database with inconsistent pages, before anything is written to it.
pub(super) fn check_pages(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |cause| StoreError::sqlite("open", file)(cause);
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(failed)?;
    let whole = pages <= CHECKED_WHOLE || version(connection).map_err(failed)? < KNOWN;
    let parts = if whole { &[None][..] } else { &[Some("channels"), Some("logs"), Some("roles"), Some("sends")] };
    for part in parts {
        if let Some(problem) = fault(connection, *part).map_err(failed)? {
            return Err(StoreError::Damaged { file: file.to_owned(), problem });
        }
    }
    if whole && version(connection).map_err(failed)? == KNOWN {
        say_missing(connection, file).map_err(RowError::at("open", file))?;
    }
    Ok(())
}

/// Logs the number of messages that the channel logs count but the table lacks: an older database beside a newer WAL
/// can look sound to SQLite. Damaged logs are not counted.
fn say_missing(connection: &Connection, file: &Path) -> Result<(), RowError> {
    let mut counted = 0_u64;
    LogRow::for_each(connection, |log| {
        counted = counted.saturating_add(log.map_or(0, |log| (log.last_id + 1).saturating_sub(log.first_id)));
        Ok(())
    })?;
    let kept = connection.query_row("SELECT count(*) FROM messages", [], |row| id(row, 0))?;
    let missing = counted.saturating_sub(kept);
    if missing > 0 {
        tracing::error!(
            file = %file.display(),
            "{missing} of {counted} messages are missing from the database: it is older than its WAL, or another program \
             deleted them; restore a backup with `chanwire restore`"
        );
    }
    Ok(())
}

/// Finds the first fault in the pages of a table, or of all.
pub(super) fn fault(connection: &Connection, table: Option<&str>) -> rusqlite::Result<Option<String>> {
    let sql = table.map_or_else(|| "PRAGMA quick_check(1)".into(), |table| format!("PRAGMA quick_check({table})"));
    let problem: String = connection.query_row(&sql, [], |row| row.get(0))?;
    let problem = problem.trim_start_matches("*** in database main ***").trim().replace('\n', "; ");
    Ok((problem != "ok").then_some(problem))
}

/// Migrates the tables to this program's version.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(version(&transaction)?).unwrap_or_default();
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()
}

/// Returns whether the migration of a database copies its messages from one table to another.
pub(super) fn migrates_by_copies(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(version(connection)? < COPIES_MESSAGES)
}

/// Writes the version that is there again: a page, and no change.
pub(super) fn touch(transaction: &Connection) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "user_version", KNOWN)
}

/// Returns whether the tables are of this program's version.
pub(super) fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(version(connection)? == KNOWN)
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests;
