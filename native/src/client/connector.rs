//! Opening connections, in plain text or by TLS.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{Error, ErrorKind, SignInError, sign_in::SignIn};
use crate::{
    server_address::ServerAddress,
    shared_stream::{SharedStream, SharedTcp},
    socket, threads,
    tls::{self, Stream, TlsError, Trust},
};

/// Timeout for connecting to a server, the TLS handshake included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens connections to a server and to the peers that it lists.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    server: ServerAddress,
    trust: Trust,
    /// The credentials with which each connection to the server signs in.
    sign_in: Option<SignIn>,
}

impl Connector {
    pub(crate) fn new(server: ServerAddress, trust: Trust) -> Self {
        Self { server, trust, sign_in: None }
    }

    /// Signs in on each connection to the server. Those to peers are refused then, since the credentials are not for
    /// them.
    pub(crate) fn with_sign_in(self, sign_in: Option<SignIn>) -> Self {
        Self { sign_in, ..self }
    }

    /// Returns whether connections to the server sign in to an account.
    pub(crate) const fn signs_in(&self) -> bool {
        self.sign_in.is_some()
    }

    /// Returns the server.
    pub(crate) const fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Connects to the server or to a peer on its list, and signs in.
    pub(crate) async fn open(&self, to: &ServerAddress) -> Result<Stream, ErrorKind> {
        let Some(sign_in) = &self.sign_in else { return self.open_within(CONNECT_TIMEOUT, to).await };
        if !to.same_place(&self.server) {
            return Err(ErrorKind::SignIn(SignInError::Elsewhere(to.clone())));
        }
        let mut stream = self.open_within(CONNECT_TIMEOUT, to).await?;
        sign_in.run(&mut stream).await?;
        Ok(stream)
    }

    /// Connects to the server or to a peer on its list, within this time.
    pub(crate) async fn open_within(&self, limit: Duration, to: &ServerAddress) -> Result<Stream, ErrorKind> {
        let Some(path) = to.path() else {
            return Ok(match self.open_tcp_within(limit, to, |tcp| tcp).await? {
                Opened::Plain(stream) => Stream::Plain(stream),
                Opened::Tls(stream) => Stream::Tls(stream),
            });
        };
        match timeout(limit, UnixStream::connect(path)).await {
            Ok(opened) => opened.map(Stream::Unix).map_err(|error| ErrorKind::Connect(Arc::new(error))),
            Err(_) => Err(ErrorKind::ConnectTimeout(limit)),
        }
    }

    /// Connects by TCP to the server, within this time, for both directions at one time.
    pub(crate) async fn open_shared_within(&self, limit: Duration) -> Result<SharedStream, ErrorKind> {
        Ok(match self.open_tcp_within(limit, &self.server, |tcp| SharedTcp(Arc::new(tcp))).await? {
            Opened::Plain(SharedTcp(tcp)) => SharedStream::plain(tcp),
            Opened::Tls(stream) => SharedStream::encrypted(*stream),
        })
    }

    /// Connects by TCP within this time, and encrypts the stream that `wrap` makes of the connection if the server is
    /// reached by TLS.
    async fn open_tcp_within<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        limit: Duration,
        to: &ServerAddress,
        wrap: impl FnOnce(TcpStream) -> S,
    ) -> Result<Opened<S>, ErrorKind> {
        if to.host().is_some_and(|host| host.parse::<IpAddr>().is_err()) {
            threads::check().map_err(|message| ErrorKind::System(message.into()))?;
        }
        let is_connected = AtomicBool::new(false);
        let opening = async {
            let tcp = socket::connect_to(to).await.map_err(|error| ErrorKind::Connect(Arc::new(error)))?;
            is_connected.store(true, Ordering::Relaxed);
            let stream = wrap(tcp);
            if !to.is_tls() {
                return Ok(Opened::Plain(stream));
            }
            let stream = tls::handshake(stream, to, &self.server, &self.trust).await.map_err(ErrorKind::Tls)?;
            Ok(Opened::Tls(Box::new(stream)))
        };
        match timeout(limit, opening).await {
            Ok(opened) => opened,
            Err(_) if is_connected.load(Ordering::Relaxed) => Err(ErrorKind::Tls(TlsError::Timeout(limit))),
            Err(_) => Err(ErrorKind::ConnectTimeout(limit)),
        }
    }

    /// Connects to the server or to a peer on its list, and names it in the error.
    pub(super) async fn open_named(&self, to: &ServerAddress) -> Result<Stream, Error> {
        self.open(to).await.map_err(|kind| Error::new(to.to_string(), kind))
    }
}

/// A connection by TCP.
enum Opened<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_is_silent_in_the_handshake_costs_no_more_than_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = ServerAddress::from(listener.local_addr().unwrap()).with_tls(true);
        let limit = Duration::from_millis(100);
        let connector = Connector::new(server.clone(), Trust::pins([]));
        let (opened, accepted) = tokio::join!(connector.open_within(limit, &server), listener.accept());
        assert!(matches!(opened, Err(ErrorKind::Tls(TlsError::Timeout(time))) if time == limit), "{opened:?}");
        drop(accepted);
    }
}
