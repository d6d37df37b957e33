//! What holds for every connection: random streams in random pieces, answers at random moments and in any order,
//! writes as short as can be, and a clock that runs as it likes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "endpoint_properties/client.rs"]
mod client;
#[path = "endpoint_properties/clock.rs"]
mod clock;
#[path = "endpoint_properties/pair.rs"]
mod pair;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chanwire_core::{
    Limits, Time,
    endpoint::{Breach, Client, ClientEvent, Endpoint as _, Link, Misuse, Reply, Server, ServerEvent, Ticket, Timer},
    wire::{Command, Decoder, ErrorResponse, FaultKind, Item, Request, Response, Status, StoredMessage, Timestamp},
};
use chanwire_tests::{
    generate::{self, times},
    link::{End, carry},
    model, show,
    stream::{Seen, cut},
};
use proptest::{collection::vec, prelude::*};

/// What a server has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    /// A request, which the application answers.
    Request(Request),
    /// Something wrong, which the server answers itself.
    Refused(ErrorResponse, bool),
}

/// What there is to answer in a stream that is read as a whole.
fn turns(stream: &[u8], limit: usize, ended: bool) -> Vec<Turn> {
    let mut decoder = Decoder::<Command>::new(limit);
    decoder.feed(stream);
    if ended {
        decoder.finish();
    }
    let mut turns = Vec::new();
    while let Some(item) = decoder.next_item() {
        match item {
            Item::Frame(frame) => turns.push(match Request::decode(frame.head, frame.payload) {
                Ok(request) => Turn::Request(request),
                Err(fault) => Turn::Refused(fault.reply(), false),
            }),
            Item::Fault(fault) => turns.push(Turn::Refused(fault.reply(), !fault.is_recoverable())),
            Item::Skipped(..) => {}
        }
    }
    turns
}

/// What the application answers to the request that is the turn of this number, encoded before or not.
fn reply(turn: usize, _: &Request) -> Reply {
    let length = if turn % 5 == 4 { 700 } else { 1 };
    let response = Response::Hosted { channel_name: format!("{turn}").repeat(length) };
    if turn.is_multiple_of(3) {
        let mut out = Vec::new();
        response.encode(&mut out);
        return Reply::Encoded(Arc::from(out));
    }
    response.into()
}

const LARGEST: usize = 3_000;

fn answer(number: usize, turn: &Turn) -> Vec<u8> {
    let mut out = Vec::new();
    let request = match turn {
        Turn::Refused(error, _) => {
            error.encode(&mut out);
            return out;
        }
        Turn::Request(request) => request,
    };
    match reply(number, request) {
        Reply::Response(response) => response.encode(&mut out),
        Reply::Encoded(bytes) => out.extend_from_slice(&bytes),
    }
    out
}

fn answers(turns: &[Turn]) -> Vec<u8> {
    turns.iter().enumerate().flat_map(|(number, turn)| answer(number, turn)).collect()
}

/// A server and its application.
struct Bench {
    end: End<Server>,
    /// What came out of it.
    seen: Vec<Turn>,
    /// What the application has not answered, with the number of its turn.
    open: Vec<(usize, Ticket)>,
    /// What it answers to the request that is the turn of this number.
    reply: fn(usize, &Request) -> Reply,
}

impl Bench {
    fn new(limits: Limits, reply: fn(usize, &Request) -> Reply) -> Self {
        Self { end: End::new(Server::new(limits)), seen: Vec::new(), open: Vec::new(), reply }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.end.endpoint.poll_event() {
            let turn = match event {
                ServerEvent::Request { ticket, request } => {
                    self.open.push((self.seen.len(), ticket));
                    Turn::Request(request)
                }
                ServerEvent::Refused { error, closes } => Turn::Refused(error, closes),
            };
            self.seen.push(turn);
        }
    }

    fn respond(&mut self, now: Time, which: usize) {
        if !self.open.is_empty() {
            let (number, ticket) = self.open.remove(which % self.open.len());
            let Some(Turn::Request(request)) = self.seen.get(number) else { panic!("a ticket without a request") };
            self.end.endpoint.respond(now, ticket, (self.reply)(number, request)).unwrap();
        }
    }

    fn is_closing(&self) -> bool {
        matches!(self.seen.last(), Some(Turn::Refused(_, true)))
    }
}

