//! The durable store: a hub's state and messages, on stable storage.
//!
//! The server uses it through [`Engine`] only: it [opens](open) one, loads it, starts it, sends it the hub's commands
//! and reads, and closes it. The first engine is [`SqliteEngine`]: a database in one directory, with a thread for
//! commits.

mod age;
mod backup;
mod checkpoint;
mod checksum;
mod connection;
mod damage;
mod data_dir;
mod engine;
mod erasure;
mod error;
#[cfg(test)]
mod faulty;
mod health;
mod insert;
mod last_commit;
mod leaf_page;
#[cfg(test)]
mod memory;
mod message_key;
mod migration;
mod reader;
mod restore;
mod retention;
mod roles;
mod room;
mod rows;
mod schema;
mod sends;
mod space;
mod sqlite;
mod sqlite_engine;
mod status;
mod thread;
mod wal;
mod watch;
mod write_coordinator;

use std::sync::Arc;

use chanwire_core::{
    hub::{Snapshot, Write},
    wire::ChannelName,
};

#[cfg(test)]
pub(crate) use self::memory::{Memory, MemoryEngine};
use self::sqlite_engine::SqliteEngine;
pub(crate) use self::{
    backup::back_up,
    engine::{Done, Engine, RunningEngine, Storage, StoreConfig},
    error::{CommitError, StoreError},
    message_key::MAX_ID,
    restore::{Restored, restore},
    retention::Retention,
    room::LEAST,
    sends::SendRetention,
    space::{default_max, free},
    status::{Operation, StoreStatus},
};
#[cfg(test)]
use self::{
    retention::start_trimmer,
    sqlite::SqliteStore,
    thread::{StoreHandle, start},
};

/// Opens a store.
pub(crate) fn open(config: &StoreConfig) -> Result<Box<dyn Engine>, StoreError> {
    Ok(Box::new(SqliteEngine::open(config)?))
}

/// A store whose every call blocks until it is done, for a thread of its own.
///
/// Dropping it closes it: what it needs to do for a fast next start it does then.
trait Store: Send + 'static {
    /// Reads everything that a hub must know. Nothing of a failed commit is included.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Reads the stored state of these names, as [`load`](Self::load) does.
    fn load_names(&mut self, names: &[ChannelName]) -> Result<Snapshot, StoreError>;

    /// Makes these durable, in this order: all of them, or all but those of names that [`CommitError::Without`] gives,
    /// or none.
    ///
    /// When it returns `Ok`, they survive the loss of power. [`CommitError::Failed`] means "not known to be stored",
    /// and the next [`load_names`](Self::load_names) tells what is; but after a [refusal](StoreError::is_refusal)
    /// nothing is stored.
    fn commit(&mut self, writes: &[Write]) -> Result<(), CommitError>;

    /// Writes to stable storage as a commit does, and changes nothing.
    fn probe(&mut self) -> Result<(), StoreError>;

    /// Returns the status that its threads record.
    fn status(&self) -> Arc<StoreStatus>;
}
