//! Relaying of one connection between a client and the server.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chanwire_core::wire::TLS_HANDSHAKE;
use chanwire_inspect::Direction;
use rustls::ServerConfig;
use tokio::{io::Interest, net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::{
    client::CONNECT_TIMEOUT,
    server_address::{ServerAddress, TLS},
    shared_stream::{SharedStream, SharedTcp},
    socket,
    tls::{self, TlsError, Trust},
    traffic::{BoundaryFinder, Watchers},
};

/// The way of a tap's connections.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The certificate for clients that begin with TLS; none where all bytes are passed on as they come.
    pub(crate) sessions: Option<Arc<ServerConfig>>,
    pub(crate) to: ServerAddress,
    /// The certificates that are accepted of a server at `tls://HOST:PORT`.
    pub(crate) trust: Trust,
}

/// The failure that ended a connection before both ends did.
#[derive(Debug)]
struct Broken {
    by: Direction,
    error: io::Error,
}

/// Relays a client's connection to the server until both directions are closed.
///
/// Watchers never delay it. Bytes pass unchanged, a half-close as a half-close, a reset as a reset. If the server
/// cannot be reached, the client's connection is reset, which comes nearest to a refusal once it was accepted.
pub(crate) async fn relay(client: TcpStream, peer: SocketAddr, route: &Route, watchers: &Watchers) {
    let server = &route.to;
    socket::prepare(&client);
    let sessions = route.sessions_for(&client).await;
    let peer = if sessions.is_some() { format!("{TLS}{peer}") } else { peer.to_string() };
    let open = |server: String| watchers.open(peer.clone(), server);
    let reached = |at: SocketAddr| ServerAddress::from(at).with_tls(server.is_tls()).to_string();
    let unreachable = |connection, client: TcpStream, error: String| {
        socket::reset_on_close(&client);
        // The client's connection is closed before the watchers see it.
        drop(client);
        watchers.close(connection, &format!("the server cannot be reached: {error}"), true);
    };
    let addresses = match socket::tcp_addresses(server).await {
        Ok(addresses) => addresses,
        Err(error) => return unreachable(open(server.to_string()), client, error.to_string()),
    };
    // With a single address the connection is published at once, so that watchers see it while it is being made.
    let early = match &addresses[..] {
        [only] => Some(open(reached(*only))),
        _ => None,
    };
    let (connection, tcp) = match socket::connect(&addresses[..]).await {
        Ok(tcp) => {
            let reached = || tcp.peer_addr().map_or_else(|_| server.to_string(), reached);
            (early.unwrap_or_else(|| open(reached())), tcp)
        }
        Err(error) => return unreachable(early.unwrap_or_else(|| open(server.to_string())), client, error.to_string()),
    };
    let server = match route.encrypt(tcp).await {
        Ok(server) => server,
        Err(error) => return unreachable(connection, client, error.to_string()),
    };
    let client = match sessions {
        None => SharedStream::plain(client),
        Some(sessions) => {
            let shaking = TlsAcceptor::from(sessions).accept(SharedTcp(client.into()));
            match timeout(CONNECT_TIMEOUT, shaking).await {
                Ok(Ok(stream)) => SharedStream::encrypted(stream),
                // The client's connection is closed without a reset, which would overtake the alert that says why.
                Ok(Err(error)) => {
                    return watchers.close(connection, &format!("the client's TLS handshake failed: {error}"), true);
                }
                Err(_) => return watchers.close(connection, "the client's TLS handshake took too long", true),
            }
        }
    };
    let broken = carry(&client, &server, connection, watchers).await;
    let Err(broken) = broken else {
        return watchers.close(connection, "closed", false);
    };
    for side in [&client, &server] {
        socket::reset_on_close(side.tcp());
    }
    drop((client, server));
    watchers.close(connection, &broken.reason(), true);
}

impl Route {
    /// Returns the certificate for a client that begins with TLS. Waits for the client's first byte, where there is a
    /// certificate.
    async fn sessions_for(&self, client: &TcpStream) -> Option<Arc<ServerConfig>> {
        let sessions = self.sessions.as_ref()?;
        let mut first = [0];
        // A failure is seen again when the client is read.
        let peeked = client.peek(&mut first).await.is_ok_and(|count| count == 1);
        (peeked && first == [TLS_HANDSHAKE]).then(|| Arc::clone(sessions))
    }

