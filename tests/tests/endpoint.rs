//! The rules of one connection, one by one, on a virtual clock.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use chanwire_core::{
    Limits, Time,
    endpoint::{
        Breach, Client, ClientEvent, Deadline, Endpoint, Link, Misuse, Reply, Server, ServerEvent, Ticket, Timer,
    },
    wire::{ErrorResponse, Message, Request, Response, StoredMessage, Timestamp},
};
use chanwire_tests::{
    examples,
    link::{End, carry},
};

const START: u64 = 1_000_000;
const ALL: usize = usize::MAX;

/// This many milliseconds after the start.
const fn at(millis: u64) -> Time {
    Time::from_millis(START + millis)
}

fn due<E: Endpoint>(endpoint: &E) -> Option<(u64, Timer)> {
    endpoint.poll_timeout().map(|Deadline { at, timer }| (at.as_millis() - START, timer))
}

fn server() -> End<Server> {
    End::new(Server::new(Limits::server()))
}

fn limited(change: impl FnOnce(&mut Limits)) -> End<Server> {
    let mut limits = Limits::server();
    change(&mut limits);
    End::new(Server::new(limits))
}

/// Gives bytes at once, whatever the endpoint wants.
fn feed<E: Endpoint>(end: &mut End<E>, now: Time, bytes: &[u8]) {
    end.endpoint.handle_input(now, bytes);
}

fn tickets(end: &mut End<Server>) -> Vec<Ticket> {
    let events = std::iter::from_fn(|| end.endpoint.poll_event());
    events.filter_map(|event| if let ServerEvent::Request { ticket, .. } = event { Some(ticket) } else { None }).collect()
}

fn one_ticket(end: &mut End<Server>) -> Ticket {
    let mut tickets = tickets(end);
    assert_eq!(tickets.len(), 1);
    tickets.remove(0)
}

fn hosted(name: &str) -> Response {
    Response::Hosted { channel_name: name.into() }
}

fn bytes(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    response.encode(&mut out);
    out
}

/// What is written next, as text.
fn written<E: Endpoint>(end: &mut End<E>, now: Time) -> String {
    let mut all = Vec::new();
    loop {
        let more = end.write(now, ALL);
        if more.is_empty() {
            return String::from_utf8(all).unwrap();
        }
        all.extend(more);
    }
}

fn error(error: &str) -> String {
    format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", ")
}

fn respond(end: &mut End<Server>, now: Time, ticket: Ticket, reply: impl Into<Reply>) {
    end.endpoint.respond(now, ticket, reply).unwrap();
}

// The server: answers.

#[test]
fn the_examples_go_in_and_the_examples_come_out() {
    let mut end = server();
    for (request, _) in examples::requests() {
        feed(&mut end, at(0), request);
    }
    let tickets = tickets(&mut end);
    assert_eq!(tickets.len(), 3);
    for (ticket, (_, _, response)) in tickets.into_iter().zip(examples::responses()) {
        respond(&mut end, at(0), ticket, response);
    }
    let expected = [examples::LISTED, examples::HOSTED, examples::DELIVERED].concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), expected);
}

#[test]
fn answers_given_in_any_order_leave_in_request_order() {
    let mut end = server();
    feed(&mut end, at(0), &b"LIST\r\n".repeat(4));
    let mut tickets = tickets(&mut end);
    respond(&mut end, at(0), tickets.pop().unwrap(), hosted("3"));
    respond(&mut end, at(0), tickets.remove(1), hosted("1"));
    assert_eq!((written(&mut end, at(0)), end.endpoint.in_flight()), (String::new(), 4));
    respond(&mut end, at(0), tickets.remove(0), hosted("0"));
    let first = [hosted("0"), hosted("1")].map(|response| bytes(&response)).concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), first);
    // An answer that is encoded already is one like any other.
    respond(&mut end, at(0), tickets.remove(0), Reply::Encoded(Arc::from(bytes(&hosted("2")))));
    let rest = [hosted("2"), hosted("3")].map(|response| bytes(&response)).concat();
    assert_eq!((written(&mut end, at(0)).into_bytes(), end.endpoint.in_flight()), (rest, 0));
}

