//! The sockets of all parts of the program, and the files that they share.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Instant,
};

use chanwire_tests::process::{DEADLINE, Launch, Peer, Server, TlsPair, binary, check, program, wait_for};
use tempfile::tempdir;

use crate::requests::{LIST, history, host, hosted, join, listed, message};

/// Returns the address of the page of a server or a tap.
fn page(server: &Server) -> SocketAddr {
    let url = server.banner().iter().find_map(|line| line.strip_prefix("inspector at http://")).unwrap();
    url.split('/').next().unwrap().parse().unwrap()
}

/// Returns a connection that asks for the page and reads nothing of it.
fn ask_for_page(page: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(page).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may be reset already, since another needs its place.
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n").as_bytes());
    stream
}

/// Returns whether the page can be loaded now.
fn loads(page: SocketAddr) -> bool {
    let mut answer = Vec::new();
    ask_for_page(page).read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

/// A command that goes on until it is killed.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_established_socket_has_a_keep_alive_timer() {
    let data = tempdir().unwrap();
    let serve = |name: &str, more: &[&str]| {
        let launch = Launch::new(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"]);
        launch.arg(data.path().join(name)).args(more).start()
    };
    let tracker = serve("tracker", &[]);
    let address = tracker.address(0).to_string();
    let peer = serve("peer", &["--host", "far=127.0.0.1:40001@127.0.0.1:0", "--tracker", &address]);
    let tap = Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", &address]).start();
    assert_eq!(tracker.ask(host("general", tracker.address(0))), hosted("general"));
    let tapped = tap.address(0).to_string();
    let clients = [
        Running::start(&["join", "general", "--server", &address]),
        Running::start(&["join", "general", "--server", &tapped]),
        Running::start(&["chat", "general", "--user", "ann", "--server", &tapped]),
        Running::start(&["send", "--user", "ann", "--server", &address]),
    ];
    let pages = [page(&tracker), page(&tap)];
    let mut ids = [tracker.id(), peer.id(), tap.id()].to_vec();
    ids.extend(clients.iter().map(|client| client.0.id()));
    let ids: Vec<String> = ids.iter().map(|id| format!(",pid={id},")).collect();
    let is_ours = |line: &&str| ids.iter().any(|id| line.contains(id));
    // Once nothing is on its way, the timer that runs is keep-alive's.
    let sockets = wait_for("a keep-alive timer for each socket", || {
        // These are closed after a while if they ask for nothing.
        let _open = pages.map(|page| TcpStream::connect(page).unwrap());
        let ss = Command::new(program("ss")).args(["-tnopH", "state", "established"]).output().unwrap();
        let all = String::from_utf8(ss.stdout).unwrap();
        let ours: Vec<String> = all.lines().filter(is_ours).map(str::to_owned).collect();
        let has = |words: &String| ours.iter().any(|line| line.contains(words));
        let complete = ids.iter().all(has) && pages.iter().all(|page| has(&format!(" {page} ")));
        let settled = ours.iter().all(|line| line.contains("timer:(keepalive,"));
        // Both ends of the peer's, the joins' and sender's connections, two more inside the tap, and the pages' ends.
        (complete && settled && ours.len() >= 12).then_some(ours)
    });
    // None of them has been probed yet.
    assert!(sockets.iter().all(|line| line.contains(",0)")), "{sockets:?}");
    drop(clients);
    tap.stop();
    peer.stop();
    tracker.stop();
}

#[test]
fn a_silent_connection_to_a_listener_with_tls_has_a_keep_alive_timer() {
    let data = tempdir().unwrap();
    let pair = TlsPair::make(data.path());
    let server = pair.used_by(Launch::serve(&data.path().join("data"))).start();
    let _silent = TcpStream::connect(server.address(0)).unwrap();
    let port = format!("sport = :{}", server.address(0).port());
    wait_for("the keep-alive timer of the server's end", || {
        let ss = Command::new(program("ss")).args(["-tnoH", "state", "established", &port]).output().unwrap();
        let line = String::from_utf8(ss.stdout).unwrap();
        check(line.contains("timer:(keepalive,"), line)
    });
    server.stop();
}

/// Returns the kernel's buffers for the server's end of each connection to its first listener: bytes to be sent, and
/// memory in bytes.
fn kernel_memory(server: &Server) -> Vec<(u64, u64)> {
    let port = format!("sport = :{}", server.address(0).port());
    let ss = Command::new(program("ss")).args(["-tnmHO", "state", "established", &port]).output().unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    let held = |line: &str| {
        let memory = line.split("skmem:(").nth(1).unwrap().trim_end_matches([')', ' ']);
        let of = |name| memory.split(',').find_map(|part| part.strip_prefix(name)?.parse::<u64>().ok()).unwrap();
        (number(line.split_whitespace().nth(1).unwrap()), of("r") + of("w"))
    };
    String::from_utf8(ss.stdout).unwrap().lines().map(held).collect()
}

#[test]
fn a_client_that_reads_nothing_holds_little_memory_here_and_in_the_kernel() {
    const CLIENTS: usize = 60;
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--write-timeout", "60"]).start();
    assert_eq!(server.ask(host("general", server.address(0))), hosted("general"));
    let said = server.ask(message("u", &"x".repeat(1000)).repeat(1000));
    assert_eq!(said.matches("delivered").count(), 1000);
    let page = history("general", 1000);
    assert!(server.ask(&page).len() > 200_000);
    let before = server.resident();
    let join = "JOIN\r\n{\"channel_name\": \"general\", \"history\": 1000}";
    for (first, then) in [(join, &*page), (&page, join)] {
        let clients: Vec<Peer> = (0..CLIENTS)
            .map(|_| {
                let mut client = server.connect();
                client.send(format!("{first}{then}"));
                client
            })
            .collect();
        let held = wait_for("all of them to be behind", || {
            let held = kernel_memory(&server);
            (held.len() == CLIENTS && held.iter().all(|(unsent, _)| *unsent > 0)).then_some(held)
        });
        // Every earlier request has been read from the store too.
        assert!(server.ask(&page).len() > 200_000);
        let kernel = held.iter().map(|(_, memory)| *memory).max().unwrap();
        assert!(kernel <= 160 << 10, "{kernel} bytes for one");
        let here = server.resident().saturating_sub(before) / CLIENTS as u64;
        assert!(kernel + here <= 512 << 10, "{here} bytes beside the kernel's {kernel}");
        drop(clients);
        wait_for("their end", || kernel_memory(&server).is_empty().then_some(()));
    }
    server.stop();
}

#[test]
fn a_client_that_floods_a_server_that_does_not_read_it_holds_little_memory() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--write-timeout", "60"]).start();
    let mut client = server.connect();
    // It is read fast at first, so that the kernel would give it ever more room.
    client.send(" ".repeat(64 << 20));
    assert!(client.ask(LIST).is_ok());
    let mut writer = client.another();
    // No answer is read: after so many the server stops reading.
    let writing = std::thread::spawn(move || while writer.try_send("PING\r\n".repeat(10_000)).is_ok() {});
    let mut last = 0;
    let held = wait_for("the server to stop reading", || {
        let [(_, held)] = kernel_memory(&server)[..] else { return None };
        (held > 100_000 && std::mem::replace(&mut last, held) == held).then_some(held)
    });
    assert!(held <= 512 << 10, "{held}");
    drop(server);
    writing.join().unwrap();
}