    /// Encrypts a connection to the server, if the server is to be reached by TLS.
    async fn encrypt(&self, tcp: TcpStream) -> Result<SharedStream, TlsError> {
        if !self.to.is_tls() {
            return Ok(SharedStream::plain(tcp));
        }
        let shaking = tls::handshake(SharedTcp(tcp.into()), &self.to, &self.to, &self.trust);
        let shaken = timeout(CONNECT_TIMEOUT, shaking).await;
        shaken.unwrap_or(Err(TlsError::Timeout(CONNECT_TIMEOUT))).map(SharedStream::encrypted)
    }
}

async fn carry(
    client: &SharedStream,
    server: &SharedStream,
    connection: u32,
    watchers: &Watchers,
) -> Result<(), Broken> {
    use Direction::{In, Out};
    // Set once a write has failed: an end of stream read after that is a reset.
    let not_taken = AtomicBool::new(false);
    let mut out = pin!(pump(client, server, Out, connection, watchers, &not_taken));
    let mut back = pin!(pump(server, client, In, connection, watchers, &not_taken));
    let (mut out_done, mut back_done) = (None, None);
    loop {
        match (&out_done, &back_done) {
            (Some(Pumped::Ended), Some(Pumped::Ended)) => return Ok(()),
            // A write failed, and the other direction has delivered what was sent before.
            (Some(Pumped::NotTaken(_)), Some(_)) | (Some(_), Some(Pumped::NotTaken(_))) => break,
            _ => {}
        }
        tokio::select! {
            pumped = &mut out, if out_done.is_none() => out_done = Some(pumped.map_err(|error| Broken { by: Out, error })?),
            pumped = &mut back, if back_done.is_none() => back_done = Some(pumped.map_err(|error| Broken { by: In, error })?),
            // An end that is no longer read can still be reset.
            error = failure(client.tcp()), if out_done.is_some() => return Err(Broken { by: Out, error }),
            error = failure(server.tcp()), if back_done.is_some() => return Err(Broken { by: In, error }),
        }
    }
    Err(match (out_done, back_done) {
        (Some(Pumped::NotTaken(error)), _) => Broken { by: In, error },
        (_, Some(Pumped::NotTaken(error))) => Broken { by: Out, error },
        _ => Broken { by: In, error: io::ErrorKind::ConnectionReset.into() },
    })
}

/// The end of a direction.
#[derive(Debug)]
enum Pumped {
    /// Its sender shut it down.
    Ended,
    /// A write to its receiver failed.
    NotTaken(io::Error),
}

/// Relays one direction.
///
/// # Errors
/// A failed read.
async fn pump(
    from: &SharedStream,
    to: &SharedStream,
    direction: Direction,
    connection: u32,
    watchers: &Watchers,
    not_taken: &AtomicBool,
) -> io::Result<Pumped> {
    let mut finder = BoundaryFinder::new(direction);
    let mut boundaries = Vec::new();
    loop {
        let bytes = from.read(usize::MAX).await?;
        if bytes.is_empty() && not_taken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if bytes.is_empty() {
            watchers.end(connection, direction);
            // It fails only if the connection has failed, which the other tasks notice.
            let _ = to.finish().await;
            return Ok(Pumped::Ended);
        }
        // Published before it is written, so that no answer is published before its request.
        let starts_at_boundary = finder.is_at_boundary();
        boundaries.clear();
        finder.feed(&bytes, &mut boundaries);
        watchers.bytes(connection, direction, &bytes, (starts_at_boundary, finder.is_at_boundary()), &boundaries);
        if let Err(error) = to.write_all(&bytes).await {
            not_taken.store(true, Ordering::Relaxed);
            return Ok(Pumped::NotTaken(error));
        }
    }
}

/// Waits until the connection fails.
async fn failure(stream: &TcpStream) -> io::Error {
    loop {
        // `ready` may return without an error on the socket.
        if let Err(error) = stream.ready(Interest::ERROR).await {
            return error;
        }
        match stream.try_io(Interest::ERROR, || failed(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(error) | Err(error) => return error,
        }
    }
}

/// Returns why the connection has failed; `WouldBlock` while it has not.
pub(super) fn failed(stream: &TcpStream) -> io::Result<io::Error> {
    if let Some(error) = stream.take_error()? {
        return Ok(error);
    }
    // A failed write may have consumed the error, but a failed connection has no peer.
    match stream.peer_addr() {
        Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
        Err(_) => Ok(io::ErrorKind::ConnectionReset.into()),
    }
}

impl Broken {
    fn reason(&self) -> String {
        let who = if self.by == Direction::Out { "client" } else { "server" };
        match self.error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => format!("reset by the {who}"),
            _ => format!("the {who}'s connection failed: {}", self.error),
        }
    }
}
