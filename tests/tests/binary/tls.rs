//! TLS on the server's side, with `openssl s_client` as the client.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use chanwire_tests::process::{Finished, Launch, Peer, Server, Signal, answers, check, program, wait_for};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::{
    bridge::{ask_by_bridge, page},
    metrics,
    requests::{LIST, host, hosted, join, listed, message},
};

const HELLO: &str = "HELLO\r\n{}";

/// A directory with a pair, made by the program itself.
struct Pair(TempDir);

impl Pair {
    fn new() -> Self {
        let pair = Self(tempdir().unwrap());
        let made = pair.make("new", &["--name", "chat.example", "--name", "127.0.0.1"]);
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{made:?}");
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `chanwire tls`, with the pair's files.
    fn make(&self, command: &str, arguments: &[&str]) -> Finished {
        let launch = Launch::new(["tls", command]).args(arguments);
        launch.arg("--certificate").arg(self.path("chat.crt")).arg("--key").arg(self.path("chat.key")).run()
    }

    fn launch(&self) -> Launch {
        Launch::serve(&self.path("data"))
            .arg("--tls-certificate")
            .arg(self.path("chat.crt"))
            .arg("--tls-key")
            .arg(self.path("chat.key"))
    }

    /// Starts a server with one listener that has these further keys.
    fn serve_listener(&self, keys: &str) -> Server {
        let (certificate, key) = (self.path("chat.crt"), self.path("chat.key"));
        let file = self.path("chanwire.toml");
        let text = format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n{keys}\n[tls]\ncertificate = '{}'\nkey = '{}'\n",
            certificate.display(),
            key.display()
        );
        fs::write(&file, text).unwrap();
        let serve = Launch::new(["serve", "--http", "off", "--log-format", "json", "--data-dir"]);
        serve.arg(self.path("data")).arg("--config").arg(file).start()
    }

    /// Replaces a file of this pair by another's.
    fn take(&self, name: &str, other: &Self) {
        let next = self.path("next");
        fs::copy(other.path(name), &next).unwrap();
        fs::rename(next, self.path(name)).unwrap();
    }

    fn certificate(&self) -> String {
        fs::read_to_string(self.path("chat.crt")).unwrap()
    }
}

/// A client with TLS.
struct Tls {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Mutex<Vec<u8>>>,
    /// The thread that reads the output, to its end.
    reader: thread::JoinHandle<()>,
}

impl Tls {
    fn connect(address: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(program("openssl"));
        command.args(["s_client", "-connect", &address.to_string(), "-ign_eof"]).args(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().unwrap();
        let (stdin, mut stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let output = Arc::new(Mutex::new(Vec::new()));
        let into = output.clone();
        let reader = thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut some) {
                into.lock().unwrap().extend_from_slice(some.get(..count).unwrap_or_default());
            }
        });
        Self { child, stdin, output, reader }
    }

    /// Connects and shows nothing but what the server sends.
    fn quiet(address: SocketAddr) -> Self {
        Self::connect(address, &["-quiet"])
    }

    fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits for these words, and returns everything up to then.
    fn shows(&self, words: &str) -> String {
        wait_for(words, || {
            let output = self.output();
            check(output.contains(words), output.clone()).map(|()| output)
        })
    }

    fn ask(&mut self, request: &str, answer: &str) {
        self.output.lock().unwrap().clear();
        self.send(request);
        self.shows(answer);
    }

    /// Waits for its end, and returns its exit code and all its output.
    fn end(mut self) -> (Option<i32>, String) {
        let code = wait_for("the end of openssl", || self.child.try_wait().unwrap().ok_or("it runs")).code();
        wait_for("the end of its output", || check(self.reader.is_finished(), "it is being read"));
        (code, self.output())
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the certificate that new connections are served with.
fn served(address: SocketAddr) -> String {
    let mut client = Tls::connect(address, &["-showcerts"]);
    // The end of its input is the end of the connection, so it is given one only then.
    let output = client.shows("-----END CERTIFICATE-----\n");
    drop(client.stdin.take());
    let (_, from) = output.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    format!("-----BEGIN CERTIFICATE-----{}-----END CERTIFICATE-----\n", from.split("-----END").next().unwrap())
}

/// Waits for an event of the log in JSON, and returns its fields.
fn event(server: &Server, name: &str) -> Value {
    wait_for(name, || {
        let log = server.log();
        let mut fields = log.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line.get("fields").cloned()
        });
        let found = fields.find(|fields| fields.get("event").is_some_and(|event| event == name));
        found.ok_or(log.clone())
    })
}

