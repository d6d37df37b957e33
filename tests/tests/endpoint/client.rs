//! The client, and a client and a server together.

use super::*;

fn client() -> End<Client> {
    End::new(Client::new(Limits::client()))
}

fn events(end: &mut End<Client>) -> Vec<ClientEvent> {
    std::iter::from_fn(|| end.endpoint.poll_event()).collect()
}

/// Describes each event in a word or two.
fn reported(end: &mut End<Client>) -> Vec<String> {
    let word = |event| match event {
        ClientEvent::Answer { id, response } => format!("{}: {:?}", id.number(), response.status()),
        ClientEvent::Push(message) => format!("push {}", message.id),
        ClientEvent::Notice(notice) => format!("notice {} of {}", notice.kind(), notice.channel_name()),
        ClientEvent::Closing(error) => error.error.to_string(),
        ClientEvent::Broken(violation) => format!("broken: {violation}"),
        ClientEvent::Ended { unanswered } => format!("ended {unanswered}"),
    };
    events(end).into_iter().map(word).collect()
}

fn push(id: u64) -> Vec<u8> {
    let message = StoredMessage::new(
        "general".parse().unwrap(),
        id,
        "user1".parse().unwrap(),
        "Hello".into(),
        Timestamp::from_unix(0),
    );
    let payload = format!(
        "MESSAGE\r\n{{\"channel_name\": \"general\", \"id\": {id}, \"username\": \"user1\", \
         \"message_content\": \"Hello\", \"timestamp\": \"{}\"}}",
        message.timestamp
    );
    payload.into_bytes()
}

/// Returns a client that has joined `general`, whose next message has this id.
fn joined(first_id: u64) -> End<Client> {
    joined_within(Limits::client(), first_id)
}

fn joined_within(limits: Limits, first_id: u64) -> End<Client> {
    let mut end = End::new(Client::new(limits));
    let channel_name = || named("general");
    end.endpoint
        .send(at(0), &Request::Join { channel_name: channel_name(), from: JoinFrom::Last(0), username: None })
        .unwrap();
    written(&mut end, at(0));
    feed(&mut end, at(0), &bytes(&Response::Joined { channel_name: channel_name(), first_id, last_id: 0 }));
    assert_eq!(reported(&mut end), ["0: Ok"]);
    end
}

#[test]
fn an_unrequested_or_out_of_order_push_is_a_violation() {
    let foreign = "broken: the server pushed a message of the channel 'general', which is not joined";
    let order = |id, last| {
        format!("broken: the server pushed message {id}, repeated or out of order: the next is above {last}")
    };
    let mut end = client();
    feed(&mut end, at(0), &push(1));
    assert_eq!(reported(&mut end), [foreign, "ended 0"]);
    // Below the first id, repeated, backward; a leap forward is none.
    for (ids, last) in [(&[6][..], 6), (&[7, 7], 7), (&[7, 9, 8], 9), (&[7, 8, 7], 8)] {
        let mut end = joined(7);
        let (wrong, right) = ids.split_last().unwrap();
        ids.iter().for_each(|id| feed(&mut end, at(0), &push(*id)));
        let pushed = right.iter().map(|id| format!("push {id}"));
        assert_eq!(reported(&mut end), pushed.chain([order(*wrong, last), "ended 0".into()]).collect::<Vec<_>>());
        assert_eq!(end.action(), ConnectionAction::Close);
    }
    // Nothing comes after the answer to LEAVE; joined again, the channel begins where that says.
    for again in [false, true] {
        let mut end = joined(7);
        let channel_name = || named("general");
        end.endpoint.send(at(0), &Request::Leave { channel_name: channel_name() }).unwrap();
        feed(&mut end, at(0), &[push(7), bytes(&Response::Left { channel_name: channel_name() })].concat());
        assert_eq!(reported(&mut end), ["push 7", "1: Ok"]);
        if again {
            let join = Request::Join { channel_name: channel_name(), from: JoinFrom::After(6), username: None };
            end.endpoint.send(at(0), &join).unwrap();
            feed(&mut end, at(0), &bytes(&Response::Joined { channel_name: channel_name(), first_id: 7, last_id: 7 }));
            assert_eq!(reported(&mut end), ["2: Ok"]);
        }
        feed(&mut end, at(0), &push(7));
        assert_eq!(reported(&mut end), if again { vec!["push 7"] } else { vec![foreign, "ended 0"] });
    }
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
        .map(|event| {
            if let ClientEvent::Answer { id, response } = event { (id.number(), response) } else { panic!("{event:?}") }
        })
        .collect();
    let [listed, hosted, delivered, ..] = examples::responses().map(|(_, _, response)| response);
    assert_eq!(responses, [(0, listed), (1, hosted), (2, delivered)]);
    assert_eq!((end.endpoint.in_flight(), due(&end.endpoint)), (0, None));
}