#[test]
fn a_fault_is_answered_in_its_turn() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nPING\r\n{}HOST\r\n{}LIST\nLIST\r\n");
    let mut tickets = tickets(&mut end);
    assert_eq!((tickets.len(), written(&mut end, at(0))), (2, String::new()));
    respond(&mut end, at(0), tickets.remove(0), hosted("first"));
    let text = written(&mut end, at(0));
    let expected = ["OK", "Unknown command", "Invalid payload", "Malformed command"];
    let places: Vec<_> = expected.iter().map(|word| text.find(word)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
    assert_eq!((text.matches("_ERROR").count(), end.link()), (3, Link::Open));
    respond(&mut end, at(0), tickets.remove(0), hosted("last"));
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("last")));
}

#[test]
fn refusals_are_told_to_the_application() {
    let mut end = server();
    feed(&mut end, at(0), b"PING\r\nHOST\r\n7");
    let events: Vec<_> = std::iter::from_fn(|| end.endpoint.poll_event()).collect();
    let told = |event: &ServerEvent| match event {
        ServerEvent::Refused { error, closes } => (error.error.to_string(), *closes),
        ServerEvent::Request { .. } => panic!("a request"),
    };
    let told: Vec<_> = events.iter().map(told).collect();
    assert_eq!(told, [("Unknown command".into(), false), ("Invalid payload".into(), true)]);
}

#[test]
fn a_ticket_of_another_connection_is_refused() {
    let (mut one, mut other) = (server(), server());
    feed(&mut one, at(0), b"LIST\r\n");
    feed(&mut other, at(0), b"LIST\r\nLIST\r\n");
    let (mine, mut theirs) = (one_ticket(&mut one), tickets(&mut other));
    for ticket in theirs.drain(..).rev() {
        assert_eq!(one.endpoint.respond(at(0), ticket, hosted("x")), Err(Misuse::UnknownTicket));
    }
    assert_eq!(written(&mut one, at(0)), "");
    respond(&mut one, at(0), mine, hosted("y"));
    assert_eq!(written(&mut one, at(0)).into_bytes(), bytes(&hosted("y")));
}

#[test]
fn answers_share_one_write() {
    let mut end = server();
    feed(&mut end, at(0), &b"LIST\r\n".repeat(9));
    for ticket in tickets(&mut end) {
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    let mut slices = [&[][..]; 8];
    assert_eq!(end.endpoint.transmit(&mut slices), 1);
}

// The server: end of stream.

#[test]
fn at_end_of_stream_everything_read_is_answered_and_then_the_connection_closes() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nLIST\r\n \r\n");
    end.endpoint.handle_eof(at(0));
    assert_eq!((end.link(), end.endpoint.wants_read()), (Link::Open, false));
    for ticket in tickets(&mut end) {
        assert_eq!(end.link(), Link::Open);
        respond(&mut end, at(1), ticket, hosted("x"));
    }
    assert_eq!(end.link(), Link::Open);
    assert_eq!(written(&mut end, at(2)).into_bytes(), bytes(&hosted("x")).repeat(2));
    assert_eq!((end.link(), due(&end.endpoint)), (Link::Close, None));
}

#[test]
fn an_end_of_stream_inside_a_frame_is_answered() {
    let beginnings: [&[u8]; 6] = [b"LIS", b"LIST\r", b"HOST\r\n", b"HOST\r\n \r\n", b"HOST\r\n{\"a\"", b"LIST\r\n{"];
    for beginning in beginnings {
        let mut end = server();
        feed(&mut end, at(0), beginning);
        end.endpoint.handle_eof(at(0));
        for ticket in tickets(&mut end) {
            respond(&mut end, at(0), ticket, hosted("x"));
        }
        let text = written(&mut end, at(0));
        let last = text.rfind("REQUEST_ERROR").and_then(|start| text.get(start..)).unwrap_or_default();
        assert!(last.starts_with(&error("Incomplete request")), "{beginning:?}: {text}");
        assert_eq!(end.link(), Link::Close);
    }
}

#[test]
fn an_end_of_stream_at_once_closes_at_once() {
    let mut end = server();
    end.endpoint.handle_eof(at(0));
    assert_eq!((end.link(), written(&mut end, at(0)), end.endpoint.poll_event()), (Link::Close, String::new(), None));
}

// The server: closing.

