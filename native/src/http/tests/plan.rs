//! Writes in pieces with waits between them, and the reports of them to the page.

use super::*;

/// Longer than any test: what stands behind it never happens.
const EVER: u64 = 600_000;

/// A bridge whose page is told of each read and write, and its other end.
async fn reporting(server: &Server, listener: &TcpListener) -> (Page, TcpStream) {
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0", "report": true})).await;
    assert_eq!(page.control().await["type"], "opened");
    let (stream, _) = listener.accept().await.unwrap();
    (page, stream)
}

/// Returns the next report and its time.
async fn report(page: &mut Page) -> (Value, f64) {
    let mut report = page.control().await;
    let at = report.as_object_mut().unwrap().remove("at").unwrap().as_f64().unwrap();
    (report, at)
}

/// When the next thing was read that the page is told of.
async fn read_at(page: &mut Page) -> f64 {
    let (event, at) = report(page).await;
    assert_eq!(event, json!({"type": "read"}));
    at
}

/// The next bytes of a page that is told of each read, in however many.
async fn read_bytes(page: &mut Page, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        read_at(page).await;
        match page.next().await {
            Message::Binary(more) => bytes.extend_from_slice(&more),
            other => panic!("no bytes but {other:?}"),
        }
    }
    assert_eq!(bytes.len(), length, "more bytes than expected");
    bytes
}

#[tokio::test]
async fn each_piece_is_a_write_of_its_own_and_is_reported() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let (mut page, mut stream) = reporting(&server, &listener).await;
    page.send(b"LI".to_vec()).await;
    page.wait(30).await;
    page.send(b"ST\r".to_vec()).await;
    page.send(b"\n".to_vec()).await;
    page.wait(20).await;
    page.eof().await;
    let wrote = |bytes| json!({"type": "wrote", "bytes": bytes});
    let waited = json!({"type": "waited"});
    let mut times = vec![0.0];
    for wanted in [wrote(2), waited.clone(), wrote(3), wrote(1), waited, json!({"type": "ended"})] {
        let (event, at) = report(&mut page).await;
        assert_eq!(event, wanted);
        times.push(at);
    }
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[2] - times[1] >= 30.0 && times[5] - times[4] >= 20.0, "{times:?}");

    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, b"LIST\r\n");
    drop(stream);
    assert!(read_at(&mut page).await >= times[6]);
    assert_eq!(page.control().await, json!({"type": "eof"}));
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn a_write_is_reported_before_its_answer() {
    let server = Server::start(&[echo().await]).await;
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0", "report": true})).await;
    assert_eq!(page.control().await["type"], "opened");
    for round in 1..=100 {
        page.send(pattern(round)).await;
        assert_eq!(report(&mut page).await.0, json!({"type": "wrote", "bytes": round}));
        assert_eq!(read_bytes(&mut page, round).await, pattern(round));
    }
}

#[tokio::test]
async fn bytes_have_the_time_of_their_read_however_late_the_page_gets_them() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0", "report": true})).await;
    let opened = page.control().await;
    let after = opened["after"].as_f64().unwrap();
    assert!((0.0..10_000.0).contains(&after), "{opened}");
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    page.send(b"LIST".to_vec()).await;
    let (wrote, sent_at) = report(&mut page).await;
    assert_eq!(wrote["type"], "wrote");
    stream.write_all(b"OK").await.unwrap();
    server.settle().await;
    let pause = Duration::from_millis(50);
    tokio::time::sleep(pause).await;
    stream.write_all(b" later").await.unwrap();
    server.settle().await;
    let first = read_at(&mut page).await;
    assert_eq!(page.bytes(2).await, b"OK");
    let second = read_at(&mut page).await;
    assert_eq!(page.bytes(6).await, b" later");
    assert!(sent_at <= first && second - first >= 50.0, "{sent_at} {first} {second}");
}

#[tokio::test]
async fn the_other_direction_and_its_credit_go_on_while_a_plan_waits() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let (mut page, mut stream) = reporting(&server, &listener).await;
    page.send(b"LI".to_vec()).await;
    page.wait(EVER).await;
    page.send(b"ST\r\n".to_vec()).await;
    assert_eq!(report(&mut page).await.0, json!({"type": "wrote", "bytes": 2}));

    let sent = pattern(3 << 20);
    let all = sent.clone();
    let sender = tokio::spawn(async move {
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    });
    let mut received = read_bytes(&mut page, 1 << 20).await;
    page.grant(2 << 20).await;
    received.extend(read_bytes(&mut page, 2 << 20).await);
    assert!(received == sent, "the bytes came changed");
    read_at(&mut page).await;
    assert_eq!(page.control().await, json!({"type": "eof"}));

    // Of what the page sent, only what stands before the wait has left; and with the page the plan is gone.
    let mut stream = sender.await.unwrap();
    let mut said = [0; 16];
    assert_eq!(within(stream.read(&mut said)).await.unwrap(), 2);
    drop(page);
    assert_eq!(within(stream.read(&mut said)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stop_ends_a_plan_that_waits() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let (mut page, mut stream) = reporting(&server, &listener).await;
    page.wait(EVER).await;
    page.send(b"never".to_vec()).await;
    server.settle().await;
    server.stop.send(true).unwrap();
    assert_eq!(page.code().await, 1001);
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_closes_ends_a_plan_that_waits() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let (mut page, stream) = reporting(&server, &listener).await;
    page.send(b"unread".to_vec()).await;
    page.wait(EVER).await;
    page.send(b"never".to_vec()).await;
    assert_eq!(report(&mut page).await.0, json!({"type": "wrote", "bytes": 6}));
    // Closing with unread input resets the connection.
    within(stream.readable()).await.unwrap();
    drop(stream);
    page.over("connection reset").await;
}

#[tokio::test]
async fn the_page_can_reset() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let (mut page, mut stream) = reporting(&server, &listener).await;
    page.send(b"LIST".to_vec()).await;
    page.say(json!({"type": "reset"})).await;
    assert_eq!(report(&mut page).await.0, json!({"type": "wrote", "bytes": 4}));
    page.over("reset by the page").await;
    let error = loop {
        match within(stream.read(&mut [0; 8])).await {
            Ok(read) => assert!(read > 0, "it was closed in order"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn nothing_follows_a_reset_and_no_wait_is_endless() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let refused = [
        &[json!({"type": "wait", "ms": EVER + 1})] as &[_],
        &[json!({"type": "wait", "ms": EVER}), json!({"type": "reset"}), json!({"type": "wait", "ms": 1})],
        &[json!({"type": "wait", "ms": EVER}), json!({"type": "eof"}), json!({"type": "reset"})],
    ];
    for messages in refused {
        let (mut page, _stream) = reporting(&server, &listener).await;
        for message in messages {
            page.say(message.clone()).await;
        }
        assert_eq!(page.code().await, 4400, "{messages:?}");
    }
}

#[tokio::test]
async fn a_page_that_sends_without_end_behind_a_wait_is_not_read_without_end() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let (mut page, _stream) = reporting(&server, &listener).await;
    page.wait(EVER).await;
    for _ in 0..4095 {
        page.wait(1).await;
    }
    // The next is refused, but nobody reads it.
    page.say(json!({"type": "wait", "ms": EVER + 1})).await;
    server.settle().await;
    server.stop.send(true).unwrap();
    assert_eq!(page.code().await, 1001);
}
