//! An engine that keeps its store in memory, for tests: a server runs on it as on any other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chanwire_core::{
    hub::{
        ChannelLog, ChannelRecord, MAX_COMMIT, ModerationRecord, Query, ReadId, ReleasedChannel, SendRecord, Snapshot,
        StoreCommand, StoreOutcome, Write,
    },
    wire::{AccountName, ChannelName, ChannelSettings, HistoryRange, StoredMessage, Timestamp},
};

use super::{
    Retention, StoreError, StoreStatus,
    engine::{Done, DoneSender, Engine, RunningEngine, Storage},
};
use crate::supervisor::Supervisor;

/// The stored state, which outlives the engine.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    channels: BTreeMap<ChannelName, ChannelRecord>,
    released: BTreeMap<ChannelName, ReleasedChannel>,
    messages: BTreeMap<ChannelName, Vec<StoredMessage>>,
    /// The accounts that names belong to. Each of these names has messages, be they none.
    owners: BTreeMap<ChannelName, AccountName>,
    sends: Vec<SendRecord>,
    /// Roles and settings. Each of these names has messages, be they none.
    moderation: BTreeMap<ChannelName, ModerationRecord>,
    is_closed: bool,
}

/// An engine over a [`Memory`].
pub(crate) struct MemoryEngine(pub(crate) Memory);

struct RunningMemory {
    memory: Memory,
    done: DoneSender,
}

impl Memory {
    /// Whether the engine that used it last was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// Returns the state of the wanted names. Of the keys, only the last `max_sends` are looked at.
    fn snapshot(&self, max_sends: usize, is_wanted: impl Fn(&ChannelName) -> bool) -> Snapshot {
        let sends = self.sends.iter().skip(self.sends.len().saturating_sub(max_sends));
        let log = |(name, messages): (&ChannelName, &Vec<StoredMessage>)| ChannelLog {
            channel_name: name.clone(),
            last_id: messages.len() as u64,
            first_id: 1,
            last_timestamp: messages.last().map_or_else(Timestamp::default, |message| message.timestamp),
            since: Timestamp::default(),
            account: self.owners.get(name).cloned(),
        };
        Snapshot {
            channels: self.channels.values().filter(|one| is_wanted(&one.channel.channel_name)).cloned().collect(),
            released: self
                .released
                .values()
                .filter(|one| is_wanted(&one.record.channel.channel_name))
                .cloned()
                .collect(),
            logs: self.messages.iter().filter(|(name, _)| is_wanted(name)).map(log).collect(),
            moderation: self.moderation.values().filter(|one| is_wanted(&one.channel_name)).cloned().collect(),
            sends: sends.filter(|send| is_wanted(&send.channel_name)).cloned().collect(),
            damaged: Vec::new(),
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::PutChannel(record) => {
                let name = &record.channel.channel_name;
                self.released.remove(name);
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
            }
            Write::ReleaseChannel { channel_name, until } => {
                let released =
                    self.channels.remove(channel_name).map(|record| ReleasedChannel { record, until: *until });
                self.released.extend(released.map(|released| (channel_name.clone(), released)));
            }
            Write::SetRole { channel_name, subject, role } => {
                self.moderated(channel_name).set_role(subject, *role);
            }
            Write::SetSettings { channel_name, settings } => self.moderated(channel_name).settings = *settings,
            Write::DropModeration(name) => drop(self.moderation.remove(name)),
            Write::DropName(name) => {
                self.moderation.remove(name);
                self.messages.remove(name);
                self.sends.retain(|send| send.channel_name != *name);
            }
            Write::Append { message, send_key } => {
                self.sends.extend(send_key.clone().map(|key| SendRecord::new(message, key)));
                self.messages.entry(message.channel_name.clone()).or_default().push(message.clone());
            }
            Write::Delete { tombstone, record } => {
                let is_its =
                    |send: &&mut SendRecord| send.channel_name == tombstone.channel_name && send.id == tombstone.id;
                self.sends.iter_mut().filter(is_its).for_each(|send| send.key.digest = 0);
                let messages = self.messages.entry(tombstone.channel_name.clone()).or_default();
                messages.iter_mut().filter(|one| one.id == tombstone.id).for_each(|one| *one = tombstone.clone());
                messages.push(record.clone());
            }
        }
    }

    fn moderated(&mut self, channel_name: &ChannelName) -> &mut ModerationRecord {
        self.messages.entry(channel_name.clone()).or_default();
        let new = || ModerationRecord::new(channel_name.clone(), ChannelSettings::default());
        self.moderation.entry(channel_name.clone()).or_insert_with(new)
    }

    fn read(&self, query: &Query) -> Vec<StoredMessage> {
        let messages = self.messages.get(&query.channel_name).map_or(&[][..], Vec::as_slice);
        let wanted = messages.iter().filter(|message| match query.range {
            HistoryRange::After(id) => message.id > id,
            HistoryRange::Before(id) => message.id < id,
            HistoryRange::Last => true,
        });
        let skipped = match query.range {
            HistoryRange::After(_) => 0,
            _ => wanted.clone().count().saturating_sub(query.limit),
        };
        wanted.skip(skipped).take(query.limit).cloned().collect()
    }
}

impl Engine for MemoryEngine {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        Ok(self.0.lock().snapshot(usize::MAX, |_| true))
    }

    fn max_id(&self) -> u64 {
        u64::MAX
    }

    fn status(&self) -> Arc<StoreStatus> {
        Arc::default()
    }

    fn start(self: Box<Self>, done: DoneSender, _: &Supervisor) -> Result<Box<dyn RunningEngine>, StoreError> {
        self.0.lock().is_closed = false;
        Ok(Box::new(RunningMemory { memory: self.0, done }))
    }
}

impl Storage for RunningMemory {
    fn store(&mut self, command: StoreCommand) {
        let mut stored = self.memory.lock();
        let outcome = match command {
            StoreCommand::Commit(writes) => {
                writes.iter().for_each(|write| stored.write(write));
                StoreOutcome::Committed
            }
            StoreCommand::Load(names) => {
                StoreOutcome::Loaded(stored.snapshot(MAX_COMMIT, |name| names.iter().any(|one| one == name)))
            }
        };
        let _ = self.done.send(Done::Outcome(outcome));
    }

    fn read(&mut self, read: ReadId, query: Query) {
        let messages = self.memory.lock().read(&query);
        let _ = self.done.send(Done::Page(read, Some(query.found(messages))));
    }

    // It keeps everything.
    fn retain(&mut self, _: Retention) {}
}

impl RunningEngine for RunningMemory {
    fn close(self: Box<Self>) {
        self.memory.lock().is_closed = true;
    }
}
