//! Hexadecimal dumps, as people paste them.
//!
//! Known are `hexdump -C`, `hexdump`, `xxd`, `xxd -p`, `od` with its bytes in base 16 or its words in base 8, `tcpdump
//! -x` and `-X`, and what Wireshark copies: hex dump, hex stream, escaped string, C array, and the hex dump of a
//! followed stream, in which the server's lines are indented.

use super::Wrong;

/// The longest text that is read as a dump.
pub(super) const MAX_TEXT: usize = 256 << 20;

/// How far `*` may repeat a line.
const MAX_BYTES: usize = 16 << 20;

/// Bytes that stood in a dump.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Dump {
    /// Each dump that starts over at its offset 0 is one block.
    pub(super) blocks: Vec<Piece>,
    pub(super) form: Form,
}

/// One block of a dump.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Its lines are indented, as Wireshark shows what the server said.
    pub(super) indented: bool,
    /// The time of day that tcpdump printed before it, in milliseconds.
    pub(super) time: Option<f64>,
}

/// How a dump is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing but digits.
    #[default]
    Plain,
    /// Each byte is `0x4c` or `\x4c`.
    Escaped,
    /// Lines with offsets.
    Offsets,
    /// Lines with offsets and words of 16 bits, the low byte first.
    Words,
    /// Lines with offsets and words of 16 bits in base 8, the low byte first.
    OctalWords,
}

impl Form {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Plain => "hexadecimal digits",
            Self::Escaped => "escaped bytes",
            Self::Offsets => "a hex dump",
            Self::Words => "a hex dump of 16-bit words, the low byte first",
            Self::OctalWords => "an octal dump of 16-bit words, the low byte first",
        }
    }
}

/// Whether a text looks like a dump: `None` if it does not, an error if it does and is none.
pub(super) fn parse(text: &str) -> Option<Result<Dump, Wrong>> {
    if let Some(bytes) = plain(text) {
        return Some(Ok(one(bytes, Form::Plain)));
    }
    if let Some(bytes) = escaped(text) {
        return Some(Ok(one(bytes, Form::Escaped)));
    }
    let base = offsets_base(text)?;
    Some(Reader::new(base).read(text))
}

fn one(bytes: Vec<u8>, form: Form) -> Dump {
    Dump { blocks: vec![Piece { bytes, ..Piece::default() }], form }
}

/// Nothing but pairs of digits; spaces, colons, dashes, commas and line ends may stand between them.
fn plain(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for token in text.split(|char: char| char.is_ascii_whitespace() || matches!(char, ':' | '-' | ',' | ';')) {
        if !token.is_empty() {
            pairs(token, &mut bytes)?;
        }
    }
    // Two words that are hexadecimal by accident are no dump.
    (bytes.len() > 1).then_some(bytes)
}

/// Bytes written as `0x4c` or `\x4c`, with what C or a shell puts around them.
fn escaped(text: &str) -> Option<Vec<u8>> {
    let marks = text.matches("0x").count().max(text.matches("\\x").count());
    if marks < 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(marks);
    for (index, part) in text.split("\\x").flat_map(|part| part.split("0x")).enumerate() {
        if index == 0 {
            // What stands before the first byte: a declaration, a quote.
            continue;
        }
        let digits = part.get(..2)?;
        pairs(digits, &mut bytes)?;
        let after = part.get(2..).unwrap_or_default();
        let is_punctuation = |char: char| {
            char.is_ascii_whitespace()
                || matches!(char, ',' | ';' | '"' | '\'' | '\\' | '{' | '}' | '[' | ']' | '(' | ')')
        };
        let after = after.split("/*").next().unwrap_or_default();
        if !after.chars().all(is_punctuation) {
            return None;
        }
    }
    (bytes.len() == marks).then_some(bytes)
}

