//! The tracker is this test: it sees every byte, and does what no good tracker does.

use std::{
    io::{BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use chanwire_tests::process::{DEADLINE, Signal};
use tempfile::tempdir;

use crate::peer;

/// One accepted connection.
struct Accepted(BufReader<TcpStream>);

impl Accepted {
    fn from(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Checks that the next request arrives, byte for byte.
    fn expect(&mut self, request: &str) {
        let mut bytes = vec![0; request.len()];
        self.0.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), request);
    }

    fn answer(&mut self, answer: &str) {
        self.0.get_mut().write_all(answer.as_bytes()).unwrap();
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

const HOST: &str = "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \
                    \"peer_server_port\": 40001, \"lease\": 10}";
const HOSTED: &str = "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}";
const UNHOST: &str = "UNHOST\r\n{\"channel_name\": \"general\"}";
const REMOVED: &str = "OK\r\n{\"status\": \"removed\", \"channel_name\": \"general\"}";

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_channel_is_renewed_at_about_a_third_of_its_lease_on_one_connection() {
    let data = tempdir().unwrap();
    let (listener, address) = listener();
    let peer = peer(data.path(), "general", 40_001, address).start();
    let mut tracker = Accepted::from(&listener);
    tracker.expect(HOST);
    for _ in 0..2 {
        let before = Instant::now();
        tracker.answer(HOSTED);
        tracker.expect(HOST);
        let after = before.elapsed();
        // A third of ten seconds and at most a fifth less of that. A machine may be busy for as long as it likes: how
        // much later than that it may come the registration's own tests say, in a time of their own.
        assert!(after >= Duration::from_millis(2_600), "{after:?}");
    }
    peer.signal(Signal::TERM);
    tracker.answer(HOSTED);
    tracker.expect(UNHOST);
    tracker.answer(REMOVED);
    tracker.expect_end();
    let mut peer = peer;
    assert!(peer.wait(DEADLINE).success());
    assert_eq!(peer.log().matches("the tracker lists the channel").count(), 1, "{}", peer.log());
}

#[test]
fn a_tracker_that_closes_or_violates_the_protocol_is_retried_on_a_new_connection() {
    let data = tempdir().unwrap();
    let (listener, address) = listener();
    let mut peer = peer(data.path(), "general", 40_001, address).start();
    for nonsense in ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "OK\r\n{\"status\": \u{1b}[2J"] {
        let mut tracker = Accepted::from(&listener);
        tracker.expect(HOST);
        tracker.answer(nonsense);
    }
    let mut tracker = Accepted::from(&listener);
    tracker.expect(HOST);
    tracker.answer(
        "SERVER_ERROR\r\n{\"error\": \"Server busy\", \"details\": \"The server has reached its limit of 1 connections\"}",
    );
    drop(tracker);
    let mut tracker = Accepted::from(&listener);
    tracker.expect(HOST);
    tracker.answer(HOSTED);
    peer.wait_for_log("the tracker lists the channel");
    assert_eq!(peer.log().matches("no connection to the tracker").count(), 1, "{}", peer.log());
    peer.signal(Signal::TERM);
    tracker.expect(UNHOST);
    tracker.answer(REMOVED);
    assert!(peer.wait(DEADLINE).success());
}

#[test]
fn a_silent_tracker_delays_a_stop_for_two_seconds_at_most() {
    let data = tempdir().unwrap();
    let (listener, address) = listener();
    let mut peer = peer(data.path(), "general", 40_001, address).start();
    let mut tracker = Accepted::from(&listener);
    tracker.expect(HOST);
    peer.signal(Signal::TERM);
    tracker.expect(UNHOST);
    assert!(peer.wait(DEADLINE).success());
    // Peers that do not end have more time than the two seconds: it said this before that was over.
    assert!(!peer.log().contains("some peers did not end"), "{}", peer.log());
    assert!(peer.log().contains("the channels leave its list when their lease ends"), "{}", peer.log());
}

/// Sends these bytes over and over until the connection is closed, and returns the number of bytes it took.
fn flood(mut tracker: Accepted, bytes: &[u8]) -> usize {
    let stream = tracker.0.get_mut();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let mut taken = 0;
    loop {
        match stream.write(bytes) {
            Ok(count) => taken += count,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                return taken;
            }
        }
    }
}

#[test]
fn a_tracker_that_floods_is_retried_with_growing_backoff() {
    let push = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 1, \"username\": \"u\", \"message_content\": \"x\", \
                \"timestamp\": \"2023-11-02T15:04:32Z\"}";
    let notice = "SERVER_ERROR\r\n{\"error\": \"Server busy\", \"details\": \"\"}";
    let data = tempdir().unwrap();
    let (listener, address) = listener();
    let mut peer = peer(data.path(), "general", 40_001, address).start();
    let mut waits = Vec::new();
    for (first, then) in [(HOSTED, " "), ("", "\r\n"), (HOSTED, push), (HOSTED, notice), ("OK\r\n", " ")] {
        let mut tracker = Accepted::from(&listener);
        tracker.expect(HOST);
        tracker.answer(first);
        let taken = flood(tracker, then.repeat(10_000).as_bytes());
        // The bytes that were read at once, and those that the kernel holds for a while.
        assert!(taken < 40 << 20, "{then:?}: {taken}");
        let since = Instant::now();
        let again = Accepted::from(&listener);
        waits.push(since.elapsed());
        drop(again);
    }
    // Half a second, doubled by each try up to a third of the lease, and at most by a half shorter: three times the
    // shortest first wait is less than the shortest last one.
    assert!(waits.last().is_some_and(|last| *last > Duration::from_millis(1500)), "{waits:?}");
    peer.signal(Signal::TERM);
    assert!(peer.wait(DEADLINE).success());
}

#[test]
fn text_of_a_tracker_is_cut_in_the_log() {
    let data = tempdir().unwrap();
    let (listener, address) = listener();
    let mut peer = peer(data.path(), "general", 40_001, address).start();
    let refusal = |length| format!("REQUEST_ERROR\r\n{{\"error\": \"No\", \"details\": \"{}\"}}", "é".repeat(length));
    let mut tracker = Accepted::from(&listener);
    tracker.expect(HOST);
    tracker.answer(&refusal(30_000));
    peer.wait_for_log("… (60004 bytes)");
    // One that is larger is not read.
    tracker.expect(HOST);
    let _ = tracker.0.get_mut().write_all(refusal(30_000_000).as_bytes());
    peer.wait_for_log("The payload exceeds the limit of 65536 bytes");
    let longest = peer.log().lines().map(|line| line.chars().count()).max();
    assert!(longest < Some(500), "{longest:?}");
    peer.signal(Signal::TERM);
    assert!(peer.wait(DEADLINE).success());
}
