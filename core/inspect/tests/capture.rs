//! The capture of recorded connections, and its memory limit.

#![cfg(test)]

use chanwire_inspect::{
    Capture,
    Direction::{self, In, Out},
    Entry, Gap, JsonLinesReader, JsonLinesWriter, ReadPart, Row, RowKind, Viewer, golden, golden_of,
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

const MESSAGE: &str = "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}";
const DELIVERED: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";

fn opened(limit: usize) -> Capture {
    let mut capture = Capture::new(limit);
    capture.open(1, "192.0.2.7:50123");
    capture.open(2, "");
    capture
}

fn entries(capture: &Capture) -> Vec<Entry<'_>> {
    capture.entries(capture.first(), capture.end_number()).collect()
}

fn heads(capture: &Capture) -> Vec<(RowKind, String)> {
    entries(capture).iter().map(|entry| (entry.kind(), entry.head().to_owned())).collect()
}

/// Returns rows without their times and reads.
fn rows(capture: &Capture) -> Vec<Row> {
    (capture.first()..capture.end_number()).map(|number| capture.describe(number).unwrap()).collect()
}

#[test]
fn a_row_costs_at_most_64_bytes_beside_its_own() {
    let mut capture = opened(1 << 30);
    let (requests, answers) = (MESSAGE.repeat(1000), DELIVERED.repeat(1000));
    for round in 0..200 {
        capture.bytes(1, Out, f64::from(round), requests.as_bytes());
        capture.bytes(1, In, f64::from(round) + 0.5, answers.as_bytes());
    }
    let bytes = 200 * (requests.len() + answers.len());
    let overhead = (capture.memory() - bytes) as f64 / 400_000.0;
    assert!((31.0..64.0).contains(&overhead), "{overhead} bytes a row");
    // Memory in use grows as it is reported: an allocation counter would count the same.
    capture.clear();
    assert!(capture.memory() < 4096, "{} bytes are left", capture.memory());
}

#[test]
fn the_oldest_rows_go_first_and_what_is_left_is_whole() {
    let mut capture = opened(1 << 20);
    for round in 0..20_000_u32 {
        capture.bytes(1, Out, f64::from(round), MESSAGE.as_bytes());
        capture.bytes(1, In, f64::from(round), DELIVERED.as_bytes());
        assert!(capture.memory() <= 1 << 20, "{} bytes", capture.memory());
    }
    let (first, end) = (capture.first(), capture.end_number());
    assert!(first > 20_000 && end == 40_001 && capture.dropped() == first - 1, "{first} to {end}");
    assert!(capture.entry(first - 1).is_none() && capture.entry(end).is_none());
    for entry in entries(&capture) {
        let expected = if entry.direction() == Out { MESSAGE } else { DELIVERED };
        assert_eq!(entry.bytes(), expected.as_bytes());
        let distance = if entry.direction() == Out { 1 } else { -1 };
        assert_eq!(entry.pair(), entry.number().checked_add_signed(distance));
    }
    let last = capture.describe(end - 1).unwrap();
    assert_eq!(last.span.end, 20_000 * DELIVERED.len() as u64);
}

#[test]
fn rows_that_are_released_take_no_memory_and_answers_are_paired_all_the_same() {
    let mut capture = opened(1 << 30);
    for round in 0..5_000_u32 {
        let request = capture.end_number();
        capture.bytes(1, Out, f64::from(round), MESSAGE.as_bytes());
        capture.release(capture.end_number());
        capture.bytes(1, In, f64::from(round) + 0.5, DELIVERED.as_bytes());
        let answer = capture.entry(request + 1).unwrap();
        assert_eq!((answer.pair(), answer.rtt()), (Some(request), Some(0.5)));
        assert!(capture.entry(request).is_none());
        capture.release(capture.end_number());
        assert!(capture.memory() < 64 << 10, "{} bytes", capture.memory());
    }
    assert_eq!((capture.first(), capture.end_number(), capture.label(1)), (10_001, 10_001, Some("192.0.2.7:50123")));
    // Of what is not printed yet nothing goes.
    capture.bytes(1, Out, 1e6, b"LIST\nLIST\r\n");
    capture.release(10_002);
    assert_eq!((capture.first(), capture.bad()), (10_001, 1));
}

