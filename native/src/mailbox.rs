//! What the hub has for one connection.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use chanwire_core::{
    endpoint::{Pushes, Reply, Ticket},
    wire::ErrorResponse,
};
use futures_util::task::AtomicWaker;
use tokio::sync::OwnedSemaphorePermit;

/// A queue with one reader that costs nothing while it is empty; a channel would allocate its first block of places
/// for every idle connection. It needs no bound: there is one answer for each request that the endpoint let through,
/// and its reader takes everything in it between two reads of its stream, whatever the peer does, and finds out by the
/// bytes of its endpoint that the peer is too slow.
#[derive(Debug)]
pub(crate) struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    reader: AtomicWaker,
    /// The connection's place among those that the server has room for. It is free when both the connection and the hub
    /// are done.
    _place: OwnedSemaphorePermit,
}

/// Something for a connection's endpoint.
#[derive(Debug)]
pub(crate) enum Mail {
    Answer(Ticket, Reply),
    Push(Arc<Pushes>),
    Replay(Arc<Pushes>),
    Close(ErrorResponse),
    CloseSlow(ErrorResponse),
    /// What an ended peer was promised is there.
    Finish,
    /// The server stops: finish what is owed, and close.
    Stop,
}

impl Mailbox {
    pub(crate) fn new(place: OwnedSemaphorePermit) -> Self {
        Self { mail: Mutex::default(), reader: AtomicWaker::new(), _place: place }
    }

    /// Drops what nobody will take.
    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    /// Puts something in without waking the reader. Whether it must be woken: there was nothing before.
    #[must_use = "a reader that is never woken never looks"]
    pub(crate) fn put(&self, mail: Mail) -> bool {
        let mut all = self.lock();
        all.push(mail);
        all.len() == 1
    }

    /// Wakes the reader, once everything that belongs together is in: it then writes all of it at once.
    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Everything that has come, in order; pending while there is nothing.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Vec<Mail>> {
        // Registered before it looks, so that nothing comes unnoticed between the two.
        self.reader.register(cx.waker());
        let mut mail = self.lock();
        if mail.is_empty() { Poll::Pending } else { Poll::Ready(mem::take(&mut *mail)) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        // Nobody can panic while holding it; if somebody does, the mail is whole all the same.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
