//! Ordinary conversations, in every way that bytes can be cut.

use chanwire_tests::process::{Launch, Peer, answers, without_times};
use tempfile::tempdir;

use crate::{
    database::stored_contents,
    requests::{DELIVERED, LIST, host, hosted, listed, message, message_to, refused},
};

#[test]
fn a_first_session_is_answered_byte_for_byte() {
    let data = tempdir().unwrap();
    // The example's channel lives here although this test's port is another.
    let server = Launch::serve(data.path()).args(["--advertise", "127.0.0.1:22236"]).start();
    let channel = listed(&[("test_channel", "127.0.0.1", 22236)]);
    assert_eq!(server.ask("LIST\r\n"), "OK\r\n{\"channels\": []}");
    assert_eq!(
        server.ask(
            "HOST\r\n{\"channel_name\": \"test_channel\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}"
        ),
        "OK\r\n{\"status\": \"success\", \"channel_name\": \"test_channel\"}"
    );
    let delivered = server.ask("MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}");
    assert_eq!(without_times(&delivered), DELIVERED, "{delivered}");
    assert_eq!(
        server.ask("LIST\nLIST\r\nPING\r\n{}HOST\r\n{\"channel_name\": 5}LIST\r\n"),
        [
            refused("Malformed command", r"A command must end with \\r\\n, found a bare \\n (with nc: nc -C)"),
            channel.clone(),
            refused("Unknown command", "Unknown command 'PING'"),
            refused(
                "Invalid payload",
                "Field 'channel_name' must be a string of 1 to 64 characters, without control characters and without \
                 white space at its ends"
            ),
            channel,
        ]
        .concat()
    );
    assert_eq!(stored_contents(data.path(), "test_channel"), ["Hello, World!"]);
    server.stop();
}

#[test]
fn connections_that_ask_once_and_leave_are_all_answered() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    assert_eq!(server.ask(host("general", address)), hosted("general"));
    for count in 0..200 {
        assert_eq!(without_times(&server.ask(message("u", &count.to_string()))), DELIVERED);
        // This one does not say that it leaves.
        let mut peer = server.connect();
        assert_eq!(peer.ask(LIST).raw, listed(&[("general", "127.0.0.1", address.port())]));
    }
    assert!(stored_contents(data.path(), "general").into_iter().eq((0..200).map(|count| count.to_string())));
    server.stop();
}

#[test]
fn many_requests_in_one_write_are_answered_in_their_order() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let address = server.address(0);
    let (mut stream, mut expected, mut channels) = (String::new(), String::new(), Vec::new());
    for count in 0..100 {
        let name = format!("c{count}");
        stream += &format!("{} \r\n", host(&name, address));
        expected += &hosted(&name);
        channels.push(name);
        let entries: Vec<_> = channels.iter().map(|name| (name.as_str(), "127.0.0.1", address.port())).collect();
        stream += "LIST\r\nPING\r\n{\"of\": [\"PING\"]}";
        expected += &(listed(&entries) + &refused("Unknown command", "Unknown command 'PING'"));
        for place in 0..3 {
            stream += &message_to("c0", "u", &format!("{count}.{place}"));
            expected += DELIVERED;
        }
    }
    assert_eq!(without_times(&server.ask(&stream)), expected);
    let contents = (0..100).flat_map(|count| (0..3).map(move |place| format!("{count}.{place}")));
    assert!(stored_contents(data.path(), "c0").into_iter().eq(contents));
    server.stop();
}

#[test]
fn one_byte_in_each_write_is_the_same_as_all_in_one() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let stream = [
        &host("a", server.address(0)),
        "\r\n LIST\r\nLIST\rPING\r\n{\"}\": \"\\\"\"}",
        &message("naïve", "😀"),
        "MESSAGE\r\n[1, {}]",
        "MESSAGE\r\n \r\n{\"username\": \"u\"}{\"stray\": 1}",
        "POST / HTTP/1.1\r\n",
    ]
    .concat();
    let at_once = server.ask(&stream);
    assert_eq!(answers(&at_once).len(), 9, "{at_once}");
    let mut peer = server.connect();
    for byte in stream.bytes() {
        // It closes at the space after POST, and goes on taking what still comes.
        peer.send([byte]);
    }
    peer.finish();
    assert_eq!(without_times(&peer.read_to_end()), without_times(&at_once));
    server.stop();
}

#[test]
fn a_frame_may_come_in_pieces_between_which_others_are_served() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let request = host("pieces", server.address(0));
    let (command, payload) = request.split_at("HOST".len());
    let (crlf, payload) = payload.split_at(2);
    let (begin, end) = payload.split_at(payload.len() / 2);
    let (mut peer, mut other) = (server.connect(), server.connect());
    for piece in [command, crlf, begin] {
        peer.send(piece);
        assert_eq!(other.ask(LIST).raw, listed(&[]));
    }
    assert_eq!(peer.ask(end).raw, hosted("pieces"));
    assert_eq!(other.ask(LIST).raw, listed(&[("pieces", "127.0.0.1", server.address(0).port())]));
    server.stop();
}

/// Sends this, ends its half of the connection, and gives all that comes back.
fn half_closed(mut peer: Peer, bytes: &str) -> String {
    peer.send(bytes);
    peer.finish();
    peer.read_to_end()
}

#[test]
fn a_stream_that_ends_between_frames_is_answered_and_closed() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    for (bytes, expected) in [
        ("", String::new()),
        (" \r\n", String::new()),
        (LIST, listed(&[])),
        ("LIST\r\n\r\n\t", listed(&[])),
        ("LIST\n", refused("Malformed command", r"A command must end with \\r\\n, found a bare \\n (with nc: nc -C)")),
        ("PING\r\n", refused("Unknown command", "Unknown command 'PING'")),
        ("LIST\r\n{\"its\": 1}", listed(&[])),
    ] {
        assert_eq!(half_closed(server.connect(), bytes), expected, "{bytes:?}");
    }
    server.stop();
}
