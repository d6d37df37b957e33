//! The tap over real sockets: what clients get, and what watchers get.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chanwire_inspect::{Capture, Direction, RowKind};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::relay::{Route, failed, relay};
use crate::{
    server_address::ServerAddress,
    tls::{TlsError, Trust, made::Identity},
    traffic::{BoundaryFinder, Record, RecordKind, Watcher, Watchers},
};

/// The limit on each wait, far above the usual time. No test passes because of it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Ends a test that would hang.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the test hangs")
}

/// Takes what a watcher is told until that is enough, and shows the last of it where it never is. `between` is done
/// after each look.
async fn records_until(
    watcher: &Watcher,
    enough: impl Fn(&[Record]) -> bool,
    mut between: impl AsyncFnMut(),
) -> Vec<Record> {
    let end = Instant::now() + DEADLINE;
    let mut all = Vec::new();
    while !enough(&all) {
        assert!(Instant::now() < end, "{} records came, the last: {:?}", all.len(), all.last());
        between().await;
        take_all(watcher, &mut all);
    }
    all
}

/// Takes all that a watcher has.
fn take_all(watcher: &Watcher, all: &mut Vec<Record>) {
    let end = Instant::now() + DEADLINE;
    loop {
        let records = watcher.take(1 << 20);
        if records.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "records come without end: {:?}", records.last());
        all.extend(records);
    }
}

/// A tap before a server that the test plays.
struct Bench {
    watchers: Watchers,
    address: SocketAddr,
    server: TcpListener,
    _accepting: JoinHandle<()>,
}

impl Bench {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap().to_string();
        let (watchers, address, accepting) = tap(to).await;
        Self { watchers, address, server, _accepting: accepting }
    }

    /// A client, and the server's end of its connection.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.address).await.unwrap();
        let (server, _) = within(self.server.accept()).await.unwrap();
        (client, server)
    }
}

async fn tap(to: String) -> (Watchers, SocketAddr, JoinHandle<()>) {
    tap_by(Route { sessions: None, to: to.parse().unwrap(), trust: Trust::system() }).await
}

/// A tap that goes this way.
async fn tap_by(route: Route) -> (Watchers, SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let watchers = Watchers::new(0);
    let watching = watchers.clone();
    let accepting = tokio::spawn(async move {
        while let Ok((client, peer)) = listener.accept().await {
            let (route, watchers) = (route.clone(), watching.clone());
            tokio::spawn(async move { relay(client, peer, &route, &watchers).await });
        }
    });
    (watchers, address, accepting)
}

/// Everything that a watcher is told until a connection is over.
async fn until_closed(watcher: &Watcher) -> Vec<Record> {
    let is_closed = |all: &[Record]| all.iter().any(|record| matches!(record.kind, RecordKind::Close { .. }));
    // On a timeout, one last check before the records are shown.
    records_until(watcher, is_closed, async || drop(timeout(DEADLINE, watcher.wait()).await)).await
}

