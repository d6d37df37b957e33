//! Rows as lines of JSON: which connections are in them, when they were, and how many there may be.

#![cfg(test)]

use chanwire_inspect::{
    Capture,
    Direction::{In, Out},
    Entry, JsonLinesReader, JsonLinesWriter, golden, golden_of,
};

fn rows(capture: &Capture) -> impl Iterator<Item = Entry<'_>> {
    capture.entries(capture.first(), capture.end_number())
}

fn written(capture: &Capture, origin: f64) -> String {
    let (mut writer, mut lines) = (JsonLinesWriter::new(), Vec::new());
    writer.set_origin(origin);
    rows(capture).for_each(|entry| writer.row(capture, &entry, false, &mut lines));
    String::from_utf8(lines).unwrap()
}

fn read_lines(lines: &str, before: u32, limit: usize) -> (Capture, u32) {
    let (mut capture, mut reader) = (Capture::new(limit), JsonLinesReader::new(before));
    for line in lines.lines() {
        reader.line(line.as_bytes(), &mut capture).unwrap();
    }
    let connections = reader.connections();
    reader.finish(&mut capture);
    (capture, connections)
}

#[test]
fn connections_of_lines_are_numbered_anew_and_none_is_out_of_reach() {
    let lines = [
        r#"{"connection":4294967295,"label":"last"}"#,
        r#"{"row":9,"connection":4294967295,"direction":"out","kind":"frame","time":0,"text":"LIST\r\n"}"#,
        r#"{"row":10,"connection":7,"direction":"out","kind":"frame","time":0,"text":"LIST\r\n"}"#,
    ];
    let (capture, connections) = read_lines(&lines.join("\n"), 5, 1 << 20);
    assert_eq!(connections, 2);
    assert_eq!(capture.connections().collect::<Vec<_>>(), [6, 7]);
    assert_eq!((capture.label(6), capture.label(7)), (Some("last"), Some("")));
    assert_eq!(rows(&capture).map(|entry| entry.connection()).collect::<Vec<_>>(), [6, 7]);
}

#[test]
fn connections_of_lines_count_in_the_memory_that_is_allowed() {
    let limit = 1 << 20;
    let lines: String = (1..200_000_u32)
        .map(|connection| {
            format!(
                "{{\"connection\":{connection},\"label\":\"{}\"}}\n{{\"row\":{connection},\"connection\":{connection},\
                 \"direction\":\"in\",\"kind\":\"note\",\"time\":0,\"head\":\"closed\",\"says\":\"closed\"}}\n",
                "x".repeat(50)
            )
        })
        .collect();
    let (mut capture, mut reader) = (Capture::new(limit), JsonLinesReader::new(0));
    for line in lines.lines() {
        reader.line(line.as_bytes(), &mut capture).unwrap();
        assert!(capture.memory() <= limit, "{} bytes", capture.memory());
    }
    // Those of which nothing is held are gone, and those that were announced alone are not kept without bound.
    assert!(capture.connections().count() < 20_000);
    let announced: String = (1..100_000_u32).map(|n| format!("{{\"connection\":{n},\"label\":\"\"}}\n")).collect();
    let (mut capture, mut reader) = (Capture::new(limit), JsonLinesReader::new(0));
    for line in announced.lines() {
        reader.line(line.as_bytes(), &mut capture).unwrap();
    }
    assert_eq!(capture.connections().count(), 1 << 16);
    reader.finish(&mut capture);
    assert_eq!(capture.connections().count(), 0);
}

#[test]
fn a_file_of_lines_has_so_many_connections_and_no_more() {
    let (mut capture, mut reader) = (Capture::new(1 << 20), JsonLinesReader::new(0));
    let mut line = |n: u32| reader.line(format!("{{\"connection\":{n},\"label\":\"\"}}").as_bytes(), &mut capture);
    assert!((1..=1 << 20).all(|n| line(n).is_ok()));
    let refused = line((1 << 20) + 1).unwrap_err();
    assert!(refused.contains("more than 1048576 connections"), "{refused}");
    // One that is known may be named again.
    assert!(line(3).is_ok());
}

#[test]
fn lines_keep_when_they_were_recorded() {
    let started = 1_698_937_472_250.0;
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "a");
    capture.bytes(1, Out, started, b"LIST\r\n");
    capture.bytes(1, In, started + 2.5, b"OK\r\n{\"channels\": []}");
    let lines = written(&capture, started);
    assert!(lines.starts_with(r#"{"connection":1,"label":"a","started":"2023-11-02T15:04:32.250000Z"}"#), "{lines}");
    let (again, _) = read_lines(&lines, 0, 1 << 20);
    assert_eq!(again.origin(), Some(started.into()));
    assert_eq!(written(&again, started), lines);

    // Beside what was recorded a second earlier they are a second later.
    let (mut both, mut reader) = (Capture::new(1 << 20), JsonLinesReader::new(1));
    both.open(1, "before");
    both.note(1, started - 1000.0, "connected", "before", false);
    lines.lines().for_each(|line| assert_eq!(reader.line(line.as_bytes(), &mut both), Ok(None)));
    let times: Vec<f64> = rows(&both).map(|entry| entry.time()).collect();
    assert_eq!(times, [0.0, 1000.0, 1002.5]);

    // Rows without a date are not given one.
    assert!(!written(&capture, 0.0).contains("started"));
}

#[test]
fn a_test_is_read_back_as_the_connection_that_it_is_of() {
    let (out, back) = (b"LIST\r\nHOST\r\n{} x\nLIST\r\n", b"OK\r\n{\"channels\": []}OK\r\n{}");
    let file = golden([&out[..]], [&back[..]]);
    let (capture, connections) = read_lines(&file, 0, 1 << 20);
    assert_eq!(connections, 1);
    assert_eq!(golden_of(&capture, 1, false), Ok(file));
    assert_eq!(rows(&capture).find(|entry| entry.direction() == In).unwrap().pair(), Some(1));
}
