//! Rights by roles and settings of a channel.

use crate::wire::{ChannelSettings, Role};

/// The standing of a client in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Standing {
    /// The server's operator.
    Operator,
    /// The channel's host.
    Host,
    /// One with a role.
    Role(Role),
    /// Anyone else.
    Other,
}

/// An action in a channel for which standing counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum ChannelAction {
    /// JOIN, HISTORY, pushes.
    Read,
    /// MESSAGE.
    Write,
    /// MESSAGE as fast as one likes, where others are slowed down.
    WriteFast,
    /// DELETE of a message.
    Delete {
        /// Whether the message is of the same account.
        is_own: bool,
    },
    /// ROLE: gives a role, or none, to one of this standing.
    Give {
        /// The role.
        role: Option<Role>,
        /// The standing of the one to whom it is given.
        to: Standing,
    },
    /// SETTINGS that lists the roles.
    ShowRoles,
    /// SETTINGS that changes something.
    Set,
}

impl Standing {
    /// Returns whether a client of this standing may do this in a channel with these settings.
    ///
    /// ```
    /// use chanwire_core::{
    ///     rights::{ChannelAction, Standing},
    ///     wire::{ChannelSettings, Role},
    /// };
    ///
    /// let settings = ChannelSettings { members_only: true, ..ChannelSettings::default() };
    /// assert!(Standing::Role(Role::Member).may(ChannelAction::Read, settings));
    /// assert!(!Standing::Other.may(ChannelAction::Read, settings));
    /// let promotion = ChannelAction::Give { role: Some(Role::Moderator), to: Standing::Other };
    /// assert!(Standing::Host.may(promotion, settings));
    /// assert!(!Standing::Role(Role::Moderator).may(promotion, settings));
    /// ```
    #[must_use]
    pub fn may(self, action: ChannelAction, settings: ChannelSettings) -> bool {
        let is_host = matches!(self, Self::Operator | Self::Host);
        let moderates = is_host || self == Self::Role(Role::Moderator);
        match action {
            ChannelAction::Read => {
                let is_member = moderates || self == Self::Role(Role::Member);
                self != Self::Role(Role::Banned) && (is_member || !settings.members_only)
            }
            ChannelAction::Write => self != Self::Role(Role::Muted) && self.may(ChannelAction::Read, settings),
            ChannelAction::Delete { is_own } => moderates || is_own && self.may(ChannelAction::Read, settings),
            ChannelAction::Give { role, to } => match (role, to) {
                // A role would have no effect on them.
                (_, Self::Operator | Self::Host) => false,
                (Some(Role::Moderator), _) | (_, Self::Role(Role::Moderator)) => is_host,
                _ => moderates,
            },
            ChannelAction::WriteFast | ChannelAction::ShowRoles => moderates,
            ChannelAction::Set => is_host,
        }
    }
}
