//! The errors of a store, in words for an operator: the failure, its file, and the remedy.

use std::{collections::BTreeMap, io, path::PathBuf};

use chanwire_core::wire::ChannelName;
use chanwire_inspect::visible;
use rusqlite::ErrorCode;

use super::message_key::{MAX_ID, MAX_LOG};

/// A failure to open, read or write a store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The operating system refused something on a file or directory.
    #[error("cannot {action} {}: {cause}; correct that, or choose another directory with --data-dir", path.display())]
    File {
        /// The action that was tried, as a verb with its object's kind.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },

    /// Another process has the data directory.
    #[error(
        "the data directory {} is in use by another chanwire process{}; stop that process, or choose another \
         directory with --data-dir",
        directory.display(),
        holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// The process that has it, if it has said so.
        holder: Option<u32>,
    },

    /// Other users may write the data directory.
    #[error(
        "the data directory {} can be written by other users (mode {mode:o}), who could replace what is in it; choose \
         one of this user's own with --data-dir",
        directory.display()
    )]
    Shared {
        /// The data directory.
        directory: PathBuf,
        /// Its permissions.
        mode: u32,
    },

    /// There is a file in the database's place that is none.
    #[error(
        "{} is not a database, and was left as it is; move it away, or choose another directory with --data-dir",
        file.display()
    )]
    NotADatabase {
        /// The file.
        file: PathBuf,
    },

    /// There is a database in the database's place that another application wrote.
    #[error(
        "{} is the database of another application (its id is {application_id:#010x}), and was left as it is; move it \
         away, or choose another directory with --data-dir",
        file.display()
    )]
    OtherApplication {
        /// The file.
        file: PathBuf,
        /// The application's name for itself.
        application_id: u32,
    },

    /// A later version of this program wrote the database.
    #[error(
        "{} was written by a newer chanwire (its schema is version {found}, this program knows version {known}), and \
         was left as it is; run the newer chanwire, or choose another directory with --data-dir",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema's version.
        found: i32,
        /// The highest version that this program knows.
        known: i32,
    },

    /// The tables are not those of the version that the database's header gives.
    #[error(
        "cannot open {}: its version says {version} but its tables are those of another; restore the data directory from \
         a backup",
        file.display()
    )]
    OtherTables {
        /// The database.
        file: PathBuf,
        /// The version in its header.
        version: i32,
    },

    /// The database is gone but its log is there: a new database would destroy what the log has.
    #[error(
        "{} is missing, but its log {} is there; restore the first, or move the second away",
        file.display(),
        log.display()
    )]
    LogWithoutDatabase {
        /// The database's file.
        file: PathBuf,
        /// The log's file.
        log: PathBuf,
    },

    /// The database has less than was stored when a server last used it.
    #[error(
        "cannot open the store at {}: {problem}; put back the files that were there, or restore a backup with `chanwire \
         restore`, or go on with what is left: remove {}",
        file.display(),
        note.display()
    )]
    Incomplete {
        /// The database.
        file: PathBuf,
        /// The missing part.
        problem: String,
        /// The note of what was stored.
        note: PathBuf,
    },

    /// The file system has too little free space for a migrated copy of the database.
    #[error(
        "cannot migrate {}: that takes {needed} bytes, and {free} are free; free some space on its disk, or go on with \
         the older chanwire",
        file.display()
    )]
    NoRoomToMigrate {
        /// The database.
        file: PathBuf,
        /// The bytes that the copy takes.
        needed: u64,
        /// The free bytes.
        free: u64,
    },

    /// The WAL was written for another database: this one says that it has none.
    #[error(
        "cannot open the store at {}: it was put beside the WAL of another database, {}; restore backups with `chanwire \
         restore`, or put back the database that was there, or move the WAL away",
        file.display(),
        wal.display()
    )]
    ForeignWal {
        /// The database.
        file: PathBuf,
        /// The WAL.
        wal: PathBuf,
    },

    /// There is no database where one is to be read.
    #[error("there is no database {}; name the server's data directory with --data-dir", file.display())]
    NoDatabase {
        /// The database's file.
        file: PathBuf,
    },

    /// A backup would take the place of something.
    #[error("{} is there already, and was left as it is; name another file for the backup, or remove it", file.display())]
    BackupExists {
        /// The thing that is there.
        file: PathBuf,
    },

    /// The operating system refused something on a backup's file.
    #[error("cannot {action} {}: {cause}; correct that, or name another file for the backup", file.display())]
    BackupFile {
        /// The action that was tried, as a verb.
        action: &'static str,
        /// The backup's file.
        file: PathBuf,
        /// The system's words.
        cause: io::Error,
    },

    /// A restore was cut short after it began to replace the database.
    #[error(
        "a restore into the directory of {} was interrupted; run `chanwire restore` again, with the same backup",
        file.display()
    )]
    RestoreInterrupted {
        /// The database.
        file: PathBuf,
    },

    /// The backup to restore is the directory's own database.
    #[error("{} is the database of this data directory itself; name a backup", file.display())]
    RestoreOfItself {
        /// The database.
        file: PathBuf,
    },

    /// SQLite could not copy the database.
    #[error("cannot copy {} to {}: {}; {}", from.display(), to.display(), shown(cause), advice(cause))]
    Backup {
        /// The database.
        from: PathBuf,
        /// The copy, which was removed.
        to: PathBuf,
        /// SQLite's words.
        cause: rusqlite::Error,
    },

    /// SQLite failed.
    #[error("cannot {action} {}: {}; {}", file.display(), shown(cause), advice(cause))]
    Sqlite {
        /// The action that was tried, as a verb.
        action: &'static str,
        /// The database.
        file: PathBuf,
        /// SQLite's words.
        cause: rusqlite::Error,
    },

    /// The database does not work in the one mode that is fast and durable.
    #[error(
        "{} cannot have a write-ahead log (SQLite chose the journal mode {mode:?}); put the data directory on a local \
         file system with --data-dir",
        file.display()
    )]
    NoWriteAheadLog {
        /// The database.
        file: PathBuf,
        /// The mode that SQLite fell back to.
        mode: String,
    },

    /// A message does not follow the last one of its channel. The commit's author is wrong about the store.
    #[error(
        "message {found} of channel {channel_name:?} was to be stored in {}, where {expected} is next (a bug, please \
         report)",
        file.display()
    )]
    IdGap {
        /// The database.
        file: PathBuf,
        /// The channel.
        channel_name: ChannelName,
        /// The one id that would have been right.
        expected: u64,
        /// The id that the message has.
        found: u64,
    },

    /// Too many names have had messages.
    #[error(
        "{} has no place for messages of channel {channel_name:?}: {MAX_LOG} names have had some, and there are no more; \
         use one of those names, or choose a new directory with --data-dir",
        file.display()
    )]
    NoLog {
        /// The database.
        file: PathBuf,
        /// The channel.
        channel_name: ChannelName,
    },

    /// A channel has given all its ids.
    #[error(
        "{} has no place for another message of channel {channel_name:?}: it has had {MAX_ID}, and there are no more; use \
         a channel of another name",
        file.display()
    )]
    NoId {
        /// The database.
        file: PathBuf,
        /// The channel.
        channel_name: ChannelName,
    },

    /// Something in the database is nothing that this program writes.
    #[error("{} is damaged: {}; restore the data directory from a backup", file.display(), visible(problem))]
    Damaged {
        /// The database.
        file: PathBuf,
        /// The thing that is there.
        problem: String,
    },

    /// The store has as much as it may have, and nothing more can be dropped at once.
    #[error(
        "cannot store more in {}: it may take {max} bytes, and no room was made in time; raise --store-max",
        file.display()
    )]
    Full {
        /// The database.
        file: PathBuf,
        /// The bytes that it may take.
        max: u64,
    },

    /// The file system has too little free space.
    #[error(
        "cannot store more in {}: too little space is free; free some, it goes on by itself (the least is set by \
         --store-min-free)",
        file.display()
    )]
    LowSpace {
        /// The database.
        file: PathBuf,
    },

    /// Something other than this program has removed or changed a file that it uses.
    #[error(
        "{} {problem} while the server was using it: nothing more is stored or read; stop the server, put the data \
         directory back or restore a backup with `chanwire restore`, and start it again",
        file.display()
    )]
    Lost {
        /// The file.
        file: PathBuf,
        /// The change that was found.
        problem: String,
    },

    /// Texts of deleted messages may still be in the files, after the time within which they are to be erased.
    #[error(
        "cannot erase the texts of deleted messages from {} and its WAL: {cause}; it is tried again",
        file.display()
    )]
    NotErased {
        /// The database.
        file: PathBuf,
        /// The reason.
        cause: &'static str,
    },

    /// A thread could not be started.
    #[error("cannot start the thread {name}: {cause}; raise the limit on this user's threads")]
    Thread {
        /// The thread.
        name: &'static str,
        /// The system's words.
        cause: io::Error,
    },
}

