//! A server that stops, and its clients that come back.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use chanwire_tests::process::{Launch, Peer, Server, Signal, check, raise_file_limit, wait_for};
use serde_json::Value;
use tempfile::tempdir;

use crate::requests::{LIST, host_at, hosted, join, join_after, message_to};

const HELLO: &str = "HELLO\r\n{\"notices\": true}";

/// An address of the server that outlives a restart on another port.
const ADVERTISED: (&str, u16) = ("192.0.2.9", 22236);

/// Longer than a stop may take.
const STOP: Duration = Duration::from_secs(10);

/// A client that has joined the channel and asked for notices.
struct Reader {
    peer: Peer,
    /// The ids of the messages that it was sent.
    ids: Vec<u64>,
}

impl Reader {
    fn join_all(count: u64, server: &Server) -> Vec<Self> {
        let mut readers: Vec<_> = (0..count).map(|_| Self { peer: server.connect(), ids: Vec::new() }).collect();
        readers.iter_mut().for_each(|reader| reader.peer.send([HELLO, &join("general")].concat()));
        for reader in &mut readers {
            assert!(reader.peer.answer().is_ok() && reader.peer.answer().is_ok());
        }
        readers
    }

    /// Reads to the end of the stream, whose last frame says when to come back. Returns that, and the time at which it
    /// came.
    fn read_to_the_notice(&mut self) -> (u64, Instant) {
        loop {
            let answer = self.peer.answer();
            if answer.status == "MESSAGE" {
                self.ids.push(answer.id());
                continue;
            }
            // Of others who come and go.
            if answer.status == "NOTICE" {
                continue;
            }
            assert_eq!((answer.status.as_str(), answer.error()), ("SERVER_ERROR", "Server stopping"));
            let now = Instant::now();
            assert_eq!(self.peer.read_to_end(), "");
            return (answer.payload.get("retry_after").and_then(Value::as_u64).unwrap(), now);
        }
    }

    /// Joins again after the last message that it has, and reads up to the one with the id `last`.
    fn come_back(&mut self, server: &Server, last: u64) {
        self.peer = server.connect();
        let after = self.ids.last().copied().unwrap_or_default();
        self.peer.send([HELLO, &join_after("general", after)].concat());
        assert!(self.peer.answer().is_ok() && self.peer.answer().is_ok());
        while self.ids.last().copied().unwrap_or_default() < last {
            let frame = self.peer.answer();
            // The others come back as well.
            if frame.status != "NOTICE" {
                self.ids.push(frame.id());
            }
        }
    }
}

#[test]
fn every_joined_client_is_told_spread_out_and_comes_back_without_a_gap() {
    let count: u64 = env::var("CHANWIRE_DRAINED").map_or(200, |readers| readers.parse().unwrap());
    raise_file_limit(count + 500);
    let data = tempdir().unwrap();
    // As many a second as makes the closings last a second and more, however many there are.
    let rate = (count * 2 / 3).max(1).to_string();
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236", "--drain-rate", &rate]);
    let mut server = launch.start();
    assert_eq!(server.ask(host_at("general", ADVERTISED.0, ADVERTISED.1)), hosted("general"));
    let readers = Reader::join_all(count, &server);
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                let told = reader.read_to_the_notice();
                (reader, told)
            })
        })
        .map(Result::unwrap)
        .collect();
    // One that asked for no notices sends to the end.
    let mut sender = server.connect();
    let delivered = Arc::new(AtomicU64::new(0));
    let sending = thread::spawn({
        let delivered = Arc::clone(&delivered);
        move || {
            while sender.try_send(message_to("general", "ann", "x")).is_ok()
                && let Ok(answer) = sender.try_answer()
            {
                assert!(answer.is_ok(), "{answer:?}");
                delivered.fetch_add(1, Relaxed);
            }
        }
    });
    wait_for("some messages", || check(delivered.load(Relaxed) > 3, ()));
    let stop = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP).code(), Some(0), "{}", server.log());
    let took = stop.elapsed();
    sending.join().unwrap();
    let delivered = delivered.load(Relaxed);

    let (mut readers, told): (Vec<_>, Vec<_>) = reading.into_iter().map(|reader| reader.join().unwrap()).unzip();
    let mut in_each = BTreeMap::<u64, u64>::new();
    for (seconds, _) in &told {
        *in_each.entry(*seconds).or_default() += 1;
    }
    let (least, most) = (in_each.values().min().unwrap(), in_each.values().max().unwrap());
    assert!(in_each.keys().copied().eq(1..=5) && most - least <= 1, "{in_each:?}");
    let (first, last) =
        told.iter().map(|(_, at)| *at).fold((stop + STOP, stop), |(first, last), at| (first.min(at), last.max(at)));
    // The last is told when all but it are.
    let spread = Duration::from_millis((count - 1) * 1000 / rate.parse::<u64>().unwrap());
    assert!(last - first > spread / 2, "all were told within {:?}, of which {spread:?} are the rate's", last - first);
    println!("{count} told within {:?} of the signal, {:?} apart; it took {took:?}", last - stop, last - first);

    let server = launch.start();
    assert_eq!(server.ask(host_at("general", ADVERTISED.0, ADVERTISED.1)), hosted("general"));
    assert!(server.connect().ask(message_to("general", "ann", "after")).is_ok());
    for reader in &mut readers {
        reader.come_back(&server, delivered + 1);
        assert!(reader.ids.iter().copied().eq(1..=delivered + 1), "{:?}", reader.ids);
    }
    server.stop();
}

