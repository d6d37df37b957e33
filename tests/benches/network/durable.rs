//! Messages that are durable before they are acknowledged, compared with Redis streams that are synced before each
//! acknowledgement too.

use crate::{
    chanwire::Chanwire,
    group::CONTENT,
    redis::Redis,
    report::{Report, Rounds, Table},
    requests,
    system::System,
};

const CONNECTIONS: usize = 50;
const DEPTHS: [usize; 3] = [1, 16, 64];

/// The lowest accepted ratio of Chanwire's messages per second to those of Redis.
const TARGET: f64 = 1.0;

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let systems: [Box<dyn System>; 2] = [Box::new(Chanwire::start()), Box::new(Redis::start_durable())];
    let mut table = Table::new(
        "durable",
        format!("Durable messages of {} B, {CONNECTIONS} connections", CONTENT.len()),
        &["depth", "system", "messages/s", "p50 µs", "p99 µs", "CPU µs/message"],
    );
    for depth in DEPTHS {
        let samples = Rounds::run(&systems, rounds, |system| {
            let exchange = system.store(CONTENT).expect("a durable system");
            requests::sample(system.as_ref(), &exchange, CONNECTIONS, depth)
        });
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
