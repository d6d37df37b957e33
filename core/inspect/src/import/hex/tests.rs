//! The forms that tools print.

use super::*;

const STREAM: &[u8] = b"LIST\r\nMESSAGE\r\n{\"username\": \"ab cd\", \"message_content\": \"ef 01 |>\"}";

fn bytes(text: &str) -> Vec<u8> {
    let dump = parse(text).expect("it is a dump").expect("it can be read");
    dump.blocks.iter().flat_map(|block| block.bytes.clone()).collect()
}

#[test]
fn digits_alone_are_bytes() {
    for text in ["4c495354", "4c 49 53 54", "4C:49:53:54", "4c49\n5354\n", " 4c-49-53-54 ", "4c, 49, 53, 54"] {
        assert_eq!(bytes(text), b"LIST", "{text}");
    }
    for text in ["", "4c4", "LIST", "4c 4", "face", "de ad beef zz"] {
        assert!(text == "face" || parse(text).is_none(), "{text}");
    }
}

#[test]
fn escapes_and_arrays_are_bytes() {
    for text in [
        "\"\\x4c\\x49\\x53\\x54\"",
        "\"\\x4c\\x49\" \\\n\"\\x53\\x54\"",
        "0x4c, 0x49, 0x53, 0x54",
        "static const unsigned char pkt1[4] = {\n0x4c, 0x49, /* LI */\n0x53, 0x54  /* ST */\n};\n",
    ] {
        assert_eq!(bytes(text), b"LIST", "{text}");
    }
}

#[test]
fn a_line_has_as_many_bytes_as_the_next_offset_says() {
    // The text column of a short line looks like more bytes.
    let text = "00000000: 4c49 5354 0d0a 0d0a  ab cd ef\n00000008: 0d0a                 ..\n";
    assert_eq!(bytes(text), b"LIST\r\n\r\n\r\n");
}

#[test]
fn repeated_lines_are_written_out() {
    let text = "00000000  20 20 20 20 20 20 20 20  20 20 20 20 20 20 20 20  |                |\n*\n\
                00000040  4c 49 53 54 0d 0a                                 |LIST..|\n00000046\n";
    assert_eq!(bytes(text), [&[b' '; 64][..], b"LIST\r\n"].concat());
}

#[test]
fn words_have_their_low_byte_first_where_hexdump_and_od_wrote_them() {
    assert_eq!(bytes("0000000 494c 5453 0a0d\n0000006\n"), b"LIST\r\n");
    assert_eq!(bytes("0000000 044514 052123 005015\n0000006\n"), b"LIST\r\n");
    assert_eq!(bytes("00000000: 4c49 5354 0d0a            LIST..\n"), b"LIST\r\n");
    assert_eq!(bytes("\t0x0000:  4c49 5354 0d0a            LIST..\n"), b"LIST\r\n");
}

#[test]
fn a_followed_stream_has_two_sides() {
    let text = "00000000  4c 49 53 54 0d 0a                                 LIST..\n\
                \x20   00000000  4f 4b 0d 0a 7b 7d                                 OK..{}\n\
                00000006  4c 49 53 54 0d 0a                                 LIST..\n";
    let dump = parse(text).unwrap().unwrap();
    let sides: Vec<_> = dump.blocks.iter().map(|block| (block.indented, block.bytes.as_slice())).collect();
    assert_eq!(sides, [(false, &b"LIST\r\n"[..]), (true, b"OK\r\n{}"), (false, b"LIST\r\n")]);
}

#[test]
fn an_offset_that_does_not_fit_says_where() {
    let text = "00000000  4c 49 53 54 0d 0a 4c 49  53 54 0d 0a 4c 49 53 54  |..|\n00000030  0d 0a  |..|\n00000032\n";
    let error = parse(text).unwrap().unwrap_err();
    assert_eq!(error.at, Some(65), "{error:?}");
}

#[test]
fn the_output_of_each_tool_is_read() {
    // Each line as the tool lays it out: this is the tools' format, written by hand.
    let hexdump: String = lines(STREAM, |offset, line| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let (a, b) = hex.split_at(hex.len().min(8));
        format!("{offset:08x}  {:<24} {:<24} |{}|\n", a.join(" "), b.join(" "), text_of(line))
    }) + &format!("{:08x}\n", STREAM.len());
    let xxd = lines(STREAM, |offset, line| {
        let hex: Vec<String> = line.chunks(2).map(|pair| pair.iter().map(|b| format!("{b:02x}")).collect()).collect();
        format!("{offset:08x}: {:<40} {}\n", hex.join(" "), text_of(line))
    });
    let od = lines(STREAM, |offset, line| {
        let hex: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{offset:07o}{hex}\n")
    }) + &format!("{:07o}\n", STREAM.len());
    let wireshark = lines(STREAM, |offset, line| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{offset:04x}   {:<47}   {}\n", hex.join(" "), text_of(line))
    });
    for text in [hexdump, xxd, od, wireshark] {
        assert_eq!(bytes(&text), STREAM, "{text}");
        assert_eq!(bytes(&text.replace('\n', "\r\n")), STREAM, "{text}");
    }
}

fn lines(bytes: &[u8], line: impl Fn(usize, &[u8]) -> String) -> String {
    bytes.chunks(16).enumerate().map(|(index, bytes)| line(index * 16, bytes)).collect()
}

fn text_of(line: &[u8]) -> String {
    line.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect()
}

const SAID: &[u8] = b"LIST\r\nLIST\r\nMESSAGE\r\n{\"username\": \"ab cd\", \"message_content\": \"x\"}";

