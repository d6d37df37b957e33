//! Listening sockets that the process was started with, as by systemd's socket activation.
//!
//! Their holder keeps them open while no server runs, so clients wait in the backlog and none is refused.

use std::{
    io,
    net::{self, SocketAddr},
    os::{fd::AsFd, unix},
};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use crate::{
    serve_error::ServeError,
    socket::Families,
    unix_socket::{ListenAddress, UnixPath},
};

/// The sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    tcp: Vec<net::TcpListener>,
    unix: Vec<unix::net::UnixListener>,
}

impl Inherited {
    /// Takes the sockets that `LISTEN_FDS` counts.
    ///
    /// # Errors
    ///
    /// If one is neither a TCP socket nor a Unix stream socket, or does not listen.
    pub(crate) fn new(mut passed: ListenFd) -> Result<Self, ServeError> {
        let mut all = Self::default();
        for index in 0..passed.len() {
            let refused = |cause: io::Error| ServeError::Passed { index, cause };
            // Each is there until it is taken.
            if let Ok(Some(socket)) = passed.take_unix_listener(index) {
                check_listens(&socket).map_err(refused)?;
                all.unix.push(socket);
            } else if let Some(socket) = passed.take_tcp_listener(index).map_err(refused)? {
                check_listens(&socket).map_err(refused)?;
                all.tcp.push(socket);
            }
        }
        Ok(all)
    }

    /// Takes the socket at an address, if there is one, with the families of its clients.
    pub(crate) fn take(&mut self, address: SocketAddr) -> io::Result<Option<(TcpListener, Families)>> {
        let is_there = |socket: &net::TcpListener| socket.local_addr().is_ok_and(|local| local == address);
        let Some(at) = self.tcp.iter().position(is_there) else { return Ok(None) };
        let socket = self.tcp.swap_remove(at);
        socket.set_nonblocking(true)?;
        let is_v6_only = address.is_ipv6() && SockRef::from(&socket).only_v6()?;
        let families = if is_v6_only { Families::V6 } else { Families::Both };
        Ok(Some((TcpListener::from_std(socket)?, families)))
    }

    /// Takes the Unix socket at a path, if there is one.
    pub(crate) fn take_unix(&mut self, path: &UnixPath) -> io::Result<Option<UnixListener>> {
        let is_there = |socket: &unix::net::UnixListener| {
            socket.local_addr().is_ok_and(|local| local.as_pathname() == Some(path.as_ref()))
        };
        let Some(at) = self.unix.iter().position(is_there) else { return Ok(None) };
        let socket = self.unix.swap_remove(at);
        socket.set_nonblocking(true)?;
        UnixListener::from_std(socket).map(Some)
    }

    /// Checks that a listener has taken each socket: the clients of any other would wait for ever.
    pub(crate) fn all_taken(&self) -> Result<(), ServeError> {
        let unclaimed = |address: io::Result<ListenAddress>| match address {
            Ok(address) => Err(ServeError::Unclaimed { address }),
            Err(cause) => Err(ServeError::System { action: "tell the address of an inherited socket", cause }),
        };
        if let Some(socket) = self.tcp.first() {
            return unclaimed(socket.local_addr().map(Into::into));
        }
        let address_of = |socket: &unix::net::UnixListener| {
            // Of a socket without a path, as in Linux's abstract namespace.
            let unnamed = || io::Error::other("it has no path; pass one at a path");
            ListenAddress::at_path(socket.local_addr()?.as_pathname().ok_or_else(unnamed)?)
        };
        self.unix.first().map_or(Ok(()), |socket| unclaimed(address_of(socket)))
    }
}

fn check_listens(socket: &impl AsFd) -> io::Result<()> {
    if SockRef::from(socket).is_listener()? {
        return Ok(());
    }
    Err(io::Error::other("it does not listen (systemd: Accept=no)"))
}
