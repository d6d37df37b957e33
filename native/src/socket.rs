//! Opening TCP sockets and setting their options, for listeners, servers and clients.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream, lookup_host},
};

use crate::server_address::{Location, ServerAddress};

/// The listen backlog, subject to the system's limit.
pub(crate) const BACKLOG: u32 = 4096;

/// The default keep-alive time in seconds.
pub(crate) const KEEP_ALIVE: u16 = 60;

/// The keep-alive probes after which a connection is lost.
const PROBES: u32 = 3;

/// The limit on unsent bytes in the kernel (`TCP_NOTSENT_LOWAT`). Bytes in flight do not count, so a fast connection is
/// not slowed down, and one whose peer does not read holds little memory.
const UNSENT: u32 = 32 * 1024;

/// The receive buffer of accepted connections, which the kernel doubles. Fixed, because an autotuned buffer could hold
/// megabytes when the server stops reading from a fast client.
const RECEIVE_BUFFER: u32 = 128 * 1024;

static KEEP_ALIVE_NOW: AtomicU16 = AtomicU16::new(KEEP_ALIVE);

/// Sets the keep-alive time of sockets opened later.
pub(crate) fn set_keep_alive(seconds: u16) {
    KEEP_ALIVE_NOW.store(seconds, Ordering::Relaxed);
}

/// The timing of keep-alive probes and of the loss of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Liveness {
    /// Idle time before a connection is probed.
    idle: Duration,
    /// The time from one probe to the next.
    interval: Duration,
    /// Timeout for unacknowledged bytes (`TCP_USER_TIMEOUT`). It also replaces the limit on the number of probes.
    unacknowledged: Duration,
}

impl Liveness {
    fn of(keep_alive: u16) -> Self {
        let idle = Duration::from_secs(keep_alive.max(1).into());
        // The kernel counts whole seconds.
        let interval = Duration::from_secs((idle.as_secs() / 6).max(1));
        Self { idle, interval, unacknowledged: idle + interval * PROBES }
    }
}

/// Sets the options of a connection: no delay of small writes, keep-alive, and a limit on unsent bytes in the kernel.
pub(crate) fn prepare(stream: &TcpStream) {
    if let Err(error) = set_options(stream, Liveness::of(KEEP_ALIVE_NOW.load(Ordering::Relaxed))) {
        // The connection works without these options.
        tracing::debug!(%error, "cannot set a connection's options");
    }
}

fn set_options(stream: &TcpStream, liveness: Liveness) -> io::Result<()> {
    let Liveness { idle, interval, unacknowledged } = liveness;
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(PROBES))?;
    socket.set_tcp_user_timeout(Some(unacknowledged))?;
    socket.set_tcp_notsent_lowat(UNSENT)
}

/// Connects to the first of these addresses that accepts.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addresses).await?;
    prepare(&stream);
    Ok(stream)
}

/// Resolves the name of a server that is reached by TCP.
pub(crate) async fn tcp_addresses(server: &ServerAddress) -> io::Result<Vec<SocketAddr>> {
    match server.location() {
        Location::Host(host, port) => Ok(lookup_host((host, port)).await?.collect()),
        Location::Unix(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no TCP address; name HOST:PORT"))
        }
    }
}

/// Resolves a server's name and connects to it by TCP.
pub(crate) async fn connect_to(server: &ServerAddress) -> io::Result<TcpStream> {
    connect(&tcp_addresses(server).await?).await
}

/// The address families that a listener at `[::]` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// IPv6 and IPv4.
    Both,
    V6,
}

/// Opens a listener at an address.
pub(crate) fn listen(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // Set explicitly, since the system's default varies.
        SockRef::from(&socket).set_only_v6(families == Families::V6)?;
    }
    // A restart need not wait for connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An accepted connection's stream.
pub(crate) trait AcceptedStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Sets the options of a connection, if it is one by TCP.
    fn prepare(&self) {}

    /// Makes closing the stream drop what its peer has not read, where the system can do that.
    fn reset_on_close(&self);

    /// Waits for the next byte and leaves it there. `None`: the stream ended or failed, or cannot be looked at.
    fn first_byte(&self) -> impl Future<Output = Option<u8>> + Send {
        std::future::ready(None)
    }

    /// Tells the peer that the stream ends, where closing it does not say so, and as far as that can be sent at once.
    fn end(&mut self) {}
}

impl AcceptedStream for TcpStream {
    fn prepare(&self) {
        prepare(self);
    }

    fn reset_on_close(&self) {
        reset_on_close(self);
    }

    async fn first_byte(&self) -> Option<u8> {
        let mut first = [0];
        match self.peek(&mut first).await {
            Ok(1..) => first.first().copied(),
            _ => None,
        }
    }
}

impl AcceptedStream for UnixStream {
    fn reset_on_close(&self) {}
}

/// Makes closing the stream reset the connection.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot reset a connection");
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// The options of one end of a connection.
    fn options(stream: &TcpStream) -> (bool, bool, Liveness, u32, u32) {
        let socket = SockRef::from(stream);
        let liveness = Liveness {
            idle: socket.tcp_keepalive_time().unwrap(),
            interval: socket.tcp_keepalive_interval().unwrap(),
            unacknowledged: socket.tcp_user_timeout().unwrap().unwrap_or_default(),
        };
        let (nodelay, keep_alive) = (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap());
        (nodelay, keep_alive, liveness, socket.tcp_keepalive_retries().unwrap(), socket.tcp_notsent_lowat().unwrap())
    }

    #[tokio::test]
    async fn both_ends_of_a_connection_have_the_same_options() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), Families::Both).unwrap();
        let client = connect(&[listener.local_addr().unwrap()]).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        prepare(&server);
        let minute = Duration::from_secs(60);
        let liveness = Liveness { idle: minute, interval: minute / 6, unacknowledged: minute * 3 / 2 };
        for stream in [client, server] {
            assert_eq!(options(&stream), (true, true, liveness, 3, UNSENT));
        }
    }

    #[test]
    fn every_probe_has_its_time_before_the_peer_counts_as_lost() {
        for seconds in 0..=7200 {
            let Liveness { idle, interval, unacknowledged } = Liveness::of(seconds);
            assert!(idle >= Duration::from_secs(1) && interval >= Duration::from_secs(1), "{seconds}");
            assert_eq!(unacknowledged, idle + interval * PROBES, "{seconds}");
        }
    }
}
