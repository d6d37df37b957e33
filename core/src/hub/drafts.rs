//! Commits under construction: what is added to them for each request.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{
    ConnectionId, GivenRole, Hub, Log, Moment, RoleSubject, Sender, Write, changes,
    deletions::DELETE_BYTES,
    refusal,
    requests::PendingRequest,
    roles::MODERATION_BYTES,
    sends::{NewSend, NewSends},
};
use crate::{
    Time,
    endpoint::Ticket,
    wire::{AccountName, ChannelName, Command, ErrorResponse, Message, Response, StoredMessage, Timestamp, Username},
};

/// A commit under construction.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) writes: Vec<Write>,
    pub(super) causes: Vec<Cause>,
    pub(super) repeats: Vec<Repeat>,
    /// The keys of its messages.
    pub(super) sends: NewSends,
    /// The writes of its last messages of the senders in channels with slow mode.
    pub(super) slowed: BTreeMap<(ChannelName, Sender), usize>,
    /// The state that this commit gives to the log of each channel with new messages.
    pub(super) logs: BTreeMap<ChannelName, Log>,
    /// The bytes of its messages, as [`MAX_COMMIT_BYTES`](super::commits) counts, and of those that were decided without
    /// a write: each with an id was hashed.
    pub(super) bytes: usize,
    /// The last due name that was handled: the end of a lease, or of the time for which a name is kept.
    pub(super) ended: Option<(Time, ChannelName)>,
    /// The number of due names that were handled.
    pub(super) ended_count: usize,
}

/// The cause of a write, and the response once it is stored.
#[derive(Debug)]
pub(super) struct Cause {
    /// The request to answer. `None` for a write by the hub itself, because a lease has ended or a name is due.
    pub(super) asker: Option<(ConnectionId, Ticket)>,
    /// The time of the request.
    pub(super) at: Moment,
    pub(super) response: Response,
}

/// A refusal of a new MESSAGE.
pub(super) enum Refused {
    Now(ErrorResponse),
    /// Once the commit's write of this number is stored.
    Once(usize, ErrorResponse),
}

/// A MESSAGE that the outcome of a write of the same commit decides, and the response once that is stored.
#[derive(Debug)]
pub(super) struct Repeat {
    /// The number of the message's write.
    pub(super) write: usize,
    pub(super) cause: Cause,
}

impl Hub {
    pub(super) fn append(
        &self,
        message: Message,
        channel_name: ChannelName,
        send: Option<NewSend>,
        asker: Option<(ConnectionId, Ticket)>,
        at: Moment,
        draft: &mut Draft,
    ) {
        let (id, timestamp) = self.next_message(&channel_name, at, draft);
        let Message { username, message_content, .. } = message;
        let connection = asker.as_ref().and_then(|(id, _)| self.connections.get(id));
        let account = connection.and_then(|connection| connection.account.clone());
        let mut message = StoredMessage::new(channel_name, id, username, message_content, timestamp);
        message.account = account;
        let response = Response::Delivered { timestamp, id: send.is_some().then_some(id) };
        let send_key = send.as_ref().map(|send| send.record.key.clone());
        if let Some(send) = send {
            draft.sends.add(send);
        }
        if let Some(key) = self.slowed_key(&message) {
            draft.slowed.insert(key, draft.writes.len());
        }
        draft.push(Write::Append { message, send_key }, Cause { asker, at, response });
    }

    /// Returns the channel and the sender of a message that is stored, if the channel has slow mode.
    pub(super) fn slowed_key(&self, message: &StoredMessage) -> Option<(ChannelName, Sender)> {
        let StoredMessage { channel_name, username, account, .. } = message;
        let is_slow = self.moderation.settings(channel_name).slow_mode > 0;
        is_slow.then(|| (channel_name.clone(), Sender::of(account.as_ref(), username)))
    }

    pub(super) fn set_role(
        &mut self,
        channel_name: ChannelName,
        subject: RoleSubject,
        role: Option<GivenRole>,
        asker: Option<(ConnectionId, Ticket)>,
        at: Moment,
        draft: &mut Draft,
    ) {
        let is_new_role = role.is_some() && self.moderation.role(&channel_name, &subject, self.now).is_none();
        let change = changes::Change { is_new_role, ..changes::Change::of_known_name() };
        self.changes.begin(channel_name.clone(), change);
        // The store has no more of roles that have ended than this channel's since its last ROLE.
        let ended = self.moderation.ended(&channel_name).filter(|other| **other != subject);
        for subject in ended.cloned().collect::<Vec<_>>() {
            let (channel_name, response) =
                (channel_name.clone(), Response::RoleSet { channel_name: channel_name.clone(), role: None });
            draft.bytes += MODERATION_BYTES;
            draft.push(Write::SetRole { channel_name, subject, role: None }, Cause::new(None, at, response));
        }
        let response = Response::RoleSet { channel_name: channel_name.clone(), role: role.map(|given| given.role) };
        draft.bytes += MODERATION_BYTES;
        draft.push(Write::SetRole { channel_name, subject, role }, Cause::new(asker, at, response));
    }

    /// Drops the roles and settings of a name that has any. What was for members only stays so, since whoever hosts the
    /// name next could read it.
    pub(super) fn drop_moderation(&self, channel_name: &ChannelName, at: Moment, draft: &mut Draft) {
        if self.moderation.has(channel_name) && !self.moderation.settings(channel_name).members_only {
            let response = Response::Removed { channel_name: channel_name.clone() };
            draft.push(Write::DropModeration(channel_name.clone()), Cause::new(None, at, response));
        }
    }

