//! Requests that come too fast wait.

use std::time::Duration;

use chanwire_core::{
    Bucket, Rate,
    endpoint::{RateScope, Throttle, Throttled},
};

use super::*;

fn throttled() -> End<Server> {
    let address = Arc::new(Bucket::new(Rate::new(100, 100).unwrap()));
    let throttle = Throttle::new(Rate::new(1, 2).unwrap(), address);
    End::new(Server::new(ConnectionId(0), Limits::server()).with_throttle(throttle))
}

fn waited(connection: u64, address: u64) -> Throttled {
    Throttled { connection: Duration::from_millis(connection), address: Duration::from_millis(address) }
}

#[test]
fn beyond_the_burst_requests_are_taken_at_the_rate_and_nothing_is_read_meanwhile() {
    let mut end = throttled();
    feed(&mut end, at(0), &b"LEAVE\r\n{\"channel_name\": \"a\"}".repeat(4));
    assert_eq!(tickets(&mut end).len(), 2);
    assert!(!end.endpoint.wants_read());
    assert_eq!(due(&end.endpoint), Some((1_000, Timer::Rate)));
    end.endpoint.handle_timeout(at(999));
    assert_eq!(tickets(&mut end).len(), 0);
    end.endpoint.handle_timeout(at(1_000));
    assert_eq!(tickets(&mut end).len(), 1);
    assert_eq!(due(&end.endpoint), Some((2_000, Timer::Rate)));
    assert_eq!(end.endpoint.throttled(at(1_500)), Some(waited(1_500, 0)));
    assert_eq!(end.endpoint.waits_for_rate(), Some(RateScope::Connection));
    end.endpoint.handle_timeout(at(2_000));
    assert_eq!(tickets(&mut end).len(), 1);
    // Nothing waits, but the next request would.
    assert_eq!(due(&end.endpoint), Some((3_000, Timer::Rate)));
    end.endpoint.handle_timeout(at(3_000));
    assert!(end.endpoint.wants_read());
    assert_eq!(due(&end.endpoint), None);
    assert_eq!(end.endpoint.throttled(at(9_000)), Some(waited(3_000, 0)));
    assert_eq!(end.endpoint.waits_for_rate(), None);
}

#[test]
fn requests_wait_for_the_rate_of_their_address_too() {
    let address = Arc::new(Bucket::new(Rate::new(1, 1).unwrap()));
    let [mut one, mut other] = [0, 1].map(|id| {
        let throttle = Throttle::new(Rate::new(100, 100).unwrap(), address.clone());
        End::new(Server::new(ConnectionId(id), Limits::server()).with_throttle(throttle))
    });
    feed(&mut one, at(0), b"LIST\r\n");
    feed(&mut other, at(0), b"LIST\r\n");
    assert_eq!((tickets(&mut one).len(), tickets(&mut other).len()), (1, 0));
    assert_eq!(other.endpoint.waits_for_rate(), Some(RateScope::Address));
    other.endpoint.handle_timeout(at(2_000));
    assert_eq!(tickets(&mut other).len(), 1);
    assert!(other.endpoint.throttled(at(2_000)).unwrap().address >= Duration::from_secs(1));
}

#[test]
fn hello_tells_the_rate_of_the_connection() {
    let mut end = throttled();
    feed(&mut end, at(0), b"HELLO\r\n{}");
    assert!(written(&mut end, at(0)).contains("\"units_per_second\": 1, \"burst\": 2"));
}

#[test]
fn the_clock_of_a_frame_rests_while_the_rate_is_met() {
    let mut end = throttled();
    feed(&mut end, at(0), b"HOST\r\n{}LEAVE\r\n{");
    assert!(!written(&mut end, at(0)).is_empty());
    assert_eq!(due(&end.endpoint), Some((1_000, Timer::Rate)));
    end.endpoint.handle_timeout(at(1_000));
    assert_eq!(due(&end.endpoint), Some((121_000, Timer::Frame)));
}

#[test]
fn a_connection_that_is_shut_down_takes_what_it_has_read_at_once() {
    let mut end = throttled();
    feed(&mut end, at(0), &b"LEAVE\r\n{\"channel_name\": \"a\"}".repeat(9));
    end.endpoint.shutdown(at(1));
    let tickets = tickets(&mut end);
    assert_eq!(tickets.len(), 9);
    for ticket in tickets {
        respond(&mut end, at(2), ticket, Response::Left { channel_name: "a".parse().unwrap() });
    }
    assert!(!written(&mut end, at(2)).is_empty());
    assert_eq!(due(&end.endpoint), Some((2_002, Timer::Linger)));
}

#[test]
fn skipped_bytes_cost_a_unit_for_each_4_096_however_they_come() {
    let spaces = b" ".repeat(3 * 4096 - 1);
    let inside = [&b"LEAVE\r\n"[..], &spaces].concat();
    let steps = [1, 100, 4096, 20_000].into_iter();
    for (step, bytes) in steps.flat_map(|step| [(step, &spaces), (step, &inside)]) {
        let mut end = throttled();
        let mut left = &bytes[..];
        while let Some((bytes, rest)) =
            left.split_at_checked(step.min(left.len())).filter(|(bytes, _)| !bytes.is_empty())
        {
            feed(&mut end, at(0), bytes);
            left = rest;
        }
        // Two units are there, and two are taken.
        assert!(!end.endpoint.wants_read(), "{step}");
        assert_eq!(due(&end.endpoint), Some((1_000, Timer::Rate)), "{step}");
    }
    // In one read with the rest: one unit for the request, two for a fault, whose other bytes are skipped as well.
    for (end_of_frame, until) in [("{\"channel_name\": \"a\"}", 2_000), ("[]", 4_000)] {
        let mut end = throttled();
        feed(&mut end, at(0), &[&inside[..], end_of_frame.as_bytes()].concat());
        assert_eq!(due(&end.endpoint), Some((until, Timer::Rate)), "{end_of_frame}");
    }
}
