//! Statements that insert many rows.

use rusqlite::{CachedStatement, Connection};

/// The most rows that one statement inserts. Each statement costs as much as a row, and seeks the end of the table.
const ROWS: [usize; 3] = [64, 8, 1];

/// Statements that insert rows into some columns of a table.
pub(super) struct Insert {
    statements: [String; ROWS.len()],
    columns: usize,
}

impl Insert {
    /// `into` names the table, and in parentheses its columns.
    pub(super) fn new(into: &str, columns: usize) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        let statements = ROWS.map(|rows| format!("INSERT INTO {into} VALUES {}", vec![row.as_str(); rows].join(", ")));
        Self { statements, columns }
    }

    /// Inserts rows. `bind` binds a row's values to the parameters after the given number of them.
    pub(super) fn run<T>(
        &self,
        connection: &Connection,
        rows: &[T],
        bind: impl Fn(&mut CachedStatement<'_>, usize, &T) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut rest = rows;
        for (rows, sql) in ROWS.iter().zip(&self.statements) {
            let (whole, left) = rest.split_at(rest.len() - rest.len() % rows);
            rest = left;
            if whole.is_empty() {
                continue;
            }
            let mut insert = connection.prepare_cached(sql)?;
            for rows in whole.chunks(*rows) {
                for (number, row) in rows.iter().enumerate() {
                    bind(&mut insert, number * self.columns, row)?;
                }
                insert.raw_execute()?;
            }
        }
        Ok(())
    }
}
