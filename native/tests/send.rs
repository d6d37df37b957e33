//! `chanwire send` of lines to a server that fails.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::{Command, Output, Stdio},
    thread::{self, JoinHandle},
};

const HELLO: &str = "OK\r\n{\"protocol\": 1, \"features\": [\"client_message_id\"], \"encrypted\": false, \
    \"max_payload\": 65536, \"retry_window\": 3600}";
const DELIVERED: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\", \"id\": 7}";
const FAILED: &str = "SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"x\"}";

/// Returns a server of one connection that answers its MESSAGEs so, the first once `pipelined` have come, and returns the
/// payloads that it received.
fn server(answers: Vec<&'static str>, pipelined: usize) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut received, mut answered, mut greeted) = (String::new(), 0, false);
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer).unwrap();
            if length == 0 {
                return received.split("MESSAGE\r\n").skip(1).map(str::to_owned).collect();
            }
            received.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
            if !greeted {
                stream.write_all(HELLO.as_bytes()).unwrap();
                greeted = true;
            }
            let complete = received.matches("\"}").count();
            while answered < complete && complete >= pipelined {
                stream.write_all(answers[answered].as_bytes()).unwrap();
                answered += 1;
            }
        }
    });
    (address, serving)
}

/// Sends these lines.
fn send(server: SocketAddr, lines: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chanwire"));
    command.args(["send", "--user", "ann", "--server", &server.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn lines_that_the_server_failed_to_store_are_sent_again_in_order_and_under_their_ids() {
    let (address, serving) = server(vec![FAILED, FAILED, DELIVERED, FAILED, DELIVERED, DELIVERED, DELIVERED], 3);
    let sent = send(address, "a\nb\nc\n");
    assert_eq!((sent.status.code(), String::from_utf8_lossy(&sent.stdout).lines().count()), (Some(0), 3), "{sent:?}");
    let received = serving.join().unwrap();
    let contents = ["\"a\"", "\"b\"", "\"c\"", "\"a\"", "\"a\"", "\"b\""];
    assert_eq!(received.len(), contents.len(), "{received:?}");
    assert!(received.iter().zip(contents).all(|(payload, content)| payload.contains(content)), "{received:?}");
    assert!(received[0] == received[3] && received[0] == received[4] && received[1] == received[5], "{received:?}");
}

#[test]
fn a_line_that_the_server_fails_to_store_each_time_is_reported_as_not_known_to_be_delivered() {
    let (address, serving) = server(vec![FAILED; 8], 1);
    let sent = send(address, "a\n");
    let errors = String::from_utf8_lossy(&sent.stderr);
    assert_eq!(sent.status.code(), Some(4), "{errors}");
    let line = "line 1: Database connection failed: x; whether it was delivered is not known";
    assert!(errors.contains(line) && errors.contains("1 of 1 line was not surely delivered"), "{errors}");
    // Once, and five times again.
    assert_eq!(serving.join().unwrap().len(), 6);
}
