//! The user's messages to a channel that are not settled: tracks which were delivered, which must be sent again, and
//! which may have been stored.

mod matching;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::VecDeque};

use chanwire_core::wire::{StoredMessage, Timestamp};

use matching::Matching;

/// The most messages in flight.
const WINDOW: usize = 64;

/// The id of one of the user's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnId(u64);

/// The user's messages that are not settled, in the order typed.
///
/// An answer carries no id. So an acknowledged message accounts for one push with its text, and a push without an
/// acknowledged message may be any of the unanswered ones. After a reconnect the channel is read again, and a message
/// that matches no push is not stored and is sent again.
///
/// A message that matches a push counts as delivered, unless another client has sent messages under the user's name.
/// Names are not owned, so this can happen, for example from the same person's other terminal; then the user is asked
/// about every match. Two users of one name who send the same text for the first time during a disconnect cannot be
/// distinguished.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Outbox {
    messages: VecDeque<OwnMessage>,
    next: u64,
    matching: Matching,
    /// Whether another client sends messages under the user's name.
    is_shared: bool,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct OwnMessage {
    id: OwnId,
    text: String,
    state: State,
    /// The id of the last message received before it was sent. Its own id is higher.
    after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent: not sent, or certainly not stored.
    Queued,
    /// Sent on this connection and not answered.
    Sent,
    /// Disconnected before the answer. If the server ended the connection, it stores no further message.
    Lost { ended_by_server: bool },
    /// Maybe stored.
    Maybe,
}

/// A message that may be stored or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maybe<'a> {
    pub(super) id: OwnId,
    pub(super) text: &'a str,
    /// Whether a message with this text and the user's name was received.
    pub(super) has_come: bool,
}

impl Outbox {
    /// Queues a message.
    pub(super) fn push(&mut self, text: String) {
        self.messages.push_back(OwnMessage { id: OwnId(self.next), text, state: State::Queued, after: 0 });
        self.next += 1;
    }

    /// Returns the next message to send, if the window allows, and marks it as sent. `known` is the last received id.
    pub(super) fn send_next(&mut self, known: u64) -> Option<(OwnId, String)> {
        if self.messages.iter().filter(|entry| entry.state == State::Sent).count() >= WINDOW {
            return None;
        }
        let entry = self.messages.iter_mut().find(|entry| entry.state == State::Queued)?;
        (entry.state, entry.after) = (State::Sent, known);
        Some((entry.id, entry.text.clone()))
    }

    /// Handles the acknowledgement of a message, stored with this time.
    pub(super) fn delivered(&mut self, id: OwnId, timestamp: Timestamp) {
        if self.state(id) == Some(State::Sent)
            && let Some(OwnMessage { text, after, .. }) = self.take(id)
        {
            self.matching.acknowledge(text, after, timestamp);
        }
        self.retain_open();
    }

    /// Handles the refusal of a message, which is not stored. Returns its text.
    pub(super) fn refused(&mut self, id: OwnId) -> Option<String> {
        let entry = self.take(id);
        self.retain_open();
        entry.map(|entry| entry.text)
    }

    /// Handles a failure of the server, which does not know whether the message is stored.
    pub(super) fn failed(&mut self, id: OwnId) {
        self.set(id, State::Maybe);
        self.retain_open();
    }

    /// Handles a push under the user's name. `is_new`: it was stored since this client started, so it is not the user's
    /// own from before. Returns the first message with an unknown outcome that it may be.
    pub(super) fn pushed(&mut self, message: &StoredMessage, is_new: bool) -> Option<OwnId> {
        let StoredMessage { id, message_content: text, timestamp, .. } = message;
        if self.matching.take_acknowledged(*id, text, *timestamp) {
            return None;
        }
        if !self.messages.iter().any(|entry| entry.may_be(*id, text)) {
            self.is_shared |= is_new;
            return None;
        }
        self.matching.add(*id, text, *timestamp);
        self.retain_open();
        let maybe = self.messages.iter().find(|entry| entry.state == State::Maybe && entry.may_be(*id, text));
        maybe.map(|entry| entry.id)
    }

    /// Handles a disconnect. If the server ended the connection, it carries out no further request.
    pub(super) fn lost(&mut self, ended_by_server: bool) {
        for entry in self.messages.iter_mut().filter(|entry| entry.state == State::Sent) {
            entry.state = State::Lost { ended_by_server };
        }
    }

