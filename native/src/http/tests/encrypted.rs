//! The page and its bridge by TLS.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::tls::{Certificates, HTTP_ALPN, PemFile, Trust, handshake, provider, write_pair};

/// Serves the page by TLS.
async fn start() -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::load(write_pair(directory.path(), &["127.0.0.1"], 1)).unwrap();
    let config = HttpConfig { tls: Some(certificates.sessions(HTTP_ALPN).unwrap()), ..HttpConfig::default() };
    (Server::start_from(config, patient()).await, directory)
}

/// Connects as a browser does, which trusts the certificate and offers these protocols.
async fn connect(server: &Server, directory: &TempDir, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in PemFile::read(&directory.path().join("chat.crt")).unwrap().certificates().unwrap() {
        roots.add(certificate).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|&protocol| protocol.into()).collect();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::IpAddress(server.address.ip().into());
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

#[tokio::test]
async fn the_page_and_its_bridge_are_served_by_tls() {
    let (server, directory) = start().await;
    let mut stream = connect(&server, &directory, &[b"h2", HTTP_ALPN]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));

    let stream = connect(&server, &directory, &[]).await;
    let mut request = format!("wss://{}/bridge", server.address).into_client_request().unwrap();
    let origin = format!("https://{}", server.address);
    request.headers_mut().insert(ORIGIN, HeaderValue::from_str(&origin).unwrap());
    let (mut socket, _) = within(tokio_tungstenite::client_async(request, stream)).await.unwrap();
    socket.send(Message::text(json!({"type": "token", "token": server.token}).to_string())).await.unwrap();
    let welcome = within(socket.next()).await.unwrap().unwrap();
    assert!(welcome.to_text().unwrap().contains(r#""type":"welcome""#), "{welcome:?}");
}

#[tokio::test]
async fn a_request_in_plain_text_is_told_to_use_tls() {
    let (server, _directory) = start().await;
    let answer = server.request(&["GET / HTTP/1.1", "Host: 127.0.0.1:PORT"]).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
}

#[tokio::test]
async fn a_client_of_the_chat_protocol_is_refused() {
    let (server, directory) = start().await;
    let address = server.address.to_string().parse().unwrap();
    let trust = Trust::authorities(&directory.path().join("chat.crt")).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    assert!(within(handshake(stream, &address, &address, &trust)).await.is_err());
}
