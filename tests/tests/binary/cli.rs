//! The command line: what it prints, where, and its exit codes.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

use chanwire_tests::process::{Finished, Launch, Peer, without_times};
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    database::stored_contents,
    requests::{host, host_at, hosted},
};

/// Runs a command against a server. USER is set, so that the result does not depend on the machine.
fn client(server: SocketAddr, arguments: &[&str]) -> Finished {
    let (command, arguments) = arguments.split_at(1);
    let launch = Launch::new(command).args(["--server", &server.to_string()]).args(arguments);
    launch.variable("USER", "nobody").run()
}

/// Asserts success without diagnostics, and returns the output.
fn printed(finished: &Finished) -> &str {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    &finished.stdout
}

#[test]
fn host_send_and_list_print_one_line_each() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    assert_eq!(printed(&client(address, &["list"])), "no channels\n");
    assert_eq!(printed(&client(address, &["host", "general", &address.to_string()])), "hosted general\n");
    assert_eq!(printed(&client(address, &["host", "x", "[2001:db8::7]:22240"])), "hosted x\n");
    assert_eq!(printed(&client(address, &["list"])), format!("general  {address}\nx        [2001:db8::7]:22240\n"));
    let sent = client(address, &["send", "Hello, World!"]);
    let stamp =
        printed(&sent).strip_prefix("delivered ").and_then(|rest| rest.strip_suffix(" as 1\n")).unwrap_or_default();
    assert_eq!(without_times(&format!("\"timestamp\": \"{stamp}\"")), "\"timestamp\": \"T\"", "{sent:?}");
    assert!(client(address, &["send", "--user", "me", "--channel", "general", "-starts with a dash"]).code == Some(2));
    printed(&client(address, &["send", "-u", "me", "-c", "general", "--", "-starts with a dash"]));
    assert_eq!(stored_contents(data.path(), "general"), ["Hello, World!", "-starts with a dash"]);
    server.stop();
}

#[test]
fn a_script_gets_one_line_of_json() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    let line = |arguments: &[&str]| {
        let finished = client(address, &[arguments, &["--json"]].concat());
        assert_eq!(finished.stderr, "", "{finished:?}");
        assert_eq!(finished.stdout.matches('\n').count(), 1, "{finished:?}");
        (finished.code, without_times(&finished.stdout))
    };
    let at = format!("\"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": {}", address.port());
    assert_eq!(line(&["list"]), (Some(0), "{\"status\": \"OK\", \"payload\": {\"channels\": []}}\n".into()));
    assert_eq!(
        line(&["host", "general", &address.to_string()]),
        (
            Some(0),
            "{\"status\": \"OK\", \"payload\": {\"status\": \"success\", \"channel_name\": \"general\"}}\n".into()
        )
    );
    assert_eq!(
        line(&["list"]),
        (
            Some(0),
            format!(
                "{{\"status\": \"OK\", \"payload\": {{\"channels\": [{{\"channel_name\": \"general\", {at}}}]}}}}\n"
            )
        )
    );
    assert_eq!(
        line(&["send", "hi"]),
        (
            Some(0),
            "{\"status\": \"OK\", \"payload\": {\"status\": \"delivered\", \"timestamp\": \"T\", \"id\": 1}}\n".into()
        )
    );
    assert_eq!(
        line(&["send", "hi", "-c", "gaming"]),
        (
            Some(3),
            "{\"status\": \"REQUEST_ERROR\", \"payload\": {\"error\": \"Channel not found\", \"details\": \"The \
             requested channel 'gaming' does not exist\"}}\n"
                .into()
        )
    );
    server.stop();
}

#[test]
fn a_refused_request_exits_with_three() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    let not_found = client(address, &["send", "hi", "-c", "gaming"]);
    assert_eq!(not_found.refusal(3), "Channel not found: The requested channel 'gaming' does not exist");
    for arguments in [&["host", "", "192.0.2.7:1"][..], &["host", " a", "192.0.2.7:1"], &["send", ""]] {
        let finished = client(address, arguments);
        assert!(finished.refusal(3).starts_with("Invalid payload: Field '"), "{finished:?}");
    }
    server.stop();
}