    /// Returns whether the channel of this name, which a connection hosts now, has nothing of the roles and settings that
    /// are stored under the name: these belong to the address of another host, or to a channel that was fixed.
    pub(super) fn begins_anew(&self, id: ConnectionId, channel_name: &ChannelName) -> bool {
        let Some(asker) = self.connections.get(&id).map(|connection| connection.asker(self.rights())) else {
            return false;
        };
        let is_kept = || self.directory.released(channel_name).is_some_and(|released| released.was_hosted_by(asker));
        let is_known = self.directory.get(channel_name).is_some() || self.owners.of(channel_name).is_some();
        !is_known && !asker.is_operator && !is_kept()
    }

    /// Returns the id and the time of the next message of a channel.
    pub(super) fn next_message(&self, channel_name: &ChannelName, at: Moment, draft: &mut Draft) -> (u64, Timestamp) {
        let log = match draft.logs.get_mut(channel_name) {
            Some(log) => log,
            None => draft.logs.entry(channel_name.clone()).or_insert(self.log(channel_name)),
        };
        log.last_id += 1;
        log.last_timestamp = log.last_timestamp.max(at.wall);
        (log.last_id, log.last_timestamp)
    }

    pub(super) fn delete(
        &self,
        message: StoredMessage,
        (username, account): (Username, Option<AccountName>),
        asker: Option<(ConnectionId, Ticket)>,
        at: Moment,
        draft: &mut Draft,
    ) {
        draft.bytes += DELETE_BYTES + message.message_content.len();
        let tombstone = message.tombstone();
        let channel_name = tombstone.channel_name.clone();
        let (id, timestamp) = self.next_message(&channel_name, at, draft);
        let record = StoredMessage::record(channel_name.clone(), id, username, tombstone.id, timestamp);
        let record = StoredMessage { account, ..record };
        let response = Response::Deleted { channel_name, id: tombstone.id };
        draft.push(Write::Delete { tombstone, record }, Cause::new(asker, at, response));
    }

    /// Returns the answer to the first request of a connection, a new MESSAGE to this channel, if it may not write there,
    /// or if the channel has had as many messages as it may.
    pub(super) fn refuse_message(
        &self,
        id: ConnectionId,
        channel_name: &ChannelName,
        draft: &Draft,
    ) -> Option<Refused> {
        if let Some(error) = self.refuse_to_write(id, channel_name) {
            return Some(Refused::Now(error));
        }
        if let Some((sender, seconds)) = self.slowed_down(id, channel_name) {
            let first = self.connections.get(&id).and_then(|connection| connection.pending.front());
            let (at, says_when) = first.map_or_else(Default::default, |first| (first.at.time, first.said_hello));
            if let Some(left) = self.slow_mode.wait(channel_name, &sender, seconds, at) {
                return Some(Refused::Now(refusal::slow_mode(channel_name, left, says_when)));
            }
            if let Some(write) = draft.slowed.get(&(channel_name.clone(), sender)) {
                return Some(Refused::Once(*write, refusal::slow_mode(channel_name, seconds.into(), says_when)));
            }
        }
        let max_id = self.limits.max_id;
        let is_full = self.log_after(channel_name, draft).last_id >= max_id;
        is_full.then(|| Refused::Now(refusal::no_more_ids(channel_name, max_id)))
    }

    /// Returns the state of a channel's log after the writes so far.
    pub(super) fn log_after(&self, channel_name: &ChannelName, draft: &Draft) -> Log {
        draft.logs.get(channel_name).copied().unwrap_or_else(|| self.log(channel_name))
    }

    /// Takes the first request of a connection, which the outcome of an earlier write of the commit decides.
    pub(super) fn await_write(&mut self, id: ConnectionId, write: usize, response: Response, draft: &mut Draft) {
        if let Some(PendingRequest { ticket, at, .. }) = self.take_first(id) {
            self.wait_for_store(id, true);
            let cause = Cause::new(Some((id, ticket)), at, response);
            draft.repeats.push(Repeat { write, cause });
        }
    }

    pub(super) fn remove(
        &mut self,
        channel_name: ChannelName,
        asker: Option<(ConnectionId, Ticket)>,
        at: Moment,
        draft: &mut Draft,
    ) {
        if self.owners.of(&channel_name).is_none() {
            self.drop_moderation(&channel_name, at, draft);
        }
        self.changes.begin(channel_name.clone(), changes::Change::of_known_name());
        draft.push(
            Write::RemoveChannel(channel_name.clone()),
            Cause::new(asker, at, Response::Removed { channel_name }),
        );
    }
}

impl Cause {
    pub(super) const fn new(asker: Option<(ConnectionId, Ticket)>, at: Moment, response: Response) -> Self {
        Self { asker, at, response }
    }

    /// Returns the command of its request.
    pub(super) const fn command(&self) -> Command {
        match self.response {
            Response::Hosted { .. } => Command::Host,
            Response::Removed { .. } => Command::Unhost,
            Response::Deleted { .. } => Command::Delete,
            Response::RoleSet { .. } => Command::Role,
            Response::Settings { .. } => Command::Settings,
            _ => Command::Message,
        }
    }
}

impl Draft {
    pub(super) fn push(&mut self, write: Write, cause: Cause) {
        self.writes.push(write);
        self.causes.push(cause);
    }
}
