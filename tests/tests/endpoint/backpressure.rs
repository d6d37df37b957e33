//! Conditions under which a server stops reading.

use super::*;

#[test]
fn reading_stops_at_the_limit_of_requests_in_flight() {
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
        username: "user1".parse().unwrap(),
        message_content: "x".repeat(100),
        channel_name: None,
        client_message_id: None,
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
    respond(&mut end, at(0), tickets.remove(0), long(1_000));
    assert!(!end.endpoint.wants_read());
    // Bytes that arrive nevertheless are not decoded, so they add no answers to the unsent bytes.
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
fn many_faults_in_one_read_are_answered_a_few_at_a_time() {
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

/// The unsent answers of one connection are bounded for any mix of requests: reading stops at 256 KiB, and the answer
/// that exceeds this limit is a HISTORY's at most.
#[test]
fn memory_for_a_slow_peer_is_bounded_for_any_request() {
    const HISTORY: usize = 262_144;
    let history = Request::History { channel_name: "general".parse().unwrap(), range: HistoryRange::Last, limit: 1000 };
    let mut requests = Vec::new();
    history.encode(&mut requests);
    requests.extend_from_slice(b"LEAVE\r\n{\"channel_name\": \"general\"}");
    let mut end = End::new(Server::new(ConnectionId(0), Limits::server()));
    end.arrive(&requests.repeat(200));
    let (mut pending, mut answered, mut peak) = (VecDeque::new(), 0, 0);
    while answered < 400 {
        while end.read(at(0), 1000).is_some() {}
        while let Some(event) = end.endpoint.poll_event() {
            let ServerEvent::Request { ticket, request } = event else { panic!("{event:?}") };
            pending.push_back((ticket, request));
        }
        // All delivered requests are answered at once.
        while let Some((ticket, request)) = pending.pop_front() {
            answered += 1;
            let is_long = matches!(request, Request::History { .. });
            let reply = if is_long { Reply::Encoded(vec![b'x'; HISTORY].into()) } else { hosted("x").into() };
            respond(&mut end, at(0), ticket, reply);
        }
        peak = peak.max(end.unsent());
        assert!(!end.write(at(0), 1 + end.unsent() / 100).is_empty());
    }
    assert!((HISTORY..256 * 1024 + HISTORY + 1024).contains(&peak), "{peak} bytes are held");
}