#[test]
fn nothing_is_decoded_after_a_fault_that_closes() {
    for (stream, answer) in [
        (&b"POST / HTTP/1.1\r\n"[..], "Malformed command"),
        (b"HOST\r\n7", "Invalid payload"),
        (b"HOST\r\n{]", "Invalid payload"),
        (&[b'A'; 33], "Malformed command"),
    ] {
        let mut end = server();
        feed(&mut end, at(0), &[stream, b"LIST\r\nLIST\r\n"].concat());
        feed(&mut end, at(0), b"LIST\r\n");
        assert_eq!(tickets(&mut end).len(), 0, "{answer}");
        let text = written(&mut end, at(0));
        assert!(text.starts_with(&error(answer)) && text.matches("_ERROR").count() == 1, "{text}");
        assert_eq!((end.link(), due(&end.endpoint)), (Link::FinishWriting, Some((2_000, Timer::Linger))));
    }
}

#[test]
fn a_closing_connection_throws_away_what_comes_until_the_end_of_the_stream() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\n!");
    let ticket = one_ticket(&mut end);
    // The answer to LIST is still owed: nothing is shut down, and what comes is taken.
    assert_eq!((end.link(), end.endpoint.wants_read()), (Link::Open, true));
    feed(&mut end, at(5_000), &[b'{'; 100_000]);
    respond(&mut end, at(6_000), ticket, hosted("x"));
    assert_eq!(end.link(), Link::Open);
    let text = written(&mut end, at(7_000));
    assert!(text.starts_with("OK") && text.ends_with("at byte 0\"}"), "{text}");
    assert_eq!((end.link(), due(&end.endpoint)), (Link::FinishWriting, Some((9_000, Timer::Linger))));
    feed(&mut end, at(8_000), b"LIST\r\n");
    assert_eq!((end.endpoint.poll_event(), end.endpoint.wants_read()), (None, true));
    // What comes does not put the end off.
    assert_eq!(due(&end.endpoint), Some((9_000, Timer::Linger)));
    end.endpoint.handle_eof(at(8_500));
    assert_eq!((end.link(), due(&end.endpoint), written(&mut end, at(8_500))), (Link::Close, None, String::new()));
}

#[test]
fn a_peer_that_does_not_end_its_stream_is_waited_for_two_seconds() {
    let mut end = server();
    feed(&mut end, at(0), b"!");
    written(&mut end, at(100));
    for early in [100, 1_000, 2_099] {
        end.endpoint.handle_timeout(at(early));
        assert_eq!(end.link(), Link::FinishWriting);
    }
    end.endpoint.handle_timeout(at(2_100));
    assert_eq!((end.link(), due(&end.endpoint), end.endpoint.wants_read()), (Link::Close, None, false));
}

#[test]
fn the_sending_half_stays_open_until_the_last_byte_is_written() {
    let mut end = server();
    feed(&mut end, at(0), b"!");
    while end.unsent() > 1 {
        end.write(at(0), 1);
        assert_eq!(end.link(), Link::Open);
    }
    end.write(at(0), 1);
    assert_eq!(end.link(), Link::FinishWriting);
}

#[test]
fn a_connection_that_cannot_be_served_is_told_why() {
    let mut end = server();
    let busy = ErrorResponse::server("Server busy", "The server has reached its limit of 10000 connections");
    end.endpoint.refuse(at(0), busy.clone());
    feed(&mut end, at(0), b"LIST\r\n");
    assert_eq!(end.endpoint.poll_event(), None);
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&Response::Error(busy)));
    assert_eq!(end.link(), Link::FinishWriting);
}

// The server: deadlines.

#[test]
fn a_frame_has_120_seconds_from_its_first_byte() {
    for drip in [&b"HOST\r\n{\"channel_name\": \"a\""[..], b"LIST", b"MESSAGE\r\n\r\n\r\n\r\n  "] {
        let mut end = server();
        for (index, byte) in drip.iter().enumerate() {
            feed(&mut end, at(1_000 + index as u64 * 2_000), &[*byte]);
            // A slow drip does not put the deadline off.
            assert_eq!(due(&end.endpoint), Some((121_000, Timer::Frame)));
        }
        end.endpoint.handle_timeout(at(120_999));
        assert_eq!((end.endpoint.poll_event(), end.unsent()), (None, 0));
        end.endpoint.handle_timeout(at(121_000));
        let text = written(&mut end, at(121_000));
        assert_eq!(text, error("Request timed out") + "\"details\": \"The request was not complete after 120 seconds\"}");
        assert_eq!((end.link(), due(&end.endpoint)), (Link::FinishWriting, Some((123_000, Timer::Linger))));
    }
}

