//! The inspector's page as a part of a program, bound at its start and served until it stops.

use std::{
    io,
    net::{self, SocketAddr},
};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::{access::Token, serve::serve, shared::HttpConfig};
use crate::{
    file_limit::Files,
    local_addresses::reachable,
    serve_error::ServeError,
    socket::{Families, listen},
};

/// The inspector's page and its bridge, bound to an address.
#[derive(Debug)]
pub(crate) struct InspectorPage {
    socket: net::TcpListener,
    address: SocketAddr,
    token: Token,
    config: HttpConfig,
    files: Files,
}

impl InspectorPage {
    /// Binds the page's address and generates its token.
    pub(crate) fn bind(address: SocketAddr, mut config: HttpConfig, files: Files) -> Result<Self, ServeError> {
        let listener =
            listen(address, Families::Both).map_err(|cause| ServeError::Listen { address, flag: "--http", cause })?;
        let address = listener.local_addr().unwrap_or(address);
        if !address.ip().is_unspecified() {
            // A specific address is also a valid Host header.
            config.hosts.push(address.to_string());
        }
        let token = Token::generate().map_err(|error| ServeError::Page(io::Error::other(error.to_string())))?;
        let socket = listener.into_std().map_err(ServeError::Page)?;
        Ok(Self { socket, address, token, config, files })
    }

    /// Returns the page's URL with its token.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/#token={}", reachable(self.address), self.token)
    }

    /// Serves the page until `stopping` is true. May be called again after a panic. An error is sent to `failed`; the
    /// program must then stop.
    pub(crate) async fn serve(&self, mut stopping: watch::Receiver<bool>, failed: mpsc::Sender<io::Error>) {
        // A copy of the socket, so that a restart after a panic can use it again.
        let served = match self.socket.try_clone().and_then(TcpListener::from_std) {
            Ok(listener) => {
                serve(listener, self.config.clone(), self.token.clone(), &self.files, stopping.clone()).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            let _ = failed.send(error).await;
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }
}
