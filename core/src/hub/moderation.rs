//! The roles and settings of channels.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::net::IpAddr;

use super::{GivenRole, ModerationRecord, Moment, RoleSubject, names::time_at};
use crate::{
    Time,
    admission::of_subscriber,
    wire::{AccountName, ChannelName, ChannelSettings, ListedRole, Role, RoleTarget},
};

/// Roles that end in one call.
const END_STEP: usize = 256;

/// The roles and settings of the channels that have any. They are as they are stored, but for roles that have ended:
/// these stay in the store until the next role is given in their channel.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    channels: BTreeMap<ChannelName, Moderated>,
    /// The ends of roles.
    ends: BTreeSet<(Time, ChannelName, RoleSubject)>,
    /// The number of roles, with those that have ended.
    count: usize,
}

/// The facts by which a client has a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) account: Option<&'a AccountName>,
    pub(super) address: Option<IpAddr>,
    /// Whether the address gives it more than restrictions.
    pub(super) has_address_rights: bool,
}

/// The roles and settings of one channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Moderated {
    settings: ChannelSettings,
    roles: BTreeMap<RoleSubject, HeldRole>,
    /// The subjects whose roles have ended, and are still in the store.
    ended: BTreeSet<RoleSubject>,
}

/// A role that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldRole {
    pub(super) given: GivenRole,
    /// The time of its end.
    ends: Option<Time>,
}

impl HeldRole {
    fn is_in_force(&self, now: Time) -> bool {
        self.ends.is_none_or(|end| end > now)
    }
}

impl Moderated {
    fn is_empty(&self) -> bool {
        self.settings == ChannelSettings::default() && self.roles.is_empty() && self.ended.is_empty()
    }

    fn len(&self) -> usize {
        self.roles.len() + self.ended.len()
    }

    /// Returns whether the settings, and which roles, are other ones than these.
    pub(super) fn differences(&self, other: &Self) -> (bool, Vec<RoleSubject>) {
        let subjects: BTreeSet<&RoleSubject> = self.roles.keys().chain(other.roles.keys()).collect();
        let is_other = |subject: &&RoleSubject| self.roles.get(*subject) != other.roles.get(*subject);
        (self.settings != other.settings, subjects.into_iter().filter(is_other).cloned().collect())
    }
}

impl Moderation {
    /// Returns the number of roles that are stored.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Returns whether anything is stored of a channel.
    pub(super) fn has(&self, channel_name: &ChannelName) -> bool {
        self.channels.contains_key(channel_name)
    }

    /// Returns the settings of a channel.
    pub(super) fn settings(&self, channel_name: &ChannelName) -> ChannelSettings {
        self.channels.get(channel_name).map(|channel| channel.settings).unwrap_or_default()
    }

    /// Returns the number of roles in a channel.
    pub(super) fn roles_in(&self, channel_name: &ChannelName) -> usize {
        self.channels.get(channel_name).map_or(0, |channel| channel.roles.len())
    }

    /// Returns the role of a subject.
    pub(super) fn role(&self, channel_name: &ChannelName, subject: &RoleSubject, now: Time) -> Option<GivenRole> {
        let held = self.channels.get(channel_name)?.roles.get(subject)?;
        held.is_in_force(now).then_some(held.given)
    }

    /// Returns the role of a client: that of its account, or else that of its address.
    pub(super) fn role_of(&self, channel_name: &ChannelName, client: Client<'_>, now: Time) -> Option<GivenRole> {
        let channel = self.channels.get(channel_name)?;
        let Client { account, address, has_address_rights } = client;
        let in_force = |subject: &RoleSubject| channel.roles.get(subject).filter(|held| held.is_in_force(now));
        let of_account = account.and_then(|name| in_force(&RoleSubject::Account(name.clone())));
        let of_address = || address.and_then(|ip| in_force(&RoleSubject::Address(of_subscriber(ip))));
        let counts = |held: &&HeldRole| has_address_rights || matches!(held.given.role, Role::Muted | Role::Banned);
        of_account.or_else(|| of_address().filter(counts)).map(|held| held.given)
    }

    /// Returns the subject that was named by a message.
    pub(super) fn sender_of(&self, channel_name: &ChannelName, id: u64) -> Option<&RoleSubject> {
        let mut roles = self.channels.get(channel_name)?.roles.iter();
        roles.find(|(_, held)| held.given.sender_of == Some(id)).map(|(subject, _)| subject)
    }

