//! TLS sessions of accepted connections.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use chanwire_core::handshake_queue::{HandshakeId, HandshakeQueue};
use rustls::{AlertDescription, Error, ServerConfig};
use tokio::{
    io::AsyncWrite as _,
    net::TcpStream,
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::records::Records;
use crate::socket::AcceptedStream;

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
    in_progress: Mutex<InProgress>,
}

#[derive(Debug)]
struct InProgress {
    queue: HandshakeQueue,
    /// Dropped to end the handshake.
    tasks: BTreeMap<HandshakeId, oneshot::Sender<()>>,
}

/// A handshake's place among those in progress, until this is dropped.
struct Place<'a> {
    handshakes: &'a Handshakes,
    id: HandshakeId,
    /// Closed when the place is taken by another.
    displaced: oneshot::Receiver<()>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut in_progress = self.handshakes.lock();
        in_progress.queue.end(self.id);
        in_progress.tasks.remove(&self.id);
    }
}

impl Handshakes {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Arc<Self> {
        Self::with_limit(config, MAX_HANDSHAKES)
    }

    fn with_limit(config: Arc<ServerConfig>, limit: usize) -> Arc<Self> {
        let in_progress = InProgress { queue: HandshakeQueue::new(limit), tasks: BTreeMap::new() };
        Arc::new(Self { config, in_progress: Mutex::new(in_progress) })
    }

    fn begin(&self, peer: IpAddr) -> Place<'_> {
        let (task, displaced) = oneshot::channel();
        let mut in_progress = self.lock();
        let (id, over) = in_progress.queue.begin(peer);
        over.and_then(|over| in_progress.tasks.remove(&over));
        in_progress.tasks.insert(id, task);
        drop(in_progress);
        Place { handshakes: self, id, displaced }
    }

    fn lock(&self) -> MutexGuard<'_, InProgress> {
        // No holder can panic half-way through a change.
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut place = self.begin(peer);
        let acceptor = TlsAcceptor::from(self.config.clone());
        let stream = Records::new(stream, record_timeout);
        let accept = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(SEND_BUFFER)));
        let accepted = tokio::select! {
            accepted = timeout_at(deadline, accept) => accepted,
            _ = &mut place.displaced => return Err(HandshakeFailure::TooMany),
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
