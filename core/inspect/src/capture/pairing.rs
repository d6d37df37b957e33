//! Which answer is to which request.

use std::collections::VecDeque;

use chanwire_core::wire::{Command, StartLine as _};
use serde::{Deserialize, Serialize};

/// The most unanswered requests of a connection that are kept one by one. Requests sent while as many are open are only
/// counted: their answers have no `pair` and no `rtt`.
pub const MAX_OPEN_REQUESTS: usize = 65_536;

/// So few open requests take next to no memory.
const FEW: usize = 1024;

/// The requests of a connection that are not answered yet.
///
/// Answers come in request order, so an answer belongs to the oldest open request. Every frame and every fault of the
/// requests is answered once, a fault by an error; skipped bytes are not. Pushes answer nothing, and neither do the
/// errors that tell why the server closes. Once the server has sent something that is no frame, nothing is paired any
/// more: what it answers is not known.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    open: VecDeque<Open>,
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    Request(OpenRequest),
    /// So many requests of which no more is known.
    Counted(u64),
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenRequest {
    pub(super) number: u64,
    /// Of a fault it is not known what was asked.
    pub(super) command: Option<Command>,
    /// When it was, if that is known.
    pub(super) time: Option<f64>,
    /// It is known to be wrong, so that its answer is an error.
    pub(super) wrong: bool,
}

/// Requests that are open, to be written down.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Carried {
    lost: bool,
    open: Vec<CarriedOpen>,
}

#[derive(Debug, Serialize, Deserialize)]
enum CarriedOpen {
    Request { number: u64, command: Option<String>, time: Option<f64>, wrong: bool },
    Counted(u64),
}

impl Pairing {
    /// Returns the open requests for another capture, as after [`drop_open`](Self::drop_open).
    pub(super) fn carried(&self) -> Carried {
        if self.open.len() > FEW {
            return Carried { lost: self.lost, open: vec![CarriedOpen::Counted(self.requests())] };
        }
        let open = self.open.iter().map(|open| match *open {
            Open::Request(OpenRequest { number, command, time, wrong }) => {
                CarriedOpen::Request { number, command: command.map(|command| command.name().into()), time, wrong }
            }
            Open::Counted(count) => CarriedOpen::Counted(count),
        });
        Carried { lost: self.lost, open: open.collect() }
    }

    pub(super) fn resumed(carried: Carried) -> Self {
        let open = carried.open.into_iter().map(|open| match open {
            CarriedOpen::Request { number, command, time, wrong } => {
                let command = command.and_then(|name| Command::parse(name.as_bytes()));
                Open::Request(OpenRequest { number, command, time, wrong })
            }
            CarriedOpen::Counted(count) => Open::Counted(count),
        });
        Self { lost: carried.lost, open: open.collect() }
    }

    /// Returns the command that the next answer is to, if it is known.
    pub(super) fn asked(&self) -> Option<Command> {
        match self.open.front()? {
            Open::Request(asked) => asked.command,
            Open::Counted(_) => None,
        }
    }

    pub(super) fn ask(&mut self, asked: OpenRequest) {
        if self.lost {
            return;
        }
        if self.open.len() < MAX_OPEN_REQUESTS {
            self.open.push_back(Open::Request(asked));
        } else {
            self.count(1);
        }
    }

    /// Counts requests of which nothing more is known.
    pub(super) fn count(&mut self, requests: u64) {
        match self.open.back_mut() {
            _ if self.lost || requests == 0 => {}
            Some(Open::Counted(count)) => *count += requests,
            _ => self.open.push_back(Open::Counted(requests)),
        }
    }

    /// Returns the request that this answer is to, if it is known.
    pub(super) fn answer(&mut self) -> Option<OpenRequest> {
        match self.open.front_mut()? {
            Open::Request(asked) => {
                let asked = *asked;
                self.open.pop_front();
                if self.open.is_empty() {
                    // The room of the busiest moment is not kept for ever.
                    self.open.shrink_to(64);
                }
                Some(asked)
            }
            Open::Counted(count) => {
                *count -= 1;
                if *count == 0 {
                    self.open.pop_front();
                }
                None
            }
        }
    }

    /// Counts answers that were not seen.
    pub(super) fn miss(&mut self, answers: u64) {
        let mut left = answers;
        while left > 0 {
            match self.open.front_mut() {
                None => return,
                Some(Open::Counted(count)) if *count > left => {
                    *count -= left;
                    return;
                }
                Some(Open::Counted(count)) => left -= *count,
                Some(Open::Request(_)) => left -= 1,
            }
            self.open.pop_front();
        }
    }

    /// Drops open requests where they take much memory: then they are only counted.
    pub(super) fn drop_open(&mut self) {
        if self.open.len() <= FEW {
            return;
        }
        self.open = VecDeque::from([Open::Counted(self.requests())]);
    }

    /// Returns how many requests are open.
    fn requests(&self) -> u64 {
        let counts = self.open.iter().map(|open| match open {
            Open::Request(_) => 1,
            Open::Counted(count) => *count,
        });
        counts.sum()
    }

    /// Stops pairing: from here on no answer is known to belong to a request.
    pub(super) fn stop(&mut self) {
        self.lost = true;
        self.open = VecDeque::new();
    }

    /// Returns the memory that [`drop_open`](Self::drop_open) would free.
    pub(super) fn droppable(&self) -> usize {
        if self.open.len() > FEW { self.memory() } else { 0 }
    }

    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Open>()
    }
}
