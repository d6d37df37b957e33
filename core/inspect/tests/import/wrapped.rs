//! Captures that are compressed, or kept as text in another encoding.

use std::io::Write as _;

use chanwire_inspect::{
    Capture,
    Direction::Out,
    RowKind,
    import::{CaptureImport, Format, ImportOptions, is_clear, preview},
};
use flate2::{Compression, write::GzEncoder};

use crate::kit::{Imported, Segment, pcap, read, read_in, talk};

const ASKED: &[u8] = b"LIST\r\n";
const ANSWERED: &[u8] = b"OK\r\n{\"channels\": []}";
const DUMP: &str = "00000000: 4c49 5354 0d0a                           LIST..\r\n";
const ROWS: &str = "{\"connection\":1,\"label\":\"\u{e9}\u{1f600}\"}\r\n{\"row\":1,\"connection\":1,\"direction\":\"out\",\
                    \"kind\":\"frame\",\"time\":0,\"text\":\"LIST\\r\\n\"}\r\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str, big_endian: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn a_compressed_capture_is_the_same_in_any_pieces() {
    let packets = pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv4));
    for capture in [&packets[..], DUMP.as_bytes(), ROWS.as_bytes(), ASKED, &ASKED.repeat(20_000)] {
        let (imported, summary) = read(capture);
        // It may be compressed in parts, and the parts put together.
        let (first, second) = capture.split_at(capture.len() / 2);
        for packed in [gzip(capture), [gzip(first), gzip(second)].concat()] {
            for size in [1, 7, 100, usize::MAX] {
                let (again, read) = read_in(&packed, &[size], ImportOptions::default());
                let read = read.unwrap();
                assert_eq!((again.streams, again.bytes), (imported.streams.clone(), imported.bytes), "{size}");
                assert!(read.compressed && !read.cut, "{read}");
                assert_eq!((read.format, read.connections), (summary.format, summary.connections));
            }
            let seen = preview(&packed);
            assert_eq!((seen.format, seen.compressed), (summary.format, true));
            assert!(seen.words.ends_with(", compressed by gzip"), "{}", seen.words);
        }
    }
    assert!(is_clear(&gzip(&packets)));
}

#[test]
fn a_given_limit_of_payloads_holds_for_compressed_bytes_too() {
    let said = b"HOST\r\n{\"username\": \"u\", \"channel_name\": \"c\"}";
    for (most, kind) in [(Some(10), RowKind::Fault), (Some(100), RowKind::Frame), (None, RowKind::Frame)] {
        for bytes in [said.to_vec(), gzip(said)] {
            let mut capture = Capture::new(1 << 20);
            let options = ImportOptions { max_payload: most, ..ImportOptions::default() };
            let mut import = CaptureImport::new(options, 0);
            import.feed(&bytes, &mut capture).unwrap();
            import.finish(&mut capture).unwrap();
            assert_eq!(capture.entry(1).map(|entry| entry.kind()), Some(kind), "{most:?}");
        }
    }
}

#[test]
fn a_compressed_capture_that_is_cut_or_damaged_says_so() {
    let packets = pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv4));
    let packed = gzip(&packets);
    let (whole, _) = read(&packed);
    for cut in 20..packed.len() {
        let (imported, summary) = read(&packed[..cut]);
        let has_all = cut >= packed.len() - 8;
        assert_eq!((summary.cut, summary.unproven), (!has_all, has_all), "{cut} of {}: {summary}", packed.len());
        assert!(!has_all || imported == whole, "{cut}: {imported:?}");
    }
    for sum in packed.len() - 8..packed.len() {
        let mut wrong = packed.clone();
        wrong[sum] ^= 1;
        let (imported, summary) = read(&wrong);
        assert!(
            summary.lacks() && summary.to_string().ends_with("; the checksum of gzip is wrong or missing"),
            "{summary}"
        );
        assert_eq!(imported, whole);
    }
    // The middle of it is wrong.
    let mut wrong = packed.clone();
    wrong[12] ^= 0xff;
    let (_, result) = read_in(&wrong, &[100], ImportOptions::default());
    assert!(result.is_err_and(|error| error.message.contains("compressed by gzip is damaged")) || packed[12] == 0);
}

