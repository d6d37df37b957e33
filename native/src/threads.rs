//! Threads, which the system may refuse.

use std::{
    io,
    num::NonZero,
    panic::catch_unwind,
    sync::mpsc::channel,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Runtime};

/// Threads beside the runtime's workers: the hub's, the store's four, one that writes a capture, and some that look up names.
const OTHERS: usize = 9;

/// Starts a thread.
///
/// # Errors
///
/// If the system refuses it, in words.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, String> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|cause| format!("cannot start the thread {name}: {cause}; {ADVICE}"))
}

const ADVICE: &str = "raise the limit on this user's processes (ulimit -u) or the service's tasks (TasksMax)";

/// Starts a runtime with a worker for each processor, or with fewer where the system does not give as many threads.
///
/// # Errors
///
/// If there are too few threads for one worker, in words.
pub(crate) fn runtime() -> Result<Runtime, String> {
    let wanted = thread::available_parallelism().map_or(1, NonZero::get);
    let (free, refusal) = available(wanted + OTHERS);
    let workers = free.saturating_sub(OTHERS);
    if workers == 0 {
        let cause = refusal.map_or_else(String::new, |cause| format!(": {cause}"));
        let needed = OTHERS + 1;
        return Err(format!(
            "cannot start threads, of {needed} that are needed there is room for {free}{cause}; {ADVICE}"
        ));
    }
    if workers < wanted {
        tracing::warn!("the limit on threads leaves {workers} of {wanted} workers; {ADVICE}");
    }
    // The runtime panics where a thread that was free a moment ago is not any more.
    let built = catch_unwind(|| Builder::new_multi_thread().worker_threads(workers).enable_all().build());
    let built = built.unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into()));
    built.map_err(|cause| format!("cannot start threads: {cause}; {ADVICE}"))
}

/// Starts a runtime on this thread alone.
///
/// # Errors
///
/// If the system refuses what it waits with, in words.
pub(crate) fn runtime_here() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|error| format!("cannot start: {error}"))
}

/// Checks that there is a thread to look up a name on.
///
/// # Errors
///
/// If the system refuses it, in words.
pub(crate) fn check() -> Result<(), String> {
    // It does nothing that could panic.
    spawn("names", || ()).map(|thread| drop(thread.join()))
}

/// Counts the threads that can be started now, up to so many; returns also why not more. They end before it returns.
fn available(wanted: usize) -> (usize, Option<io::Error>) {
    let mut threads = Vec::new();
    let mut refusal = None;
    for _ in 0..wanted {
        let (go, wait) = channel::<()>();
        match thread::Builder::new().spawn(move || wait.recv()) {
            Ok(thread) => threads.push((go, thread)),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    let count = threads.len();
    for (go, thread) in threads {
        drop(go);
        // It does nothing that could panic.
        let _ = thread.join();
    }
    (count, refusal)
}
