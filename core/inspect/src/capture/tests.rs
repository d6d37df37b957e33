//! The cost of very many connections in a capture.

use super::*;

/// Connections that come and go, with a request and an answer each, and one that stays.
fn many(connections: u32, limit: usize) -> Capture {
    let mut capture = Capture::new(limit);
    capture.open(1, "stays");
    capture.bytes(1, Direction::Out, 0.0, b"LIST\r\n");
    for connection in 2..=connections {
        capture.open(connection, "192.0.2.7:50123");
        capture.bytes(connection, Direction::Out, 0.0, b"LIST\r\n");
        capture.bytes(connection, Direction::In, 0.0, b"OK\r\n{\"channels\": []}");
        capture.close(connection, 0.0);
        capture.note(connection, 0.0, "closed", "closed", false);
    }
    capture
}

#[test]
fn a_connection_costs_the_same_among_many() {
    for limit in [LEAST_LIMIT, 1 << 30] {
        let [few, more] = [1_000, 10_000].map(|count| many(count, limit).visits.get());
        assert!(more <= 11 * few, "10 times the connections, {more} steps after {few}, limit {limit}");
    }
}

#[test]
fn connections_of_lines_cost_the_same_among_many() {
    let mut capture = Capture::new(LEAST_LIMIT);
    let mut reader = crate::JsonLinesReader::new(0);
    let lines = 100_000;
    for connection in 1..=lines {
        let line = format!("{{\"connection\":{connection},\"label\":\"\"}}");
        assert_eq!(reader.line(line.as_bytes(), &mut capture), Ok(None));
    }
    reader.finish(&mut capture);
    assert!(capture.visits.get() <= 2 * lines, "{} steps", capture.visits.get());
    assert_eq!(capture.connections.len(), 0);
}

#[test]
fn only_connections_that_are_in_the_middle_of_something_are_looked_at_for_what_arrives() {
    let mut capture = Capture::new(1 << 30);
    for connection in 1..=20_000 {
        capture.open(connection, "");
        capture.bytes(connection, Direction::Out, 0.0, b"LIST\r\n");
    }
    capture.bytes(7, Direction::In, 0.0, b"OK\r\n{");
    capture.bytes(9, Direction::Out, 0.0, b"LI");
    capture.bytes(9, Direction::Out, 0.0, b"ST\r\n");
    let before = capture.visits.get();
    assert_eq!(capture.arriving().map(|frame| frame.connection).collect::<Vec<_>>(), [7]);
    assert_eq!(capture.visits.get(), before + 1);
    capture.close(7, 0.0);
    assert_eq!(capture.arriving().count(), 0);
}

#[test]
fn time_goes_on_where_dates_follow_times_that_are_none() {
    let mut capture = Capture::new(LEAST_LIMIT);
    capture.open(1, "");
    for time in [5.0, 25.0, 1.7e12, 1.7e12 + 10.0] {
        capture.bytes(1, Direction::Out, time, b"LIST\r\n");
    }
    let times: Vec<f64> = capture.entries(1, 5).map(|entry| entry.time()).collect();
    assert_eq!(times, [0.0, 20.0, 20.0, 30.0]);
    assert_eq!(capture.origin(), Some((1.7e12 - 20.0).into()));
}

#[test]
fn a_very_large_frame_is_not_carried_while_it_arrives() {
    let mut capture = Capture::new(1 << 30);
    capture.open(1, "");
    capture.bytes(1, Direction::In, 0.0, b"OK\r\n{\"a\": \"");
    assert!(capture.carried().is_some());
    capture.bytes(1, Direction::In, 0.0, &vec![b'x'; 1 << 20]);
    assert!(capture.carried().is_none());
    capture.bytes(1, Direction::In, 0.0, b"\"}");
    assert!(capture.carried().is_some());
}

#[test]
fn connections_are_forgotten_with_their_last_row() {
    let mut capture = many(100_000, LEAST_LIMIT);
    assert!(capture.memory() <= LEAST_LIMIT, "{}", capture.memory());
    let first = capture.first();
    let held: BTreeSet<u32> =
        capture.entries(first, capture.end_number()).map(|entry| entry.connection()).chain([1]).collect();
    assert!(capture.connections().eq(held));
    capture.clear();
    assert!(capture.connections().eq([1]));
    capture.close(1, 0.0);
    capture.clear();
    assert_eq!((capture.connections().count(), capture.pending, capture.unfinished), (0, 0, 0));
}

#[test]
fn frames_that_arrive_on_many_connections_are_given_up_without_looking_at_all_of_them_each_time() {
    let (connections, rounds) = (4_000_u32, 16_000);
    let mut capture = Capture::new(LEAST_LIMIT);
    for connection in 1..=connections {
        capture.open(connection, "");
        capture.bytes(connection, Direction::In, 0.0, b"OK\r\n{\"channels\": [");
    }
    for round in 0..rounds {
        capture.bytes(1 + round % connections, Direction::In, 0.0, &[b' '; 1_000]);
    }
    // A thousand bytes take two, and an eighth of the limit is made free at a time.
    let passes = rounds as usize * 2_000 / (LEAST_LIMIT / 8) + 1;
    let most = 2 * passes * connections as usize + 8 * rounds as usize;
    assert!(capture.visits.get() <= most, "{} steps, {most} expected", capture.visits.get());
}
