//! Commands, registrations and taps that reach a server by TLS.

use std::{net::TcpListener, path::Path, thread};

use chanwire_tests::process::{Finished, Launch, Server, TlsPair, check, wait_for};
use tempfile::{TempDir, tempdir};

/// A server that takes TLS, and its certificate.
struct Bench {
    server: Server,
    pair: TlsPair,
    folder: TempDir,
}

impl Bench {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let folder = tempdir().unwrap();
        let pair = TlsPair::make(folder.path());
        let server = pair.used_by(Launch::serve(&folder.path().join("data")).args(arguments)).start();
        Self { server, pair, folder }
    }

    /// Asks the server by TLS, as a user who knows no server.
    fn ask(&self, arguments: &[&str]) -> Finished {
        ask(&self.server.tls_address(), self.folder.path(), arguments)
    }
}

fn ask(server: &str, folder: &Path, arguments: &[&str]) -> Finished {
    let launch = Launch::new(arguments).args(["--server", server]);
    launch.variable("XDG_CONFIG_HOME", folder.join("config")).run()
}

#[test]
fn commands_use_a_server_by_tls_as_by_plain_text() {
    let bench = Bench::start();
    let address = bench.server.address(0).to_string();
    let file = bench.pair.certificate.to_str().unwrap();
    for trust in [["--tls-pin", &bench.pair.pin], ["--tls-ca", file]] {
        let by = |arguments: &[&str]| {
            let done = bench.ask(&[arguments, &trust].concat());
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
            done.stdout
        };
        by(&["host", "general", &address]);
        assert!(by(&["list"]).contains("general"));
        assert!(by(&["hello"]).contains("encrypted: true"), "{}", by(&["hello"]));
        by(&["send", "hello", "--user", "ann", "--channel", "general"]);
        assert!(by(&["history", "general"]).contains("ann: hello"));
        by(&["unhost", "general"]);
    }
    // A line each, of more than TLS and the sockets buffer.
    let lines = "x".repeat(1000) + "\n";
    let send = Launch::new(["send", "--user", "ann", "--server", &bench.server.tls_address()]);
    let sent = send.args(["--tls-pin", &bench.pair.pin]).input(lines.repeat(2000).as_bytes());
    assert_eq!(bench.ask(&["host", "general", &address, "--tls-pin", &bench.pair.pin]).code, Some(0));
    let sent = sent.run();
    assert_eq!((sent.code, sent.stdout.lines().count()), (Some(0), 2000), "{}", sent.stderr);
}

#[test]
fn a_server_that_is_not_trusted_is_refused_with_its_pin_and_the_flag_to_add() {
    let bench = Bench::start_with(&["--log", "debug"]);
    let pin = &bench.pair.pin;
    let refused = bench.ask(&["list"]);
    let words = refused.refusal(1);
    assert!(words.contains("unknown issuer") && words.contains(&format!("--tls-pin {pin}")), "{words}");
    let folder = tempdir().unwrap();
    let TlsPair { certificate, pin: other, .. } = &TlsPair::make(folder.path());
    let refused = bench.ask(&["list", "--tls-pin", other]);
    let words = refused.refusal(1);
    assert!(words.contains(&format!("its pin is {pin}, and trusted is {other}")), "{words}");
    let refused = bench.ask(&["list", "--tls-ca", certificate.to_str().unwrap()]);
    assert!(refused.refusal(1).contains("unknown issuer"), "{refused:?}");
    let plain = Launch::serve(&bench.folder.path().join("plain")).start();
    let refused = ask(&plain.tls_address(), bench.folder.path(), &["list"]);
    assert!(refused.refusal(1).contains("does not speak TLS at this port"), "{refused:?}");
    // The end of a connection with a request is logged, and of those only the trusted one sends any.
    assert_eq!(bench.ask(&["list", "--tls-pin", pin]).code, Some(0));
    bench.server.wait_for_log("requests=1");
    let log = bench.server.log();
    assert_eq!(log.matches("requests=1").count(), 1, "{log}");
}

#[test]
fn a_peer_is_registered_at_a_tracker_by_tls_alone() {
    let tracker = Bench::start();
    let (folder, pins) = (tempdir().unwrap(), [TlsPair::make(tempdir().unwrap().path()).pin, tracker.pair.pin.clone()]);
    let peer = |pin: &str| {
        Launch::serve(&folder.path().join("data"))
            .args(["--host", "general=127.0.0.1:40001@127.0.0.1:0", "--lease", "10"])
            .args(["--tracker", &tracker.server.tls_address(), "--tls-pin", pin])
            .start()
    };
    let listed = || tracker.ask(&["list", "--tls-pin", &tracker.pair.pin]).stdout;
    let [wrong, right] = &pins;
    let refused = peer(wrong);
    wait_for("the tracker's pin in the log", || {
        let log = refused.log();
        check(log.contains("no connection to the tracker") && log.contains(right), log)
    });
    assert!(!listed().contains("general"));
    refused.stop();
    let registered = peer(right);
    wait_for("the channel", || check(listed().contains("general"), registered.log()));
    registered.stop();
    assert!(!listed().contains("general"), "UNHOST was answered before the peer ended");
}

#[test]
fn a_tap_between_tls_and_tls_records_the_protocol() {
    let bench = Bench::start();
    let (folder, recorded) = (tempdir().unwrap(), bench.folder.path().join("tapped.jsonl"));
    let pair = TlsPair::make(folder.path());
    let tap = Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", &bench.server.tls_address()]);
    let tap = pair.used_by(tap.args(["--tls-pin", &bench.pair.pin]).arg("--write").arg(&recorded)).start();
    let address = tap.address(0).to_string();
    for (server, trust) in [(format!("tls://{address}"), &["--tls-pin", &*pair.pin][..]), (address, &[])] {
        let listed = ask(&server, folder.path(), &[&["list"], trust].concat());
        assert_eq!((listed.code, listed.stdout.as_str()), (Some(0), "no channels\n"), "{listed:?}");
    }
    tap.stop();
    let decoded = Launch::new(["decode"]).arg(&recorded).run();
    assert_eq!(decoded.stdout.matches("LIST").count(), 2, "{decoded:?}");
    let text = std::fs::read_to_string(&recorded).unwrap();
    let labels: Vec<&str> = text.lines().filter(|line| line.contains("\"label\":\"")).collect();
    let from_tls = labels.iter().filter(|line| line.contains("\"label\":\"tls://127.0.0.1:")).count();
    let to_tls = labels.iter().filter(|line| line.contains(&format!(" to {}\"", bench.server.tls_address()))).count();
    assert_eq!((labels.len(), from_tls, to_tls), (2, 1, 2), "{text}");
}

#[test]
fn a_command_waits_ten_seconds_at_most_for_a_server_that_is_silent_in_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Accepts, and says nothing.
    let accepted = thread::spawn(move || listener.accept());
    let folder = tempdir().unwrap();
    let refused = ask(&format!("tls://{address}"), folder.path(), &["list"]);
    assert!(refused.refusal(1).contains("no answer to the TLS handshake within 10 seconds"), "{refused:?}");
    drop(accepted.join().unwrap());
}
