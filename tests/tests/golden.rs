//! Every example of the protocol's text: read to what it means, written back to the same bytes.

use chanwire_core::wire::{Command, Decoder, Item, Request, Response, Status, encode_channels};
use chanwire_tests::{examples, show, stream::check_every_cut};

const LIMIT: usize = 65_536;

#[test]
fn example_requests_read_and_write_back_byte_for_byte() {
    for (bytes, request) in examples::requests() {
        let mut decoder = Decoder::<Command>::new(LIMIT);
        decoder.feed(bytes);
        let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("no frame: {}", show::bytes(bytes)) };
        assert_eq!(
            (frame.start_line, frame.span().start, frame.span().end),
            (request.command(), 0, bytes.len() as u64)
        );
        assert_eq!(Request::decode(frame.start_line, frame.payload), Ok(request.clone()));
        assert_eq!(decoder.next_item(), None);
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(show::bytes(&out), show::bytes(bytes));
        assert_eq!(request.validate(), Ok(()));
    }
}

#[test]
fn example_responses_read_and_write_back_byte_for_byte() {
    for (bytes, command, response) in examples::responses() {
        let mut decoder = Decoder::<Status>::new(LIMIT);
        decoder.feed(bytes);
        let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("no frame: {}", show::bytes(bytes)) };
        assert_eq!(
            (frame.start_line, frame.span().start, frame.span().end),
            (response.status(), 0, bytes.len() as u64)
        );
        assert_eq!(Response::decode(command, frame.start_line, frame.payload), Ok(response.clone()));
        assert_eq!(decoder.next_item(), None);
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(show::bytes(&out), show::bytes(bytes));
    }
}

#[test]
fn an_error_reads_the_same_whatever_it_answers() {
    for (bytes, _, response) in examples::responses() {
        let Response::Error(error) = &response else { continue };
        let payload = bytes.iter().position(|byte| *byte == b'{').unwrap();
        for command in Command::ALL {
            assert_eq!(Response::decode(*command, error.status(), &bytes[payload..]), Ok(response.clone()));
        }
    }
}

#[test]
fn the_list_is_written_from_borrowed_channels() {
    let mut out = b"before".to_vec();
    encode_channels(&examples::channels(), &mut out);
    assert_eq!(out, [b"before", examples::LISTED].concat());
    out.clear();
    encode_channels([], &mut out);
    assert_eq!(out, b"OK\r\n{\"channels\": []}");
}

#[test]
fn a_missing_channel_name_is_answered_as_in_the_example() {
    let fault = Request::decode(Command::Host, br#"{"peer_server_ip": "127.0.0.1", "peer_server_port": 1}"#);
    let mut out = Vec::new();
    fault.unwrap_err().reply().encode(&mut out);
    assert_eq!(show::bytes(&out), show::bytes(examples::INVALID_PAYLOAD));
}

#[test]
fn all_example_requests_in_one_stream() {
    let bytes = examples::requests().map(|(bytes, _)| bytes).concat();
    check_every_cut::<Command>(&bytes, LIMIT);
    insta::assert_snapshot!(show::stream::<Command>(&bytes, LIMIT));
}

#[test]
fn all_example_responses_in_one_stream() {
    let bytes = examples::responses().map(|(bytes, ..)| bytes).concat();
    check_every_cut::<Status>(&bytes, LIMIT);
    insta::assert_snapshot!(show::stream::<Status>(&bytes, LIMIT));
}

#[test]
fn a_push_is_distinguished_from_the_answers_around_it() {
    let push = b"MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 7, \"username\": \"user1\", \"message_content\": \"hi\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
    let bytes = [examples::DELIVERED, push, examples::HOSTED].concat();
    check_every_cut::<Status>(&bytes, LIMIT);
    insta::assert_snapshot!(show::stream::<Status>(&bytes, LIMIT));
}
