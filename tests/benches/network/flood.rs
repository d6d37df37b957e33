//! Floods from one address, and what a client at another address notices of them.
//!
//! Three machines: the server's, the hostile one and that of the other client. Each flood is sent to the server, and
//! then to a socket beside it that discards what comes: the difference is the server's doing.

mod discard;
mod hostile;

use std::{
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use chanwire_tests::process::{Answer, Background, Launch, Machine, Peer, Server};

use self::hostile::{FLOODS, Flood};
use crate::{
    report::{Cell, Report, Rounds, Table, quantile},
    running::folder,
};

/// The server's address for the hostile machine and the other client's.
const SERVER: &str = "10.99.1.1";
const PORT: u16 = 22_236;
const DISCARD: u16 = 22_237;

/// The messages in the channel's history.
const HISTORY: usize = 1200;

/// The time for which each flood is sent before the other client begins, and then goes on.
const LEAD: Duration = Duration::from_millis(700);
const TIME: Duration = Duration::from_secs(5);

/// The other client's pause after a LIST and a MESSAGE: it stays under the rate of its connection.
const PAUSE: Duration = Duration::from_millis(45);

/// The highest accepted 99th percentile in milliseconds, and how many times that beside the discarding socket it may be
/// if that is more.
const TARGET: f64 = 20.0;
const TIMES: f64 = 3.0;

/// The times of the other client's requests, in milliseconds.
struct Sample {
    list_p50: f64,
    list_p99: f64,
    message_p50: f64,
    message_p99: f64,
}

struct Network {
    server: Machine,
    hostile: Arc<Machine>,
    other: Machine,
}

impl Network {
    /// Makes the machines; returns `None`, with a note, for a user who may not.
    fn new() -> Option<Self> {
        let (server, hostile, other) = (Machine::new("server")?, Machine::new("hostile")?, Machine::new("other")?);
        hostile.connect(("eth0", "10.99.1.2/24"), &server, ("hostile", "10.99.1.1/24"));
        other.connect(("eth0", "10.99.2.2/24"), &server, ("other", "10.99.2.1/24"));
        other.ip("route add 10.99.1.0/24 via 10.99.2.1");
        Some(Self { server, hostile: Arc::new(hostile), other })
    }
}

/// Runs this on a thread of a machine.
fn on<T: Send>(machine: &Machine, run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let on_machine = || {
            machine.enter();
            run()
        };
        scope.spawn(on_machine).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

pub(crate) fn measure(report: &mut Report, rounds: usize) {
    let Some(network) = Network::new() else { return };
    let directory = folder();
    let listen = format!("0.0.0.0:{PORT}");
    let launch = Launch::new(["serve", "--http", "off", "--listen", &listen, "--data-dir"]).arg(directory.path());
    let server = launch.under(network.server.inside()).start();
    on(&network.server, fill);
    let discard = on(&network.server, || discard::start(at(SERVER, DISCARD)));
    let mut table = Table::new(
        "flood",
        format!("A flood from one address for {} s; LIST and MESSAGE of another, in ms", TIME.as_secs()),
        &["flood", "sent to", "LIST p50", "p99", "MESSAGE p50", "p99"],
    );
    for flood in FLOODS {
        let targets = [("the server", PORT), ("a socket beside it", DISCARD)];
        let samples = Rounds::run(&targets, rounds, |(_, port)| sample(&network, &server, flood, *port));
        for ((target, _), samples) in targets.iter().zip(samples.by_system()) {
            table.row([Cell::from(flood.name()), Cell::from(*target)].into_iter().chain([
                samples.median(2, |sample| sample.list_p50),
                samples.median(2, |sample| sample.list_p99),
                samples.median(2, |sample| sample.message_p50),
                samples.median(2, |sample| sample.message_p99),
            ]));
        }
        for (command, p99) in [
            ("LIST", (|sample: &Sample| sample.list_p99) as fn(&Sample) -> f64),
            ("MESSAGE", |sample| sample.message_p99),
        ] {
            // The middle of the rounds' excesses over what is accepted, so that 0 is met.
            let excess = samples.compare(0, 1, |server, beside| p99(server) - TARGET.max(TIMES * p99(beside)));
            table.at_most(format!("{}: {command} p99 over what is accepted, ms", flood.name()), excess, 0.0);
        }
    }
    report.add(table);
    discard.stop();
}

/// Makes the channel and its history, from the server's own machine, which has no rate.
fn fill() {
    let mut peer = Peer::connect(at("127.0.0.1", PORT));
    let host = format!(
        "HOST\r\n{{\"channel_name\": \"general\", \"peer_server_ip\": \"{SERVER}\", \"peer_server_port\": {PORT}}}"
    );
    ask(&mut peer, &host);
    for number in 0..HISTORY {
        ask(&mut peer, &message(&format!("message {number} of the history")));
    }
}

fn message(content: &str) -> String {
    format!("MESSAGE\r\n{{\"username\": \"ann\", \"message_content\": \"{content}\", \"channel_name\": \"general\"}}")
}

fn ask(peer: &mut Peer, request: &str) -> Answer {
    let answer = peer.ask(request);
    assert!(answer.is_ok(), "the answer to {request:?}: {answer:?}");
    answer
}

/// Measures the other client's requests during a flood to this port.
fn sample(network: &Network, server: &Server, flood: &'static Flood, port: u16) -> Sample {
    let hostile = network.hostile.clone();
    let sending = Background::start(move |stop| {
        hostile.enter();
        flood.send(at(SERVER, port), stop)
    });
    thread::sleep(LEAD);
    let (mut lists, mut messages) = on(&network.other, || {
        let mut peer = Peer::connect(at(SERVER, PORT));
        let (begin, message) = (Instant::now(), message("hello"));
        let (mut lists, mut messages) = (Vec::new(), Vec::new());
        while begin.elapsed() < TIME {
            for (request, times) in [("LIST\r\n", &mut lists), (&*message, &mut messages)] {
                let asked = Instant::now();
                ask(&mut peer, request);
                times.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            thread::sleep(PAUSE);
        }
        (lists, messages)
    });
    let sent = sending.stop();
    assert!(sent > 0, "the flood {} sent nothing: {}", flood.name(), server.log());
    Sample {
        list_p50: quantile(&mut lists, 0.5),
        list_p99: quantile(&mut lists, 0.99),
        message_p50: quantile(&mut messages, 0.5),
        message_p99: quantile(&mut messages, 0.99),
    }
}
