//! Messages that are durable before they are acknowledged, compared with Redis streams that are synced before each
//! acknowledgement too, in plain text and by TLS; and messages with ids, by which they may be sent again, compared with
//! those without.

use crate::{
    chanwire::{Chanwire, WithIds},
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

/// The lowest accepted ratio of messages per second with ids to those without.
const WITH_IDS: f64 = 0.8;

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let title = format!("Durable messages of {} B, {CONNECTIONS} connections", CONTENT.len());
    let with_redis: [Box<dyn System>; 2] = [Box::new(Chanwire::start()), Box::new(Redis::start_durable())];
    compare(report, rounds, ("durable", title.clone()), &with_redis, ("Redis", TARGET));
    drop(with_redis);
    let by_tls: [Box<dyn System>; 2] =
        [Box::new(Chanwire::start_with_tls()), Box::new(Redis::start_durable_with_tls())];
    compare(report, rounds, ("durable-tls", format!("{title}, by TLS")), &by_tls, ("Redis with TLS", TARGET));
    drop(by_tls);
    let with_ids: [Box<dyn System>; 2] = [Box::new(WithIds(Chanwire::start())), Box::new(Chanwire::start())];
    compare(report, rounds, ("ids", format!("{title}, with ids")), &with_ids, ("without ids", WITH_IDS));
}

/// Measures a system beside another one, of whose messages per second it must have this share.
fn compare(
    report: &mut Report,
    rounds: usize,
    (name, title): (&'static str, String),
    systems: &[Box<dyn System>; 2],
    (other, target): (&str, f64),
) {
    let mut table = Table::new(name, title, &["depth", "system", "messages/s", "p50 µs", "p99 µs", "CPU µs/message"]);
    for depth in DEPTHS {
        let samples = Rounds::run(systems, rounds, |system| {
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
        table.at_least(format!("messages/s at depth {depth}, times {other}"), ratio, target);
    }
    report.add(table);
}
