//! The history of the stored channel directory during a run.

use chanwire_core::{
    hub::{ChannelRecord, Snapshot},
    wire::{Address, ChannelName, ListedChannel, encode_channels},
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
        Self { records }
    }

    /// Returns the payload of the response to LIST of one who is shown these channels.
    pub(super) fn listed_to(&self, is_shown: &dyn Fn(&ChannelName) -> bool) -> Vec<u8> {
        let mut listed = Vec::new();
        let shown = self.records.iter().map(|record| &record.channel).filter(|channel| is_shown(&channel.channel_name));
        encode_channels(shown, &mut listed);
        listed
    }

    pub(super) fn record(&self, name: &str) -> Option<&ChannelRecord> {
        self.records.iter().find(|record| record.channel.channel_name == name)
    }

    /// Returns whether a channel of this name is registered at a local address of this server.
    pub(super) fn lives_here(&self, name: &str) -> bool {
        self.record(name).is_some_and(|record| plan::lives_here(&record.channel))
    }

    /// Returns whether this is the page of the channels after a position, at most so many, whose names contain a part, for
    /// one who is shown these channels.
    pub(super) fn is_page(
        &self,
        (after, limit, contains): (u64, usize, Option<&str>),
        page: &[ListedChannel],
        next: Option<u64>,
        is_shown: &dyn Fn(&ChannelName) -> bool,
    ) -> bool {
        let contains = contains.map(str::to_ascii_lowercase);
        let is_wanted = |record: &&ChannelRecord| {
            let name = record.channel.channel_name.to_ascii_lowercase();
            record.position >= after
                && contains.as_ref().is_none_or(|part| name.contains(part))
                && is_shown(&record.channel.channel_name)
        };
        let wanted = self.records.iter().filter(is_wanted).take(limit);
        let is_row = |(record, row): (&ChannelRecord, &ListedChannel)| {
            let lives_here = self.lives_here(&record.channel.channel_name);
            (&row.channel, row.position) == (&record.channel, record.position + 1)
                && (row.last_id.is_none() || lives_here)
                && row.activity.is_none()
        };
        let last = page.last().map(|row| row.position).filter(|_| page.len() == limit);
        let more = last.filter(|last| self.records.iter().any(|record| record.position >= *last));
        wanted.clone().count() == page.len() && wanted.zip(page).all(is_row) && next == more
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

    /// Returns the number of channels registered at a local address of this listener, of those that one is shown.
    pub(super) fn living_at(&self, listener: usize, is_shown: &dyn Fn(&ChannelName) -> bool) -> usize {
        let shown = self.records.iter().filter(|record| is_shown(&record.channel.channel_name));
        shown.filter(|record| plan::lives_at(listener, &record.channel)).count()
    }
}