#[test]
fn one_port_takes_tls_and_plain_text() {
    let pair = Pair::new();
    let server = pair.launch().start();
    let address = server.address(0);
    let mut plain = server.connect();
    assert!(plain.ask(HELLO).raw.contains("\"encrypted\": false"));
    let mut tls = Tls::quiet(address);
    tls.ask(HELLO, "\"encrypted\": true");
    assert_eq!(plain.ask(host("general", address)).raw, hosted("general"));
    tls.ask(LIST, &listed(&[("general", "127.0.0.1", address.port())]));
    // What one says, the other reads.
    assert!(plain.ask(join("general")).is_ok());
    tls.ask(&message("ann", "over TLS"), "delivered");
    assert_eq!(plain.answer().content(), "over TLS");
    server.stop();
}

#[test]
fn the_programs_own_clients_trust_a_pair_by_its_pin_or_as_its_own_authority() {
    let pair = Pair::new();
    let server = pair.serve_listener("tls = 'required'");
    let shown = Launch::new(["tls", "show"]).arg(pair.path("chat.crt")).run();
    let pin = shown.stdout.lines().find_map(|line| line.strip_prefix("pin: ")).unwrap();
    let url = format!("tls://{}", server.address(0));
    let list = Launch::new(["list", "--server", &url]);
    let by_pin = list.args(["--tls-pin", pin]).run();
    assert_eq!((by_pin.code, by_pin.stdout.as_str()), (Some(0), "no channels\n"), "{by_pin:?}");
    let by_file = Launch::new(["list", "--server", &url, "--tls-ca"]).arg(pair.path("chat.crt")).run();
    assert_eq!((by_file.code, by_file.stdout.as_str()), (Some(0), "no channels\n"), "{by_file:?}");
    let by_nobody = Launch::new(["list", "--server", &url]).run();
    assert!(by_nobody.code == Some(1) && by_nobody.stderr.contains(pin), "{by_nobody:?}");
    // It is told what to do where it comes in plain text.
    let plain = Launch::new(["list", "--server", &server.address(0).to_string()]).run();
    assert!(plain.code == Some(3) && plain.stderr.contains("Encryption required"), "{plain:?}");
}

