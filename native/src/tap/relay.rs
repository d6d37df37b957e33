//! One connection through the tap: what a client says goes to the server and back, as if nobody were between them.

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
    traffic::{Cutter, Watchers},
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

/// Carries a client's connection to the server and back until it is over.
///
/// Nothing waits for a watcher. What one end does, the other end sees: bytes unchanged, an end as an end, a reset as a
/// reset; and where the server cannot be reached the client is reset, which is as near to a refusal as an accepted
/// connection can come.
pub(crate) async fn relay(client: TcpStream, peer: SocketAddr, server: &ServerAddress, watchers: &Watchers) {
    socket::prepare(&client);
    let open = |server: String| watchers.open(peer.to_string(), server);
    let unreachable = |connection, client: TcpStream, error: io::Error| {
        socket::reset_on_close(&client);
        // First the client is told: it would not have waited for a watcher.
        drop(client);
        watchers.close(connection, &format!("the server cannot be reached: {error}"), true);
    };
    let addresses: Vec<SocketAddr> = match lookup_host((server.host(), server.port())).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return unreachable(open(server.to_string()), client, error),
    };
    // Where there is one address, a connection that takes long to be made is shown meanwhile.
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
    // One end takes nothing any more: it is over, and what looks like the end of its stream is none.
    let not_taken = AtomicBool::new(false);
    let mut out = pin!(pump(client, server, Out, connection, watchers, &not_taken));
    let mut back = pin!(pump(server, client, In, connection, watchers, &not_taken));
    let (mut out_done, mut back_done) = (None, None);
    loop {
        match (&out_done, &back_done) {
            (Some(Pumped::Ended), Some(Pumped::Ended)) => return Ok(()),
            // An end that takes nothing may still have said something, and that has passed now.
            (Some(Pumped::NotTaken(_)), Some(_)) | (Some(_), Some(Pumped::NotTaken(_))) => break,
            _ => {}
        }
        tokio::select! {
            pumped = &mut out, if out_done.is_none() => out_done = Some(pumped.map_err(|error| Broken { by: Out, error })?),
            pumped = &mut back, if back_done.is_none() => back_done = Some(pumped.map_err(|error| Broken { by: In, error })?),
            // Nothing more is read from an end that has ended, and it can still be reset.
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
    /// Its receiver takes nothing any more.
    NotTaken(io::Error),
}

/// Carries one direction. The error is of reading.
async fn pump(
    from: &TcpStream,
    to: &TcpStream,
    direction: Direction,
    connection: u32,
    watchers: &Watchers,
    not_taken: &AtomicBool,
) -> io::Result<Pumped> {
    let mut cutter = Cutter::new(direction);
    let mut cuts = Vec::new();
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
            // It fails only where the connection is over, and that is noticed elsewhere.
            let _ = SockRef::from(to).shutdown(std::net::Shutdown::Write);
            return Ok(Pumped::Ended);
        }
        // Told before it is passed on, so that no answer is told before its request.
        let begins_between = cutter.is_between();
        cuts.clear();
        cutter.take(&bytes, &mut cuts);
        watchers.bytes(connection, direction, &bytes, (begins_between, cutter.is_between()), &cuts);
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
        // It may come back with nothing at all.
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
    // Whoever wrote may have been told already, and it is told only once. What is over has no peer any more.
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
