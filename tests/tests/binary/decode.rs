//! The command `decode` on files and pipes: its output, exit codes and refused options.

use std::{fs, io::Write as _, path::Path, process::Stdio, thread};

use chanwire_inspect::{Direction, PcapNg};
use chanwire_tests::process::{Finished, Launch, binary, check, wait_for};
use tempfile::tempdir;

/// Returns a client that speaks the protocol and one that does not, in packets.
fn packets() -> Vec<u8> {
    let mut file = PcapNg::new();
    for (connection, stored_contents, answered) in
        [(1, &b"LIST\r\n"[..], &b"OK\r\n{\"channels\": []}"[..]), (2, b"GET / HTTP/1.1\r\n\r\n", b"")]
    {
        file.open(connection, 1.0, None, None);
        file.bytes(connection, Direction::Out, 2.0, stored_contents, None);
        file.bytes(connection, Direction::In, 3.0, answered, None);
        file.close(connection, 4.0, None, None);
    }
    file.take()
}

const ROWS: &str = concat!(
    r#"{"connection":1,"label":"192.0.2.1:40000 to 192.0.2.9:22236"}"#,
    "\n",
    r#"{"row":1,"connection":1,"direction":"out","kind":"frame","time":0,"text":"LIST\r\n"}"#,
    "\n",
);

const DUMP: &str = "00000000  4c 49 53 54 0d 0a 4c 49  53 54 0d 0a 4c 49 53 54  |LIST..LIST..LIST|\n\
                    00000010  0d 0a                                             |..|\n00000012\n";

fn decode(file: &Path, arguments: &[&str]) -> Finished {
    Launch::new(["decode"]).arg(file).args(arguments).run()
}

#[test]
fn a_pipe_in_pieces_is_decoded_like_the_file() {
    let data = tempdir().unwrap();
    let file = data.path().join("dump");
    let array = "unsigned char said[] = {\n  0x4c, 0x49, 0x53, 0x54, 0x0d, 0x0a\n};\nunsigned int said_len = 6;\n";
    let raw = "LIST\r\nHOST\r\n{}";
    for whole in [DUMP, array, ROWS, raw, "nothing of the kind\n"] {
        fs::write(&file, whole).unwrap();
        let of_file = decode(&file, &[]);
        for cut in [1, 9, whole.find('\n').unwrap() + 1] {
            let mut command = std::process::Command::new(binary());
            let mut child = command.arg("decode").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            let (first, rest) = whole.split_at(cut);
            let output = thread::scope(|scope| {
                scope.spawn(|| {
                    input.write_all(first.as_bytes()).unwrap();
                    // It has read the first piece once the pipe is empty: then it waits for more.
                    wait_for("the end of the first piece", || {
                        let unread = rustix::io::ioctl_fionread(&input).unwrap();
                        check(unread == 0, unread)
                    });
                    input.write_all(rest.as_bytes()).unwrap();
                    drop(input);
                });
                child.wait_with_output().unwrap()
            });
            assert_eq!(String::from_utf8(output.stdout).unwrap(), of_file.stdout, "cut at {cut}: {whole}");
            assert_eq!(output.status.code(), of_file.code, "cut at {cut}: {whole}");
        }
    }
}

#[test]
fn a_truncated_file_is_decoded_as_far_as_it_goes_and_reported_as_cut() {
    let data = tempdir().unwrap();
    let packets = packets();
    for (name, bytes, said) in [
        ("cut.pcapng", &packets[..packets.len() - 5], "; the file ends too early, inside a packet"),
        ("cut.jsonl", &ROWS.as_bytes()[..ROWS.len() - 9], "; the file ends inside a line"),
    ] {
        let file = data.path().join(name);
        fs::write(&file, bytes).unwrap();
        for form in [&[][..], &["--json"]] {
            let finished = decode(&file, form);
            assert_eq!(finished.code, Some(1), "{finished:?}");
            assert!(finished.stderr.trim_end().ends_with(said), "{finished:?}");
        }
    }
    // A whole file is silent for a script.
    let file = data.path().join("whole.jsonl");
    fs::write(&file, ROWS).unwrap();
    let whole = decode(&file, &["--json"]);
    assert_eq!((whole.code, whole.stderr.as_str()), (Some(0), ""), "{whole:?}");
    // A line that is wrong is not one that is cut.
    fs::write(&file, ROWS.trim_end().replace("LIST", "LOST")).unwrap();
    let wrong = decode(&file, &[]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("not one whole frame"), "{wrong:?}");
}

