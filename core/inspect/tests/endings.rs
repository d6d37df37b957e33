//! The reason for the end of a connection: the same word in what the server decides, in its answer, and in the note that
//! a capture of the traffic has.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;

use chanwire_core::{admission::Refusal, endpoint::Reason, wire::ErrorResponse};
use chanwire_inspect::{
    Capture, Direction, Ending,
    plan::Step,
    sandbox::{Event, Happening, Sandbox, Settings},
};

const HOST: &str =
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}";
const JOIN: &str = "JOIN\r\n{\"channel_name\": \"general\"}";
const UNHOST: &str = "UNHOST\r\n{\"channel_name\": \"general\"}";

/// A sandbox with clients of its own machine.
struct Bench {
    sandbox: Sandbox,
    events: Vec<Event>,
}

impl Bench {
    fn connect(&mut self) -> u32 {
        self.sandbox.connect("127.0.0.1".parse::<IpAddr>().unwrap()).unwrap()
    }

    fn send(&mut self, client: u32, bytes: impl Into<Vec<u8>>) {
        assert!(self.sandbox.push(client, Step::Bytes(bytes.into())));
        self.pass(100);
    }

    fn pass(&mut self, milliseconds: u64) {
        self.sandbox.run(self.sandbox.now() + milliseconds);
        self.events.extend(self.sandbox.take_events());
    }

    fn message(&mut self, client: u32, length: usize) {
        let content = "x".repeat(length);
        self.send(client, format!("MESSAGE\r\n{{\"username\": \"ann\", \"message_content\": \"{content}\"}}"));
    }
}

/// Ends a connection for this reason, and returns its number. `None`: no sandbox ends one so.
fn provoke(reason: Reason, bench: &mut Bench) -> Option<u32> {
    let client = bench.connect();
    match reason {
        Reason::ClientClosed => bench.send(client, "LIST\r\n"),
        Reason::ClientLost => assert!(bench.sandbox.push(client, Step::Reset)),
        Reason::MalformedCommand => bench.send(client, "GET / HTTP/1.1\r\n\r\n"),
        Reason::InvalidPayload => bench.send(client, "HOST\r\n7"),
        Reason::PayloadTooLarge => bench.message(client, 300),
        Reason::IncompleteRequest => {
            bench.send(client, "LI");
            assert!(bench.sandbox.push(client, Step::End));
        }
        Reason::RequestTimedOut => {
            bench.send(client, "LI");
            bench.pass(3_000);
        }
        Reason::NotReading => {
            bench.sandbox.set_reading(client, false);
            bench.send(client, "LIST\r\n".repeat(100));
            bench.pass(60_000);
        }
        Reason::SlowConsumer => {
            bench.send(client, HOST);
            bench.send(client, JOIN);
            bench.sandbox.set_reading(client, false);
            let sender = bench.connect();
            (0..20).for_each(|_| bench.message(sender, 200));
            bench.sandbox.set_reading(client, true);
        }
        Reason::ChannelRemoved => {
            bench.send(client, HOST);
            bench.send(client, JOIN);
            let other = bench.connect();
            bench.send(other, UNHOST);
        }
        Reason::Disconnected => {
            bench.send(client, "HELLO\r\n{\"notices\": true}");
            let operator = bench.sandbox.connect_operator().unwrap();
            bench.send(operator, format!("DISCONNECT\r\n{{\"connection\": {client}}}"));
        }
        Reason::AccessRevoked => {
            bench.send(client, "HELLO\r\n{\"notices\": true}");
            bench.send(client, HOST.replace("general", "staff-x"));
            bench.send(client, JOIN.replace("general", "staff-x"));
            bench.sandbox.reconfigure(Settings { hides_staff: true, ..Settings::default() });
            bench.pass(1_000);
        }
        Reason::ServerBusy => {
            let more: Vec<u32> = (0..4).map(|_| bench.connect()).collect();
            return more.last().copied();
        }
        Reason::ServerStopping => {
            bench.send(client, "HELLO\r\n{\"notices\": true}");
            bench.sandbox.stop();
        }
        Reason::EncryptionRequired => bench.send(client, "LIST\r\n"),
        Reason::AddressBusy => {
            bench.connect();
            return Some(bench.connect());
        }
        // A sandbox denies no address, and has no proxies, no TLS, and no other program that closes connections.
        Reason::Denied | Reason::ProxyHeader | Reason::TlsHandshake | Reason::ServerClosed => {
            return None;
        }
    }
    Some(client)
}

/// Returns the limit that is reached with a reason.
const fn limit(reason: Reason) -> Option<(&'static str, u64)> {
    match reason {
        Reason::PayloadTooLarge => Some(("max_payload", 256)),
        Reason::RequestTimedOut => Some(("request_timeout", 2)),
        Reason::NotReading => Some(("write_timeout", 10)),
        Reason::SlowConsumer => Some(("max_pushed", 1_000)),
        Reason::ServerBusy => Some(("max_connections", 4)),
        Reason::AddressBusy => Some(("address_connections", 2)),
        _ => None,
    }
}

