//! The engine that keeps a store in a SQLite database: a thread for commits, one for reads, one for retention, and one
//! that looks for free space.

use std::sync::Arc;

use chanwire_core::hub::{Query, ReadId, Snapshot, StoreCommand, StoreOutcome};

use super::{
    Store as _, StoreError,
    engine::{Done, DoneSender, Engine, RunningEngine, Storage, StoreConfig},
    message_key::MAX_ID,
    reader::{ReaderHandle, SqliteReader, start_reader},
    retention::{Retention, Trimmer, TrimmerHandle, start_trimmer},
    space::SpaceHandle,
    sqlite::SqliteStore,
    status::StoreStatus,
    thread::{StoreHandle, start},
};
use crate::supervisor::{Part, Supervisor};

/// A SQLite store that is open and has not started. It looks for free space already.
pub(super) struct SqliteEngine {
    store: SqliteStore,
    space: SpaceHandle,
    reader: SqliteReader,
    trimmer: Trimmer,
}

impl SqliteEngine {
    pub(super) fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let mut store = SqliteStore::open_within(&config.data_dir, config.max)?;
        store.limit_sends(config.retention.sends);
        let space = store.watch_space(config.min_free)?;
        let (reader, trimmer) = (store.reader()?, store.trimmer(config.retention)?);
        Ok(Self { store, space, reader, trimmer })
    }
}

impl Engine for SqliteEngine {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.store.load()
    }

    fn max_id(&self) -> u64 {
        MAX_ID
    }

    fn status(&self) -> Arc<StoreStatus> {
        self.store.status()
    }

    fn start(self: Box<Self>, done: DoneSender, supervisor: &Supervisor) -> Result<Box<dyn RunningEngine>, StoreError> {
        let Self { store, space, reader, trimmer } = *self;
        // Each closure is dropped when its thread ends.
        let (outcomes, vital) = (done.clone(), supervisor.vital(Part::Store));
        let store = start(store, move |outcome| {
            vital.beat();
            let _ = outcomes.send(Done::Outcome(outcome));
        })?;
        let (pages, vital) = (done.clone(), supervisor.vital(Part::Reader));
        let reader = start_reader(reader, move |read, page| {
            vital.beat();
            let _ = pages.send(Done::Page(read, page));
        })?;
        let (trims, vital) = (done.clone(), supervisor.vital(Part::Retention));
        let trimmer = start_trimmer(trimmer, move |channel_name, first_id| {
            vital.beat();
            let _ = trims.send(Done::Trimmed { channel_name, first_id });
        })?;
        Ok(Box::new(RunningSqlite { store, space, reader, trimmer, done }))
    }
}

/// The threads of a SQLite store.
struct RunningSqlite {
    store: StoreHandle,
    space: SpaceHandle,
    reader: ReaderHandle,
    trimmer: TrimmerHandle,
    done: DoneSender,
}

impl Storage for RunningSqlite {
    fn store(&mut self, command: StoreCommand) {
        if self.store.send(command).is_err() {
            let _ = self.done.send(Done::Outcome(StoreOutcome::Failed));
        }
    }

    fn read(&mut self, read: ReadId, query: Query) {
        if !self.reader.send(read, query) {
            let _ = self.done.send(Done::Page(read, None));
        }
    }

    fn retain(&mut self, retention: Retention) {
        self.trimmer.retain(retention);
    }
}

impl RunningEngine for RunningSqlite {
    fn close(self: Box<Self>) {
        self.trimmer.close();
        self.reader.close();
        self.space.close();
        self.store.close();
    }
}
