//! Dumps and raw bytes, and what is said of them before they are read.

use chanwire_inspect::{
    Capture,
    Direction::{In, Out},
    JsonLinesWriter,
    import::{CaptureImport, Format, Import, ImportOptions, PREVIEW, preview},
};

use crate::kit::{Imported, read, read_in, talk};

#[test]
fn raw_bytes_are_one_direction_that_their_words_tell() {
    let (imported, summary) = read(b"OK\r\n{\"channels\": []}");
    assert_eq!(summary.format, Format::Raw);
    assert_eq!(imported.stream(1, In), "OK\r\n{\"channels\": []}");
    let given = ImportOptions { direction: Some(In), ..ImportOptions::default() };
    let (imported, _) = read_in(b"what is this", &[3], given);
    assert_eq!(imported.stream(1, In), "what is this");
}

/// The end of the file is no shutdown of a connection.
#[test]
fn a_stream_that_ends_with_its_file_is_not_shut_down() {
    for file in ["LIST\r\n", "0000  4c 49 53 54 0d 0a\n"] {
        let (imported, _) = read(file.as_bytes());
        assert!(imported.events.contains(&"1 out end".into()), "{file:?}: {:?}", imported.events);
        assert!(!imported.events.iter().any(|event| event.contains("shut down")), "{file:?}: {:?}", imported.events);
    }
}

#[test]
fn an_empty_file_has_no_connection() {
    let (imported, summary) = read(b"");
    assert_eq!((summary.connections, imported.events.len()), (0, 0));
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
    let (imported, _) = read(dump.as_bytes());
    assert_eq!(imported.stream(1, Out), "LIST\r\n");
    assert_eq!(imported.stream(1, In), "OK\r\n{\"channels\": []}");
    assert_eq!(imported.events[0], "1 open 192.0.2.1:40000 192.0.2.9:22236");
}

#[test]
fn a_dump_of_a_followed_stream_has_both_directions() {
    let dump = "00000000  4c 49 53 54 0d 0a                                 LIST..\n    \
                00000000  4f 4b 0d 0a 7b 22 63 68  61 6e 6e 65 6c 73 22 3a  OK..{\"ch annels\":\n    \
                00000010  20 5b 5d 7d                                        []}\n";
    let (imported, _) = read(dump.as_bytes());
    assert_eq!(imported.stream(1, Out), "LIST\r\n");
    assert_eq!(imported.stream(1, In), "OK\r\n{\"channels\": []}");
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
    // A first piece of any size tells the form.
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

/// Requests that all differ, so that no two lines of a dump of them are the same.
fn requests() -> Vec<u8> {
    let request = |number| format!("HOST\r\n{{\"username\": \"u{number}\", \"channel_name\": \"c\"}}");
    (0..6_000).flat_map(|number| request(number).into_bytes()).collect()
}

/// Dumps in each form that is read line by line or number by number.
fn long_dumps(bytes: &[u8]) -> Vec<String> {
    let lines = |line: &dyn Fn(usize, &[u8]) -> String| -> String {
        bytes.chunks(16).enumerate().map(|(index, bytes)| line(16 * index, bytes) + "\n").collect()
    };
    let joined = |bytes: &[u8], print: &dyn Fn(&[u8]) -> String, size| -> String {
        bytes.chunks(size).map(print).collect::<Vec<_>>().join(" ")
    };
    let pair = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let little = |bytes: &[u8]| bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        lines(&|at, line| format!("{at:08x}: {}", joined(line, &pair, 2))),
        lines(&|at, line| format!("{at:08x}  {}  |", joined(line, &pair, 1))),
        lines(&|_, line| pair(line)),
        pair(bytes),
        lines(&|_, line| joined(line, &little, 4)),
        lines(&|_, line| joined(line, &|byte| byte[0].to_string(), 1)),
    ]
}

#[test]
fn a_long_dump_is_read_as_it_comes() {
    let bytes = requests();
    let bytes = &bytes[..bytes.len() / 16 * 16];
    for dump in long_dumps(bytes) {
        let (mut imported, mut import) = (Imported::default(), Import::new(ImportOptions::default()));
        for (index, piece) in dump.as_bytes().chunks(4096).enumerate() {
            import.feed(piece, &mut imported).unwrap();
            let fed = 4096 * index + piece.len();
            if fed > PREVIEW {
                assert!(import.waiting() <= 4096, "{} bytes wait", import.waiting());
                // Bytes are recorded in pieces of 64 KiB, and less than a line of text is not read.
                let due = bytes.len() * fed / dump.len();
                assert!(imported.bytes as usize + (64 << 10) + 200 >= due, "{} of {due} after {fed}", imported.bytes);
            }
        }
        import.finish(&mut imported).unwrap();
        assert!(imported.streams[&(1, Out)] == bytes, "other bytes: {}", &dump[..100]);
        let whole = read(dump.as_bytes()).0;
        assert!(imported == whole, "told otherwise than at one time: {}", &dump[..100]);
    }
}

#[test]
fn a_long_dump_that_stops_being_one_says_where() {
    let bytes = requests();
    for dump in long_dumps(&bytes) {
        let at = dump.len() - 1000;
        let line = dump[..at].rfind('\n').map_or(at, |end| end + 1);
        let wrong = format!("{}zz zz\n{}", &dump[..line], &dump[line..]);
        let (imported, result) = read_in(wrong.as_bytes(), &[5_000], ImportOptions::default());
        // Other text may stand between lines with offsets, and nowhere else.
        match result {
            Ok(_) => assert!(dump.starts_with("00000000") && imported.bytes > 200_000),
            Err(error) => {
                assert_eq!(error.at, line as u64, "{error}: {}", &dump[..100]);
                // The bytes before it are recorded, but for those that the next ones may change.
                let recorded = &imported.streams[&(1, Out)];
                assert!(bytes.starts_with(recorded), "other bytes: {}", &dump[..100]);
                assert!(recorded.len() + 100 > bytes.len() * line / dump.len(), "{} bytes", recorded.len());
            }
        }
    }
}

#[test]
fn a_literal_list_or_array_has_a_longest_size() {
    let line = "\"\\x4c\\x49\\x53\\x54\\x0d\\x0a\" \\\n";
    let mut import = Import::new(ImportOptions::default());
    let piece = line.repeat((1 << 20) / line.len());
    let mut imported = Imported::default();
    let refused = (0..80).find_map(|_| import.feed(piece.as_bytes(), &mut imported).err());
    let refused = refused.expect("80 MiB are not read");
    assert!(refused.message.contains("dump its bytes with xxd"), "{refused}");
    assert!(refused.at <= 80 << 20, "{refused}");
}

#[test]
fn repeated_lines_are_bounded_in_all() {
    let line = |offset: usize| format!("{offset:08x}: 4c49 5354 0d0a 4c49 5354 0d0a 2020 2020\n");
    let dump = |repeated: usize| format!("{}*\n{}{:08x}\n", line(0), line(repeated), repeated + 16);
    let (imported, _) = read(dump(8 << 20).as_bytes());
    assert_eq!(imported.bytes, (8 << 20) + 16);
    let (_, result) = read_in(dump(17 << 20).as_bytes(), &[100], ImportOptions::default());
    assert!(result.is_err_and(|error| error.message.contains("that a dump may repeat")));
}
