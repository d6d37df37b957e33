//! Fan-out of one sender's messages to all subscribers of a channel, compared with Redis pub/sub and NATS, which store
//! nothing.

use std::time::{Duration, Instant};

use crate::{
    chanwire::Chanwire,
    group::{CONTENT, Group},
    nats::Nats,
    redis::Redis,
    report::{Cell, Report, Rounds, Table, micros, quantile},
    running::resident,
    system::{System, TIMEOUT},
};

const SUBSCRIBERS: [usize; 2] = [100, 1000];
/// The length of a burst.
const BURST: Duration = Duration::from_secs(1);

/// The number of subscribers with which the latency is measured.
const LATENCY_SUBSCRIBERS: usize = 1000;
/// The number of messages in a round of the latency's measurement.
const LATENCY_MESSAGES: usize = 60;
/// The time between two of these messages.
const INTERVAL: Duration = Duration::from_millis(30);

/// The lowest accepted ratio of Chanwire's bytes per second to those of another system, and by TLS to those of NATS.
const TARGET: f64 = 1.0;
const TLS_TARGET: f64 = 1.5;

/// The number of subscribers by TLS.
const TLS_SUBSCRIBERS: usize = 1000;

const COLUMNS: [&str; 7] =
    ["subscribers", "system", "deliveries/s", "content MB/s", "wire MB/s", "CPU µs/delivery", "server MB"];

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let mut bursts = Table::new(
        "fan-out",
        format!("Fan-out of messages of {} B, one sender with many in flight", CONTENT.len()),
        &COLUMNS,
    );
    let mut by_tls = Table::new(
        "fan-out-tls",
        format!(
            "Fan-out of messages of {} B by TLS, one sender with many in flight; sizes before encryption",
            CONTENT.len()
        ),
        &COLUMNS,
    );
    let mut paced = Table::new(
        "latency",
        format!("Fan-out to {LATENCY_SUBSCRIBERS} subscribers, a message every {} ms", INTERVAL.as_millis()),
        &["system", "sent to heard p50 µs", "p99 µs", "acknowledged to heard p50 µs", "p99 µs"],
    );
    for subscribers in SUBSCRIBERS {
        let systems: [Box<dyn System>; 3] =
            [Box::new(Chanwire::start()), Box::new(Redis::start_volatile()), Box::new(Nats::start())];
        let mut groups: Vec<Group<'_>> =
            systems.iter().map(|system| Group::new(system.as_ref(), subscribers, CONTENT.into())).collect();
        measure_bursts(&mut groups, rounds, &mut bursts, TARGET);
        if subscribers == LATENCY_SUBSCRIBERS {
            measure_latency(&mut groups, rounds, &mut paced);
        }
    }
    let systems: [Box<dyn System>; 2] = [Box::new(Chanwire::start_with_tls()), Box::new(Nats::start_with_tls())];
    let mut groups: Vec<Group<'_>> =
        systems.iter().map(|system| Group::new(system.as_ref(), TLS_SUBSCRIBERS, CONTENT.into())).collect();
    measure_bursts(&mut groups, rounds, &mut by_tls, TLS_TARGET);
    report.add(bursts);
    report.add(by_tls);
    report.add(paced);
}

#[derive(Clone, Copy)]
struct Throughput {
    deliveries: f64,
    content: f64,
    wire: f64,
    cpu: f64,
    resident: f64,
}

