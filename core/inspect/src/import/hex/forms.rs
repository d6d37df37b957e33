//! Each notation of the same bytes is read as these bytes, or refused.

use super::*;

/// `LIST`, and a MESSAGE whose text looks like digits.
const SAID: &[u8] = b"LIST\r\nMESSAGE\r\n{\"username\":\"12 is ab\",\"x\":\"\xc3\xa9 dead beef 12\"}";

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let dump = parse(text).unwrap_or_else(|| panic!("it is a dump: {text}"));
    dump.map(|dump| dump.blocks.iter().flat_map(|block| block.bytes.clone()).collect()).map_err(|error| error.message)
}

/// Formats bytes in lines of `size` bytes, each with its offset, by `line`.
fn lines(start: usize, bytes: &[u8], size: usize, line: impl Fn(usize, &[u8]) -> String) -> String {
    bytes.chunks(size).enumerate().map(|(index, bytes)| line(start + index * size, bytes) + "\n").collect()
}

fn column(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect()
}

/// Returns a word of these bytes as a number.
fn word(bytes: &[u8], big_endian: bool, size: usize) -> u64 {
    let mut all = bytes.to_vec();
    all.resize(size, 0);
    if !big_endian {
        all.reverse();
    }
    all.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Writes words as od and hexdump do: an offset, and each word by `print`.
fn words(bytes: &[u8], size: usize, big_endian: bool, base: u32, print: impl Fn(u64) -> String) -> String {
    let offset = |at: usize| if base == 8 { format!("{at:07o}") } else { format!("{at:07x}") };
    let dump = lines(0, bytes, 16, |at, line| {
        offset(at) + &line.chunks(size).map(|bytes| print(word(bytes, big_endian, size))).collect::<String>()
    });
    dump + &offset(bytes.len()) + "\n"
}

#[test]
fn words_are_read_in_the_order_in_which_they_make_sense() {
    for big_endian in [false, true] {
        for text in [
            words(SAID, 2, big_endian, 8, |word| format!(" {word:04x}")),
            words(SAID, 4, big_endian, 8, |word| format!(" {word:08x}")),
            words(SAID, 8, big_endian, 8, |word| format!(" {word:016x}")),
            words(SAID, 2, big_endian, 16, |word| format!("    {word:04x}")),
            words(SAID, 2, big_endian, 8, |word| format!(" {word:06o}")),
            words(SAID, 2, big_endian, 16, |word| format!("  {word:06o}")),
            words(SAID, 4, big_endian, 8, |word| format!(" {word:011o}")),
            words(SAID, 2, big_endian, 16, |word| format!("   {word:05}")),
            words(SAID, 2, big_endian, 8, |word| format!(" {word:5}")),
            words(SAID, 4, big_endian, 8, |word| format!(" {word:10}")),
        ] {
            assert_eq!(bytes(&text).as_deref(), Ok(SAID), "{text}");
        }
    }
    // If neither order makes more sense, none is taken.
    let digits = words(b"0123456789abcdef", 2, false, 8, |word| format!(" {word:04x}"));
    assert!(bytes(&digits).unwrap_err().contains("nothing tells in which order"), "{digits}");
}

#[test]
fn bytes_are_read_in_any_base() {
    for text in [
        words(SAID, 1, true, 8, |byte| format!(" {byte:03o}")),
        words(SAID, 1, true, 16, |byte| format!(" {byte:03o}")),
        words(SAID, 1, true, 8, |byte| format!(" {byte:3}")),
        words(SAID, 1, true, 8, |byte| format!(" {:4}", (byte as u8).cast_signed())),
        lines(0, SAID, 6, |at, line| {
            let bits: String = line.iter().map(|byte| format!(" {byte:08b}")).collect();
            format!("{at:08x}:{bits:54}  {}", column(line))
        }),
    ] {
        assert_eq!(bytes(&text).as_deref(), Ok(SAID), "{text}");
    }
}

#[test]
fn characters_below_their_digits_are_no_digits() {
    let dump = lines(0, SAID, 16, |at, line| {
        let digits: String = line.iter().map(|byte| format!("  {byte:02x}")).collect();
        let characters: String = line.iter().map(|byte| format!("   {}", column(&[*byte]))).collect();
        format!("{at:07o}{digits}\n       {characters}")
    });
    assert_eq!(bytes(&(dump + &format!("{:07o}\n", SAID.len()))).as_deref(), Ok(SAID));
}

#[test]
fn a_dump_that_does_not_tell_its_bytes_is_refused() {
    for (text, reason) in [
        ("0000000   L   I   S   T  \\r  \\n\n0000006\n", "od -c"),
        ("0000000   L   I   S   T  cr  nl\n0000006\n", "od -a"),
        ("   L   I   S   T  \\r  \\n\n", "od -c"),
        ("0000000   3.6298713e+12    3.356102e+09\n0000010\n", "od -c"),
        ("<Buffer 4c 49 53 54 ... 30 more bytes>", "left out"),
        ("[\n  76, 73, 83, 84, 13, 10,\n  ... 100 more items\n]", "left out"),
        (" 4c 49 53 54 0d 0a\n*\n 4c 49\n", "*"),
    ] {
        let refused = bytes(text).unwrap_err();
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

/// Each column of text here looks like one more group of digits.
#[test]
fn a_column_of_text_is_no_digits_whatever_it_says() {
    for said in [&b"LIST\r\nabcdefab12 is a dozen.dead"[..], b"12345678abcdefab", b"LIST\r\n  12", b"ab 12 cd"] {
        for (size, group) in [(16, 2), (16, 1), (16, 4), (8, 1), (8, 2), (6, 3)] {
            let xxd = lines(0, said, size, |at, line| {
                let hex: Vec<String> =
                    line.chunks(group).map(|group| group.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
                let width = size.div_ceil(group) * (2 * group + 1) - 1;
                format!("{at:08x}: {:width$}  {}", hex.join(" "), column(line))
            });
            assert_eq!(bytes(&xxd).as_deref(), Ok(said), "{xxd}");
        }
    }
}

#[test]
fn a_dump_may_begin_anywhere() {
    for start in [16, 0x100, 0x1_0000] {
        let xxd = lines(start, SAID, 16, |at, line| {
            let hex: Vec<String> =
                line.chunks(2).map(|pair| pair.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
            format!("{at:08x}: {:40} {}", hex.join(" "), column(line))
        });
        let od = lines(start, SAID, 16, |at, line| {
            let hex: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
            format!("{at:07o}{hex}")
        }) + &format!("{:07o}\n", start + SAID.len());
        for text in [&xxd, &od] {
            assert_eq!(bytes(text).as_deref(), Ok(SAID), "{text}");
        }
        // One line alone.
        let one = xxd.lines().next().unwrap();
        assert_eq!(bytes(one).as_deref(), Ok(&SAID[..16]), "{one}");
        // A line that is missing is noticed.
        let lines: Vec<&str> = xxd.lines().collect();
        assert!(bytes(&[lines[0], lines[2]].join("\n")).is_err());
    }
}

#[test]
fn languages_show_bytes_as_literals_and_lists() {
    let join = |between: &str, print: &dyn Fn(&u8) -> String| -> String {
        SAID.iter().map(print).collect::<Vec<_>>().join(between)
    };
    let decimal = join(", ", &|byte| byte.to_string());
    let python = String::from_utf8(SAID.escape_ascii().collect()).unwrap().replace("\\\"", "\"");
    for text in [
        format!("b'{python}'"),
        format!("bytearray(b'{python}')"),
        format!("b\"{}\"", SAID.escape_ascii()),
        format!("\"{}\"", SAID.escape_ascii()),
        format!("$'{python}'"),
        format!("b'{}'\nb'{}'", SAID[..9].escape_ascii(), SAID[9..].escape_ascii()),
        "\"LIST\\r\\nMESSAGE\\r\\n{\\\"username\\\":\\\"12 is ab\\\",\\\"x\\\":\\\"\\u00e9 dead beef 12\\\"}\"".into(),
        format!("[{decimal}]"),
        format!("[{}]", join(" ", &|byte| byte.to_string())),
        format!("[{}]", join(", ", &|byte| byte.cast_signed().to_string())),
        format!("unsigned char said[] = {{{decimal}}};"),
        format!("{{\"type\":\"Buffer\",\"data\":[{decimal}]}}"),
        format!("Uint8Array({}) [\n  {decimal}\n]", SAID.len()),
        format!("[]byte{{{}}}", join(", ", &|byte| format!("{byte:#x}"))),
        format!("[{}]", join(", ", &|byte| format!("{byte:x}"))),
        format!("[{}]", join(", ", &|byte| format!("{byte:02x}"))),
        format!("<Buffer {}>", join(" ", &|byte| format!("{byte:02x}"))),
        format!("0x{}", join("", &|byte| format!("{byte:02x}"))),
        join("-", &|byte| format!("{byte:02X}")),
        join(" ", &|byte| byte.to_string()),
    ] {
        assert_eq!(bytes(&text).as_deref(), Ok(SAID), "{text}");
    }
    // Texts that are no lists of bytes.
    for none in ["{\"a\": [1, 2, 3, 4]}", "[300, 73, 83, 84]", "'LI", "it's 'LIST'", "b'\\xzz'", "\"hello\""] {
        assert!(parse(none).is_none(), "{none}");
    }
}

#[test]
fn times_are_those_that_tcpdump_printed() {
    let time = |line: &str| {
        let text = format!("{line}\n\t0x0000:  4c49 5354 0d0a\n");
        parse(&text).unwrap().unwrap().blocks[0].time.nanoseconds()
    };
    let date = 1_700_000_000_123_456_000;
    assert_eq!(time("22:13:20.123456 IP 192.0.2.1.1 > 192.0.2.2.2: Flags [P.]"), Some(date % 86_400_000_000_000));
    assert_eq!(time("2023-11-14 22:13:20.123456 IP 192.0.2.1.1 > 192.0.2.2.2"), Some(date));
    assert_eq!(time("1700000000.123456 IP 192.0.2.1.1 > 192.0.2.2.2"), Some(date));
    assert_eq!(time("2023-11-14 22:13:20.123456789 IP 192.0.2.1.1 > 192.0.2.2.2"), Some(date + 789));
    for none in ["", "00:00:00.000000 IP 192.0.2.1.1", "    1 0.000000 192.0.2.1 → 192.0.2.2", "Frame 1: 60 bytes"] {
        assert_eq!(time(none), None, "{none}");
    }
}
