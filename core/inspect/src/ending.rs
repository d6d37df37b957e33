//! The reason for the end of a connection, in the server's vocabulary, as far as its traffic shows it.

use std::fmt;

use chanwire_core::{
    endpoint::{ConnectionEnd, Reason},
    wire::ErrorResponse,
};
use serde::Serialize;

use crate::Direction;

/// The reason for the end of a connection.
///
/// It is written as `payload_too_large, max_payload 65536`: the word of the server's log and metrics, and the limit that
/// was reached with its value in bytes, seconds or connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The reason.
    pub reason: Reason,
    /// The limit that was reached: its name, and its value.
    pub limit: Option<(&'static str, u64)>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        self.limit.map_or(Ok(()), |(name, value)| write!(f, ", {name} {value}"))
    }
}

impl From<ConnectionEnd> for Ending {
    fn from(ConnectionEnd { reason, limit, .. }: ConnectionEnd) -> Self {
        Self { reason, limit }
    }
}

/// An ending as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownEnding {
    /// The reason's name.
    pub reason: &'static str,
    /// The limit's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<&'static str>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// The address of the part of the protocol's page that explains the reason.
    pub about: String,
}

/// The way in which traffic shows a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// The server's last answer is the reason's error.
    Answer,
    /// The client ends its stream, and then the server does.
    ClientEnds,
    /// None: the connection is closed or reset without a word. The server's log has the reason.
    None,
}

/// Returns how traffic shows a reason, the limits that may be reached with it, and the section of the protocol's page
/// that explains it. A new reason does not compile without a place here.
const fn of_reason(reason: Reason) -> (Evidence, &'static [&'static str], &'static str) {
    match reason {
        Reason::ClientClosed => (Evidence::ClientEnds, &[], "closing"),
        Reason::MalformedCommand | Reason::InvalidPayload => {
            (Evidence::Answer, &[], "answered-and-the-connection-closes")
        }
        Reason::PayloadTooLarge => (Evidence::Answer, &["max_payload"], "limits"),
        Reason::IncompleteRequest => (Evidence::Answer, &[], "closing"),
        Reason::RequestTimedOut => (Evidence::Answer, &["request_timeout"], "limits"),
        Reason::SlowConsumer => (Evidence::Answer, &["max_pushed"], "join"),
        Reason::ChannelRemoved => (Evidence::Answer, &[], "join"),
        Reason::Disconnected => (Evidence::Answer, &[], "disconnect"),
        Reason::AccessRevoked => (Evidence::Answer, &[], "accounts-and-rights"),
        Reason::ServerBusy => (Evidence::Answer, &["max_connections"], "limits"),
        Reason::AddressBusy => (Evidence::Answer, &["address_connections", "address_connects"], "limits"),
        Reason::ServerStopping => (Evidence::Answer, &[], "a-server-that-stops"),
        Reason::NotReading => (Evidence::None, &["write_timeout"], "limits"),
        Reason::ClientLost | Reason::ServerClosed => (Evidence::None, &[], "closing"),
        Reason::Denied => (Evidence::None, &[], "limits"),
        Reason::ProxyHeader => (Evidence::None, &[], "whose-channel-it-is"),
        Reason::EncryptionRequired => (Evidence::Answer, &[], "tls"),
        Reason::TlsHandshake => (Evidence::None, &[], "tls"),
    }
}

impl Ending {
    /// Returns the reason that an error of the server tells, with the limit and the value that its details name.
    fn of_error(error: &ErrorResponse) -> Option<Self> {
        let is_told =
            |reason: &&Reason| of_reason(**reason).0 == Evidence::Answer && reason.error() == Some(&error.error);
        let mut reason = *Reason::ALL.iter().find(is_told)?;
        // The same error tells of the limit on all connections.
        if reason == Reason::ServerBusy && error.details.ends_with("from your address") {
            reason = Reason::AddressBusy;
        }
        let value = error.details.split(|char: char| !char.is_ascii_digit()).find_map(|digits| digits.parse().ok());
        let name = match of_reason(reason).1 {
            [_, connects] if error.details.contains("connections a second") => Some(*connects),
            [limit, ..] => Some(*limit),
            [] => None,
        };
        Some(Self { reason, limit: name.zip(value) })
    }

    /// Returns the ending at the end of a note's text.
    pub(crate) fn in_text(text: &str) -> Option<Self> {
        let (_, written) = text.rsplit_once(": ")?;
        let (reason, limit) = written.split_once(", ").map_or((written, None), |(reason, limit)| (reason, Some(limit)));
        let reason = *Reason::ALL.iter().find(|known| known.as_str() == reason)?;
        let limit = match limit {
            None => None,
            Some(limit) => {
                let (name, value) = limit.split_once(' ')?;
                Some((*of_reason(reason).1.iter().find(|known| **known == name)?, value.parse().ok()?))
            }
        };
        Some(Self { reason, limit })
    }

    pub(crate) fn shown(self) -> ShownEnding {
        let (_, _, section) = of_reason(self.reason);
        ShownEnding {
            reason: self.reason.as_str(),
            limit: self.limit.map(|(name, _)| name),
            value: self.limit.map(|(_, value)| value),
            about: format!("{}/blob/HEAD/core/PROTOCOL.md#{section}", env!("CARGO_PKG_REPOSITORY")),
        }
    }
}

/// The parts of a connection's traffic that show how it ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidences {
    /// The reason that the server's last frame tells, and whether it tells it whatever follows.
    told: Option<(Ending, bool)>,
    /// The client has sent what a server closes for.
    has_fault: bool,
    /// The side whose stream ended first.
    first_end: Option<Direction>,
    /// Both streams have ended.
    has_ended: bool,
}

impl Evidences {
    /// Notes a fault of the client.
    pub(crate) const fn fault(&mut self, closes: bool) {
        self.has_fault |= closes;
    }

    /// Notes a frame of the server, which may be an error.
    pub(crate) fn frame(&mut self, error: Option<&ErrorResponse>) {
        self.told = error.and_then(|error| Some((Ending::of_error(error)?, error.is_closing())));
    }

    /// Notes the end of a stream.
    pub(crate) fn end(&mut self, direction: Direction) {
        match self.first_end {
            None => self.first_end = Some(direction),
            Some(first) => self.has_ended |= first != direction,
        }
    }

    /// Returns the reason for the end of the connection, if it is over and its traffic shows one.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match (self.told, self.first_end) {
            (Some((ending, is_closing)), first) if is_closing || self.has_fault || first == Some(Direction::In) => {
                Some(ending)
            }
            (_, Some(Direction::Out)) if self.has_ended => Some(Ending { reason: Reason::ClientClosed, limit: None }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_read_back_from_a_note() {
        for reason in Reason::ALL {
            let (_, limits, section) = of_reason(*reason);
            let limits = limits.iter().map(|limit| Some((*limit, 65_536)));
            for limit in limits.chain([None]) {
                let ending = Ending { reason: *reason, limit };
                assert_eq!(Ending::in_text(&format!("closed: for good: {ending}")), Some(ending));
            }
            let heading = |line: &str| {
                line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-").replace([',', '\''], "")
            };
            let page = include_str!("../../PROTOCOL.md");
            let mut headings = page.lines().filter(|line| line.starts_with("##"));
            assert!(headings.any(|line| heading(line) == section), "{reason:?}: {section}");
        }
        for text in ["closed", "closed: reset by the client", "closed: denied, max_payload 1", "closed: denied, "] {
            assert_eq!(Ending::in_text(text), None, "{text}");
        }
    }
}
