//! What the operating system lets this process have: open files, and the size of those that it writes.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Files that nobody asks for from outside: the database and its log, listeners, the runtime, standard streams.
const OTHERS: u32 = 64;

/// Raises the limit on open files to the hard one, and says how many of `wanted` connections fit when so many others,
/// `beside` them, may be open too. Where there are few files, a quarter of them is for the connections all the same.
///
/// # Errors
///
/// If the system does not tell its limits.
pub(crate) fn raise(wanted: u32, beside: u32) -> io::Result<u32> {
    let files = rlimit::increase_nofile_limit(rlimit::INFINITY)?;
    let fit = fitting(u32::try_from(files).unwrap_or(u32::MAX), beside);
    if fit < wanted {
        tracing::warn!(
            "the limit of open files is {files}: serving at most {fit} connections instead of {wanted}; raise it with \
             `ulimit -Hn {}` or in the service's settings",
            wanted + OTHERS + beside
        );
    }
    Ok(fit.min(wanted))
}

fn fitting(files: u32, beside: u32) -> u32 {
    files.saturating_sub(OTHERS + beside).max(files / 4).max(1)
}

/// Makes a write beyond the limit on the size of files an error like any other, instead of the process's end. It must be
/// called in a runtime. There is nothing to wait for.
///
/// # Errors
///
/// If the system refuses to watch for the signal.
pub(crate) fn outlive_file_size() -> io::Result<Signal> {
    signal(SignalKind::from_raw(libc::SIGXFSZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_beside_the_connections_has_its_files() {
        assert_eq!(fitting(10_000, 400), 10_000 - 400 - 64);
        assert_eq!(fitting(1024, 400), 560);
        assert_eq!((fitting(100, 400), fitting(3, 400)), (25, 1));
    }
}
