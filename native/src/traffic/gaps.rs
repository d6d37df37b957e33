//! Tests that a watcher's gaps and records together account for every byte and every answer of the stream.

use axum::body::Bytes;
use chanwire_inspect::{Direction, Gap, Listing, Row, RowKind};

use super::{
    boundaries::BoundaryFinder,
    record::{Record, RecordKind},
    watchers::{Watcher, Watchers},
};

/// Returns a stream with frames of many lengths, faults (which are answered), objects and white space (which are not)
/// and, from a server, pushes. Each frame has its number.
fn stream(direction: Direction, count: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..count {
        let more = "x".repeat(number * 37 % 211);
        stream.extend(
            match (direction, number % 7) {
                (Direction::Out, 0 | 4) => "LIST\r\n".to_owned(),
                (Direction::Out, 1) => "LIST\n".to_owned(),
                (Direction::Out, 2) => "NOTHING\r\n".to_owned(),
                (Direction::Out, 3) => format!("HOST\r\n{{\"n\":{number},\"x\":\"{more}\"}}"),
                (Direction::Out, 5) => format!("LEAVE\r\n{{\"n\":{number}}} \r\n"),
                (Direction::In, 0 | 1 | 4) => format!("MESSAGE\r\n{{\"n\":{number},\"x\":\"{more}\"}}"),
                (Direction::In, 2 | 3) => format!("OK\r\n{{\"n\":{number},\"x\":\"{more}\"}}\r\n"),
                (Direction::In, 5) => format!("REQUEST_ERROR\r\n{{\"n\":{number}}}"),
                (_, _) => format!("MESSAGE\r\n{{\"n\":{number}}}{{\"object\":\"{more}\"}}"),
            }
            .into_bytes(),
        );
    }
    stream
}

/// Returns the rows of a stream.
fn rows(direction: Direction, bytes: &[u8]) -> Vec<Row> {
    let mut listing = Listing::new(direction, Some(usize::MAX));
    listing.feed(bytes);
    std::iter::from_fn(|| listing.next_row()).collect()
}

fn frames(rows: &[Row]) -> u64 {
    rows.iter().filter(|row| matches!(row.kind, RowKind::Frame | RowKind::Fault)).count() as u64
}

fn paired(rows: &[Row]) -> u64 {
    rows.iter().filter(|row| row.kind == RowKind::Fault || row.kind == RowKind::Frame && !row.push).count() as u64
}

/// Publishes one direction of a connection.
struct Passing<'a> {
    watchers: &'a Watchers,
    connection: u32,
    direction: Direction,
    finder: BoundaryFinder,
}

impl<'a> Passing<'a> {
    fn new(watchers: &'a Watchers, connection: u32, direction: Direction) -> Self {
        Self { watchers, connection, direction, finder: BoundaryFinder::new(direction) }
    }

    fn pass(&mut self, bytes: &[u8]) {
        let (mut boundaries, begins) = (Vec::new(), self.finder.is_at_boundary());
        self.finder.feed(bytes, &mut boundaries);
        let between = (begins, self.finder.is_at_boundary());
        self.watchers.bytes(self.connection, self.direction, &Bytes::copy_from_slice(bytes), between, &boundaries);
    }
}

fn take_all(watcher: &Watcher, received: &mut Vec<Record>) {
    loop {
        let records = watcher.take(1 << 16);
        if records.is_empty() {
            return;
        }
        received.extend(records);
    }
}

/// Compares a direction's records with the stream from `start` on; returns the number of gaps.
fn check(direction: Direction, stream: &[u8], start: usize, received: &[Record], context: &str) -> usize {
    let mut at = start;
    let mut missed = Gap { bytes: 0, frames: Some(0), paired: Some(0) };
    let (mut seen, mut gaps) = (Vec::new(), 0);
    for record in received {
        match &record.kind {
            RecordKind::Bytes(way, bytes) if *way == direction => {
                assert_eq!(&stream[at..at + bytes.len()], &bytes[..], "{context}: other bytes at {at}");
                seen.extend_from_slice(bytes);
                at += bytes.len();
            }
            RecordKind::Gap(way, gap, text) if *way == direction => {
                let skipped = rows(direction, &stream[at..at + usize::try_from(gap.bytes).unwrap()]);
                assert_eq!(gap.frames, Some(frames(&skipped)), "{context}: frames of the gap at {at}");
                assert_eq!(gap.paired, Some(paired(&skipped)), "{context}: answers of the gap at {at}");
                let s = if gap.frames == Some(1) { "" } else { "s" };
                let (frames, bytes) = (gap.frames.unwrap(), gap.bytes);
                assert!(text.starts_with(&format!("{frames} frame{s}, {bytes} bytes dropped")), "{context}: {text}");
                missed.bytes += bytes;
                missed.frames = missed.frames.map(|all| all + frames);
                missed.paired = missed.paired.zip(gap.paired).map(|(all, more)| all + more);
                at += usize::try_from(bytes).unwrap();
                gaps += 1;
            }
            _ => {}
        }
    }
    assert_eq!(at, stream.len(), "{context}: where it ends");
    let (all, seen) = (rows(direction, &stream[start..]), rows(direction, &seen));
    assert_eq!(missed.frames, Some(frames(&all) - frames(&seen)), "{context}");
    assert_eq!(missed.paired, Some(paired(&all) - paired(&seen)), "{context}");
    gaps
}