#[test]
fn a_fault_exits_with_three_and_an_error_answer_does_not() {
    let data = tempdir().unwrap();
    let row = |direction: &str, text: &str| {
        format!(
            "{{\"row\":1,\"connection\":1,\"direction\":\"{direction}\",\"kind\":\"frame\",\"time\":0,\"text\":\"{text}\"}}\n"
        )
    };
    let file = data.path().join("rows.jsonl");
    for (direction, text, code) in [
        ("out", r#"HOST\r\n{}"#, 3),
        ("in", r#"OK\r\n{\"channels\": "#, 1),
        ("in", r#"OK\r\n{\"a\" \"b\"}"#, 3),
        ("in", r#"MESSAGE\r\n{}"#, 3),
        ("in", r#"REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"d\"}"#, 0),
        ("in", r#"OK\r\n{\"channels\": []}"#, 0),
    ] {
        fs::write(&file, row(direction, text)).unwrap();
        let finished = decode(&file, &[]);
        assert_eq!(finished.code, Some(code), "{text}: {finished:?}");
    }
}

#[test]
fn a_filter_hides_frames_of_raw_bytes_and_changes_nothing_else() {
    let data = tempdir().unwrap();
    let file = data.path().join("said");
    let long = format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"{}\"}}", "x".repeat(200));
    fs::write(&file, format!("LIST\r\nHOST\r\n{{}}{{}} LIST\n{long}LIST\r\n")).unwrap();
    for more in [&[][..], &["--json"], &["--max-payload", "100"], &["--json", "--max-payload", "100"]] {
        let all = decode(&file, more);
        let filtered = |filter: &str| decode(&file, &[more, &["--filter", filter]].concat());
        let every = filtered("len >= 0");
        assert_eq!((every.stdout, every.code), (all.stdout.clone(), all.code), "{more:?}");
        let hosts = filtered("cmd == HOST").stdout;
        assert!(hosts.lines().count() < all.stdout.lines().count());
        assert!(!hosts.is_empty() && hosts.lines().all(|line| all.stdout.contains(line)), "{hosts}");
    }
    assert!(decode(&file, &["--max-payload", "100"]).stdout.contains("Payload too large"));
}

#[test]
fn the_payload_limit_applies_to_decompressed_bytes() {
    let data = tempdir().unwrap();
    let file = data.path().join("said.gz");
    // One block that is stored as it is: a HOST with a payload of 17 bytes.
    let packed =
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x17\0\xe8\xffHOST\r\n{\"username\": \"u\"}\x90\x92\x1d\xc6\x17\0\0\0";
    fs::write(&file, packed).unwrap();
    for (most, is_too_large) in [("16", true), ("17", false)] {
        let finished = decode(&file, &["--max-payload", most]);
        assert_eq!(finished.stdout.contains("Payload too large"), is_too_large, "{most}: {finished:?}");
    }
}

#[test]
fn an_option_that_would_change_nothing_is_refused() {
    let data = tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = data.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let packets = write("t.pcapng", &packets());
    let rows = write("t.jsonl", ROWS.as_bytes());
    let raw = write("t.bin", b"LIST\r\n");
    let dump = write("t.txt", DUMP.as_bytes());
    for (file, option, words) in [
        (&packets, &["--direction", "requests"][..], "--direction is for the bytes of one direction"),
        (&packets, &["--max-payload", "10"], "--max-payload is for the raw bytes of one direction"),
        (&rows, &["--direction", "responses"], "and t.jsonl is JSON Lines; leave the option out"),
        (&rows, &["--all"], "--all is for the connections of a packet capture"),
        (&raw, &["--all"], "is raw bytes; leave the option out"),
        (&dump, &["--max-payload", "10"], "is a hex dump; leave the option out"),
    ] {
        let finished = decode(file, option);
        let said = finished.refusal(2).replace(&format!("{}/", data.path().display()), "");
        assert!(said.contains(words), "{said}");
    }
    // Options that apply are accepted: a dump has a direction too.
    assert_eq!(decode(&packets, &["--all"]).code, Some(3));
    assert!(decode(&dump, &["--direction", "responses"]).stdout.contains("<-"));
}

#[test]
fn skipped_connections_are_named_with_the_flag_that_shows_them() {
    let data = tempdir().unwrap();
    let file = data.path().join("t.pcapng");
    // As if another program had written it.
    let mut foreign = packets();
    let at = foreign.windows(9).position(|window| window == b"chanwire ").unwrap();
    foreign[at..at + 9].copy_from_slice(b"wiretool ");
    fs::write(&file, &foreign).unwrap();
    for form in [&[][..], &["--json"]] {
        let finished = decode(&file, form);
        assert!(
            finished
                .stderr
                .contains("1 other TCP connection does not look like the protocol (18 bytes) (--all shows them)"),
            "{finished:?}"
        );
        let all = decode(&file, &[form, &["--all"]].concat());
        assert!(all.stdout.lines().count() > finished.stdout.lines().count(), "{all:?}");
    }
    // A tap's own capture has no skipped connections.
    fs::write(&file, packets()).unwrap();
    assert_eq!(decode(&file, &[]).stdout, decode(&file, &["--all"]).stdout);
}

#[test]
fn lines_made_of_packets_have_their_times() {
    let data = tempdir().unwrap();
    let file = data.path().join("t.pcapng");
    let mut packets = PcapNg::new();
    packets.open(1, 1_698_937_472_250.0, None, None);
    packets.bytes(1, Direction::Out, 1_698_937_472_750.0, b"LIST\r\n", None);
    fs::write(&file, packets.take()).unwrap();
    let lines = decode(&file, &["--json"]);
    let first = lines.stdout.lines().next().unwrap();
    assert!(first.contains("\"started\":\"2023-11-02T15:04:32.250"), "{first}");
    let again = Launch::new(["decode", "--json"]).input(lines.stdout.as_bytes()).run();
    assert_eq!(again.stdout, lines.stdout);
}
