//! A line of a dump that has offsets, and how all lines are written.

use super::{Form, digits::pairs};

/// How the lines of a dump are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The base in which offsets count.
    pub(super) base: u32,
    pub(super) form: Form,
    /// How many digits a group has, and how many groups a line has.
    groups: (usize, usize),
    /// Every line has as many bytes as the next offset says, so that they are offsets for sure.
    pub(super) is_certain: bool,
}

/// A line of a dump that has offsets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) indented: bool,
    /// The `*` that stands for lines like the one before.
    pub(super) repeats: bool,
    pub(super) offset: &'a str,
    /// What ends the offset is a colon, as in xxd and tcpdump: their words have the high byte first, but for `xxd -e`.
    colon: bool,
    rest: &'a str,
}

/// How the lines are written, if the first one can be of a dump. All of them tell in which base the offsets count.
pub(super) fn layout(text: &str) -> Option<Layout> {
    let lines = || text.lines().map(str::trim_end).filter_map(Line::of);
    let first = lines().next().filter(|first| !first.repeats)?;
    if number(first.offset, 16)? != 0 {
        return None;
    }
    let (mut width, mut count) = (0, 0);
    for group in first.groups(None) {
        width = width.max(group.len());
        count += 1;
    }
    // A line that is the only one may not be whole.
    let groups = (width, count.max(32 / width.max(1)));
    let layout = |form| Layout { base: 16, form, groups, is_certain: false };
    let is_octal = || first.groups(None).all(|word| number(word, 8).is_some_and(|word| word <= 0xffff));
    let form = match width {
        0 => return None,
        6 if is_octal() => Form::OctalWords,
        // The high byte first would read as something else than the column of text says.
        4 | 8 | 16 if first.colon => {
            let swapped = layout(Form::Words(width / 2));
            let tells = lines().find_map(|line| {
                let (straight, swapped) = (line.says(layout(Form::Offsets)), line.says(swapped));
                (straight != swapped).then_some(swapped)
            });
            if tells == Some(true) { Form::Words(width / 2) } else { Form::Offsets }
        }
        4 | 8 | 16 if first.offset.len() >= 6 => Form::Words(width / 2),
        _ => Form::Offsets,
    };
    let layout = layout(form);
    // Where nothing tells: od counts in base 8, and of what looks the same otherwise only hexdump's words do not.
    let usual = match form {
        Form::OctalWords => 8,
        Form::Offsets if first.offset.len() == 7 && !first.colon => 8,
        _ => 16,
    };
    // od fills up its last word.
    let word = match form {
        Form::Words(bytes) => bytes as u64,
        Form::OctalWords => 2,
        Form::Plain | Form::Escaped | Form::Offsets => 1,
    };
    let bases = [usual, 16, 8, 10];
    let mut wrong = [0_u64; 4];
    let mut steps = 0_u64;
    let mut before: Option<Line<'_>> = None;
    for line in lines() {
        if let Some(before) =
            before.filter(|before| before.indented == line.indented && !before.repeats && !line.repeats)
        {
            let has = before.bytes(layout, usize::MAX).len() as u64;
            steps += 1;
            for (base, wrong) in bases.iter().zip(&mut wrong) {
                *wrong += match (number(before.offset, *base), number(line.offset, *base)) {
                    (_, Some(0)) => 0,
                    (Some(from), Some(to)) if to >= from && to - from <= has && has - (to - from) < word => 0,
                    // What is in the column of text may look like more.
                    (Some(from), Some(to)) if to >= from && to - from < has => 1,
                    _ => 1 << 20,
                };
            }
        }
        before = Some(line);
    }
    let (base, wrong) = bases.into_iter().zip(wrong).min_by_key(|(_, wrong)| *wrong)?;
    Some(Layout { base, is_certain: wrong == 0 && steps > 0, ..layout })
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

    /// The groups of digits, up to where the text column can begin.
    fn groups(self, layout: Option<Layout>) -> impl Iterator<Item = &'a str> {
        let rest = self.rest.trim_start();
        // A column of text is set apart by more than one space, or by | or >.
        let mut at = 0;
        let mut count = 0;
        let mut width = layout.map(|layout| layout.groups.0);
        std::iter::from_fn(move || {
            let tail = rest.get(at..)?;
            let spaces = tail.bytes().take_while(|byte| *byte == b' ').count();
            let tail = tail.get(spaces..)?;
            let token = tail.split(' ').next().filter(|token| !token.is_empty())?;
            // Where the low byte comes last, the last word is cut at its front.
            let is_cut = self.colon
                && layout.is_some_and(|Layout { form, groups: (width, most), .. }| {
                    matches!(form, Form::Words(_)) && count < most && spaces + token.len() == width + 1
                });
            // In the middle of a line of 16 there may be two spaces, and nowhere else.
            if count > 0 && spaces > 1 && (spaces > 2 || count != 8) && !is_cut {
                return None;
            }
            let fits = match width {
                None => matches!(token.len(), 2 | 4 | 6 | 8 | 16),
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

    pub(super) fn bytes(self, layout: Layout, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for group in self.groups(Some(layout)) {
            let start = bytes.len();
            match layout.form {
                Form::OctalWords => {
                    let word = number(group, 8).and_then(|word| u16::try_from(word).ok()).unwrap_or_default();
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
                Form::Plain | Form::Escaped | Form::Offsets | Form::Words(_) => {
                    if pairs(group, &mut bytes).is_none() {
                        break;
                    }
                    if matches!(layout.form, Form::Words(_)) {
                        bytes.get_mut(start..).unwrap_or_default().reverse();
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

    /// Whether the column of text says what the bytes are, read so.
    fn says(self, layout: Layout) -> bool {
        let bytes = self.bytes(layout, usize::MAX);
        let text = bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' });
        self.rest.trim_end().ends_with(text.collect::<String>().trim_end())
    }
}
