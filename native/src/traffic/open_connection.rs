//! The state of one open connection, from the traffic seen so far.

use axum::body::Bytes;
use chanwire_inspect::Direction;

use super::boundaries::Boundary;

/// An open connection, with counts of its traffic.
#[derive(Clone, Debug)]
pub(super) struct OpenConnection {
    pub(super) client: String,
    pub(super) server: String,
    pub(super) passed: Both<Passed>,
    pub(super) ended: Both<bool>,
    /// Whether the direction is at a frame boundary.
    pub(super) at_boundary: Both<bool>,
    /// The number of requests without an answer so far.
    pub(super) unanswered: i64,
}

/// Counts of the traffic in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    pub(super) bytes: u64,
    pub(super) frames: u64,
}

impl OpenConnection {
    pub(super) fn new(client: String, server: String) -> Self {
        let at_boundary = Both { out: true, back: true };
        Self { client, server, passed: Both::default(), ended: Both::default(), at_boundary, unanswered: 0 }
    }

    /// Counts bytes that have passed.
    pub(super) fn count(&mut self, piece: &Piece) {
        let passed = self.passed.of_mut(piece.direction);
        passed.bytes += piece.bytes.len() as u64;
        passed.frames += piece.boundaries.iter().filter(|boundary| boundary.is_frame).count() as u64;
        *self.at_boundary.of_mut(piece.direction) = piece.ends_at_boundary;
        let paired = piece.boundaries.iter().filter(|boundary| boundary.is_paired).count() as i64;
        self.unanswered += if piece.direction == Direction::Out { paired } else { -paired };
    }

    /// Marks one direction as ended.
    pub(super) const fn end(&mut self, direction: Direction) {
        *self.ended.of_mut(direction) = true;
    }

    /// Returns the memory, in bytes, that its peers' names occupy.
    pub(super) const fn weight(&self) -> usize {
        self.client.len() + self.server.len()
    }
}

/// A pair with a value for each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    /// From the client to the server: [`Direction::Out`].
    pub(super) out: T,
    /// From the server to the client: [`Direction::In`].
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

/// Bytes that passed in one direction, with the frame boundaries in them.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) direction: Direction,
    pub(super) bytes: Bytes,
    /// Whether they begin at a frame boundary.
    pub(super) starts_at_boundary: bool,
    /// Whether they end at a frame boundary.
    pub(super) ends_at_boundary: bool,
    pub(super) boundaries: Vec<Boundary>,
}
