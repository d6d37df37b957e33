//! What waits, stored together; and what follows from it.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::{mem, time::Duration};

use super::{
    ChannelLog, ChannelRecord, ConnectionId, Effect, Hub, Log, Moment, Snapshot, Storage, StoreCommand, StoreOutcome,
    Write, refusal,
    requests::{Intent, What},
};
use crate::{
    Time,
    endpoint::{Misuse, Ticket},
    wire::{Host, Message, Response, StoredMessage},
};

/// The most requests that one commit carries: enough to make the cost of a sync small for each, and few enough that
/// the first of them does not wait long for the last.
const MAX_COMMIT: usize = 4096;

/// And the most text, in bytes, with what a push adds to it: everybody who has joined hears a commit at once, and it
/// must not alone be more than a reader may leave unread.
const MAX_COMMIT_BYTES: usize = 128 * 1024;
const PUSH_OVERHEAD: usize = 100;

/// When a channel whose lease has ended is looked at again after it could not be taken off the list.
const LEASE_RETRY: Duration = Duration::from_secs(5);

/// What is with the store.
#[derive(Debug)]
pub(super) struct Commit {
    writes: Arc<Vec<Write>>,
    /// One for each write, in order.
    causes: Vec<Cause>,
    /// Own addresses have changed meanwhile. Those who joined what has gone by it hear first what is being stored.
    pub(super) is_anything_gone: bool,
}

/// Why something is stored, and what is answered when it is.
#[derive(Debug)]
struct Cause {
    asker: Option<(ConnectionId, Ticket)>,
    at: Moment,
    response: Response,
}

impl Hub {
    /// What became of the last [`Effect::Store`].
    ///
    /// # Errors
    ///
    /// [`Misuse::UnexpectedOutcome`] if the store was not asked for it.
    pub fn handle_outcome(&mut self, outcome: StoreOutcome, now: Time) -> Result<(), Misuse> {
        match (mem::replace(&mut self.storage, Storage::Stale), outcome) {
            (Storage::Committing(commit), StoreOutcome::Committed) => {
                self.storage = Storage::Idle;
                let is_anything_gone = commit.is_anything_gone;
                self.committed(commit);
                if is_anything_gone {
                    self.close_joins_of_the_gone();
                }
            }
            (Storage::Committing(commit), StoreOutcome::Failed) => {
                self.forget_changes(commit.writes.iter());
                for Cause { asker, at, response } in commit.causes {
                    self.not_stored(asker, at, &response);
                }
                self.load();
            }
            (Storage::Loading, StoreOutcome::Loaded(stored)) => {
                self.storage = Storage::Idle;
                self.take(stored, now);
                self.recall();
                let logs = &self.logs;
                let behind = self.joins.catch_up(|name| logs.get(name).map_or(0, |log| log.last_id));
                self.close_joins_of_the_gone();
                for id in behind {
                    self.feed(id);
                }
            }
            (Storage::Loading, StoreOutcome::Failed) => {
                self.changing.clear();
                for Intent { asker, at, what } in mem::take(&mut self.waiting) {
                    let channel_name = match what {
                        What::Unhost(channel_name) => channel_name,
                        What::Host { .. } | What::Message { .. } => String::new(),
                    };
                    self.not_stored(asker, at, &Response::Removed { channel_name });
                }
                for id in mem::take(&mut self.blocked) {
                    self.give_up(id);
                }
                self.close_joins_of_the_gone();
            }
            (storage, _) => {
                self.storage = storage;
                return Err(Misuse::UnexpectedOutcome);
            }
        }
        self.advance_blocked();
        Ok(())
    }

