//! Settings, limits and shared state of the HTTP server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chanwire_core::admission::Network;
use rustls::ServerConfig;
use serde::{Serialize, Serializer};
use tokio::sync::{Semaphore, mpsc, watch};

use super::access::{Names, Token};
use super::connections::Pool;
use crate::client::Connector;
use crate::file_limit::Files;
use crate::server_address::ServerAddress;
use crate::tls::{Certificates, Trust};
use crate::traffic::Watchers;

/// The most TCP connections at the HTTP stage. A further one displaces the least active.
const HTTP_CONNECTIONS: u32 = 256;
/// The most unauthenticated WebSockets.
const WAITING: u32 = 64;
/// The most authenticated WebSockets.
const CONNECTIONS: u32 = 16;
/// The open files of the page and its bridge: connections at the HTTP stage, unauthenticated WebSockets, and
/// authenticated ones, each with a connection to a server.
pub(crate) const FILES: u32 = HTTP_CONNECTIONS + WAITING + 2 * CONNECTIONS;

/// Settings of the HTTP server.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpConfig {
    /// Host names of requests besides 127.0.0.1, `[::1]` and localhost: `NAME`, `NAME:PORT`, and IPv6 addresses in
    /// brackets.
    pub(crate) hosts: Vec<String>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// The TLS of all connections; `None`: plain text alone.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The only addresses that the bridge connects to.
    pub(crate) targets: Vec<Target>,
    /// The tap, if the page is one's.
    pub(crate) tap: Option<Tap>,
}

/// A tap, as sent to its page.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tap {
    /// The address at which clients connect.
    pub(crate) listen: SocketAddr,
    /// The server that they are relayed to.
    pub(crate) to: String,
    /// The watchers of its traffic.
    #[serde(skip)]
    pub(crate) watchers: Watchers,
}

/// A server that a page can connect to through the bridge, by TCP or TLS.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Target {
    /// The unique id by which the page chooses it.
    pub(crate) id: String,
    /// The server to which the bridge connects, as the page shows it.
    #[serde(rename = "address", serialize_with = "as_text")]
    pub(crate) server: ServerAddress,
    /// An address of it, which is not the page's own.
    #[serde(skip)]
    pub(crate) address: SocketAddr,
    /// The certificates that are accepted of it, if it is reached by TLS.
    #[serde(skip)]
    pub(crate) trust: TargetTrust,
    /// The channel of its listener; `None` for a listener of all channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
}

/// The certificates that the bridge accepts of a target.
#[derive(Debug, Clone)]
pub(crate) enum TargetTrust {
    /// Those of another server.
    Of(Trust),
    /// That of this program's own listeners, by its key.
    Own(Arc<Certificates>),
}

impl Target {
    /// Returns a server that is reached in plain text.
    pub(crate) fn plain(id: impl Into<String>, address: SocketAddr) -> Self {
        Self::by_trust(id, address.into(), address, TargetTrust::Of(Trust::pins([])))
    }

    /// Returns a listener of this program that requires TLS.
    pub(crate) fn own_by_tls(id: impl Into<String>, address: SocketAddr, certificates: Arc<Certificates>) -> Self {
        let server = ServerAddress::from(address).with_tls(true);
        Self::by_trust(id, server, address, TargetTrust::Own(certificates))
    }

    pub(crate) fn by_trust(
        id: impl Into<String>,
        server: ServerAddress,
        address: SocketAddr,
        trust: TargetTrust,
    ) -> Self {
        Self { id: id.into(), server, address, trust, channel: None }
    }

    /// Returns what connects to it now.
    pub(super) fn connector(&self) -> Connector {
        let trust = match &self.trust {
            TargetTrust::Of(trust) => trust.clone(),
            TargetTrust::Own(certificates) => Trust::pins([certificates.pin()]),
        };
        Connector::new(self.server.clone(), trust)
    }
}

fn as_text<S: Serializer>(server: &ServerAddress, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(server)
}

/// The limits that tests change; the others are constants.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Timeout for a WebSocket's token.
    pub(super) token_wait: Duration,
    /// The interval of pings to a page. While the bridge does not read from the page, only a failed ping shows that the
    /// page has disconnected.
    pub(super) ping: Duration,
    /// The write timeout of responses.
    pub(super) write_timeout: Duration,
    /// The most TCP connections at the HTTP stage.
    pub(super) http: usize,
    /// The most unauthenticated WebSockets.
    pub(super) waiting: usize,
    /// The most authenticated WebSockets.
    pub(super) bridges: usize,
}

impl Limits {
    /// Returns the usual bounds, as far as there are files for them.
    pub(super) fn of(files: &Files) -> Self {
        let places = |most| usize::try_from(files.part(most)).unwrap_or(usize::MAX);
        Self {
            token_wait: Duration::from_secs(2),
            ping: Duration::from_secs(20),
            write_timeout: Duration::from_secs(10),
            http: places(HTTP_CONNECTIONS),
            waiting: places(WAITING),
            bridges: places(CONNECTIONS),
        }
    }
}

/// The state shared by all connections of a server.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) names: Names,
    pub(super) targets: Vec<Target>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) tap: Option<Tap>,
    pub(super) token: Token,
    pub(super) limits: Limits,
    /// The pool of unauthenticated WebSockets.
    pub(super) waiting: Arc<Pool>,
    /// The permits of authenticated WebSockets.
    pub(super) connections: Arc<Semaphore>,
    /// True once the server stops.
    pub(super) shutdown: watch::Receiver<bool>,
    /// Never used to send: its receiver is notified when the last owner of this structure is dropped.
    pub(super) _alive: mpsc::Sender<Infallible>,
}

/// Returns once the server is to stop.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A dropped sender counts as a stop.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