fn stream(records: &[Record], direction: Direction) -> Vec<u8> {
    let bytes = records.iter().filter_map(|record| match &record.kind {
        RecordKind::Bytes(way, bytes) if *way == direction => Some(bytes.to_vec()),
        _ => None,
    });
    bytes.flatten().collect()
}

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(within(stream.read_to_end(&mut rest)).await, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn bytes_pass_unchanged_and_are_told_with_requests_before_answers() {
    let bench = Bench::new().await;
    let watcher = bench.watchers.watch(1 << 20);
    let (mut client, mut server) = bench.pair().await;
    let mut buffer = [0; 64];
    // No protocol at all, and then some.
    for (said, answered) in [(&b"\0\xff{{]"[..], &b"\r\r\n"[..]), (b"LIST\r\n", b"OK\r\n{}")] {
        client.write_all(said).await.unwrap();
        within(server.read_exact(&mut buffer[..said.len()])).await.unwrap();
        assert_eq!(&buffer[..said.len()], said);
        server.write_all(answered).await.unwrap();
        within(client.read_exact(&mut buffer[..answered.len()])).await.unwrap();
        assert_eq!(&buffer[..answered.len()], answered);
    }
    drop((client, server));
    let records = until_closed(&watcher).await;
    let ways: Vec<Direction> = records
        .iter()
        .filter_map(|record| if let RecordKind::Bytes(way, _) = record.kind { Some(way) } else { None })
        .collect();
    assert_eq!(ways, [Direction::Out, Direction::In, Direction::Out, Direction::In]);
    assert_eq!(stream(&records, Direction::Out), b"\0\xff{{]LIST\r\n");
    assert_eq!(stream(&records, Direction::In), b"\r\r\nOK\r\n{}");
}

#[tokio::test]
async fn a_half_close_passes_and_the_other_half_goes_on() {
    let bench = Bench::new().await;
    let watcher = bench.watchers.watch(1 << 20);
    let (mut client, mut server) = bench.pair().await;
    client.write_all(b"LIST\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut asked = Vec::new();
    within(server.read_to_end(&mut asked)).await.unwrap();
    assert_eq!(asked, b"LIST\r\n");
    server.write_all(b"OK\r\n{}").await.unwrap();
    drop(server);
    let mut answered = Vec::new();
    within(client.read_to_end(&mut answered)).await.unwrap();
    assert_eq!(answered, b"OK\r\n{}");
    let records = until_closed(&watcher).await;
    let ends: Vec<&RecordKind> =
        records.iter().map(|record| &record.kind).filter(|kind| matches!(kind, RecordKind::End(_))).collect();
    assert_eq!(ends, [&RecordKind::End(Direction::Out), &RecordKind::End(Direction::In)]);
    assert_eq!(records.last().unwrap().kind, RecordKind::Close { reason: "closed".into(), bad: false });
}

#[tokio::test]
async fn a_reset_passes_either_way() {
    for by_client in [true, false] {
        let bench = Bench::new().await;
        let watcher = bench.watchers.watch(1 << 20);
        let (mut client, mut server) = bench.pair().await;
        // Both ends know of each other.
        client.write_all(b"x").await.unwrap();
        within(server.read_u8()).await.unwrap();
        let (gone, mut left) = if by_client { (client, server) } else { (server, client) };
        reset(&gone);
        drop(gone);
        assert!(is_reset(&mut left).await, "by client: {by_client}");
        let records = until_closed(&watcher).await;
        let reason = if by_client { "reset by the client" } else { "reset by the server" };
        assert_eq!(records.last().unwrap().kind, RecordKind::Close { reason: reason.into(), bad: true });
    }
}

#[tokio::test]
async fn a_reset_passes_also_after_a_half_close() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    client.shutdown().await.unwrap();
    let mut nothing = Vec::new();
    within(server.read_to_end(&mut nothing)).await.unwrap();
    reset(&client);
    drop(client);
    // The server reads nothing more; it is told by the error of its socket.
    let failed = within(server.ready(tokio::io::Interest::ERROR)).await;
    assert!(failed.is_ok());
    assert!(server.write_all(b"x").await.is_err() || server.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn an_error_that_was_told_is_a_reset_and_none_is_no_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    assert_eq!(failed(&stream).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    peer.shutdown().await.unwrap();
    stream.readable().await.unwrap();
    assert_eq!(failed(&stream).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    reset(&peer);
    drop(peer);
    within(stream.ready(tokio::io::Interest::ERROR)).await.unwrap();
    // Once as the socket's own error, and from then on because it has no peer.
    for _ in 0..2 {
        let error = failed(&stream).unwrap();
        assert!(
            matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe),
            "{error}"
        );
    }
}

#[tokio::test]
async fn bytes_before_a_reset_of_the_server_arrive() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    // It leaves something unread, so that its closing is a reset that overtakes nothing on its own connection.
    client.write_all(b"unread").await.unwrap();
    server.readable().await.unwrap();
    server.write_all(b"REQUEST_ERROR\r\n{}").await.unwrap();
    let mut said = [0; 17];
    within(client.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"REQUEST_ERROR\r\n{}");
    drop(server);
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_refused_connection_resets_the_client_and_reports_the_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (watchers, address, _accepting) = tap(closed.to_string()).await;
    let watcher = watchers.watch(1 << 20);
    // The refusal may come so soon that connecting fails already, as it would without the tap.
    if let Ok(mut client) = TcpStream::connect(address).await {
        assert!(is_reset(&mut client).await);
    }
    let records = until_closed(&watcher).await;
    assert!(matches!(&records[0].kind, RecordKind::Open { server, .. } if *server == closed.to_string()));
    assert!(
        matches!(&records[1].kind, RecordKind::Close { reason, bad: true } if reason.contains("cannot be reached") && reason.contains("refused"))
    );
}

/// Requests of 100 bytes or so, each answered; returns how many.
async fn busy(client: &mut TcpStream, server: &mut TcpStream, rounds: usize) {
    let request = format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"{}\"}}", "x".repeat(100));
    let answer = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
    let (many, back) = (request.repeat(100), answer.repeat(100));
    let (mut asked, mut answered) = (vec![0; many.len()], vec![0; back.len()]);
    for _ in 0..rounds {
        client.write_all(many.as_bytes()).await.unwrap();
        within(server.read_exact(&mut asked)).await.unwrap();
        assert_eq!(asked, many.as_bytes());
        server.write_all(back.as_bytes()).await.unwrap();
        within(client.read_exact(&mut answered)).await.unwrap();
        assert_eq!(answered, back.as_bytes());
    }
}

#[tokio::test]
async fn a_stuck_watcher_loses_whole_frames_that_are_counted_and_slows_no_one() {
    let bench = Bench::new().await;
    let watcher = bench.watchers.watch(256 << 10);
    let (mut client, mut server) = bench.pair().await;
    // It takes nothing while fifty times its queue passes.
    busy(&mut client, &mut server, 500).await;
    assert!(watcher.waiting() < (256 << 10) + (128 << 10), "{} bytes wait", watcher.waiting());
    // It looks again, and everything from then on arrives.
    let mut records = Vec::new();
    take_all(&watcher, &mut records);
    busy(&mut client, &mut server, 1).await;
    drop((client, server));
    records.extend(until_closed(&watcher).await);

    let mut capture = Capture::new(64 << 20);
    let mut missing = [0; 2];
    for Record { connection, time, kind } in &records {
        match kind {
            RecordKind::Open { client, .. } => capture.open(*connection, client),
            RecordKind::Bytes(direction, bytes) => capture.bytes(*connection, *direction, *time, bytes),
            RecordKind::Gap(direction, gap, text) => {
                missing[usize::from(*direction == Direction::In)] += gap.frames.unwrap();
                assert!(text.contains("dropped here by the tap"), "{text}");
                capture.gap(*connection, Some(*direction), *time, *gap, text);
            }
            RecordKind::End(direction) => capture.end(*connection, *direction, *time),
            RecordKind::Close { .. } => capture.close(*connection, *time),
        }
    }
    // Every frame was seen or counted, and none was seen in part.
    let seen = |way| {
        let rows = capture.entries(capture.first(), capture.end_number());
        rows.filter(|entry| entry.kind() == RowKind::Frame && entry.direction() == way).count() as u64
    };
    assert!(missing[0] > 0 && missing[1] > 0);
    assert_eq!((seen(Direction::Out) + missing[0], seen(Direction::In) + missing[1]), (50_100, 50_100));
    let faults = capture.entries(capture.first(), capture.end_number()).filter(|entry| entry.kind() == RowKind::Fault);
    assert_eq!(faults.count(), 0);
    let cut = capture.entries(capture.first(), capture.end_number()).filter(|entry| entry.kind() == RowKind::Skipped);
    assert_eq!(cut.count(), 0);
    // And the last answers belong to the last requests.
    let last = capture.entries(capture.end_number() - 50, capture.end_number());
    assert!(last.filter(|entry| entry.kind() == RowKind::Frame).all(|entry| entry.pair().is_some()));
}

/// A stream of frames that comes in reads of this size, to a watcher that takes something only now and then: the rows
/// that it makes of what it is told, and how many frames it was told that it missed.
fn watched(frame: &str, count: usize, read: usize, limit: usize, takes_every: usize) -> (Capture, u64) {
    let watchers = Watchers::new(0);
    let watcher = watchers.watch(limit);
    let connection = watchers.open("client".into(), "server".into());
    let stream = frame.repeat(count).into_bytes();
    let (mut finder, mut boundaries, mut records) = (BoundaryFinder::new(Direction::Out), Vec::new(), Vec::new());
    for (index, bytes) in stream.chunks(read).enumerate() {
        let begins = finder.is_at_boundary();
        boundaries.clear();
        finder.feed(bytes, &mut boundaries);
        let bytes = axum::body::Bytes::copy_from_slice(bytes);
        watchers.bytes(connection, Direction::Out, &bytes, (begins, finder.is_at_boundary()), &boundaries);
        if index % takes_every == 0 {
            records.extend(watcher.take(limit));
        }
        assert!(watcher.waiting() <= 2 * limit + read + 256, "{} bytes wait", watcher.waiting());
    }
    watchers.end(connection, Direction::Out);
    watchers.close(connection, "closed", false);
    take_all(&watcher, &mut records);
    let (mut capture, mut missed) = (Capture::new(64 << 20), 0);
    for Record { connection, time, kind } in records {
        match kind {
            RecordKind::Open { client, .. } => capture.open(connection, &client),
            RecordKind::Bytes(direction, bytes) => capture.bytes(connection, direction, time, &bytes),
            RecordKind::Gap(direction, gap, text) => {
                missed += gap.frames.unwrap();
                capture.gap(connection, Some(direction), time, gap, &text);
            }
            RecordKind::End(direction) => capture.end(connection, direction, time),
            RecordKind::Close { .. } => capture.close(connection, time),
        }
    }
    (capture, missed)
}

#[test]
fn no_frame_is_cut_in_two_wherever_the_reads_end() {
    let frame = format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"{}\"}}", "x".repeat(100));
    for read in [7, 64, 150, 1000, 1024, 4096] {
        for takes_every in [3, 17, usize::MAX] {
            let (capture, missed) = watched(&frame, 2000, read, 16 << 10, takes_every);
            let rows = |kind| {
                capture.entries(capture.first(), capture.end_number()).filter(|row| row.kind() == kind).count() as u64
            };
            let context = format!("reads of {read}, taken every {takes_every}");
            assert_eq!((rows(RowKind::Skipped), rows(RowKind::Fault)), (0, 0), "{context}");
            assert_eq!(rows(RowKind::Frame) + missed, 2000, "{context}");
        }
    }
}

