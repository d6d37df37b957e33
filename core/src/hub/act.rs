//! Acts of moderation, which a server logs.

use core::fmt;

use super::{ConnectionId, GivenRole, Peer, RoleSubject};
use crate::wire::{AccountName, ChannelName, ChannelSettings};

/// An act of moderation that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The connection that has asked for it.
    pub connection: ConnectionId,
    /// Its peer.
    pub peer: Peer,
    /// The account that it is signed in to.
    pub account: Option<AccountName>,
    /// The channel.
    pub channel_name: ChannelName,
    /// The kind of act.
    pub kind: ActKind,
}

/// A kind of act of moderation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActKind {
    /// A message was deleted.
    Deleted {
        /// Its number in the channel.
        id: u64,
    },
    /// A role was given, or taken.
    RoleSet {
        /// The one to whom it was given.
        subject: RoleSubject,
        /// The role; `None` if the subject has none now.
        role: Option<GivenRole>,
    },
    /// The settings were changed.
    SettingsChanged(ChannelSettings),
}

/// Writes the address of a client, or the word by which CONNECTIONS lists another peer.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::NoAddressRights => f.pad("unknown"),
            Self::Operator => f.pad("operator"),
        }
    }
}
