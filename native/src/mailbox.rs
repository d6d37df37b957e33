//! The queue of the hub's commands for one connection.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use chanwire_core::endpoint::{ServerCommand, Traffic};
use futures_util::task::AtomicWaker;

use crate::admission::Place;

/// A queue with one reader that has no memory while it is empty, unlike a channel, which would allocate its first block
/// for every idle connection. Unbounded, because requests in flight are bounded, and the reader moves pushes between
/// two reads of its stream to the endpoint, which bounds its output.
#[derive(Debug)]
pub(crate) struct Mailbox {
    commands: Mutex<Vec<ServerCommand>>,
    reader: AtomicWaker,
    /// The connection's traffic until its last wake: an atomic for each field of [`Traffic`]. Only the reader stores.
    traffic: [AtomicU64; 5],
    /// The bytes that waited to be written then.
    waiting_bytes: AtomicUsize,
    /// The connection's place, free again when both the connection and the hub are done.
    _place: Place,
}

impl Mailbox {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            commands: Mutex::default(),
            reader: AtomicWaker::new(),
            traffic: Default::default(),
            waiting_bytes: AtomicUsize::default(),
            _place: place,
        }
    }

    /// Stores the connection's traffic, and how many bytes wait to be written.
    pub(crate) fn set_traffic(&self, traffic: &Traffic, waiting_bytes: usize) {
        let Traffic { received_bytes, sent_bytes, requests, refusals, pushes, .. } = *traffic;
        self.waiting_bytes.store(waiting_bytes, Relaxed);
        for (stored, value) in self.traffic.iter().zip([received_bytes, sent_bytes, requests, refusals, pushes]) {
            stored.store(value, Relaxed);
        }
    }

    /// Returns the connection's traffic.
    pub(crate) fn traffic(&self) -> Traffic {
        let [received_bytes, sent_bytes, requests, refusals, pushes] =
            std::array::from_fn(|index| self.traffic.get(index).map_or(0, |stored| stored.load(Relaxed)));
        let mut traffic = Traffic::default();
        (traffic.received_bytes, traffic.sent_bytes) = (received_bytes, sent_bytes);
        (traffic.requests, traffic.refusals, traffic.pushes) = (requests, refusals, pushes);
        traffic
    }

    /// Returns the number of bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Relaxed)
    }

    /// Drops all commands, after the reader has ended.
    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    /// Appends a command without waking the reader. Returns whether the mailbox was empty, so that the reader must be
    /// woken.
    #[must_use = "a reader that is never woken never looks"]
    pub(crate) fn put(&self, command: ServerCommand) -> bool {
        let mut all = self.lock();
        all.push(command);
        all.len() == 1
    }

    /// Wakes the reader. Called after a batch of commands, so that they are written together.
    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Takes all commands in order; pending while there are none.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Vec<ServerCommand>> {
        // Registered before the check, so that no wake-up is lost between the two.
        self.reader.register(cx.waker());
        let mut commands = self.lock();
        if commands.is_empty() { Poll::Pending } else { Poll::Ready(mem::take(&mut *commands)) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ServerCommand>> {
        // No holder can panic half-way through a change.
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