#[test]
fn the_page_reaches_a_listener_that_requires_tls_and_a_tap_s_server_by_tls() {
    let pair = Pair::new();
    let serve = Launch::new(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--tls-mode", "required"]);
    let (certificate, key) = (pair.path("chat.crt"), pair.path("chat.key"));
    let serve = serve.arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
    let server = serve.arg("--data-dir").arg(pair.path("data")).start();
    let (to, (address, token)) = (format!("tls://{}", server.address(0)), page(&server));
    let target = format!("{{\"id\":\"0\",\"address\":\"{to}\"}}");
    let asked = ask_by_bridge(&address, &token, "0", HELLO, "retry_window", "");
    assert!(asked.contains(&target) && asked.contains(&format!("\"remote\":\"{to}\"")), "{asked}");
    assert!(asked.contains("\"encrypted\": true"), "{asked}");

    let tap = || Launch::new(["tap", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--to", &to]);
    let trusting = tap().arg("--tls-ca").arg(&certificate).start();
    let (address, token) = page(&trusting);
    let asked = ask_by_bridge(&address, &token, "0", HELLO, "retry_window", "");
    assert!(asked.contains(&target) && asked.contains("\"encrypted\": true"), "{asked}");
    trusting.stop();
    // Without trust it is told what to do, and nothing is sent.
    let strict = tap().start();
    let (address, token) = page(&strict);
    let asked = ask_by_bridge(&address, &token, "0", HELLO, "\"type\":\"closed\"", "");
    assert!(asked.contains(&format!("cannot connect to {to}: ")) && asked.contains("--tls-pin"), "{asked}");
    strict.stop();
    server.stop();
}

#[test]
fn the_page_of_a_tap_is_served_by_tls_where_that_is_asked_for() {
    let pair = Pair::new();
    let tap = || Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--http-tls", "required"]);
    let (certificate, key) = (pair.path("chat.crt"), pair.path("chat.key"));
    let launch = tap().arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
    let running = launch.start();
    let url = running.banner().last().unwrap().strip_prefix("inspector at https://").unwrap();
    let address = url.split('/').next().unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    Tls::quiet(address.parse().unwrap()).ask(&request, "HTTP/1.1 200");
    running.stop();
    let without = tap().run();
    assert!(without.code == Some(2) && without.stderr.contains("--tls-certificate"), "{without:?}");
    let none =
        tap().args(["--http", "off"]).arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key).run();
    assert!(none.refusal(2).contains("--http-tls: "), "{none:?}");
}

#[test]
fn a_client_of_another_protocol_fails_in_the_handshake() {
    let pair = Pair::new();
    let server = pair.launch().args(["--metrics", "127.0.0.1:0"]).start();
    let address = server.address(0);
    let (code, output) = Tls::connect(address, &["-alpn", "h2,http/1.1"]).end();
    assert!(code != Some(0) && output.contains("no peer certificate available"), "{output}");
    Tls::connect(address, &["-alpn", "h2,chanwire"]).shows("ALPN protocol: chanwire");
    // The client may learn of it before it is counted.
    wait_for("the counts", || {
        let scraped = metrics::scrape(metrics::address(&server));
        let is_counted = scraped.contains("chanwire_tls_handshake_failures_total{reason=\"other_protocol\"} 1\n")
            && scraped.contains("chanwire_connections_refused_total{reason=\"tls_handshake\"} 1\n");
        check(is_counted, scraped)
    });
}

#[test]
fn an_address_has_a_share_of_the_handshakes_and_another_is_closed_at_once() {
    const SHARE: usize = 64;
    let pair = Pair::new();
    let server = pair.launch().args(["--exempt", "192.0.2.0/24", "--metrics", "127.0.0.1:0"]).start();
    let address = server.address(0);
    let _begun: Vec<Peer> = (0..=SHARE)
        .map(|_| {
            let mut client = Peer::connect_from([127, 0, 0, 2].into(), address);
            client.send(b"\x16\x03\x01");
            client
        })
        .collect();
    wait_for("the end of one", || {
        let scraped = metrics::scrape(metrics::address(&server));
        let count = |reason, count| {
            scraped.contains(&format!("chanwire_tls_handshake_failures_total{{reason=\"{reason}\"}} {count}\n"))
        };
        check(count("too_many", 1) && count("timed_out", 0), scraped.clone())
    });
    // Another address has a share of its own.
    Tls::quiet(address).ask(LIST, &listed(&[]));
    server.stop();
}

#[test]
fn connections_are_counted_by_kind_and_pending_until_it_is_known() {
    let pair = Pair::new();
    let server = pair.launch().args(["--metrics", "127.0.0.1:0"]).start();
    let address = server.address(0);
    let _silent = server.connect();
    let mut plain = server.connect();
    assert!(plain.ask(LIST).is_ok());
    let mut tls = Tls::quiet(address);
    tls.ask(LIST, "channels");
    wait_for("the counts", || {
        let scraped = metrics::scrape(metrics::address(&server));
        let mut all = [("plain", 1), ("tls", 1), ("pending", 1)].into_iter();
        let is_counted =
            |(kind, count)| scraped.contains(&format!("chanwire_connections{{kind=\"{kind}\"}} {count}\n"));
        check(all.all(is_counted), scraped.clone())
    });
    // One that has said nothing does not keep the server from its end.
    server.stop();
}

#[test]
fn plain_text_is_answered_and_closed_where_tls_is_required() {
    let pair = Pair::new();
    let server = pair.serve_listener("tls = 'required'");
    let mut plain = server.connect();
    plain.send(LIST);
    let [answer] = &answers(&plain.read_to_end())[..] else { panic!("one answer") };
    assert_eq!((answer.status.as_str(), answer.error()), ("REQUEST_ERROR", "Encryption required"));
    assert_eq!(event(&server, "connections_refused").get("reason").unwrap(), "encryption_required");
    Tls::quiet(server.address(0)).ask(LIST, &listed(&[]));
}

#[test]
fn the_mode_is_that_of_all_listeners_and_of_the_channels_that_are_hosted() {
    let pair = Pair::new();
    let serve = pair.launch().args(["--tls-mode", "required", "--host", "general=127.0.0.1:22240@127.0.0.1:0"]);
    let server = serve.start();
    for listener in 0..2 {
        let address = server.address(listener);
        let mut peer = Peer::connect(address);
        peer.send(LIST);
        let answer = peer.read_to_end();
        assert!(answer.contains("\"Encryption required\""), "{address}: {answer}");
        Tls::quiet(address).ask(LIST, "general");
    }
    server.stop();
}

#[test]
fn show_takes_its_file_by_the_option_of_new_and_renew_or_alone() {
    let pair = Pair::new();
    let file = pair.path("chat.crt");
    let show = || Launch::new(["tls", "show"]);
    let shown = show().arg("--certificate").arg(&file).run();
    assert!(shown.code == Some(0) && shown.stdout.contains("pin: sha256/"), "{shown:?}");
    assert_eq!(show().arg(&file).run().stdout, shown.stdout);
    assert_eq!(show().arg(&file).arg("--certificate").arg(&file).run().code, Some(2));
}

#[test]
fn a_silent_connection_is_closed_after_the_time_of_a_handshake_where_tls_is_required() {
    let pair = Pair::new();
    let server = pair.serve_listener("tls = 'required'");
    assert_eq!(server.connect().read_to_end(), "");
    assert_eq!(event(&server, "connections_refused").get("reason").unwrap(), "tls_handshake");
    server.stop();
}

#[test]
fn a_listener_without_tls_says_so() {
    let pair = Pair::new();
    let server = pair.serve_listener("tls = 'off'");
    let mut peer = server.connect();
    peer.send(b"\x16\x03\x01\x02");
    let text = peer.read_to_end();
    let details = "A command must come first, found the beginning of a TLS handshake; TLS is off here";
    assert!(text.contains("\"Malformed command\"") && text.contains(details), "{text}");
    server.stop();
}

#[test]
fn a_refused_tls_client_is_sent_no_plain_text() {
    let pair = Pair::new();
    let server = pair.launch().args(["--max-connections", "1"]).start();
    let mut first = server.connect();
    assert!(first.ask(LIST).is_ok());
    let mut plain = server.connect();
    plain.send(LIST);
    assert!(plain.read_to_end().contains("Server busy"));
    // One who says nothing is told, too.
    assert!(server.connect().read_to_end().contains("Server busy"));
    let mut tls = TcpStream::connect(server.address(0)).unwrap();
    tls.write_all(b"\x16\x03\x01\x02").unwrap();
    let mut received = Vec::new();
    // The end of the stream, or a reset, since the server leaves the bytes unread.
    let _ = tls.read_to_end(&mut received);
    assert_eq!(received, b"");
    assert!(first.ask(LIST).is_ok());
}

#[test]
fn a_new_pair_serves_new_connections_and_open_ones_go_on() {
    let (pair, next) = (Pair::new(), Pair::new());
    let server = pair.launch().start();
    let address = server.address(0);
    let mut open = Tls::quiet(address);
    open.ask(LIST, "channels");
    assert_eq!(served(address), pair.certificate());
    pair.take("chat.key", &next);
    pair.take("chat.crt", &next);
    server.signal(Signal::HUP);
    wait_for("the new certificate", || {
        let served = served(address);
        check(served == next.certificate(), served)
    });
    open.ask(LIST, "channels");
    server.stop();
}

#[test]
fn half_a_renewal_changes_nothing_and_is_reported() {
    let (pair, next) = (Pair::new(), Pair::new());
    let before = pair.certificate();
    let server = pair.launch().args(["--metrics", "127.0.0.1:0", "--log-format", "json"]).start();
    let address = server.address(0);
    let is_read = || metrics::scrape(metrics::address(&server)).contains("chanwire_tls_last_reload_successful 1\n");
    assert!(is_read());
    pair.take("chat.key", &next);
    server.signal(Signal::HUP);
    let failed = event(&server, "certificate_not_reloaded");
    assert!(failed.get("fault").unwrap().as_str().unwrap().contains("key of another certificate"), "{failed}");
    wait_for("the metric", || check(!is_read(), "it is 1"));
    assert_eq!(served(address), before);
    pair.take("chat.crt", &next);
    server.signal(Signal::HUP);
    wait_for("the metric", || check(is_read(), "it is 0"));
    assert_eq!(served(address), next.certificate());
    server.stop();
}

#[test]
fn tls_begins_after_the_header_of_a_proxy() {
    let pair = Pair::new();
    let server = pair.serve_listener("proxy = true\nproxy_from = ['127.0.0.1']");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, address) = (listener.local_addr().unwrap(), server.address(0));
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(address).unwrap();
        server.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 50001 22236\r\n").unwrap();
        let copy = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        };
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || copy(from, to));
        copy(server, client);
    });
    let mut tls = Tls::quiet(proxy);
    tls.ask(HELLO, "\"encrypted\": true");
    // The client's address is the one in the header.
    tls.ask("HOST\r\n{\"channel_name\": \"a\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 1}", "success");
}

