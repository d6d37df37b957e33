//! Messages on their way to the subscribers of their channel.

use alloc::{sync::Arc, vec::Vec};

use crate::wire::StoredMessage;

/// The bytes of unused capacity that are not worth a copy.
const SPARE: usize = 4096;

/// Pushes of one channel, in order: encoded once, and shared by all subscribers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushes {
    bytes: Vec<u8>,
    /// The end of each frame.
    ends: Vec<usize>,
}

impl Pushes {
    /// Encodes these messages.
    #[must_use]
    pub fn new<'a>(messages: impl IntoIterator<Item = &'a StoredMessage, IntoIter: Clone>) -> Arc<Self> {
        Arc::new(Self::encode(messages))
    }

    /// Encodes these messages, to be shared later.
    pub(crate) fn encode<'a>(messages: impl IntoIterator<Item = &'a StoredMessage, IntoIter: Clone>) -> Self {
        let messages = messages.into_iter();
        let (mut count, mut length) = (0, 0);
        for message in messages.clone() {
            count += 1;
            length += message.plain_push_length();
        }
        // Allocated once: the pushes of a commit can have hundreds of kilobytes, which the allocator would map, remap and
        // unmap each time.
        let mut pushes = Self { bytes: Vec::with_capacity(length), ends: Vec::with_capacity(count) };
        for message in messages {
            message.encode_push(&mut pushes.bytes);
            pushes.ends.push(pushes.bytes.len());
        }
        pushes.give_back();
        pushes
    }

    /// Drops all but the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        self.give_back();
    }

    /// Returns unused capacity: a page waits for as long as its reader likes.
    fn give_back(&mut self) {
        if self.bytes.capacity() - self.bytes.len() > SPARE {
            self.bytes.shrink_to_fit();
        }
    }

    /// Returns the frames, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the end of the frame that the byte before `position` is in.
    pub(crate) fn end_of_frame_at(&self, position: usize) -> usize {
        let frame = self.ends.partition_point(|end| *end < position);
        self.ends.get(frame).copied().unwrap_or(self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;
    use crate::wire::Timestamp;

    fn message(id: u64, message_content: &str) -> StoredMessage {
        StoredMessage::new(
            "general".parse().unwrap(),
            id,
            "ü".parse().unwrap(),
            message_content.into(),
            Timestamp::from_unix(1_698_937_472),
        )
    }

    #[test]
    fn plain_messages_fill_the_memory_allocated_for_them() {
        let ids = [0, 1, 9, 10, 99, 100, 1 << 38, u64::MAX];
        let messages: Vec<_> = ids.into_iter().chain(1..600).map(|id| message(id, "hi, Zoë")).collect();
        let pushes = Pushes::encode(&messages);
        assert_eq!((pushes.bytes.len(), pushes.len()), (pushes.bytes.capacity(), pushes.ends.capacity()));
    }

    #[test]
    fn unused_memory_is_bounded_whatever_has_escapes() {
        for content in ["\"".repeat(1000), String::from("\\\n\0"), String::new()] {
            for count in [0, 1, 5, 600] {
                let messages: Vec<_> = (0..count).map(|id| message(id, &content)).collect();
                let mut expected = Vec::new();
                messages.iter().for_each(|message| message.encode_push(&mut expected));
                let pushes = Pushes::encode(&messages);
                assert_eq!(pushes.bytes(), expected);
                assert!(pushes.bytes.capacity() - pushes.bytes.len() <= SPARE);
            }
        }
    }
}
