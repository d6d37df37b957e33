//! Requests about one message: what is known of their messages.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};

use super::{ConnectionId, Hub, Place, refusal, requests::Verdict};
use crate::wire::{ChannelName, Request, RoleTarget, StoredMessage};

/// The requests about messages that are being decided: DELETEs, and ROLEs of a message's sender. Those about one message
/// are decided one after another, since a DELETE changes the message: what was read of it holds until its request is
/// answered.
#[derive(Debug, Default)]
pub(super) struct LookUps {
    open: BTreeMap<(ChannelName, u64), LookUp>,
}

/// The request about a message that is being decided.
#[derive(Debug)]
struct LookUp {
    connection: ConnectionId,
    /// The message as the store has it, once it is read; `None` in it if the store does not have it.
    found: Option<Option<StoredMessage>>,
    /// Connections whose next request is about the same message, first come first.
    waiting: VecDeque<ConnectionId>,
}

impl LookUps {
    /// Returns what was read of a message for the request of this connection, if it was read.
    pub(super) fn found(&self, target: &(ChannelName, u64), id: ConnectionId) -> Option<Option<&StoredMessage>> {
        let look_up = self.open.get(target).filter(|look_up| look_up.connection == id)?;
        look_up.found.as_ref().map(Option::as_ref)
    }

    /// Begins the request of this connection, or has it wait for another one. Returns whether its message is to be read.
    fn begin(&mut self, target: (ChannelName, u64), id: ConnectionId) -> bool {
        match self.open.entry(target) {
            Entry::Vacant(entry) => {
                entry.insert(LookUp { connection: id, found: None, waiting: VecDeque::new() });
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

    /// Notes what was read of a message. Returns whether the request of this connection still waits for it.
    fn set_found(&mut self, target: &(ChannelName, u64), id: ConnectionId, found: Option<StoredMessage>) -> bool {
        let look_up = self.open.get_mut(target).filter(|look_up| look_up.connection == id);
        look_up.map(|look_up| look_up.found = Some(found)).is_some()
    }

    /// Ends the request of this connection. Returns the connection whose request comes next.
    fn end(&mut self, target: &(ChannelName, u64), id: ConnectionId) -> Option<ConnectionId> {
        let look_up = self.open.get_mut(target).filter(|look_up| look_up.connection == id)?;
        let Some(next) = look_up.waiting.pop_front() else {
            self.open.remove(target);
            return None;
        };
        (look_up.connection, look_up.found) = (next, None);
        Some(next)
    }

    /// Takes all connections that wait for a request of another.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = ConnectionId> {
        self.open.values_mut().flat_map(|look_up| core::mem::take(&mut look_up.waiting))
    }
}

/// Returns the message that a request is about, if it is decided by what is stored of one.
fn message_of(request: &Request) -> Option<(ChannelName, u64)> {
    match request {
        Request::Delete { channel_name, id } | Request::Role { channel_name, target: RoleTarget::SenderOf(id), .. } => {
            Some((channel_name.clone(), *id))
        }
        _ => None,
    }
}

impl Hub {
    /// Has the message read that a connection's first request is about, unless another request about it comes first.
    pub(super) fn look_up(&mut self, id: ConnectionId, target: (ChannelName, u64)) {
        self.set_place(id, Place::LookingUp);
        if self.look_ups.begin(target.clone(), id) {
            self.reads.look_up(id, target);
        }
    }

    /// Goes on with a request whose message was read; `None` if reading failed.
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
                if self.look_ups.set_found(target, id, found) {
                    self.add_turn(id);
                }
            }
            None => {
                // Its channel, or the right to what it asks for, may be gone meanwhile.
                let reply = match self.decide(id) {
                    Some(Verdict::Answer(reply)) => reply,
                    Some(Verdict::Store(_) | Verdict::Wait(_) | Verdict::LookUp(_)) | None => {
                        refusal::not_read().into()
                    }
                };
                self.set_place(id, Place::None);
                self.answer_first(id, reply);
                self.go_on(id);
            }
        }
    }

    /// Ends a connection's request about a message. The next one about the same message is decided.
    pub(super) fn end_look_up(&mut self, id: ConnectionId, target: &(ChannelName, u64)) {
        if let Some(next) = self.look_ups.end(target, id) {
            self.add_turn(next);
        }
    }

    /// Ends the request of a connection, if it is about a message.
    pub(super) fn end_if_look_up(&mut self, id: ConnectionId, request: &Request) {
        if let Some(target) = message_of(request) {
            self.end_look_up(id, &target);
        }
    }
}
