//! The server inside another program.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use chanwire::{
    Channel, Client, Credentials, ErrorKind, Server, ServerConfig, SignInError, Trust,
    protocol::rights::{GuestPolicy, Rule},
};
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

const TOKEN: &str = "cwt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Its SHA-256.
const HASH: &str = "b54baa68ffb72d0dccbc0eebcdb997b1dc2792bc9d39e6737d77f7b1423ab974";

fn write_accounts(directory: &Path, text: &str) {
    let file = directory.join("accounts.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns a channel at the server's address.
fn channel(name: &str, server: &Server) -> Channel {
    Channel { channel_name: name.parse().unwrap(), address: server.address().to_string().parse().unwrap() }
}

/// Creates a client that signs in by a token.
fn bot(server: &Server) -> Client {
    let credentials = Credentials::Token(TOKEN.parse().unwrap());
    Client::with_credentials(server.address().into(), Trust::system(), credentials)
}

#[tokio::test]
async fn the_accounts_of_the_directory_and_the_rules_decide() {
    let directory = tempfile::tempdir().unwrap();
    write_accounts(directory.path(), &format!("[bot]\ntokens = [{{ name = \"t\", sha256 = \"{HASH}\" }}]\n"));
    let mut config = ServerConfig::new(directory.path());
    config.rules = vec![Rule {
        channels: "staff-*".parse().unwrap(),
        read: vec!["accounts".parse().unwrap()],
        write: vec!["bot".parse().unwrap()],
        host: vec!["bot".parse().unwrap()],
    }];
    config.guests = GuestPolicy::Read;
    let mut server = Server::start(config).await.unwrap();
    let (bot, guest) = (bot(&server), Client::new(server.address().into()));
    assert!(bot.hello().await.unwrap().has("auth"));
    for name in ["staff-lounge", "general"] {
        bot.host(channel(name, &server), None).await.unwrap();
    }
    let names = async |client: &Client| {
        let listed = client.list().await.unwrap();
        listed.iter().map(|channel| channel.channel_name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&bot).await, ["staff-lounge", "general"]);
    assert_eq!(names(&guest).await, ["general"]);
    let refused = guest.host(channel("mine", &server), None).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().error, "Not allowed");

    // A file with a fault changes nothing, and neither does none.
    write_accounts(directory.path(), "[bot]\npasword = 1\n");
    let fault = server.reload_accounts().await.unwrap_err().to_string();
    assert!(fault.contains("accounts.toml:2:1: bot.pasword is no key; did you mean password?"), "{fault}");
    fs::remove_file(directory.path().join("accounts.toml")).unwrap();
    let missing = server.reload_accounts().await.unwrap_err().to_string();
    assert!(missing.contains("the file is missing; an empty one removes all accounts"), "{missing}");
    assert_eq!(names(&bot).await.len(), 2);

    write_accounts(directory.path(), "[other]\n");
    server.reload_accounts().await.unwrap();
    let ended = loop {
        // The connection of the removed account ends, and a new one is not signed in.
        match bot.list().await {
            Err(error) if matches!(error.kind(), ErrorKind::SignIn(_)) => break error,
            Ok(_) => panic!("an account that was removed lists channels"),
            Err(_) => {}
        }
    };
    assert!(matches!(ended.kind(), ErrorKind::SignIn(SignInError::Refused(_))), "{ended}");
    assert_eq!(names(&guest).await, ["general"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn accounts_with_a_fault_keep_a_server_from_its_start() {
    let directory = tempfile::tempdir().unwrap();
    write_accounts(directory.path(), "[Ann]\n[bob]\npassword = 'secret'\n");
    let refused = Server::start(ServerConfig::new(directory.path())).await.unwrap_err().to_string();
    assert!(refused.contains("accounts.toml:1:2: Ann is no name of an account"), "{refused}");
    assert!(refused.contains("accounts.toml:3:12: bob.password") && !refused.contains("secret"), "{refused}");
}
