//! The HTTP server of the page and the bridge.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::access::{Authority, Names, Token, guard};
use super::connections::{Pool, accept};
use super::shared::{HttpConfig, Limits, Shared, Target, stopped};
use super::{assets, bridge};
use crate::file_limit::Files;

/// How long a stopping server waits for its connections to close.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves the page and the bridge on `listener` until `shutdown` turns true or its sender is dropped. Then it stops
/// accepting, closes each WebSocket with code 1001 and returns when all are closed, after 2 s at most.
///
/// # Errors
/// `InvalidInput`, before anything is served, when a name in `config.hosts` is no host, two targets have the same id,
/// or a target is the listener's own address: the bridge must not lead to itself. Any error of reading the listener's
/// address. Errors of single connections do not end the server.
pub(super) async fn serve(
    listener: TcpListener,
    config: HttpConfig,
    token: Token,
    files: &Files,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    serve_within(listener, config, token, shutdown, Limits::of(files)).await
}

/// [Serves](serve) within these limits.
pub(super) async fn serve_within(
    listener: TcpListener,
    config: HttpConfig,
    token: Token,
    mut shutdown: watch::Receiver<bool>,
    limits: Limits,
) -> io::Result<()> {
    let listen = listener.local_addr()?;
    check_targets(listen, &config.targets)?;
    let extra_hosts: Result<Vec<Authority>, _> = config.hosts.iter().map(|host| host.parse()).collect();
    let extra_hosts = extra_hosts.map_err(|error| invalid(format!("--http-host: {error}")))?;

    let (alive, mut all_closed) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        names: Names::new(listen.port(), if config.tls.is_some() { 443 } else { 80 }, extra_hosts),
        targets: config.targets,
        trusted_proxies: config.trusted_proxies,
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

    let for_connections = shutdown.clone();
    tokio::select! {
        () = accept(
            &listener,
            "inspector's page",
            &router,
            config.tls.as_ref(),
            &for_connections,
            limits.http,
            limits.write_timeout,
        ) => {}
        () = stopped(&mut shutdown) => {}
    }
    drop(listener);
    // The router has the server's last handle to the shared state; the others belong to the connections.
    drop(router);
    if timeout(DRAIN_TIMEOUT, all_closed.recv()).await.is_err() {
        tracing::warn!("some HTTP connections were still open when the server stopped");
    }
    Ok(())
}

fn check_targets(listen: SocketAddr, targets: &[Target]) -> io::Result<()> {
    for (index, target) in targets.iter().enumerate() {
        if leads_to_itself(listen, target.address) {
            let Target { id, address, .. } = target;
            return Err(invalid(format!(
                "target {id} at {address} is the inspector's own address {listen}: give the two different ports"
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
