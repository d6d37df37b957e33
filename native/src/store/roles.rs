//! The roles in channels.

use std::collections::BTreeMap;

use chanwire_core::{
    hub::{GivenRole, ModerationRecord, RoleSubject, Snapshot},
    wire::{ChannelName, ChannelSettings, Timestamp},
};
use rusqlite::{Connection, Row, params};

use super::{
    checksum::Checksum,
    rows::{DamagedRow, LogRow, RowError, integer},
};

pub(super) const TABLE: &str = "roles";

/// Stores the role of a subject in place of the one that it has, or removes it.
pub(super) fn set(
    connection: &Connection,
    log: i64,
    channel_name: &ChannelName,
    subject: &RoleSubject,
    role: Option<&GivenRole>,
) -> rusqlite::Result<()> {
    let subject = subject.to_string();
    let Some(GivenRole { role, until, sender_of }) = role else {
        let sql = "DELETE FROM roles WHERE log = ?1 AND subject = ?2";
        return connection.prepare_cached(sql)?.execute(params![log, subject]).map(drop);
    };
    let (until, sender_of) = (until.map(Timestamp::as_unix), sender_of.map(integer).transpose()?);
    let sum = checksum(channel_name, log, &subject, role.as_str(), until, sender_of);
    let mut put = connection.prepare_cached(
        "INSERT INTO roles (log, subject, role, until, sender_of, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (log, subject) DO UPDATE SET role = ?3, until = ?4, sender_of = ?5, checksum = ?6",
    )?;
    put.execute(params![log, subject, role.as_str(), until, sender_of, sum]).map(drop)
}

/// Drops the roles of a log.
pub(super) fn drop_of_log(connection: &Connection, log: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM roles WHERE log = ?1")?.execute([log]).map(drop)
}

/// Returns whether a log has any roles.
pub(super) fn are_in_log(connection: &Connection, log: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM roles WHERE log = ?1")?.exists([log])
}

/// Adds the roles of all names to their snapshot. Returns the damaged rows.
pub(super) fn add_all(connection: &Connection, found: &mut Snapshot) -> Result<Vec<DamagedRow>, RowError> {
    let mut select = connection.prepare(&select("ORDER BY log"))?;
    let (mut rows, mut damaged) = (select.query([])?, Vec::new());
    let mut of_names: BTreeMap<ChannelName, Vec<(RoleSubject, GivenRole)>> = BTreeMap::new();
    // The rows of one log follow each other.
    let mut last: Option<(i64, Option<ChannelName>)> = None;
    while let Some(row) = rows.next()? {
        let log = row.get(0)?;
        if last.as_ref().is_none_or(|(last, _)| *last != log) {
            let name = match LogRow::get(connection, log) {
                Ok(found) => found.map(|found| found.name),
                // A name with a damaged log is not used.
                Err(RowError::Row(_)) => None,
                Err(error) => return Err(error),
            };
            last = Some((log, name));
        }
        let Some((_, Some(name))) = &last else { continue };
        match read(row, name) {
            Some(role) => of_names.entry(name.clone()).or_default().push(role),
            None => damaged.push(DamagedRow::of_role(row, name)),
        }
    }
    for record in &mut found.moderation {
        record.roles = of_names.remove(&record.channel_name).unwrap_or_default();
    }
    let new = |(channel_name, roles)| ModerationRecord { channel_name, settings: ChannelSettings::default(), roles };
    found.moderation.extend(of_names.into_iter().map(new));
    Ok(damaged)
}

/// Reads the roles of a log. Returns a damaged row if there is one.
pub(super) fn of_log(
    connection: &Connection,
    log: &LogRow,
) -> Result<Result<Vec<(RoleSubject, GivenRole)>, DamagedRow>, RowError> {
    let mut select = connection.prepare_cached(&select("WHERE log = ?1"))?;
    let (mut rows, mut roles) = (select.query([log.log])?, Vec::new());
    while let Some(row) = rows.next()? {
        match read(row, &log.name) {
            Some(role) => roles.push(role),
            None => return Ok(Err(DamagedRow::of_role(row, &log.name))),
        }
    }
    Ok(Ok(roles))
}

fn select(which: &str) -> String {
    format!("SELECT log, subject, role, until, sender_of, checksum FROM roles {which}")
}

/// Reads a row; `None` if it is damaged.
fn read(row: &Row<'_>, channel_name: &ChannelName) -> Option<(RoleSubject, GivenRole)> {
    let (log, subject, role) = (row.get(0).ok()?, row.get_ref(1).ok()?.as_str().ok()?, row.get_ref(2).ok()?);
    let role = role.as_str().ok()?;
    let (until, sender_of) = (row.get::<_, Option<i64>>(3).ok()?, row.get::<_, Option<i64>>(4).ok()?);
    let sum: i64 = row.get(5).ok()?;
    let is_sound = checksum(channel_name, log, subject, role, until, sender_of) == sum;
    let sender_of = sender_of.map(u64::try_from).transpose().ok()?;
    let given = GivenRole { role: role.parse().ok()?, until: until.map(Timestamp::from_unix), sender_of };
    Some((RoleSubject::from_stored(subject)?, given)).filter(|_| is_sound)
}

fn checksum(
    channel_name: &str,
    log: i64,
    subject: &str,
    role: &str,
    until: Option<i64>,
    sender_of: Option<i64>,
) -> i64 {
    let sum = Checksum::default().text(channel_name).number(log).text(subject).text(role);
    sum.optional(until).optional(sender_of).finish()
}

#[cfg(test)]
mod tests;
