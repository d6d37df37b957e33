//! The client's side against a server that the test plays.

use std::{fs, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::{
    KnownServers, Pin,
    made::{Authority, Identity, params, pem},
};

const NAME: &str = "tls://chat.example:22236";

/// Plays a server that answers a line with the same line.
async fn serve(stream: DuplexStream, config: ServerConfig) {
    // A client that refuses the certificate ends the handshake.
    let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
    let mut line = [0; 6];
    stream.read_exact(&mut line).await.unwrap();
    stream.write_all(&line).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// Connects to a server, and has it answer once.
async fn reach(config: ServerConfig, address: &str, listed_by: &str, trust: &Trust) -> Result<(), TlsError> {
    let (near, far) = duplex(1 << 14);
    let serving = tokio::spawn(serve(far, config));
    let (server, listed_by) = (address.parse().unwrap(), listed_by.parse().unwrap());
    let mut stream = handshake(near, &server, &listed_by, trust).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN));
    stream.write_all(b"LIST\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"LIST\r\n");
    serving.await.unwrap();
    Ok(())
}

async fn reach_by(identity: &Identity, address: &str, trust: &Trust) -> Result<(), TlsError> {
    reach(identity.config(), address, address, trust).await
}

#[tokio::test]
async fn an_authority_vouches_for_the_names_in_its_certificates() {
    let (authority, other) = (Authority::new(), Authority::new());
    let identity = authority.issue(&["chat.example", "*.wild.example", "192.0.2.7", "2001:db8::7"]);
    for address in
        [NAME, "tls://CHAT.example.:1", "tls://a.wild.example:1", "tls://192.0.2.7:1", "tls://[2001:db8::7]:1"]
    {
        assert_eq!(reach_by(&identity, address, &authority.trust()).await, Ok(()), "{address}");
    }
    for trust in [other.trust(), Trust::system()] {
        let refused = reach_by(&identity, NAME, &trust).await;
        assert_eq!(refused, Err(TlsError::UnknownIssuer { pin: identity.pin() }));
    }
    let error = reach_by(&identity, "tls://evil.example:1", &authority.trust()).await.unwrap_err();
    let words = "the server's certificate is for chat.example, *.wild.example, 192.0.2.7, 2001:db8::7 and not for \
                 evil.example";
    assert_eq!(error.to_string(), words);
    assert!(matches!(
        reach_by(&identity, "tls://192.0.2.8:1", &authority.trust()).await,
        Err(TlsError::WrongName { .. })
    ));
}

#[tokio::test]
async fn a_certificate_that_is_signed_with_its_own_key_is_its_own_authority() {
    let directory = tempfile::tempdir().unwrap();
    let (identity, other) = (Identity::self_signed(&["chat.example"]), Identity::self_signed(&["chat.example"]));
    let file = directory.path().join("server.pem");
    fs::write(&file, pem(&identity.certificate)).unwrap();
    let trust = Trust::authorities(&file).unwrap();
    assert_eq!(reach_by(&identity, NAME, &trust).await, Ok(()));
    assert_eq!(reach_by(&other, NAME, &trust).await, Err(TlsError::UnknownIssuer { pin: other.pin() }));
    // The file is read again.
    fs::write(&file, pem(&other.certificate)).unwrap();
    assert_eq!(reach_by(&other, NAME, &trust).await, Ok(()));
    fs::write(&file, "nothing").unwrap();
    let error = reach_by(&other, NAME, &trust).await.unwrap_err().to_string();
    assert!(error.contains("server.pem for authorities: it has no certificate"), "{error}");
    // As `openssl req -x509` makes them.
    let key = KeyPair::generate().unwrap();
    let mut params = params(&["chat.example"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = Identity { certificate: params.self_signed(&key).unwrap().der().clone(), key };
    let refused = reach_by(&authority, NAME, &Trust::system()).await;
    assert_eq!(refused, Err(TlsError::UnknownIssuer { pin: authority.pin() }));
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused_with_the_date() {
    let authority = Authority::new();
    let between = |from, to| {
        move |params: &mut CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 2, 3));
        }
    };
    let expired = authority.issue_with(&["chat.example"], between(2001, 2002), KeyPair::generate().unwrap());
    let error = reach_by(&expired, NAME, &authority.trust()).await.unwrap_err();
    assert!(error.to_string().starts_with("the server's certificate expired at 2002-02-03T00:00:00Z; "), "{error}");
    let early = authority.issue_with(&["chat.example"], between(4000, 4001), KeyPair::generate().unwrap());
    let error = reach_by(&early, NAME, &authority.trust()).await.unwrap_err();
    assert!(error.to_string().contains("valid only from 4000-01-01T00:00:00Z on"), "{error}");
    // A pin is of the key alone.
    assert_eq!(reach_by(&expired, NAME, &Trust::pins([expired.pin()])).await, Ok(()));
}

#[tokio::test]
async fn an_expired_certificate_of_the_chain_is_named_with_its_date() {
    let authority = Authority::new();
    let mut between = params(&[]);
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    between.distinguished_name.push(DnType::CommonName, "between");
    (between.not_before, between.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 2, 3));
    let (identity, intermediate) = authority.issue_between(&["chat.example"], between);
    let mut config = identity.config();
    config.cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(
        vec![identity.certificate.clone(), intermediate],
        provider().key_provider.load_private_key(identity.private_key()).unwrap(),
    )));
    let error = reach(config, NAME, NAME, &authority.trust()).await.unwrap_err().to_string();
    assert!(error.contains("a certificate of its chain expired at 2002-02-03T00:00:00Z"), "{error}");
}

