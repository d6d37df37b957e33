//! Finds the valid length of a WAL as SQLite's recovery does, but without SQLite, which would change the files.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use crate::files;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The salts, which SQLite changes each time it starts the WAL over.
pub(super) type Salts = [u8; 8];

/// The valid part of a WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wal {
    pub(super) salts: Salts,
    /// Frames up to the end of the last complete transaction.
    pub(super) frames: u32,
}

/// Returns the path of a database's WAL.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut wal = database.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

/// Returns the salts in a WAL's header, valid or not; `None` if it has no header.
pub(super) fn salts(wal: &File) -> io::Result<Option<Salts>> {
    let mut salts = Salts::default();
    match wal.read_exact_at(&mut salts, 16) {
        Ok(()) => Ok(Some(salts)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a WAL; `None` if there is none, or its header is invalid, which SQLite treats as an empty WAL.
pub(super) fn read(path: &Path) -> io::Result<Option<Wal>> {
    match files::open_regular(File::options().read(true), path) {
        Ok(file) => read_frames(BufReader::with_capacity(1 << 16, file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_frames(mut wal: impl Read) -> io::Result<Option<Wal>> {
    let mut header = [0; HEADER];
    if !fill(&mut wal, &mut header)? {
        return Ok(None);
    }
    let magic = number(&header, 0);
    let page = number(&header, 8) as usize;
    let (checked, expected) = header.split_at(HEADER - 8);
    let mut sum = Sum { is_big_endian: magic & 1 == 1, sums: (0, 0) };
    sum.add(checked);
    let is_page = page.is_power_of_two() && (512..=1 << 16).contains(&page);
    if magic & !1 != 0x377f_0682 || !is_page || !sum.matches(expected) {
        return Ok(None);
    }
    let salts: Salts = checked.last_chunk().copied().unwrap_or_default();
    let mut found = Wal { salts, frames: 0 };
    let (mut header, mut content) = ([0; FRAME_HEADER], vec![0; page]);
    for count in 1.. {
        if !fill(&mut wal, &mut header)? || !fill(&mut wal, &mut content)? {
            break;
        }
        let (numbers, rest) = header.split_at(8);
        let (frame_salts, expected) = rest.split_at(8);
        sum.add(numbers);
        sum.add(&content);
        if number(numbers, 0) == 0 || frame_salts != salts || !sum.matches(expected) {
            break;
        }
        // The last frame of a transaction has the database's size.
        if number(numbers, 4) != 0 {
            found.frames = count;
        }
    }
    Ok(Some(found))
}

/// Fills the buffer. Returns whether the file had enough bytes.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The cumulative checksum of a WAL.
struct Sum {
    is_big_endian: bool,
    sums: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks_exact(8) {
            let number = |at| {
                let number = number(pair, at);
                if self.is_big_endian { number } else { number.swap_bytes() }
            };
            self.sums.0 = self.sums.0.wrapping_add(number(0)).wrapping_add(self.sums.1);
            self.sums.1 = self.sums.1.wrapping_add(number(4)).wrapping_add(self.sums.0);
        }
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        self.sums == (number(bytes, 0), number(bytes, 4))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    /// Compares the valid length with SQLite's recovery, for WALs cut at any byte and with any byte changed.
    #[test]
    fn a_wal_goes_as_far_as_sqlite_recovers_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("some.db");
        let writer = Connection::open(&file).unwrap();
        writer.execute_batch("PRAGMA page_size = 512; PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER)").unwrap();
        let mut ends = vec![read(&path_of(&file)).unwrap().unwrap().frames];
        for number in 0..12_u32 {
            writer.execute("INSERT INTO t VALUES (?1)", [number]).unwrap();
            writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [number * 100]).unwrap();
            let wal = read(&path_of(&file)).unwrap().unwrap();
            assert_eq!(salts(&File::open(path_of(&file)).unwrap()).unwrap(), Some(wal.salts));
            ends.push(wal.frames);
        }
        assert!(ends.is_sorted_by(|one, next| one < next), "{ends:?}");
        let (database, whole) = (fs::read(&file).unwrap(), fs::read(path_of(&file)).unwrap());
        let copy = directory.path().join("copy.db");
        for at in (0..whole.len()).step_by(37) {
            for is_cut in [true, false] {
                let mut bytes = whole.clone();
                if is_cut {
                    bytes.truncate(at);
                } else {
                    bytes[at] ^= 4;
                }
                fs::write(&copy, &database).unwrap();
                fs::write(path_of(&copy), &bytes).unwrap();
                let frames = read(&path_of(&copy)).unwrap().map_or(0, |wal| wal.frames);
                let reader = Connection::open(&copy).unwrap();
                let recovered = reader
                    .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
                    .and_then(|()| reader.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1)));
                match recovered {
                    Ok(recovered) => assert_eq!(recovered.max(0), i64::from(frames), "{at}, {is_cut}"),
                    // A WAL format version that SQLite does not support.
                    Err(error) => assert!((4..8).contains(&at) && !is_cut, "{at}: {error}"),
                }
                drop(reader);
            }
        }
    }
}
