//! The tracker is this test: it sees every byte, and does what no good tracker does.

use std::{
    io::{BufReader, Read as _, Write as _},
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

    /// The next request comes, byte for byte.
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
fn a_tracker_that_closes_or_breaks_the_protocol_is_asked_again_on_a_new_connection() {
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
fn a_tracker_that_says_nothing_keeps_a_peer_from_stopping_for_two_seconds_at_most() {
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