#[test]
fn a_frame_that_would_never_end_is_cut_and_said_to_be_missing() {
    let frame = format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"{}\"}}", "x".repeat(60_000));
    let (capture, missed) = watched(&frame, 4, 1000, 16 << 10, usize::MAX);
    let rows = |kind| capture.entries(capture.first(), capture.end_number()).filter(|row| row.kind() == kind).count();
    assert_eq!((missed, rows(RowKind::Frame), rows(RowKind::Gap)), (4, 0, 1));
}

#[tokio::test]
async fn a_watcher_is_told_the_address_that_was_reached() {
    let bench = Bench::new().await;
    let port = bench.server.local_addr().unwrap().port();
    let (watchers, address, _accepting) = tap(format!("localhost:{port}")).await;
    let watcher = watchers.watch(1 << 20);
    let client = TcpStream::connect(address).await.unwrap();
    drop((client, within(bench.server.accept()).await.unwrap()));
    let records = until_closed(&watcher).await;
    let reached = bench.server.local_addr().unwrap().to_string();
    assert!(matches!(&records[0].kind, RecordKind::Open { server, .. } if *server == reached), "{:?}", records[0]);
}

#[tokio::test]
async fn a_watcher_may_come_at_any_time_and_begins_at_a_frame() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    client.write_all(b"LIST\r\nHOST\r\n{\"cha").await.unwrap();
    let mut asked = [0; 17];
    within(server.read_exact(&mut asked)).await.unwrap();
    let watcher = bench.watchers.watch(1 << 20);
    client.write_all(b"\":1}LIST\r\n").await.unwrap();
    within(server.read_exact(&mut asked[..10])).await.unwrap();
    server.write_all(b"OK\r\n{}OK\r\n{}OK\r\n{}").await.unwrap();
    within(client.read_exact(&mut asked[..12])).await.unwrap();
    drop((client, server));
    let records = until_closed(&watcher).await;
    assert!(matches!(records[0].kind, RecordKind::Open { .. }));
    let gap = records.iter().find_map(|record| match &record.kind {
        RecordKind::Gap(Direction::Out, gap, _) => Some(*gap),
        _ => None,
    });
    // The LIST that waited for its answer, and the HOST that was half there.
    assert_eq!(gap.and_then(|gap| gap.paired), Some(2));
    assert_eq!(stream(&records, Direction::Out), b"LIST\r\n");
    assert_eq!(stream(&records, Direction::In), b"OK\r\n{}OK\r\n{}OK\r\n{}");
}

