//! A store in memory with injectable failures.

use std::collections::{BTreeMap, VecDeque};

use chanwire_core::{
    Time,
    hub::{
        ChannelLog, ChannelRecord, MAX_COMMIT, ModerationRecord, Page, Query, ReadId, ReleasedChannel, SendRecord,
        Snapshot, StoreCommand, StoreOutcome, Write,
    },
    wire::{AccountName, ChannelName, ChannelSettings, HistoryRange, StoredMessage, Timestamp},
};
use serde::Serialize;

/// The most messages that a channel keeps; older ones are dropped first.
const MAX_MESSAGES: usize = 10_000;
const MAX_BYTES: usize = 4 << 20;

/// The behaviour of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreMode {
    /// Commands succeed.
    #[default]
    Works,
    /// The next commit fails, and then it works.
    FailsOnce,
    /// The next commit is stored but reported as failed; later ones succeed.
    FailsOnceButKeeps,
    /// Everything fails.
    Fails,
    /// Nothing is done until another mode is chosen.
    Stalls,
}

impl StoreMode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Works, Self::FailsOnce, Self::FailsOnceButKeeps, Self::Fails, Self::Stalls];

    /// Returns its name, here and in its serialized form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::FailsOnce => "fails-once",
            Self::FailsOnceButKeeps => "fails-once-but-keeps",
            Self::Fails => "fails",
            Self::Stalls => "stalls",
        }
    }
}

/// The stored data, and the jobs in progress.
#[derive(Debug, Default)]
pub(super) struct Store {
    mode: StoreMode,
    channels: BTreeMap<ChannelName, ChannelRecord>,
    released: BTreeMap<ChannelName, ReleasedChannel>,
    logs: BTreeMap<ChannelName, Log>,
    /// Roles and settings. Each of these names has a log.
    moderation: BTreeMap<ChannelName, ModerationRecord>,
    /// The keys of the last [`MAX_COMMIT`] messages that had one: all that the hub asks for, for it never starts again.
    sends: VecDeque<SendRecord>,
    jobs: VecDeque<(Time, Job)>,
}

#[derive(Debug)]
enum Job {
    Command(StoreCommand),
    Read(ReadId, Query),
}

/// The outcome of a job.
#[derive(Debug)]
pub(super) enum Done {
    Outcome(StoreOutcome),
    Page(ReadId, Page),
    /// The channel's messages below this id are gone.
    Trimmed(ChannelName, u64),
}

/// A channel's messages. Its last id outlives them.
#[derive(Debug, Default)]
struct Log {
    messages: VecDeque<StoredMessage>,
    bytes: usize,
    last_id: u64,
    last_timestamp: Timestamp,
    /// The account that the name belongs to.
    account: Option<AccountName>,
}

impl Store {
    pub(super) const fn mode(&self) -> StoreMode {
        self.mode
    }

    /// Sets the behaviour. If it no longer stalls, waiting jobs are done at once, or fail.
    pub(super) fn set_mode(&mut self, now: Time, mode: StoreMode) {
        if self.mode == StoreMode::Stalls {
            self.jobs.iter_mut().for_each(|(at, _)| *at = now.max(*at));
        }
        self.mode = mode;
    }

