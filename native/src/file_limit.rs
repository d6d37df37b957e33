//! What the operating system lets this process have: open files, and the size of those that it writes.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Files that nobody asks for from outside: the database and its log, listeners, the runtime, standard streams.
const OTHERS: u32 = 64;

/// The files that each part of the program may have open, so that none takes another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// Of the connections that the program is for.
    pub(crate) connections: u32,
    /// Of all others together, and how many they would like.
    beside: (u32, u32),
}

impl Files {
    /// Returns the share of a part that would like as many. At least one, since without any it could not work.
    pub(crate) fn part(&self, wanted: u32) -> u32 {
        let (have, want) = self.beside;
        let share = u64::from(wanted) * u64::from(have) / u64::from(want.max(1));
        u32::try_from(share).unwrap_or(wanted).clamp(1, wanted.max(1))
    }

    fn fitting(files: u32, wanted: u32, beside: u32) -> Self {
        let spare = files - OTHERS.min(files / 2);
        // Where there are few files, half of them are for the connections all the same.
        let others = beside.min(spare / 2);
        Self { connections: wanted.min(spare - others).max(1), beside: (others, beside) }
    }

    #[cfg(test)]
    pub(crate) fn plenty() -> Self {
        Self { connections: 1, beside: (1, 1) }
    }
}

/// Raises the limit on open files to the hard one, and shares them out between `wanted` connections and as many others
/// `beside` them.
///
/// # Errors
///
/// If the system does not tell its limits.
pub(crate) fn raise(wanted: u32, beside: u32) -> io::Result<Files> {
    let limit = rlimit::increase_nofile_limit(rlimit::INFINITY)?;
    let files = Files::fitting(u32::try_from(limit).unwrap_or(u32::MAX), wanted, beside);
    if files.connections < wanted {
        tracing::warn!(
            "the limit of open files is {limit}: serving at most {} connections instead of {wanted}; raise it with \
             `ulimit -Hn {}` or in the service's settings",
            files.connections,
            wanted + OTHERS + beside
        );
    }
    Ok(files)
}

/// Makes a write beyond the limit on the size of files an error like any other, instead of the process's end. It must
/// be called in a runtime. There is nothing to wait for.
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
        let fitting = |files| {
            let files = Files::fitting(files, 10_000, 400);
            (files.connections, files.part(256), files.part(1))
        };
        assert_eq!(fitting(100_000), (10_000, 256, 1));
        assert_eq!(fitting(10_000), (10_000 - 400 - 64, 256, 1));
        assert_eq!(fitting(1024), (560, 256, 1));
        assert_eq!((fitting(100), fitting(64), fitting(3)), ((25, 16, 1), (16, 10, 1), (1, 1, 1)));
    }

    #[test]
    fn all_parts_together_have_no_more_than_there_is() {
        for files in 64..5000 {
            for wanted in [1, 100, 10_000] {
                let parts = [64, 16, 16, 256, 64, 16, 16];
                let shared = Files::fitting(files, wanted, parts.iter().sum());
                let all: u32 = shared.connections + parts.iter().map(|part| shared.part(*part)).sum::<u32>();
                // A part that is too small for a file of its own has one all the same.
                assert!(all + files.min(2 * OTHERS) / 2 <= files + 4, "{files} {wanted}: {all}");
            }
        }
    }
}
