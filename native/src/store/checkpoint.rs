//! Checkpoints: moves WAL pages into the database concurrently with commits, so that the WAL stays short.
//!
//! A commit only ever appends to the WAL, and SQLite starts the WAL over when a commit finds all of it moved. A thread
//! with its own connection moves frames while the writer goes on committing; but a writer that never rests has
//! always appended some more by then. So when the thread has moved nearly everything, the writer moves the few
//! frames that are left, between two commits. Should the thread fall behind, the writer waits for it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::{Builder, JoinHandle},
};

use rusqlite::Connection;

use super::{
    StoreError,
    health::{Failure, Health, guard},
    status::{Operation, StoreStatus},
    watch::Watch,
};

/// The length of a WAL at which it is checkpointed, in frames. A frame is one page, 4 KiB, so this is 16 MiB. Each move
/// syncs the database, and the commits meanwhile share the disk with it; SQLite's own habit, 4 MiB, means 20 moves a
/// second under load.
pub(super) const LONG: u32 = 4096;
/// A WAL this many times as long makes commits wait. So it is never longer than this and one commit.
pub(super) const TOO_LONG: u32 = 4;
/// Returns the frames at which another writer than the store's checkpoints the WAL itself. The thread is asked before,
/// if the store commits at all.
pub(super) const fn left_alone(long: u32) -> u32 {
    long + long / 4
}

/// The most frames that the thread leaves to the writer without another pass.
const FEW: u32 = 64;

const THREAD: &str = "checkpoints";

/// The writer's side. Must be called before and after each commit.
pub(super) struct Checkpointer {
    file: PathBuf,
    watch: Arc<Watch>,
    /// The frames of the WAL after the last commit.
    frames: Arc<AtomicU32>,
    /// The length at which the WAL is checkpointed, in frames.
    long: u32,
    /// The length at which the next pass is requested from the thread, in frames.
    due: u32,
    /// Whether a pass is requested and not done yet.
    requested: bool,
    requests: Sender<()>,
    answers: Receiver<Pass>,
    thread: JoinHandle<()>,
    health: Health,
}

/// The count of frames, from the WAL's first, that are in the database now.
type Pass = Result<u32, Failure>;

impl Checkpointer {
    /// Starts the thread on `own`, a connection that nothing else uses.
    pub(super) fn start(
        own: Connection,
        writer: &mut Connection,
        file: PathBuf,
        (watch, status): (Arc<Watch>, Arc<StoreStatus>),
        long: u32,
    ) -> Result<Self, StoreError> {
        let frames = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&frames);
        let hook = move |_: &mut _, length| {
            counted.store(u32::try_from(length).unwrap_or_default(), Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(StoreError::sqlite("watch the WAL of", &file))?;
        let (requests, asked) = channel();
        let (done, answers) = channel();
        let mover =
            Mover { connection: own, file: file.clone(), watch: Arc::clone(&watch), frames: Arc::clone(&frames) };
        let thread = Builder::new()
            .name(THREAD.into())
            .spawn(move || answer(&asked, &done, || mover.run()))
            .map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
        let health = Health::new(Operation::Checkpoint, status);
        Ok(Self { file, watch, frames, long, due: long, requested: false, requests, answers, thread, health })
    }

    /// Checkpoints the rest of the WAL if the thread has moved the most.
    pub(super) fn before_commit(&mut self, writer: &Connection) {
        if !self.requested {
            return;
        }
        let frames = self.frames.load(Relaxed);
        let answer = if frames < TOO_LONG * self.long {
            self.answers.try_recv()
        } else {
            self.answers.recv().map_err(|_| TryRecvError::Disconnected)
        };
        let pass = match answer {
            Err(TryRecvError::Empty) => return,
            Ok(Ok(moved)) if moved < frames => passive(writer, &self.file, &self.watch).map_err(Failure::from),
            Ok(pass) => pass,
            // The thread has ended: commits only take longer.
            Err(TryRecvError::Disconnected) => passive(writer, &self.file, &self.watch).map_err(Failure::from),
        };
        self.requested = false;
        self.health.observe(&pass);
        // After a pass that a reader or a full disk kept from completing, the next one is due when the WAL has grown
        // again.
        self.due = if pass.is_ok_and(|moved| moved >= frames) { self.long } else { frames.saturating_add(self.long) };
    }

    /// Asks the thread for a checkpoint if the WAL has become long.
    pub(super) fn after_commit(&mut self) {
        let frames = self.frames.load(Relaxed);
        if frames < self.long {
            self.due = self.long;
        }
        if frames >= self.due && !self.requested {
            self.requested = true;
            // If the thread has ended, the next commit finds out.
            let _ = self.requests.send(());
        }
    }

    /// The frames of the WAL after the last commit.
    pub(super) fn frames(&self) -> u32 {
        self.frames.load(Relaxed)
    }

    /// Ends the thread and checkpoints the whole WAL.
    pub(super) fn close(self, writer: &Connection) -> Result<(), StoreError> {
        drop(self.requests);
        // A panic in it was printed; the log is moved all the same.
        let _ = self.thread.join();
        self.watch.check(writer)?;
        truncate(writer, &self.file)
    }
}

/// Answers each request with a pass. A panic fails its pass alone.
fn answer(asked: &Receiver<()>, done: &Sender<Pass>, mut pass: impl FnMut() -> Result<u32, StoreError>) {
    while asked.recv().is_ok() && done.send(guard(&mut pass)).is_ok() {}
}

/// The thread's side.
struct Mover {
    connection: Connection,
    file: PathBuf,
    watch: Arc<Watch>,
    frames: Arc<AtomicU32>,
}

impl Mover {
    /// Repeats checkpoints until few frames are left, or until a pass makes no progress.
    fn run(&self) -> Result<u32, StoreError> {
        let mut before = u32::MAX;
        loop {
            let moved = passive(&self.connection, &self.file, &self.watch)?;
            let left = self.frames.load(Relaxed).saturating_sub(moved);
            if left <= FEW || left > before / 2 {
                return Ok(moved);
            }
            before = left;
        }
    }
}

/// Checkpoints as much of the WAL as is possible without waiting for another connection.
pub(super) fn passive(connection: &Connection, file: &Path, watch: &Watch) -> Result<u32, StoreError> {
    watch.checkpoint(connection, || checkpoint(connection, Mode::Passive, file))
}

/// Checkpoints all of the WAL and truncates its file.
pub(super) fn truncate(connection: &Connection, file: &Path) -> Result<(), StoreError> {
    checkpoint(connection, Mode::Truncate, file).map(|_| ())
}

/// Checkpoints all of the WAL and truncates its file. Returns whether that is done: not while somebody reads from it.
pub(super) fn try_truncate(connection: &Connection, file: &Path) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(Mode::Truncate.sql()).map_err(failed(file))?;
    let is_busy: bool = statement.query_row([], |row| row.get(0)).map_err(failed(file))?;
    Ok(!is_busy)
}

