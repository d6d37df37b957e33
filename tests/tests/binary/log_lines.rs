//! Text of clients in log lines: each event stays one line, and nothing in it moves a terminal's cursor or its
//! direction.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use chanwire_tests::process::{DEADLINE, Launch, Server, wait_for};
use rusqlite::Connection;
use tempfile::tempdir;

/// A line break, a forged line, escape sequences in one and in two bytes, a bell, a backspace, bidi controls, other
/// line ends, and a byte order mark.
const HOSTILE: &str = "a\nERROR forged\r\u{1b}[2J\u{9b}31m\u{7}\u{8}\u{7f}\u{202e}\u{2066}\u{2028}\u{85}\u{feff}z";

/// The worst that a channel's name may be.
const NAME: &str = "a\u{202e}\u{2066}\u{2028}\u{feff} ERROR forged\u{200f}z";

/// Returns whether a terminal shows something else than the character.
fn is_control(character: char) -> bool {
    let is_bidi = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_bidi || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Checks that each line begins with a time and a level, as the server's own lines do.
fn each_line_is_one_event(server: &Server, format: &str) {
    let log = server.log();
    for line in log.lines() {
        assert!(!line.chars().any(is_control), "{line:?}");
        if format == "json" {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line:?}");
            continue;
        }
        let mut words = line.split_whitespace();
        let (time, level) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_time = time.len() > 20 && time.starts_with("20") && time.ends_with('Z');
        assert!(is_time && ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line:?}");
    }
}

#[test]
fn text_of_clients_never_breaks_a_log_line_nor_escapes_from_it() {
    let [text, name] = [HOSTILE, NAME].map(|text| serde_json::to_string(text).unwrap());
    for format in ["text", "json"] {
        let data = tempdir().unwrap();
        let server = Launch::new(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .args(["--log", "trace", "--log-format", format, "--advertise", "192.0.2.9:22236"])
            .start();
        let mut peer = server.connect();
        let host = format!(
            "HOST\r\n{{\"channel_name\": {name}, \"peer_server_ip\": \"192.0.2.9\", \"peer_server_port\": 22236}}"
        );
        let say = format!("MESSAGE\r\n{{\"username\": {name}, \"message_content\": {text}, \"channel_name\": {name}}}");
        let named = format!("{{\"channel_name\": {name}}}");
        let requests = [
            host.clone(),
            say.clone(),
            format!("JOIN\r\n{named}"),
            format!("HISTORY\r\n{named}"),
            format!("LEAVE\r\n{named}"),
            format!("UNHOST\r\n{named}"),
            host.clone(),
            say.clone(),
        ];
        for request in requests {
            let answer = peer.ask(request);
            assert!(answer.is_ok(), "{}", answer.raw);
        }
        peer.ask(host.replace(&name, &text));
        peer.ask(say.replace(&name, &text));
        // Its stored row is damaged, and that is how it gets into the log.
        let database = Connection::open(data.path().join("chanwire.db")).unwrap();
        database.busy_timeout(DEADLINE).unwrap();
        database.execute("UPDATE logs SET bytes = bytes + 1", []).unwrap();
        drop(database);
        assert!(!peer.ask(&say).is_ok());
        wait_for("the damaged row in the log", || server.log().contains("kept apart").then_some(()));
        // Faults of every layer, as raw bytes.
        let raw = format!("{HOSTILE}\r\n");
        for bytes in [raw.clone(), format!("HOST {raw}"), format!("HOST\r\n{{\"{HOSTILE}\": 1}}"), format!("LIST{raw}")]
        {
            let mut peer = server.connect();
            peer.send(bytes);
            peer.finish();
            peer.read_to_end();
        }
        let url = server.banner().last().unwrap().strip_prefix("inspector at http://").unwrap();
        let page = url.split('/').next().unwrap();
        for request in [
            format!("GET /{text} HTTP/1.1\r\nHost: {text}\r\n\r\n"),
            format!("GET /bridge HTTP/1.1\r\nHost: {page}\r\nUpgrade: websocket\r\nOrigin: {HOSTILE}\r\n\r\n"),
            raw,
        ] {
            let mut stream = TcpStream::connect(page).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            // However it ends.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        each_line_is_one_event(&server, format);
        server.stop();
    }
}
