//! A capture that is resumed from another one equals the other one after it was cleared: it has no rows, and continues
//! partial frames and pending requests.

#![cfg(test)]

use chanwire_inspect::{Capture, Carried, Direction, Gap};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

const LIMIT: usize = 64 << 20;

/// An event on one of two connections.
#[derive(Clone, Debug)]
enum Event {
    Bytes(u32, Direction, Vec<u8>),
    End(u32, Direction),
    Gap(u32, Direction),
    Close(u32),
}

const OUT: [&str; 9] = [
    "LIST\r\n",
    "LI",
    "ST\r\n",
    "{\"after\": \"a list\"}",
    "JOIN\r\n{\"channel_name\": \"a\"}",
    "MESSAGE\r\n {\"username\": \"u",
    "ser1\", \"message_content\": \"x\"}",
    "PING\r\n",
    " \r\n ",
];

const IN: [&str; 6] = [
    "OK\r\n{\"channels\": []}",
    "OK\r\n{\"status\": \"suc",
    "cess\", \"channel_name\": \"a\"}",
    "REQUEST_ERROR\r\n{\"error\": \"Channel not found\", \"details\": \"x\"}",
    "MESSAGE\r\n{\"id\": 1, \"username\": \"u\"",
    "}",
];

fn event() -> impl Strategy<Value = Event> {
    let connection = || select(vec![1, 2]);
    let direction = || select(vec![Direction::Out, Direction::In]);
    let said = |texts: &'static [&'static str], direction| {
        (connection(), vec(select(texts), 1..4))
            .prop_map(move |(to, texts)| Event::Bytes(to, direction, texts.concat().into_bytes()))
    };
    prop_oneof![
        20 => said(&OUT, Direction::Out),
        20 => said(&IN, Direction::In),
        1 => (connection(), direction()).prop_map(|(to, direction)| Event::End(to, direction)),
        1 => (connection(), direction()).prop_map(|(to, direction)| Event::Gap(to, direction)),
        1 => connection().prop_map(Event::Close),
    ]
}

fn tell(capture: &mut Capture, events: &[Event], from: usize) {
    for (index, event) in events.iter().enumerate() {
        let time = 1000.0 + ((from + index) as f64) * 1.5;
        match event {
            Event::Bytes(connection, direction, bytes) => capture.bytes(*connection, *direction, time, bytes),
            Event::End(connection, direction) => capture.end(*connection, *direction, time),
            Event::Gap(connection, direction) => {
                let gap = Gap { bytes: 10, frames: Some(1), paired: Some(1) };
                capture.gap(*connection, Some(*direction), time, gap, "missing");
            }
            Event::Close(connection) => capture.close(*connection, time),
        }
    }
}

/// Returns everything about held rows and arriving frames.
fn seen(capture: &Capture) -> String {
    let rows = capture.entries(capture.first(), capture.end_number()).map(|entry| {
        let number = entry.number();
        let facts = (number, entry.connection(), entry.direction(), entry.kind(), entry.is_bad(), entry.time());
        format!(
            "{facts:?} {:?} {:?} {} {:?} {:?} {:?}\n",
            entry.pair(),
            entry.rtt(),
            capture.position(&entry),
            entry.reads(),
            String::from_utf8_lossy(entry.bytes()),
            capture.describe(number).map(|row| row.summary),
        )
    });
    let rows: String = rows.collect();
    let open: Vec<_> = capture.arriving().map(|frame| format!("{frame:?}")).collect();
    let counts = (capture.first(), capture.end_number(), capture.dropped(), capture.bad(), capture.bad_seen());
    format!("{rows}{open:?} {counts:?} {:?} {:?}", capture.statistics(), capture.origin())
}

proptest! {
    #![proptest_config(Config { cases: 2000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_resumed_capture_continues_like_the_cleared_one(before in vec(event(), 0..12), after in vec(event(), 0..12)) {
        let mut cleared = Capture::new(LIMIT);
        for connection in [1, 2] {
            cleared.open(connection, "server");
        }
        tell(&mut cleared, &before, 0);
        if let Some(carried) = cleared.carried() {
            let text = serde_json::to_string(&carried).unwrap();
            let carried: Carried = serde_json::from_str(&text).unwrap();
            let mut resumed = Capture::resumed(LIMIT, carried);
            cleared.clear();
            prop_assert_eq!(seen(&resumed), seen(&cleared));
            tell(&mut resumed, &after, before.len());
            tell(&mut cleared, &after, before.len());
            prop_assert_eq!(seen(&resumed), seen(&cleared));
        }
    }
}

#[test]
fn common_states_can_be_carried_and_a_skipped_object_or_closed_decoder_cannot() {
    let carried = |events: &[Event]| {
        let mut capture = Capture::new(LIMIT);
        capture.open(1, "server");
        tell(&mut capture, events, 0);
        capture.carried().is_some()
    };
    let out = |text: &str| Event::Bytes(1, Direction::Out, text.into());
    for text in ["", "LIST\r\n", "LI", "LIST\r\n ", "PING\r\n", "JOIN\r\n", "JOIN\r\n{\"channel_name\": \"a"] {
        assert!(carried(&[out(text)]), "{text:?}");
        assert!(carried(&[out(text), Event::End(1, Direction::Out)]), "{text:?} and the end");
    }
    // In the middle of an object that is skipped, and once the server has closed.
    assert!(!carried(&[out("LIST\r\n{\"x\": ")]));
    assert!(!carried(&[out("HO?T\r\n")]));
    assert!(carried(&[out("HO?T\r\n"), Event::Close(1)]));
}
