//! Laws that hold for every stream, every text and every form.

#![cfg(test)]

use std::collections::BTreeMap;

use chanwire_core::wire::{Command, Decoder, Item, Request};
use chanwire_inspect::{
    Capture, Direction, Field, FieldKind, Listing, MAX_SUMMARY, Row, RowKind, ValueKind, commands, compose, fill,
    visible,
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

fn times(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Frames and pieces of frames, right and wrong, of both directions.
const PIECES: [&str; 28] = [
    "LIST\r\n",
    "HOST\r\n{\"channel_name\": \"test_channel\", \"peer_server_ip\": \"::1\", \"peer_server_port\": 22236}",
    "HOST\r\n{\"channel_name\": 5}",
    "MESSAGE\r\n \n{\"username\": \"user1\", \"message_content\": \"\\u202e \\ud83d\\ude00\\n\"}",
    "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"x\", \"username\": \"user2\"}",
    "MESSAGE\r\n{\"channel_name\": \"a\", \"id\": 7, \"username\": \"b\", \"message_content\": \"c\", \
     \"timestamp\": \"2023-11-02T15:04:32Z\"}",
    "MESSAGE\r\n{\"a\": [1e0, {\"b\": [[], {}]}, null, true], \"\\u0061\": -0.5}",
    "OK\r\n{\"channels\": [{\"channel_name\": \"a\", \"peer_server_ip\": \"b\", \"peer_server_port\": 1}]}",
    "OK\r\n{\"status\": \"success\", \"channel_name\": \"test_channel\"}",
    "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}",
    "OK\r\n{\"something\": \"else\"}",
    "REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"\\u001b[2J\"}",
    "REQUEST_ERROR\r\n{\"error\": \"Request timed out\", \"details\": \"The request was not complete\"}",
    "SERVER_ERROR\r\n{\"error\": 5}",
    "OK\r\n{\"a\": tru}",
    "PING\r\n{\"skipped\": []}",
    "LIST\n",
    "LIST\r",
    "OK\n",
    "HOST\r\n[1, 2]",
    "OK\r\n[1]",
    " \r\n\t",
    "{}",
    "[\"]\"]",
    "HO?T",
    "HOST\r\nnull",
    "OK\r\n{\"a\": ]",
    "\u{202e}\u{7}",
];

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![Direction::Out, Direction::In])
}

fn rows<'a>(direction: Direction, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Row> {
    let mut listing = Listing::new(direction, Some(96));
    let mut rows = Vec::new();
    for piece in pieces {
        listing.feed(piece);
        rows.extend(std::iter::from_fn(|| listing.next_row()));
    }
    listing.finish();
    rows.extend(std::iter::from_fn(|| listing.next_row()));
    rows
}

/// Checks a field against its bytes, by another reader of JSON.
fn assert_field(field: &Field, bytes: &[u8], inside: (u64, u64)) {
    let slice = |start: u64, end: u64| &bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
    assert!(inside.0 <= field.value.start && field.value.end <= inside.1, "{field:?} is not in {inside:?}");
    if let Some(key) = field.key {
        assert!(key.end < field.value.start);
        assert_eq!(serde_json::from_slice::<String>(slice(key.start, key.end)).unwrap(), field.name);
    }
    let spelled = slice(field.value.start, field.value.end);
    let value: serde_json::Value = serde_json::from_slice(spelled).unwrap();
    let (kind, text, children) = match &value {
        serde_json::Value::Object(_) => (FieldKind::Object, String::new(), None),
        serde_json::Value::Array(elements) => (FieldKind::Array, String::new(), Some(elements.len())),
        serde_json::Value::String(text) => (FieldKind::String, text.clone(), Some(0)),
        serde_json::Value::Number(_) => (FieldKind::Number, String::from_utf8(spelled.to_vec()).unwrap(), Some(0)),
        serde_json::Value::Bool(truth) => (FieldKind::Boolean, truth.to_string(), Some(0)),
        serde_json::Value::Null => (FieldKind::Null, "null".into(), Some(0)),
    };
    assert_eq!((field.kind, &field.text), (kind, &text));
    assert!(children.is_none_or(|count| count == field.children.len()));
    for child in &field.children {
        assert_field(child, bytes, (field.value.start, field.value.end));
    }
}

