//! Answers on their way from the hub to one connection.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chanwire_core::endpoint::{Reply, Ticket};
use tokio::sync::Notify;

/// A queue with one reader that costs nothing while it is empty; a channel would allocate its first block of places
/// for every idle connection. It needs no bound: there is one answer for each request that the endpoint let through.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    answers: Mutex<Vec<(Ticket, Reply)>>,
    filled: Notify,
}

impl Mailbox {
    pub(crate) fn put(&self, ticket: Ticket, reply: Reply) {
        self.lock().push((ticket, reply));
        self.filled.notify_one();
    }

    /// Waits until there may be something.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(crate) fn take(&self) -> Vec<(Ticket, Reply)> {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Ticket, Reply)>> {
        // Nobody can panic while holding it; if somebody does, the queue is whole all the same.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
