//! Unix sockets: their paths, and the sockets at which a server listens.

use std::{
    fmt,
    fs::{self, File, Permissions},
    io,
    net::SocketAddr,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use crate::{config::listen_address, socket::BACKLOG};

/// The beginning of a Unix socket's path where an address may stand. No host and port begins with it and a slash.
const PREFIX: &str = "unix:";

/// The permission to connect: for the server's user and its group.
const MODE: u32 = 0o660;

/// The most bytes of a path, which ends with a zero byte in the system's structure.
const MAX_PATH: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path) - size_of::<u8>();

/// The absolute path of a Unix socket. It is written as `unix:/run/chanwire/chanwire.sock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UnixPath(PathBuf);

/// The reason why a text is no path of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAPath {
    /// It does not begin as one, or has a control character.
    #[error("expected unix: and an absolute path, such as unix:/run/chanwire/chanwire.sock")]
    Form,
    /// It is longer than the system allows.
    #[error("the path has {length} bytes, and that of a Unix socket may have {MAX_PATH}; choose a shorter one")]
    Long { length: usize },
}

impl UnixPath {
    /// Returns whether a text is meant as the path of a Unix socket.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.strip_prefix(PREFIX).is_some_and(|path| path.starts_with('/'))
    }

    fn new(path: &Path) -> Result<Self, NotAPath> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(NotAPath::Long { length });
        }
        let is_usable = path.is_absolute() && !path.as_os_str().as_bytes().iter().any(u8::is_ascii_control);
        if is_usable { Ok(Self(path.into())) } else { Err(NotAPath::Form) }
    }
}

impl FromStr for UnixPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        Self::new(Path::new(text.strip_prefix(PREFIX).ok_or(NotAPath::Form)?))
    }
}

impl fmt::Display for UnixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.display())
    }
}

impl AsRef<Path> for UnixPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// An address to listen at for all channels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListenAddress {
    Tcp(SocketAddr),
    Unix(UnixPath),
}

impl ListenAddress {
    /// The form of an address, for error messages.
    pub(crate) const EXPECTED: &str = "IP:PORT, such as \"127.0.0.1:22236\", or \"unix:/PATH\"";

    /// Returns the address of a socket at a path.
    pub(crate) fn at_path(path: &Path) -> io::Result<Self> {
        UnixPath::new(path).map(Self::Unix).map_err(io::Error::other)
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(PREFIX) {
            return text.parse().map(Self::Unix).map_err(|error: NotAPath| error.to_string());
        }
        listen_address(text).map(Self::Tcp).map_err(|error| format!("{error}, or unix:/PATH"))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.fmt(f),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// The reason why nothing can listen at a path, with advice.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnixSocketError {
    #[error("another program listens there{}; stop it, or choose another path with --listen", of(.0.as_ref()))]
    InUse(Option<Holder>),
    #[error("something that is no socket is there; remove it, or choose another path with --listen")]
    NoSocket,
    #[error("{0}; make its directory, and let this user write there, or choose another path with --listen")]
    System(#[from] io::Error),
}

/// The program that listens at a socket.
#[derive(Debug)]
pub(crate) struct Holder {
    process: i32,
    /// The name of its program, if it can be seen.
    name: Option<String>,
}

fn of(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { process, name: Some(name) }) => format!(" ({name}, process {process})"),
        Some(Holder { process, name: None }) => format!(" (process {process})"),
        None => String::new(),
    }
}

/// A Unix socket at which a server listens.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    /// Its file, unless another program has made it. It is removed before the socket is closed, so that no client
    /// connects in between and waits.
    _file: Option<SocketFile>,
    pub(crate) listener: UnixListener,
}

impl UnixSocket {
    /// Listens at a path. The socket of a server that has ended is replaced, and one at which a program listens is not.
    pub(crate) fn listen(path: &UnixPath) -> Result<Self, UnixSocketError> {
        // Of two servers that find the same old socket, the second would remove the first one's.
        let directory = File::open(path.0.parent().unwrap_or(&path.0))?;
        directory.lock()?;
        remove_abandoned(&path.0)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&path.0)?)?;
        let file = SocketFile::at(&path.0)?;
        // Nobody can connect before it listens.
        fs::set_permissions(&path.0, Permissions::from_mode(MODE))?;
        socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        Ok(Self { _file: Some(file), listener: UnixListener::from_std(socket.into())? })
    }

    /// Uses a socket that another program has opened, and whose file is that one's.
    pub(crate) const fn inherited(listener: UnixListener) -> Self {
        Self { _file: None, listener }
    }
}

