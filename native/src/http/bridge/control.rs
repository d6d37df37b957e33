//! The control messages between the page and the bridge, as JSON in text messages. The stream's bytes are binary
//! messages.

use std::net::SocketAddr;

use axum::extract::ws::Message;
use serde::{Deserialize, Serialize};

use super::end::End;
use crate::http::shared::{Tap, Target};

/// A message from the page. An unknown `type` or field is an error, so that a newer page does not wait in vain for an
/// effect.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum FromPage {
    /// Authenticates the page. Must come first, within two seconds.
    Token {
        /// 32 hexadecimal digits.
        token: String,
    },
    /// Opens the TCP connection; allowed once.
    Connect {
        /// The id of a configured target.
        target: String,
        /// Whether the bridge reports each read, each write, each wait and the page's end of stream. A page without
        /// reports cannot know how much is queued, so nothing of it is read while the queue is full, not even credit.
        #[serde(default)]
        report: bool,
    },
    /// Starts watching the tap's traffic, instead of a TCP connection.
    Watch {},
    /// A pause between the steps before and after it.
    Wait {
        /// Milliseconds.
        ms: u64,
    },
    /// The page's end of stream.
    Eof {},
    /// Resets the connection and drops unread bytes.
    Reset {},
    /// Grants credit: the page has processed bytes, or is ready for more.
    Credit {
        /// The bytes that may be sent beyond those granted before.
        bytes: u64,
    },
}

impl FromPage {
    /// Parses one text message.
    pub(super) fn parse(text: &str) -> Result<Self, End> {
        serde_json::from_str(text).map_err(|_| End::NOT_UNDERSTOOD)
    }
}

/// A message to the page.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    /// The token is correct.
    Welcome {
        /// The server's version.
        version: &'a str,
        /// The targets of the bridge.
        targets: &'a [Target],
        /// The tap, if the server is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        tap: Option<&'a Tap>,
    },
    /// The page now watches the tap: records of the backlog follow, then of new traffic. The counts are of the traffic
    /// before them.
    Watching {
        /// Connections that closed before.
        connections: u64,
        /// Frames of all connections.
        frames: u64,
        /// Bytes of all connections.
        bytes: u64,
    },
    /// The TCP connection is established.
    Opened {
        /// The target's id.
        target: &'a str,
        /// The bridge's end.
        local: SocketAddr,
        /// The server's end, with `tls://` in front if it is reached by TLS.
        remote: &'a str,
        /// The time that it took, in milliseconds since [`FromPage::Connect`] was read.
        after: f64,
    },
    /// Precedes bytes or [`Self::Eof`] that were read from TCP.
    Read {
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// One write of the page's bytes to TCP.
    Wrote {
        /// The number of bytes.
        bytes: usize,
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// A wait has ended.
    Waited {
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// The sending half of the TCP connection is shut down.
    Ended {
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// The server's end of stream.
    Eof {},
    /// The TCP connection is closed.
    Closed {
        /// The reason, for a person to read.
        reason: &'a str,
    },
}

impl ToPage<'_> {
    /// Encodes the text message.
    pub(super) fn message(&self) -> Result<Message, End> {
        let text = serde_json::to_string(self).map_err(|_| End::INTERNAL)?;
        Ok(Message::text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::shared::TargetTrust;
    use crate::tls::Trust;

    #[test]
    fn messages_of_the_page_are_parsed() {
        let token = FromPage::Token { token: "00ff".to_owned() };
        let connect = |report| FromPage::Connect { target: "0".to_owned(), report };
        for (text, message) in [
            (r#"{"type":"token","token":"00ff"}"#, token),
            (r#"{"target":"0", "type":"connect"}"#, connect(false)),
            (r#"{"type":"connect","target":"0","report":true}"#, connect(true)),
            (r#"{"type":"wait","ms":50}"#, FromPage::Wait { ms: 50 }),
            (r#"{"type":"eof"}"#, FromPage::Eof {}),
            (r#"{"type":"reset"}"#, FromPage::Reset {}),
            (r#"{"type":"credit","bytes":65536}"#, FromPage::Credit { bytes: 65_536 }),
        ] {
            assert_eq!(FromPage::parse(text), Ok(message), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not_understood() {
        for text in [
            "",
            "eof",
            "null",
            "[]",
            "{}",
            r#"{"type":"eof"} x"#,
            r#"{"type":"EOF"}"#,
            r#"{"type":"open"}"#,
            r#"{"type":"welcome","version":"0","targets":[]}"#,
            r#"{"type":"eof","type":"eof"}"#,
            r#"{"type":"eof","more":1}"#,
            r#"{"type":"credit"}"#,
            r#"{"type":"credit","bytes":-1}"#,
            r#"{"type":"credit","bytes":1.5}"#,
            r#"{"type":"credit","bytes":"1"}"#,
            r#"{"type":"credit","bytes":18446744073709551616}"#,
            r#"{"type":"credit","bytes":1,"bytes":1}"#,
            r#"{"type":"connect","target":0}"#,
            r#"{"type":"connect","target":"0","report":1}"#,
            r#"{"type":"wait"}"#,
            r#"{"type":"wait","ms":-1}"#,
            r#"{"type":"wait","ms":0.5}"#,
            r#"{"type":"reset","ms":1}"#,
            r#"{"type":"wrote","bytes":1,"at":1}"#,
            r#"{"type":"connect","target":"0","address":"127.0.0.1:22"}"#,
        ] {
            assert_eq!(FromPage::parse(text), Err(End::NOT_UNDERSTOOD), "{text}");
        }
    }

    #[test]
    fn messages_of_the_bridge_are_serialised() {
        let targets = [
            Target::plain("0", "127.0.0.1:22236".parse().unwrap()),
            Target {
                channel: Some("general".to_owned()),
                ..Target::by_trust(
                    "1",
                    "tls://chat.example:22240".parse().unwrap(),
                    "[::1]:22240".parse().unwrap(),
                    TargetTrust::Of(Trust::system()),
                )
            },
        ];
        let opened = ToPage::Opened {
            target: "0",
            local: "127.0.0.1:50123".parse().unwrap(),
            remote: "127.0.0.1:22236",
            after: 0.25,
        };
        let welcome = ToPage::Welcome { version: "0.1.0", targets: &targets, tap: None };
        for (message, text) in [
            (
                welcome,
                r#"{"type":"welcome","version":"0.1.0","targets":[{"id":"0","address":"127.0.0.1:22236"},{"id":"1","address":"tls://chat.example:22240","channel":"general"}]}"#,
            ),
            (
                opened,
                r#"{"type":"opened","target":"0","local":"127.0.0.1:50123","remote":"127.0.0.1:22236","after":0.25}"#,
            ),
            (ToPage::Read { at: 3.125 }, r#"{"type":"read","at":3.125}"#),
            (ToPage::Wrote { bytes: 7, at: 12.5 }, r#"{"type":"wrote","bytes":7,"at":12.5}"#),
            (ToPage::Waited { at: 20.25 }, r#"{"type":"waited","at":20.25}"#),
            (ToPage::Ended { at: 0.0 }, r#"{"type":"ended","at":0.0}"#),
            (ToPage::Eof {}, r#"{"type":"eof"}"#),
            (ToPage::Closed { reason: "\"why\"" }, r#"{"type":"closed","reason":"\"why\""}"#),
        ] {
            assert_eq!(message.message(), Ok(Message::text(text)));
        }
    }
}
