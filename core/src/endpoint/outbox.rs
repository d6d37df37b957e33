//! What waits to be written.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

/// A run of owned bytes is not grown beyond this, so that what was written can be freed in pieces.
const RUN: usize = 64 * 1024;

/// Bytes on their way out, in order. Small answers share one run; shared bytes are never copied.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that were written.
    written: usize,
    len: usize,
}

#[derive(Debug)]
enum Chunk {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends what `write` writes.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.chunks.back(), Some(Chunk::Owned(bytes)) if bytes.len() < RUN) {
            self.chunks.push_back(Chunk::Owned(Vec::new()));
        }
        if let Some(Chunk::Owned(bytes)) = self.chunks.back_mut() {
            let before = bytes.len();
            write(bytes);
            self.len += bytes.len() - before;
        }
    }

    /// Appends bytes that others hold too.
    pub(crate) fn share(&mut self, bytes: Arc<[u8]>) {
        self.len += bytes.len();
        self.chunks.push_back(Chunk::Shared(bytes));
    }

    /// Fills `out` with the next slices to write and says how many there are.
    pub(crate) fn slices<'a>(&'a self, out: &mut [&'a [u8]]) -> usize {
        let mut skip = self.written;
        let mut filled = 0;
        for (place, chunk) in out.iter_mut().zip(&self.chunks) {
            *place = chunk.bytes().get(skip..).unwrap_or_default();
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The next `count` bytes were written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.len = self.len.saturating_sub(count);
        self.written += count;
        while let Some(first) = self.chunks.front().map(|chunk| chunk.bytes().len())
            && self.written >= first
        {
            self.written -= first;
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() {
            // An idle connection keeps no queue.
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [&[][..]; 2];
            let filled = outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..filled].concat().into_iter().take(step).collect();
            outbox.advance(bytes.len());
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn bytes_leave_in_order_however_they_are_taken() {
        for step in 1..12 {
            let mut outbox = Outbox::default();
            outbox.write(|out| out.extend_from_slice(b"one"));
            outbox.write(|out| out.extend_from_slice(b"two"));
            outbox.share(Arc::from(&b"three"[..]));
            outbox.write(|out| out.extend_from_slice(b"four"));
            assert_eq!(outbox.len(), 15);
            assert_eq!(drain(&mut outbox, step), b"onetwothreefour");
            assert_eq!(outbox.chunks.capacity(), 0);
        }
    }

    #[test]
    fn small_answers_share_one_slice() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.write(|out| out.extend_from_slice(b"OK\r\n{}"));
        }
        assert_eq!(outbox.slices(&mut [&[][..]; 4]), 1);
    }
}