/// Three connections at a time, whose frames come in reads of this size, the oldest one being closed now and then; says
/// how many frames and bytes there were.
fn traffic(watchers: &Watchers, read: usize, frames: usize) -> (u64, u64) {
    let frame =
        |at: usize| format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"{}\"}}", "x".repeat(at % 90));
    let stream: Vec<u8> = (0..frames).flat_map(|at| frame(at).into_bytes()).collect();
    let mut open: std::collections::VecDeque<(u32, BoundaryFinder)> = std::collections::VecDeque::new();
    let (mut all, mut bytes_of_all) = (0, 0);
    for round in 0..9 {
        if open.len() == 3 {
            let (oldest, _) = open.pop_front().unwrap();
            watchers.end(oldest, Direction::Out);
            watchers.close(oldest, "closed", false);
        }
        open.push_back((
            watchers.open(format!("client {round}"), "server".into()),
            BoundaryFinder::new(Direction::Out),
        ));
        for bytes in stream.chunks(read) {
            for (connection, finder) in &mut open {
                let (begins, mut boundaries) = (finder.is_at_boundary(), Vec::new());
                finder.feed(bytes, &mut boundaries);
                all += boundaries.iter().filter(|boundary| boundary.is_frame).count() as u64;
                bytes_of_all += bytes.len() as u64;
                let bytes = axum::body::Bytes::copy_from_slice(bytes);
                watchers.bytes(*connection, Direction::Out, &bytes, (begins, finder.is_at_boundary()), &boundaries);
            }
        }
    }
    (all, bytes_of_all)
}

