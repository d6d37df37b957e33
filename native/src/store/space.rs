//! Monitoring of the free space on the store's file system.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use rustix::fs::statvfs;

use super::{
    StoreError,
    health::Health,
    room::{LEAST, Room},
    status::{Operation, StoreStatus},
};

const THREAD: &str = "store-space";

/// The interval between two checks, too short for one client to use up the remaining space.
const LOOK: Duration = Duration::from_millis(500);

/// Returns the bytes available to this user on a directory's file system.
pub(crate) fn free(directory: &Path) -> io::Result<u64> {
    let found = statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Returns the default size limit of a store in this directory: half of the free and already used bytes together, but
/// at least the used ones.
pub(crate) fn default_max(directory: &Path) -> io::Result<u64> {
    let size = |name| directory.join(name).metadata().map_or(0, |file| file.len());
    let own = size("chanwire.db") + size("chanwire.db-wal");
    let directory = std::path::absolute(directory)?;
    let existing = directory.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"));
    Ok((free(existing)?.saturating_add(own) / 2).max(own).max(LEAST))
}

/// The level of free space. It has hysteresis between the thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Enough,
    /// Less than twice the minimum is free.
    Low,
    /// Less than the minimum is free: nothing is stored.
    Stopped,
}

/// Derives the level from successive checks.
#[derive(Debug)]
struct Looks {
    least: u64,
    space: Space,
}

impl Looks {
    /// Handles a check. Returns the level if it has changed.
    fn look(&mut self, free: u64) -> Option<Space> {
        // Hysteresis: a level is left only at an eighth above its threshold.
        let above = |mark: u64| free >= mark.saturating_add(mark / 8);
        let twice = self.least.saturating_mul(2);
        let space = match self.space {
            _ if free < self.least => Space::Stopped,
            Space::Stopped if !above(self.least) => Space::Stopped,
            Space::Enough if free >= twice => Space::Enough,
            _ if above(twice) => Space::Enough,
            _ => Space::Low,
        };
        (space != self.space).then(|| {
            self.space = space;
            space
        })
    }
}

/// The monitoring thread.
#[must_use = "it looks until it is closed"]
pub(crate) struct SpaceHandle {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

/// Stops the store's commits while less than `least` bytes are free. `free` returns the free bytes; the first check is
/// done before this returns.
pub(super) fn watch(
    room: Arc<Room>,
    status: Arc<StoreStatus>,
    least: u64,
    mut free: impl FnMut() -> io::Result<u64> + Send + 'static,
) -> Result<SpaceHandle, StoreError> {
    let (stop, stopped) = channel();
    let file = room.file().to_owned();
    let mut looks = Looks { least, space: Space::Enough };
    let mut health = Health::new(Operation::Space, Arc::clone(&status));
    let mut look = move || {
        let found = health.attempt(|| free().map_err(StoreError::file("look for free space beside", &file)));
        let Some(free) = found else { return };
        let Some(space) = looks.look(free) else { return };
        status.set_low_on_space(space == Space::Stopped);
        let went_on = space != Space::Stopped && room.set_stopped(false);
        match space {
            Space::Stopped => {
                room.set_stopped(true);
                tracing::error!(
                    free,
                    least,
                    "storing is stopped: too little space is free; free some, it goes on by itself"
                );
            }
            _ if went_on => {
                tracing::info!(free, refused = room.refused(), "storing goes on: enough space is free again");
            }
            Space::Low => {
                tracing::warn!(free, least, "space runs low: storing stops when less than the least is free");
            }
            Space::Enough => tracing::info!(free, "enough space is free again"),
        }
    };
    look();
    let work = move || {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            look();
        }
    };
    let thread = Builder::new().name(THREAD.into()).spawn(work);
    let thread = thread.map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
    Ok(SpaceHandle { stop, thread })
}

impl SpaceHandle {
    /// Ends the thread.
    pub(crate) fn close(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that looks for free space had ended before it was stopped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_stops_below_the_least_and_goes_on_above_it_with_a_warning_before() {
        let mut looks = Looks { least: 800, space: Space::Enough };
        let seen: Vec<_> = [5000, 1600, 1599, 1700, 800, 799, 0, 850, 899, 900, 1700, 1800, 100, 9000]
            .into_iter()
            .filter_map(|free| looks.look(free).map(|space| (free, space)))
            .collect();
        use Space::{Enough, Low, Stopped};
        let expected = [(1599, Low), (799, Stopped), (900, Low), (1800, Enough), (100, Stopped), (9000, Enough)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn commits_stop_and_go_on_with_the_free_space() {
        let room = Arc::new(Room::new("some.db".into(), None));
        let (tell, answers) = channel();
        let free = move || answers.recv().map_err(io::Error::other);
        tell.send(100).unwrap();
        let handle = watch(Arc::clone(&room), Arc::default(), 256, free).unwrap();
        room.admit(1).unwrap_err();
        tell.send(10_000).unwrap();
        while room.admit(1).is_err() {
            std::thread::yield_now();
        }
        drop(tell);
        handle.close();
    }
}