    /// Returns the roles of a channel as SETTINGS lists them: first those of accounts.
    pub(super) fn listed(&self, channel_name: &ChannelName, now: Time) -> Vec<ListedRole> {
        let roles = self.channels.get(channel_name).into_iter().flat_map(|channel| &channel.roles);
        let list = |(subject, held): (&RoleSubject, &HeldRole)| {
            let GivenRole { role, until, sender_of } = held.given;
            let target = match (subject, sender_of) {
                (_, Some(id)) => RoleTarget::SenderOf(id),
                (RoleSubject::Account(name), None) => RoleTarget::Account(name.clone()),
                (RoleSubject::Address(ip), None) => RoleTarget::Address(*ip),
            };
            ListedRole { target, role, until }
        };
        roles.filter(|(_, held)| held.is_in_force(now)).map(list).collect()
    }

    /// Returns the subjects of a channel whose roles have ended and are still stored.
    pub(super) fn ended(&self, channel_name: &ChannelName) -> impl Iterator<Item = &RoleSubject> {
        self.channels.get(channel_name).into_iter().flat_map(|channel| &channel.ended)
    }

    /// Sets a role as it is stored.
    pub(super) fn set_role(
        &mut self,
        channel_name: &ChannelName,
        subject: &RoleSubject,
        role: Option<GivenRole>,
        origin: Moment,
    ) {
        let channel = self.channels.entry(channel_name.clone()).or_default();
        self.count -= channel.len();
        channel.ended.remove(subject);
        let before = match role {
            Some(given) => {
                let ends = given.until.map(|until| time_at(origin, until));
                if let Some(end) = ends {
                    self.ends.insert((end, channel_name.clone(), subject.clone()));
                }
                channel.roles.insert(subject.clone(), HeldRole { given, ends }).filter(|before| before.ends != ends)
            }
            None => channel.roles.remove(subject),
        };
        if let Some(end) = before.and_then(|before| before.ends) {
            self.ends.remove(&(end, channel_name.clone(), subject.clone()));
        }
        self.count += channel.len();
        self.drop_if_empty(channel_name);
    }

    /// Sets the settings of a channel as they are stored.
    pub(super) fn set_settings(&mut self, channel_name: &ChannelName, settings: ChannelSettings) {
        self.channels.entry(channel_name.clone()).or_default().settings = settings;
        self.drop_if_empty(channel_name);
    }

    /// Takes what is known of a channel.
    pub(super) fn take(&mut self, channel_name: &ChannelName) -> Moderated {
        let Some(channel) = self.channels.remove(channel_name) else { return Moderated::default() };
        self.count -= channel.len();
        for (subject, held) in &channel.roles {
            if let Some(end) = held.ends {
                self.ends.remove(&(end, channel_name.clone(), subject.clone()));
            }
        }
        channel
    }

    /// Returns what is known of a channel.
    pub(super) fn get(&self, channel_name: &ChannelName) -> Option<&Moderated> {
        self.channels.get(channel_name)
    }

    /// Sets what the store has of a channel.
    pub(super) fn restore(&mut self, record: ModerationRecord, origin: Moment) {
        let ModerationRecord { channel_name, settings, roles } = record;
        self.take(&channel_name);
        self.set_settings(&channel_name, settings);
        for (subject, role) in roles {
            self.set_role(&channel_name, &subject, Some(role), origin);
        }
    }

    /// Returns the time at which the next role ends.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.ends.first().map(|(end, ..)| *end)
    }

    /// Ends some of the roles whose time has come. Returns their channels and subjects.
    pub(super) fn end_some(&mut self, now: Time) -> Vec<(ChannelName, RoleSubject)> {
        let mut ended = Vec::new();
        while ended.len() < END_STEP
            && let Some(first) = self.ends.first()
            && first.0 <= now
            && let Some((_, channel_name, subject)) = self.ends.pop_first()
        {
            if let Some(channel) = self.channels.get_mut(&channel_name) {
                channel.roles.remove(&subject);
                channel.ended.insert(subject.clone());
            }
            ended.push((channel_name, subject));
        }
        ended
    }

    fn drop_if_empty(&mut self, channel_name: &ChannelName) {
        if self.channels.get(channel_name).is_some_and(Moderated::is_empty) {
            self.channels.remove(channel_name);
        }
    }
}
