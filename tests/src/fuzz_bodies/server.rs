//! The server's end of a connection: one answer to everything that asks for one, in order, within its bounds.

use std::sync::Arc;

use chanwire_core::{
    Limits, Time,
    endpoint::{ConnectionAction, ConnectionId, Endpoint as _, Reply, Server, ServerEvent, Ticket},
    wire::{Command, Decoder, ErrorResponse, Hello, Item, Request, Response},
};

use super::{Input, amount};
use crate::{examples::hello, link::End, show};

/// Runs a server on any stream, and any order of reads, answers and writes, with limits so small that they are met.
/// Time is left to another body, [`deadlines`](super::deadlines()).
///
/// # Panics
///
/// If a law of [`check_answers`] is broken.
pub fn server(data: &[u8]) {
    let mut input = Input::new(data);
    let mut limits = Limits::server();
    limits.max_in_flight = input.limit(usize::MAX, 1);
    limits.max_unsent = input.limit(usize::MAX, 2);
    limits.max_in_flight_bytes = input.limit(usize::MAX, 2);
    limits.max_payload = input.limit(65_536, 1);
    let ops: Vec<_> = input.pairs(80).into_iter().map(|(kind, argument)| op(kind, argument)).collect();
    check_answers(input.rest(), &limits, &ops);
}

fn op(kind: u8, argument: u8) -> Op {
    match kind % 3 {
        0 => Op::Read(amount(argument)),
        1 => Op::Respond(argument.into()),
        _ => Op::Write(amount(argument)),
    }
}

/// An event at one end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// It reads at most so many bytes.
    Read(usize),
    /// The application answers one of the open requests, whichever this number picks.
    Respond(usize),
    /// It writes at most so many bytes.
    Write(usize),
    /// So many milliseconds pass.
    Wait(u64),
    /// The peer ends its stream.
    Eof,
    /// The application wants to close.
    Shutdown,
}

/// A request or fault that a server must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A request, which the application answers.
    Request(Request),
    /// A HELLO, which the server answers itself.
    Hello(Hello),
    /// Something wrong, which the server answers itself; and whether it closes.
    Refused(ErrorResponse, bool),
}

/// Returns the turns to answer in a stream that is decoded as a whole.
#[must_use]
pub fn turns(stream: &[u8], limit: usize, ended: bool) -> Vec<Turn> {
    let mut decoder = Decoder::<Command>::new(limit);
    decoder.feed(stream);
    if ended {
        decoder.finish();
    }
    let mut turns = Vec::new();
    while let Some(item) = decoder.next_item() {
        match item {
            Item::Frame(frame) => turns.push(match Request::decode(frame.start_line, frame.payload) {
                Ok(Request::Hello { .. }) => Turn::Hello(hello(limit)),
                Ok(Request::Auth(credentials)) => {
                    Turn::Refused(ErrorResponse::credentials_not_encrypted(&credentials), false)
                }
                Ok(request) => Turn::Request(request),
                Err(fault) => Turn::Refused(fault.reply(), false),
            }),
            Item::Fault(fault) => turns.push(Turn::Refused(fault.reply(), !fault.is_recoverable())),
            Item::Skipped(..) => {}
        }
    }
    turns
}

/// Returns the application's answer to the request that is the turn of this number, encoded before or not.
#[must_use]
pub fn reply(turn: usize, _: &Request) -> Reply {
    let length = if turn % 5 == 4 { 700 } else { 1 };
    let response = Response::Error(ErrorResponse::request("x", format!("{turn}").repeat(length)));
    if turn.is_multiple_of(3) {
        let mut out = Vec::new();
        response.encode(&mut out);
        return Reply::Encoded(Arc::from(out));
    }
    response.into()
}

/// More than the largest of these answers has.
const LARGEST: usize = 3_000;

fn answer(number: usize, turn: &Turn) -> Vec<u8> {
    let mut out = Vec::new();
    let request = match turn {
        Turn::Refused(error, _) => {
            error.encode(&mut out);
            return out;
        }
        Turn::Hello(hello) => {
            Response::Hello(hello.clone()).encode(&mut out);
            return out;
        }
        Turn::Request(request) => request,
    };
    reply(number, request).encode(&mut out).unwrap();
    out
}

/// Returns the whole output of a server whose application gives [`reply`] to everything.
#[must_use]
pub fn answers(turns: &[Turn]) -> Vec<u8> {
    turns.iter().enumerate().flat_map(|(number, turn)| answer(number, turn)).collect()
}

/// A server and its application.
#[derive(Debug)]
pub struct Bench {
    /// The server.
    pub end: End<Server>,
    /// The bytes that it has written.
    pub seen: Vec<Turn>,
    /// The requests that the application has not answered, with the numbers of their turns.
    pub open: Vec<(usize, Ticket)>,
    /// The number of pages that it has read.
    pub drained: usize,
    /// Its peer, which had joined, has ended its stream.
    pub ended: bool,
    max_payload: usize,
    /// The answer to the request that is the turn of this number.
    reply: fn(usize, &Request) -> Reply,
}

