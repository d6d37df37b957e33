//! Drain: the connections that are told that the server stops, and their times.

use std::{num::NonZeroU32, time::Duration};

use chanwire_core::{
    endpoint::{ServerCommand, ServerEvent},
    hub::{DrainPlan, Effect, Hub, HubLimits, Moment, Peer, Snapshot},
    wire::ErrorResponse,
};

use super::*;

fn plan(rate: u32, within: u64) -> DrainPlan {
    DrainPlan { rate: NonZeroU32::new(rate).unwrap(), within: Duration::from_millis(within) }
}

/// A hub with this many connections, of which those that `asked` holds for asked for notices.
fn connected(count: u64, asked: impl Fn(u64) -> bool) -> Hub {
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
    for id in 0..count {
        hub.connect(ConnectionId(id), Peer::Operator, None, Time::default()).unwrap();
        if asked(id) {
            hello(&mut hub, id, true);
        }
    }
    hub
}

fn hello(hub: &mut Hub, id: u64, notices: bool) {
    let event = ServerEvent::Answered { request: Request::Hello { notices } };
    hub.handle_event(ConnectionId(id), event, Moment::default()).unwrap();
}

fn sent(hub: &mut Hub) -> Vec<(u64, ServerCommand)> {
    let effects = std::iter::from_fn(|| hub.poll_effect());
    effects
        .filter_map(|effect| if let Effect::Send(id, command) = effect { Some((id.0, command)) } else { None })
        .collect()
}

/// Runs a drain from `start` on. Returns the time, the connection and the seconds of each that was told.
fn drained(hub: &mut Hub, plan: DrainPlan, start: u64) -> Vec<(u64, u64, u32)> {
    let mut told = Vec::new();
    let mut now = Time::from_millis(start);
    hub.drain(plan, now);
    loop {
        for (id, command) in sent(hub) {
            if let ServerCommand::Close(error) = command {
                let seconds = error.retry_after.unwrap();
                assert_eq!(error, ErrorResponse::server_stopping(seconds));
                told.push((now.as_millis(), id, seconds));
            }
        }
        let Some(next) = hub.poll_timeout() else { return told };
        assert!(next > now, "a timeout that is due already");
        now = next;
        hub.handle_timeout(now);
    }
}

#[test]
fn only_a_connection_that_asked_for_notices_is_told_and_the_others_are_shut_down_at_once() {
    let mut hub = connected(4, |id| id % 2 == 1);
    // The last HELLO decides.
    hello(&mut hub, 3, false);
    hub.drain(plan(1, 60_000), Time::default());
    let stopping = ServerCommand::Close(ErrorResponse::server_stopping(1));
    let shut_down = |id| (id, ServerCommand::Shutdown);
    assert_eq!(sent(&mut hub), [shut_down(0), shut_down(2), shut_down(3), (1, stopping)]);
    assert_eq!(hub.poll_timeout(), None);
    // One that is connected later is shut down, too.
    hub.connect(ConnectionId(9), Peer::Operator, None, Time::default()).unwrap();
    assert_eq!(sent(&mut hub), [shut_down(9)]);
}

#[test]
fn closings_are_paced_and_the_clients_come_back_in_five_even_parts() {
    for (count, rate) in [(1, 1), (10, 2), (999, 2000), (5000, 2000)] {
        let told = drained(&mut connected(count, |_| true), plan(rate, 60_000), 70);
        assert_eq!(told.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        for (number, (at, ..)) in told.iter().enumerate() {
            assert_eq!(*at, 70 + number as u64 * 1000 / u64::from(rate), "{count} at {rate}");
        }
        let parts = (1..=5).map(|seconds| told.iter().filter(|(.., after)| *after == seconds).count());
        let (least, most) = (parts.clone().min().unwrap(), parts.max().unwrap());
        assert!(most - least <= 1 && told.iter().all(|(.., after)| (1..=5).contains(after)), "{least} to {most}");
    }
}

#[test]
fn all_are_told_in_time_however_many_there_are() {
    let told = drained(&mut connected(10_000, |_| true), plan(100, 5_000), 0);
    assert_eq!(told.len(), 10_000);
    assert!(told.iter().all(|(at, ..)| *at < 5_000));
    let in_each_second = (0..5).map(|second| told.iter().filter(|(at, ..)| at / 1000 == second).count());
    assert!(in_each_second.clone().all(|count| count == 2000), "{:?}", in_each_second.collect::<Vec<_>>());
    assert_eq!(drained(&mut connected(3, |_| true), plan(1, 0), 5).len(), 3);
}

#[test]
fn a_connection_that_is_closed_or_has_asked_for_no_more_notices_is_not_told() {
    let mut hub = connected(4, |_| true);
    hub.drain(plan(1, 60_000), Time::default());
    assert_eq!(sent(&mut hub).len(), 1);
    hub.disconnect(ConnectionId(1));
    hello(&mut hub, 2, false);
    // Asking again does not tell it twice.
    hub.drain(plan(1, 60_000), Time::default());
    hub.handle_timeout(Time::from_millis(60_000));
    let stopping = ServerCommand::Close(ErrorResponse::server_stopping(4));
    assert_eq!(sent(&mut hub), [(2, ServerCommand::Shutdown), (3, stopping)]);
}

#[test]
fn every_connection_that_is_left_is_reset() {
    let mut hub = connected(3, |id| id == 0);
    hub.disconnect(ConnectionId(1));
    assert!(sent(&mut hub).is_empty());
    hub.reset_connections();
    assert_eq!(sent(&mut hub), [(0, ServerCommand::Reset), (2, ServerCommand::Reset)]);
}