/// Records what takes the most memory: many rows, large ones, requests without answers, connections, notes, and
/// arriving frames.
fn fill(capture: &mut Capture, kind: u32, bytes: usize) {
    match kind {
        0 => capture.bytes(1, Out, 1.0, MESSAGE.repeat(bytes / MESSAGE.len()).as_bytes()),
        1 => {
            let large = format!("OK\r\n{{\"channels\": \"{}\"}}", "x".repeat(100_000));
            capture.bytes(1, In, 1.0, large.repeat(bytes / large.len()).as_bytes());
        }
        2 => (0..bytes / 200).for_each(|at| capture.note(1, at as f64, "note", &"n".repeat(100), at % 3 == 0)),
        3 => {
            let begun = format!("OK\r\n{{\"channels\": \"{}", "x".repeat(bytes / 8));
            (0..8).for_each(|at| {
                capture.open(100 + at, "another");
                capture.bytes(100 + at, In, 1.0, begun.as_bytes());
            });
        }
        _ => capture.bytes(1, Out, 1.0, &b"LIST\n".repeat(bytes / 50)),
    }
}

#[test]
fn the_bound_holds_after_one_read_however_large_it_is() {
    for kind in 0..5 {
        for limit in [1 << 20, 2 << 20] {
            let mut capture = opened(limit);
            for size in [5 << 20, 1 << 20] {
                let end = capture.end_number();
                fill(&mut capture, kind, size);
                assert!(capture.memory() <= limit, "kind {kind}: {} bytes of {limit}", capture.memory());
                assert!(capture.first() >= end || size < 2 * limit || kind == 3, "kind {kind}: old rows are left");
                let held = entries(&capture).iter().filter(|entry| entry.is_bad()).count() as u64;
                assert_eq!(capture.bad(), held, "kind {kind}: what is bad of what is held");
            }
            assert_eq!(capture.dropped(), capture.first() - 1);
        }
    }
}

#[test]
fn the_bound_holds_at_once_when_it_shrinks() {
    for kind in 0..4 {
        let mut capture = opened(64 << 20);
        fill(&mut capture, kind, 20 << 20);
        let before = capture.memory();
        assert!(before > 18 << 20, "kind {kind}: {before} bytes");
        for limit in [18 << 20, 1 << 20] {
            capture.set_limit(limit);
            // Rows are dropped in chunks, and the last one was made for the larger bound.
            assert!(capture.memory() <= limit.max(17 << 20), "kind {kind}: {} bytes of {limit}", capture.memory());
            assert_eq!(capture.limit(), limit);
        }
        // It is never less than this.
        capture.set_limit(0);
        assert_eq!(capture.limit(), 1 << 20);
    }
}

#[test]
fn a_frame_that_cannot_be_held_while_it_arrives_is_given_up_and_decoding_goes_on_after_it() {
    let mut capture = opened(1 << 20);
    capture.bytes(1, Out, 0.0, b"LIST\r\n");
    capture.bytes(1, In, 0.0, b"OK\r\n{\"channels\": \"");
    for round in 0..200 {
        capture.bytes(1, In, f64::from(round), &[b'x'; 4096]);
        assert!(capture.memory() <= 2 << 20, "{} bytes", capture.memory());
    }
    capture.bytes(1, In, 2000.0, format!("\"}}{DELIVERED}").as_bytes());
    let heads = heads(&capture);
    assert!(heads.contains(&(RowKind::Gap, "missing".into())), "{heads:?}");
    assert_eq!(heads.last().unwrap(), &(RowKind::Frame, "OK".into()));
    assert_eq!(entries(&capture).last().unwrap().bytes(), DELIVERED.as_bytes());
}