impl Bench {
    /// Opens a new connection.
    #[must_use]
    pub fn new(limits: Limits, reply: fn(usize, &Request) -> Reply) -> Self {
        Self {
            max_payload: limits.max_payload,
            end: End::new(Server::new(ConnectionId(0), limits)),
            seen: Vec::new(),
            open: Vec::new(),
            drained: 0,
            ended: false,
            reply,
        }
    }

    /// Takes what the server tells.
    pub fn take_events(&mut self) {
        while let Some(event) = self.end.endpoint.poll_event() {
            let turn = match event {
                ServerEvent::Request { ticket, request } => {
                    self.open.push((self.seen.len(), ticket));
                    Turn::Request(request)
                }
                ServerEvent::Answered { request } => {
                    assert!(matches!(request, Request::Hello { .. }), "{request:?} is the application's to answer");
                    Turn::Hello(hello(self.max_payload))
                }
                ServerEvent::Refused { error, closes } => Turn::Refused(error, closes),
                ServerEvent::Withdrawn => panic!("nobody has withdrawn a list"),
                ServerEvent::Drained => {
                    self.drained += 1;
                    continue;
                }
                ServerEvent::Ended => {
                    assert!(!self.ended, "it ends twice");
                    self.ended = true;
                    continue;
                }
            };
            self.seen.push(turn);
        }
    }

    /// Answers one of the open requests, if there is one.
    ///
    /// # Panics
    ///
    /// If the server does not know its own ticket.
    pub fn respond(&mut self, now: Time, which: usize) {
        if !self.open.is_empty() {
            let (number, ticket) = self.open.remove(which % self.open.len());
            let Some(Turn::Request(request)) = self.seen.get(number) else { panic!("a ticket without a request") };
            self.end.endpoint.respond(now, ticket, (self.reply)(number, request)).unwrap();
        }
    }

    /// Returns whether a fault has ended the conversation.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(self.seen.last(), Some(Turn::Refused(_, true)))
    }
}

/// Drives a server through these steps, and then to its end. Everything happens at one moment.
///
/// # Panics
///
/// If a request or a fault has not exactly one answer, if answers do not leave in order, if what is in flight or unsent
/// passes its bound, or if the connection is not closed when all is done.
pub fn check_answers(stream: &[u8], limits: &Limits, ops: &[Op]) {
    let turns = turns(stream, limits.max_payload, true);
    let expected = answers(&turns);
    let now = Time::from_millis(5);
    let mut bench = Bench::new(limits.clone(), reply);
    bench.end.arrive(stream);
    bench.end.end_arrives();
    let mut eof = false;
    // After the given part, whatever is left to do is done; each round of it gets somewhere.
    let rest = [Op::Read(usize::MAX), Op::Respond(0), Op::Write(usize::MAX)];
    let rounds = 3 * (stream.len() + expected.len() + turns.len() + 3);
    for op in ops.iter().chain(rest.iter().cycle().take(rounds)) {
        match op {
            Op::Read(most) => eof |= bench.end.read(now, *most).is_some_and(|bytes| bytes.is_empty()),
            Op::Respond(which) => bench.respond(now, *which),
            Op::Write(most) => drop(bench.end.write(now, *most)),
            Op::Wait(_) | Op::Eof | Op::Shutdown => unreachable!("they belong to the clock"),
        }
        bench.take_events();
        check_bounds(&mut bench, limits, &expected, eof);
        if bench.end.action() == ConnectionAction::Close {
            break;
        }
    }
    assert_eq!(bench.end.action(), ConnectionAction::Close);
    assert_eq!(bench.seen, turns);
    assert_eq!((bench.drained, bench.ended), (0, false), "nobody has joined");
    assert_eq!(show::bytes(&bench.end.written), show::bytes(&expected));
}

/// Checks the laws that hold after every step, whatever the limits are.
fn check_bounds(bench: &mut Bench, limits: &Limits, expected: &[u8], eof: bool) {
    let (in_flight, unsent) = (bench.end.endpoint.in_flight(), bench.end.unsent());
    assert!(in_flight <= limits.max_in_flight, "{in_flight} requests in flight");
    // Everything that waited behind one answer may leave with it.
    let slack = LARGEST.saturating_mul(limits.max_in_flight.min(200)) + LARGEST;
    assert!(unsent <= limits.max_unsent.saturating_add(slack), "{unsent} bytes unsent");
    let full = bench.open.len() >= limits.max_in_flight || unsent >= limits.max_unsent;
    assert!(!(full && bench.end.endpoint.wants_read() && !bench.is_closing()), "it reads although it is full");
    let idle = in_flight == 0 && unsent == 0 && !eof && !bench.is_closing();
    assert!(bench.end.endpoint.wants_read() || !idle, "it does not read although there is nothing else to do");
    assert!(expected.starts_with(&bench.end.written), "{}", show::bytes(&bench.end.written));
    let link = bench.end.action();
    let finished = unsent == 0 && bench.open.is_empty() && in_flight == 0 && (eof || bench.is_closing());
    assert_eq!(link >= ConnectionAction::FinishWriting, finished, "{link:?}");
}
