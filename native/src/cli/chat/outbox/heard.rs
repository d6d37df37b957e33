//! Matches pushes under the user's name with acknowledged messages.

use std::collections::VecDeque;

use chanwire_core::wire::Timestamp;

/// Entries of either kind that are retained, the newest: many more than can be unanswered at one time, so that some
/// pushes are always left that none of those explains.
const KEPT: usize = 1024;

/// Messages that were acknowledged and have not come, and that have come and were not acknowledged.
///
/// Both are in the order of their ids: what is acknowledged later was stored later. So each acknowledged message takes
/// the first push that it can be, which is its own or an earlier one of another's, and never that of a message which
/// this client sent later.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Heard {
    acknowledged: VecDeque<Acknowledged>,
    unexplained: VecDeque<Push>,
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

impl Heard {
    /// Handles the acknowledgement of a message of these words, sent after this id and stored with this time: it explains
    /// one push.
    pub(super) fn explain(&mut self, text: String, after: u64, timestamp: Timestamp) {
        let acknowledged = Acknowledged { text, after, timestamp };
        let can_be = |push: &Push| acknowledged.can_be(push.id, &push.text, push.timestamp);
        match self.unexplained.iter().position(can_be) {
            Some(index) => drop(self.unexplained.remove(index)),
            None => keep(&mut self.acknowledged, acknowledged),
        }
    }

    /// Returns whether an acknowledged message explains this push; it explains no other then.
    pub(super) fn is_explained(&mut self, id: u64, text: &str, timestamp: Timestamp) -> bool {
        let index = self.acknowledged.iter().position(|acknowledged| acknowledged.can_be(id, text, timestamp));
        index.and_then(|index| self.acknowledged.remove(index)).is_some()
    }

    /// This push is not explained.
    pub(super) fn note(&mut self, id: u64, text: &str, timestamp: Timestamp) {
        keep(&mut self.unexplained, Push { id, text: text.into(), timestamp });
    }

    /// Returns the pushes of these words that are not explained, the newest first.
    pub(super) fn unexplained(&self, text: &str) -> impl Iterator<Item = u64> {
        self.unexplained.iter().rev().filter(move |push| push.text == text).map(|push| push.id)
    }

    /// Forgets the newest of these pushes that came after this id. Whether there was one.
    pub(super) fn take(&mut self, text: &str, after: u64) -> bool {
        let index = self.unexplained.iter().rposition(|push| push.id > after && push.text == text);
        index.and_then(|index| self.unexplained.remove(index)).is_some()
    }

    /// Keeps such pushes alone.
    pub(super) fn retain(&mut self, mut such: impl FnMut(u64, &str) -> bool) {
        self.unexplained.retain(|push| such(push.id, &push.text));
    }

    /// Drops the acknowledged messages: none of their pushes is still to come.
    pub(super) fn forget_explained(&mut self) {
        self.acknowledged.clear();
    }

    /// Drops what came: it belongs to a history that is no longer known.
    pub(super) fn forget_all(&mut self) {
        self.acknowledged.clear();
        self.unexplained.clear();
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}
