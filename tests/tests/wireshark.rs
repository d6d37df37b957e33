//! Tests with tshark of the Wireshark dissector in `core/wireshark`, and of exported packets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

#[path = "wireshark/live.rs"]
mod live;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use chanwire_inspect::{
    Capture, Direction,
    Direction::{In, Out},
    Gap, PcapNg, RowKind,
    import::{CaptureImport, ImportOptions},
};
use chanwire_tests::{examples, process::program};

const PUSH: &[u8] = b"MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 7, \"username\": \"user1\", \"message_content\": \"na\\u00efve \\ud83d\\ude00\", \"timestamp\": \"2023-11-02T15:04:32Z\", \"account\": \"ann\"}";

const STOPPING: &[u8] = b"SERVER_ERROR\r\n{\"error\": \"Server stopping\", \"details\": \"The server stops; come back in 3 seconds\", \"retry_after\": 3}";

/// The fields that tshark prints of a frame.
const FIELDS: [&str; 10] = [
    "chanwire.command",
    "chanwire.status",
    "chanwire.push",
    "chanwire.error",
    "chanwire.channel",
    "chanwire.username",
    "chanwire.message",
    "chanwire.fault",
    "chanwire.retry_after",
    "chanwire.account",
];

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/wireshark/chanwire.lua")
}

/// Runs tshark with the dissector, and returns its output.
fn tshark(arguments: &[&str]) -> String {
    let mut command = Command::new(program("tshark"));
    command.arg("-X").arg(format!("lua_script:{}", script().display())).args(arguments);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("Lua"), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A file of packets, which is deleted at the end of its test.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new(packets: &mut PcapNg) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("packets.pcapng"), packets.take()).unwrap();
        Self { folder }
    }

    fn read(&self, arguments: &[&str]) -> String {
        let path = self.folder.path().join("packets.pcapng");
        tshark(&[&["-r", path.to_str().unwrap()], arguments].concat())
    }

    /// Returns the field values of each TCP connection, in order.
    fn fields(&self) -> BTreeMap<usize, Vec<Vec<String>>> {
        let mut arguments =
            vec!["-Y", "chanwire", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=;", "-e", "tcp.stream"];
        for field in FIELDS {
            arguments.extend(["-e", field]);
        }
        let mut streams: BTreeMap<usize, Vec<Vec<String>>> = BTreeMap::new();
        for line in self.read(&arguments).lines() {
            let mut columns = line.split('\t');
            let stream = columns.next().unwrap().parse().unwrap();
            let said = columns.map(str::to_owned).collect();
            streams.entry(stream).or_default().push(said);
        }
        streams
    }
}

fn open(packets: &mut PcapNg, connection: u32) {
    packets.open(connection, 0.0, None, Some("127.0.0.1:22236".parse().unwrap()));
}

/// Joins the values of each field over all packets of a connection, in order.
fn joined(packets: &[Vec<String>]) -> Vec<String> {
    (0..FIELDS.len())
        .map(|field| {
            let values: Vec<&str> =
                packets.iter().map(|row| row[field].as_str()).filter(|value| !value.is_empty()).collect();
            values.join(";")
        })
        .collect()
}

#[test]
fn every_example_has_the_same_fields_at_any_cut() {
    let frames = examples::requests().map(|(bytes, _)| (Out, bytes)).into_iter();
    let frames = frames.chain(examples::responses().map(|(bytes, ..)| (In, bytes))).chain([(In, PUSH), (In, STOPPING)]);
    let mut packets = PcapNg::new();
    let mut expected = Vec::new();
    for (direction, bytes) in frames {
        // The whole, every cut, and byte by byte.
        let pieces = (0..bytes.len()).map(|cut| vec![&bytes[..cut], &bytes[cut..]]);
        for pieces in pieces.chain([bytes.chunks(1).collect()]) {
            let connection = expected.len() as u32;
            open(&mut packets, connection);
            for piece in pieces {
                packets.bytes(connection, direction, 0.0, piece, None);
            }
            packets.close(connection, 0.0, None, None);
            expected.push(expected_fields(direction, bytes));
        }
    }
    let said = File::new(&mut packets).fields();
    assert_eq!(said.len(), expected.len());
    for (stream, expected) in expected.iter().enumerate() {
        assert_eq!(&joined(&said[&stream]), expected, "stream {stream}");
        // The frame is shown once, where it is complete.
        let marked = said[&stream].iter().filter(|row| row.iter().any(|value| !value.is_empty())).count();
        assert_eq!(marked, 1, "stream {stream}");
    }
}

