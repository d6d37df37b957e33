//! Every limit that the command line sets, and the one that the system sets.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use chanwire_tests::process::{DEADLINE, Launch, Peer, Server, answers, check, raise_file_limit, wait_for};
use tempfile::tempdir;

use crate::{
    readers::served_in_the_end,
    requests::{LIST, host, host_at, hosted, listed, message},
};

#[test]
fn a_thousand_connections_at_once_are_all_answered() {
    raise_file_limit(1_500);
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut peers: Vec<Peer> = (0..1_000).map(|_| server.connect()).collect();
    for _ in 0..2 {
        peers.iter_mut().for_each(|peer| peer.send(LIST));
        peers.iter_mut().for_each(|peer| assert_eq!(peer.answer().raw, listed(&[])));
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(host_at(&format!("c{number}"), "192.0.2.7", 22240));
    }
    peers
        .iter_mut()
        .enumerate()
        .for_each(|(number, peer)| assert_eq!(peer.answer().raw, hosted(&format!("c{number}"))));
    assert_eq!(server.ask(LIST).matches("channel_name").count(), 1_000);
    drop(peers);
    server.stop();
}

/// Returns so many connections that are served, and stay.
fn hold(server: &Server, count: usize) -> Vec<Peer> {
    let held = |_| {
        let mut peer = server.connect();
        assert!(peer.ask(LIST).is_ok());
        peer
    };
    (0..count).map(held).collect()
}

fn is_told_that_there_is_no_room(server: &Server, limit: usize) {
    assert_eq!(
        server.connect().read_to_end(),
        format!(
            "SERVER_ERROR\r\n{{\"error\": \"Server busy\", \"details\": \"The server has reached its limit of {limit} \
             connections\"}}"
        )
    );
}

#[test]
fn a_connection_over_the_limit_gets_an_error_until_another_closes() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--max-connections", "3"]).start();
    let mut held = hold(&server, 3);
    is_told_that_there_is_no_room(&server, 3);
    is_told_that_there_is_no_room(&server, 3);
    held.pop();
    held.push(served_in_the_end(&server));
    is_told_that_there_is_no_room(&server, 3);
    held.iter_mut().for_each(|peer| assert!(peer.ask(LIST).is_ok()));
    drop(held);
    server.stop();
}

#[test]
fn a_low_limit_of_open_files_lowers_the_connection_limit_with_a_warning() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).after("ulimit -n 100").start();
    server.wait_for_log("WARN the limit of open files is 100: serving at most 25 connections");
    let mut held = hold(&server, 25);
    is_told_that_there_is_no_room(&server, 25);

    // More connections than files wait for the error, and none closes; served connections are still served.
    let mut crowd: Vec<Peer> = (0..150).filter_map(|_| Peer::try_connect(server.address(0)).ok()).collect();
    assert_eq!(held[0].ask(host("general", server.address(0))).raw, hosted("general"));
    assert!(held[1].ask(message("u", "served")).is_ok());
    for peer in &mut crowd {
        // Beyond the connections that can get an error, a connection is reset.
        if let Ok(answer) = peer.try_answer() {
            assert_eq!(answer.error(), "Server busy");
        }
    }
    drop((held, crowd));
    served_in_the_end(&server);
    server.stop();
}

#[test]
fn an_operator_over_the_limit_gets_an_error_until_another_closes() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let connect = || {
        let operator = UnixStream::connect(data.path().join("operator.sock")).unwrap();
        operator.set_read_timeout(Some(DEADLINE)).unwrap();
        operator
    };
    let asks = |operator: &mut UnixStream| {
        operator.write_all(LIST.as_bytes()).unwrap();
        let mut answer = vec![0; listed(&[]).len()];
        operator.read_exact(&mut answer).map(|()| String::from_utf8(answer).unwrap())
    };
    let mut held: Vec<_> = (0..16).map(|_| connect()).collect();
    held.iter_mut().for_each(|operator| assert_eq!(asks(operator).unwrap(), listed(&[])));
    let mut answer = String::new();
    connect().read_to_string(&mut answer).unwrap();
    let details = "The server has reached its limit of 16 connections";
    assert_eq!(answer, format!("SERVER_ERROR\r\n{{\"error\": \"Server busy\", \"details\": \"{details}\"}}"));
    drop(held.pop());
    wait_for("room", || {
        let answer = asks(&mut connect());
        check(answer.as_ref().is_ok_and(|answer| *answer == listed(&[])), answer)
    });
    drop(held);
    server.stop();
}