#[test]
fn a_skipped_object_has_the_same_deadline() {
    for beginning in [&b"LIST\r\n {"[..], b"PING\r\n[", b"{\"a\""] {
        let mut end = server();
        feed(&mut end, at(0), b" ");
        feed(&mut end, at(500), beginning);
        for ticket in tickets(&mut end) {
            respond(&mut end, at(500), ticket, hosted("x"));
        }
        written(&mut end, at(500));
        assert_eq!(due(&end.endpoint), Some((120_500, Timer::Frame)), "{beginning:?}");
        feed(&mut end, at(110_000), b"     ");
        end.endpoint.handle_timeout(at(120_500));
        assert!(written(&mut end, at(120_500)).starts_with(&error("Request timed out")));
    }
}

#[test]
fn white_space_between_frames_starts_no_deadline() {
    let mut end = server();
    feed(&mut end, at(0), b"\r\n ");
    assert_eq!(due(&end.endpoint), None);
    feed(&mut end, at(1), b"LIST\r\n");
    feed(&mut end, at(2), b"\r\n\t");
    assert_eq!(due(&end.endpoint), None);
    end.endpoint.handle_timeout(at(10_000_000));
    assert_eq!((end.link(), end.unsent()), (Link::Open, 0));
    feed(&mut end, at(10_000_000), b"L");
    assert_eq!(due(&end.endpoint), Some((10_120_000, Timer::Frame)));
}

#[test]
fn each_frame_has_a_deadline_of_its_own() {
    let mut end = server();
    feed(&mut end, at(0), b"LI");
    feed(&mut end, at(100_000), b"ST\r\nPIN");
    assert_eq!(due(&end.endpoint), Some((220_000, Timer::Frame)));
    feed(&mut end, at(110_000), b"G\r\n");
    written(&mut end, at(110_000));
    assert_eq!(due(&end.endpoint), None);
    // The byte after a bare CR begins a frame.
    feed(&mut end, at(120_000), b"LIST\r");
    feed(&mut end, at(130_000), b"L");
    written(&mut end, at(130_000));
    assert_eq!(due(&end.endpoint), Some((250_000, Timer::Frame)));
}

#[test]
fn a_timeout_is_answered_after_what_is_owed() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nHOST\r\n{");
    let ticket = one_ticket(&mut end);
    end.endpoint.handle_timeout(at(120_000));
    assert_eq!((written(&mut end, at(120_000)), end.link()), (String::new(), Link::Open));
    feed(&mut end, at(120_001), b"}LIST\r\n");
    assert_eq!(tickets(&mut end).len(), 0);
    respond(&mut end, at(125_000), ticket, hosted("x"));
    let text = written(&mut end, at(125_000));
    let first = String::from_utf8(bytes(&hosted("x"))).unwrap();
    assert!(text.starts_with(&(first + &error("Request timed out"))), "{text}");
    assert_eq!((end.link(), due(&end.endpoint)), (Link::FinishWriting, Some((127_000, Timer::Linger))));
}

#[test]
fn a_peer_that_takes_no_byte_for_ten_seconds_is_reset() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\n");
    let ticket = one_ticket(&mut end);
    assert_eq!(due(&end.endpoint), None);
    respond(&mut end, at(50_000), ticket, hosted("x"));
    assert_eq!(due(&end.endpoint), Some((60_000, Timer::Write)));
    // Each byte taken begins the wait anew, and more to write does not.
    end.write(at(59_000), 1);
    feed(&mut end, at(60_000), b"PING\r\n");
    assert_eq!(due(&end.endpoint), Some((69_000, Timer::Write)));
    end.endpoint.handle_timeout(at(68_999));
    assert_eq!(end.link(), Link::Open);
    end.endpoint.handle_timeout(at(69_000));
    assert_eq!((end.link(), due(&end.endpoint), end.endpoint.wants_read()), (Link::Reset, None, false));
}

#[test]
fn a_peer_that_took_everything_may_rest() {
    let mut end = server();
    feed(&mut end, at(0), b"PING\r\n");
    written(&mut end, at(9_999));
    assert_eq!(due(&end.endpoint), None);
    feed(&mut end, at(30_000), b"PING\r\n");
    assert_eq!(due(&end.endpoint), Some((40_000, Timer::Write)));
}

#[test]
fn a_closing_peer_that_takes_nothing_is_reset_too() {
    let mut end = server();
    feed(&mut end, at(0), b"!");
    end.endpoint.handle_eof(at(1));
    assert_eq!((end.link(), due(&end.endpoint)), (Link::Open, Some((10_000, Timer::Write))));
    end.endpoint.handle_timeout(at(10_000));
    assert_eq!(end.link(), Link::Reset);
}

