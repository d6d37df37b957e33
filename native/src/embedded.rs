//! A server inside another program.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use chanwire_core::{
    AddressLimits, Limits,
    hub::HubLimits,
    wire::{Address, Channel, Host, Request},
};

use crate::{
    config::{Advertised, Config, Hosted, Listen, MetricsConfig, Size},
    drain::DrainConfig,
    inherited::Inherited,
    serve_error::ServeError,
    server::Running,
    server_address::ServerAddress,
    store::{self, Retention},
};

/// A running server: its listeners, its store and, where it is asked for, the inspector's page.
///
/// It runs on the tokio runtime that it was started on, of either flavor, and on some threads of its own for its store.
/// It installs no signal handler, prints nothing, and logs by `tracing`. Of what belongs to the whole process it only
/// raises the soft limit of open files to the hard one.
///
/// [`stop`](Self::stop) it: a server that is dropped leaves its connections without a word, although everything that it
/// acknowledged is stored.
///
/// ```
/// use chanwire::{Server, ServerConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let server = Server::start(ServerConfig::new(directory.path())).await?;
/// println!("listening on {}", server.address());
/// server.stop().await?;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    running: Running,
    /// The first of its addresses.
    address: SocketAddr,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// Settings of a [`Server`]. [`new`](Self::new) gives all but the directory their defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The directory of the messages and channels, which one server at a time can use. It is created if it is missing.
    pub data_dir: PathBuf,
    /// Addresses to listen at for every channel: one free port of 127.0.0.1. Port 0 is a free one, see
    /// [`Server::address`].
    pub listen: Vec<SocketAddr>,
    /// Channels that exist while the server runs: none.
    pub hosted: Vec<HostedChannel>,
    /// Other addresses that reach the listeners, as [`hosted`](Self::hosted) channels or clients may name them: none.
    pub advertised: Vec<Address>,
    /// Servers that list the [`hosted`](Self::hosted) channels as well while this one runs: none.
    pub trackers: Vec<ServerAddress>,
    /// Seconds for which a tracker lists them after it last heard of them, 10 to 86,400: 300.
    pub lease: u32,
    /// The address to serve the inspector's page at: none.
    pub inspector: Option<SocketAddr>,
    /// The address to serve metrics and health checks at: none.
    pub metrics: Option<SocketAddr>,
    /// Messages of each channel that are kept at most: no limit.
    pub retain_count: Option<u64>,
    /// Time for which messages are kept: no limit.
    pub retain_age: Option<Duration>,
    /// Bytes of each channel's messages that are kept at most: 1 GiB.
    pub retain_bytes: Option<u64>,
    /// Bytes that the store takes at most over all channels: half of the space that is free at the start.
    pub store_max: Option<u64>,
    /// Bytes that must be free on the file system, or nothing more is stored: 256 MiB.
    pub store_min_free: u64,
    /// Limits of each connection: the protocol's.
    pub limits: Limits,
    /// Limits of all connections together: the protocol's.
    pub hub_limits: HubLimits,
    /// Limits of what one address may cost, and of each connection's rate: the server's, which exempt loopback. Those of
    /// hosted channels are in [`hub_limits`](Self::hub_limits).
    pub address_limits: AddressLimits,
    /// Connections that are served at one time: 10,000.
    pub max_connections: u32,
}

/// A channel that a server hosts while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct HostedChannel {
    /// The channel, with the address that is listed for it.
    pub channel: Channel,
    /// The address to listen at for it.
    pub bind: SocketAddr,
}

/// The reason why a server cannot be started, or why it has failed, in words for an operator.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServerError(#[from] Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{0}")]
    Config(String),
}

impl From<ServeError> for ServerError {
    fn from(error: ServeError) -> Self {
        Self(error.into())
    }
}

fn config_error(message: String) -> ServerError {
    ServerError(Reason::Config(message))
}

