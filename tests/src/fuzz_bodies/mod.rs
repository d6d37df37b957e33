//! Laws that hold for any bytes at all. Each body takes a fuzzer's input and panics where a law is broken.
//!
//! The bodies serve twice: `tests/fuzz` hunts with them, guided by coverage, and the test `fuzz_corpus` replays what
//! was found on every run. The properties draw their inputs from generators instead and check by the same functions.
//!
//! The first bytes of an input choose limits, pieces and steps; the last ones are the stream. So a mutation of the
//! stream leaves the steps alone, and the other way round.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a law fails")]

mod client;
mod deadlines;
mod decoder;
mod filter;
mod import;
mod inspect;
mod joined;
mod oracle;
mod proxy_header;
mod request;
mod server;

pub use client::{client, describe, expected_events};
pub use deadlines::{check_deadlines, deadlines};
pub use decoder::decoder;
pub use filter::filter;
pub use import::import;
pub use inspect::inspect;
pub use joined::{JoinedOp, check_joined, joined};
pub use oracle::{check_end, check_json, oracle};
pub use proxy_header::proxy_header;
pub use request::request;
pub use server::{Bench, Op, Turn, answers, check_answers, reply, server, turns};

use crate::stream::cut;

/// The bytes of a fuzzer, taken from the front. When none are left, all is 0.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Returns all of them.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Returns a limit: 0 stands for the one that is given, anything else for a small one.
    fn limit(&mut self, default: usize, step: usize) -> usize {
        match self.byte() {
            0 => default,
            some => step * usize::from(some),
        }
    }

    /// Returns a count, and as many pairs of bytes.
    fn pairs(&mut self, most: usize) -> Vec<(u8, u8)> {
        let count = usize::from(self.byte()).min(most).min(self.0.len() / 2);
        (0..count).map(|_| (self.byte(), self.byte())).collect()
    }

    /// Returns a count, as many lengths, and what is left in pieces of these lengths, over and over.
    fn pieces(&mut self) -> (&'a [u8], Vec<&'a [u8]>) {
        let count = usize::from(self.byte()).min(16).min(self.0.len());
        let (lengths, stream) = self.0.split_at(count);
        self.0 = &[];
        let mut at = 0;
        let mut cuts = Vec::new();
        if lengths.iter().any(|length| *length > 0) {
            for length in lengths.iter().cycle() {
                at += usize::from(*length);
                if at > stream.len() {
                    break;
                }
                cuts.push(at);
            }
        }
        (stream, cut(stream, &cuts))
    }

    /// Returns the remaining bytes: the stream.
    const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Returns a number that is given by a byte: the largest byte stands for no bound.
fn amount(byte: u8) -> usize {
    if byte == u8::MAX { usize::MAX } else { usize::from(byte).max(1) }
}
