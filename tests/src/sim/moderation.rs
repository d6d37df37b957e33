//! The roles and settings of a run, and what they allow.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use chanwire_core::{
    Time,
    hub::{GivenRole, ModerationRecord, Moment, RoleSubject, Write},
    rights::{ChannelAction, Standing},
    wire::{AccountName, ChannelName, ChannelSettings, Role, Timestamp},
};

use crate::hub_model::of_subscriber;

/// All roles and settings that were stored, oldest first, and the clock by which roles end.
#[derive(Debug)]
pub(super) struct Moderation {
    versions: Vec<Version>,
    /// The number of the latest that the hub knows to be stored.
    known: usize,
    /// The start of the server.
    origin: Moment,
}

/// The roles and settings of all channels at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Version(BTreeMap<ChannelName, ModerationRecord>);

/// Those who ask, and the versions and the time by which they may have been decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) account: Option<&'a AccountName>,
    pub(super) ip: Option<IpAddr>,
    /// Whether it may have been the channel's host, and whether it may have been not.
    pub(super) host: (bool, bool),
    /// The number of the first version.
    pub(super) version: usize,
    pub(super) from: Time,
    pub(super) to: Time,
}

impl Moderation {
    pub(super) fn new() -> Self {
        Self { versions: vec![Version::default()], known: 0, origin: Moment::default() }
    }

    /// Notes that a server starts, which reads all that is stored.
    pub(super) fn restarted(&mut self, at: Moment) {
        (self.origin, self.known) = (at, self.latest());
    }

    /// Notes that a hub knows all that is stored.
    pub(super) fn learn(&mut self) {
        self.known = self.latest();
    }

    pub(super) const fn latest(&self) -> usize {
        self.versions.len() - 1
    }

    /// Returns the number of the latest version that the hub knows.
    pub(super) const fn known(&self) -> usize {
        self.known
    }

    pub(super) fn last(&self) -> &Version {
        match self.versions.last() {
            Some(version) => version,
            None => unreachable!("the first version is always there"),
        }
    }

    /// Notes a durable write.
    pub(super) fn write(&mut self, write: &Write) {
        let mut version = self.last().clone();
        version.write(write);
        self.versions.push(version);
    }

    /// Returns the time of a wall time of this life of the server.
    fn time_at(&self, until: Timestamp) -> Time {
        let seconds = until.as_unix().saturating_sub(self.origin.wall.as_unix());
        self.origin.time.after(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Returns the wall time at which a role ends that is given at a time for so many seconds.
    pub(super) fn until(&self, at: Time, seconds: u32) -> Timestamp {
        let passed = at.after(Duration::from_secs(seconds.into())).since(self.origin.time).as_millis().div_ceil(1000);
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        Timestamp::from_unix(self.origin.wall.as_unix().saturating_add(passed))
    }

    /// Returns whether a role is in force at a time.
    pub(super) fn is_in_force(&self, given: &GivenRole, at: Time) -> bool {
        given.until.is_none_or(|until| self.time_at(until) > at)
    }

    /// Returns the standings that one who asks may have, each with the settings.
    fn standings(&self, name: &ChannelName, asking: Asking<'_>) -> Vec<(Standing, ChannelSettings)> {
        let mut standings = Vec::new();
        let versions = self.versions.get(asking.version..).unwrap_or_default();
        let all = versions.iter().filter_map(|version| version.0.get(name)).flat_map(|record| &record.roles);
        let ends = all.filter_map(|(_, given)| given.until).map(|until| self.time_at(until));
        let times: BTreeSet<Time> =
            ends.filter(|end| (asking.from..=asking.to).contains(end)).chain([asking.from, asking.to]).collect();
        for version in versions {
            let settings = version.settings(name);
            if asking.host.0 {
                standings.push((Standing::Host, settings));
            }
            for time in times.iter().filter(|_| asking.host.1) {
                let role = self.role_of(version, name, asking, *time).map(|given| Standing::Role(given.role));
                standings.push((role.unwrap_or(Standing::Other), settings));
            }
        }
        standings
    }

    /// Returns the role of one who asks, of its account or else of its address.
    fn role_of<'a>(
        &self,
        version: &'a Version,
        name: &ChannelName,
        asking: Asking<'_>,
        time: Time,
    ) -> Option<&'a GivenRole> {
        let of = |subject: RoleSubject| version.role(name, &subject).filter(|given| self.is_in_force(given, time));
        let of_account = asking.account.and_then(|account| of(RoleSubject::Account(account.clone())));
        of_account.or_else(|| of(RoleSubject::Address(of_subscriber(asking.ip?))))
    }

    /// Returns whether it was allowed at some moment.
    pub(super) fn is_allowed(&self, action: ChannelAction, name: &ChannelName, asking: Asking<'_>) -> bool {
        self.standings(name, asking).into_iter().any(|(standing, settings)| standing.may(action, settings))
    }

    /// Returns whether it was not allowed at some moment.
    pub(super) fn is_refused(&self, action: ChannelAction, name: &ChannelName, asking: Asking<'_>) -> bool {
        self.standings(name, asking).into_iter().any(|(standing, settings)| !standing.may(action, settings))
    }

    /// Returns whether these were the settings at some moment since a version.
    pub(super) fn were_settings(&self, name: &str, settings: ChannelSettings, from: usize) -> bool {
        let mut versions = self.versions.get(from..).unwrap_or_default().iter();
        versions.any(|version| version.settings(name) == settings)
    }

    /// Returns the least and the most seconds between two messages since a version.
    pub(super) fn slow_mode(&self, name: &str, from: usize) -> (u16, u16) {
        let versions = self.versions.get(from..).unwrap_or_default();
        let seconds = || versions.iter().map(|version| version.settings(name).slow_mode);
        (seconds().min().unwrap_or(0), seconds().max().unwrap_or(0))
    }

    /// Returns whether one who asks may have been told of this role at some moment.
    pub(super) fn was_role(
        &self,
        name: &ChannelName,
        role: Option<Role>,
        until: Option<Timestamp>,
        asking: Asking<'_>,
    ) -> bool {
        let versions = self.versions.get(asking.version..).unwrap_or_default();
        versions.iter().any(|version| {
            let given = self.role_of(version, name, asking, asking.to);
            given.map(|given| given.role) == role && given.and_then(|given| given.until) == until
        })
    }
}

impl Version {
    fn write(&mut self, write: &Write) {
        let new = |name: &ChannelName| ModerationRecord::new(name.clone(), ChannelSettings::default());
        match write {
            Write::SetRole { channel_name: name, subject, role } => {
                self.0.entry(name.clone()).or_insert_with(|| new(name)).set_role(subject, *role);
            }
            Write::SetSettings { channel_name: name, settings } => {
                self.0.entry(name.clone()).or_insert_with(|| new(name)).settings = *settings;
            }
            Write::DropModeration(name) => drop(self.0.remove(name)),
            _ => {}
        }
    }

    pub(super) fn settings(&self, name: &str) -> ChannelSettings {
        self.0.get(name).map(|record| record.settings).unwrap_or_default()
    }

    pub(super) fn role(&self, name: &str, subject: &RoleSubject) -> Option<&GivenRole> {
        let roles = &self.0.get(name)?.roles;
        roles.iter().find(|(other, _)| other == subject).map(|(_, given)| given)
    }

    /// Returns the names that have roles or settings.
    pub(super) fn records(&self) -> impl Iterator<Item = &ModerationRecord> {
        self.0.values()
    }
}
