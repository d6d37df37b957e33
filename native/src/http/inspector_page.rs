//! The inspector's page as one part of a program: bound when it starts, served until it stops.

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

/// The inspector's page and its bridge, at an address of their own.
#[derive(Debug)]
pub(crate) struct InspectorPage {
    socket: net::TcpListener,
    address: SocketAddr,
    token: Token,
    config: HttpConfig,
    files: Files,
}

impl InspectorPage {
    /// Binds the page's address, and draws its token.
    pub(crate) fn bind(address: SocketAddr, mut config: HttpConfig, files: Files) -> Result<Self, ServeError> {
        let listener =
            listen(address, Families::Both).map_err(|cause| ServeError::Listen { address, flag: "--http", cause })?;
        let address = listener.local_addr().unwrap_or(address);
        if !address.ip().is_unspecified() {
            // Whoever asked to listen there wants to be reached there.
            config.hosts.push(address.to_string());
        }
        let token = Token::generate().map_err(|error| ServeError::Page(io::Error::other(error.to_string())))?;
        let socket = listener.into_std().map_err(ServeError::Page)?;
        Ok(Self { socket, address, token, config, files })
    }

    /// Returns the URL that opens it, with its token.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/#token={}", reachable(self.address), self.token)
    }

    /// Serves the page until `stopping` turns true. It may be called again after a panic. An error is sent to `failed`,
    /// and the program is to stop then.
    pub(crate) async fn serve(&self, mut stopping: watch::Receiver<bool>, failed: mpsc::Sender<io::Error>) {
        // A copy, so that the next one listens at the same address.
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
