//! The output that waits to be written.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::mem;

use super::{
    listing::{Listing, Unread},
    pushes::Pushes,
};
use crate::wire::{LIST_END, LIST_START};

/// A run of owned bytes is not grown beyond this, so that what was written can be freed in pieces.
const RUN: usize = 64 * 1024;

/// A list of at most this part of what is held ahead is copied, which costs less than sharing it.
const COPIED: usize = 32;

/// Bytes on their way out, in order. Small answers share one run; shared bytes are never copied.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Pieces of a list are held up to this many bytes ahead of what is written.
    ahead: usize,
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that were written.
    written: usize,
    /// The number of chunks that are lists whose pieces are not all held.
    unfilled: usize,
    /// The rest of a list was withdrawn, and nothing can be sent any more.
    withdrawn: bool,
    /// Bytes that wait: answers, replayed pushes, live pushes.
    answers: usize,
    replayed: usize,
    live: usize,
}

#[derive(Debug)]
enum Chunk {
    Owned(Vec<u8>),
    Fixed(&'static [u8]),
    /// Bytes that others hold too, from `start` on.
    Shared {
        bytes: Arc<[u8]>,
        start: usize,
    },
    /// The place of the pieces of a list that are not held yet.
    List(Unread),
    /// Frames of pushes up to `end`.
    Pushes {
        pushes: Arc<Pushes>,
        end: usize,
        live: bool,
    },
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Fixed(bytes) => bytes,
            Self::Shared { bytes, start } => bytes.get(*start..).unwrap_or_default(),
            Self::List(_) => &[],
            Self::Pushes { pushes, end, .. } => pushes.bytes().get(..*end).unwrap_or_default(),
        }
    }
}

impl Outbox {
    pub(crate) const fn new(ahead: usize) -> Self {
        Self {
            ahead,
            chunks: VecDeque::new(),
            written: 0,
            unfilled: 0,
            withdrawn: false,
            answers: 0,
            replayed: 0,
            live: 0,
        }
    }

    /// Returns the number of bytes of answers that wait. Pushes do not count.
    pub(crate) const fn answers(&self) -> usize {
        self.answers
    }

    /// Returns the number of bytes of replayed pushes that wait.
    pub(crate) const fn replayed(&self) -> usize {
        self.replayed
    }

