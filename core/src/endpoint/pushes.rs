//! Messages on their way to those who joined their channel.

use alloc::{sync::Arc, vec::Vec};

use crate::wire::StoredMessage;

/// So many bytes of unused capacity are not worth a copy.
const SPARE: usize = 4096;

/// Pushes of one channel, in order: encoded once, and shared by all who hear them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushes {
    bytes: Vec<u8>,
    /// Where each frame ends.
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

    /// A page waits for as long as its reader likes, so what it was given to grow goes back.
    fn give_back(&mut self) {
        if self.bytes.capacity() - self.bytes.len() > SPARE {
            self.bytes.shrink_to_fit();
        }
    }

    /// The frames, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Where the frame ends that the byte before `position` is in.
    pub(crate) fn end_of_frame_at(&self, position: usize) -> usize {
        let frame = self.ends.partition_point(|end| *end < position);
        self.ends.get(frame).copied().unwrap_or(self.bytes.len())
    }
}
