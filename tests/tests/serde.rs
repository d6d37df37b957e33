//! Core's optional serde traits: what is written reads back, and in which form it is written.

use chanwire_core::{
    Span,
    wire::{
        Address, Command, ErrorResponse, HistoryRange, JoinFrom, Message, Request, Response, Status, StoredMessage,
        Timestamp,
    },
};
use chanwire_tests::generate::{self, times};
use proptest::prelude::*;
use serde_json::{Value, from_value, json, to_value};

proptest! {
    #![proptest_config(times(256))]

    #[test]
    fn requests_read_back_that_have_no_secret(request in generate::request()) {
        if let Request::Auth(_) = request {
            prop_assert!(to_value(&request).is_err(), "what is serialized is kept and logged");
            return Ok(());
        }
        prop_assert_eq!(from_value::<Request>(to_value(&request).unwrap()).unwrap(), request);
    }

    #[test]
    fn responses_read_back(response in generate::response()) {
        prop_assert_eq!(from_value::<Response>(to_value(&response).unwrap()).unwrap(), response);
    }

    #[test]
    fn stored_messages_read_back(message in generate::stored_message()) {
        prop_assert_eq!(from_value::<StoredMessage>(to_value(&message).unwrap()).unwrap(), message);
    }
}

#[test]
fn words_addresses_and_times_are_the_text_that_they_display() {
    let address: Address = "[::1]:22236".parse().unwrap();
    let written = (Command::List, Status::RequestError, &address, Timestamp::from_unix(1_698_937_472));
    assert_eq!(to_value(written).unwrap(), json!(["LIST", "REQUEST_ERROR", "[::1]:22236", "2023-11-02T15:04:32Z"]));
}

#[test]
fn the_forms_of_requests_and_responses_are_fixed() {
    let message = Message {
        username: "ann".parse().unwrap(),
        message_content: "hi".into(),
        channel_name: None,
        client_message_id: None,
    };
    let history = Request::History { channel_name: "g".parse().unwrap(), range: HistoryRange::Last, limit: 5 };
    let forms = [
        (to_value(Request::List).unwrap(), json!("list")),
        (
            to_value(Request::Message(message)).unwrap(),
            json!({"message": {"username": "ann", "message_content": "hi", "channel_name": null}}),
        ),
        (
            to_value(Request::Join { channel_name: "g".parse().unwrap(), from: JoinFrom::After(7), username: None })
                .unwrap(),
            json!({"join": {"channel_name": "g", "from": {"after": 7}}}),
        ),
        (to_value(Request::Hello { notices: true }).unwrap(), json!({"hello": {"notices": true}})),
        (
            to_value(Request::Delete { channel_name: "g".parse().unwrap(), id: 7 }).unwrap(),
            json!({"delete": {"channel_name": "g", "id": 7}}),
        ),
        (to_value(Request::Disconnect { connection: 17 }).unwrap(), json!({"disconnect": {"connection": 17}})),
        (to_value(history).unwrap(), json!({"history": {"channel_name": "g", "range": "last", "limit": 5}})),
        (
            to_value(Response::Error(ErrorResponse::server("Server busy", "x"))).unwrap(),
            json!({"error": {"blame": "server", "error": "Server busy", "details": "x"}}),
        ),
        (to_value(Span::new(1, 2)).unwrap(), json!({"start": 1, "end": 2})),
    ];
    for (written, form) in forms {
        assert_eq!(written, form);
    }
}

#[test]
fn an_invalid_text_is_refused_with_the_reason() {
    let reason = |refused: Result<(), serde_json::Error>| refused.unwrap_err().to_string();
    let read = |text: Value| {
        [
            reason(from_value::<Command>(text.clone()).map(drop)),
            reason(from_value::<Status>(text.clone()).map(drop)),
            reason(from_value::<Address>(text.clone()).map(drop)),
            reason(from_value::<Timestamp>(text).map(drop)),
        ]
    };
    for (reason, expected) in read(json!("x")).into_iter().zip(["a command", "a status", "HOST:PORT", "a time in UTC"])
    {
        assert!(reason.contains(expected), "{reason}");
    }
    for reason in read(json!(7)) {
        assert!(reason.contains("a string"), "{reason}");
    }
}