#[test]
fn pushes_may_stand_between_a_request_and_its_answer() {
    let mut end = joined(1);
    feed(&mut end, at(0), &push(1));
    end.endpoint.send(at(0), &Request::List).unwrap();
    feed(&mut end, at(0), &[push(2), b"OK\r\n{\"channels\": []}".to_vec(), push(3)].concat());
    assert_eq!(reported(&mut end), ["push 1", "push 2", "1: Ok", "push 3"]);
}

fn encoded_notice(notice: &Notice) -> Vec<u8> {
    let mut out = Vec::new();
    notice.encode(&mut out);
    out
}

#[test]
fn notices_are_taken_from_the_hello_that_asks_for_them_until_one_that_does_not_is_answered() {
    let hello = || bytes(&Response::Hello(Hello::new(65_536)));
    let notice = |kind: &str| encoded_notice(&Notice::Other { notice: kind.into(), channel_name: named("general") });
    let presence = |count| {
        let (channel_name, joined, left) = (named("general"), Vec::new(), Vec::new());
        encoded_notice(&Notice::Presence(Presence { channel_name, count, joined, left }))
    };
    let unasked = "broken: the server sent NOTICE although nothing was asked";
    let mut end = client();
    feed(&mut end, at(0), &notice("topic"));
    assert_eq!(reported(&mut end), [unasked, "ended 0"]);
    let mut end = client();
    end.endpoint.send(at(0), &Request::Hello { notices: false }).unwrap();
    feed(&mut end, at(0), &[hello(), notice("topic")].concat());
    assert_eq!(reported(&mut end), ["0: Ok", unasked, "ended 0"]);
    let mut end = client();
    for notices in [true, false] {
        end.endpoint.send(at(0), &Request::Hello { notices }).unwrap();
    }
    // A kind that is not known is a notice too.
    feed(&mut end, at(0), &[notice("topic"), hello(), notice("new")].concat());
    assert_eq!(reported(&mut end), ["notice topic of general", "0: Ok", "notice new of general"]);
    end.endpoint.send(at(0), &Request::Hello { notices: true }).unwrap();
    feed(&mut end, at(0), &[hello(), notice("other"), hello(), presence(2)].concat());
    let all = ["1: Ok", "notice other of general", "2: Ok", "notice presence of general"];
    assert_eq!(reported(&mut end), all);
    end.endpoint.send(at(0), &Request::Hello { notices: false }).unwrap();
    feed(&mut end, at(0), &[notice("topic"), hello(), notice("topic")].concat());
    assert_eq!(reported(&mut end), ["notice topic of general", "3: Ok", unasked, "ended 0"]);
}

#[test]
fn a_server_older_than_hello_refuses_it_and_answers_on() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::Hello { notices: true }).unwrap();
    end.endpoint.send(at(0), &Request::List).unwrap();
    let unknown = bytes(&Response::Error(ErrorResponse::request("Unknown command", "Unknown command 'HELLO'")));
    feed(&mut end, at(0), &[unknown, b"OK\r\n{\"channels\": []}".to_vec()].concat());
    assert_eq!(reported(&mut end), ["0: RequestError", "1: Ok"]);
    assert_eq!(end.action(), ConnectionAction::Open);
}

#[test]
fn answers_are_decoded_by_their_requests_with_any_pushes_between() {
    let name = || named("general");
    let exchanges = [
        (
            Request::Join { channel_name: name(), from: JoinFrom::After(1), username: None },
            Response::Joined { channel_name: name(), first_id: 2, last_id: 4 },
        ),
        (
            Request::History { channel_name: name(), range: HistoryRange::Last, limit: 1 },
            Response::History { channel_name: name(), messages: Vec::new() },
        ),
        (Request::Unhost { channel_name: name() }, Response::Removed { channel_name: name() }),
        (Request::Leave { channel_name: name() }, Response::Left { channel_name: name() }),
    ];
    let mut end = client();
    let mut stream = Vec::new();
    for (id, (request, response)) in (2..).zip(&exchanges) {
        end.endpoint.send(at(0), request).unwrap();
        stream.extend(bytes(response));
        if !matches!(response, Response::Left { .. }) {
            stream.extend(push(id));
        }
    }
    for byte in stream {
        feed(&mut end, at(0), &[byte]);
    }
    let events = events(&mut end);
    let answers: Vec<_> = events.iter().step_by(2).collect();
    for (number, (answer, (_, expected))) in (0..).zip(answers.into_iter().zip(&exchanges)) {
        let ClientEvent::Answer { id, response } = answer else { panic!("{answer:?}") };
        assert_eq!((id.number(), response), (number, expected));
    }
    let pushed: Vec<u64> = events
        .iter()
        .filter_map(|event| if let ClientEvent::Push(message) = event { Some(message.id) } else { None })
        .collect();
    assert_eq!(pushed, [2, 3, 4]);
}

