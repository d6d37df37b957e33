//! The database's size limit, and the check for free disk space.

use std::{
    path::{Path, PathBuf},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    StoreError,
    checkpoint::{LONG, TOO_LONG},
};

const PAGE: u64 = 4096;
/// The size of a WAL frame: a page with its header.
const FRAME: u64 = PAGE + 24;
/// The most frames of one transaction of retention, which may come between a commit's admission and its write lock. Each
/// page that it frees is overwritten, so they are twice those of the bytes that it drops, since pages may be half full,
/// with the message that exceeds them, and a few of the tables' inner pages.
pub(super) const RETENTION_FRAMES: u32 = 320;

/// The same of the thread that erases deleted messages: each page that it clears, and a few of SQLite's own.
pub(super) const ERASURE_FRAMES: u32 = 64;

/// Timeout of a commit that waits for retention to free space.
const WAIT: Duration = Duration::from_secs(2);

/// The minimum size limit of a store in bytes.
pub(crate) const LEAST: u64 = 16 << 20;

/// The space that the store's writers may use.
#[derive(Debug)]
pub(super) struct Room {
    file: PathBuf,
    /// The size limit of the database and its WAL together in bytes.
    max: Option<u64>,
    /// The pages in use after the last transaction, without the file's free pages.
    used: Mutex<u64>,
    /// The frames of the WAL after the last transaction.
    frames: AtomicU32,
    /// Notified when pages have become free.
    freed: Condvar,
    /// Whether the file system has too little free space for commits.
    is_stopped: AtomicBool,
    /// The number of commits refused for either reason.
    refused: AtomicU64,
}

