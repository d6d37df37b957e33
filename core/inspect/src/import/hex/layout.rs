//! Detection of the form of a dump with offsets, by all its lines.

use super::{
    form::{Form, Group},
    line::{Layout, Line, number},
};
use crate::{guess_direction, import::link};

/// The form that the lines of a text tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detected {
    /// It is no dump.
    Nothing,
    Layout(Layout),
    /// A text that cannot be read.
    Refusal {
        reason: &'static str,
        /// Whether the offsets show that it is a dump. If not, it may still be something else.
        is_dump: bool,
    },
}

/// The quality of a layout's fit.
#[derive(Clone, Copy, Debug)]
struct Fit {
    layout: Layout,
    /// The number of lines whose column of text contradicts it.
    contradicted: usize,
    /// The number of lines whose column of text confirms it.
    confirmed: usize,
}

/// The number of bytes that are compared to choose between two readings.
const LOOKED_AT: usize = 4096;

/// Pairs of bytes that are common in the protocol, and hardly ever the other way round.
const PAIRS: [&[u8; 2]; 8] = [b"\r\n", b"{\"", b"\"}", b"\":", b": ", b", ", b"\",", b"e\""];

/// Returns the layout of the lines, if the first one can be of a dump.
pub(super) fn layout(text: &str) -> Detected {
    let lines = || text.lines().map(str::trim_end).filter_map(Line::of);
    let Some(first) = lines().next().filter(|first| !first.repeats) else { return Detected::Nothing };
    let forms = forms(first);
    let starts = number(first.offset, 16) == Some(0);
    let mut fits: Vec<Fit> = forms.iter().filter_map(|(form, width)| fit(text, first, *form, *width)).collect();
    // Lines that do not start at offset 0 must be a dump for sure: any text may begin with four digits.
    fits.retain(|fit| starts || fit.layout.is_certain || fit.confirmed > 0 && fit.contradicted == 0);
    // xxd has the low byte first only where a column of text follows.
    fits.retain(|fit| !(first.colon && fit.layout.form.is_swapped() && fit.confirmed == 0));
    if fits.is_empty() {
        return if is_dump(text, first) {
            Detected::Refusal { reason: UNSUPPORTED, is_dump: true }
        } else {
            Detected::Nothing
        };
    }
    // Only layouts that fit as well as the best one can be meant.
    let best = fits.iter().map(Fit::rank).max();
    fits.retain(|fit| Some(fit.rank()) == best);
    choose(text, first, &fits)
}

pub(super) const UNSUPPORTED: &str = "this is a dump in a form that does not tell its bytes for sure, as od -c and \
                                      od -a are; dump it with xxd or od -t x1";

/// Returns the forms that the first line can have, the usual one first, and how wide their groups are.
fn forms(first: Line<'_>) -> Vec<(Form, usize)> {
    let words: Vec<&str> = first.words().take_while(|word| !word.starts_with(['|', '>'])).collect();
    let Some(word) = words.first() else { return Vec::new() };
    let width = word.len();
    let group = |base, bytes| Group { base, bytes };
    let mut forms = Vec::new();
    let is_bits = |word: &&&str| word.len() == 8 && word.bytes().all(|byte| matches!(byte, b'0' | b'1'));
    if first.colon && words.first().as_ref().is_some_and(is_bits) {
        forms.push((Form::Offsets(group(2, 1)), 8));
    }
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && width.is_multiple_of(2) && width <= 64 {
        let bytes = width / 2;
        let (high, low) = ((Form::Offsets(group(16, bytes)), width), (Form::Words(group(16, bytes)), width));
        match (bytes, first.colon) {
            (1, _) => forms.push(high),
            // xxd has the high byte first unless it is asked, and od and hexdump the low one.
            (_, true) => forms.extend([high, low]),
            (2 | 4 | 8, false) => forms.extend([low, high]),
            _ => {}
        }
    }
    if first.colon {
        return forms;
    }
    let mut push = |base, bytes, width| {
        if bytes > 1 {
            forms.push((Form::Words(group(base, bytes)), width));
        }
        forms.push((Form::Offsets(group(base, bytes)), width));
    };
    let octal = [(3, 1), (6, 2), (11, 4), (22, 8)].into_iter().find(|(digits, _)| *digits == width);
    if let Some((digits, bytes)) = octal {
        push(8, bytes, digits);
    }
    // Numbers in base 10 stand at the right of their columns, and only hexdump -d begins them with zeros.
    let is_padded = |word: &&str| word.len() > 1 && word.starts_with('0');
    if width == 5 || !words.iter().any(is_padded) {
        for (digits, bytes) in [(4, 1), (6, 2), (11, 4), (20, 8)] {
            push(10, bytes, digits);
        }
    }
    forms
}

