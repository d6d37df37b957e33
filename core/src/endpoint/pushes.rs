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
    pub fn new<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> Arc<Self> {
        Arc::new(Self::encode(messages))
    }

    /// Encodes these messages, to be shared later.
    pub(crate) fn encode<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> Self {
        let mut pushes = Self::default();
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
