//! The control messages: what the page and the bridge tell each other beside the stream's bytes, as JSON in text
//! messages.

use std::net::SocketAddr;

use axum::extract::ws::Message;
use serde::{Deserialize, Serialize};

use super::end::End;
use crate::http::shared::{Tap, Target};

/// A message from the page. An unknown `type` and an unknown field are both refused: a page that expects something to
/// happen must not wait for it in vain.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum FromPage {
    /// Opens the conversation, within two seconds.
    Token {
        /// 32 hexadecimal digits.
        token: String,
    },
    /// Asks for the TCP connection, once.
    Connect {
        /// The id of a configured target.
        target: String,
        /// Whether the page is to be told when each read, each write and each wait was done, and its own end of stream.
        /// Who is not told cannot know how much waits, and is not read while it is too much, credit neither.
        #[serde(default)]
        report: bool,
    },
    /// Asks for what passes through the tap, instead of a TCP connection.
    Watch {},
    /// A pause between the steps before and after it.
    Wait {
        /// Milliseconds.
        ms: u64,
    },
    /// No more bytes will come from the page.
    Eof {},
    /// The connection is to be reset, and what was not read of it is lost.
    Reset {},
    /// The page has taken bytes, or is ready to.
    Credit {
        /// The bytes that may be sent beyond those granted before.
        bytes: u64,
    },
}

impl FromPage {
    /// Reads one text message.
    pub(super) fn parse(text: &str) -> Result<Self, End> {
        serde_json::from_str(text).map_err(|_| End::NOT_UNDERSTOOD)
    }
}

/// A message to the page.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    /// The token is right.
    Welcome {
        /// The server's version.
        version: &'a str,
        /// The targets of the bridge.
        targets: &'a [Target],
        /// The tap that this page is of, if it is one's.
        #[serde(skip_serializing_if = "Option::is_none")]
        tap: Option<&'a Tap>,
    },
    /// What passed the tap last, as far as it is kept, and what passes from now on is told. This much passed before it.
    Watching {
        /// Connections that were over by then.
        connections: u64,
        /// Frames of all connections.
        frames: u64,
        /// And their bytes.
        bytes: u64,
    },
    /// The TCP connection stands.
    Opened {
        /// The target's id.
        target: &'a str,
        /// The bridge's end.
        local: SocketAddr,
        /// The server's end.
        remote: SocketAddr,
        /// The time that it took, in milliseconds since [`FromPage::Connect`] was read.
        after: f64,
    },
    /// What follows, bytes or [`Self::Eof`], was read from TCP.
    Read {
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// So many of the page's bytes were given to TCP in one write.
    Wrote {
        /// Their count.
        bytes: usize,
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// A wait of the page's is over.
    Waited {
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// The page's end of stream was given to TCP.
    Ended {
        /// The time, in milliseconds since [`Self::Opened`].
        at: f64,
    },
    /// The server will send no more bytes.
    Eof {},
    /// The TCP connection is over.
    Closed {
        /// The reason, for a person to read.
        reason: &'a str,
    },
}

impl ToPage<'_> {
    /// Writes the text message.
    pub(super) fn message(&self) -> Result<Message, End> {
        let text = serde_json::to_string(self).map_err(|_| End::INTERNAL)?;
        Ok(Message::text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_says() {
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
    fn what_the_bridge_says() {
        let targets = [
            Target { id: "0".to_owned(), address: "127.0.0.1:22236".parse().unwrap(), channel: None },
            Target { id: "1".to_owned(), address: "[::1]:22240".parse().unwrap(), channel: Some("general".to_owned()) },
        ];
        let opened = ToPage::Opened {
            target: "0",
            local: "127.0.0.1:50123".parse().unwrap(),
            remote: "127.0.0.1:22236".parse().unwrap(),
            after: 0.25,
        };
        let welcome = ToPage::Welcome { version: "0.1.0", targets: &targets, tap: None };
        for (message, text) in [
            (
                welcome,
                r#"{"type":"welcome","version":"0.1.0","targets":[{"id":"0","address":"127.0.0.1:22236"},{"id":"1","address":"[::1]:22240","channel":"general"}]}"#,
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