#[test]
fn a_timeout_call_when_nothing_is_due_does_nothing() {
    let mut end = server();
    for stage in 0..5 {
        match stage {
            0 => {}
            1 => feed(&mut end, at(0), b"LIST\r\nHOS"),
            2 => {
                let ticket = one_ticket(&mut end);
                respond(&mut end, at(0), ticket, hosted("x"));
            }
            3 => drop(written(&mut end, at(0))),
            _ => feed(&mut end, at(0), b"!"),
        }
        let before = (end.link(), due(&end.endpoint), end.unsent(), end.endpoint.in_flight(), end.endpoint.wants_read());
        for _ in 0..3 {
            end.endpoint.handle_timeout(at(1));
        }
        let after = (end.link(), due(&end.endpoint), end.unsent(), end.endpoint.in_flight(), end.endpoint.wants_read());
        assert_eq!(before, after, "stage {stage}");
    }
}

// The server: backpressure.

#[test]
fn reading_stops_while_as_many_requests_are_in_flight_as_the_limit_allows() {
    let mut end = limited(|limits| limits.max_in_flight = 3);
    end.arrive(&b"LIST\r\n".repeat(10));
    let mut answered = 0;
    while answered < 10 {
        while end.read(at(0), 7).is_some() {}
        let tickets = tickets(&mut end);
        assert_eq!(tickets.len(), 3.min(10 - answered));
        assert_eq!(end.endpoint.wants_read(), answered + tickets.len() == 10 && tickets.len() < 3);
        answered += tickets.len();
        for ticket in tickets {
            respond(&mut end, at(0), ticket, hosted("x"));
        }
        written(&mut end, at(0));
        assert!(end.endpoint.wants_read());
    }
}

#[test]
fn reading_stops_while_too_many_bytes_are_in_flight() {
    let mut end = limited(|limits| limits.max_in_flight_bytes = 100);
    let request = Request::Message(Message {
        username: "user1".into(),
        message_content: "x".repeat(100),
        channel_name: None,
    });
    let mut stream = Vec::new();
    request.encode(&mut stream);
    feed(&mut end, at(0), &stream.repeat(3));
    let ticket = one_ticket(&mut end);
    assert!(!end.endpoint.wants_read());
    respond(&mut end, at(0), ticket, hosted("x"));
    assert_eq!(tickets(&mut end).len(), 1);
}

#[test]
fn reading_stops_while_too_much_is_unsent() {
    let mut end = limited(|limits| limits.max_unsent = 1_000);
    feed(&mut end, at(0), &b"LIST\r\n".repeat(4));
    let mut tickets = tickets(&mut end);
    assert!(end.endpoint.wants_read());
    respond(&mut end, at(0), tickets.remove(0), hosted(&"x".repeat(1_000)));
    assert!(!end.endpoint.wants_read());
    // What comes all the same is not looked at, so that its answers need no room.
    feed(&mut end, at(0), &b"PING\r\n".repeat(100));
    let unsent = end.unsent();
    assert!(unsent < 1_200, "{unsent}");
    for ticket in tickets {
        respond(&mut end, at(0), ticket, hosted("y"));
    }
    written(&mut end, at(0));
    assert!(end.endpoint.wants_read());
    assert!(end.written.ends_with(b"'PING'\"}"));
}

#[test]
fn a_hundred_thousand_faults_in_one_read_do_not_become_a_hundred_thousand_answers_at_once() {
    let mut end = server();
    feed(&mut end, at(0), &b"X\r\n".repeat(100_000));
    let mut answers = 0;
    while end.unsent() > 0 {
        assert!(end.unsent() <= 256 * 1024 + 100, "{} bytes wait", end.unsent());
        answers += written(&mut end, at(0)).matches("Unknown command '").count();
        while end.endpoint.poll_event().is_some() {}
    }
    assert_eq!(answers, 100_000);
}

// The server: shutdown.

#[test]
fn a_shutdown_answers_what_was_read_and_decodes_nothing_new() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nLIST\r\nHOS");
    let tickets = tickets(&mut end);
    end.endpoint.shutdown(at(0));
    feed(&mut end, at(0), b"T\r\n{}LIST\r\n");
    assert_eq!((end.endpoint.poll_event(), end.link()), (None, Link::Open));
    for ticket in tickets {
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("x")).repeat(2));
    assert_eq!((end.link(), due(&end.endpoint)), (Link::FinishWriting, Some((2_000, Timer::Linger))));
    assert!(end.endpoint.wants_read());
    end.endpoint.handle_eof(at(1));
    assert_eq!(end.link(), Link::Close);
}