#[test]
fn a_notice_answers_no_request() {
    for (status, error) in [
        ("SERVER_ERROR", "Slow consumer"),
        ("SERVER_ERROR", "Server busy"),
        ("REQUEST_ERROR", "Request timed out"),
        ("SERVER_ERROR", "Channel removed"),
        ("SERVER_ERROR", "Server stopping"),
    ] {
        let mut end = client();
        end.endpoint.send(at(0), &Request::List).unwrap();
        feed(&mut end, at(0), format!("{status}\r\n{{\"error\": \"{error}\", \"details\": \"\"}}").as_bytes());
        assert_eq!((reported(&mut end), end.endpoint.in_flight()), (vec![error.to_owned()], 1));
        end.endpoint.handle_eof(at(0));
        assert_eq!((reported(&mut end), end.action()), (vec!["ended 1".to_owned()], ConnectionAction::Close));
    }
}

#[test]
fn a_client_disconnects_on_a_violation() {
    for (stream, said) in [
        (&b"HELLO\r\n"[..], "broken: the server sent what is no frame of the protocol (Unknown status 'HELLO')"),
        (
            b"OK\n",
            r"broken: the server sent what is no frame of the protocol (A status must end with \r\n, found a bare \n (with nc: nc -C))",
        ),
        (b"OK\r\n{}", "broken: the server sent a wrong payload with OK (Missing required field 'channels')"),
        (
            b"MESSAGE\r\n{}",
            "broken: the server sent a wrong payload with MESSAGE (Missing required field 'channel_name')",
        ),
    ] {
        let mut end = client();
        end.endpoint.send(at(0), &Request::List).unwrap();
        end.endpoint.send(at(0), &Request::List).unwrap();
        feed(&mut end, at(0), stream);
        assert_eq!(reported(&mut end), [said, "ended 2"]);
        assert_eq!(
            (end.action(), end.endpoint.wants_read(), due(&end.endpoint)),
            (ConnectionAction::Close, false, None)
        );
        assert_eq!(end.endpoint.send(at(0), &Request::List), Err(Misuse::Closing));
    }
}

#[test]
fn endless_white_space_is_a_violation() {
    let mut limits = Limits::client();
    limits.max_payload = 1000;
    let said = "broken: the server sent more than 66536 bytes without a whole frame";
    // Before a frame, between two, and inside one.
    for (before, after) in [("", 0), ("OK\r\n{\"channels\": []}", 0), ("OK\r\n", 4)] {
        for piece in [1, 7, 66_536] {
            let mut end = End::new(Client::new(limits.clone()));
            end.endpoint.send(at(0), &Request::List).unwrap();
            feed(&mut end, at(0), before.as_bytes());
            let answers = reported(&mut end).len();
            let mut left = 66_536 - after;
            while left > 0 {
                let count = piece.min(left);
                feed(&mut end, at(0), &vec![b' '; count]);
                left -= count;
            }
            assert_eq!((reported(&mut end), end.action()), (vec![], ConnectionAction::Open), "{before} {piece}");
            feed(&mut end, at(0), b" ");
            assert_eq!(reported(&mut end), [said.to_owned(), format!("ended {}", 1 - answers)], "{before} {piece}");
            assert_eq!(end.action(), ConnectionAction::Close);
        }
    }
    // Bytes between frames are counted anew after each frame.
    let mut end = joined_within(limits, 1);
    for id in 1..=5 {
        feed(&mut end, at(0), &vec![b'\n'; 60_000]);
        feed(&mut end, at(0), &push(id));
    }
    assert_eq!(reported(&mut end), ["push 1", "push 2", "push 3", "push 4", "push 5"]);
}

