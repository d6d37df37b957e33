//! Moderation of a channel: roles and settings.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "callers build these values, and the protocol fixes their fields"
)]

use core::{fmt, net::IpAddr, str::FromStr};

use super::{
    AccountName, Timestamp, canonical, encode,
    fields::{ACCOUNT, ADDRESS, MEMBERS_ONLY, ROLE, SENDER_OF, SLOW_MODE, UNTIL},
    payload::{MembersOf, PayloadFault, PayloadFaultKind},
};

/// A role in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Deletes messages, and gives members and those who disturb their roles.
    Moderator,
    /// Reads and writes where only members may. For accounts.
    Member,
    /// May not write.
    Muted,
    /// May neither read nor write.
    Banned,
}

impl Role {
    /// Every role, in the order in which the protocol names them.
    pub const ALL: [Self; 4] = [Self::Moderator, Self::Member, Self::Muted, Self::Banned];

    /// The word for no role.
    pub const NONE: &'static str = "none";

    /// Returns its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moderator => "moderator",
            Self::Member => "member",
            Self::Muted => "muted",
            Self::Banned => "banned",
        }
    }
}

/// A word that is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotARole;

impl fmt::Display for NotARole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected moderator, member, muted or banned")
    }
}

impl core::error::Error for NotARole {}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(word: &str) -> Result<Self, NotARole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(NotARole)
    }
}

/// Returns the word of a role, or of none.
pub(super) const fn word_of(role: Option<Role>) -> &'static str {
    match role {
        Some(role) => role.as_str(),
        None => Role::NONE,
    }
}

/// The one to whom a role is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum RoleTarget {
    /// An account.
    Account(AccountName),
    /// All clients of an address whose account, if any, has no role of its own. An IPv6 address stands for its /64
    /// network.
    Address(IpAddr),
    /// The account that sent the message of this number, or the address from which it came.
    SenderOf(u64),
}

impl RoleTarget {
    /// Reads it from the members of a payload, which has exactly one of the three.
    pub(super) fn of<const SIZE: usize>(members: &MembersOf<'_, SIZE>) -> Result<Self, PayloadFault> {
        let account = members.optional_name(ACCOUNT)?;
        let address = members.optional_name::<IpAddr>(ADDRESS)?;
        let sender_of = members.optional_integer(SENDER_OF)?;
        members.either(ACCOUNT, ADDRESS)?;
        members.either(ACCOUNT, SENDER_OF)?;
        members.either(ADDRESS, SENDER_OF)?;
        let account = account.map(Self::Account);
        let target = account.or_else(|| address.map(|ip| Self::Address(canonical(ip))));
        let missing = PayloadFault { at: None, kind: PayloadFaultKind::Missing(ACCOUNT) };
        target.or_else(|| sender_of.map(Self::SenderOf)).ok_or(missing)
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        match self {
            Self::Account(account) => object.text(ACCOUNT, account),
            Self::Address(ip) => object.display(ADDRESS, ip),
            Self::SenderOf(id) => object.integer(SENDER_OF, *id),
        };
    }
}

/// Writes the account, the address, or `message` and the number.
impl fmt::Display for RoleTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => account.fmt(f),
            Self::Address(ip) => ip.fmt(f),
            Self::SenderOf(id) => write!(f, "message {id}"),
        }
    }
}

/// The settings of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ChannelSettings {
    /// Whether only members, moderators and hosts may read and write.
    pub members_only: bool,
    /// The seconds between two messages of a sender: 0 to 3600.
    pub slow_mode: u16,
}

impl ChannelSettings {
    pub(super) fn of<const SIZE: usize>(members: &MembersOf<'_, SIZE>) -> Result<Self, PayloadFault> {
        let members_only = members.flag(MEMBERS_ONLY)?;
        // The kind of field bounds it.
        let slow_mode = u16::try_from(members.integer(SLOW_MODE)?).unwrap_or(u16::MAX);
        Ok(Self { members_only, slow_mode })
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        object.flag(MEMBERS_ONLY, self.members_only).integer(SLOW_MODE, self.slow_mode.into());
    }
}

/// A role that was given, as SETTINGS lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ListedRole {
    /// The one who has it. An address that was named by a message is listed as the message's sender.
    pub target: RoleTarget,
    /// The role.
    pub role: Role,
    /// The time at which it ends; `None` if it does not end.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub until: Option<Timestamp>,
}

impl ListedRole {
    pub(super) fn of(members: &MembersOf<'_, 5>) -> Result<Self, PayloadFault> {
        Ok(Self { target: RoleTarget::of(members)?, role: members.name(ROLE)?, until: members.optional_name(UNTIL)? })
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        self.target.write(object);
        object.text(ROLE, self.role.as_str());
        if let Some(until) = self.until {
            object.display(UNTIL, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn every_role_parses_from_what_it_displays() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("none".parse::<Role>(), Err(NotARole));
        assert_eq!("Muted".parse::<Role>(), Err(NotARole));
    }
}
