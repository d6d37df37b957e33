//! A copy of a store, made while a server goes on writing it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode,
    backup::{Backup, StepResult},
    config::DbConfig,
};

use super::{
    StoreError,
    connection::BUSY_TIMEOUT,
    data_dir,
    rows::{self, RowError},
    schema,
};

/// Pages copied between two looks at the progress: 4 MiB.
const STEP: i32 = 1024;

/// The wait between two tries while another program has the database locked.
const RETRY: Duration = Duration::from_millis(50);

/// Copies the database of a data directory into a new file, as it is at one moment, and syncs it. `progress` is told
/// now and then how many pages of how many are copied. It returns the copy's size in bytes.
///
/// A server may be using the directory. Its commits do not wait, but its write-ahead log grows meanwhile. The file has
/// its name only when it is whole: until then it has `.part` at its end.
pub(crate) fn back_up(directory: &Path, file: &Path, progress: impl FnMut(u32, u32)) -> Result<u64, StoreError> {
    let (source, file) = (schema::find_existing(&absolute(directory)?)?, absolute(file)?);
    if file.symlink_metadata().is_ok() {
        return Err(StoreError::BackupExists { file });
    }
    let part = Part::create(&file)?;
    match copy(&source, &part, &file, progress)? {
        None => part.finish(&file),
        // The copy is exact, so its damage is the source's.
        Some(problem) => Err(StoreError::Damaged { file: source, problem }),
    }
}

/// Returns an absolute path, so that none begins with `file:`, which SQLite would take for a URI.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(StoreError::file("find", path))
}

/// Copies a database. Returns a description of the copy's damage, if there is any. `file` is its final name.
pub(super) fn copy(
    source: &Path,
    part: &Part,
    file: &Path,
    progress: impl FnMut(u32, u32),
) -> Result<Option<String>, StoreError> {
    let failed = |cause| StoreError::Backup { from: source.to_owned(), to: file.to_owned(), cause };
    let from = match open(source).map_err(failed)? {
        Some(from) => Some(from),
        None if wal_of(source).metadata().is_ok_and(|wal| wal.len() > 0) => None,
        // Without a WAL the file is complete, and no process can write it.
        None => Some(schema::connect_immutable(source).map_err(failed)?),
    };
    let to = match from {
        Some(from) => copy_pages(&from, &part.path, progress).map_err(failed)?,
        None => copy_files(source, part, file)?,
    };
    schema::check_tables(&to, source)?;
    check(to).map_err(failed)
}

/// Turns a copy into a single file without a WAL and checks it. Returns the damage found, if any.
fn check(copy: Connection) -> rusqlite::Result<Option<String>> {
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    if let Some(problem) = schema::fault(&copy, None)? {
        return Ok(Some(problem));
    }
    // Rows of an older version have no checksums.
    if !schema::is_current(&copy)? {
        return Ok(None);
    }
    match rows::verify(&copy) {
        Ok(()) => Ok(None),
        Err(RowError::Sqlite(cause)) => Err(cause),
        Err(RowError::Row(row)) => Ok(Some(row.to_string())),
        Err(RowError::Damaged(problem)) => Ok(Some(problem)),
    }
}

/// Opens a database that a server may be using; `None` where SQLite cannot make the files that it needs beside it,
/// because the directory cannot be written.
fn open(source: &Path) -> rusqlite::Result<Option<Connection>> {
    let from = schema::connect(source)?;
    from.busy_timeout(BUSY_TIMEOUT)?;
    // The server, or its next start, is the one who moves the WAL.
    from.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    from.pragma_update(None, "query_only", true)?;
    match from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Ok(()) => Ok(Some(from)),
        Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn copy_pages(from: &Connection, part: &Path, progress: impl FnMut(u32, u32)) -> rusqlite::Result<Connection> {
    // One read transaction around all steps: else each commit of the server would begin the copy anew.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM logs", [], |_| Ok(()))?;
    let mut to = schema::connect(part)?;
    // Not synced before it is complete: an incomplete copy is of no use.
    to.pragma_update(None, "journal_mode", "OFF")?;
    to.pragma_update(None, "synchronous", "OFF")?;
    step_through(&Backup::new(&snapshot, &mut to)?, progress)?;
    Ok(to)
}

/// Copies the database's file and its WAL, and lets SQLite move the one into the other there. Nobody writes them: their
/// directory cannot be written, and no server that could has it.
fn copy_files(source: &Path, part: &Part, file: &Path) -> Result<Connection, StoreError> {
    let _unused = data_dir::hold(source.parent().unwrap_or(Path::new("/")))?;
    let copied = |from: &Path, to: &Path| {
        let failed = |cause| StoreError::BackupFile { action: "copy the database to", file: to.to_owned(), cause };
        fs::copy(from, to).map_err(failed)
    };
    copied(source, &part.path)?;
    copied(&wal_of(source), &wal_of(&part.path))?;
    let failed = |cause| StoreError::Backup { from: source.to_owned(), to: file.to_owned(), cause };
    let to = schema::connect(&part.path).map_err(failed)?;
    to.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    Ok(to)
}

fn wal_of(database: &Path) -> PathBuf {
    let mut wal = database.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

fn step_through(backup: &Backup<'_, '_>, mut progress: impl FnMut(u32, u32)) -> rusqlite::Result<()> {
    let mut retries = BUSY_TIMEOUT.as_millis() / RETRY.as_millis();
    loop {
        let step = backup.step(STEP)?;
        let count = |pages: i32| u32::try_from(pages).unwrap_or_default();
        let (left, all) = (count(backup.progress().remaining), count(backup.progress().pagecount));
        progress(all - left.min(all), all);
        match step {
            StepResult::Done => return Ok(()),
            StepResult::Busy | StepResult::Locked if retries > 0 => {
                retries -= 1;
                sleep(RETRY);
            }
            StepResult::Busy | StepResult::Locked => return Err(busy()),
            _ => {}
        }
    }
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, None)
}

/// An incomplete backup, removed when dropped unless it is finished.
pub(super) struct Part {
    pub(super) path: PathBuf,
    file: File,
}

impl Part {
    pub(super) fn path_of(file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(".part");
        path.into()
    }

    pub(super) fn create(file: &Path) -> Result<Self, StoreError> {
        let path = Self::path_of(file);
        let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        match created {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::BackupExists { file: path }),
            Err(cause) => Err(StoreError::BackupFile { action: "create", file: path, cause }),
        }
    }

    /// Makes the content of its path durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let failed = |cause| StoreError::BackupFile { action: "sync", file: self.path.clone(), cause };
        File::open(&self.path).and_then(|file| file.sync_all()).map_err(failed)
    }

    /// Makes it durable and gives it its name, which nothing else may have by now.
    fn finish(self, file: &Path) -> Result<u64, StoreError> {
        let failed = |action| {
            let file = file.to_owned();
            move |cause: io::Error| match cause.kind() {
                io::ErrorKind::AlreadyExists => StoreError::BackupExists { file },
                _ => StoreError::BackupFile { action, file, cause },
            }
        };
        let size = self.file.sync_all().and_then(|()| self.file.metadata()).map_err(failed("sync"))?.len();
        // A rename would silently replace a file created there meanwhile.
        fs::hard_link(&self.path, file).map_err(failed("create"))?;
        let directory = file.parent().unwrap_or(Path::new("/"));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync the directory of"))?;
        Ok(size)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Only a copy that was cut short has a WAL; a restored one has a new name.
        let _ = fs::remove_file(wal_of(&self.path));
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "cannot remove what is left of the backup");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