#[test]
fn a_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).after("ulimit -Sn 100").args(["--max-connections", "150"]).start();
    drop(hold(&server, 150));
    let log = server.stop();
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn a_payload_may_have_as_many_bytes_as_the_limit() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--max-payload", "300"]).start();
    let request = |length: usize| {
        let request = host_at("general", "192.0.2.7", 22240);
        let padding = " ".repeat(length + "HOST\r\n".len() - request.len());
        request.replace('}', &(padding + "}"))
    };
    assert_eq!(server.ask(request(300)), hosted("general"));
    let mut peer = server.connect();
    assert_eq!(
        peer.ask(request(301)).raw,
        "REQUEST_ERROR\r\n{\"error\": \"Payload too large\", \"details\": \"The payload exceeds the limit of 300 bytes\"}"
    );
    assert_eq!(peer.read_to_end(), "");
    server.stop();
}

#[test]
fn a_request_that_drips_is_cut_off_and_an_idle_connection_is_not() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--request-timeout", "1"]).start();
    let mut idle = server.connect();
    // White space between frames starts no clock either.
    assert!(idle.ask("LIST\r\n \r\n").is_ok());
    let begin = Instant::now();
    let mut drip = server.connect();
    let mut dripping = drip.another();
    let writer = std::thread::spawn(move || {
        for byte in message("u", &"drip".repeat(1000)).bytes() {
            if dripping.try_send([byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let got = drip.read_to_end();
    let waited = begin.elapsed();
    assert_eq!(
        got,
        "REQUEST_ERROR\r\n{\"error\": \"Request timed out\", \"details\": \"The request was not complete after 1 \
         seconds\"}"
    );
    // The server counts in whole milliseconds.
    assert!(waited > Duration::from_millis(990) && waited < Duration::from_secs(6), "after {waited:?}");
    assert_eq!(idle.ask(LIST).raw, listed(&[]));
    writer.join().unwrap();
    server.stop();
}

#[test]
fn no_more_channels_are_listed_than_the_limit_says() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path()).args(["--max-channels", "2"]);
    let server = launch.start();
    let each = |name| host_at(name, "192.0.2.7", 22240);
    let got = answers(&server.ask([each("a"), each("b"), each("c"), each("b"), LIST.into()].concat()));
    assert_eq!((got[0].raw.as_str(), got[1].raw.as_str()), (hosted("a").as_str(), hosted("b").as_str()));
    assert_eq!((got[2].status.as_str(), got[2].error()), ("REQUEST_ERROR", "Limit reached"), "{}", got[2].raw);
    assert!(got[2].details().contains("at most 2 channels"), "{}", got[2].raw);
    assert_eq!(got[3].raw, hosted("b"));
    assert_eq!(got[4].raw, listed(&[("a", "192.0.2.7", 22240), ("b", "192.0.2.7", 22240)]));
    server.stop();
    // Those that were stored count after a restart too.
    let server = launch.start();
    assert_eq!(answers(&server.ask(each("c")))[0].error(), "Limit reached");
    server.stop();
}

#[test]
fn a_closed_connection_frees_its_slot_for_every_kind_of_close() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--max-connections", "1"]).start();
    for bytes in ["", "LIST\r\n", "HOST\r\n{", "POST "] {
        let mut peer = wait_for("room", || {
            let mut peer = server.connect();
            let answer = peer.ask(LIST);
            if answer.is_ok() { Ok(peer) } else { Err(answer) }
        });
        peer.send(bytes);
        drop(peer);
    }
    served_in_the_end(&server);
    server.stop();
}
