//! A store in memory that fails as a store can: it loses a commit, keeps one that it reports as failed, or refuses it.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use chanwire_core::{
    hub::{
        ChannelLog, ChannelRecord, MAX_COMMIT, ModerationRecord, Query, ReleasedChannel, SendRecord, Snapshot,
        StoreCommand, StoreOutcome, Write,
    },
    wire::{AccountName, ChannelName, ChannelSettings, HistoryRange, StoredMessage, Timestamp},
};

/// The content of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// The directory, by name and not by age: the order of creation must not depend on the order of a snapshot.
    channels: BTreeMap<ChannelName, ChannelRecord>,
    /// Every message that was ever stored. Those below the channel's first id are kept for the tests alone.
    messages: BTreeMap<ChannelName, Vec<StoredMessage>>,
    /// The accounts that names belong to. Each of these names has messages, be they none.
    owners: BTreeMap<ChannelName, AccountName>,
    /// The keys of all messages whose names are not dropped, in the order of the commits.
    sends: Vec<SendRecord>,
    /// The roles and settings of names.
    moderation: BTreeMap<ChannelName, ModerationRecord>,
    /// The channels that are kept for their hosts.
    released: BTreeMap<ChannelName, ReleasedChannel>,
    /// The messages of dropped names, for the tests alone.
    dropped: Vec<StoredMessage>,
    /// The deleted messages as they were, for the tests alone.
    originals: BTreeMap<(ChannelName, u64), StoredMessage>,
    /// The time when each name was last taken off the list, or had a message dropped.
    since: BTreeMap<ChannelName, Timestamp>,
    /// The wall time as the store sees it.
    pub wall: Timestamp,
    /// The first id that retention has left, for each channel from which it has dropped messages.
    first_ids: BTreeMap<ChannelName, u64>,
    /// The number of commits that it has kept.
    pub commits: usize,
}

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out.
    Done,
    /// It fails, and nothing of it is kept.
    Lost,
    /// It is reported as failed, and a commit is kept all the same.
    Denied,
    /// A commit is refused before it begins; a load fails.
    Refused,
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
            (StoreCommand::Commit(_), Fate::Refused) => StoreOutcome::Refused,
            (_, Fate::Lost) | (StoreCommand::Load(_), Fate::Denied | Fate::Refused) => StoreOutcome::Failed,
            (StoreCommand::Load(names), Fate::Done) => {
                let Snapshot { mut channels, mut released, mut logs, mut moderation, sends, damaged } = self.snapshot();
                moderation.retain(|record| names.contains(&record.channel_name));
                released.retain(|released| names.contains(&released.record.channel.channel_name));
                channels.retain(|record| names.contains(&record.channel.channel_name));
                logs.retain(|log| names.contains(&log.channel_name));
                let sends = sends.iter().skip(sends.len().saturating_sub(MAX_COMMIT));
                let sends = sends.filter(|send| names.contains(&send.channel_name)).cloned().collect();
                StoreOutcome::Loaded(Snapshot { channels, released, logs, moderation, sends, damaged })
            }
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
                let released = self.released.remove(name).map(|released| released.record);
                if let Some(before) = self.channels.get(name).or(released.as_ref()) {
                    assert_eq!(before.position, record.position, "'{name}' changes its place in the order of creation");
                } else {
                    let others = self.channels.values().chain(self.released.values().map(|released| &released.record));
                    let last = others.map(|other| other.position).max();
                    assert!(last < Some(record.position), "'{name}' is new and does not come last");
                }
                self.channels.insert(name.clone(), record.clone());
                match &record.account {
                    Some(account) => {
                        self.owners.insert(name.clone(), account.clone());
                        self.messages.entry(name.clone()).or_default();
                    }
                    None => drop(self.owners.remove(name)),
                }
            }
            Write::RemoveChannel(name) => {
                self.channels.remove(name);
                self.released.remove(name);
                self.since.insert(name.clone(), self.wall);
            }
            Write::ReleaseChannel { channel_name, until } => {
                let record = self.channels.remove(channel_name);
                let Some(record) = record else { panic!("'{channel_name}' is released, and not listed") };
                self.released.insert(channel_name.clone(), ReleasedChannel { record, until: *until });
                self.since.insert(channel_name.clone(), self.wall);
            }
            Write::SetRole { channel_name, subject, role } => self.moderated(channel_name).set_role(subject, *role),
            Write::SetSettings { channel_name, settings } => self.moderated(channel_name).settings = *settings,
            Write::DropModeration(name) => {
                assert!(!self.owners.contains_key(name), "'{name}' loses its roles, and is an account's");
                self.moderation.remove(name);
            }
            Write::DropName(name) => {
                self.moderation.remove(name);
                let listed = self.channels.contains_key(name) || self.released.contains_key(name);
                assert!(!listed, "'{name}' is forgotten, and listed or kept for its host");
                assert!(!self.owners.contains_key(name), "'{name}' is forgotten, and an account's");
                assert!(self.first_id(name) > self.last_id(name), "'{name}' is forgotten, and keeps messages");
                self.dropped.extend(self.messages.remove(name).unwrap_or_default());
                self.dropped.extend(self.originals.extract_if(.., |(of, _), _| of == name).map(|(_, message)| message));
                self.sends.retain(|send| send.channel_name != *name);
                self.first_ids.remove(name);
                self.since.remove(name);
            }
            Write::Append { message, send_key } => {
                self.sends.extend(send_key.clone().map(|key| SendRecord::new(message, key)));
                let name = &message.channel_name;
                assert_eq!(message.id, self.last_id(name) + 1, "the id in '{name}'");
                assert!(Some(message.timestamp) >= self.last_timestamp(name), "a time in '{name}' runs back");
                self.messages.entry(name.clone()).or_default().push(message.clone());
            }
            Write::Delete { tombstone, record } => {
                let (name, id) = (&tombstone.channel_name, tombstone.id);
                let deleted = self.messages.get_mut(name).and_then(|stored| stored.iter_mut().find(|one| one.id == id));
                let Some(deleted) = deleted else {
                    panic!("message {id} of '{name}' is deleted, and never was stored")
                };
                let original = std::mem::replace(deleted, tombstone.clone());
                assert!(!original.deleted && original.deletes.is_none(), "{original:?} is deleted");
                assert_eq!(*tombstone, original.clone().tombstone(), "what is left of {original:?}");
                self.originals.insert((name.clone(), id), original);
                let is_its = |send: &&mut SendRecord| send.channel_name == *name && send.id == id;
                self.sends.iter_mut().filter(is_its).for_each(|send| send.key.digest = 0);
                assert_eq!(record.deletes, Some(id), "{record:?}");
                self.keep(&Write::from(record.clone()));
            }
        }
    }

    fn moderated(&mut self, name: &ChannelName) -> &mut ModerationRecord {
        self.messages.entry(name.clone()).or_default();
        let new = || ModerationRecord::new(name.clone(), ChannelSettings::default());
        self.moderation.entry(name.clone()).or_insert_with(new)
    }

    /// Returns the roles and settings of this name.
    #[must_use]
    pub fn moderation(&self, name: &str) -> Option<&ModerationRecord> {
        self.moderation.get(name)
    }

    /// Returns the names that have roles or settings.
    pub fn moderated_names(&self) -> impl Iterator<Item = &str> {
        self.moderation.keys().map(ChannelName::as_str)
    }

    /// Returns the keys of the messages whose names are not dropped.
    #[must_use]
    pub fn sends(&self) -> &[SendRecord] {
        &self.sends
    }

    /// Returns a deleted message of this channel as it was.
    #[must_use]
    pub fn original(&self, name: &ChannelName, id: u64) -> Option<&StoredMessage> {
        self.originals.get(&(name.clone(), id))
    }

    /// Returns the snapshot that a hub starts from over this store.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let log = |(name, messages): (&ChannelName, &Vec<StoredMessage>)| {
            let (last, account) = (messages.last(), self.owners.get(name).cloned());
            let is_moderated = self.moderation.contains_key(name);
            (last.is_some() || account.is_some() || is_moderated).then(|| ChannelLog {
                channel_name: name.clone(),
                last_id: last.map_or(0, |last| last.id),
                first_id: self.first_id(name),
                last_timestamp: last.map_or_else(Timestamp::default, |last| last.timestamp),
                since: self.since.get(name).copied().unwrap_or_default(),
                account,
            })
        };
        Snapshot {
            channels: self.channels.values().cloned().collect(),
            released: self.released.values().cloned().collect(),
            logs: self.messages.iter().filter_map(log).collect(),
            moderation: self.moderation.values().cloned().collect(),
            sends: self.sends.clone(),
            damaged: Vec::new(),
        }
    }

    /// Returns the channel of this name that is kept for its host.
    #[must_use]
    pub fn released(&self, name: &str) -> Option<&ReleasedChannel> {
        self.released.get(name)
    }

    /// Returns the account that this name belongs to.
    #[must_use]
    pub fn owner(&self, name: &str) -> Option<&AccountName> {
        self.owners.get(name)
    }

    /// Returns the directory's entry of this name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&ChannelRecord> {
        self.channels.get(name)
    }

    /// Returns the messages that were ever stored in a channel.
    #[must_use]
    pub fn messages(&self, name: &str) -> &[StoredMessage] {
        self.messages.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the message of this content, in any channel.
    #[must_use]
    pub fn find(&self, content: &str) -> Option<&StoredMessage> {
        let stored = self.messages.values().flatten().chain(&self.dropped).chain(self.originals.values());
        stored.into_iter().find(|message| message.message_content == content)
    }

    /// Returns the last id that was assigned in a channel; 0 if none was.
    #[must_use]
    pub fn last_id(&self, name: &str) -> u64 {
        self.messages(name).last().map_or(0, |message| message.id)
    }

    /// Returns the id of the oldest message that is kept; one more than the last if none is.
    #[must_use]
    pub fn first_id(&self, name: &str) -> u64 {
        self.first_ids.get(name).copied().unwrap_or(1)
    }

    /// Returns the time of the last message in a channel.
    #[must_use]
    pub fn last_timestamp(&self, name: &str) -> Option<Timestamp> {
        self.messages(name).last().map(|message| message.timestamp)
    }

    /// Drops the messages below this id, as retention does.
    pub fn trim(&mut self, name: &ChannelName, first_id: u64) {
        let first_id = first_id.clamp(self.first_id(name), self.last_id(name) + 1);
        if first_id > self.first_id(name) {
            self.since.insert(name.clone(), self.wall);
        }
        self.first_ids.insert(name.clone(), first_id);
    }

    /// Reads as few messages as a read may stop after.
    #[must_use]
    pub fn read(&self, query: &Query) -> Vec<StoredMessage> {
        let first = self.first_id(&query.channel_name);
        let kept = self.messages(&query.channel_name).iter().filter(|message| message.id >= first);
        let within = |message: &&StoredMessage| match query.range {
            HistoryRange::Last => true,
            HistoryRange::After(id) => message.id > id,
            HistoryRange::Before(id) => message.id < id,
        };
        let mut found: Vec<&StoredMessage> = kept.filter(within).collect();
        let newest = !matches!(query.range, HistoryRange::After(_));
        if newest {
            found.reverse();
        }
        let mut bytes = 0;
        let enough = |message: &&StoredMessage| {
            let more = bytes < query.max_bytes;
            bytes += message.username.len() + message.message_content.len();
            more
        };
        let mut found: Vec<StoredMessage> = found.into_iter().take(query.limit).take_while(enough).cloned().collect();
        if newest {
            found.reverse();
        }
        found
    }
}
