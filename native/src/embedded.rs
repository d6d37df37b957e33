//! A server inside another program.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chanwire_core::{
    AddressLimits, Limits,
    hub::HubLimits,
    rights::{GuestPolicy, Rule},
    wire::{Address, Channel, Host, Request},
};

use crate::{
    accounts::{Accounts, Contents, NAME},
    config::{Advertised, Config, Finding, Hosted, Listen, MetricsConfig, Size, unknown_subject},
    drain::DrainConfig,
    inherited::Inherited,
    serve_error::ServeError,
    server::Running,
    server_address::ServerAddress,
    store::{self, Retention, SendRetention},
    tls::{TlsFiles, Trust},
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
/// Clients sign in to the accounts in `accounts.toml` in its directory, which the command `chanwire account` makes and
/// changes. It is read at the start, and again by [`reload_accounts`](Self::reload_accounts).
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
    config: Config,
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
    /// The certificate and its key, with which the listeners take TLS beside plain text: none.
    pub tls: Option<TlsFiles>,
    /// Channels that exist while the server runs: none.
    pub hosted: Vec<HostedChannel>,
    /// Other addresses that reach the listeners, as [`hosted`](Self::hosted) channels or clients may name them: none.
    pub advertised: Vec<Address>,
    /// Servers that list the [`hosted`](Self::hosted) channels as well while this one runs: none.
    pub trackers: Vec<ServerAddress>,
    /// The certificates that are accepted of trackers at `tls://HOST:PORT`: those of the system's authorities.
    pub tracker_trust: Trust,
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
    /// Rules of who may read, write to and host which channels, the first that matches a channel's name decides: none.
    pub rules: Vec<Rule>,
    /// Rights of clients that are not signed in to channels without a rule: all.
    pub guests: GuestPolicy,
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
            tls: None,
            hosted: Vec::new(),
            advertised: Vec::new(),
            trackers: Vec::new(),
            tracker_trust: Trust::system(),
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
            rules: Vec::new(),
            guests: GuestPolicy::default(),
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
        let mut limits = self.limits;
        limits.retry_window = Some(hub_limits.retry_window);
        let sends = SendRetention::of(&hub_limits);
        let hosted = |HostedChannel { channel, bind }| Hosted { channel, bind };
        let accounts = read_accounts(&self.data_dir, &self.rules, false)?;
        let mut config = Config {
            listen: self.listen.into_iter().map(Listen::from).collect(),
            unix_sockets: Vec::new(),
            tls: self.tls,
            tls_mode: None,
            hosted: self.hosted.into_iter().map(hosted).collect(),
            advertised: self.advertised.into_iter().map(Advertised::Address).collect(),
            http: self.inspector,
            http_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            http_tls: false,
            metrics: MetricsConfig { address: self.metrics, ..MetricsConfig::default() },
            data_dir: self.data_dir,
            retention: Retention { count: self.retain_count, age: self.retain_age, bytes: self.retain_bytes, sends },
            store_max: self.store_max.map(|bytes| Size(Some(bytes))),
            store_min_free: self.store_min_free,
            trackers: self.trackers,
            tracker_trust: self.tracker_trust,
            lease: self.lease,
            limits,
            hub_limits,
            address_limits: self.address_limits,
            accounts: Arc::default(),
            rules: self.rules,
            guests: self.guests,
            max_connections: self.max_connections.max(1),
            drain: DrainConfig::default(),
        };
        config.set_accounts(Arc::new(accounts));
        match config.hosted_twice() {
            Some(name) => Err(config_error(format!("the channel '{name}' is hosted twice"))),
            None => Ok(config),
        }
    }
}

/// Reads the accounts of a directory, which may have none unless they `must_exist`. Warns of names in the rules that none
/// of them has.
fn read_accounts(data_dir: &Path, rules: &[Rule], must_exist: bool) -> Result<Accounts, ServerError> {
    let contents = Contents::read(data_dir);
    if must_exist && !contents.exists() && !contents.has_faults() {
        let file = data_dir.join(NAME);
        return Err(config_error(format!(
            "{}: the file is missing; an empty one removes all accounts",
            file.display()
        )));
    }
    if contents.has_faults() {
        let faults = contents.findings.iter().filter(|finding| finding.is_fault());
        return Err(config_error(faults.map(Finding::words).collect::<Vec<_>>().join("\n")));
    }
    for finding in &contents.findings {
        tracing::warn!("{}", finding.words());
    }
    for rule in rules {
        for subject in rule.read.iter().chain(&rule.write).chain(&rule.host) {
            if let Some((message, _)) = unknown_subject(subject, &contents.accounts) {
                tracing::warn!("the rule for '{}': {message}", chanwire_inspect::visible(rule.channels.as_str()));
            }
        }
    }
    Ok(contents.accounts)
}

/// Runs something that may block for long.
async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, ServerError> {
    let done = tokio::task::spawn_blocking(task).await;
    done.map_err(|error| config_error(format!("a task of the server panicked: {error}")))?
}

impl Server {
    /// Opens the store and the listeners, and serves from then on.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range, the accounts cannot be read, another server uses the directory, the store cannot
    /// be opened, or an address cannot be listened at.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let started = blocking(|| {
            let config = config.check()?;
            Ok((Running::start(config.clone(), Inherited::default())?, config))
        });
        let (running, config) = started.await?;
        let address =
            running.addresses().first().copied().ok_or_else(|| config_error("there is no listener".into()))?;
        Ok(Self { running, config, address })
    }

    /// Reads the accounts again, and applies them to the requests that are decided from then on. It ends the connections
    /// of accounts that were changed or removed, and joins that are no longer allowed.
    ///
    /// # Errors
    ///
    /// If the file has a fault or is missing, and then nothing is changed. An empty file removes all accounts.
    pub async fn reload_accounts(&mut self) -> Result<(), ServerError> {
        let (data_dir, rules) = (self.config.data_dir.clone(), self.config.rules.clone());
        let had_accounts = !self.config.accounts.is_empty();
        let accounts = blocking(move || read_accounts(&data_dir, &rules, had_accounts)).await?;
        self.config.set_accounts(Arc::new(accounts));
        self.running.apply(&self.config);
        Ok(())
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
