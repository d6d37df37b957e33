//! Dumps whose lines have offsets, line by line.

use super::{
    Dump, Layout, Piece,
    line::{Line, number},
};
use chanwire_core::wire::Timestamp;

use crate::{Time, import::Wrong};

/// How far `*` may repeat a line.
const MAX_BYTES: usize = 16 << 20;

/// The blocks of one indentation.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    blocks: usize,
    bytes: usize,
    /// The offset of its first byte: a dump may begin anywhere.
    start: u64,
}

pub(super) struct Reader {
    layout: Layout,
    dump: Dump,
    /// Of what is not indented and of what is.
    sides: [Side; 2],
    /// The bytes of the line before, which `*` repeats.
    last: Vec<u8>,
    repeating: bool,
    time: Time,
}

impl Reader {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            dump: Dump { blocks: Vec::new(), form: layout.form },
            sides: [Side::default(); 2],
            last: Vec::new(),
            repeating: false,
            time: Time::UNKNOWN,
        }
    }

    pub(super) fn read(mut self, text: &str) -> Result<Dump, Wrong> {
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
        if is_first && (begins || self.dump.blocks.is_empty())
            || offset == 0 && self.size(line.indented) > 0
            || begins && offset == expected
        {
            let time = std::mem::take(&mut self.time);
            self.dump.blocks.push(Piece { bytes: Vec::new(), indented: line.indented, time });
            let side = self.side(line.indented);
            side.blocks += 1;
            if is_first || offset == 0 {
                side.start = offset;
                self.repeating = false;
            }
        }
        self.repeat(offset, line.indented)?;
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
        self.add(|last| last.extend_from_slice(&bytes));
        self.last = bytes;
        Ok(())
    }

    fn side(&mut self, indented: bool) -> &mut Side {
        let [plain, with] = &mut self.sides;
        if indented { with } else { plain }
    }

    /// The offset that a line of this indentation has if nothing is missing before it.
    fn expected(&self, indented: bool) -> u64 {
        let [plain, with] = &self.sides;
        (if indented { with } else { plain }).start + self.size(indented) as u64
    }

    /// Adds to the last block.
    fn add(&mut self, grow: impl FnOnce(&mut Vec<u8>)) {
        let Some(block) = self.dump.blocks.last_mut() else { return };
        let before = block.bytes.len();
        grow(&mut block.bytes);
        let (added, indented) = (block.bytes.len() - before, block.indented);
        self.side(indented).bytes += added;
    }

    /// Whether a line of this indentation begins a block because the last one has the other.
    fn begins(&self, indented: bool) -> bool {
        self.dump.blocks.last().is_some_and(|block| block.indented != indented)
    }

    /// How many bytes the dump that a line of this indentation belongs to has.
    fn size(&self, indented: bool) -> usize {
        let [plain, with] = self.sides;
        if plain.blocks > 0 && with.blocks > 0 || self.begins(indented) {
            return if indented { with.bytes } else { plain.bytes };
        }
        self.dump.blocks.last().map_or(0, |block| block.bytes.len())
    }

    fn repeat(&mut self, offset: u64, indented: bool) -> Result<(), Wrong> {
        if !std::mem::take(&mut self.repeating) || self.last.is_empty() {
            return Ok(());
        }
        let missing = offset.saturating_sub(self.expected(indented));
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let [plain, with] = self.sides;
        if missing > MAX_BYTES.saturating_sub(plain.bytes + with.bytes) {
            return Err(format!("the * before offset {offset:#x} stands for more than {MAX_BYTES} bytes").into());
        }
        let line = std::mem::take(&mut self.last);
        self.add(|last| last.extend(line.iter().cycle().take(missing)));
        Ok(())
    }
}

/// The time at the start of a line, as tcpdump prints it: `12:34:56.789012`, with the date before it or none, or seconds
/// since 1970. The time since the packet before or since the first one, which starts with zero, tells nothing.
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

/// The fraction of a second that these digits say.
fn nanoseconds(digits: &str) -> Option<i64> {
    let is_fraction = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_fraction { format!("{digits:0<9}").parse().ok() } else { None }
}
