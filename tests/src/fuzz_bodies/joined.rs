//! The server's end of a connection whose peer hears what is said: pushes between answers, pages of a replay, readers
//! that are too slow, and an end that waits for what was promised.

use std::sync::Arc;

use chanwire_core::{
    Limits, Time,
    endpoint::{ConnectionAction, Pushes, Reply},
    wire::{ErrorResponse, Request, Response, StoredMessage, Timestamp},
};

use super::{Bench, Input, Turn, amount, reply, turns};
use crate::name::named;

/// The next page is due when no more of the last one than this waits.
const AHEAD: usize = 32 * 1024;

/// Runs a server on any stream, and any order of reads, answers, writes, pushes, pages and closes, with limits so small
/// that they are met.
///
/// # Panics
///
/// If a law of [`check_joined`] is broken.
pub fn joined(data: &[u8]) {
    let mut input = Input::new(data);
    let mut limits = Limits::server();
    limits.max_in_flight = input.limit(limits.max_in_flight, 1);
    limits.max_unsent = input.limit(limits.max_unsent, 2);
    limits.max_pushed = input.limit(limits.max_pushed, 8);
    let ops: Vec<_> = input.pairs(80).into_iter().map(|(kind, argument)| op(kind, argument)).collect();
    check_joined(input.rest(), &limits, &ops);
}

fn op(kind: u8, argument: u8) -> JoinedOp {
    match kind % 16 {
        0..4 => JoinedOp::Read(amount(argument)),
        4..7 => JoinedOp::Respond(argument.into()),
        7..10 => JoinedOp::Write(amount(argument)),
        10..12 => JoinedOp::Push(argument),
        12 | 13 => JoinedOp::Replay(argument),
        14 => JoinedOp::Finish,
        _ if argument < 128 => JoinedOp::CloseSlow,
        _ => JoinedOp::Close,
    }
}

/// A step of a server whose peer may have joined.
#[derive(Clone, Copy, Debug)]
pub enum JoinedOp {
    /// It reads at most so many bytes.
    Read(usize),
    /// The application answers one of the open requests, whichever this number picks.
    Respond(usize),
    /// It writes at most so many bytes.
    Write(usize),
    /// It is pushed up to three messages, the larger the number is the larger.
    Push(u8),
    /// It is given a page of as many, if it has read the last one.
    Replay(u8),
    /// Its channel is removed.
    Close,
    /// Its next page cannot be read.
    CloseSlow,
    /// It has all that was promised, if it has ended.
    Finish,
}