/// Adds the bytes of an even number of digits.
fn pairs(token: &str, bytes: &mut Vec<u8>) -> Option<()> {
    if !token.len().is_multiple_of(2) {
        return None;
    }
    for pair in token.as_bytes().chunks_exact(2) {
        let [high, low] = pair else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(())
}

fn digit(char: u8) -> Option<u8> {
    char::from(char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The base in which the offsets at the starts of the lines count. The first lines tell.
fn offsets_base(text: &str) -> Option<u32> {
    let mut lines = text.lines().map(str::trim_end).filter_map(Line::of);
    let first = lines.next().filter(|first| !first.repeats)?;
    let second = lines.next().filter(|second| !second.repeats);
    if number(first.offset, 16)? != 0 || first.groups().next().is_none() {
        return None;
    }
    let count = first.bytes(usize::MAX).len() as u64;
    let fits = |base: &u32| {
        let second = second.and_then(|second| number(second.offset, *base));
        second.is_some_and(|offset| offset > 0 && offset.is_multiple_of(2) && offset <= count)
    };
    // Where it does not tell: od counts in base 8, and of what looks the same otherwise only hexdump's words do not.
    let usual = match first.form() {
        Form::OctalWords => 8,
        Form::Offsets if first.offset.len() == 7 && !first.colon => 8,
        _ => 16,
    };
    Some([16, 8, 10].into_iter().find(fits).unwrap_or(usual))
}

fn number(digits: &str, base: u32) -> Option<u64> {
    u64::from_str_radix(digits, base).ok()
}

/// A line of a dump that has offsets.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    indented: bool,
    /// The `*` that stands for lines like the one before.
    repeats: bool,
    offset: &'a str,
    /// What ends the offset is a colon, as in xxd and tcpdump: their words have the high byte first.
    colon: bool,
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let trimmed = line.trim_start();
        // tcpdump indents by a tab.
        let indented = line.starts_with("  ");
        if trimmed.trim_end() == "*" {
            return Some(Self { indented, repeats: true, offset: "", colon: false, rest: "" });
        }
        let (first, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        let digits = first.strip_prefix("0x").unwrap_or(first);
        let offset = digits.strip_suffix(':').unwrap_or(digits);
        let is_offset = offset.len() >= 4 && offset.len() <= 16 && offset.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_offset.then_some(Self { indented, repeats: false, offset, colon: digits.len() > offset.len(), rest })
    }

    /// The groups of digits, up to where the text column can begin.
    fn groups(self) -> impl Iterator<Item = &'a str> {
        let rest = self.rest.trim_start();
        // A column of text is set apart by more than one space, or by | or >.
        let mut at = 0;
        let mut count = 0;
        let mut width = None;
        std::iter::from_fn(move || {
            let tail = rest.get(at..)?;
            let spaces = tail.bytes().take_while(|byte| *byte == b' ').count();
            let tail = tail.get(spaces..)?;
            let token = tail.split(' ').next().filter(|token| !token.is_empty())?;
            // In the middle of a line of 16 there may be two spaces, and nowhere else.
            if count > 0 && spaces > 1 && (spaces > 2 || count != 8) {
                return None;
            }
            let fits = match width {
                None => matches!(token.len(), 2 | 4 | 6 | 8),
                // The last word of a line may be cut.
                Some(width) => token.len() == width || token.len() < width && token.len().is_multiple_of(2),
            };
            if !fits || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            width = width.or(Some(token.len()));
            count += 1;
            at += spaces + token.len();
            Some(token)
        })
    }

    fn form(self) -> Form {
        let mut groups = self.groups().peekable();
        match groups.peek().map(|first| first.len()) {
            Some(6) if groups.all(|word| number(word, 8).is_some_and(|word| word <= 0xffff)) => Form::OctalWords,
            Some(4) if !self.colon && self.offset.len() >= 7 => Form::Words,
            _ => Form::Offsets,
        }
    }

    fn bytes(self, most: usize) -> Vec<u8> {
        let form = self.form();
        let mut bytes = Vec::new();
        for group in self.groups() {
            match form {
                Form::OctalWords | Form::Words => {
                    let base = if form == Form::Words { 16 } else { 8 };
                    let word = number(group, base).and_then(|word| u16::try_from(word).ok()).unwrap_or_default();
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                Form::Plain | Form::Escaped | Form::Offsets => {
                    if pairs(group, &mut bytes).is_none() {
                        break;
                    }
                }
            }
            if bytes.len() >= most {
                break;
            }
        }
        bytes.truncate(most);
        bytes
    }
}

struct Reader {
    base: u32,
    dump: Dump,
    /// The bytes of the line before, which `*` repeats.
    last: Vec<u8>,
    repeating: bool,
    time: Option<f64>,
}

impl Reader {
    fn new(base: u32) -> Self {
        Self {
            base,
            dump: Dump { blocks: Vec::new(), form: Form::Offsets },
            last: Vec::new(),
            repeating: false,
            time: None,
        }
    }

    fn read(mut self, text: &str) -> Result<Dump, Wrong> {
        let mut place = 0;
        // A line has as many bytes as the next line's offset says; what is in the text column may look like more.
        let mut lines = text.split_inclusive('\n').peekable();
        while let Some(line) = lines.next() {
            let next = lines.peek().copied();
            self.line(line, next).map_err(|wrong| wrong.at(place))?;
            place += line.len() as u64;
        }
        self.dump.blocks.retain(|block| !block.bytes.is_empty());
        Ok(self.dump)
    }

    fn line(&mut self, text: &str, next: Option<&str>) -> Result<(), Wrong> {
        let Some(line) = Line::of(text.trim_end()) else {
            self.time = time_of_day(text).or(self.time);
            return Ok(());
        };
        if line.repeats {
            self.repeating = true;
            return Ok(());
        }
        let Some(offset) = number(line.offset, self.base) else {
            return Err(format!("'{}' is no offset in base {}", line.offset, self.base).into());
        };
        let sizes: [usize; 2] = [false, true].map(|indented| self.size(indented));
        // A followed stream counts each side on its own.
        let size = if line.indented { sizes[1] } else { sizes[0] } as u64;
        if offset == 0 && (size > 0 || self.dump.blocks.is_empty()) || self.begins(line.indented) && offset == size {
            let time = self.time.take();
            self.dump.blocks.push(Piece { bytes: Vec::new(), indented: line.indented, time });
            if offset == 0 {
                self.repeating = false;
            }
        }
        self.repeat(offset, line.indented)?;
        let start = if offset == 0 { 0 } else { self.size(line.indented) as u64 };
        if offset != start {
            return Err(format!("the line's offset is {offset:#x}, and there are {start:#x} bytes before it").into());
        }
        let most = next
            .and_then(|next| Line::of(next.trim_end()))
            .filter(|next| !next.repeats && next.indented == line.indented)
            .and_then(|next| number(next.offset, self.base)?.checked_sub(offset))
            .filter(|most| *most > 0);
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let bytes = line.bytes(most);
        if let form @ (Form::Words | Form::OctalWords) = line.form() {
            self.dump.form = form;
        }
        if let Some(block) = self.dump.blocks.last_mut() {
            block.bytes.extend_from_slice(&bytes);
        }
        self.last = bytes;
        Ok(())
    }

    /// Whether a line of this indentation begins a block because the last one has the other.
    fn begins(&self, indented: bool) -> bool {
        self.dump.blocks.last().is_some_and(|block| block.indented != indented)
    }

    /// How many bytes the dump that a line of this indentation belongs to has.
    fn size(&self, indented: bool) -> usize {
        let followed = self.dump.blocks.iter().any(|block| block.indented)
            && self.dump.blocks.iter().any(|block| !block.indented)
            || self.begins(indented);
        if followed {
            let side = self.dump.blocks.iter().filter(|block| block.indented == indented);
            return side.map(|block| block.bytes.len()).sum();
        }
        self.dump.blocks.last().map_or(0, |block| block.bytes.len())
    }

    fn repeat(&mut self, offset: u64, indented: bool) -> Result<(), Wrong> {
        if !std::mem::take(&mut self.repeating) || self.last.is_empty() {
            return Ok(());
        }
        let missing = offset.saturating_sub(self.size(indented) as u64);
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let total: usize = self.dump.blocks.iter().map(|block| block.bytes.len()).sum();
        if missing > MAX_BYTES.saturating_sub(total) {
            return Err(format!("the * before offset {offset:#x} stands for more than {MAX_BYTES} bytes").into());
        }
        if let Some(block) = self.dump.blocks.last_mut() {
            block.bytes.extend(self.last.iter().cycle().take(missing));
        }
        Ok(())
    }
}

/// The time of day at the start of a line, as tcpdump prints it: `12:34:56.789012`.
fn time_of_day(line: &str) -> Option<f64> {
    let time = line.split_ascii_whitespace().next()?;
    let (hours, rest) = time.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds: f64 = seconds.parse().ok().filter(|seconds| (0.0..61.0).contains(seconds))?;
    (hours < 24 && minutes < 60).then(|| (f64::from(hours * 3600 + minutes * 60) + seconds) * 1000.0)
}

#[cfg(test)]
mod tests {
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
        let text =
            "00000000  4c 49 53 54 0d 0a 4c 49  53 54 0d 0a 4c 49 53 54  |..|\n00000030  0d 0a  |..|\n00000032\n";
        let wrong = parse(text).unwrap().unwrap_err();
        assert_eq!(wrong.at, Some(65), "{wrong:?}");
    }

    #[test]
    fn what_each_tool_prints_is_read() {
        // Each line as the tool lays it out: this is the tools' format, written by hand.
        let hexdump: String = lines(STREAM, |offset, line| {
            let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let (a, b) = hex.split_at(hex.len().min(8));
            format!("{offset:08x}  {:<24} {:<24} |{}|\n", a.join(" "), b.join(" "), text_of(line))
        }) + &format!("{:08x}\n", STREAM.len());
        let xxd = lines(STREAM, |offset, line| {
            let hex: Vec<String> =
                line.chunks(2).map(|pair| pair.iter().map(|b| format!("{b:02x}")).collect()).collect();
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
}