#[test]
fn records_and_gaps_account_for_the_whole_stream() {
    for direction in [Direction::Out, Direction::In] {
        let stream = stream(direction, 1500);
        let (mut cut_inside, mut all_gaps) = (0, 0);
        for (read, limit) in [(5, 32_768), (97, 4_096), (512, 4_096), (1_000, 4_096), (4_096, 9_000), (9_001, 12_000)] {
            for takes_every in [2, 7, 40, usize::MAX] {
                let context = format!("{direction}, reads of {read}, a queue of {limit}, taken every {takes_every}");
                let watchers = Watchers::new(0);
                let watcher = watchers.watch(limit);
                let connection = watchers.open("client".into(), "server".into());
                let mut passing = Passing::new(&watchers, connection, direction);
                let mut received = Vec::new();
                for (index, bytes) in stream.chunks(read).enumerate() {
                    passing.pass(bytes);
                    if index % takes_every == 0 {
                        received.extend(watcher.take(limit / 3));
                    }
                }
                watchers.end(connection, direction);
                watchers.close(connection, "closed", false);
                take_all(&watcher, &mut received);
                let gaps = check(direction, &stream, 0, &received, &context);
                all_gaps += gaps;
                let lengths = received.iter().filter_map(|record| match &record.kind {
                    RecordKind::Bytes(_, bytes) => Some(bytes.len()),
                    _ => None,
                });
                cut_inside += lengths.filter(|length| length % read != 0).count();
            }
        }
        assert!(cut_inside > 20 && all_gaps > 20, "{direction}: {cut_inside} reads cut, {all_gaps} gaps");
    }
}

#[test]
fn a_late_watcher_counts_unanswered_requests_as_missed() {
    let (requests, answers) = (stream(Direction::Out, 60), stream(Direction::In, 60));
    for requested in (11..requests.len()).step_by(11) {
        for answered in [0, 40, 500] {
            let watchers = Watchers::new(0);
            let connection = watchers.open("client".into(), "server".into());
            let mut out = Passing::new(&watchers, connection, Direction::Out);
            let mut back = Passing::new(&watchers, connection, Direction::In);
            out.pass(&requests[..requested]);
            back.pass(&answers[..answered]);
            let watcher = watchers.watch(1 << 20);
            out.pass(&requests[requested..]);
            back.pass(&answers[answered..]);
            watchers.close(connection, "closed", false);
            let mut received = Vec::new();
            take_all(&watcher, &mut received);
            let gap = received.iter().find_map(|record| match &record.kind {
                RecordKind::Gap(Direction::Out, gap, _) => Some(*gap),
                _ => None,
            });
            let seen: Vec<u8> = received
                .iter()
                .filter_map(|record| {
                    if let RecordKind::Bytes(Direction::Out, bytes) = &record.kind { Some(bytes) } else { None }
                })
                .flatten()
                .copied()
                .collect();
            assert!(requests.ends_with(&seen));
            // Requests answered before it attached do not count.
            let before = paired(&rows(Direction::Out, &requests[..requested]));
            let unseen = paired(&rows(Direction::Out, &requests)) - paired(&rows(Direction::Out, &seen));
            let open = before.saturating_sub(paired(&rows(Direction::In, &answers[..answered])));
            let expected = open + unseen - before;
            assert_eq!(
                gap.and_then(|gap| gap.paired),
                Some(expected),
                "{requested} bytes of requests, {answered} answered"
            );
        }
    }
}
