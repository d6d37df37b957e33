//! Where a JSON object or array ends, found without parsing it.

use memchr::memchr2;

/// How deep a payload may nest.
pub const MAX_DEPTH: u32 = 64;

/// Follows the brackets and strings of one object or array across any number of slices.
///
/// It remembers where it was, so every byte is looked at once however the stream is cut. What stands between the
/// brackets is not checked: that is the payload reader's work, once the end is known.
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

/// What a slice held. Indices count from the slice's start.
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

    /// Whether the bracket that is open is an array's, so that `]` closes it.
    pub(crate) fn in_array(&self) -> bool {
        let level = self.depth.saturating_sub(1);
        self.arrays >> level & 1 == 1
    }

    /// Looks at the next bytes. The first byte of all must be `{` or `[`.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.text {
                Text::Escape => {
                    self.text = Text::Inside;
                    at += 1;
                }
                Text::Inside => match memchr2(b'"', b'\\', rest) {
                    Some(found) => {
                        let quote = rest.get(found) == Some(&b'"');
                        self.text = if quote { Text::Outside } else { Text::Escape };
                        at += found + 1;
                    }
                    None => return Scan::More,
                },
                Text::Outside => {
                    let marks = |&(_, byte): &(usize, &u8)| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
                    let Some((found, &byte)) = rest.iter().enumerate().find(marks) else {
                        return Scan::More;
                    };
                    let index = at + found;
                    at = index + 1;
                    match byte {
                        b'"' => self.text = Text::Inside,
                        b'{' | b'[' => {
                            if self.depth == MAX_DEPTH {
                                return Scan::TooDeep(index);
                            }
                            let bit = 1 << self.depth;
                            self.arrays = if byte == b'[' { self.arrays | bit } else { self.arrays & !bit };
                            self.depth += 1;
                        }
                        _ => {
                            if self.in_array() != (byte == b']') {
                                return Scan::Mismatch(index);
                            }
                            self.depth = self.depth.saturating_sub(1);
                            if self.depth == 0 {
                                return Scan::End(index + 1);
                            }
                        }
                    }
                }
            }
        }
        Scan::More
    }
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
