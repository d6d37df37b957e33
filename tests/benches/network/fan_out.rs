//! One sender's messages to everybody on a channel, beside Redis pub/sub and NATS, which store nothing.

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
const MEASURED: Duration = Duration::from_secs(1);

/// The latency is measured with this number of subscribers and of messages a round, one message in each interval.
const LISTENING: usize = 1000;
const PACED: usize = 60;
const INTERVAL: Duration = Duration::from_millis(30);

/// The lowest ratio of its bytes a second to those of NATS.
const TARGET: f64 = 1.0;

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let mut bursts = Table::new(
        "fan-out",
        format!("Fan-out of messages of {} B, one sender with many in flight", CONTENT.len()),
        &["subscribers", "system", "deliveries/s", "content MB/s", "wire MB/s", "CPU µs/delivery", "server MB"],
    );
    let mut paced = Table::new(
        "latency",
        format!("Fan-out to {LISTENING} subscribers, a message every {} ms", INTERVAL.as_millis()),
        &["system", "sent to heard p50 µs", "p99 µs", "acknowledged to heard p50 µs", "p99 µs"],
    );
    for subscribers in SUBSCRIBERS {
        let systems: [Box<dyn System>; 3] =
            [Box::new(Chanwire::start()), Box::new(Redis::start_volatile()), Box::new(Nats::start())];
        let mut groups: Vec<Group<'_>> =
            systems.iter().map(|system| Group::new(system.as_ref(), subscribers, CONTENT.into())).collect();
        measure_bursts(&mut groups, rounds, &mut bursts);
        if subscribers == LISTENING {
            measure_latency(&mut groups, rounds, &mut paced);
        }
    }
    report.add(bursts);
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

fn measure_bursts(groups: &mut [Group<'_>], rounds: usize, table: &mut Table) {
    let samples = Rounds::run_mut(groups, rounds, |group| {
        let start = Instant::now();
        let burst = group.burst(usize::MAX, |_| start.elapsed() >= MEASURED, |_, _| {});
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
    for (other, group) in groups.iter().enumerate().skip(1) {
        let of_content = samples.ratio(0, other, |sample| sample.content);
        let of_wire = samples.ratio(0, other, |sample| sample.wire);
        let (count, name) = (group.len(), group.system().name());
        table.at_least(format!("content bytes/s to {count}, times {name}"), of_content, TARGET);
        table.at_least(format!("bytes/s on the wire to {count}, times {name}"), of_wire, TARGET);
    }
}

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

/// The times at which a message was sent and acknowledged.
struct Times {
    due: u64,
    sent: Instant,
    acknowledged: Option<Instant>,
}

fn latency(group: &mut Group<'_>) -> Latency {
    let start = Instant::now();
    let mut messages: Vec<Times> = Vec::with_capacity(PACED);
    // The next message of each subscriber, and the times of all deliveries.
    let mut next = vec![0; group.len()];
    let mut heard: Vec<(usize, Instant)> = Vec::with_capacity(PACED * group.len());
    let (mut answers, mut unheard) = (0, 0);
    while messages.len() < PACED || answers < PACED || unheard > 0 {
        assert!(start.elapsed() < TIMEOUT, "{}: messages were not heard", group.system().name());
        let at = start + INTERVAL * u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let now = Instant::now();
        let wait = if messages.len() == PACED { TIMEOUT } else { at.saturating_duration_since(now) };
        if wait.is_zero() {
            messages.push(Times { due: group.send(1), sent: Instant::now(), acknowledged: None });
            continue;
        }
        let mut acknowledged = Vec::new();
        group.turn(
            wait,
            |_, now| acknowledged.push(now),
            |index, bytes| {
                let now = Instant::now();
                while messages.get(next[index]).is_some_and(|message| message.due <= bytes) {
                    heard.push((next[index], now));
                    next[index] += 1;
                }
            },
        );
        for (message, now) in messages.iter_mut().skip(answers).zip(&acknowledged) {
            message.acknowledged = Some(*now);
        }
        answers += acknowledged.len();
        unheard = group.unheard();
    }
    let since = |from: fn(&Times) -> Instant| {
        let after = |(message, at): &(usize, Instant)| micros(at.saturating_duration_since(from(&messages[*message])));
        let mut times: Vec<f64> = heard.iter().map(after).collect();
        [quantile(&mut times, 0.5), quantile(&mut times, 0.99)]
    };
    Latency {
        sent: since(|message| message.sent),
        acknowledged: since(|message| message.acknowledged.expect("every message was answered")),
    }
}
