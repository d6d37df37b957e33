//! Measures how fast requests of one kind are answered.

use std::time::{Duration, Instant};

use crate::{
    load::{Poller, Sender},
    report::{micros, quantile},
    running::cpu_time,
    system::{Exchange, System, TIMEOUT},
};

const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Answers a second.
    pub(crate) rate: f64,
    /// From asked to answered, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The server's CPU time for an answer, in microseconds.
    pub(crate) cpu: f64,
}

/// Measures these requests over so many connections, each with so many unanswered.
pub(crate) fn sample(system: &dyn System, exchange: &Exchange, connections: usize, depth: usize) -> Sample {
    let mut poller = Poller::new();
    let mut senders = Sender::all(&poller, system.connect(connections), 0, exchange);
    let mut times = Vec::new();
    let begin = Instant::now() + WARM_UP;
    let end = begin + MEASURED;
    let mut cpu = None;
    senders.iter_mut().for_each(|sender| sender.ask(depth));
    while senders.iter().any(|sender| sender.open() > 0) {
        poller.wait(TIMEOUT);
        let now = Instant::now();
        assert!(now < end + TIMEOUT, "{} does not answer", system.name());
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
