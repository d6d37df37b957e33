//! Clients that do not read what they are owed, or not yet.

use std::{
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use chanwire_tests::process::{DEADLINE, Launch, Peer, Server, wait_for};
use tempfile::{TempDir, tempdir};

use crate::requests::{LIST, host_at, message_to};

/// Returns a server whose list is long, and what it answers to LIST.
fn long_list(channels: usize, arguments: &[&str]) -> (Server, TempDir, String) {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(arguments).start();
    let name = |number: usize| format!("{number:03}-{}", "x".repeat(60));
    let hosts: String = (0..channels).map(|number| host_at(&name(number), "192.0.2.7", 22240)).collect();
    assert_eq!(server.ask(hosts).matches("OK\r\n").count(), channels);
    let list = server.ask(LIST);
    assert!(list.len() > channels * 120, "{list}");
    (server, data, list)
}

#[test]
fn a_client_that_never_reads_is_reset_and_delays_no_other() {
    let (server, _data, list) = long_list(400, &["--write-timeout", "1"]);
    let before = server.resident();
    let mut peer = server.connect();
    let writing = thread::spawn(move || {
        let begin = Instant::now();
        peer.send(LIST);
        // However much of it the kernel's buffers take, only the reset ends it.
        loop {
            if let Err(error) = peer.try_send(LIST.repeat(100_000)) {
                break (begin.elapsed(), error.kind());
            }
        }
    });
    let (mut other, mut served, mut most) = (server.connect(), 0, before);
    while !writing.is_finished() {
        assert_eq!(other.ask(LIST).raw, list);
        served += 1;
        most = most.max(server.resident());
    }
    let (waited, kind) = writing.join().unwrap();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
    assert!(waited > Duration::from_millis(990), "reset after {waited:?}, which is too soon");
    assert!(waited < Duration::from_secs(8), "reset after {waited:?}, where one second is the limit");
    assert!(served > 0, "nobody else was served in {waited:?}");
    // Its answers are five gigabytes in all.
    assert!(most - before < 4 << 20, "it grew from {before} to {most} bytes");
    server.wait_for_log("reason=\"not_reading\" limit=\"write_timeout\" value=1");
    server.stop();
}

#[test]
fn a_late_reader_gets_all_answers_and_then_the_fault_without_a_reset() {
    let (server, _data, list) = long_list(100, &[]);
    let mut peer = server.connect();
    let mut writer = peer.another();
    // More than all buffers hold, then a fault that closes, then more than a megabyte that is never read.
    let count = (32 << 20) / list.len();
    let stream = [LIST.repeat(count), "POST / HTTP/1.1\r\n".into(), "x".repeat(1 << 20)].concat();
    let begin = server.resident();
    let writing = thread::spawn(move || {
        writer.send(stream);
        writer
    });
    let mut other = server.connect();
    for number in 0..100 {
        assert_eq!(other.ask(message_to("none", "u", &number.to_string())).error(), "Channel not found");
    }
    assert!(server.resident().saturating_sub(begin) < 4 << 20);
    let got = peer.read_to_end();
    let owed = list.repeat(count);
    assert_eq!(got.get(..owed.len()).map(|answers| answers == owed), Some(true), "of {count} answers some are missing");
    let fault = &got[owed.len()..];
    assert!(fault.starts_with("REQUEST_ERROR\r\n{\"error\": \"Malformed command\""), "{fault:?}");
    assert_eq!(fault.matches("REQUEST_ERROR").count(), 1, "{fault:?}");
    drop(writing.join().unwrap());
    server.stop();
}

#[test]
fn a_megabyte_of_answers_arrives_although_the_client_has_ended_its_half() {
    let (server, _data, list) = long_list(100, &[]);
    let count = (1 << 20) / list.len() + 1;
    let mut peer = server.connect();
    peer.send(LIST.repeat(count));
    peer.finish();
    assert_eq!(peer.read_to_end(), list.repeat(count));
    server.stop();
}

#[test]
fn a_closed_connection_is_released_while_its_client_keeps_sending() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--max-connections", "1"]).start();
    let mut peer = server.connect();
    assert_eq!(peer.ask("POST ").error(), "Malformed command");
    assert_eq!(peer.read_to_end(), "");
    // Nothing of it is read any more after two seconds.
    let begin = Instant::now();
    wait_for("a failing write", || peer.try_send("LIST\r\n").err().ok_or("it was taken"));
    assert!(begin.elapsed() < Duration::from_secs(8), "kept for {:?}", begin.elapsed());
    served_in_the_end(&server);
    server.stop();
}

/// Connects again and again until there is room.
pub(crate) fn served_in_the_end(server: &Server) -> Peer {
    wait_for("room for a connection", || {
        // Beyond the connections that can get an error, a connection is reset.
        let mut peer = Peer::try_connect(server.address(0)).map_err(Err)?;
        match peer.try_send(LIST).and_then(|()| peer.try_answer()) {
            Ok(answer) if answer.is_ok() => Ok(peer),
            refused => Err(refused),
        }
    })
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_reset() {
    let (server, _data, list) = long_list(400, &["--write-timeout", "2"]);
    let mut peer = server.connect();
    let mut writer = peer.another();
    let count = (16 << 20) / list.len();
    let writing = thread::spawn(move || writer.send(LIST.repeat(count)));
    let begin = Instant::now();
    for number in 0..count {
        // Slower than the server by far, and longer than the limit in all.
        if begin.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(begin.elapsed() < DEADLINE);
        assert_eq!(peer.answer().raw, list, "{number}");
    }
    writing.join().unwrap();
    server.stop();
}
