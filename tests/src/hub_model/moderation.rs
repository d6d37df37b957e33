//! The rules of roles and settings, for clients without accounts.

use std::net::IpAddr;

use chanwire_core::{
    hub::{GivenRole, ModerationRecord, Peer, RoleSubject, Write},
    wire::{ChannelName, ChannelSettings, ListedRole, Response, Role, RoleTarget, Timestamp},
};

use super::{Decision, Model, error, of_subscriber};

/// The standing of a peer in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Host,
    Role(Role, Option<Timestamp>),
    Other,
}

impl Model {
    /// Returns the roles and settings of a channel that are in force.
    #[must_use]
    pub fn moderated(&self, name: &str) -> (ChannelSettings, Vec<(RoleSubject, GivenRole)>) {
        let Some(ModerationRecord { settings, roles, .. }) = self.moderation.get(name) else {
            return Default::default();
        };
        let second = i64::try_from(self.now.as_millis() / 1000).unwrap_or(i64::MAX);
        let in_force = |given: &GivenRole| given.until.is_none_or(|until| until.as_unix() > second);
        let mut roles: Vec<_> = roles.iter().filter(|(_, given)| in_force(given)).cloned().collect();
        roles.sort_by(|(one, _), (other, _)| one.cmp(other));
        (*settings, roles)
    }

    fn role_at(&self, name: &str, ip: IpAddr) -> Option<GivenRole> {
        let subject = RoleSubject::Address(of_subscriber(ip));
        self.moderated(name).1.into_iter().find(|(other, _)| *other == subject).map(|(_, given)| given)
    }

    fn rank(&self, peer: Peer, name: &str) -> Rank {
        match peer {
            _ if self.is_host(peer, name) => Rank::Host,
            Peer::Address(ip) => match self.role_at(name, ip) {
                Some(given) => Rank::Role(given.role, given.until),
                None => Rank::Other,
            },
            Peer::NoAddressRights | Peer::Operator => Rank::Other,
        }
    }

    /// Returns whether this peer deletes messages and gives roles in a channel.
    #[must_use]
    pub fn moderates(&self, peer: Peer, name: &str) -> bool {
        matches!(self.rank(peer, name), Rank::Host | Rank::Role(Role::Moderator, _))
    }

    /// Returns the right answer to this peer's JOIN and HISTORY, if it may not read the channel.
    #[must_use]
    pub fn refuse_to_read(&self, peer: Peer, name: &str) -> Option<Response> {
        let (settings, _) = self.moderated(name);
        let details = match self.rank(peer, name) {
            Rank::Role(Role::Banned, until) => banned(name, until),
            Rank::Host | Rank::Role(Role::Moderator | Role::Member, _) => return None,
            Rank::Role(Role::Muted, _) | Rank::Other if settings.members_only => {
                format!("Only members may read '{name}'")
            }
            Rank::Role(Role::Muted, _) | Rank::Other => return None,
        };
        Some(not_allowed(details))
    }

    /// Returns the right answer to this peer's new MESSAGE, if it may not write to the channel.
    #[must_use]
    pub fn refuse_to_write(&self, peer: Peer, name: &str) -> Option<Response> {
        let (settings, _) = self.moderated(name);
        let details = match self.rank(peer, name) {
            Rank::Host | Rank::Role(Role::Moderator | Role::Member, _) => return None,
            _ if settings.members_only => format!("Only members may write to '{name}'"),
            Rank::Role(Role::Banned, until) => banned(name, until),
            Rank::Role(Role::Muted, until) => format!("This connection is muted in '{name}'{}", ending(until)),
            Rank::Other => return None,
        };
        Some(not_allowed(details))
    }

    /// Returns the seconds between two messages of this peer in a channel.
    #[must_use]
    pub fn slow_mode(&self, peer: Peer, name: &str) -> u16 {
        if self.moderates(peer, name) { 0 } else { self.moderated(name).0.slow_mode }
    }

