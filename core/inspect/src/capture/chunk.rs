//! A run of rows with all that belongs to them, dropped at once when memory is full.

use std::{mem, ops::Range};

use super::{flags::Flags, reads::ReadMark};
use crate::Fault;

/// One row's value in each column of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cells {
    /// Milliseconds, from the capture's origin.
    pub(super) time: f64,
    /// Position in its stream, from the base that its connection knows.
    pub(super) start: u32,
    pub(super) connection: u32,
    /// The distance to the request or the answer, in rows; 0 where there is none.
    pub(super) pair: u32,
    /// Milliseconds; NaN where there is none.
    pub(super) rtt: f64,
    pub(super) flags: u16,
    pub(super) head: u8,
    pub(super) error: u8,
}

/// Stands for an error whose name is not remembered.
pub(super) const SOME_ERROR: u8 = u8::MAX;

/// Parts that few rows have.
#[derive(Clone, Debug)]
pub(super) enum Extra {
    /// A fault, and the start line's word as far as it was read.
    Fault { fault: Fault, head: String },
    /// The text of a note or a gap, and what it is about.
    Note { head: String, text: String },
}

impl Extra {
    pub(super) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault { fault, .. } => Some(fault),
            Self::Note { .. } => None,
        }
    }

    fn heap(&self) -> usize {
        match self {
            Self::Fault { fault, head } => fault.error.capacity() + fault.details.capacity() + head.capacity(),
            Self::Note { head, text } => head.capacity() + text.capacity(),
        }
    }
}

/// Escapes that may spell a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// None.
    None,
    /// Escapes by the number of a character.
    Coded,
    /// All escapes.
    Any,
}

/// Rows one after the other, their columns, and their bytes one after the other.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Number of its first row.
    first: u64,
    /// When the row before its first one came.
    before: Option<f64>,
    time: Vec<f64>,
    /// The start of each row's bytes; they end where the next row's begin.
    offset: Vec<u32>,
    start: Vec<u32>,
    connection: Vec<u32>,
    pair: Vec<u32>,
    rtt: Vec<f64>,
    flags: Vec<u16>,
    head: Vec<u8>,
    error: Vec<u8>,
    bytes: Vec<u8>,
    /// By place, ascending.
    extras: Vec<(u32, Extra)>,
    /// By place, ascending.
    reads: Vec<(u32, Box<[ReadMark]>)>,
    /// Memory that extras and reads point to.
    heap: usize,
}

/// The memory that the columns take for one row.
pub(super) const ROW_SIZE: usize = 4 * size_of::<u32>() + 2 * size_of::<f64>() + 4;

impl Chunk {
    /// Returns an empty chunk whose first row has this number, with capacity for `rows` and `bytes`.
    pub(super) fn new(first: u64, before: Option<f64>, rows: usize, bytes: usize) -> Self {
        Self {
            first,
            before,
            time: Vec::with_capacity(rows),
            offset: Vec::with_capacity(rows),
            start: Vec::with_capacity(rows),
            connection: Vec::with_capacity(rows),
            pair: Vec::with_capacity(rows),
            rtt: Vec::with_capacity(rows),
            flags: Vec::with_capacity(rows),
            head: Vec::with_capacity(rows),
            error: Vec::with_capacity(rows),
            bytes: Vec::with_capacity(bytes),
            extras: Vec::new(),
            reads: Vec::new(),
            heap: 0,
        }
    }

    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the row after its last one.
    pub(crate) const fn end(&self) -> u64 {
        self.first + self.time.len() as u64
    }

    pub(crate) const fn len(&self) -> usize {
        self.time.len()
    }

    pub(super) const fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the memory that it takes, spare room included.
    pub(super) fn memory(&self) -> usize {
        self.time.capacity() * ROW_SIZE
            + self.bytes.capacity()
            + self.extras.capacity() * size_of::<(u32, Extra)>()
            + self.reads.capacity() * size_of::<(u32, Box<[ReadMark]>)>()
            + self.heap
    }

