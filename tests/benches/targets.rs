//! The aims for speed, each measured as a ratio in one run.
//!
//! Both sides of a ratio take turns within a few milliseconds, by the processor time of this thread, so that what else
//! the machine does meanwhile weighs on both alike. The compiler's layout of either side still moves a ratio by a fifth
//! from one build to the next: `instructions.sh` counts instructions, which do not depend on that. `targets NAME COUNT`
//! does one side's work COUNT times and nothing else, for a profiler.
//!
//! The bounds of each, by what callgrind counts:
//!
//! - **Frame ends, plain text**: nothing is copied where frames stand whole in a read, so it runs as fast as `memchr2`
//!   finds a quote. Copying each read into the decoder first, as `feed` does, costs half of that speed.
//! - **Frame ends, the others**: half of the instructions gather comparisons of 64 bytes into masks. The instruction
//!   that does it at once, `pmovmskb`, cannot be reached without `unsafe`. A frame larger than a read is copied whole.
//! - **Decode, escapes**: a text is walked twice, once to check it and once to unescape it: that a known field is the
//!   first of its name, and well-formed to the payload's end, is known only after the first walk.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a run that goes wrong must stop")]

mod workload;

use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};
use workload::{Drip, Service, Shape};

/// The number of turns of each side. The median is reported.
const ROUNDS: usize = 41;

/// The shortest length of one turn, in seconds.
const TURN: f64 = 2e-3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let [name, count] = &words[..] {
        return repeat(name, count);
    }
    println!("{:<34} {:>14} {:>14} {:>8} {:>10}", "what", "this crate", "compared", "ratio", "aim");
    let shapes = Shape::ALL.map(|make| make());
    for shape in &shapes {
        let (ours, theirs) = compare(|| workload::ends(shape), || workload::serde_ends(shape));
        let aim = if shape.name.contains("plain") { "5.0 up" } else { "1.0 up" };
        report("frame ends", shape, ours, theirs, theirs / ours, aim);
    }
    for shape in &shapes {
        let (ours, theirs) = compare(|| workload::decode(shape), || workload::serde_decode(shape));
        report("decode", shape, ours, theirs, ours / theirs, "1.25 down");
    }
    let (ours, hub) = {
        let (mut alone, mut whole) = (Service::new(), Service::new());
        let requests = &shapes[0];
        let (ours, hub) = compare(
            || assert_eq!(alone.answer(&requests.stream), requests.frames),
            || assert_eq!(whole.serve(&requests.stream), requests.frames),
        );
        (ours / requests.frames as f64, hub / requests.frames as f64)
    };
    println!("server, requests a second          {:>14.0} {:>14} {:>8} {:>10}", 1.0 / ours, "", "", "3000000");
    println!("server and hub, requests a second  {:>14.0}", 1.0 / hub);
    drips();
    ExitCode::SUCCESS
}

/// Compares one byte per feed with whole feeds. The fixed cost of a frame weighs on a small one's bytes, most of all
/// where there is nothing else: so the ratio of the small ones is below that of the large ones, where it stays.
fn drips() {
    println!("{:<34} {:>14} {:>14} {:>8} {:>10}", "bytes a frame, one a feed", "one byte", "whole", "ratio", "aim");
    let mut large = None;
    for size in Drip::SIZES {
        let (drip, times) = (Drip::new(size), 65_536 / size);
        let (bytes, whole) = compare(|| drip.feed(1, times), || drip.feed(size, times));
        let ratio = bytes / whole;
        let per_byte = |seconds: f64| format!("{:.3} ns/B", seconds * 1e9 / (size * times) as f64);
        let aim = large.map_or(String::new(), |large| format!("{large:.1} down"));
        println!("{size:<34} {:>14} {:>14} {ratio:>8.1} {aim:>10}", per_byte(bytes), per_byte(whole));
        // A quarter for what the machine does meanwhile; work that grew with the size would make it sixteenfold.
        assert!(large.is_none_or(|large| ratio < 1.25 * large), "the ratio grows with the size of a frame");
        large = large.or((size >= 4096).then_some(ratio));
    }
}

fn report(label: &str, shape: &Shape, ours: f64, theirs: f64, ratio: f64, aim: &str) {
    let rate = |seconds: f64| format!("{:.2} GB/s", shape.payloads.len() as f64 / seconds / 1e9);
    println!(
        "{:<34} {:>14} {:>14} {ratio:>8.2} {aim:>10}",
        format!("{label}, {}", shape.name),
        rate(ours),
        rate(theirs)
    );
}

/// Measures the seconds that one call of each takes: those of the round whose ratio is the median.
fn compare(mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let calls = |once: f64| (TURN / once.max(1e-9)).ceil().max(1.0) as usize;
    let counts = (calls(seconds(1, &mut one)), calls(seconds(1, &mut other)));
    let mut rounds: Vec<(f64, f64)> =
        (0..ROUNDS).map(|_| (seconds(counts.0, &mut one), seconds(counts.1, &mut other))).collect();
    rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    rounds[ROUNDS / 2]
}

/// Measures the processor time that one of `count` calls takes.
fn seconds(count: usize, work: &mut impl FnMut()) -> f64 {
    let start = processor_time();
    (0..count).for_each(|_| work());
    (processor_time() - start) / count as f64
}

fn processor_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Does one side's work and nothing else.
fn repeat(name: &str, count: &str) -> ExitCode {
    let Ok(count) = count.parse::<usize>() else {
        eprintln!("'{count}' is no number of times: give NAME COUNT, such as 'decode:0 10'");
        return ExitCode::FAILURE;
    };
    let (work, index) = name.split_once(':').unwrap_or((name, "0"));
    let Some(shape) = index.parse::<usize>().ok().and_then(|index| Shape::ALL.get(index)) else {
        eprintln!("'{index}' is no shape: they are numbered from 0 to {}", Shape::ALL.len() - 1);
        return ExitCode::FAILURE;
    };
    let (shape, mut service) = (&shape(), Service::new());
    let mut work: Box<dyn FnMut()> = match work {
        "ends" => Box::new(|| workload::ends(shape)),
        "serde-ends" => Box::new(|| workload::serde_ends(shape)),
        "decode" => Box::new(|| workload::decode(shape)),
        "serde-decode" => Box::new(|| workload::serde_decode(shape)),
        "server" => Box::new(|| assert_eq!(service.answer(&shape.stream), shape.frames)),
        "hub" => Box::new(|| assert_eq!(service.serve(&shape.stream), shape.frames)),
        _ => {
            eprintln!("'{work}' is not measured: give ends, serde-ends, decode, serde-decode, server or hub");
            return ExitCode::FAILURE;
        }
    };
    (0..count).for_each(|_| work());
    ExitCode::SUCCESS
}
