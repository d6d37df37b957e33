//! The server: answers, and the end of the stream.

use chanwire_core::endpoint::{Pushes, Reason, ServerCommand};

use super::*;

#[test]
fn example_requests_get_the_example_answers() {
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
fn a_hello_is_answered_by_the_endpoint_in_its_turn() {
    let mut end = limited(|limits| limits.max_payload = 4096);
    assert!(!end.endpoint.wants_notices());
    feed(&mut end, at(0), b"LIST\r\nHELLO\r\n{\"notices\": true}LIST\r\n");
    let mut events: Vec<_> = std::iter::from_fn(|| end.endpoint.poll_event()).collect();
    assert_eq!(events.remove(1), ServerEvent::Answered { request: Request::Hello { notices: true } });
    let mut tickets = events.into_iter().map(|event| match event {
        ServerEvent::Request { ticket, request: Request::List } => ticket,
        event => panic!("{event:?}"),
    });
    // The answer to the request before it is not there yet.
    assert_eq!((written(&mut end, at(0)), end.endpoint.in_flight()), (String::new(), 3));
    respond(&mut end, at(0), tickets.next().unwrap(), hosted("first"));
    let hello = "OK\r\n{\"protocol\": 1, \"features\": [\"presence\", \"channels\", \"moderation\"], \"encrypted\": false, \"max_payload\": 4096}";
    let answers = [bytes(&hosted("first")), hello.into()].concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), answers);
    respond(&mut end, at(0), tickets.next().unwrap(), hosted("last"));
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("last")));
}

#[test]
fn a_hello_over_tls_is_told_that_it_is() {
    let mut end = server();
    end.endpoint = end.endpoint.with_encryption();
    feed(&mut end, at(0), b"HELLO\r\n{}");
    let hello = "OK\r\n{\"protocol\": 1, \"features\": [\"presence\", \"channels\", \"moderation\"], \"encrypted\": true, \"max_payload\": 65536}";
    assert_eq!(written(&mut end, at(0)), hello);
}

#[test]
fn the_last_hello_decides_about_notices() {
    let mut end = server();
    for (hello, wants) in [
        ("HELLO\r\n{\"notices\": true}", true),
        // A refused one changes nothing.
        ("HELLO\r\n{\"notices\": 1}", true),
        ("HELLO\r\n{}", false),
        ("HELLO\r\n{\"notices\": true, \"new\": [1]}", true),
        ("HELLO\r\n{\"notices\": null}", false),
        ("HELLO\r\n{\"notices\": true}HELLO\r\n{\"notices\": false}", false),
    ] {
        feed(&mut end, at(0), hello.as_bytes());
        assert_eq!(end.endpoint.wants_notices(), wants, "{hello}");
    }
    assert_eq!(written(&mut end, at(0)).matches("\"protocol\": 1").count(), 6);
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
    assert_eq!((text.matches("_ERROR").count(), end.action()), (3, ConnectionAction::Open));
    respond(&mut end, at(0), tickets.remove(0), hosted("last"));
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("last")));
}

#[test]
fn refusals_are_reported_to_the_application() {
    let mut end = server();
    feed(&mut end, at(0), b"PING\r\nHOST\r\n7");
    let events: Vec<_> = std::iter::from_fn(|| end.endpoint.poll_event()).collect();
    let refusal = |event: &ServerEvent| match event {
        ServerEvent::Refused { error, closes } => (error.error.to_string(), *closes),
        event => panic!("{event:?}"),
    };
    let refusals: Vec<_> = events.iter().map(refusal).collect();
    assert_eq!(refusals, [("Unknown command".into(), false), ("Invalid payload".into(), true)]);
}

