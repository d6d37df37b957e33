//! Checksums of rows: CRC-32C, which no change of a single bit leaves as it was.

use rusqlite::{Connection, Error, functions::FunctionFlags, types::ValueRef};

/// The name of the SQL function that computes the checksum of its arguments.
const FUNCTION: &str = "row_checksum";

/// The checksum of a row's columns, in the order in which they are added.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checksum(u32);

impl Checksum {
    #[must_use]
    pub(super) fn number(self, number: i64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    #[must_use]
    pub(super) fn text(self, text: &str) -> Self {
        self.length_and_bytes(text.as_bytes())
    }

    /// Adds a number, or NULL.
    #[must_use]
    pub(super) fn optional(self, number: Option<i64>) -> Self {
        number.map_or_else(|| self.bytes(&[0]), |number| self.number(number))
    }

    /// Returns the number that a row keeps: signed, so that SQLite needs four bytes for it.
    pub(super) const fn finish(self) -> i64 {
        self.0.cast_signed() as i64
    }

    fn length_and_bytes(self, bytes: &[u8]) -> Self {
        self.bytes(&(bytes.len() as u64).to_le_bytes()).bytes(bytes)
    }

    /// Adds bytes as they are.
    #[must_use]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
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
                ValueRef::Text(text) => sum.length_and_bytes(text),
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
