//! Reads messages while commits go on.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
};

use chanwire_core::{
    hub::{Page, Query, ReadId},
    wire::{HistoryRange, StoredMessage},
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    StoreError,
    connection::connect_beside,
    damage::DamageLog,
    health::{Failure, Health, guard},
    message_key::key_range,
    rows::{self, LogRow, MESSAGE, MessageChecksums, RowError},
    status::{Operation, StoreStatus},
    thread::PROBE,
    watch::Watch,
};

const THREAD: &str = "store-reader";

static ASCENDING: LazyLock<String> = LazyLock::new(|| select("ASC"));
static DESCENDING: LazyLock<String> = LazyLock::new(|| select("DESC"));

fn select(order: &str) -> String {
    format!("SELECT {MESSAGE} FROM messages WHERE place BETWEEN ?1 AND ?2 ORDER BY place {order}")
}

/// A connection that reads committed messages and never waits for a commit.
pub(crate) struct SqliteReader {
    connection: Connection,
    file: PathBuf,
    watch: Arc<Watch>,
    damage: Arc<DamageLog>,
    status: Arc<StoreStatus>,
}

impl SqliteReader {
    pub(super) fn open(
        file: &Path,
        watch: Arc<Watch>,
        damage: Arc<DamageLog>,
        status: Arc<StoreStatus>,
    ) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::sqlite("open", file)(cause);
        let connection = connect_beside(file).map_err(failed)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(Self { connection, file: file.to_owned(), watch, damage, status })
    }

    /// Reads from the database, as a query does.
    fn probe(&self) -> Result<(), StoreError> {
        self.watch.check_database(&self.connection)?;
        let newest = "SELECT COUNT(*) FROM (SELECT place FROM messages ORDER BY place DESC LIMIT 1)";
        let read = self.connection.query_row(newest, [], |row| row.get::<_, i64>(0));
        read.map(drop).map_err(StoreError::sqlite("read", &self.file))
    }

    /// Reads a query's messages in order of their ids.
    pub(crate) fn read(&self, query: &Query) -> Result<Vec<StoredMessage>, StoreError> {
        self.watch.check_database(&self.connection)?;
        self.select(query).map_err(RowError::at("read", &self.file))
    }

    fn select(&self, query: &Query) -> Result<Vec<StoredMessage>, RowError> {
        // One transaction, so that the log's row and the messages are consistent.
        let reading = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let Some(log) = LogRow::find(&reading, &query.channel_name)? else { return Ok(Vec::new()) };
        let (first, last) = match query.range {
            HistoryRange::After(id) => (log.first_id.max(id.saturating_add(1)), log.last_id),
            HistoryRange::Before(id) => (log.first_id, log.last_id.min(id.saturating_sub(1))),
            HistoryRange::Last => (log.first_id, log.last_id),
        };
        let oldest_first = matches!(query.range, HistoryRange::After(_));
        let mut select = reading.prepare_cached(if oldest_first { &ASCENDING } else { &DESCENDING })?;
        let mut rows = select.query(key_range(log.log, first..=last).into_inner())?;
        let mut checksums = MessageChecksums::new(&log.name);
        let mut ids = first..=last;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < query.limit
            && bytes < query.max_bytes
            && let Some(expected) = if oldest_first { ids.next() } else { ids.next_back() }
        {
            let message = match rows.next()? {
                Some(row) => rows::message(row, &query.channel_name, &mut checksums)?,
                None => return Err(rows::missing(&query.channel_name, expected)),
            };
            if message.id != expected {
                return Err(rows::missing(&query.channel_name, expected));
            }
            bytes += message.username.len() + message.message_content.len();
            messages.push(message);
        }
        if !oldest_first {
            messages.reverse();
        }
        Ok(messages)
    }
}

/// A reader on its own thread.
#[must_use = "the reader is closed in order only by `close`"]
pub(crate) struct ReaderHandle {
    queries: Sender<(ReadId, Query)>,
    thread: JoinHandle<()>,
}

/// Gives a reader its own thread. `pages` is called there, once for each query, in their order.
///
/// # Errors
///
/// If the system refuses the thread.
pub(crate) fn start_reader(
    reader: SqliteReader,
    pages: impl Fn(ReadId, Page) + Send + 'static,
) -> Result<ReaderHandle, StoreError> {
    let (queries, inbox) = channel::<(ReadId, Query)>();
    let mut health = Health::new(Operation::Read, Arc::clone(&reader.status));
    let work = move || {
        loop {
            let query = match health.is_failing() {
                true => inbox.recv_timeout(PROBE),
                false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let (read, query) = match query {
                Ok(query) => query,
                Err(RecvTimeoutError::Timeout) => {
                    health.attempt(|| reader.probe());
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let result = guard(|| Ok(query.found(reader.read(&query)?)));
            match &result {
                Err(Failure::Store(error @ StoreError::Damaged { .. })) => reader.damage.messages(error),
                _ => health.observe(&result),
            }
            pages(read, result.ok());
        }
    };
    let thread = Builder::new().name(THREAD.into()).spawn(work);
    let thread = thread.map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
    Ok(ReaderHandle { queries, thread })
}

impl ReaderHandle {
    /// Queues a query; never blocks. Returns `false` if the thread has ended, so that no page will come.
    pub(crate) fn send(&self, read: ReadId, query: Query) -> bool {
        self.queries.send((read, query)).is_ok()
    }

    /// Waits until the queued queries are done and the thread has ended.
    pub(crate) fn close(self) {
        drop(self.queries);
        if self.thread.join().is_err() {
            tracing::error!("the store's reader had ended before it was stopped");
        }
    }
}

#[cfg(test)]
mod tests;
