//! What is still to happen, by virtual time.

use std::{cmp::Reverse, collections::BinaryHeap};

use chanwire_core::Time;

/// Things to happen, each at its moment. What is due in the same millisecond happens in an order that the seed picks.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    key: (Time, u16, u64),
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }

    /// `what` happens at `at`; `lot` orders it among all that happens then.
    pub(super) fn push(&mut self, at: Time, lot: u16, what: T) {
        self.pushed += 1;
        self.heap.push(Reverse(Entry { key: (at, lot, self.pushed), what }));
    }

    /// What happens next, and when.
    pub(super) fn pop(&mut self) -> Option<(Time, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.key.0, entry.what))
    }
}
