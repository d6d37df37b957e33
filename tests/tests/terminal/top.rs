//! `chanwire top`, and `chanwire disconnect`.

use std::path::Path;

use chanwire_tests::process::{Launch, Server, wait_for};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{running::general, tmux::Tmux};

const JOIN: &str = "JOIN\r\n{\"channel_name\": \"general\"}";

fn top(data: &Path, arguments: &[&str]) -> Launch {
    Launch::new(["top", "--interval", "1", "--data-dir"]).arg(data).args(arguments)
}

fn say(server: &Server, text: &str) {
    let request = format!("MESSAGE\r\n{{\"username\": \"bob\", \"message_content\": \"{text}\"}}");
    assert!(server.ask(request).starts_with("OK"));
}

#[test]
fn one_refresh_is_a_table_or_a_line_of_json_with_rates() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let mut reader = server.connect();
    assert!(reader.ask(JOIN).is_ok());
    say(&server, "hi");
    assert!(reader.answer().raw.contains("\"hi\""));

    let json = top(data.path(), &["--once", "--json"]).run();
    assert_eq!((json.code, json.stdout.lines().count(), json.stderr.as_str()), (Some(0), 1, ""), "{json:?}");
    let refresh: Value = serde_json::from_str(&json.stdout).unwrap();
    let rows = refresh["connections"].as_array().unwrap();
    let of = |peer: &str| rows.iter().find(|row| row["peer"] == peer).unwrap();
    let (client, operator) = (of("127.0.0.1"), of("operator"));
    for (name, value) in [("requests", 1), ("pushes", 1), ("joined", 1), ("waiting_bytes", 0)] {
        assert_eq!(client[name], value, "{name} of {client}");
    }
    assert_eq!(client["listener"], server.address(0).to_string());
    assert_eq!(client["received_bytes"], JOIN.len());
    assert_eq!((&client["requests_per_second"], &operator["listener"]), (&0.0.into(), &Value::Null), "{refresh}");
    assert!(operator["requests_per_second"].as_f64().unwrap() > 0.0, "{operator}");
    assert_eq!((&refresh["totals"]["connections"], &refresh["totals"]["joined"]), (&rows.len().into(), &1.into()));

    let expected = json!([{
        "channel_name": "general", "last_id": 1, "joined": 1, "behind": 0, "stored_bytes": 2,
        "messages_per_second": 0.0, "stored_bytes_per_second": 0.0,
    }]);
    assert_eq!((&refresh["channels"], &refresh["channel_totals"]["joined"]), (&expected, &1.into()), "{refresh}");

    let table = top(data.path(), &["--once", "--sort", "joined"]).run();
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!((table.code, lines.len()), (Some(0), 8), "{table:?}");
    assert!(lines[0].starts_with("2 connections, ") && lines[1].trim_start().starts_with("ID  PEER"), "{table:?}");
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(words[0], client["connection"].to_string());
    assert_eq!((words[1], words[8]), ("127.0.0.1", "1"), "{table:?}");
    assert_eq!(
        lines[4..],
        [
            "",
            "1 channel, 0 msg/s, 0B/s in, 1 joined, 0 behind",
            "CHANNEL  MSG/S  IN/S  JOINED  BEHIND  LAST ID  STORED",
            "general      0     0       1       0        1       2",
        ]
    );
    server.stop();
}

#[test]
fn the_table_of_channels_has_the_rates_of_messages() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0).to_string();
    let host = |name: &str, address: &str, server: &str| {
        assert_eq!(Launch::new(["host", name, address, "--server", server]).run().code, Some(0));
    };
    host("games", &address, &address);
    host("away", "192.0.2.7:22236", &address);
    let mut reader = server.connect();
    assert!(reader.ask("JOIN\r\n{\"channel_name\": \"games\"}").is_ok());
    let tmux = Tmux::run(data.path(), &[], &["top", "--interval", "1", "--data-dir", data.path().to_str().unwrap()]);
    tmux.shows(&["2 connections", "c channels"]);
    tmux.keys(&["c", "j", "Home"]);
    let screen = tmux.shows(&["2 channels, ", "CHANNEL", "LAST ID", "c connections", "\n> games", "\n  general"]);
    assert!(!screen.contains("away"), "{screen}");
    wait_for("the rate of a message", || {
        let request = "MESSAGE\r\n{\"username\": \"bob\", \"message_content\": \"hi\", \"channel_name\": \"general\"}";
        assert!(server.ask(request).starts_with("OK"));
        let screen = tmux.screen();
        let row = screen.lines().find(|line| line.starts_with("  general")).unwrap_or_default();
        let rate = row.split_whitespace().nth(1).unwrap_or("0");
        if matches!(rate, "0" | "-") { Err(screen) } else { Ok(()) }
    });
    tmux.keys(&["c"]);
    tmux.shows(&["REQ/S", "d disconnect"]);
    tmux.keys(&["q"]);
    assert_eq!(tmux.exit_code(), 0);
    server.stop();
}

