//! Accepts connections and gives each its task.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chanwire_core::{
    AddressLimits, Limits, Network,
    endpoint::Throttle,
    hub::{ConnectionId, ListenerId},
    wire::ErrorResponse,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{
    accept::Incoming,
    admission::{Addresses, Admitted, Place},
    clock::Clock,
    connection::{self, Accepted, HubLink},
    driver::Ending,
    file_limit::Files,
    hub_task::{HubSender, PublishedList},
    metrics::{ConnectionCounts, Kind},
    proxy_header::{self, NoHeader},
    refusals::{Cause, Refusals},
    socket::{prepare, reset_on_close},
};

/// The most connections that are refused with an answer at one time. Beyond these they are reset.
const MAX_REFUSALS: u32 = 64;

/// The most connections of the operator, and the most that are refused with an answer at one time.
const MAX_OPERATORS: u32 = 16;

/// The open files of refused connections and of the operator's.
pub(crate) const FILES: u32 = MAX_REFUSALS + 2 * MAX_OPERATORS;

/// The most connections through proxies that have not sent their header. Beyond these, accepting waits.
pub(crate) const PROXIED_FILES: u32 = 64;

/// The rules of one listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerConfig {
    pub(crate) id: ListenerId,
    /// The networks of the proxies whose header connections begin with; `None`: clients connect directly.
    pub(crate) proxies: Option<Arc<[Network]>>,
    /// Whether a client has the rights of the host of each channel at its address.
    pub(crate) has_address_rights: bool,
}

/// The state shared by all listeners.
pub(crate) struct Acceptor {
    limits: Mutex<Arc<Limits>>,
    addresses: Arc<Addresses>,
    hub: HubSender,
    published: PublishedList,
    counts: Arc<ConnectionCounts>,
    clock: Clock,
    connections: Seats,
    /// Permits of the connections that are being told that they are refused.
    refusing: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    /// Permits of the connections through proxies that have not sent their header.
    proxied: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    refused_operators: Arc<Semaphore>,
    files: Files,
    next: AtomicU64,
}

