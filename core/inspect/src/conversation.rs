//! Both directions of a connection, with each answer beside its request.

use std::collections::VecDeque;

use chanwire_core::wire::Command;

use crate::{Direction, Listing, Partial, Row, listing::Part};

/// How many unanswered requests are remembered one by one. What is sent while as many are open is only counted: its
/// answers have no `pair` and no `rtt`, and their summaries say so.
pub const MAX_OPEN_REQUESTS: usize = 65_536;

/// Both directions of one connection, as [`Row`]s that are paired.
///
/// Answers come in request order, so an answer belongs to the oldest open request. Every frame and every fault of the
/// requests is answered once, a fault by an error; skipped bytes are not. Pushes answer nothing, and neither do the
/// errors that tell why the server closes ([`ErrorResponse::is_notice`]). Once the server has sent something that is no
/// frame, nothing is paired any more: what it answers is not known.
///
/// Feed each direction in the order in which its bytes passed, and a request before its answer.
///
/// [`ErrorResponse::is_notice`]: chanwire_core::wire::ErrorResponse::is_notice
#[derive(Debug)]
pub struct Conversation {
    requests: Listing,
    answers: Listing,
    pairing: Pairing,
}

impl Conversation {
    /// A connection that was just opened, to a server that reads payloads of at most `max_payload` bytes; `None` for
    /// the protocol's default. Answers may have what a client reads by default.
    #[must_use]
    pub fn new(max_payload: Option<usize>) -> Self {
        Self {
            requests: Listing::new(Direction::Out, max_payload),
            answers: Listing::new(Direction::In, None),
            pairing: Pairing::default(),
        }
    }

    /// Takes the next bytes of one direction and gives the rows that they complete. `time` is in milliseconds, from
    /// any origin.
    pub fn feed(&mut self, direction: Direction, time: f64, bytes: &[u8]) -> Vec<Row> {
        self.listing(direction).feed(bytes);
        self.rows(direction, time)
    }

    /// One direction has ended. Gives the rows that this completes.
    pub fn finish(&mut self, direction: Direction, time: f64) -> Vec<Row> {
        self.listing(direction).finish();
        self.rows(direction, time)
    }

    /// The frame that is still arriving in one direction, if any.
    #[must_use]
    pub fn partial(&self, direction: Direction) -> Option<Partial> {
        match direction {
            Direction::Out => self.requests.partial(),
            Direction::In => self.answers.partial(),
        }
    }

    fn listing(&mut self, direction: Direction) -> &mut Listing {
        match direction {
            Direction::Out => &mut self.requests,
            Direction::In => &mut self.answers,
        }
    }

    fn rows(&mut self, direction: Direction, time: f64) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            let asked = self.pairing.asked();
            let Some((mut row, part)) = self.listing(direction).next_part(asked) else { return rows };
            self.pairing.take(&mut row, part, time);
            rows.push(row);
        }
    }
}

/// The requests that are not answered yet.
#[derive(Debug, Default)]
struct Pairing {
    /// The number of the next row.
    next: u64,
    open: VecDeque<Open>,
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    Request {
        row: u64,
        command: Option<Command>,
        time: f64,
    },
    /// So many requests of which no more is known.
    Counted(u64),
}

impl Pairing {
    /// The command that the next answer is to, if it is known.
    fn asked(&self) -> Option<Command> {
        match self.open.front() {
            Some(Open::Request { command, .. }) => *command,
            Some(Open::Counted(_)) | None => None,
        }
    }

    /// Gives a row its number, and its place beside what it answers.
    fn take(&mut self, row: &mut Row, part: Part, time: f64) {
        match part {
            Part::Request(command) if !self.lost => self.ask(command, time),
            Part::Answer => self.answer(row, time),
            Part::Lost => {
                self.lost = true;
                self.open = VecDeque::new();
            }
            Part::Request(_) | Part::None => {}
        }
        self.next += 1;
    }

    fn ask(&mut self, command: Option<Command>, time: f64) {
        if self.open.len() < MAX_OPEN_REQUESTS {
            self.open.push_back(Open::Request { row: self.next, command, time });
        } else if let Some(Open::Counted(count)) = self.open.back_mut() {
            *count += 1;
        } else {
            self.open.push_back(Open::Counted(1));
        }
    }

    fn answer(&mut self, row: &mut Row, time: f64) {
        match self.open.front_mut() {
            Some(Open::Request { row: request, time: asked, .. }) => {
                row.pair = Some(*request);
                row.rtt = Some((time - *asked).max(0.0));
                self.open.pop_front();
            }
            Some(Open::Counted(count)) => {
                row.summary.push_str(" (to a request that was not remembered: too many were open)");
                *count -= 1;
                if *count == 0 {
                    self.open.pop_front();
                }
            }
            None => {}
        }
    }
}