#[test]
fn subscribers_that_stop_reading_get_slow_consumer() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--write-timeout", "60"]).start();
    assert_eq!(server.ask(host("general", server.address(0))), hosted("general"));
    let mut readers: Vec<Peer> = (0..20).map(|_| server.connect()).collect();
    for reader in &mut readers {
        assert!(reader.ask(join("general")).is_ok());
    }
    let (content, count) = ("x".repeat(60_000), 60);
    for _ in 0..count {
        assert!(server.ask(message("u", &content)).starts_with("OK"));
    }
    for reader in &mut readers {
        let rest = reader.read_to_end();
        assert!(rest.contains("\"Slow consumer\"") && rest.len() < count * content.len(), "{} bytes", rest.len());
    }
    server.stop();
}

#[test]
fn one_port_may_be_listened_at_for_each_kind_of_address() {
    let data = tempdir().unwrap();
    let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let serve = |first: &str, second: &str| {
        let listen = |address| ["--listen".to_owned(), format!("{address}:{port}")];
        let launch = Launch::new(["serve", "--http", "off", "--data-dir"]).arg(data.path());
        launch.args(listen(first)).args(listen(second))
    };
    for (first, second) in [("0.0.0.0", "[::]"), ("[::]", "0.0.0.0")] {
        let server = serve(first, second).start();
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            let mut peer = Peer::connect(address.parse().unwrap());
            assert!(peer.ask(LIST).is_ok(), "{address}");
            peer.finish();
        }
        server.stop();
    }
    let refused = serve("127.0.0.1", "[::]").run();
    let words = format!("[::]:{port} takes IPv4 as well, and so 127.0.0.1:{port}; leave 127.0.0.1:{port} out");
    assert!(refused.refusal(2).contains(&words), "{refused:?}");
}

#[test]
fn a_low_file_limit_starves_neither_the_page_nor_the_protocol() {
    let data = tempdir().unwrap();
    let launch = Launch::new(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"]);
    let server = launch.arg(data.path()).after("ulimit -n 64").start();
    let page = page(&server);
    // The page is held by many that read nothing: channels are hosted and listed all the same.
    let mut holders: Vec<TcpStream> = (0..200).map(|_| ask_for_page(page)).collect();
    assert_eq!(server.ask(host("general", server.address(0))), hosted("general"));
    let list = listed(&[("general", "127.0.0.1", server.address(0).port())]);
    let mut held: Vec<Peer> = (0..10).map(|_| server.connect()).collect();
    for peer in &mut held {
        assert_eq!(peer.ask(LIST).raw, list);
    }
    // So is the protocol, beyond what it is given: the page loads.
    let crowd: Vec<Peer> = (0..100).filter_map(|_| Peer::try_connect(server.address(0)).ok()).collect();
    let since = Instant::now();
    for _ in 0..10 {
        assert!(loads(page));
        holders.extend((0..20).map(|_| ask_for_page(page)));
    }
    assert!(since.elapsed() < DEADLINE);
    assert_eq!(held[0].ask(LIST).raw, list);
    drop((holders, held, crowd));
    let log = server.stop();
    assert!(!log.contains("cannot accept"), "{log}");
}
