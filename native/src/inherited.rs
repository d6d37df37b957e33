//! Listening sockets that the process was started with, as by systemd's socket activation.
//!
//! Their holder keeps them open while no server runs, so clients wait in the backlog and none is refused.

use std::{io, net::SocketAddr};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::TcpListener;

use crate::{serve_error::ServeError, socket::Families};

/// The sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<std::net::TcpListener>);

impl Inherited {
    /// Takes the sockets that `LISTEN_FDS` counts.
    ///
    /// # Errors
    ///
    /// If one is no TCP socket that listens.
    pub(crate) fn new(mut passed: ListenFd) -> Result<Self, ServeError> {
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let refused = |cause: io::Error| ServeError::Passed { index, cause };
            // Each is there until it is taken.
            let Some(socket) = passed.take_tcp_listener(index).map_err(refused)? else { continue };
            if !SockRef::from(&socket).is_listener().map_err(refused)? {
                return Err(refused(io::Error::other("it does not listen (systemd: Accept=no)")));
            }
            sockets.push(socket);
        }
        Ok(Self(sockets))
    }

    /// Takes the socket at an address, if there is one, with the families of its clients.
    pub(crate) fn take(&mut self, address: SocketAddr) -> io::Result<Option<(TcpListener, Families)>> {
        let is_there = |socket: &std::net::TcpListener| socket.local_addr().is_ok_and(|local| local == address);
        let Some(at) = self.0.iter().position(is_there) else { return Ok(None) };
        let socket = self.0.swap_remove(at);
        socket.set_nonblocking(true)?;
        let is_v6_only = address.is_ipv6() && SockRef::from(&socket).only_v6()?;
        let families = if is_v6_only { Families::V6 } else { Families::Both };
        Ok(Some((TcpListener::from_std(socket)?, families)))
    }

    /// Checks that a listener has taken each socket: the clients of any other would wait for ever.
    pub(crate) fn all_taken(&self) -> Result<(), ServeError> {
        match self.0.first().map(std::net::TcpListener::local_addr) {
            None => Ok(()),
            Some(Ok(address)) => Err(ServeError::Unclaimed { address }),
            Some(Err(cause)) => Err(ServeError::System { action: "tell the address of an inherited socket", cause }),
        }
    }
}
