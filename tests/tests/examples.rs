//! The examples of core do what they say: their code, over real sockets.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::duplicate_mod, reason = "each example is a program with its own copy of what they share")]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
};

use chanwire_core::wire::{Address, Channel, Host, Message, Request, Response};

#[expect(dead_code, reason = "a program's main is called by nobody here")]
#[path = "../../core/examples/client.rs"]
mod client;
#[expect(dead_code, reason = "a program's main is called by nobody here")]
#[path = "../../core/examples/server.rs"]
mod server;

/// Returns the example server, at a port of its own. It serves until the tests end.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || server::serve(&listener).unwrap());
    address
}

fn ask(address: SocketAddr, requests: &[Request]) -> Vec<Response> {
    client::ask(&mut TcpStream::connect(address).unwrap(), requests).unwrap()
}

fn message(channel_name: &str) -> Request {
    let (username, message_content) = ("user1".parse().unwrap(), "Hello, World!".into());
    Request::Message(Message {
        username,
        message_content,
        channel_name: Some(channel_name.parse().unwrap()),
        client_message_id: None,
    })
}

#[test]
fn the_client_is_answered_by_the_server() {
    let address = serve();
    let own = Address::from_ip(address.ip(), address.port()).unwrap();
    let general = Channel { channel_name: "general".parse().unwrap(), address: own };
    let answers = ask(
        address,
        &[
            Request::List,
            Request::Host(Host { channel: general.clone(), lease: None }),
            message("general"),
            message("x"),
        ],
    );
    let [first, second, Response::Delivered { .. }, Response::Error(error)] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(first, &Response::Channels(Vec::new()));
    assert_eq!(second, &Response::Hosted { channel_name: "general".parse().unwrap() });
    assert_eq!(error.error, "Channel not found");
    // On another connection, what the first one stored is there.
    assert_eq!(ask(address, &[Request::List]), [Response::Channels(vec![general])]);
}

#[test]
fn the_server_answers_more_requests_in_one_write_than_may_be_in_flight() {
    let mut stream = TcpStream::connect(serve()).unwrap();
    stream.write_all(&b"LIST\r\n".repeat(5_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers, "OK\r\n{\"channels\": []}".repeat(5_000));
}

#[test]
fn the_server_closes_after_a_fault_with_the_reason() {
    let mut stream = TcpStream::connect(serve()).unwrap();
    stream.write_all(b"LIST\r\nPOST / HTTP/1.1\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(
        answers.starts_with("OK\r\n{\"channels\": []}REQUEST_ERROR\r\n{\"error\": \"Malformed command\""),
        "{answers}"
    );
}

#[test]
fn the_client_reports_a_servers_violation() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let wrong = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let error = client::ask(&mut TcpStream::connect(address).unwrap(), &[Request::List]).unwrap_err();
    assert!(error.to_string().starts_with("the server sent what is no frame of the protocol"), "{error}");
    wrong.join().unwrap();
}
