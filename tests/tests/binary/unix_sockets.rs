//! Unix sockets for clients.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use chanwire_tests::process::{DEADLINE, Finished, Launch, Server, check, wait_for};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{
    activation::start_with,
    metrics,
    requests::{LIST, host, hosted, join, joined, listed, message_to},
};

/// A directory for data and for a socket.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("chat.sock")
    }

    fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Returns a server with the socket and a TCP listener.
    fn serve(&self) -> Launch {
        Launch::serve(&self.0.path().join("data")).args(["--listen", &self.address()])
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Runs a command that asks the server.
    fn run(&self, arguments: &[&str]) -> Finished {
        Launch::new(arguments).args(["--server", &self.address()]).run()
    }
}

/// Sends this, and reads an answer of that many bytes.
fn ask(stream: &mut UnixStream, request: &str, length: usize) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn lists_nothing(stream: &mut UnixStream) {
    assert_eq!(ask(stream, LIST, listed(&[]).len()), listed(&[]));
}

/// Returns the fields of the events of this kind in a log of JSON lines.
fn events(log: &str, event: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = lines.filter_map(|line| line.get("fields").cloned());
    fields.filter(|fields| fields.get("event").is_some_and(|name| name == event)).collect()
}

#[test]
fn clients_of_a_unix_socket_are_served_as_others_and_host_nothing() {
    let place = Place::new();
    let server = place.serve().args(["--metrics", "127.0.0.1:0", "--log-format", "json"]).start();
    assert!(server.banner().contains(&format!("listening on {}", place.address())), "{:?}", server.banner());
    assert_eq!(place.socket().metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let tcp = server.address(0);
    assert_eq!(server.ask(host("general", tcp)), hosted("general"));

    let mut reader = place.connect();
    let welcome = joined("general", 1, 0);
    assert_eq!(ask(&mut reader, &join("general"), welcome.len()), welcome);
    let sent = place.run(&["send", "--user", "ann", "--channel", "general", "hello"]);
    assert!(sent.code == Some(0) && sent.stdout.starts_with("delivered "), "{sent:?}");
    assert!(ask(&mut reader, "", 7) == "MESSAGE");
    for (command, words) in [
        (&["list"][..], format!("general  {tcp}\n")),
        (&["history", "general"], "hello".into()),
        (&["hello"], "units".into()),
    ] {
        let told = place.run(command);
        assert!(told.code == Some(0) && told.stdout.contains(&words), "{told:?}");
    }
    let refused = place.run(&["host", "other", "127.0.0.1:1"]);
    assert!(refused.code == Some(3) && refused.stderr.contains("Not allowed"), "{refused:?}");
    let refused = place.run(&["unhost", "general"]);
    assert!(refused.code == Some(3) && refused.stderr.contains("Not allowed"), "{refused:?}");

    let seen = metrics::scrape(metrics::address(&server));
    for line in [
        "chanwire_connections{kind=\"unix\"} 1\n",
        "chanwire_connections_accepted_total{kind=\"unix\"} 7\n",
        "chanwire_connections_accepted_total{kind=\"operator\"} 0\n",
    ] {
        assert!(seen.contains(line), "{line}{seen}");
    }
    // A drain ends it as any other.
    let log = server.stop();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("hello"), "{rest}");
    let ended = events(&log, "connection_ended");
    let unix: Vec<_> = ended.iter().filter(|event| event["kind"] == "unix").collect();
    assert!(!unix.is_empty() && unix.iter().all(|event| event["listener"] == 1 && event["peer"].is_null()), "{log}");
    assert!(unix.iter().any(|event| event["reason"] == "server_stopping"), "{log}");
    assert!(!place.socket().exists());
}

#[test]
fn the_socket_of_a_dead_server_is_replaced_and_nothing_else() {
    let place = Place::new();
    let first = place.serve().start();
    let id = first.id();
    let other = tempdir().unwrap();
    let second = Launch::serve(other.path()).args(["--listen", &place.address()]);
    let finished = second.run();
    let line = finished.refusal(1);
    assert!(line.contains(&place.address()) && line.contains(&format!("process {id})")), "{line}");
    lists_nothing(&mut place.connect());

    first.kill();
    assert!(place.socket().exists());
    let server = place.serve().start();
    lists_nothing(&mut place.connect());
    // A socket that took its place is not this server's to remove.
    fs::remove_file(place.socket()).unwrap();
    let theirs = UnixListener::bind(place.socket()).unwrap();
    server.stop();
    assert!(UnixStream::connect(place.socket()).is_ok());
    drop(theirs);

    fs::remove_file(place.socket()).unwrap();
    fs::write(place.socket(), "precious").unwrap();
    let finished = place.serve().run();
    assert!(finished.refusal(1).contains("something that is no socket is there"), "{finished:?}");
    assert_eq!(fs::read(place.socket()).unwrap(), b"precious");
}

