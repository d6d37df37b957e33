//! Sizes of the store's files and of this process, as the system reports them.

use std::{fs, path::Path};

use crate::store;

/// Sizes at one moment.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) files: Option<Files>,
    pub(super) process: Option<Process>,
}

/// The bytes of the store's files, and those that are free beside them.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) database: u64,
    pub(super) wal: u64,
    pub(super) free: u64,
}

/// The figures of a process that Prometheus's own client libraries report.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_files: u64,
    pub(super) max_files: u64,
    pub(super) threads: u64,
    pub(super) start_time: f64,
}

impl Sizes {
    /// Looks them up. Blocks for as long as the file system takes.
    pub(super) fn look(database: Option<&Path>) -> Self {
        Self { files: database.and_then(Files::look), process: Process::look() }
    }
}

impl Files {
    fn look(database: &Path) -> Option<Self> {
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        let free = store::free(database.parent()?).ok()?;
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        Some(Self { database: size(database), wal: size(wal.as_ref()), free })
    }
}

impl Process {
    #[cfg(target_os = "linux")]
    fn look() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        let max_files = process.limits().ok()?.max_open_files.soft_limit;
        let max_files = match max_files {
            procfs::process::LimitValue::Value(files) => files,
            procfs::process::LimitValue::Unlimited => u64::MAX,
        };
        Some(Self {
            cpu_seconds: ticks(stat.utime + stat.stime),
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            open_files: process.fd_count().ok()? as u64,
            max_files,
            threads: u64::try_from(stat.num_threads).ok()?,
            start_time: procfs::boot_time_secs().ok()? as f64 + ticks(stat.starttime),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn look() -> Option<Self> {
        None
    }
}