fn everything(watcher: &Watcher) -> Vec<Record> {
    std::iter::from_fn(|| Some(watcher.take(1 << 20)).filter(|records| !records.is_empty())).flatten().collect()
}

#[test]
fn a_late_watcher_gets_the_backlog_like_an_early_one() {
    let watchers = Watchers::new(16 << 20);
    let early = watchers.watch(16 << 20);
    traffic(&watchers, 50, 100);
    let late = watchers.watch(1 << 10);
    assert_eq!(late.earlier, crate::traffic::EarlierTraffic::default());
    let (early, late) = (everything(&early), everything(&late));
    assert!(early.len() > 1000 && early == late, "{} records, and {}", early.len(), late.len());
}

#[test]
fn evicted_traffic_is_counted_and_no_frame_is_cut() {
    for (read, limit) in [(7, 0), (64, 4 << 10), (64, 64 << 10), (1000, 20 << 10), (4096, 3 << 10), (4096, 60 << 10)] {
        let context = format!("reads of {read}, {limit} bytes");
        let watchers = Watchers::new(limit);
        let (frames, bytes) = traffic(&watchers, read, 100);
        let late = watchers.watch(1 << 20);
        // Later traffic is recorded as well.
        assert!(late.waiting() < limit + (1 << 10), "{} bytes: {context}", late.waiting());
        let records = everything(&late);
        let mut capture = Capture::new(64 << 20);
        let (mut missing, mut passed) = ((0, 0), 0);
        for Record { connection, time, kind } in records {
            match kind {
                RecordKind::Open { client, .. } => capture.open(connection, &client),
                RecordKind::Bytes(direction, bytes) => {
                    passed += bytes.len() as u64;
                    capture.bytes(connection, direction, time, &bytes);
                }
                RecordKind::Gap(_, gap, _) => missing = (missing.0 + gap.frames.unwrap(), missing.1 + gap.bytes),
                RecordKind::End(direction) => capture.end(connection, direction, time),
                RecordKind::Close { .. } => capture.close(connection, time),
            }
        }
        let rows = || capture.entries(capture.first(), capture.end_number());
        assert!(rows().all(|row| row.kind() != RowKind::Skipped && row.kind() != RowKind::Fault), "{context}");
        let shown = rows().filter(|row| row.kind() == RowKind::Frame).count() as u64;
        // Each frame is shown or was counted, by a gap or by the sum of all that came earlier.
        assert!(
            shown + late.earlier.frames <= frames && shown + missing.0 + late.earlier.frames >= frames,
            "{context}"
        );
        assert!(passed + late.earlier.bytes <= bytes && passed + missing.1 + late.earlier.bytes >= bytes, "{context}");
        assert_eq!(late.earlier.bytes == 0, limit > 1 << 20, "{context}");
    }
}

