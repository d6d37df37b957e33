//! `chanwire delete`, `chanwire role` and `chanwire settings`: their effects, and who the log says used them.

use std::net::IpAddr;

use chanwire_tests::process::{Launch, Peer, Server};
use tempfile::tempdir;

use crate::{
    database::stored_contents,
    requests::{host, join, message},
};

/// Runs a command at a server, and returns its exit code and its output.
fn run(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let ran = Launch::new(arguments).args(["--server", &server.address(0).to_string()]).run();
    (ran.code, ran.stdout + &ran.stderr)
}

#[test]
fn a_host_deletes_and_everybody_sees_what_is_left() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut peer = server.connect();
    assert!(peer.ask(host("general", server.address(0))).is_ok());
    for text in ["one", "two"] {
        assert!(peer.ask(message("ann", text)).is_ok());
    }
    assert_eq!(run(&server, &["delete", "general", "1"]), (Some(0), "deleted message 1 of general\n".into()));
    let json =
        "{\"status\": \"OK\", \"payload\": {\"status\": \"deleted\", \"channel_name\": \"general\", \"id\": 1}}\n";
    assert_eq!(run(&server, &["delete", "general", "1", "--json"]), (Some(0), json.into()));
    let (code, shown) = run(&server, &["history", "general"]);
    let lines: Vec<&str> = shown.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!((code, lines), (Some(0), vec!["1 ann: (deleted)", "2 ann: two", "3 host: Deleted message 1"]));
    let (_, shown) = run(&server, &["history", "general", "--limit", "1", "--json"]);
    assert!(
        shown.contains("\"message_content\": \"Deleted message 1\"") && shown.contains("\"deletes\": 1"),
        "{shown}"
    );
    let (code, shown) = run(&server, &["delete", "general", "3"]);
    assert_eq!(code, Some(3));
    assert_eq!(shown, "Not allowed: Message 3 of 'general' is the record of a deletion, which cannot be deleted\n");
    assert_eq!(
        run(&server, &["delete", "general", "4"]).1,
        "Message not found: The channel 'general' has no message 4\n"
    );
    assert_eq!(run(&server, &["delete", "general", "0"]).0, Some(2));
    // One event for the deletion, and none for what changed nothing.
    server.wait_for_log("message deleted");
    let log = server.log();
    let acts: Vec<&str> = log.lines().filter(|line| line.contains("message deleted")).collect();
    assert_eq!(acts.len(), 1, "{log}");
    for field in ["event=\"moderated\"", "act=\"delete\"", "peer=127.0.0.1", "channel=general", "message_id=1"] {
        assert!(acts[0].contains(field), "{}", acts[0]);
    }
    assert_eq!(stored_contents(data.path(), "general"), ["(deleted)", "two", "Deleted message 1"]);
    server.stop();
}

#[test]
fn the_operator_deletes_where_another_is_the_host() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let operator = |arguments: &[&str]| Launch::new(arguments).arg("--data-dir").arg(data.path()).run();
    let address = server.address(0).to_string();
    assert_eq!(operator(&["host", "general", &address]).code, Some(0));
    assert!(server.ask(message("ann", "one")).starts_with("OK"));
    let deleted = operator(&["delete", "general", "1"]);
    assert_eq!((deleted.code, &*deleted.stdout), (Some(0), "deleted message 1 of general\n"), "{deleted:?}");
    assert_eq!(stored_contents(data.path(), "general"), ["(deleted)", "Deleted message 1"]);
    server.wait_for_log("message deleted");
    let log = server.log();
    assert!(log.lines().any(|line| line.contains("message deleted") && line.contains("peer=operator")), "{log}");
    server.stop();
}

/// The address of a guest who is not the host.
const GUEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

#[test]
fn a_ban_refuses_the_rest_of_pipelined_messages_and_holds_after_a_crash() {
    const COUNT: usize = 1000;
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut peer = server.connect();
    assert!(peer.ask(host("general", server.address(0))).is_ok());
    assert!(peer.ask(join("general")).is_ok());
    let mut guest = Peer::connect_from(GUEST, server.address(0));
    let half = |range: std::ops::Range<usize>| range.map(|n| message("ann", &n.to_string())).collect::<String>();
    guest.send(half(0..COUNT / 2));
    assert!(guest.answer().is_ok());
    let (code, said) = run(&server, &["role", "general", "banned", "--address", "127.0.0.2", "--seconds", "3600"]);
    assert_eq!((code, &*said), (Some(0), "banned in general\n"));
    guest.send(half(COUNT / 2..COUNT));
    let answers: Vec<_> = (1..COUNT).map(|_| guest.answer()).collect();
    let delivered = 1 + answers.iter().take_while(|answer| answer.is_ok()).count();
    let refused = answers.get(delivered - 1..).unwrap();
    assert!(refused.len() >= COUNT / 2, "{} are refused", refused.len());
    assert!(refused.iter().all(|answer| answer.error() == "Not allowed"), "{:?}", refused.first());
    // All that was delivered is pushed and stored, and nothing else.
    let pushed: Vec<_> = (0..delivered).map(|_| peer.answer().content().to_owned()).collect();
    let expected: Vec<_> = (0..delivered).map(|n| n.to_string()).collect();
    assert_eq!(pushed, expected);
    assert_eq!(stored_contents(data.path(), "general"), expected);
    server.wait_for_log("role set");
    let log = server.log();
    let acts: Vec<&str> = log.lines().filter(|line| line.contains("role set")).collect();
    assert_eq!(acts.len(), 1, "{log}");
    for field in ["event=\"moderated\"", "act=\"role\"", "peer=127.0.0.1", "channel=general", "role=\"banned\""] {
        assert!(acts[0].contains(field), "{}", acts[0]);
    }
    server.kill();

    let server = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]).start();
    assert!(server.ask(host("general", server.address(0))).starts_with("OK"));
    let mut guest = Peer::connect_from(GUEST, server.address(0));
    assert_eq!(guest.ask(message("bob", "again")).error(), "Not allowed");
    let (code, shown) = run(&server, &["settings", "general"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.starts_with("members_only: false\nslow_mode: 0\nbanned     127.0.0.2 until "), "{shown}");
    assert_eq!(run(&server, &["role", "general", "none", "--address", "127.0.0.2"]).0, Some(0));
    assert!(guest.ask(message("bob", "again")).is_ok());
    server.stop();
}

#[test]
fn slow_mode_holds_for_others_and_not_for_the_host_and_is_the_hosts_to_set() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    assert!(server.ask(host("general", server.address(0))).starts_with("OK"));
    let shown = (Some(0), "members_only: false\nslow_mode: 3600\n".into());
    assert_eq!(run(&server, &["settings", "general", "--slow-mode", "3600"]), shown);
    let mut guest = Peer::connect_from(GUEST, server.address(0));
    assert!(guest.ask(message("ann", "one")).is_ok());
    assert_eq!(guest.ask(message("ann", "two")).error(), "Slow mode");
    for text in ["three", "four"] {
        assert!(server.ask(message("host", text)).starts_with("OK"));
    }
    assert_eq!(guest.ask("SETTINGS\r\n{\"channel_name\": \"general\", \"slow_mode\": 0}").error(), "Not allowed");
    server.wait_for_log("act=\"settings\"");
    server.stop();
}
