//! A note of the last commit, in a file beside the database, by which the next start detects lost data: a WAL that was
//! truncated, removed or belongs to another database, and an older copy of the database.
//!
//! The note is written after the commit is on stable storage and is not synced itself. So it never claims more than is
//! durable, and a crash can only leave an older note, or a torn one, which is ignored. It makes three claims:
//!
//! - Messages stored over all channels, the sum of their last ids: no id is ever given back, but for those of a name
//!   that is forgotten, which the note is rid of before, and synced.
//! - The last message: its channel has it, or a later one.
//! - The WAL's salts and frames: as long as a WAL has these salts, it has at least these frames. A WAL with other
//!   salts, or none, was begun anew or removed by a checkpoint, whoever made it; then the other two claims count alone.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    mem,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chanwire_core::hub::Write;
use crc_fast::crc32_iscsi;
use rusqlite::Connection;

use super::{
    StoreError,
    checksum::Checksum,
    data_dir::DataDir,
    rows::{LogRow, RowError, id},
    schema,
    wal::{self, Wal},
};
use crate::files;

pub(super) const NAME: &str = "chanwire.last-commit";

const MAGIC: [u8; 8] = *b"chwrlast";
const LENGTH: usize = 48;

/// The claims of a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastCommit {
    wal: Option<Wal>,
    messages: u64,
    /// The checksum of the name of the last message's channel, and the message's id.
    last: (i64, u64),
}

/// The state that is found at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    wal: Option<Wal>,
    messages: u64,
    /// The last id of the channel that the note names.
    last_id: u64,
}

impl LastCommit {
    fn encode(&self) -> Vec<u8> {
        let (salts, frames) = self.wal.map_or_else(Default::default, |wal| (wal.salts, wal.frames));
        let mut bytes = [&MAGIC[..], &salts, &frames.to_be_bytes(), &self.messages.to_be_bytes()].concat();
        bytes.extend(self.last.0.to_be_bytes());
        bytes.extend(self.last.1.to_be_bytes());
        bytes.extend(crc32_iscsi(&bytes).to_be_bytes());
        bytes
    }

    /// Decodes a note; `None` if it is torn, or nothing that this program wrote.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.first_chunk::<LENGTH>()?.split_last_chunk()?;
        if crc32_iscsi(content) != u32::from_be_bytes(*sum) {
            return None;
        }
        let content = content.strip_prefix(&MAGIC)?;
        let (salts, content) = content.split_first_chunk()?;
        let (frames, content) = content.split_first_chunk()?;
        let (messages, content) = content.split_first_chunk()?;
        let (name, id) = content.split_first_chunk()?;
        let frames = u32::from_be_bytes(*frames);
        Some(Self {
            wal: (frames > 0).then_some(Wal { salts: *salts, frames }),
            messages: u64::from_be_bytes(*messages),
            last: (i64::from_be_bytes(*name), u64::from_be_bytes(*id.first_chunk()?)),
        })
    }

    /// Describes what the database lacks of the note's claims, if anything.
    fn missing(&self, found: &Found) -> Option<String> {
        let mut problem = Vec::new();
        if let Some((noted, wal)) = self.wal.zip(found.wal)
            && noted.salts == wal.salts
            && wal.frames < noted.frames
        {
            problem.push(format!("{} of {} WAL frames are missing", noted.frames - wal.frames, noted.frames));
        }
        if found.messages < self.messages {
            let missing = self.messages - found.messages;
            problem.push(format!("the last {missing} of the {} messages ever stored are missing", self.messages));
        } else if found.last_id < self.last.1 {
            let last = self.last.1;
            problem.push(format!("the message that was stored last, {last} of its channel, is missing: the database or its WAL is another's"));
        }
        (!problem.is_empty()).then(|| problem.join(", "))
    }
}

/// Keeps the note of the last commit.
#[derive(Debug)]
pub(super) struct Noter {
    note: LastCommit,
    path: PathBuf,
    file: File,
    wal: File,
    /// Whether the last write failed.
    has_failed: bool,
}

impl Noter {
    /// Begins to note commits to a database that was found complete.
    pub(super) fn start(directory: &DataDir, database: &Path, note: LastCommit) -> Result<Self, StoreError> {
        let (path, wal) = (directory.file(NAME), wal::path_of(database));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = files::open_regular(&mut options, &path).map_err(StoreError::file("open", &path))?;
        let wal = files::open_regular(File::options().read(true), &wal).map_err(StoreError::file("open", &wal))?;
        Ok(Self { note, path, file, wal, has_failed: false })
    }