#[test]
fn a_full_server_reports_it_and_the_client_exits_with_four() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--max-connections", "1"]).start();
    let mut held = server.connect();
    assert!(held.ask("LIST\r\n").is_ok());
    let busy = client(server.address(0), &["list"]);
    assert_eq!(busy.refusal(4), "Server busy: The server has reached its limit of 1 connections");
    drop(held);
    server.stop();
}

#[test]
fn a_message_that_does_not_fit_on_the_disk_is_refused_and_the_server_goes_on() {
    let data = tempdir().unwrap();
    // No file may grow beyond 60 kB, which is what a full disk is like; the shell counts in blocks of 512 bytes.
    let server = Launch::serve(data.path()).after("ulimit -f 120").start();
    let address = server.address(0);
    assert_eq!(server.ask(host("general", address)), hosted("general"));
    printed(&client(address, &["send", "before"]));
    let large = client(address, &["send", &"x".repeat(60_000)]);
    assert_eq!(
        large.refusal(4),
        "Database connection failed: Unable to store message in channel database",
        "{}",
        server.log()
    );
    let json = client(address, &["send", &"x".repeat(60_000), "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(4), ""), "{json:?}");
    assert!(json.stdout.starts_with("{\"status\": \"SERVER_ERROR\", "), "{json:?}");
    // A message that fits is stored, with the id that the other did not get.
    printed(&client(address, &["send", "after"]));
    assert_eq!(printed(&client(address, &["list"])), format!("general  {address}\n"));
    server.stop();
    assert_eq!(stored_contents(data.path(), "general"), ["before", "after"]);
}

#[test]
fn the_environment_names_the_default_server() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let here = server.address(0).to_string();
    assert_eq!(printed(&Launch::new(["list"]).variable("CHANWIRE_SERVER", &here).run()), "no channels\n");
    // The flag takes precedence.
    let flag = Launch::new(["list", "--server", &here]).variable("CHANWIRE_SERVER", "192.0.2.7:1").run();
    assert_eq!(printed(&flag), "no channels\n");
    let wrong = Launch::new(["list"]).variable("CHANWIRE_SERVER", "nonsense").run();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    server.stop();
}

#[test]
fn list_shows_the_channels_that_contain_a_text_and_their_last_ids() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    let list = |options: &[&str]| printed(&client(address, &[&["list"], options].concat())).to_owned();
    assert_eq!(list(&["--last-ids"]), "no channels\n");
    printed(&client(address, &["host", "general", &address.to_string()]));
    printed(&client(address, &["host", "games", "192.0.2.7:22240"]));
    printed(&client(address, &["send", "--user", "ann", "--channel", "general", "hi"]));
    assert_eq!(list(&["--contains", "GEN"]), format!("general  {address}\n"));
    assert_eq!(list(&["--last-ids"]), format!("general  {address}  last id 1\ngames    192.0.2.7:22240\n"));
    let json = list(&["--contains", "a", "--json"]);
    assert!(json.contains("\"position\": 1, \"last_id\": 1}") && !json.contains("next"), "{json}");
    assert_eq!(client(address, &["list", "--contains", ""]).code, Some(2));
    server.stop();
}

#[test]
fn who_shows_the_connections_of_a_channel_and_their_users() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    printed(&client(address, &["host", "general", &address.to_string()]));
    assert_eq!(printed(&client(address, &["who", "general"])), "0 connections\n");
    let mut peers = [(), ()].map(|()| Peer::connect(address));
    assert!(peers[0].ask("JOIN\r\n{\"channel_name\": \"general\", \"username\": \"ann\"}").is_ok());
    assert!(peers[1].ask("JOIN\r\n{\"channel_name\": \"general\"}").is_ok());
    assert_eq!(printed(&client(address, &["who", "general"])), "2 connections\nann\n");
    let json = r#"{"status": "OK", "payload": {"channel_name": "general", "count": 2, "users": [{"username": "ann"}], "complete": true}}"#;
    assert_eq!(printed(&client(address, &["who", "general", "--json"])), format!("{json}\n"));
    assert_eq!(client(address, &["who", "games"]).code, Some(3));
    server.stop();
}