impl ServerConfig {
    /// Returns the default settings of a server that keeps its data in this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let mut hub_limits = HubLimits::default();
        hub_limits.max_id = store::MAX_ID;
        Self {
            data_dir: data_dir.into(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            hosted: Vec::new(),
            advertised: Vec::new(),
            trackers: Vec::new(),
            lease: 300,
            inspector: None,
            metrics: None,
            retain_count: None,
            retain_age: None,
            retain_bytes: Some(1 << 30),
            store_max: None,
            store_min_free: 256 << 20,
            limits: Limits::server(),
            hub_limits,
            address_limits: AddressLimits::default(),
            max_connections: 10_000,
        }
    }

    fn check(self) -> Result<Config, ServerError> {
        if self.listen.is_empty() && self.hosted.is_empty() {
            return Err(config_error("neither `listen` nor `hosted` has an address to listen at".into()));
        }
        for HostedChannel { channel, .. } in &self.hosted {
            let host = Host { channel: channel.clone(), lease: Some(self.lease) };
            Request::Host(host).validate().map_err(|fault| config_error(fault.kind.to_string()))?;
        }
        if let Some(bytes) = self.store_max.filter(|bytes| *bytes < store::LEAST) {
            return Err(config_error(format!(
                "store_max: {bytes} bytes are too few, at least {} are needed",
                store::LEAST
            )));
        }
        let mut hub_limits = self.hub_limits;
        hub_limits.max_id = hub_limits.max_id.min(store::MAX_ID);
        let hosted = |HostedChannel { channel, bind }| Hosted { channel, bind };
        let config = Config {
            listen: self.listen.into_iter().map(Listen::from).collect(),
            hosted: self.hosted.into_iter().map(hosted).collect(),
            advertised: self.advertised.into_iter().map(Advertised::Address).collect(),
            http: self.inspector,
            http_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics: MetricsConfig { address: self.metrics, ..MetricsConfig::default() },
            data_dir: self.data_dir,
            retention: Retention { count: self.retain_count, age: self.retain_age, bytes: self.retain_bytes },
            store_max: self.store_max.map(|bytes| Size(Some(bytes))),
            store_min_free: self.store_min_free,
            trackers: self.trackers,
            lease: self.lease,
            limits: self.limits,
            hub_limits,
            address_limits: self.address_limits,
            max_connections: self.max_connections.max(1),
            drain: DrainConfig::default(),
        };
        match config.hosted_twice() {
            Some(name) => Err(config_error(format!("the channel '{name}' is hosted twice"))),
            None => Ok(config),
        }
    }
}

impl Server {
    /// Opens the store and the listeners, and serves from then on.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range, another server uses the directory, the store cannot be opened, or an address
    /// cannot be listened at.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let config = config.check()?;
        // Opening the store may block for long.
        let started = tokio::task::spawn_blocking(move || Running::start(config, Inherited::default())).await;
        let running = started.map_err(|error| config_error(format!("the start panicked: {error}")))??;
        let address =
            running.addresses().first().copied().ok_or_else(|| config_error("there is no listener".into()))?;
        Ok(Self { running, address })
    }

    /// Returns the first of its [addresses](Self::addresses).
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the addresses that it listens at: those of [`ServerConfig::listen`] in their order, then those of the
    /// hosted channels. A port that was 0 is the one that was chosen.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.running.addresses()
    }

    /// Returns the address that opens the inspector's page, if it is served. It contains a secret token: whoever has it
    /// may use the server as this machine may.
    #[must_use]
    pub fn inspector_url(&self) -> Option<&str> {
        self.running.inspector_url()
    }

    /// Returns the address of the metrics and health checks, if they are served.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.running.metrics_address()
    }

    /// Waits until the server cannot go on, for example because its store's thread has died. Then [`stop`](Self::stop)
    /// it. A store that cannot write for a while is no such failure.
    pub async fn failed(&mut self) -> ServerError {
        self.running.failed().await.into()
    }

    /// Stops the server: answers what was read, stores it, closes the connections, within about ten seconds.
    ///
    /// # Errors
    ///
    /// If the store did not finish in time. Everything that was acknowledged is stored all the same.
    pub async fn stop(self) -> Result<(), ServerError> {
        Ok(self.running.stop(Ok(())).await?)
    }
}
