//! The keys of messages that clients may send again, in the order of the commits. Each outlives its message.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    ops::RangeInclusive,
    sync::LazyLock,
    time::Duration,
};

use chanwire_core::{
    hub::{HubLimits, MAX_COMMIT, SendKey, SendRecord, Sender, Snapshot},
    wire::{ChannelName, StoredMessage, Timestamp},
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    checksum::Checksum,
    insert::Insert,
    message_key::{id_of, key_range, log_of},
    rows::{DamagedRow, LogRow, RowError},
};

pub(super) const TABLE: &str = "sends";

/// The most keys that one transaction drops.
pub(super) const BATCH: usize = 256;

/// The oldest keys that are looked at when some are dropped. Those behind more keys than this that stay wait for these.
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

/// A row to be inserted: the key of a message, and that of its row.
pub(super) struct NewSend<'w> {
    pub(super) place: i64,
    pub(super) message: &'w StoredMessage,
    pub(super) key: &'w SendKey,
}

static INSERT: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("sends (place, timestamp, sender, key, digest, checksum)", 6));

/// Appends keys.
pub(super) fn insert(connection: &Connection, sends: &[NewSend<'_>]) -> rusqlite::Result<()> {
    INSERT.run(connection, sends, |insert, before, NewSend { place, message, key }| {
        let SendKey { sender, client_message_id, digest } = key;
        let (sender, timestamp, digest) = (sender.parts().concat(), message.timestamp.as_unix(), digest.cast_signed());
        let sum = checksum(&message.channel_name, *place, timestamp, &sender, client_message_id, digest);
        insert.raw_bind_parameter(before + 1, place)?;
        insert.raw_bind_parameter(before + 2, timestamp)?;
        insert.raw_bind_parameter(before + 3, sender)?;
        insert.raw_bind_parameter(before + 4, client_message_id.as_str())?;
        insert.raw_bind_parameter(before + 5, digest)?;
        insert.raw_bind_parameter(before + 6, sum)
    })
}

fn checksum(channel_name: &str, place: i64, timestamp: i64, sender: &str, key: &str, digest: i64) -> i64 {
    let sum = Checksum::default().text(channel_name).number(place).number(timestamp);
    sum.text(sender).text(key).number(digest).finish()
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
    let (mut sends, mut damaged) = (Vec::new(), Vec::new());
    for_each(connection, "ORDER BY seq DESC LIMIT ?1", most, |send| match send {
        Ok(send) if !is_wanted(&send.channel_name) || unusable.contains(&send.channel_name) => {}
        Ok(send) => sends.push(send),
        Err(row) => damaged.push(row),
    })?;
    sends.reverse();
    found.sends = sends;
    Ok(damaged)
}

/// Returns the first damaged row.
pub(super) fn find_damaged(connection: &Connection) -> Result<Option<DamagedRow>, RowError> {
    let mut damaged = None;
    for_each(connection, "ORDER BY seq LIMIT ?1", i64::MAX, |send| {
        damaged = damaged.take().or_else(|| send.err());
    })?;
    Ok(damaged)
}

/// Hands over the keys of all names that are there.
fn for_each(
    connection: &Connection,
    which: &str,
    most: i64,
    mut take: impl FnMut(Result<SendRecord, DamagedRow>),
) -> Result<(), RowError> {
    let sql = format!("SELECT seq, place, timestamp, sender, key, digest, checksum FROM sends {which}");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([most])?;
    // A name that was dropped has no log, and one with a damaged log is not used.
    let mut names: BTreeMap<i64, Option<ChannelName>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let Ok(place) = row.get::<_, i64>(1) else {
            take(Err(DamagedRow::of_send(row, None)));
            continue;
        };
        let channel_name = match names.entry(log_of(place)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(entry) => entry.insert(match LogRow::get(connection, log_of(place)) {
                Ok(log) => log.map(|log| log.name),
                Err(RowError::Row(_)) => None,
                Err(error) => return Err(error),
            }),
        };
        if let Some(channel_name) = channel_name {
            take(read(row, place, channel_name).ok_or_else(|| DamagedRow::of_send(row, Some(channel_name))));
        }
    }
    Ok(())
}

/// Reads a row; `None` if it is damaged.
fn read(row: &Row<'_>, place: i64, channel_name: &ChannelName) -> Option<SendRecord> {
    let timestamp = row.get(2).ok()?;
    let (sender, key) = (row.get_ref(3).ok()?.as_str().ok()?, row.get_ref(4).ok()?.as_str().ok()?);
    let digest: i64 = row.get(5).ok()?;
    let sum: i64 = row.get(6).ok()?;
    let is_sound = checksum(channel_name, place, timestamp, sender, key, digest) == sum;
    let key = SendKey {
        sender: Sender::from_stored(sender)?,
        client_message_id: key.try_into().ok()?,
        digest: digest.cast_unsigned(),
    };
    let (channel_name, timestamp) = (channel_name.clone(), Timestamp::from_unix(timestamp));
    is_sound.then(|| SendRecord { channel_name, id: id_of(place), timestamp, key })
}

