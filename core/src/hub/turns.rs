//! The order in which commits take writes.

use alloc::collections::BTreeMap;

use super::ConnectionId;

/// Bytes that a write counts beside its text, for its share of a commit's cost and for what a push adds.
pub(super) const WRITE_OVERHEAD: usize = 100;

/// The writers that have something to be stored, in the order in which commits take from them: fair queueing by bytes.
/// It divides commits as deficit round robin does, but no turn costs more than the logarithm of how many wait, and a
/// small write goes before large ones.
///
/// Each turn has an end, in bytes that a writer had: where its last one ended, plus the size of the write. The turn
/// that ends first comes first. A writer that was away begins anew where those that wait are by now: it waits for
/// nobody's backlog, and saves up nothing.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The turns by their ends; of those that end together the earlier comes first. Each with its size.
    queue: BTreeMap<(u64, u64), (Writer, usize)>,
    /// The bytes that a writer which waited all the time has had.
    now: u64,
    arrivals: u64,
}

/// A writer that has something to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A connection, the first of whose pending requests is a write.
    Connection(ConnectionId),
    /// Leases that have ended.
    EndedLeases,
}

/// The end of a writer's last turn, in bytes: see [`Turns`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TurnEnd(u64);

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives a writer that has no turn one, for a write of this size.
    pub(super) fn add(&mut self, writer: Writer, last: TurnEnd, bytes: usize) {
        let end = last.0.max(self.now).saturating_add(bytes as u64);
        self.queue.insert((end, self.arrivals), (writer, bytes));
        self.arrivals += 1;
    }

    /// Takes the next turn. Returns its writer, and the turn's end for when the writer uses it.
    pub(super) fn take(&mut self) -> Option<(Writer, TurnEnd)> {
        let waiting = self.queue.len();
        let ((end, _), (writer, bytes)) = self.queue.pop_first()?;
        self.now += bytes.div_ceil(waiting) as u64;
        Some((writer, TurnEnd(end)))
    }

    /// Takes all writers, in order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Writer> + use<> {
        core::mem::take(&mut self.queue).into_values().map(|(writer, _)| writer)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Writers that always have something to write.
    #[derive(Default)]
    struct Busy {
        turns: Turns,
        last_ends: BTreeMap<u64, TurnEnd>,
        sizes: BTreeMap<u64, usize>,
    }

    impl Busy {
        fn with(sizes: &[(u64, usize)]) -> Self {
            let mut busy = Self::default();
            sizes.iter().for_each(|(id, size)| busy.add(*id, *size));
            busy
        }

        fn add(&mut self, id: u64, size: usize) {
            self.sizes.insert(id, size);
            self.turns.add(
                Writer::Connection(ConnectionId(id)),
                self.last_ends.get(&id).copied().unwrap_or_default(),
                size,
            );
        }

        /// Takes the next turn; the writer asks for another if it is to stay.
        fn take(&mut self, stays: impl Fn(u64) -> bool) -> u64 {
            let Some((Writer::Connection(ConnectionId(id)), end)) = self.turns.take() else { panic!("nobody waits") };
            self.last_ends.insert(id, end);
            if stays(id) {
                self.add(id, self.sizes[&id]);
            }
            id
        }

        fn run(&mut self, count: usize) -> Vec<u64> {
            (0..count).map(|_| self.take(|_| true)).collect()
        }
    }

    fn count(order: &[u64], id: u64) -> usize {
        order.iter().filter(|other| **other == id).count()
    }

    #[test]
    fn writers_of_equal_sizes_take_turns() {
        let mut busy = Busy::with(&[(3, 100), (1, 100), (2, 100)]);
        assert_eq!(busy.run(9), [3, 1, 2, 3, 1, 2, 3, 1, 2]);
    }

    #[test]
    fn bytes_are_divided_equally_whatever_their_sizes() {
        let sizes = [(1, 65_536), (2, 200), (3, 1000)];
        let order = Busy::with(&sizes).run(50_000);
        let bytes = sizes.map(|(id, size)| count(&order, id) * size);
        assert!(bytes.iter().all(|sum| sum.abs_diff(bytes[0]) <= 2 * 65_536), "{bytes:?}");
    }

    #[test]
    fn a_newcomer_goes_before_a_crowd_of_larger_writes_and_has_no_more_than_its_share() {
        for size in [100, 3000, 65_536] {
            let crowd: Vec<_> = (1..=300).map(|id| (id, size)).collect();
            let mut busy = Busy::with(&crowd);
            for rounds in [1, 7, 300, 1000] {
                busy.run(rounds);
                busy.add(999, 100);
                let before = core::iter::from_fn(|| Some(busy.take(|id| id != 999)).filter(|id| *id != 999)).count();
                // Of equal sizes each may have one turn before it.
                assert!(before <= if size == 100 { 300 } else { 1 }, "{before} writes of {size} bytes");
            }
            busy.add(999, size);
            let share = count(&busy.run(301 * 10), 999);
            assert!((9..=11).contains(&share), "{share} turns");
        }
    }

    #[test]
    fn those_that_come_anew_each_time_keep_nobody_waiting_for_ever() {
        let mut busy = Busy::with(&[(1, 65_536)]);
        let mut newcomers = 0;
        loop {
            newcomers += 1;
            busy.add(1000 + newcomers, 100);
            if busy.take(|_| false) == 1 {
                break;
            }
            assert!(newcomers < 2000, "a large write is never stored");
        }
    }

    #[test]
    fn leaving_after_each_turn_wins_nothing() {
        let mut busy = Busy::with(&[(1, 100), (2, 100), (3, 100)]);
        let mut order = Vec::new();
        for _ in 0..300 {
            let id = busy.take(|id| id != 3);
            if order.last() == Some(&3) {
                // It comes back when the next has had its turn.
                busy.add(3, 100);
            }
            order.push(id);
        }
        assert!(count(&order, 3) <= 110, "{}", count(&order, 3));
    }
}
