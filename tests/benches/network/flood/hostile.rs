//! The hostile client: sends as much as is taken, on many connections.

use std::{
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, recv, sockopt::set_socket_linger};

use super::message;

const CONNECTIONS: usize = 50;

/// The requests in a block, which each connection sends again and again.
const REQUESTS: usize = 200;

/// The wait for a connection that takes bytes.
const TICK: Duration = Duration::from_millis(50);

/// A kind of flood.
pub(super) enum Flood {
    /// Requests on connections that stay open, with the request of each number.
    Requests(&'static str, fn(usize) -> String),
    /// Connections with one request, each reset at once.
    Connections(&'static str),
}

pub(super) const FLOODS: &[Flood] = &[
    Flood::Requests("MESSAGE", |_| message("flood flood flood")),
    Flood::Requests("HOST, LIST", |number| {
        let address = "\"peer_server_ip\": \"10.9.9.9\", \"peer_server_port\": ";
        // Each block moves the channels of the one before.
        let (name, port) = (number % 90, 1000 + number);
        format!("HOST\r\n{{\"channel_name\": \"flood-{name}\", {address}{port}}}LIST\r\n")
    }),
    Flood::Requests("JOIN, LEAVE", |_| {
        "JOIN\r\n{\"channel_name\": \"general\", \"history\": 100}LEAVE\r\n{\"channel_name\": \"general\"}".to_owned()
    }),
    Flood::Requests("HISTORY", |_| "HISTORY\r\n{\"channel_name\": \"general\", \"limit\": 1000}".to_owned()),
    Flood::Requests("faults", |_| "NONSENSE\r\n{\"a\": \r\n".to_owned()),
    Flood::Connections("connections"),
];

impl Flood {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Requests(name, _) | Self::Connections(name) => name,
        }
    }

    /// Sends it until `stop` is true. Returns the number of bytes that were taken.
    pub(super) fn send(&self, to: SocketAddr, stop: &AtomicBool) -> u64 {
        match self {
            Self::Requests(_, request) => {
                let block: String = (0..REQUESTS).map(request).collect();
                send_requests(block.as_bytes(), to, stop)
            }
            Self::Connections(_) => open_connections(to, stop),
        }
    }
}

fn open_connections(to: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        // Each may be refused or reset.
        let Ok(mut stream) = TcpStream::connect(to) else { continue };
        // No port of this machine waits for late segments.
        set_socket_linger(&stream, Some(Duration::ZERO)).expect("a TCP socket");
        sent += u64::from(stream.write_all(b"LIST\r\n").is_ok());
    }
    sent
}

/// A connection, and its place in the block.
struct Connection {
    stream: mio::net::TcpStream,
    written: usize,
}

fn send_requests(block: &[u8], to: SocketAddr, stop: &AtomicBool) -> u64 {
    let (mut poll, mut events) = (Poll::new().expect("a poll"), Events::with_capacity(CONNECTIONS));
    let mut connections: Vec<Option<Connection>> = (0..CONNECTIONS).map(|_| None).collect();
    let (mut scratch, mut sent) = (vec![0; 64 * 1024], 0);
    while !stop.load(Ordering::Relaxed) {
        // The server closes a connection after a fault.
        for (number, connection) in connections.iter_mut().enumerate().filter(|(_, connection)| connection.is_none()) {
            let Ok(mut stream) = mio::net::TcpStream::connect(to) else { continue };
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), interest).expect("a registration");
            *connection = Some(Connection { stream, written: 0 });
        }
        match poll.poll(&mut events, Some(TICK)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("cannot wait: {error}"),
            _ => {}
        }
        for event in &events {
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            if !discard(&connection.stream, &mut scratch) || !connection.send(block, &mut sent) {
                *slot = None;
            }
        }
    }
    sent
}

impl Connection {
    /// Writes what the kernel takes. Returns whether the connection is open.
    fn send(&mut self, block: &[u8], sent: &mut u64) -> bool {
        loop {
            match self.stream.write(&block[self.written..]) {
                Ok(count) => {
                    *sent += u64::try_from(count).unwrap_or(u64::MAX);
                    self.written = (self.written + count) % block.len();
                }
                Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected),
            }
        }
    }
}

/// Throws away what has come. Returns whether the connection is open.
pub(super) fn discard(stream: &mio::net::TcpStream, scratch: &mut [u8]) -> bool {
    loop {
        match recv(stream.as_fd(), &mut *scratch, RecvFlags::TRUNC) {
            Ok((_, 0)) => return false,
            Ok(_) => {}
            Err(error) => {
                let kind = std::io::Error::from(error).kind();
                return matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected);
            }
        }
    }
}