#[tokio::test]
async fn connections_that_found_no_room_are_counted() {
    let bench = Bench::new().await;
    let watcher = bench.watchers.watch(2048);
    for _ in 0..40 {
        let pair = bench.pair().await;
        drop(pair);
    }
    // The tap has seen the end of all of them before it sees another.
    let is_unseen = |record: &Record| matches!(&record.kind, RecordKind::Gap(_, _, text) if text.contains("unseen"));
    let another = async || {
        drop(bench.pair().await);
        tokio::task::yield_now().await;
    };
    let records = records_until(&watcher, |records| records.iter().any(is_unseen), another).await;
    let opened = records.iter().filter(|record| matches!(record.kind, RecordKind::Open { .. })).count();
    assert!(opened < 40, "{opened}");
}

#[tokio::test]
async fn a_hundred_megabytes_pass_with_a_watcher_that_never_looks() {
    let bench = Bench::new().await;
    let watcher = bench.watchers.watch(1 << 20);
    let (mut client, mut server) = bench.pair().await;
    let piece: Vec<u8> = (0..1 << 20).map(|index| (index % 251) as u8).collect();
    let sent = piece.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            client.write_all(&sent).await.unwrap();
        }
        client.shutdown().await.unwrap();
        client
    });
    let mut received = vec![0; 1 << 20];
    for _ in 0..100 {
        within(server.read_exact(&mut received)).await.unwrap();
        assert!(received == piece, "bytes were changed");
    }
    assert_eq!(within(server.read(&mut received)).await.unwrap(), 0);
    drop((within(sending).await.unwrap(), server));
    assert!(watcher.waiting() < 2 << 20);
    let records = until_closed(&watcher).await;
    let missed: u64 =
        records.iter().map(|record| if let RecordKind::Gap(_, gap, _) = &record.kind { gap.bytes } else { 0 }).sum();
    assert_eq!(missed + stream(&records, Direction::Out).len() as u64, 100 << 20);
}

/// A server behind TLS that the test plays, and its address.
async fn encrypted_server(identity: &Identity) -> (TcpListener, TlsAcceptor, ServerAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ServerAddress::from(listener.local_addr().unwrap()).with_tls(true);
    (listener, TlsAcceptor::from(Arc::new(identity.config())), address)
}

#[tokio::test]
async fn bytes_to_an_encrypted_server_are_seen_in_plain_text_and_half_closes_pass() {
    let identity = Identity::self_signed(&["chat.example"]);
    let (listener, acceptor, to) = encrypted_server(&identity).await;
    let (watchers, address, _accepting) =
        tap_by(Route { sessions: None, to: to.clone(), trust: Trust::pins([identity.pin()]) }).await;
    let watcher = watchers.watch(8 << 20);
    let mut client = TcpStream::connect(address).await.unwrap();
    let (server, _) = within(listener.accept()).await.unwrap();
    let mut server = within(acceptor.accept(server)).await.unwrap();
    // More than the buffers of TLS and of the sockets take at once.
    let request = vec![b' '; 1 << 20];
    let sending = async {
        client.write_all(&request).await.unwrap();
        client.write_all(b"LIST\r\n").await.unwrap();
        client.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, read) = tokio::join!(sending, within(server.read_to_end(&mut received)));
    read.unwrap();
    assert!(received.len() == request.len() + 6 && received.ends_with(b" LIST\r\n"));
    // The other direction goes on.
    server.write_all(b"OK\r\n{\"channels\": []}").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "OK\r\n{\"channels\": []}");
    drop((client, server));
    let records = records_until(&watcher, is_over, async || tokio::task::yield_now().await).await;
    let RecordKind::Open { server, .. } = &records[0].kind else { panic!("{:?}", records[0]) };
    assert_eq!(*server, to.to_string());
    assert_eq!(bytes_of(&records, Direction::Out).len(), received.len());
    assert_eq!(bytes_of(&records, Direction::In), answer.as_bytes());
    let ends = records.iter().filter(|record| matches!(record.kind, RecordKind::End(_))).count();
    assert_eq!(ends, 2);
}

