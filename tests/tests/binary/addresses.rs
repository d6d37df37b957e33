//! Limits of each client address. Loopback, which is exempt by default, is limited here; the clients connect from several
//! addresses of 127.0.0.0/8.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use chanwire_tests::process::{Launch, Peer, Server, Signal, answers, wait_for};
use serde_json::Value;
use tempfile::tempdir;

use crate::requests::{LIST, host, listed, message};

/// Starts a server to which loopback is an address like any other.
fn strict(data: &Path, options: &[&str]) -> Server {
    Launch::serve(data).args(["--exempt", "192.0.2.1"]).args(options).start()
}

fn from(host: u8, server: &Server) -> Peer {
    Peer::connect_from(IpAddr::from([127, 0, 0, host]), server.address(0))
}

fn refused(limit: &str) -> String {
    format!(
        "SERVER_ERROR\r\n{{\"error\": \"Server busy\", \"details\": \"The server has reached its limit of {limit} from \
         your address\"}}"
    )
}

#[test]
fn messages_that_come_too_fast_are_answered_in_order_at_the_rate_and_none_is_lost() {
    const COUNT: usize = 2000;
    let data = tempdir().unwrap();
    let server = strict(data.path(), &["--units", "2000", "--burst", "500", "--address-units", "100000"]);
    let mut peer = server.connect();
    assert!(peer.ask(host("general", server.address(0))).is_ok());
    let all: String = (0..COUNT).map(|number| message("ann", &number.to_string())).collect();
    let begin = Instant::now();
    peer.send(all);
    for number in 0..COUNT {
        assert!(peer.answer().is_ok(), "{number}");
    }
    let taken = begin.elapsed();
    let least = Duration::from_millis(1000 * (2000 - 500) / 2000);
    assert!(taken >= least, "{COUNT} messages in {taken:?}");
    let mut stored = Vec::new();
    while stored.len() < COUNT {
        let history = format!("HISTORY\r\n{{\"channel_name\": \"general\", \"after\": {}}}", stored.len());
        let page = peer.ask(history);
        let messages = page.payload["messages"].as_array().unwrap();
        stored.extend(messages.iter().map(|message| message["message_content"].as_str().unwrap().to_owned()));
    }
    assert_eq!(stored, (0..COUNT).map(|number| number.to_string()).collect::<Vec<_>>());
    server.stop();
}

#[test]
fn connections_of_one_address_share_its_rate_and_another_address_has_its_own() {
    let data = tempdir().unwrap();
    // The address may ask ten times at once, and then once a second.
    let server = strict(data.path(), &["--units", "100000", "--address-units", "1", "--address-burst", "10"]);
    let (mut one, mut two) = (from(2, &server), from(2, &server));
    for _ in 0..5 {
        assert!(one.ask(LIST).is_ok() && two.ask(LIST).is_ok());
    }
    let begin = Instant::now();
    two.send(LIST);
    // An address that has not asked yet is answered at once, while the other one waits.
    let mut other = from(3, &server);
    for _ in 0..10 {
        assert_eq!(other.ask(LIST).raw, listed(&[]));
    }
    assert!(two.answer().is_ok());
    // A unit is back one second after the first request, which was made before this was timed.
    assert!(begin.elapsed() > Duration::from_millis(500), "{:?}", begin.elapsed());
    server.stop();
}

#[test]
fn an_address_over_its_connections_is_told_so_and_another_is_served() {
    let data = tempdir().unwrap();
    let server = strict(data.path(), &["--address-connects-burst", "1000"]);
    let mut held: Vec<Peer> = (0..256).map(|_| from(2, &server)).collect();
    held.iter_mut().for_each(|peer| assert!(peer.ask(LIST).is_ok()));
    for _ in 0..3 {
        assert_eq!(from(2, &server).read_to_end(), refused("256 connections"));
    }
    assert_eq!(from(3, &server).ask(LIST).raw, listed(&[]));
    drop(held.pop());
    wait_for("a place", || {
        let mut peer = from(2, &server);
        // Without a free place it is refused and closed.
        let answer = peer.try_send(LIST).and_then(|()| peer.try_answer());
        answer.ok().filter(|answer| answer.is_ok()).map(drop)
    });
    drop(held);
    let log = server.stop();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("connection limit of an address reached")).collect();
    let parts = ["event=\"connections_refused\"", "reason=\"address_busy\"", "limit=\"address_connections\" value=256"];
    assert!(!lines.is_empty() && lines.iter().all(|line| parts.iter().all(|part| line.contains(part))), "{log}");
}

#[test]
fn an_address_that_connects_too_fast_is_told_so() {
    let data = tempdir().unwrap();
    let server = strict(data.path(), &["--address-connects", "1", "--address-connects-burst", "3"]);
    let mut answers = Vec::new();
    for _ in 0..6 {
        let mut peer = from(2, &server);
        peer.finish();
        answers.push(peer.read_to_end());
    }
    assert_eq!(answers[..3], [""; 3]);
    assert!(answers[3..].contains(&refused("1 connections a second")), "{answers:?}");
    assert_eq!(from(3, &server).ask(LIST).raw, listed(&[]));
    server.stop();
}

#[test]
fn refusals_are_logged_with_a_count_and_not_one_by_one() {
    const COUNT: u64 = 300;
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--deny", "127.0.0.2", "--log-format", "json"]).start();
    for _ in 0..COUNT {
        assert_eq!(from(2, &server).read_to_end(), "");
    }
    let events = || -> Vec<Value> {
        let log = server.log();
        let fields = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
        fields.filter(|fields| fields["event"] == "connections_refused").collect()
    };
    let counted = || events().iter().map(|event| event["count"].as_u64().unwrap()).sum::<u64>();
    wait_for("all refusals in the log", || if counted() == COUNT { Ok(()) } else { Err(events()) });
    assert!(events().len() < 50, "{:?}", events());
    assert_eq!(server.ask(LIST), listed(&[]));
    server.stop();
}

#[test]
fn a_reload_changes_the_limits_for_new_connections_and_those_that_are_open_keep_theirs() {
    let data = tempdir().unwrap();
    let file = data.path().join("chanwire.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("[limits]\nexempt = []\nunits = 7\n");
    let server = Launch::serve(data.path()).arg("--config").arg(&file).start();
    let hello = |peer: &mut Peer| {
        let payload = peer.ask("HELLO\r\n{}").payload;
        (payload["units_per_second"].as_u64(), payload["burst"].as_u64())
    };
    let mut before = server.connect();
    assert_eq!(hello(&mut before), (Some(7), Some(500)));
    write("[limits]\nexempt = ['127.0.0.1']\ndeny = ['127.0.0.2/31']\n");
    server.signal(Signal::HUP);
    server.wait_for_log("limits.deny  → 127.0.0.2/31 applied");
    assert_eq!(hello(&mut server.connect()), (None, None));
    assert_eq!(hello(&mut before), (Some(7), Some(500)));
    assert_eq!(from(2, &server).read_to_end(), "");
    assert_eq!(hello(&mut from(4, &server)), (Some(50), Some(500)));
    write("[limits]\nexempt = ['127.0.0.1/8']\ndeny = ['x']\n");
    server.signal(Signal::HUP);
    server.wait_for_log("limits.exempt: the address has bits beyond those of the network: give its first address");
    server.wait_for_log("limits.deny: not an IP address");
    assert_eq!(from(2, &server).read_to_end(), "");
    let all = answers(&server.ask([LIST, LIST].concat()));
    assert_eq!(all.len(), 2);
    server.stop();
}
