//! Accepts TCP connections and answers their requests with a router.

use std::{net::IpAddr, pin::pin, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::{Pool, PoolPermit, Watched};
use crate::{
    accept,
    http::{access::PeerAddress, shared::stopped},
    socket,
};

/// Timeout for a request's header.
pub(in crate::http) const HEAD_WAIT: Duration = Duration::from_secs(10);
/// The largest request header in bytes.
const HEAD_SIZE: usize = 16 << 10;
/// Timeout for responses in progress once the server stops.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Accepts connections without end, at most `limit` at one time: a further one displaces the least active. `name` is
/// the listener's in logs.
pub(in crate::http) async fn accept(
    listener: &TcpListener,
    name: &'static str,
    router: &Router,
    shutdown: &watch::Receiver<bool>,
    limit: usize,
    write_timeout: Duration,
) {
    let pool = Pool::new(limit);
    let mut incoming = accept::Incoming::new(listener, name);
    loop {
        let (stream, peer) = incoming.next().await;
        let Ok(permit) = pool.enter().await else { return };
        tokio::spawn(connection(stream, peer.ip(), router.clone(), shutdown.clone(), permit, write_timeout));
    }
}

/// Answers the requests of one TCP connection, until one of them makes it a WebSocket or it ends.
async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
    permit: PoolPermit,
    write_timeout: Duration,
) {
    socket::prepare(&stream);
    let (stream, watch) = Watched::new(stream, permit.activity());
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_SIZE);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(peer));
        router.call(request)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut shutdown) => None,
        () = permit.displaced() => {
            tracing::debug!(%peer, "closed an HTTP connection: displaced by a new one");
            return watch.reset();
        }
        () = watch.stalled(write_timeout) => {
            tracing::debug!(%peer, "closed an HTTP connection: write timeout");
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
        tracing::debug!(%peer, %error, "an HTTP connection failed");
    }
}
