//! Replaces a data directory's database by a backup.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    StoreError,
    backup::{self, Part, absolute},
    data_dir::DataDir,
    last_commit,
    migration::{self, Reports},
    schema,
};

/// The result of a restore.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The count of listed channels.
    pub(crate) channels: u64,
    /// The count of those with a lease.
    pub(crate) leased: u64,
    /// The count of messages.
    pub(crate) messages: u64,
    /// The path of the database that was there before.
    pub(crate) replaced: Option<PathBuf>,
}

/// The suffixes of the files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Replaces the directory's database by a copy of a backup, and keeps the old database under another name.
///
/// Nothing is changed before the copy is complete, checked and synced. No server may use the directory meanwhile. While
/// files are replaced, a marker file keeps servers from starting.
pub(crate) fn restore(file: &Path, directory: &Path, progress: impl FnMut(u32, u32)) -> Result<Restored, StoreError> {
    let file = absolute(file)?;
    schema::check_file(&file)?;
    let directory = DataDir::open(directory)?;
    let target = directory.file(schema::DATABASE);
    if is_same(&file, &target) {
        return Err(StoreError::RestoreOfItself { file });
    }
    // Removes the copy of an interrupted restore.
    remove(&Part::path_of(&target))?;
    let part = Part::create(&target)?;
    if let Some(problem) = backup::copy(&file, &part, &target, progress)? {
        return Err(StoreError::Damaged { file, problem });
    }
    let read = || StoreError::sqlite("read", &part.path);
    let connection = schema::connect(&part.path).map_err(read())?;
    if schema::is_current(&connection).map_err(read())? {
        drop(connection);
    } else {
        migration::replace(connection, &part.path, &Reports::start()?, || false)?;
    }
    let counted = schema::count(&part.path).map_err(read())?;
    part.sync()?;

    let marker = directory.file(schema::RESTORING);
    fs::write(&marker, "").map_err(StoreError::file("create", &marker))?;
    directory.sync()?;
    let replaced = keep(&target)?;
    directory.sync()?;
    for suffix in BESIDE {
        remove(&with_suffix(&target, suffix))?;
    }
    // The note of the last commit belongs to the old database.
    remove(&directory.file(last_commit::NAME))?;
    fs::rename(&part.path, &target).map_err(StoreError::file("replace the database", &target))?;
    directory.sync()?;
    remove(&marker)?;
    directory.sync()?;
    let schema::Counted { listed, leases, messages } = counted;
    Ok(Restored { channels: listed, leased: leases, messages, replaced })
}

/// Links the database and its WAL to an unused name.
fn keep(target: &Path) -> Result<Option<PathBuf>, StoreError> {
    let wal = with_suffix(target, "-wal");
    let has_wal = wal.metadata().is_ok_and(|wal| wal.len() > 0);
    if !target.exists() && !has_wal {
        return Ok(None);
    }
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = |number| with_suffix(target, &format!(".replaced-{}", seconds + number));
    let is_free = |kept: &PathBuf| !kept.exists() && !with_suffix(kept, "-wal").exists();
    let Some(kept) = (0..).map(name).find(is_free) else { return Ok(None) };
    if target.exists() {
        fs::hard_link(target, &kept).map_err(StoreError::file("keep the database as", &kept))?;
    }
    if has_wal {
        let kept = with_suffix(&kept, "-wal");
        fs::hard_link(&wal, &kept).map_err(StoreError::file("keep the WAL as", &kept))?;
    }
    Ok(Some(kept))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

#[cfg(test)]
mod tests;
