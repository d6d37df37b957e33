//! Retention: every client sees which messages are dropped, and nothing else changes.

use chanwire_tests::process::{Peer, Server, check, wait_for};
use tempfile::tempdir;

use crate::{host_general, join_after, message, number, serve, stored};

fn say(peer: &mut Peer, numbers: std::ops::RangeInclusive<i64>) {
    peer.send(numbers.clone().map(|number| message("u", &number.to_string())).collect::<String>());
    numbers.for_each(|_| assert!(peer.answer().is_ok()));
}

/// Returns the first and last id that a JOIN with everything is told, and the ids that it is pushed; nothing if
/// retention has dropped between the two what was to be pushed.
fn joined(server: &Server) -> Option<(i64, i64, Vec<i64>)> {
    let mut peer = server.connect();
    let answer = peer.ask(join_after(0));
    let (first_id, last_id) = (number(&answer, "first_id"), number(&answer, "last_id"));
    let mut pushed = Vec::new();
    for _ in first_id..=last_id {
        let push = peer.answer();
        if push.error() == "Slow consumer" {
            return None;
        }
        pushed.push(number(&push, "id"));
    }
    Some((first_id, last_id, pushed))
}

fn wait_until_joined(server: &Server, ids: std::ops::RangeInclusive<i64>) {
    let expected = (*ids.start(), *ids.end(), ids.collect::<Vec<_>>());
    wait_for("retention", || {
        let joined = joined(server);
        check(joined == Some(expected.clone()), joined)
    });
}

fn history(server: &Server, range: &str) -> Vec<i64> {
    let answer = server.connect().ask(format!("HISTORY\r\n{{\"channel_name\": \"general\"{range}}}"));
    let messages = answer.payload["messages"].as_array().unwrap_or_else(|| panic!("{}", answer.raw));
    messages.iter().map(|message| message["id"].as_i64().unwrap()).collect()
}

#[test]
fn a_channel_keeps_so_many_messages_and_reports_the_first() {
    let data = tempdir().unwrap();
    let launch = serve(data.path()).args(["--retain-count", "10"]);
    let server = launch.start();
    host_general(&server);
    let mut peer = server.connect();
    say(&mut peer, 1..=100);
    wait_for("retention", || {
        let history = history(&server, ", \"limit\": 1000");
        check(history == (91..=100).collect::<Vec<_>>(), history)
    });
    // A reader that comes back after a long time sees the gap.
    wait_until_joined(&server, 91..=100);
    assert_eq!(history(&server, ", \"after\": 3, \"limit\": 2"), [91, 92]);
    assert_eq!(history(&server, ", \"before\": 91"), [0; 0]);
    server.stop();
    let server = launch.start();
    assert_eq!(joined(&server), Some((91, 100, (91..=100).collect())));
    say(&mut server.connect(), 101..=101);
    wait_until_joined(&server, 92..=101);
    server.kill();
    assert_eq!(stored::general(data.path()).len(), 10);
}

#[test]
fn old_messages_are_dropped_on_an_idle_server_and_ids_continue() {
    let data = tempdir().unwrap();
    let server = serve(data.path()).args(["--retain-age", "1s"]).start();
    host_general(&server);
    let mut peer = server.connect();
    say(&mut peer, 1..=3);
    wait_for("retention", || check(joined(&server) == Some((4, 3, vec![])), joined(&server)));
    // The next one has the next id, and goes too when its time comes.
    let mut reader = server.connect();
    assert!(reader.ask(join_after(3)).is_ok());
    say(&mut peer, 4..=4);
    assert_eq!(number(&reader.answer(), "id"), 4);
    wait_for("retention", || check(joined(&server) == Some((5, 4, vec![])), joined(&server)));
    server.stop();
}

#[test]
fn a_channel_keeps_so_many_bytes_and_live_subscribers_miss_nothing() {
    let data = tempdir().unwrap();
    let server = serve(data.path()).args(["--retain-bytes", "64K"]).start();
    host_general(&server);
    let mut reader = server.connect();
    assert!(reader.ask(join_after(0)).is_ok());
    let (sender, progress) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        for id in 1..=5_000 {
            assert_eq!(number(&reader.answer(), "id"), id);
            if id % 100 == 0 {
                sender.send(()).unwrap();
            }
        }
    });
    let mut peer = server.connect();
    let content = "x".repeat(1_000);
    for batch in 0..50 {
        // A reader that is more than 1 MiB behind is closed.
        if batch >= 5 {
            progress.recv().unwrap();
        }
        peer.send(message("u", &content).repeat(100));
        (0..100).for_each(|_| assert!(peer.answer().is_ok()));
    }
    reading.join().unwrap();
    // 1025 bytes a message: 63 fit.
    wait_until_joined(&server, 5_000 - 62..=5_000);
    server.stop();
    assert_eq!(stored::general(data.path()).len(), 63);
}
