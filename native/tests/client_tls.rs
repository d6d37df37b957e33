//! The client by TLS, against a server behind a proxy of the test that does nothing but TLS.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chanwire::{
    Channel, Client, ErrorKind, HistoryRange, JoinFrom, Message, Pin, Server, ServerAddress, ServerConfig,
    Subscription, SubscriptionEvent, TlsError, Trust,
};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// The limit on each wait, far above the usual time.
const DEADLINE: Duration = Duration::from_secs(60);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the future did not complete in time")
}

/// A server's key, with a certificate that is signed with it.
struct Identity {
    acceptor: TlsAcceptor,
    pin: Pin,
}

impl Identity {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["chat.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let hash = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
        let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let chain = vec![certificate.der().clone()];
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, private).unwrap();
        config.alpn_protocols = vec![b"chanwire".into()];
        Self { acceptor: Arc::new(config).into(), pin: format!("sha256/{hash}").parse().unwrap() }
    }
}

/// A proxy that takes TLS from its clients.
struct Proxy {
    address: SocketAddr,
    /// Each change cuts the connections.
    cut: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    async fn bind() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    fn start(listener: TcpListener, identity: &Identity, to: SocketAddr) -> Self {
        let (cut, cuts) = watch::channel(());
        let (address, acceptor) = (listener.local_addr().unwrap(), identity.acceptor.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, mut cuts) = (acceptor.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    // A client may refuse the certificate.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        // A connection that breaks is the client's to report.
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, cut, accepting }
    }

    fn server(&self) -> ServerAddress {
        ServerAddress::from(self.address).with_tls(true)
    }
}

/// A server, and the proxy by which it is reached.
struct Bench {
    server: Server,
    proxy: Proxy,
    _directory: TempDir,
}

impl Bench {
    async fn start(identity: &Identity) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Proxy::bind().await;
        let mut config = ServerConfig::new(directory.path());
        config.advertised = vec![listener.local_addr().unwrap().to_string().parse().unwrap()];
        let server = Server::start(config).await.unwrap();
        let proxy = Proxy::start(listener, identity, server.address());
        Self { server, proxy, _directory: directory }
    }

    fn client(&self, trust: Trust) -> Client {
        Client::with_trust(self.proxy.server(), trust)
    }
}

fn message(content: &str) -> Message {
    Message {
        username: "ann".parse().unwrap(),
        message_content: content.into(),
        channel_name: Some("general".parse().unwrap()),
        client_message_id: None,
    }
}

fn channel(address: SocketAddr) -> Channel {
    Channel { channel_name: "general".parse().unwrap(), address: address.to_string().parse().unwrap() }
}

async fn next(subscription: &mut Subscription) -> SubscriptionEvent {
    soon(subscription.next()).await.expect("an event").unwrap()
}

#[tokio::test]
async fn a_subscription_by_tls_goes_on_after_its_connection_is_cut() {
    let identity = Identity::new();
    let Bench { server, proxy, .. } = &Bench::start(&identity).await;
    let client = Client::with_trust(proxy.server(), Trust::pins([identity.pin]));
    client.host(channel(proxy.address), None).await.unwrap();
    let general = "general".parse().unwrap();
    let mut subscription = client.join(&general, JoinFrom::Last(0)).await.unwrap();
    // As large as a payload may be, and many at once: more than the buffers of TLS take.
    let text = "x".repeat(60_000);
    soon(futures_util::future::try_join_all((0..100).map(|_| client.send(message(&text))))).await.unwrap();
    for id in 1..=50 {
        assert_eq!(soon(subscription.next_message()).await.unwrap().unwrap().id, id);
    }
    proxy.cut.send_replace(());
    let mut events = Vec::new();
    while subscription.last_id() < 100 {
        events.push(next(&mut subscription).await);
    }
    let ids = events.iter().filter_map(|event| match event {
        SubscriptionEvent::Message(message) => Some(message.id),
        _ => None,
    });
    assert_eq!(ids.collect::<Vec<_>>(), (51..=100).collect::<Vec<_>>());
    soon(subscription.leave()).await;
    soon(client.close()).await;
    drop(client);
    assert!(!server.addresses().is_empty());
}

#[tokio::test]
async fn a_subscription_ends_when_the_server_comes_back_with_another_key() {
    let (identity, other) = (Identity::new(), Identity::new());
    let Bench { server, proxy, _directory } = Bench::start(&identity).await;
    let client = Client::with_trust(proxy.server(), Trust::pins([identity.pin]));
    client.host(channel(proxy.address), None).await.unwrap();
    let mut subscription = client.join(&"general".parse().unwrap(), JoinFrom::Last(0)).await.unwrap();
    let address = proxy.address;
    proxy.accepting.abort();
    // It has closed its listener when it can be bound again.
    let listener = soon(async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let other_proxy = Proxy::start(listener.await, &other, server.address());
    proxy.cut.send_replace(());
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Lost { .. }));
    let error = soon(subscription.next()).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(TlsError::WrongPin { .. })), "{error}");
    assert!(soon(subscription.next()).await.is_none());
    drop(other_proxy);
}

#[tokio::test]
async fn a_server_with_another_key_gets_nothing() {
    let (identity, other) = (Identity::new(), Identity::new());
    let bench = Bench::start(&identity).await;
    let client = bench.client(Trust::pins([other.pin]));
    let error = soon(client.list()).await.unwrap_err();
    assert!(!error.is_temporary() && error.server().starts_with("tls://127.0.0.1:"), "{error}");
    let ErrorKind::Tls(TlsError::WrongPin { pin, trusted, .. }) = error.kind() else { panic!("{error}") };
    assert_eq!((*pin, &trusted[..]), (identity.pin, &[other.pin][..]));
    let error = soon(client.join(&"general".parse().unwrap(), JoinFrom::Last(0))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(TlsError::WrongPin { .. })), "{error}");
    // Nobody vouches for it either.
    let error = soon(Client::connect(bench.proxy.server())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(TlsError::UnknownIssuer { .. })), "{error}");
}

#[tokio::test]
async fn a_peer_on_the_list_of_a_server_by_tls_is_never_reached_in_plain_text() {
    let (identity, peers) = (Identity::new(), Identity::new());
    let (tracker, peer) = (Bench::start(&identity).await, Bench::start(&peers).await);
    let general = "general".parse().unwrap();
    let at_peer = Client::new(peer.server.address().into());
    at_peer.host(channel(peer.server.address()), None).await.unwrap();
    let client = tracker.client(Trust::pins([identity.pin, peers.pin]));
    // The list has the address at which the peer speaks plain text.
    client.host(channel(peer.server.address()), None).await.unwrap();
    let error = soon(client.send(message("hello"))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(TlsError::PlainText)), "{error}");
    assert_eq!(error.server(), ServerAddress::from(peer.server.address()).with_tls(true).to_string());
    assert_eq!(at_peer.history(&general, HistoryRange::Last, 10).await.unwrap(), []);
    // The address at which it is reached by TLS.
    client.unhost(&general).await.unwrap();
    client.host(channel(peer.proxy.address), None).await.unwrap();
    at_peer.unhost(&general).await.unwrap();
    at_peer.host(channel(peer.proxy.address), None).await.unwrap();
    soon(client.send(message("hello"))).await.unwrap();
    assert_eq!(at_peer.history(&general, HistoryRange::Last, 10).await.unwrap().len(), 1);
}
