//! A server's process: where it listens, what it uses, and that it ends.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chanwire_tests::process::{program, wait_for};
use tempfile::TempDir;

use crate::link::Link;

/// A program of the system that runs with a folder of its own, until it goes out of scope.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

/// Returns a folder where the build's other files are: on a disk, so that a sync is one.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

impl Running {
    /// Starts it, and waits until it accepts connections. `arguments` takes its folder and its port.
    pub(crate) fn start(name: &str, arguments: impl FnOnce(&Path, u16) -> Vec<String>) -> Self {
        let program = program(name);
        let folder = folder();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new(program);
        command.args(arguments(folder.path(), address.port())).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut running = Self { child: child.expect("a process"), address, _folder: folder };
        wait_for(name, || {
            let ended = running.child.try_wait().expect("a child of this process");
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            TcpStream::connect(address)
        });
        running
    }

    pub(crate) fn connect(&self) -> Link {
        Link::connect(self.address)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the memory that a process has in RAM, in bytes.
pub(crate) fn resident(id: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{id}/statm")).expect("a running process");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a count of pages");
    pages * u64::try_from(rustix::param::page_size()).expect("a small number")
}

/// Returns the CPU time of all threads of a process.
pub(crate) fn cpu_time(id: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("a running process");
    let of_task = |task: std::io::Result<fs::DirEntry>| {
        // A thread may end meanwhile.
        let statistics = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(of_task).sum())
}

/// Returns the number of files that a process has open.
pub(crate) fn open_files(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).expect("a running process").count()
}
