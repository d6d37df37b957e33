//! Laws over generated captures and generated questions.

use chanwire_inspect::{Capture, Direction, Filter, Gap, View};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

use super::{
    asked::{self, TEXTS, ask},
    facts::facts,
    naive,
};

fn times(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Requests, right and wrong, with texts and numbers spelled in every way.
const OUT: [&str; 12] = [
    "LIST\r\n",
    "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello\\n\"}",
    "MESSAGE\r\n{\"username\": \"\\u0061n\", \"message_content\": \"\\ud83d\\ude00 \\u00e9 \u{e9}\"}",
    "MESSAGE\r\n{\"n\": 1e3, \"a\": [1, {\"b\": [0, 1000]}, null, true], \"dotted.name\": \"a\"}",
    "MESSAGE\r\n{\"n\": 1000.0, \"a\": {\"b\": \"late\"}, \"a\": {\"b\": 7}, \"n\": \"1000\"}",
    "MESSAGE\r\n{\"\\u0061\": \"an\", \"username\": \"a\\\\u0061\\\"\"}",
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"::1\", \"peer_server_port\": 22236}",
    "PING\r\n{\"a\": \"\\u0061\"}",
    "LIST\n",
    " \r\n",
    "HOST\r\n{\"a\": tru}",
    "{\"username\": \"\\ud800 user1\"}",
];

const IN: [&str; 8] = [
    "OK\r\n{\"channels\": [{\"channel_name\": \"a\", \"peer_server_ip\": \"b\", \"peer_server_port\": 1}, \
     {\"channel_name\": \"general\", \"peer_server_ip\": \"b\", \"peer_server_port\": 7}]}",
    "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}",
    "REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"\\u001b\"}",
    "SERVER_ERROR\r\n{\"error\": \"Slow consumer\", \"details\": \"late\"}",
    "MESSAGE\r\n{\"channel_name\": \"a\", \"id\": 7, \"username\": \"us\\u0065r1\", \"message_content\": \"c\", \
     \"timestamp\": \"2023-11-02T15:04:32Z\"}",
    "OK\r\n{\"n\": [[1e3], [\"user1\"]]}",
    "OK\r\n{\"a\": \u{202e}}",
    "\n",
];

#[derive(Clone, Debug)]
enum Event {
    Bytes(u32, Direction, Vec<u8>),
    Note(u32, &'static str, bool),
    Gap(u32, Option<Direction>),
}

fn event() -> impl Strategy<Value = Event> {
    let connection = 1_u32..3;
    prop_oneof![
        8 => (connection.clone(), select(&OUT[..]))
            .prop_map(|(connection, text)| Event::Bytes(connection, Direction::Out, text.into())),
        8 => (connection.clone(), select(&IN[..]))
            .prop_map(|(connection, text)| Event::Bytes(connection, Direction::In, text.into())),
        1 => (connection.clone(), any::<bool>(), vec(any::<u8>(), 1..5)).prop_map(|(connection, inward, bytes)| {
            Event::Bytes(connection, if inward { Direction::In } else { Direction::Out }, bytes)
        }),
        1 => (connection.clone(), select(&TEXTS[..]), any::<bool>())
            .prop_map(|(connection, text, bad)| Event::Note(connection, text, bad)),
        1 => (connection, select(vec![None, Some(Direction::Out), Some(Direction::In)]))
            .prop_map(|(connection, direction)| Event::Gap(connection, direction)),
    ]
}

fn captured() -> impl Strategy<Value = Vec<Event>> {
    vec(event(), 0..25)
}

fn record(events: &[Event]) -> Capture {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "one");
    capture.open(2, "two");
    for (index, event) in events.iter().enumerate() {
        let time = index as f64 * 1.5;
        match event {
            Event::Bytes(connection, direction, bytes) => capture.bytes(*connection, *direction, time, bytes),
            Event::Note(connection, text, bad) => capture.note(*connection, time, "note", text, *bad),
            Event::Gap(connection, direction) => {
                capture.gap(*connection, *direction, time, Gap { bytes: 3, frames: Some(1), paired: Some(0) }, "late");
            }
        }
    }
    capture
}

fn shown(view: &View) -> Vec<u64> {
    (view.begin()..view.end()).map(|position| view.number_at(position).unwrap()).collect()
}

proptest! {
    #![proptest_config(times(1000))]

    #[test]
    fn a_filter_says_what_the_naive_evaluator_says(events in captured(), ask in ask()) {
        let capture = record(&events);
        let filter = Filter::parse(&ask.written()).map_err(|mistake| TestCaseError::fail(format!("{mistake}: {}", ask.written())))?;
        let facts = facts(&capture);
        let expected: Vec<u64> =
            (1..).zip(&facts).filter(|(_, facts)| naive::holds(&ask, facts)).map(|(number, _)| number).collect();
        let found: Vec<u64> = capture
            .entries(1, capture.end_number())
            .filter(|entry| filter.matches(entry))
            .map(|entry| entry.number())
            .collect();
        prop_assert_eq!(&found, &expected, "{}", ask.written());
        // Through the view, which leaves out what cannot match by its bytes alone.
        let mut view = View::new();
        view.set_filter(Some(filter), &capture);
        while view.advance(&capture) {}
        prop_assert_eq!(shown(&view), expected, "{}", ask.written());
    }

    #[test]
    fn a_filter_prints_as_what_reads_back_the_same(events in captured(), ask in ask()) {
        let filter = Filter::parse(&ask.written()).unwrap();
        let printed = filter.to_string();
        let again = Filter::parse(&printed).map_err(|mistake| TestCaseError::fail(format!("{mistake}: {printed}")))?;
        prop_assert_eq!(again.to_string(), printed);
        let capture = record(&events);
        for entry in capture.entries(1, capture.end_number()) {
            prop_assert_eq!(filter.matches(&entry), again.matches(&entry));
        }
    }

    /// A text that the row means is found however it is spelled, also where the search goes by bytes alone.
    #[test]
    fn no_match_is_lost_however_a_text_is_spelled(
        text in "[a-c\"\\\\/\n\u{e9}\u{1f600}]{1,6}", spelling in vec(0_u8..4, 12), before in 0_usize..40, at in 0_usize..4,
    ) {
        let mut spelled = String::new();
        for (char, way) in text.chars().zip(spelling.iter().cycle()) {
            match (char, way) {
                ('"' | '\\', 0..=2) => spelled.extend(['\\', char]),
                ('/', 1) => spelled.push_str("\\/"),
                ('\n', 0..=2) => spelled.push_str("\\n"),
                (char, 3) | (char @ ('"' | '\\' | '\n'), _) => {
                    let mut units = [0; 2];
                    for unit in char.encode_utf16(&mut units) {
                        spelled.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                (char, _) => spelled.push(char),
            }
        }
        let mut capture = Capture::new(1 << 20);
        capture.open(1, "");
        let filler = b"MESSAGE\r\n{\"username\": \"x\\n\"}LIST\r\n";
        capture.bytes(1, Direction::Out, 0.0, &filler.repeat(before));
        let frame = format!("MESSAGE\r\n{{\"x\": [], \"username\": \"..{spelled}..\"}}");
        let number = capture.end_number();
        capture.bytes(1, Direction::Out, 1.0, frame.as_bytes());
        capture.bytes(1, Direction::Out, 2.0, &filler.repeat(3));
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let asks = [
            quoted.clone(),
            format!("text contains {quoted}"),
            format!("json.username contains {quoted}"),
            format!("json.username == \"..{}..\"", &quoted[1..quoted.len() - 1]),
        ];
        let mut view = View::new();
        view.set_filter(Some(Filter::parse(&asks[at]).unwrap()), &capture);
        while view.advance(&capture) {}
        prop_assert!(shown(&view).contains(&number), "{} in {frame}", asks[at]);
    }

    #[test]
    fn any_text_is_a_filter_or_has_a_mistake_within_it(text in prop_oneof![
        any::<String>(),
        vec(select(vec!["json.", "json.a", "dir", "==", "in", "(", ")", ",", "\"", "!", "&&", "||", "rtt", "50ms", "~", "x",
            "contains", "0x", "\\", " ", "{", "}", "true", "<"]), 0..8).prop_map(|parts| parts.concat()),
    ]) {
        match Filter::parse(&text) {
            Ok(filter) => {
                let printed = filter.to_string();
                prop_assert_eq!(Filter::parse(&printed).unwrap().to_string(), printed);
            }
            Err(mistake) => {
                prop_assert!(mistake.at + mistake.length <= text.len() && !mistake.message.is_empty());
                prop_assert!(text.is_char_boundary(mistake.at) && text.is_char_boundary(mistake.at + mistake.length));
            }
        }
    }

    #[test]
    fn a_view_that_grows_shows_what_a_new_one_does(
        events in vec(event(), 0..60), ask in ask(), pauses in vec(any::<(u8, bool)>(), 0..4), range in any::<Option<(u8, u8)>>(),
    ) {
        let filter = Filter::parse(&ask.written()).unwrap();
        let range = range.map(|(from, length)| (f64::from(from) / 4.0, f64::from(from) / 4.0 + f64::from(length) / 4.0));
        let mut capture = record(&[]);
        let mut view = View::new();
        view.set_filter(Some(filter.clone()), &capture);
        view.set_range(range, &capture);
        let mut frozen = None;
        for (index, event) in events.iter().enumerate() {
            if let Some((_, freeze)) = pauses.iter().find(|(at, _)| usize::from(*at) == index) {
                view.freeze(*freeze, &capture);
                frozen = freeze.then(|| capture.end_number());
            }
            let time = index as f64 * 1.5;
            if let Event::Bytes(connection, direction, bytes) = event {
                capture.bytes(*connection, *direction, time, bytes);
            }
            while view.advance(&capture) {}
            let expected: Vec<u64> = capture
                .entries(capture.first(), frozen.unwrap_or(u64::MAX))
                .filter(|entry| filter.matches(entry))
                .filter(|entry| range.is_none_or(|(from, to)| from <= entry.time() && entry.time() <= to))
                .map(|entry| entry.number())
                .collect();
            prop_assert_eq!(shown(&view), expected);
        }
        for position in view.begin()..view.end() {
            let number = view.number_at(position).unwrap();
            prop_assert_eq!(view.locate(number), Some((position, true)));
        }
    }
}

#[test]
fn the_generator_asks_in_the_languages_own_words() {
    let bare = asked::Ask::Contains(asked::Field::Named("text"), b"a".to_vec()).written();
    assert_eq!(Filter::parse(&bare).unwrap().to_string(), "\"a\"");
}
