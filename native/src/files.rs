//! Files that only this user may read and write, at names that lead nowhere else.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::{fs::Mode, process::umask};

/// Keeps what this process creates from everybody but this user, whatever umask it was started with.
pub(crate) fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Opens a file. Symbolic links are not followed, and opening a pipe without a reader does not block.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a symbolic link, which is not followed"),
        Some(libc::ENXIO) => io::Error::other("it is a pipe or a socket that nobody reads"),
        _ => error,
    })
}

/// Opens a regular file, and nothing else.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = open(options, path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}
