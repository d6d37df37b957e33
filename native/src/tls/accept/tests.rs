use std::net::Ipv4Addr;

use chanwire_core::{
    Limits,
    endpoint::{ConnectionId, Server, ServerEvent},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::client;

use super::*;
use crate::{
    Clock,
    driver::{Application, Ending, drive},
    tls::{ALPN, Certificates, IncompleteRecord, Trust, handshake, write_pair},
};

/// Both ends of a connection, before its handshake, and what each needs for it.
struct Ends {
    client: TcpStream,
    server: TcpStream,
    handshakes: Arc<Handshakes>,
    directory: TempDir,
}

impl Ends {
    async fn connect() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificates = Certificates::load(write_pair(directory.path(), &["127.0.0.1"], 1)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        Self { client, server, handshakes: Handshakes::new(certificates.sessions(ALPN).unwrap()), directory }
    }

    async fn shake(self) -> (client::TlsStream<TcpStream>, TlsStream<Records<TcpStream>>) {
        self.shake_with(RECORD_TIMEOUT).await
    }

    async fn shake_with(
        self,
        record_timeout: Duration,
    ) -> (client::TlsStream<TcpStream>, TlsStream<Records<TcpStream>>) {
        let Self { client, server, handshakes, directory } = self;
        let address = client.peer_addr().unwrap().to_string().parse().unwrap();
        let trust = Trust::authorities(&directory.path().join("chat.crt")).unwrap();
        let (client, server) = tokio::join!(
            handshake(client, &address, &address, &trust),
            handshakes.accept(server, PEER, record_timeout, deadline())
        );
        (client.unwrap(), server.unwrap())
    }
}

/// Longer than any test.
const RECORD_TIMEOUT: Duration = Duration::from_secs(300);

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn deadline() -> Instant {
    Instant::now() + HANDSHAKE_TIMEOUT
}

struct Nobody;

impl Application<Server> for Nobody {
    fn on_event(&mut self, _: &mut Server, _: Clock, _: ServerEvent) {}
}

/// Serves a connection to its end, as the server does, and returns its ending.
async fn serve(mut stream: TlsStream<Records<TcpStream>>, limits: Limits) -> Ending {
    let ending = drive(&mut Server::new(ConnectionId(0), limits), &mut stream, &mut Nobody, Clock::start()).await;
    if matches!(ending, Ending::Closed) {
        stream.end();
    }
    ending
}

#[tokio::test]
async fn answers_larger_than_the_send_buffer_arrive_whole_and_with_the_closing_alert() {
    const COUNT: usize = 3000;
    let (mut client, server) = Ends::connect().await.shake().await;
    let serving = tokio::spawn(serve(server, Limits::server()));
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    let write = async {
        writer.write_all("PING\r\n".repeat(COUNT).as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = String::new();
    // An end without the alert is an error here.
    let (read, ()) = tokio::join!(reader.read_to_string(&mut received), write);
    assert!(read.unwrap() > 8 * SEND_BUFFER);
    assert_eq!(received.matches("Unknown command 'PING'").count(), COUNT);
    assert!(matches!(serving.await.unwrap(), Ending::Closed));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_reset_after_the_write_timeout() {
    let (mut client, server) = Ends::connect().await.shake().await;
    let mut limits = Limits::server();
    limits.write_timeout = Duration::from_millis(50);
    let serving = tokio::spawn(serve(server, limits));
    // Until the server no longer reads, and then resets the connection.
    let flood = "PING\r\n".repeat(1000);
    while client.write_all(flood.as_bytes()).await.is_ok() && client.flush().await.is_ok() && !serving.is_finished() {}
    assert!(matches!(serving.await.unwrap(), Ending::Reset));
}

#[tokio::test]
async fn a_record_that_is_not_complete_in_time_ends_the_connection() {
    let (mut client, server) = Ends::connect().await.shake_with(Duration::from_millis(50)).await;
    let serving = tokio::spawn(serve(server, Limits::server()));
    client.get_mut().0.write_all(b"\x17\x03\x03\x40\x00 and no more").await.unwrap();
    let Ending::Failed(error) = serving.await.unwrap() else { panic!("it did not fail") };
    assert!(error.get_ref().is_some_and(|error| error.is::<IncompleteRecord>()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_not_complete_in_time_fails() {
    let mut ends = Ends::connect().await;
    ends.client.write_all(b"\x16\x03\x01").await.unwrap();
    let failed = ends.handshakes.accept(ends.server, PEER, RECORD_TIMEOUT, deadline()).await;
    assert_eq!(failed.err(), Some(HandshakeFailure::TimedOut));
}

#[tokio::test]
async fn a_client_that_trusts_another_certificate_refuses_the_handshake() {
    let (ends, others) = (Ends::connect().await, Ends::connect().await);
    let address = ends.client.peer_addr().unwrap().to_string().parse().unwrap();
    let trust = Trust::authorities(&others.directory.path().join("chat.crt")).unwrap();
    let (client, server) = tokio::join!(
        handshake(ends.client, &address, &address, &trust),
        ends.handshakes.accept(ends.server, PEER, RECORD_TIMEOUT, deadline())
    );
    assert!(client.is_err());
    assert_eq!(server.err(), Some(HandshakeFailure::RefusedByClient));
}

#[tokio::test]
async fn silent_handshakes_make_room_for_others() {
    let (first, second, third) = (Ends::connect().await, Ends::connect().await, Ends::connect().await);
    let handshakes = Handshakes::with_limit(first.handshakes.config.clone(), 2);
    let silent = |server: TcpStream| {
        let handshakes = handshakes.clone();
        tokio::spawn(async move { handshakes.accept(server, PEER, RECORD_TIMEOUT, deadline()).await.err() })
    };
    let (oldest, younger) = (silent(first.server), silent(second.server));
    while handshakes.in_progress.len() < 2 {
        tokio::task::yield_now().await;
    }
    let address = third.client.peer_addr().unwrap().to_string().parse().unwrap();
    let trust = Trust::authorities(&first.directory.path().join("chat.crt")).unwrap();
    let (client, server) = tokio::join!(
        handshake(third.client, &address, &address, &trust),
        handshakes.accept(third.server, Ipv4Addr::new(192, 0, 2, 7).into(), RECORD_TIMEOUT, deadline())
    );
    assert!(client.is_ok() && server.is_ok());
    assert_eq!(oldest.await.unwrap(), Some(HandshakeFailure::TooMany));
    assert!(!younger.is_finished());
    assert_eq!(handshakes.in_progress.len(), 1);
    younger.abort();
}
