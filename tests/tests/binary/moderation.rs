//! `chanwire delete`, what a deletion leaves, and who the log says did it.

use chanwire_tests::process::{Launch, Server};
use tempfile::tempdir;

use crate::{
    database::stored_contents,
    requests::{host, message},
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
