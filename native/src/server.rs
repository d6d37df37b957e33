//! The whole server: puts its parts together, runs them, and takes them apart again.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use chanwire_core::{
    hub::{Hub, Query, ReadId, StoreCommand, StoreOutcome},
    wire::Channel,
};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::{
    clock::Clock,
    config::{Config, Hosted, given_addresses},
    file_limit::{self, Files},
    http::{self, HttpConfig, Target, Token},
    hub_task::{self, HubSender, Input, PublishedList, Storage},
    listener::{self, Acceptor},
    own::{self, Own, Registered},
    socket::{Families, listen},
    store::{
        self, ReaderHandle, SqliteReader, SqliteStore, Store as _, StoreError, StoreHandle, Trimmer, TrimmerHandle,
    },
    tracker,
};

/// The operator's socket, in the data directory.
pub(crate) const OPERATOR_SOCKET: &str = "operator.sock";

/// How long connections may take to end once the server stops. What is left of ten seconds is the store's.
const LAST_ANSWERS: Duration = Duration::from_secs(6);

/// Why the server does not run, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: {cause}; stop what uses it, or choose another address with {flag}")]
    Listen { address: SocketAddr, flag: &'static str, cause: io::Error },
    #[error(
        "cannot listen on {v4} beside {v6}, which takes IPv4 as well; leave {v4} out, or add 0.0.0.0:{} for all of IPv4",
        v4.port()
    )]
    Overlap { v4: SocketAddr, v6: SocketAddr },
    #[error("cannot {what}: {cause}")]
    System { what: &'static str, cause: io::Error },
    #[error("the page cannot be served: {0}")]
    Http(io::Error),
    #[error("the part of the server that decides has stopped: this is a bug; what was acknowledged is stored")]
    HubGone,
}

/// Runs the server until a signal ends it.
pub(crate) async fn run(config: Config) -> Result<(), ServeError> {
    let system = |what| move |cause| ServeError::System { what, cause };
    let mut signals = Signals::new().map_err(system("wait for signals"))?;
    let beside = listener::FILES + if config.http.is_some() { http::FILES } else { 0 };
    let files = file_limit::raise(config.max_connections, beside).map_err(system("raise the limit of open files"))?;

    let mut store = SqliteStore::open(&config.data_dir)?;
    let (reader, trimmer) = (store.reader()?, store.trimmer(config.retention)?);
    let clock = Clock::start();
    let mut hub = Hub::new(config.hub_limits.clone(), store.load()?, clock.now());
    let listeners = bind(&config)?;
    let mut registered = Vec::new();
    for listener in &listeners {
        let addresses = listener.own.addresses();
        let id = hub.add_listener(addresses.clone());
        registered.push(Registered { id, own: listener.own.clone(), addresses });
    }
    for hosted in &config.hosted {
        hub.fix_channel(hosted.channel.clone());
    }

    let (stop, stopping) = watch::channel(false);
    let page = Page::bind(&config, &listeners)?;
    let operator = operator_socket(&config.data_dir);
    banner(&config, &listeners, page.as_ref());

    let (tell_hub, told) = mpsc::unbounded_channel();
    let (mut hub_task, published) = start_hub(hub, told, tell_hub.clone(), store, reader, trimmer, clock)?;
    let acceptor = Acceptor::new(config.limits, files, tell_hub.clone(), published, clock);
    let mut parts = JoinSet::new();
    for (listener, Registered { id, .. }) in listeners.into_iter().zip(&registered) {
        parts.spawn(acceptor.clone().run(listener.socket, *id, stopping.clone()));
    }
    let watch_addresses = tokio::spawn(own::watch(registered, tell_hub.clone()));
    if let Some(socket) = operator {
        parts.spawn(acceptor.clone().run_operator(socket, stopping.clone()));
    }
    let channels: Vec<Channel> = config.hosted.iter().map(|hosted| hosted.channel.clone()).collect();
    for tracker in config.trackers {
        parts.spawn(tracker::keep(tracker, channels.clone(), config.lease, stopping.clone(), clock));
    }
    let (page_failed, mut page_failure) = mpsc::channel(1);
    if let Some(page) = page {
        parts.spawn(async move {
            if let Err(error) = page.serve(&files, stopping).await {
                let _ = page_failed.send(error).await;
            }
        });
    }

    let result = tokio::select! {
        name = signals.next() => {
            tracing::info!("{name}: answering what was read, then stopping; once more to stop at once");
            Ok(())
        }
        _ = &mut hub_task => Err(ServeError::HubGone),
        Some(error) = page_failure.recv() => Err(ServeError::Http(error)),
    };
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("stopping at once: requests that were not answered may be lost");
        std::process::exit(1);
    });
    watch_addresses.abort();
    let _ = stop.send(true);
    let _ = tell_hub.send(Input::StopConnections);
    let all = async {
        while parts.join_next().await.is_some() {}
        acceptor.all_closed().await;
    };
    if timeout(LAST_ANSWERS, all).await.is_err() {
        tracing::info!("some peers did not end their connections; leaving them");
    }
    if result.is_err() && hub_task.is_finished() {
        return result;
    }
    let _ = tell_hub.send(Input::Stop);
    let stores = hub_task.await.map_err(|_| ServeError::HubGone)?;
    // They sync and close their files, and so block.
    let _ = tokio::task::spawn_blocking(move || stores.close()).await;
    result
}