#[test]
fn a_shutdown_answers_also_what_was_read_and_not_yet_looked_at() {
    let mut end = limited(|limits| limits.max_in_flight = 1);
    feed(&mut end, at(0), &b"LIST\r\n".repeat(3));
    end.endpoint.shutdown(at(0));
    assert!(!end.endpoint.wants_read());
    for _ in 0..3 {
        assert_eq!(end.link(), Link::Open);
        let ticket = one_ticket(&mut end);
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("x")).repeat(3));
    assert_eq!(end.link(), Link::FinishWriting);
}

#[test]
fn a_shutdown_of_an_idle_connection_finishes_at_once() {
    let mut end = server();
    feed(&mut end, at(0), b" \r\n");
    end.endpoint.shutdown(at(7));
    assert_eq!((end.link(), due(&end.endpoint)), (Link::FinishWriting, Some((2_007, Timer::Linger))));
    // A second one puts nothing off.
    end.endpoint.shutdown(at(1_000));
    assert_eq!(due(&end.endpoint), Some((2_007, Timer::Linger)));
}

// The client.

fn client() -> End<Client> {
    End::new(Client::new(Limits::client()))
}

fn events(end: &mut End<Client>) -> Vec<ClientEvent> {
    std::iter::from_fn(|| end.endpoint.poll_event()).collect()
}

/// Each event in a word or two.
fn told(end: &mut End<Client>) -> Vec<String> {
    let word = |event| match event {
        ClientEvent::Answer { id, response } => format!("{}: {:?}", id.number(), response.status()),
        ClientEvent::Push(message) => format!("push {}", message.id),
        ClientEvent::Notice(error) => error.error.to_string(),
        ClientEvent::Broken(breach) => format!("broken: {breach}"),
        ClientEvent::Ended { unanswered } => format!("ended {unanswered}"),
    };
    events(end).into_iter().map(word).collect()
}

fn push(id: u64) -> Vec<u8> {
    let message = StoredMessage {
        channel_name: "general".into(),
        id,
        username: "user1".into(),
        message_content: "Hello".into(),
        timestamp: Timestamp::from_unix(0),
    };
    let payload = format!(
        "MESSAGE\r\n{{\"channel_name\": \"general\", \"id\": {id}, \"username\": \"user1\", \
         \"message_content\": \"Hello\", \"timestamp\": \"{}\"}}",
        message.timestamp
    );
    payload.into_bytes()
}

#[test]
fn requests_are_pipelined_and_answers_are_matched_in_order() {
    let mut end = client();
    for (number, (_, request)) in examples::requests().into_iter().enumerate() {
        assert_eq!(end.endpoint.send(at(0), &request).unwrap().number(), number as u64);
    }
    let expected = examples::requests().map(|(bytes, _)| bytes).concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), expected);
    feed(&mut end, at(1), &[examples::LISTED, examples::HOSTED, examples::DELIVERED].concat());
    let responses: Vec<_> = events(&mut end)
        .into_iter()
        .map(|event| if let ClientEvent::Answer { id, response } = event { (id.number(), response) } else { panic!("{event:?}") })
        .collect();
    let [listed, hosted, delivered, ..] = examples::responses().map(|(_, _, response)| response);
    assert_eq!(responses, [(0, listed), (1, hosted), (2, delivered)]);
    assert_eq!((end.endpoint.in_flight(), due(&end.endpoint)), (0, None));
}

#[test]
fn pushes_may_stand_between_a_request_and_its_answer() {
    let mut end = client();
    feed(&mut end, at(0), &push(1));
    end.endpoint.send(at(0), &Request::List).unwrap();
    feed(&mut end, at(0), &[push(2), b"OK\r\n{\"channels\": []}".to_vec(), push(3)].concat());
    assert_eq!(told(&mut end), ["push 1", "push 2", "0: Ok", "push 3"]);
}

