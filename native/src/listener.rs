//! Accepts connections and gives each its task.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chanwire_core::{
    AddressLimits, Limits, Network,
    endpoint::Throttle,
    hub::{ConnectionId, ListenerId},
    wire::{ErrorResponse, TLS_HANDSHAKE},
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    accept::Incoming,
    admission::{Addresses, Admitted, Place},
    connection::{self, Accepted, HubLink},
    driver::Ending,
    file_limit::Files,
    metrics::Kind,
    openings::Openings,
    proxy_header::{self, NoHeader},
    refusals::{Cause, Refusals},
    socket::AcceptedStream,
    tls::{HANDSHAKE_TIMEOUT, HandshakeFailure, Handshakes},
    unix_socket::UnixSocket,
};

/// The most connections that are refused with an answer at one time. Beyond these they are reset.
const MAX_REFUSALS: u32 = 64;

/// The most connections of the operator, and the most that are refused with an answer at one time.
const MAX_OPERATORS: u32 = 16;

/// The open files of refused connections and of the operator's.
pub(crate) const FILES: u32 = MAX_REFUSALS + 2 * MAX_OPERATORS;

/// The most connections through proxies that have not sent their header. Beyond these, the oldest of the proxy with most
/// are closed.
pub(crate) const PROXIED_FILES: u32 = 1024;

/// Time for the first byte of a refused connection, where it tells TLS from plain text.
const SILENCE: Duration = Duration::from_secs(1);

/// Time for the first byte of a connection, and for its handshake, once the server stops.
const LAST_BYTE: Duration = Duration::from_millis(50);

/// The rules of one listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerConfig {
    pub(crate) id: ListenerId,
    /// The networks of the proxies whose header connections begin with; `None`: clients connect directly.
    pub(crate) proxies: Option<Arc<[Network]>>,
    /// Whether a client has the rights of the host of each channel at its address.
    pub(crate) has_address_rights: bool,
    /// The TLS of its connections; `None`: plain text alone.
    pub(crate) tls: Option<ListenerTls>,
}

/// The TLS of a listener's connections.
#[derive(Clone, Debug)]
pub(crate) struct ListenerTls {
    pub(crate) handshakes: Arc<Handshakes>,
    /// Whether plain text is refused.
    pub(crate) is_required: bool,
}

/// The state shared by all listeners.
pub(crate) struct Acceptor {
    limits: Mutex<Arc<Limits>>,
    addresses: Arc<Addresses>,
    link: Arc<HubLink>,
    connections: Seats,
    /// Permits of the connections that are being told that they are refused.
    refusing: Arc<Semaphore>,
    refusals: Arc<Refusals>,
    /// The connections through proxies that have not sent their header.
    proxied: Openings,
    operators: Arc<Semaphore>,
    refused_operators: Arc<Semaphore>,
    files: Files,
    next: AtomicU64,
}