#[test]
fn hello_shows_what_the_server_can_do() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--max-payload", "4096"]).start();
    let hello = client(server.address(0), &["hello"]);
    assert_eq!(
        printed(&hello),
        "protocol: 1\nfeatures: client_message_id, presence, channels, moderation\nencrypted: false\nmax_payload: 4096\nretry_window: 3600\n"
    );
    let json = client(server.address(0), &["hello", "--json"]);
    let payload = r#"{"protocol": 1, "features": ["client_message_id", "presence", "channels", "moderation"], "encrypted": false, "max_payload": 4096, "retry_window": 3600}"#;
    assert_eq!(printed(&json), format!("{{\"status\": \"OK\", \"payload\": {payload}}}\n"));
    server.stop();
}

#[test]
fn connection_failures_exit_with_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Servers that close without an answer, speak HTTP, and close inside an answer.
    let answering = thread::spawn(move || {
        for answer in ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "OK\r\n{\"channels\": ["] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 6]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for _ in 0..3 {
        let finished = client(address, &["list"]);
        assert!(finished.refusal(1).starts_with(&format!("chanwire: {address}: ")), "{finished:?}");
    }
    answering.join().unwrap();
    // The listener is closed now.
    let finished = client(address, &["list"]);
    assert!(finished.refusal(1).starts_with(&format!("chanwire: {address}: cannot connect: ")), "{finished:?}");
}

#[test]
fn usage_errors_exit_with_two() {
    for wrong in [
        &[][..],
        &["nonsense"],
        &["list", "more"],
        &["list", "--server", "127.0.0.1"],
        &["host", "general"],
        &["host", "general", "192.0.2.7"],
        &["host", "general", "0.0.0.0:1"],
        &["decode", "--direction", "sideways"],
        &["decode", "--max-payload", "0"],
    ] {
        let finished = Launch::new(wrong).variable("USER", "nobody").run();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{wrong:?}: {finished:?}");
        assert!(finished.stderr.contains("Usage: ") || finished.stderr.contains("--help"), "{wrong:?}: {finished:?}");
    }
}

#[test]
fn help_lists_the_exit_codes() {
    let help = Launch::new(["--help"]).run();
    assert!(printed(&help).contains("Exit codes:\n  0  done"), "{help:?}");
    let version = Launch::new(["--version"]).run();
    assert!(printed(&version).starts_with("chanwire "), "{version:?}");
}

#[test]
fn names_from_others_are_harmless_on_a_terminal() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let hostile = "a\u{202e}b\u{2066}c\u{200b}d";
    assert_eq!(server.ask(host_at(hostile, "192.0.2.7", 1)), hosted(hostile));
    assert_eq!(server.ask(host_at("plain", "192.0.2.7", 1)), hosted("plain"));
    let list = client(server.address(0), &["list"]);
    let lines: Vec<&str> = printed(&list).lines().collect();
    assert_eq!(lines[0], r"a\u{202e}b\u{2066}c\u{200b}d  192.0.2.7:1");
    assert_eq!(lines[1].find("192.0.2.7"), lines[0].find("192.0.2.7"), "{list:?}");
    // --json prints names unchanged.
    assert!(client(server.address(0), &["list", "--json"]).stdout.contains(hostile));
    assert!(printed(&client(server.address(0), &["unhost", hostile])).is_ascii());
    let refused = client(server.address(0), &["unhost", hostile]);
    assert!(refused.refusal(3).is_ascii(), "{refused:?}");
    server.stop();
}

#[test]
fn text_from_a_hostile_server_is_harmless_on_a_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = [
        "REQUEST_ERROR\r\n{\"error\": \"\\u001b[2J\", \"details\": \"\\u202e\\r\\n\\u0007\"}",
        "OK\r\n{\"channels\": [{\"channel_name\": \"\\u001b[2J\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 1}]}",
        "\x1b[2J\r\n{}",
        "OK\r\n{\"\\u001b[2J\": \x1b}",
    ];
    let answering = thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 6]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for answer in answers {
        let finished = client(address, &["list"]);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!said.contains(|char: char| char.is_control() && char != '\n' || char == '\u{202e}'), "{said:?}");
        assert_eq!(said.matches('\n').count(), 1, "{answer:?}: {said:?}");
    }
    answering.join().unwrap();
}

