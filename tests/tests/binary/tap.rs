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

/// The lines of a listing, without times and round trips.
fn rows(stdout: &str) -> Vec<String> {
    let rows = stdout.lines().filter(|line| line.contains(" -> ") || line.contains(" <- "));
    rows.map(|line| {
        let (_, row) = line.split_once('#').unwrap();
        row.split_whitespace().filter(|word| !word.ends_with("ms")).collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[test]
fn what_a_tap_writes_is_decoded_as_what_was_said() {
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
    let direct = direct.rest();
    for tap in taps {
        let mut peer = Peer::connect(tap.address(0));
        peer.send(SAID);
        assert_eq!(peer.rest(), direct);
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
fn a_tap_that_cannot_be_says_why() {
    let data = tempdir().unwrap();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let finished = Launch::new(["tap"]).args(arguments).run();
        assert!(finished.refusal(code).contains(words), "{finished:?}");
    };
    let odd = data.path().join("rows.txt").display().to_string();
    refused(&["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--write", &odd], 2, ".jsonl or .pcapng");
    let nowhere = data.path().join("none/rows.jsonl").display().to_string();
    refused(&["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--write", &nowhere], 1, "cannot write");
    // A port that is free now; nobody but this test wants it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(
        &["--listen", &free.to_string(), "--to", &format!("localhost:{}", free.port())],
        1,
        "the tap's own address",
    );
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
fn a_file_that_is_no_capture_is_told_from_one() {
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
            let told = finished.stderr.lines().next().filter(|line| !line.starts_with("raw bytes: "));
            assert_eq!(told.is_some(), said.is_some(), "{finished:?}");
            assert!(told.unwrap_or_default().ends_with(said.unwrap_or_default()), "{finished:?}");
        }
    }
}
