//! TCP sockets: the one place that opens them and sets their options, whichever end of a connection they are.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::server_address::ServerAddress;

/// Connections that may wait to be accepted, if the system allows as many.
const BACKLOG: u32 = 4096;

/// Seconds after which an idle connection is probed, unless the environment says otherwise.
pub(crate) const KEEP_ALIVE: u16 = 60;

/// Unanswered probes after which a connection is lost.
const PROBES: u32 = 3;

/// Unsent bytes at which the kernel takes no more. Bytes that the peer acknowledges are never limited by it, so a fast
/// connection keeps as much in flight as it needs, and one that is not read holds little.
const UNSENT: u32 = 32 * 1024;

/// The receive buffer of accepted connections, of which the kernel grants twice as much. A fixed one: a client that has
/// sent fast for a while would otherwise have megabytes waiting when the server stops reading.
const RECEIVE_BUFFER: u32 = 128 * 1024;

static KEEP_ALIVE_NOW: AtomicU16 = AtomicU16::new(KEEP_ALIVE);

/// Sets the keep-alive time of all sockets that are opened from now on.
pub(crate) fn set_keep_alive(seconds: u16) {
    KEEP_ALIVE_NOW.store(seconds, Ordering::Relaxed);
}

/// When a silent or unreachable peer is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Liveness {
    /// Idle time before a connection is probed.
    idle: Duration,
    /// The time from one probe to the next.
    interval: Duration,
    /// Time for which sent bytes may be unacknowledged. With it set, the kernel also ends the probes by it instead of by
    /// their number.
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

/// Sets the options of a connection: small writes leave at once, a peer that vanished is noticed, and the kernel holds
/// little for a peer that does not read.
pub(crate) fn prepare(stream: &TcpStream) {
    if let Err(error) = set_options(stream, Liveness::of(KEEP_ALIVE_NOW.load(Ordering::Relaxed))) {
        // The connection works without, and fails by itself if it is lost already.
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

/// Looks a server up and connects to it.
pub(crate) async fn connect_to(server: &ServerAddress) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host((server.host(), server.port())).await?.collect();
    connect(&addresses).await
}

/// Which clients a listener at `[::]` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    /// Those of IPv4 as well.
    Both,
    V6,
}

/// Listens at an address.
pub(crate) fn listen(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // Set explicitly, since the system's default varies.
        SockRef::from(&socket).set_only_v6(families == Families::V6)?;
    }
    // A restart need not wait for the old connections' last minutes.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Makes closing the stream a reset.
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
