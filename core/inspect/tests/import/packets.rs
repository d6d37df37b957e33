//! Links, containers, what is missing, and which connections are shown.

use chanwire_inspect::{
    Capture,
    Direction::{In, Out},
    Gap, PcapNg, RowKind,
    import::{CaptureImport, ImportOptions, Summary},
};
use etherparse::{EtherType, Ethernet2Header, SingleVlanHeader, VlanId};

use crate::kit::{CLIENT, Imported, SERVER, Segment, header, pcap, read, read_in, record, talk};

const ASKED: &[u8] = b"LIST\r\n";
const ANSWERED: &[u8] = b"OK\r\n{\"channels\": []}";

fn expected() -> Vec<String> {
    vec![
        "1 open 192.0.2.1:40000 192.0.2.9:22236".into(),
        r"1 out LIST\r\n".into(),
        r#"1 in OK\r\n{\"channels\": []}"#.into(),
        "1 out shut down".into(),
        "1 in shut down".into(),
        "1 close closed".into(),
    ]
}

fn ethernet(kind: EtherType, rest: &[u8]) -> Vec<u8> {
    let header = Ethernet2Header { source: [2; 6], destination: [4; 6], ether_type: kind };
    before(&header.to_bytes(), rest)
}

fn before(front: &[u8], packet: &[u8]) -> Vec<u8> {
    [front, packet].concat()
}

#[test]
fn every_known_link_carries_the_same() {
    let v4 = |wrap: fn(&[u8]) -> Vec<u8>| talk(ASKED, ANSWERED).iter().map(|part| wrap(&part.ipv4())).collect();
    let links: [(u32, Vec<Vec<u8>>); 8] = [
        (1, v4(|ip| ethernet(EtherType::IPV4, ip))),
        (
            1,
            v4(|ip| {
                let vlan = SingleVlanHeader {
                    pcp: etherparse::VlanPcp::ZERO,
                    drop_eligible_indicator: false,
                    vlan_id: VlanId::try_new(7).unwrap(),
                    ether_type: EtherType::IPV4,
                };
                ethernet(EtherType::VLAN_TAGGED_FRAME, &before(&vlan.to_bytes(), ip))
            }),
        ),
        (0, v4(|ip| before(&[2, 0, 0, 0], ip))),
        (108, v4(|ip| before(&[0, 0, 0, 2], ip))),
        (101, v4(<[u8]>::to_vec)),
        (228, v4(<[u8]>::to_vec)),
        (113, v4(|ip| before(&[0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0], ip))),
        (276, v4(|ip| before(&[8, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0], ip))),
    ];
    for (link, packets) in links {
        let (imported, summary) = read(&pcap(link, packets));
        assert_eq!(imported.events, expected(), "link {link}");
        assert_eq!((summary.packets, summary.other.total()), (6, 0), "link {link}");
    }
}

#[test]
fn ipv6_is_read_like_ipv4() {
    let (imported, _) = read(&pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv6)));
    assert_eq!(imported.events[0], "1 open [::1]:40000 [::9]:22236");
    assert_eq!(imported.events[1..], expected()[1..]);
}

#[test]
fn the_older_container_may_have_either_byte_order_and_nanoseconds() {
    let packets: Vec<_> = talk(ASKED, ANSWERED).iter().map(Segment::ipv4).collect();
    for magic in [0xa1b2_c3d4_u32, 0xa1b2_3c4d] {
        let mut file = Vec::new();
        for word in [magic, 0x0002_0004, 0, 0, 65_535, 101] {
            file.extend(word.to_be_bytes());
        }
        for packet in &packets {
            for word in [1_700_000_000, 7, packet.len() as u32, packet.len() as u32] {
                file.extend(word.to_be_bytes());
            }
            file.extend_from_slice(packet);
        }
        assert_eq!(read(&file).0.events, expected());
    }
}

#[test]
fn another_kind_of_link_is_named() {
    let (_, result) = read_in(&pcap(147, [vec![0; 60]]), &[7], ImportOptions::default());
    let error = result.unwrap_err();
    assert!(error.message.contains("link type 147"), "{error}");
}

