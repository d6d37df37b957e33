//! Migration of an older database through a copy, which gets this version's tables and then the database's name.
//!
//! The copy has nothing of rows that were changed or deleted, as the older file may have: its free pages, which the
//! migration of a version before 5 leaves in it, are overwritten. A crash leaves the older database or the migrated one,
//! and at most a part of the copy beside it, which the next start removes.

mod reports;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    StoreError,
    connection::BUSY_TIMEOUT,
    data_dir,
    rows::id,
    schema::{self, NASCENT},
    space,
};
pub(super) use reports::Reports;
use reports::Step;

/// The instructions of SQLite's virtual machine between two questions: a few microseconds.
const STEP: i32 = 50;

/// Replaces an older database by its migrated copy. The connection is the only one of this process.
///
/// `is_interrupted` is asked every few microseconds whether to give up.
///
/// # Errors
///
/// If another program has the database open, if the file system has no room for the copy, or if SQLite fails. The older
/// database is unchanged then, except that its WAL is moved into it.
pub(super) fn replace(
    mut old: Connection,
    file: &Path,
    reports: &Reports,
    is_interrupted: impl FnMut() -> bool + Clone + Send + 'static,
) -> Result<(), StoreError> {
    let failed = || StoreError::sqlite("migrate", file);
    lock(&old).map_err(failed())?;
    let directory = file.parent().unwrap_or(Path::new("/"));
    let copy = Copy::create(directory.join(NASCENT), file)?;
    let bytes = bytes_in_use(&old).map_err(failed())?;
    let copies = if schema::migrates_by_copies(&old).map_err(failed())? { 2 } else { 1 };
    check_room(file, directory, bytes.saturating_mul(copies))?;
    tracing::info!(
        file = %file.display(),
        bytes,
        "migrating the database to this version's tables; a large one takes a while"
    );
    reports.set(Step::Copy { copy: copy.path.clone(), bytes });
    old.progress_handler(STEP, Some(is_interrupted.clone())).map_err(failed())?;
    old.execute("VACUUM INTO ?1", [copy.path.to_str()]).map_err(failed())?;
    reports.set(Step::Convert);
    migrate(&copy.path, is_interrupted).map_err(failed())?;
    reports.set(Step::Sync);
    copy.file.sync_all().map_err(StoreError::file("sync the migrated database", &copy.path))?;
    // The older database stays locked until it has no name.
    fs::rename(&copy.path, file).map_err(StoreError::file("replace the database", file))?;
    data_dir::sync(directory)
}

/// Keeps other programs from reading and writing the database, until the connection is closed. Moves the WAL into it,
/// which must not stay beside the copy.
fn lock(old: &Connection) -> rusqlite::Result<()> {
    old.busy_timeout(BUSY_TIMEOUT)?;
    old.pragma_update(None, "fullfsync", true)?;
    let mode: String = old.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
    if mode != "delete" {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None));
    }
    old.pragma_update_and_check(Some("main"), "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    old.execute_batch("BEGIN EXCLUSIVE; COMMIT")
}

fn bytes_in_use(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |name| connection.pragma_query_value(None, name, |row| id(row, 0));
    Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
}

fn check_room(file: &Path, directory: &Path, needed: u64) -> Result<(), StoreError> {
    let free = space::free(directory).map_err(StoreError::file("look for free space beside", file))?;
    if free < needed {
        return Err(StoreError::NoRoomToMigrate { file: file.to_owned(), needed, free });
    }
    Ok(())
}

/// Migrates the copy. It needs no journal: an incomplete copy is removed. Its dropped tables are overwritten.
fn migrate(copy: &Path, is_interrupted: impl FnMut() -> bool + Send + 'static) -> rusqlite::Result<()> {
    let mut connection = schema::connect(copy)?;
    connection.progress_handler(STEP, Some(is_interrupted))?;
    connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    schema::migrate(&mut connection)
}

/// The copy of a database that is being migrated, removed when dropped unless it was renamed.
struct Copy {
    path: PathBuf,
    file: File,
}

impl Copy {
    /// Creates an empty file with the permissions and the owner of another, in place of one that a crash has left.
    fn create(path: PathBuf, like: &Path) -> Result<Self, StoreError> {
        schema::remove_nascent(&path)?;
        let failed = || StoreError::file("create the migrated database", &path);
        let like = fs::metadata(like).map_err(failed())?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed())?;
        let copy = Self { path, file };
        let failed = || StoreError::file("create the migrated database", &copy.path);
        let own = copy.file.metadata().map_err(failed())?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid())
            && let Err(error) = fchown(&copy.file, Some(like.uid()), Some(like.gid()))
        {
            tracing::warn!(%error, path = %copy.path.display(), "cannot give the migrated database its owner");
        }
        // After the owner, whose change may clear some of them.
        copy.file.set_permissions(like.permissions()).map_err(failed())?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "cannot remove the incomplete migrated database");
            }
            _ => {}
        }
    }
}
