//! Commits: pending writes that are stored together, and what follows from their outcome.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::{mem, time::Duration};

use super::{
    Act, ActKind, ChannelLog, ChannelRecord, ConnectionId, DamagedName, Effect, Hub, Log, MAX_COMMIT, Moment, Place,
    ReleasedChannel, Snapshot, Storage, StoreCommand, StoreOutcome, Write, Writer, changes,
    directory::Entry,
    drafts::{Cause, Draft, Refused, Repeat},
    moderation::Moderated,
    names::{DROP_RETRY, GRACE, time_at},
    refusal,
    requests::{Change, PendingRequest, Verdict},
    roles::{MODERATION_BYTES, Moderating},
    sends::{NewSend, NewSends, SendVerdict},
    turns::{TurnEnd, WRITE_OVERHEAD},
};
use crate::{
    Time,
    admission::of_subscriber,
    endpoint::Misuse,
    wire::{ChannelName, Request, Response, StoredMessage, Timestamp},
};

/// The size of messages, in bytes with the overhead of each push, at which a commit takes no more. All messages of a
/// commit are pushed at once, so they alone must not exceed what a subscriber may leave unread.
const MAX_COMMIT_BYTES: usize = 128 * 1024;

/// The most channels that one commit takes off the list because their lease has ended, so that a request does not wait
/// long when many end at once.
const MAX_ENDED: usize = 512;

/// The time until ended leases are tried again after their channels could not be taken off the list.
const LEASE_RETRY: Duration = Duration::from_secs(5);

/// The commit that is with the store.
#[derive(Debug)]
pub(super) struct Commit {
    writes: Arc<Vec<Write>>,
    /// The cause of each write, in order.
    causes: Vec<Cause>,
    /// The keys of its messages.
    sends: NewSends,
    /// MESSAGEs that its outcome decides.
    repeats: Vec<Repeat>,
}

impl Hub {
    /// Handles the outcome of the last [`Effect::Store`].
    ///
    /// # Errors
    ///
    /// [`Misuse::UnexpectedOutcome`] if no command with such an outcome is with the store.
    pub fn handle_outcome(&mut self, outcome: StoreOutcome, now: Time) -> Result<(), Misuse> {
        match (mem::replace(&mut self.storage, Storage::Idle), outcome) {
            (Storage::Committing(commit), StoreOutcome::Committed) => {
                self.end_deletes(&commit);
                let writes = commit.writes.clone();
                self.committed(commit, &[], now);
                self.close_lost();
                self.wake_all(&writes);
            }
            (Storage::Committing(commit), StoreOutcome::CommittedWithout(names)) => {
                self.end_deletes(&commit);
                let writes = commit.writes.clone();
                self.committed(commit, &names, now);
                self.wake_all(&writes);
                self.load(names);
            }
            (Storage::Committing(commit), StoreOutcome::Refused) => {
                self.end_deletes(&commit);
                self.not_committed(commit, now);
                self.close_lost();
            }
            (Storage::Committing(commit), StoreOutcome::Failed) => {
                self.end_deletes(&commit);
                let names: BTreeSet<&ChannelName> = commit.writes.iter().map(Write::channel_name).collect();
                let names = names.into_iter().cloned().collect();
                self.not_committed(commit, now);
                if self.is_stopped {
                    self.storage = Storage::Stale(names);
                } else {
                    self.load(names);
                }
            }
            (Storage::Loading(names), StoreOutcome::Loaded(stored)) => self.loaded(&names, stored, now),
            (Storage::Loading(names), StoreOutcome::Failed) => {
                self.storage = Storage::Stale(names);
                self.give_up_all(now);
                self.close_lost();
            }
            (storage, _) => {
                self.storage = storage;
                return Err(Misuse::UnexpectedOutcome);
            }
        }
        Ok(())
    }

    /// Ends the DELETEs of a commit whose outcome is known, or known to be unknown.
    fn end_deletes(&mut self, commit: &Commit) {
        self.outdate_pages(&commit.writes);
        for (write, cause) in commit.writes.iter().zip(&commit.causes) {
            if let (Write::Delete { tombstone, .. }, Some((id, _))) = (write, &cause.asker) {
                self.end_look_up(*id, &(tombstone.channel_name.clone(), tombstone.id));
            }
        }
    }