    /// Puts what waits into one commit. Ids are given here, where all earlier outcomes are known.
    pub(super) fn commit(&mut self) {
        let mut bytes = 0;
        let fits = |intent: &&Intent| {
            let fits = bytes < MAX_COMMIT_BYTES;
            if let What::Message { message, .. } = &intent.what {
                bytes += message.username.len() + message.message_content.len() + PUSH_OVERHEAD;
            }
            fits
        };
        let count = self.waiting.iter().take(MAX_COMMIT).take_while(fits).count();
        let mut writes = Vec::with_capacity(count);
        let mut causes = Vec::with_capacity(count);
        let mut logs: BTreeMap<String, Log> = BTreeMap::new();
        for Intent { asker, at, what } in self.waiting.drain(..count) {
            let (write, response) = match what {
                What::Host { host: Host { channel, lease }, registered_from } => {
                    let channel_name = channel.channel_name.clone();
                    let position = self.directory.position_for(&channel_name);
                    let record = ChannelRecord { channel, registered_from, position, lease };
                    (Write::PutChannel(record), Response::Hosted { channel_name })
                }
                What::Unhost(channel_name) => {
                    (Write::RemoveChannel(channel_name.clone()), Response::Removed { channel_name })
                }
                What::Message { message, channel_name } => {
                    let log = match logs.get_mut(&channel_name) {
                        Some(log) => log,
                        None => {
                            let stored = self.logs.get(&channel_name).copied().unwrap_or_default();
                            logs.entry(channel_name.clone()).or_insert(stored)
                        }
                    };
                    log.last_id += 1;
                    log.last_timestamp = log.last_timestamp.max(at.wall);
                    let (id, timestamp) = (log.last_id, log.last_timestamp);
                    let Message { username, message_content, .. } = message;
                    let stored = StoredMessage { channel_name, id, username, message_content, timestamp };
                    (Write::Append(stored), Response::Delivered { timestamp })
                }
            };
            writes.push(write);
            causes.push(Cause { asker, at, response });
        }
        let writes = Arc::new(writes);
        self.storage = Storage::Committing(Commit { writes: writes.clone(), causes, is_anything_gone: false });
        self.effects.push_back(Effect::Store(StoreCommand::Commit(writes)));
    }

    pub(super) fn load(&mut self) {
        self.storage = Storage::Loading;
        self.effects.push_back(Effect::Store(StoreCommand::Load));
    }

    /// Takes what the store holds for the state.
    pub(super) fn take(&mut self, stored: Snapshot, now: Time) {
        self.directory.replace(stored.channels, now);
        let before = mem::take(&mut self.logs);
        let log = |log: ChannelLog| {
            let ChannelLog { channel_name, last_id, first_id, last_timestamp } = log;
            // What retention has dropped since the store was read is not there again.
            let dropped = before.get(&channel_name).map_or(1, |log| log.first_id);
            (channel_name, Log { last_id, first_id: first_id.max(dropped), last_timestamp })
        };
        self.logs = stored.logs.into_iter().map(log).collect();
    }

    fn committed(&mut self, commit: Commit) {
        self.forget_changes(commit.writes.iter());
        let mut published: BTreeMap<&str, Vec<&StoredMessage>> = BTreeMap::new();
        let mut moved = VecDeque::new();
        for (write, Cause { asker, at, response }) in commit.writes.iter().zip(commit.causes) {
            match write {
                Write::PutChannel(record) => {
                    self.directory.put(record.clone(), at.time);
                    moved.push_back(&record.channel.channel_name);
                }
                Write::RemoveChannel(channel_name) => {
                    self.directory.remove(channel_name);
                    moved.push_back(channel_name);
                }
                Write::Append(message) => match self.logs.get_mut(&message.channel_name) {
                    Some(log) => (log.last_id, log.last_timestamp) = (message.id, message.timestamp),
                    None => {
                        let log = Log { last_id: message.id, last_timestamp: message.timestamp, ..Log::default() };
                        self.logs.insert(message.channel_name.clone(), log);
                    }
                },
            }
            if let Write::Append(message) = write {
                published.entry(&message.channel_name).or_default().push(message);
            }
            if let Some((id, ticket)) = asker {
                self.answer_stored(id, ticket, response.into());
            }
        }
        for (channel_name, messages) in published {
            self.joins.publish(channel_name, &messages, &mut self.effects);
        }
        for channel_name in moved {
            if !self.directory.get(channel_name).is_some_and(|entry| entry.is_here) {
                self.close_joins(channel_name);
            }
        }
    }

    fn not_stored(&mut self, asker: Option<(ConnectionId, Ticket)>, at: Moment, response: &Response) {
        match (asker, response) {
            (Some((id, ticket)), _) => self.answer_stored(id, ticket, refusal::not_stored().into()),
            (None, Response::Removed { channel_name }) => {
                self.directory.postpone(channel_name, at.time.after(LEASE_RETRY));
            }
            (None, _) => {}
        }
    }

    fn forget_changes<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) {
        for write in writes {
            match write {
                Write::PutChannel(record) => drop(self.changing.remove(&record.channel.channel_name)),
                Write::RemoveChannel(channel_name) => drop(self.changing.remove(channel_name)),
                Write::Append(_) => {}
            }
        }
    }
}