#[test]
fn a_connection_is_ended_from_the_command_line() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let mut reader = server.connect();
    assert!(reader.ask(JOIN).is_ok());
    let json = top(data.path(), &["--once", "--json", "--sort", "joined"]).run();
    let refresh: Value = serde_json::from_str(&json.stdout).unwrap();
    let id = refresh["connections"][0]["connection"].to_string();
    let disconnect =
        |id: &str, more: &[&str]| Launch::new(["disconnect", id, "--data-dir"]).arg(data.path()).args(more).run();
    let ended = disconnect(&id, &["--json"]);
    let expected =
        format!("{{\"status\": \"OK\", \"payload\": {{\"status\": \"disconnected\", \"connection\": {id}}}}}\n");
    assert_eq!((ended.code, ended.stdout), (Some(0), expected));
    // It asked for no notices, so it sees the end of the stream and no error.
    assert_eq!(reader.read_to_end(), "");
    // The server reads on until the client ends its stream, too.
    drop(reader);
    let expected = format!("Connection not found: No open connection has the number {id}\n");
    wait_for("the end of the connection", || {
        let again = disconnect(&id, &[]);
        if (again.code, &again.stderr) == (Some(3), &expected) { Ok(()) } else { Err(again) }
    });
    let wrong = disconnect("99999999999999999", &[]);
    assert!(wrong.code == Some(3) && wrong.stderr.contains("Field 'connection' must be"), "{wrong:?}");
    server.stop();
    let gone = disconnect(&id, &[]);
    assert!(gone.code == Some(1) && gone.stderr.contains("is a server running that keeps its data there?"), "{gone:?}");
}

#[test]
fn what_cannot_be_shown_is_refused_with_the_reason() {
    let data = tempdir().unwrap();
    let none = top(data.path(), &["--once"]).run();
    assert!(none.code == Some(1) && none.stderr.contains("cannot connect"), "{none:?}");
    let pipe = top(data.path(), &[]).run();
    assert!(pipe.refusal(2).contains("use --once or --json"), "{pipe:?}");
    let column = top(data.path(), &["--sort", "size"]).run();
    assert!(column.code == Some(2) && column.stderr.contains("req/s"), "{column:?}");
}

#[test]
fn the_live_table_orders_chooses_and_ends_connections() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let mut reader = server.connect();
    assert!(reader.ask(JOIN).is_ok());
    let tmux = Tmux::run(data.path(), &[], &["top", "--interval", "1", "--data-dir", data.path().to_str().unwrap()]);
    tmux.shows(&["2 connections", "REQ/S", "127.0.0.1", "operator"]);
    tmux.keys(&["d"]);
    tmux.shows(&["choose a connection with the arrow keys first"]);
    // By joined channels, the reader is the first.
    tmux.keys(&["j", "Home"]);
    let screen = tmux.shows(&["\n> "]);
    let chosen = screen.lines().find(|line| line.starts_with("> ")).unwrap();
    assert!(chosen.contains("127.0.0.1"), "{screen}");
    tmux.keys(&["d"]);
    tmux.shows(&["of 127.0.0.1? y/n"]);
    tmux.keys(&["n"]);
    tmux.shows(&["q quit"]);
    assert!(reader.ask("LIST\r\n").is_ok());
    tmux.keys(&["d"]);
    tmux.shows(&["of 127.0.0.1? y/n"]);
    tmux.keys(&["y"]);
    assert_eq!(reader.read_to_end(), "");
    tmux.shows(&["1 connection,"]);
    // The screen from before is back when it ends.
    tmux.keys(&["q"]);
    assert_eq!(tmux.exit_code(), 0);
    assert!(!tmux.screen().contains("REQ/S"), "{}", tmux.screen());
    server.stop();
}

#[test]
fn a_small_terminal_shows_fewer_columns_and_a_server_that_is_away_is_tried_again() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let binary = chanwire_tests::process::binary();
    let arguments = ["top", "--interval", "1", "--data-dir", data.path().to_str().unwrap()];
    let command = [&[binary.to_str().unwrap()], &arguments[..]].concat();
    let tmux = Tmux::run_in(data.path(), ("30", "6"), &command);
    let screen = tmux.shows(&["1 connection, ", "ID  PEER", "operator"]);
    assert!(!screen.contains("RECEIVED") && screen.lines().count() <= 6, "{screen}");
    tmux.ask(&["resize-window", "-x", "160", "-y", "24"]);
    tmux.shows(&["LISTENER", "RECEIVED  SENT"]);
    let address = server.address(0);
    server.kill();
    tmux.shows(&["is a server running that keeps its data there?"]);
    let server = crate::running::again(data.path(), address);
    tmux.shows(&["q quit", "operator"]);
    tmux.keys(&["C-c"]);
    assert_eq!(tmux.exit_code(), 0);
    server.stop();
}
