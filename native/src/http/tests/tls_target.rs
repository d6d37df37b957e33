//! The bridge to a server that is reached by TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use socket2::SockRef;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::flow::{MIB, at_rest};
use super::*;
use crate::tls::{Certificates, Trust, made::Identity, write_pair};

/// A page's server whose target "0" takes TLS, and that target.
struct Bench {
    server: Server,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    address: SocketAddr,
}

impl Bench {
    async fn start() -> Self {
        let identity = Identity::self_signed(&["chat.example"]);
        let trust = Trust::pins([identity.pin()]);
        Self::start_with(&identity, trust).await
    }

    async fn start_with(identity: &Identity, trust: Trust) -> Self {
        let (listener, address) = peer().await;
        let to = format!("tls://{address}").parse().unwrap();
        let targets = vec![Target::by_trust("0", to, address, TargetTrust::Of(trust))];
        let server = Server::start_from(HttpConfig { targets, ..HttpConfig::default() }, patient()).await;
        Self { server, listener, acceptor: TlsAcceptor::from(Arc::new(identity.config())), address }
    }

    async fn accept(&self) -> TlsStream<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(stream).await.unwrap()
    }

    /// Opens a bridge, and returns also the target's end.
    async fn bridged(&self) -> (Page, TlsStream<TcpStream>) {
        let mut page = self.server.admitted().await;
        let (opened, stream) = within(async { tokio::join!(page.connect("0"), self.accept()) }).await;
        assert_eq!(opened["remote"], format!("tls://{}", self.address), "{opened}");
        (page, stream)
    }

    /// Connects, and returns the reason why that fails.
    async fn refused(&self) -> String {
        let mut page = self.server.admitted().await;
        page.say(json!({"type": "connect", "target": "0"})).await;
        let closed = page.control().await;
        assert_eq!(closed["type"], "closed", "{closed}");
        closed["reason"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn the_page_can_half_close_by_tls() {
    let bench = Bench::start().await;
    let mut page = bench.server.open().await;
    page.show(&bench.server.token).await;
    let welcome = page.control().await;
    assert_eq!(welcome["targets"], json!([{"id": "0", "address": format!("tls://{}", bench.address)}]));
    let (mut page, mut stream) = bench.bridged().await;
    let sent = pattern(300_000);
    page.send(sent.clone()).await;
    page.eof().await;
    let mut said = Vec::new();
    // An end without TLS's closing alert would be an error.
    within(stream.read_to_end(&mut said)).await.unwrap();
    assert!(said == sent, "the bytes came changed");
    stream.write_all(b"answer").await.unwrap();
    assert_eq!(page.bytes(6).await, b"answer");
    stream.shutdown().await.unwrap();
    assert_eq!(page.control().await, json!({"type": "eof"}));
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn the_server_can_half_close_by_tls() {
    let bench = Bench::start().await;
    let (mut page, mut stream) = bench.bridged().await;
    stream.write_all(b"all I say").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(page.bytes(9).await, b"all I say");
    assert_eq!(page.control().await, json!({"type": "eof"}));
    page.send(b"answer".to_vec()).await;
    let mut said = [0; 6];
    within(stream.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"answer");
    page.eof().await;
    assert_eq!(within(stream.read(&mut said)).await.unwrap(), 0);
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn a_tls_stream_is_read_only_against_credit_and_its_end_needs_none() {
    let bench = Bench::start().await;
    let (mut page, mut stream) = bench.bridged().await;
    let sent = pattern(MIB + 200_000);
    let all = sent.clone();
    let sender = tokio::spawn(async move {
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    });
    let mut received = page.bytes(MIB).await;
    page.nothing_comes(&bench.server).await;
    for grant in [1, 65_536, 200_000 - 65_537] {
        page.grant(grant as u64).await;
        received.extend(page.bytes(grant).await);
        if received.len() < sent.len() {
            page.nothing_comes(&bench.server).await;
        }
    }
    assert!(received == sent, "the bytes came changed");
    assert_eq!(page.control().await, json!({"type": "eof"}));
    drop(sender.await.unwrap());
}

#[tokio::test]
async fn a_tls_peer_that_does_not_read_stops_the_page_but_not_the_other_direction() {
    const TOTAL: usize = 32 * MIB;
    let bench = Bench::start().await;
    let (page, mut stream) = bench.bridged().await;
    let (mut sender, mut receiver) = page.socket.split();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let sending = tokio::spawn(async move {
        while counter.load(Ordering::Relaxed) < TOTAL {
            sender.send(Message::binary(vec![b'x'; MIB])).await.unwrap();
            counter.fetch_add(MIB, Ordering::Relaxed);
        }
        sender.send(Message::text(r#"{"type":"eof"}"#)).await.unwrap();
        sender
    });
    let taken = at_rest(&bench.server, &sent).await;
    assert!(taken < TOTAL / 2, "{taken} bytes were taken from the page, and the peer has read none");
    stream.write_all(b"I only talk").await.unwrap();
    let message = within(receiver.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::binary(&b"I only talk"[..]));
    // Nothing is lost, and the end comes behind it.
    let mut read = Vec::new();
    within(stream.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read.len(), TOTAL);
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn a_reset_passes_a_tls_bridge_in_both_directions() {
    let bench = Bench::start().await;
    let (mut page, stream) = bench.bridged().await;
    SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    page.over("connection reset").await;

    let (mut page, mut stream) = bench.bridged().await;
    page.say(json!({"type": "reset"})).await;
    page.over("reset by the page").await;
    let error = within(stream.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_server_with_another_key_or_without_tls_is_sent_nothing_and_the_page_is_told_why() {
    let (identity, other) = (Identity::self_signed(&["a.example"]), Identity::self_signed(&["a.example"]));
    let bench = Bench::start_with(&identity, Trust::pins([other.pin()])).await;
    let serving = async {
        let (stream, _) = bench.listener.accept().await.unwrap();
        bench.acceptor.accept(stream).await.map(drop)
    };
    let (reason, served) = within(async { tokio::join!(bench.refused(), serving) }).await;
    assert!(served.is_err());
    assert!(reason.starts_with(&format!("cannot connect to tls://{}: ", bench.address)), "{reason}");
    assert!(reason.contains(&identity.pin().to_string()) && reason.contains(&other.pin().to_string()), "{reason}");

    let serving = async {
        let (mut stream, _) = bench.listener.accept().await.unwrap();
        stream.write_all(b"REQUEST_ERROR\r\n").await.unwrap();
        // The handshake ends before the connection.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (reason, ()) = within(async { tokio::join!(bench.refused(), serving) }).await;
    assert!(reason.contains("does not speak TLS at this port"), "{reason}");
    let Bench { server, listener, address, .. } = bench;
    drop(listener);
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0"})).await;
    page.over(&format!("Connection refused (nothing listens at tls://{address}: is the server running?)")).await;
}

#[tokio::test]
async fn a_listener_of_this_program_is_trusted_by_the_key_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::load(write_pair(directory.path(), &["chat.example"], 1)).unwrap();
    let (stop, stopping) = watch::channel(false);
    let watching = tokio::spawn(certificates.clone().watch(stopping));
    let (listener, address) = peer().await;
    let targets = vec![Target::own_by_tls("0", address, certificates.clone())];
    let server = Server::start_from(HttpConfig { targets, ..HttpConfig::default() }, patient()).await;
    let acceptor = TlsAcceptor::from(certificates.sessions(crate::tls::ALPN).unwrap());
    let mut pins = Vec::new();
    for _ in 0..2 {
        let mut page = server.admitted().await;
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"OK").await.unwrap();
            stream
        };
        let (_, _stream) = within(async { tokio::join!(page.connect("0"), serving) }).await;
        assert_eq!(page.bytes(2).await, b"OK");
        pins.push(certificates.pin());
        // Another pair, with another key.
        write_pair(directory.path(), &["chat.example"], 1);
        within(certificates.reload()).await;
    }
    assert_ne!(pins[0], pins[1]);
    stop.send_replace(true);
    assert!(within(watching.map(|ended| ended.is_ok())).await);
}
