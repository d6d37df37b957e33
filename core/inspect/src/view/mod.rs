//! The rows that a filter and a time range leave, in order.

mod places;

use crate::{Capture, Filter, filter::Candidates};
use places::Places;

/// The rows of a [`Capture`] that pass a filter and lie in a time range.
///
/// It grows with the capture: call [`advance`](Self::advance) after anything was recorded, as often as it says that
/// there is more to do. Each row has a position, from 0 in each epoch; rows that the capture drops leave at the front.
/// Of a row that passes two bytes are kept, and none at all while all rows do.
#[derive(Debug, Default)]
pub struct View {
    filter: Option<Filter>,
    range: Option<(f64, f64)>,
    epoch: u64,
    /// The capture's own count, to know when it was cleared.
    clears: u64,
    /// The first number of the epoch.
    base: u64,
    /// The rows before this one were looked at.
    next: u64,
    /// While frozen, no row from this one on is looked at.
    frozen: Option<u64>,
    first: u64,
    places: Places,
}

/// The work of one step, in rows that the filter looks at. A row that its bytes alone rule out counts less.
const SLICE: usize = 1 << 13;

/// The number of rows passed over that count as one looked at.
const CHEAP: usize = 16;

impl View {
    /// Returns a view of all rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows only what passes this filter, or everything. Begins a new epoch.
    pub fn set_filter(&mut self, filter: Option<Filter>, capture: &Capture) {
        self.filter = filter;
        self.start(capture);
    }

    /// Shows only rows of these times, from the first up to and with the second, in milliseconds from the capture's
    /// first event. Begins a new epoch.
    pub fn set_range(&mut self, range: Option<(f64, f64)>, capture: &Capture) {
        self.range = range;
        self.start(capture);
    }

    /// Rows that come from now on are not shown until it goes on.
    pub fn freeze(&mut self, frozen: bool, capture: &Capture) {
        self.frozen = frozen.then(|| capture.end_number());
    }

    /// Returns the filter in force.
    #[must_use]
    pub const fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Returns whether every row is shown.
    const fn is_whole(&self) -> bool {
        self.filter.is_none() && self.range.is_none()
    }

    fn start(&mut self, capture: &Capture) {
        self.epoch += 1;
        self.clears = capture.clears();
        self.base = capture.first();
        self.next = self.base;
        self.first = self.base;
        self.places = Places::default();
    }

    /// Filters a bounded number of rows that were not filtered yet. Returns whether more remain.
    pub fn advance(&mut self, capture: &Capture) -> bool {
        if self.clears != capture.clears() || self.base == 0 {
            self.frozen = self.frozen.map(|_| capture.end_number());
            self.start(capture);
        }
        self.first = capture.first();
        self.next = self.next.max(self.first);
        let end = self.end_number(capture);
        if self.is_whole() {
            self.next = end.max(self.next);
            return false;
        }
        self.places.drop_before(self.first);
        let mut budget = SLICE;
        while budget > 0 && self.next < end {
            let Some(chunk) = capture.store().chunk_at(self.next) else { break };
            let place = |number: u64| usize::try_from(number.saturating_sub(chunk.first())).unwrap_or(usize::MAX);
            let (from, to) = (place(self.next), place(end).min(chunk.len()));
            let mut looked_to = to;
            let mut rows = self.places.of_chunk(chunk.first());
            let mut look = |place: usize| {
                if capture.store().entry_in(chunk, place).is_some_and(|entry| passes(&self.filter, self.range, &entry))
                {
                    rows.push(place);
                }
            };
            match self.filter.as_ref().and_then(Filter::required) {
                Some(required) => {
                    for place in Candidates::new(chunk, required, from, to) {
                        look(place);
                        budget = budget.saturating_sub(1);
                        if budget == 0 {
                            looked_to = place + 1;
                            break;
                        }
                    }
                    budget = budget.saturating_sub((looked_to - from).div_ceil(CHEAP));
                }
                None => {
                    looked_to = to.min(from + budget);
                    (from..looked_to).for_each(look);
                    budget -= looked_to - from;
                }
            }
            self.next = chunk.first() + looked_to as u64;
        }
        self.next < end
    }

    /// Returns the number of the row before which the view ends.
    fn end_number(&self, capture: &Capture) -> u64 {
        let end = capture.end_number();
        self.frozen.map_or(end, |frozen| frozen.min(end))
    }

    /// Returns the number of held rows that were looked at, and of all held rows; `None` when it is done.
    #[must_use]
    pub fn scanning(&self, capture: &Capture) -> Option<(u64, u64)> {
        let (first, end) = (capture.first(), self.end_number(capture));
        (self.next < end).then(|| (self.next.saturating_sub(first), end - first))
    }

    /// Returns a number that changes when positions start again from 0.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the position of the oldest row that is held.
    #[must_use]
    pub fn begin(&self) -> u64 {
        if self.is_whole() { self.first.min(self.next).saturating_sub(self.base) } else { self.places.begin() }
    }

    /// Returns the position that the next row gets.
    #[must_use]
    pub fn end(&self) -> u64 {
        if self.is_whole() { self.next - self.base } else { self.places.end() }
    }

    /// Returns the number of the row at this position, if it is held.
    #[must_use]
    pub fn number_at(&self, position: u64) -> Option<u64> {
        if position < self.begin() || position >= self.end() {
            return None;
        }
        if self.is_whole() { Some(self.base + position) } else { self.places.number_at(position) }
    }

    /// Returns the position of the first row with this number or a higher one; that of the end if there is none.
    #[must_use]
    pub fn position_of(&self, number: u64) -> u64 {
        if self.is_whole() {
            return number.clamp(self.first.min(self.next), self.next) - self.base;
        }
        self.places.position_of(number)
    }

    /// Returns the position of a row, or of the nearest one after it, else of the last one, and whether it is the row
    /// itself. `None` where there is no row.
    #[must_use]
    pub fn locate(&self, number: u64) -> Option<(u64, bool)> {
        let last = self.end().checked_sub(1).filter(|last| *last >= self.begin())?;
        let position = self.position_of(number).min(last);
        Some((position, self.number_at(position) == Some(number)))
    }

    /// Returns the memory that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.places.memory()
    }
}

fn passes(filter: &Option<Filter>, range: Option<(f64, f64)>, entry: &crate::Entry<'_>) -> bool {
    range.is_none_or(|(from, to)| (from..=to).contains(&entry.time()))
        && filter.as_ref().is_none_or(|filter| filter.matches(entry))
}
