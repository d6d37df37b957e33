//! What a stream may cost: memory that does not grow with it, and work that does not grow faster than it. This test
//! has a process of its own, so that the memory it measures is the decoder's.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use chanwire_core::wire::{Command, Decoder};
use chanwire_tests::stream::{Seen, drain, run};

const MEGABYTE: usize = 1 << 20;

/// The most memory that this process ever had, in bytes, as the kernel counts it.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

/// Feeds so many megabytes of what repeats and gives how many items came and how much the peak of memory grew.
fn flood(decoder: &mut Decoder<Command>, piece: &[u8], megabytes: usize) -> (usize, usize) {
    let before = peak_memory();
    let mut items = 0;
    for _ in 0..megabytes * MEGABYTE / piece.len() {
        decoder.feed(piece);
        items += std::iter::from_fn(|| decoder.next_item().map(drop)).count();
        assert_eq!(decoder.unread(), 0);
    }
    (items, peak_memory() - before)
}

#[test]
fn what_is_not_needed_is_not_kept() {
    let space = [b' '; 65_536];
    let string = [b'x'; 65_536];
    for (what, opening, piece, unlimited) in [
        ("white space between frames", &b""[..], &space, false),
        ("white space before a payload", b"HOST\r\n", &space, false),
        ("white space after LIST, where an object may follow", b"LIST\r\n", &space, false),
        ("an object that is skipped", b"LIST\r\n{\"", &string, true),
        ("a stray", b"{\"", &string, true),
        ("what comes after the end of the conversation", b"?", &string, false),
    ] {
        let mut decoder = Decoder::<Command>::new(if unlimited { usize::MAX } else { 65_536 });
        decoder.feed(opening);
        let opened = drain(&mut decoder).len();
        let (items, grown) = flood(&mut decoder, piece, 12);
        assert_eq!(items, 0, "{what}: {opened} items, then none");
        assert!(grown < 2 * MEGABYTE, "{what}: {grown} bytes kept of {}", 12 * MEGABYTE);
    }

    // Frame after frame, and never one that stays.
    let frames = b"MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"c\"}\r\n".repeat(1000);
    let (items, grown) = flood(&mut Decoder::new(65_536), &frames, 2);
    assert!(items > 50_000, "{items}");
    assert!(grown < 2 * MEGABYTE, "frames: {grown} bytes kept");

    // A decoder that rescans from the start needs hours for these: a long payload, byte by byte.
    let mut stream = b"HOST\r\n{\"x\": \"".to_vec();
    stream.resize(2 * MEGABYTE, b'x');
    stream.extend_from_slice(b"\"}");
    let mut decoder = Decoder::<Command>::new(usize::MAX);
    let items: Vec<_> = stream
        .chunks(1)
        .flat_map(|byte| {
            decoder.feed(byte);
            drain(&mut decoder)
        })
        .collect();
    assert!(matches!(&items[..], [Seen::Frame { payload, .. }] if payload.len() == 2 * MEGABYTE - 6 + 2));

    // And many small frames that arrived at once are not moved again for each one that is taken.
    let many = b"LIST\r\n".repeat(200_000);
    assert_eq!(run::<Command>([&*many], 65_536).before.len(), 200_000);
}
