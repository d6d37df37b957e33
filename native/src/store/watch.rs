//! Detects that another program has removed, replaced or changed the database of a running server without SQLite.
//!
//! SQLite goes on with its open files, so commits to a removed file succeed but are lost at the next start. Before each
//! commit the names are looked up again: they must refer to the same files, unchanged since the last commit or
//! checkpoint. A lookup does not open the file, because closing it would release SQLite's locks on it.
//!
//! Another program may use the database through SQLite. SQLite counts the WAL's frames and the checkpointed ones; a
//! change that advanced a count was made by SQLite.

use std::{
    fs, io, mem,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use rusqlite::Connection;

use super::StoreError;

/// The files of an open database, and their last known state.
pub(super) struct Watch {
    database: PathBuf,
    wal: PathBuf,
    known: Mutex<Known>,
    /// The first foreign change found. After it, nothing is written or read any more.
    lost: OnceLock<Lost>,
}

/// A file, and its change.
#[derive(Clone)]
struct Lost {
    file: PathBuf,
    problem: String,
}

/// The metadata of a file, looked up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// The device and the inode.
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

/// The WAL's frames, and the checkpointed ones among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frames {
    wal: i64,
    moved: i64,
}

struct Known {
    database: Seen,
    wal: Seen,
    frames: Frames,
    /// The checkpoints of this process that write the database now.
    checkpoints: u32,
}

impl Watch {
    /// Begins to watch the files that this connection has open.
    pub(super) fn start(connection: &Connection, file: &Path) -> Result<Self, StoreError> {
        let mut wal = file.as_os_str().to_owned();
        wal.push("-wal");
        let wal = PathBuf::from(wal);
        let frames = frames(connection).map_err(StoreError::sqlite("open", file))?;
        let seen = |path: &Path| look(path).map_err(StoreError::file("look up", path));
        let known = Known { database: seen(file)?, wal: seen(&wal)?, frames, checkpoints: 0 };
        Ok(Self { database: file.to_owned(), wal, known: Mutex::new(known), lost: OnceLock::new() })
    }

    /// Checks both files. Must be called with the write lock.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), StoreError> {
        self.compare(connection, true)?;
        let mut known = self.known();
        match look(&self.wal) {
            Ok(seen) if seen == known.wal => Ok(()),
            Ok(seen) if seen.file == known.wal.file => {
                let now = frames(connection).map_err(StoreError::sqlite("read", &self.database))?;
                if now.wal == known.frames.wal {
                    return Err(self.lose(&self.wal, changed(known.wal, seen)));
                }
                (known.wal, known.frames) = (seen, now);
                Ok(())
            }
            other => Err(self.lose(&self.wal, gone(&other))),
        }
    }

    /// Checks the database's file.
    pub(super) fn check_database(&self, connection: &Connection) -> Result<(), StoreError> {
        self.compare(connection, false)
    }

    fn compare(&self, connection: &Connection, is_writer: bool) -> Result<(), StoreError> {
        if let Some(lost) = self.lost.get() {
            return Err(lost.clone().into());
        }
        let mut known = self.known();
        match look(&self.database) {
            Ok(seen) if seen == known.database => Ok(()),
            Ok(seen) if seen.file == known.database.file => {
                // A checkpoint changes it, and never makes it shorter.
                if known.checkpoints > 0 && seen.size >= known.database.size {
                    return Ok(());
                }
                let now = frames(connection).map_err(StoreError::sqlite("read", &self.database))?;
                if now == known.frames || seen.size < known.database.size {
                    return Err(self.lose(&self.database, changed(known.database, seen)));
                }
                // Without the write lock, a count may also have advanced by a commit that is not recorded yet.
                if is_writer {
                    (known.database, known.frames.moved) = (seen, now.moved);
                }
                Ok(())
            }
            other => Err(self.lose(&self.database, gone(&other))),
        }
    }

    /// Records the WAL's state after a transaction, with its number of frames. A failed transaction may have written
    /// frames that do not count.
    pub(super) fn wrote(&self, frames: Option<u32>) {
        let mut known = self.known();
        if let Some(frames) = frames.map(i64::from) {
            // Every commit adds frames.
            if frames <= known.frames.wal {
                // The WAL has started over, so all of it was checkpointed.
                known.frames.moved = 0;
            }
            known.frames.wal = frames;
        }
        // An error is found by the next check.
        if let Ok(seen) = look(&self.wal)
            && seen.file == known.wal.file
        {
            known.wal = seen;
        }
    }

    /// Runs a checkpoint, if the database is unchanged. The closure returns the number of checkpointed frames.
    pub(super) fn checkpoint(
        &self,
        connection: &Connection,
        work: impl FnOnce() -> Result<u32, StoreError>,
    ) -> Result<u32, StoreError> {
        self.check_database(connection)?;
        let counted = Checkpoint::begin(self);
        let moved = work();
        let mut known = counted.end();
        if let Ok(moved @ 1..) = &moved {
            known.frames.moved = i64::from(*moved);
        }
        match look(&self.database) {
            Ok(seen) if seen.file == known.database.file && seen.size >= known.database.size => known.database = seen,
            Ok(seen) if seen.file == known.database.file => {
                return Err(self.lose(&self.database, changed(known.database, seen)));
            }
            other => return Err(self.lose(&self.database, gone(&other))),
        }
        moved
    }

    fn lose(&self, file: &Path, problem: String) -> StoreError {
        let lost = self.lost.get_or_init(|| Lost { file: file.to_owned(), problem });
        lost.clone().into()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No holder can panic half-way through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A checkpoint that counts until it ends, also by a panic: while one counts, any growth of the database is taken for
/// its work.
struct Checkpoint<'w> {
    watch: &'w Watch,
}

impl<'w> Checkpoint<'w> {
    fn begin(watch: &'w Watch) -> Self {
        watch.known().checkpoints += 1;
        Self { watch }
    }

    /// Ends it. The database's state must be recorded before the next check.
    fn end(self) -> MutexGuard<'w, Known> {
        let watch = mem::ManuallyDrop::new(self).watch;
        let mut known = watch.known();
        known.checkpoints -= 1;
        known
    }
}

impl Drop for Checkpoint<'_> {
    fn drop(&mut self) {
        self.watch.known().checkpoints -= 1;
    }
}

impl From<Lost> for StoreError {
    fn from(Lost { file, problem }: Lost) -> Self {
        Self::Lost { file, problem }
    }
}

fn look(path: &Path) -> io::Result<Seen> {
    let found = fs::metadata(path)?;
    let modified = (found.mtime(), found.mtime_nsec());
    Ok(Seen { file: (found.dev(), found.ino()), size: found.size(), modified })
}

fn changed(known: Seen, seen: Seen) -> String {
    if seen.size < known.size {
        format!("was cut short, to {} bytes of {}", seen.size, known.size)
    } else {
        "was written by another program".into()
    }
}

fn gone(seen: &io::Result<Seen>) -> String {
    match seen {
        Ok(_) => "was replaced by another file".into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "was removed, or its directory was moved".into(),
        Err(error) => format!("cannot be looked up ({error})"),
    }
}

/// Reads SQLite's counts from its shared memory, without reading a file or checkpointing.
fn frames(connection: &Connection) -> rusqlite::Result<Frames> {
    let mut count = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    count.query_row([], |row| Ok(Frames { wal: row.get(1)?, moved: row.get(2)? }))
}

#[cfg(test)]
mod tests;
