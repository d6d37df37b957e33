//! The commands of the hub for one connection.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use chanwire_core::endpoint::ServerCommand;
use futures_util::task::AtomicWaker;
use tokio::sync::OwnedSemaphorePermit;

/// A queue with one reader that costs nothing while it is empty; a channel would allocate its first block of places
/// for every idle connection. It needs no bound: there is one answer for each request that the endpoint let through,
/// and its reader takes everything in it between two reads of its stream, whatever the peer does, and finds out by the
/// bytes of its endpoint that the peer is too slow.
#[derive(Debug)]
pub(crate) struct Mailbox {
    commands: Mutex<Vec<ServerCommand>>,
    reader: AtomicWaker,
    /// The connection's place among those that the server has room for. It is free when both the connection and the hub
    /// are done.
    _place: OwnedSemaphorePermit,
}

impl Mailbox {
    pub(crate) fn new(place: OwnedSemaphorePermit) -> Self {
        Self { commands: Mutex::default(), reader: AtomicWaker::new(), _place: place }
    }

    /// Drops what nobody will take.
    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    /// Puts a command in without waking the reader. Returns whether it must be woken: there was nothing before.
    #[must_use = "a reader that is never woken never looks"]
    pub(crate) fn put(&self, command: ServerCommand) -> bool {
        let mut all = self.lock();
        all.push(command);
        all.len() == 1
    }

    /// Wakes the reader, once everything that belongs together is in: it then writes all of it at once.
    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Takes everything that has come, in order; pending while there is nothing.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Vec<ServerCommand>> {
        // Registered before it looks, so that nothing comes unnoticed between the two.
        self.reader.register(cx.waker());
        let mut commands = self.lock();
        if commands.is_empty() { Poll::Pending } else { Poll::Ready(mem::take(&mut *commands)) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ServerCommand>> {
        // Nobody can panic while holding it; if somebody does, the queue is whole all the same.
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
