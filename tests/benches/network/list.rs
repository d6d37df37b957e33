//! LIST, beside a GET of as many bytes from Redis; and LIST after a change of a very long list.

use std::time::Instant;

use crate::{
    chanwire::Chanwire,
    link::Link,
    redis::Redis,
    report::{Cell, Report, Rounds, Table, micros, quantile},
    requests,
    system::{Exchange, Reply, System, ask, exchange},
};

const CONNECTIONS: usize = 50;
const DEPTHS: [usize; 3] = [1, 16, 64];

/// The numbers of channels that are listed.
const CHANNELS: [usize; 3] = [5, 50, 500];

/// The lowest ratio of its answers a second to those of Redis.
const TARGET: f64 = 1.0;

/// The longest list, how often it is asked for in a round, and how many times as long it may take after a change.
const LONG: usize = 100_000;
const LISTS: usize = 40;
const CHANGED: f64 = 1.5;

const LIST: &str = "LIST\r\n";

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    for channels in CHANNELS {
        report.add(beside_redis(channels, rounds));
    }
    report.add(after_a_change(rounds));
}

fn beside_redis(channels: usize, rounds: usize) -> Table {
    let (chanwire, redis) = (Chanwire::start(), Redis::start_volatile());
    let list = host(&chanwire, channels);
    let get = redis.keep(list);
    let list = Exchange { request: LIST.into(), id_at: None, reply: Reply::Sized(b'O', list) };
    let systems: [(&dyn System, Exchange); 2] = [(&chanwire, list), (&redis, get)];
    let mut table = Table::new(
        "list",
        format!("LIST of {channels} channels beside GET of as many bytes, {CONNECTIONS} connections"),
        &["depth", "system", "answers/s", "p50 µs", "p99 µs", "CPU µs/answer"],
    );
    for depth in DEPTHS {
        let samples =
            Rounds::run(&systems, rounds, |(system, exchange)| requests::sample(*system, exchange, CONNECTIONS, depth));
        for ((system, _), samples) in systems.iter().zip(samples.by_system()) {
            table.row([depth.into(), system.name().into()].into_iter().chain([
                samples.median(0, |sample| sample.rate),
                samples.median(0, |sample| sample.p50),
                samples.median(0, |sample| sample.p99),
                samples.median(2, |sample| sample.cpu),
            ]));
        }
        let ratio = samples.ratio(0, 1, |sample| sample.rate);
        table.at_least(format!("answers/s at depth {depth}, times Redis"), ratio, TARGET);
    }
    table
}

/// Hosts so many channels, and returns the size of the answer to LIST.
fn host(chanwire: &Chanwire, channels: usize) -> usize {
    const AT_ONCE: usize = 500;
    let mut stream = chanwire.connect(1).pop().expect("a connection");
    // One is there already.
    for first in (1..channels).step_by(AT_ONCE) {
        let (asked, expected): (Vec<_>, Vec<_>) =
            (first..channels.min(first + AT_ONCE)).map(|number| (host_request(number, 22_236), hosted(number))).unzip();
        ask(&mut stream, &asked.concat(), &expected.concat());
    }
    list_size(&mut stream)
}

fn host_request(number: usize, port: usize) -> String {
    let address = format!("\"peer_server_ip\": \"192.0.2.{}\", \"peer_server_port\": {port}", number % 200);
    format!("HOST\r\n{{\"channel_name\": \"channel-{number}\", {address}}}")
}

fn hosted(number: usize) -> String {
    format!("OK\r\n{{\"status\": \"success\", \"channel_name\": \"channel-{number}\"}}")
}

/// Reads an answer to LIST to its end.
fn list_size(stream: &mut Link) -> usize {
    let mut answer = exchange(stream, LIST, 20);
    while !answer.ends_with("]}") {
        answer += &crate::system::read(stream, 1);
    }
    answer.len()
}

fn after_a_change(rounds: usize) -> Table {
    let chanwire = Chanwire::start();
    let size = host(&chanwire, LONG);
    let mut stream = chanwire.connect(1).pop().expect("a connection");
    let mut moves = 0;
    let cases = [("unchanged", false), ("after a HOST", true)];
    let samples = Rounds::run(&cases, rounds, |(_, changes)| {
        let mut times = Vec::with_capacity(LISTS);
        for _ in 0..LISTS {
            if *changes {
                moves += 1;
                // The client that registered a channel may move it.
                let number = 1 + moves * 7919 % (LONG - 1);
                ask(&mut stream, &host_request(number, 30_000 + moves % 10_000), &hosted(number));
            }
            let begin = Instant::now();
            exchange(&mut stream, LIST, size);
            times.push(micros(begin.elapsed()));
        }
        quantile(&mut times, 0.5)
    });
    let mut table = Table::new(
        "long list",
        format!("LIST of {LONG} channels, {:.1} MB, on one connection", size as f64 / 1e6),
        &["case", "µs"],
    );
    for ((name, _), samples) in cases.iter().zip(samples.by_system()) {
        table.row([Cell::from(*name), samples.median(0, |time| *time)]);
    }
    table.at_most("LIST after a HOST, times the unchanged one", samples.ratio(1, 0, |time| *time), CHANGED);
    table
}