#[test]
fn a_notice_answers_no_request() {
    for (status, error) in [
        ("SERVER_ERROR", "Slow consumer"),
        ("SERVER_ERROR", "Server busy"),
        ("REQUEST_ERROR", "Request timed out"),
        ("SERVER_ERROR", "Channel removed"),
    ] {
        let mut end = client();
        end.endpoint.send(at(0), &Request::List).unwrap();
        feed(&mut end, at(0), format!("{status}\r\n{{\"error\": \"{error}\", \"details\": \"\"}}").as_bytes());
        assert_eq!((told(&mut end), end.endpoint.in_flight()), (vec![error.to_owned()], 1));
        end.endpoint.handle_eof(at(0));
        assert_eq!((told(&mut end), end.link()), (vec!["ended 1".to_owned()], Link::Close));
    }
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    for (stream, said) in [
        (&b"HELLO\r\n"[..], "broken: the server sent what is no frame of the protocol (Unknown status 'HELLO')"),
        (b"OK\n", r"broken: the server sent what is no frame of the protocol (A status must end with \r\n, found a bare \n (with nc: nc -C))"),
        (b"OK\r\n{}", "broken: the server sent a wrong payload with OK (Missing required field 'channels')"),
        (b"MESSAGE\r\n{}", "broken: the server sent a wrong payload with MESSAGE (Missing required field 'channel_name')"),
    ] {
        let mut end = client();
        end.endpoint.send(at(0), &Request::List).unwrap();
        end.endpoint.send(at(0), &Request::List).unwrap();
        feed(&mut end, at(0), stream);
        assert_eq!(told(&mut end), [said, "ended 2"]);
        assert_eq!((end.link(), end.endpoint.wants_read(), due(&end.endpoint)), (Link::Close, false, None));
        assert_eq!(end.endpoint.send(at(0), &Request::List), Err(Misuse::Closing));
    }
}

#[test]
fn an_answer_that_nobody_asked_for_breaks_the_protocol() {
    for stream in [examples::LISTED, examples::CHANNEL_NOT_FOUND] {
        let mut end = client();
        feed(&mut end, at(0), stream);
        let [ClientEvent::Broken(Breach::Unasked(_)), ClientEvent::Ended { unanswered: 0 }] = &*events(&mut end) else {
            panic!("it was taken")
        };
    }
}

#[test]
fn nothing_comes_after_ended() {
    for wrong in [&b"OK\r\n{}"[..], b"HELLO\r\n", b"!", b"MESSAGE\r\n{}"] {
        let mut end = client();
        end.endpoint.send(at(0), &Request::List).unwrap();
        let good = b"OK\r\n{\"channels\": []}";
        let notice = b"SERVER_ERROR\r\n{\"error\": \"Server busy\", \"details\": \"\"}";
        feed(&mut end, at(0), &[wrong, &good[..], &push(1), notice, wrong].concat());
        feed(&mut end, at(0), good);
        end.endpoint.handle_eof(at(0));
        end.endpoint.handle_timeout(at(1_000_000));
        end.endpoint.shutdown(at(1_000_000));
        let told = told(&mut end);
        assert_eq!(told.last().map(String::as_str), Some("ended 1"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
    }
}

#[test]
fn the_end_of_the_stream_tells_how_many_requests_are_unanswered() {
    let mut end = client();
    for _ in 0..3 {
        end.endpoint.send(at(0), &Request::List).unwrap();
    }
    feed(&mut end, at(0), b"OK\r\n{\"channels\": []}");
    end.endpoint.handle_eof(at(0));
    assert_eq!((told(&mut end), end.link()), (vec!["0: Ok".to_owned(), "ended 2".into()], Link::Close));
}

#[test]
fn an_end_of_the_stream_inside_an_answer_breaks_the_protocol() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    feed(&mut end, at(0), b"OK\r\n{\"channels\"");
    end.endpoint.handle_eof(at(0));
    let expected = "broken: the server sent what is no frame of the protocol (The connection ended inside a payload)";
    assert_eq!(told(&mut end), [expected, "ended 1"]);
}

#[test]
fn no_more_requests_are_open_than_the_limit_allows() {
    let mut limits = Limits::client();
    limits.max_in_flight = 2;
    let mut end = End::new(Client::new(limits));
    end.endpoint.send(at(0), &Request::List).unwrap();
    end.endpoint.send(at(0), &Request::List).unwrap();
    assert_eq!(end.endpoint.send(at(0), &Request::List), Err(Misuse::TooManyInFlight));
    feed(&mut end, at(0), b"OK\r\n{\"channels\": []}");
    assert_eq!(end.endpoint.send(at(0), &Request::List).map(|id| id.number()), Ok(2));
}

#[test]
fn an_answer_is_waited_for_30_seconds() {
    let mut end = client();
    end.endpoint.send(at(1_000), &Request::List).unwrap();
    written(&mut end, at(2_000));
    end.endpoint.send(at(5_000), &Request::List).unwrap();
    written(&mut end, at(5_000));
    assert_eq!(due(&end.endpoint), Some((31_000, Timer::Answer)));
    // A push is no answer, and the next one's wait begins when it becomes the oldest.
    feed(&mut end, at(20_000), &push(1));
    assert_eq!(due(&end.endpoint), Some((31_000, Timer::Answer)));
    feed(&mut end, at(25_000), b"OK\r\n{\"channels\": []}");
    assert_eq!(due(&end.endpoint), Some((55_000, Timer::Answer)));
    end.endpoint.handle_timeout(at(54_999));
    assert_eq!(told(&mut end), ["push 1", "0: Ok"]);
    end.endpoint.handle_timeout(at(55_000));
    assert_eq!(told(&mut end), ["broken: the server gave no answer for 30 seconds", "ended 1"]);
    assert_eq!((end.link(), due(&end.endpoint)), (Link::Close, None));
}

#[test]
fn an_answer_that_is_arriving_has_a_frames_time() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    written(&mut end, at(0));
    feed(&mut end, at(29_000), b"O");
    assert_eq!(due(&end.endpoint), Some((149_000, Timer::Frame)));
    feed(&mut end, at(100_000), b"K\r\n{\"channels\": []}");
    assert_eq!((told(&mut end), due(&end.endpoint)), (vec!["0: Ok".to_owned()], None));
    feed(&mut end, at(100_000), b"O");
    end.endpoint.handle_timeout(at(220_000));
    let told = told(&mut end);
    assert!(told.first().is_some_and(|word| word.starts_with("broken")) && told.len() == 2, "{told:?}");
}

