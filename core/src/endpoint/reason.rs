//! The reasons for which a server's connection ends.

use crate::wire::ErrorResponse;

// Each variant has its place in the list of all.
const _: () = {
    let (mut place, mut rest) = (0, Reason::ALL);
    while let [first, others @ ..] = rest {
        assert!(*first as usize == place);
        (place, rest) = (place + 1, others);
    }
    assert!(place == Reason::ServerClosed as usize + 1);
};

/// The reason for the end of a server's connection: one vocabulary for the log, metrics and programs.
///
/// Its [name](Self::as_str) is that of the error that the peer was told, if any, in lower case with underscores. The
/// exception is a busy address, which is told `Server busy`, as clients know that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The client ended its stream, and everything owed to it was sent.
    ClientClosed,
    /// The stream failed.
    ClientLost,
    /// The client sent what is no command.
    MalformedCommand,
    /// The client sent a payload of which the end is not known.
    InvalidPayload,
    /// The client sent a payload above the limit.
    PayloadTooLarge,
    /// The client ended its stream inside a frame.
    IncompleteRequest,
    /// A frame was not complete in time.
    RequestTimedOut,
    /// The client took none of the bytes that waited for it, or too few of a list that changed: it was reset.
    NotReading,
    /// The client left too many pushes unread, or its stored messages could not be read.
    SlowConsumer,
    /// A channel that the client had joined was removed.
    ChannelRemoved,
    /// The operator ended the connection.
    Disconnected,
    /// The account of the connection has changed, or it may no longer read what it has joined.
    AccessRevoked,
    /// The server has as many connections as it may.
    ServerBusy,
    /// The address has as many connections as it may, or opens them too fast.
    AddressBusy,
    /// The address is denied, or is no proxy where only proxies may connect: the connection was closed without a word.
    Denied,
    /// A proxy sent no PROXY header, or one that is wrong or late: the connection was closed without a word.
    ProxyHeader,
    /// The client sent plain text where TLS is required.
    EncryptionRequired,
    /// The client's TLS handshake failed or took too long.
    TlsHandshake,
    /// The server stops.
    ServerStopping,
    /// The application closed the connection with an error that the protocol does not name.
    ServerClosed,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::ClientClosed,
        Self::ClientLost,
        Self::MalformedCommand,
        Self::InvalidPayload,
        Self::PayloadTooLarge,
        Self::IncompleteRequest,
        Self::RequestTimedOut,
        Self::NotReading,
        Self::SlowConsumer,
        Self::ChannelRemoved,
        Self::Disconnected,
        Self::AccessRevoked,
        Self::ServerBusy,
        Self::AddressBusy,
        Self::Denied,
        Self::ProxyHeader,
        Self::EncryptionRequired,
        Self::TlsHandshake,
        Self::ServerStopping,
        Self::ServerClosed,
    ];

    /// Returns its name, for the log and as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientLost => "client_lost",
            Self::MalformedCommand => "malformed_command",
            Self::InvalidPayload => "invalid_payload",
            Self::PayloadTooLarge => "payload_too_large",
            Self::IncompleteRequest => "incomplete_request",
            Self::RequestTimedOut => "request_timed_out",
            Self::NotReading => "not_reading",
            Self::SlowConsumer => "slow_consumer",
            Self::ChannelRemoved => "channel_removed",
            Self::Disconnected => "disconnected",
            Self::AccessRevoked => "access_revoked",
            Self::ServerBusy => "server_busy",
            Self::AddressBusy => "address_busy",
            Self::Denied => "denied",
            Self::ProxyHeader => "proxy_header",
            Self::EncryptionRequired => "encryption_required",
            Self::TlsHandshake => "tls_handshake",
            Self::ServerStopping => "server_stopping",
            Self::ServerClosed => "server_closed",
        }
    }

    /// Returns the protocol's name of the error that the peer is told, if it is told one. That the server stops is told
    /// to those that asked for notices.
    #[must_use]
    pub const fn error(self) -> Option<&'static str> {
        Some(match self {
            Self::MalformedCommand => "Malformed command",
            Self::InvalidPayload => "Invalid payload",
            Self::PayloadTooLarge => "Payload too large",
            Self::IncompleteRequest => "Incomplete request",
            Self::RequestTimedOut => "Request timed out",
            Self::SlowConsumer => "Slow consumer",
            Self::ChannelRemoved => "Channel removed",
            // Only connections that asked for notices are told.
            Self::Disconnected => "Disconnected",
            Self::AccessRevoked => ErrorResponse::ACCESS_REVOKED,
            Self::ServerBusy | Self::AddressBusy => "Server busy",
            Self::EncryptionRequired => "Encryption required",
            Self::ServerStopping => ErrorResponse::SERVER_STOPPING,
            Self::ClientClosed
            | Self::ClientLost
            | Self::NotReading
            | Self::Denied
            | Self::ProxyHeader
            | Self::TlsHandshake
            | Self::ServerClosed => return None,
        })
    }

    /// Returns whether such a connection is refused, and so never served.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::ServerBusy
                | Self::AddressBusy
                | Self::Denied
                | Self::ProxyHeader
                | Self::EncryptionRequired
                | Self::TlsHandshake
        )
    }

    /// Returns the reason of a connection that is closed with this error.
    pub(super) fn of_error(error: &str) -> Self {
        let is_named = |reason: &&Self| reason.error() == Some(error);
        Self::ALL.iter().find(is_named).copied().unwrap_or(Self::ServerClosed)
    }
}

/// The end of a server's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// The reason.
    pub reason: Reason,
    /// The limit that was reached, if it was one of this connection's: its name, and its value in bytes or seconds.
    pub limit: Option<(&'static str, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_named_as_the_error_that_is_told() {
        for reason in Reason::ALL {
            if *reason == Reason::AddressBusy {
                assert_eq!(reason.error(), Reason::ServerBusy.error());
            } else if let Some(error) = reason.error() {
                assert_eq!(error.to_ascii_lowercase().replace(' ', "_"), reason.as_str());
                assert_eq!(Reason::of_error(error), *reason);
            }
        }
        assert_eq!(Reason::of_error("Teapot"), Reason::ServerClosed);
    }
}
