//! The server over loopback, beside Redis and NATS, in one run.
//!
//! One thread makes the whole load, with the same code for all three, and it is lean: it shares the machine's cores
//! with the server that it measures. The systems take turns, so that whatever else the machine does meets all of
//! them, and the middle of several rounds counts. Nothing here fails because a target is missed: the table says so.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a measurement fails")]

mod chanwire;
mod durable;
mod fan_out;
#[cfg(target_os = "linux")]
mod flood;
mod group;
mod idle;
mod link;
mod list;
mod load;
mod nats;
mod redis;
mod report;
mod requests;
mod running;
mod scrape;
mod stuck;
mod system;

use std::env;

use report::Report;

const USAGE: &str = "\
usage: cargo bench -p chanwire-tests --bench network -- [--json] [--rounds N] [durable] [scrape] [list] [fan-out] [stuck] \
[idle] [flood]";

/// Adds its tables to the report, after so many rounds.
type Part = fn(&mut Report, usize);

/// Every part that can be measured by itself.
const PARTS: &[(&str, Part)] = &[
    ("durable", durable::measure),
    ("scrape", scrape::measure),
    ("list", list::measure),
    ("fan-out", fan_out::measure),
    ("stuck", stuck::measure),
    ("idle", idle::measure),
    // It needs network namespaces.
    #[cfg(target_os = "linux")]
    ("flood", flood::measure),
];

/// The number of rounds measured by default.
const ROUNDS: usize = 3;

fn main() {
    let (mut json, mut rounds, mut wanted) = (false, ROUNDS, Vec::new());
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says this to every benchmark.
            "--bench" => {}
            "--json" => json = true,
            "--rounds" => {
                let given =
                    arguments.next().and_then(|count| count.parse().ok()).filter(|count| (1..=100).contains(count));
                rounds = given.unwrap_or_else(|| panic!("--rounds takes a number from 1 to 100\n{USAGE}"));
            }
            name if PARTS.iter().any(|(part, _)| *part == name) => wanted.push(name.to_owned()),
            other => panic!("unknown argument '{other}'\n{USAGE}"),
        }
    }
    let mut report = Report::new();
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("measuring: {name}");
            part(&mut report, rounds);
        }
    }
    if json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
}
