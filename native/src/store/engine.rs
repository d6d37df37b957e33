//! The interface between the server and its store, whichever engine keeps it.

use std::{path::PathBuf, sync::Arc};

use chanwire_core::{
    hub::{Page, Query, ReadId, Snapshot, StoreCommand, StoreOutcome},
    wire::ChannelName,
};
use tokio::sync::mpsc;

use super::{Retention, StoreError, StoreStatus};
use crate::supervisor::Supervisor;

/// Settings of a store.
#[derive(Clone, Debug)]
pub(crate) struct StoreConfig {
    /// The directory of its files.
    pub(crate) data_dir: PathBuf,
    /// The size limit of its files in bytes; `None` for no limit.
    pub(crate) max: Option<u64>,
    /// The free bytes on the file system below which nothing is stored.
    pub(crate) min_free: u64,
    pub(crate) retention: Retention,
}

/// A store that is open and has not started.
pub(crate) trait Engine {
    /// Loads the state for a hub.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Returns the highest id that a message can have.
    fn max_id(&self) -> u64;

    /// Returns the status that its threads record.
    fn status(&self) -> Arc<StoreStatus>;

    /// Starts the store's threads or tasks, each of them watched by the supervisor.
    fn start(self: Box<Self>, done: DoneSender, supervisor: &Supervisor) -> Result<Box<dyn RunningEngine>, StoreError>;
}

/// A store that works for a hub.
pub(crate) trait RunningEngine: Storage + Send {
    /// Finishes all queued work and closes. Blocks for as long as the disk takes.
    fn close(self: Box<Self>);
}

/// The hub's interface to its store. Never blocks. Results of commands and reads come back as [`Done::Outcome`] and
/// [`Done::Page`].
pub(crate) trait Storage {
    fn store(&mut self, command: StoreCommand);
    fn read(&mut self, read: ReadId, query: Query);
    /// Keeps messages by these limits from now on.
    fn retain(&mut self, retention: Retention);
}

/// A result of a store's work, for the hub.
pub(crate) enum Done {
    /// A command was carried out.
    Outcome(StoreOutcome),
    /// A read was carried out.
    Page(ReadId, Page),
    /// Retention has dropped a channel's messages below this id.
    Trimmed { channel_name: ChannelName, first_id: u64 },
}

/// Sends results to the hub task. Unbounded, because the hub asks for one command and a few pages at a time.
pub(crate) type DoneSender = mpsc::UnboundedSender<Done>;
