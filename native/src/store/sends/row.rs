//! Rows of the table of keys. Each has some keys of one commit, so that a key costs little more than its bytes.
//!
//! A row's number is that of its last key, counted over all keys. In its column `keys`, each key is the number of its
//! message's row, the message's time and its digest, each in eight bytes, least first; then the length of the client's
//! id in one byte, and the id; then the length of the sender's text in two bytes, and the text.

use std::iter;

use chanwire_core::hub::{SendKey, Sender};
use rusqlite::{Connection, Row};

use super::super::{checksum::Checksum, rows::DamagedRow};

/// The bytes from which on a row takes no more keys. Two rows fit into a page.
const FULL: usize = 1700;

/// The columns from which a row is [read](SendRow::read).
pub(super) const COLUMNS: &str = "seq, keys, checksum";

/// The place of the digest in a key's bytes.
const DIGEST_AT: usize = 16;

/// A key in a row.
#[derive(Debug)]
pub(super) struct StoredKey<'r> {
    /// The key of its message's row.
    pub(super) place: i64,
    pub(super) timestamp: i64,
    pub(super) digest: u64,
    client_message_id: &'r [u8],
    sender: &'r [u8],
    /// The count of its bytes in the row.
    length: usize,
}

/// A row, as it is stored.
#[derive(Debug, Default)]
pub(super) struct SendRow {
    /// The number of its last key.
    pub(super) seq: i64,
    keys: Vec<u8>,
}

impl SendRow {
    /// Creates a row that follows the key of this number.
    pub(super) const fn after(seq: i64) -> Self {
        Self { seq, keys: Vec::new() }
    }

    /// Adds a key with the next number.
    pub(super) fn add(&mut self, place: i64, timestamp: i64, key: &SendKey) {
        self.seq += 1;
        let SendKey { sender, client_message_id, digest } = key;
        let (sender, id) = (sender.parts(), client_message_id.as_bytes());
        let length: usize = sender.iter().map(|part| part.len()).sum();
        self.keys.extend_from_slice(&place.to_le_bytes());
        self.keys.extend_from_slice(&timestamp.to_le_bytes());
        self.keys.extend_from_slice(&digest.to_le_bytes());
        self.keys.push(id.len() as u8);
        self.keys.extend_from_slice(id);
        self.keys.extend_from_slice(&(length as u16).to_le_bytes());
        sender.iter().for_each(|part| self.keys.extend_from_slice(part.as_bytes()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= FULL
    }

    /// Inserts the row.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT INTO sends (seq, keys, checksum) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute((self.seq, &self.keys, self.checksum())).map(drop)
    }

    /// Replaces the row of its number, if that has this checksum.
    pub(super) fn replace(&self, connection: &Connection, checksum: i64) -> rusqlite::Result<()> {
        let sql = "UPDATE sends SET keys = ?2, checksum = ?3 WHERE seq = ?1 AND checksum = ?4";
        connection.prepare_cached(sql)?.execute((self.seq, &self.keys, self.checksum(), checksum)).map(drop)
    }

    pub(super) fn checksum(&self) -> i64 {
        Checksum::default().number(self.seq).blob(&self.keys).finish()
    }

    /// Reads a row from the [columns](COLUMNS).
    pub(super) fn read(row: &Row<'_>) -> Result<Self, DamagedRow> {
        let read = || {
            let read = Self { seq: row.get(0).ok()?, keys: row.get(1).ok()? };
            let sum: i64 = row.get(2).ok()?;
            (read.checksum() == sum && read.keys().map(|key| key.length).sum::<usize>() == read.keys.len())
                .then_some(read)
        };
        read().ok_or_else(|| DamagedRow::of_sends(row))
    }

    /// Returns its keys, up to the first that is no key.
    pub(super) fn keys(&self) -> impl Iterator<Item = StoredKey<'_>> {
        let mut rest = &self.keys[..];
        iter::from_fn(move || StoredKey::take(&mut rest))
    }

