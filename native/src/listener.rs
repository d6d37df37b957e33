//! Accepts connections and gives each its task.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chanwire_core::{
    Limits,
    hub::{ConnectionId, ListenerId},
    wire::ErrorResponse,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{
    accept::Incoming,
    clock::Clock,
    connection::{self, Accepted, HubLink},
    driver::Ending,
    file_limit::Files,
    hub_task::{HubSender, PublishedList},
    metrics::{ConnectionCounts, Kind},
    socket::{prepare, reset_on_close},
};

/// The most connections that are refused with an answer at one time. Beyond these they are reset.
const MAX_REFUSALS: u32 = 64;

/// The most connections of the operator, and the most that are refused with an answer at one time.
const MAX_OPERATORS: u32 = 16;

/// The open files of refused connections and of the operator's.
pub(crate) const FILES: u32 = MAX_REFUSALS + 2 * MAX_OPERATORS;

/// The state shared by all listeners.
pub(crate) struct Acceptor {
    limits: Limits,
    hub: HubSender,
    published: PublishedList,
    counts: Arc<ConnectionCounts>,
    clock: Clock,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    refused_operators: Arc<Semaphore>,
    files: Files,
    next: AtomicU64,
}

impl Acceptor {
    pub(crate) fn new(
        limits: Limits,
        files: Files,
        hub: HubSender,
        published: PublishedList,
        counts: Arc<ConnectionCounts>,
        clock: Clock,
    ) -> Arc<Self> {
        let semaphore = |count| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            limits,
            hub,
            published,
            counts,
            clock,
            connections: semaphore(files.connections),
            refusals: semaphore(files.part(MAX_REFUSALS)),
            operators: semaphore(files.part(MAX_OPERATORS)),
            refused_operators: semaphore(files.part(MAX_OPERATORS)),
            files,
            next: AtomicU64::new(0),
        })
    }

    /// Accepts connections until `stop` is true.
    pub(crate) async fn run(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        id: ListenerId,
        mut stop: watch::Receiver<bool>,
    ) {
        let _open = self.counts.listen();
        let mut incoming = Incoming::new(&*listener, "listener");
        loop {
            tokio::select! {
                (stream, peer) = incoming.next() => self.admit(stream, peer, id),
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Accepts the operator's connections until `stop` is true.
    pub(crate) async fn run_operator(self: Arc<Self>, listener: Arc<UnixListener>, mut stop: watch::Receiver<bool>) {
        let mut incoming = Incoming::new(&*listener, "operator's socket");
        loop {
            tokio::select! {
                stream = incoming.next() => self.admit_operator(stream),
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn admit_operator(self: &Arc<Self>, stream: UnixStream) {
        if let Ok(permit) = self.operators.clone().try_acquire_owned() {
            let accepted = Accepted { id: self.next_id(), peer: None, listener: None };
            tokio::spawn(self.clone().serve_operator(stream, accepted, permit));
            return;
        }
        self.counts.refuse();
        if let Ok(permit) = self.refused_operators.clone().try_acquire_owned() {
            tokio::spawn(self.clone().refuse_operator(stream, permit));
        } else {
            let limit = self.files.part(MAX_OPERATORS);
            tracing::warn!(limit, "operator connection limit reached, and too many are being told so: one was closed");
        }
    }

    async fn serve_operator(self: Arc<Self>, mut stream: UnixStream, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let _open = self.counts.open(Kind::Operator);
        let ending = connection::serve(&mut stream, accepted, permit, &self.limits, self.link(), self.clock).await;
        accepted.span().in_scope(|| tracing::debug!(?ending, "closed"));
    }

    fn link(&self) -> HubLink<'_> {
        HubLink { hub: &self.hub, published: &self.published, counts: &self.counts }
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until no connection is left, nor a request of one. None may be accepted any more.
    pub(crate) async fn all_closed(&self) {
        // Each connection holds a permit until its requests are carried out, so whoever has all of them is alone.
        let _ = self.connections.acquire_many(self.files.connections).await;
        let _ = self.operators.acquire_many(self.files.part(MAX_OPERATORS)).await;
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, listener: ListenerId) {
        prepare(&stream);
        if let Ok(permit) = self.connections.clone().try_acquire_owned() {
            let accepted = Accepted { id: self.next_id(), peer: Some(peer), listener: Some(listener) };
            tokio::spawn(self.clone().serve(stream, accepted, permit));
            return;
        }
        self.counts.refuse();
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            tracing::warn!(%peer, limit = self.files.connections, "connection limit reached: refused a connection");
            tokio::spawn(self.clone().refuse(stream, permit));
        } else {
            reset_on_close(&stream);
        }
    }

    /// Serves one connection. Not an `async fn`, which keeps its arguments twice: ten thousand idle connections are ten
    /// thousand of these.
    fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        accepted: Accepted,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> {
        accepted.span().in_scope(|| tracing::debug!("connected"));
        async move {
            let _open = self.counts.open(Kind::Plain);
            let ending = connection::serve(&mut stream, accepted, permit, &self.limits, self.link(), self.clock).await;
            accepted.span().in_scope(|| end(&stream, &ending));
        }
    }

    async fn refuse(self: Arc<Self>, mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
        let error = busy(self.files.connections);
        self.counts.error(&error);
        if let Ending::Reset = connection::refuse(&mut stream, error, &self.limits, self.clock).await {
            reset_on_close(&stream);
        }
    }

    async fn refuse_operator(self: Arc<Self>, mut stream: UnixStream, _permit: OwnedSemaphorePermit) {
        tracing::warn!(
            limit = self.files.part(MAX_OPERATORS),
            "operator connection limit reached: refused a connection"
        );
        let error = busy(self.files.part(MAX_OPERATORS));
        self.counts.error(&error);
        let ending = connection::refuse(&mut stream, error, &self.limits, self.clock).await;
        tracing::debug!(?ending, "the refused operator's connection has ended");
    }
}

fn busy(limit: impl Display) -> ErrorResponse {
    ErrorResponse::server("Server busy", format!("The server has reached its limit of {limit} connections"))
}

fn end(stream: &TcpStream, ending: &Ending) {
    match ending {
        Ending::Closed => tracing::debug!("closed"),
        Ending::Reset => {
            tracing::info!("reset: write timeout, the peer read nothing or too slowly");
            reset_on_close(stream);
        }
        Ending::Failed(error) => tracing::debug!(%error, "lost"),
    }
}
