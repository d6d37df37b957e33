//! A store in memory that can fail in every way in which a store can: it loses a commit, or keeps it and does not say so.

use std::collections::BTreeMap;

use chanwire_core::{
    hub::{ChannelLog, ChannelRecord, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{StoredMessage, Timestamp},
};

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// The directory, by name and not by age: the order of creation must not depend on the order of a snapshot.
    channels: BTreeMap<String, ChannelRecord>,
    messages: BTreeMap<String, Vec<StoredMessage>>,
    /// How many commits it has kept.
    pub commits: usize,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out.
    Done,
    /// It fails, and nothing of it is kept.
    Lost,
    /// It fails as far as anybody is told, and a commit is kept all the same.
    Denied,
}

impl Disk {
    /// Carries out a command, or not.
    ///
    /// # Panics
    ///
    /// If a commit that is kept breaks a law of what is stored: ids are dense in their channel, timestamps never run
    /// back, a channel keeps its place in the order of creation, and no two have one place.
    pub fn carry_out(&mut self, command: &StoreCommand, fate: Fate) -> StoreOutcome {
        match (command, fate) {
            (_, Fate::Lost) | (StoreCommand::Load, Fate::Denied) => StoreOutcome::Failed,
            (StoreCommand::Load, Fate::Done) => StoreOutcome::Loaded(self.snapshot()),
            (StoreCommand::Commit(writes), _) => {
                writes.iter().for_each(|write| self.keep(write));
                self.commits += 1;
                if fate == Fate::Done { StoreOutcome::Committed } else { StoreOutcome::Failed }
            }
        }
    }

    fn keep(&mut self, write: &Write) {
        match write {
            Write::PutChannel(record) => {
                let name = &record.channel.channel_name;
                if let Some(before) = self.channels.get(name) {
                    assert_eq!(before.position, record.position, "'{name}' changes its place in the order of creation");
                } else {
                    let last = self.channels.values().map(|other| other.position).max();
                    assert!(last < Some(record.position), "'{name}' is new and does not come last");
                }
                self.channels.insert(name.clone(), record.clone());
            }
            Write::Append(message) => {
                let name = &message.channel_name;
                assert_eq!(message.id, self.last_id(name) + 1, "the id in '{name}'");
                assert!(Some(message.timestamp) >= self.last_timestamp(name), "a time in '{name}' runs back");
                self.messages.entry(name.clone()).or_default().push(message.clone());
            }
        }
    }

    /// What a hub that starts over this store is given.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let log = |(name, messages): (&String, &Vec<StoredMessage>)| {
            let last = messages.last()?;
            Some(ChannelLog { channel_name: name.clone(), last_id: last.id, last_timestamp: last.timestamp })
        };
        Snapshot {
            channels: self.channels.values().cloned().collect(),
            logs: self.messages.iter().filter_map(log).collect(),
        }
    }

    /// The directory's entry of this name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&ChannelRecord> {
        self.channels.get(name)
    }

    /// The messages of a channel.
    #[must_use]
    pub fn messages(&self, name: &str) -> &[StoredMessage] {
        self.messages.get(name).map_or(&[], Vec::as_slice)
    }

    /// The message that says this, in whichever channel it is.
    #[must_use]
    pub fn find(&self, content: &str) -> Option<&StoredMessage> {
        self.messages.values().flatten().find(|message| message.message_content == content)
    }

    /// The last id that was given in a channel; 0 if none was.
    #[must_use]
    pub fn last_id(&self, name: &str) -> u64 {
        self.messages(name).last().map_or(0, |message| message.id)
    }

    /// The time of the last message in a channel.
    #[must_use]
    pub fn last_timestamp(&self, name: &str) -> Option<Timestamp> {
        self.messages(name).last().map(|message| message.timestamp)
    }
}