#[test]
fn a_tls_client_that_reads_nothing_is_reset() {
    let pair = Pair::new();
    let server = pair.launch().args(["--write-timeout", "1", "--log-format", "json"]).start();
    // Its output is not read, so it reads no more when the pipe is full.
    let mut command = Command::new(program("openssl"));
    command.args(["s_client", "-quiet", "-connect", &server.address(0).to_string()]);
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        // Ends when the client has ended.
        while stdin.write_all("PING\r\n".repeat(1000).as_bytes()).is_ok() {}
    });
    let ended = event(&server, "connection_ended");
    assert_eq!(ended.get("reason").unwrap(), "not_reading", "{ended}");
    client.kill().unwrap();
    client.wait().unwrap();
    writer.join().unwrap();
}

/// A relay in front of a server, which can be told to cut the client's next record.
struct Cutter {
    address: SocketAddr,
    cuts: Arc<AtomicBool>,
}

impl Cutter {
    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, cuts) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_cut = cuts.clone();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut server = TcpStream::connect(server).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let back = thread::spawn(move || std::io::copy(&mut from, &mut to));
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = client.read(&mut some) {
                let cut = is_cut.load(Ordering::SeqCst);
                let passed = if cut { count / 2 } else { count };
                server.write_all(some.get(..passed).unwrap_or_default()).unwrap();
                if cut {
                    break;
                }
            }
            // The connection stays open until the server ends it.
            let _ = back.join();
        });
        Self { address, cuts }
    }
}

