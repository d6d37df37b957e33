//! One of a thousand subscribers stops reading: what the sender and the server's memory notice of it.

use std::{
    io::{self, ErrorKind, Read as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::{
    chanwire::Chanwire,
    group::Group,
    report::{Cell, Report, Rounds, Table, micros, quantile},
    running::resident,
    system::{System as _, TIMEOUT},
};

const SUBSCRIBERS: usize = 1000;

/// The number of messages that the sender leaves unanswered.
const DEPTH: usize = 16;

/// The number of messages, and their size: far more than the kernel's buffers and the server's bound for one reader
/// hold.
const MESSAGES: u64 = 4500;
const SIZE: usize = 1000;

/// The server's bound for what one reader leaves unread, in bytes, and what memory may grow by beside it.
const BOUND: u64 = 1024 * 1024;
const SLACK: u64 = 10_000_000;

/// The highest ratio of the sender's 99th percentile to the one without a stuck subscriber.
const TARGET: f64 = 1.5;

/// The interval at which the memory is sampled.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
struct Sample {
    p50: f64,
    p99: f64,
    /// The most that was resident meanwhile, in bytes.
    peak: f64,
}

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let chanwire = Chanwire::start();
    let mut group = Group::new(&chanwire, SUBSCRIBERS - 1, "x".repeat(SIZE));
    // The first run makes the server's queues as long as they become.
    phase(&chanwire, &mut group, false);
    let cases = [("all read", false), ("one is stuck", true)];
    let samples = Rounds::run(&cases, rounds, |(_, stuck)| phase(&chanwire, &mut group, *stuck));
    let mut table = Table::new(
        "stuck",
        format!("One of {SUBSCRIBERS} subscribers stops reading; {MESSAGES} messages of {SIZE} B, {DEPTH} unanswered"),
        &["case", "sender's p50 µs", "p99 µs", "server MB at most"],
    );
    for ((name, _), samples) in cases.iter().zip(samples.by_system()) {
        table.row([Cell::from(*name)].into_iter().chain([
            samples.median(0, |sample| sample.p50),
            samples.median(0, |sample| sample.p99),
            samples.median(1, |sample| sample.peak / 1e6),
        ]));
    }
    table.at_most("the sender's p99 with one stuck, times without", samples.ratio(1, 0, |sample| sample.p99), TARGET);
    let growth = samples.difference(1, 0, |sample| sample.peak / 1e6);
    table.at_most("memory that one stuck reader costs, in MB", growth, (BOUND + SLACK) as f64 / 1e6);
    report.add(table);
}

fn phase(chanwire: &Chanwire, group: &mut Group<'_>, stuck: bool) -> Sample {
    let odd = chanwire.subscribe(1).pop().expect("one subscriber").into_tcp();
    if stuck {
        // Leaves the unread bytes with the server instead of the kernel. A reader that reads keeps the usual buffer:
        // with a smaller one than a segment of the loopback interface it waits for the sender's timers.
        set_socket_recv_buffer_size(&odd, 4096).expect("a small buffer");
    }
    let reader = (!stuck).then(|| {
        let stream = odd.try_clone().expect("the same connection");
        std::thread::spawn(move || read_all(stream))
    });
    let mut times = Vec::new();
    let (mut peak, mut looked) = (0, Instant::now());
    group.burst(
        DEPTH,
        |sent| {
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                peak = peak.max(resident(chanwire.id()));
            }
            sent >= MESSAGES
        },
        |asked, now| times.push(micros(now - asked)),
    );
    match reader {
        None => {
            let (heard, end) = read_all(odd);
            let mut ids = ids(&heard);
            match end {
                // It took nothing for so long that the server has reset it, maybe in the middle of a message.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => drop(ids.pop()),
                end => {
                    end.expect("an end of the stream");
                    let slow = "SERVER_ERROR\r\n{\"error\": \"Slow consumer\"";
                    assert!(heard.contains(slow), "the reader was not stuck: it was sent {} bytes", heard.len());
                }
            }
            // It comes back, and has missed nothing.
            let first = ids.first().copied().expect("a message before it was stuck");
            ids.extend(chanwire.ids_after(*ids.last().unwrap_or(&first)));
            let all = first..first + ids.len() as u64;
            assert!(ids.len() as u64 >= MESSAGES && ids.iter().copied().eq(all), "{} ids from {first} on", ids.len());
        }
        Some(reader) => {
            odd.shutdown(std::net::Shutdown::Both).expect("an open connection");
            let (heard, end) = reader.join().expect("a reader");
            end.expect("an end of the stream");
            assert!(!heard.contains("SERVER_ERROR"), "a reader that reads was closed");
        }
    }
    Sample { p50: quantile(&mut times, 0.5), p99: quantile(&mut times, 0.99), peak: peak as f64 }
}

/// Returns the ids of the messages in what a reader was sent.
fn ids(heard: &str) -> Vec<u64> {
    let id = |rest: &str| rest.split(',').next().and_then(|id| id.parse().ok());
    heard.split("\"id\": ").skip(1).filter_map(id).collect()
}

/// Reads to the end of the stream, and returns the text with the last read's result.
fn read_all(mut stream: TcpStream) -> (String, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = stream.set_read_timeout(Some(TIMEOUT)).and_then(|()| stream.read_to_end(&mut bytes).map(drop));
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}
