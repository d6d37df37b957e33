//! The tap as a program: what it writes, and what `decode` says of it.

use std::{fs, path::Path};

use chanwire_tests::process::{Launch, Peer, Server};
use tempfile::tempdir;

/// Faults that a server answers, one of which closes.
const SAID: &[u8] =
    b"LIST\r\nHOST\r\n{\"channel_name\": \"general\", \"peer_server_port\": \"1\"}PING\r\nGET / HTTP/1.1\r\n\r\n";

fn tap(to: &Server, file: &Path, more: &[&str]) -> Server {
    let to = to.address(0).to_string();
    let launch = Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", &to, "--write"]).arg(file);
    launch.args(more).start()
}

/// Returns the lines of a listing, without times and round trips.
fn rows(stdout: &str) -> Vec<String> {
    let rows = stdout.lines().filter(|line| line.contains(" -> ") || line.contains(" <- "));
    rows.map(|line| {
        let (_, row) = line.split_once('#').unwrap();
        row.split_whitespace().filter(|word| !word.ends_with("ms")).collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[test]
fn a_file_written_by_a_tap_decodes_to_the_same_frames() {
    let data = tempdir().unwrap();
    let server = Launch::serve(&data.path().join("data")).start();
    let files = ["tapped.jsonl", "tapped.pcapng", "faults.jsonl"].map(|name| data.path().join(name));
    let taps = [
        tap(&server, &files[0], &[]),
        tap(&server, &files[1], &[]),
        tap(&server, &files[2], &["--filter", "err && dir == out"]),
    ];
    let mut direct = server.connect();
    direct.send(SAID);
    let direct = direct.read_to_end();
    for tap in taps {
        let mut peer = Peer::connect(tap.address(0));
        peer.send(SAID);
        assert_eq!(peer.read_to_end(), direct);
        tap.stop();
    }
    server.stop();

    let decoded = |file: &Path, more: &[&str]| Launch::new(["decode"]).arg(file).args(more).run();
    let lines = decoded(&files[0], &[]);
    assert_eq!(lines.code, Some(3), "{lines:?}");
    assert_eq!(lines.stderr, "JSON Lines: 1 connection\n");
    assert_eq!(rows(&lines.stdout).len(), 9, "{lines:?}");
    let packets = decoded(&files[1], &[]);
    assert_eq!(sorted(rows(&packets.stdout)), sorted(rows(&lines.stdout)));
    assert!(packets.stderr.starts_with("pcapng: 1 connection in "), "{packets:?}");

    let faults = decoded(&files[2], &[]);
    assert_eq!(rows(&faults.stdout).len(), 3, "{faults:?}");
    let filtered = decoded(&files[0], &["--filter", "err && dir == out"]);
    assert_eq!(rows(&filtered.stdout), rows(&faults.stdout));

    // As JSON, a capture becomes lines that are decoded as the same.
    let converted = data.path().join("converted.jsonl");
    fs::write(&converted, decoded(&files[1], &["--json"]).stdout).unwrap();
    assert_eq!(rows(&decoded(&converted, &[]).stdout), rows(&packets.stdout));
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

#[test]
fn a_mistake_in_a_filter_is_shown_where_it_is() {
    let finished = Launch::new(["decode", "--filter", "dir == sideways"]).input(b"LIST\r\n").run();
    assert_eq!(finished.code, Some(2));
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines[1..], ["  dir == sideways", "         ^^^^^^^^"], "{finished:?}");
}

#[test]
fn a_tap_that_cannot_start_reports_the_reason() {
    let data = tempdir().unwrap();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let finished = Launch::new(["tap"]).args(arguments).run();
        assert!(finished.refusal(code).contains(words), "{finished:?}");
    };
    let odd = data.path().join("rows.txt").display().to_string();
    refused(&["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--write", &odd], 2, ".jsonl or .pcapng");
    let nowhere = data.path().join("none/rows.jsonl").display().to_string();
    refused(
        &["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--write", &nowhere],
        1,
        "; make its directory first, or name another file",
    );
    // A free port, which only this test uses.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(
        &["--listen", &free.to_string(), "--to", &format!("localhost:{}", free.port())],
        1,
        "the tap's own address",
    );
}

#[test]
fn a_failed_recording_is_reported_once_and_clients_continue() {
    let data = tempdir().unwrap();
    let server = Launch::serve(&data.path().join("data")).start();
    for name in ["full.jsonl", "full.pcapng"] {
        let file = data.path().join(name);
        let to = server.address(0).to_string();
        let launch = Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", &to, "--write"]).arg(&file);
        let launch = launch.after("ulimit -f 0");
        if name.ends_with("pcapng") {
            // Its header cannot be written, which is known at the start.
            let finished = launch.run();
            assert!(finished.refusal(1).contains("raise the limit on the size of files (ulimit -f)"), "{finished:?}");
            continue;
        }
        let mut tap = launch.start();
        let mut peer = Peer::connect(tap.address(0));
        for _ in 0..3 {
            peer.send(b"LIST\r\n");
            let answer = b"OK\r\n{\"channels\": []}";
            assert_eq!(peer.exactly(answer.len()), answer);
            tap.wait_for_log("recording stops here, and clients go on");
        }
        tap.signal(rustix::process::Signal::TERM);
        assert_eq!(tap.wait(chanwire_tests::process::DEADLINE).code(), Some(1));
        tap.wait_for_log("recording to");
        assert_eq!(tap.log().matches("recording stops here").count(), 1, "{}", tap.log());
    }
    server.stop();
}

#[test]
fn a_recording_is_overwritten_only_on_request() {
    let data = tempdir().unwrap();
    let server = Launch::serve(&data.path().join("data")).start();
    let file = data.path().join("rows.jsonl");
    fs::write(&file, "kept\n").unwrap();
    let to = server.address(0).to_string();
    let finished = Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", &to, "--write"]).arg(&file).run();
    assert!(finished.refusal(1).ends_with("; name another file, or add --overwrite"), "{finished:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept\n");
    tap(&server, &file, &["--overwrite"]).stop();
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
    // There is nothing in it to be lost.
    tap(&server, &file, &[]).stop();
    server.stop();
}

#[test]
fn the_page_begins_with_the_filter_of_the_command_line() {
    let data = tempdir().unwrap();
    let server = Launch::serve(&data.path().join("data")).start();
    let to = server.address(0).to_string();
    let arguments = ["tap", "--listen", "127.0.0.1:0", "--to", &to, "--filter", "err || cmd == \"HOST\""];
    let tap = Launch::new(arguments).start();
    let page = tap.banner().last().unwrap();
    let (_, filter) = page.split_once("&filter=").unwrap_or_else(|| panic!("{page}"));
    assert_eq!(filter, "err%20%7C%7C%20cmd%20%3D%3D%20%22HOST%22");
    tap.stop();
    let nowhere = Launch::new(arguments).args(["--http", "off"]).run();
    assert!(nowhere.refusal(2).contains("--filter: there is neither a page nor a file"), "{nowhere:?}");
    server.stop();
}

#[test]
fn a_half_close_is_recorded_when_it_was() {
    let data = tempdir().unwrap();
    let server = Launch::serve(&data.path().join("data")).start();
    let files = ["t.jsonl", "t.pcapng"].map(|name| data.path().join(name));
    for file in &files {
        let tap = tap(&server, file, &[]);
        let mut peer = Peer::connect(tap.address(0));
        peer.send(b"LIST\r\n");
        peer.finish();
        peer.read_to_end();
        tap.stop();
        let decoded = Launch::new(["decode"]).arg(file).run().stdout;
        let lines: Vec<&str> = decoded.lines().filter(|line| line.contains(" -- ")).collect();
        assert_eq!(lines.len(), 3, "{decoded}");
        assert!(lines[1].ends_with("the client shut down its sending half"), "{decoded}");
        // The name that --to gave is the address that was reached.
        assert!(lines[0].ends_with(&format!("to {}", server.address(0))), "{decoded}");
    }
    let rows = fs::read_to_string(&files[0]).unwrap();
    assert!(rows.lines().next().unwrap().contains("\"started\":\"20"), "{rows}");
    server.stop();
}

#[test]
fn an_invalid_address_or_level_is_explained() {
    let refused = |arguments: &[&str], words: &str| {
        let finished = Launch::new(arguments).run();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
        assert!(finished.stderr.contains(words), "{finished:?}");
    };
    for address in ["foo", "22236", "localhost:1"] {
        refused(&["serve", "--listen", address], "expected IP:PORT, such as 127.0.0.1:22236");
        refused(&["tap", "--to", "127.0.0.1:1", "--listen", address], "expected IP:PORT, such as 127.0.0.1:22236");
        refused(&["serve", "--http", address], "expected IP:PORT, such as 127.0.0.1:22280, or off");
    }
    let tap = ["tap", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"];
    refused(&["serve", "--log", "loud"], "expected error, warn, info, debug, trace or off");
    refused(&[&tap[..], &["--log", "loud"]].concat(), "--log loud: expected error, warn, info, debug, trace or off");
    refused(&[&tap[..], &["--http", "off", "--http-host", "x"]].concat(), "there is no page to be asked for");
    refused(&["serve", "--http", "off", "--http-host", "x"], "there is no page to be asked for");
}

#[test]
fn a_dump_from_standard_input_is_decoded() {
    let finished = Launch::new(["decode"]).input(b"00000000: 4c49 5354 0d0a            LIST..\n").run();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), "hex dump: 1 connection\n"), "{finished:?}");
    assert_eq!(rows(&finished.stdout).len(), 1);
    let cut = [
        &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0][..],
        &[0xff; 16],
    ]
    .concat();
    let broken = Launch::new(["decode"]).input(&cut).run();
    assert!(broken.refusal(1).contains("byte 24"), "{broken:?}");
}

