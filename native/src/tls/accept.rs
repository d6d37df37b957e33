//! TLS sessions of accepted connections.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use rustls::{AlertDescription, Error, ServerConfig};
use tokio::{
    io::AsyncWrite as _,
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::records::Records;
use crate::{openings::Openings, socket::AcceptedStream};

/// Timeout for a handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The most handshakes at one time.
const MAX_HANDSHAKES: usize = 1024;

/// The most bytes that a session accepts and has not sent.
const SEND_BUFFER: usize = 16 * 1024;

/// The reason why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// The client's address has as many handshakes as it may, or has most and makes room for another.
    TooMany,
    /// It was not complete in time.
    TimedOut,
    /// The client ended or broke the connection.
    Disconnected,
    /// The client refused the certificate, or something else that the server offered.
    RefusedByClient,
    /// The client wants to speak another protocol (ALPN).
    OtherProtocol,
    /// The client and the server have no version or cipher in common, or the client's bytes are no handshake.
    Invalid,
}

impl HandshakeFailure {
    pub(crate) const ALL: [Self; 6] =
        [Self::TooMany, Self::TimedOut, Self::Disconnected, Self::RefusedByClient, Self::OtherProtocol, Self::Invalid];

    /// Returns its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TimedOut => "timed_out",
            Self::Disconnected => "disconnected",
            Self::RefusedByClient => "refused_by_client",
            Self::OtherProtocol => "other_protocol",
            Self::Invalid => "invalid",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(Error::AlertReceived(AlertDescription::CloseNotify)) => Self::Disconnected,
            Some(Error::AlertReceived(_)) => Self::RefusedByClient,
            Some(Error::NoApplicationProtocol) => Self::OtherProtocol,
            Some(_) => Self::Invalid,
            None => Self::Disconnected,
        }
    }
}

/// Makes the sessions of accepted connections.
#[derive(Debug)]
pub(crate) struct Handshakes {
    config: Arc<ServerConfig>,
    in_progress: Openings,
}

impl Handshakes {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Arc<Self> {
        Self::with_limit(config, MAX_HANDSHAKES)
    }

    fn with_limit(config: Arc<ServerConfig>, limit: usize) -> Arc<Self> {
        Arc::new(Self { config, in_progress: Openings::new(limit) })
    }

    /// Carries out the handshake of a connection from this address, until its deadline. When there are too many, it may
    /// have to make room for another. Once it is complete, each record has `record_timeout` from its first byte to its
    /// last.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        record_timeout: Duration,
        deadline: Instant,
    ) -> Result<TlsStream<Records<TcpStream>>, HandshakeFailure> {
        let mut opening = self.in_progress.begin(peer);
        let acceptor = TlsAcceptor::from(self.config.clone());
        let stream = Records::new(stream, record_timeout);
        let accept = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(SEND_BUFFER)));
        let accepted = tokio::select! {
            accepted = timeout_at(deadline, accept) => accepted,
            () = opening.displaced() => return Err(HandshakeFailure::TooMany),
        };
        match accepted {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                Err(HandshakeFailure::of(&error))
            }
            Err(_) => Err(HandshakeFailure::TimedOut),
        }
    }
}

impl AcceptedStream for TlsStream<Records<TcpStream>> {
    fn reset_on_close(&self) {
        self.get_ref().0.get_ref().reset_on_close();
    }

    fn end(&mut self) {
        // A peer that takes nothing sees the end of the connection.
        let _ = Pin::new(self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests;