fn measure_bursts(groups: &mut [Group<'_>], rounds: usize, table: &mut Table, target: f64) {
    let samples = Rounds::run_mut(groups, rounds, |group| {
        let start = Instant::now();
        let burst = group.burst(usize::MAX, |_| start.elapsed() >= BURST, |_, _| {});
        let subscribers = group.len() as f64;
        let seconds = burst.elapsed.as_secs_f64();
        let deliveries = burst.messages as f64 * subscribers;
        Throughput {
            deliveries: deliveries / seconds,
            content: deliveries * CONTENT.len() as f64 / seconds / 1e6,
            wire: burst.bytes as f64 * subscribers / seconds / 1e6,
            cpu: micros(burst.cpu) / deliveries,
            resident: resident(group.system().id()) as f64 / 1e6,
        }
    });
    for (group, samples) in groups.iter().zip(samples.by_system()) {
        table.row([group.len().into(), group.system().name().into()].into_iter().chain([
            samples.median(0, |sample| sample.deliveries),
            samples.median(1, |sample| sample.content),
            samples.median(1, |sample| sample.wire),
            samples.median(3, |sample| sample.cpu),
            samples.median(1, |sample| sample.resident),
        ]));
    }
    for (index, group) in groups.iter().enumerate().skip(1) {
        let of_content = samples.ratio(0, index, |sample| sample.content);
        let of_wire = samples.ratio(0, index, |sample| sample.wire);
        let (count, name) = (group.len(), group.system().name());
        table.at_least(format!("content bytes/s to {count}, times {name}"), of_content, target);
        table.at_least(format!("bytes/s on the wire to {count}, times {name}"), of_wire, target);
    }
}

/// The median and the 99th percentile of the time until delivery, in microseconds: since a message was sent, and since
/// it was acknowledged.
#[derive(Clone, Copy)]
struct Latency {
    sent: [f64; 2],
    acknowledged: [f64; 2],
}

fn measure_latency(groups: &mut [Group<'_>], rounds: usize, table: &mut Table) {
    let samples = Rounds::run_mut(groups, rounds, latency);
    for (group, samples) in groups.iter().zip(samples.by_system()) {
        table.row([Cell::from(group.system().name())].into_iter().chain([
            samples.median(0, |sample| sample.sent[0]),
            samples.median(0, |sample| sample.sent[1]),
            samples.median(0, |sample| sample.acknowledged[0]),
            samples.median(0, |sample| sample.acknowledged[1]),
        ]));
    }
}

/// A sent message, and when it was sent and acknowledged.
struct Sent {
    /// The number of bytes that a subscriber has received once it has this message.
    due: u64,
    at: Instant,
    acknowledged: Option<Instant>,
}

/// Sends messages at fixed intervals, and measures when the subscribers have them.
fn latency(group: &mut Group<'_>) -> Latency {
    let start = Instant::now();
    let mut messages: Vec<Sent> = Vec::with_capacity(LATENCY_MESSAGES);
    // The index of the message that each subscriber receives next.
    let mut next = vec![0; group.len()];
    // The deliveries: the index of the message, and the time.
    let mut deliveries: Vec<(usize, Instant)> = Vec::with_capacity(LATENCY_MESSAGES * group.len());
    let (mut answers, mut bytes_left) = (0, 0);
    while messages.len() < LATENCY_MESSAGES || answers < LATENCY_MESSAGES || bytes_left > 0 {
        assert!(start.elapsed() < TIMEOUT, "{}: messages were not delivered", group.system().name());
        let due = start + INTERVAL * u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let now = Instant::now();
        let wait = if messages.len() == LATENCY_MESSAGES { TIMEOUT } else { due.saturating_duration_since(now) };
        if wait.is_zero() {
            messages.push(Sent { due: group.send(1), at: Instant::now(), acknowledged: None });
            continue;
        }
        let mut acknowledged = Vec::new();
        group.turn(
            wait,
            |_, now| acknowledged.push(now),
            |index, bytes| {
                let now = Instant::now();
                while messages.get(next[index]).is_some_and(|message| message.due <= bytes) {
                    deliveries.push((next[index], now));
                    next[index] += 1;
                }
            },
        );
        for (message, now) in messages.iter_mut().skip(answers).zip(&acknowledged) {
            message.acknowledged = Some(*now);
        }
        answers += acknowledged.len();
        bytes_left = group.unheard();
    }
    let since = |from: fn(&Sent) -> Instant| {
        let after = |(message, at): &(usize, Instant)| micros(at.saturating_duration_since(from(&messages[*message])));
        let mut times: Vec<f64> = deliveries.iter().map(after).collect();
        [quantile(&mut times, 0.5), quantile(&mut times, 0.99)]
    };
    Latency {
        sent: since(|message| message.at),
        acknowledged: since(|message| message.acknowledged.expect("every message was answered")),
    }
}