#[test]
fn a_file_that_is_no_capture_is_refused() {
    let data = tempdir().unwrap();
    let stranger = "does not look like the protocol; it is read as what a client sent";
    for (name, bytes, said) in [
        ("empty.pcap", &b""[..], Some("empty.pcap is empty")),
        ("picture.pcap", b"\xff\xd8\xff\xe0\0\x10JFIF", Some(stranger)),
        ("recorded.bin", b"LIST\r\n", None),
    ] {
        let file = data.path().join(name);
        fs::write(&file, bytes).unwrap();
        for filter in [&[][..], &["--filter", "err"]] {
            let finished = Launch::new(["decode"]).arg(&file).args(filter).run();
            let warning = finished.stderr.lines().next().filter(|line| !line.starts_with("raw bytes: "));
            assert_eq!(warning.is_some(), said.is_some(), "{finished:?}");
            assert!(warning.unwrap_or_default().ends_with(said.unwrap_or_default()), "{finished:?}");
        }
    }
}

#[test]
fn a_tap_of_a_server_on_its_own_machine_logs_a_warning() {
    let warned = |to: &str| {
        let launch = Launch::new(["tap", "--listen", "127.0.0.1:0", "--to", to, "--http", "off"]);
        let mut tap = launch.start();
        tap.signal(rustix::process::Signal::TERM);
        assert!(tap.wait(chanwire_tests::process::DEADLINE).success(), "{}", tap.log());
        // Its last line.
        tap.wait_for_log("SIGTERM: stopping");
        tap.log().contains("the server is on this machine")
    };
    assert!(warned("127.0.0.1:1") && warned("localhost:1"));
    assert!(!warned("192.0.2.7:1"));
}