    pub(super) fn decide_role(
        &self,
        peer: Peer,
        name: &ChannelName,
        target: &RoleTarget,
        role: Option<Role>,
        seconds: Option<u32>,
    ) -> Decision {
        if let Some(refusal) = self.refuse_elsewhere(name) {
            return refusal;
        }
        if !self.moderates(peer, name) {
            let details = format!("Only the host and the moderators of '{name}' may give roles in it");
            return error("Not allowed", details);
        }
        let (subject, is_host) = match target {
            RoleTarget::Account(account) => (RoleSubject::Account(account.clone()), false),
            RoleTarget::Address(ip) => {
                (RoleSubject::Address(of_subscriber(*ip)), self.is_host(Peer::Address(*ip), name))
            }
            RoleTarget::SenderOf(_) => return Decision::Refuse("Message not found"),
        };
        if is_host {
            let details = format!("The host of '{name}' and the operator have no role in it");
            return error("Not allowed", details);
        }
        let (_, roles) = self.moderated(name);
        let before = roles.iter().find(|(other, _)| *other == subject).map(|(_, given)| *given);
        let is_of_moderator = [role, before.map(|given| given.role)].contains(&Some(Role::Moderator));
        if is_of_moderator && self.rank(peer, name) != Rank::Host {
            let details = format!("Only the host of '{name}' may change who its moderators are");
            return error("Not allowed", details);
        }
        if role == Some(Role::Member) && matches!(subject, RoleSubject::Address(_)) {
            return error("Not allowed", format!("Only accounts can be members of '{name}'"));
        }
        let second = i64::try_from(self.now.as_millis() / 1000).unwrap_or(i64::MAX);
        let until = seconds.map(|seconds| Timestamp::from_unix(second + i64::from(seconds)));
        let given = role.map(|role| GivenRole { role, until, sender_of: None });
        if given == before {
            return Decision::Answer(Response::RoleSet { channel_name: name.clone(), role });
        }
        Decision::Moderate(Write::SetRole { channel_name: name.clone(), subject, role: given })
    }

    pub(super) fn decide_settings(
        &self,
        peer: Peer,
        name: &ChannelName,
        members_only: Option<bool>,
        slow_mode: Option<u16>,
    ) -> Decision {
        if let Some(refusal) = self.refuse_elsewhere(name) {
            return refusal;
        }
        let (before, roles) = self.moderated(name);
        let list = |(subject, given): (RoleSubject, GivenRole)| ListedRole {
            target: match subject {
                RoleSubject::Account(account) => RoleTarget::Account(account),
                RoleSubject::Address(ip) => RoleTarget::Address(ip),
            },
            role: given.role,
            until: given.until,
        };
        let roles = if self.moderates(peer, name) { roles.into_iter().map(list).collect() } else { Vec::new() };
        let shown = Response::Settings { channel_name: name.clone(), settings: before, roles };
        if members_only.is_none() && slow_mode.is_none() {
            return Decision::Answer(shown);
        }
        if self.rank(peer, name) != Rank::Host {
            return error("Not allowed", format!("Only the host of '{name}' may change its settings"));
        }
        // Here a channel is the operator's or an address's.
        if members_only == Some(true) && !self.is_fixed(name) {
            let details = format!("The channel '{name}' belongs to no account, so it cannot be for members only");
            return error("Not allowed", details);
        }
        let settings = ChannelSettings {
            members_only: members_only.unwrap_or(before.members_only),
            slow_mode: slow_mode.unwrap_or(before.slow_mode),
        };
        if settings == before {
            return Decision::Answer(shown);
        }
        Decision::Moderate(Write::SetSettings { channel_name: name.clone(), settings })
    }
}

fn ending(until: Option<Timestamp>) -> String {
    until.map_or(String::new(), |until| format!(" until {until}"))
}

fn banned(name: &str, until: Option<Timestamp>) -> String {
    format!("This connection is banned from '{name}'{}", ending(until))
}

fn not_allowed(details: String) -> Response {
    match error("Not allowed", details) {
        Decision::Answer(response) => response,
        other => unreachable!("{other:?}"),
    }
}
