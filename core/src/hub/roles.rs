//! ROLE and SETTINGS: the decisions, and what follows from them.

use alloc::{sync::Arc, vec::Vec};
use core::{net::IpAddr, time::Duration};

use super::{
    ConnectionId, GivenRole, Hub, Peer, RoleSubject, Sender,
    access::Asker,
    moderation::{Client, Moderated},
    refusal,
    requests::{Change, Verdict},
};
use crate::{
    Time,
    admission::of_subscriber,
    endpoint::ServerCommand,
    rights::{ChannelAction, Standing},
    wire::{
        ChannelName, ChannelSettings, ErrorResponse, Notice, Request, Response, Role, RoleTarget, StoredMessage,
        Timestamp,
    },
};

/// The most roles of a channel.
const MAX_ROLES: usize = 1000;

/// The size of a ROLE or a SETTINGS in a commit, in bytes.
pub(super) const MODERATION_BYTES: usize = 256;

/// A change of what is stored of a channel's moderation.
#[derive(Debug)]
pub(super) enum Moderating {
    Role(ChannelName, RoleSubject),
    Settings(ChannelName),
}

impl Hub {
    /// Returns the role of a connection in a channel, whether or not it counts for it.
    fn role_of(&self, id: ConnectionId, channel_name: &ChannelName) -> Option<GivenRole> {
        let connection = self.connections.get(&id)?;
        let has_address_rights = connection.peer != Peer::NoAddressRights;
        let client = Client { account: connection.account.as_ref(), address: connection.address, has_address_rights };
        self.moderation.role_of(channel_name, client, self.now)
    }

    /// Returns the standing of a connection in a channel, and the end of its role.
    fn standing_until(&self, id: ConnectionId, channel_name: &ChannelName) -> (Standing, Option<Timestamp>) {
        let Some(connection) = self.connections.get(&id) else { return (Standing::Other, None) };
        if let Some(standing) = self.host_standing(channel_name, connection.asker(self.rights())) {
            return (standing, None);
        }
        match self.role_of(id, channel_name) {
            Some(given) => (Standing::Role(given.role), given.until),
            None => (Standing::Other, None),
        }
    }

    /// Returns the standing of a connection in a channel.
    pub(super) fn standing(&self, id: ConnectionId, channel_name: &ChannelName) -> Standing {
        self.standing_until(id, channel_name).0
    }

    /// Returns the standing of a client that needs no role.
    fn host_standing(&self, channel_name: &ChannelName, asker: Asker<'_>) -> Option<Standing> {
        if asker.is_operator {
            return Some(Standing::Operator);
        }
        let is_host = self.directory.get(channel_name).is_some_and(|entry| entry.is_hosted_by(asker));
        is_host.then_some(Standing::Host)
    }

    /// Returns the standing of the one to whom a role is to be given. `ip` is the address itself, of one that is named by
    /// it.
    fn standing_of_subject(&self, channel_name: &ChannelName, subject: &RoleSubject, ip: Option<IpAddr>) -> Standing {
        let asker = match subject {
            RoleSubject::Account(name) => {
                let is_operator = self.rights().is_operator(name);
                Asker { peer: Peer::NoAddressRights, account: Some(name), is_operator }
            }
            RoleSubject::Address(network) => {
                Asker { peer: Peer::Address(ip.unwrap_or(*network)), account: None, is_operator: false }
            }
        };
        let role = self.moderation.role(channel_name, subject, self.now);
        let of_role = role.map_or(Standing::Other, |given| Standing::Role(given.role));
        self.host_standing(channel_name, asker).unwrap_or(of_role)
    }

    /// Returns the answer to a request of a connection that may not read a channel because of its role or the channel's
    /// settings.
    pub(super) fn refuse_to_read(&self, id: ConnectionId, channel_name: &ChannelName) -> Option<ErrorResponse> {
        let settings = self.moderated(channel_name)?;
        let (standing, until) = self.standing_until(id, channel_name);
        match standing {
            _ if standing.may(ChannelAction::Read, settings) => None,
            Standing::Role(Role::Banned) => Some(refusal::banned(channel_name, until)),
            _ => Some(refusal::members_read(channel_name)),
        }
    }

