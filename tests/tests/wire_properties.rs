//! Laws of every stream: the decoder agrees with a naive one, with itself in other pieces, and with another parser
//! about the end of an object.

use chanwire_core::wire::{Command, Decoder, FaultKind, Skipped, Status};
use chanwire_tests::{
    fuzz_bodies::check_end,
    generate::{self, times},
    model, show,
    stream::{Seen, check_every_cut, check_tiling, cut, drain, run},
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(times(1000))]

    #[test]
    fn the_decoder_agrees_with_the_naive_one(stream in generate::stream(), limit in generate::limit()) {
        let run = run::<Command>([&*stream], limit);
        check_tiling(&run, stream.len());
        let items: Vec<_> = run.all().cloned().collect();
        prop_assert_eq!(items, model::items(&stream, limit), "{}", show::bytes(&stream));
    }

    #[test]
    fn the_decoder_of_answers_agrees_with_the_naive_one(stream in generate::stream(), limit in generate::limit()) {
        let run = run::<Status>([&*stream], limit);
        let items: Vec<_> = run.all().cloned().collect();
        prop_assert_eq!(items, model::items(&stream, limit), "{}", show::bytes(&stream));
    }

    #[test]
    fn items_do_not_depend_on_the_cuts(
        stream in generate::stream(), limit in generate::limit(), cuts in generate::cuts()
    ) {
        let whole = run::<Command>([&*stream], limit);
        prop_assert_eq!(&run(cut(&stream, &cuts), limit), &whole);
        prop_assert_eq!(&run(stream.chunks(1), limit), &whole);
    }

    #[test]
    fn items_may_be_taken_after_all_input(
        stream in generate::stream(), limit in generate::limit(), cuts in generate::cuts()
    ) {
        let whole = run::<Command>([&*stream], limit);
        let whole: Vec<_> = whole.all().cloned().collect();
        // One item at most after each piece: the others wait in the buffer.
        let mut late = Decoder::<Command>::new(limit);
        let mut items = Vec::new();
        for piece in cut(&stream, &cuts) {
            late.feed(piece);
            items.extend(late.next_item().map(Seen::from));
        }
        late.finish();
        items.extend(drain(&mut late));
        prop_assert_eq!(&items, &whole);
        // None is taken before the end of the stream; and bytes fed after the end are no part of it.
        let mut last = Decoder::<Command>::new(limit);
        last.feed(&stream);
        last.finish();
        last.feed(b"LIST\r\n");
        prop_assert_eq!(drain(&mut last), whole);
        prop_assert_eq!(last.next_item(), None);
    }
}

proptest! {
    #![proptest_config(times(60))]

    #[test]
    fn every_single_cut_agrees(stream in generate::stream(), limit in generate::limit()) {
        prop_assume!(stream.len() < 400);
        check_every_cut::<Command>(&stream, limit);
    }
}

proptest! {
    #![proptest_config(times(2000))]

    #[test]
    fn a_frame_ends_where_another_parser_ends_the_object(
        object in generate::object_text(), tail in generate::mutated(generate::object_text())
    ) {
        let bytes = [&object[..], &tail].concat();
        check_end(&bytes);
    }

    #[test]
    fn mutated_objects_end_alike(object in generate::mutated(generate::object_text())) {
        prop_assume!(object.first() == Some(&b'{'));
        check_end(&object);
    }

    #[test]
    fn arrays_are_refused_up_to_the_end_that_another_parser_finds(array in generate::array_text()) {
        let run = run::<Command>([&[b"MESSAGE\r\n", &array[..], b"LIST\r\n"].concat()[..]], 65_536);
        let end = (9 + array.len()) as u64;
        prop_assert!(
            matches!(run.before.first(), Some(Seen::Fault { kind: FaultKind::PayloadIsArray, span, .. }) if span.end == end),
            "{run:?}"
        );
        prop_assert!(matches!(run.before.last(), Some(Seen::Frame { head: Command::List, .. })), "{run:?}");
    }

    #[test]
    fn a_payload_at_the_limit_passes_and_one_byte_less_does_not(object in generate::object_text()) {
        let stream = [b"HOST\r\n", &object[..]].concat();
        let at_limit = run::<Command>([&*stream], object.len());
        prop_assert!(matches!(at_limit.before[..], [Seen::Frame { .. }]), "{at_limit:?}");
        let limit = object.len() - 1;
        let over = run::<Command>([&*stream], limit);
        let end = (stream.len() - 1) as u64;
        prop_assert!(
            matches!(over.before[..], [Seen::Fault { at: Some(at), kind, span, .. }]
                if at == end && span.end == end && kind == FaultKind::TooLarge { limit }),
            "{over:?}"
        );
    }
}

#[test]
fn depth_sixty_four_ends_and_sixty_five_does_not() {
    for (open, close) in [("{\"a\":", "}"), ("[", "]")] {
        for depth in [63_usize, 64, 65] {
            let object = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            let run = run::<Command>([format!("PING\r\n{object}LIST\r\n").as_bytes()], 65_536);
            let listed = matches!(run.before.last(), Some(Seen::Frame { head: Command::List, .. }));
            assert_eq!(listed, depth <= 64, "{object}");
        }
    }
}

const MEGABYTE: usize = 1 << 20;

#[test]
fn ten_megabytes_of_white_space_are_one_item_in_any_pieces() {
    let mut stream = b"LIST\r\n".to_vec();
    stream.resize(10 * MEGABYTE, b'\n');
    stream.extend_from_slice(b"HOST\r\n");
    stream.resize(20 * MEGABYTE, b' ');
    stream.extend_from_slice(b"{}LIST\r\n");
    let whole = items(&stream, stream.len());
    assert!(
        matches!(
            &whole[..],
            [
                Seen::Frame { head: Command::List, .. },
                Seen::Skipped(space, Skipped::WhiteSpace),
                Seen::Frame { head: Command::Host, .. },
                Seen::Frame { head: Command::List, .. },
            ] if space.len() == 10 * MEGABYTE as u64 - 6
        ),
        "{whole:?}"
    );
    for piece in [4096, 65_537] {
        assert_eq!(items(&stream, piece), whole, "pieces of {piece} bytes");
    }
}

fn items(stream: &[u8], piece: usize) -> Vec<Seen<Command>> {
    let mut decoder = Decoder::new(65_536);
    let mut items = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.feed(piece);
        items.extend(drain(&mut decoder));
    }
    items
}
