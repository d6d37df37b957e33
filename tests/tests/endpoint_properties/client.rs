//! The events that a client reports of any stream.

use chanwire_core::wire::JoinFrom;

use super::*;

/// Returns a stream as a server might send it, and not only a good one.
fn server_stream() -> impl Strategy<Value = Vec<u8>> {
    let encoded = |response: Response| {
        let mut out = Vec::new();
        response.encode(&mut out);
        out
    };
    let notice = prop::sample::select(vec!["Slow consumer", "Server busy", "Request timed out", "Channel removed"])
        .prop_map(|error| ErrorResponse::server(error, "because"));
    let stopping = (1..=86_400_u32).prop_map(ErrorResponse::server_stopping);
    let notice = prop_oneof![4 => notice, 1 => stopping].prop_map(Response::Error);
    let piece = prop_oneof![
        12 => Just(b"OK\r\n{\"channels\": []}".to_vec()),
        6 => generate::response().prop_map(encoded),
        2 => notice.prop_map(encoded),
        3 => (1..4_u64).prop_map(move |first_id| {
            encoded(Response::Joined { channel_name: "general".parse().unwrap(), first_id, last_id: 0 })
        }),
        1 => Just(encoded(Response::Left { channel_name: "general".parse().unwrap() })),
        10 => (generate::stored_message(), proptest::option::weighted(0.8, 1..6_u64)).prop_map(|(mut message, id)| {
            if let Some(id) = id {
                (message.channel_name, message.id) = ("general".parse().unwrap(), id);
            }
            let text = |text: &str| serde_json::to_string(text).unwrap();
            format!(
                "MESSAGE\r\n{{\"channel_name\": {}, \"id\": {}, \"username\": {}, \"message_content\": {}, \"timestamp\": \"{}\"}}",
                text(&message.channel_name), message.id, text(&message.username), text(&message.message_content), message.timestamp,
            ).into_bytes()
        }),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"OK\r\n{}".to_vec()),
        1 => generate::stream(),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Generates requests, and often those that join and leave the channel that the stream has messages of.
fn some_request() -> impl Strategy<Value = Request> {
    let channel_name = || named("general");
    prop_oneof![
        3 => generate::request(),
        3 => Just(Request::Join { channel_name: channel_name(), from: JoinFrom::Last(0), username: None }),
        1 => Just(Request::Leave { channel_name: channel_name() }),
    ]
}

proptest! {
    #![proptest_config(times(3500))]

    #[test]
    fn a_client_reports_the_same_events_for_any_cut_of_a_stream(
        stream in server_stream(), cuts in generate::cuts(), lists in any::<bool>(),
        requests in vec(some_request(), 0..6), late in any::<bool>()
    ) {
        let requests: Vec<_> = if lists { requests.iter().map(|_| Request::List).collect() } else { requests };
        let now = Time::from_millis(1);
        let mut client = Client::new(Limits::client());
        for request in &requests {
            client.send(now, request).unwrap();
        }
        let mut seen = Vec::new();
        for piece in cut(&stream, &cuts) {
            client.handle_input(now, piece);
            if !late {
                seen.extend(std::iter::from_fn(|| client.poll_event()).map(describe));
            }
        }
        client.handle_eof(now);
        seen.extend(std::iter::from_fn(|| client.poll_event()).map(describe));
        prop_assert_eq!(seen, expected_events(&stream, &requests));
        prop_assert_eq!((client.action(), client.wants_read(), client.poll_timeout()), (ConnectionAction::Close, false, None));
        prop_assert_eq!(client.send(now, &Request::List), Err(Misuse::Closing));
    }
}
