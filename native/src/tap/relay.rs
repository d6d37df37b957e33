//! Relaying of one connection between a client and the server.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::body::Bytes;
use chanwire_inspect::Direction;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpStream, lookup_host},
};

use crate::{
    server_address::ServerAddress,
    socket,
    traffic::{BoundaryFinder, Watchers},
};

/// The most bytes that one read takes.
const READ: usize = 64 << 10;

thread_local! {
    /// One buffer for all connections of a thread, so that an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
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
pub(crate) async fn relay(client: TcpStream, peer: SocketAddr, server: &ServerAddress, watchers: &Watchers) {
    socket::prepare(&client);
    let open = |server: String| watchers.open(peer.to_string(), server);
    let unreachable = |connection, client: TcpStream, error: io::Error| {
        socket::reset_on_close(&client);
        // The client's connection is closed before the watchers see it.
        drop(client);
        watchers.close(connection, &format!("the server cannot be reached: {error}"), true);
    };
    let addresses: Vec<SocketAddr> = match lookup_host((server.host(), server.port())).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return unreachable(open(server.to_string()), client, error),
    };
    // With a single address the connection is published at once, so that watchers see it while it is being made.
    let early = match &addresses[..] {
        [only] => Some(open(only.to_string())),
        _ => None,
    };
    let (connection, tcp) = match socket::connect(&addresses[..]).await {
        Ok(tcp) => {
            let reached = || tcp.peer_addr().map_or_else(|_| server.to_string(), |address| address.to_string());
            (early.unwrap_or_else(|| open(reached())), tcp)
        }
        Err(error) => return unreachable(early.unwrap_or_else(|| open(server.to_string())), client, error),
    };
    let broken = carry(&client, &tcp, connection, watchers).await;
    let Err(broken) = broken else {
        return watchers.close(connection, "closed", false);
    };
    for stream in [&client, &tcp] {
        socket::reset_on_close(stream);
    }
    drop((client, tcp));
    watchers.close(connection, &broken.reason(), true);
}

async fn carry(client: &TcpStream, server: &TcpStream, connection: u32, watchers: &Watchers) -> Result<(), Broken> {
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
            error = failure(client), if out_done.is_some() => return Err(Broken { by: Out, error }),
            error = failure(server), if back_done.is_some() => return Err(Broken { by: In, error }),
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
    from: &TcpStream,
    to: &TcpStream,
    direction: Direction,
    connection: u32,
    watchers: &Watchers,
    not_taken: &AtomicBool,
) -> io::Result<Pumped> {
    let mut finder = BoundaryFinder::new(direction);
    let mut boundaries = Vec::new();
    loop {
        from.readable().await?;
        let bytes = match SCRATCH.with_borrow_mut(|scratch| {
            let read = from.try_read(scratch)?;
            Ok::<_, io::Error>(Bytes::copy_from_slice(scratch.get(..read).unwrap_or_default()))
        }) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() && not_taken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if bytes.is_empty() {
            watchers.end(connection, direction);
            // It fails only if the connection has failed, which the other tasks notice.
            let _ = SockRef::from(to).shutdown(std::net::Shutdown::Write);
            return Ok(Pumped::Ended);
        }
        // Published before it is written, so that no answer is published before its request.
        let starts_at_boundary = finder.is_at_boundary();
        boundaries.clear();
        finder.feed(&bytes, &mut boundaries);
        watchers.bytes(connection, direction, &bytes, (starts_at_boundary, finder.is_at_boundary()), &boundaries);
        if let Err(error) = write(to, &bytes).await {
            not_taken.store(true, Ordering::Relaxed);
            return Ok(Pumped::NotTaken(error));
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