/// Starts the hub and its store, and ties each to the other. The store comes back when the hub has stopped.
fn start_hub(
    hub: Hub,
    told: mpsc::UnboundedReceiver<Input>,
    tell_hub: HubSender,
    store: SqliteStore,
    reader: SqliteReader,
    trimmer: Trimmer,
    clock: Clock,
) -> Result<(JoinHandle<Stores>, PublishedList), ServeError> {
    let outcomes = tell_hub.clone();
    let store = store::start(store, move |outcome| {
        let _ = outcomes.send(Input::Outcome(outcome));
    })?;
    let pages = tell_hub.clone();
    let reader = store::start_reader(reader, move |read, page| {
        let _ = pages.send(Input::Page(read, page));
    })?;
    let trims = tell_hub.clone();
    let trimmer = store::start_trimmer(trimmer, move |channel_name, first_id| {
        let _ = trims.send(Input::Trimmed { channel_name, first_id });
    })?;
    let mut stores = Stores { store, reader, trimmer, tell_hub };
    let published = PublishedList::default();
    let list = published.clone();
    let task = tokio::spawn(async move {
        hub_task::run(hub, told, &mut stores, &list, clock).await;
        stores
    });
    Ok((task, published))
}

/// The threads that work for the hub.
struct Stores {
    store: StoreHandle,
    reader: ReaderHandle,
    trimmer: TrimmerHandle,
    tell_hub: HubSender,
}

impl Storage for Stores {
    fn store(&mut self, command: StoreCommand) {
        if self.store.send(command).is_err() {
            let _ = self.tell_hub.send(Input::Outcome(StoreOutcome::Failed));
        }
    }

    fn read(&mut self, read: ReadId, query: Query) {
        if !self.reader.send(read, query) {
            let _ = self.tell_hub.send(Input::Page(read, None));
        }
    }
}

impl Stores {
    fn close(self) {
        self.trimmer.close();
        self.reader.close();
        self.store.close();
    }
}

/// Where the operator connects, with rights that no address gives. The directory's permissions guard it.
fn operator_socket(data_dir: &Path) -> Option<UnixListener> {
    let path = data_dir.join(OPERATOR_SOCKET);
    // The directory is this process's alone, so a socket that is there is a dead process's.
    let _ = std::fs::remove_file(&path);
    let socket = UnixListener::bind(&path);
    let guarded = socket.and_then(|socket| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    });
    guarded
        .inspect_err(|error| {
            tracing::warn!(%error, path = %path.display(), "no socket for the operator: `chanwire unhost --data-dir` cannot be used");
        })
        .ok()
}

/// A socket that listens, and what it is for.
struct Listener {
    socket: TcpListener,
    own: Own,
    /// The channels that `--host` gave it.
    channels: Vec<Channel>,
}