#[test]
fn a_ticket_of_another_connection_is_refused() {
    let mut limits = Limits::server();
    limits.max_in_flight_bytes = usize::MAX;
    let (mut one, mut other) = (server(), End::new(Server::new(ConnectionId(1), limits)));
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

#[test]
fn at_end_of_stream_everything_read_is_answered_and_then_the_connection_closes() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nLIST\r\n \r\n");
    end.endpoint.handle_eof(at(0));
    assert_eq!((end.action(), end.endpoint.wants_read()), (ConnectionAction::Open, false));
    for ticket in tickets(&mut end) {
        assert_eq!(end.action(), ConnectionAction::Open);
        respond(&mut end, at(1), ticket, hosted("x"));
    }
    assert_eq!(end.action(), ConnectionAction::Open);
    assert_eq!(written(&mut end, at(2)).into_bytes(), bytes(&hosted("x")).repeat(2));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Close, None));
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
        assert_eq!(end.action(), ConnectionAction::Close);
    }
}

#[test]
fn an_end_of_stream_at_once_closes_at_once() {
    let mut end = server();
    end.endpoint.handle_eof(at(0));
    assert_eq!(
        (end.action(), written(&mut end, at(0)), end.endpoint.poll_event()),
        (ConnectionAction::Close, String::new(), None)
    );
}

#[test]
fn the_debug_text_of_a_ticket_does_not_depend_on_its_connection() {
    let shown = || {
        let mut end = server();
        feed(&mut end, at(0), b"LIST\r\nLIST\r\n");
        let event = end.endpoint.poll_event();
        let shown = format!("{event:?} {:?}", end.endpoint);
        assert_eq!(tickets(&mut end).len(), 1);
        shown
    };
    assert_eq!(shown(), shown());
}

#[test]
fn an_operator_ends_a_connection_after_its_owed_answers_and_tells_it_only_with_notices() {
    let error = bytes(&Response::Error(ErrorResponse::server(
        "Disconnected",
        "The server's operator has ended this connection",
    )));
    for (hello, told) in [("", Vec::new()), ("HELLO\r\n{\"notices\": true}", error)] {
        let mut end = server();
        feed(&mut end, at(0), hello.as_bytes());
        written(&mut end, at(0));
        while end.endpoint.poll_event().is_some() {}
        feed(&mut end, at(0), b"LIST\r\nLIST\r\nMESS");
        let mut tickets = tickets(&mut end).into_iter();
        end.endpoint.handle_command(at(1), ServerCommand::Disconnect).unwrap();
        // What comes now is not decoded, and what was read before is answered.
        feed(&mut end, at(1), b"AGE\r\n{}LIST\r\n");
        respond(&mut end, at(1), tickets.next().unwrap(), hosted("1"));
        assert_eq!(end.endpoint.action(), ConnectionAction::Open);
        respond(&mut end, at(1), tickets.next().unwrap(), hosted("2"));
        let expected = [bytes(&hosted("1")), bytes(&hosted("2")), told].concat();
        assert_eq!(written(&mut end, at(1)).into_bytes(), expected);
        assert_eq!(end.endpoint.action(), ConnectionAction::FinishWriting);
        assert_eq!(end.endpoint.ended(false), end.endpoint.ended(true));
        assert_eq!(end.endpoint.ended(false).reason, Reason::Disconnected);
        // The second time it has ended already.
        end.endpoint.handle_command(at(2), ServerCommand::Disconnect).unwrap();
        assert_eq!(written(&mut end, at(2)), String::new());
    }
}

#[test]
fn pushes_that_wait_are_dropped_when_the_operator_ends_the_connection() {
    let mut end = server();
    feed(&mut end, at(0), b"JOIN\r\n{\"channel_name\": \"general\"}");
    let ticket = tickets(&mut end).remove(0);
    respond(&mut end, at(0), ticket, Response::Joined { channel_name: named("general"), first_id: 1, last_id: 0 });
    written(&mut end, at(0));
    let message = StoredMessage::new(named("general"), 1, named("ann"), "hi".into(), Timestamp::default());
    let pushes = Pushes::new([&message]);
    let length = pushes.bytes().len();
    end.endpoint.handle_command(at(0), ServerCommand::Push(pushes)).unwrap();
    assert_eq!(end.endpoint.waiting_bytes(), length);
    end.endpoint.handle_command(at(0), ServerCommand::Disconnect).unwrap();
    assert_eq!((written(&mut end, at(0)), end.endpoint.waiting_bytes()), (String::new(), 0));
}
