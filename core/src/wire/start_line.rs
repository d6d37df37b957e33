//! The start line of a frame: a command, or a status.

use core::{
    fmt::{self, Debug},
    str::FromStr,
};

/// The longest start line that is read, in bytes.
pub(crate) const MAX_START_LINE: usize = 32;

/// The start line of a frame, in one direction. [`Command`] and [`Status`] are the two there are, so that one
/// decoder serves both roles.
pub trait StartLine: Copy + Debug + Eq + 'static {
    /// The name of such a word in an error's details.
    const NOUN: &'static str;

    /// Returns the word that these bytes spell, if it is known. Case matters.
    fn parse(word: &[u8]) -> Option<Self>;

    /// Returns the word as it stands on the wire.
    fn name(self) -> &'static str;

    /// Returns whether a payload follows. If it does, it is never optional.
    fn takes_payload(self) -> bool;
}

/// A command: the start line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Command {
    /// `LIST`: which channels are there?
    List,
    /// `HOST`: put a channel on the list.
    Host,
    /// `MESSAGE`: deliver a message to a channel.
    Message,
    /// `UNHOST`: take a channel off the list.
    Unhost,
    /// `JOIN`: push a channel's messages to this connection.
    Join,
    /// `LEAVE`: stop pushing them.
    Leave,
    /// `HISTORY`: give a channel's stored messages.
    History,
    /// `HELLO`: what can the server do?
    Hello,
    /// `AUTH`: this connection is an account's.
    Auth,
    /// `WHO`: who has joined a channel?
    Who,
    /// `CHANNELS`: which channels are there, page by page?
    Channels,
    /// `DELETE`: delete a message of a channel.
    Delete,
    /// `ROLE`: give somebody a role in a channel.
    Role,
    /// `SETTINGS`: change or show the settings of a channel.
    Settings,
    /// `CONNECTIONS`: which connections does the server have? For its operator.
    Connections,
    /// `DISCONNECT`: end a connection. For the server's operator.
    Disconnect,
}

impl Command {
    /// Every command, in the order in which the protocol names them.
    pub const ALL: &'static [Self] = &[
        Self::List,
        Self::Host,
        Self::Message,
        Self::Unhost,
        Self::Join,
        Self::Leave,
        Self::History,
        Self::Hello,
        Self::Auth,
        Self::Who,
        Self::Channels,
        Self::Delete,
        Self::Role,
        Self::Settings,
        Self::Connections,
        Self::Disconnect,
    ];
}

impl StartLine for Command {
    const NOUN: &'static str = "command";

    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"LIST" => Self::List,
            b"HOST" => Self::Host,
            b"MESSAGE" => Self::Message,
            b"UNHOST" => Self::Unhost,
            b"JOIN" => Self::Join,
            b"LEAVE" => Self::Leave,
            b"HISTORY" => Self::History,
            b"HELLO" => Self::Hello,
            b"AUTH" => Self::Auth,
            b"WHO" => Self::Who,
            b"CHANNELS" => Self::Channels,
            b"DELETE" => Self::Delete,
            b"ROLE" => Self::Role,
            b"SETTINGS" => Self::Settings,
            b"CONNECTIONS" => Self::Connections,
            b"DISCONNECT" => Self::Disconnect,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::List => "LIST",
            Self::Host => "HOST",
            Self::Message => "MESSAGE",
            Self::Unhost => "UNHOST",
            Self::Join => "JOIN",
            Self::Leave => "LEAVE",
            Self::History => "HISTORY",
            Self::Hello => "HELLO",
            Self::Auth => "AUTH",
            Self::Who => "WHO",
            Self::Channels => "CHANNELS",
            Self::Delete => "DELETE",
            Self::Role => "ROLE",
            Self::Settings => "SETTINGS",
            Self::Connections => "CONNECTIONS",
            Self::Disconnect => "DISCONNECT",
        }
    }

    fn takes_payload(self) -> bool {
        self != Self::List
    }
}

/// A status: the start line of a frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has no further statuses")]
pub enum Status {
    /// `OK`: the request was carried out.
    Ok,
    /// `REQUEST_ERROR`: the request was wrong; the client can mend it.
    RequestError,
    /// `SERVER_ERROR`: the server could not do it.
    ServerError,
    /// `MESSAGE`: no answer at all, but a message pushed to a connection that joined its channel.
    Push,
    /// `NOTICE`: no answer either, but news of a channel, for a connection that asked for them with HELLO.
    Notice,
}

impl Status {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Ok, Self::RequestError, Self::ServerError, Self::Push, Self::Notice];

    /// Returns whether a frame that begins with it answers a request. A push and a notice come unasked.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        !matches!(self, Self::Push | Self::Notice)
    }
}

impl StartLine for Status {
    const NOUN: &'static str = "status";

    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"OK" => Self::Ok,
            b"REQUEST_ERROR" => Self::RequestError,
            b"SERVER_ERROR" => Self::ServerError,
            b"MESSAGE" => Self::Push,
            b"NOTICE" => Self::Notice,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::RequestError => "REQUEST_ERROR",
            Self::ServerError => "SERVER_ERROR",
            Self::Push => "MESSAGE",
            Self::Notice => "NOTICE",
        }
    }

    fn takes_payload(self) -> bool {
        true
    }
}

/// A word that is none of the known commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownCommand;

/// A word that is none of the known statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownStatus;

/// Gives one direction's start lines the traits of text, so that what is displayed parses to the same value.
macro_rules! text {
    ($start_line:ty, $error:ident, $example:literal) => {
        /// Writes the word as it stands on the wire.
        impl fmt::Display for $start_line {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        /// Reads a word as it stands on the wire. Case matters.
        impl FromStr for $start_line {
            type Err = $error;

            fn from_str(word: &str) -> Result<Self, $error> {
                Self::parse(word.as_bytes()).ok_or($error)
            }
        }

        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "expected a {} in capitals, such as {}", <$start_line>::NOUN, $example)
            }
        }

        impl core::error::Error for $error {}
    };
}

text!(Command, UnknownCommand, "LIST");
text!(Status, UnknownStatus, "OK");

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn every_command_and_status_parses_from_what_it_displays() {
        for command in Command::ALL {
            assert_eq!(command.to_string().parse(), Ok(*command));
        }
        for status in Status::ALL {
            assert_eq!(status.to_string().parse(), Ok(*status));
        }
        assert_eq!("list".parse::<Command>(), Err(UnknownCommand));
        assert_eq!("OK ".parse::<Status>(), Err(UnknownStatus));
        assert_eq!(UnknownStatus.to_string(), "expected a status in capitals, such as OK");
    }
}
