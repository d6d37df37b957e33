//! DELETEs: what is known of their messages, and the decision.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};

use super::{
    ConnectionId, Hub, Place, Write,
    access::Asker,
    refusal,
    requests::{Change, Verdict},
};
use crate::wire::{ChannelName, Request, Response, StoredMessage, Username};

/// The size of a DELETE in a commit, in bytes: as much as a page of a database that it changes.
pub(super) const DELETE_BYTES: usize = 4096;

/// The DELETEs that are being decided. Those of one message are decided one after another, since the first of them
/// changes the message: what was read of it holds until its DELETE is answered.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    open: BTreeMap<(ChannelName, u64), Deletion>,
}

/// The DELETE of a message that is being decided.
#[derive(Debug)]
struct Deletion {
    connection: ConnectionId,
    /// The message as the store has it, once it is read; `None` in it if the store does not have it.
    found: Option<Option<StoredMessage>>,
    /// Connections whose next request is a DELETE of the same message, first come first.
    waiting: VecDeque<ConnectionId>,
}

impl Deletions {
    /// Returns what was read of a message for the DELETE of this connection, if it was read.
    pub(super) fn found(&self, target: &(ChannelName, u64), id: ConnectionId) -> Option<Option<&StoredMessage>> {
        let deletion = self.open.get(target).filter(|deletion| deletion.connection == id)?;
        deletion.found.as_ref().map(Option::as_ref)
    }

    /// Begins the DELETE of this connection, or has it wait for another one. Returns whether its message is to be read.
    fn begin(&mut self, target: (ChannelName, u64), id: ConnectionId) -> bool {
        match self.open.entry(target) {
            Entry::Vacant(entry) => {
                entry.insert(Deletion { connection: id, found: None, waiting: VecDeque::new() });
                true
            }
            // Its turn has come after that of another.
            Entry::Occupied(entry) if entry.get().connection == id => true,
            Entry::Occupied(mut entry) => {
                entry.get_mut().waiting.push_back(id);
                false
            }
        }
    }

    /// Notes what was read of a message. Returns whether the DELETE of this connection still waits for it.
    fn set_found(&mut self, target: &(ChannelName, u64), id: ConnectionId, found: Option<StoredMessage>) -> bool {
        let deletion = self.open.get_mut(target).filter(|deletion| deletion.connection == id);
        deletion.map(|deletion| deletion.found = Some(found)).is_some()
    }

    /// Ends the DELETE of this connection. Returns the connection whose DELETE comes next.
    fn end(&mut self, target: &(ChannelName, u64), id: ConnectionId) -> Option<ConnectionId> {
        let deletion = self.open.get_mut(target).filter(|deletion| deletion.connection == id)?;
        let Some(next) = deletion.waiting.pop_front() else {
            self.open.remove(target);
            return None;
        };
        (deletion.connection, deletion.found) = (next, None);
        Some(next)
    }

    /// Takes all connections that wait for a DELETE of another.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = ConnectionId> {
        self.open.values_mut().flat_map(|deletion| core::mem::take(&mut deletion.waiting))
    }
}

/// A decision on a DELETE of a message of a channel that lives here, by a peer that may delete it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// It is to be deleted.
    Delete,
    /// It is deleted already.
    Done,
    /// It is a record, which cannot be deleted.
    Record,
    /// The store does not have it.
    NotFound,
}

/// Decides a DELETE by what the store has of its message.
fn decide(found: Option<&StoredMessage>) -> Decision {
    match found {
        None => Decision::NotFound,
        Some(message) if message.deletes.is_some() => Decision::Record,
        Some(message) if message.deleted => Decision::Done,
        Some(_) => Decision::Delete,
    }
}

/// Returns the name under which the record of a deletion is stored.
fn username_of(asker: Asker<'_>) -> Option<Username> {
    let name = match asker.account {
        Some(account) => account.as_str(),
        None if asker.is_operator => "operator",
        None => "host",
    };
    name.parse().ok()
}