    /// Has an act of moderation logged that is stored, and is asked for by a client.
    fn note_act(&mut self, cause: &Cause, channel_name: &ChannelName, kind: ActKind) {
        let asker = cause.asker.as_ref().and_then(|(id, _)| Some((*id, self.connections.get(id)?)));
        if let Some((connection, asker)) = asker {
            let (peer, account) = (asker.peer, asker.account.clone());
            let channel_name = channel_name.clone();
            self.effects.add(Effect::Acted(Act { connection, peer, account, channel_name, kind }));
        }
    }

    /// Answers the requests of a commit that is not known to be stored.
    fn not_committed(&mut self, commit: Commit, now: Time) {
        self.end_changes(&commit.writes);
        let repeats = commit.repeats.into_iter().map(|repeat| repeat.cause);
        commit.causes.into_iter().chain(repeats).for_each(|cause| self.answer_not_stored(cause, now));
        self.wake_all(&commit.writes);
    }

    /// Answers the asker of a write that is stored.
    fn answer_cause(&mut self, cause: Cause, now: Time) {
        let command = cause.command();
        if let Cause { asker: Some((id, ticket)), at, response, .. } = cause {
            self.counters.waited(command, now.since(at.time));
            self.answer_stored(id, ticket, command, response.into());
        }
    }

    /// Answers the asker of a write that is not known to be stored.
    fn answer_not_stored(&mut self, cause: Cause, now: Time) {
        let (command, Cause { asker, at, .. }) = (cause.command(), cause);
        match asker {
            Some((id, ticket)) => {
                self.counters.waited(command, now.since(at.time));
                self.answer_stored(id, ticket, command, refusal::not_stored().into());
            }
            None => self.leases.not_before = now.after(LEASE_RETRY),
        }
    }

    /// Gives up all pending writes: what is stored is unknown, and the store cannot be read.
    fn give_up_all(&mut self, now: Time) {
        let waiting: Vec<ConnectionId> = self.changes.take_waiting().chain(self.look_ups.take_waiting()).collect();
        for writer in self.turns.take_all() {
            match writer {
                Writer::Connection(id) => self.give_up_on(id),
                Writer::EndedLeases => {
                    self.leases.has_turn = false;
                    self.leases.not_before = now.after(LEASE_RETRY);
                }
            }
        }
        for id in waiting {
            self.give_up_on(id);
        }
    }