    /// Returns the number of jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn messages(&self) -> usize {
        self.logs.values().map(|log| log.messages.len()).sum()
    }

    /// Carries this out at `at`.
    pub(super) fn store(&mut self, at: Time, command: StoreCommand) {
        self.jobs.push_back((at, Job::Command(command)));
    }

    /// Reads this at `at`.
    pub(super) fn read(&mut self, at: Time, read: ReadId, query: Query) {
        self.jobs.push_back((at, Job::Read(read, query)));
    }

    /// Returns the time at which the next job will be done, if one will.
    pub(super) fn next_done(&self) -> Option<Time> {
        if self.mode == StoreMode::Stalls { None } else { self.jobs.iter().map(|(at, _)| *at).min() }
    }

    /// Does a job that is due, and says what came of it.
    pub(super) fn take_done(&mut self, now: Time) -> Vec<Done> {
        if self.mode == StoreMode::Stalls {
            return Vec::new();
        }
        let due = self.jobs.iter().position(|(at, _)| *at <= now);
        match due.and_then(|index| self.jobs.remove(index)) {
            None => Vec::new(),
            Some((_, Job::Command(command))) => self.carry_out(&command),
            Some((_, Job::Read(read, query))) => {
                let page = (self.mode != StoreMode::Fails).then(|| query.found(self.find(&query)));
                vec![Done::Page(read, page)]
            }
        }
    }

    fn carry_out(&mut self, command: &StoreCommand) -> Vec<Done> {
        let mut done = Vec::new();
        let outcome = match command {
            StoreCommand::Load(_) if self.mode == StoreMode::Fails => StoreOutcome::Failed,
            StoreCommand::Load(names) => StoreOutcome::Loaded(self.snapshot(names)),
            StoreCommand::Commit(writes) => {
                let mode = self.mode;
                if matches!(mode, StoreMode::Works | StoreMode::FailsOnceButKeeps) {
                    done.extend(writes.iter().filter_map(|write| self.keep(write)));
                }
                if matches!(mode, StoreMode::FailsOnce | StoreMode::FailsOnceButKeeps) {
                    self.mode = StoreMode::Works;
                }
                if mode == StoreMode::Works { StoreOutcome::Committed } else { StoreOutcome::Failed }
            }
        };
        done.insert(0, Done::Outcome(outcome));
        done
    }

    fn keep(&mut self, write: &Write) -> Option<Done> {
        match write {
            Write::PutChannel(record) => {
                let name = &record.channel.channel_name;
                self.released.remove(name);
                self.channels.insert(name.clone(), record.clone());
                match self.logs.get_mut(name) {
                    Some(log) => log.account.clone_from(&record.account),
                    None if record.account.is_none() => {}
                    None => self.logs.entry(name.clone()).or_default().account.clone_from(&record.account),
                }
                None
            }
            Write::RemoveChannel(name) => {
                self.channels.remove(name);
                self.released.remove(name);
                None
            }
            Write::ReleaseChannel { channel_name, until } => {
                let released =
                    self.channels.remove(channel_name).map(|record| ReleasedChannel { record, until: *until });
                self.released.extend(released.map(|released| (channel_name.clone(), released)));
                None
            }
            Write::SetRole { channel_name, subject, role } => {
                self.moderated(channel_name).set_role(subject, *role);
                None
            }
            Write::SetSettings { channel_name, settings } => {
                self.moderated(channel_name).settings = *settings;
                None
            }
            Write::DropModeration(name) => {
                self.moderation.remove(name);
                None
            }
            Write::DropName(name) => {
                self.moderation.remove(name);
                self.logs.remove(name);
                self.sends.retain(|send| send.channel_name != *name);
                None
            }
            Write::Append { message, send_key } => {
                self.sends.extend(send_key.clone().map(|key| SendRecord::new(message, key)));
                if self.sends.len() > MAX_COMMIT {
                    self.sends.pop_front();
                }
                let name = &message.channel_name;
                let log = self.logs.entry(name.clone()).or_default();
                log.append(message.clone());
                log.trim().then(|| Done::Trimmed(name.clone(), log.first_id()))
            }
            Write::Delete { tombstone, record } => {
                let name = &tombstone.channel_name;
                let is_its = |send: &&mut SendRecord| send.channel_name == *name && send.id == tombstone.id;
                self.sends.iter_mut().filter(is_its).for_each(|send| send.key.digest = 0);
                let log = self.logs.entry(name.clone()).or_default();
                log.delete(tombstone);
                log.append(record.clone());
                log.trim().then(|| Done::Trimmed(name.clone(), log.first_id()))
            }
        }
    }

    fn moderated(&mut self, channel_name: &ChannelName) -> &mut ModerationRecord {
        self.logs.entry(channel_name.clone()).or_default();
        let new = || ModerationRecord::new(channel_name.clone(), ChannelSettings::default());
        self.moderation.entry(channel_name.clone()).or_insert_with(new)
    }

    /// Returns the stored data of these names.
    fn snapshot(&self, names: &[ChannelName]) -> Snapshot {
        let log = |name: &ChannelName| {
            let log = self.logs.get(name)?;
            Some(ChannelLog {
                channel_name: name.clone(),
                last_id: log.last_id,
                first_id: log.first_id(),
                last_timestamp: log.last_timestamp,
                // The sandbox lives for less than it takes to forget a name.
                since: Timestamp::default(),
                account: log.account.clone(),
            })
        };
        let channels = names.iter().filter_map(|name| self.channels.get(name)).cloned().collect();
        let released = names.iter().filter_map(|name| self.released.get(name)).cloned().collect();
        let sends = self.sends.iter().filter(|send| names.contains(&send.channel_name)).cloned().collect();
        let moderation = names.iter().filter_map(|name| self.moderation.get(name)).cloned().collect();
        let logs = names.iter().filter_map(log).collect();
        Snapshot { channels, released, logs, moderation, sends, damaged: Vec::new() }
    }

    fn find(&self, query: &Query) -> Vec<StoredMessage> {
        let Some(log) = self.logs.get(&query.channel_name) else { return Vec::new() };
        let mut bytes = 0;
        let enough = |message: &&StoredMessage| {
            let more = bytes < query.max_bytes;
            bytes += size(message);
            more
        };
        match query.range {
            HistoryRange::After(id) => {
                let after = log.messages.iter().filter(|message| message.id > id);
                after.take(query.limit).take_while(enough).cloned().collect()
            }
            HistoryRange::Last | HistoryRange::Before(_) => {
                let end = if let HistoryRange::Before(id) = query.range { id } else { u64::MAX };
                let before = log.messages.iter().rev().filter(|message| message.id < end);
                let mut found: Vec<_> = before.take(query.limit).take_while(enough).cloned().collect();
                found.reverse();
                found
            }
        }
    }
}

