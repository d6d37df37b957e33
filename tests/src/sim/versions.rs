//! The history of the stored channel directory during a run.

use chanwire_core::{
    hub::{ChannelRecord, Snapshot},
    wire::{Address, ChannelName, encode_channels},
};

use super::plan;

/// Every version of the stored channel directory, oldest first. The first one is empty.
#[derive(Debug)]
pub(super) struct Versions(Vec<Version>);

/// The channel directory at one moment.
#[derive(Debug)]
pub(super) struct Version {
    /// The channels in order of creation.
    records: Vec<ChannelRecord>,
    /// The payload of the response to LIST.
    pub(super) listed: Vec<u8>,
}

impl Default for Versions {
    fn default() -> Self {
        Self(vec![Version::new(Vec::new())])
    }
}

impl Versions {
    pub(super) fn push(&mut self, stored: Snapshot) {
        self.0.push(Version::new(stored.channels));
    }

    /// Returns the number of the last version.
    pub(super) const fn latest(&self) -> usize {
        self.0.len() - 1
    }

    pub(super) fn last(&self) -> &Version {
        match self.0.last() {
            Some(version) => version,
            None => unreachable!("the first version is always there"),
        }
    }

    /// Returns the number of the first version from `from` that satisfies the predicate.
    pub(super) fn find(&self, from: usize, predicate: impl Fn(&Version) -> bool) -> Option<usize> {
        self.0.iter().enumerate().skip(from).find(|(_, version)| predicate(version)).map(|(number, _)| number)
    }
}

impl Version {
    fn new(mut records: Vec<ChannelRecord>) -> Self {
        records.sort_by_key(|record| record.position);
        let mut listed = Vec::new();
        encode_channels(records.iter().map(|record| &record.channel), &mut listed);
        Self { records, listed }
    }

    pub(super) fn record(&self, name: &str) -> Option<&ChannelRecord> {
        self.records.iter().find(|record| record.channel.channel_name == name)
    }

    /// Returns whether a channel of this name is registered at a local address of this server.
    pub(super) fn lives_here(&self, name: &str) -> bool {
        self.record(name).is_some_and(|record| plan::lives_here(&record.channel))
    }

    /// Returns the names of the channels.
    pub(super) fn names(&self) -> impl Iterator<Item = &ChannelName> {
        self.records.iter().map(|record| &record.channel.channel_name)
    }

    /// Returns the channels in order of creation.
    pub(super) fn records(&self) -> &[ChannelRecord] {
        &self.records
    }

    /// Returns whether a channel of this name is registered at this address.
    pub(super) fn hosts_at(&self, name: &str, address: &Address) -> bool {
        self.record(name).is_some_and(|record| record.channel.address.same_place(address))
    }

    /// Returns the number of channels registered at a local address of this listener.
    pub(super) fn living_at(&self, listener: usize) -> usize {
        self.records.iter().filter(|record| plan::lives_at(listener, &record.channel)).count()
    }
}