proptest! {
    #![proptest_config(times(1500))]

    #[test]
    fn rows_tile_the_stream_and_do_not_depend_on_its_pieces(
        bytes in stream(), direction in direction(), cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = rows(direction, [&bytes[..]]);
        let mut at = 0;
        for row in &whole {
            prop_assert_eq!((row.direction, row.span.start), (direction, at));
            prop_assert!(row.span.end > at);
            at = row.span.end;
        }
        prop_assert_eq!(at, bytes.len() as u64);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&rows(direction, cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]])), &whole);
        prop_assert_eq!(&rows(direction, bytes.chunks(1)), &whole);
    }

    #[test]
    fn every_region_and_field_says_what_its_bytes_say(bytes in stream(), direction in direction()) {
        for row in rows(direction, [&bytes[..]]) {
            let slice = |span: chanwire_core::Span| {
                &bytes[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()]
            };
            prop_assert_eq!(row.command.is_some(), row.kind == RowKind::Frame);
            if let (Some(command), Some(separator)) = (row.command, row.separator) {
                prop_assert_eq!((slice(command), slice(separator)), (row.head.as_bytes(), &b"\r\n"[..]));
                prop_assert_eq!((command.start, command.end), (row.span.start, separator.start));
                prop_assert_eq!(row.payload.map_or(separator.end, |payload| payload.end), row.span.end);
            }
            if let Some(payload) = row.payload {
                let json = serde_json::from_slice::<serde_json::Value>(slice(payload)).is_ok();
                prop_assert!(row.fields.is_empty() || json);
                prop_assert!(json || row.fault.is_some());
            }
            let inside = row.payload.unwrap_or(row.span);
            row.fields.iter().for_each(|field| assert_field(field, &bytes, (inside.start, inside.end)));
            if let Some(at) = row.fault.as_ref().and_then(|fault| fault.at) {
                // The byte after the largest payload is at fault without belonging to it.
                prop_assert!((row.span.start..=row.span.end).contains(&at));
            }
        }
    }

    #[test]
    fn text_that_is_meant_to_be_shown_is_harmless(bytes in stream(), direction in direction()) {
        for row in rows(direction, [&bytes[..]]) {
            for shown in [Some(&row.head), Some(&row.summary), row.error.as_ref()].into_iter().flatten() {
                prop_assert_eq!(&*visible(shown), shown.as_str());
                prop_assert!(shown.chars().count() <= 12 * MAX_SUMMARY);
            }
        }
    }

    #[test]
    fn visible_text_hides_only_what_joins_and_keeps_the_rest(
        text in prop_oneof![any::<String>(), "[a9 م\u{94d}क👩🏽❤\u{fe0f}\u{200c}\u{200d}\u{202e}]{0,9}"],
        hidden in "\\PC*[\\p{Cc}\\p{Bidi_Control}]",
    ) {
        let shown = visible(&text);
        let shows = |char: char| !char.is_control() && !matches!(char,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{61c}'
            | '\u{feff}');
        prop_assert!(shown.chars().all(shows));
        prop_assert_eq!(&*visible(&shown), &*shown);
        prop_assert_eq!(text.chars().all(|char| (' '..='~').contains(&char)), shown.is_ascii() && *shown == text);
        prop_assert_ne!(&*visible(&hidden), &*hidden);
    }
}

