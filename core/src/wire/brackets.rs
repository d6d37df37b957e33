//! Finds the end of a JSON object or array without parsing it.

use core::{iter, ops::ControlFlow};

use memchr::memchr2;

/// The number of bytes that are scanned together.
const BLOCK: usize = 64;

/// The deepest nesting of a payload.
pub const MAX_DEPTH: u32 = 64;

/// A scanner of the brackets and strings of one object or array, across any number of slices.
///
/// It remembers where it was, so every byte is looked at once however the stream is cut. The text between the brackets
/// is not checked: that is the payload reader's work, once the end is known.
#[derive(Clone, Debug)]
pub(crate) struct Brackets {
    /// Bit `i` says that level `i` is an array.
    arrays: u64,
    depth: u32,
    text: Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// Inside, and the last byte was a backslash that escapes the next.
    Escape,
}

/// The result of scanning a slice. Indices count from the slice's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The slice ran out first.
    More,
    /// The closing bracket is the byte before this index.
    End(usize),
    /// The byte at this index closes another bracket than the one that is open.
    Mismatch(usize),
    /// The bracket at this index opens a level too many.
    TooDeep(usize),
}

impl Brackets {
    pub(crate) const fn new() -> Self {
        Self { arrays: 0, depth: 0, text: Text::Outside }
    }

    /// Returns whether the bracket that is open is an array's, so that `]` closes it.
    pub(crate) fn in_array(&self) -> bool {
        let level = self.depth.saturating_sub(1);
        self.arrays >> level & 1 == 1
    }