/// A failure to store all of a commit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// Writes of these names cannot be stored, and nothing of the commit that is about them is. The others' writes are
    /// durable.
    #[error("{}", refusals.values().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Without {
        /// The cause, for each name.
        refusals: BTreeMap<ChannelName, StoreError>,
    },

    /// Nothing of the commit is known to be stored.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

impl StoreError {
    /// Whether a commit was refused before it began: nothing of it is stored.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::LowSpace { .. })
    }

    /// Adds the action and the path to an I/O error.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { action, path, cause }
    }

    /// Adds the action and the database to an error of SQLite.
    pub(super) fn sqlite(action: &'static str, file: impl Into<PathBuf>) -> impl FnOnce(rusqlite::Error) -> Self {
        let file = file.into();
        move |cause| Self::Sqlite { action, file, cause }
    }
}

/// Returns SQLite's words on one line: it quotes what it cannot read.
fn shown(cause: &rusqlite::Error) -> String {
    match cause {
        // The whole statement is of no use to an operator.
        rusqlite::Error::SqlInputError { msg, .. } => visible(msg).into_owned(),
        _ => visible(&cause.to_string()).into_owned(),
    }
}

fn advice(cause: &rusqlite::Error) -> &'static str {
    let code = match cause {
        rusqlite::Error::SqlInputError { error, .. } => Some(error.code),
        _ => cause.sqlite_error_code(),
    };
    match code {
        Some(ErrorCode::DiskFull) => "free some space on its disk",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "let this user write the data directory and the files in it"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "close the other program that has it open",
        // An unknown error is SQLite's for a file format or a table that is not what it must be; none is of a value
        // that SQLite reads and that is nothing this program writes, such as text that is no UTF-8.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
            "restore the data directory from a backup"
        }
        Some(ErrorCode::SystemIoFailure) => "check its disk, and the limit on the size of files (ulimit -f)",
        _ => "check its disk",
    }
}