/// Returns the application's answer to the request that is the turn of this number: JOIN is joined.
fn answer(turn: usize, request: &Request) -> Reply {
    match request {
        Request::Join { .. } => {
            Response::Joined { channel_name: named("general"), first_id: 1, last_id: turn as u64 }.into()
        }
        request => reply(turn, request),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Answer,
    Live,
    Replayed,
}

/// All that is written, and why, as far as the history says.
#[derive(Default)]
struct Model {
    frames: Vec<(Kind, Vec<u8>)>,
    /// The number of turns whose answers are among the frames.
    left: usize,
    next_id: u64,
    /// A page was given, and is not written far enough for the next.
    has_page: bool,
    drained: usize,
    closed: bool,
}

impl Model {
    /// Returns the frames, each with the place at which it begins.
    fn places(&self) -> impl Iterator<Item = (usize, &(Kind, Vec<u8>))> {
        self.frames.iter().scan(0, |at, frame| {
            let start = *at;
            *at += frame.1.len();
            Some((start, frame))
        })
    }

    fn unsent(&self, kind: Kind, written: usize) -> usize {
        let of_kind = self.places().filter(|(_, frame)| frame.0 == kind);
        of_kind.map(|(start, (_, bytes))| (start + bytes.len()).saturating_sub(start.max(written))).sum()
    }

    fn messages(&mut self, kind: Kind, size: u8) -> Arc<Pushes> {
        // Now and then more than may wait when the next page is due.
        let length = if size > 250 { AHEAD } else { usize::from(size) };
        let message = |id| {
            let content = "x".repeat(length);
            StoredMessage::new(named("general"), id, named("ann"), content, Timestamp::from_unix(0))
        };
        let messages: Vec<_> = (0..=u64::from(size % 3)).map(|more| message(self.next_id + more)).collect();
        self.next_id += messages.len() as u64;
        for message in &messages {
            let mut bytes = Vec::new();
            message.encode_push(&mut bytes);
            self.frames.push((kind, bytes));
        }
        Pushes::new(&messages)
    }

    /// Drops the pushes of which nothing is written yet.
    fn drop_pushes(&mut self, written: usize) {
        let kept = self.places().filter(|(start, (kind, _))| *kind == Kind::Answer || *start < written);
        self.frames = kept.map(|(_, frame)| frame.clone()).collect();
    }

    /// Takes the answers that have left, and compares.
    fn note(&mut self, bench: &mut Bench) {
        let left = bench.open.iter().map(|(number, _)| *number).min().unwrap_or(bench.seen.len());
        for number in self.left..left {
            let mut bytes = Vec::new();
            match &bench.seen[number] {
                Turn::Refused(error, _) => error.encode(&mut bytes),
                Turn::Hello(hello) => Response::Hello(hello.clone()).encode(&mut bytes),
                Turn::Request(request) => answer(number, request).encode(&mut bytes).unwrap(),
            }
            self.frames.push((Kind::Answer, bytes));
        }
        self.left = left;
        self.closed |= bench.is_closing();
        let written = bench.end.written.len();
        if self.has_page && self.unsent(Kind::Replayed, written) <= AHEAD {
            (self.has_page, self.drained) = (false, self.drained + 1);
        }
        assert_eq!(bench.drained, self.drained, "the pages that were read");
        let all: Vec<u8> = self.frames.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        assert!(all.starts_with(&bench.end.written), "what is written is not what was to be");
        assert_eq!(bench.end.unsent(), all.len() - written, "what waits to be written");
    }
}

/// Drives a server through these steps, and then to its end. Everything happens at one moment.
///
/// # Panics
///
/// If at any time what is written, or waits to be, is not what the history says: answers in order, pushes and pages
/// where they were given, none that was dropped and none cut off; if a page is asked for too early, too late or twice;
/// if a slow reader is closed too early or too late; or if the connection does not close when all is done.
pub fn check_joined(stream: &[u8], limits: &Limits, ops: &[JoinedOp]) {
    let now = Time::from_millis(5);
    let all_turns = turns(stream, limits.max_payload, true);
    let mut bench = Bench::new(limits.clone(), answer);
    let mut model = Model { next_id: 1, ..Model::default() };
    bench.end.arrive(stream);
    bench.end.end_arrives();
    let rest = [JoinedOp::Read(usize::MAX), JoinedOp::Respond(0), JoinedOp::Write(usize::MAX), JoinedOp::Finish];
    let rounds = 4 * (stream.len() + all_turns.len() + ops.len() + 400);
    for op in ops.iter().chain(rest.iter().cycle().take(rounds)) {
        let closed = model.closed || bench.end.action() != ConnectionAction::Open;
        let written = bench.end.written.len();
        match *op {
            JoinedOp::Read(most) => drop(bench.end.read(now, most)),
            JoinedOp::Respond(which) => bench.respond(now, which),
            JoinedOp::Write(most) => drop(bench.end.write(now, most)),
            JoinedOp::Push(_) | JoinedOp::Replay(_) if closed => {
                // It goes nowhere.
                bench.end.endpoint.push(now, Model { next_id: 1, ..Model::default() }.messages(Kind::Live, 1));
            }
            JoinedOp::Push(size) => {
                let before = model.unsent(Kind::Live, written);
                let pushes = model.messages(Kind::Live, size);
                bench.end.endpoint.push(now, pushes);
                if before > 0 && model.unsent(Kind::Live, written) > limits.max_pushed {
                    model.drop_pushes(written);
                    model.closed = true;
                }
            }
            JoinedOp::Replay(_) if model.has_page => {}
            JoinedOp::Replay(size) => {
                model.has_page = true;
                let pushes = model.messages(Kind::Replayed, size);
                bench.end.endpoint.replay(now, pushes);
            }
            JoinedOp::CloseSlow => {
                let error = ErrorResponse::server("Slow consumer", "what comes next is not kept");
                bench.end.endpoint.close_slow(now, error);
                model.drop_pushes(written);
                model.closed = true;
            }
            JoinedOp::Close => {
                bench.end.endpoint.close(now, ErrorResponse::server("Channel removed", "it has gone"));
                model.closed = true;
            }
            JoinedOp::Finish => {
                if bench.ended {
                    bench.end.endpoint.finish(now);
                    model.closed = true;
                }
            }
        }
        bench.take_events();
        // It ends when all is answered, and not if it is closed before.
        let all_answered = bench.open.is_empty() && (bench.seen.len() == all_turns.len() || model.closed);
        let has_joined = bench.seen.iter().any(|turn| matches!(turn, Turn::Request(Request::Join { .. })));
        assert!(!bench.ended || has_joined && all_answered, "it ends before its time");
        model.note(&mut bench);
        if bench.end.action() == ConnectionAction::Close {
            break;
        }
    }
    assert_eq!((bench.end.action(), bench.end.unsent()), (ConnectionAction::Close, 0));
    let refused = bench.seen.iter().position(|turn| matches!(turn, Turn::Refused(_, true)));
    let own = all_turns.iter().position(|turn| matches!(turn, Turn::Refused(_, true)));
    assert!(refused.is_some() || bench.seen == all_turns, "something was not answered");
    assert!(refused.is_none_or(|at| at + 1 == bench.seen.len() && own.is_none_or(|own| at <= own)), "it goes on");
}
