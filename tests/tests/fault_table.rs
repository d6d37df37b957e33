//! Each clause of each row of the protocol's fault table: the items that come out of its stream and after how many
//! bytes, the answer to each, and the items that follow. Every stream is also cut at every byte and read by a naive
//! decoder; both must say the same.

use std::fmt::Write as _;

use chanwire_core::wire::{Command, Decoder};
use chanwire_tests::{
    fault_table::{self, Clause, LIMIT},
    model, show,
    stream::{check_every_cut, drain},
};

/// Shows what comes out of each clause of a row, after a naive decoder and every cut of its stream have said the same.
fn row(clauses: &[Clause]) -> String {
    let mut out = String::new();
    for Clause { title, stream, limit } in clauses {
        let _ = writeln!(out, "{title}");
        out.push_str(&show::stream::<Command>(stream, *limit));
        out.push('\n');
        if stream.len() < 1000 {
            let run = check_every_cut::<Command>(stream, *limit);
            assert_eq!(run.all().cloned().collect::<Vec<_>>(), model::items(stream, *limit), "{title}");
        }
    }
    out
}

#[test]
fn f01_white_space_between_frames_and_before_a_payload_is_skipped() {
    insta::assert_snapshot!(row(&fault_table::f01()));
}

#[test]
fn f02_several_requests_in_one_read_come_out_in_order() {
    insta::assert_snapshot!(row(&fault_table::f02()));
}

#[test]
fn f03_an_object_belongs_to_the_line_before_it() {
    insta::assert_snapshot!(row(&fault_table::f03()));
}

#[test]
fn f04_any_other_object_is_a_stray() {
    insta::assert_snapshot!(row(&fault_table::f04()));
}

#[test]
fn f05_an_unknown_command_is_answered_at_its_line_end() {
    insta::assert_snapshot!(row(&fault_table::f05()));
}

#[test]
fn f06_an_invalid_line_end_is_a_fault() {
    insta::assert_snapshot!(row(&fault_table::f06()));
}

#[test]
fn f07_a_byte_outside_any_command_closes() {
    insta::assert_snapshot!(row(&fault_table::f07()));
}

#[test]
fn f08_an_array_is_read_to_its_end() {
    insta::assert_snapshot!(row(&fault_table::f08()));
}

#[test]
fn f09_a_payload_that_is_no_object_closes() {
    insta::assert_snapshot!(row(&fault_table::f09()));
}

#[test]
fn f10_an_invalid_object_keeps_the_connection_open() {
    insta::assert_snapshot!(row(&fault_table::f10()));
}

#[test]
fn f11_brackets_that_do_not_match_or_nest_too_deep_close() {
    insta::assert_snapshot!(row(&fault_table::f11()));
}

#[test]
fn f12_a_payload_may_have_65536_bytes() {
    insta::assert_snapshot!(row(&fault_table::f12()));
}

#[test]
fn f13_the_stream_ends_inside_a_frame() {
    insta::assert_snapshot!(row(&fault_table::f13()));
}

#[test]
fn f14_unknown_fields_are_ignored() {
    insta::assert_snapshot!(row(&fault_table::f14()));
}

#[test]
fn f15_a_frame_that_takes_too_long_closes_and_no_other() {
    let mut out = String::new();
    for (clause, stream) in [
        ("between frames there is no deadline", &b""[..]),
        ("after a frame there is none", b"LIST\r\n"),
        ("white space between frames starts none", b"LIST\r\n \n "),
        ("after an unknown command there is none", b"PING\r\n "),
        ("in a command", b"LIST\r\nHO"),
        ("after a command's CR", b"HOST\r"),
        ("before a payload", b"HOST\r\n \n"),
        ("in a payload", b"HOST\r\n{\"a\": \"\\"),
        ("in an array in a payload's place", b"HOST\r\n["),
        ("in an object that is skipped", b"LIST\r\n [{}"),
        ("in a stray", b"{"),
        ("after a fault that closes", b"LIST!more"),
    ] {
        let _ = writeln!(out, "{clause}\n    {}", show::bytes(stream));
        let mut decoder = Decoder::<Command>::new(LIMIT);
        decoder.feed(stream);
        show::items(&mut decoder, "before", &mut out);
        match decoder.time_out(120) {
            Some(fault) => {
                let _ =
                    writeln!(out, "  {}..{} timed out: {}", fault.span.start, fault.span.end, show::fault_line(&fault));
                assert!(decoder.is_closed() && decoder.time_out(120).is_none(), "it closes once");
            }
            None => {
                let _ = writeln!(out, "  no deadline");
            }
        }
        decoder.feed(b"LIST\r\n");
        decoder.finish();
        show::items(&mut decoder, "LIST, end", &mut out);
        out.push('\n');
    }
    insta::assert_snapshot!(out);
}

#[test]
fn a_stream_that_timed_out_is_tiled_too() {
    for stream in [&b"LIST\r\nHO"[..], b"HOST\r\n{", b"{", b"HOST\r"] {
        let mut decoder = Decoder::<Command>::new(LIMIT);
        decoder.feed(stream);
        let mut items = drain(&mut decoder);
        let Some(fault) = decoder.time_out(1) else { panic!("no deadline in {}", show::bytes(stream)) };
        items.push(fault.into());
        decoder.feed(b"}LIST\r\n");
        decoder.finish();
        items.extend(drain(&mut decoder));
        let run = chanwire_tests::stream::Run { before: items, after: Vec::new() };
        chanwire_tests::stream::check_tiling(&run, stream.len() + 7);
    }
}