    /// Returns the number of bytes of live pushes that wait.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends what `write` writes.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.chunks.back(), Some(Chunk::Owned(bytes)) if bytes.len() < RUN) {
            self.chunks.push_back(Chunk::Owned(Vec::new()));
        }
        if let Some(Chunk::Owned(bytes)) = self.chunks.back_mut() {
            let before = bytes.len();
            write(bytes);
            self.answers += bytes.len() - before;
        }
    }

    /// Appends bytes that others hold too.
    pub(crate) fn share(&mut self, bytes: Arc<[u8]>) {
        self.answers += bytes.len();
        self.chunks.push_back(Chunk::Shared { bytes, start: 0 });
    }

    /// Appends the answer to LIST.
    pub(crate) fn list(&mut self, listing: Listing) {
        listing.count_answer();
        if listing.size() <= self.ahead / COPIED {
            let mut is_there = true;
            self.write(|out| is_there = listing.append_to(out));
            if !is_there {
                self.withdraw();
            }
            return;
        }
        self.answers += listing.size();
        self.chunks.push_back(Chunk::Fixed(LIST_START));
        self.chunks.push_back(Chunk::List(Unread::new(listing)));
        self.unfilled += 1;
        self.fill();
    }

    /// Returns whether the rest of a list was withdrawn since the last call.
    pub(crate) const fn take_withdrawn(&mut self) -> bool {
        mem::replace(&mut self.withdrawn, false)
    }

    fn withdraw(&mut self) {
        *self = Self { withdrawn: true, ..Self::new(self.ahead) };
    }

    /// Takes hold of the pieces that are written next.
    fn fill(&mut self) {
        while self.unfilled > 0 {
            let enough = self.ahead + self.written;
            let mut held = 0_usize;
            let is_next = |chunk: &Chunk| {
                held += chunk.bytes().len();
                held >= enough || matches!(chunk, Chunk::List(_))
            };
            let Some(at) = self.chunks.iter().position(is_next) else { return };
            let Some(Chunk::List(unread)) = self.chunks.get_mut(at) else { return };
            let mut pieces = Vec::new();
            let more = unread.take(|bytes, start| {
                pieces.push(Chunk::Shared { bytes: bytes.clone(), start });
                held += bytes.len() - start;
                held < enough
            });
            match more {
                None => return self.withdraw(),
                Some(true) => {}
                Some(false) => {
                    self.unfilled -= 1;
                    self.chunks.remove(at);
                    pieces.push(Chunk::Fixed(LIST_END));
                }
            }
            for (place, piece) in (at..).zip(pieces) {
                self.chunks.insert(place, piece);
            }
        }
    }

    /// Appends pushes.
    pub(crate) fn push(&mut self, pushes: Arc<Pushes>, live: bool) {
        let end = pushes.bytes().len();
        if end == 0 {
            return;
        }
        *(if live { &mut self.live } else { &mut self.replayed }) += end;
        self.chunks.push_back(Chunk::Pushes { pushes, end, live });
    }

    /// Drops all pushes but the frame that is written in part.
    pub(crate) fn drop_pushes(&mut self) {
        (self.live, self.replayed) = (0, 0);
        let written = self.written;
        let begun = self.chunks.pop_front_if(|_| written > 0);
        self.chunks.retain(|chunk| !matches!(chunk, Chunk::Pushes { .. }));
        match begun {
            Some(Chunk::Pushes { pushes, live, .. }) => {
                let end = pushes.end_of_frame_at(written);
                if end > written {
                    *(if live { &mut self.live } else { &mut self.replayed }) = end - written;
                    self.chunks.push_front(Chunk::Pushes { pushes, end, live });
                } else {
                    self.written = 0;
                }
            }
            Some(answer) => self.chunks.push_front(answer),
            None => {}
        }
        self.fill();
    }

    /// Fills `out` with the next slices to write and returns their number.
    pub(crate) fn slices<'a>(&'a self, out: &mut [&'a [u8]]) -> usize {
        let mut skip = self.written;
        let mut filled = 0;
        let held = self.chunks.iter().take_while(|chunk| !matches!(chunk, Chunk::List(_)));
        for (place, chunk) in out.iter_mut().zip(held) {
            *place = chunk.bytes().get(skip..).unwrap_or_default();
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Notes that the next `count` bytes were written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.remove(count);
        self.fill();
    }

    fn remove(&mut self, mut count: usize) {
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.bytes().len().saturating_sub(self.written);
            let taken = left.min(count);
            let waiting = match chunk {
                Chunk::List(_) => return,
                Chunk::Owned(_) | Chunk::Fixed(_) | Chunk::Shared { .. } => &mut self.answers,
                Chunk::Pushes { live: true, .. } => &mut self.live,
                Chunk::Pushes { live: false, .. } => &mut self.replayed,
            };
            *waiting = waiting.saturating_sub(taken);
            count -= taken;
            if taken < left {
                self.written += taken;
                return;
            }
            self.written = 0;
            self.chunks.pop_front();
        }
        // An idle connection keeps no queue.
        *self = Self { withdrawn: self.withdrawn, ..Self::new(self.ahead) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{StoredMessage, Timestamp};

    const AHEAD: usize = 64 * 1024;

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
            let mut outbox = Outbox::new(AHEAD);
            outbox.write(|out| out.extend_from_slice(b"one"));
            outbox.write(|out| out.extend_from_slice(b"two"));
            outbox.share(Arc::from(&b"three"[..]));
            outbox.write(|out| out.extend_from_slice(b"four"));
            assert_eq!(outbox.answers(), 15);
            assert_eq!(drain(&mut outbox, step), b"onetwothreefour");
            assert_eq!(outbox.chunks.capacity(), 0);
        }
    }

    fn message(id: u64) -> StoredMessage {
        StoredMessage::new("general".parse().unwrap(), id, "ann".parse().unwrap(), "hi".into(), Timestamp::from_unix(0))
    }

    #[test]
    fn dropping_pushes_leaves_the_frame_that_is_begun_and_every_answer() {
        let pushes = Pushes::new(&[message(1), message(2), message(3)]);
        let frame = pushes.bytes().len() / 3;
        for written in 0..=3 * frame {
            let mut outbox = Outbox::new(AHEAD);
            outbox.push(pushes.clone(), true);
            outbox.write(|out| out.extend_from_slice(b"answer"));
            outbox.push(pushes.clone(), false);
            outbox.advance(written);
            outbox.drop_pushes();
            let begun = written.next_multiple_of(frame) - written;
            assert_eq!((outbox.live(), outbox.replayed(), outbox.answers()), (begun, 0, 6), "{written}");
            let rest = [&pushes.bytes()[written..written + begun], b"answer"].concat();
            assert_eq!(drain(&mut outbox, 7), rest, "{written}");
        }
    }

    #[test]
    fn small_answers_share_one_slice() {
        let mut outbox = Outbox::new(AHEAD);
        for _ in 0..100 {
            outbox.write(|out| out.extend_from_slice(b"OK\r\n{}"));
        }
        assert_eq!(outbox.slices(&mut [&[][..]; 4]), 1);
    }
}
