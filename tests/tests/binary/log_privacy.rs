//! Text of clients at the lowest log level: none of it is in the log, whichever way it reaches the program.

use chanwire_tests::process::{Launch, Peer, Server, answers};
use tempfile::tempdir;

use crate::{
    bridge::{ask_by_bridge, page},
    requests::host_at,
};

/// Letters only, so that it can be a start line too.
const MARKER: &str = "markerofthistest";

/// Returns the marker in every text that a request can have, and outside of all requests.
fn requests() -> String {
    let named = format!("{{\"channel_name\": \"{MARKER}\"}}");
    [
        host_at(MARKER, "192.0.2.9", 22236),
        host_at("other", &format!("{MARKER}.example"), 1),
        format!(
            "MESSAGE\r\n{{\"username\": \"{MARKER}\", \"message_content\": \"{MARKER}\", \"channel_name\": \"{MARKER}\"}}"
        ),
        format!("MESSAGE\r\n{{\"username\": \"{MARKER}\", \"message_content\": \"\"}}"),
        format!("MESSAGE\r\n{{\"username\": \"{MARKER}\", \"username\": \"{MARKER}\", \"{MARKER}\": 1}}"),
        format!("MESSAGE\r\n{{\"username\" \"{MARKER}\"}}"),
        format!("JOIN\r\n{named}HISTORY\r\n{named}LEAVE\r\n{named}"),
        format!("{MARKER}\r\n{MARKER}\nLIST\r\n{{\"{MARKER}\": 1}}{{\"{MARKER}\": 1}}"),
        format!("UNHOST\r\n{named}"),
        // It closes the connection.
        format!("MESSAGE\r\n\"{MARKER}"),
    ]
    .concat()
}

/// Words of the last answer to them.
const LAST: &str = "The payload must be a JSON object, found";

/// Waits until `logged` is in the log, then checks that neither a secret nor the marker is, as text or hexadecimal digits.
fn check_private(server: &Server, logged: &str, secrets: &[&str]) {
    server.wait_for_log(logged);
    let log = server.log();
    let digits: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
    for secret in secrets.iter().copied().chain([MARKER, &digits]) {
        let line = log.lines().find(|line| line.to_lowercase().contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}

#[test]
fn no_text_of_a_client_is_in_the_log_at_any_level() {
    let data = tempdir().unwrap();
    let server = Launch::new(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .args(["--log", "trace", "--advertise", "192.0.2.9:22236"])
        .start();
    let answered = answers(&server.ask(requests()));
    assert_eq!(answered.len(), 15, "{answered:?}");
    assert_eq!(answered.iter().filter(|answer| answer.is_ok()).count(), 8, "{answered:?}");
    check_private(&server, "MESSAGE { username: 16, message_content: 16, channel_name: 16 }", &[]);
    let (address, token) = page(&server);
    ask_by_bridge(&address, &token, "0", &requests(), LAST, MARKER);
    check_private(&server, "a bridge ended", &[&token]);

    let tap = Launch::new(["tap", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "trace", "--to"])
        .arg(server.address(0).to_string())
        .start();
    let mut peer = Peer::connect(tap.address(0));
    peer.send(requests());
    peer.finish();
    assert_eq!(answers(&peer.read_to_end()).len(), 15);
    let (address, token) = page(&tap);
    ask_by_bridge(&address, &token, "0", &requests(), LAST, MARKER);
    check_private(&tap, "a bridge ended", &[&token]);
    check_private(&server, "a bridge ended", &[]);
    tap.stop();
    server.stop();
}
