//! The bridge of the inspector's page, as a page uses it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use chanwire_tests::process::{DEADLINE, Server};

/// Returns the inspector's address and its token.
pub(crate) fn page(server: &Server) -> (String, String) {
    let url = server.banner().last().unwrap().strip_prefix("inspector at http://").unwrap();
    let (address, token) = url.split_once("/#token=").unwrap();
    (address.into(), token.into())
}

/// Returns one frame of a WebSocket's client. Its mask is zero.
fn websocket_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x80 | opcode, 0x80 | 126, high, low, 0, 0, 0, 0], payload].concat()
}

/// Sends requests through the bridge to a target, reads up to the words `last`, and closes the WebSocket with a reason.
/// Returns everything that came, the control messages included.
pub(crate) fn ask_by_bridge(
    address: &str,
    token: &str,
    target: &str,
    requests: &str,
    last: &str,
    reason: &str,
) -> String {
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
    reader.get_mut().write_all(&websocket_frame(2, requests.as_bytes())).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    // The last answer, as bytes of a frame that is not masked.
    while !String::from_utf8_lossy(&seen).contains(last) {
        let count = reader.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(buffer.get(..count).unwrap());
    }
    reader.get_mut().write_all(&websocket_frame(8, &[&[3, 232], reason.as_bytes()].concat())).unwrap();
    // However it ends.
    let _ = reader.read_to_end(&mut seen);
    String::from_utf8_lossy(&seen).into_owned()
}
