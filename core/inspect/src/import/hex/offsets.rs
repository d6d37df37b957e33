//! Dumps whose lines have offsets, line by line.

use chanwire_core::wire::Timestamp;

use super::{
    Layout, Part,
    line::{Line, number},
};
use crate::{Time, import::ReadError};

/// The most bytes that all `*` of one dump may stand for.
const MAX_REPEATED: usize = 16 << 20;

/// So many bytes of a repeated line are given at a time.
const REPEATED_PIECE: usize = 64 << 10;

/// The blocks of one indentation.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    blocks: usize,
    bytes: u64,
    /// The offset of its first byte: a dump may begin anywhere.
    start: u64,
}

/// The block that is being read.
#[derive(Clone, Copy, Debug)]
struct Block {
    indented: bool,
    bytes: u64,
}

/// A reader of lines that have offsets.
#[derive(Debug)]
pub(super) struct Offsets {
    layout: Layout,
    block: Option<Block>,
    /// Of lines that are not indented and of those that are.
    sides: [Side; 2],
    /// The bytes of the line before, which `*` repeats.
    last: Vec<u8>,
    repeating: bool,
    repeated: usize,
    time: Time,
}

impl Offsets {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            block: None,
            sides: [Side::default(); 2],
            last: Vec::new(),
            repeating: false,
            repeated: 0,
            time: Time::UNKNOWN,
        }
    }

    /// Reads one line. It has as many bytes as the next line's offset says: text beside them may look like more.
    pub(super) fn line(
        &mut self,
        text: &str,
        next: Option<&str>,
        emit: &mut dyn FnMut(Part<'_>),
    ) -> Result<(), ReadError> {
        let Some(line) = Line::of(text.trim_end()) else {
            self.time = self.time.max(time_of(text));
            return Ok(());
        };
        if line.repeats {
            self.repeating = true;
            return Ok(());
        }
        let base = self.layout.base;
        let Some(offset) = number(line.offset, base) else {
            return Err(format!("'{}' is no offset in base {base}", line.offset).into());
        };
        // A followed stream counts each side on its own.
        let expected = self.expected(line.indented);
        let is_first = self.side(line.indented).blocks == 0;
        let begins = self.begins(line.indented);
        if is_first && (begins || self.block.is_none())
            || offset == 0 && self.size(line.indented) > 0
            || begins && offset == expected
        {
            let (time, indented) = (std::mem::take(&mut self.time), line.indented);
            self.block = Some(Block { indented, bytes: 0 });
            emit(Part::Block { indented, time });
            let side = self.side(line.indented);
            side.blocks += 1;
            if is_first || offset == 0 {
                side.start = offset;
                self.repeating = false;
            }
        }
        self.repeat(offset, line.indented, emit)?;
        let start = if offset == 0 { 0 } else { self.expected(line.indented) };
        if offset != start {
            return Err(format!("the line's offset is {offset:#x}, and {start:#x} was expected").into());
        }
        let most = next
            .and_then(|next| Line::of(next.trim_end()))
            .filter(|next| !next.repeats && next.indented == line.indented)
            .and_then(|next| number(next.offset, base)?.checked_sub(offset))
            .filter(|most| *most > 0);
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let bytes = line.bytes(self.layout, most);
        self.add(&bytes, emit);
        self.last = bytes;
        Ok(())
    }

    fn side(&mut self, indented: bool) -> &mut Side {
        let [plain, with] = &mut self.sides;
        if indented { with } else { plain }
    }

    /// Returns the offset of a line of this indentation if nothing is missing before it.
    fn expected(&self, indented: bool) -> u64 {
        let [plain, with] = &self.sides;
        (if indented { with } else { plain }).start + self.size(indented)
    }

    /// Adds bytes to the block.
    fn add(&mut self, bytes: &[u8], emit: &mut dyn FnMut(Part<'_>)) {
        let Some(block) = &mut self.block else { return };
        block.bytes += bytes.len() as u64;
        let indented = block.indented;
        self.side(indented).bytes += bytes.len() as u64;
        emit(Part::Bytes(bytes));
    }

    /// Returns whether a line of this indentation begins a block because the last one has the other.
    fn begins(&self, indented: bool) -> bool {
        self.block.is_some_and(|block| block.indented != indented)
    }

    /// Returns the length of the dump that a line of this indentation belongs to.
    fn size(&self, indented: bool) -> u64 {
        let [plain, with] = self.sides;
        if plain.blocks > 0 && with.blocks > 0 || self.begins(indented) {
            return if indented { with.bytes } else { plain.bytes };
        }
        self.block.map_or(0, |block| block.bytes)
    }

    fn repeat(&mut self, offset: u64, indented: bool, emit: &mut dyn FnMut(Part<'_>)) -> Result<(), ReadError> {
        if !std::mem::take(&mut self.repeating) || self.last.is_empty() {
            return Ok(());
        }
        let missing = offset.saturating_sub(self.expected(indented));
        let room = MAX_REPEATED - self.repeated;
        let Some(mut missing) = usize::try_from(missing).ok().filter(|missing| *missing <= room) else {
            return Err(format!(
                "the * before offset {offset:#x} stands for more bytes than the {MAX_REPEATED} that a dump may repeat"
            )
            .into());
        };
        self.repeated += missing;
        let line = std::mem::take(&mut self.last);
        let lines = REPEATED_PIECE.div_ceil(line.len());
        let piece = line.repeat(lines.min(missing.div_ceil(line.len())));
        while missing > 0 {
            let bytes = piece.get(..missing).unwrap_or(&piece);
            self.add(bytes, emit);
            missing -= bytes.len();
        }
        Ok(())
    }
}

/// Reads the time at the start of a line, as tcpdump prints it: `12:34:56.789012`, with the date before it or none, or
/// seconds since 1970. The time since the packet before or since the first one, which starts with zero, tells nothing.
fn time_of(line: &str) -> Time {
    time_and_date(line).unwrap_or_default()
}

fn time_and_date(line: &str) -> Option<Time> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?;
    if let Some((seconds, fraction)) = first.split_once('.')
        && let Ok(seconds) = seconds.parse::<i64>()
    {
        // Other numbers that stand first are smaller.
        return (seconds >= 100_000_000).then_some(Time::from_parts(seconds, nanoseconds(fraction)?));
    }
    let (date, time) = if first.contains('-') { (Some(first), words.next()?) } else { (None, first) };
    let (whole, fraction) = time.split_once('.')?;
    let date = date.unwrap_or("1970-01-01");
    let seconds = format!("{date}T{whole}Z").parse::<Timestamp>().ok()?.as_unix();
    let nanoseconds = nanoseconds(fraction)?;
    (seconds != 0 || nanoseconds != 0).then_some(Time::from_parts(seconds, nanoseconds))
}

/// Returns the fraction of a second with these digits.
fn nanoseconds(digits: &str) -> Option<i64> {
    let is_fraction = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_fraction { format!("{digits:0<9}").parse().ok() } else { None }
}