/// Removes the socket of a program that has ended.
fn remove_abandoned(path: &Path) -> Result<(), UnixSocketError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => return Err(UnixSocketError::NoSocket),
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A program that accepts nothing may have a full backlog.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Err(UnixSocketError::InUse(holder(socket))),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
            io::ErrorKind::WouldBlock => Err(UnixSocketError::InUse(None)),
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error.into()),
        },
    }
}

/// Returns the program at the other end of a connection, if the system tells it.
fn holder(socket: Socket) -> Option<Holder> {
    let process = UnixStream::from_std(socket.into()).ok()?.peer_cred().ok()?.pid()?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok();
    Some(Holder { process, name: name.map(|name| name.trim().into()) })
}

/// The file of a socket, removed when dropped, unless another one is at its path by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the Unix socket's file; the next server replaces it");
        }
    }
}

/// The device and the number of a file, and the time at which it was made: a number is used again when its file is gone.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::SocketAddr as UnixSocketAddr;

    use super::*;

    #[test]
    fn a_path_is_absolute_and_as_long_as_the_system_allows() {
        let path = |length: usize| format!("unix:/{}", "a".repeat(length - 1));
        for text in ["unix:/run/chanwire/chanwire.sock", "unix:///run/chanwire.sock", "unix:/a b", &path(MAX_PATH)] {
            assert_eq!(text.parse::<UnixPath>().unwrap().to_string(), text);
            // The system takes it.
            UnixSocketAddr::from_pathname(text.parse::<UnixPath>().unwrap()).unwrap();
        }
        for text in ["", "/run/a", "unix:", "unix:run/a", "unix:/a\0b", "unix:/a\nb", "127.0.0.1:22236"] {
            assert_eq!(text.parse::<UnixPath>(), Err(NotAPath::Form), "{text:?}");
        }
        let long = path(MAX_PATH + 1).parse::<UnixPath>().unwrap_err();
        assert_eq!(long, NotAPath::Long { length: MAX_PATH + 1 });
        assert!(UnixSocketAddr::from_pathname("a".repeat(MAX_PATH + 1)).is_err());
    }

    #[test]
    fn an_address_to_listen_at_is_of_one_kind() {
        for text in ["127.0.0.1:22236", "[::]:0", "unix:/run/a"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for (text, words) in [("localhost:1", "or unix:/PATH"), ("unix:a", "absolute path")] {
            assert!(text.parse::<ListenAddress>().unwrap_err().contains(words), "{text}");
        }
    }

    #[tokio::test]
    async fn only_an_abandoned_socket_is_replaced_and_only_an_own_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("s");
        let path = UnixPath::new(&at).unwrap();
        let mode = || at.symlink_metadata().unwrap().permissions().mode() & 0o777;

        let first = UnixSocket::listen(&path).unwrap();
        assert_eq!(mode(), MODE);
        let words = UnixSocket::listen(&path).unwrap_err().to_string();
        assert!(words.contains(&format!("process {}", std::process::id())), "{words}");
        UnixStream::connect(&at).await.unwrap();

        // As if the process had been killed.
        let UnixSocket { _file: file, listener } = first;
        drop(listener);
        let second = UnixSocket::listen(&path).unwrap();
        drop(file);
        UnixStream::connect(&at).await.unwrap();
        drop(second);
        assert!(!at.exists());

        fs::write(&at, "precious").unwrap();
        assert!(matches!(UnixSocket::listen(&path), Err(UnixSocketError::NoSocket)));
        assert_eq!(fs::read(&at).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_program_that_accepts_nothing_still_holds_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("s");
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&at).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let mut clients = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            if client.connect(&SockAddr::unix(&at).unwrap()).is_err() {
                break;
            }
            clients.push(client);
        }
        let refused = UnixSocket::listen(&UnixPath::new(&at).unwrap());
        assert!(matches!(refused, Err(UnixSocketError::InUse(None))), "{refused:?}");
    }
}
