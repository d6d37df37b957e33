//! The server inside another program.

use chanwire::{Client, Server, ServerConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn two_servers_cannot_use_one_directory_and_one_can_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let config = ServerConfig::new(directory.path());
    let first = Server::start(config.clone()).await.unwrap();
    let refused = Server::start(config.clone()).await.unwrap_err().to_string();
    assert!(refused.contains(&*directory.path().to_string_lossy()), "{refused}");
    first.stop().await.unwrap();
    Server::start(config).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_answers_what_was_read_and_ends_the_connections() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(ServerConfig::new(directory.path())).await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"LIST\r\n").await.unwrap();
    let mut answer = vec![0; 20];
    stream.read_exact(&mut answer).await.unwrap();
    let (stopped, rest) = tokio::join!(server.stop(), async {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        rest
    });
    stopped.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "OK\r\n{\"channels\": []}");
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_is_served_where_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(directory.path());
    config.inspector = Some(([127, 0, 0, 1], 0).into());
    let server = Server::start(config).await.unwrap();
    let url = server.inspector_url().unwrap().to_owned();
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(directory.path());
    config.store_max = Some(1);
    assert!(Server::start(config).await.unwrap_err().to_string().contains("store_max"));

    let server = Server::start(ServerConfig::new(directory.path())).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(other.path());
    config.listen = vec![server.address()];
    assert!(Server::start(config).await.unwrap_err().to_string().contains("cannot listen"));
    assert_eq!(Client::connect(server.address().into()).await.unwrap().list().await.unwrap(), []);
    server.stop().await.unwrap();
}