#[tokio::test]
async fn a_server_with_another_key_gets_nothing_and_the_client_is_reset() {
    let (identity, other) = (Identity::self_signed(&["chat.example"]), Identity::self_signed(&["chat.example"]));
    let (listener, acceptor, to) = encrypted_server(&identity).await;
    let (watchers, address, _accepting) = tap_by(Route { sessions: None, to, trust: Trust::pins([other.pin()]) }).await;
    let watcher = watchers.watch(1 << 20);
    let mut client = TcpStream::connect(address).await.unwrap();
    let (server, _) = within(listener.accept()).await.unwrap();
    assert!(within(acceptor.accept(server)).await.is_err());
    let error = within(client.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let records = records_until(&watcher, is_over, async || tokio::task::yield_now().await).await;
    let RecordKind::Close { reason, bad: true } = &records.last().unwrap().kind else { panic!("{records:?}") };
    assert!(reason.contains(&identity.pin().to_string()), "{reason}");
}

#[tokio::test]
async fn a_tap_with_a_certificate_takes_tls_and_plain_text_from_clients_and_shows_both_alike() {
    let identity = Identity::self_signed(&["chat.example"]);
    let trust = Trust::pins([identity.pin()]);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = ServerAddress::from(server.local_addr().unwrap());
    let sessions = Some(Arc::new(identity.config()));
    let (watchers, address, _accepting) = tap_by(Route { sessions, to, trust: Trust::system() }).await;
    let watcher = watchers.watch(1 << 20);
    let mut seen = Vec::new();
    for is_tls in [true, false] {
        let client = TcpStream::connect(address).await.unwrap();
        let local = client.local_addr().unwrap();
        let tap = ServerAddress::from(address).with_tls(true);
        let talking = async {
            if is_tls {
                talk(crate::tls::handshake(client, &tap, &tap, &trust).await.unwrap()).await
            } else {
                talk(client).await
            }
        };
        let serving = async {
            let (mut server, _) = server.accept().await.unwrap();
            let mut request = String::new();
            server.read_to_string(&mut request).await.unwrap();
            assert_eq!(request, "LIST\r\n");
            server.write_all(b"OK\r\n{\"channels\": []}").await.unwrap();
        };
        let (answer, ()) = within(async { tokio::join!(talking, serving) }).await;
        assert_eq!(answer, "OK\r\n{\"channels\": []}");
        let records = records_until(&watcher, is_over, async || tokio::task::yield_now().await).await;
        let RecordKind::Open { client, .. } = &records[0].kind else { panic!("{:?}", records[0]) };
        assert_eq!(*client, if is_tls { format!("tls://{local}") } else { local.to_string() });
        seen.push((bytes_of(&records, Direction::Out), bytes_of(&records, Direction::In)));
    }
    assert_eq!(seen[0], seen[1]);
}

/// Sends a request and the end of the stream, and returns the answer.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    stream.write_all(b"LIST\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_refuses_the_certificate_of_a_tap_gets_no_further() {
    let (identity, other) = (Identity::self_signed(&["a"]), Identity::self_signed(&["a"]));
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = ServerAddress::from(server.local_addr().unwrap());
    let sessions = Some(Arc::new(identity.config()));
    let (watchers, address, _accepting) = tap_by(Route { sessions, to, trust: Trust::system() }).await;
    let watcher = watchers.watch(1 << 20);
    let client = TcpStream::connect(address).await.unwrap();
    let tap = ServerAddress::from(address).with_tls(true);
    let refused = within(crate::tls::handshake(client, &tap, &tap, &Trust::pins([other.pin()]))).await;
    assert!(matches!(refused, Err(TlsError::WrongPin { .. })), "{refused:?}");
    let records = records_until(&watcher, is_over, async || tokio::task::yield_now().await).await;
    let RecordKind::Close { reason, bad: true } = &records.last().unwrap().kind else { panic!("{records:?}") };
    assert!(reason.starts_with("the client's TLS handshake failed: "), "{reason}");
    let (mut server, _) = within(server.accept()).await.unwrap();
    assert_eq!(within(server.read(&mut [0])).await.unwrap(), 0);
}

fn is_over(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.kind, RecordKind::Close { .. }))
}

fn bytes_of(records: &[Record], direction: Direction) -> Vec<u8> {
    let bytes = records.iter().filter_map(|record| match &record.kind {
        RecordKind::Bytes(of, bytes) if *of == direction => Some(bytes.to_vec()),
        _ => None,
    });
    bytes.flatten().collect()
}