    /// Looks at the next bytes. The first byte of all must be `{` or `[`.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let looked_at = match rest.first_chunk::<BLOCK>() {
                Some(block) => match self.block(block, at) {
                    ControlFlow::Continue(marks) if marks || self.text != Text::Inside => BLOCK,
                    ControlFlow::Continue(_) => {
                        // A long text, most likely: nothing finds its end faster.
                        let after = rest.get(BLOCK..).unwrap_or_default();
                        BLOCK + memchr2(b'"', b'\\', after).unwrap_or(after.len())
                    }
                    ControlFlow::Break(scan) => return scan,
                },
                None => match self.bytes(rest, at) {
                    ControlFlow::Continue(()) => rest.len(),
                    ControlFlow::Break(scan) => return scan,
                },
            };
            at += looked_at;
        }
        Scan::More
    }

    /// Looks at these bytes, which start at the index `at`, one by one.
    fn bytes(&mut self, bytes: &[u8], at: usize) -> ControlFlow<Scan> {
        for (index, byte) in (at..).zip(bytes) {
            match (self.text, byte) {
                (Text::Outside, b'"') | (Text::Escape, _) => self.text = Text::Inside,
                (Text::Outside, _) => self.bracket(*byte, index)?,
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, b'\\') => self.text = Text::Escape,
                (Text::Inside, _) => {}
            }
        }
        ControlFlow::Continue(())
    }

    /// Looks at a block, which starts at the index `at`, all bytes at once. Returns whether it has anything but plain
    /// text. Bit `i` of a mask is the block's byte `i`.
    fn block(&mut self, block: &[u8; BLOCK], at: usize) -> ControlFlow<Scan, bool> {
        let marks = mask(block, is_mark);
        let mut escaped = u64::from(self.text == Text::Escape);
        let mut escape_goes_on = false;
        for index in ones(marks) {
            if block.get(index) == Some(&b'\\') && escaped >> index & 1 == 0 {
                escape_goes_on = index == BLOCK - 1;
                escaped |= 1 << index << 1;
            }
        }
        let quotes = mask(block, |byte| byte == b'"') & !escaped;
        // Inside from each opening quote up to the byte before the closing one.
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        if self.text != Text::Outside {
            inside = !inside;
        }
        for index in ones(marks & !inside) {
            match block.get(index).copied().unwrap_or_default() {
                b'\\' => {
                    // It escapes nothing outside of a text, so the masks are wrong after it.
                    self.text = Text::Outside;
                    let rest = block.get(index..).unwrap_or_default();
                    return self.bytes(rest, at + index).map_continue(|()| true);
                }
                byte => self.bracket(byte, at + index)?,
            }
        }
        self.text = match inside >> (BLOCK - 1) {
            _ if escape_goes_on => Text::Escape,
            0 => Text::Outside,
            _ => Text::Inside,
        };
        ControlFlow::Continue(quotes | marks != 0)
    }

    /// Takes the byte at this index, outside of any text.
    fn bracket(&mut self, byte: u8, index: usize) -> ControlFlow<Scan> {
        match byte {
            b'{' | b'[' => {
                if self.depth == MAX_DEPTH {
                    return ControlFlow::Break(Scan::TooDeep(index));
                }
                let bit = 1 << self.depth;
                self.arrays = if byte == b'[' { self.arrays | bit } else { self.arrays & !bit };
                self.depth += 1;
            }
            b'}' | b']' => {
                if self.in_array() != (byte == b']') {
                    return ControlFlow::Break(Scan::Mismatch(index));
                }
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return ControlFlow::Break(Scan::End(index + 1));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Returns whether it is a bracket, a brace or a backslash; or `|`, which one comparison cannot tell from them.
const fn is_mark(byte: u8) -> bool {
    // In ASCII each bracket is 0x20 below its brace, and the backslash and the bar stand between them.
    matches!(byte | 0x20, b'{'..=b'}')
}

/// Returns the indices of the bits that are set, lowest first.
fn ones(mut mask: u64) -> impl Iterator<Item = usize> {
    iter::from_fn(move || {
        let index = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (index < BLOCK).then_some(index)
    })
}

/// Returns the bytes of a block that are such, as a mask: bit `i` is byte `i`.
fn mask(block: &[u8; BLOCK], is_such: impl Fn(u8) -> bool) -> u64 {
    // Written so that the compiler compares many bytes at once: one byte of 0 or 1 for each, then eight of them
    // gathered into eight bits by one multiplication.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let such = block.map(|byte| u8::from(is_such(byte)));
    let (words, _) = such.as_chunks::<8>();
    let octets = words.iter().map(|word| u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56);
    octets.zip(0..).fold(0, |mask, (octet, index)| mask | octet << (8 * index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    #[test]
    fn an_object_ends_at_the_brace_that_closes_it() {
        assert_eq!(Brackets::new().scan(br#"{"a": "}\"}", "b": [{}]}tail"#), Scan::End(24));
    }

    #[test]
    fn every_cut_gives_the_same_end() {
        let bytes = br#"{"a\\": "\"}]\u007d", "b": [[{}], "]"]}"#;
        for cut in 0..bytes.len() {
            let mut brackets = Brackets::new();
            assert_eq!(brackets.scan(&bytes[..cut]), Scan::More, "cut at {cut}");
            assert_eq!(brackets.scan(&bytes[cut..]), Scan::End(bytes.len() - cut), "cut at {cut}");
        }
    }

    /// Returns streams of the bytes that matter to the scan, thick and thin, the same in every run.
    fn streams() -> impl Iterator<Item = Vec<u8>> {
        let mut state = 1_u64;
        let mut next = move |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        (0..4000).map(move |_| {
            let (length, plain) = (next(600), next(30).pow(2));
            // Some levels are open from the start, so that the scan gets far.
            let mut stream = b"[[[[[[[[".to_vec();
            stream.extend((0..length).map(|_| match next(8 + plain) {
                0 | 1 => b'[',
                2 | 3 => b']',
                4 | 5 => b'"',
                6 => b'\\',
                7 => [b'{', b'}', b'|'][next(3) as usize],
                _ => b'a',
            }));
            stream
        })
    }

    #[test]
    fn blocks_say_what_byte_by_byte_says() {
        let mut ends = 0;
        for stream in streams() {
            let mut naive = Brackets::new();
            let expected = match naive.bytes(&stream, 0) {
                ControlFlow::Continue(()) => Scan::More,
                ControlFlow::Break(scan) => scan,
            };
            ends += usize::from(expected != Scan::More);
            for cut in [0, 1, 63, 64, 65, 100, stream.len()] {
                let (before, after) = stream.split_at(cut.min(stream.len()));
                let mut brackets = Brackets::new();
                let scan = match brackets.scan(before) {
                    Scan::More => brackets.scan(after).later(before.len()),
                    decided => decided,
                };
                assert_eq!(scan, expected, "cut at {cut}: {}", stream.escape_ascii());
                if expected == Scan::More {
                    let state = |brackets: &Brackets| (brackets.text, brackets.depth, brackets.arrays);
                    assert_eq!(state(&brackets), state(&naive), "cut at {cut}: {}", stream.escape_ascii());
                }
            }
        }
        assert!((500..3500).contains(&ends), "{ends} of the streams decide anything");
    }

    #[test]
    fn an_escaped_quote_at_the_start_of_a_plain_block_ends_nothing() {
        let stream = [b"[\"", &[b'a'; 61][..], b"\\", b"\"", &[b'a'; 100], b"\"]"].concat();
        assert_eq!(stream.iter().position(|byte| *byte == b'\\'), Some(BLOCK - 1));
        assert_eq!(Brackets::new().scan(&stream), Scan::End(stream.len()));
    }

    impl Scan {
        fn later(self, by: usize) -> Self {
            match self {
                Self::More => Self::More,
                Self::End(index) => Self::End(index + by),
                Self::Mismatch(index) => Self::Mismatch(index + by),
                Self::TooDeep(index) => Self::TooDeep(index + by),
            }
        }
    }

    #[test]
    fn a_wrong_bracket_is_named_where_it_stands() {
        assert_eq!(Brackets::new().scan(b"{\"a\": [}"), Scan::Mismatch(7));
        assert_eq!(Brackets::new().scan(b"[]"), Scan::End(2));
        assert_eq!(Brackets::new().scan(b"{]"), Scan::Mismatch(1));
    }

    #[test]
    fn sixty_four_levels_pass_and_one_more_does_not() {
        let open: Vec<u8> = vec![b'['; 64];
        let close: Vec<u8> = vec![b']'; 64];
        assert_eq!(Brackets::new().scan(&[open.clone(), close].concat()), Scan::End(128));
        assert_eq!(Brackets::new().scan(&[open, vec![b'{']].concat()), Scan::TooDeep(64));
    }
}