#[test]
fn reads_begin_and_end_where_they_did() {
    let mut capture = opened(1 << 20);
    capture.bytes(1, Out, 10.0, b"LIST\r\nLI");
    capture.bytes(1, Out, 11.0, b"ST");
    capture.bytes(1, Out, 12.0, b"\r\nLIST\r\n");
    capture.bytes(1, Out, 13.0, b"LIST\r\n");
    let parts: Vec<Vec<ReadPart>> = entries(&capture).iter().map(Entry::reads).collect();
    let part = |start, end, time, begins, ends| ReadPart { start, end, time, begins, ends };
    assert_eq!(
        parts,
        [
            vec![part(0, 6, 0.0, true, false)],
            vec![part(0, 2, 0.0, false, true), part(2, 4, 1.0, true, true), part(4, 6, 2.0, true, false)],
            vec![part(0, 6, 2.0, false, true)],
            vec![part(0, 6, 3.0, true, true)],
        ]
    );
}

#[test]
fn bytes_that_mean_nothing_are_told_without_waiting_for_their_end() {
    let (mut capture, mut bytewise) = (opened(1 << 24), opened(1 << 24));
    let stream = [&b"LIST\r\n"[..], &[b' '; 70_000], b"HO?T", &[b'x'; 140_000]].concat();
    capture.bytes(1, Out, 0.0, &stream);
    stream.chunks(1000).for_each(|piece| bytewise.bytes(1, Out, 0.0, piece));
    let lengths = |capture: &Capture| -> Vec<usize> { entries(capture).iter().map(Entry::length).collect() };
    assert_eq!(lengths(&capture), [6, 65_536, 4464, 3, 65_536, 65_536]);
    assert_eq!(lengths(&bytewise), lengths(&capture));
    capture.end(1, Out, 1.0);
    assert_eq!(*lengths(&capture).last().unwrap(), 140_001 - 2 * 65_536);
}

#[test]
fn after_a_gap_the_next_frame_is_found_and_the_cut_one_reported() {
    let mut capture = opened(1 << 20);
    capture.bytes(1, Out, 0.0, b"LIST\r\nMESSAGE\r\n{\"username\": \"us");
    capture.gap(1, Some(Out), 1.0, Gap { bytes: 100, frames: None, paired: None }, "not captured");
    capture.bytes(1, Out, 2.0, b"World\\r\\nLIST!\"}UNHO");
    capture.bytes(1, Out, 3.0, b"ST\r");
    capture.bytes(1, Out, 4.0, b"\n{\"channel_name\": \"general\"}");
    use RowKind::{Frame, Gap as Missing, Skipped};
    let expected = [(Frame, "LIST"), (Skipped, "cut"), (Missing, "missing"), (Skipped, "unaligned"), (Frame, "UNHOST")];
    assert_eq!(heads(&capture), expected.map(|(kind, head)| (kind, head.to_owned())));
    let unaligned = capture.describe(4).unwrap();
    // The bytes that are missing count.
    assert_eq!(unaligned.span.start, 31 + 100);
    assert_eq!(unaligned.summary, "16 bytes before the first frame after a gap");
}

#[test]
fn pairing_goes_on_after_a_gap_that_says_how_much_is_missing() {
    let mut capture = opened(1 << 20);
    let whole = |paired| Gap { bytes: 500, frames: Some(3), paired };
    capture.bytes(1, Out, 0.0, b"LIST\r\n");
    capture.gap(1, Some(Out), 1.0, whole(Some(2)), "");
    capture.bytes(1, Out, 2.0, MESSAGE.as_bytes());
    // The answers to LIST and to the first of those that are missing.
    capture.bytes(1, In, 3.0, b"OK\r\n{\"channels\": []}OK\r\n{}");
    capture.gap(1, Some(In), 4.0, whole(Some(1)), "");
    capture.bytes(1, In, 5.0, DELIVERED.as_bytes());
    let pairs: Vec<_> = entries(&capture).iter().map(Entry::pair).collect();
    assert_eq!(pairs, [Some(4), None, Some(7), Some(1), None, None, Some(3)]);
    // One that does not say it ends pairing.
    capture.gap(1, Some(In), 6.0, whole(None), "");
    capture.bytes(1, Out, 7.0, b"LIST\r\n");
    capture.bytes(1, In, 8.0, b"OK\r\n{\"channels\": []}");
    assert_eq!(entries(&capture).last().unwrap().pair(), None);
}

