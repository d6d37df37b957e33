//! The durable store: what a hub must not forget, kept on stable storage.
//!
//! [`SqliteStore`] keeps it in one directory; [`start`] gives a store its own thread, where its commits block nobody
//! but itself.

mod age;
mod backup;
mod checkpoint;
mod checksum;
mod damage;
mod data_dir;
mod error;
#[cfg(test)]
mod faulty;
mod health;
mod last_commit;
mod place;
mod reader;
mod restore;
mod retention;
mod room;
mod rows;
mod schema;
mod space;
mod sqlite;
mod thread;
mod turns;
mod wal;
mod watch;

use chanwire_core::hub::{Snapshot, Write};

pub(crate) use self::{
    backup::back_up,
    error::{CommitError, StoreError},
    place::MAX_ID,
    reader::{ReaderHandle, SqliteReader, start_reader},
    restore::{Restored, restore},
    retention::{Retention, Trimmer, TrimmerHandle, start_trimmer},
    room::LEAST,
    space::{SpaceHandle, default_max},
    sqlite::SqliteStore,
    thread::{StoreHandle, start},
};

/// What keeps a hub's state.
///
/// Dropping it closes it: what it needs to do for a fast next start it does then.
pub(crate) trait Store: Send + 'static {
    /// Reads back everything that a hub must know: what is stored, and nothing of a commit that failed.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Reads what is stored of these names, as [`load`](Self::load) does.
    fn load_names(&mut self, names: &[String]) -> Result<Snapshot, StoreError>;

    /// Makes these durable, in this order: all of them, or all but those of names that [`CommitError::Without`] gives, or
    /// none.
    ///
    /// When it returns `Ok`, they survive the loss of power. [`CommitError::Failed`] means "not known to be stored", and
    /// the next [`load_names`](Self::load_names) tells what is.
    fn commit(&mut self, writes: &[Write]) -> Result<(), CommitError>;
}
