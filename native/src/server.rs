//! The server: starts, runs and stops all its parts.

use std::{
    future::{pending, ready},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use chanwire_core::{
    Network,
    hub::{Hub, Moment},
    wire::{Address, Channel},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use listenfd::ListenFd;
use tokio::{
    net::{TcpListener, UnixListener},
    runtime::{Handle, RuntimeFlavor},
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    accounts::Verifier,
    admission::Addresses,
    banner,
    client::Connector,
    clock::{Clock, wall_time},
    config::{Config, Hosted, LastReload, Listen, MetricsConfig, Reloader, Size, forwarded_addresses, given_addresses},
    connection::HubLink,
    drain::DrainConfig,
    file_limit::{self, Files},
    http::{self, HttpConfig, InspectorPage, MetricsPage, Target},
    hub_task::{self, HubSender, Input, LiveSettings, PublishedList},
    inherited::Inherited,
    listener::{self, Acceptor, ListenerConfig, ListenerTls},
    local_addresses::{self, LocalAddress, Registered, reachable},
    metrics::{ConnectionCounts, Metrics, Sources},
    serve_error::ServeError,
    service_manager,
    signals::{self, ReloadSignal, StopSignals},
    socket::{Families, listen},
    store::{self, Done, Engine, RunningEngine, StoreConfig},
    supervisor::{Part, Supervisor},
    threads,
    tls::{ALPN, Certificates, HTTP_ALPN, Handshakes, TlsMode},
    tracker,
    unix_socket::UnixSocket,
};

/// The operator's socket, in the data directory.
pub(crate) const OPERATOR_SOCKET: &str = "operator.sock";

/// Time for the first request of a connection that was accepted just before the listeners closed. The next server
/// cannot serve it, while one that still waits in an inherited socket's backlog is the next server's.
const LAST_ACCEPTED: Duration = Duration::from_millis(50);

/// Runs the server until a signal ends it.
pub(crate) async fn run(config: Config, passed: ListenFd, mut reloader: Reloader) -> Result<(), ServeError> {
    const SIGNALS: &str = "wait for signals";
    let _file_size = file_limit::handle_file_size_signal().map_err(ServeError::system(SIGNALS))?;
    signals::ignore_others().map_err(ServeError::system(SIGNALS))?;
    let mut reload = ReloadSignal::new().map_err(ServeError::system(SIGNALS))?;
    let inherited = Inherited::new(passed)?;
    let (store, storing) = open_store(&config)?;
    // Signals are caught only from here on, so that they end the process at once while a database opens slowly, and
    // never after a client has had its first answer.
    let mut signals = StopSignals::new().map_err(ServeError::system(SIGNALS))?;
    let mut server = Running::start_with(config, inherited, store, &storing)?;
    banner::print(&server.banner);
    server.report();
    service_manager::ready();
    // Done once the certificate is read, for which the manager waits.
    let mut reading: BoxFuture<'static, ()> = pending().boxed();
    let result = loop {
        tokio::select! {
            name = signals.next() => {
                tracing::info!("{name}: answering what was read, then stopping; once more to stop at once");
                break Ok(());
            }
            error = server.failed() => break Err(error),
            () = reload.next() => {
                service_manager::reloading();
                reloader.reload(&server.last_reload.clone(), |config| server.apply(config));
                reading = server.reload_certificate();
            }
            () = &mut reading => {
                service_manager::ready();
                reading = pending().boxed();
            }
        }
    };
    service_manager::stopping();
    signals.exit_at_next();
    server.stop(result).await
}

/// A server with all its parts.
pub(crate) struct Running {
    /// The start-up message with all addresses.
    banner: String,
    drain: DrainConfig,
    /// Says that the server is to stop, and goes on until the delay has passed.
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    hub_sender: HubSender,
    /// The store, returned by the hub task when it ends.
    hub_ended: oneshot::Receiver<Box<dyn RunningEngine>>,
    /// Aborts the hub task.
    abandon: Arc<Notify>,
    acceptor: Arc<Acceptor>,
    last_reload: Arc<LastReload>,
    certificates: Option<Arc<Certificates>>,
    counts: Arc<ConnectionCounts>,
    /// Parts that end when the server stops.
    parts: JoinSet<()>,
    deaths: mpsc::UnboundedReceiver<Part>,
    page_failure: mpsc::Receiver<io::Error>,
    /// The task that serves metrics. It goes on while the server drains, to say so.
    metrics: Option<JoinHandle<()>>,
    /// Stops it.
    finish: watch::Sender<bool>,
    metrics_address: Option<SocketAddr>,
    /// Addresses of the listeners, in the order of the configuration.
    addresses: Vec<SocketAddr>,
    /// The address of the inspector's page, with its token.
    inspector_url: Option<String>,
    #[cfg(test)]
    supervisor: Supervisor,
}

impl Running {
    pub(crate) fn start(config: Config, inherited: Inherited) -> Result<Self, ServeError> {
        let (store, storing) = open_store(&config)?;
        Self::start_with(config, inherited, store, &storing)
    }

    /// Starts a server over a store. `storing` says how much it may take.
    fn start_with(
        config: Config,
        inherited: Inherited,
        mut store: Box<dyn Engine>,
        storing: &str,
    ) -> Result<Self, ServeError> {
        let has_proxies = config.listen.iter().any(|listen| listen.proxies.is_some());
        let mut beside = listener::FILES
            + if has_proxies { listener::PROXIED_FILES } else { 0 }
            + if config.http.is_some() { http::FILES } else { 0 };
        beside += if config.metrics.address.is_some() { http::METRICS_FILES } else { 0 };
        let files = file_limit::raise(config.max_connections, beside)
            .map_err(ServeError::system("raise the limit of open files"))?;

        let certificates = config.tls.clone().map(Certificates::load).transpose()?;
        let handshakes = certificates.as_ref().map(|it| it.sessions(ALPN).map(Handshakes::new)).transpose()?;
        let clock = Clock::start();
        let now = Moment { time: clock.now(), wall: wall_time() };
        let mut limits = config.hub_limits.clone();
        limits.max_id = limits.max_id.min(store.max_id());
        limits.hash_secret = hash_secret().map_err(ServeError::system("get random numbers"))?;
        let mut hub = Hub::new(limits, store.load()?, now);
        let (listeners, unix_sockets) = bind(&config, inherited)?;
        let mut registered = Vec::new();
        for listener in &listeners {
            let addresses = listener.local.addresses();
            let id = hub.add_listener(&addresses);
            registered.push(Registered { id, local: listener.local.clone(), addresses });
        }
        let unix_sockets: Vec<_> =
            unix_sockets.into_iter().map(|(socket, addresses)| (socket, hub.add_listener(&addresses))).collect();
        for hosted in &config.hosted {
            hub.fix_channel(hosted.channel.clone());
        }

        let drain = config.drain;
        let (draining, is_draining) = watch::channel(false);
        let (stop, stopping) = watch::channel(false);
        let page = bind_page(&config, &listeners, certificates.as_ref(), files)?;
        let metrics_page = bind_metrics(&config.metrics, files)?;
        let metrics_address = metrics_page.as_ref().map(MetricsPage::address);
        let operator = operator_socket(&config.data_dir);
        let inspector_url = page.as_ref().map(InspectorPage::url);
        let banner = banner(&config, &listeners, storing, metrics_address, inspector_url.as_deref());

        let (supervisor, deaths) = Supervisor::new(stopping.clone());
        let (hub_sender, inputs) = mpsc::unbounded_channel();
        let published = PublishedList::default();
        let abandon = Arc::new(Notify::new());
        let (done, all_done) = mpsc::unbounded_channel();
        let counts = Arc::new(ConnectionCounts::default());
        let last_reload = Arc::new(LastReload::new(now.wall));
        let metrics = Metrics::new(Sources {
            hub: hub_sender.clone(),
            store: store.status(),
            connections: counts.clone(),
            last_reload: last_reload.clone(),
            certificates: certificates.clone(),
            stopping: is_draining,
        });
        let store = store.start(done, &supervisor)?;
        let receivers = (inputs, all_done);
        hub.set_rights(Arc::new(config.rights()));
        // A weak one: the hub ends when all others are dropped.
        let verified = hub_sender.downgrade();
        let verifier = Verifier::new(config.accounts.clone(), move |result| {
            if let Some(hub) = verified.upgrade() {
                let _ = hub.send(Input::Verified(result));
            }
        });
        let deciding = (hub, verifier, published.clone());
        let run = run_hub(deciding, receivers, store, clock, supervisor.clone(), abandon.clone());
        let hub_ended = start_hub(run).map_err(ServeError::system("start the hub's thread"))?;
        let addresses = Addresses::new(config.address_limits, clock);
        let link = HubLink { hub: hub_sender.clone(), published, counts: counts.clone(), clock };
        let acceptor = Acceptor::new(config.limits, addresses, files, link);
        let mut parts = JoinSet::new();
        let mut keep = |part, run: Restart| {
            parts.spawn(supervisor.clone().keep(part, run));
        };
        let addresses = listeners.iter().map(|listener| listener.local.bound).collect();
        for (listener, Registered { id, .. }) in listeners.into_iter().zip(&registered) {
            let rules = ListenerConfig {
                id: *id,
                proxies: listener.proxies.clone(),
                has_address_rights: listener.has_address_rights,
                tls: listener.tls(handshakes.as_ref()),
            };
            let (acceptor, stopping, socket) = (acceptor.clone(), stopping.clone(), Arc::new(listener.socket));
            counts.add_listener();
            let run = move || acceptor.clone().run(socket.clone(), rules.clone(), stopping.clone()).boxed();
            keep(Part::Listener, Box::new(run));
        }
        for (socket, id) in unix_sockets {
            let (acceptor, stopping, socket) = (acceptor.clone(), stopping.clone(), Arc::new(socket));
            counts.add_listener();
            let run = move || acceptor.clone().run_unix(socket.clone(), id, stopping.clone()).boxed();
            keep(Part::Listener, Box::new(run));
        }
        if let Some(socket) = operator {
            let (acceptor, stopping, socket) = (acceptor.clone(), stopping.clone(), Arc::new(socket));
            let run = move || acceptor.clone().run_operator(socket.clone(), stopping.clone()).boxed();
            keep(Part::Operator, Box::new(run));
        }
        if let Some(certificates) = certificates.clone() {
            let stopping = stopping.clone();
            let run = move || certificates.clone().watch(stopping.clone()).boxed();
            keep(Part::Certificate, Box::new(run));
        }
        let (hub, stopped) = (hub_sender.clone(), stopping.clone());
        let run = move || local_addresses::watch(registered.clone(), hub.clone(), stopped.clone()).boxed();
        keep(Part::Addresses, Box::new(run));
        let channels: Vec<Channel> = config.hosted.iter().map(|hosted| hosted.channel.clone()).collect();
        for tracker in config.trackers {
            let (channels, lease, stopping) = (channels.clone(), config.lease, stopping.clone());
            let tracker = Connector::new(tracker, config.tracker_trust.clone());
            let run = move || tracker::keep(tracker.clone(), channels.clone(), lease, stopping.clone(), clock).boxed();
            keep(Part::Tracker, Box::new(run));
        }
        let (failed, page_failure) = mpsc::channel(1);
        if let Some(page) = page {
            let page = Arc::new(page);
            let run = move || {
                let (page, stopping, failed) = (page.clone(), stopping.clone(), failed.clone());
                async move { page.serve(stopping, failed).await }.boxed()
            };
            keep(Part::Page, Box::new(run));
        }
        let (finish, finishing) = watch::channel(false);
        let metrics = metrics_page.map(|page| serve_metrics(page, metrics, &supervisor, finishing));
        Ok(Self {
            banner,
            drain,
            draining,
            stop,
            hub_sender,
            hub_ended,
            abandon,
            acceptor,
            last_reload,
            certificates,
            counts,
            parts,
            deaths,
            page_failure,
            metrics,
            finish,
            metrics_address,
            addresses,
            inspector_url,
            #[cfg(test)]
            supervisor,
        })
    }

    /// Reports to the service manager until the server has stopped.
    fn report(&self) {
        let (hub, counts, stop) = (self.hub_sender.clone(), self.counts.clone(), self.finish.subscribe());
        tokio::spawn(service_manager::report(hub, counts, stop));
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    pub(crate) fn inspector_url(&self) -> Option<&str> {
        self.inspector_url.as_deref()
    }

    /// Applies the settings that can change while the server runs. Connections beyond a lower limit stay, and those that
    /// are open keep their rate.
    pub(crate) fn apply(&mut self, config: &Config) {
        self.drain = config.drain;
        self.acceptor.set_max_connections(config.max_connections);
        self.acceptor.set_address_limits(config.address_limits.clone());
        let limits = Arc::new(config.limits.clone());
        // Before the hub learns of them: it passes them to each connection that it knows by then, and one that it does
        // not know yet takes them itself.
        self.acceptor.set_limits(limits.clone());
        let _ = self.hub_sender.send(Input::Reconfigure(Box::new(LiveSettings {
            hub_limits: config.hub_limits.clone(),
            limits,
            retention: config.retention,
            accounts: config.accounts.clone(),
            rights: Arc::new(config.rights()),
        })));
    }

    /// Has the certificate read again, if there is one, and returns the wait until it is.
    fn reload_certificate(&self) -> BoxFuture<'static, ()> {
        match &self.certificates {
            Some(certificates) => certificates.reload().boxed(),
            None => ready(()).boxed(),
        }
    }

    /// Waits for a failure that the server cannot recover from.
    pub(crate) async fn failed(&mut self) -> ServeError {
        tokio::select! {
            Some(part) = self.deaths.recv() => ServeError::Died(part),
            Some(error) = self.page_failure.recv() => ServeError::Page(error),
        }
    }

    /// Stops accepting after the delay, answers what was read, stores it, and ends. `result` is why it stops, and what
    /// comes back if it can be done.
    pub(crate) async fn stop(mut self, mut result: Result<(), ServeError>) -> Result<(), ServeError> {
        let drain = self.drain;
        let _ = self.draining.send(true);
        if result.is_ok() && !drain.delay.is_zero() {
            tokio::select! {
                () = sleep(drain.delay) => {}
                error = self.failed() => result = Err(error),
            }
        }
        let _ = self.stop.send(true);
        if result.is_ok() {
            sleep(LAST_ACCEPTED).await;
        }
        let _ = self.hub_sender.send(Input::Drain(drain.plan()));
        // Without these parts no request is answered any more, so there is nothing to wait for.
        let answers = !matches!(result, Err(ServeError::Died(Part::Hub | Part::Store)));
        let all = async {
            while self.parts.join_next().await.is_some() {}
            self.acceptor.all_closed().await;
        };
        if answers && timeout(drain.connections(), all).await.is_err() {
            tracing::info!("drain timeout: requests that are not decided are dropped, and open connections are reset");
            let _ = self.hub_sender.send(Input::ResetConnections);
            // A request of theirs may be at a store that stalls.
            let _ = timeout(drain.resets(), self.acceptor.all_closed()).await;
        }
        let _ = self.hub_sender.send(Input::Stop);
        if matches!(result, Err(ServeError::Died(_))) {
            // The hub would wait for results of a thread that has ended.
            self.abandon.notify_one();
        }
        match timeout(drain.commit(), self.hub_ended).await {
            Ok(Ok(store)) => close(store),
            Ok(Err(_)) => result = result.and(Err(ServeError::Died(Part::Hub))),
            Err(_) => result = result.and(Err(ServeError::Unfinished)),
        }
        let _ = self.finish.send(true);
        if let Some(metrics) = self.metrics {
            let _ = metrics.await;
        }
        result
    }
}

/// Closes a store, which syncs its files and so blocks. It needs no other thread, of which there may be none.
fn close(store: Box<dyn RunningEngine>) {
    match Handle::current().runtime_flavor() {
        // The one thread of the runtime has nothing else to do for this server.
        RuntimeFlavor::CurrentThread => store.close(),
        _ => tokio::task::block_in_place(|| store.close()),
    }
}

/// Binds the listener of metrics, if it is configured. A default address that is taken is done without, so that a second
/// server on a machine starts.
fn bind_metrics(config: &MetricsConfig, files: Files) -> Result<Option<MetricsPage>, ServeError> {
    let Some(address) = config.address else { return Ok(None) };
    match MetricsPage::bind(address, &config.hosts, &files) {
        Ok(page) => Ok(Some(page)),
        Err(error) if config.is_default => {
            tracing::warn!(
                %error,
                "cannot listen on {address}: serving no metrics; choose another address with --metrics, or --metrics off"
            );
            Ok(None)
        }
        Err(cause) => Err(ServeError::Listen { address, flag: "--metrics", cause }),
    }
}

/// Serves metrics until `finishing` is true.
fn serve_metrics(
    page: MetricsPage,
    metrics: Metrics,
    supervisor: &Supervisor,
    finishing: watch::Receiver<bool>,
) -> JoinHandle<()> {
    // Not one of the parts, which end before the server is drained.
    let supervisor = supervisor.until(finishing.clone());
    let (page, metrics) = (Arc::new(page), Arc::new(metrics));
    let run = move || {
        let (page, metrics, finishing) = (page.clone(), metrics.clone(), finishing.clone());
        async move { page.serve(metrics, finishing).await }
    };
    tokio::spawn(supervisor.keep(Part::Metrics, run))
}

/// Starts or restarts a part.
type Restart = Box<dyn FnMut() -> BoxFuture<'static, ()> + Send>;

/// Runs the hub on a separate thread, so that connections that keep all workers busy do not delay it.
fn start_hub(
    run: impl Future<Output = Box<dyn RunningEngine>> + Send + 'static,
) -> io::Result<oneshot::Receiver<Box<dyn RunningEngine>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (ended, hub_ended) = oneshot::channel();
    threads::spawn("hub", move || {
        // An error means that the server has stopped waiting, so the process ends.
        let _ = ended.send(runtime.block_on(run));
    })
    .map_err(io::Error::other)?;
    Ok(hub_ended)
}

/// Runs the hub until it has stopped, and returns its store.
async fn run_hub(
    (hub, mut verifier, published): (Hub, Verifier, PublishedList),
    (inputs, done): (mpsc::UnboundedReceiver<Input>, mpsc::UnboundedReceiver<Done>),
    mut store: Box<dyn RunningEngine>,
    clock: Clock,
    supervisor: Supervisor,
    abandon: Arc<Notify>,
) -> Box<dyn RunningEngine> {
    let _vital = supervisor.vital(Part::Hub);
    tokio::select! {
        () = supervisor.run(Part::Hub, hub_task::run(hub, inputs, done, &mut *store, &published, &mut verifier, clock)) => {}
        () = abandon.notified() => {}
    }
    store
}

/// Binds the operator's socket, which is protected by its own permissions and the directory's.
fn operator_socket(data_dir: &Path) -> Option<UnixListener> {
    let path = data_dir.join(OPERATOR_SOCKET);
    let bind = || {
        match path.symlink_metadata() {
            // This process has locked the directory, so an existing socket is left from an earlier process.
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::other("something that is no socket is there; remove it")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    };
    bind()
        .inspect_err(|error| {
            tracing::warn!(%error, path = %path.display(), "no socket for the operator: `chanwire unhost --data-dir` cannot be used");
        })
        .ok()
}

/// A listening socket, with its channels.
struct Listener {
    socket: TcpListener,
    local: LocalAddress,
    /// Whether a client has the rights of the host of each channel at its address.
    has_address_rights: bool,
    /// The networks of the proxies whose header connections begin with, if they do.
    proxies: Option<Arc<[Network]>>,
    /// The TLS mode, if it is not the default.
    tls: Option<TlsMode>,
    /// The channels that `--host` assigns to it.
    channels: Vec<Channel>,
}

/// Unix sockets for clients, each with its local addresses.
type UnixSockets = Vec<(UnixSocket, Vec<Address>)>;

impl Listener {
    /// Returns the TLS of its connections, if there is a certificate and it is not off.
    fn tls(&self, handshakes: Option<&Arc<Handshakes>>) -> Option<ListenerTls> {
        let handshakes = handshakes?.clone();
        match self.tls.unwrap_or(TlsMode::Optional) {
            TlsMode::Off => None,
            TlsMode::Optional => Some(ListenerTls { handshakes, is_required: false }),
            TlsMode::Required => Some(ListenerTls { handshakes, is_required: true }),
        }
    }
}

/// Returns the secret by which the hub hashes what clients choose.
fn hash_secret() -> io::Result<(u64, u64)> {
    let random = || getrandom::u64().map_err(io::Error::other);
    Ok((random()?, random()?))
}

/// Opens every listener, or takes the socket that was passed for it; those for all channels first. Channels with the
/// same address share a listener.
fn bind(config: &Config, mut inherited: Inherited) -> Result<(Vec<Listener>, UnixSockets), ServeError> {
    let mut wanted: Vec<(Listen, &'static str, Vec<Channel>)> = Vec::new();
    for listen in &config.listen {
        if !wanted.iter().any(|(other, ..)| other.address == listen.address) || listen.address.port() == 0 {
            wanted.push((listen.clone(), "--listen", Vec::new()));
        }
    }
    let for_all_channels = wanted.len();
    for Hosted { channel, bind } in &config.hosted {
        match wanted.iter_mut().find(|(listen, ..)| listen.address == *bind && bind.port() != 0) {
            Some((_, _, channels)) => channels.push(channel.clone()),
            None => wanted.push(((*bind).into(), "--host", vec![channel.clone()])),
        }
    }
    let addresses: Vec<SocketAddr> = wanted.iter().map(|(listen, ..)| listen.address).collect();
    let mut bound = Vec::new();
    let mut sockets = Vec::new();
    for (listener, flag, channels) in wanted {
        let address = listener.address;
        let families = families(address, &addresses)?;
        let refused = |cause| ServeError::Listen { address, flag, cause };
        let (socket, families) = match inherited.take(address).map_err(refused)? {
            Some(taken) => taken,
            None => (listen(address, families).map_err(refused)?, families),
        };
        bound.push((socket.local_addr().unwrap_or(address), channels));
        sockets.push((socket, families, listener));
    }
    let forwarded = forwarded_addresses(&bound, &config.advertised);
    let mut unix_sockets = Vec::new();
    for path in &config.unix_sockets {
        let refused = |cause| ServeError::UnixSocket { path: path.clone(), cause };
        let socket = match inherited.take_unix(path).map_err(|cause| refused(cause.into()))? {
            Some(listener) => UnixSocket::inherited(listener),
            None => UnixSocket::listen(path).map_err(refused)?,
        };
        unix_sockets.push((socket, forwarded.clone()));
    }
    inherited.all_taken()?;
    let given = given_addresses(&bound, for_all_channels, &config.advertised);
    let parts = sockets.into_iter().zip(bound).zip(given);
    let listeners = parts.map(|(((socket, families, listen), (bound, channels)), given)| Listener {
        socket,
        local: LocalAddress { bound, families, given },
        has_address_rights: listen.address_rights,
        proxies: listen.proxies.map(Arc::from),
        tls: listen.tls.or(config.tls_mode),
        channels,
    });
    Ok((listeners.collect(), unix_sockets))
}

/// Returns the clients that a listener has beside these others: one at `[::]` leaves those of IPv4 to one at 0.0.0.0.
fn families(address: SocketAddr, all: &[SocketAddr]) -> Result<Families, ServeError> {
    let wildcard = address.is_ipv6() && address.ip().is_unspecified() && address.port() != 0;
    let mut beside = all.iter().filter(|other| wildcard && other.is_ipv4() && other.port() == address.port());
    match beside.next() {
        None => Ok(Families::Both),
        Some(_) if all.contains(&(Ipv4Addr::UNSPECIFIED, address.port()).into()) => Ok(Families::V6),
        Some(v4) => Err(ServeError::Overlap { v4: *v4, v6: address }),
    }
}

/// Binds the inspector's page, if it is configured.
fn bind_page(
    config: &Config,
    listeners: &[Listener],
    certificates: Option<&Arc<Certificates>>,
    files: Files,
) -> Result<Option<InspectorPage>, ServeError> {
    let Some(address) = config.http else { return Ok(None) };
    // The page sends no PROXY header.
    let direct = listeners.iter().enumerate().filter(|(_, listener)| listener.proxies.is_none());
    let targets = direct.map(|(index, listener)| {
        let (id, address) = (index.to_string(), reachable(listener.local.bound));
        let target = match certificates.filter(|_| listener.tls == Some(TlsMode::Required)) {
            Some(certificates) => Target::own_by_tls(id, address, certificates.clone()),
            None => Target::plain(id, address),
        };
        let channel = listener.channels.first().map(|channel| channel.channel_name.clone().into());
        Target { channel, ..target }
    });
    let http = HttpConfig {
        hosts: config.http_hosts.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        tls: certificates.filter(|_| config.http_tls).map(|it| it.sessions(HTTP_ALPN)).transpose()?,
        targets: targets.collect(),
        tap: None,
    };
    InspectorPage::bind(address, http, files).map(Some)
}

/// Opens the store, and says in words how much it may take.
fn open_store(config: &Config) -> Result<(Box<dyn Engine>, String), ServeError> {
    config.tracker_trust.check_authorities().map_err(ServeError::TrackerTrust)?;
    let (max, storing) = store_max(config);
    let Config { data_dir, store_min_free: min_free, retention, .. } = config;
    let (data_dir, min_free, retention) = (data_dir.clone(), *min_free, *retention);
    Ok((store::open(&StoreConfig { data_dir, max, min_free, retention })?, storing))
}

/// Returns the most bytes that the store may take, and that in words.
fn store_max(config: &Config) -> (Option<u64>, String) {
    let size = |bytes: u64| match bytes {
        0..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, ((bytes & ((1 << 30) - 1)) * 10) >> 30),
    };
    match config.store_max {
        Some(Size(Some(max))) => (Some(max), format!("at most {}", size(max))),
        Some(Size(None)) => (None, "as much as fits on the disk".into()),
        None => match store::default_max(&config.data_dir) {
            Ok(max) => (Some(max), format!("at most {}, half of the free space (--store-max)", size(max))),
            Err(error) => {
                tracing::warn!(%error, "the free space cannot be told: the store has no limit; set one with --store-max");
                (None, "as much as fits on the disk".into())
            }
        },
    }
}

/// Returns the start-up message with all addresses.
fn banner(
    config: &Config,
    listeners: &[Listener],
    storing: &str,
    metrics: Option<SocketAddr>,
    inspector_url: Option<&str>,
) -> String {
    let mut text = format!("chanwire {}\n", env!("CARGO_PKG_VERSION"));
    for listener in listeners {
        text += &format!("listening on {}\n", listener.local.bound);
        for channel in &listener.channels {
            let name = chanwire_inspect::visible(&channel.channel_name);
            text += &format!("hosting {name} at {} on {}\n", channel.address, listener.local.bound);
        }
    }
    for path in &config.unix_sockets {
        text += &format!("listening on {path}\n");
    }
    if let Some(address) = metrics {
        text += &format!("metrics at http://{}/metrics\n", reachable(address));
    }
    text += &format!("storing {storing}\n");
    text += &format!("data in {}\n", config.data_dir.display());
    if let Some(url) = inspector_url {
        text += &format!("inspector at {url}\n");
    }
    text
}

#[cfg(test)]
mod tests;