#[test]
fn a_length_that_cannot_be_is_refused_with_its_place() {
    let mut file = pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv4));
    let place = file.len() as u64;
    record(&mut file, 7, &[], 0);
    let length = file.len() - 8;
    file[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let (imported, result) = read_in(&file, &[100], ImportOptions::default());
    let error = result.unwrap_err();
    assert_eq!(error.at, place, "{error}");
    // Rows before it stay.
    assert_eq!(imported.events, expected());
}

#[test]
fn a_file_that_stops_inside_a_packet_says_so() {
    let file = pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv4));
    let (imported, summary) = read(&file[..file.len() - 3]);
    assert!(summary.cut, "{summary}");
    assert_eq!(imported.events.last().unwrap(), "1 close the capture ends");
}

#[test]
fn bytes_cut_off_each_packet_are_a_gap() {
    let mut file = header(101);
    for (index, segment) in talk(ASKED, ANSWERED).iter().enumerate() {
        let packet = segment.ipv4();
        let cut = packet.len().min(44);
        record(&mut file, index as u32, &packet[..cut], packet.len() as u32);
    }
    let (imported, summary) = read(&file);
    assert_eq!(imported.stream(1, Out), "LIST[2 missing]");
    assert_eq!(imported.stream(1, In), "OK\r\n[16 missing]");
    assert_eq!(summary.missing, 18);
}

#[test]
fn acknowledged_bytes_that_were_not_captured_are_a_gap() {
    let mut parts = talk(b"LIST\r\nLIST\r\nLIST\r\n", ANSWERED);
    let whole = parts[2].clone();
    let piece = |from: usize, to: usize| Segment {
        bytes: whole.bytes[from..to].to_vec(),
        sequence: whole.sequence + from as u32,
        ..whole.clone()
    };
    parts.splice(2..3, [piece(0, 6), piece(12, 18)]);
    let mut file = header(101);
    for (index, part) in parts.iter().enumerate() {
        record(&mut file, index as u32 * 30, &part.ipv4(), 0);
    }
    let (imported, summary) = read(&file);
    assert_eq!(imported.stream(1, Out), "LIST\r\n[6 missing]LIST\r\n");
    assert_eq!(summary.missing, 6);
}

#[test]
fn a_capture_that_begins_inside_a_connection_says_so_and_knows_the_client() {
    let parts = talk(ASKED, ANSWERED);
    let (imported, _) = read(&pcap(101, parts[3..].iter().map(Segment::ipv4)));
    assert_eq!(imported.events[0], "1 open 192.0.2.1:40000 192.0.2.9:22236");
    assert_eq!(imported.events[1], "1 in gap 0 the capture begins inside this connection");
    assert_eq!(imported.stream(1, In), format!("[0 missing]{}", String::from_utf8_lossy(ANSWERED)));
}

#[test]
fn the_same_ends_may_speak_again() {
    let mut parts = talk(ASKED, ANSWERED);
    parts.extend(talk(ASKED, ANSWERED).into_iter().map(|part| part.moved(77_777)));
    let (imported, summary) = read(&pcap(101, parts.iter().map(Segment::ipv4)));
    assert_eq!(summary.connections, 2);
    assert_eq!(imported.stream(1, In), imported.stream(2, In));
}

#[test]
fn a_reset_closes_and_says_whose_it_was() {
    let mut parts = talk(ASKED, ANSWERED);
    parts.truncate(3);
    parts.push(Segment { reset: true, ..Segment::new(In, 5001, b"") });
    let (imported, _) = read(&pcap(101, parts.iter().map(Segment::ipv4)));
    assert_eq!(imported.events.last().unwrap(), "1 close reset by the server!");
}

