//! Connections that are waited for before they are served: for a TLS handshake, or for a PROXY header.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chanwire_core::opening_queue::{OpeningId, OpeningQueue};
use tokio::sync::oneshot;

/// The connections that are waited for, of which there is a bounded number.
#[derive(Debug)]
pub(crate) struct Openings(Mutex<InProgress>);

#[derive(Debug)]
struct InProgress {
    queue: OpeningQueue,
    /// Dropped to end the wait.
    waits: BTreeMap<OpeningId, oneshot::Sender<()>>,
}

/// A connection's place among those that are waited for, until this is dropped.
pub(crate) struct Opening<'a> {
    openings: &'a Openings,
    id: OpeningId,
    /// Closed when the place is taken by another.
    displaced: oneshot::Receiver<()>,
}

impl Openings {
    pub(crate) const fn new(limit: usize) -> Self {
        Self(Mutex::new(InProgress { queue: OpeningQueue::new(limit), waits: BTreeMap::new() }))
    }

    /// Begins to wait for a connection from this address. When there are too many, another has to make room.
    pub(crate) fn begin(&self, peer: IpAddr) -> Opening<'_> {
        let (wait, displaced) = oneshot::channel();
        let mut in_progress = self.lock();
        let (id, over) = in_progress.queue.begin(peer);
        over.and_then(|over| in_progress.waits.remove(&over));
        in_progress.waits.insert(id, wait);
        drop(in_progress);
        Opening { openings: self, id, displaced }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().waits.len()
    }

    fn lock(&self) -> MutexGuard<'_, InProgress> {
        // No holder can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening<'_> {
    /// Waits until the place is taken by another connection.
    pub(crate) async fn displaced(&mut self) {
        let _ = (&mut self.displaced).await;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut in_progress = self.openings.lock();
        in_progress.queue.end(self.id);
        in_progress.waits.remove(&self.id);
    }
}
