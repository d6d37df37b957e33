//! Logging of damaged rows, each once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{StoreError, rows::DamagedRow, sends};

/// The damage logged so far, shared by all connections of a store.
#[derive(Debug)]
pub(super) struct DamageLog {
    file: PathBuf,
    known: Mutex<BTreeSet<String>>,
}

impl DamageLog {
    /// The most entries. Further damage is not logged.
    const BOUND: usize = 1000;

    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), known: Mutex::default() }
    }

    /// Logs damaged rows, which are neither used nor overwritten.
    pub(super) fn rows(&self, rows: &[DamagedRow]) {
        for row in rows.iter().filter(|row| self.is_new(row.to_string())) {
            let effect = match row.table {
                sends::TABLE => "its messages are stored twice if they are sent again",
                _ => "its channel is kept apart, the others are served",
            };
            tracing::error!(
                file = %self.file.display(),
                table = row.table,
                id = row.id,
                "{row}: {effect}; restore a backup with `chanwire restore`"
            );
        }
    }

    /// Logs damaged messages.
    pub(super) fn messages(&self, error: &StoreError) {
        if self.is_new(error.to_string()) {
            tracing::error!(%error, "stored messages cannot be read");
        }
    }

    /// Logs the reason why writes of a channel are not stored.
    pub(super) fn refused(&self, channel_name: &str, error: &StoreError) {
        if self.is_new(format!("{channel_name} {error}")) {
            tracing::error!(channel = ?channel_name, %error, "writes of one channel cannot be stored");
        }
    }

    fn is_new(&self, damage: String) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < Self::BOUND && known.insert(damage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damage_is_logged_once_and_only_so_much_of_it() {
        let log = DamageLog::new(Path::new("some.db"));
        let is_new = |id: usize| log.is_new(format!("message {id} of channel \"a\""));
        assert_eq!([1, 2, 1, 1, 2].map(is_new), [true, true, false, false, false]);
        assert_eq!((0..2 * DamageLog::BOUND).filter(|id| is_new(*id)).count(), DamageLog::BOUND - 2);
    }
}