#[test]
fn a_tls_record_that_is_not_complete_in_time_ends_its_connection_with_the_reason() {
    let pair = Pair::new();
    let options = ["--request-timeout", "1", "--log-format", "json", "--metrics", "127.0.0.1:0"];
    let server = pair.launch().args(options).start();
    let cutter = Cutter::start(server.address(0));
    let mut client = Tls::quiet(cutter.address);
    client.ask(LIST, "channels");
    cutter.cuts.store(true, Ordering::SeqCst);
    client.send(LIST);
    let ended = event(&server, "connection_ended");
    // Nothing of the second request was decrypted, so it is neither counted nor a fault.
    let of = |name: &str| ended.get(name).cloned().unwrap_or_default();
    assert_eq!([of("reason"), of("kind")], ["request_timed_out", "tls"], "{ended}");
    assert_eq!([of("requests"), of("faults")], [1, 0], "{ended}");
    wait_for("the count", || {
        let scraped = metrics::scrape(metrics::address(&server));
        check(scraped.contains("chanwire_connections_ended_total{reason=\"request_timed_out\"} 1\n"), scraped)
    });
    drop(client);
    server.stop();
}

#[test]
fn a_pair_is_never_overwritten_unasked_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let pair = Pair::new();
    let mode = |name| fs::metadata(pair.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("chat.key"), 0o600);
    let names = ["--name", "chat.example"];
    let again = pair.make("new", &names);
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
    assert!(again.stderr.contains("chat.key exists; choose another file, or replace it with --force"), "{again:?}");
    let pin = |shown: &Finished| {
        let line = shown.stdout.lines().find_map(|line| line.strip_prefix("pin: "));
        line.unwrap_or_else(|| panic!("{shown:?}")).to_owned()
    };
    let show = || Launch::new(["tls", "show"]).arg(pair.path("chat.crt")).run();
    let old = pin(&show());
    // A renewal keeps the names and the key.
    let before = pair.certificate();
    let renewed = pair.make("renew", &["--days", "7"]);
    assert!(renewed.stdout.starts_with("names: chat.example, 127.0.0.1\n"), "{renewed:?}");
    assert_eq!((pin(&renewed), pair.certificate() == before), (old.clone(), false));
    let forced = pair.make("new", &[&names[..], &["--force", "--json"]].concat());
    let forced: Value = serde_json::from_str(&forced.stdout).unwrap();
    assert_eq!(forced.get("names").unwrap(), &serde_json::json!(["chat.example"]));
    assert!(pin(&show()) != old && forced.get("pin").unwrap() == &Value::from(pin(&show())));
    assert_eq!(mode("chat.key"), 0o600);
    // OpenSSL's own hash of the key is the pin.
    let openssl = format!(
        "openssl x509 -in {} -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64",
        pair.path("chat.crt").display()
    );
    let hash = Command::new(program("sh")).args(["-c", &openssl]).output().unwrap().stdout;
    assert_eq!(format!("sha256/{}", String::from_utf8(hash).unwrap().trim()), pin(&show()));
}

