//! Runs the simulator over as many seeds as asked, on all cores, and prints the tally. A broken law ends it with
//! status 1 and the command that repeats it.
//!
//! ```text
//! simulate [--seeds N] [--from SEED] [--jobs N]     runs N seeds from SEED on (10000 from 0 on all cores)
//! simulate --seed SEED [--verbose]                  runs one; --verbose shows all that happens
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what a program says")]

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use chanwire_tests::sim::{Tally, run};

const USAGE: &str = "usage: simulate [--seeds N] [--from SEED] [--jobs N]\n       simulate --seed SEED [--verbose]";

/// The interval between lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// The command line's arguments.
#[derive(Debug)]
struct Options {
    seeds: u64,
    from: u64,
    jobs: usize,
    one: bool,
    verbose: bool,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let jobs = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut options = Options { seeds: 10_000, from: 0, jobs, one: false, verbose: false };
    while let Some(option) = arguments.next() {
        if option == "--verbose" {
            options.verbose = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{option} needs a number"))?;
        let number = value.parse::<u64>().map_err(|_| format!("{option} needs a number, found '{value}'"))?;
        match option.as_str() {
            "--seeds" => options.seeds = number,
            "--from" => options.from = number,
            "--jobs" => options.jobs = usize::try_from(number.max(1)).unwrap_or(1),
            "--seed" => (options.from, options.seeds, options.one) = (number, 1, true),
            _ => return Err(format!("there is no option '{option}'")),
        }
    }
    if options.verbose && !options.one {
        return Err("--verbose needs --seed: it shows one run".into());
    }
    Ok(options)
}

/// State shared by all threads.
#[derive(Debug, Default)]
struct Shared {
    begun: AtomicU64,
    finished: AtomicU64,
    failed: AtomicBool,
    tally: Mutex<Tally>,
    failure: Mutex<Option<(u64, String)>>,
}

fn work(options: &Options, shared: &Shared) {
    let mut tally = Tally::default();
    while !shared.failed.load(Ordering::Relaxed) {
        let number = shared.begun.fetch_add(1, Ordering::Relaxed);
        if number >= options.seeds {
            break;
        }
        let seed = options.from.wrapping_add(number);
        match run(seed, options.verbose) {
            Ok(run) => {
                tally += &run.tally;
                shared.finished.fetch_add(1, Ordering::Relaxed);
                if options.one {
                    println!("trace {:016x}", run.hash);
                }
            }
            Err(violation) => {
                shared.failed.store(true, Ordering::Relaxed);
                let mut failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
                // The least seed is reported, whichever thread came first.
                if failure.as_ref().is_none_or(|(other, _)| seed < *other) {
                    *failure = Some((seed, violation));
                }
            }
        }
    }
    *shared.tally.lock().unwrap_or_else(PoisonError::into_inner) += &tally;
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (shared, begun) = (Shared::default(), Instant::now());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(|| work(&options, &shared))).collect();
        let mut shown = begun;
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::park_timeout(Duration::from_millis(20));
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                let done = shared.finished.load(Ordering::Relaxed);
                eprint!("\r{done} of {} seeds, {:.0} a second ", options.seeds, rate(done, begun));
            }
        }
    });
    eprintln!();
    let failure = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    let done = shared.finished.into_inner();
    println!("{}", shared.tally.into_inner().unwrap_or_else(PoisonError::into_inner));
    println!("{done} seeds ran clean in {:.1} s", begun.elapsed().as_secs_f64());
    let Some((seed, violation)) = failure else { return ExitCode::SUCCESS };
    println!("seed {seed} broke a law:\n{violation}\nTo repeat it: make simulate SEED={seed}");
    ExitCode::FAILURE
}

#[expect(clippy::cast_precision_loss, reason = "it is shown without decimals")]
fn rate(done: u64, since: Instant) -> f64 {
    done as f64 / since.elapsed().as_secs_f64()
}
