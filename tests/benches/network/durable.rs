//! Messages that are durable before they are acknowledged, beside Redis streams synced as often.

use std::time::{Duration, Instant};

use crate::{
    chanwire::Chanwire,
    group::CONTENT,
    load::{Poller, Sender},
    redis::Redis,
    report::{Report, Rounds, Table, micros, quantile},
    running::cpu_time,
    system::{PATIENCE, System},
};

const CONNECTIONS: usize = 50;
const DEPTHS: [usize; 3] = [1, 16, 64];
const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_secs(1);

/// How many times as many messages a second as Redis it should be.
const TARGET: f64 = 1.0;

#[derive(Clone, Copy)]
struct Sample {
    /// Messages a second.
    rate: f64,
    /// From asked to answered, in microseconds.
    p50: f64,
    p99: f64,
    /// The server's CPU time for a message, in microseconds.
    cpu: f64,
}

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let systems: [Box<dyn System>; 2] = [Box::new(Chanwire::start()), Box::new(Redis::start_durable())];
    let mut table = Table::new(
        "durable",
        format!("Durable messages of {} B, {CONNECTIONS} connections", CONTENT.len()),
        &["depth", "system", "messages/s", "p50 µs", "p99 µs", "CPU µs/message"],
    );
    for depth in DEPTHS {
        let samples = Rounds::run(&systems, rounds, |system| sample(system.as_ref(), depth));
        for (system, samples) in systems.iter().zip(samples.by_system()) {
            table.row([depth.into(), system.name().into()].into_iter().chain([
                samples.median(0, |sample| sample.rate),
                samples.median(0, |sample| sample.p50),
                samples.median(0, |sample| sample.p99),
                samples.median(2, |sample| sample.cpu),
            ]));
        }
        let ratio = samples.ratio(0, 1, |sample| sample.rate);
        table.at_least(format!("messages/s at depth {depth}, times Redis"), ratio, TARGET);
    }
    report.add(table);
}

fn sample(system: &dyn System, depth: usize) -> Sample {
    let exchange = system.store(CONTENT).expect("a durable system");
    let mut poller = Poller::new();
    let mut senders = Sender::all(&poller, system.connect(CONNECTIONS), 0, &exchange);
    let mut times = Vec::new();
    let begin = Instant::now() + WARM_UP;
    let end = begin + MEASURED;
    let mut cpu = None;
    senders.iter_mut().for_each(|sender| sender.ask(depth));
    while senders.iter().any(|sender| sender.open() > 0) {
        poller.wait(PATIENCE);
        let now = Instant::now();
        assert!(now < end + PATIENCE, "{} does not answer", system.name());
        if now >= begin && cpu.is_none() {
            cpu = Some((now, cpu_time(system.id())));
        }
        for number in poller.woken() {
            let sender = &mut senders[number];
            let answered = sender.receive(&mut poller.scratch, |asked, now| {
                if cpu.is_some() {
                    times.push(micros(now - asked));
                }
            });
            if now < end && answered > 0 {
                sender.ask(answered);
            } else {
                sender.flush();
            }
        }
    }
    let (begin, cpu) = cpu.expect("more than a warm-up");
    let (elapsed, cpu) = (begin.elapsed(), cpu_time(system.id()) - cpu);
    let count = times.len() as f64;
    Sample {
        rate: count / elapsed.as_secs_f64(),
        p50: quantile(&mut times, 0.5),
        p99: quantile(&mut times, 0.99),
        cpu: micros(cpu) / count,
    }
}
