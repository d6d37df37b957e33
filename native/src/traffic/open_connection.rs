//! The state of one open connection, as far as traffic has passed.

use axum::body::Bytes;
use chanwire_inspect::Direction;

use super::cutter::Cut;

/// An open connection, and what has passed through it.
#[derive(Clone, Debug)]
pub(super) struct OpenConnection {
    pub(super) client: String,
    pub(super) server: String,
    pub(super) passed: Both<Passed>,
    pub(super) ended: Both<bool>,
    /// Whether the direction is between two frames.
    pub(super) between: Both<bool>,
    /// Requests that are not answered yet.
    pub(super) open: i64,
}

/// Counts of what has passed in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    pub(super) bytes: u64,
    pub(super) frames: u64,
}

impl OpenConnection {
    pub(super) fn new(client: String, server: String) -> Self {
        let between = Both { out: true, back: true };
        Self { client, server, passed: Both::default(), ended: Both::default(), between, open: 0 }
    }

    /// Counts bytes that have passed.
    pub(super) fn pass(&mut self, piece: &Piece) {
        let passed = self.passed.of_mut(piece.direction);
        passed.bytes += piece.bytes.len() as u64;
        passed.frames += piece.cuts.iter().filter(|cut| cut.is_frame).count() as u64;
        *self.between.of_mut(piece.direction) = piece.ends_between;
        let paired = piece.cuts.iter().filter(|cut| cut.is_paired).count() as i64;
        self.open += if piece.direction == Direction::Out { paired } else { -paired };
    }

    /// Ends one direction.
    pub(super) const fn end(&mut self, direction: Direction) {
        *self.ended.of_mut(direction) = true;
    }

    /// Returns the memory that its names take.
    pub(super) const fn weight(&self) -> usize {
        self.client.len() + self.server.len()
    }
}

/// One of something for each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    pub(super) out: T,
    pub(super) back: T,
}

impl<T> Both<T> {
    pub(super) const fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::Out => &self.out,
            Direction::In => &self.back,
        }
    }

    pub(super) const fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Out => &mut self.out,
            Direction::In => &mut self.back,
        }
    }
}

pub(super) const DIRECTIONS: [Direction; 2] = [Direction::Out, Direction::In];

/// Bytes that passed in one direction, and where frames end in them.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) direction: Direction,
    pub(super) bytes: Bytes,
    /// Whether they begin between two frames.
    pub(super) begins_between: bool,
    /// Whether they end between two frames.
    pub(super) ends_between: bool,
    pub(super) cuts: Vec<Cut>,
}