    /// Returns the row with some of its keys: `digest` says with which digest each stays.
    pub(super) fn with<E>(&self, mut digest: impl FnMut(&StoredKey<'_>) -> Result<Option<u64>, E>) -> Result<Self, E> {
        let (mut row, mut rest) = (Self::after(self.seq), &self.keys[..]);
        for key in self.keys() {
            let (bytes, after) = rest.split_at(key.length);
            rest = after;
            if let Some(digest) = digest(&key)? {
                let start = row.keys.len();
                row.keys.extend_from_slice(bytes);
                if let Some(place) = row.keys.get_mut(start + DIGEST_AT..).and_then(<[u8]>::first_chunk_mut) {
                    *place = digest.to_le_bytes();
                }
            }
        }
        Ok(row)
    }
}

impl<'r> StoredKey<'r> {
    fn take(rest: &mut &'r [u8]) -> Option<Self> {
        let all = rest.len();
        let place = i64::from_le_bytes(take(rest)?);
        let timestamp = i64::from_le_bytes(take(rest)?);
        let digest = u64::from_le_bytes(take(rest)?);
        let [length] = take(rest)?;
        let client_message_id = take_bytes(rest, length.into())?;
        let length = u16::from_le_bytes(take(rest)?);
        let sender = take_bytes(rest, length.into())?;
        Some(Self { place, timestamp, digest, client_message_id, sender, length: all - rest.len() })
    }

    /// Returns the key, if its texts are a client's and a sender's.
    pub(super) fn key(&self) -> Option<SendKey> {
        let sender = Sender::from_stored(str::from_utf8(self.sender).ok()?)?;
        let client_message_id = str::from_utf8(self.client_message_id).ok()?.try_into().ok()?;
        Some(SendKey { sender, client_message_id, digest: self.digest })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

fn take_bytes<'r>(rest: &mut &'r [u8], length: usize) -> Option<&'r [u8]> {
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a row of three keys, and the lengths at which one ends.
    fn row() -> (SendRow, Vec<usize>) {
        let long = "ü".repeat(64);
        let senders = [Sender::Guest("ann".parse().unwrap()), Sender::Account("bot".parse().unwrap())];
        let senders = senders.into_iter().chain([Sender::Guest(long.parse().unwrap())]);
        let (mut row, mut ends) = (SendRow::after(7), vec![0]);
        for (number, sender) in (1..).zip(senders) {
            let client_message_id = "x".repeat(13 + 17 * number as usize).parse().unwrap();
            row.add(
                i64::MAX - number,
                -number,
                &SendKey { sender, client_message_id, digest: u64::MAX - number.cast_unsigned() },
            );
            ends.push(row.keys.len());
        }
        (row, ends)
    }

    #[test]
    fn keys_are_read_as_they_were_written() {
        let (row, ends) = row();
        let keys: Vec<_> = row.keys().collect();
        assert_eq!((row.seq, keys.len()), (10, 3));
        assert_eq!((keys[2].place, keys[2].timestamp, keys[2].digest), (i64::MAX - 3, -3, u64::MAX - 3));
        let [second, third] = [1, 2].map(|index| keys[index].key().unwrap());
        assert_eq!((third.client_message_id.len(), second.sender.parts()), (64, ["account:", "bot"]));
        let digest = |key: &StoredKey<'_>| Ok::<_, ()>((key.timestamp != -1).then_some(5));
        let changed = row.with(digest).unwrap();
        assert_eq!(
            changed.keys().map(|key| (key.place, key.digest)).collect::<Vec<_>>(),
            [(i64::MAX - 2, 5), (i64::MAX - 3, 5)]
        );
        assert_eq!((changed.seq, changed.keys.len()), (10, row.keys.len() - ends[1]));
    }

    #[test]
    fn a_row_that_is_cut_short_has_no_key_in_part() {
        let (mut row, ends) = row();
        while row.keys.pop().is_some() {
            let count = ends.iter().skip(1).filter(|end| **end <= row.keys.len()).count();
            assert_eq!(row.keys().count(), count, "{}", row.keys.len());
        }
    }
}
