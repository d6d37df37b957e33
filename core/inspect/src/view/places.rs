//! Numbers of rows in little memory.

use std::collections::VecDeque;

/// Ascending numbers, kept as places in the chunks that the rows stand in.
#[derive(Debug, Default)]
pub(super) struct Places {
    runs: VecDeque<Run>,
    /// The position of the next number.
    end: u64,
    memory: usize,
}

/// Those of one chunk.
#[derive(Debug)]
struct Run {
    /// The number of the chunk's first row.
    first: u64,
    /// The position of its first number.
    position: u64,
    places: Vec<u16>,
}

/// Takes the places of one chunk.
pub(super) struct Appending<'a> {
    run: Option<&'a mut Run>,
    end: &'a mut u64,
    memory: &'a mut usize,
}

impl Places {
    pub(super) fn begin(&self) -> u64 {
        self.runs.front().map_or(self.end, |run| run.position)
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// Goes on with the chunk that starts with this number, which no earlier one does.
    pub(super) fn of_chunk(&mut self, first: u64) -> Appending<'_> {
        if self.runs.back().is_none_or(|run| run.first != first) {
            if let Some(done) = self.runs.back_mut() {
                self.memory -= done.memory();
                done.places.shrink_to_fit();
                self.memory += done.memory();
            }
            let run = Run { first, position: self.end, places: Vec::new() };
            self.memory += run.memory();
            self.runs.push_back(run);
        }
        Appending { run: self.runs.back_mut(), end: &mut self.end, memory: &mut self.memory }
    }

    /// Forgets the numbers below this one, which a chunk starts with.
    pub(super) fn drop_before(&mut self, number: u64) {
        while let Some(run) = self.runs.pop_front_if(|run| run.first < number) {
            self.memory -= run.memory();
        }
    }

    pub(super) fn number_at(&self, position: u64) -> Option<u64> {
        let index = self.runs.partition_point(|run| run.position <= position).checked_sub(1)?;
        let run = self.runs.get(index)?;
        let place = run.places.get(usize::try_from(position - run.position).ok()?)?;
        Some(run.first + u64::from(*place))
    }

    /// Returns the position of the first of at least this number.
    pub(super) fn position_of(&self, number: u64) -> u64 {
        let index = self.runs.partition_point(|run| run.first <= number);
        let Some(run) = index.checked_sub(1).and_then(|index| self.runs.get(index)) else { return self.begin() };
        let before = run.places.partition_point(|place| run.first + u64::from(*place) < number);
        run.position + before as u64
    }
}

impl Run {
    const fn memory(&self) -> usize {
        size_of::<Self>() + self.places.capacity() * size_of::<u16>()
    }
}

impl Appending<'_> {
    pub(super) fn push(&mut self, place: usize) {
        // The limit on a chunk's rows makes the index fit.
        let (Some(run), Ok(place)) = (self.run.as_deref_mut(), u16::try_from(place)) else { return };
        *self.memory -= run.memory();
        run.places.push(place);
        *self.memory += run.memory();
        *self.end += 1;
    }
}