impl Log {
    fn append(&mut self, message: StoredMessage) {
        (self.last_id, self.last_timestamp) = (message.id, message.timestamp);
        self.bytes += size(&message);
        self.messages.push_back(message);
    }

    /// Replaces a message by what is left of it, if it is kept.
    fn delete(&mut self, tombstone: &StoredMessage) {
        if let Some(message) = self.messages.iter_mut().find(|message| message.id == tombstone.id) {
            self.bytes = self.bytes - size(message) + size(tombstone);
            *message = tombstone.clone();
        }
    }

    /// Drops the oldest messages above the bound, and says whether there were any.
    fn trim(&mut self) -> bool {
        let before = self.messages.len();
        while self.messages.len() > MAX_MESSAGES || self.bytes > MAX_BYTES && self.messages.len() > 1 {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
        self.messages.len() < before
    }

    fn first_id(&self) -> u64 {
        self.messages.front().map_or(self.last_id + 1, |message| message.id)
    }
}

fn size(message: &StoredMessage) -> usize {
    message.username.len() + message.message_content.len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chanwire_core::hub::Purpose;

    use super::*;

    #[test]
    fn a_channel_keeps_so_many_messages_and_its_last_id() {
        let mut store = Store::default();
        let append = |id, content: &str| {
            let (username, message_content) = ("a".parse().unwrap(), content.into());
            let timestamp = Timestamp::default();
            Write::from(StoredMessage::new("general".parse().unwrap(), id, username, message_content, timestamp))
        };
        let all = (1..=MAX_MESSAGES as u64 + 50).map(|id| append(id, "x")).collect();
        store.store(Time::default(), StoreCommand::Commit(Arc::new(all)));
        let done = store.take_done(Time::default());
        assert!(matches!(done.first(), Some(Done::Outcome(StoreOutcome::Committed))));
        assert!(matches!(done.last(), Some(Done::Trimmed(name, 51)) if name == "general"), "{:?}", done.last());
        assert_eq!(store.messages(), MAX_MESSAGES);

        // Bytes count as well, and the newest stays whatever it is.
        let large = append(MAX_MESSAGES as u64 + 51, &"x".repeat(MAX_BYTES + 1));
        store.store(Time::default(), StoreCommand::Commit(Arc::new(vec![large])));
        store.take_done(Time::default());
        let [log] = <[ChannelLog; 1]>::try_from(store.snapshot(&["general".parse().unwrap()]).logs).unwrap();
        assert_eq!((store.messages(), log.first_id, log.last_id), (1, 10_051, 10_051));
    }

    #[test]
    fn a_page_is_what_was_asked_for() {
        let mut store = Store::default();
        let message = |id| {
            StoredMessage::new("general".parse().unwrap(), id, "a".parse().unwrap(), "b".into(), Timestamp::default())
        };
        store.carry_out(&StoreCommand::Commit(Arc::new((1..=9).map(|id| Write::from(message(id))).collect())));
        let ids = |range, limit, max_bytes| {
            let query =
                Query { channel_name: "general".parse().unwrap(), range, limit, max_bytes, purpose: Purpose::Replay };
            store.find(&query).iter().map(|message| message.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(HistoryRange::Last, 2, 100), [8, 9]);
        assert_eq!(ids(HistoryRange::After(7), 5, 100), [8, 9]);
        assert_eq!(ids(HistoryRange::After(2), 2, 100), [3, 4]);
        assert_eq!(ids(HistoryRange::Before(4), 2, 100), [2, 3]);
        // It stops after the message that makes it enough.
        assert_eq!(ids(HistoryRange::After(0), 9, 3), [1, 2]);
        assert_eq!(ids(HistoryRange::Before(9), 9, 1), [8]);
    }
}
