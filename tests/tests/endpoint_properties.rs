//! Laws of every connection: random streams in random pieces, answers at random moments and in any order, writes as
//! short as can be, and a clock that runs as it likes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "endpoint_properties/client.rs"]
mod client;
#[path = "endpoint_properties/clock.rs"]
mod clock;
#[path = "endpoint_properties/pair.rs"]
mod pair;
#[path = "endpoint_properties/rates.rs"]
mod rates;

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Limits, Time,
    endpoint::{Client, ConnectionAction, Endpoint as _, Misuse},
    wire::{ChannelSettings, ErrorResponse, Request, Response, Timestamp},
};
use chanwire_tests::{
    examples,
    fuzz_bodies::{Bench, JoinedOp, Op, check_answers, check_deadlines, check_joined, describe, expected_events},
    generate::{self, times},
    link::{End, carry},
    name::named,
    stream::cut,
};
use proptest::{collection::vec, prelude::*};

/// Returns a stream of many requests and few faults, so that what is in flight becomes much.
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

/// Generates reads, answers and writes; the rest belongs to the clock.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop_oneof![1..20_usize, Just(usize::MAX)].prop_map(Op::Read),
        4 => any::<usize>().prop_map(Op::Respond),
        4 => prop_oneof![1..40_usize, Just(usize::MAX)].prop_map(Op::Write),
    ]
}

fn joined_op() -> impl Strategy<Value = JoinedOp> {
    prop_oneof![
        6 => prop_oneof![1..20_usize, Just(usize::MAX)].prop_map(JoinedOp::Read),
        6 => any::<usize>().prop_map(JoinedOp::Respond),
        8 => prop_oneof![1..40_usize, 1..4000_usize, Just(usize::MAX)].prop_map(JoinedOp::Write),
        6 => any::<u8>().prop_map(JoinedOp::Push),
        4 => any::<u8>().prop_map(JoinedOp::Replay),
        2 => Just(JoinedOp::Finish),
        1 => Just(JoinedOp::CloseSlow),
        1 => Just(JoinedOp::Close),
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

proptest! {
    #![proptest_config(times(2500))]

    #[test]
    fn every_request_and_every_fault_has_one_answer_in_order(
        stream in any_stream(), limits in small_limits(), max_payload in generate::limit(), ops in vec(op(), 0..120)
    ) {
        let limits = { let mut limits = limits; limits.max_payload = max_payload; limits };
        check_answers(&stream, &limits, &ops);
    }
}

proptest! {
    #![proptest_config(times(1000))]

    #[test]
    fn pushes_and_pages_keep_their_order_and_slow_subscribers_are_closed_in_time(
        stream in any_stream(), limits in small_limits(), pushed in prop_oneof![1..2000_usize, Just(1 << 20)],
        ops in vec(joined_op(), 0..60)
    ) {
        let limits = { let mut limits = limits; limits.max_pushed = pushed; limits };
        check_joined(&stream, &limits, &ops);
    }
}
