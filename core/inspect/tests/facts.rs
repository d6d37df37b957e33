//! Rows, pairs and forms of particular bytes.

#![cfg(test)]

use std::collections::BTreeMap;

use chanwire_core::wire::{Command, Request, StartLine as _};
use chanwire_inspect::{
    Capture,
    Direction::{self, In, Out},
    Field, FieldKind, Listing, MAX_FIELDS, MAX_OPEN_REQUESTS, MAX_SUMMARY, MAX_TEXT, Problem, Row, RowKind, check,
    commands, compose,
};
use serde_json::Value;

const HOST: &str =
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240}";
const MESSAGE: &str = "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}";
const NOTICE: &str = "NOTICE\r\n{\"notice\": \"new\", \"channel_name\": \"general\"}";
const PUSH: &str = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 7, \"username\": \"user1\", \
                    \"message_content\": \"hi\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
const DELIVERED: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
const REFUSED: &str =
    "REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"Missing required field 'username'\"}";

fn list(direction: Direction, bytes: &str) -> Vec<Row> {
    let mut listing = Listing::new(direction, None);
    listing.feed(bytes.as_bytes());
    listing.finish();
    std::iter::from_fn(|| listing.next_row()).collect()
}

fn one(direction: Direction, bytes: &str) -> Row {
    let mut rows = list(direction, bytes);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// A capture of one connection, which gives the rows that each call completes.
struct Conversation(Capture);

impl Conversation {
    fn new() -> Self {
        Self::with_payloads(65_536)
    }

    fn with_payloads(limit: usize) -> Self {
        let mut capture = Capture::new(64 << 20);
        capture.open_with(1, "test", limit, 64 << 20);
        Self(capture)
    }

    fn feed(&mut self, direction: Direction, time: f64, bytes: &[u8]) -> Vec<Row> {
        let from = self.0.end_number();
        self.0.bytes(1, direction, time, bytes);
        self.rows(from)
    }

    fn finish(&mut self, direction: Direction, time: f64) -> Vec<Row> {
        let from = self.0.end_number();
        self.0.end(1, direction, time);
        self.rows(from)
    }

    fn rows(&self, from: u64) -> Vec<Row> {
        (from..self.0.end_number()).map(|number| self.0.describe(number).unwrap()).collect()
    }
}

fn pairs(rows: &[Row]) -> Vec<Option<u64>> {
    rows.iter().map(|row| row.pair).collect()
}

fn values(typed: &[(&str, &str)]) -> BTreeMap<String, String> {
    typed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_summary_says_what_a_frame_is_about() {
    let channels = "{\"channel_name\": \"a\", \"peer_server_ip\": \"b\", \"peer_server_port\": 1}";
    for (direction, bytes, summary) in [
        (Out, "LIST\r\n", "which channels are there?"),
        (Out, HOST, "general at 192.168.1.5:22240"),
        (Out, MESSAGE, "user1: Hello, World!"),
        (Out, "MESSAGE\r\n{\"username\": \"a\", \"message_content\": \"b\", \"channel_name\": \"c\"}", "a to c: b"),
        (Out, &HOST.replace("22240}", "22240, \"lease\": 60}"), "general at 192.168.1.5:22240 for 60 s"),
        (Out, "UNHOST\r\n{\"channel_name\": \"general\"}", "general"),
        (Out, "JOIN\r\n{\"channel_name\": \"general\"}", "general"),
        (Out, "JOIN\r\n{\"channel_name\": \"general\", \"history\": 5}", "general with the last 5"),
        (Out, "JOIN\r\n{\"channel_name\": \"general\", \"after\": 0}", "general after 0"),
        (Out, "LEAVE\r\n{\"channel_name\": \"general\"}", "general"),
        (Out, "HISTORY\r\n{\"channel_name\": \"general\"}", "the last 100 of general"),
        (Out, "HISTORY\r\n{\"channel_name\": \"general\", \"after\": 7, \"limit\": 3}", "3 of general after 7"),
        (Out, "HISTORY\r\n{\"channel_name\": \"general\", \"before\": 7}", "100 of general before 7"),
        (Out, "HELLO\r\n{}", "what can the server do?"),
        (Out, "HELLO\r\n{\"notices\": true}", "what can the server do? with notices"),
        (Out, "JOIN\r\n{\"channel_name\": \"general\", \"after\": 7, \"username\": \"ann\"}", "general after 7 as ann"),
        (Out, "WHO\r\n{\"channel_name\": \"general\"}", "general"),
        (Out, "CHANNELS\r\n{}", "the first 100 channels"),
        (Out, "CHANNELS\r\n{\"after\": 7, \"limit\": 10, \"contains\": \"gen\"}", "10 channels with 'gen' after 7"),
        (Out, "DELETE\r\n{\"channel_name\": \"general\", \"id\": 7}", "message 7 of general"),
        (Out, "CONNECTIONS\r\n{}", "the first 100 connections"),
        (Out, "CONNECTIONS\r\n{\"after\": 7, \"limit\": 10}", "10 connections after 7"),
        (Out, "DISCONNECT\r\n{\"connection\": 17}", "connection 17"),
        (
            Out,
            "ROLE\r\n{\"channel_name\": \"general\", \"account\": \"bob\", \"role\": \"muted\", \"seconds\": 60}",
            "muted in general: bob for 60 s",
        ),
        (
            Out,
            "ROLE\r\n{\"channel_name\": \"general\", \"sender_of\": 7, \"role\": \"none\"}",
            "none in general: message 7",
        ),
        (Out, "SETTINGS\r\n{\"channel_name\": \"general\"}", "general"),
        (
            Out,
            "SETTINGS\r\n{\"channel_name\": \"general\", \"members_only\": true, \"slow_mode\": 5}",
            "general, members only true, slow mode 5 s",
        ),
        (In, "NOTICE\r\n{\"notice\": \"new\", \"channel_name\": \"general\"}", "new of general"),
        (
            In,
            "NOTICE\r\n{\"notice\": \"role\", \"channel_name\": \"general\", \"role\": \"muted\", \"until\": \"2023-11-02T15:04:32Z\"}",
            "role in general: muted until 2023-11-02T15:04:32Z",
        ),
        (
            In,
            "NOTICE\r\n{\"notice\": \"settings\", \"channel_name\": \"general\", \"members_only\": true, \"slow_mode\": 5}",
            "settings of general, members only, slow mode 5 s",
        ),
        (
            In,
            "NOTICE\r\n{\"notice\": \"presence\", \"channel_name\": \"general\", \"count\": 3, \"joined\": [{\"username\": \"ann\"}, {\"username\": \"bob\"}], \"left\": [{\"username\": \"cleo\"}]}",
            "presence of general: 3, joined ann bob, left cleo",
        ),
        (
            In,
            "NOTICE\r\n{\"notice\": \"presence\", \"channel_name\": \"general\", \"count\": 3}",
            "presence of general: 3",
        ),
        (In, "NOTICE\r\n{\"channel_name\": \"general\"}", "Invalid payload: Missing required field 'notice'"),
        (Out, "HOST\r\n{}", "Invalid payload: Missing required field 'channel_name'"),
        (Out, "PING\r\n", "Unknown command: Unknown command 'PING'"),
        (Out, " \r\n", "3 bytes between frames"),
        (In, "OK\r\n{\"channels\": []}", "0 channels"),
        (In, &format!("OK\r\n{{\"channels\": [{channels}]}}"), "1 channel"),
        (In, &format!("OK\r\n{{\"channels\": [{channels}, {channels}]}}"), "2 channels"),
        (In, "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}", "success general"),
        (In, DELIVERED, "delivered 2023-11-02T15:04:32Z"),
        (In, REFUSED, "Invalid payload: Missing required field 'username'"),
        (In, PUSH, "general 7, user1: hi"),
        (In, "OK\r\n{\"new\": \"\u{202e}\"}", r#"{"new": "\u{202e}"}"#),
    ] {
        assert_eq!(one(direction, bytes).summary, summary, "{bytes}");
    }
}

/// Returns the payload with one of its texts replaced, for each of them.
fn with_each_text(payload: &Value, text: &str) -> Vec<Value> {
    match payload {
        Value::String(_) => vec![Value::from(text)],
        Value::Array(values) => (0..values.len())
            .flat_map(|at| with_each_text(&values[at], text).into_iter().map(move |value| (at, value)))
            .map(|(at, value)| {
                let mut values = values.clone();
                values[at] = value;
                Value::Array(values)
            })
            .collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| with_each_text(member, text).into_iter().map(move |value| (name, value)))
            .map(|(name, value)| {
                let mut members = members.clone();
                members.insert(name.clone(), value);
                Value::Object(members)
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_hostile_text_in_any_field_is_harmless_in_every_part_of_a_row() {
    // No name has controls; of other characters it may have any.
    let (name, text) = ("a\u{202e}b\u{2066}\u{200b}c", "a\u{202e}b\u{1b}[2Jc");
    let acts = |text: &str| text.chars().any(|char| char.is_control() || name.contains(char) && !char.is_ascii());
    let channel = "{\"channel_name\": \"a\", \"peer_server_ip\": \"b\", \"peer_server_port\": 1}";
    let (mut frames, mut shown) = (0, 0);
    for (direction, frame) in [
        (Out, HOST),
        (Out, MESSAGE),
        (Out, "MESSAGE\r\n{\"username\": \"a\", \"message_content\": \"b\", \"channel_name\": \"c\"}"),
        (Out, "UNHOST\r\n{\"channel_name\": \"general\"}"),
        (Out, "JOIN\r\n{\"channel_name\": \"general\", \"history\": 5}"),
        (Out, "LEAVE\r\n{\"channel_name\": \"general\"}"),
        (Out, "HISTORY\r\n{\"channel_name\": \"general\", \"after\": 7}"),
        (Out, "HOST\r\n{\"channel_name\": 5, \"other\": \"x\"}"),
        (In, &format!("OK\r\n{{\"channels\": [{channel}]}}")),
        (In, "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}"),
        (In, "OK\r\n{\"status\": \"joined\", \"channel_name\": \"c\", \"first_id\": 1, \"last_id\": 2}"),
        (In, "OK\r\n{\"status\": \"left\", \"channel_name\": \"c\"}"),
        (In, "OK\r\n{\"status\": \"removed\", \"channel_name\": \"c\"}"),
        (In, &format!("OK\r\n{{\"channel_name\": \"c\", \"messages\": [{}]}}", &PUSH["MESSAGE\r\n".len()..])),
        (In, "OK\r\n{\"new\": \"x\"}"),
        (In, DELIVERED),
        (In, REFUSED),
        (In, PUSH),
    ] {
        let (line, payload) = frame.split_once("\r\n").unwrap();
        let payload = serde_json::from_str(payload).unwrap();
        for payload in [name, text].iter().flat_map(|hostile| with_each_text(&payload, hostile)) {
            let bytes = format!("{line}\r\n{payload}");
            // An answer may belong to any command, or to none that is known.
            let mut rows = list(direction, &bytes);
            for command in Command::ALL {
                let mut capture = Capture::new(1 << 20);
                capture.open(1, "");
                if direction == In {
                    capture.bytes(1, Out, 0.0, format!("{}\r\n{{}}", command.name()).as_bytes());
                }
                let from = capture.end_number();
                capture.bytes(1, direction, 0.0, bytes.as_bytes());
                for entry in capture.entries(from, capture.end_number()) {
                    rows.push(capture.describe(entry.number()).unwrap());
                    let error = entry.error().unwrap_or_default();
                    assert!(![entry.head(), &entry.summary(), &error].into_iter().any(acts), "{bytes:?}");
                }
            }
            for row in rows {
                frames += 1;
                shown += usize::from(row.summary.contains("\\u{202e}"));
                let fault = row.fault.iter().flat_map(|fault| [&fault.error, &fault.details]);
                let mut texts = fault.chain([&row.head, &row.summary]).chain(row.error.as_ref());
                assert!(!texts.any(|text| acts(text)), "{bytes:?}: {row:?}");
            }
        }
    }
    // Most are no mistakes, and their summaries show the text.
    assert!(shown > 20 && frames >= 2 * 50, "{shown} of {frames}");
}

#[test]
fn a_long_text_is_cut_in_the_summary() {
    let row = one(Out, &MESSAGE.replace("World", &"w".repeat(1000)));
    assert_eq!((row.summary.chars().count(), row.summary.ends_with("ww…")), (MAX_SUMMARY + 1, true));
}

#[test]
fn a_frame_is_serialised_as_the_page_reads_it() {
    let mut conversation = Conversation::new();
    conversation.feed(Out, 10.0, b"LIST\r\n");
    let rows = conversation.feed(In, 12.5, b"OK\r\n{\"channels\": [], \"x\": 1}");
    let expected = r#"[{"kind":"frame","direction":"in","span":{"start":0,"end":28},"head":"OK","push":false,"command":{"start":0,"end":2},"separator":{"start":2,"end":4},"payload":{"start":4,"end":28},"fields":[{"name":"channels","key":{"start":5,"end":15},"value":{"start":17,"end":19},"kind":"array","text":"","children":[]},{"name":"x","key":{"start":21,"end":24},"value":{"start":26,"end":27},"kind":"number","text":"1","children":[]}],"summary":"0 channels","status":"OK","pair":1,"rtt":2.5}]"#;
    assert_eq!(serde_json::to_string(&rows).unwrap(), expected);
    let rows = check(b"HO?T{}");
    let expected = r#"[{"kind":"fault","direction":"out","span":{"start":0,"end":3},"head":"HO","push":false,"fields":[],"summary":"Malformed command: A command is 1 to 32 letters or underscores and then \\r\\n, found '?' at byte 2","fault":{"error":"Malformed command","details":"A command is 1 to 32 letters or underscores and then \\r\\n, found '?' at byte 2","at":2,"closes":true}},{"kind":"skipped","direction":"out","span":{"start":3,"end":6},"head":"discarded","push":false,"fields":[],"summary":"3 bytes after the connection's last frame"}]"#;
    assert_eq!(serde_json::to_string(&rows).unwrap(), expected);
}

#[test]
fn a_wrong_payload_is_a_frame_with_a_fault_at_its_absolute_byte() {
    let row = &list(Out, "LIST\r\nHOST\r\n{\"channel_name\": 5}")[1];
    let fault = row.fault.as_ref().unwrap();
    assert_eq!(
        (row.kind, fault.error.as_str(), fault.at, fault.closes),
        (RowKind::Frame, "Invalid payload", Some(29), false)
    );
    assert_eq!((row.fields[0].value.start, row.fields[0].text.as_str()), (29, "5"));
    let row = one(In, "OK\r\n{\"a\": tru}");
    assert_eq!((row.fault.unwrap().at, row.fields.len()), (Some(13), 0));
}

#[test]
fn pipelined_answers_pair_in_request_order_and_pushes_stay_aside() {
    let mut conversation = Conversation::new();
    let sent = conversation.feed(Out, 0.0, format!("LIST\r\n{MESSAGE}\n{MESSAGE}").as_bytes());
    assert_eq!(sent.len(), 4, "white space is a row");
    let first = conversation.feed(In, 1.0, format!("OK\r\n{{\"channels\": []}}{PUSH}{DELIVERED}").as_bytes());
    assert_eq!(pairs(&first), [Some(1), None, Some(2)]);
    assert_eq!((first[1].push, first[1].status, first[0].push), (true, None, false));
    assert_eq!(first[2].rtt, Some(1.0));
    // Rows 5 to 7 have come since: the third request is row 4.
    let second = conversation.feed(In, 4.0, DELIVERED.as_bytes());
    assert_eq!((second[0].pair, second[0].rtt), (Some(4), Some(4.0)));
}

#[test]
fn each_fault_of_a_request_takes_one_answer() {
    let mut conversation = Conversation::new();
    // A bare LF; an unknown command and its object; a payload wrong inside; LIST; a byte that closes, and the rest.
    let sent = "LIST\nPING\r\n{}HOST\r\n{\"channel_name\": 5}LIST\r\nHO?T and more";
    let sent = conversation.feed(Out, 0.0, sent.as_bytes());
    let kinds: Vec<RowKind> = sent.iter().map(|row| row.kind).collect();
    use RowKind::{Fault, Frame, Skipped};
    assert_eq!(kinds, [Fault, Fault, Skipped, Frame, Frame, Fault]);
    let answers = format!("{REFUSED}{REFUSED}{REFUSED}OK\r\n{{\"channels\": []}}{REFUSED}{REFUSED}");
    let answers = conversation.feed(In, 1.0, answers.as_bytes());
    assert_eq!(pairs(&answers), [Some(1), Some(2), Some(4), Some(5), Some(6), None]);
    assert_eq!(answers[0].error.as_deref(), Some("Invalid payload"));
}

#[test]
fn a_request_cut_off_by_the_end_is_answered() {
    let mut conversation = Conversation::new();
    conversation.feed(Out, 0.0, b"MESSAGE\r\n{\"user");
    let partial = conversation.0.arriving().next().unwrap();
    assert_eq!((partial.span.end, partial.head, partial.state.as_str()), (15, "MESSAGE", "inside a payload"));
    assert_eq!((partial.connection, partial.direction, partial.bytes), (1, Out, &b"MESSAGE\r\n{\"user"[..]));
    let cut = conversation.finish(Out, 1.0);
    assert_eq!(
        cut[0].fault.as_ref().map(|fault| (fault.error.as_str(), fault.closes)),
        Some(("Incomplete request", true))
    );
    assert_eq!(conversation.0.arriving().next(), None);
    assert_eq!(pairs(&conversation.feed(In, 2.0, REFUSED.as_bytes())), [Some(1)]);
}

#[test]
fn errors_that_tell_why_the_server_closes_answer_nothing() {
    for error in ["Slow consumer", "Server busy", "Request timed out", "Channel removed", "Server stopping"] {
        let mut conversation = Conversation::new();
        conversation.feed(Out, 0.0, b"LIST\r\n");
        let notice = format!("SERVER_ERROR\r\n{{\"error\": \"{error}\", \"details\": \"\"}}");
        let rows = conversation.feed(In, 1.0, (notice + "OK\r\n{\"channels\": []}").as_bytes());
        assert_eq!(pairs(&rows), [None, Some(1)], "{error}");
        assert_eq!((rows[0].error.as_deref(), rows[0].status), (Some(error), Some("SERVER_ERROR")));
    }
}

#[test]
fn an_answer_is_read_as_the_answer_of_its_request() {
    let mut conversation = Conversation::new();
    conversation.feed(Out, 0.0, format!("{MESSAGE}{MESSAGE}").as_bytes());
    let rows = conversation.feed(In, 1.0, format!("OK\r\n{{\"channels\": []}}{DELIVERED}").as_bytes());
    assert_eq!(rows[0].summary, "Invalid payload: Missing required field 'timestamp'");
    assert_eq!((pairs(&rows), &rows[1].fault), (vec![Some(1), Some(2)], &None));
    // Without a request it is read as what it looks like.
    assert_eq!((one(In, "OK\r\n{\"channels\": []}").fault, one(In, DELIVERED).fault), (None, None));
    assert!(one(In, "REQUEST_ERROR\r\n{\"error\": \"x\"}").fault.is_some());
}

const LISTED: &str = r#"{"channel_name": "general", "peer_server_ip": "::1", "peer_server_port": 1, "position": 12}"#;

const ROW: &str = r#"{"connection": 17, "peer": "192.0.2.7", "seconds": 1, "requests": 2, "received_bytes": 3, "sent_bytes": 4, "pushes": 5, "joined": 6, "waiting_bytes": 7}"#;

#[test]
fn the_answers_of_a_readable_channel_are_summed_up() {
    let message = |id| PUSH.trim_start_matches("MESSAGE\r\n").replace("\"id\": 7", &format!("\"id\": {id}"));
    let page = format!("OK\r\n{{\"channel_name\": \"general\", \"messages\": [{}, {}]}}", message(3), message(4));
    for (request, answer, summary) in [
        ("UNHOST", "OK\r\n{\"status\": \"removed\", \"channel_name\": \"general\"}", "removed general"),
        (
            "JOIN",
            "OK\r\n{\"status\": \"joined\", \"channel_name\": \"general\", \"first_id\": 3, \"last_id\": 4}",
            "joined general from 3, last 4",
        ),
        ("LEAVE", "OK\r\n{\"status\": \"left\", \"channel_name\": \"general\"}", "left general"),
        ("HISTORY", "OK\r\n{\"channel_name\": \"general\", \"messages\": []}", "general: no messages"),
        ("HISTORY", &page, "general 3 to 4"),
        (
            "HELLO",
            "OK\r\n{\"protocol\": 1, \"features\": [], \"encrypted\": false, \"max_payload\": 64}",
            "protocol 1, no features, payloads to 64",
        ),
        (
            "HELLO",
            "OK\r\n{\"protocol\": 1, \"features\": [\"auth\", \"who\"], \"encrypted\": false, \"max_payload\": 64}",
            "protocol 1, auth, who, payloads to 64",
        ),
        (
            "WHO",
            "OK\r\n{\"channel_name\": \"general\", \"count\": 3, \"users\": [{\"username\": \"ann\"}, {\"username\": \"bob\"}], \"complete\": false}",
            "3 in general, ann bob and more",
        ),
        ("CHANNELS", "OK\r\n{\"channels\": []}", "0 channels"),
        ("CHANNELS", &format!("OK\r\n{{\"channels\": [{LISTED}], \"next\": 12}}"), "1 channel and more"),
        (
            "DELETE",
            "OK\r\n{\"status\": \"deleted\", \"channel_name\": \"general\", \"id\": 7}",
            "deleted message 7 of general",
        ),
        ("ROLE", "OK\r\n{\"status\": \"set\", \"channel_name\": \"general\", \"role\": \"none\"}", "none in general"),
        (
            "SETTINGS",
            "OK\r\n{\"channel_name\": \"general\", \"members_only\": true, \"slow_mode\": 5, \"roles\": [{\"account\": \"bob\", \"role\": \"muted\"}]}",
            "general, members only, slow mode 5 s, 1 role",
        ),
        ("CONNECTIONS", "OK\r\n{\"connections\": []}", "0 connections"),
        ("CONNECTIONS", &format!("OK\r\n{{\"connections\": [{ROW}], \"next\": 17}}"), "1 connection and more"),
        ("DISCONNECT", "OK\r\n{\"status\": \"disconnected\", \"connection\": 17}", "disconnected 17"),
    ] {
        let mut conversation = Conversation::new();
        let request = format!(
            "{request}\r\n{{\"channel_name\": \"general\", \"id\": 7, \"connection\": 17, \"account\": \"bob\", \"role\": \"none\"}}"
        );
        let sent = conversation.feed(Out, 0.0, request.as_bytes());
        assert_eq!(sent[0].fault, None);
        // Pushes and notices between a request and its answer take no answer's place.
        let rows = conversation.feed(In, 1.0, format!("{PUSH}{answer}{NOTICE}").as_bytes());
        assert_eq!(pairs(&rows), [None, Some(1), None], "{answer}");
        assert!(rows[0].push && rows[2].push && rows[2].fault.is_none());
        assert_eq!((rows[1].summary.as_str(), &rows[1].fault, rows[1].push), (summary, &None, false));
    }
}

#[test]
fn nothing_is_paired_after_the_server_sent_what_is_no_frame() {
    let mut conversation = Conversation::new();
    conversation.feed(Out, 0.0, format!("LIST\r\n{MESSAGE}").as_bytes());
    let rows = conversation.feed(In, 1.0, format!("WHAT\r\n{DELIVERED}").as_bytes());
    assert_eq!((rows[0].kind, pairs(&rows)), (RowKind::Fault, vec![None, None]));
    conversation.feed(Out, 2.0, MESSAGE.as_bytes());
    assert_eq!(pairs(&conversation.feed(In, 3.0, DELIVERED.as_bytes())), [None]);
}

#[test]
fn requests_beyond_those_remembered_are_counted() {
    let mut conversation = Conversation::new();
    let answer = b"OK\r\n{\"channels\": []}";
    conversation.feed(Out, 0.0, &b"LIST\r\n".repeat(MAX_OPEN_REQUESTS + 2));
    assert_eq!(pairs(&conversation.feed(In, 1.0, &answer.repeat(2))), [Some(1), Some(2)]);
    // There is room again: what is sent now is remembered, and waits behind the two that were counted.
    conversation.feed(Out, 1.0, b"LIST\r\n");
    let remembered = MAX_OPEN_REQUESTS - 2;
    let rows = conversation.feed(In, 2.0, &answer.repeat(remembered + 4));
    let (first, last) = rows.split_at(remembered);
    assert!(first.iter().zip(3..).all(|(row, request)| row.pair == Some(request)));
    let last: Vec<_> = last.iter().map(|row| (row.pair, row.summary.as_str())).collect();
    let late = Some(MAX_OPEN_REQUESTS as u64 + 5);
    assert_eq!(last, [None, None, late, None].map(|pair| (pair, "0 channels")));
}

#[test]
fn a_large_payload_shows_its_first_values_and_says_how_many_more() {
    let row = one(In, &format!("OK\r\n{{\"a\": [{}], \"b\": {{\"c\": [1]}}}}", vec!["{\"x\": 0}"; 1500].join(", ")));
    // The array itself, 999 whole objects of two values, and the next object with nothing in it.
    let [array] = &row.fields[..] else { panic!("{:?}", row.fields.len()) };
    assert_eq!((array.children.len(), array.children[998].children.len()), (MAX_FIELDS / 2, 1));
    assert_eq!(row.omitted, (1 + 3000 + 3 - MAX_FIELDS) as u64);
    assert!(array.children[999].value.end < array.value.end && array.value.end < row.payload.unwrap().end - 1);
    fn count(fields: &[Field]) -> usize {
        fields.iter().map(|field| 1 + count(&field.children)).sum()
    }
    assert_eq!(count(&row.fields), MAX_FIELDS);
}

#[test]
fn a_long_value_is_cut_and_says_so() {
    let exact = "é".repeat(MAX_TEXT);
    let row = one(Out, &format!("MESSAGE\r\n{{\"a\": \"{exact}\", \"b\": \"{exact}é\", \"{exact}é\": null}}"));
    let [a, b, c] = &row.fields[..] else { panic!("three members") };
    assert_eq!(a.text, exact);
    for cut in [&b.text, &c.name] {
        assert_eq!((cut.chars().count(), cut.ends_with("é…")), (MAX_TEXT, true));
    }
    assert_eq!((c.kind, c.text.as_str()), (FieldKind::Null, "null"));
}

#[test]
fn every_command_has_a_form_whose_example_the_server_accepts() {
    let forms = commands();
    assert_eq!(forms.len(), Command::ALL.len());
    for form in forms {
        let rows = check(form.example.as_bytes());
        assert_eq!((rows.len(), rows[0].head.as_str(), &rows[0].fault), (1, form.command, &None));
        let members: Vec<&str> = rows[0].fields.iter().map(|field| field.name.as_str()).collect();
        let shown = form.fields.iter().filter(|field| field.required || members.contains(&field.name));
        assert_eq!(members, shown.map(|field| field.name).collect::<Vec<_>>());
        let typed = rows[0].fields.iter().map(|field| (field.name.clone(), field.text.clone())).collect();
        assert_eq!(compose(form.command, &typed).unwrap(), form.example.as_bytes());
    }
    let json = serde_json::to_string(&commands()[1].fields[2]).unwrap();
    assert_eq!(
        json,
        r#"{"name":"peer_server_port","kind":"integer","required":true,"hint":"an integer from 1 to 65535"}"#
    );
}

#[test]
fn every_field_that_is_wrong_is_told_in_the_servers_words() {
    let problems = compose("HOST", &values(&[("peer_server_ip", "0.0.0.0"), ("peer_server_port", "8o")])).unwrap_err();
    let reported: Vec<_> =
        problems.iter().map(|problem| (problem.field.as_deref(), problem.message.as_str())).collect();
    assert_eq!(
        reported,
        [
            (Some("channel_name"), "Missing required field 'channel_name'"),
            (
                Some("peer_server_ip"),
                "Field 'peer_server_ip' must be an IPv4 or IPv6 address or a host name, not unspecified, multicast or zoned"
            ),
            (Some("peer_server_port"), "Field 'peer_server_port' must be an integer from 1 to 65535"),
        ]
    );
    let problem = |field: Option<&str>, message: &str| {
        Err(vec![Problem { field: field.map(Into::into), message: message.into() }])
    };
    assert_eq!(compose("LIST", &values(&[("x", "1")])), problem(Some("x"), "LIST has no field 'x'"));
    assert_eq!(compose("PI\u{7}NG", &values(&[])), problem(None, r"Unknown command 'PI\u{7}NG'"));
    let long = "x".repeat(65_536);
    let typed = values(&[("username", "a"), ("message_content", &long)]);
    assert_eq!(compose("MESSAGE", &typed), problem(None, "The payload exceeds the limit of 65536 bytes"));
}

#[test]
fn spaces_around_a_typed_integer_are_no_part_of_it() {
    let typed =
        values(&[("channel_name", "general"), ("peer_server_ip", "192.168.1.5"), ("peer_server_port", " 22240 ")]);
    assert_eq!(compose("HOST", &typed).unwrap(), HOST.as_bytes());
}

#[test]
fn an_empty_optional_field_is_absent() {
    let typed = values(&[("username", "user1"), ("message_content", "Hello, World!"), ("channel_name", "")]);
    assert_eq!(compose("MESSAGE", &typed).unwrap(), MESSAGE.as_bytes());
    let bytes = compose("LIST", &values(&[])).unwrap();
    assert_eq!((bytes.as_slice(), Request::decode(Command::List, b"")), (&b"LIST\r\n"[..], Ok(Request::List)));
}

#[test]
fn a_check_ends_at_the_end_of_the_bytes() {
    let rows = check(b"LIST\r");
    assert_eq!(
        rows[0].fault.as_ref().map(|fault| fault.details.as_str()),
        Some("The connection ended inside a command")
    );
    assert!(check(b"").is_empty());
}
