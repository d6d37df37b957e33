//! The reasons why a server cannot be reached by TLS.

use std::{fmt, io, sync::Arc, time::Duration};

use chanwire_core::wire::Timestamp;
use rustls::{AlertDescription, CertificateError, Error as RustlsError, OtherError};

use super::Pin;

/// The reason why no TLS connection to a server was made, so that nothing was sent.
///
/// Its text may quote the server, which is untrusted: escape it before printing it on a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No trusted authority vouches for the server's certificate. If its owner confirms the pin, trust it by that.
    #[error(
        "unknown issuer: no trusted authority vouches for the server's certificate; if its owner says that this is its \
         key (`chanwire tls show`), add --tls-pin {pin}"
    )]
    UnknownIssuer {
        /// The pin of the server's key.
        pin: Pin,
    },
    /// The certificate is for other names.
    #[error("the server's certificate is for {} and not for {expected}", list(.names))]
    WrongName {
        /// The name that was looked for.
        expected: Box<str>,
        /// The names in the certificate.
        names: Vec<String>,
    },
    /// The certificate is not valid any more.
    #[error("the server's certificate expired at {0}; its owner must renew it, or the clock of this machine is wrong")]
    Expired(Timestamp),
    /// The certificate is not valid yet.
    #[error("the server's certificate is valid only from {0} on; the clock of this machine or of its issuer is wrong")]
    NotYetValid(Timestamp),
    /// The server has another key than the trusted ones.
    #[error(
        "the server has another key: its pin is {pin}, and trusted is {}{}; somebody may stand between, or the server \
         was set up anew: ask its owner",
        list(.trusted),
        .place.as_ref().map_or_else(String::new, |place| format!(" ({place}: remove this line if the new key is right)"))
    )]
    WrongPin {
        /// The pin of the server's key.
        pin: Pin,
        /// The trusted pins.
        trusted: Vec<Pin>,
        /// The file and line with the trusted pin, if it is from the file of known servers.
        place: Option<Box<str>>,
    },
    /// The certificate cannot be used.
    #[error("the server's certificate cannot be used: {0}")]
    Certificate(Box<str>),
    /// The server answered in plain text.
    #[error("the server does not speak TLS at this port; if plain text is meant, leave out tls://")]
    PlainText,
    /// The server did not answer in this time.
    #[error("no answer to the TLS handshake within {} seconds; does the server speak TLS at this port?", .0.as_secs())]
    Timeout(Duration),
    /// The server speaks none of this protocol over TLS, such as a web server.
    #[error("the server speaks TLS at this port, but another protocol (ALPN)")]
    OtherProtocol,
    /// The server closed the connection within the handshake.
    #[error("the server closed the connection in the TLS handshake; does it speak TLS at this port?")]
    Closed,
    /// The handshake failed otherwise.
    #[error("the TLS handshake failed: {0}")]
    Handshake(Box<str>),
    /// The trusted authorities or servers are not known.
    #[error("{0}")]
    Trust(Box<str>),
}

impl TlsError {
    /// Returns whether another attempt may succeed although neither the server's owner nor this client's changes
    /// anything.
    pub(crate) const fn is_temporary(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Closed | Self::Handshake(_))
    }

    /// Returns the reason for the end of a handshake.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match error.get_ref().and_then(|cause| cause.downcast_ref::<RustlsError>()) {
            Some(RustlsError::InvalidCertificate(CertificateError::Other(OtherError(cause)))) => {
                match cause.downcast_ref::<Self>() {
                    Some(own) => own.clone(),
                    None => Self::Certificate(cause.to_string().into()),
                }
            }
            Some(RustlsError::InvalidCertificate(error)) => Self::Certificate(error.to_string().into()),
            // Neither a record nor an alert: the first byte is of no TLS record.
            Some(RustlsError::InvalidMessage(_)) => Self::PlainText,
            Some(RustlsError::AlertReceived(AlertDescription::NoApplicationProtocol)) => Self::OtherProtocol,
            Some(error) => Self::Handshake(error.to_string().into()),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Self::Closed
                }
                _ => Self::Handshake(error.to_string().into()),
            },
        }
    }
}

/// Carries this error through the handshake, to be found by `TlsError::of_handshake`.
impl From<TlsError> for RustlsError {
    fn from(error: TlsError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// Formats a list.
fn list(items: &[impl fmt::Display]) -> String {
    match items {
        [] => "no name".into(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}