impl Acceptor {
    pub(crate) fn new(limits: Limits, addresses: Arc<Addresses>, files: Files, link: HubLink) -> Arc<Self> {
        let semaphore = |count| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            limits: Mutex::new(Arc::new(limits)),
            addresses,
            link: Arc::new(link),
            connections: Seats { free: semaphore(files.connections), all: Mutex::new(files.connections) },
            refusing: semaphore(files.part(MAX_REFUSALS)),
            refusals: Arc::default(),
            proxied: Openings::new(files.part(PROXIED_FILES) as usize),
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

    fn limits(&self) -> Arc<Limits> {
        lock(&self.limits).clone()
    }

    /// Accepts connections until `stop` is true.
    pub(crate) async fn run(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        config: ListenerConfig,
        mut stop: watch::Receiver<bool>,
    ) {
        let _open = self.link.counts.listen();
        let mut incoming = Incoming::new(&*listener, "listener");
        loop {
            let (stream, peer) = tokio::select! {
                accepted = incoming.next() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match &config.proxies {
                None => self.admit(stream, peer, &config, config.has_address_rights, &stop),
                Some(proxies) => self.receive(stream, peer, proxies, &config, stop.clone()),
            }
        }
    }

    /// Accepts connections to a Unix socket until `stop` is true.
    pub(crate) async fn run_unix(
        self: Arc<Self>,
        socket: Arc<UnixSocket>,
        listener: ListenerId,
        mut stop: watch::Receiver<bool>,
    ) {
        let _open = self.link.counts.listen();
        let mut incoming = Incoming::new(&socket.listener, "Unix socket");
        loop {
            tokio::select! {
                stream = incoming.next() => {
                    let (id, kind, listener) = (self.next_id(), Kind::Unix, Some(listener));
                    let accepted = Accepted { id, peer: None, kind, listener, has_address_rights: false };
                    match self.place(accepted, self.addresses.admit_without_address()) {
                        Some(admission) => self.serve(stream, admission),
                        None => self.refuse_full(stream, None, false),
                    }
                }
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
            let kind = Kind::Operator;
            let accepted = Accepted { id: self.next_id(), peer: None, kind, listener: None, has_address_rights: false };
            self.serve(stream, Admission { accepted, place: permit.into(), throttle: None });
            return;
        }
        let limit = self.files.part(MAX_OPERATORS);
        self.note_refusal(Cause::too_many_operators(limit), None);
        // Beyond those that are being told so, it is closed.
        if let Ok(permit) = self.refused_operators.clone().try_acquire_owned() {
            tokio::spawn(self.clone().refuse(stream, busy(limit), false, permit));
        }
    }

    fn note_refusal(&self, cause: Cause, peer: Option<SocketAddr>) {
        self.link.counts.end(cause.reason());
        self.refusals.note(cause, peer);
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
    fn receive(
        self: &Arc<Self>,
        stream: TcpStream,
        proxy: SocketAddr,
        proxies: &[Network],
        config: &ListenerConfig,
        stop: watch::Receiver<bool>,
    ) {
        if !proxies.iter().any(|network| network.contains(proxy.ip())) {
            return self.note_refusal(Cause::no_proxy(), Some(proxy));
        }
        tokio::spawn(self.clone().read_header(stream, proxy, config.clone(), stop));
    }

    /// Reads the header of a connection of a proxy, and admits the client.
    async fn read_header(
        self: Arc<Self>,
        mut stream: TcpStream,
        proxy: SocketAddr,
        config: ListenerConfig,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut opening = self.proxied.begin(proxy.ip());
        let header = tokio::select! {
            biased;
            header = proxy_header::read(&mut stream) => header,
            () = opening.displaced() => Err(NoHeader::Displaced),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        drop(opening);
        match header {
            Ok(source) => {
                let has_rights = config.has_address_rights && source.is_some();
                self.admit(stream, source.unwrap_or(proxy), &config, has_rights, &stop);
            }
            // As health checks do.
            Err(NoHeader::Silent) => {}
            Err(error) => {
                tracing::debug!(%proxy, %error, "a connection of a proxy was closed");
                self.note_refusal(Cause::proxy_header(), Some(proxy));
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        config: &ListenerConfig,
        has_address_rights: bool,
        stop: &watch::Receiver<bool>,
    ) {
        let may_be_tls = config.tls.is_some();
        let admitted = match self.addresses.admit(peer.ip()) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                return self.refuse_client(stream, refusal.answer(), refusal.into(), Some(peer), may_be_tls);
            }
        };
        let (id, kind) = (self.next_id(), Kind::Plain);
        let accepted = Accepted { id, peer: Some(peer), kind, listener: Some(config.id), has_address_rights };
        let Some(admission) = self.place(accepted, admitted) else {
            return self.refuse_full(stream, Some(peer), may_be_tls);
        };
        // Before the first byte is waited for, so that a peer that vanishes gives its place back.
        stream.prepare();
        match &config.tls {
            None => self.serve(stream, admission),
            Some(tls) => {
                tokio::spawn(self.clone().greet(stream, peer, admission, tls.clone(), stop.clone()));
            }
        }
    }

    /// Returns an admitted connection with its place, if there is one for it.
    fn place(&self, accepted: Accepted, admitted: Admitted) -> Option<Admission> {
        let Admitted { permit, throttle } = admitted;
        let connection = self.connections.take()?;
        Some(Admission { accepted, place: Place::new(connection, permit), throttle })
    }

    /// Refuses a connection for which there is no place.
    fn refuse_full(self: &Arc<Self>, stream: impl AcceptedStream, peer: Option<SocketAddr>, may_be_tls: bool) {
        let limit = self.connections.all();
        self.refuse_client(stream, Some(busy(limit)), Cause::full(limit), peer, may_be_tls);
    }

    /// Refuses a connection: with an error, or without a word.
    fn refuse_client(
        self: &Arc<Self>,
        stream: impl AcceptedStream,
        error: Option<ErrorResponse>,
        cause: Cause,
        peer: Option<SocketAddr>,
        may_be_tls: bool,
    ) {
        self.note_refusal(cause, peer);
        let Some(error) = error else { return };
        if let Ok(permit) = self.refusing.clone().try_acquire_owned() {
            stream.prepare();
            tokio::spawn(self.clone().refuse(stream, error, may_be_tls, permit));
        } else {
            stream.reset_on_close();
        }
    }

    /// Waits for the first byte of a connection, which tells TLS from plain text, and has it served.
    async fn greet(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut admission: Admission,
        tls: ListenerTls,
        stop: watch::Receiver<bool>,
    ) {
        let counts = &self.link.counts;
        let _pending = counts.pending();
        let serve = async {
            let failed = |failure| {
                counts.handshake_failed(failure);
                self.note_refusal(Cause::tls_handshake(), Some(peer));
            };
            let deadline = || Instant::now() + HANDSHAKE_TIMEOUT;
            // A client of plain text may be silent, so its first byte has no deadline.
            let (first, deadline) = if tls.is_required {
                let deadline = deadline();
                match timeout_at(deadline, stream.first_byte()).await {
                    Ok(first) => (first, deadline),
                    Err(_) => return failed(HandshakeFailure::TimedOut),
                }
            } else {
                (stream.first_byte().await, deadline())
            };
            match first {
                Some(TLS_HANDSHAKE) if !admission.place.begin_handshake() => failed(HandshakeFailure::TooMany),
                // Boxed, so that a silent connection has no memory for the handshake.
                Some(TLS_HANDSHAKE) => {
                    match Box::pin(tls.handshakes.accept(stream, peer.ip(), self.limits().frame_timeout, deadline))
                        .await
                    {
                        Ok(stream) => {
                            admission.place.end_handshake();
                            let accepted = Accepted { kind: Kind::Tls, ..admission.accepted };
                            self.serve(stream, Admission { accepted, ..admission });
                        }
                        Err(failure) => failed(failure),
                    }
                }
                Some(_) if tls.is_required => {
                    self.note_refusal(Cause::encryption_required(), Some(peer));
                    Box::pin(self.answer_and_close(stream, ErrorResponse::encryption_required())).await;
                }
                // The end of a silent connection is that of a plain one.
                _ => self.serve(stream, admission),
            }
        };
        tokio::select! {
            () = serve => {}
            () = stopped(stop) => {}
        }
    }

    /// Starts the task that serves a connection.
    fn serve<S: AcceptedStream>(&self, stream: S, admission: Admission) {
        let Admission { accepted, place, throttle } = admission;
        accepted.span().in_scope(|| tracing::debug!("connected"));
        let limits = &|| self.limits();
        tokio::spawn(connection::serve(
            stream,
            accepted,
            place,
            throttle,
            limits,
            self.link.clone(),
            |mut stream: S, ending| match ending {
                Ending::Closed => stream.end(),
                Ending::Reset => stream.reset_on_close(),
                Ending::Failed(_) => {}
            },
        ));
    }

    /// Sends an error to a connection that is not served, unless it begins with TLS and could not read it.
    async fn refuse(
        self: Arc<Self>,
        stream: impl AcceptedStream,
        error: ErrorResponse,
        may_be_tls: bool,
        _permit: OwnedSemaphorePermit,
    ) {
        // A client of TLS begins at once. One that says nothing is told what a person can read.
        if !may_be_tls || timeout(SILENCE, stream.first_byte()).await != Ok(Some(TLS_HANDSHAKE)) {
            self.answer_and_close(stream, error).await;
        }
    }

    async fn answer_and_close(&self, mut stream: impl AcceptedStream, error: ErrorResponse) {
        self.link.counts.error(&error);
        let clock = self.link.clock;
        if let Ending::Reset = connection::refuse(&mut stream, self.next_id(), error, self.limits(), clock).await {
            stream.reset_on_close();
        }
    }
}

/// An admitted connection with its place, which is to be served.
struct Admission {
    accepted: Accepted,
    place: Place,
    throttle: Option<Box<Throttle>>,
}

/// Waits until the server stops, and then for a byte that may be on its way.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    Box::pin(sleep(LAST_BYTE)).await;
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
