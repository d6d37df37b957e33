//! Accepts TCP connections, in plain text or by TLS, and answers their requests with a router.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use chanwire_core::wire::TLS_HANDSHAKE;
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
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Pool, PoolPermit, Watched};
use crate::{
    accept,
    http::{access::PeerAddress, shared::stopped},
    socket,
};

/// Timeout for a request's header, and for a TLS handshake.
pub(in crate::http) const HEAD_WAIT: Duration = Duration::from_secs(10);
/// The largest request header in bytes.
const HEAD_SIZE: usize = 16 << 10;
/// Timeout for responses in progress once the server stops.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// The answer to a request in plain text, where TLS is required.
const NOT_ENCRYPTED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: \
                             close\r\n\r\nThis page is served by TLS alone: open it with https:// in front.\n";
/// Timeout for the rest of such a request. Closing the connection with unread bytes could destroy the answer.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Accepts connections without end, at most `limit` at one time: a further one displaces the least active. `name` is
/// the listener's in logs. With `tls`, plain text is refused.
pub(in crate::http) async fn accept(
    listener: &TcpListener,
    name: &'static str,
    router: &Router,
    tls: Option<&Arc<ServerConfig>>,
    shutdown: &watch::Receiver<bool>,
    limit: usize,
    write_timeout: Duration,
) {
    let pool = Pool::new(limit);
    let mut incoming = accept::Incoming::new(listener, name);
    loop {
        let (stream, peer) = incoming.next().await;
        let Ok(permit) = pool.enter().await else { return };
        let service = Service { router: router.clone(), peer: peer.ip(), shutdown: shutdown.clone() };
        tokio::spawn(connection(stream, service, tls.cloned(), permit, write_timeout));
    }
}

/// The service of one connection.
struct Service {
    router: Router,
    peer: IpAddr,
    shutdown: watch::Receiver<bool>,
}

/// Answers the requests of one TCP connection, until one of them makes it a WebSocket or it ends.
async fn connection(
    stream: TcpStream,
    service: Service,
    tls: Option<Arc<ServerConfig>>,
    permit: PoolPermit,
    write_timeout: Duration,
) {
    socket::prepare(&stream);
    let peer = service.peer;
    let (stream, watch) = Watched::new(stream, permit.activity());
    let mut served = pin!(async {
        match tls {
            None => service.serve(stream).await,
            Some(tls) => service.serve_encrypted(stream, tls).await,
        }
    });
    tokio::select! {
        () = served.as_mut() => {}
        () = permit.displaced() => {
            tracing::debug!(%peer, "closed an HTTP connection: displaced by a new one");
            watch.reset();
        }
        () = watch.stalled(write_timeout) => {
            tracing::debug!(%peer, "closed an HTTP connection: write timeout");
            watch.reset();
        }
    }
}

impl Service {
    /// Serves a connection by TLS. One that begins with plain text is told to use it.
    async fn serve_encrypted(self, mut stream: Watched, tls: Arc<ServerConfig>) {
        let peer = self.peer;
        let begin = async {
            match stream.first_byte().await {
                Some(TLS_HANDSHAKE) => TlsAcceptor::from(tls).accept(stream).await.map(Some),
                Some(_) => refuse_plain_text(&mut stream).await.map(|()| None),
                None => Ok(None),
            }
        };
        match timeout(HEAD_WAIT, begin).await {
            Ok(Ok(Some(stream))) => self.serve(stream).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "an HTTP connection failed in its TLS handshake"),
            Err(_) => tracing::debug!(%peer, "closed an HTTP connection: no TLS handshake in time"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { router, peer, mut shutdown } = self;
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
}

/// Tells the client that the page is served by TLS alone.
async fn refuse_plain_text(stream: &mut Watched) -> io::Result<()> {
    stream.write_all(NOT_ENCRYPTED.as_bytes()).await?;
    stream.shutdown().await?;
    let _ = timeout(LAST_BYTES, async { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} }).await;
    Ok(())
}