    fn give_up_on(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.given_up = connection.pending.len();
            connection.awaited = None;
            connection.place = Place::Runnable;
            self.runnable.push_back(id);
        }
    }

    /// Starts a commit of pending writes, in the order of the writers' turns. Requests are decided and ids assigned
    /// here, where all earlier outcomes are known.
    pub(super) fn commit(&mut self) {
        let mut draft = Draft::default();
        let mut turns_taken = 0;
        while turns_taken < MAX_COMMIT
            && draft.bytes < MAX_COMMIT_BYTES
            && let Some((writer, turn_end)) = self.turns.take()
        {
            turns_taken += 1;
            match writer {
                Writer::Connection(id) => self.take_turn(id, turn_end, &mut draft),
                Writer::EndedLeases => self.take_due_name(turn_end, &mut draft),
            }
        }
        if draft.ended_count >= MAX_ENDED {
            self.add_ended_leases();
        }
        if draft.writes.is_empty() {
            return;
        }
        let writes = Arc::new(draft.writes);
        let Draft { causes, sends, repeats, .. } = draft;
        self.storage = Storage::Committing(Commit { writes: writes.clone(), causes, sends, repeats });
        self.effects.add(Effect::Store(StoreCommand::Commit(writes)));
    }

    /// Decides the first request of a connection, and adds its write, if it has one, to the commit.
    fn take_turn(&mut self, id: ConnectionId, turn_end: TurnEnd, draft: &mut Draft) {
        self.set_place(id, Place::None);
        let mut new_send = None;
        let change = match self.decide(id) {
            Some(Verdict::Wait(channel_name)) => return self.wait(id, channel_name),
            Some(Verdict::LookUp(target)) => {
                let awaited = self.connections.get_mut(&id).and_then(|connection| connection.awaited.take());
                self.look_up(id, target);
                return self.wake(awaited.as_ref());
            }
            Some(Verdict::Answer(reply)) => {
                self.answer_first(id, reply);
                None
            }
            Some(Verdict::Store(Change::Append(channel_name))) => {
                draft.bytes += self.first_bytes(id);
                let log = self.log_after(&channel_name, draft);
                match self.decide_send(id, &channel_name, log, (&draft.sends, draft.writes.len())) {
                    SendVerdict::Answer(reply) => {
                        self.answer_first(id, reply);
                        None
                    }
                    SendVerdict::Await(write, response) => {
                        self.await_write(id, write, response, draft);
                        None
                    }
                    // A key that is known comes first: its message is stored, whatever its sender may do since.
                    SendVerdict::Store(send) => match self.refuse_message(id, &channel_name, draft) {
                        Some(Refused::Now(error)) => {
                            self.answer_first(id, error.into());
                            None
                        }
                        Some(Refused::Once(write, error)) => {
                            self.await_write(id, write, Response::Error(error), draft);
                            None
                        }
                        None => {
                            new_send = send;
                            Some(Change::Append(channel_name))
                        }
                    },
                }
            }
            Some(Verdict::Store(Change::Delete { message, .. }))
                if self.log_after(&message.channel_name, draft).last_id >= self.limits.max_id =>
            {
                self.answer_first(id, refusal::no_more_ids(&message.channel_name, self.limits.max_id).into());
                None
            }
            Some(Verdict::Store(change)) => Some(change),
            None => return,
        };
        if let Some(change) = change
            && let Some(first) = self.take_first(id)
        {
            let PendingRequest { ticket, request, at, .. } = first;
            self.wait_for_store(id, matches!(change, Change::Append(_)));
            let asker = Some((id, ticket));
            match (change, request) {
                (Change::Append(channel_name), Request::Message(message)) => {
                    self.append(message, channel_name, new_send, asker, at, draft);
                }
                (Change::Delete { message, username, account }, _) => {
                    self.delete(message, (username, account), asker, at, draft);
                }
                (Change::Role { channel_name, subject, role }, request) => {
                    self.end_if_look_up(id, &request);
                    self.set_role(channel_name, subject, role, asker, at, draft);
                }
                (Change::Settings { channel_name, settings }, _) => {
                    let response = self.shown_settings(id, &channel_name, settings);
                    self.changes.begin(channel_name.clone(), changes::Change::of_known_name());
                    draft.bytes += MODERATION_BYTES;
                    draft.push(Write::SetSettings { channel_name, settings }, Cause::new(asker, at, response));
                }
                (Change::Remove(channel_name), _) => self.remove(channel_name, asker, at, draft),
                (Change::Put { channel, registered_from, account, lease }, _) => {
                    let channel_name = channel.channel_name.clone();
                    let before = self.directory.get(&channel_name);
                    let new_host = registered_from.filter(|_| account.is_none()).map(of_subscriber);
                    let new_host = new_host.filter(|host| before.and_then(Entry::host) != Some(*host));
                    let new_owner = account.clone().filter(|account| self.owners.of(&channel_name) != Some(account));
                    let is_new_role = false;
                    let change = changes::Change { is_new: before.is_none(), new_host, new_owner, is_new_role };
                    if self.begins_anew(id, &channel_name) {
                        self.drop_moderation(&channel_name, at, draft);
                    }
                    self.changes.begin(channel_name.clone(), change);
                    let position = self.directory.position_for(&channel_name);
                    let record = ChannelRecord { channel, registered_from, account, position, lease };
                    draft.push(Write::PutChannel(record), Cause::new(asker, at, Response::Hosted { channel_name }));
                }
                (Change::Append(_), _) => {}
            }
        }
        let awaited = self.connections.get_mut(&id).and_then(|connection| {
            connection.last_turn_end = turn_end;
            connection.awaited.take()
        });
        self.wake(awaited.as_ref());
        self.go_on(id);
    }

    /// Returns the bytes of the first request of a connection.
    fn first_bytes(&self, id: ConnectionId) -> usize {
        let first = self.connections.get(&id).and_then(|connection| connection.pending.front());
        first.map_or(0, PendingRequest::bytes)
    }

    /// Handles the next due name: takes a channel whose lease has ended off the list, frees a name that was kept for
    /// its host, or drops an unused name.
    fn take_due_name(&mut self, turn_end: TurnEnd, draft: &mut Draft) {
        self.leases.has_turn = false;
        let Some((end, channel_name)) = self.directory.next_ended(draft.ended.as_ref(), self.leases.by) else { return };
        draft.ended = Some((end, channel_name.clone()));
        draft.ended_count += 1;
        self.leases.last_turn_end = turn_end;
        // A name changed by this commit is handled after the commit.
        if !self.changes.contains(&channel_name) {
            let at = Moment { time: self.leases.by, ..Moment::default() };
            if let Some(write) = self.write_for_due_name(&channel_name) {
                if matches!(write, Write::RemoveChannel(_)) && self.owners.of(&channel_name).is_none() {
                    self.drop_moderation(&channel_name, at, draft);
                }
                self.changes.begin(channel_name.clone(), changes::Change::of_known_name());
                draft.push(write, Cause::new(None, at, Response::Removed { channel_name }));
            }
        }
        if draft.ended_count < MAX_ENDED {
            self.add_ended_leases();
        }
    }

    /// Returns the write that ends the lease of a due name, or that frees or drops it.
    fn write_for_due_name(&mut self, channel_name: &ChannelName) -> Option<Write> {
        if let Some(entry) = self.directory.get(channel_name) {
            let grace = entry.lease.map_or(GRACE.0, |lease| lease.seconds.clamp(GRACE.0, GRACE.1));
            let until = self.wall_at(self.leases.by.after(Duration::from_secs(grace.into())));
            return Some(Write::ReleaseChannel { channel_name: channel_name.clone(), until });
        }
        if self.directory.released(channel_name).is_some() {
            return Some(Write::RemoveChannel(channel_name.clone()));
        }
        // Remaining pushes to subscribers still use this name.
        if self.joins.has_subscriptions(channel_name) {
            self.keep_idle(channel_name, self.leases.by.after(DROP_RETRY));
            return None;
        }
        Some(Write::DropName(channel_name.clone()))
    }

    pub(super) fn add_ended_leases(&mut self) {
        self.leases.has_turn = true;
        self.turns.add(Writer::EndedLeases, self.leases.last_turn_end, WRITE_OVERHEAD);
    }

    /// Reads back what is stored of these names.
    pub(super) fn load(&mut self, names: Vec<ChannelName>) {
        self.effects.add(Effect::Store(StoreCommand::Load(names.clone())));
        self.storage = Storage::Loading(names);
    }

    /// Replaces the state of these names by what the store holds of them.
    fn loaded(&mut self, names: &[ChannelName], stored: Snapshot, now: Time) {
        let released = stored.released.iter().map(|released| &released.record);
        let stored_names = stored.channels.iter().chain(released).map(|record| &record.channel.channel_name);
        let stored_names: BTreeSet<&ChannelName> = stored_names.collect();
        for name in names.iter().filter(|name| !stored_names.contains(name)) {
            self.directory.remove_stored(name);
        }
        let logged: BTreeSet<&ChannelName> = stored.logs.iter().map(|log| &log.channel_name).collect();
        for name in names.iter().filter(|name| !logged.contains(name)) {
            self.drop_name(name);
        }
        for name in names {
            self.damaged.remove(name);
        }
        // What is kept out of a channel whose stored state is damaged stays out.
        let is_damaged =
            |name: &&ChannelName| stored.damaged.iter().any(|row| row.channel_name.as_ref() == Some(*name));
        let sound: Vec<&ChannelName> = names.iter().filter(|name| !is_damaged(name)).collect();
        let before: Vec<(&ChannelName, Moderated)> =
            sound.into_iter().map(|name| (name, self.moderation.take(name))).collect();
        self.restore(stored, now);
        for name in names.iter().filter(|name| self.directory.has(name)).cloned().collect::<Vec<_>>() {
            self.mark_in_use(&name);
        }
        for name in names {
            for id in self.joins.catch_up(name, self.log(name).last_id) {
                self.feed(id);
            }
            self.settle_joins(name);
        }
        let moderated = before.iter().flat_map(|(name, before)| self.changed_moderation(name, before));
        for change in moderated.collect::<Vec<_>>() {
            self.moderated_now(change);
        }
        self.close_lost();
    }

    /// Adds what the store holds to the state.
    pub(super) fn restore(&mut self, stored: Snapshot, now: Time) {
        for DamagedName { channel_name, position } in stored.damaged {
            self.directory.reserve(position);
            self.damaged.extend(channel_name);
        }
        for record in stored.channels {
            let name = record.channel.channel_name.clone();
            self.directory.restore(record, now);
            self.mark_in_use(&name);
        }
        // No name is kept longer than the longest grace period, even if the wall clock was set back.
        let longest = now.after(Duration::from_secs(GRACE.1.into()));
        for ReleasedChannel { record, until } in stored.released {
            let name = record.channel.channel_name.clone();
            let known = self.directory.released(&name).map(|released| released.until);
            let until = known.unwrap_or_else(|| time_at(self.origin, until).clamp(now, longest));
            self.directory.keep(record, until);
            self.mark_in_use(&name);
        }
        for record in stored.moderation {
            self.moderation.restore(record, self.origin);
        }
        let wall = self.wall_at(now);
        for send in stored.sends {
            // Those up to the last known id are known, or were evicted.
            if send.id > self.log(&send.channel_name).last_id {
                self.counters.evicted_send_keys +=
                    self.sends.add(NewSend::stored(send, &self.limits), &self.limits, wall);
            } else if send.key.digest == 0 {
                self.sends.delete(&send.channel_name, send.id);
            }
        }
        let drop_names_after = self.drop_names_after();
        let seconds = i64::try_from(drop_names_after.as_secs()).unwrap_or(i64::MAX);
        for ChannelLog { channel_name, last_id, first_id, last_timestamp, since, account } in stored.logs {
            self.owners.set(&channel_name, account.as_ref());
            let known = self.log(&channel_name);
            // Retention may have dropped messages since the store was read.
            let first_id = known.first_id.max(first_id);
            let log = Log { last_id, first_id, last_timestamp, ..known };
            self.logs.insert(channel_name.clone(), log);
            if self.directory.has(&channel_name) || first_id <= last_id || account.is_some() {
                self.mark_in_use(&channel_name);
            } else if known.drop_at.is_none() {
                let due = time_at(self.origin, Timestamp::from_unix(since.as_unix().saturating_add(seconds)));
                self.keep_idle(&channel_name, due.clamp(now, now.after(drop_names_after)));
            }
        }
    }

    /// Applies a stored commit, answers its requests and publishes its messages. The writes to the names in `without`
    /// were not stored.
    fn committed(&mut self, commit: Commit, without: &[ChannelName], now: Time) {
        let without: BTreeSet<&ChannelName> = without.iter().collect();
        self.end_changes(&commit.writes);
        let mut published: BTreeMap<&ChannelName, Vec<&StoredMessage>> = BTreeMap::new();
        let (mut changed_names, mut moderated) = (VecDeque::new(), Vec::new());
        let stored = self.counters.messages_stored;
        let mut sends = commit.sends.into_sends().peekable();
        for (number, (write, cause)) in commit.writes.iter().zip(commit.causes).enumerate() {
            let send = sends.next_if(|send| send.write == number);
            if without.contains(write.channel_name()) {
                self.answer_not_stored(cause, now);
                continue;
            }
            let at = cause.at;
            match write {
                Write::PutChannel(record) => {
                    self.directory.put(record.clone(), at.time);
                    self.owners.set(&record.channel.channel_name, record.account.as_ref());
                    self.mark_in_use(&record.channel.channel_name);
                    changed_names.push_back(&record.channel.channel_name);
                }
                Write::RemoveChannel(channel_name) => {
                    self.directory.remove(channel_name);
                    self.idle(channel_name, at.time);
                    changed_names.push_back(channel_name);
                }
                Write::ReleaseChannel { channel_name, until } => {
                    self.directory.release(channel_name, time_at(self.origin, *until));
                    changed_names.push_back(channel_name);
                }
                Write::DropName(channel_name) => self.drop_name(channel_name),
                Write::SetRole { channel_name, subject, role } => {
                    self.moderation.set_role(channel_name, subject, *role, self.origin);
                    let kind = ActKind::RoleSet { subject: subject.clone(), role: *role };
                    self.note_act(&cause, channel_name, kind);
                    moderated.push(Moderating::Role(channel_name.clone(), subject.clone()));
                }
                Write::SetSettings { channel_name, settings } => {
                    self.moderation.set_settings(channel_name, *settings);
                    self.note_act(&cause, channel_name, ActKind::SettingsChanged(*settings));
                    moderated.push(Moderating::Settings(channel_name.clone()));
                }
                Write::DropModeration(channel_name) => drop(self.moderation.take(channel_name)),
                Write::Append { message, .. } | Write::Delete { record: message, .. } => {
                    let log = match self.logs.get_mut(&message.channel_name) {
                        Some(log) => log,
                        None => self.logs.entry(message.channel_name.clone()).or_default(),
                    };
                    (log.last_id, log.last_timestamp) = (message.id, message.timestamp);
                    log.stored_bytes += message.message_content.len() as u64;
                }
            }
            if let Write::Delete { tombstone, .. } = write {
                self.sends.delete(&tombstone.channel_name, tombstone.id);
                self.note_act(&cause, &tombstone.channel_name, ActKind::Deleted { id: tombstone.id });
            }
            if let Write::Append { message, .. } = write {
                self.note_sender(message, &cause);
            }
            if let Some(send) = send {
                self.counters.evicted_send_keys += self.sends.add(send, &self.limits, at.wall);
            }
            if let Write::Append { message, .. } | Write::Delete { record: message, .. } = write {
                published.entry(&message.channel_name).or_default().push(message);
                self.counters.messages_stored += 1;
            }
            self.answer_cause(cause, now);
        }
        for Repeat { write, cause } in commit.repeats {
            let is_stored = commit.writes.get(write).is_some_and(|write| !without.contains(write.channel_name()));
            if !is_stored {
                self.answer_not_stored(cause, now);
                continue;
            }
            self.counters.repeated_messages += u64::from(!matches!(cause.response, Response::Error(_)));
            self.answer_cause(cause, now);
        }
        self.counters.commit_messages.observe(self.counters.messages_stored - stored);
        for (channel_name, messages) in published {
            self.joins.publish(channel_name, &messages, &mut self.effects);
        }
        for channel_name in changed_names {
            self.settle_joins(channel_name);
        }
        for change in moderated {
            self.moderated_now(change);
        }
    }

    /// Notes from where a message came that is stored, and when its sender wrote.
    fn note_sender(&mut self, message: &StoredMessage, cause: &Cause) {
        if let Some((channel_name, sender)) = self.slowed_key(message) {
            self.slow_mode.sent(channel_name, sender, cause.at.time);
        }
        let asker = cause.asker.as_ref().and_then(|(id, _)| self.connections.get(id));
        if message.account.is_none()
            && let Some(address) = asker.and_then(|asker| asker.address)
        {
            self.senders.add(&message.channel_name, message.id, address);
        }
    }

    /// Marks the directory changes of these writes as no longer pending.
    fn end_changes(&mut self, writes: &[Write]) {
        for channel_name in writes.iter().filter_map(changed) {
            self.changes.end(channel_name);
        }
    }

    /// Wakes the connections that waited for the outcome of these changes.
    fn wake_all(&mut self, writes: &[Write]) {
        for channel_name in writes.iter().filter_map(changed) {
            self.wake(Some(channel_name));
        }
    }
}

/// Returns the name whose directory entry a write changes.
const fn changed(write: &Write) -> Option<&ChannelName> {
    match write {
        Write::Append { .. } | Write::Delete { .. } => None,
        _ => Some(write.channel_name()),
    }
}
