//! Text of clients at the lowest log level: none of it is in the log, whichever way it reaches the program.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use chanwire_tests::process::{DEADLINE, Launch, Peer, Server, answers};
use tempfile::tempdir;

use crate::requests::host_at;

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

/// Checks that nothing of the marker is in the log, nor as hexadecimal digits, though the log has this.
fn is_private(server: &Server, logged: &str, secrets: &[&str]) {
    server.wait_for_log(logged);
    let log = server.log();
    let digits: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
    for secret in secrets.iter().copied().chain([MARKER, &digits]) {
        let line = log.lines().find(|line| line.to_lowercase().contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}

/// Returns the inspector's address and its token.
fn page(server: &Server) -> (String, String) {
    let url = server.banner().last().unwrap().strip_prefix("inspector at http://").unwrap();
    let (address, token) = url.split_once("/#token=").unwrap();
    (address.into(), token.into())
}

/// Returns one frame of a WebSocket's client. Its mask is zero.
fn websocket_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x80 | opcode, 0x80 | 126, high, low, 0, 0, 0, 0], payload].concat()
}

/// Sends the requests through the bridge, as the page does, and reads until the server closes the connection.
fn send_by_bridge(address: &str, token: &str, target: &str) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader = BufReader::new(stream);
    write!(
        reader.get_mut(),
        "GET /bridge HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
    }
    let texts = [
        format!("{{\"type\": \"token\", \"token\": \"{token}\"}}"),
        format!("{{\"type\": \"connect\", \"target\": \"{target}\"}}"),
    ];
    for text in texts {
        reader.get_mut().write_all(&websocket_frame(1, text.as_bytes())).unwrap();
    }
    reader.get_mut().write_all(&websocket_frame(2, requests().as_bytes())).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    // The last answer, as bytes of a frame that is not masked.
    while !String::from_utf8_lossy(&seen).contains("The payload must be a JSON object, found") {
        let count = reader.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(buffer.get(..count).unwrap());
    }
    reader.get_mut().write_all(&websocket_frame(8, &[&[3, 232], MARKER.as_bytes()].concat())).unwrap();
    // However it ends.
    let _ = reader.read_to_end(&mut seen);
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
    is_private(&server, "MESSAGE { username: 16, message_content: 16, channel_name: 16 }", &[]);
    let (address, token) = page(&server);
    send_by_bridge(&address, &token, "0");
    is_private(&server, "a bridge ended", &[&token]);

    let tap = Launch::new(["tap", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "trace", "--to"])
        .arg(server.address(0).to_string())
        .start();
    let mut peer = Peer::connect(tap.address(0));
    peer.send(requests());
    peer.finish();
    assert_eq!(answers(&peer.read_to_end()).len(), 15);
    let (address, token) = page(&tap);
    send_by_bridge(&address, &token, "0");
    is_private(&tap, "a bridge ended", &[&token]);
    is_private(&server, "a bridge ended", &[]);
    tap.stop();
    server.stop();
}
