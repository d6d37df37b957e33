//! Erases the texts of deleted messages from the database's files.
//!
//! SQLite overwrites a row that is replaced, since every writing connection has `secure_delete`. Copies are left in two
//! places: in the WAL, until its file is truncated, and in the unused parts of pages whose rows were spread over others
//! (see the module [`leaf_page`](super::leaf_page)). So after a deletion each page is looked at once, those with something
//! in their unused parts are written again without it, and then the WAL is moved into the database and truncated. No
//! change makes another copy of a text that is in no row, so commits go on meanwhile. The digests by which repeated messages
//! are known are erased on the same way.
//!
//! A file marks the directory until that is done, so that a server that was stopped or killed goes on at its next start.

use std::{
    fs::{self, OpenOptions},
    io,
    ops::RangeInclusive,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::{
    StoreError, checkpoint,
    connection::{BUSY_TIMEOUT, connect_beside},
    data_dir::{self, DataDir},
    health::Health,
    leaf_page::{TOO_MANY_PAGES, clear_unused},
    room::{ERASURE_FRAMES, Room},
    rows::RowError,
    sends,
    status::{Operation, StoreStatus},
    watch::Watch,
    write_coordinator::WriteCoordinator,
};

/// The name of the file that marks a directory with texts to be erased.
const MARKER: &str = "chanwire.erasing";

const THREAD: &str = "store-erasure";

/// The time after a deletion at which its text is erased, together with those that followed it: each time, the whole
/// database is read.
const ERASE_AFTER: Duration = Duration::from_secs(15);
/// The time within which a text is to be erased.
const ERASE_WITHIN: Duration = Duration::from_secs(60);
/// The time between two attempts.
const RETRY: Duration = Duration::from_secs(1);
/// Timeout of an attempt to truncate the WAL while somebody reads from it. Commits wait as long.
const TRUNCATE_TIMEOUT: Duration = Duration::from_millis(100);
/// The most time for which closing waits for what is left to be erased.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// The time after which a pass is left for a look at how late it is.
const PART: Duration = Duration::from_secs(10);

/// The most pages that are looked at in one read transaction.
const LOOK: u32 = 256;

/// The most keys that are looked at in one read transaction.
const SENDS: i64 = 4096;

/// The deletions whose texts may still be in the files.
#[derive(Debug)]
pub(super) struct Deletions {
    marker: PathBuf,
    pending: Mutex<Pending>,
    /// Notified when the first is noted, and when the store is closed.
    changed: Condvar,
}

#[derive(Debug)]
struct Pending {
    /// The number of commits with deletions since the start.
    commits: u64,
    /// The time of the first one that is not erased.
    since: Option<Instant>,
    is_marked: bool,
    erase_after: Duration,
    erase_within: Duration,
    /// The time until which closing waits.
    close: Option<Instant>,
}

impl Deletions {
    /// Finds whether an earlier run has left texts to be erased.
    pub(super) fn open(directory: &DataDir) -> Self {
        Self::open_at(directory.file(MARKER))
    }

    fn open_at(marker: PathBuf) -> Self {
        let is_marked = marker.symlink_metadata().is_ok();
        let since = is_marked.then(Instant::now);
        let (erase_after, erase_within) = (ERASE_AFTER, ERASE_WITHIN);
        let pending = Pending { commits: 0, since, is_marked, erase_after, erase_within, close: None };
        Self { marker, pending: Mutex::new(pending), changed: Condvar::new() }
    }

    /// Notes that a commit deletes messages. Must be called before the commit, with the write lock.
    pub(super) fn note(&self) -> Result<(), StoreError> {
        let mut pending = self.pending();
        if !pending.is_marked {
            self.mark()?;
            pending.is_marked = true;
        }
        pending.commits += 1;
        pending.since.get_or_insert_with(Instant::now);
        self.changed.notify_all();
        Ok(())
    }

    fn mark(&self) -> Result<(), StoreError> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.marker);
        match created {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(StoreError::file("create", &self.marker)(error))
            }
            _ => data_dir::sync(self.marker.parent().unwrap_or(Path::new("/"))),
        }
    }

    /// Has texts erased at once.
    #[cfg(test)]
    pub(super) fn hurry(&self) {
        self.pending().erase_after = Duration::ZERO;
        self.changed.notify_all();
    }

    /// Waits for a deletion, and then for those that follow it. Returns the time of the first; `None` once closed with
    /// none left.
    fn wait(&self) -> Option<Instant> {
        let mut pending = self.pending();
        loop {
            let left = match (pending.since, pending.close) {
                (Some(since), None) => pending.erase_after.saturating_sub(since.elapsed()),
                (Some(_), Some(_)) => Duration::ZERO,
                (None, Some(_)) => return None,
                (None, None) => Duration::MAX,
            };
            if left.is_zero() {
                return pending.since;
            }
            pending = self.changed.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_closing(&self) -> bool {
        self.pending().close.is_some()
    }

    /// Waits for a time, or until the store is closed. Returns whether to go on, as long as closing waits.
    fn pause(&self, pause: Duration) -> bool {
        let is_open = |pending: &mut Pending| pending.close.is_none();
        let pending = self.changed.wait_timeout_while(self.pending(), pause, is_open);
        let close = pending.unwrap_or_else(PoisonError::into_inner).0.close;
        close.is_none_or(|end| Instant::now() < end)
    }

    /// Notes that the texts of so many commits are erased, in a pass that began at a time.
    fn finish(&self, commits: u64, began: Instant) -> Result<(), StoreError> {
        let mut pending = self.pending();
        if pending.commits > commits {
            pending.since = Some(began);
            return Ok(());
        }
        match fs::remove_file(&self.marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file("remove", &self.marker)(error));
            }
            _ => (pending.since, pending.is_marked) = (None, false),
        }
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // No holder can panic half-way through a change.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that erases, on a thread of its own.
struct Eraser {
    connection: Connection,
    file: PathBuf,
    deletions: Arc<Deletions>,
    coordinator: Arc<WriteCoordinator>,
    room: Arc<Room>,
    watch: Arc<Watch>,
    /// The frames of the WAL after this connection's last transaction.
    frames: Arc<AtomicU32>,
    /// The pass that has not come to its end.
    pass: Option<Pass>,
}

/// A reading of the whole database, with the deletions that it is for.
struct Pass {
    /// The commits with deletions before it.
    commits: u64,
    began: Instant,
    /// The next page to look at, and the last.
    next: u32,
    last: u32,
    /// The same of the keys of messages.
    next_send: i64,
    last_send: i64,
}

impl Eraser {
    fn run(mut self, status: Arc<StoreStatus>) {
        let mut health = Health::new(Operation::Erasure, status);
        while let Some(since) = self.deletions.wait() {
            loop {
                let is_last = self.deletions.is_closing();
                if health.attempt(|| self.erase(since)) == Some(true) {
                    break;
                }
                if is_last {
                    tracing::info!("texts of deleted messages are still in the files: the next start erases them");
                    return;
                }
                self.deletions.pause(RETRY);
            }
        }
    }

    /// Goes on with erasing the texts of the deletions that were committed when it began. Returns whether that is done,
    /// and fails if it should have been done before.
    fn erase(&mut self, since: Instant) -> Result<bool, StoreError> {
        let mut pass = self.pass.take().map_or_else(|| self.begin(), Ok)?;
        let erased = self.go_on(&mut pass, since);
        if !matches!(erased, Ok(true)) {
            self.pass = Some(pass);
        }
        erased
    }

    fn begin(&self) -> Result<Pass, StoreError> {
        let began = Instant::now();
        let commits = {
            // With the write lock, none of those that are noted is still to be committed.
            let _lock = self.coordinator.lock();
            self.deletions.pending().commits
        };
        let failed = || StoreError::sqlite("read", &self.file);
        let last = self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(failed())?;
        let last_send = sends::newest(&self.connection).map_err(failed())?;
        // The first page has the names of the tables.
        Ok(Pass { commits, began, next: 2, last, next_send: 1, last_send })
    }

    fn go_on(&self, pass: &mut Pass, since: Instant) -> Result<bool, StoreError> {
        let late = |cause| StoreError::NotErased { file: self.file.clone(), cause };
        if pass.last >= TOO_MANY_PAGES {
            return Err(late("it is too large"));
        }
        let is_clear = self.erase_digests(pass)? && self.clear_pages(pass)?;
        if is_clear && self.truncate()? {
            self.deletions.finish(pass.commits, pass.began)?;
            return Ok(true);
        }
        if since.elapsed() > self.deletions.pending().erase_within {
            return Err(late(if is_clear { "another program reads it for long" } else { "it takes long to read it" }));
        }
        Ok(false)
    }

    /// Erases the digests of deleted messages, by which somebody could tell whether a text is the deleted one. The commit
    /// does not: to find a message's key, it would look at all keys. Returns whether it has come to the end, as
    /// [`clear_pages`](Self::clear_pages) does.
    fn erase_digests(&self, pass: &mut Pass) -> Result<bool, StoreError> {
        let end = Instant::now() + PART;
        while pass.next_send <= pass.last_send {
            let began = Instant::now();
            let seqs = pass.next_send..=pass.last_send.min(pass.next_send.saturating_add(SENDS - 1));
            let digests = sends::deleted_digests(&self.connection, seqs.clone());
            for some in digests.map_err(RowError::at("read", &self.file))?.chunks(ERASURE_FRAMES as usize / 2) {
                if !self.has_wal_room()? {
                    return Ok(false);
                }
                self.write(|transaction| sends::erase_digests(transaction, some))?;
            }
            pass.next_send = seqs.end() + 1;
            if !self.deletions.pause(began.elapsed()) || began > end {
                break;
            }
        }
        Ok(pass.next_send > pass.last_send)
    }

    /// Looks at the next pages and clears their unused parts, with pauses as long as the work. Returns whether it has come
    /// to the end.
    fn clear_pages(&self, pass: &mut Pass) -> Result<bool, StoreError> {
        let end = Instant::now() + PART;
        while pass.next <= pass.last {
            let began = Instant::now();
            let pages = pass.next..=pass.last.min(pass.next + LOOK - 1);
            let unclean = self.unclean(pages.clone()).map_err(StoreError::sqlite("read", &self.file))?;
            for some in unclean.chunks(ERASURE_FRAMES as usize / 2) {
                if !self.has_wal_room()? {
                    return Ok(false);
                }
                self.write(|transaction| clear(transaction, some))?;
            }
            pass.next = pages.end() + 1;
            if !self.deletions.pause(began.elapsed()) || began > end {
                break;
            }
        }
        Ok(pass.next > pass.last)
    }

    /// Returns the pages that have something in their unused parts.
    fn unclean(&self, pages: RangeInclusive<u32>) -> rusqlite::Result<Vec<u32>> {
        let reading = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let mut unclean = Vec::new();
        for number in pages {
            if page(&reading, number)?.is_some_and(|mut page| clear_unused(&mut page)) {
                unclean.push(number);
            }
        }
        Ok(unclean)
    }

    /// Carries out a transaction.
    fn write(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<(), StoreError> {
        let _lock = self.coordinator.lock();
        self.watch.check(&self.connection)?;
        self.frames.store(0, Relaxed);
        let begun = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate);
        let written = begun.and_then(|transaction| work(&transaction).and_then(|()| transaction.commit()));
        // No frames if another transaction has done it meanwhile.
        let frames = Some(self.frames.load(Relaxed)).filter(|frames| *frames > 0);
        self.watch.wrote(frames);
        if let Some(frames) = frames {
            self.room.note_frames(frames);
        }
        written.map_err(StoreError::sqlite("erase deleted messages from", &self.file))
    }

    /// Returns whether the WAL has room for a transaction, after an attempt to move it if it has become long.
    fn has_wal_room(&self) -> Result<bool, StoreError> {
        if self.room.frames() >= checkpoint::left_alone(self.room.long()) {
            checkpoint::passive(&self.connection, &self.file, &self.watch)
                .map(|moved| self.room.note_moved(moved) || !self.room.is_wal_full())
        } else {
            Ok(true)
        }
    }

    /// Moves the WAL into the database and truncates its file. Returns whether it is done: not while somebody reads from
    /// it.
    fn truncate(&self) -> Result<bool, StoreError> {
        // The most of it without the write lock.
        checkpoint::passive(&self.connection, &self.file, &self.watch)?;
        let failed = || StoreError::sqlite("checkpoint the WAL of", &self.file);
        let _lock = self.coordinator.lock();
        self.watch.check(&self.connection)?;
        self.connection.busy_timeout(TRUNCATE_TIMEOUT).map_err(failed())?;
        let mut is_truncated = false;
        let moved = self.watch.checkpoint(&self.connection, || {
            is_truncated = checkpoint::try_truncate(&self.connection, &self.file)?;
            Ok(0)
        });
        self.connection.busy_timeout(BUSY_TIMEOUT).map_err(failed())?;
        moved?;
        if is_truncated {
            self.watch.wrote(Some(0));
            self.room.note_frames(0);
        }
        Ok(is_truncated)
    }
}

/// Clears the unused parts of some pages.
fn clear(transaction: &Transaction<'_>, pages: &[u32]) -> rusqlite::Result<()> {
    for number in pages {
        if let Some(mut page) = page(transaction, *number)?
            && clear_unused(&mut page)
        {
            let sql = "UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1";
            transaction.prepare_cached(sql)?.execute((number, page))?;
        }
    }
    Ok(())
}

/// Reads a page; `None` if the database is shorter.
fn page(connection: &Connection, number: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    select.query_row([number], |row| row.get(0)).optional()
}

/// A thread that erases the texts of deleted messages.
#[must_use = "the thread is closed in order only by `close`"]
pub(super) struct EraserHandle {
    deletions: Arc<Deletions>,
    thread: JoinHandle<()>,
}

impl EraserHandle {
    /// Starts the thread.
    pub(super) fn start(
        file: &Path,
        deletions: Arc<Deletions>,
        (coordinator, room): (Arc<WriteCoordinator>, Arc<Room>),
        watch: Arc<Watch>,
        status: Arc<StoreStatus>,
    ) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::sqlite("open", file)(cause);
        let mut connection = connect_beside(file).map_err(failed)?;
        // Not synced with the write lock held: the marker stays until the checkpoint, which syncs.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        // Each page is read once.
        connection.pragma_update(None, "cache_size", LOOK).map_err(failed)?;
        let frames = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&frames);
        let hook = move |_: &mut _, length| {
            counted.store(u32::try_from(length).unwrap_or_default(), Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(failed)?;
        room.prepare(&connection).map_err(failed)?;
        let (file, noted) = (file.to_owned(), Arc::clone(&deletions));
        let eraser = Eraser { connection, file, deletions: noted, coordinator, room, watch, frames, pass: None };
        let thread = Builder::new().name(THREAD.into()).spawn(move || eraser.run(status));
        let thread = thread.map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
        Ok(Self { deletions, thread })
    }

    /// Erases what is left, if that takes a moment, and ends the thread.
    pub(super) fn close(self) {
        self.deletions.pending().close = Some(Instant::now() + CLOSE_WITHIN);
        self.deletions.changed.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread that erases deleted messages had ended before it was stopped");
        }
    }
}

#[cfg(test)]
mod tests;
