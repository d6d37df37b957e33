//! Dumps and raw bytes, and what is said of them before they are read.

use chanwire_inspect::{
    Capture,
    Direction::{In, Out},
    JsonLinesWriter,
    import::{CaptureImport, Format, ImportOptions, preview},
};

use crate::kit::{read, read_in, talk};

#[test]
fn raw_bytes_are_one_direction_that_their_words_tell() {
    let (told, summary) = read(b"OK\r\n{\"channels\": []}");
    assert_eq!(summary.format, Format::Raw);
    assert_eq!(told.stream(1, In), "OK\r\n{\"channels\": []}");
    let given = ImportOptions { direction: Some(In), ..ImportOptions::default() };
    let (told, _) = read_in(b"what is this", &[3], given);
    assert_eq!(told.stream(1, In), "what is this");
}

/// Nobody has shut anything down where only the file ends.
#[test]
fn what_ends_with_its_file_ends_so() {
    for file in ["LIST\r\n", "0000  4c 49 53 54 0d 0a\n"] {
        let (told, _) = read(file.as_bytes());
        assert!(told.events.contains(&"1 out end".into()), "{file:?}: {:?}", told.events);
        assert!(!told.events.iter().any(|event| event.contains("shut down")), "{file:?}: {:?}", told.events);
    }
}

#[test]
fn an_empty_file_has_no_connection() {
    let (told, summary) = read(b"");
    assert_eq!((summary.connections, told.events.len()), (0, 0));
    assert_eq!(summary.to_string(), "raw bytes: 0 connections");
    assert_eq!(preview(b"").words, "Nothing: it is empty");
}

#[test]
fn a_preview_tells_what_was_detected() {
    for (text, format, recognised, words) in [
        ("LIST\r\n", Format::Raw, true, "6 raw bytes, what a client sent"),
        (
            "OK\n{}",
            Format::Raw,
            true,
            "5 raw bytes, what a server sent; its lines end with a bare LF, as nothing but text would",
        ),
        ("hello", Format::Raw, false, "5 raw bytes, which do not look like the protocol"),
        ("4c 49 53 54 0d 0a", Format::Hex, true, "6 bytes in hexadecimal digits, what a client sent"),
        ("00000000: 4f4b 0d0a 7b7d  OK..{}", Format::Hex, true, "6 bytes in a hex dump, what a server sent"),
    ] {
        let preview = preview(text.as_bytes());
        assert_eq!((preview.format, preview.recognised, preview.words.as_str()), (format, recognised, words), "{text}");
    }
    assert_eq!(preview(b"4c4953540d0a").bytes, b"LIST\r\n");
}

#[test]
fn a_packet_dump_is_put_in_order_like_a_capture() {
    let dump: String = talk(b"LIST\r\n", b"OK\r\n{\"channels\": []}")
        .iter()
        .map(|part| {
            let lines: String = part
                .ipv4()
                .chunks(16)
                .enumerate()
                .map(|(index, line)| {
                    let words: Vec<String> =
                        line.chunks(2).map(|pair| pair.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
                    format!("\t0x{:04x}:  {:<39}  ................\n", index * 16, words.join(" "))
                })
                .collect();
            format!("12:00:00.5 IP 192.0.2.1.40000 > 192.0.2.9.22236: Flags [P.], length 6\n{lines}")
        })
        .collect();
    assert_eq!(preview(dump.as_bytes()).words, "A packet dump: 6 packets, 266 bytes in a hex dump");
    let (told, _) = read(dump.as_bytes());
    assert_eq!(told.stream(1, Out), "LIST\r\n");
    assert_eq!(told.stream(1, In), "OK\r\n{\"channels\": []}");
    assert_eq!(told.events[0], "1 open 192.0.2.1:40000 192.0.2.9:22236");
}

#[test]
fn a_dump_of_a_followed_stream_has_both_directions() {
    let dump = "00000000  4c 49 53 54 0d 0a                                 LIST..\n    \
                00000000  4f 4b 0d 0a 7b 22 63 68  61 6e 6e 65 6c 73 22 3a  OK..{\"ch annels\":\n    \
                00000010  20 5b 5d 7d                                        []}\n";
    let (told, _) = read(dump.as_bytes());
    assert_eq!(told.stream(1, Out), "LIST\r\n");
    assert_eq!(told.stream(1, In), "OK\r\n{\"channels\": []}");
}

#[test]
fn lines_of_json_are_the_rows_that_were_written_and_a_wrong_one_is_named() {
    let mut capture = Capture::new(1 << 20);
    capture.open(3, "192.0.2.1:5 to 192.0.2.2:22236");
    capture.bytes(3, Out, 5.0, b"LIST\r\nHOST\n\xff");
    capture.bytes(3, In, 7.0, b"OK\r\n{\"channels\": []}");
    capture.close(3, 8.0);
    let (mut writer, mut lines) = (JsonLinesWriter::new(), Vec::new());
    for entry in capture.entries(capture.first(), capture.end_number()) {
        writer.row(&capture, &entry, entry.number() == 2, &mut lines);
    }
    assert_eq!(preview(&lines).format, Format::JsonLines);
    let import = |bytes: &[u8], pieces: usize| {
        let mut again = Capture::new(1 << 20);
        let mut import = CaptureImport::new(ImportOptions::default(), 7);
        for piece in bytes.chunks(pieces) {
            import.feed(piece, &mut again)?;
        }
        let marks = import.take_marks();
        import.finish(&mut again).map(|summary| (again, summary, marks))
    };
    let shown = |capture: &Capture| -> Vec<_> {
        capture
            .entries(capture.first(), capture.end_number())
            .map(|entry| (entry.number(), entry.time(), entry.bytes().to_vec(), entry.summary(), entry.pair()))
            .collect()
    };
    // Whatever its size, the first piece is known for what it is.
    let long = [lines.clone(), vec![b'\n'; 70_000]].concat();
    for (bytes, pieces) in [(&lines, usize::MAX), (&long, 1000)] {
        let (again, summary, _) = import(bytes, pieces).unwrap();
        assert_eq!(shown(&again), shown(&capture));
        assert_eq!((again.label(8), summary.connections), (capture.label(3), 1));
    }
    assert_eq!(import(&long, 1000).unwrap().2, [2]);
    let wrong = [&lines[..], b"{\"row\": \"x\"}\n"].concat();
    let error = import(&wrong, 50).unwrap_err();
    assert_eq!(error.at, lines.len() as u64, "{error}");
    // A line that somebody did not finish writing is cut wherever that is; a whole one that is wrong is wrong.
    let last = lines[..lines.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last + 1..lines.len() - 1 {
        let (_, summary, _) = import(&lines[..end], usize::MAX).unwrap();
        assert!(summary.cut, "{end}: {}", lines[last..end].escape_ascii());
    }
    assert!(import(&[&lines[..lines.len() - 1], b"]"].concat(), usize::MAX).is_err());
}