    /// Records a commit on stable storage and the number of WAL frames after it.
    pub(super) fn note<'w>(&mut self, frames: u32, writes: impl Iterator<Item = &'w Write>) {
        let mut last = None;
        for write in writes {
            if let Write::Append { message, .. } | Write::Delete { record: message, .. } = write {
                self.note.messages = self.note.messages.saturating_add(1);
                last = Some(message);
            }
        }
        if let Some(last) = last {
            self.note.last = (Checksum::default().text(&last.channel_name).finish(), last.id);
        }
        let written = wal::salts(&self.wal).and_then(|salts| {
            self.note.wal = salts.map(|salts| Wal { salts, frames });
            self.write()
        });
        self.observe(written);
    }

    /// Removes the claims about names with these last ids, before the commit that drops them, so that the note never
    /// claims more than the database has.
    pub(super) fn drop_names(&mut self, names: &[(&str, u64)]) {
        for (name, last_id) in names {
            self.note.messages = self.note.messages.saturating_sub(*last_id);
            if Checksum::default().text(name).finish() == self.note.last.0 {
                self.note.last = (0, 0);
            }
        }
        let written = self.write().and_then(|()| self.file.sync_data());
        self.observe(written);
    }

    fn write(&self) -> io::Result<()> {
        self.file.write_all_at(&self.note.encode(), 0)
    }

    fn observe(&mut self, written: io::Result<()>) {
        let had_failed = mem::replace(&mut self.has_failed, written.is_err());
        if let Err(error) = written
            && !had_failed
        {
            let path = self.path.display();
            tracing::warn!(%error, %path, "cannot note the last commit: a WAL that is cut may not be noticed");
        }
    }
}

/// The note of the last run, read before SQLite opens the database.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    note: Option<LastCommit>,
    wal: Option<Wal>,
}

impl Noted {
    pub(super) fn read(directory: &DataDir, database: &Path) -> Result<Self, StoreError> {
        let path = directory.file(NAME);
        let failed = || StoreError::file("read", &path);
        let mut bytes = Vec::new();
        match files::open_regular(File::options().read(true), &path) {
            Ok(file) => file.take(LENGTH as u64).read_to_end(&mut bytes).map_err(failed())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed()(error)),
        };
        let Some(note) = LastCommit::decode(&bytes) else { return Ok(Self::default()) };
        let wal_path = wal::path_of(database);
        let wal = wal::read(&wal_path).map_err(StoreError::file("read", &wal_path))?;
        let noted = Self { note: Some(note), wal };
        if !database.exists() && wal.is_none() {
            noted.compare(directory, database, 0, 0)?;
        }
        Ok(noted)
    }

    /// Refuses a database that lacks something claimed. Returns the note to continue from.
    pub(super) fn check(
        &self,
        connection: &Connection,
        directory: &DataDir,
        database: &Path,
    ) -> Result<LastCommit, StoreError> {
        let note = self.note.unwrap_or_default();
        let counted = count(connection, note.last.0).map_err(RowError::at("read", database))?;
        let Counted { messages, last_id, is_damaged } = counted;
        // The count of a damaged row is unknown; the store reports the damage.
        let (found, last) = if is_damaged { ((u64::MAX, u64::MAX), (0, 0)) } else { ((messages, last_id), note.last) };
        self.compare(directory, database, found.0, found.1)?;
        Ok(LastCommit { wal: None, messages, last })
    }

    fn compare(&self, directory: &DataDir, file: &Path, messages: u64, last_id: u64) -> Result<(), StoreError> {
        let found = Found { wal: self.wal, messages, last_id };
        match self.note.and_then(|note| note.missing(&found)) {
            None => Ok(()),
            Some(problem) => Err(StoreError::Incomplete { file: file.to_owned(), problem, note: directory.file(NAME) }),
        }
    }
}

/// The state of a database, as a note claims it.
#[derive(Default)]
struct Counted {
    /// Messages ever stored, without those of damaged rows.
    messages: u64,
    /// The last id of the channel that the note names.
    last_id: u64,
    is_damaged: bool,
}

/// Counts the messages ever stored, and finds the last id of the channel whose name has this checksum. It reads the
/// tables of every version.
fn count(connection: &Connection, name: i64) -> Result<Counted, RowError> {
    let mut counted = Counted::default();
    let mut add = |text: &str, last: u64| {
        counted.messages = counted.messages.saturating_add(last);
        if Checksum::default().text(text).finish() == name {
            counted.last_id = last.max(counted.last_id);
        }
    };
    if schema::is_current(connection)? {
        let mut is_damaged = false;
        LogRow::for_each(connection, |log| {
            match log {
                Ok(log) => add(&log.name, log.last_id),
                Err(_) => is_damaged = true,
            }
            Ok(())
        })?;
        counted.is_damaged = is_damaged;
        return Ok(counted);
    }
    // Older versions have no checksums.
    let mut select = connection.prepare("SELECT name, last_id FROM logs")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        add(&row.get::<_, String>(0)?, id(row, 1)?);
    }
    Ok(counted)
}

#[cfg(test)]
mod tests;