#[test]
fn a_place_without_a_directory_and_a_path_that_is_too_long_are_named() {
    let place = Place::new();
    let data = place.0.path();
    let missing = format!("unix:{}", data.join("none/chat.sock").display());
    let finished = Launch::serve(data).args(["--listen", &missing]).run();
    let line = finished.refusal(1);
    assert!(line.contains(&format!("cannot listen on {missing}: ")) && line.contains("make its directory"), "{line}");

    let long = format!("unix:/{}", "a".repeat(200));
    let served = Launch::serve(data).args(["--listen", &long]).run();
    let asked = Launch::new(["list", "--server", &long]).run();
    for finished in [served, asked] {
        assert!(finished.code == Some(2) && finished.stderr.contains("the path has 201 bytes"), "{finished:?}");
    }
    let asked = Launch::new(["list", "--server", &missing]).run();
    assert!(asked.code == Some(1) && asked.stderr.contains(&missing), "{asked:?}");
    let tapped = Launch::new(["tap", "--http", "off", "--listen", "127.0.0.1:0", "--to", &missing]).run();
    assert!(tapped.code == Some(1) && tapped.stderr.contains("no TCP address; name HOST:PORT"), "{tapped:?}");
}

#[test]
fn clients_of_a_unix_socket_count_toward_the_limit_of_connections() {
    let place = Place::new();
    let server = place.serve().args(["--max-connections", "2"]).start();
    let (mut one, mut other) = (place.connect(), server.connect());
    lists_nothing(&mut one);
    assert!(other.ask(LIST).is_ok());
    let mut refused = String::new();
    place.connect().read_to_string(&mut refused).unwrap();
    assert!(refused.contains("The server has reached its limit of 2 connections"), "{refused}");
    drop(one);
    wait_for("room", || {
        let mut client = place.connect();
        client.write_all(LIST.as_bytes()).unwrap();
        let mut answer = vec![0; listed(&[]).len()];
        let answer = client.read_exact(&mut answer).map(|()| answer);
        check(answer.as_ref().is_ok_and(|answer| answer == listed(&[]).as_bytes()), answer)
    });
    server.stop();
}

#[test]
fn requests_of_a_unix_socket_wait_for_the_rate_of_their_connection() {
    let place = Place::new();
    // No limit of an address is for it.
    let limits = ["--units", "20", "--burst", "2", "--address-units", "1", "--address-burst", "1"];
    let server = place.serve().args(limits).args(["--log-format", "json", "--log", "debug"]).start();
    let mut client = place.connect();
    let all = listed(&[]).repeat(8);
    assert_eq!(ask(&mut client, &LIST.repeat(8), all.len()), all);
    drop(client);
    let ended = wait_for("the end of the connection", || {
        let log = server.log();
        events(&log, "connection_ended").pop().ok_or(log)
    });
    // Six of them, each 50 ms after the one before it.
    let waited = ended["throttled_ms"].as_u64().unwrap();
    assert!((250..2_000).contains(&waited), "{ended}");
    server.stop();
}

/// Starts a server that is passed a Unix socket.
fn activated(place: &Place, socket: &UnixListener, path: &Path) -> Server {
    let listen = format!("unix:{}", path.display());
    let serve = Launch::new(["serve", "--http", "off", "--listen", &listen, "--data-dir"]);
    start_with(socket, serve.arg(place.0.path().join("data")))
}

#[test]
fn a_unix_socket_that_is_passed_is_matched_by_its_path_and_left_when_the_server_stops() {
    let place = Place::new();
    let socket = UnixListener::bind(place.socket()).unwrap();
    for _ in 0..2 {
        let server = activated(&place, &socket, &place.socket());
        lists_nothing(&mut place.connect());
        server.stop();
        assert!(place.socket().exists());
    }
    let mut server = activated(&place, &socket, &place.0.path().join("other.sock"));
    assert_eq!(server.wait(DEADLINE).code(), Some(1));
    let words = format!("the socket at {} that was passed (LISTEN_FDS) belongs to no listener", place.address());
    assert!(server.log().contains(&words), "{}", server.log());
}

#[test]
fn a_channel_at_a_forwarded_address_lives_behind_a_unix_socket() {
    let place = Place::new();
    let serve = Launch::new(["serve", "--http", "off", "--advertise", "chat.example:22236", "--listen"]);
    let server = serve.arg(place.address()).arg("--data-dir").arg(place.0.path().join("data")).start();
    let hosted = Launch::new(["host", "general", "chat.example:22236", "--data-dir"]);
    let hosted = hosted.arg(place.0.path().join("data")).run();
    assert_eq!(hosted.code, Some(0), "{hosted:?}");
    let sent = place.run(&["send", "--user", "ann", "--channel", "general", "hello"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let mut client = place.connect();
    // It is the only one at the socket's addresses.
    let unnamed = message_to("general", "ann", "again").replace(", \"channel_name\": \"general\"", "");
    assert!(ask(&mut client, &unnamed, 2) == "OK");
    drop(client);
    server.stop();
}
