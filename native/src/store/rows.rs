//! The database's rows, each with its checksum.

use std::{collections::BTreeSet, fmt, mem, path::Path};

use chanwire_core::{
    hub::{ChannelLog, ChannelRecord, DamagedName, ModerationRecord, ReleasedChannel, Snapshot},
    wire::{AccountName, Address, Channel, ChannelName, ChannelSettings, NotAName, StoredMessage, Timestamp, Username},
};
use rusqlite::{Connection, Error::FromSqlConversionFailure, OptionalExtension as _, Row, params, types::Type};

use super::{
    StoreError,
    checksum::Checksum,
    message_key::{id_of, key_range},
    roles, sends,
};

/// A reason why a row cannot be used.
#[derive(Debug)]
pub(super) enum RowError {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// A row of `channels`, `logs`, `roles` or `sends` is damaged.
    Row(DamagedRow),
    /// A message is damaged or missing.
    Damaged(String),
}

/// A damaged row of `channels`, `logs`, `roles` or `sends`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DamagedRow {
    pub(super) table: &'static str,
    /// Its primary key, or the log of a role.
    pub(super) id: i64,
    /// The name in it, which may be damaged.
    pub(super) channel_name: Option<String>,
    /// The fault.
    problem: String,
}

impl DamagedRow {
    fn new(table: &'static str, row: &Row<'_>, name: usize, problem: impl Into<String>) -> Self {
        let (id, channel_name) = (row.get(0).unwrap_or_default(), row.get(name).ok());
        Self { table, id, channel_name, problem: problem.into() }
    }

    /// Describes a row of `sends`, which has the keys of several channels.
    pub(super) fn of_sends(row: &Row<'_>) -> Self {
        Self { channel_name: None, ..Self::unsound(sends::TABLE, row, 0) }
    }

    /// Describes a row of `roles`.
    pub(super) fn of_role(row: &Row<'_>, channel_name: &ChannelName) -> Self {
        Self { channel_name: Some(channel_name.as_str().to_owned()), ..Self::unsound(roles::TABLE, row, 0) }
    }

    /// Describes a row with a wrong checksum.
    fn unsound(table: &'static str, row: &Row<'_>, name: usize) -> Self {
        Self::new(table, row, name, "does not match its checksum")
    }
}

impl fmt::Display for DamagedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, id, channel_name, problem } = self;
        write!(f, "row {id} of the table {table}")?;
        match channel_name {
            Some(channel_name) => write!(f, ", channel {channel_name:?}, {problem}"),
            None => write!(f, " {problem}"),
        }
    }
}

impl DamagedRow {
    /// Returns the position that no other channel may have, if it is a channel's. One near the end of the numbers is
    /// what is damaged.
    fn position(&self) -> Option<u64> {
        let position = u64::try_from(self.id).ok().filter(|position| *position < 1 << 62);
        position.filter(|_| self.table == CHANNELS)
    }
}

