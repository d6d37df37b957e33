//! The operating system's limits on open files and on the size of files.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Open files besides connections: the database and its WAL, listeners, the runtime, standard streams.
const RESERVED: u32 = 64;

/// The shares of the program's parts in the open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The share of the main connections.
    pub(crate) connections: u32,
    /// The share of all other parts together, and the number that they want.
    beside: (u32, u32),
    /// The most connections for which there is room.
    most: u32,
}

impl Files {
    /// Returns the number of connections that can be served of those that are wanted.
    pub(crate) fn connections_of(&self, wanted: u32) -> u32 {
        let connections = wanted.min(self.most).max(1);
        if connections < wanted {
            tracing::warn!("the limit of open files leaves {connections} connections of {wanted}");
        }
        connections
    }

    /// Returns the share of a part that wants `wanted` files, at least one.
    pub(crate) fn part(&self, wanted: u32) -> u32 {
        let (have, want) = self.beside;
        let share = u64::from(wanted) * u64::from(have) / u64::from(want.max(1));
        u32::try_from(share).unwrap_or(wanted).clamp(1, wanted.max(1))
    }

    fn fitting(files: u32, wanted: u32, beside: u32) -> Self {
        let spare = files - RESERVED.min(files / 2);
        // At least half of the files are for the connections.
        let others = beside.min(spare / 2);
        let most = spare - others;
        Self { connections: wanted.min(most).max(1), beside: (others, beside), most }
    }

    #[cfg(test)]
    pub(crate) fn plenty() -> Self {
        Self { connections: 1, beside: (1, 1), most: 1 }
    }
}

/// Raises the limit on open files to the hard limit, and divides the files between `wanted` connections and `beside`
/// files of other parts.
///
/// # Errors
///
/// If the limit cannot be read or raised.
pub(crate) fn raise(wanted: u32, beside: u32) -> io::Result<Files> {
    let limit = rlimit::increase_nofile_limit(rlimit::INFINITY)?;
    let files = Files::fitting(u32::try_from(limit).unwrap_or(u32::MAX), wanted, beside);
    if files.connections < wanted {
        tracing::warn!(
            "the limit of open files is {limit}: serving at most {} connections instead of {wanted}; raise it with \
             `ulimit -Hn {}` or in the service's settings",
            files.connections,
            wanted + RESERVED + beside
        );
    }
    Ok(files)
}

/// Handles SIGXFSZ, so that a write beyond the file size limit fails with an error instead of ending the process. Must
/// be called in a runtime; lasts until the result is dropped.
///
/// # Errors
///
/// If the signal cannot be handled.
pub(crate) fn handle_file_size_signal() -> io::Result<Signal> {
    signal(SignalKind::from_raw(libc::SIGXFSZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_get_their_share_of_files() {
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
    fn all_shares_together_stay_within_the_limit() {
        for files in 64..5000 {
            for wanted in [1, 100, 10_000] {
                let parts = [64, 16, 16, 256, 64, 16, 16];
                let shared = Files::fitting(files, wanted, parts.iter().sum());
                let all: u32 = shared.connections + parts.iter().map(|part| shared.part(*part)).sum::<u32>();
                // Each part has at least one file, however small its share.
                assert!(all + files.min(2 * RESERVED) / 2 <= files + 4, "{files} {wanted}: {all}");
            }
        }
    }
}
