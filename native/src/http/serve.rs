//! The HTTP server of the page and the bridge.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::access::{Authority, Names, Token, guard};
use super::connections::{Pool, PoolPermit, Watched};
use super::shared::{HttpConfig, Limits, Shared, Target, stopped};
use super::{assets, bridge};
use crate::accept::Incoming;
use crate::file_limit::Files;
use crate::socket;

/// Timeout for a request's header.
pub(super) const HEAD_WAIT: Duration = Duration::from_secs(10);
/// The largest request header in bytes.
const HEAD_SIZE: usize = 16 << 10;
/// Timeout for responses in progress once the server stops.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// Timeout for the connections' end once the server stops.
const LAST_BRIDGE: Duration = Duration::from_secs(2);

/// Serves the page and the bridge on `listener` until `shutdown` turns true or its sender is dropped. Then it stops
/// accepting, closes each WebSocket with code 1001 and returns when all are closed, after 2 s at most.
///
/// # Errors
/// `InvalidInput`, before anything is served, when a name in `config.hosts` is no host, two targets have the same id,
/// or a target is the listener's own address: the bridge must not lead to itself. Any error of asking the listener
/// for its address. No error of a single connection ends the server.
pub(super) async fn serve(
    listener: TcpListener,
    config: HttpConfig,
    token: Token,
    files: &Files,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_within(listener, config, token, shutdown, Limits::of(files)).await
}

pub(super) async fn serve_within(
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
        .method_not_allowed_fallback(assets::method_not_allowed)
        .fallback(assets::respond)
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared);

    let others = shutdown.clone();
    tokio::select! {
        () = accept(&listener, &router, &others, &limits) => {}
        () = stopped(&mut shutdown) => {}
    }
    drop(listener);
    // The router has the server's last handle to the shared state; the others belong to the connections.
    drop(router);
    if timeout(LAST_BRIDGE, all_gone.recv()).await.is_err() {
        tracing::warn!("some HTTP connections were still open when the server stopped");
    }
    Ok(())
}

fn check_targets(own: SocketAddr, targets: &[Target]) -> io::Result<()> {
    for (index, target) in targets.iter().enumerate() {
        if leads_to_itself(own, target.address) {
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

/// Returns whether a connection to `target` could arrive at the listener at `listen`, in any notation of the address.
pub(crate) fn leads_to_itself(listen: SocketAddr, target: SocketAddr) -> bool {
    let (a, b) = (listen.ip().to_canonical(), target.ip().to_canonical());
    listen.port() == target.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

async fn accept(listener: &TcpListener, router: &Router, shutdown: &watch::Receiver<bool>, limits: &Limits) {
    let pool = Pool::new(limits.http);
    let mut incoming = Incoming::new(listener, "inspector's page");
    loop {
        let (stream, _) = incoming.next().await;
        let Ok(permit) = pool.enter().await else { return };
        let (router, shutdown, write_timeout) = (router.clone(), shutdown.clone(), limits.write_timeout);
        tokio::spawn(connection(stream, router, shutdown, permit, write_timeout));
    }
}

/// Answers the requests of one TCP connection, until one of them makes it a WebSocket or it ends.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
    permit: PoolPermit,
    write_timeout: Duration,
) {
    socket::prepare(&stream);
    let (stream, watch) = Watched::new(stream, permit.activity());
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_SIZE);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut shutdown) => None,
        () = permit.displaced() => {
            tracing::debug!("closed an HTTP connection: displaced by a new one");
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