#[test]
fn positions_are_exact_beyond_four_gibibytes() {
    let mut capture = opened(1 << 20);
    capture.bytes(1, Out, 0.0, b"LIST\r\n");
    let far = u64::from(u32::MAX) * 3;
    capture.gap(1, Some(Out), 1.0, Gap { bytes: far, frames: Some(1), paired: Some(0) }, "");
    capture.bytes(1, Out, 2.0, b"LIST\r\nLIST\r\n");
    let starts: Vec<u64> =
        entries(&capture).iter().filter(|entry| entry.length() > 0).map(|entry| capture.position(entry)).collect();
    assert_eq!(starts, [0, far + 6, far + 12]);
}

#[test]
fn a_connection_is_known_while_a_row_of_it_is_held() {
    let mut capture = opened(1 << 20);
    capture.bytes(1, Out, 0.0, b"LIST\r\n");
    capture.close(1, 1.0);
    capture.bytes(1, Out, 2.0, b"LIST\r\n");
    assert_eq!((capture.end_number(), capture.label(1)), (2, Some("192.0.2.7:50123")));
    capture.clear();
    assert_eq!(capture.connections().collect::<Vec<_>>(), [2]);
}

#[test]
fn statistics_count_the_recorded_rows() {
    let mut capture = opened(1 << 20);
    capture.bytes(1, Out, 0.0, format!("{MESSAGE}LIST\r\nPING\r\nMESSAGE\r\n{{}}").as_bytes());
    let refused = "REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"\"}";
    let answers = format!("{DELIVERED}{refused}{refused}{refused}");
    capture.bytes(1, In, 8.0, answers.as_bytes());
    let table = capture.statistics();
    let line = |name: &str| {
        let row = table.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name}: {table:?}"));
        (row.count, row.bytes, row.bad, row.p50.map(|trip| trip.round()))
    };
    // The LIST is wrong by its answer alone, the second MESSAGE by both and counts once.
    assert_eq!(line("MESSAGE"), (2, MESSAGE.len() as u64 + 11, 1, Some(8.0)));
    assert_eq!(line("LIST"), (1, 6, 1, Some(8.0)));
    assert_eq!(line("fault"), (1, 6, 1, None));
    assert_eq!((line("REQUEST_ERROR").0, line("REQUEST_ERROR").2, line("OK").2), (3, 3, 0));
}

