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
    backup::{Backup, StepResult},
    config::DbConfig,
};

use super::{
    StoreError,
    rows::{self, RowError},
    schema,
    sqlite::PATIENCE,
};

/// How many pages are copied between two looks at the progress: 4 MiB.
const STEP: i32 = 1024;

/// How long to wait for somebody who has the database locked.
const RETRY: Duration = Duration::from_millis(50);

/// Copies the database of a data directory into a new file, as it is at one moment, and syncs it. `progress` is told
/// now and then how many pages of how many are copied. It returns the copy's size in bytes.
///
/// A server may be using the directory. Its commits do not wait, but its write-ahead log grows meanwhile. The file has
/// its name only when it is whole: until then it has `.part` at its end.
pub(crate) fn back_up(directory: &Path, file: &Path, progress: impl FnMut(u32, u32)) -> Result<u64, StoreError> {
    // Absolute, so that no path begins with `file:`, which SQLite would take for a URI.
    let absolute = |path: &Path| std::path::absolute(path).map_err(StoreError::file("find", path));
    let (source, file) = (schema::find_existing(&absolute(directory)?)?, absolute(file)?);
    if file.symlink_metadata().is_ok() {
        return Err(StoreError::BackupExists { file });
    }
    let part = Part::create(&file)?;
    let failed = |cause| StoreError::Backup { from: source.clone(), to: file.clone(), cause };
    match copy(&source, &part.path, progress).map_err(failed)? {
        None => part.finish(&file),
        // What was copied is what is there: the copy is as damaged as its source.
        Some(what) => Err(StoreError::Damaged { file: source, what }),
    }
}

/// Copies, and says what is wrong with the copy, if anything is.
fn copy(source: &Path, part: &Path, progress: impl FnMut(u32, u32)) -> rusqlite::Result<Option<String>> {
    let from = schema::connect(source)?;
    from.busy_timeout(PATIENCE)?;
    // The server, or its next start, is the one who moves the log.
    from.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    from.pragma_update(None, "query_only", true)?;
    // One read transaction around all steps: else each commit of the server would begin the copy anew.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM logs", [], |_| Ok(()))?;
    let mut to = schema::connect(part)?;
    // It is synced once, when it is whole, and a copy that is not whole is of no use.
    to.pragma_update(None, "journal_mode", "OFF")?;
    to.pragma_update(None, "synchronous", "OFF")?;
    step_through(&Backup::new(&snapshot, &mut to)?, progress)?;
    // A file without a log beside it, until a server opens it.
    to.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    if let Some(what) = schema::fault(&to, None)? {
        return Ok(Some(what));
    }
    match rows::verify(&to) {
        Ok(()) => Ok(None),
        Err(RowError::Sqlite(cause)) => Err(cause),
        Err(RowError::Damaged(what)) => Ok(Some(what)),
    }
}

fn step_through(backup: &Backup<'_, '_>, mut progress: impl FnMut(u32, u32)) -> rusqlite::Result<()> {
    let mut retries = PATIENCE.as_millis() / RETRY.as_millis();
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

/// A backup that is not whole, removed unless it is finished.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(file: &Path) -> Result<Self, StoreError> {
        let mut path = file.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        match created {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::BackupExists { file: path }),
            Err(cause) => Err(StoreError::BackupFile { action: "create", file: path, cause }),
        }
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
        // A rename would silently replace what somebody has put there meanwhile.
        fs::hard_link(&self.path, file).map_err(failed("create"))?;
        let directory = file.parent().unwrap_or(Path::new("/"));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync the directory of"))?;
        Ok(size)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove what is left of the backup");
        }
    }
}

#[cfg(test)]
mod tests;
