//! The blocks of pcapng: those that are obsolete, and those that are broken.

use chanwire_inspect::{
    Capture,
    Direction::{In, Out},
    JsonLinesWriter, Time,
    import::{CaptureImport, ImportOptions},
};

use crate::kit::{Segment, pcap, read, talk};

const ASKED: &[u8] = b"LIST\r\n";
const ANSWERED: &[u8] = b"OK\r\n{\"channels\": []}";

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = body.len() as u32 + 12;
    [words(&[kind, length]), body, words(&[length])].concat()
}

fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &[&words(&[0x1a2b_3c4d, 1])[..], &[0xff; 8]].concat())
}

/// Writes an interface of packets that begin with IP, whose times have this resolution.
fn interface(resolution: u8) -> Vec<u8> {
    let options = [&[9, 0, 1, 0, resolution, 0, 0, 0][..], &[0; 4]].concat();
    block(1, &[&words(&[101, 0])[..], &options].concat())
}

/// Writes a packet in the enhanced form.
fn enhanced(packet: &[u8], time: u64) -> Vec<u8> {
    let length = packet.len() as u32;
    block(6, &[&words(&[0, (time >> 32) as u32, time as u32, length, length])[..], packet].concat())
}

fn obsolete(packet: &[u8], time: u64) -> Vec<u8> {
    let length = packet.len() as u32;
    // The interface has 16 bits, and so have the packets that were lost.
    block(2, &[&words(&[3 << 16, (time >> 32) as u32, time as u32, length, length])[..], packet].concat())
}

fn simple(packet: &[u8], _: u64) -> Vec<u8> {
    block(3, &[&words(&[packet.len() as u32])[..], packet].concat())
}

fn file(packet: fn(&[u8], u64) -> Vec<u8>, between: &[u8]) -> Vec<u8> {
    let mut file = [section(), interface(6)].concat();
    for (index, segment) in talk(ASKED, ANSWERED).iter().enumerate() {
        file.extend(packet(&segment.ipv4(), 1_700_000_000_000_000 + index as u64 * 1000));
        file.extend_from_slice(between);
    }
    file
}

#[test]
fn every_form_of_packet_is_read() {
    let plain = read(&pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv4))).0;
    for packet in [enhanced, obsolete, simple] {
        let (imported, summary) = read(&file(packet, &[]));
        assert_eq!((imported, summary.packets, summary.broken_blocks), (plain.clone(), 6, 0), "{summary}");
    }
}

#[test]
fn broken_blocks_are_skipped_and_counted() {
    let names = block(4, &[1, 0, 40, 0, 127, 0, 0, 1]);
    let secrets = block(10, &words(&[0x544c_534b, 1000, 0]));
    let statistics = block(5, &words(&[0]));
    let too_long = block(6, &words(&[0, 0, 0, 1000, 1000, 7]));
    let no_interface = block(6, &words(&[9, 0, 0, 4, 4, 7]));
    let mut other_end = block(0xbad, &[1, 2, 3, 4]);
    let end = other_end.len() - 4;
    other_end[end] ^= 8;
    // Not filled up, whether or not the length says so.
    let unpadded = [words(&[0xbad, 15]), vec![1, 2, 3], words(&[15])].concat();
    let uncounted = [words(&[0xbad, 15]), vec![1, 2, 3, 0], words(&[15])].concat();
    for (broken, name) in [
        (names, "names"),
        (secrets, "secrets"),
        (statistics, "statistics"),
        (too_long, "a packet"),
        (no_interface, "an interface"),
        (other_end, "the length at the end"),
        (unpadded, "unpadded"),
        (uncounted, "uncounted"),
    ] {
        let (imported, summary) = read(&file(enhanced, &broken));
        let said = (imported.stream(1, Out), imported.stream(1, In));
        assert_eq!((said.0.as_bytes(), said.1.as_bytes()), (ASKED, ANSWERED), "{name}: {summary}");
        assert_eq!(summary.broken_blocks, 6, "{name}");
        assert!(summary.lacks() && summary.to_string().ends_with("; 6 blocks are broken and skipped"), "{summary}");
    }
    // Unknown blocks are not broken.
    let (_, summary) = read(&file(enhanced, &block(0x8000_1234, b"something")));
    assert_eq!(summary.broken_blocks, 0);
}

