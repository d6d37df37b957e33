//! What the operating system lets this process have: open files, and the size of those that it writes.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Files beside the connections: the database and its log, listeners, the runtime, standard streams.
const OTHERS: u32 = 64;

/// Raises the limit on open files to the hard one, and says how many of `wanted` connections fit.
///
/// # Errors
///
/// If the system does not tell its limits.
pub(crate) fn raise(wanted: u32) -> io::Result<u32> {
    let files = rlimit::increase_nofile_limit(rlimit::INFINITY)?;
    let fit = u32::try_from(files).unwrap_or(u32::MAX).saturating_sub(OTHERS).max(1);
    if fit < wanted {
        tracing::warn!(
            "the limit of open files is {files}: serving at most {fit} connections instead of {wanted}; raise it with \
             `ulimit -Hn {}` or in the service's settings",
            wanted + OTHERS
        );
    }
    Ok(fit.min(wanted))
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
