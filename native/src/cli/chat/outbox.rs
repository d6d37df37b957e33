//! Messages that this client has sent to a channel and not yet seen there: which were delivered, which must be sent
//! again, and which may have been stored.

mod heard;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::VecDeque};

use chanwire_core::wire::{StoredMessage, Timestamp};

use heard::Heard;

/// Messages without an answer at most.
const WINDOW: usize = 64;

/// One of the user's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnId(u64);

/// The user's own messages that are not settled, in the order typed.
///
/// An answer carries no id. An acknowledged message therefore explains one push of its words, and a push that no
/// acknowledged message explains may be any of the unanswered ones. When the connection is lost and the channel is read
/// again, a message that matches no push is not stored, and is sent again.
///
/// A message that matches a push is taken for it, as long as nothing has come under the user's name that this client did
/// not send. But names are not owned: once something has, for example from the same person at another terminal, the user
/// is asked about every message that matches a push. Two users of one name who send the same words for the first time
/// while the connection is lost cannot be distinguished.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Outbox {
    own: VecDeque<Own>,
    next: u64,
    heard: Heard,
    /// Another client sends messages under the user's name.
    is_shared: bool,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Own {
    id: OwnId,
    text: String,
    state: State,
    /// The last message that had come when it was sent: its own comes later.
    after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not sent, or certainly not stored: to be sent.
    Queued,
    /// Sent on this connection, and not answered.
    Sent,
    /// The connection was lost before the answer. If the server ended it, it stores nothing more.
    Lost { ended_by_server: bool },
    /// Maybe stored.
    Maybe,
}

/// A message that may be stored or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maybe<'a> {
    pub(super) id: OwnId,
    pub(super) text: &'a str,
    /// A message of these words came under the user's name that may be this one.
    pub(super) has_come: bool,
}

impl Outbox {
    /// Adds a message to be sent.
    pub(super) fn push(&mut self, text: String) {
        self.own.push_back(Own { id: OwnId(self.next), text, state: State::Queued, after: 0 });
        self.next += 1;
    }

    /// Returns the next message to send now, if there is room; it counts as sent. `known` is the last message that has come.
    pub(super) fn send_next(&mut self, known: u64) -> Option<(OwnId, String)> {
        if self.own.iter().filter(|own| own.state == State::Sent).count() >= WINDOW {
            return None;
        }
        let own = self.own.iter_mut().find(|own| own.state == State::Queued)?;
        (own.state, own.after) = (State::Sent, known);
        Some((own.id, own.text.clone()))
    }

    /// Handles the acknowledgement of a message, which is stored with this time.
    pub(super) fn delivered(&mut self, id: OwnId, timestamp: Timestamp) {
        if self.state(id) == Some(State::Sent)
            && let Some(Own { text, after, .. }) = self.take(id)
        {
            self.heard.explain(text, after, timestamp);
        }
        self.retain_open();
    }

    /// Handles the refusal of a message, which is not stored. Returns its words.
    pub(super) fn refused(&mut self, id: OwnId) -> Option<String> {
        let own = self.take(id);
        self.retain_open();
        own.map(|own| own.text)
    }

    /// Handles a failure of the server, which does not know whether the message is stored.
    pub(super) fn failed(&mut self, id: OwnId) {
        self.set(id, State::Maybe);
        self.retain_open();
    }

    /// A message of the user's name was pushed. `is_new` says that it was stored since this client is there: what was
    /// before may be its user's own of an earlier time. Gives the first that it may be of those of which it is still not
    /// known whether they are stored.
    pub(super) fn came(&mut self, message: &StoredMessage, is_new: bool) -> Option<OwnId> {
        let StoredMessage { id, message_content: text, timestamp, .. } = message;
        if self.heard.is_explained(*id, text, *timestamp) {
            return None;
        }
        if !self.own.iter().any(|own| own.may_be(*id, text)) {
            self.is_shared |= is_new;
            return None;
        }
        self.heard.note(*id, text, *timestamp);
        self.retain_open();
        let maybe = self.own.iter().find(|own| own.state == State::Maybe && own.may_be(*id, text));
        maybe.map(|own| own.id)
    }

    /// Handles the loss of the connection. If the server ended it, it carries out nothing more of what it was sent.
    pub(super) fn lost(&mut self, ended_by_server: bool) {
        for own in self.own.iter_mut().filter(|own| own.state == State::Sent) {
            own.state = State::Lost { ended_by_server };
        }
    }

