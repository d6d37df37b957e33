//! Retention: drops each channel's oldest messages beyond its limits, concurrently with commits.

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use chanwire_core::wire::{ChannelName, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    StoreError,
    age::{AgeClock, Waits, is_ahead},
    checkpoint,
    connection::connect_beside,
    damage::DamageLog,
    health::Health,
    message_key::{MAX_ID, id_of, key_range, oldest_key_sql},
    room::Room,
    rows::{LogRow, RowError, id, integer},
    sends::{self, SendAges, SendRetention},
    status::{Operation, StoreStatus},
    watch::Watch,
    write_coordinator::WriteCoordinator,
};
use crate::clock::{since_boot, wall_time};

const THREAD: &str = "store-retention";

/// The bytes counted for a message besides its texts: about those of its key and time.
const OVERHEAD: u64 = 24;

/// The most that one transaction drops, since commits wait for it, and since the pages that it overwrites make the WAL
/// longer: see [`RETENTION_FRAMES`](super::room::RETENTION_FRAMES).
const BATCH_MESSAGES: u32 = 256;
const BATCH_BYTES: u64 = 512 * 1024;
/// The most messages that one transaction drops when commits need room, for which they wait anyway.
const ROOM_MESSAGES: u32 = 2048;

/// The most transactions that drop keys in one pass, so that a backlog of keys holds up no messages.
const SEND_BATCHES: usize = 32;

/// The count of the largest logs that are looked up at one time.
const LARGEST: usize = 64;

/// The time for which growing channels are left alone, so that their excess is dropped together.
const PAUSE: Duration = Duration::from_millis(250);

/// The time between two looks at every channel: at least so often, so that what failed is tried again, and for ages at
/// most so often.
const SCAN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// The limits of each channel. A message goes when one of these says so; its channel's last id stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// The count of messages.
    pub(crate) count: Option<u64>,
    /// The age of messages.
    pub(crate) age: Option<Duration>,
    /// The bytes of messages, counted by [`size`].
    pub(crate) bytes: Option<u64>,
    /// The limits of the keys of messages, over all channels.
    pub(crate) sends: SendRetention,
}

/// Returns the bytes that a message counts.
pub(super) fn size(username: &str, message_content: &str) -> u64 {
    [username, message_content].iter().fold(OVERHEAD, |sum, text| sum.saturating_add(text.len() as u64))
}

impl Retention {
    /// Returns the time before which messages are too old.
    fn oldest(&self, now: Timestamp) -> i64 {
        let age = self.age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        age.map_or(i64::MIN, |age| now.as_unix().saturating_sub(age))
    }

    fn scan_every(&self) -> Duration {
        self.age.map_or(SCAN.1, |age| (age / 10).clamp(SCAN.0, SCAN.1))
    }
}

/// A connection that drops messages.
pub(crate) struct Trimmer {
    connection: Connection,
    file: PathBuf,
    retention: Retention,
    coordinator: Arc<WriteCoordinator>,
    room: Arc<Room>,
    watch: Arc<Watch>,
    damage: Arc<DamageLog>,
    status: Arc<StoreStatus>,
    ages: Option<Ages>,
    send_ages: SendAges,
    /// The frames of the WAL after this connection's last transaction.
    frames: Arc<AtomicU32>,
}

/// The state of retention by age.
struct Ages {
    age: Duration,
    clock: AgeClock,
    waits: Waits,
    /// The time of the last look at the waits.
    at: Duration,
}

/// A reason to drop messages.
#[derive(Clone, Copy)]
enum Reason {
    /// The channel has more than it may, at this time.
    Due(Timestamp),
    /// Another message needs the room.
    Room,
}

/// The messages that one transaction has dropped, or is to drop.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    channel_name: ChannelName,
    /// The oldest message that stays.
    first_id: u64,
    messages: u64,
    bytes: u64,
}

