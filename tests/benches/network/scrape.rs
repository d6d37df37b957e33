//! Durable messages while metrics are read each second, compared with those while nobody reads them.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use chanwire_tests::process::Background;

use crate::{
    chanwire::Chanwire,
    group::CONTENT,
    report::{Cell, Report, Rounds, Table},
    requests::{self, Sample},
    system::{System as _, TIMEOUT},
};

const CONNECTIONS: usize = 50;
const DEPTH: usize = 16;

/// The time between two scrapes.
const INTERVAL: Duration = Duration::from_secs(1);

/// The lowest accepted ratio of messages per second with scrapes to those without, and the highest of the CPU time of a
/// message. The ratio of two halves of the rounds without scrapes shows how much of it is noise.
const RATE: f64 = 0.97;
const CPU: f64 = 1.03;

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let chanwire = Chanwire::start_with_metrics();
    let metrics = chanwire.metrics();
    let exchange = chanwire.store(CONTENT).expect("a durable system");
    let cases = [("without", false), ("with", true), ("without, again", false)];
    let samples = Rounds::run(&cases, rounds, |(_, is_scraped)| {
        let scraper = is_scraped.then(|| scrape_until_stopped(metrics));
        let sample = requests::sample(&chanwire, &exchange, CONNECTIONS, DEPTH);
        if let Some(scraper) = scraper {
            assert!(scraper.stop() > 1, "the metrics were not read meanwhile");
        }
        sample
    });
    let mut table = Table::new(
        "scrape",
        format!(
            "Durable messages of {} B, {CONNECTIONS} connections, depth {DEPTH}, a scrape each second",
            CONTENT.len()
        ),
        &["scrapes", "messages/s", "p50 µs", "p99 µs", "CPU µs/message"],
    );
    for ((name, _), samples) in cases.iter().zip(samples.by_system()) {
        table.row([Cell::from(*name)].into_iter().chain([
            samples.median(0, |sample| sample.rate),
            samples.median(0, |sample| sample.p50),
            samples.median(0, |sample| sample.p99),
            samples.median(2, |sample| sample.cpu),
        ]));
    }
    let ratios = |value: fn(&Sample) -> f64| (samples.ratio(1, 0, value), samples.ratio(2, 0, value));
    let (rate, same_rate) = ratios(|sample| sample.rate);
    let (cpu, same_cpu) = ratios(|sample| sample.cpu);
    table.at_least(format!("messages/s with scrapes, times without (noise: {same_rate:.2})"), rate, RATE);
    table.at_most(format!("CPU of a message with scrapes, times without (noise: {same_cpu:.2})"), cpu, CPU);
    report.add(table);
}

/// Reads the metrics at once and then in each interval. Returns how often it did.
fn scrape_until_stopped(address: SocketAddr) -> Background<usize> {
    Background::start(move |stop| {
        let (mut count, mut next) = (0_usize, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= next {
                scrape(address);
                count += 1;
                next += INTERVAL;
            }
            thread::sleep(Duration::from_millis(10));
        }
        count
    })
}

fn scrape(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a server that reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("chanwire_hub_up 1"), "{answer}");
}