    /// The channel was read again up to its end. `complete` says that nothing stored since can have been missed: then
    /// what no push can be is not stored, and is sent again.
    pub(super) fn read_again(&mut self, complete: bool) {
        // All that was acknowledged is stored, so it has come, or stands where nothing can come from any more.
        self.heard.forget_explained();
        if !complete {
            self.heard.forget_all();
        }
        // Each push is at most one of them. What was sent last has the fewest to choose from, and chooses first: so as
        // many as can be are maybe stored, and the others surely are not.
        let mut lost: Vec<&mut Own> =
            self.own.iter_mut().filter(|own| matches!(own.state, State::Lost { .. })).collect();
        lost.sort_by_key(|own| Reverse(own.after));
        let mut taken = Vec::new();
        for own in lost {
            let may_be = self.heard.unexplained(&own.text).find(|id| *id > own.after && !taken.contains(id));
            taken.extend(may_be);
            own.state = match own.state {
                State::Lost { ended_by_server: true } if complete && may_be.is_none() => State::Queued,
                _ => State::Maybe,
            };
        }
        self.retain_open();
    }

    /// Returns the first message that may be stored or not.
    pub(super) fn first_maybe(&self) -> Option<Maybe<'_>> {
        let Own { id, text, after, .. } = self.own.iter().find(|own| own.state == State::Maybe)?;
        let has_come = self.heard.unexplained(text).any(|id| id > *after);
        Some(Maybe { id: *id, text, has_come })
    }

    /// Returns whether the outcome of this one is unknown.
    pub(super) fn is_maybe(&self, id: OwnId) -> bool {
        self.state(id) == Some(State::Maybe)
    }

    /// Sends it again.
    pub(super) fn resend(&mut self, id: OwnId) {
        self.set(id, State::Queued);
        self.retain_open();
    }

    /// Drops it.
    pub(super) fn discard(&mut self, id: OwnId) {
        self.take(id);
        self.retain_open();
    }

    /// Counts the messages that wait for the connection or for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.own.iter().filter(|own| own.state != State::Maybe).count()
    }

    /// Returns the messages that are left if nothing more comes: those certainly not sent, and those maybe sent.
    pub(super) fn unsettled(&self) -> (Vec<&str>, Vec<&str>) {
        let with = |queued: bool| {
            let such = self.own.iter().filter(|own| (own.state == State::Queued) == queued);
            such.map(|own| own.text.as_str()).collect()
        };
        (with(true), with(false))
    }

    /// Settles the messages that have become known, and retains only pushes that may be one of the unanswered ones.
    fn retain_open(&mut self) {
        if !self.is_shared {
            self.settle();
        }
        let own = &self.own;
        self.heard.retain(|id, text| own.iter().any(|own| own.may_be(id, text)));
    }

    /// Settles the messages whose words were pushed: while no other client uses this name, the push is that message,
    /// unless an answer to another of the same words may still explain it.
    fn settle(&mut self) {
        let mut maybe: Vec<(u64, OwnId)> = Vec::new();
        for own in self.own.iter().filter(|own| own.state == State::Maybe) {
            let open = |other: &Own| matches!(other.state, State::Sent | State::Lost { .. }) && other.text == own.text;
            if !self.own.iter().any(open) {
                maybe.push((own.after, own.id));
            }
        }
        // The last one sent has the fewest pushes to choose from.
        maybe.sort_by_key(|(after, _)| Reverse(*after));
        for (after, id) in maybe {
            let Some(index) = self.own.iter().position(|own| own.id == id) else { continue };
            if self.own.get(index).is_some_and(|own| self.heard.take(&own.text, after)) {
                self.own.remove(index);
            }
        }
    }

    fn state(&self, id: OwnId) -> Option<State> {
        self.own.iter().find(|own| own.id == id).map(|own| own.state)
    }

    fn set(&mut self, id: OwnId, state: State) {
        if let Some(own) = self.own.iter_mut().find(|own| own.id == id) {
            own.state = state;
        }
    }

    fn take(&mut self, id: OwnId) -> Option<Own> {
        let index = self.own.iter().position(|own| own.id == id)?;
        self.own.remove(index)
    }
}

impl Own {
    /// Returns whether the message of this id, with these words, may be this one.
    fn may_be(&self, id: u64, text: &str) -> bool {
        self.state != State::Queued && id > self.after && self.text == text
    }
}
