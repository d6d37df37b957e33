//! One line of a dump with offsets.

use super::form::Form;

/// A line of a dump with offsets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) indented: bool,
    /// Whether the line is `*`, which repeats the line before.
    pub(super) repeats: bool,
    pub(super) offset: &'a str,
    /// Whether a colon ends the offset, as in xxd and tcpdump.
    pub(super) colon: bool,
    rest: &'a str,
}

/// The layout of the groups of digits in all lines of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Layout {
    pub(super) form: Form,
    /// The base in which offsets count.
    pub(super) base: u32,
    /// The most digits of a group.
    pub(super) width: usize,
    /// Whether groups are separated by several spaces. Then only a column of text in `>` and `<` can follow.
    pub(super) wide: bool,
    /// The number of groups in the first line.
    pub(super) count: usize,
    /// Whether every line's length matches the next offset, so that the digits are certainly offsets.
    pub(super) is_certain: bool,
}

pub(super) fn number(digits: &str, base: u32) -> Option<u64> {
    u64::from_str_radix(digits, base).ok()
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a str) -> Option<Self> {
        let trimmed = line.trim_start();
        // tcpdump indents all lines by a tab, Wireshark the server's by spaces, and tshark by a tab.
        let indented = line.starts_with("  ") || line.starts_with('\t') && !trimmed.starts_with("0x");
        if trimmed.trim_end() == "*" {
            return Some(Self { indented, repeats: true, offset: "", colon: false, rest: "" });
        }
        let (first, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        let digits = first.strip_prefix("0x").unwrap_or(first);
        let offset = digits.strip_suffix(':').unwrap_or(digits);
        let is_offset = offset.len() >= 4 && offset.len() <= 16 && offset.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_offset.then_some(Self { indented, repeats: false, offset, colon: digits.len() > offset.len(), rest })
    }

    /// Returns the words after the offset.
    pub(super) fn words(self) -> impl Iterator<Item = &'a str> {
        self.rest.split_ascii_whitespace()
    }

    /// Returns the number of spaces before the second group.
    pub(super) fn gap(self) -> usize {
        let rest = self.rest.trim_start();
        let after = rest.split_once(' ').map_or("", |(_, after)| after);
        1 + after.bytes().take_while(|byte| *byte == b' ').count()
    }

    /// Returns the groups before the column of text, which begins after more than one space, or with | or >.
    pub(super) fn groups(self, layout: Layout) -> impl Iterator<Item = &'a str> {
        let Layout { form, width, wide, count: most, .. } = layout;
        let rest = self.rest.trim_start();
        let (mut at, mut count) = (0, 0);
        std::iter::from_fn(move || {
            let tail = rest.get(at..)?;
            let spaces = tail.bytes().take_while(|byte| *byte == b' ').count();
            let tail = tail.get(spaces..)?;
            let token = tail.split(' ').next().filter(|token| !token.is_empty())?;
            // An incomplete last word of swapped bytes lacks its first digits.
            let is_cut = self.colon && form.is_swapped() && count < most && spaces + token.len() == width + 1;
            // Two spaces may stand only between the eighth and the ninth of 16 bytes.
            let is_middle = spaces == 2 && count == 8 && width == 2 && !self.colon;
            if count > 0 && spaces > 1 && !wide && !is_middle && !is_cut {
                return None;
            }
            if token.len() > width || form.read(token).is_none() {
                return None;
            }
            count += 1;
            at += spaces + token.len();
            Some(token)
        })
    }

    pub(super) fn bytes(self, layout: Layout, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for group in self.groups(layout) {
            if bytes.len() >= most {
                break;
            }
            bytes.extend(layout.form.read(group).unwrap_or_default());
        }
        bytes.truncate(most);
        bytes
    }

    /// Returns whether the column of text matches the bytes in this layout; `None` without a column.
    pub(super) fn says(self, layout: Layout) -> Option<bool> {
        let mut end = 0;
        for group in self.groups(layout) {
            end = group.as_ptr() as usize + group.len() - self.rest.as_ptr() as usize;
        }
        let column = self.rest.get(end..)?.trim();
        let bytes = self.bytes(layout, usize::MAX);
        let text: String =
            bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect();
        let column = match column.chars().next()? {
            mark @ ('|' | '>') if column.len() > 1 => {
                let end = if mark == '|' { '|' } else { '<' };
                column.strip_prefix(mark).and_then(|inside| inside.strip_suffix(end)).unwrap_or(column)
            }
            _ => column,
        };
        Some(column.trim() == text.trim())
    }
}
