//! Reads messages while commits go on.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread::{Builder, JoinHandle},
};

use chanwire_core::{
    hub::{Page, Query, ReadId},
    wire::{HistoryRange, StoredMessage, Timestamp},
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    StoreError,
    health::Health,
    place::{id_at, places},
    sqlite::connect_beside,
    watch::Watch,
};

const THREAD: &str = "store-reader";

/// A connection that sees what is committed, and never waits for a commit.
pub(crate) struct SqliteReader {
    connection: Connection,
    file: PathBuf,
    watch: Arc<Watch>,
}

impl SqliteReader {
    pub(super) fn open(file: &Path, watch: Arc<Watch>) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::sqlite("open", file)(cause);
        let connection = connect_beside(file).map_err(failed)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(Self { connection, file: file.to_owned(), watch })
    }

    /// The messages that a query asks for, in order of their ids.
    pub(crate) fn read(&self, query: &Query) -> Result<Vec<StoredMessage>, StoreError> {
        self.watch.check_database(&self.connection)?;
        self.select(query).map_err(StoreError::sqlite("read", &self.file))
    }

    fn select(&self, query: &Query) -> rusqlite::Result<Vec<StoredMessage>> {
        // A name keeps its log for ever, so the two statements need not see the same commit.
        let mut select = self.connection.prepare_cached("SELECT log FROM logs WHERE name = ?1")?;
        let Some(log) = select.query_row([&query.channel_name], |row| row.get(0)).optional()? else {
            return Ok(Vec::new());
        };
        let (places, order) = match query.range {
            HistoryRange::After(id) => (places(log, id.saturating_add(1)..=u64::MAX), "ASC"),
            HistoryRange::Before(id) => (places(log, 1..=id.saturating_sub(1)), "DESC"),
            HistoryRange::Last => (places(log, 1..=u64::MAX), "DESC"),
        };
        let sql = format!(
            "SELECT place, timestamp, username, content FROM messages WHERE place BETWEEN ?1 AND ?2 ORDER BY place {order}"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query(places.into_inner())?;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < query.limit
            && bytes < query.max_bytes
            && let Some(row) = rows.next()?
        {
            let message = message(row, &query.channel_name)?;
            bytes += message.username.len() + message.message_content.len();
            messages.push(message);
        }
        if order == "DESC" {
            messages.reverse();
        }
        Ok(messages)
    }
}

fn message(row: &Row<'_>, channel_name: &str) -> rusqlite::Result<StoredMessage> {
    Ok(StoredMessage {
        channel_name: channel_name.to_owned(),
        id: id_at(row.get(0)?),
        username: row.get(2)?,
        message_content: row.get(3)?,
        timestamp: Timestamp::from_unix(row.get(1)?),
    })
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
    let mut health = Health::new("read");
    let work = move || {
        for (read, query) in inbox {
            let result = reader.read(&query);
            health.observe(&result);
            pages(read, result.ok());
        }
    };
    let thread = Builder::new().name(THREAD.into()).spawn(work);
    let thread = thread.map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
    Ok(ReaderHandle { queries, thread })
}

impl ReaderHandle {
    /// Hands the reader its next query. It never blocks. `false` if the thread is gone: no page will come.
    pub(crate) fn send(&self, read: ReadId, query: Query) -> bool {
        self.queries.send((read, query)).is_ok()
    }

    /// Lets the reader finish the queries that it was given, and waits for that.
    pub(crate) fn close(self) {
        drop(self.queries);
        if self.thread.join().is_err() {
            tracing::error!("the store's reader had ended before it was told to");
        }
    }
}

#[cfg(test)]
mod tests;