/// Records a client's connection, with the sandbox's words for its end or without. Returns the ending in the capture's
/// note, and whether the client received this error.
fn recorded(events: &[Event], client: u32, with_words: bool, error: Option<&str>) -> (Option<Ending>, bool) {
    let mut capture = Capture::new(1 << 20);
    for Event { time, event, .. } in events.iter().filter(|event| event.connection == client) {
        let time = *time as f64;
        match event {
            Happening::Opened { local, .. } => capture.open_with(client, local, 256, 1 << 20),
            Happening::Bytes { direction, bytes } => capture.bytes(client, *direction, time, bytes),
            Happening::Ended { direction } => capture.shut_down(client, *direction, time),
            Happening::Closed { reason, bad } => {
                capture.close(client, time);
                let event = reason.split(": ").next().unwrap_or_default();
                capture.note(client, time, "closed", if with_words { reason } else { event }, *bad);
            }
        }
    }
    let rows = || capture.entries(capture.first(), capture.end_number());
    let note = rows().last().filter(|row| row.head() == "closed").unwrap();
    let told = rows().any(|row| row.direction() == Direction::In && row.error().as_deref() == error);
    (note.ending(), told)
}

#[test]
fn every_reason_is_the_same_word_in_the_answer_and_in_a_capture() {
    for reason in Reason::ALL {
        let settings = Settings {
            max_payload: 256,
            frame_timeout: 2,
            max_pushed: 1_000,
            max_connections: 4,
            address_connections: if *reason == Reason::AddressBusy { 2 } else { 64 },
            network: 512,
            requires_tls: *reason == Reason::EncryptionRequired,
            ..Settings::default()
        };
        let mut bench = Bench { sandbox: Sandbox::new(settings), events: Vec::new() };
        let Some(client) = provoke(*reason, &mut bench) else { continue };
        bench.pass(20_000);
        // The client ends its stream, where that is not how it ended the connection.
        bench.sandbox.push(client, Step::End);
        bench.pass(20_000);
        let ending = Ending { reason: *reason, limit: limit(*reason) };
        let (decided, told) = recorded(&bench.events, client, true, reason.error());
        assert_eq!(decided, Some(ending), "{reason:?}");
        let (seen, _) = recorded(&bench.events, client, false, None);
        if reason.error().is_some() || *reason == Reason::ClientClosed {
            assert!(told || *reason == Reason::ClientClosed, "{reason:?}");
            assert_eq!(seen, Some(ending), "{reason:?}");
        } else {
            assert_eq!(seen, None, "{reason:?} shows in no byte");
        }
    }
}

/// Returns the ending of a connection that received this error and was closed.
fn ending_after(error: &ErrorResponse) -> Option<Ending> {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "");
    let mut bytes = Vec::new();
    error.encode(&mut bytes);
    capture.bytes(1, Direction::In, 0.0, &bytes);
    capture.shut_down(1, Direction::In, 1.0);
    capture.close(1, 2.0);
    capture.note(1, 2.0, "closed", "closed", false);
    let note = capture.entries(capture.first(), capture.end_number()).last()?;
    note.ending()
}

#[test]
fn a_busy_address_is_told_from_a_busy_server_by_its_details() {
    for (refusal, limit) in [
        (Refusal::TooMany { limit: 256 }, ("address_connections", 256)),
        (Refusal::TooFast { limit: 20 }, ("address_connects", 20)),
    ] {
        let ending = Ending { reason: Reason::AddressBusy, limit: Some(limit) };
        assert_eq!(ending_after(&refusal.answer().unwrap()), Some(ending));
        assert_eq!(refusal.limit(), Some(limit));
    }
    let busy = ErrorResponse::server("Server busy", "The server has reached its limit of 10 connections");
    let ending = Ending { reason: Reason::ServerBusy, limit: Some(("max_connections", 10)) };
    assert_eq!(ending_after(&busy), Some(ending));
    assert_eq!(ending_after(&ErrorResponse::server("Teapot", "7")), None);
}

#[test]
fn an_error_that_does_not_close_is_no_reason() {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "");
    capture.bytes(1, Direction::Out, 0.0, b"HOST\r\n{}");
    let invalid = ErrorResponse::request("Invalid payload", "Missing required field 'channel_name'");
    let mut bytes = Vec::new();
    invalid.encode(&mut bytes);
    capture.bytes(1, Direction::In, 1.0, &bytes);
    capture.shut_down(1, Direction::Out, 2.0);
    capture.shut_down(1, Direction::In, 3.0);
    capture.close(1, 3.0);
    capture.note(1, 3.0, "closed", "closed", false);
    let rows: Vec<_> = capture.entries(capture.first(), capture.end_number()).collect();
    assert_eq!(rows[rows.len() - 1].summary(), "closed: client_closed");
}
