//! Matches pushes under the user's name with acknowledged messages.

use std::collections::VecDeque;

use chanwire_core::wire::Timestamp;

/// The most retained entries of either kind: many more than can be in flight, so that unmatched pushes always remain.
const MAX_ENTRIES: usize = 1024;

/// Acknowledged messages without a push, and pushes without an acknowledgement.
///
/// Both are in the order of their ids, since a message acknowledged later was stored later. So each acknowledged
/// message is matched with the first possible push: its own or an earlier one of another user, never the push of a
/// message that this client sent later.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Matching {
    acknowledged: VecDeque<Acknowledged>,
    unmatched: VecDeque<Push>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Acknowledged {
    text: String,
    after: u64,
    timestamp: Timestamp,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Push {
    id: u64,
    text: String,
    timestamp: Timestamp,
}

impl Acknowledged {
    fn can_be(&self, id: u64, text: &str, timestamp: Timestamp) -> bool {
        id > self.after && self.timestamp == timestamp && self.text == text
    }
}

impl Matching {
    /// Handles the acknowledgement of a message with this text, sent after this id and stored with this time. Matches
    /// one push.
    pub(super) fn acknowledge(&mut self, text: String, after: u64, timestamp: Timestamp) {
        let acknowledged = Acknowledged { text, after, timestamp };
        let can_be = |push: &Push| acknowledged.can_be(push.id, &push.text, push.timestamp);
        match self.unmatched.iter().position(can_be) {
            Some(index) => drop(self.unmatched.remove(index)),
            None => push_bounded(&mut self.acknowledged, acknowledged),
        }
    }

    /// Removes the acknowledged message that matches this push. Returns whether there was one.
    pub(super) fn take_acknowledged(&mut self, id: u64, text: &str, timestamp: Timestamp) -> bool {
        let index = self.acknowledged.iter().position(|acknowledged| acknowledged.can_be(id, text, timestamp));
        index.and_then(|index| self.acknowledged.remove(index)).is_some()
    }

    /// Adds an unmatched push.
    pub(super) fn add(&mut self, id: u64, text: &str, timestamp: Timestamp) {
        push_bounded(&mut self.unmatched, Push { id, text: text.into(), timestamp });
    }

    /// Returns the ids of the unmatched pushes with this text, the newest first.
    pub(super) fn unmatched(&self, text: &str) -> impl Iterator<Item = u64> {
        self.unmatched.iter().rev().filter(move |push| push.text == text).map(|push| push.id)
    }

    /// Drops the newest of these pushes after this id. Returns whether there was one.
    pub(super) fn take(&mut self, text: &str, after: u64) -> bool {
        let index = self.unmatched.iter().rposition(|push| push.id > after && push.text == text);
        index.and_then(|index| self.unmatched.remove(index)).is_some()
    }

    /// Retains only pushes that satisfy the predicate.
    pub(super) fn retain(&mut self, mut predicate: impl FnMut(u64, &str) -> bool) {
        self.unmatched.retain(|push| predicate(push.id, &push.text));
    }

    /// Drops the acknowledged messages, whose pushes were all received.
    pub(super) fn drop_acknowledged(&mut self) {
        self.acknowledged.clear();
    }

    /// Drops the pushes, which belong to another history.
    pub(super) fn clear(&mut self) {
        self.acknowledged.clear();
        self.unmatched.clear();
    }
}

fn push_bounded<T>(entries: &mut VecDeque<T>, new: T) {
    if entries.len() == MAX_ENTRIES {
        entries.pop_front();
    }
    entries.push_back(new);
}