/// Requests with faults in every place that a listing shows.
const STREAM: &[u8] = b"LIST\r\nPING\r\n{}HOST\r\n{\"channel_name\": 5} LIST\nPOST /";

#[test]
fn decode_shows_each_frame_with_its_offset_and_its_fault() {
    let finished = Launch::new(["decode"]).input(STREAM).run();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(3), ""), "{finished:?}");
    let lines: Vec<Vec<&str>> = finished.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let begins = |line: usize, words: &[&str]| assert!(lines[line].starts_with(words), "{finished:?}");
    begins(0, &["0", "6", "LIST"]);
    begins(1, &["6", "6", "!", "PING", "Unknown", "command:"]);
    begins(2, &["12", "2", "-", "object"]);
    begins(3, &["14", "25", "!", "HOST", "Invalid", "payload:"]);
    begins(4, &["!", "at", "byte", "37"]);
    begins(5, &["39", "1", "-", "white", "space"]);
    begins(6, &["40", "5", "!", "LIST", "Malformed", "command:"]);
    begins(7, &["!", "at", "byte", "44"]);
    begins(8, &["45", "5", "!", "POST", "Malformed", "command:"]);
    begins(9, &["!", "at", "byte", "49;", "a", "server", "closes", "the", "connection", "here"]);
    begins(10, &["50", "1", "-", "discarded"]);
    assert_eq!(lines.len(), 11);
}

#[test]
fn decode_gives_a_script_one_object_for_each_frame() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("recorded");
    fs::write(&file, STREAM).unwrap();
    let finished = Launch::new(["decode", "--json"]).arg(&file).run();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(3), ""), "{finished:?}");
    let mut end = 0;
    let rows: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &rows {
        assert_eq!(row["span"]["start"], end, "{row}");
        end = row["span"]["end"].as_u64().unwrap();
    }
    assert_eq!(end, STREAM.len() as u64);
    let faults: Vec<&Value> = rows.iter().map(|row| &row["fault"]).filter(|fault| !fault.is_null()).collect();
    assert_eq!(
        faults.iter().map(|fault| fault["at"].as_u64()).collect::<Vec<_>>(),
        [None, Some(37), Some(44), Some(49)]
    );
    assert_eq!(
        faults.iter().map(|fault| fault["closes"].as_bool().unwrap()).collect::<Vec<_>>(),
        [false, false, false, true]
    );
}

#[test]
fn decode_detects_the_direction_or_takes_it_from_a_flag() {
    let recorded = b"OK\r\n{\"channels\": []}SERVER_ERROR\r\n{\"error\": \"e\", \"details\": \"d\"}";
    let decode = |arguments: &[&str], input: &[u8]| Launch::new(["decode"]).args(arguments).input(input).run();
    let responses = decode(&["-"], recorded);
    assert_eq!(printed(&responses).lines().count(), 2);
    assert_eq!(decode(&["--direction", "requests"], recorded).code, Some(3));
    assert_eq!(printed(&decode(&["--direction", "requests"], b"LIST\r\n")).lines().count(), 1);
    assert_eq!(printed(&decode(&[], b"")), "");
    // A truncated stream is a fault too.
    assert_eq!(decode(&[], b"LIST\r\nHOST\r\n{").code, Some(3));
    assert_eq!(decode(&["--max-payload", "10"], b"MESSAGE\r\n{\"username\": \"u\"}").code, Some(3));
}

#[test]
fn decode_names_a_file_that_it_cannot_read() {
    for path in ["/nonexistent/recorded", "/"] {
        let finished = Launch::new(["decode", path]).run();
        let line = finished.refusal(1);
        assert!(line.starts_with("chanwire: cannot ") && line.contains(path), "{line}");
    }
}