impl Trimmer {
    pub(super) fn open(
        file: &Path,
        retention: Retention,
        coordinator: Arc<WriteCoordinator>,
        room: Arc<Room>,
        watch: Arc<Watch>,
        (damage, status): (Arc<DamageLog>, Arc<StoreStatus>),
    ) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::sqlite("open", file)(cause);
        let mut connection = connect_beside(file).map_err(failed)?;
        // Not synced with the write lock held: messages that reappear after a crash are dropped again.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        let frames = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&frames);
        let hook = move |_: &mut _, length| {
            counted.store(u32::try_from(length).unwrap_or_default(), Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(failed)?;
        room.prepare(&connection).map_err(failed)?;
        let (file, ages, send_ages) = (file.to_owned(), None, SendAges::default());
        let mut trimmer =
            Self { connection, file, retention, coordinator, room, watch, damage, status, ages, send_ages, frames };
        trimmer.ages = trimmer.ages(wall_time()).map_err(failed)?;
        Ok(trimmer)
    }

    fn ages(&self, wall: Timestamp) -> rusqlite::Result<Option<Ages>> {
        let Some(age) = self.retention.age else { return Ok(None) };
        let newest = "SELECT MAX(last_timestamp) FROM logs WHERE last_id >= first_id AND last_timestamp <= ?1";
        let newest = self.connection.query_row(newest, [wall.as_unix()], |row| row.get(0))?;
        let at = since_boot();
        let clock = AgeClock::start(wall.as_unix(), newest, age, at);
        Ok(Some(Ages { age, clock, waits: Waits::default(), at }))
    }

    /// Replaces the limits. Where that fails, it is tried again.
    fn set_retention(&mut self, retention: Retention) -> Result<(), StoreError> {
        if retention.age != self.retention.age {
            let before = mem::replace(&mut self.retention, retention);
            match self.ages(wall_time()) {
                Ok(ages) => self.ages = ages,
                Err(cause) => {
                    self.retention = before;
                    self.coordinator.retain(retention);
                    return Err(StoreError::sqlite("read", &self.file)(cause));
                }
            }
        }
        self.retention = retention;
        Ok(())
    }

    /// Returns the time by which messages are old now, and looks after those whose own time is ahead of it.
    fn look(&mut self, wall: Timestamp, at: Duration) -> Result<Timestamp, StoreError> {
        let Some(mut ages) = self.ages.take() else { return Ok(wall) };
        let now = ages.clock.advance(wall.as_unix(), at);
        let looked = self.look_ahead(&mut ages, now, at);
        self.ages = Some(ages);
        looked.map_err(StoreError::sqlite("read", &self.file))?;
        Ok(Timestamp::from_unix(now))
    }

    fn look_ahead(&self, ages: &mut Ages, now: i64, at: Duration) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT logs.log, oldest.place & {MAX_ID}, last_id, name, oldest.timestamp
             FROM logs JOIN messages AS oldest ON oldest.place = {} WHERE oldest.timestamp > ?1",
            oldest_key_sql()
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query([now])?;
        let (mut ahead, mut names) = (BTreeMap::new(), BTreeMap::<i64, _>::new());
        while let Some(row) = rows.next()? {
            let timestamp = row.get(4)?;
            if is_ahead(timestamp, now) {
                ahead.insert(row.get(0)?, (id(row, 1)?, id(row, 2)?));
                names.insert(row.get(0)?, (row.get::<_, String>(3)?, timestamp));
            }
        }
        for log in ages.waits.update(at.saturating_sub(ages.at), ages.age, &ahead) {
            if let Some((name, timestamp)) = names.get(&log) {
                tracing::warn!(
                    channel = ?name,
                    timestamp = %Timestamp::from_unix(*timestamp),
                    "the oldest message's time is ahead of the clock: it and those behind it are dropped --retain-age from now"
                );
            }
        }
        ages.at = at;
        Ok(())
    }

    /// Returns the newest message of a log that is too old though its own time is ahead of the clock.
    fn waited(&self, log: i64) -> u64 {
        self.ages.as_ref().map_or(0, |ages| ages.waits.expired_up_to(log, ages.age))
    }

    /// Finds the logs beyond their limits.
    fn due(&self, now: Timestamp) -> Result<BTreeSet<i64>, StoreError> {
        self.select_due(now).map_err(StoreError::sqlite("read", &self.file))
    }