/// A key with the digest of a message that is deleted.
pub(super) struct DeletedDigest {
    seq: i64,
    place: i64,
    /// The checksum of the row without the digest.
    checksum: i64,
}

/// Returns the keys of these numbers that have the digests of deleted messages.
pub(super) fn deleted_digests(
    connection: &Connection,
    seqs: RangeInclusive<i64>,
) -> Result<Vec<DeletedDigest>, RowError> {
    let sql = "SELECT seq, place, timestamp, sender, key, digest, checksum FROM sends
               WHERE seq BETWEEN ?1 AND ?2 AND digest <> 0
               AND EXISTS (SELECT 1 FROM messages WHERE messages.place = sends.place AND deleted <> 0)";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(seqs.into_inner())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, place) = (row.get(0)?, row.get(1)?);
        let Some(log) = LogRow::get(connection, log_of(place))? else { continue };
        // A damaged row is left for those who report it.
        if let Some(SendRecord { timestamp, key, .. }) = read(row, place, &log.name) {
            let (sender, key) = (key.sender.parts().concat(), &*key.client_message_id);
            let checksum = checksum(&log.name, place, timestamp.as_unix(), &sender, key, 0);
            found.push(DeletedDigest { seq, place, checksum });
        }
    }
    Ok(found)
}

/// Sets these digests to 0, where the keys are still there.
pub(super) fn erase_digests(connection: &Connection, digests: &[DeletedDigest]) -> rusqlite::Result<()> {
    let sql = "UPDATE sends SET digest = 0, checksum = ?3 WHERE seq = ?1 AND place = ?2 AND digest <> 0";
    let mut update = connection.prepare_cached(sql)?;
    digests
        .iter()
        .try_for_each(|DeletedDigest { seq, place, checksum }| update.execute((seq, place, checksum)).map(drop))
}

/// Returns the greatest number of a log with keys, in one pass over all keys.
pub(super) fn greatest_log(connection: &Connection) -> rusqlite::Result<i64> {
    let greatest = "SELECT COALESCE(MAX(place), 0) FROM sends";
    connection.query_row(greatest, [], |row| row.get(0)).map(log_of)
}

/// Drops the keys of a log, in one pass over all keys.
pub(super) fn drop_of_log(connection: &Connection, log: i64) -> rusqlite::Result<()> {
    let keys = key_range(log, 0..=u64::MAX).into_inner();
    connection.prepare_cached("DELETE FROM sends WHERE place BETWEEN ?1 AND ?2")?.execute(keys).map(drop)
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

/// Returns the next keys to drop, at most [`BATCH`]: those that are too many, and those past their window.
///
/// A key is past it at the last message of its channel, with which the hub compares it: no later message can repeat
/// it. In a channel without messages since, it is past once it has been stored for the window by both clocks: one that
/// was ahead for a moment, or is set back, drops nothing.
pub(super) fn due(
    connection: &Connection,
    retention: SendRetention,
    ages: &SendAges,
    now: Timestamp,
) -> rusqlite::Result<Vec<i64>> {
    let surplus = newest(connection)?.saturating_sub(retention.max_keys());
    let mut select = connection.prepare_cached(
        "SELECT seq, sends.timestamp, last_timestamp FROM sends LEFT JOIN logs ON logs.log = place >> 38
         ORDER BY seq LIMIT ?1",
    )?;
    let mut rows = select.query([LOOKED_AT])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()?
        && due.len() < BATCH
    {
        let (seq, stored) = (row.get(0)?, Timestamp::from_unix(row.get(1)?));
        let is_past = |at: Timestamp| SendKey::is_past(stored, at, retention.window);
        let last: Option<i64> = row.get(2)?;
        // A name that was dropped has no log.
        let is_of_no_use = last.is_none_or(|last| is_past(Timestamp::from_unix(last)));
        if seq <= surplus || is_of_no_use || seq <= ages.stored && is_past(now) {
            due.push(seq);
        }
    }
    Ok(due)
}

/// Drops keys.
pub(super) fn drop_due(connection: &Connection, due: &[i64]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM sends WHERE seq = ?1")?;
    due.iter().try_for_each(|seq| delete.execute([seq]).map(drop))
}

#[cfg(test)]
mod tests;
