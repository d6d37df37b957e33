//! The keys of messages that clients may send again, in the order of the commits. Each outlives its message.

mod row;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    ops::{ControlFlow, RangeInclusive},
    time::Duration,
};

use chanwire_core::{
    hub::{HubLimits, MAX_COMMIT, SendKey, SendRecord, Snapshot},
    wire::{ChannelName, StoredMessage, Timestamp},
};
use rusqlite::{Connection, OptionalExtension as _, Params};

use self::row::{COLUMNS, SendRow, StoredKey};
use super::{
    message_key::{id_of, log_of},
    rows::{DamagedRow, LogRow, RowError},
};

pub(super) const TABLE: &str = "sends";

/// The most rows that one transaction drops.
pub(super) const BATCH: usize = 64;

/// The oldest rows that are looked at when some are dropped. Those behind more rows than this that stay wait for these.
const LOOKED_AT: i64 = 1024;

/// The limits of the keys that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendRetention {
    /// The time for which a key is kept.
    pub(crate) window: Duration,
    /// The count of keys.
    pub(crate) max_keys: usize,
}

impl SendRetention {
    /// Returns the limits of what a hub knows.
    pub(crate) const fn of(limits: &HubLimits) -> Self {
        Self { window: limits.retry_window, max_keys: limits.max_send_keys }
    }

    fn max_keys(&self) -> i64 {
        i64::try_from(self.max_keys).unwrap_or(i64::MAX)
    }
}

/// Returns the bytes that a key takes: its texts, and about those of its numbers.
pub(super) fn size(key: &SendKey) -> u64 {
    const OVERHEAD: u64 = 40;
    let sender: usize = key.sender.parts().iter().map(|part| part.len()).sum();
    OVERHEAD + (sender + key.client_message_id.len()) as u64
}

/// A key to be inserted, and its message with the key of its row.
pub(super) struct NewSend<'w> {
    pub(super) place: i64,
    pub(super) message: &'w StoredMessage,
    pub(super) key: &'w SendKey,
}

/// Appends keys.
pub(super) fn insert<'w>(connection: &Connection, sends: impl Iterator<Item = NewSend<'w>>) -> rusqlite::Result<()> {
    let mut sends = sends.peekable();
    if sends.peek().is_none() {
        return Ok(());
    }
    let mut row = SendRow::after(newest(connection)?);
    for NewSend { place, message, key } in sends {
        row.add(place, message.timestamp.as_unix(), key);
        if row.is_full() {
            row.insert(connection)?;
            row = SendRow::after(row.seq);
        }
    }
    if row.is_empty() { Ok(()) } else { row.insert(connection) }
}

/// Adds the keys to a snapshot of all names, oldest first, and returns the damaged rows. Leaves out those that are past
/// their window at the last message of their channel, for which no clock is asked: a wrong one at a start drops nothing.
pub(super) fn add_recent(
    connection: &Connection,
    found: &mut Snapshot,
    retention: SendRetention,
) -> Result<Vec<DamagedRow>, RowError> {
    let damaged = add_newest(connection, found, retention.max_keys(), |_| true)?;
    let Snapshot { sends, logs, .. } = found;
    let last: BTreeMap<&ChannelName, Timestamp> =
        logs.iter().map(|log| (&log.channel_name, log.last_timestamp)).collect();
    sends.retain(|send| {
        let is_past = |last: &Timestamp| SendKey::is_past(send.timestamp, *last, retention.window);
        !last.get(&send.channel_name).is_some_and(is_past)
    });
    Ok(damaged)
}

/// Adds the keys of some names to their snapshot, of those that the last commit may have stored. Returns the damaged
/// rows.
pub(super) fn add_last(
    connection: &Connection,
    found: &mut Snapshot,
    names: &[ChannelName],
) -> Result<Vec<DamagedRow>, RowError> {
    let names: BTreeSet<&ChannelName> = names.iter().collect();
    add_newest(connection, found, MAX_COMMIT as i64, |name| names.contains(name))
}

