//! Checksums of rows: CRC-32C (also named CRC-32/iSCSI), which no change of a single bit leaves as it was.

use crc_fast::crc32_iscsi;
use rusqlite::{Connection, Error, functions::FunctionFlags, types::ValueRef};

/// The name of the SQL function that computes the checksum of its arguments.
const FUNCTION: &str = "row_checksum";

/// The columns of a row, in the order in which they are added, of which the checksum is computed at the end: one call
/// for a whole row costs a third of one for each column.
#[derive(Debug, Default)]
pub(super) struct Checksum(Vec<u8>);

/// Bytes that are kept for the next row.
const KEPT: usize = 4096;

impl Checksum {
    #[must_use]
    pub(super) fn number(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    #[must_use]
    pub(super) fn text(self, text: &str) -> Self {
        self.blob(text.as_bytes())
    }

    /// Adds a text, and nothing for none.
    #[must_use]
    pub(super) fn text_if(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self,
        }
    }

    /// Adds a number, or NULL.
    #[must_use]
    pub(super) fn optional(mut self, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.number(number),
            None => {
                self.0.push(0);
                self
            }
        }
    }

    /// Returns the number that a row keeps: signed, so that SQLite needs four bytes for it.
    pub(super) fn finish(&self) -> i64 {
        crc32_iscsi(&self.0).cast_signed().into()
    }

    /// Returns the number of bytes added.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes back everything but the first `length` bytes, for the next row.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
        self.0.shrink_to(KEPT);
    }

    /// Adds bytes.
    #[must_use]
    pub(super) fn blob(mut self, bytes: &[u8]) -> Self {
        self.0.reserve(size_of::<u64>() + bytes.len());
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Lets SQL on this connection compute checksums, as a migration does.
pub(super) fn add_function(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(FUNCTION, -1, flags, |arguments| {
        let mut sum = Checksum::default();
        for index in 0..arguments.len() {
            sum = match arguments.get_raw(index) {
                ValueRef::Null => sum.optional(None),
                ValueRef::Integer(number) => sum.number(number),
                ValueRef::Text(text) => sum.blob(text),
                other => return Err(Error::InvalidFunctionParameterType(index, other.data_type())),
            };
        }
        Ok(sum.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_computes_what_rust_computes() {
        let connection = Connection::open_in_memory().unwrap();
        add_function(&connection).unwrap();
        let sql = "SELECT row_checksum('ü' || char(0), 5, NULL, '', -1)";
        let sum = Checksum::default().text("ü\0").number(5).optional(None).text("").number(-1);
        assert_eq!(connection.query_row(sql, [], |row| row.get(0)), Ok(sum.finish()));
        connection.query_row("SELECT row_checksum(1.5)", [], |_| Ok(())).unwrap_err();
    }

    #[test]
    fn columns_do_not_run_into_each_other() {
        let of = |one: &str, other: &str| Checksum::default().text(one).text(other).finish();
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_ne!(of("", "abc"), of("abc", ""));
        let numbers = |one, other| Checksum::default().optional(one).optional(other).finish();
        assert_ne!(numbers(Some(1), None), numbers(None, Some(1)));
    }
}