fn times(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

const PIECES: [&str; 20] = [
    "LIST\r\n",
    "LIST\n",
    "LIST\r",
    "PING\r\n{\"skipped\": []}",
    " \r\n\t",
    "HO",
    "{}",
    MESSAGE,
    DELIVERED,
    "MESSAGE\r\n \n{\"username\": \"user1\", \"message_content\": \"\\u202e \\ud83d\\ude00\\n\"}",
    "MESSAGE\r\n{\"channel_name\": \"a\", \"id\": 7, \"username\": \"b\", \"message_content\": \"c\", \
     \"timestamp\": \"2023-11-02T15:04:32Z\"}",
    "OK\r\n{\"channels\": []}",
    "OK\r\n{\"something\": \"else\"}",
    "OK\n",
    "OK\r\n[1]",
    "REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"\\u001b[2J\"}",
    "SERVER_ERROR\r\n{\"error\": \"Slow consumer\", \"details\": \"\"}",
    "HOST\r\n{\"channel_name\": 5}",
    "HO?T",
    "\u{202e}\u{7}",
];

#[derive(Clone, Debug)]
enum Event {
    Bytes(u32, Direction, Vec<u8>),
    End(u32, Direction),
    Note(u32, String, bool),
    Gap(u32, Option<Direction>, Gap),
    Close(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let connection = 1_u32..3;
    let direction = select(vec![Out, In]);
    let piece = prop_oneof![
        12 => select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    let gap = (0_u64..9, any::<Option<bool>>(), any::<Option<bool>>()).prop_map(|(bytes, frames, paired)| Gap {
        bytes,
        frames: frames.map(u64::from),
        paired: paired.map(u64::from),
    });
    prop_oneof![
        20 => (connection.clone(), direction.clone(), piece).prop_map(|(connection, direction, bytes)| Event::Bytes(connection, direction, bytes)),
        1 => (connection.clone(), direction.clone()).prop_map(|(connection, direction)| Event::End(connection, direction)),
        1 => (connection.clone(), "[a-c\"\\\\]{0,3}", any::<bool>()).prop_map(|(connection, text, bad)| Event::Note(connection, text, bad)),
        1 => (connection.clone(), select(vec![Some(Out), Some(In), None]), gap)
            .prop_map(|(connection, direction, gap)| Event::Gap(connection, direction, gap)),
        1 => connection.prop_map(Event::Close),
    ]
}

fn record(capture: &mut Capture, events: &[Event]) {
    for (index, event) in events.iter().enumerate() {
        let time = index as f64 * 0.75;
        match event {
            Event::Bytes(connection, direction, bytes) => capture.bytes(*connection, *direction, time, bytes),
            Event::End(connection, direction) => capture.end(*connection, *direction, time),
            Event::Note(connection, text, bad) => capture.note(*connection, time, "note", text, *bad),
            Event::Gap(connection, direction, gap) => capture.gap(*connection, *direction, time, *gap, "missing here"),
            Event::Close(connection) => capture.close(*connection, time),
        }
    }
}

/// Returns everything that rows say of themselves.
fn said(capture: &Capture) -> Vec<String> {
    let said = |entry: &Entry<'_>| {
        let row = capture.describe(entry.number()).unwrap();
        let (pair, error, note) = (entry.pair(), entry.error(), entry.note());
        format!(
            "{row:?} {pair:?} {error:?} {note:?} {:?} {:?} {} {:?} {:?} {:?}",
            entry.reads(),
            entry.time(),
            entry.is_bad(),
            entry.command(),
            entry.rtt(),
            capture.label(entry.connection()).unwrap_or_default(),
        )
    };
    entries(capture).iter().map(said).collect()
}

proptest! {
    #![proptest_config(times(1500))]

    #[test]
    fn rows_tile_both_streams_of_every_connection_whatever_happens(events in vec(event(), 0..30)) {
        let mut capture = opened(1 << 20);
        record(&mut capture, &events);
        let mut fed: std::collections::BTreeMap<(u32, Direction), Vec<u8>> = Default::default();
        for event in &events {
            if let Event::Bytes(connection, direction, bytes) = event {
                fed.entry((*connection, *direction)).or_default().extend(bytes);
            }
        }
        let mut decoded: std::collections::BTreeMap<(u32, Direction), Vec<u8>> = Default::default();
        for entry in entries(&capture) {
            let reads = entry.reads();
            prop_assert!(reads.is_empty() == (entry.length() == 0));
            prop_assert_eq!(reads.last().map_or(0, |read| read.end), entry.length());
            prop_assert!(reads.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].ends && pair[1].begins));
            decoded.entry((entry.connection(), entry.direction())).or_default().extend(entry.bytes());
        }
        for (stream, decoded) in decoded {
            let fed = fed.remove(&stream).unwrap_or_default();
            prop_assert!(fed.starts_with(&decoded), "{:?}", stream);
        }
    }

    #[test]
    fn rows_do_not_depend_on_the_reads(pieces in vec(select(&PIECES[..]), 0..12), step in 1_usize..9, inward: bool) {
        let direction = if inward { In } else { Out };
        let stream = pieces.concat().into_bytes();
        let (mut whole, mut cut) = (opened(1 << 20), opened(1 << 20));
        whole.bytes(1, direction, 0.0, &stream);
        stream.chunks(step).for_each(|piece| cut.bytes(1, direction, 0.0, piece));
        whole.end(1, direction, 0.0);
        cut.end(1, direction, 0.0);
        prop_assert_eq!(rows(&cut), rows(&whole));
    }

    #[test]
    fn lines_of_json_lose_nothing(events in vec(event(), 0..30), marked in 0_u64..6) {
        let mut viewer = Viewer::new(1 << 20);
        viewer.capture_mut().open(1, "192.0.2.7:50123");
        viewer.capture_mut().open(2, "b\u{e9}");
        record(viewer.capture_mut(), &events);
        viewer.mark(marked, true);
        let capture = viewer.capture();
        let (mut writer, mut lines) = (JsonLinesWriter::new(), Vec::new());
        for entry in entries(capture) {
            writer.row(capture, &entry, entry.number() == marked, &mut lines);
        }
        let (mut again, mut reader) = (Capture::new(1 << 20), JsonLinesReader::new(0));
        let mut marks = Vec::new();
        for line in lines.split(|byte| *byte == b'\n') {
            let mark = reader.line(line, &mut again).map_err(|reason| {
                TestCaseError::fail(format!("{reason}: {}", String::from_utf8_lossy(line)))
            })?;
            marks.extend(mark);
        }
        prop_assert_eq!(said(&again), said(capture));
        prop_assert_eq!(marks, viewer.marks().collect::<Vec<_>>());
        prop_assert_eq!((again.bad(), again.statistics().len()), (capture.bad(), capture.statistics().len()));
        reader.finish(&mut again);
        prop_assert!(again.arriving().next().is_none());
    }

    #[test]
    fn a_golden_file_comes_out_of_its_own_bytes_however_they_are_cut(
        out in vec(select(&PIECES[..]), 0..8), r#in in vec(select(&PIECES[..]), 0..8), step in 1_usize..9,
    ) {
        let (out, r#in) = (out.concat().into_bytes(), r#in.concat().into_bytes());
        let whole = golden([&out[..]], [&r#in[..]]);
        prop_assert_eq!(&golden(out.chunks(step), r#in.chunks(step)), &whole);
        let mut capture = opened(1 << 20);
        capture.bytes(2, Out, 0.0, &out);
        capture.bytes(2, In, 0.0, &r#in);
        capture.close(2, 1.0);
        if !whole.is_empty() {
            prop_assert_eq!(golden_of(&capture, 2, true), Ok(whole));
        }
    }
}

#[test]
fn a_line_that_is_none_is_refused_with_why() {
    let mut capture = Capture::new(1 << 20);
    let mut reader = JsonLinesReader::new(0);
    for (line, reason) in [
        ("{", "EOF while parsing an object at column 1"),
        ("{\"row\":1}", "missing field `direction`"),
        (r#"{"row":1,"time":0,"direction":"out","kind":"frame","text":"LIST\r\n"}"#, "missing field `connection`"),
        (
            r#"{"row":1,"connection":1,"direction":"out","kind":"frame","time":0,"text":"LIST\r\n","position":9007199254740993}"#,
            "a position is at most 9007199254740992",
        ),
        (r#"{"connection":1,"label":"x","started":"today"}"#, "started: 'today' is no time"),
        (r#"{"connection":0,"label":"x"}"#, "numbered from 1 on"),
        (r#"{"row":1,"connection":0,"direction":"out","kind":"frame","time":0,"text":"LIST\r\n"}"#, "none is 0"),
        (r#"{"row":1,"connection":1,"direction":"out","kind":"frame","time":0,"text":"LIST"}"#, "not one whole frame"),
        (r#"{"row":1,"connection":1,"direction":"out","kind":"fault","time":0,"text":"x"}"#, "what is wrong with them"),
        (r#"{"row":1,"connection":1,"direction":"out","kind":"note","time":0,"text":"x"}"#, "have no bytes"),
        (
            r#"{"row":1,"connection":1,"direction":"out","kind":"skipped","time":0,"text":"x","head":"y"}"#,
            "why they are",
        ),
        (r#"{"row":1,"connection":1,"direction":"out","kind":"frame","time":0,"base64":"?"}"#, "base64: "),
        (
            r#"{"row":1,"connection":1,"direction":"in","kind":"frame","time":0,"text":"OK\r\n{}","asked":"X"}"#,
            "no command 'X'",
        ),
    ] {
        let refused = reader.line(line.as_bytes(), &mut capture).unwrap_err();
        assert!(refused.contains(reason), "{refused}: {line}");
    }
    assert_eq!(capture.end_number(), 1);
}
