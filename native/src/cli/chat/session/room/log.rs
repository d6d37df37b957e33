//! The last messages of a channel, kept to be shown again.

use std::collections::VecDeque;

use chanwire_core::wire::StoredMessage;

use crate::{cli::chat::session::Mention, client::size};

/// The most messages that are kept, and their bytes.
const KEPT: usize = 1000;
const KEPT_BYTES: usize = 1 << 20;

/// Messages without a gap, the last ones of those that came.
#[derive(Debug, Default)]
pub(super) struct Log {
    messages: VecDeque<(StoredMessage, Mention)>,
    bytes: usize,
}

impl Log {
    /// Adds the next message, and drops the oldest ones that are too many.
    pub(super) fn push(&mut self, message: StoredMessage, mention: Mention) {
        if let Some(id) = message.deletes {
            self.delete(id);
        }
        self.bytes += size(&message);
        self.messages.push_back((message, mention));
        while self.messages.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some((dropped, _)) = self.messages.pop_front() else { return };
            self.bytes -= size(&dropped);
        }
    }

    /// Adds older messages, as many as there is room for, if they end where these begin.
    pub(super) fn push_older(&mut self, messages: &[(StoredMessage, Mention)]) {
        for (message, mention) in messages.iter().rev() {
            let first = self.messages.front().map(|(message, _)| message.id);
            let more = size(message);
            if first != Some(message.id + 1) || self.messages.len() >= KEPT || self.bytes + more > KEPT_BYTES {
                return;
            }
            self.bytes += more;
            self.messages.push_front((message.clone(), *mention));
        }
    }

    /// Drops the text of a message that was deleted.
    fn delete(&mut self, id: u64) {
        if let Some((message, mention)) = self.messages.iter_mut().rev().find(|(message, _)| message.id == id) {
            self.bytes -= size(message);
            *message = message.clone().tombstone();
            *mention = Mention::No;
            self.bytes += size(message);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the messages, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &StoredMessage> {
        self.messages.iter().rev().map(|(message, _)| message)
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns the last messages, at most so many, the oldest first.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &(StoredMessage, Mention)> {
        self.messages.iter().skip(self.messages.len().saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use chanwire_core::wire::Timestamp;

    use super::*;

    fn message(id: u64, text: &str) -> StoredMessage {
        let (channel, user) = ("general".parse().unwrap(), "bob".parse().unwrap());
        StoredMessage::new(channel, id, user, text.into(), Timestamp::from_unix(0))
    }

    fn texts(log: &Log, count: usize) -> Vec<&str> {
        log.last(count).map(|(message, _)| &*message.message_content).collect()
    }

    #[test]
    fn the_last_messages_are_kept_up_to_a_number_and_a_size() {
        let mut log = Log::default();
        (1..=3000).for_each(|id| log.push(message(id, &id.to_string()), Mention::No));
        assert_eq!((log.len(), log.messages.front().unwrap().0.id), (KEPT, 2001));
        assert_eq!(texts(&log, 2), ["2999", "3000"]);
        (3001..=3100).for_each(|id| log.push(message(id, &"x".repeat(60_000)), Mention::No));
        assert!(log.bytes <= KEPT_BYTES && log.len() > 10, "{}", log.len());
        assert_eq!(log.bytes, log.messages.iter().map(|(message, _)| size(message)).sum::<usize>());
        log.clear();
        assert_eq!((log.len(), log.bytes), (0, 0));
    }

    #[test]
    fn older_messages_are_added_where_they_fit_and_there_is_room() {
        let older = |ids: std::ops::RangeInclusive<u64>| -> Vec<_> {
            ids.map(|id| (message(id, &id.to_string()), Mention::No)).collect()
        };
        let mut log = Log::default();
        log.push_older(&older(1..=5));
        assert_eq!(log.len(), 0);
        log.push(message(2001, "2001"), Mention::No);
        log.push_older(&older(1990..=1999));
        assert_eq!(log.len(), 1);
        log.push_older(&older(1..=2000));
        assert_eq!((log.len(), texts(&log, KEPT).first().copied()), (KEPT, Some("1002")));
        assert_eq!(log.bytes, log.messages.iter().map(|(message, _)| size(message)).sum::<usize>());
    }

    #[test]
    fn the_text_of_a_deleted_message_is_dropped() {
        let mut log = Log::default();
        log.push(message(1, "secret of ann"), Mention::New);
        log.push(message(2, "b"), Mention::No);
        let mut record = message(3, "Deleted message 1");
        record.deletes = Some(1);
        log.push(record, Mention::No);
        assert_eq!(texts(&log, 9), ["(deleted)", "b", "Deleted message 1"]);
        assert_eq!(log.bytes, log.messages.iter().map(|(message, _)| size(message)).sum::<usize>());
        assert!(log.last(9).all(|(_, mention)| *mention == Mention::No));
    }
}