impl From<DamagedRow> for RowError {
    fn from(row: DamagedRow) -> Self {
        Self::Row(row)
    }
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl RowError {
    /// Adds the action and the database to the error.
    pub(super) fn at(action: &'static str, file: &Path) -> impl FnOnce(Self) -> StoreError {
        let file = file.to_owned();
        move |error| match error {
            Self::Sqlite(cause) => StoreError::Sqlite { action, file, cause },
            Self::Row(row) => StoreError::Damaged { file, problem: row.to_string() },
            Self::Damaged(problem) => StoreError::Damaged { file, problem },
        }
    }
}

/// Converts a count to an integer of SQLite.
pub(super) fn integer(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Reads a count from a column.
pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Reads 0 or 1 from a column.
fn flag(row: &Row<'_>, column: usize) -> rusqlite::Result<bool> {
    match row.get(column)? {
        0 => Ok(false),
        1 => Ok(true),
        number => Err(rusqlite::Error::IntegralValueOutOfRange(column, number)),
    }
}

/// Reads a channel's name from a column.
fn channel_name(row: &Row<'_>, column: usize) -> rusqlite::Result<ChannelName> {
    let text = row.get_ref(column)?.as_str()?;
    text.try_into().map_err(|error: NotAName| FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// Reads an account's name, or NULL, from a column.
fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<AccountName>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    let name = text.map(AccountName::try_from).transpose();
    name.map_err(|error| FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// A row of `logs`: the range of a name's messages.
#[derive(Debug)]
pub(super) struct LogRow {
    /// Its number, a part of its messages' keys.
    pub(super) log: i64,
    pub(super) name: ChannelName,
    pub(super) last_id: u64,
    /// The oldest message's id; one more than the last id if there is no message.
    pub(super) first_id: u64,
    pub(super) last_timestamp: i64,
    /// The bytes of its messages as counted by retention.
    pub(super) bytes: u64,
    /// The time when the name was last taken off the list, or a message of it dropped.
    pub(super) since: i64,
    /// The account that the name belongs to.
    pub(super) account: Option<AccountName>,
    pub(super) settings: ChannelSettings,
}

impl LogRow {
    const TABLE: &str = "logs";
    const COLUMNS: &str =
        "log, name, last_id, first_id, last_timestamp, bytes, since, account, members_only, slow_mode, checksum";

    fn select(which: &str) -> String {
        format!("SELECT {} FROM logs {which}", Self::COLUMNS)
    }

    /// Creates the log of a name that has no message.
    pub(super) fn new(log: i64, name: ChannelName) -> Self {
        let (settings, account) = (ChannelSettings::default(), None);
        Self { log, name, last_id: 0, first_id: 1, last_timestamp: 0, bytes: 0, since: 0, account, settings }
    }

    /// Finds the log of this name.
    pub(super) fn find(connection: &Connection, name: &ChannelName) -> Result<Option<Self>, RowError> {
        // The name is found in the index, and may be another in the row: without the inner SELECT, SQLite would return
        // the one in the index.
        let sql = Self::select("WHERE log = (SELECT log FROM logs WHERE name = ?1)");
        let mut select = connection.prepare_cached(&sql)?;
        let read = |row: &Row<'_>| match Self::read(row) {
            Ok(log) if log.name != *name => {
                Err(DamagedRow::new(Self::TABLE, row, 1, "is another in the index of names"))
            }
            read => read,
        };
        Ok(select.query_row([name.as_str()], |row| Ok(read(row))).optional()?.transpose()?)
    }

    /// Finds the log of this number.
    pub(super) fn get(connection: &Connection, log: i64) -> Result<Option<Self>, RowError> {
        let sql = Self::select("WHERE log = ?1");
        Ok(connection.prepare_cached(&sql)?.query_row([log], |row| Ok(Self::read(row))).optional()?.transpose()?)
    }

    /// Hands over every log, in the order of their numbers.
    pub(super) fn for_each(
        connection: &Connection,
        mut take: impl FnMut(Result<Self, DamagedRow>) -> Result<(), RowError>,
    ) -> Result<(), RowError> {
        let mut select = connection.prepare_cached(&Self::select("ORDER BY log"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            take(Self::read(row))?;
        }
        Ok(())
    }

    fn read(row: &Row<'_>) -> Result<Self, DamagedRow> {
        let read = || -> rusqlite::Result<(Self, i64)> {
            let read = Self {
                log: row.get(0)?,
                name: channel_name(row, 1)?,
                last_id: id(row, 2)?,
                first_id: id(row, 3)?,
                last_timestamp: row.get(4)?,
                bytes: id(row, 5)?,
                since: row.get(6)?,
                account: account(row, 7)?,
                settings: ChannelSettings { members_only: flag(row, 8)?, slow_mode: row.get(9)? },
            };
            Ok((read, row.get(10)?))
        };
        let sound = read().ok().filter(|(read, checksum)| read.checksum().is_ok_and(|sum| sum == *checksum));
        sound.map(|(read, _)| read).ok_or_else(|| DamagedRow::unsound(Self::TABLE, row, 1))
    }

    fn checksum(&self) -> rusqlite::Result<i64> {
        let sum = Checksum::default().number(self.log).text(&self.name);
        let sum = sum.number(integer(self.last_id)?).number(integer(self.first_id)?).number(self.last_timestamp);
        let sum = sum.number(integer(self.bytes)?).number(self.since);
        let sum = sum.text_if(self.account.as_deref());
        let ChannelSettings { members_only, slow_mode } = self.settings;
        let sum = if members_only { sum.text("members_only") } else { sum };
        let sum = if slow_mode > 0 { sum.text("slow_mode").number(slow_mode.into()) } else { sum };
        Ok(sum.finish())
    }

    /// Writes the row, replacing one with the same number.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut write = connection.prepare_cached(
            "INSERT INTO logs (log, name, last_id, first_id, last_timestamp, bytes, since, account, members_only, slow_mode,
                 checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (log) DO UPDATE SET last_id = ?3,
             first_id = ?4, last_timestamp = ?5, bytes = ?6, since = ?7, account = ?8, members_only = ?9, slow_mode = ?10,
             checksum = ?11",
        )?;
        write.execute(params![
            self.log,
            self.name.as_str(),
            integer(self.last_id)?,
            integer(self.first_id)?,
            self.last_timestamp,
            integer(self.bytes)?,
            self.since,
            self.account.as_deref(),
            self.settings.members_only,
            self.settings.slow_mode,
            self.checksum()?
        ])?;
        Ok(())
    }
}

impl From<LogRow> for ChannelLog {
    fn from(LogRow { name: channel_name, last_id, first_id, last_timestamp, since, account, .. }: LogRow) -> Self {
        let (last_timestamp, since) = (Timestamp::from_unix(last_timestamp), Timestamp::from_unix(since));
        Self { channel_name, last_id, first_id, last_timestamp, since, account }
    }
}

/// The columns of a row of `messages` that its checksum covers beside the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageColumns<'a> {
    pub(super) timestamp: i64,
    pub(super) username: &'a str,
    pub(super) content: &'a str,
    pub(super) account: Option<&'a str>,
    pub(super) deleted: bool,
    pub(super) deletes: Option<u64>,
}

impl<'a> MessageColumns<'a> {
    /// Returns the columns of a message.
    pub(super) fn of(message: &'a StoredMessage) -> Self {
        Self {
            timestamp: message.timestamp.as_unix(),
            username: &message.username,
            content: &message.message_content,
            account: message.account.as_deref(),
            deleted: message.deleted,
            deletes: message.deletes,
        }
    }

    /// Adds those to a checksum that were added after it, where they have not their default.
    fn add_later(&self, sum: Checksum) -> Checksum {
        let Self { account, deleted, deletes, .. } = *self;
        let sum = sum.text_if(account);
        let sum = match deletes {
            Some(id) => sum.text("deletes").number(id.cast_signed()),
            None => sum,
        };
        sum.text_if(deleted.then_some("deleted"))
    }
}

/// The columns from which [`message`] reads a message.
pub(super) const MESSAGE: &str = "place, timestamp, username, content, account, checksum, deleted, deletes";

/// The checksums of one channel's rows of `messages`.
#[derive(Debug)]
pub(super) struct MessageChecksums {
    /// Begins with the channel's name.
    row: Checksum,
    name_length: usize,
}

impl MessageChecksums {
    /// Each checksum begins with the channel's name.
    pub(super) fn new(channel_name: &str) -> Self {
        let row = Checksum::default().text(channel_name);
        Self { name_length: row.len(), row }
    }

    /// Computes the checksum of a row.
    pub(super) fn of(&mut self, key: i64, row: &MessageColumns<'_>) -> i64 {
        let MessageColumns { timestamp, username, content, .. } = *row;
        let sum = mem::take(&mut self.row).number(key).number(timestamp).text(username).text(content);
        self.row = row.add_later(sum);
        let checksum = self.row.finish();
        self.row.truncate(self.name_length);
        checksum
    }
}

/// Reads a message from a row of [`MESSAGE`]. `checksums` are its channel's.
pub(super) fn message(
    row: &Row<'_>,
    channel_name: &ChannelName,
    checksums: &mut MessageChecksums,
) -> Result<StoredMessage, RowError> {
    let key = row.get(0)?;
    let mut read = || {
        let timestamp = row.get_ref(1).ok()?.as_i64().ok()?;
        let (username, content) = (row.get_ref(2).ok()?.as_str().ok()?, row.get_ref(3).ok()?.as_str().ok()?);
        let account = row.get_ref(4).ok()?.as_str_or_null().ok()?;
        let checksum = row.get_ref(5).ok()?.as_i64().ok()?;
        let deleted = match row.get_ref(6).ok()?.as_i64().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let deletes = row.get_ref(7).ok()?.as_i64_or_null().ok()?.map(u64::try_from).transpose().ok()?;
        let columns = MessageColumns { timestamp, username, content, account, deleted, deletes };
        (checksums.of(key, &columns) == checksum).then_some(columns)
    };
    let Some(MessageColumns { timestamp, username, content, account, deleted, deletes }) = read() else {
        let id = id_of(key);
        let problem = format!("message {id} of channel {channel_name:?} does not match its checksum");
        return Err(RowError::Damaged(problem));
    };
    let id = id_of(key);
    let wrong = |error| RowError::Damaged(format!("message {id} of channel {channel_name:?}: {error}"));
    let account = account.map(AccountName::try_from).transpose().map_err(wrong)?;
    let mut message = StoredMessage::new(
        channel_name.clone(),
        id,
        Username::try_from(username).map_err(wrong)?,
        content.to_owned(),
        Timestamp::from_unix(timestamp),
    );
    (message.account, message.deleted, message.deletes) = (account, deleted, deletes);
    Ok(message)
}

/// Describes a missing message of a log.
pub(super) fn missing(channel_name: &str, id: u64) -> RowError {
    RowError::Damaged(format!("message {id} of channel {channel_name:?} is missing"))
}

const CHANNELS: &str = "channels";

/// A row of `channels`.
struct ChannelRow {
    position: u64,
    name: String,
    host: String,
    port: u16,
    /// Empty for the operator's.
    registered_from: String,
    lease: Option<u32>,
    released: Option<i64>,
    account: Option<AccountName>,
}

impl ChannelRow {
    fn new(record: &ChannelRecord, released: Option<Timestamp>) -> Self {
        let ChannelRecord { channel: Channel { channel_name, address }, registered_from, account, position, lease } =
            record;
        Self {
            position: *position,
            name: channel_name.clone().into(),
            host: address.host().into(),
            port: address.port(),
            registered_from: registered_from.map_or_else(String::new, |ip| ip.to_string()),
            lease: *lease,
            released: released.map(Timestamp::as_unix),
            account: account.clone(),
        }
    }

    fn checksum(&self) -> rusqlite::Result<i64> {
        let sum = Checksum::default().number(integer(self.position)?).text(&self.name).text(&self.host);
        let sum = sum.number(self.port.into()).text(&self.registered_from);
        let sum = sum.optional(self.lease.map(Into::into)).optional(self.released);
        Ok(sum.text_if(self.account.as_deref()).finish())
    }

    /// Converts the row to a record. The error describes an invalid row with a correct checksum.
    fn record(self) -> Result<ChannelRecord, String> {
        let Self { position, name, host, port, registered_from, lease, account, .. } = self;
        let registered_from = match registered_from.as_str() {
            "" => None,
            ip => {
                let wrong = |_| format!("was registered from {ip:?}");
                Some(ip.parse().map_err(wrong)?)
            }
        };
        let address = Address::new(host.as_str(), port);
        let address = address.ok_or_else(|| format!("is hosted at {host:?}, port {port}"))?;
        let channel_name = name.try_into().map_err(|_: NotAName| "has a name that no channel can have")?;
        Ok(ChannelRecord { channel: Channel { channel_name, address }, registered_from, account, position, lease })
    }
}

/// Writes an entry of the directory, replacing one with the same name. A released entry is reserved for its
/// host until `released`.
pub(super) fn put_channel(
    connection: &Connection,
    record: &ChannelRecord,
    released: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let row = ChannelRow::new(record, released);
    let mut put = connection.prepare_cached(
        "INSERT INTO channels (position, name, host, port, registered_from, lease, released, account, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (name) DO UPDATE SET position = ?1, host = ?3, port = ?4,
         registered_from = ?5, lease = ?6, released = ?7, account = ?8, checksum = ?9",
    )?;
    let position = integer(row.position)?;
    let checksum = row.checksum()?;
    put.execute(params![
        position,
        row.name,
        row.host,
        row.port,
        row.registered_from,
        row.lease,
        row.released,
        row.account.as_deref(),
        checksum
    ])?;
    Ok(())
}

/// Reads the state of all names: listed and released channels, and the ranges of messages. A name with a damaged row is
/// only reported as damaged.
pub(super) fn snapshot(connection: &Connection) -> Result<(Snapshot, Vec<DamagedRow>), RowError> {
    let (mut found, mut damaged) = (Snapshot::default(), Vec::new());
    let mut select = connection.prepare_cached(&select_channels("ORDER BY position"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        match channel(row) {
            Ok((record, None)) => found.channels.push(record),
            Ok((record, Some(until))) => found.released.push(ReleasedChannel { record, until }),
            Err(row) => damaged.push(row),
        }
    }
    LogRow::for_each(connection, |log| {
        match log {
            Ok(log) => {
                let settings = log.settings;
                if settings != ChannelSettings::default() {
                    found.moderation.push(ModerationRecord::new(log.name.clone(), settings));
                }
                found.logs.push(log.into());
            }
            Err(row) => damaged.push(row),
        }
        Ok(())
    })?;
    damaged.extend(roles::add_all(connection, &mut found)?);
    if damaged.is_empty() {
        return Ok((found, damaged));
    }
    for row in &damaged {
        let names = row.channel_name.iter().cloned().chain(names_in_index(connection, row)?);
        let names: BTreeSet<ChannelName> = names.filter_map(|name| name.try_into().ok()).collect();
        let position = row.position();
        if names.is_empty() {
            found.damaged.push(DamagedName { channel_name: None, position });
        }
        let name = |channel_name| DamagedName { channel_name: Some(channel_name), position };
        found.damaged.extend(names.into_iter().map(name));
    }
    let names: BTreeSet<ChannelName> =
        found.damaged.iter().filter_map(|damaged| damaged.channel_name.clone()).collect();
    found.channels.retain(|record| !names.contains(&record.channel.channel_name));
    found.released.retain(|released| !names.contains(&released.record.channel.channel_name));
    found.logs.retain(|log| !names.contains(&log.channel_name));
    found.moderation.retain(|record| !names.contains(&record.channel_name));
    Ok((found, damaged))
}

/// Reads the state of some names, as [`snapshot`] does.
pub(super) fn snapshot_of(
    connection: &Connection,
    names: &[ChannelName],
) -> Result<(Snapshot, Vec<DamagedRow>), RowError> {
    let (mut found, mut damaged) = (Snapshot::default(), Vec::new());
    for name in names {
        let (channel, log) = (find_channel(connection, name), LogRow::find(connection, name));
        let roles = match &log {
            Ok(Some(log)) => roles::of_log(connection, log)?,
            Ok(None) | Err(_) => Ok(Vec::new()),
        };
        match (channel, log, roles) {
            (Err(RowError::Row(row)), ..) | (_, Err(RowError::Row(row)), _) | (.., Err(row)) => {
                found.damaged.push(DamagedName { channel_name: Some(name.clone()), position: row.position() });
                damaged.push(row);
            }
            (channel, log, Ok(roles)) => {
                let log = log?;
                let settings = log.as_ref().map(|log| log.settings).unwrap_or_default();
                if settings != ChannelSettings::default() || !roles.is_empty() {
                    found.moderation.push(ModerationRecord { channel_name: name.clone(), settings, roles });
                }
                match channel? {
                    Some((record, None)) => found.channels.push(record),
                    Some((record, Some(until))) => found.released.push(ReleasedChannel { record, until }),
                    None => {}
                }
                found.logs.extend(log.map(Into::into));
            }
        }
    }
    Ok((found, damaged))
}

/// Reads the names by which a row is found in the index, since the name in a damaged row may be wrong.
fn names_in_index(connection: &Connection, row: &DamagedRow) -> rusqlite::Result<Vec<String>> {
    let DamagedRow { table, id, .. } = row;
    if *table == roles::TABLE {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT name, rowid FROM {table} INDEXED BY sqlite_autoindex_{table}_1 ORDER BY name");
    let mut select = connection.prepare(&sql)?;
    let (mut rows, mut names) = (select.query([])?, Vec::new());
    while let Some(entry) = rows.next()? {
        if entry.get::<_, i64>(1)? == *id
            && let Ok(name) = entry.get(0)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Returns the channel of this name.
pub(super) fn find_channel(connection: &Connection, name: &ChannelName) -> Result<Option<DirectoryEntry>, RowError> {
    // As in `LogRow::find`.
    let sql = select_channels("WHERE position = (SELECT position FROM channels WHERE name = ?1)");
    let mut select = connection.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| match channel(row) {
        Ok((record, _)) if record.channel.channel_name != *name => {
            Err(DamagedRow::new(CHANNELS, row, 1, "is another in the index of names"))
        }
        read => read,
    };
    Ok(select.query_row([name.as_str()], |row| Ok(read(row))).optional()?.transpose()?)
}

fn select_channels(which: &str) -> String {
    format!(
        "SELECT position, name, host, port, registered_from, lease, released, account, checksum FROM channels {which}"
    )
}

/// A channel, with the time until which it is reserved for its host if it is released.
type DirectoryEntry = (ChannelRecord, Option<Timestamp>);

fn channel(row: &Row<'_>) -> Result<DirectoryEntry, DamagedRow> {
    let read = || -> rusqlite::Result<(ChannelRow, i64)> {
        let read = ChannelRow {
            position: id(row, 0)?,
            name: row.get(1)?,
            host: row.get(2)?,
            port: row.get(3)?,
            registered_from: row.get(4)?,
            lease: row.get(5)?,
            released: row.get(6)?,
            account: account(row, 7)?,
        };
        Ok((read, row.get(8)?))
    };
    let sound = read().ok().filter(|(read, checksum)| read.checksum().is_ok_and(|sum| sum == *checksum));
    let Some((read, _)) = sound else { return Err(DamagedRow::unsound(CHANNELS, row, 1)) };
    let until = read.released.map(Timestamp::from_unix);
    let record = read.record().map_err(|problem| DamagedRow::new(CHANNELS, row, 1, problem))?;
    Ok((record, until))
}

/// Checks every row. Returns a description of the first damaged one. A damaged key is only logged: it is good for an hour,
/// and no reason to be without a backup of the messages.
pub(super) fn verify(connection: &Connection) -> Result<(), RowError> {
    let (_, damaged) = snapshot(connection)?;
    if let Some(row) = damaged.into_iter().next() {
        return Err(row.into());
    }
    let mut known = 0_i64;
    LogRow::for_each(connection, |log| {
        let log = log?;
        let mut checksums = MessageChecksums::new(&log.name);
        let sql = format!("SELECT {MESSAGE} FROM messages WHERE place BETWEEN ?1 AND ?2 ORDER BY place");
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query(key_range(log.log, 0..=u64::MAX).into_inner())?;
        let mut next = log.first_id;
        while let Some(row) = rows.next()? {
            let found = message(row, &log.name, &mut checksums)?.id;
            if found != next || found > log.last_id {
                return Err(missing(&log.name, next));
            }
            next += 1;
            known += 1;
        }
        if next <= log.last_id { Err(missing(&log.name, next)) } else { Ok(()) }
    })?;
    if let Some(row) = sends::find_damaged(connection)? {
        tracing::warn!("{row}: its messages can be stored a second time if they are sent again");
    }
    let all: i64 = connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0))?;
    if all == known {
        return Ok(());
    }
    Err(RowError::Damaged(format!("{} messages are of no channel", all - known)))
}

/// Recomputes the checksums of rows without an account that a test has changed.
#[cfg(test)]
pub(super) fn seal(connection: &Connection) {
    let seal = "UPDATE logs SET checksum = row_checksum(log, name, last_id, first_id, last_timestamp, bytes, since)
            WHERE account IS NULL AND members_only = 0 AND slow_mode = 0;
        UPDATE channels SET checksum = row_checksum(position, name, host, port, registered_from, lease, released)
            WHERE account IS NULL;";
    connection.execute_batch(seal).unwrap();
}

#[cfg(test)]
mod tests;
