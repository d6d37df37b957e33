//! Messages with ids that are sent again: around kills, after retention and by `chat`, each is stored once.

use std::{
    fs::File,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use chanwire_tests::{
    chance::Chance,
    process::{Answer, Launch, Process, Server, binary, check, wait_for},
};
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    database::stored_contents,
    requests::{history, host, hosted},
};

/// Kills while `chat` sends, and the lines that it is given before each.
const KILLS: usize = 10;
const LINES: usize = 100;

/// Returns a MESSAGE with an id.
fn identified(id: &str, content: &str) -> String {
    format!(
        "MESSAGE\r\n{{\"username\": \"ann\", \"message_content\": \"{content}\", \"channel_name\": \"general\", \
         \"client_message_id\": \"{id}\"}}"
    )
}

/// Sends a request on a connection of its own.
fn ask(server: &Server, request: &str) -> Answer {
    server.connect().ask(request)
}

/// Returns the messages that the server has, with their ids.
fn kept(server: &Server) -> String {
    ask(server, &history("general", 1000)).raw
}

#[test]
fn a_message_that_is_sent_again_has_the_same_answer_after_kills_and_retention() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path());
    let server = launch.start();
    let launch = launch.args(["--listen", &server.address(0).to_string()]);
    let general = host("general", server.address(0));
    assert_eq!(ask(&server, &general).raw, hosted("general"));
    let (one, other) = (identified("0123456789abcdef", "one"), identified("fedcba9876543210", "other"));
    let first = ask(&server, &one);
    assert!(first.is_ok() && first.raw.ends_with(", \"id\": 1}"), "{first:?}");
    assert_eq!(ask(&server, &one), first);
    server.kill();

    let server = launch.start();
    assert_eq!(ask(&server, &one), first, "after a kill");
    assert!(ask(&server, &other).is_ok());
    server.kill();

    let server = launch.args(["--retain-count", "1"]).start();
    let only_the_last = |kept: &str| kept.contains("\"other\"") && !kept.contains("\"one\"");
    let before = wait_for("retention", || {
        let kept = kept(&server);
        if only_the_last(&kept) { Ok(kept) } else { Err(kept) }
    });
    assert_eq!(ask(&server, &one), first, "after retention");
    let reused = ask(&server, &identified("0123456789abcdef", "two"));
    assert_eq!((reused.status.as_str(), reused.error()), ("REQUEST_ERROR", "Message id reused"));
    assert_eq!(kept(&server), before, "nothing more is stored");
    server.stop();
}

#[test]
fn chat_sends_each_line_once_through_kills_and_asks_nothing() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    let launch = Launch::serve(data.path()).args(["--listen", &address.to_string()]);
    assert_eq!(ask(&server, &host("general", address)).raw, hosted("general"));
    let told = data.path().join("told");
    let arguments = ["chat", "general", "--user", "ann", "--server", &address.to_string()];
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&told).unwrap());
    let mut chat = Process(command.spawn().unwrap());
    let mut lines = chat.0.stdin.take().unwrap();

    let (mut server, mut chance) = (server, Chance::new());
    for round in 0..KILLS {
        for number in round * LINES..(round + 1) * LINES {
            writeln!(lines, "line {number}").unwrap();
        }
        // Somewhere in the middle of them.
        let enough = round * LINES + 1 + chance.below(LINES - 1);
        wait_for("some of the lines", || {
            let last = last_id(&server);
            check(last >= enough, last)
        });
        server.kill();
        server = launch.start();
    }
    wait_for("all lines", || {
        let last = last_id(&server);
        check(last >= KILLS * LINES, last)
    });
    drop(lines);
    assert_eq!(chat.wait(Duration::from_secs(60)).code(), Some(0));
    server.stop();
    let all: Vec<String> = (0..KILLS * LINES).map(|number| format!("line {number}")).collect();
    assert_eq!(stored_contents(data.path(), "general"), all);
    let told = std::fs::read_to_string(told).unwrap();
    assert!(!told.contains("maybe"), "{told}");
}

/// Returns the id of the last message that the server has.
fn last_id(server: &Server) -> usize {
    let last = ask(server, &history("general", 1));
    assert!(last.is_ok(), "{last:?}");
    let id = last.payload.pointer("/messages/0/id").and_then(Value::as_u64);
    id.map_or(0, |id| usize::try_from(id).unwrap())
}