    pub(super) fn push(&mut self, cells: Cells, bytes: &[u8]) {
        let offset = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.time.push(cells.time);
        self.offset.push(offset);
        self.start.push(cells.start);
        self.connection.push(cells.connection);
        self.pair.push(cells.pair);
        self.rtt.push(cells.rtt);
        self.flags.push(cells.flags);
        self.head.push(cells.head);
        self.error.push(cells.error);
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds what its last row has and few others do.
    pub(super) fn add_extra(&mut self, extra: Extra) {
        self.heap += extra.heap();
        self.extras.push((self.last_place(), extra));
    }

    /// Adds where the reads of its last row begin.
    pub(super) fn add_reads(&mut self, marks: Vec<ReadMark>) {
        let marks = marks.into_boxed_slice();
        self.heap += mem::size_of_val(&*marks);
        self.reads.push((self.last_place(), marks));
    }

    fn last_place(&self) -> u32 {
        u32::try_from(self.time.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Gives spare room back: no row follows.
    pub(super) fn close(&mut self) {
        self.time.shrink_to_fit();
        self.offset.shrink_to_fit();
        self.start.shrink_to_fit();
        self.connection.shrink_to_fit();
        self.pair.shrink_to_fit();
        self.rtt.shrink_to_fit();
        self.flags.shrink_to_fit();
        self.head.shrink_to_fit();
        self.error.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.extras.shrink_to_fit();
        self.reads.shrink_to_fit();
    }

    /// Returns the place of the row with this number, if it is here.
    pub(crate) fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.time.len()).then_some(place)
    }

    pub(super) fn cells(&self, place: usize) -> Option<Cells> {
        Some(Cells {
            time: *self.time.get(place)?,
            start: *self.start.get(place)?,
            connection: *self.connection.get(place)?,
            pair: *self.pair.get(place)?,
            rtt: *self.rtt.get(place)?,
            flags: *self.flags.get(place)?,
            head: *self.head.get(place)?,
            error: *self.error.get(place)?,
        })
    }

    pub(super) fn flags(&self) -> &[u16] {
        &self.flags
    }

    /// Returns the time of the row before it, of any connection.
    pub(super) fn time_before(&self, place: usize) -> Option<f64> {
        match place.checked_sub(1) {
            Some(before) => self.time.get(before).copied(),
            None => self.before,
        }
    }

    pub(super) fn set_pair(&mut self, place: usize, distance: u32) {
        if let Some(pair) = self.pair.get_mut(place) {
            *pair = distance;
        }
    }

    /// Returns where a row's bytes stand in [`all_bytes`](Self::all_bytes).
    pub(crate) fn range(&self, place: usize) -> Range<usize> {
        let at = |place: usize| self.offset.get(place).map_or(self.bytes.len(), |offset| *offset as usize);
        at(place)..at(place + 1)
    }

    pub(super) fn bytes(&self, place: usize) -> &[u8] {
        self.bytes.get(self.range(place)).unwrap_or_default()
    }

    /// Returns the bytes of all its rows, one after the other.
    pub(crate) fn all_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the place of the row that the byte at this offset belongs to.
    pub(crate) fn place_of(&self, offset: usize) -> usize {
        // The last one that begins at or before it: rows without bytes begin where the next one does.
        self.offset.partition_point(|start| *start as usize <= offset).saturating_sub(1)
    }

    pub(super) fn extra(&self, place: usize) -> Option<&Extra> {
        find(&self.extras, place)
    }

    /// Returns where its reads begin, if there are several.
    pub(super) fn reads(&self, place: usize) -> Option<&[ReadMark]> {
        find(&self.reads, place).map(|marks| &**marks)
    }

    /// Returns the first place in a range whose row may have a text that its bytes do not spell out: it may have such
    /// escapes, or is a note or a gap.
    pub(crate) fn next_special(&self, from: usize, to: usize, escapes: Escapes, note: bool) -> Option<usize> {
        let special = |bits: &u16| {
            let flags = Flags::of(*bits);
            let escaped = match escapes {
                Escapes::None => false,
                Escapes::Coded => flags.is_coded(),
                Escapes::Any => flags.has_escapes(),
            };
            escaped || (note && flags.is_note())
        };
        self.flags.get(from..to)?.iter().position(special).map(|place| from + place)
    }
}

fn find<T>(sparse: &[(u32, T)], place: usize) -> Option<&T> {
    let place = u32::try_from(place).ok()?;
    let index = sparse.binary_search_by_key(&place, |(place, _)| *place).ok()?;
    sparse.get(index).map(|(_, found)| found)
}
