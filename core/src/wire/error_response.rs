//! Errors, as a server sends them.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "callers build these values, and the protocol fixes their fields"
)]

use alloc::{borrow::Cow, format, string::String, vec::Vec};

use super::{
    Credentials, Status, encode,
    fields::{DETAILS, ERROR, FAILED, RETRY_AFTER},
    payload::{Members, PayloadFault},
};

/// An answer that says what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ErrorResponse {
    /// The side that is to blame.
    pub blame: Blame,
    /// The protocol's name of the error.
    pub error: Cow<'static, str>,
    /// A description.
    pub details: String,
    /// The seconds after which to come back, where the server says so.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub retry_after: Option<u32>,
}

/// The side that is to blame for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Blame {
    /// REQUEST_ERROR: the client's.
    Request,
    /// SERVER_ERROR: the server's.
    Server,
}

/// The name of the error for plain text where TLS is required.
const ENCRYPTION_REQUIRED: &str = "Encryption required";

/// The names of all errors, in the order of the protocol's table.
const ERROR_NAMES: &[&str] = &[
    "Malformed command",
    "Unknown command",
    "Invalid payload",
    "Payload too large",
    "Incomplete request",
    "Request timed out",
    "Channel not found",
    "Channel already exists",
    "Channel hosted elsewhere",
    "Not the channel's host",
    "Not allowed",
    "Already joined",
    "Not joined",
    "Limit reached",
    "Connection not found",
    "Message id reused",
    "Authentication failed",
    "Already authenticated",
    "Too many attempts",
    ENCRYPTION_REQUIRED,
    "Slow mode",
    "Message not found",
    "Database connection failed",
    "Slow consumer",
    "Channel removed",
    "Disconnected",
    ErrorResponse::ACCESS_REVOKED,
    "Server busy",
    ErrorResponse::SERVER_STOPPING,
];

/// Errors that answer no request, but give the reason for closing.
const CLOSING: [&str; 7] = [
    "Slow consumer",
    "Server busy",
    ErrorResponse::SERVER_STOPPING,
    "Request timed out",
    "Channel removed",
    "Disconnected",
    ErrorResponse::ACCESS_REVOKED,
];

impl ErrorResponse {
    /// The names of all errors that a server of this protocol sends, in the order of the protocol's table.
    pub const NAMES: &'static [&'static str] = ERROR_NAMES;

    /// The name of the error by which a server says that it stops. A request that is unanswered before it was not
    /// carried out.
    pub const SERVER_STOPPING: &'static str = "Server stopping";

    /// The name of the error by which a server says that a connection's rights have changed.
    pub const ACCESS_REVOKED: &'static str = "Access revoked";

    /// Makes a REQUEST_ERROR.
    #[must_use]
    pub fn request(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { blame: Blame::Request, error: error.into(), details: details.into(), retry_after: None }
    }

    /// Makes a SERVER_ERROR.
    #[must_use]
    pub fn server(error: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { blame: Blame::Server, error: error.into(), details: details.into(), retry_after: None }
    }

    /// Makes the reason that a server which stops gives to a connection with notices. The client comes back after so
    /// many seconds.
    #[must_use]
    pub fn server_stopping(retry_after: u32) -> Self {
        let unit = if retry_after == 1 { "second" } else { "seconds" };
        let details = format!("The server stops; come back in {retry_after} {unit}");
        Self { retry_after: Some(retry_after), ..Self::server(Self::SERVER_STOPPING, details) }
    }

    /// Makes the answer to plain text from a client where TLS is required. The connection is closed.
    #[must_use]
    pub fn encryption_required() -> Self {
        Self::request(ENCRYPTION_REQUIRED, "Only TLS is accepted here, and this connection began with plain text")
    }

    /// Makes the answer to credentials that came over plain text. The connection goes on.
    #[must_use]
    pub fn credentials_not_encrypted(credentials: &Credentials) -> Self {
        let details = match credentials {
            Credentials::Password { .. } => "A password is accepted over TLS only",
            Credentials::Token(_) => "A token is accepted over TLS only",
        };
        Self::request(ENCRYPTION_REQUIRED, details)
    }

    /// Returns the status that it begins with.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.blame {
            Blame::Request => Status::RequestError,
            Blame::Server => Status::ServerError,
        }
    }

    /// Returns whether it answers no request, but is the server's reason for closing. Requests that are open then have
    /// an unknown outcome.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        CLOSING.contains(&&*self.error)
    }

    pub(super) fn decode(blame: Blame, payload: &[u8]) -> Result<Self, PayloadFault> {
        let members = Members::read(payload, &FAILED)?;
        let retry_after = members.optional_integer(RETRY_AFTER)?.and_then(|seconds| u32::try_from(seconds).ok());
        Ok(Self { blame, error: members.text(ERROR)?.into(), details: members.text(DETAILS)?, retry_after })
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::start_line(out, self.status());
        encode::object(out, |object| {
            object
                .text(ERROR, &self.error)
                .text(DETAILS, &self.details)
                .optional_integer(RETRY_AFTER, self.retry_after.map(Into::into));
        });
    }
}

impl core::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.error, self.details)
    }
}

impl core::error::Error for ErrorResponse {}
