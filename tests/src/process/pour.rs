//! A client that sends requests as fast as a server takes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::Peer;

/// Sends one batch of requests after another without waiting for answers, until the server closes the connection. The
/// thread returns the number of answers, each of which is OK, and adds them to `acknowledged` as they arrive.
///
/// # Panics
///
/// In the thread, at an answer that is an error.
pub fn pour(
    mut peer: Peer,
    batch: impl Fn(usize) -> String + Send + 'static,
    acknowledged: Arc<AtomicUsize>,
) -> JoinHandle<usize> {
    let mut writer = peer.another();
    thread::spawn(move || (0..).map(batch).try_for_each(|requests| writer.try_send(requests)));
    thread::spawn(move || {
        let mut count = 0;
        // Every error is the server's end.
        while let Ok(answer) = peer.try_answer() {
            assert!(answer.is_ok(), "{}", answer.raw);
            count += 1;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        count
    })
}
