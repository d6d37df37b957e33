//! The errors of a client's calls.

use std::{fmt, io, sync::Arc, time::Duration};

use chanwire_core::{
    endpoint::ProtocolViolation,
    wire::{Blame, ErrorResponse},
};

use super::SignInError;
use crate::tls::TlsError;

/// The error of a failed call: the server and the reason.
#[derive(Clone, Debug)]
pub struct Error {
    server: Arc<str>,
    kind: ErrorKind,
}

/// The reason why a call failed.
///
/// Its text may quote the server, which is untrusted: escape it before printing it on a terminal.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection was made, so nothing was sent.
    #[error("cannot connect: {0}; is a server running there?")]
    Connect(Arc<io::Error>),
    /// No connection was made in this time, so nothing was sent.
    #[error("no connection within {} seconds", .0.as_secs())]
    ConnectTimeout(Duration),
    /// No encrypted connection was made, so nothing was sent.
    #[error("{0}")]
    Tls(TlsError),
    /// The client did not sign in to its account, so nothing else was sent.
    #[error("{0}")]
    SignIn(SignInError),
    /// The system lacks a resource, such as a thread for a name lookup.
    #[error("{0}")]
    System(Arc<str>),
    /// The server answered with an error. The connection goes on.
    #[error("{0}")]
    Refused(ErrorResponse),
    /// The server gave this reason and closed the connection. A request that was open has an unknown outcome, but none
    /// was carried out if the server [stops](Error::retry_after).
    #[error("{0}")]
    Closing(ErrorResponse),
    /// The server violated the protocol. A request that was open has an unknown outcome.
    #[error("{0}")]
    Violation(ProtocolViolation),
    /// The connection broke. A request that was open has an unknown outcome.
    #[error("the connection broke: {0}")]
    Broken(Arc<io::Error>),
    /// The server ended the connection. A request that was open has an unknown outcome.
    #[error("the server closed the connection")]
    Closed,
    /// The server read nothing of what was sent until the write timeout. A request that was open has an unknown
    /// outcome.
    #[error("write timeout: the server did not read the request")]
    WriteTimeout,
    /// The client was closed before the request was sent.
    #[error("the client is closed")]
    ClientClosed,
}

impl ErrorKind {
    /// Returns whether it is a failure of TLS or of signing in that stays until somebody changes a certificate, what is
    /// trusted, or an account.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Tls(error) => !error.is_temporary(),
            Self::SignIn(error) => !error.is_temporary(),
            _ => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Closing(error) if error.error == ErrorResponse::SERVER_STOPPING => {
                error.retry_after.map(|seconds| Duration::from_secs(seconds.into()))
            }
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn new(server: impl Into<Arc<str>>, kind: ErrorKind) -> Self {
        Self { server: server.into(), kind }
    }

    /// Returns the server that the call was about, as `HOST:PORT` or `tls://HOST:PORT`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the reason.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Returns the error that the server answered with, if it did.
    #[must_use]
    pub const fn refusal(&self) -> Option<&ErrorResponse> {
        match &self.kind {
            ErrorKind::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the time after which the server asks its clients to come back, if it has stopped.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.kind.retry_after()
    }

    /// Returns whether the same call may succeed later although nothing about it is changed: the connection could not
    /// be made or was lost, or the server failed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match &self.kind {
            ErrorKind::Refused(error) => matches!(error.blame, Blame::Server),
            ErrorKind::Tls(error) => error.is_temporary(),
            ErrorKind::SignIn(error) => error.is_temporary(),
            ErrorKind::ClientClosed => false,
            _ => true,
        }
    }
}

/// `HOST:PORT: REASON`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.kind)
    }
}

impl std::error::Error for Error {}
