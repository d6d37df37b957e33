//! The examples do what they say, as programs of their own.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chanwire::{Channel, Client, JoinFrom, Message, Server, ServerConfig};

/// An example that was built, by the same cargo as this test where it was not yet.
fn example(name: &str) -> Command {
    let built = env::current_exe().unwrap();
    let program: PathBuf = built.ancestors().nth(2).unwrap().join("examples").join(name);
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name, "--manifest-path"]);
    if !program.is_file() {
        assert!(build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).status().unwrap().success());
    }
    Command::new(program)
}

/// A program that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_answers_what_is_meant_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(ServerConfig::new(directory.path())).await.unwrap();
    let address = server.address();
    let client = Client::connect(address.into()).await.unwrap();
    let here = address.to_string().parse().unwrap();
    client.host(Channel { channel_name: "general".parse().unwrap(), address: here }, None).await.unwrap();
    let mut messages = client.join(&"general".parse().unwrap(), JoinFrom::Last(0)).await.unwrap();
    let _bot = Running(example("bot").args([&address.to_string(), "general"]).spawn().unwrap());
    // It hears only what comes after it has joined.
    let echoed = loop {
        let (username, channel_name) = ("ann".parse().unwrap(), Some("general".parse().unwrap()));
        client
            .send(Message { username, message_content: "!echo hello".into(), channel_name, client_message_id: None })
            .await
            .unwrap();
        let answer = async {
            loop {
                let message = messages.next_message().await.unwrap().unwrap();
                if message.username == "echo-bot" {
                    break message.message_content;
                }
            }
        };
        if let Ok(echoed) = tokio::time::timeout(Duration::from_millis(200), answer).await {
            break echoed;
        }
    };
    assert_eq!(echoed, "hello");
    server.stop().await.unwrap();
}

#[test]
fn the_embedded_server_serves_until_its_input_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = example("embedded");
    let child = command.arg(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert!(line().starts_with("listening on 127.0.0.1:"));
    assert_eq!(line(), "the server is up\n");
    drop(running.0.stdin.take());
    assert!(running.0.wait().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
