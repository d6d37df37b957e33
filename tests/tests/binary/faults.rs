//! Each row of the protocol's fault table over TCP: what is answered, and whether the connection goes on.

use chanwire_tests::process::{Launch, Server};
use tempfile::{TempDir, tempdir};

use crate::requests::{LIST, listed};

fn server() -> (Server, TempDir) {
    let data = tempdir().unwrap();
    (Launch::serve(data.path()).start(), data)
}

/// These are answered so, in order, and the connection is served on.
fn goes_on(stream: &[u8], errors: &[&str]) {
    let (server, _data) = server();
    let mut peer = server.connect();
    peer.send(stream);
    for error in errors {
        let answer = peer.answer();
        assert_eq!((answer.status.as_str(), answer.error()), ("REQUEST_ERROR", *error), "{}", answer.raw);
    }
    // Had there been another answer, it would come before this one.
    assert_eq!(peer.ask(LIST).raw, listed(&[]));
}

/// This is answered so, once, and then the server closes, whatever still comes, though the peer does not.
fn closes(stream: &[u8], error: &str) {
    let (server, _data) = server();
    let mut peer = server.connect();
    peer.send(stream);
    peer.send("LIST\r\nLIST\r\n");
    let answer = peer.answer();
    assert_eq!((answer.status.as_str(), answer.error()), ("REQUEST_ERROR", error), "{}", answer.raw);
    assert_eq!(peer.rest(), "");
    // It is this connection's fault alone.
    assert_eq!(server.ask(LIST), listed(&[]));
}

const MALFORMED: &str = "Malformed command";
const INVALID: &str = "Invalid payload";

#[test]
fn f1_white_space_between_frames_is_skipped() {
    goes_on(b" \t\r\n\r\n", &[]);
    goes_on(b"MESSAGE\r\n \t\r\n{}", &[INVALID]);
}

#[test]
fn f3_an_object_after_a_refused_command_belongs_to_it() {
    goes_on(b"PING\r\n {\"a\": \"}\"}PING\r\n[[]]", &["Unknown command"; 2]);
    goes_on(b"HOST\n{\"channel_name\": \"a\"}", &[MALFORMED]);
}

#[test]
fn f4_a_stray_object_is_refused_when_it_ends() {
    goes_on(b"{\"a\": [1, 2]}", &[MALFORMED]);
    goes_on(b"PING\r\n{}[]", &["Unknown command", MALFORMED]);
}

#[test]
fn f5_an_unknown_command_goes_on() {
    goes_on(b"list\r\nJOINT_\r\n", &["Unknown command"; 2]);
}

#[test]
fn f6_a_line_that_ends_in_half_a_line_end_goes_on() {
    goes_on(b"LIST\nPING\n", &[MALFORMED; 2]);
    goes_on(b"LIST\rHOST\n", &[MALFORMED; 2]);
}

#[test]
fn f7_what_is_no_command_closes() {
    closes(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", MALFORMED);
    closes(b"\x16\x03\x01\x02\x00", MALFORMED);
    closes(&[b'A'; 33], MALFORMED);
}

#[test]
fn f8_an_array_for_a_payload_goes_on() {
    goes_on(b"MESSAGE\r\n[{\"a\": 1}]", &[INVALID]);
}

#[test]
fn f9_a_payload_that_is_no_object_closes() {
    closes(b"MESSAGE\r\n\"text\"", INVALID);
    closes(b"HOST\r\nHOST\r\n", INVALID);
}

#[test]
fn f10_a_payload_that_is_wrong_inside_goes_on() {
    goes_on(b"MESSAGE\r\n{\"username\" \"u\"}MESSAGE\r\n{\"username\": \"\xff\"}", &[INVALID; 2]);
    goes_on(b"MESSAGE\r\n{\"username\": \"u\", \"username\": \"u\", \"message_content\": \"\"}", &[INVALID]);
}

#[test]
fn f11_brackets_that_do_not_match_or_nest_too_deep_close() {
    closes(b"MESSAGE\r\n{\"a\": [}", INVALID);
    closes(&[&b"MESSAGE\r\n{\"a\": "[..], &[b'['; 64]].concat(), INVALID);
}

#[test]
fn f12_one_byte_too_many_closes() {
    let fits = [&b"MESSAGE\r\n{"[..], &[b' '; 65_534], b"}"].concat();
    goes_on(&fits, &[INVALID]);
    closes(&[&b"MESSAGE\r\n{"[..], &[b' '; 65_536]].concat(), "Payload too large");
}

#[test]
fn f14_fields_that_are_not_known_are_ignored() {
    goes_on(b"MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"c\", \"x\": [{}]}", &["Channel not found"]);
}