/// Tests that a small capture that becomes a large one is read a little at a time.
#[test]
fn a_well_compressed_capture_takes_no_memory() {
    #[derive(Default)]
    struct Largest(usize, u64);
    impl chanwire_inspect::import::Sink for Largest {
        fn open(&mut self, _: u32, _: chanwire_inspect::Time, _: &str, _: &str) {}
        fn bytes(&mut self, _: u32, _: chanwire_inspect::Direction, _: chanwire_inspect::Time, bytes: &[u8]) {
            self.0 = self.0.max(bytes.len());
            self.1 += bytes.len() as u64;
        }
        fn gap(&mut self, _: u32, _: chanwire_inspect::Direction, _: chanwire_inspect::Time, _: u64, _: &str) {}
        fn end(&mut self, _: u32, _: chanwire_inspect::Direction, _: chanwire_inspect::Time) {}
        fn shut_down(&mut self, _: u32, _: chanwire_inspect::Direction, _: chanwire_inspect::Time) {}
        fn close(&mut self, _: u32, _: chanwire_inspect::Time, _: &str, _: bool) {}
        fn line(&mut self, _: &[u8]) -> Result<(), String> {
            Ok(())
        }
    }
    let size = 32 << 20;
    let packed = gzip(&[ASKED, &vec![b' '; size]].concat());
    let mut largest = Largest::default();
    let mut import = chanwire_inspect::import::Import::new(ImportOptions::default());
    import.feed(&packed, &mut largest).unwrap();
    import.finish(&mut largest).unwrap();
    assert_eq!(largest.1, (size + ASKED.len()) as u64);
    assert!(largest.0 <= 256 << 10, "{} bytes at one time", largest.0);
}

#[test]
fn text_may_be_in_any_unicode_encoding_with_a_mark_or_without() {
    for text in [DUMP, ROWS] {
        let (plain, summary) = read(text.as_bytes());
        let marked = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
        let others =
            [(false, false), (false, true), (true, false), (true, true)].map(|(big, mark)| utf16(text, big, mark));
        for encoded in others.into_iter().chain([marked]) {
            for size in [1, 3, 16, usize::MAX] {
                let (imported, again) = read_in(&encoded, &[size], ImportOptions::default());
                assert_eq!((imported, again.unwrap()), (plain.clone(), summary), "{size}: {}", encoded.escape_ascii());
            }
            assert_eq!(preview(&encoded).format, summary.format);
        }
    }
}

/// Tests that a mark or an encoding of a client's bytes is shown as its fault.
#[test]
fn the_encoding_of_a_clients_bytes_is_not_decoded() {
    let marked = [&[0xef, 0xbb, 0xbf], ASKED].concat();
    for sent in [marked, utf16("LIST\r\n", false, true), utf16("LIST\r\n", true, false)] {
        let (imported, summary) = read(&sent);
        assert_eq!((summary.format, &imported.streams[&(1, Out)]), (Format::Raw, &sent));
    }
}

#[test]
fn the_place_of_a_wrong_line_is_counted_in_the_file() {
    let wrong = ROWS.replace("LIST", "LOST");
    let at = wrong.find("{\"row\"").unwrap() as u64;
    // Four bytes of the label are one unit here and two there.
    let ascii = wrong.replace("\u{e9}\u{1f600}", "ab");
    let ascii_at = ascii.find("{\"row\"").unwrap() as u64;
    for (encoded, place) in [
        ([&[0xef, 0xbb, 0xbf], wrong.as_bytes()].concat(), at + 3),
        (utf16(&ascii, false, true), 2 * ascii_at + 2),
        (utf16(&ascii, true, false), 2 * ascii_at),
    ] {
        // The recorder reports the error in the line.
        let mut capture = chanwire_inspect::Capture::new(1 << 20);
        let mut import = chanwire_inspect::import::CaptureImport::new(ImportOptions::default(), 0);
        let error =
            import.feed(&encoded, &mut capture).and_then(|()| import.finish(&mut capture).map(drop)).unwrap_err();
        assert_eq!(error.at, place, "{error}");
    }
}

#[test]
fn other_archives_and_captures_are_named() {
    for (bytes, name) in [
        (&b"BZh91AY&SY"[..], "bzip2"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"PK\x03\x04", "ZIP"),
        (b"snoop\0\0\0\0\0\0\x02", "snoop"),
        (b"GMBU\0\x02", "Network Monitor"),
    ] {
        let (imported, result) = read_in(bytes, &[usize::MAX], ImportOptions::default());
        assert!(result.unwrap_err().message.contains(name));
        assert_eq!(imported, Imported::default());
        assert!(preview(bytes).refusal.is_some_and(|words| words.contains(name)));
    }
}