    /// Returns the answer to the first request of a connection, a MESSAGE to a channel, if its role or the channel's
    /// settings do not let it write.
    pub(super) fn refuse_by_role(&self, id: ConnectionId, channel_name: &ChannelName) -> Option<ErrorResponse> {
        let settings = self.moderated(channel_name)?;
        let (standing, until) = self.standing_until(id, channel_name);
        match standing {
            _ if standing.may(ChannelAction::Write, settings) => None,
            Standing::Role(Role::Muted) if !settings.members_only => Some(refusal::muted(channel_name, until)),
            Standing::Role(Role::Banned) if !settings.members_only => Some(refusal::banned(channel_name, until)),
            _ => Some(refusal::members_write(channel_name)),
        }
    }

    /// Returns the sender of the first request of a connection, a MESSAGE to a channel, with the seconds between two of its
    /// messages, if it is to wait between them.
    pub(super) fn slowed_down(&self, id: ConnectionId, channel_name: &ChannelName) -> Option<(Sender, u16)> {
        let settings = self.moderated(channel_name).filter(|settings| settings.slow_mode > 0)?;
        if self.standing(id, channel_name).may(ChannelAction::WriteFast, settings) {
            return None;
        }
        let connection = self.connections.get(&id)?;
        let Request::Message(message) = &connection.pending.front()?.request else { return None };
        Some((Sender::of(connection.account.as_ref(), &message.username), settings.slow_mode))
    }

    /// Returns the settings of a channel, if it has any, or roles.
    fn moderated(&self, channel_name: &ChannelName) -> Option<ChannelSettings> {
        self.moderation.has(channel_name).then(|| self.moderation.settings(channel_name))
    }

    /// Decides the first request of a connection, a ROLE, by what is known now.
    pub(super) fn decide_role(
        &self,
        id: ConnectionId,
        channel_name: &ChannelName,
        target: &RoleTarget,
        role: Option<Role>,
        seconds: Option<u32>,
    ) -> Verdict {
        if let Err(error) = self.readable(id, channel_name) {
            return error.into();
        }
        if self.changes.contains(channel_name) {
            return Verdict::Wait(channel_name.clone());
        }
        let (standing, settings) = (self.standing(id, channel_name), self.moderation.settings(channel_name));
        // Nothing is said to one who may give no role.
        if !standing.may(ChannelAction::ShowRoles, settings) {
            return refusal::may_not_give_roles(channel_name).into();
        }
        let (subject, ip, sender_of) = match target {
            RoleTarget::Account(name) => (RoleSubject::Account(name.clone()), None, None),
            RoleTarget::Address(ip) => (RoleSubject::Address(of_subscriber(*ip)), Some(*ip), None),
            RoleTarget::SenderOf(message) => match self.sender_of(id, channel_name, *message) {
                Ok((subject, ip)) => {
                    let sender_of = matches!(subject, RoleSubject::Address(_)).then_some(*message);
                    (subject, ip, sender_of)
                }
                Err(None) => return Verdict::LookUp((channel_name.clone(), *message)),
                Err(Some(error)) => return error.into(),
            },
        };
        let to = self.standing_of_subject(channel_name, &subject, ip);
        if !standing.may(ChannelAction::Give { role, to }, settings) {
            return match to {
                Standing::Operator | Standing::Host => refusal::no_role_for_host(channel_name).into(),
                Standing::Role(_) | Standing::Other => refusal::role_is_for_host(channel_name).into(),
            };
        }
        if role == Some(Role::Member) && matches!(subject, RoleSubject::Address(_)) {
            return refusal::members_are_accounts(channel_name).into();
        }
        let until = seconds.map(|seconds| self.wall_at(self.now.after(Duration::from_secs(seconds.into()))));
        let given = role.map(|role| GivenRole { role, until, sender_of });
        let before = self.moderation.role(channel_name, &subject, self.now);
        if given == before {
            return Verdict::Answer(Response::RoleSet { channel_name: channel_name.clone(), role }.into());
        }
        if before.is_none() && self.moderation.roles_in(channel_name) >= MAX_ROLES {
            return refusal::too_many_roles(MAX_ROLES).into();
        }
        let in_all = self.moderation.count() + self.changes.new_roles();
        if before.is_none() && in_all >= self.limits.max_roles {
            return refusal::too_many_roles_in_all(self.limits.max_roles).into();
        }
        Verdict::Store(Change::Role { channel_name: channel_name.clone(), subject, role: given })
    }