fn failed(file: &Path) -> impl FnOnce(rusqlite::Error) -> StoreError {
    StoreError::sqlite("checkpoint the WAL of", file)
}

enum Mode {
    /// As much as is possible without waiting for another connection.
    Passive,
    /// All of it; then the WAL file is truncated.
    Truncate,
}

impl Mode {
    const fn sql(&self) -> &'static str {
        match self {
            Self::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Self::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        }
    }
}

fn checkpoint(connection: &Connection, mode: Mode, file: &Path) -> Result<u32, StoreError> {
    let moved: rusqlite::Result<i64> =
        connection.prepare_cached(mode.sql()).and_then(|mut statement| statement.query_row([], |row| row.get(2)));
    let moved = moved.map_err(failed(file))?;
    Ok(u32::try_from(moved).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(directory: &Path) -> Connection {
        let connection = Connection::open(directory.join("some.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute_batch("CREATE TABLE IF NOT EXISTS blobs (bytes BLOB)").unwrap();
        connection
    }

    /// Commits this number of pages.
    fn commit(writer: &Connection, pages: u32) {
        writer.execute("INSERT INTO blobs VALUES (zeroblob(?1))", [pages * 4096]).unwrap();
    }

    fn start(directory: &Path) -> (Checkpointer, Connection) {
        let mut writer = connect(directory);
        let file = directory.join("some.db");
        let watch = Arc::new(Watch::start(&writer, &file).unwrap());
        let checkpointer =
            Checkpointer::start(connect(directory), &mut writer, file, (watch, Arc::default()), LONG).unwrap();
        (checkpointer, writer)
    }

    #[test]
    fn a_short_log_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (mut checkpointer, writer) = start(directory.path());
        commit(&writer, 10);
        checkpointer.after_commit();
        assert!((10..LONG).contains(&checkpointer.frames.load(Relaxed)));
        assert!(!checkpointer.requested);
    }

    #[test]
    fn a_log_that_is_too_long_holds_the_writer_until_the_thread_has_answered() {
        let directory = tempfile::tempdir().unwrap();
        let (mut checkpointer, writer) = start(directory.path());
        let (requests, asked) = channel();
        let (done, answers) = channel();
        (checkpointer.requests, checkpointer.answers) = (requests, answers);
        commit(&writer, TOO_LONG * LONG);
        checkpointer.after_commit();
        asked.recv().unwrap();
        let (go, proceed) = channel();
        let thread = std::thread::spawn(move || {
            proceed.recv().unwrap();
            done.send(Ok(0)).unwrap();
        });
        go.send(()).unwrap();
        checkpointer.before_commit(&writer);
        assert!(!checkpointer.requested);
        thread.join().unwrap();
        // The writer has moved the frames that the thread left.
        commit(&writer, 1);
        assert!(checkpointer.frames.load(Relaxed) < 10);
    }

    #[test]
    fn a_pass_that_panics_fails_and_the_thread_goes_on() {
        let (requests, asked) = channel();
        let (done, answers) = channel();
        let mut panics = [true, false].into_iter();
        let pass = move || {
            assert!(!panics.next().unwrap(), "as it was told");
            Ok(7)
        };
        let thread = std::thread::spawn(move || answer(&asked, &done, pass));
        requests.send(()).unwrap();
        let failure = answers.recv().unwrap().unwrap_err().to_string();
        assert!(failure.contains("as it was told"), "{failure}");
        requests.send(()).unwrap();
        assert_eq!(answers.recv().unwrap().unwrap(), 7);
        drop(requests);
        thread.join().unwrap();
    }

    #[test]
    fn without_the_thread_the_writer_moves_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let (mut checkpointer, writer) = start(directory.path());
        (checkpointer.requests, checkpointer.answers) = (channel().0, channel().1);
        for _ in 0..3 {
            commit(&writer, LONG);
            checkpointer.after_commit();
            assert!(checkpointer.requested && checkpointer.frames.load(Relaxed) >= LONG);
            checkpointer.before_commit(&writer);
            commit(&writer, 1);
            checkpointer.after_commit();
            assert!(!checkpointer.requested && checkpointer.frames.load(Relaxed) < 10);
        }
        checkpointer.close(&writer).unwrap();
        assert_eq!(std::fs::metadata(directory.path().join("some.db-wal")).unwrap().len(), 0);
    }
}
