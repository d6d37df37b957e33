//! Dumps whose lines have offsets, line by line.

use super::{
    Dump, Layout, Piece,
    line::{Line, number},
};
use crate::import::Wrong;

/// How far `*` may repeat a line.
const MAX_BYTES: usize = 16 << 20;

pub(super) struct Reader {
    layout: Layout,
    dump: Dump,
    /// How many blocks are not indented and are, and how many bytes they have.
    sides: [(usize, usize); 2],
    /// The bytes of the line before, which `*` repeats.
    last: Vec<u8>,
    repeating: bool,
    time: Option<f64>,
}

impl Reader {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            dump: Dump { blocks: Vec::new(), form: layout.form },
            sides: [(0, 0); 2],
            last: Vec::new(),
            repeating: false,
            time: None,
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
            self.time = time_of_day(text).or(self.time);
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
        let size = self.size(line.indented) as u64;
        if offset == 0 && (size > 0 || self.dump.blocks.is_empty()) || self.begins(line.indented) && offset == size {
            let time = self.time.take();
            self.dump.blocks.push(Piece { bytes: Vec::new(), indented: line.indented, time });
            self.side(line.indented).0 += 1;
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
            .and_then(|next| number(next.offset, base)?.checked_sub(offset))
            .filter(|most| *most > 0);
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let bytes = line.bytes(self.layout, most);
        self.add(|last| last.extend_from_slice(&bytes));
        self.last = bytes;
        Ok(())
    }

    fn side(&mut self, indented: bool) -> &mut (usize, usize) {
        let [plain, with] = &mut self.sides;
        if indented { with } else { plain }
    }

    /// Adds to the last block.
    fn add(&mut self, grow: impl FnOnce(&mut Vec<u8>)) {
        let Some(block) = self.dump.blocks.last_mut() else { return };
        let before = block.bytes.len();
        grow(&mut block.bytes);
        let (added, indented) = (block.bytes.len() - before, block.indented);
        self.side(indented).1 += added;
    }

    /// Whether a line of this indentation begins a block because the last one has the other.
    fn begins(&self, indented: bool) -> bool {
        self.dump.blocks.last().is_some_and(|block| block.indented != indented)
    }

    /// How many bytes the dump that a line of this indentation belongs to has.
    fn size(&self, indented: bool) -> usize {
        let [plain, with] = self.sides;
        if plain.0 > 0 && with.0 > 0 || self.begins(indented) {
            return if indented { with.1 } else { plain.1 };
        }
        self.dump.blocks.last().map_or(0, |block| block.bytes.len())
    }

    fn repeat(&mut self, offset: u64, indented: bool) -> Result<(), Wrong> {
        if !std::mem::take(&mut self.repeating) || self.last.is_empty() {
            return Ok(());
        }
        let missing = offset.saturating_sub(self.size(indented) as u64);
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let [plain, with] = self.sides;
        if missing > MAX_BYTES.saturating_sub(plain.1 + with.1) {
            return Err(format!("the * before offset {offset:#x} stands for more than {MAX_BYTES} bytes").into());
        }
        let line = std::mem::take(&mut self.last);
        self.add(|last| last.extend(line.iter().cycle().take(missing)));
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