#[test]
fn an_answer_without_a_request_is_a_violation() {
    for stream in [examples::LISTED, examples::CHANNEL_NOT_FOUND] {
        let mut end = client();
        feed(&mut end, at(0), stream);
        let [ClientEvent::Broken(ProtocolViolation::Unasked(_)), ClientEvent::Ended { unanswered: 0 }] =
            &*events(&mut end)
        else {
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
        let events = reported(&mut end);
        assert_eq!(events.last().map(String::as_str), Some("ended 1"), "{events:?}");
        assert_eq!(events.len(), 2, "{events:?}");
    }
}

#[test]
fn the_ended_event_has_the_number_of_unanswered_requests() {
    let mut end = client();
    for _ in 0..3 {
        end.endpoint.send(at(0), &Request::List).unwrap();
    }
    feed(&mut end, at(0), b"OK\r\n{\"channels\": []}");
    end.endpoint.handle_eof(at(0));
    assert_eq!(
        (reported(&mut end), end.action()),
        (vec!["0: Ok".to_owned(), "ended 2".into()], ConnectionAction::Close)
    );
}

#[test]
fn an_end_of_stream_inside_an_answer_is_a_violation() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    feed(&mut end, at(0), b"OK\r\n{\"channels\"");
    end.endpoint.handle_eof(at(0));
    let expected = "broken: the server sent what is no frame of the protocol (The connection ended inside a payload)";
    assert_eq!(reported(&mut end), [expected, "ended 1"]);
}

#[test]
fn requests_in_flight_are_limited() {
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
fn an_answer_times_out_after_30_seconds() {
    let mut end = joined(1);
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
    assert_eq!(reported(&mut end), ["push 1", "1: Ok"]);
    end.endpoint.handle_timeout(at(55_000));
    assert_eq!(reported(&mut end), ["broken: the server gave no answer for 30 seconds", "ended 1"]);
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Close, None));
}

#[test]
fn an_arriving_answer_has_the_frame_timeout() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    written(&mut end, at(0));
    feed(&mut end, at(29_000), b"O");
    assert_eq!(due(&end.endpoint), Some((149_000, Timer::Frame)));
    feed(&mut end, at(100_000), b"K\r\n{\"channels\": []}");
    assert_eq!((reported(&mut end), due(&end.endpoint)), (vec!["0: Ok".to_owned()], None));
    feed(&mut end, at(100_000), b"O");
    end.endpoint.handle_timeout(at(220_000));
    let events = reported(&mut end);
    assert!(events.first().is_some_and(|word| word.starts_with("broken")) && events.len() == 2, "{events:?}");
}

#[test]
fn a_server_that_reads_nothing_is_reset() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    assert_eq!(due(&end.endpoint), Some((10_000, Timer::Write)));
    end.endpoint.handle_timeout(at(10_000));
    assert_eq!((end.action(), reported(&mut end)), (ConnectionAction::Reset, vec!["ended 1".to_owned()]));
}

#[test]
fn after_a_half_close_the_answers_still_come() {
    let mut end = client();
    end.endpoint.send(at(0), &Request::List).unwrap();
    end.endpoint.send(at(0), &Request::List).unwrap();
    end.endpoint.shutdown(at(0));
    assert_eq!(end.endpoint.send(at(0), &Request::List), Err(Misuse::Closing));
    assert_eq!(end.action(), ConnectionAction::Open);
    written(&mut end, at(0));
    assert_eq!((end.action(), end.endpoint.wants_read()), (ConnectionAction::FinishWriting, true));
    // No linger cuts what is owed: only the answer's own deadline holds.
    assert_eq!(due(&end.endpoint), Some((30_000, Timer::Answer)));
    end.endpoint.handle_timeout(at(20_000));
    feed(&mut end, at(20_000), b"OK\r\n{\"channels\": []}");
    end.endpoint.handle_timeout(at(40_000));
    assert_eq!((reported(&mut end), end.action()), (vec!["0: Ok".to_owned()], ConnectionAction::FinishWriting));
    feed(&mut end, at(49_000), b"OK\r\n{\"channels\": []}");
    assert_eq!(reported(&mut end), ["1: Ok", "ended 0"]);
    assert_eq!(due(&end.endpoint), Some((51_000, Timer::Linger)));
    end.endpoint.handle_timeout(at(51_000));
    assert_eq!((end.action(), reported(&mut end)), (ConnectionAction::Close, vec![]));
}

#[test]
fn a_client_and_a_server_converse_until_both_are_closed() {
    let (mut client, mut server) = (client(), server());
    client.endpoint.send(at(0), &Request::List).unwrap();
    client.endpoint.shutdown(at(0));
    assert!(carry(&mut client, &mut server, at(0), ALL));
    while server.read(at(0), ALL).is_some() {}
    let ticket = one_ticket(&mut server);
    assert_eq!(server.action(), ConnectionAction::Open);
    respond(&mut server, at(0), ticket, Response::Channels(Vec::new()));
    while carry(&mut server, &mut client, at(0), 5) {}
    while client.read(at(0), 3).is_some() {}
    assert_eq!(reported(&mut client), ["0: Ok", "ended 0"]);
    assert_eq!((client.action(), server.action()), (ConnectionAction::Close, ConnectionAction::Close));
}