impl Hub {
    /// Decides the first request of a connection, a DELETE, by what is known now.
    pub(super) fn decide_delete(&self, id: ConnectionId, channel_name: &ChannelName, message: u64) -> Verdict {
        if let Err(error) = self.readable(id, channel_name) {
            return error.into();
        }
        if self.changes.contains(channel_name) {
            return Verdict::Wait(channel_name.clone());
        }
        let Some(asker) = self.connections.get(&id).map(|connection| connection.asker(self.rights())) else {
            return refusal::not_a_moderator(channel_name).into();
        };
        let is_host = self.directory.get(channel_name).is_some_and(|entry| entry.is_hosted_by(asker));
        if !is_host && asker.account.is_none() {
            return refusal::not_a_moderator(channel_name).into();
        }
        let (log, target) = (self.log(channel_name), (channel_name.clone(), message));
        if !(log.first_id..=log.last_id).contains(&message) {
            return refusal::no_message(channel_name, message).into();
        }
        let Some(found) = self.deletions.found(&target, id) else { return Verdict::LookUp(target) };
        // An account may delete its own messages.
        let is_own = |found: &StoredMessage| found.account.is_some() && found.account.as_ref() == asker.account;
        if !is_host && found.is_some_and(|found| !is_own(found)) {
            return refusal::not_a_moderator(channel_name).into();
        }
        match decide(found) {
            Decision::Done => Verdict::Answer(Response::Deleted { channel_name: target.0, id: message }.into()),
            Decision::Record => refusal::is_record(channel_name, message).into(),
            Decision::NotFound => refusal::no_message(channel_name, message).into(),
            Decision::Delete => match (found.cloned(), username_of(asker)) {
                (Some(message), Some(username)) => {
                    let account = asker.account.cloned();
                    Verdict::Store(Change::Delete { message, username, account })
                }
                _ => refusal::no_message(channel_name, message).into(),
            },
        }
    }

    /// Has the message of a connection's first request, a DELETE, read, unless another DELETE of it comes first.
    pub(super) fn look_up(&mut self, id: ConnectionId, target: (ChannelName, u64)) {
        self.set_place(id, Place::LookingUp);
        if self.deletions.begin(target.clone(), id) {
            self.reads.look_up(id, target);
        }
    }

    /// Goes on with a DELETE whose message was read; `None` if reading failed.
    pub(super) fn looked_up(
        &mut self,
        id: ConnectionId,
        target: &(ChannelName, u64),
        found: Option<Option<StoredMessage>>,
    ) {
        // It may have been given up meanwhile, with all other requests.
        if self.connections.get(&id).is_none_or(|connection| connection.place != Place::LookingUp) {
            return;
        }
        match found {
            Some(found) => {
                if self.deletions.set_found(target, id, found) {
                    self.add_turn(id);
                }
            }
            None => {
                let (channel_name, message) = target;
                // Its channel, or the right to delete in it, may be gone meanwhile.
                let reply = match self.decide_delete(id, channel_name, *message) {
                    Verdict::Answer(reply) => reply,
                    Verdict::Store(_) | Verdict::Wait(_) | Verdict::LookUp(_) => refusal::not_read().into(),
                };
                self.set_place(id, Place::None);
                self.answer_first(id, reply);
                self.go_on(id);
            }
        }
    }

    /// Ends a connection's DELETE, which is answered. The next one of the same message is decided.
    pub(super) fn end_delete(&mut self, id: ConnectionId, target: &(ChannelName, u64)) {
        if let Some(next) = self.deletions.end(target, id) {
            self.add_turn(next);
        }
    }

    /// Ends the DELETE of a connection, if this request is one.
    pub(super) fn end_if_delete(&mut self, id: ConnectionId, request: &Request) {
        if let Request::Delete { channel_name, id: message } = request {
            self.end_delete(id, &(channel_name.clone(), *message));
        }
    }

    /// Has the pages read again that may have the text of messages which this commit has deleted, or may have.
    pub(super) fn outdate_pages(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Delete { tombstone, .. } = write {
                self.reads.outdate(&tombstone.channel_name, tombstone.id);
            }
        }
    }
}
