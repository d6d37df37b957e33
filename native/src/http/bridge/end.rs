//! The reasons for the end of a bridge, with the WebSocket's close codes.

use std::fmt;

use axum::extract::ws::CloseFrame;
use tokio_tungstenite::tungstenite;

/// A reason for the end of a bridge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The page closed the WebSocket or disconnected.
    PageLeft,
    /// The bridge closes the WebSocket.
    Close {
        /// The close code.
        code: u16,
        /// The close reason, at most 123 bytes.
        reason: &'static str,
    },
}

/// The words of the log.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageLeft => f.write_str("the page left"),
            Self::Close { code, reason: "" } => write!(f, "{code}"),
            Self::Close { code, reason } => write!(f, "{code}: {reason}"),
        }
    }
}

impl End {
    pub(super) const DONE: Self = Self::close(1000, "");
    pub(super) const STOPPING: Self = Self::close(1001, "the server is stopping");
    pub(super) const BAD_FRAME: Self = Self::close(1002, "the WebSocket protocol was violated");
    pub(super) const BAD_TEXT: Self = Self::close(1007, "a text message is UTF-8");
    pub(super) const TOO_LARGE: Self = Self::close(1009, "a message is at most 1 MiB");
    pub(super) const INTERNAL: Self = Self::close(1011, "a message could not be written");
    pub(super) const NOT_UNDERSTOOD: Self = Self::close(4400, "not a control message");
    pub(super) const NOT_CONNECTED: Self = Self::close(4400, "nothing but a connect message may come here");
    pub(super) const OUT_OF_PLACE: Self =
        Self::close(4400, "the token and the connect message come once, at the start");
    pub(super) const AFTER_EOF: Self = Self::close(4400, "after eof or reset come no bytes, waits, eof or reset");
    pub(super) const TOO_LONG: Self = Self::close(4400, "a wait is at most ten minutes");
    pub(super) const TOO_MUCH_CREDIT: Self = Self::close(4400, "at most 16 MiB of credit may be outstanding");
    pub(super) const WATCHING: Self = Self::close(4400, "who watches says nothing but credit");
    pub(super) const NO_TAP: Self = Self::close(4404, "this server is no tap");
    /// A page that was busy for so long asks again with the same token; one whose token is wrong need not.
    pub(super) const LATE: Self = Self::close(4408, "no token came within 2 s: try again");
    pub(super) const DISPLACED: Self = Self::close(4408, "too many WebSockets wait for their token: try again");
    pub(super) const NO_TOKEN: Self = Self::close(4401, "the first message is the token");
    pub(super) const WRONG_TOKEN: Self = Self::close(4401, "wrong token: each start of the server prints a new one");
    pub(super) const NO_TARGET: Self = Self::close(4404, "no target has this id");
    pub(super) const TOO_MANY: Self = Self::close(4429, "too many connections are open already: close one first");

    const fn close(code: u16, reason: &'static str) -> Self {
        Self::Close { code, reason }
    }

    /// Maps an error of reading from the WebSocket to an end.
    pub(super) fn of_error(error: axum::Error) -> Self {
        use tungstenite::Error;
        match error.into_inner().downcast_ref() {
            Some(Error::Capacity(_)) => Self::TOO_LARGE,
            Some(Error::Utf8(_)) => Self::BAD_TEXT,
            Some(Error::Protocol(_)) => Self::BAD_FRAME,
            _ => Self::PageLeft,
        }
    }

    /// Returns the close frame to send, if the page is still there to read it.
    pub(super) fn frame(&self) -> Option<CloseFrame> {
        match *self {
            Self::PageLeft => None,
            Self::Close { code, reason } => Some(CloseFrame { code, reason: reason.into() }),
        }
    }
}