    /// Handles the end of reading the channel again. `complete`: no message stored since can have been missed, so a
    /// message that matches no push is not stored and is sent again.
    pub(super) fn read_again(&mut self, complete: bool) {
        // Acknowledged messages are stored: each was received, or cannot be received any more.
        self.matching.drop_acknowledged();
        if !complete {
            self.matching.clear();
        }
        // A maximum matching of messages and pushes: the message sent last has the fewest candidates, so it is matched
        // first. Matched messages may be stored; the others certainly are not.
        let mut lost: Vec<&mut OwnMessage> =
            self.messages.iter_mut().filter(|entry| matches!(entry.state, State::Lost { .. })).collect();
        lost.sort_by_key(|entry| Reverse(entry.after));
        let mut taken = Vec::new();
        for entry in lost {
            let may_be = self.matching.unmatched(&entry.text).find(|id| *id > entry.after && !taken.contains(id));
            taken.extend(may_be);
            entry.state = match entry.state {
                State::Lost { ended_by_server: true } if complete && may_be.is_none() => State::Queued,
                _ => State::Maybe,
            };
        }
        self.retain_open();
    }

    /// Returns the first message with an unknown outcome.
    pub(super) fn first_maybe(&self) -> Option<Maybe<'_>> {
        let OwnMessage { id, text, after, .. } = self.messages.iter().find(|entry| entry.state == State::Maybe)?;
        let has_come = self.matching.unmatched(text).any(|id| id > *after);
        Some(Maybe { id: *id, text, has_come })
    }

    /// Returns whether the outcome of a message is unknown.
    pub(super) fn is_maybe(&self, id: OwnId) -> bool {
        self.state(id) == Some(State::Maybe)
    }

    /// Queues a message again.
    pub(super) fn resend(&mut self, id: OwnId) {
        self.set(id, State::Queued);
        self.retain_open();
    }

    /// Drops a message.
    pub(super) fn discard(&mut self, id: OwnId) {
        self.take(id);
        self.retain_open();
    }

    /// Returns the number of messages that wait for the connection or for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.messages.iter().filter(|entry| entry.state != State::Maybe).count()
    }

    /// Returns the remaining messages: those certainly not sent, and those maybe sent.
    pub(super) fn unsettled(&self) -> (Vec<&str>, Vec<&str>) {
        let with = |queued: bool| {
            let such = self.messages.iter().filter(|entry| (entry.state == State::Queued) == queued);
            such.map(|entry| entry.text.as_str()).collect()
        };
        (with(true), with(false))
    }

    /// Settles messages with a known outcome, and retains only pushes that may be an unanswered message.
    fn retain_open(&mut self) {
        if !self.is_shared {
            self.settle();
        }
        let entry = &self.messages;
        self.matching.retain(|id, text| entry.iter().any(|entry| entry.may_be(id, text)));
    }

    /// Settles messages whose text was pushed: while no other client uses the name, the push is that message, unless it
    /// may belong to another message with the same text and a pending answer.
    fn settle(&mut self) {
        let mut maybe: Vec<(u64, OwnId)> = Vec::new();
        for entry in self.messages.iter().filter(|entry| entry.state == State::Maybe) {
            let open = |other: &OwnMessage| {
                matches!(other.state, State::Sent | State::Lost { .. }) && other.text == entry.text
            };
            if !self.messages.iter().any(open) {
                maybe.push((entry.after, entry.id));
            }
        }
        // The message sent last has the fewest candidates.
        maybe.sort_by_key(|(after, _)| Reverse(*after));
        for (after, id) in maybe {
            let Some(index) = self.messages.iter().position(|entry| entry.id == id) else { continue };
            if self.messages.get(index).is_some_and(|entry| self.matching.take(&entry.text, after)) {
                self.messages.remove(index);
            }
        }
    }

    fn state(&self, id: OwnId) -> Option<State> {
        self.messages.iter().find(|entry| entry.id == id).map(|entry| entry.state)
    }

    fn set(&mut self, id: OwnId, state: State) {
        if let Some(entry) = self.messages.iter_mut().find(|entry| entry.id == id) {
            entry.state = state;
        }
    }

    fn take(&mut self, id: OwnId) -> Option<OwnMessage> {
        let index = self.messages.iter().position(|entry| entry.id == id)?;
        self.messages.remove(index)
    }
}

impl OwnMessage {
    /// Returns whether a stored message with this id and text may be this one.
    fn may_be(&self, id: u64, text: &str) -> bool {
        self.state != State::Queued && id > self.after && self.text == text
    }
}