#[test]
fn a_server_that_takes_nothing_is_reset() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    assert_eq!(due(&end.endpoint), Some((10_000, Timer::Write)));
    end.endpoint.handle_timeout(at(10_000));
    assert_eq!((end.link(), told(&mut end)), (Link::Reset, vec!["ended 1".to_owned()]));
}

#[test]
fn after_a_half_close_the_answers_still_come() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    end.endpoint.send(at(0), &Request::List).unwrap();
    end.endpoint.shutdown(at(0));
    assert_eq!(end.endpoint.send(at(0), &Request::List), Err(Misuse::Closing));
    assert_eq!(end.link(), Link::Open);
    written(&mut end, at(0));
    assert_eq!((end.link(), end.endpoint.wants_read()), (Link::FinishWriting, true));
    // No linger cuts what is owed: only the answer's own deadline holds.
    assert_eq!(due(&end.endpoint), Some((30_000, Timer::Answer)));
    end.endpoint.handle_timeout(at(20_000));
    feed(&mut end, at(20_000), b"OK\r\n{\"channels\": []}");
    end.endpoint.handle_timeout(at(40_000));
    assert_eq!((told(&mut end), end.link()), (vec!["0: Ok".to_owned()], Link::FinishWriting));
    feed(&mut end, at(49_000), b"OK\r\n{\"channels\": []}");
    assert_eq!(told(&mut end), ["1: Ok", "ended 0"]);
    assert_eq!(due(&end.endpoint), Some((51_000, Timer::Linger)));
    end.endpoint.handle_timeout(at(51_000));
    assert_eq!((end.link(), told(&mut end)), (Link::Close, vec![]));
}

// Both.

#[test]
fn a_client_and_a_server_talk_until_both_are_closed() {
    let (mut client, mut server) = (client(), server());
    client.endpoint.send(at(0), &Request::List).unwrap();
    client.endpoint.shutdown(at(0));
    assert!(carry(&mut client, &mut server, at(0), ALL));
    while server.read(at(0), ALL).is_some() {}
    let ticket = one_ticket(&mut server);
    assert_eq!(server.link(), Link::Open);
    respond(&mut server, at(0), ticket, Response::Channels(Vec::new()));
    while carry(&mut server, &mut client, at(0), 5) {}
    while client.read(at(0), 3).is_some() {}
    assert_eq!(told(&mut client), ["0: Ok", "ended 0"]);
    assert_eq!((client.link(), server.link()), (Link::Close, Link::Close));
}