impl Acceptor {
    pub(crate) fn new(
        limits: Limits,
        addresses: Arc<Addresses>,
        files: Files,
        hub: HubSender,
        published: PublishedList,
        counts: Arc<ConnectionCounts>,
        clock: Clock,
    ) -> Arc<Self> {
        let semaphore = |count| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            limits: Mutex::new(Arc::new(limits)),
            addresses,
            hub,
            published,
            counts,
            clock,
            connections: Seats { free: semaphore(files.connections), all: Mutex::new(files.connections) },
            refusing: semaphore(files.part(MAX_REFUSALS)),
            refusals: Arc::default(),
            proxied: semaphore(files.part(PROXIED_FILES)),
            operators: semaphore(files.part(MAX_OPERATORS)),
            refused_operators: semaphore(files.part(MAX_OPERATORS)),
            files,
            // CONNECTIONS begins after 0.
            next: AtomicU64::new(1),
        })
    }

    /// Gives these limits to the connections that are accepted from now on.
    pub(crate) fn set_limits(&self, limits: Arc<Limits>) {
        *lock(&self.limits) = limits;
    }

    /// Applies these limits to the connections that are accepted from now on.
    pub(crate) fn set_address_limits(&self, limits: AddressLimits) {
        self.addresses.set_limits(limits);
    }

    /// Serves at most so many connections from now on. Those that are open stay.
    pub(crate) fn set_max_connections(&self, wanted: u32) {
        self.connections.resize(self.files.connections_of(wanted));
    }

    fn limits(&self) -> Limits {
        let limits = lock(&self.limits).clone();
        (*limits).clone()
    }

    /// Accepts connections until `stop` is true.
    pub(crate) async fn run(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        config: ListenerConfig,
        mut stop: watch::Receiver<bool>,
    ) {
        let _open = self.counts.listen();
        let mut incoming = Incoming::new(&*listener, "listener");
        loop {
            let (stream, peer) = tokio::select! {
                accepted = incoming.next() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match &config.proxies {
                None => self.admit(stream, peer, config.id, config.has_address_rights),
                Some(proxies) => self.receive(stream, peer, proxies, &config, stop.clone()).await,
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
            let accepted = Accepted { id: self.next_id(), peer: None, listener: None, has_address_rights: false };
            tokio::spawn(self.clone().serve_operator(stream, accepted, permit));
            return;
        }
        let limit = self.files.part(MAX_OPERATORS);
        self.note_refusal(Cause::too_many_operators(limit), None);
        // Beyond those that are being told so, it is closed.
        if let Ok(permit) = self.refused_operators.clone().try_acquire_owned() {
            tokio::spawn(self.clone().refuse_operator(stream, busy(limit), permit));
        }
    }

    async fn serve_operator(self: Arc<Self>, mut stream: UnixStream, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let _open = self.counts.open(Kind::Operator);
        let limits = || self.limits();
        let _: Ending = connection::serve(&mut stream, accepted, permit, None, limits, self.link(), self.clock).await;
    }

    fn note_refusal(&self, cause: Cause, peer: Option<SocketAddr>) {
        self.counts.end(cause.reason());
        self.refusals.note(cause, peer);
    }

    fn link(&self) -> HubLink<'_> {
        HubLink { hub: &self.hub, published: &self.published, counts: &self.counts }
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until no connection is left, nor a request of one. None may be accepted any more.
    pub(crate) async fn all_closed(&self) {
        self.refusals.log();
        // Each connection holds a permit until its requests are carried out, so whoever has all of them is alone.
        self.connections.all_free().await;
        let _ = self.operators.acquire_many(self.files.part(MAX_OPERATORS)).await;
    }

    /// Takes in a connection of a proxy, which is admitted once its header is read. Any other is closed.
    async fn receive(
        self: &Arc<Self>,
        stream: TcpStream,
        proxy: SocketAddr,
        proxies: &[Network],
        config: &ListenerConfig,
        mut stop: watch::Receiver<bool>,
    ) {
        if !proxies.iter().any(|network| network.contains(proxy.ip())) {
            return self.note_refusal(Cause::no_proxy(), Some(proxy));
        }
        let permit = tokio::select! {
            permit = self.proxied.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { return };
        tokio::spawn(self.clone().read_header(stream, proxy, config.clone(), stop, permit));
    }

    /// Reads the header of a connection of a proxy, and admits the client.
    async fn read_header(
        self: Arc<Self>,
        mut stream: TcpStream,
        proxy: SocketAddr,
        config: ListenerConfig,
        mut stop: watch::Receiver<bool>,
        _permit: OwnedSemaphorePermit,
    ) {
        let header = tokio::select! {
            header = proxy_header::read(&mut stream) => header,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match header {
            Ok(source) => {
                let has_rights = config.has_address_rights && source.is_some();
                self.admit(stream, source.unwrap_or(proxy), config.id, has_rights);
            }
            // As health checks do.
            Err(NoHeader::Silent) => {}
            Err(error) => {
                tracing::debug!(%proxy, %error, "a connection of a proxy was closed");
                self.note_refusal(Cause::proxy_header(), Some(proxy));
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, listener: ListenerId, has_address_rights: bool) {
        let (error, cause) = match self.addresses.admit(peer.ip()) {
            Err(refusal) => (refusal.answer(), refusal.into()),
            Ok(Admitted { permit: address, throttle }) => {
                if let Some(connection) = self.connections.take() {
                    prepare(&stream);
                    let accepted =
                        Accepted { id: self.next_id(), peer: Some(peer), listener: Some(listener), has_address_rights };
                    let place = Place::new(connection, address);
                    tokio::spawn(self.clone().serve(stream, accepted, place, throttle));
                    return;
                }
                let limit = self.connections.all();
                (Some(busy(limit)), Cause::full(limit))
            }
        };
        self.note_refusal(cause, Some(peer));
        // A denied one is closed without a word.
        let Some(error) = error else { return };
        if let Ok(permit) = self.refusing.clone().try_acquire_owned() {
            prepare(&stream);
            tokio::spawn(self.clone().refuse(stream, error, permit));
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
        place: Place,
        throttle: Option<Box<Throttle>>,
    ) -> impl Future<Output = ()> {
        accepted.span().in_scope(|| tracing::debug!("connected"));
        async move {
            let _open = self.counts.open(Kind::Plain);
            let limits = || self.limits();
            let link = self.link();
            let ending = connection::serve(&mut stream, accepted, place, throttle, limits, link, self.clock).await;
            if let Ending::Reset = ending {
                reset_on_close(&stream);
            }
        }
    }

    async fn refuse(self: Arc<Self>, mut stream: TcpStream, error: ErrorResponse, _permit: OwnedSemaphorePermit) {
        self.counts.error(&error);
        if let Ending::Reset = connection::refuse(&mut stream, self.next_id(), error, &self.limits(), self.clock).await
        {
            reset_on_close(&stream);
        }
    }

    async fn refuse_operator(
        self: Arc<Self>,
        mut stream: UnixStream,
        error: ErrorResponse,
        _permit: OwnedSemaphorePermit,
    ) {
        self.counts.error(&error);
        let _: Ending = connection::refuse(&mut stream, self.next_id(), error, &self.limits(), self.clock).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The places of the connections that may be served at one time.
struct Seats {
    free: Arc<Semaphore>,
    all: Mutex<u32>,
}

impl Seats {
    fn all(&self) -> u32 {
        *lock(&self.all)
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Changes the number. Places that are taken and too many are removed as they become free, before another
    /// connection can have them.
    fn resize(&self, to: u32) {
        let mut all = lock(&self.all);
        if to > *all {
            self.free.add_permits(usize::try_from(to - *all).unwrap_or_default());
        } else if to < *all {
            let (free, less) = (self.free.clone(), *all - to);
            tokio::spawn(async move {
                // The semaphore is never closed.
                if let Ok(places) = free.acquire_many_owned(less).await {
                    places.forget();
                }
            });
        }
        *all = to;
    }

    /// Waits until no place is taken. No connection may be accepted any more.
    async fn all_free(&self) {
        let _ = self.free.acquire_many(self.all()).await;
    }
}

fn busy(limit: impl Display) -> ErrorResponse {
    ErrorResponse::server("Server busy", format!("The server has reached its limit of {limit} connections"))
}