/// Returns the rows of a capture as JSON, and their times in nanoseconds since 1970.
fn times(file: &[u8]) -> (String, Vec<i64>) {
    let mut capture = Capture::new(1 << 20);
    let mut import = CaptureImport::new(ImportOptions::default(), 0);
    import.feed(file, &mut capture).unwrap();
    import.finish(&mut capture).unwrap();
    let (mut lines, mut text) = (JsonLinesWriter::new(), Vec::new());
    lines.set_origin(capture.origin().unwrap_or_default());
    for entry in capture.entries(1, capture.end_number()) {
        lines.row(&capture, &entry, false, &mut text);
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let started = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    let Some(started) = started["started"].as_str() else { return (text, Vec::new()) };
    let (seconds, fraction) = started.trim_end_matches('Z').rsplit_once('.').unwrap();
    assert_eq!(seconds, "2023-11-14T22:13:20");
    let started = 1_700_000_000_000_000_000 + format!("{fraction:0<9}").parse::<i64>().unwrap();
    let times = rows.iter().map(|row| {
        let time = row["time"].to_string();
        let (whole, fraction) = time.split_once('.').unwrap_or((&time, ""));
        started + whole.parse::<i64>().unwrap() * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap()
    });
    let times = times.collect();
    (text, times)
}

#[test]
fn json_has_every_nanosecond() {
    let later = [0, 1, 999, 1_234_567, 86_400_000_000_123, 3_000_000_000_000_007_u64];
    let first = 1_700_000_000_123_456_789;
    let want: Vec<i64> = later.iter().map(|later| (first + later) as i64).collect();
    // Of the handshake the first packet has a row, and the next one none.
    let want = [&want[..1], &want[2..]].concat();
    // Decimal, and binary.
    for (resolution, units, off) in [(9, 1_000_000_000, 0), (0x80 | 32, 1_u128 << 32, 1)] {
        let mut file = [section(), interface(resolution)].concat();
        for (segment, later) in talk(ASKED, ANSWERED).iter().zip(later) {
            file.extend(enhanced(&segment.ipv4(), (u128::from(first + later) * units / 1_000_000_000) as u64));
        }
        let (text, got) = times(&file);
        assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= off), "{got:?} {want:?} {text}");
        assert_eq!(got.len(), want.len());
        assert!(text.contains("\"rtt\":1.23356"), "{text}");
        // Written rows are read, and written again, as they were.
        assert_eq!(times(text.as_bytes()).0, text);
    }
}

#[test]
fn an_event_without_a_time_gets_none() {
    let frames: String = talk(ASKED, ANSWERED)
        .iter()
        .map(|part| {
            let lines = part.ipv4().chunks(16).enumerate().fold(String::new(), |text, (index, line)| {
                let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
                text + &format!("{:04x}  {:<47}   .\n", index * 16, hex.join(" "))
            });
            lines + "\n"
        })
        .collect();
    let followed = "00000000  4c 49 53 54 0d 0a                                 LIST..\n    \
                    00000000  4f 4b 0d 0a 7b 22 63 68  61 6e 6e 65 6c 73 22 3a  OK..{\"ch annels\":\n    \
                    00000010  20 5b 5d 7d                                        []}\n";
    for capture in [frames.as_bytes(), followed.as_bytes(), &file(simple, &[])] {
        let (text, _) = times(capture);
        assert!(text.contains("\"pair\""), "{text}");
        for invented in ["\"time\"", "\"rtt\"", "\"started\""] {
            assert!(!text.contains(invented), "{text}");
        }
        // And so it comes back.
        assert_eq!(times(text.as_bytes()).0, text);
    }
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "");
    capture.bytes(1, Out, 5.0, ASKED);
    capture.bytes(1, In, Time::UNKNOWN, ANSWERED);
    capture.bytes(1, Out, 7.0, ASKED);
    let rows: Vec<_> = capture.entries(1, 4).map(|row| (row.is_timed(), row.time(), row.rtt(), row.pair())).collect();
    assert_eq!(rows, [(true, 0.0, None, Some(2)), (false, 0.0, None, Some(1)), (true, 2.0, None, None)]);
    assert_eq!(capture.statistics()[0].p50, None);
}
