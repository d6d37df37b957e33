use super::*;
use crate::wire::Command;
use alloc::vec;

/// Returns two frames of about this size, full of escapes and brackets in strings, with white space and a skipped
/// object between them.
fn stream(size: usize) -> Vec<u8> {
    let elements = br#"{"a\n": "}"}, "#.repeat(size / 15);
    let frame = [b"MESSAGE\r\n{\"x\": [", &elements[..], b"0]}"].concat();
    [&frame[..], b"\r\nLIST\r\n", b"[\"x\", ", &elements, b"0]", &frame].concat()
}

#[test]
fn work_is_linear_in_the_bytes_however_they_are_cut() {
    for size in [64, 1024, 16_384, 65_000] {
        let stream = stream(size);
        for step in [1, 2, 7, 64, 4096, stream.len()] {
            for at_hand in [false, true] {
                let mut decoder = Decoder::<Command>::new(65_536);
                let mut frames = 0;
                for mut piece in stream.chunks(step) {
                    if !at_hand {
                        decoder.feed(mem::take(&mut piece));
                    }
                    while let Some(item) = decoder.next_item_of(&mut piece) {
                        frames += usize::from(matches!(item, Item::Frame(_)));
                    }
                }
                assert_eq!(frames, 3);
                // Each byte is copied once, examined once and moved at most once.
                let most = 3 * stream.len();
                assert!(decoder.work <= most, "{} for {} bytes, {step} at a time", decoder.work, stream.len());
            }
        }
    }
}

#[test]
fn buffered_bytes_never_exceed_the_limit_and_one_read() {
    let mut fullest = 0;
    for (limit, read) in
        [100, 1000, 16_384].into_iter().flat_map(|limit| [1, 3, 6, 9, 13].map(|r| (limit, limit * r / 10)))
    {
        let frame = [b"MESSAGE\r\n{\"x\": \"", &*vec![b'x'; limit - 9], b"\"}"].concat();
        // The largest frame begins at each of many offsets in a read.
        for before in (0..read).step_by(limit / 50) {
            let stream = [vec![b' '; before], frame.clone(), frame.clone()].concat();
            let (mut decoder, mut frames) = (Decoder::<Command>::new(limit), 0);
            for piece in stream.chunks(read) {
                decoder.feed(piece);
                // The buffered start line may be longer than a small limit.
                let most = limit.max(MAX_START_LINE + 2) + read;
                assert!(decoder.buffer.len() <= most, "{} of {limit} and {read}", decoder.buffer.len());
                fullest = fullest.max(decoder.buffer.len() * 100 / most);
                while let Some(item) = decoder.next_item() {
                    frames += usize::from(matches!(item, Item::Frame(_)));
                }
            }
            assert_eq!(frames, 2);
        }
    }
    assert!(fullest > 90, "{fullest} % of what may be kept ever was");
}

#[test]
fn a_boundaries_only_decoder_keeps_nothing_and_reports_the_same_spans() {
    const LIMIT: usize = 16_384;
    let large = |length: usize| [b"\r\nMESSAGE\r\n {\"x\": \"", &*vec![b'x'; length], b"\"}"].concat();
    let stream = [&large(LIMIT - 100)[..], &stream(1000), &large(LIMIT - 9), b"HO?T\r\n{}", &large(LIMIT)].concat();
    let steps = [1, 7, 100, 4096, stream.len()];
    for (step, is_at_hand) in steps.into_iter().flat_map(|step| [(step, false), (step, true)]) {
        let (mut keeping, mut cutting) =
            (Decoder::<Command>::new(LIMIT), Decoder::<Command>::new(LIMIT).boundaries_only());
        let mut last = None;
        for piece in stream.chunks(step) {
            keeping.feed(piece);
            let mut at_hand = piece;
            if !is_at_hand {
                cutting.feed(mem::take(&mut at_hand));
            }
            loop {
                let (kept, cut) = (keeping.next_item(), cutting.next_item_of(&mut at_hand));
                assert_eq!(kept.as_ref().map(Item::span), cut.as_ref().map(Item::span));
                let Some(item) = cut else { break };
                last = Some(matches!(item, Item::Fault(_)));
            }
            assert_eq!(keeping.partial(), cutting.partial());
            // Only an incomplete start line is kept.
            assert!(cutting.kept() <= MAX_START_LINE + CRLF, "{} bytes in pieces of {step}", cutting.kept());
        }
        // The last payload is too large, which is detected without keeping it.
        assert_eq!(last, Some(true));
    }
}

#[test]
fn of_a_read_at_hand_only_the_frame_that_is_cut_is_kept() {
    let frame = b"MESSAGE\r\n{\"x\": \"a longer text, so that frames are seldom cut\"}";
    let stream = frame.repeat(1000);
    for read in [1000, 4096, 65_536] {
        let (mut decoder, mut frames, mut kept) = (Decoder::<Command>::new(65_536), 0, 0);
        for mut piece in stream.chunks(read) {
            while let Some(item) = decoder.next_item_of(&mut piece) {
                frames += usize::from(matches!(item, Item::Frame(_)));
                kept = kept.max(decoder.buffer.len());
            }
            kept = kept.max(decoder.buffer.len());
        }
        assert_eq!(frames, 1000);
        // A start line that was cut is understood with what comes up to the next one's end.
        assert!(kept <= BUFFER_STEP + frame.len(), "{kept} bytes of reads of {read}");
        assert!(decoder.work < stream.len() * 5 / 2, "{} for {} bytes", decoder.work, stream.len());
    }
}

#[test]
fn a_backlog_is_not_moved_for_each_item_that_is_taken_from_it() {
    let stream = stream(64).repeat(1000);
    let mut decoder = Decoder::<Command>::new(65_536);
    let mut frames = 0;
    for piece in stream.chunks(65_536).chain(stream.chunks(100)) {
        decoder.feed(piece);
        frames += usize::from(matches!(decoder.next_item(), Some(Item::Frame(_))));
    }
    while let Some(item) = decoder.next_item() {
        frames += usize::from(matches!(item, Item::Frame(_)));
    }
    assert_eq!(frames, 6000);
    let fed = 2 * stream.len();
    assert!(decoder.work <= 3 * fed, "{} for {fed} bytes", decoder.work);
}