#[test]
fn a_key_in_the_file_of_its_certificate_is_never_lost() {
    use std::os::unix::fs::symlink;
    let pair = Pair::new();
    let key = fs::read_to_string(pair.path("chat.key")).unwrap();
    let both = pair.path("both.pem");
    fs::write(&both, pair.certificate() + &key).unwrap();
    symlink(&both, pair.path("link.pem")).unwrap();
    let run = |arguments: &[&str], certificate: &str, key: &str| {
        let launch = Launch::new([&["tls"], arguments].concat());
        launch.arg("--certificate").arg(pair.path(certificate)).arg("--key").arg(pair.path(key)).run()
    };
    for (certificate, key) in [("both.pem", "both.pem"), ("both.pem", "link.pem")] {
        for arguments in [&["renew"][..], &["new", "--force", "--name", "a"]] {
            let refused = run(arguments, certificate, key);
            assert!(refused.refusal(2).contains("are the same file; name another one for the key"), "{refused:?}");
        }
    }
    let refused = run(&["renew"], "both.pem", "chat.key");
    assert!(refused.refusal(1).contains("both.pem has a key as well"), "{refused:?}");
    let refused = run(&["new", "--name", "a"], "new.pem", "./new.pem");
    assert!(refused.refusal(2).contains("are the same file"), "{refused:?}");
    assert_eq!(fs::read_to_string(&both).unwrap(), pair.certificate() + &key);
    // A file of this name may be the user's.
    fs::write(pair.path("chat.crt.new"), "kept").unwrap();
    assert_eq!(pair.make("renew", &[]).code, Some(0));
    assert_eq!(fs::read_to_string(pair.path("chat.crt.new")).unwrap(), "kept");
    let mut names: Vec<_> = fs::read_dir(pair.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["both.pem", "chat.crt", "chat.crt.new", "chat.key", "link.pem"]);
}

