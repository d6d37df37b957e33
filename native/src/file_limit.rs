//! How many connections the operating system lets the server have.

use std::io;

/// Files beside the connections: the database and its log, listeners, the runtime, standard streams.
const OTHERS: usize = 64;

/// Raises the limit on open files to the hard one, and says how many of `wanted` connections fit.
///
/// # Errors
///
/// If the system does not tell its limits.
pub(crate) fn raise(wanted: usize) -> io::Result<usize> {
    let files = rlimit::increase_nofile_limit(rlimit::INFINITY)?;
    let fit = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHERS).max(1);
    if fit < wanted {
        tracing::warn!(
            "the limit of open files is {files}: serving at most {fit} connections instead of {wanted}; raise it with \
             `ulimit -Hn {}` or in the service's settings",
            wanted + OTHERS
        );
    }
    Ok(fit.min(wanted))
}
