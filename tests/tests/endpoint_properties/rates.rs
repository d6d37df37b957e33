//! Rates: requests wait, none is lost or reordered, and no window of time takes more than its rate.

use std::sync::Arc;

use chanwire_core::{
    Bucket, Rate,
    endpoint::{ConnectionId, Server, ServerEvent, Throttle, Timer},
    wire::Request,
};

use super::*;

fn rate() -> impl Strategy<Value = Rate> {
    (prop_oneof![1..20_u32, 1..2000_u32], 1..60_u32).prop_map(|(units, burst)| Rate::new(units, burst).unwrap())
}

/// Returns the units of what an event was decoded from. The streams of this test have payloads below 4 KiB.
fn units(event: &ServerEvent) -> u64 {
    match event {
        ServerEvent::Request { request, .. } => match request {
            Request::List | Request::Message(_) | Request::Leave { .. } => 1,
            Request::Join { .. } => 2,
            _ => 5,
        },
        ServerEvent::Answered { .. } => 1,
        _ => 2,
    }
}

/// The events and output of connections from one address, each of which reads its stream in pieces and is answered at
/// once.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// Each event with its connection, in milliseconds since the start, and its units.
    taken: Vec<(usize, u64, u64)>,
    written: Vec<Vec<u8>>,
}

/// Runs connections until each has read its stream and nothing more comes of them. Time passes only when they wait.
fn run(streams: &[Vec<u8>], pieces: &[usize], rates: Option<(Rate, Rate)>) -> Run {
    let address = rates.map(|(_, address)| Arc::new(Bucket::new(address)));
    let ends = streams.iter().zip(0..).map(|(stream, id)| {
        let mut server = Server::new(ConnectionId(id), Limits::server());
        if let (Some((own, _)), Some(address)) = (rates, &address) {
            server = server.with_throttle(Throttle::new(own, address.clone()));
        }
        let mut end = End::new(server);
        end.arrive(stream);
        end.end_arrives();
        end
    });
    let mut ends: Vec<End<Server>> = ends.collect();
    let mut taken = Vec::new();
    let mut pieces = pieces.iter().copied().cycle();
    let mut now = 0;
    loop {
        let mut moved = false;
        for (number, end) in ends.iter_mut().enumerate() {
            let time = Time::from_millis(now);
            end.endpoint.handle_timeout(time);
            moved |= end.read(time, pieces.next().unwrap_or(1)).is_some();
            while let Some(event) = end.endpoint.poll_event() {
                taken.push((number, now, units(&event)));
                if let ServerEvent::Request { ticket, .. } = event {
                    end.endpoint.respond(time, ticket, Response::Channels(Vec::new())).unwrap();
                }
            }
            moved |= !end.write(time, usize::MAX).is_empty();
        }
        if moved {
            continue;
        }
        let deadlines = ends.iter().filter_map(|end| end.endpoint.poll_timeout());
        let Some(next) = deadlines.filter(|deadline| deadline.timer == Timer::Rate).map(|deadline| deadline.at).min()
        else {
            return Run { taken, written: ends.into_iter().map(|end| end.written).collect() };
        };
        assert!(next.as_millis() > now, "a pause that does not pass");
        now = next.as_millis();
    }
}

/// Returns the only bytes that a rate adds to an answer: those of HELLO's that tell it.
fn told_rate(rate: Rate) -> String {
    format!(", \"units_per_second\": {}, \"burst\": {}", rate.units_per_second, rate.burst)
}

/// Checks that no stretch of events takes more than the burst and what comes back, beyond the units of its last one.
fn check_windows(taken: &[(u64, u64)], rate: Rate) {
    let (rate, burst) = (u64::from(rate.units_per_second.get()), u64::from(rate.burst.get()));
    for first in 0..taken.len() {
        let mut before = 0;
        for (at, units) in taken.iter().skip(first) {
            let passed = at - taken.get(first).map_or(0, |(at, _)| *at);
            // Before the last one, less was taken than had been there.
            assert!(1000 * (before + 1) <= 1000 * burst + rate * passed + 999, "{taken:?}");
            before += units;
        }
    }
}

proptest! {
    #![proptest_config(times(400))]

    #[test]
    fn a_rate_delays_requests_and_changes_no_answer(
        streams in vec(busy_stream(), 1..4), pieces in vec(1..400_usize, 1..8), own in rate(), address in rate()
    ) {
        let throttled = run(&streams, &pieces, Some((own, address)));
        let free = run(&streams, &pieces, None);
        let rate = told_rate(own);
        let without_it = |written: &Vec<u8>| String::from_utf8_lossy(written).replace(&rate, "");
        let written: Vec<String> = throttled.written.iter().map(without_it).collect();
        let free_written: Vec<String> = free.written.iter().map(without_it).collect();
        prop_assert_eq!(written, free_written);
        prop_assert_eq!(throttled.taken.len(), free.taken.len());
        for number in 0..streams.len() {
            let of_one = throttled.taken.iter().filter(|taken| taken.0 == number).map(|taken| (taken.1, taken.2));
            check_windows(&of_one.collect::<Vec<_>>(), own);
        }
        // A connection that waits has reserved one unit, and may use five.
        let burst = address.burst.get() + 5 * u32::try_from(streams.len()).unwrap();
        let all = throttled.taken.iter().map(|taken| (taken.1, taken.2));
        check_windows(&all.collect::<Vec<_>>(), Rate::new(address.units_per_second.get(), burst).unwrap());
    }

    /// A stream that is cut in other pieces is taken at the same times.
    #[test]
    fn a_rate_does_not_depend_on_the_pieces(
        stream in busy_stream(), one in vec(1..400_usize, 1..8), other in vec(1..400_usize, 1..8),
        own in rate(), address in rate()
    ) {
        let rates = Some((own, address));
        let stream = [stream];
        prop_assert_eq!(run(&stream, &one, rates), run(&stream, &other, rates));
    }

    /// A bucket is a count of units that grows by its rate up to its burst.
    #[test]
    fn a_bucket_counts_units(rate in rate(), uses in vec((0..3_000_u64, 1..30_u64), 1..60)) {
        let bucket = Bucket::new(rate);
        let (per_second, burst) = (i128::from(rate.units_per_second.get()), i128::from(rate.burst.get()));
        // In thousandths of a unit.
        let (mut level, mut now) = (1000 * burst, 0);
        for (wait, units) in uses {
            now += wait;
            level = (level + per_second * i128::from(wait)).min(1000 * burst);
            let missing = (1000 - level).max(0);
            let waits = u64::try_from((missing + per_second - 1) / per_second).unwrap();
            let ready = bucket.ready_at(Time::from_millis(now)).as_millis();
            // It rounds a unit's time down to nanoseconds.
            prop_assert!(ready.abs_diff(now + waits) <= 1, "{ready} {now} {waits}");
            bucket.charge(Time::from_millis(now), units);
            level -= 1000 * i128::from(units);
        }
    }
}