#[test]
fn a_certificate_is_renewed_with_its_key_alone_and_by_its_issuer_alone() {
    let (pair, other) = (Pair::new(), Pair::new());
    let before = pair.certificate();
    pair.take("chat.key", &other);
    let refused = pair.make("renew", &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is not the key of"), "{refused:?}");
    // An authority signs the other's key.
    let sign = format!(
        "cd {} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -keyout ca.key \
         -out ca.crt -days 2 && echo subjectAltName=DNS:chat.example > ext && openssl req -new -key chat.key -subj /CN=chat.example -out chat.csr \
         && openssl x509 -req -in chat.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out chat.crt",
        other.0.path().display()
    );
    let signed = Command::new(program("sh")).args(["-c", &sign]).output().unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let refused = other.make("renew", &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("signed by a certificate authority"), "{refused:?}");
    assert_eq!(pair.certificate(), before);
    // A server takes it all the same, and a client that trusts the authority trusts it.
    let server = other.launch().start();
    Tls::quiet(server.address(0)).ask(LIST, "channels");
}

#[test]
fn config_check_reports_the_faults_of_a_pair_with_their_places() {
    let pair = Pair::new();
    let check = |change: &dyn Fn(&Path, &Path)| {
        let pair = Pair::new();
        let (certificate, key) = (pair.path("chat.crt"), pair.path("chat.key"));
        change(&certificate, &key);
        let file = pair.path("chanwire.toml");
        let text = "[tls]\ncertificate = 'CRT'\nkey = 'KEY'\n";
        let text = text.replace("CRT", &certificate.display().to_string()).replace("KEY", &key.display().to_string());
        fs::write(&file, text).unwrap();
        let checked = Launch::new(["config", "check"]).arg(&file).run();
        let served = Launch::serve(&pair.path("data")).arg("--config").arg(&file).try_start();
        assert_eq!(
            (checked.code, served.is_ok()),
            if checked.code == Some(2) { (Some(2), false) } else { (Some(0), true) }
        );
        checked.stdout.replace(&format!("{}/", pair.0.path().display()), "")
    };
    assert_eq!(check(&|_, _| {}), "chanwire.toml: no faults\n");
    assert_eq!(
        check(&|certificate, _| fs::remove_file(certificate).unwrap()),
        "chanwire.toml:2:15: tls.certificate: cannot use the certificate: No such file or directory (os error 2)\n"
    );
    assert_eq!(
        check(&|_, key| assert!(fs::copy(pair.path("chat.key"), key).is_ok())),
        "chanwire.toml:3:7: tls.key: cannot use the key: it is the key of another certificate; are both files of the \
         same renewal?\n"
    );
    assert_eq!(
        check(&|_, key| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(key, fs::Permissions::from_mode(0o604)).unwrap();
        }),
        "chanwire.toml:3:7: tls.key: cannot use the key: everybody may read it; run `chmod o-rwx` on it\n"
    );
    // A certificate that is over, or nearly, still serves the clients that know its key.
    let over = check(&|certificate, key| {
        let renew = Launch::new(["tls", "renew", "--days", "7", "--certificate"]);
        assert_eq!(renew.arg(certificate).arg("--key").arg(key).run().code, Some(0));
    });
    assert!(over.starts_with("warning: chanwire.toml:2:15: tls.certificate: it expires at "), "{over}");
}

#[test]
fn a_handshake_that_has_begun_does_not_keep_the_server_from_its_end() {
    let pair = Pair::new();
    let server = pair.launch().start();
    let mut begun = Peer::connect(server.address(0));
    begun.send(b"\x16\x03\x01\x02\x00");
    server.stop();
}