#[tokio::test]
async fn a_pinned_key_is_trusted_in_any_certificate_and_no_other_key_is() {
    let authority = Authority::new();
    let identity = Identity::self_signed(&["other.example"]);
    let pin = identity.pin();
    let trust = Trust::pins([Pin::of(b"another"), pin]);
    assert_eq!(reach_by(&identity, NAME, &trust).await, Ok(()));
    let renewed = authority.issue_with(&["chat.example"], |_| {}, identity.key);
    assert_eq!(reach_by(&renewed, NAME, &trust).await, Ok(()));
    let swapped = authority.issue(&["chat.example"]);
    let error = reach_by(&swapped, NAME, &trust).await.unwrap_err();
    let either = authority.trust().or_pins([pin]);
    assert_eq!(reach_by(&swapped, NAME, &either).await, Ok(()));
    assert_eq!(reach_by(&renewed, "tls://evil.example:1", &either).await, Ok(()));
    let words = format!("its pin is {}, and trusted is {}, {pin}; somebody may", swapped.pin(), Pin::of(b"another"));
    assert!(error.to_string().contains(&words), "{error}");
}

/// Presents a certificate whose key it does not have.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[tokio::test]
async fn a_server_must_have_the_key_of_its_pinned_certificate() {
    let (identity, impostor) = (Identity::self_signed(&["chat.example"]), Identity::self_signed(&["chat.example"]));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let key = provider().key_provider.load_private_key(impostor.private_key()).unwrap();
        let stolen = CertifiedKey::new(vec![identity.certificate.clone()], key);
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Impostor(stolen.into())));
        config.alpn_protocols = vec![ALPN.into()];
        let refused = reach(config, NAME, NAME, &Trust::pins([identity.pin()])).await;
        assert!(matches!(refused, Err(TlsError::Certificate(_))), "{version:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_listed_peer_may_have_the_certificate_of_the_server_that_lists_it() {
    let authority = Authority::new();
    let (own, others) = (authority.issue(&["chat.example"]), authority.issue(&["other.example"]));
    let (peer, trust) = ("tls://192.0.2.7:1", authority.trust());
    assert_eq!(reach(own.config(), peer, NAME, &trust).await, Ok(()));
    let refused = reach(others.config(), peer, NAME, &trust).await;
    let names = vec!["other.example".to_owned()];
    assert_eq!(refused, Err(TlsError::WrongName { expected: "192.0.2.7".into(), names }));
}

#[tokio::test]
async fn a_known_server_is_trusted_by_its_key_and_refused_with_another() {
    let directory = tempfile::tempdir().unwrap();
    let known = Arc::new(KnownServers::at(directory.path().join("known_servers")));
    let trust = Trust::known(known.clone());
    let (first, second) = (Identity::self_signed(&["a"]), Identity::self_signed(&["a"]));
    assert_eq!(reach_by(&first, NAME, &trust).await, Err(TlsError::UnknownIssuer { pin: first.pin() }));
    known.add(&NAME.parse().unwrap(), &first.pin()).unwrap();
    assert_eq!(reach_by(&first, NAME, &trust).await, Ok(()));
    let words = reach_by(&second, NAME, &trust).await.unwrap_err().to_string();
    for part in [second.pin().to_string(), first.pin().to_string(), format!("{} line 1", known.path().display())] {
        assert!(words.contains(&part), "{part}: {words}");
    }
    // A peer has the server's key, or is itself known.
    let peer = "tls://192.0.2.7:1";
    assert_eq!(reach(first.config(), peer, NAME, &trust).await, Ok(()));
    let refused = reach(second.config(), peer, NAME, &trust).await;
    assert_eq!(refused, Err(TlsError::UnknownIssuer { pin: second.pin() }));
    known.add(&peer.parse().unwrap(), &second.pin()).unwrap();
    assert_eq!(reach(second.config(), peer, NAME, &trust).await, Ok(()));
    assert!(matches!(reach(first.config(), peer, NAME, &trust).await, Err(TlsError::WrongPin { .. })));
}

/// Does a handshake with a server that writes these bytes, and then closes or not.
async fn reach_bytes(bytes: &[u8], closes: bool) -> TlsError {
    let (near, mut far) = duplex(1 << 14);
    far.write_all(bytes).await.unwrap();
    let address = NAME.parse().unwrap();
    let trust = Trust::pins([]);
    let shaking = handshake(near, &address, &address, &trust);
    if closes {
        drop(far);
        return shaking.await.unwrap_err();
    }
    // `far` stays open.
    let shaken = timeout(Duration::from_secs(20), shaking).await.expect("it waits for more");
    drop(far);
    shaken.unwrap_err()
}

#[tokio::test]
async fn a_server_of_plain_text_is_known_by_its_first_answer() {
    let answer = b"REQUEST_ERROR\r\n{\"error\": \"Unknown command\", \"details\": \"\"}";
    assert_eq!(reach_bytes(answer, false).await, TlsError::PlainText);
    assert_eq!(reach_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n", false).await, TlsError::PlainText);
    assert_eq!(reach_bytes(b"", true).await, TlsError::Closed);
}

#[tokio::test]
async fn a_server_of_another_protocol_is_refused() {
    let identity = Identity::self_signed(&["chat.example"]);
    let mut config = identity.config();
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    let refused = reach(config, NAME, NAME, &Trust::pins([identity.pin()])).await;
    assert_eq!(refused, Err(TlsError::OtherProtocol));
}