/// Returns the fit of a form to the lines, if it can be theirs.
fn fit(text: &str, first: Line<'_>, form: Form, width: usize) -> Option<Fit> {
    let (Form::Offsets(group) | Form::Words(group)) = form else { return None };
    let most = if (group.base, group.bytes) == (16, 1) { 2 } else { 8 };
    let is_apart =
        (2..=most).contains(&first.gap()) && first.words().nth(1).is_some_and(|word| form.read(word).is_some());
    let wide = !first.colon && (group.base == 10 || is_apart);
    let mut layout = Layout { form, base: 16, width, wide, count: 0, is_certain: false };
    layout.count = usize::MAX;
    let groups = first.groups(layout).count();
    // A line that is the only one may not be whole.
    layout.count = groups.max(16 / group.bytes);
    if groups == 0 {
        return None;
    }
    // If nothing else tells: od counts in base 8, and of tools with the same look only hexdump's words do not.
    let usual = match (group.base, form.is_swapped()) {
        (16, true) => 16,
        (16, false) if first.colon || first.offset.len() != 7 => 16,
        (8, _) if first.gap() > 1 => 16,
        _ if first.colon => 16,
        _ => 8,
    };
    // od fills up its last word.
    let word = group.bytes as u64;
    // No known form has octal offsets before a colon.
    let bases = if first.colon { [16, 16, 10, 10] } else { [usual, 16, 8, 10] };
    let mut wrong = [0_u64; 4];
    let (mut steps, mut contradicted, mut confirmed) = (0_u64, 0, 0);
    let mut before: Option<Line<'_>> = None;
    for line in text.lines().map(str::trim_end).filter_map(Line::of) {
        if let Some(before) =
            before.filter(|before| before.indented == line.indented && !before.repeats && !line.repeats)
        {
            let has = before.bytes(layout, usize::MAX).len() as u64;
            steps += 1;
            for (base, wrong) in bases.iter().zip(&mut wrong) {
                *wrong += match (number(before.offset, *base), number(line.offset, *base)) {
                    (_, Some(0)) => 0,
                    (Some(from), Some(to)) if to >= from && to - from <= has && has - (to - from) < word => 0,
                    // The column of text may look like more groups.
                    (Some(from), Some(to)) if to >= from && to - from < has => 1,
                    _ => WRONG,
                };
            }
        }
        match line.says(layout) {
            Some(true) => confirmed += 1,
            Some(false) => contradicted += 1,
            None => {}
        }
        before = Some(line);
    }
    let (base, wrong) = bases.into_iter().zip(wrong).min_by_key(|(_, wrong)| *wrong)?;
    if wrong >= WRONG && group.base != 16 {
        return None;
    }
    // Of a single line, what ends its offset tells that it is one.
    let is_offset = if steps == 0 { first.colon && first.offset.len() >= 8 } else { wrong == 0 };
    Some(Fit { layout: Layout { base, is_certain: is_offset, ..layout }, contradicted, confirmed })
}

/// A line has fewer bytes than the next offset says.
const WRONG: u64 = 1 << 20;

impl Fit {
    fn rank(&self) -> (bool, usize) {
        (self.layout.is_certain, self.confirmed)
    }
}

/// Chooses the reading that looks most like the protocol.
fn choose(text: &str, first: Line<'_>, fits: &[Fit]) -> Detected {
    let read = |fit: &Fit| {
        let mut bytes = Vec::new();
        for line in text.lines().map(str::trim_end).filter_map(Line::of) {
            bytes.extend(line.bytes(fit.layout, usize::MAX));
            if bytes.len() >= LOOKED_AT {
                break;
            }
        }
        (likeness(&bytes), bytes)
    };
    let mut readings: Vec<(Layout, (usize, Vec<u8>))> = fits.iter().map(|fit| (fit.layout, read(fit))).collect();
    let best = readings.iter().map(|(_, (likeness, _))| *likeness).max();
    readings.retain(|(_, (likeness, _))| Some(*likeness) == best);
    let Some((layout, (_, bytes))) = readings.first() else { return Detected::Nothing };
    if first.colon || readings.iter().all(|(_, (_, other))| other == bytes) {
        return Detected::Layout(*layout);
    }
    Detected::Refusal { reason: AMBIGUOUS, is_dump: fits.iter().any(|fit| fit.layout.is_certain) }
}

const AMBIGUOUS: &str = "nothing tells in which order the words of this dump have their bytes, or in which base its \
                         numbers are; dump it with xxd or od -t x1";

/// Measures how much these bytes look like the protocol.
pub(super) fn likeness(bytes: &[u8]) -> usize {
    if guess_direction(bytes).is_some() || link::guess(bytes).is_some() {
        return usize::MAX;
    }
    let count = |pair: &[u8; 2]| bytes.windows(2).filter(|window| *window == pair).count();
    PAIRS.iter().map(|pair| count(pair)).sum()
}

/// Returns whether a text whose numbers cannot be read is a dump all the same, by its offsets.
fn is_dump(text: &str, first: Line<'_>) -> bool {
    if number(first.offset, 16) != Some(0) || first.offset.len() < 6 || first.words().next().is_none() {
        return false;
    }
    let mut lines = text.lines().map(str::trim_end).filter_map(Line::of).filter(|line| !line.repeats);
    let next = lines.nth(1).and_then(|next| number(next.offset, 16));
    next.is_some_and(|next| (1..=64).contains(&next))
}
