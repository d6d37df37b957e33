//! Neither side can make the bridge hold more than it has room for, or stop the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{SplitSink, SplitStream};
use tokio::net::TcpSocket;

use super::*;

pub(super) const MIB: usize = 1 << 20;

#[tokio::test]
async fn tcp_is_read_only_against_credit() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let sent = pattern(3 * MIB);
    let all = sent.clone();
    let sender = tokio::spawn(async move { stream.write_all(&all).await });

    let mut received = page.bytes(MIB).await;
    page.nothing_comes(&server).await;
    for grant in [1, 65_536, 100_000] {
        page.grant(grant as u64).await;
        received.extend(page.bytes(grant).await);
        page.nothing_comes(&server).await;
    }
    page.grant(15 << 20).await;
    received.extend(page.bytes(sent.len() - received.len()).await);
    assert!(received == sent, "the bytes came changed");
    assert_eq!(page.control().await, json!({"type": "eof"}));
    sender.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_a_stream_needs_no_credit() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&pattern(MIB)).await.unwrap();
    assert!(page.bytes(MIB).await == pattern(MIB));
    page.nothing_comes(&server).await;
    stream.shutdown().await.unwrap();
    assert_eq!(page.control().await, json!({"type": "eof"}));
}

/// A server that reads a request only when its last answer was taken: answers of `answer` bytes to requests of
/// `request` bytes.
async fn one_after_the_other(request: usize, answer: usize) -> SocketAddr {
    let (listener, address) = peer().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut asked, answer) = (vec![0; request], pattern(answer));
        while stream.read_exact(&mut asked).await.is_ok() {
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn credit_is_heard_while_requests_wait_for_tcp() {
    const REQUEST: usize = 10_000;
    const ROUNDS: usize = 1000;
    let server = Server::start(&[one_after_the_other(REQUEST, 4 * REQUEST).await]).await;
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0", "report": true})).await;
    assert_eq!(page.control().await["type"], "opened");
    // Bytes that the bridge has not written, as counted by a page that keeps a mebibyte there.
    let (mut asked, mut unwritten, mut answered, mut taken) = (0, 0, 0, 0);
    while answered < 4 * REQUEST * ROUNDS {
        while asked < ROUNDS && unwritten + REQUEST <= MIB {
            page.send(vec![b'?'; REQUEST]).await;
            unwritten += REQUEST;
            asked += 1;
        }
        match page.next().await {
            Message::Binary(bytes) => {
                answered += bytes.len();
                taken += bytes.len();
                if taken >= MIB / 4 {
                    page.grant(taken as u64).await;
                    taken = 0;
                }
            }
            Message::Text(text) => {
                let report: Value = serde_json::from_str(&text).unwrap();
                // Of reads is told as well.
                unwritten -= report["bytes"].as_u64().map_or(0, |bytes| bytes as usize);
            }
            other => panic!("{other:?} after {answered} bytes of answers"),
        }
    }
    assert_eq!(unwritten, 0);
}

#[tokio::test]
async fn more_than_16_mib_of_credit_is_refused() {
    let server = Server::start(&[echo().await]).await;
    let mut page = server.bridged().await;
    page.grant(15 << 20).await;
    page.send(b"x".to_vec()).await;
    assert_eq!(page.bytes(1).await, b"x");
    page.grant(1).await;
    page.grant(1).await;
    assert_eq!(page.code().await, 4400);
}

/// A bridge to a peer that does not read yet, from a page that sends `total` bytes; how many it has sent so far.
struct Flood {
    peer: TcpStream,
    sent: Arc<AtomicUsize>,
    sender: JoinHandle<Result<SplitSink<WebSocketStream<TcpStream>, Message>, WsError>>,
    receiver: SplitStream<WebSocketStream<TcpStream>>,
}

async fn flood(server: &Server, listener: &TcpListener, total: usize) -> Flood {
    let page = server.bridged().await;
    let (peer, _) = listener.accept().await.unwrap();
    let (mut sender, receiver) = page.socket.split();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let sender = tokio::spawn(async move {
        while counter.load(Ordering::Relaxed) < total {
            sender.send(Message::binary(vec![b'x'; MIB])).await?;
            counter.fetch_add(MIB, Ordering::Relaxed);
        }
        Ok(sender)
    });
    Flood { peer, sent, sender, receiver }
}

/// Waits until a count no longer grows while everything else goes on, and returns it.
pub(super) async fn at_rest(server: &Server, count: &AtomicUsize) -> usize {
    within(async {
        loop {
            let before = count.load(Ordering::Relaxed);
            server.settle().await;
            if count.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_the_page_and_loses_nothing() {
    const TOTAL: usize = 128 * MIB;
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut flood = flood(&server, &listener, TOTAL).await;
    // Both connections' kernel buffers hold some megabytes.
    let sent = at_rest(&server, &flood.sent).await;
    assert!(sent < TOTAL / 2, "{sent} bytes were taken from the page, and the peer has read none");

    let mut buffer = vec![0; MIB];
    let mut read = 0;
    while read < TOTAL {
        let more = within(flood.peer.read(&mut buffer)).await.unwrap();
        assert!(more > 0, "only {read} bytes arrived");
        read += more;
    }
    assert_eq!(read, TOTAL);
    drop(flood.sender.await.unwrap().unwrap());
}

#[tokio::test]
async fn the_other_direction_goes_on_while_a_peer_does_not_read() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut flood = flood(&server, &listener, usize::MAX).await;
    at_rest(&server, &flood.sent).await;
    flood.peer.write_all(b"I only talk").await.unwrap();
    let message = within(flood.receiver.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::binary(&b"I only talk"[..]));
    flood.sender.abort();
}

#[tokio::test]
async fn a_page_that_leaves_while_its_peer_does_not_read_is_noticed() {
    let (listener, address) = peer().await;
    let limits = Limits { ping: Duration::from_millis(50), ..patient() };
    let server = Server::start_with(&[address], &[], limits).await;
    let flood = flood(&server, &listener, usize::MAX).await;
    let mut others = Vec::new();
    for _ in 0..15 {
        others.push(server.admitted().await);
    }
    at_rest(&server, &flood.sent).await;
    let Flood { peer: _peer, sender, receiver, .. } = flood;
    sender.abort();
    assert!(sender.await.unwrap_err().is_cancelled());
    drop(receiver);
    // Its place is free again, though the peer still has not read anything.
    within(admission::admitted_at_last(&server)).await;
}

#[tokio::test]
async fn a_page_that_does_not_take_bytes_stops_the_reading_of_tcp() {
    const CREDIT: usize = 16 * MIB;
    let (listener, address) = small_peer().await;
    let server = Server::start(&[address]).await;
    // The receive buffer of the page's socket must be well below its credit.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let mut page = server.open_over(stream, Some(&format!("http://{}", server.address))).await.unwrap();
    page.show(&server.token).await;
    page.control().await;
    page.connect("0").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    page.grant((CREDIT - MIB) as u64).await;

    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let sender = tokio::spawn(async move {
        let bytes = pattern(CREDIT);
        for part in bytes.chunks(64 << 10) {
            stream.write_all(part).await.unwrap();
            counter.fetch_add(part.len(), Ordering::Relaxed);
        }
    });
    let taken = at_rest(&server, &sent).await;
    assert!(taken < CREDIT, "all credit was spent for a page that takes nothing");
    assert!(page.bytes(CREDIT).await == pattern(CREDIT), "the bytes came changed");
    sender.await.unwrap();
}

/// A listener whose connections have small send buffers.
async fn small_peer() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
