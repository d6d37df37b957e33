//! The cost of a stream: memory that does not grow with it, and work that does not grow faster than it.

use chanwire_core::wire::{Command, Decoder};
use chanwire_tests::stream::{Seen, drain, run};

const MEGABYTE: usize = 1 << 20;

/// The most that a decoder may hold at once beyond the piece that it is fed: a buffer for that piece, twice while it
/// grows.
const HELD: u64 = 256 * 1024;

/// Feeds so many megabytes of a repeated piece. Returns the number of items, the most bytes that the decoder held at
/// once, and the bytes that it holds at the end.
fn flood(decoder: &mut Decoder<Command>, piece: &[u8], megabytes: usize) -> (usize, u64, i64) {
    let mut items = 0;
    let allocated = allocation_counter::measure(|| {
        for _ in 0..megabytes * MEGABYTE / piece.len() {
            decoder.feed(piece);
            items += std::iter::from_fn(|| decoder.next_item().map(drop)).count();
            assert_eq!(decoder.unread(), 0);
        }
    });
    (items, allocated.bytes_max, allocated.bytes_current)
}

#[test]
fn a_decoder_keeps_no_bytes_that_it_does_not_need() {
    let space = [b' '; 65_536];
    let string = [b'x'; 65_536];
    for (name, opening, piece, unlimited) in [
        ("white space between frames", &b""[..], &space, false),
        ("white space before a payload", b"HOST\r\n", &space, false),
        ("white space after LIST, where an object may follow", b"LIST\r\n", &space, false),
        ("an object that is skipped", b"LIST\r\n{\"", &string, true),
        ("a stray", b"{\"", &string, true),
        ("bytes after the end of the conversation", b"?", &string, false),
    ] {
        let mut decoder = Decoder::<Command>::new(if unlimited { usize::MAX } else { 65_536 });
        decoder.feed(opening);
        let opened = drain(&mut decoder).len();
        let (items, most, kept) = flood(&mut decoder, piece, 12);
        assert_eq!(items, 0, "{name}: {opened} items, then none");
        assert!(most < HELD && kept < HELD as i64, "{name}: {most} bytes held, {kept} kept of {}", 12 * MEGABYTE);
    }

    // Complete frames.
    let frames = b"MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"c\"}\r\n".repeat(1000);
    let (items, most, kept) = flood(&mut Decoder::new(65_536), &frames, 12);
    assert!(items > 200_000, "{items}");
    assert!(most < HELD && kept < HELD as i64, "frames: {most} bytes held, {kept} kept");
}

#[test]
fn decoding_takes_linear_time() {
    // A decoder that rescans from the start needs hours for a long payload that arrives byte by byte.
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

    // The frames after one that is taken are not moved.
    let many = b"LIST\r\n".repeat(200_000);
    assert_eq!(run::<Command>([&*many], 65_536).before.len(), 200_000);
}