#[test]
fn offsets_may_count_in_any_base_and_all_lines_tell_in_which() {
    let dump = |format: fn(usize) -> String| {
        lines(SAID, |offset, line| {
            let hex: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
            format!("{}{hex}\n", format(offset))
        }) + &format(SAID.len())
    };
    for text in [
        dump(|offset| format!("{offset:07}")),
        dump(|offset| format!("{offset:07o}")),
        dump(|offset| format!("{offset:06x}")),
        dump(|offset| format!("{offset:08x}")),
    ] {
        assert_eq!(bytes(&text), SAID, "{text}");
        // Its end may be cut off.
        let cut: String = text.lines().take(3).map(|line| line.to_owned() + "\n").collect();
        assert_eq!(bytes(&cut), &SAID[..48], "{cut}");
    }
}

#[test]
fn words_of_more_bytes_are_turned_round() {
    let od4 = "0000000 5453494c 494c0a0d 0a0d5453 5353454d\n0000020 0d454741 75227b0a 6e726573 22656d61\n\
               0000040 6122203a 64632062 22202c22 7373656d\n0000060 5f656761 746e6f63 22746e65 7822203a\n\
               0000100 00007d22\n0000102\n";
    let od8 = "0000000 494c0a0d5453494c 5353454d0a0d5453\n0000020 75227b0a0d454741 22656d616e726573\n\
               0000040 646320626122203a 7373656d22202c22\n0000060 746e6f635f656761 7822203a22746e65\n\
               0000100 0000000000007d22\n0000102\n";
    let xxd_e = "00000000: 5453494c 494c0a0d 0a0d5453 5353454d  LIST..LIST..MESS\n\
                 00000010: 0d454741 75227b0a 6e726573 22656d61  AGE..{\"username\"\n\
                 00000020: 6122203a 64632062 22202c22 7373656d  : \"ab cd\", \"mess\n\
                 00000030: 5f656761 746e6f63 22746e65 7822203a  age_content\": \"x\n\
                 00000040:     7d22                             \"}\n";
    let xxd_e_cut = "00000000: 5453494c 494c0a0d     5453            LIST..LIST\n";
    let xxd_g4 = "00000000: 4c495354 0d0a4c49 53540d0a 4d455353  LIST..LIST..MESS\n00000010: 414745    AGE\n";
    let od_x = od4.replace("0000020", "000010").replace("0000040", "000020").replace("0000060", "000030");
    let od_x = od_x.replace("0000100", "000040").replace("0000102", "000042").replace("0000000 ", "000000 ");
    for text in [od4, od8, xxd_e, &od_x] {
        assert_eq!(bytes(text), SAID, "{text}");
    }
    assert_eq!(bytes(xxd_e_cut), &SAID[..10]);
    assert_eq!(bytes(xxd_g4), &SAID[..19]);
    assert_eq!(parse(od4).unwrap().unwrap().form().words(), "a hex dump of 32-bit words, the low byte first");
}

#[test]
fn arrays_of_c_are_read_with_what_is_declared_around_them() {
    let xxd = "unsigned char q_bin[] = {\n  0x4c, 0x49, 0x53, 0x54,\n  0x0d, 0x0a\n};\nunsigned int q_bin_len = 6;\n";
    assert_eq!(bytes(xxd), b"LIST\r\n");
    let followed = "char peer0_0[] = { /* Packet 4 */\n0x4c, 0x49, 0x53, 0x54, 0x0d, \n0x0a };\n\
                    char peer1_0[] = { /* Packet 6 */\n0x4f, 0x4b, 0x0d, 0x0a, 0x7b, 0x7d };\n\
                    char peer0_1[] = { /* Packet 8 */\n0x4c, 0x49 };\n";
    let dump = parse(followed).unwrap().unwrap();
    let sides: Vec<_> = dump.blocks.iter().map(|block| (block.indented, block.bytes.as_slice())).collect();
    assert_eq!(sides, [(false, &b"LIST\r\n"[..]), (true, b"OK\r\n{}"), (false, b"LI")]);
    for none in ["int a[] = { 1, 2 };", "char a[] = { 0x4c, x };", "x = 0x4c; char a[] = { 0x4c, 0x49 };", "{0x4c"] {
        assert_eq!(arrays(none), None, "{none}");
    }
}

#[test]
fn tshark_indents_a_followed_stream_by_a_tab() {
    let text = "\n===================================================================\nFollow: tcp,hex\n\
                Filter: tcp.stream eq 0\nNode 0: 127.0.0.1:48694\nNode 1: 127.0.0.1:22236\n\
                00000000  4c 49 53 54 0d 0a                                 LIST..\n\
                \t00000000  4f 4b 0d 0a 7b 7d                                 OK..{}\n\
                00000006  4c 49                                             LI\n\
                \t00000006  4f 4b                                             OK\n\
                ===================================================================\n";
    let dump = parse(text).unwrap().unwrap();
    let sides: Vec<_> = dump.blocks.iter().map(|block| (block.indented, block.bytes.as_slice())).collect();
    assert_eq!(sides, [(false, &b"LIST\r\n"[..]), (true, b"OK\r\n{}"), (false, b"LI"), (true, b"OK")]);
}

/// Tests that the cost of a line does not grow with the blocks before it: else this takes for ever.
#[test]
fn a_dump_of_very_many_blocks_is_read() {
    let dump = parse(&"0000  4c 49   LI\n".repeat(100_000)).unwrap().unwrap();
    assert_eq!(dump.blocks.len(), 100_000);
    let followed = "0000  4c 49   LI\n    0000  4f 4b   OK\n".to_owned()
        + &(1..50_000_usize)
            .map(|line| format!("{:06x}  4c 49   LI\n    {:06x}  4f 4b   OK\n", 2 * line, 2 * line))
            .collect::<String>();
    assert_eq!(parse(&followed).unwrap().unwrap().blocks.len(), 100_000);
}