/// Returns the expected field values of a frame, from the project's own decoder.
fn expected_fields(direction: Direction, bytes: &[u8]) -> Vec<String> {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "");
    capture.bytes(1, direction, 0.0, bytes);
    let row = capture.describe(1).unwrap();
    let mut values = BTreeMap::new();
    let mut fields: Vec<_> = row.fields.iter().rev().collect();
    while let Some(field) = fields.pop() {
        values.entry(field.name.clone()).or_insert_with(Vec::new).push(field.text.clone());
        fields.extend(field.children.iter().rev());
    }
    let of = |name: &str| values.get(name).map(|texts| texts.join(";")).unwrap_or_default();
    let is_answer = direction == In && !row.push;
    vec![
        if is_answer { String::new() } else { row.head.clone() },
        if is_answer { row.head.clone() } else { String::new() },
        if row.push { "1".into() } else { String::new() },
        of("error"),
        of("channel_name"),
        of("username"),
        of("message_content"),
        String::new(),
        of("retry_after"),
        of("account"),
    ]
}

#[test]
fn pipelined_frames_are_all_shown_at_any_cut() {
    let stream = examples::requests().map(|(bytes, _)| bytes).concat();
    let mut packets = PcapNg::new();
    for cut in 0..stream.len() as u32 {
        open(&mut packets, cut);
        packets.bytes(cut, Out, 0.0, &stream[..cut as usize], None);
        packets.bytes(cut, Out, 0.0, &stream[cut as usize..], None);
    }
    let said = File::new(&mut packets).fields();
    assert_eq!(said.len(), stream.len());
    for (cut, rows) in said {
        let joined = joined(&rows);
        assert_eq!(joined[0], "LIST;HOST;MESSAGE", "cut at {cut}");
        assert_eq!((joined[4].as_str(), joined[5].as_str(), joined[7].as_str()), ("test_channel", "user1", ""));
    }
}