impl Room {
    pub(super) fn new(file: PathBuf, max: Option<u64>) -> Self {
        let (used, freed, frames) = (Mutex::default(), Condvar::default(), AtomicU32::new(0));
        Self { file, max, used, frames, freed, is_stopped: AtomicBool::new(false), refused: AtomicU64::new(0) }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the length at which the WAL is checkpointed, in frames: a sixteenth of the limit, or [`LONG`].
    pub(super) fn long(&self) -> u32 {
        let part = self.max.map_or(u64::MAX, |max| max / 16 / PAGE);
        u32::try_from(part).map_or(LONG, |part| part.min(LONG))
    }

    /// Returns the bytes to which the WAL file is truncated when it starts over. Commits wait before it grows longer.
    pub(super) fn wal_bound(&self) -> u64 {
        u64::from(TOO_LONG * self.long()) * FRAME
    }

    /// Returns the bytes that the WAL may take, without those that one commit adds.
    fn wal_room(&self) -> u64 {
        self.wal_bound() + u64::from(RETENTION_FRAMES + ERASURE_FRAMES) * FRAME
    }

    /// Configures a writing connection, so that the WAL file shrinks again after a large commit.
    pub(super) fn prepare(&self, connection: &Connection) -> rusqlite::Result<()> {
        let bound = i64::try_from(self.wal_bound()).unwrap_or(i64::MAX);
        connection.pragma_update_and_check(None, "journal_size_limit", bound, |_| Ok(()))
    }

    /// Returns the most pages that may be in use.
    fn limit(&self) -> Option<u64> {
        self.max.map(|max| max.saturating_sub(self.wal_room()) / PAGE)
    }

    /// Returns the number of pages that retention keeps free in advance.
    fn margin(&self) -> u64 {
        self.limit().map_or(0, |limit| (limit / 16).clamp(64, (64 << 20) / PAGE))
    }

    /// Counts the pages that a transaction leaves in use.
    pub(super) fn measure(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.max.is_none() {
            return Ok(());
        }
        let count = |name: &str| -> rusqlite::Result<i64> {
            connection.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))
        };
        let used = count("page_count")?.saturating_sub(count("freelist_count")?);
        *self.used() = u64::try_from(used).unwrap_or_default();
        self.freed.notify_all();
        Ok(())
    }

    /// Notes the frames of the WAL after a transaction, with the write lock held.
    pub(super) fn note_frames(&self, frames: u32) {
        self.frames.store(frames, Relaxed);
    }

    /// Notes that so many frames, from the WAL's first, are in the database. If these are all, the next transaction starts
    /// the WAL over. Returns whether they are.
    pub(super) fn note_moved(&self, moved: u32) -> bool {
        let frames = self.frames();
        let is_all = moved >= frames;
        if is_all {
            // A transaction that came meanwhile has noted more.
            let _ = self.frames.compare_exchange(frames, 0, Relaxed, Relaxed);
        }
        is_all
    }

    /// Returns the frames of the WAL after the last transaction.
    pub(super) fn frames(&self) -> u32 {
        self.frames.load(Relaxed)
    }

    /// Returns whether the WAL has no room for a transaction of retention. Within a limit, retention waits then until the
    /// WAL has been moved: what it frees would only make the store larger.
    pub(super) fn is_wal_full(&self) -> bool {
        self.max.is_some() && self.frames() >= TOO_LONG * self.long()
    }

    /// Returns whether messages must be dropped.
    pub(super) fn is_short(&self) -> bool {
        self.exceeds(self.margin())
    }

    /// Returns whether enough of them were dropped.
    pub(super) fn is_enough(&self) -> bool {
        !self.exceeds(2 * self.margin())
    }

    fn exceeds(&self, margin: u64) -> bool {
        self.limit().is_some_and(|limit| *self.used() > limit.saturating_sub(margin))
    }

    /// Admits a commit of this size, after waiting for room if necessary. Its pages count twice, since retention may make
    /// the WAL as long as it may be before the commit adds them. Frames beyond that, held by a long read, take room too.
    pub(super) fn admit(&self, bytes: u64) -> Result<(), StoreError> {
        if self.is_stopped.load(Relaxed) {
            self.refused.fetch_add(1, Relaxed);
            return Err(StoreError::LowSpace { file: self.file.clone() });
        }
        let Some(limit) = self.limit() else { return Ok(()) };
        let pages = (bytes + bytes / 8) / PAGE + 8;
        let taken = || {
            let excess = self.frames().saturating_sub(TOO_LONG * self.long());
            2 * pages + u64::from(excess)
        };
        let end = Instant::now() + WAIT;
        let mut used = self.used();
        while *used + taken() > limit {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || taken() > limit {
                self.refused.fetch_add(1, Relaxed);
                let max = self.max.unwrap_or_default();
                return Err(StoreError::Full { file: self.file.clone(), max });
            }
            used = self.freed.wait_timeout(used, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Stops or allows commits according to the free space. Returns whether this is a change.
    pub(super) fn set_stopped(&self, is_stopped: bool) -> bool {
        self.is_stopped.swap(is_stopped, Relaxed) != is_stopped
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn used(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(max: u64, used: u64) -> Room {
        let room = Room::new("some.db".into(), Some(max));
        *room.used() = used;
        room
    }

    #[test]
    fn the_pages_and_the_wal_together_are_within_the_limit() {
        for max in [LEAST, 64 << 20, 1 << 30, 1 << 40] {
            let room = room(max, 0);
            let (limit, margin) = (room.limit().unwrap(), room.margin());
            assert!(limit * PAGE + room.wal_room() <= max && 4 * margin < limit && room.long() >= 256, "{max}");
        }
        assert_eq!(room(1 << 40, 0).long(), LONG);
    }

    #[test]
    fn a_commit_waits_for_room_and_is_refused_without_it() {
        let limit = room(LEAST, 0).limit().unwrap();
        let room = room(LEAST, limit - 72);
        assert!(room.is_short() && !room.is_enough());
        room.admit(90_000).unwrap();
        let error = room.admit(16 << 20).unwrap_err().to_string();
        assert!(error.contains("raise --store-max"), "{error}");
        // A WAL held by a reader takes room as well, and so do the commit's own frames.
        room.note_frames(4 * room.long());
        room.admit(0).unwrap();
        assert!(room.is_wal_full());
        room.note_frames(4 * room.long() + 100);
        room.admit(0).unwrap_err();
        assert!(!room.note_moved(4 * room.long()) && room.is_wal_full());
        room.admit(0).unwrap_err();
        assert!(room.note_moved(4 * room.long() + 100) && !room.is_wal_full());
        room.admit(24 * PAGE).unwrap();
        room.admit(30 * PAGE).unwrap_err();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| room.admit(400_000));
            *room.used() = 100;
            room.freed.notify_all();
            waiting.join().unwrap().unwrap();
        });
        assert!(room.is_enough());
    }

    #[test]
    fn while_the_disk_is_low_nothing_is_admitted() {
        let room = Room::new("some.db".into(), None);
        assert!(room.set_stopped(true) && !room.set_stopped(true));
        assert!(room.admit(1).unwrap_err().to_string().contains("--store-min-free"));
        assert!(room.set_stopped(false));
        room.admit(1).unwrap();
        assert_eq!(room.refused(), 1);
    }
}