/// Traffic of a connection, as the model sees it.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A request, which is answered.
    Request(&'static str),
    /// Bytes of a client that are not answered.
    Silence(&'static str),
    /// An answer, if there is something to answer.
    Answer(&'static str),
    /// Bytes of a server that answer nothing.
    Aside(&'static str),
}

fn event() -> impl Strategy<Value = Event> {
    let requests = vec![0, 1, 2, 4, 16, 19];
    let asides = vec![5, 12, 21];
    prop_oneof![
        4 => select(requests).prop_map(|index| Event::Request(PIECES[index])),
        // A space ends what could have belonged to the request before; an object after LIST is skipped with it.
        1 => Just(Event::Silence(" \r\n")),
        4 => select(vec![7, 8, 9, 10, 11, 13]).prop_map(|index| Event::Answer(PIECES[index])),
        1 => select(asides).prop_map(|index| Event::Aside(PIECES[index])),
    ]
}

proptest! {
    #![proptest_config(times(500))]

    #[test]
    fn pairing_is_first_come_first_served(events in vec(event(), 0..40)) {
        let mut capture = Capture::new(1 << 20);
        capture.open(1, "test");
        let (mut open, mut number) = (std::collections::VecDeque::new(), 1);
        // White space between frames is a row of its own, which comes with what follows it.
        for (index, event) in events.into_iter().enumerate() {
            let time = index as f64;
            let (direction, text) = match event {
                Event::Request(text) | Event::Silence(text) => (Direction::Out, text),
                Event::Answer(text) | Event::Aside(text) => (Direction::In, text),
            };
            capture.bytes(1, direction, time, text.as_bytes());
            while let Some(row) = capture.entry(number) {
                let actual = (row.pair(), row.rtt());
                let expected = match (event, row.kind()) {
                    (_, RowKind::Skipped) => None,
                    (Event::Request(_), _) => {
                        open.push_back((number, time));
                        None
                    }
                    (Event::Answer(_), _) => open.pop_front(),
                    (Event::Silence(_) | Event::Aside(_), _) => None,
                };
                prop_assert_eq!(actual, (expected.map(|(row, _)| row), expected.map(|(_, asked)| time - asked)));
                number += 1;
            }
        }
    }

    #[test]
    fn a_composed_request_fills_the_form_as_it_was_typed(
        form in select(commands()),
        typed in vec(prop_oneof![
            select(vec!["", "general", "127.0.0.1", "22236", "0", "1", "10", "86400", "65536", " 7 ", "1e3", "localhost", " x", "\"\\", "ä", "5f0c2a7e9b3d4816"])
                .prop_map(String::from),
            any::<String>(),
        ], 6),
    ) {
        let values: BTreeMap<String, String> =
            form.fields.iter().map(|field| field.name.to_string()).zip(typed).collect();
        match compose(form.command, &values) {
            Ok(bytes) => {
                let mut decoder = Decoder::<Command>::new(65_536);
                decoder.feed(&bytes);
                let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("a frame") };
                let mut again = Vec::new();
                Request::decode(frame.start_line, frame.payload).unwrap().encode(&mut again);
                prop_assert_eq!(&again, &bytes, "the bytes are canonical");
                let filled = fill(&bytes).unwrap();
                prop_assert_eq!(filled.command, form.command);
                prop_assert_eq!(compose(filled.command, &filled.values), Ok(bytes.clone()));
                let payload = if frame.payload.is_empty() { b"{}" } else { frame.payload };
                let members: BTreeMap<String, serde_json::Value> = serde_json::from_slice(payload).unwrap();
                let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), String::from);
                let members: BTreeMap<_, _> = members.into_iter().map(|(name, value)| (name, text(value))).collect();
                let mut default = vec![("history", "0"), ("limit", "100"), ("notices", "false")];
                if ["CHANNELS", "CONNECTIONS"].contains(&form.command) {
                    // A HISTORY after 0 is another one than that of the last messages.
                    default.push(("after", "0"));
                }
                let filled = values.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| {
                    let integer = form.fields.iter().any(|field| field.name == name && field.kind == ValueKind::Integer);
                    (name, if integer { text.trim().parse::<u64>().unwrap().to_string() } else { text })
                });
                // A value that is the default is left out.
                let filled = filled.filter(|(name, text)| !default.contains(&(name, text)));
                prop_assert_eq!(members, filled.collect());
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                // Each field has one problem at most, and putting right every one of them is enough.
                let mut mended = values;
                for problem in problems {
                    let field = problem.field.expect("a problem of one field");
                    let good = match field.as_str() {
                        "peer_server_ip" => "::1",
                        "peer_server_port" => "22236",
                        "connection" => "17",
                        "id" => "7",
                        // A field that may be absent, and must be where another one excludes it.
                        "lease" | "after" | "before" | "history" | "limit" | "notices" | "contains" | "client_message_id" | "token"
                        | "address" | "sender_of" | "seconds" | "members_only" | "slow_mode" => "",
                        "role" => "muted",
                        _ => "good",
                    };
                    prop_assert_ne!(mended.insert(field, good.into()), Some(good.to_string()));
                }
                prop_assert!(compose(form.command, &mended).is_ok());
            }
        }
    }
}