fn add_newest(
    connection: &Connection,
    found: &mut Snapshot,
    most: i64,
    is_wanted: impl Fn(&ChannelName) -> bool,
) -> Result<Vec<DamagedRow>, RowError> {
    let unusable: BTreeSet<&ChannelName> = found.damaged.iter().filter_map(|name| name.channel_name.as_ref()).collect();
    let is_wanted = |name: &ChannelName| is_wanted(name) && !unusable.contains(name);
    let (mut sends, mut damaged, mut names, mut left) = (Vec::new(), Vec::new(), LogNames::default(), most);
    for_each::<RowError>(connection, "ORDER BY seq DESC", [], |read| {
        let row = match read {
            Ok(row) => row,
            Err(row) => {
                damaged.push(row);
                return Ok(ControlFlow::Continue(()));
            }
        };
        let keys: Vec<StoredKey<'_>> = row.keys().collect();
        for stored in keys.into_iter().rev() {
            if left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            let name = names.of(connection, log_of(stored.place))?.filter(|name| is_wanted(name));
            if let (Some(channel_name), Some(key)) = (name.cloned(), stored.key()) {
                let timestamp = Timestamp::from_unix(stored.timestamp);
                sends.push(SendRecord { channel_name, id: id_of(stored.place), timestamp, key });
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    sends.reverse();
    found.sends = sends;
    Ok(damaged)
}

/// The names of logs.
#[derive(Default)]
struct LogNames(BTreeMap<i64, Option<ChannelName>>);

impl LogNames {
    /// Returns the name of a log. One that was dropped has none, and one with a damaged row is not used.
    fn of(&mut self, connection: &Connection, log: i64) -> Result<Option<&ChannelName>, RowError> {
        let name = match self.0.entry(log) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(entry) => entry.insert(match LogRow::get(connection, log) {
                Ok(log) => log.map(|log| log.name),
                Err(RowError::Row(_)) => None,
                Err(error) => return Err(error),
            }),
        };
        Ok(name.as_ref())
    }
}

/// Returns the first damaged row.
pub(super) fn find_damaged(connection: &Connection) -> Result<Option<DamagedRow>, RowError> {
    let mut damaged = None;
    for_each::<RowError>(connection, "ORDER BY seq", [], |read| {
        damaged = read.err();
        Ok(if damaged.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(damaged)
}

/// Hands over rows until it is told to end.
fn for_each<E: From<rusqlite::Error>>(
    connection: &Connection,
    which: &str,
    params: impl Params,
    mut take: impl FnMut(Result<SendRow, DamagedRow>) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM sends {which}"))?;
    let mut rows = select.query(params)?;
    while let Some(row) = rows.next()? {
        if take(SendRow::read(row))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// A row with the digests of messages that are deleted.
pub(super) struct DeletedDigests {
    /// Its checksum.
    checksum: i64,
    /// The row without these digests.
    without: SendRow,
}

/// Returns the rows of these numbers that have the digests of deleted messages. A damaged one is left for those who
/// report it.
pub(super) fn deleted_digests(
    connection: &Connection,
    seqs: RangeInclusive<i64>,
) -> Result<Vec<DeletedDigests>, RowError> {
    let mut is_deleted = connection.prepare_cached("SELECT 1 FROM messages WHERE place = ?1 AND deleted <> 0")?;
    let mut found = Vec::new();
    for_each::<RowError>(connection, "WHERE seq BETWEEN ?1 AND ?2", seqs.into_inner(), |read| {
        let Ok(row) = read else { return Ok(ControlFlow::Continue(())) };
        let mut is_changed = false;
        let without = row.with(|key| {
            let is_deleted = key.digest != 0 && is_deleted.exists([key.place])?;
            is_changed |= is_deleted;
            Ok::<_, rusqlite::Error>(Some(if is_deleted { 0 } else { key.digest }))
        })?;
        if is_changed {
            found.push(DeletedDigests { checksum: row.checksum(), without });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Sets these digests to 0, where the rows are still there.
pub(super) fn erase_digests(connection: &Connection, rows: &[DeletedDigests]) -> rusqlite::Result<()> {
    rows.iter().try_for_each(|DeletedDigests { checksum, without }| without.replace(connection, *checksum))
}

/// Returns the greatest number of a log with keys, in one pass over all keys.
pub(super) fn greatest_log(connection: &Connection) -> rusqlite::Result<i64> {
    let mut greatest = 0;
    for_each::<rusqlite::Error>(connection, "", [], |read| {
        let logs = read.iter().flat_map(SendRow::keys).map(|key| log_of(key.place));
        greatest = logs.fold(greatest, i64::max);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(greatest)
}

/// Drops the keys of a log, in one pass over all keys.
pub(super) fn drop_of_log(connection: &Connection, log: i64) -> rusqlite::Result<()> {
    let (mut changed, mut empty) = (Vec::new(), Vec::new());
    for_each::<rusqlite::Error>(connection, "", [], |read| {
        let Ok(row) = read else { return Ok(ControlFlow::Continue(())) };
        if row.keys().any(|key| log_of(key.place) == log) {
            let others = row.with(|key| Ok::<_, rusqlite::Error>((log_of(key.place) != log).then_some(key.digest)))?;
            if others.is_empty() { empty.push(row.seq) } else { changed.push((row.checksum(), others)) }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    drop_due(connection, &empty)?;
    changed.iter().try_for_each(|(checksum, row)| row.replace(connection, *checksum))
}

/// The time for which keys have been stored, by a clock that never jumps.
#[derive(Debug, Default)]
pub(super) struct SendAges {
    /// The newest key at some times, and these.
    marks: VecDeque<(i64, Duration)>,
    /// The newest key that has been stored for the window.
    stored: i64,
}

/// The number of marks within the window.
const MARKS: u32 = 16;

impl SendAges {
    /// Notes the newest key after some were dropped: the next keys have the numbers from there on again.
    pub(super) fn fall_back(&mut self, newest: i64) {
        self.stored = self.stored.min(newest);
        self.marks.iter_mut().for_each(|(key, _)| *key = newest.min(*key));
    }

    /// Notes the keys that are stored at this time since the machine was started.
    pub(super) fn advance(&mut self, connection: &Connection, window: Duration, at: Duration) -> rusqlite::Result<()> {
        let newest = newest(connection)?;
        let is_due = |(key, since): &(i64, Duration)| *key < newest && at.saturating_sub(*since) >= window / MARKS;
        if self.marks.back().is_none_or(is_due) {
            self.marks.push_back((newest, at));
        }
        while let Some((key, _)) = self.marks.pop_front_if(|(_, since)| at.saturating_sub(*since) >= window) {
            self.stored = key;
        }
        Ok(())
    }
}

/// Returns the number of the newest key; 0 if there is none.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    let mut newest = connection.prepare_cached("SELECT seq FROM sends ORDER BY seq DESC LIMIT 1")?;
    Ok(newest.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Returns the next rows to drop, at most [`BATCH`]: those whose keys are too many, or past their window, all of them.
///
/// A key is past it at the last message of its channel, with which the hub compares it: no later message can repeat
/// it. In a channel without messages since, it is past once it has been stored for the window by both clocks: one that
/// was ahead for a moment, or is set back, drops nothing. Those of a damaged row have been stored for it by one clock.
pub(super) fn due(
    connection: &Connection,
    retention: SendRetention,
    ages: &SendAges,
    now: Timestamp,
) -> rusqlite::Result<Vec<i64>> {
    let surplus = newest(connection)?.saturating_sub(retention.max_keys());
    let mut last = connection.prepare_cached("SELECT last_timestamp FROM logs WHERE log = ?1")?;
    let mut last_of: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    let mut due = Vec::new();
    for_each::<rusqlite::Error>(connection, "ORDER BY seq LIMIT ?1", [LOOKED_AT], |read| {
        let seq = read.as_ref().map_or_else(|damaged| damaged.id, |row| row.seq);
        let (is_surplus, is_stored) = (seq <= surplus, seq <= ages.stored);
        let mut is_due = is_surplus || is_stored || read.is_ok();
        for StoredKey { place, timestamp, .. } in read.iter().filter(|_| !is_surplus).flat_map(SendRow::keys) {
            let last = match last_of.entry(log_of(place)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(entry) => *entry.insert(last.query_row([log_of(place)], |row| row.get(0)).optional()?),
            };
            let is_past = |at: Timestamp| SendKey::is_past(Timestamp::from_unix(timestamp), at, retention.window);
            // A name that was dropped has no log.
            let is_of_no_use = last.is_none_or(|last| is_past(Timestamp::from_unix(last)));
            if !(is_of_no_use || is_stored && is_past(now)) {
                is_due = false;
                break;
            }
        }
        if is_due {
            due.push(seq);
        }
        Ok(if due.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(due)
}

/// Drops rows.
pub(super) fn drop_due(connection: &Connection, due: &[i64]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM sends WHERE seq = ?1")?;
    due.iter().try_for_each(|seq| delete.execute([seq]).map(drop))
}

#[cfg(test)]
mod tests;