/// A stream of many requests and few faults, so that what is in flight becomes much.
fn busy_stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => generate::request().prop_map(|request| {
            let mut out = Vec::new();
            request.encode(&mut out);
            out
        }),
        3 => Just(b"LIST\r\n".to_vec()),
        1 => Just(b"PING\r\n".to_vec()),
        1 => Just(b" \r\n".to_vec()),
        1 => Just(b"HOST\r\n{\"a\": 1}".to_vec()),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![generate::stream(), busy_stream()]
}

#[derive(Clone, Debug)]
enum Op {
    Read(usize),
    Respond(usize),
    Write(usize),
    Wait(u64),
    Eof,
    Shutdown,
}

/// Reads, answers and writes; the rest belongs to the clock.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop_oneof![1..20_usize, Just(usize::MAX)].prop_map(Op::Read),
        4 => any::<usize>().prop_map(Op::Respond),
        4 => prop_oneof![1..40_usize, Just(usize::MAX)].prop_map(Op::Write),
    ]
}

fn small_limits() -> impl Strategy<Value = Limits> {
    let some = |most: usize| prop_oneof![1..most, Just(usize::MAX)];
    (some(5), some(400), some(300)).prop_map(|(in_flight, unsent, bytes)| {
        let mut limits = Limits::server();
        (limits.max_in_flight, limits.max_unsent, limits.max_in_flight_bytes) = (in_flight, unsent, bytes);
        limits
    })
}

/// What holds after every step, whatever the limits are.
fn check_bounds(bench: &mut Bench, limits: &Limits, expected: &[u8], eof: bool) {
    let (in_flight, unsent) = (bench.end.endpoint.in_flight(), bench.end.unsent());
    assert!(in_flight <= limits.max_in_flight, "{in_flight} requests in flight");
    // Whatever waited behind one answer may leave with it.
    let slack = LARGEST.saturating_mul(limits.max_in_flight.min(200)) + LARGEST;
    assert!(unsent <= limits.max_unsent.saturating_add(slack), "{unsent} bytes unsent");
    let full = bench.open.len() >= limits.max_in_flight || unsent >= limits.max_unsent;
    assert!(!(full && bench.end.endpoint.wants_read() && !bench.is_closing()), "it reads although it is full");
    let idle = in_flight == 0 && unsent == 0 && !eof && !bench.is_closing();
    assert!(bench.end.endpoint.wants_read() || !idle, "it does not read although there is nothing else to do");
    assert!(expected.starts_with(&bench.end.written), "{}", show::bytes(&bench.end.written));
    let link = bench.end.link();
    let finished = unsent == 0 && bench.open.is_empty() && in_flight == 0 && (eof || bench.is_closing());
    assert_eq!(link >= Link::FinishWriting, finished, "{link:?}");
}

proptest! {
    #![proptest_config(times(2500))]

    #[test]
    fn every_request_and_every_fault_has_one_answer_in_order(
        stream in any_stream(), limits in small_limits(), max_payload in generate::limit(), ops in vec(op(), 0..120)
    ) {
        let limits = { let mut limits = limits; limits.max_payload = max_payload; limits };
        let turns = turns(&stream, max_payload, true);
        let expected = answers(&turns);
        let now = Time::from_millis(5);
        let mut bench = Bench::new(limits.clone(), reply);
        bench.end.arrive(&stream);
        bench.end.end_arrives();
        let mut eof = false;
        // After the random part, whatever is left to do is done; each round of it gets somewhere.
        let rest = [Op::Read(usize::MAX), Op::Respond(0), Op::Write(usize::MAX)];
        let rounds = 3 * (stream.len() + expected.len() + turns.len() + 3);
        for op in ops.iter().chain(rest.iter().cycle().take(rounds)) {
            match op {
                Op::Read(most) => eof |= bench.end.read(now, *most).is_some_and(|bytes| bytes.is_empty()),
                Op::Respond(which) => bench.respond(now, *which),
                Op::Write(most) => drop(bench.end.write(now, *most)),
                Op::Wait(_) | Op::Eof | Op::Shutdown => unreachable!("they are not drawn here"),
            }
            bench.take_events();
            check_bounds(&mut bench, &limits, &expected, eof);
            if bench.end.link() == Link::Close {
                break;
            }
        }
        prop_assert_eq!(bench.end.link(), Link::Close);
        prop_assert_eq!(&bench.seen, &turns);
        prop_assert_eq!(show::bytes(&bench.end.written), show::bytes(&expected));
    }
}
