//! The HTTP side: the inspector's page and the bridge that carries a WebSocket's bytes to a TCP connection.
//!
//! Whoever reaches the bridge can talk to the chat servers in the user's name, so it is guarded three times: by the
//! name a request is addressed to ([`host`]), by the origin of the page that asks, and by a token that only the user's
//! terminal has shown ([`Token`]).

mod bridge;
mod guard;
mod host;
mod inspector_page;
mod page;
mod pool;
mod token;
mod watched;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

pub(crate) use self::host::Authority;
use self::host::Names;
pub(crate) use self::inspector_page::InspectorPage;
use self::pool::{Place, Pool};
use self::token::Token;
use self::watched::Watched;
use crate::accept::Incoming;
use crate::file_limit::Files;
use crate::socket;
use crate::tap::Watchers;

/// How long a request's head may take to arrive.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// How large a request's head may be, in bytes.
const HEAD_SIZE: usize = 16 << 10;
/// How many TCP connections may be at the HTTP stage. One more takes the place of the least active.
const HTTP_CONNECTIONS: u32 = 256;
/// How many files the page and its bridge may have open: connections at the HTTP stage, WebSockets that have not shown
/// the token, and those that have, each with a connection to a server.
pub(crate) const FILES: u32 = HTTP_CONNECTIONS + bridge::WAITING + 2 * bridge::CONNECTIONS;
/// How long a request that is being answered may go on once the server stops.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How long [`serve`] waits for everything of its own to end.
const LAST_BRIDGE: Duration = Duration::from_secs(2);

/// What the HTTP side serves.
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
    /// Where clients connect.
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
    /// What the page calls it by; unlike any other target's.
    pub(crate) id: String,
    /// Where the bridge connects.
    pub(crate) address: SocketAddr,
    /// The channel whose listener it is; `None` for a listener that serves them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
}

/// The bounds that tests need to move; the others are constants.
#[derive(Debug, Clone)]
struct Limits {
    /// How long a WebSocket has for its token.
    token_wait: Duration,
    /// How often a bridge pings its page. While it does not read from the page, a ping that cannot be written is the
    /// one sign that the page has gone.
    ping: Duration,
    /// How long a response may wait for a peer that takes none of it.
    write_timeout: Duration,
    /// How many TCP connections may be at the HTTP stage.
    http: usize,
    /// How many WebSockets may wait for their token.
    waiting: usize,
    /// How many WebSockets may be open that have shown it.
    bridges: usize,
}

impl Limits {
    /// The usual bounds, as far as there are files for them.
    fn of(files: &Files) -> Self {
        let places = |most| usize::try_from(files.part(most)).unwrap_or(usize::MAX);
        Self {
            token_wait: Duration::from_secs(2),
            ping: Duration::from_secs(20),
            write_timeout: Duration::from_secs(10),
            http: places(HTTP_CONNECTIONS),
            waiting: places(bridge::WAITING),
            bridges: places(bridge::CONNECTIONS),
        }
    }
}

/// What all connections of one server have in common.
#[derive(Debug)]
struct Shared {
    names: Names,
    targets: Vec<Target>,
    tap: Option<Tap>,
    token: Token,
    limits: Limits,
    /// Places of WebSockets that have not shown the token.
    waiting: Arc<Pool>,
    /// Room for WebSockets that have. No other can take it.
    connections: Arc<Semaphore>,
    /// Turns true when the server stops.
    shutdown: watch::Receiver<bool>,
    /// Never used to send: its receiver learns when the last owner of this structure is gone.
    _alive: mpsc::Sender<Infallible>,
}

/// Serves the page and the bridge on `listener` until `shutdown` turns true or its sender is dropped. Then it stops
/// accepting, closes each WebSocket with code 1001 and returns when all are closed, after 2 s at most.
///
/// # Errors
/// `InvalidInput`, before anything is served, when a name in `config.hosts` is no host, two targets have the same id,
/// or a target is the listener's own address: the bridge must not lead to itself. Any error of asking the listener
/// for its address. No error of a single connection ends the server.
async fn serve(
    listener: TcpListener,
    config: HttpConfig,
    token: Token,
    files: &Files,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_within(listener, config, token, shutdown, Limits::of(files)).await
}

async fn serve_within(
    listener: TcpListener,
    config: HttpConfig,
    token: Token,
    mut shutdown: watch::Receiver<bool>,
    limits: Limits,
) -> io::Result<()> {
    let own = listener.local_addr()?;
    check_targets(own, &config.targets)?;
    let more: Result<Vec<Authority>, _> = config.hosts.iter().map(|host| host.parse()).collect();
    let more = more.map_err(|error| invalid(format!("--http-host: {error}")))?;

    let (alive, mut all_gone) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        names: Names::new(own.port(), more),
        targets: config.targets,
        tap: config.tap,
        token,
        waiting: Pool::new(limits.waiting),
        connections: Arc::new(Semaphore::new(limits.bridges)),
        limits: limits.clone(),
        shutdown: shutdown.clone(),
        _alive: alive,
    });
    let router = Router::new()
        .route("/bridge", get(bridge::upgrade))
        .method_not_allowed_fallback(page::method_not_allowed)
        .fallback(page::respond)
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared);

    let others = shutdown.clone();
    tokio::select! {
        () = accept(&listener, &router, &others, &limits) => {}
        () = stopped(&mut shutdown) => {}
    }
    drop(listener);
    // With the router goes the last of our own handles to what is shared; the others are the connections'.
    drop(router);
    if timeout(LAST_BRIDGE, all_gone.recv()).await.is_err() {
        tracing::warn!("some HTTP connections were still open when the server stopped");
    }
    Ok(())
}

fn check_targets(own: SocketAddr, targets: &[Target]) -> io::Result<()> {
    for (index, target) in targets.iter().enumerate() {
        if is_own(own, target.address) {
            let Target { id, address, .. } = target;
            return Err(invalid(format!(
                "target {id} at {address} is the inspector's own address {own}: give the two different ports"
            )));
        }
        if targets.iter().take(index).any(|other| other.id == target.id) {
            return Err(invalid(format!("two targets have the id {}", target.id)));
        }
    }
    Ok(())
}

/// Whether a connection to `target` could arrive at a listener at `own`, in whatever form the address is written.
pub(crate) fn is_own(own: SocketAddr, target: SocketAddr) -> bool {
    let (a, b) = (own.ip().to_canonical(), target.ip().to_canonical());
    own.port() == target.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Returns once the server is to stop.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could ask for it, which is the same.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

async fn accept(listener: &TcpListener, router: &Router, shutdown: &watch::Receiver<bool>, limits: &Limits) {
    let pool = Pool::new(limits.http);
    let mut incoming = Incoming::new(listener, "inspector's page");
    loop {
        let (stream, _) = incoming.next().await;
        let Ok(place) = pool.enter().await else { return };
        let (router, shutdown, write_timeout) = (router.clone(), shutdown.clone(), limits.write_timeout);
        tokio::spawn(connection(stream, router, shutdown, place, write_timeout));
    }
}

/// Answers the requests of one TCP connection, until one of them makes it a WebSocket or it ends.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
    place: Place,
    write_timeout: Duration,
) {
    socket::prepare(&stream);
    let (stream, watch) = Watched::new(stream, place.activity());
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_SIZE);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut shutdown) => None,
        () = place.displaced() => {
            tracing::debug!("closed an HTTP connection: another needs its place");
            return watch.reset();
        }
        () = watch.stalled(write_timeout) => {
            tracing::debug!("closed an HTTP connection: write timeout");
            return watch.reset();
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_REQUEST, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}
