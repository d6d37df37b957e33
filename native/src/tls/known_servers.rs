//! The file of servers that a user chose to trust by their keys.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use super::{Pin, TlsError};
use crate::{files, server_address::ServerAddress};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

const NAME: &str = "known_servers";

/// The file, with a line for each server: `HOST:PORT sha256/BASE64`. Empty lines and those with `#` in front say
/// nothing.
#[derive(Debug)]
pub(crate) struct KnownServers {
    path: PathBuf,
}

/// The trusted keys of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pins: Vec<Pin>,
    /// The file and the first line.
    pub(super) place: Box<str>,
}

impl KnownServers {
    /// Returns the user's file, in `$XDG_CONFIG_HOME/chanwire` or `~/.config/chanwire`. `None` for a user without a
    /// home.
    pub(crate) fn of_user() -> Option<Self> {
        let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(Self::at(base.join("chanwire").join(NAME)))
    }

    /// Returns the file at this path, which may not exist yet.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the keys of a server.
    ///
    /// # Errors
    ///
    /// [`TlsError::Trust`] if the file cannot be read, or a line of it cannot be understood.
    pub(super) fn find(&self, server: &ServerAddress) -> Result<Option<Known>, TlsError> {
        let mut found: Option<Known> = None;
        for (number, line) in self.read().map_err(|error| self.fault(&error.to_string()))?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = number + 1;
            let (address, pin) =
                parse(line).ok_or_else(|| self.fault(&format!("line {number}: expected HOST:PORT sha256/BASE64")))?;
            if address.same_place(server) {
                let place = || format!("{} line {number}", self.path.display()).into();
                found.get_or_insert_with(|| Known { pins: Vec::new(), place: place() }).pins.push(pin);
            }
        }
        Ok(found)
    }

    /// Adds a server's key. The file is replaced as a whole, and only its owner may read it.
    pub(crate) fn add(&self, server: &ServerAddress, pin: &Pin) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let locked = File::open(directory)?;
        // Another process that adds a server must not lose this one.
        locked.lock()?;
        let mut text = self.read()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &format!("{} {pin}\n", server.clone().with_tls(false));
        let new = directory.join(format!(".{NAME}.{}", process::id()));
        // Left behind by a process that was killed and had the same id.
        let _ = fs::remove_file(&new);
        let replaced = write(&new, &text).and_then(|()| fs::rename(&new, &self.path));
        if replaced.is_err() {
            // There is nothing more to do about it.
            let _ = fs::remove_file(&new);
        }
        replaced?;
        locked.sync_all()
    }

    /// Returns the text, which is empty if there is no file.
    fn read(&self) -> io::Result<String> {
        let file = match files::open_regular(OpenOptions::new().read(true), &self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
        }
        Ok(text)
    }

    fn fault(&self, cause: &str) -> TlsError {
        TlsError::Trust(format!("cannot use the known servers in {}: {cause}", self.path.display()).into())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = files::open(&mut options, path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn parse(line: &str) -> Option<(ServerAddress, Pin)> {
    let mut words = line.split_whitespace();
    let parsed = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn address(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    #[test]
    fn an_added_server_is_found_by_its_place_and_the_file_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let known = KnownServers::at(directory.path().join("a/b").join(NAME));
        let (ann, bob) = (Pin::of(b"ann"), Pin::of(b"bob"));
        assert_eq!(known.find(&address("tls://a.example:1")), Ok(None));
        known.add(&address("tls://a.example:1"), &ann).unwrap();
        known.add(&address("tls://[::1]:2"), &bob).unwrap();
        assert_eq!(fs::read_to_string(known.path()).unwrap(), format!("a.example:1 {ann}\n[::1]:2 {bob}\n"));
        let found = |text| known.find(&address(text)).unwrap().map(|known| (known.pins, known.place));
        let line = |number: usize| format!("{} line {number}", known.path().display()).into();
        assert_eq!(found("tls://A.Example:1"), Some((vec![ann], line(1))));
        assert_eq!(found("tls://localhost:2"), Some((vec![bob], line(2))));
        assert_eq!(found("tls://a.example:2"), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(known.path()), mode(known.path().parent().unwrap())), (0o600, 0o700));
        // Nothing else is left in the directory.
        assert_eq!(fs::read_dir(known.path().parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn lines_of_a_user_are_kept_and_one_that_is_not_understood_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let known = KnownServers::at(directory.path().join(NAME));
        let (ann, bob) = (Pin::of(b"ann"), Pin::of(b"bob"));
        let text = format!("# mine\n\na.example:1\t{ann}\na.example:1 {bob}");
        fs::write(known.path(), &text).unwrap();
        known.add(&address("tls://b.example:1"), &ann).unwrap();
        assert_eq!(fs::read_to_string(known.path()).unwrap(), format!("{text}\nb.example:1 {ann}\n"));
        let found = known.find(&address("a.example:1")).unwrap().unwrap();
        assert_eq!(found.pins, [ann, bob]);
        for wrong in ["a.example:1", "a.example sha256/x", &format!("a.example:1 {ann} more")] {
            fs::write(known.path(), format!("\n{wrong}\n")).unwrap();
            let error = known.find(&address("a.example:1")).unwrap_err().to_string();
            assert!(error.contains("line 2: expected HOST:PORT sha256/BASE64"), "{error}");
        }
    }
}
