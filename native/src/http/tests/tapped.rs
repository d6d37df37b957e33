//! Watching a tap over its WebSocket.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::{Page, Server, echo, patient, peer, within};
use crate::http::access::Token;
use crate::http::serve::serve_within;
use crate::http::shared::{HttpConfig, Tap};
use crate::tap::{Route, relay};
use crate::tls::Trust;
use crate::traffic::Watchers;

/// A tap with its page, in front of an echo server.
struct Bench {
    server: Server,
    tap: std::net::SocketAddr,
}

impl Bench {
    async fn new() -> Self {
        let to = echo().await.to_string();
        let watchers = Watchers::new(0);
        let (listener, tap) = peer().await;
        let info = Tap { listen: tap, to: to.clone(), watchers: watchers.clone() };
        tokio::spawn(async move {
            while let Ok((client, peer)) = listener.accept().await {
                let (route, watchers) =
                    (Route { sessions: None, to: to.parse().unwrap(), trust: Trust::system() }, watchers.clone());
                tokio::spawn(async move { relay(client, peer, &route, &watchers).await });
            }
        });
        let (listener, address) = peer().await;
        let token = Token::generate().unwrap();
        let text = token.to_string();
        let (stop, shutdown) = watch::channel(false);
        let config = HttpConfig { tap: Some(info), ..HttpConfig::default() };
        let task = tokio::spawn(serve_within(listener, config, token, shutdown, patient()));
        Self { server: Server { address, token: text, stop, task }, tap }
    }

    async fn watching(&self) -> Page {
        let mut page = self.server.open().await;
        page.show(&self.server.token).await;
        let welcome = page.control().await;
        assert_eq!(welcome["tap"]["listen"], self.tap.to_string(), "{welcome}");
        assert_eq!(welcome["targets"], json!([]));
        page.say(json!({"type": "watch"})).await;
        assert_eq!(page.control().await, json!({"type": "watching", "connections": 0, "frames": 0, "bytes": 0}));
        page
    }

    /// Sends bytes through the tap and reads them back.
    async fn said(&self, bytes: &[u8]) {
        let mut client = TcpStream::connect(self.tap).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let mut back = vec![0; bytes.len()];
        within(client.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, bytes);
    }
}

/// The kinds of the records in a message, and the bytes of those that carry any.
fn records(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some((head, rest)) = message.split_at_checked(17) {
        let length = u32::from_le_bytes(head[13..].try_into().unwrap()) as usize;
        records.push((head[0], rest[..length].to_vec()));
        message = &rest[length..];
    }
    assert!(message.is_empty(), "a record is cut");
    records
}

async fn binary(page: &mut Page) -> Vec<u8> {
    match page.next().await {
        Message::Binary(bytes) => bytes.to_vec(),
        other => panic!("no records: {other:?}"),
    }
}

#[tokio::test]
async fn relayed_traffic_is_reported_in_few_messages() {
    let bench = Bench::new().await;
    let mut page = bench.watching().await;
    bench.said(b"LIST\r\n").await;
    let (mut received, mut messages) = (Vec::new(), 0);
    while !received.iter().any(|(kind, _)| *kind == 6) {
        received.extend(records(&binary(&mut page).await));
        messages += 1;
    }
    let kinds: Vec<u8> = received.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6]);
    assert_eq!((received[1].1.as_slice(), received[2].1.as_slice()), (&b"LIST\r\n"[..], &b"LIST\r\n"[..]));
    assert!(messages < kinds.len(), "{messages} messages");
}

#[tokio::test]
async fn without_credit_a_page_gets_no_more_and_with_it_the_rest_and_a_gap() {
    let bench = Bench::new().await;
    let mut page = bench.watching().await;
    // More than the credit at the start and the queue together.
    let frame = b"MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"x\"}";
    for _ in 0..8 {
        bench.said(&frame.repeat(20_000)).await;
    }
    let mut received = Vec::new();
    let mut got = 0;
    // Everything that is sent without further credit.
    while got < 1 << 20 {
        let message = binary(&mut page).await;
        got += message.len();
        received.extend(records(&message));
    }
    assert!(got < (1 << 20) + (256 << 10), "{got} bytes came");
    page.nothing_comes(&bench.server).await;
    let mut taken = got;
    while !received
        .iter()
        .any(|(kind, text)| *kind >= 7 && String::from_utf8_lossy(text).contains("dropped here by the tap"))
    {
        page.grant(taken as u64).await;
        let message = binary(&mut page).await;
        taken = message.len();
        received.extend(records(&message));
    }
}

#[tokio::test]
async fn a_watcher_may_send_only_credit_and_only_a_tap_can_be_watched() {
    let bench = Bench::new().await;
    let mut page = bench.watching().await;
    page.eof().await;
    assert_eq!(page.code().await, 4400);
    let mut page = bench.watching().await;
    page.send(&b"bytes"[..]).await;
    assert_eq!(page.code().await, 4400);

    let plain = Server::start(&[]).await;
    let mut page = plain.admitted().await;
    page.say(json!({"type": "watch"})).await;
    assert_eq!(page.code().await, 4404);
}

#[tokio::test]
async fn without_the_token_nothing_is_sent() {
    let bench = Bench::new().await;
    let mut page = bench.server.open().await;
    page.say(json!({"type": "watch"})).await;
    assert_eq!(page.code().await, 4401);
    let mut page = bench.server.open().await;
    page.show(&"0".repeat(32)).await;
    assert_eq!(page.code().await, 4401);
    assert!(matches!(bench.server.open_from(Some("http://evil.example")).await, Err(403)));
    assert!(matches!(bench.server.open_from(None).await, Err(403)));
}