#[test]
fn a_client_that_asked_for_no_notices_sees_the_end_of_its_stream_at_once() {
    let data = tempdir().unwrap();
    let mut server = Launch::serve(data.path()).args(["--drain-rate", "1"]).start();
    let mut readers = [server.connect(), server.connect(), server.connect()];
    let mut plain = server.connect();
    for reader in &mut readers {
        assert!(reader.ask(HELLO).is_ok());
    }
    assert!(plain.ask(LIST).is_ok());
    server.signal(Signal::TERM);
    assert_eq!(plain.read_to_end(), "");
    // Two of the others wait for their second.
    assert!(server.try_wait().is_none());
    for (number, reader) in readers.iter_mut().enumerate() {
        assert_eq!(reader.answer().payload["retry_after"], number + 1);
        assert_eq!(reader.read_to_end(), "");
    }
    assert_eq!(server.wait(STOP).code(), Some(0), "{}", server.log());
}

#[test]
fn a_server_serves_on_for_the_delay_and_is_not_ready() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path()).args(["--drain-delay", "4", "--metrics", "127.0.0.1:0"]);
    let mut server = launch.start();
    let metrics = server.banner().iter().find_map(|line| line.strip_prefix("metrics at http://")).unwrap();
    let metrics = metrics.strip_suffix("/metrics").unwrap().to_owned();
    let is_ready = || Launch::new(["health", "--metrics", &metrics]).run();
    assert_eq!(is_ready().code, Some(0));
    let stop = Instant::now();
    server.signal(Signal::TERM);
    server.wait_for_log("SIGTERM: answering what was read");
    let health = is_ready();
    let asked = stop.elapsed();
    let list = server.ask(LIST);
    let served = stop.elapsed();
    assert!(served < Duration::from_secs(4), "the machine is too slow for this test: {served:?}");
    assert!(health.code == Some(4) && health.stdout.contains("drain"), "{health:?} after {asked:?}");
    assert_eq!(list, "OK\r\n{\"channels\": []}");
    assert_eq!(server.wait(STOP).code(), Some(0), "{}", server.log());
    assert!(stop.elapsed() > Duration::from_millis(3900), "it stopped after {:?}", stop.elapsed());
}

#[test]
fn a_connection_that_is_left_is_reset_before_the_timeout_and_a_second_signal_stops_at_once() {
    let data = tempdir().unwrap();
    let mut server = Launch::serve(data.path()).args(["--drain-timeout", "2"]).start();
    let hosts: String = (0..200).map(|number| host_at(&format!("{number:064}"), "192.0.2.7", 22240)).collect();
    assert_eq!(server.ask(hosts).matches("OK").count(), 200);
    let mut stuck = server.connect();
    assert!(stuck.ask(LIST).is_ok());
    stuck.send(LIST.repeat(2_000));
    let stop = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP).code(), Some(0), "{}", server.log());
    assert!(stop.elapsed() > Duration::from_secs(1) && stop.elapsed() < Duration::from_secs(4), "{:?}", stop.elapsed());
    server.wait_for_log("reason=\"server_stopping\"");
    let log = server.log();
    assert!(log.contains("open connections are reset"), "{log}");

    let mut server = Launch::serve(data.path()).args(["--drain-delay", "3600"]).start();
    server.signal(Signal::TERM);
    server.wait_for_log("once more to stop at once");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP).code(), Some(1), "{}", server.log());
}
