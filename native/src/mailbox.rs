//! What the hub has for one connection.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use chanwire_core::endpoint::{Reply, Ticket};
use futures_util::task::AtomicWaker;

/// A queue with one reader that costs nothing while it is empty; a channel would allocate its first block of places
/// for every idle connection. It needs no bound: there is one answer for each request that the endpoint let through.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    reader: AtomicWaker,
}

/// What has come since the mailbox was last emptied.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) answers: Vec<(Ticket, Reply)>,
    /// The server stops: finish what is owed, and close.
    pub(crate) stop: bool,
}

impl Mailbox {
    pub(crate) fn answer(&self, ticket: Ticket, reply: Reply) {
        self.lock().answers.push((ticket, reply));
        self.reader.wake();
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.reader.wake();
    }

    /// Everything that has come; pending while there is nothing.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        // Registered before it looks, so that nothing comes unnoticed between the two.
        self.reader.register(cx.waker());
        let mut mail = self.lock();
        if mail.answers.is_empty() && !mail.stop {
            return Poll::Pending;
        }
        Poll::Ready(mem::take(&mut *mail))
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nobody can panic while holding it; if somebody does, the mail is whole all the same.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
