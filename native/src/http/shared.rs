//! Settings and bounds of the HTTP side, and what all its connections share.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, watch};

use super::access::{Names, Token};
use super::connections::Pool;
use crate::file_limit::Files;
use crate::traffic::Watchers;

/// The most TCP connections at the HTTP stage. One more takes the place of the least active.
const HTTP_CONNECTIONS: u32 = 256;
/// The most open WebSockets that have not shown the token.
const WAITING: u32 = 64;
/// The most open WebSockets that have.
const CONNECTIONS: u32 = 16;
/// The files that the page and its bridge may have open: connections at the HTTP stage, WebSockets that have not shown
/// the token, and those that have, each with a connection to a server.
pub(crate) const FILES: u32 = HTTP_CONNECTIONS + WAITING + 2 * CONNECTIONS;

/// Settings of the HTTP side.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpConfig {
    /// Names beside 127.0.0.1, `[::1]` and localhost that requests may be addressed to: `NAME`, `NAME:PORT`, and IPv6
    /// addresses in brackets.
    pub(crate) hosts: Vec<String>,
    /// The addresses the bridge may connect to. A page can name no other.
    pub(crate) targets: Vec<Target>,
    /// The tap whose page this is.
    pub(crate) tap: Option<Tap>,
}

/// A tap, as its page is told of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tap {
    /// The address at which clients connect.
    pub(crate) listen: SocketAddr,
    /// The server that they reach.
    pub(crate) to: String,
    /// Everything that passes.
    #[serde(skip)]
    pub(crate) watchers: Watchers,
}

/// A TCP address that a page may have the bridge connect to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Target {
    /// The page's name for it; unlike any other target's.
    pub(crate) id: String,
    /// The address to which the bridge connects.
    pub(crate) address: SocketAddr,
    /// The channel whose listener it is; `None` for a listener that serves them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
}

/// The bounds that tests need to move; the others are constants.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// The timeout of a WebSocket's token.
    pub(super) token_wait: Duration,
    /// The time between two pings of a page. While it does not read from the page, a ping that cannot be written is the
    /// one sign that the page has gone.
    pub(super) ping: Duration,
    /// The write timeout: the time for which a response may wait for a peer that takes none of it.
    pub(super) write_timeout: Duration,
    /// The most TCP connections at the HTTP stage.
    pub(super) http: usize,
    /// The most WebSockets that wait for their token.
    pub(super) waiting: usize,
    /// The most WebSockets that have shown it.
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

/// The state that all connections of one server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) names: Names,
    pub(super) targets: Vec<Target>,
    pub(super) tap: Option<Tap>,
    pub(super) token: Token,
    pub(super) limits: Limits,
    /// Places of WebSockets that have not shown the token.
    pub(super) waiting: Arc<Pool>,
    /// Room for WebSockets that have. No other can take it.
    pub(super) connections: Arc<Semaphore>,
    /// Turns true when the server stops.
    pub(super) shutdown: watch::Receiver<bool>,
    /// Never used to send: its receiver learns when the last owner of this structure is gone.
    pub(super) _alive: mpsc::Sender<Infallible>,
}

/// Returns once the server is to stop.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could ask for it, which is the same.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