    /// Returns the sender of a message, with its address if that is known now; or the answer, `None` in it if the message
    /// is to be read first.
    fn sender_of(
        &self,
        id: ConnectionId,
        channel_name: &ChannelName,
        message: u64,
    ) -> Result<(RoleSubject, Option<IpAddr>), Option<ErrorResponse>> {
        // It can be taken from an address that is not remembered any more.
        if let Some(subject) = self.moderation.sender_of(channel_name, message) {
            return Ok((subject.clone(), None));
        }
        let (log, target) = (self.log(channel_name), (channel_name.clone(), message));
        if !(log.first_id..=log.last_id).contains(&message) {
            return Err(Some(refusal::no_message(channel_name, message)));
        }
        match self.look_ups.found(&target, id) {
            None => Err(None),
            Some(None) => Err(Some(refusal::no_message(channel_name, message))),
            Some(Some(StoredMessage { account: Some(name), .. })) => Ok((RoleSubject::Account(name.clone()), None)),
            Some(Some(_)) => match self.senders.of(channel_name, message) {
                Some(ip) => Ok((RoleSubject::Address(of_subscriber(ip)), Some(ip))),
                None => Err(Some(refusal::sender_not_known(channel_name, message))),
            },
        }
    }

    /// Decides the first request of a connection, a SETTINGS that changes something, by what is known now.
    pub(super) fn decide_settings(
        &self,
        id: ConnectionId,
        channel_name: &ChannelName,
        members_only: Option<bool>,
        slow_mode: Option<u16>,
    ) -> Verdict {
        if let Err(error) = self.readable(id, channel_name) {
            return error.into();
        }
        if self.changes.contains(channel_name) {
            return Verdict::Wait(channel_name.clone());
        }
        let before = self.moderation.settings(channel_name);
        if !self.standing(id, channel_name).may(ChannelAction::Set, before) {
            return refusal::may_not_set(channel_name).into();
        }
        let entry = self.directory.get(channel_name);
        let is_kept = entry.is_some_and(|entry| entry.is_fixed() || entry.account().is_some());
        if members_only == Some(true) && !is_kept {
            return refusal::members_need_account(channel_name).into();
        }
        let settings = ChannelSettings {
            members_only: members_only.unwrap_or(before.members_only),
            slow_mode: slow_mode.unwrap_or(before.slow_mode),
        };
        if settings == before {
            return Verdict::Answer(self.shown_settings(id, channel_name, settings).into());
        }
        Verdict::Store(Change::Settings { channel_name: channel_name.clone(), settings })
    }

    /// Answers a SETTINGS that changes nothing.
    pub(super) fn show_settings(&self, id: ConnectionId, channel_name: &ChannelName) -> Response {
        match self.readable(id, channel_name) {
            Ok(_) => self.shown_settings(id, channel_name, self.moderation.settings(channel_name)),
            Err(error) => Response::Error(error),
        }
    }

    /// Returns the answer to SETTINGS where these are in force: with the roles, for one who may give some.
    pub(super) fn shown_settings(
        &self,
        id: ConnectionId,
        channel_name: &ChannelName,
        settings: ChannelSettings,
    ) -> Response {
        let shows_roles = self.standing(id, channel_name).may(ChannelAction::ShowRoles, settings);
        let roles = if shows_roles { self.moderation.listed(channel_name, self.now) } else { Vec::new() };
        Response::Settings { channel_name: channel_name.clone(), settings, roles }
    }