#[test]
fn faults_are_shown_and_decoding_continues_after_recoverable_ones() {
    let cases: [(&[u8], &str, &str); 6] = [
        (b"LIST\nLIST\r\n", "LIST;LIST", "1"),
        (b"PING\r\n{}LIST\r\n", "PING;LIST", "1"),
        (b"{\"a\": \"}\"} LIST\r\n", "LIST", ""),
        (b"GET / HTTP/1.1\r\nLIST\r\n", "GET", "1"),
        (b"HOST\r\n{]LIST\r\n", "HOST", "1"),
        (b"HOST\r\nx", "HOST", "1"),
    ];
    let mut packets = PcapNg::new();
    for (connection, (bytes, ..)) in cases.iter().enumerate() {
        open(&mut packets, connection as u32);
        packets.bytes(connection as u32, Out, 0.0, bytes, None);
        // After a fault that closes the connection, nothing is decoded as a frame.
        packets.bytes(connection as u32, Out, 1.0, b"\r\nLEAVE\r\n{\"channel_name\": \"x\"}", None);
    }
    let said = File::new(&mut packets).fields();
    for (stream, (bytes, commands, faults)) in cases.iter().enumerate() {
        let joined = joined(&said[&stream]);
        let goes_on = if stream < 3 { ";LEAVE" } else { "" };
        assert_eq!(joined[0], format!("{commands}{goes_on}"), "{}", bytes.escape_ascii());
        assert_eq!(joined[7], *faults, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_export_is_filtered_and_followed_and_shows_its_gap() {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "[2001:db8::1]:40000 to [2001:db8::2]:9999");
    capture.bytes(1, Out, 1.0, examples::LIST);
    capture.bytes(1, In, 2.0, examples::LISTED);
    capture.bytes(1, Out, 3.0, b"HOST\r\n{\"peer_server_port\": \"1\"}");
    capture.bytes(1, In, 4.0, examples::INVALID_PAYLOAD);
    let missing = Gap { bytes: 9, frames: Some(1), paired: Some(1) };
    capture.gap(1, Some(In), 5.0, missing, "1 frame was dropped");
    capture.bytes(1, In, 6.0, PUSH);
    capture.close(1, 7.0);
    capture.note(1, 7.0, "closed", "closed by the server", false);
    let mut packets = PcapNg::new();
    for entry in capture.entries(capture.first(), capture.end_number()) {
        packets.row(&capture, &entry, 1_700_000_000_000.0, entry.number() == 1);
    }
    let file = File::new(&mut packets);

    let count = |filter: &str| file.read(&["-Y", filter]).lines().count();
    // The port is not configured, so the protocol is recognized by the start line.
    assert_eq!(count("chanwire.error == \"Invalid payload\""), 1);
    assert_eq!(count("chanwire.channel == \"general\""), 2);
    assert_eq!(count("chanwire.username == \"user1\" && chanwire.push"), 1);
    assert_eq!(count("chanwire.command == \"HOST\""), 1);
    assert_eq!(count("chanwire.status"), 2);
    assert_eq!(count("frame.comment contains \"Missing required field 'channel_name'\""), 2);
    assert_eq!(count("frame.comment == \"marked\""), 1);
    assert_eq!(count("tcp.analysis.lost_segment"), 1);

    let followed = file.read(&["-q", "-z", "follow,tcp,raw,0"]);
    let mut sides = [String::new(), String::new()];
    for line in followed.lines().filter(|line| line.trim_start().bytes().all(|byte| byte.is_ascii_hexdigit())) {
        sides[usize::from(line.starts_with('\t'))].push_str(line.trim());
    }
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    assert_eq!(sides[0], hex(&[examples::LIST, b"HOST\r\n{\"peer_server_port\": \"1\"}"].concat()));
    assert!(sides[1].starts_with(&hex(&[examples::LISTED, examples::INVALID_PAYLOAD].concat())), "{followed}");
    assert!(sides[1].ends_with(&hex(PUSH)), "{followed}");
}

/// Returns the frames of a conversation, with their directions.
fn conversation() -> Vec<(Direction, Vec<u8>)> {
    let message =
        |text: &str| format!("MESSAGE\r\n{{\"username\": \"user1\", \"message_content\": \"{text}\"}}").into_bytes();
    let delivered = b"OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}".to_vec();
    let mut said = Vec::new();
    // Text inside a string that looks like a start line does not start a frame.
    for text in ["OK LIST", &"x".repeat(150), "LIST\\r\\nLIST\\r\\n"] {
        said.extend([(Out, b"LIST\r\n".to_vec()), (In, examples::LISTED.to_vec())]);
        said.extend([(Out, message(text)), (In, delivered.clone()), (In, PUSH.to_vec())]);
    }
    said
}

/// Decodes packets into the start lines of each connection's two directions, by the client's port.
fn decoded(packets: &[u8]) -> BTreeMap<u16, [Vec<String>; 2]> {
    let mut capture = Capture::new(64 << 20);
    let mut import = CaptureImport::new(ImportOptions { everything: true, ..ImportOptions::default() }, 0);
    import.feed(packets, &mut capture).unwrap();
    import.finish(&mut capture).unwrap();
    let mut heads: BTreeMap<u16, [Vec<String>; 2]> = BTreeMap::new();
    for row in capture.entries(1, capture.end_number()) {
        let (client, _) = capture.label(row.connection()).unwrap().split_once(" to ").unwrap();
        let client: SocketAddr = client.parse().unwrap();
        let of_connection = heads.entry(client.port()).or_default();
        if row.kind() == RowKind::Frame {
            of_connection[usize::from(row.direction() == In)].push(row.head().into());
        }
    }
    heads
}

#[test]
fn after_a_gap_or_without_the_start_the_same_frames_are_found_as_by_decode() {
    for size in [23, 1000] {
        let mut segments: Vec<(Direction, Vec<u8>)> = Vec::new();
        for (direction, bytes) in conversation() {
            segments.extend(bytes.chunks(size).map(|piece| (direction, piece.to_vec())));
        }
        // For each segment, these are missing: itself alone; all before it; itself and the two after it.
        let count = segments.len();
        let lost = (0..count).flat_map(|lost| [lost..lost + 1, 0..lost, lost..(lost + 3).min(count)]);
        let lost: Vec<_> = lost.collect();
        let mut packets = PcapNg::new();
        // The name of another program, since only chanwire's own captures record which bytes are missing.
        let mut file = packets.take();
        let name = file.windows(9).position(|window| window == b"chanwire ").unwrap();
        file[name..name + 9].copy_from_slice(b"wiretool ");
        for (connection, range) in lost.iter().enumerate() {
            let connection = connection as u32;
            open(&mut packets, connection);
            let opened = packets.take();
            // A capture without the start of a connection has no handshake.
            if range.start > 0 || range.is_empty() {
                file.extend(opened);
            }
            for (index, (direction, bytes)) in segments.iter().enumerate() {
                packets.bytes(connection, *direction, index as f64, bytes, None);
                let written = packets.take();
                if !range.contains(&index) {
                    file.extend(written);
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("packets.pcapng"), &file).unwrap();
        let fields = File { folder }.fields();
        let decoded = decoded(&file);
        assert_eq!(decoded.len(), lost.len());
        for ((stream, range), [out, back]) in lost.iter().enumerate().zip(decoded.values()) {
            // A stream without a frame shows nothing.
            let rows = fields.get(&stream).map_or(&[][..], Vec::as_slice);
            let of = format!("{size} bytes a segment, {range:?} of {count} missing");
            let joined = joined(rows);
            let values = |field: usize| joined[field].split(';').filter(|said| !said.is_empty()).count();
            let count = |heads: &[String], head: &str| heads.iter().filter(|known| *known == head).count();
            let (said, pushed) = (count(out, "MESSAGE"), count(back, "MESSAGE"));
            assert_eq!(joined[7], "", "{of}");
            assert_eq!(values(0), out.len() + pushed, "{of}: {joined:?} of {out:?}");
            assert_eq!(values(1), back.len() - pushed, "{of}: {joined:?} of {back:?}");
            assert_eq!(values(6), said + pushed, "{of}");
        }
    }
}

/// A Lua script that counts the instructions that the dissector executes, in thousands.
const COUNTER: &str = r#"
local steps = 0
debug.sethook(function() steps = steps + 1 end, "", 1000)
local listener = Listener.new("frame")
function listener.draw() print("steps " .. steps) end
"#;

#[test]
fn the_cost_of_an_answer_of_many_segments_is_linear_in_its_length() {
    let channel = r#"{"channel_name": "general", "peer_server_ip": "192.0.2.7", "peer_server_port": 22236}"#;
    let counted = |channels: usize| {
        let answer = format!("OK\r\n{{\"channels\": [{}]}}", vec![channel; channels].join(", "));
        let mut packets = PcapNg::new();
        open(&mut packets, 1);
        packets.bytes(1, Out, 1.0, b"LIST\r\n", None);
        answer.as_bytes().chunks(1000).for_each(|segment| packets.bytes(1, In, 2.0, segment, None));
        packets.bytes(1, In, 3.0, b"OK\r\n{\"channels\": []}", None);
        let file = File::new(&mut packets);
        let lengths = file.read(&["-Y", "chanwire.status", "-T", "fields", "-e", "chanwire.length"]);
        assert_eq!(lengths.lines().collect::<Vec<_>>(), [answer.len().to_string().as_str(), "20"]);
        let counter = file.folder.path().join("counter.lua");
        std::fs::write(&counter, COUNTER).unwrap();
        let said = file.read(&["-q", "-X", &format!("lua_script:{}", counter.display())]);
        said.trim().strip_prefix("steps ").and_then(|steps| steps.parse().ok()).unwrap_or_else(|| panic!("{said}"))
    };
    let [short, long]: [u64; 2] = [2_000, 8_000].map(counted);
    assert!(short > 100 && long < 5 * short, "4 times the channels, {long} steps after {short}");
}

#[test]
fn numeric_fields_have_numeric_types() {
    let mut packets = PcapNg::new();
    open(&mut packets, 1);
    let hosted = |port: &str| format!("HOST\r\n{{\"channel_name\": \"c\", \"peer_server_port\": {port}}}").into_bytes();
    for port in ["22236", "\"22236\"", "70000", "-1", "1e3", "99999999999999999999"] {
        packets.bytes(1, Out, 1.0, &hosted(port), None);
    }
    let pushed = "MESSAGE\r\n{\"channel_name\": \"c\", \"id\": 9007199254740991}";
    packets.bytes(1, In, 2.0, pushed.as_bytes(), None);
    let file = File::new(&mut packets);
    let count = |filter: &str| file.read(&["-Y", filter]).lines().count();
    assert_eq!((count("chanwire.port > 22000"), count("chanwire.port == 22236"), count("chanwire.port")), (3, 2, 3));
    assert_eq!((count("chanwire.id > 9007199254740990"), count("chanwire.id < 9007199254740991")), (1, 0));
    assert_eq!(count("chanwire.command == \"HOST\""), 6);
}
