//! Scheduled events, by virtual time.

use std::{cmp::Reverse, collections::BinaryHeap};

use chanwire_core::Time;

/// Events, each at its time. The seed picks the order of those in the same millisecond.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    key: (Time, u16, u64),
    event: T,
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

    /// Schedules an event. `lot` orders it among the events of the same time.
    pub(super) fn push(&mut self, at: Time, lot: u16, event: T) {
        self.pushed += 1;
        self.heap.push(Reverse(Entry { key: (at, lot, self.pushed), event }));
    }

    /// Removes the next event and returns it with its time.
    pub(super) fn pop(&mut self) -> Option<(Time, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.key.0, entry.event))
    }
}