/// Opens every listener: those for all channels first. Channels that are given one address share its listener.
fn bind(config: &Config) -> Result<Vec<Listener>, ServeError> {
    let mut wanted: Vec<(SocketAddr, &'static str, Vec<Channel>)> = Vec::new();
    for address in &config.listen {
        if !wanted.iter().any(|(other, ..)| other == address) || address.port() == 0 {
            wanted.push((*address, "--listen", Vec::new()));
        }
    }
    let for_all_channels = wanted.len();
    for Hosted { channel, bind } in &config.hosted {
        match wanted.iter_mut().find(|(address, ..)| address == bind && bind.port() != 0) {
            Some((_, _, channels)) => channels.push(channel.clone()),
            None => wanted.push((*bind, "--host", vec![channel.clone()])),
        }
    }
    let addresses: Vec<SocketAddr> = wanted.iter().map(|(address, ..)| *address).collect();
    let mut bound = Vec::new();
    let mut sockets = Vec::new();
    for (address, flag, channels) in wanted {
        let families = families(address, &addresses)?;
        let socket = listen(address, families).map_err(|cause| ServeError::Listen { address, flag, cause })?;
        bound.push((socket.local_addr().unwrap_or(address), channels));
        sockets.push((socket, families));
    }
    let given = given_addresses(&bound, for_all_channels, &config.advertised);
    let parts = sockets.into_iter().zip(bound).zip(given);
    let listener = |(((socket, families), (bound, channels)), given)| Listener {
        socket,
        own: Own { bound, families, given },
        channels,
    };
    Ok(parts.map(listener).collect())
}

/// Which clients a listener has beside these others: one at `[::]` leaves those of IPv4 to one at 0.0.0.0.
fn families(address: SocketAddr, all: &[SocketAddr]) -> Result<Families, ServeError> {
    let wildcard = address.is_ipv6() && address.ip().is_unspecified() && address.port() != 0;
    let mut beside = all.iter().filter(|other| wildcard && other.is_ipv4() && other.port() == address.port());
    match beside.next() {
        None => Ok(Families::Both),
        Some(_) if all.contains(&(Ipv4Addr::UNSPECIFIED, address.port()).into()) => Ok(Families::V6),
        Some(v4) => Err(ServeError::Overlap { v4: *v4, v6: address }),
    }
}

/// The inspector's page and its bridge.
struct Page {
    socket: TcpListener,
    address: SocketAddr,
    token: Token,
    config: HttpConfig,
}

impl Page {
    fn bind(config: &Config, listeners: &[Listener]) -> Result<Option<Self>, ServeError> {
        let Some(address) = config.http else { return Ok(None) };
        let socket =
            listen(address, Families::Both).map_err(|cause| ServeError::Listen { address, flag: "--http", cause })?;
        let address = socket.local_addr().unwrap_or(address);
        let token = Token::generate().map_err(|error| ServeError::Http(io::Error::other(error.to_string())))?;
        let targets = listeners.iter().enumerate().map(|(index, listener)| Target {
            id: index.to_string(),
            address: reachable(listener.own.bound),
            channel: listener.channels.first().map(|channel| channel.channel_name.clone()),
        });
        let mut hosts = config.http_hosts.clone();
        if !address.ip().is_unspecified() {
            // Whoever asked to listen there wants to be reached there.
            hosts.push(address.to_string());
        }
        let config = HttpConfig { hosts, targets: targets.collect(), tap: None };
        Ok(Some(Self { socket, address, token, config }))
    }

    async fn serve(self, files: &Files, stopping: watch::Receiver<bool>) -> io::Result<()> {
        http::serve(self.socket, self.config, self.token, files, stopping).await
    }
}

/// Where this machine itself reaches a listener.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bound.port())
}

/// Tells once, on standard output, where everything is.
fn banner(config: &Config, listeners: &[Listener], page: Option<&Page>) {
    let mut text = format!("chanwire {}\n", env!("CARGO_PKG_VERSION"));
    for listener in listeners {
        text += &format!("listening on {}\n", listener.own.bound);
        for channel in &listener.channels {
            let name = chanwire_inspect::visible(&channel.channel_name);
            text += &format!("hosting {name} at {} on {}\n", channel.address, listener.own.bound);
        }
    }
    text += &format!("data in {}\n", config.data_dir.display());
    if let Some(page) = page {
        text += &format!("inspector at http://{}/#token={}\n", reachable(page.address), page.token);
    }
    let mut out = io::stdout().lock();
    // Somebody who closed the output does not want to be told.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The signals that a server knows.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    _file_size: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _file_size: file_limit::outlive_file_size()?,
        })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
