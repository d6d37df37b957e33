//! Starting threads and runtimes, with errors where the system refuses threads.

use std::{
    io,
    num::NonZero,
    panic::catch_unwind,
    sync::mpsc::channel,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Runtime};

/// Threads besides the runtime's workers: the hub's, the store's four, a capture's writer, and some for name lookups.
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

/// Starts a runtime with a worker for each processor, or fewer if the system refuses threads.
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
    // The runtime panics if a thread cannot be started after all.
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

/// Checks that a thread can be started for a name lookup.
///
/// # Errors
///
/// If the system refuses it, in words.
pub(crate) fn check() -> Result<(), String> {
    // The thread's closure cannot panic.
    spawn("names", || ()).map(|thread| drop(thread.join()))
}

/// Counts the threads that can be started now, up to a number, by starting them. Also returns the error that stopped
/// it.
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
        // The thread's closure cannot panic.
        let _ = thread.join();
    }
    (count, refusal)
}