    /// Ends the roles whose time has come.
    pub(super) fn end_roles(&mut self, now: Time) {
        for (channel_name, subject) in self.moderation.end_some(now) {
            self.role_changed(&channel_name, &subject);
        }
    }

    /// Replaces what is known of a channel's moderation by what the store has, after a commit whose outcome was unknown.
    /// Returns what is another.
    pub(super) fn changed_moderation(&self, channel_name: &ChannelName, before: &Moderated) -> Vec<Moderating> {
        let empty = Moderated::default();
        let after = self.moderation.get(channel_name).unwrap_or(&empty);
        let (settings, subjects) = before.differences(after);
        let settings = settings.then(|| Moderating::Settings(channel_name.clone()));
        let roles = subjects.into_iter().map(|subject| Moderating::Role(channel_name.clone(), subject));
        settings.into_iter().chain(roles).collect()
    }

    /// Carries out what follows from a change of moderation that is known to be stored.
    pub(super) fn moderated_now(&mut self, change: Moderating) {
        match change {
            Moderating::Role(channel_name, subject) => self.role_changed(&channel_name, &subject),
            Moderating::Settings(channel_name) => self.settings_changed(&channel_name),
        }
    }

    /// Ends the joins of those who may not read a channel any more now that the role of a subject is another, and notifies
    /// the others whose role that is.
    fn role_changed(&mut self, channel_name: &ChannelName, subject: &RoleSubject) {
        for id in self.joins.subscribers_of(channel_name) {
            let Some(connection) = self.connections.get(&id) else { continue };
            let is_it = match subject {
                RoleSubject::Account(name) => connection.account.as_ref() == Some(name),
                RoleSubject::Address(ip) => connection.address.map(of_subscriber) == Some(*ip),
            };
            if !is_it || self.end_if_unreadable(id, channel_name) {
                continue;
            }
            let notices = self.connections.get(&id).is_some_and(|connection| connection.notices && !connection.closed);
            if notices {
                let given = self.role_of(id, channel_name);
                let (role, until) = (given.map(|given| given.role), given.and_then(|given| given.until));
                let notice = Notice::Role { channel_name: channel_name.clone(), role, until };
                self.effects.notify([id].into(), Arc::new(notice));
            }
        }
    }

    /// Ends the joins of those who may not read a channel any more by its new settings, and notifies the others.
    fn settings_changed(&mut self, channel_name: &ChannelName) {
        let settings = self.moderation.settings(channel_name);
        let mut to = self.joins.subscribers_of(channel_name);
        to.retain(|id| !self.end_if_unreadable(*id, channel_name));
        to.retain(|id| self.connections.get(id).is_some_and(|connection| connection.notices && !connection.closed));
        self.effects.notify(to, Arc::new(Notice::Settings { channel_name: channel_name.clone(), settings }));
    }

    /// Ends a connection that has joined what it may not read as the account that it has signed in to.
    pub(super) fn end_if_joined_unreadable(&mut self, id: ConnectionId) {
        let joined: Vec<ChannelName> = self.joins.channels_of(id).cloned().collect();
        joined.iter().any(|channel_name| self.end_if_unreadable(id, channel_name));
    }

    /// Ends a connection that has joined a channel which it may not read any more. Returns whether it does.
    fn end_if_unreadable(&mut self, id: ConnectionId, channel_name: &ChannelName) -> bool {
        let ends = self.refuse_to_read(id, channel_name).is_some();
        if ends {
            self.revoke(id, refusal::no_longer_readable(channel_name));
        }
        ends
    }

    /// Ends a connection whose rights have changed.
    pub(super) fn revoke(&mut self, id: ConnectionId, error: ErrorResponse) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.closed || connection.is_revoked {
            return;
        }
        connection.is_revoked = true;
        self.joins.remove_subscriber(id);
        self.effects.send(id, ServerCommand::Revoke(error));
    }
}