    fn select_due(&self, now: Timestamp) -> rusqlite::Result<BTreeSet<i64>> {
        let most = |limit: Option<u64>| limit.map_or(Ok(i64::MAX), integer);
        let sql = format!(
            "SELECT logs.log FROM logs JOIN messages AS oldest ON oldest.place = {}
             WHERE logs.bytes > ?1 OR logs.last_id - (oldest.place & {MAX_ID}) >= ?2 OR oldest.timestamp < ?3",
            oldest_key_sql()
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let limits = (most(self.retention.bytes)?, most(self.retention.count)?, self.retention.oldest(now));
        let mut due: BTreeSet<i64> = select.query_map(limits, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        due.extend(self.ages.iter().flat_map(|ages| ages.waits.logs()));
        Ok(due)
    }

    /// Returns the next messages to drop from a log, at most as many as one transaction may drop. Only this
    /// connection drops, so an excess cannot vanish meanwhile.
    fn cut(&self, log: i64, reason: Reason) -> Result<Option<Cut>, RowError> {
        let reading = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        let Some(LogRow { name: channel_name, last_id, bytes: all, .. }) = LogRow::get(&reading, log)? else {
            return Ok(None);
        };
        let mut select = reading.prepare_cached(
            "SELECT place, timestamp, octet_length(username) + octet_length(content) FROM messages
             WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3",
        )?;
        let (first, last) = key_range(log, 1..=MAX_ID).into_inner();
        let messages = match reason {
            Reason::Due(_) => BATCH_MESSAGES,
            Reason::Room => ROOM_MESSAGES,
        };
        let mut rows = select.query((first, last, messages))?;
        let waited = self.waited(log);
        let mut cut = Cut { channel_name, first_id: 0, messages: 0, bytes: 0 };
        let (mut count, mut passed) = (0, 0);
        while let Some(row) = rows.next()?
            && passed < BATCH_BYTES
        {
            let (message, timestamp) = (id_of(row.get(0)?), row.get::<_, i64>(1)?);
            let is_due = |now: Timestamp| {
                let too_many = self.retention.count.is_some_and(|count| last_id.saturating_sub(message) >= count);
                let too_much = self.retention.bytes.is_some_and(|bytes| all.saturating_sub(passed) > bytes);
                too_many || too_much || timestamp < self.retention.oldest(now) || message <= waited
            };
            let (goes, is_ahead) = match reason {
                Reason::Due(now) => (is_due(now), self.ages.is_some() && is_ahead(timestamp, now.as_unix())),
                Reason::Room => (true, false),
            };
            count += 1;
            passed += id(row, 2)? + OVERHEAD;
            if goes {
                // With all before it, whatever their times are.
                (cut.first_id, cut.messages, cut.bytes) = (message + 1, count, passed);
            } else if !is_ahead {
                break;
            }
        }
        Ok((cut.first_id > 0).then_some(cut))
    }

    /// Drops the messages before a cut. Returns `false` if the log's row is damaged.
    fn drop_below(&self, log: i64, cut: &Cut, now: Timestamp) -> Result<bool, StoreError> {
        let _lock = self.coordinator.lock();
        self.watch.check(&self.connection)?;
        let dropped = self.if_sound(self.delete(log, cut, now));
        self.wrote(matches!(dropped, Ok(Some(()))));
        Ok(dropped?.is_some())
    }

    /// Notes the WAL's length after a transaction, with the write lock held.
    fn wrote(&self, is_stored: bool) {
        let frames = is_stored.then(|| self.frames.load(Relaxed));
        self.watch.wrote(frames);
        if let Some(frames) = frames {
            self.room.note_frames(frames);
        }
    }

    /// Skips a log whose row is damaged, so that the others are still trimmed.
    fn if_sound<T>(&self, done: Result<T, RowError>) -> Result<Option<T>, StoreError> {
        match done {
            Err(RowError::Row(row)) => {
                self.damage.rows(&[row]);
                Ok(None)
            }
            done => done.map(Some).map_err(RowError::at("drop old messages of", &self.file)),
        }
    }

    fn delete(&self, log: i64, cut: &Cut, now: Timestamp) -> Result<(), RowError> {
        let writing = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let dropped = key_range(log, 1..=cut.first_id.saturating_sub(1)).into_inner();
        // Some may have been deleted since the cut was found, and have fewer bytes.
        let bytes = format!(
            "SELECT COALESCE(SUM(octet_length(username) + octet_length(content) + {OVERHEAD}), 0) FROM messages
             WHERE place BETWEEN ?1 AND ?2"
        );
        let bytes = writing.prepare_cached(&bytes)?.query_row(dropped, |row| id(row, 0))?;
        writing.prepare_cached("DELETE FROM messages WHERE place BETWEEN ?1 AND ?2")?.execute(dropped)?;
        if let Some(mut row) = LogRow::get(&writing, log)? {
            (row.first_id, row.bytes) = (cut.first_id, row.bytes.saturating_sub(bytes));
            row.since = row.since.max(now.as_unix());
            row.write(&writing)?;
        }
        self.room.measure(&writing)?;
        Ok(writing.commit()?)
    }

    /// Drops a part of a log's excess, if it has any.
    fn trim(&self, log: i64, now: Timestamp) -> Result<Option<Cut>, StoreError> {
        if self.has_wal_room()? { self.drop_some(log, Reason::Due(now), now) } else { Ok(None) }
    }

    fn drop_some(&self, log: i64, reason: Reason, now: Timestamp) -> Result<Option<Cut>, StoreError> {
        let Some(cut) = self.if_sound(self.cut(log, reason))?.flatten() else { return Ok(None) };
        if !self.drop_below(log, &cut, now)? {
            return Ok(None);
        }
        self.keep_wal_short()?;
        Ok(Some(cut))
    }

    /// Drops the excess of these logs in parts, and reports the oldest message after each part. Pauses as long as it
    /// works, so that commits have at least half of the time.
    fn trim_all(
        &self,
        logs: BTreeSet<i64>,
        now: Timestamp,
        tell: &impl Fn(ChannelName, u64),
    ) -> Result<(), StoreError> {
        for log in logs {
            let mut began = Instant::now();
            while let Some(cut) = self.trim(log, now)? {
                tell(cut.channel_name, cut.first_id);
                self.make_room(now, tell)?;
                if !self.coordinator.pause(began.elapsed()) {
                    return Ok(());
                }
                began = Instant::now();
            }
        }
        Ok(())
    }

    /// Drops keys that are past their window or too many, in parts, pausing as [`trim_all`](Self::trim_all) does. Returns
    /// whether some are left for the next pass.
    fn drop_sends(
        &mut self,
        (wall, at): (Timestamp, Duration),
        tell: &impl Fn(ChannelName, u64),
    ) -> Result<bool, StoreError> {
        let file = self.file.clone();
        let failed = || StoreError::sqlite("drop old keys of", &file);
        self.send_ages.advance(&self.connection, self.retention.sends.window, at).map_err(failed())?;
        for _ in 0..SEND_BATCHES {
            self.make_room(wall, tell)?;
            let began = Instant::now();
            let due = sends::due(&self.connection, self.retention.sends, &self.send_ages, wall).map_err(failed())?;
            if due.is_empty() {
                return Ok(false);
            }
            if !self.has_wal_room()? {
                return Ok(true);
            }
            let lock = self.coordinator.lock();
            self.watch.check(&self.connection)?;
            let dropped = self.delete_sends(&due);
            self.wrote(dropped.is_ok());
            let newest = dropped.and_then(|()| sends::newest(&self.connection));
            drop(lock);
            self.send_ages.fall_back(newest.map_err(failed())?);
            self.keep_wal_short()?;
            if !self.coordinator.pause(began.elapsed()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn delete_sends(&self, due: &[i64]) -> rusqlite::Result<()> {
        let writing = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        sends::drop_due(&writing, due)?;
        self.room.measure(&writing)?;
        writing.commit()
    }

    /// Returns whether the WAL has room for a transaction, after an attempt to move it if it has none. It has none while
    /// another program reads from it for long, and then the next pass tries again.
    fn has_wal_room(&self) -> Result<bool, StoreError> {
        if !self.room.is_wal_full() {
            return Ok(true);
        }
        let moved = checkpoint::passive(&self.connection, &self.file, &self.watch)?;
        Ok(self.room.note_moved(moved))
    }

    /// Moves the WAL if no commit has it moved.
    fn keep_wal_short(&self) -> Result<(), StoreError> {
        if self.frames.load(Relaxed) >= checkpoint::left_alone(self.room.long()) {
            checkpoint::passive(&self.connection, &self.file, &self.watch)?;
            self.frames.store(0, Relaxed);
        }
        Ok(())
    }

    /// Drops the oldest messages of the largest logs while commits need their room.
    fn make_room(&self, now: Timestamp, tell: &impl Fn(ChannelName, u64)) -> Result<(), StoreError> {
        if !self.room.is_short() {
            return Ok(());
        }
        let mut dropped = 0;
        while !self.room.is_enough() && self.has_wal_room()? {
            let largest = self.largest().map_err(StoreError::sqlite("read", &self.file))?;
            // Other logs may be as large as the last one of these.
            let least =
                if largest.len() < LARGEST { 0 } else { largest.iter().map(|(bytes, _)| *bytes).min().unwrap_or(0) };
            let mut largest: BinaryHeap<(u64, i64)> = largest.into();
            let before = dropped;
            while !self.room.is_enough()
                && self.has_wal_room()?
                && let Some((bytes, log)) = largest.pop().filter(|(bytes, _)| *bytes >= least)
            {
                let Some(cut) = self.drop_some(log, Reason::Room, now)? else { continue };
                dropped += cut.bytes;
                self.status.evict(cut.messages);
                largest.push((bytes.saturating_sub(cut.bytes), log));
                tell(cut.channel_name, cut.first_id);
                if !self.coordinator.pause(Duration::ZERO) {
                    return Ok(());
                }
            }
            if dropped == before {
                // Nothing is left to drop.
                break;
            }
        }
        tracing::debug!(dropped, "dropped the oldest messages of the largest channels: the store is full");
        Ok(())
    }

    fn largest(&self) -> rusqlite::Result<Vec<(u64, i64)>> {
        let sql = format!("SELECT bytes, log FROM logs WHERE last_id >= first_id ORDER BY bytes DESC LIMIT {LARGEST}");
        let mut select = self.connection.prepare_cached(&sql)?;
        select.query_map([], |row| Ok((id(row, 0)?, row.get(1)?)))?.collect()
    }

    /// Trims until it is closed.
    fn run(mut self, tell: &impl Fn(ChannelName, u64)) {
        let mut health = Health::new(Operation::Retention, Arc::clone(&self.status));
        let mut next_scan = Instant::now();
        let mut now = wall_time();
        let mut has_old_sends = false;
        loop {
            // Work that the WAL or the number of transactions in a pass has held up goes on after the pause.
            let is_held_up = has_old_sends || self.room.is_short() && self.room.is_wal_full();
            let end = if is_held_up { Instant::now() } else { next_scan };
            let Some(grown) = self.coordinator.wait_for_growth(end) else { return };
            let retention = self.coordinator.take_retention();
            let is_scan = Instant::now() >= next_scan || retention.is_some();
            if is_scan {
                next_scan = Instant::now() + retention.unwrap_or(self.retention).scan_every();
            }
            has_old_sends = false;
            health.attempt(|| {
                if let Some(retention) = retention {
                    self.set_retention(retention)?;
                }
                self.make_room(now, tell)?;
                let logs = if is_scan {
                    now = self.look(wall_time(), since_boot())?;
                    self.due(now)?
                } else {
                    grown
                };
                let trimmed = self.trim_all(logs, now, tell);
                // The keys are another table: messages are dropped though the keys cannot be, and keys though a
                // message cannot be.
                has_old_sends = self.drop_sends((wall_time(), since_boot()), tell)?;
                trimmed
            });
            if !self.coordinator.pause(PAUSE) {
                return;
            }
        }
    }
}

/// A trimmer on its own thread.
#[must_use = "the trimmer is closed in order only by `close`"]
pub(crate) struct TrimmerHandle {
    coordinator: Arc<WriteCoordinator>,
    thread: JoinHandle<()>,
}

/// Gives a trimmer its own thread. `trimmed` is called there with a channel's name and the id of its oldest message,
/// after older ones were dropped.
///
/// # Errors
///
/// If the system refuses the thread.
pub(crate) fn start_trimmer(
    trimmer: Trimmer,
    trimmed: impl Fn(ChannelName, u64) + Send + 'static,
) -> Result<TrimmerHandle, StoreError> {
    let coordinator = Arc::clone(&trimmer.coordinator);
    let thread = Builder::new().name(THREAD.into()).spawn(move || trimmer.run(&trimmed));
    let thread = thread.map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
    Ok(TrimmerHandle { coordinator, thread })
}

impl TrimmerHandle {
    /// Keeps messages by these limits from now on.
    pub(super) fn retain(&self, retention: Retention) {
        self.coordinator.retain(retention);
    }

    /// Waits until the trimmer's current transaction is done and its thread has ended.
    pub(crate) fn close(self) {
        self.coordinator.close();
        if self.thread.join().is_err() {
            tracing::error!("retention had ended before it was stopped");
        }
    }
}

#[cfg(test)]
mod tests;
