//! Measures the cost of an idle connection.

use std::io::Write as _;

use chanwire_tests::process::{check, raise_file_limit, wait_for};

use crate::{
    chanwire::Chanwire,
    link::Link,
    nats::Nats,
    redis::Redis,
    report::{Cell, Report, Table},
    running::{open_files, resident},
    system::{System, read},
};

const CONNECTIONS: usize = 5000;

/// Connections opened before the measurement, so that one-time costs of the first ones are not counted.
const FIRST: usize = 50;

/// The number of equal samples after which a server's memory is taken to be stable.
const AT_REST: usize = 50;

/// The highest accepted number of resident bytes per Chanwire connection, in plain text and by TLS.
const TARGETS: [(&str, f64); 2] = [("chanwire", 2000.0), ("chanwire TLS", 25.0 * 1024.0)];

pub(crate) fn measure(report: &mut Report, _: usize) {
    raise_file_limit(u64::try_from(CONNECTIONS + 200).unwrap_or(u64::MAX));
    let mut table = Table::new(
        "idle",
        format!("{CONNECTIONS} idle connections"),
        &["system", "resident bytes/connection", "server MB before", "server MB with all"],
    );
    let starts: [fn() -> Box<dyn System>; 6] = [
        || Box::new(Chanwire::start()),
        || Box::new(Redis::start_volatile()),
        || Box::new(Nats::start()),
        || Box::new(Chanwire::start_with_tls()),
        || Box::new(Redis::start_volatile_with_tls()),
        || Box::new(Nats::start_with_tls()),
    ];
    // One after the other, since memory is measured and no time is compared.
    for start in starts {
        let system = start();
        let _first = connect(system.as_ref(), FIRST);
        let before = settled(system.as_ref());
        let _all = connect(system.as_ref(), CONNECTIONS);
        let after = settled(system.as_ref());
        let each = (after - before) / CONNECTIONS as f64;
        table.row([
            Cell::from(system.name()),
            Cell::number(each, 0),
            Cell::number(before / 1e6, 1),
            Cell::number(after / 1e6, 1),
        ]);
        for (name, most) in TARGETS.into_iter().filter(|(name, _)| *name == system.name()) {
            table.at_most(format!("resident bytes a connection, {name}"), each, most);
        }
    }
    report.add(table);
}

/// Opens `count` connections and one more, and waits until the server has accepted them all.
fn connect(system: &dyn System, count: usize) -> Vec<Link> {
    let mut streams = system.connect(count);
    wait_for(&format!("{} accepts them all", system.name()), || {
        let open = open_files(system.id());
        check(open > count, open)
    });
    // Connections are accepted in order, so once the last one is answered, all were accepted.
    for mut last in system.connect(1) {
        last.write_all(&system.publish("hello").request).expect("a server that reads");
        read(&mut last, 1);
        streams.push(last);
    }
    streams
}

/// Returns a server's resident memory in bytes, once it is stable.
fn settled(system: &dyn System) -> f64 {
    let (mut last, mut equal) = (0, 0);
    let settled = wait_for(&format!("{} comes to rest", system.name()), || {
        let now = resident(system.id());
        equal = if now == last { equal + 1 } else { 0 };
        last = now;
        if equal == AT_REST { Ok(now) } else { Err(now) }
    });
    settled as f64
}