#[test]
fn connections_of_other_protocols_are_counted_and_shown_on_demand() {
    let mut parts = talk(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n");
    for part in &mut parts {
        part.port = 50_000;
    }
    parts.extend(talk(ASKED, ANSWERED));
    let file = pcap(101, parts.iter().map(Segment::ipv4));
    let (imported, summary) = read(&file);
    assert_eq!(imported.events, expected());
    assert_eq!((summary.connections, summary.passed_over), (1, 1));
    let everything = ImportOptions { everything: true, ..ImportOptions::default() };
    let (imported, summary) = read_in(&file, &[9], everything);
    assert_eq!(summary.unwrap().connections, 2);
    assert_eq!(imported.stream(1, Out), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn a_client_that_speaks_something_else_to_a_server_is_shown() {
    let back = b"REQUEST_ERROR\r\n{\"error\": \"Malformed command\", \"details\": \"\"}";
    let (imported, summary) = read(&pcap(101, talk(b"GET / HTTP/1.1\r\n\r\n", back).iter().map(Segment::ipv4)));
    assert_eq!(summary.connections, 1);
    assert_eq!(imported.stream(1, Out), "GET / HTTP/1.1\r\n\r\n");
    // And so is what is all there is.
    let (imported, _) = read(&pcap(101, talk(b"GET / HTTP/1.1\r\n\r\n", b"").iter().map(Segment::ipv4)));
    assert_eq!(imported.stream(1, Out), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn an_export_is_imported_as_what_it_was_made_of() {
    let mut file = PcapNg::new();
    let of = |(ip, port): ([u8; 4], u16)| Some(std::net::SocketAddr::from((ip, port)));
    let time = 1_700_000_000_000.5;
    file.open(3, time, of(CLIENT), of(SERVER));
    file.bytes(3, Out, time + 1.0, ASKED, Some("faulty, or marked"));
    file.bytes(3, In, time + 2.0, ANSWERED, None);
    file.gap(3, Out, 40, "5 frames");
    file.bytes(3, Out, time + 3.0, ASKED, None);
    file.bytes(3, In, time + 3.0, &[b' '; 100_000], None);
    file.end(3, Out, time + 4.0);
    file.close(3, time + 5.0, None, Some("closed by the server"));
    let mut want = Imported::default();
    {
        use chanwire_inspect::import::Sink as _;
        let time = time.into();
        want.open(1, time, "192.0.2.1:40000", "192.0.2.9:22236");
        want.bytes(1, Out, time, ASKED);
        want.bytes(1, In, time, ANSWERED);
        want.gap(1, Out, time, 40, "not in the capture");
        want.bytes(1, Out, time, ASKED);
        for size in [32_768, 32_768, 32_768, 1_696] {
            want.bytes(1, In, time, &vec![b' '; size]);
        }
        want.shut_down(1, Out, time);
        want.shut_down(1, In, time);
        want.close(1, time, "closed by the server", false);
    }
    let (imported, summary) = read(&file.take());
    assert_eq!(imported, want);
    assert_eq!(summary.missing, 40);
}

#[test]
fn rows_that_are_exported_come_back_as_the_same_rows() {
    let mut capture = Capture::new(1 << 20);
    let origin = 1_700_000_000_000.0;
    capture.open(7, "[2001:db8::1]:50000 to [2001:db8::2]:22236");
    capture.bytes(7, Out, origin, b"LIST\r\nLIST\nLI");
    capture.bytes(7, Out, origin + 1.0, b"ST\r\n");
    capture.bytes(7, In, origin + 2.0, ANSWERED);
    let missing = Gap { bytes: 12, frames: Some(2), paired: Some(2) };
    capture.gap(7, Some(Out), origin + 3.0, missing, "2 frames were dropped");
    capture.bytes(7, Out, origin + 4.0, b"HOST\r\n{}");
    capture.gap(7, Some(In), origin + 4.0, Gap::default(), "nobody knows how many");
    capture.bytes(7, In, origin + 5.0, b"\"}OK\r\n{\"channels\": []}");
    capture.close(7, origin + 6.0);
    capture.note(7, origin + 6.0, "closed", "reset by the server", true);

    let mut file = PcapNg::new();
    for entry in capture.entries(capture.first(), capture.end_number()) {
        file.row(&capture, &entry, origin, false);
    }
    let mut again = Capture::new(1 << 20);
    let mut import = CaptureImport::new(ImportOptions::default(), 0);
    import.feed(&file.take(), &mut again).unwrap();
    let summary = import.finish(&mut again).unwrap();

    let rows = |capture: &Capture| -> Vec<String> {
        let shown = capture.entries(capture.first(), capture.end_number()).filter(|entry| entry.note().is_none());
        shown.map(|entry| format!("{} {} {}", entry.direction(), entry.head(), entry.bytes().escape_ascii())).collect()
    };
    assert_eq!(rows(&again), rows(&capture));
    assert_eq!(again.label(1), capture.label(7));
    // A gap of unknown length stands for one byte.
    assert_eq!(summary.missing, 13);
    let notes =
        |head: &str| again.entries(again.first(), again.end_number()).filter(|entry| entry.head() == head).count();
    assert_eq!((notes("missing"), notes("closed")), (2, 1));
}

/// Exports a capture and imports it again.
fn round_trip(capture: &Capture) -> (Capture, Summary) {
    let mut file = PcapNg::new();
    for entry in capture.entries(capture.first(), capture.end_number()) {
        file.row(capture, &entry, capture.origin().unwrap_or_default(), false);
    }
    let mut again = Capture::new(1 << 20);
    let mut import = CaptureImport::new(ImportOptions::default(), 0);
    import.feed(&file.take(), &mut again).unwrap();
    let summary = import.finish(&mut again).unwrap();
    (again, summary)
}

fn shown(capture: &Capture) -> Vec<String> {
    let rows = capture.entries(capture.first(), capture.end_number());
    rows.map(|row| {
        let (bad, bytes) = (if row.is_bad() { "!" } else { "" }, row.bytes().escape_ascii());
        format!("{:.1} {bad}{} {bytes}{}", row.time(), row.head(), row.note().unwrap_or_default())
    })
    .collect()
}

#[test]
fn a_gap_that_is_last_in_its_direction_is_missing_before_the_end() {
    let origin = 1_700_000_000_000.0;
    for (gap, missing, reset) in [
        (Gap { bytes: 640, frames: Some(10), paired: Some(10) }, 640, false),
        (Gap { bytes: 640, frames: Some(10), paired: Some(10) }, 640, true),
        (Gap::default(), 1, false),
    ] {
        let mut capture = Capture::new(1 << 20);
        capture.open(1, "192.0.2.1:40000 to 192.0.2.9:22236");
        capture.note(1, origin, "connected", "192.0.2.1:40000 to 192.0.2.9:22236", false);
        capture.bytes(1, Out, origin + 1.0, b"LIST\r\nHOST\r\n{\"channel");
        capture.gap(1, Some(Out), origin + 2.0, gap, "10 frames dropped");
        capture.close(1, origin + 3.0);
        let reason = if reset { "reset by the client" } else { "closed" };
        capture.note(1, origin + 3.0, "closed", reason, reset);
        let (again, summary) = round_trip(&capture);
        assert_eq!(summary.missing, missing, "{:?}", shown(&again));
        let faults = |capture: &Capture| {
            capture.entries(capture.first(), capture.end_number()).filter(|row| row.kind() == RowKind::Fault).count()
        };
        assert_eq!((faults(&capture), faults(&again)), (0, 0), "{:?}", shown(&again));
    }
}

#[test]
fn a_half_close_comes_back_with_its_time() {
    let origin = 1_700_000_000_000.0;
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "192.0.2.1:40000 to 192.0.2.9:22236");
    capture.note(1, origin, "connected", "192.0.2.1:40000 to 192.0.2.9:22236", false);
    capture.bytes(1, Out, origin + 1.0, ASKED);
    capture.shut_down(1, Out, origin + 2.0);
    capture.bytes(1, In, origin + 500.0, ANSWERED);
    capture.shut_down(1, In, origin + 700.0);
    capture.close(1, origin + 700.0);
    capture.note(1, origin + 700.0, "closed", "closed", false);
    let rows = shown(&capture);
    assert!(rows.contains(&"2.0 half-closed the client shut down its sending half".to_owned()), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row.contains("half-closed")).count(), 1);
    assert_eq!(shown(&round_trip(&capture).0), rows);
}

#[test]
fn reasons_of_closes_survive_also_when_both_ends_have_one() {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "192.0.2.1:40000 to 192.0.2.9:22236");
    capture.bytes(1, Out, 0.0, ASKED);
    for who in ["client", "server"] {
        capture.note(1, 5.0, "half-closed", &format!("the {who} shut down its sending half"), false);
    }
    capture.close(1, 7.0);
    capture.note(1, 7.0, "closed", "the server is restarting", false);
    let rows = shown(&round_trip(&capture).0);
    let ends: Vec<&str> = rows.iter().filter(|row| row.contains("closed")).map(String::as_str).collect();
    let closed = "7.0 closed the server is restarting: client_closed";
    assert_eq!(ends, ["5.0 half-closed the client shut down its sending half", closed]);
}

#[test]
fn clients_that_speak_no_protocol_come_back_from_an_export_and_so_does_why_a_connection_is_over() {
    let origin = 1_700_000_000_000.0;
    let mut capture = Capture::new(1 << 20);
    for (connection, bytes) in [(1, ASKED), (2, b"GET / HTTP/1.1\r\n\r\n"), (3, b"")] {
        let label = format!("192.0.2.1:4000{connection} to 192.0.2.9:22236");
        capture.open(connection, &label);
        capture.note(connection, origin, "connected", &label, false);
        capture.bytes(connection, Out, origin, bytes);
        capture.close(connection, origin);
        let (reason, bad) =
            if connection == 3 { ("the server cannot be reached: refused", true) } else { ("closed", false) };
        capture.note(connection, origin, "closed", reason, bad);
    }
    let (again, summary) = round_trip(&capture);
    assert_eq!((summary.connections, summary.passed_over), (3, 0), "{summary}");
    assert_eq!(again.label(2), capture.label(2));
    let rows = shown(&again);
    assert!(rows.contains(&"0.0 !closed the server cannot be reached: refused".to_owned()), "{rows:?}");
}

#[test]
fn ends_of_two_families_keep_their_addresses() {
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "192.0.2.1:40000 to [2001:db8::2]:22236");
    capture.bytes(1, Out, 1.0, ASKED);
    assert_eq!(round_trip(&capture).0.label(1), capture.label(1));
}

#[test]
fn garbage_alone_is_shown_and_called_what_it_is() {
    let (imported, summary) = read(&pcap(101, talk(b"GET / HTTP/1.1\r\n\r\n", b"").iter().map(Segment::ipv4)));
    assert_eq!(imported.stream(1, Out), "GET / HTTP/1.1\r\n\r\n");
    let words = summary.to_string();
    assert!(words.contains("1 connection in 6 packets, shown though it does not look like the protocol"), "{words}");
}

#[test]
fn a_frame_cut_by_the_end_of_a_capture_is_no_fault() {
    let kinds = |segments: &[Segment]| -> Vec<RowKind> {
        let mut capture = Capture::new(1 << 20);
        let mut import = CaptureImport::new(ImportOptions::default(), 0);
        import.feed(&pcap(101, segments.iter().map(Segment::ipv4)), &mut capture).unwrap();
        import.finish(&mut capture).unwrap();
        let rows = capture.entries(capture.first(), capture.end_number());
        rows.filter(|row| row.length() > 0).map(|row| row.kind()).collect()
    };
    let whole = talk(b"LIST\r\nHOST\r\n{\"chan", b"");
    assert_eq!(kinds(&whole[..4]), [RowKind::Frame, RowKind::Skipped]);
    // A client that ended there did it itself.
    assert_eq!(kinds(&whole), [RowKind::Frame, RowKind::Fault]);
}
