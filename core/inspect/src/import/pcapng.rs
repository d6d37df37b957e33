//! Reads the blocks of a pcapng file.

use super::{
    ReadError,
    packet::{MAX_BLOCK, Order, Packet, Step},
};
use crate::{
    Time,
    export::{GAP, OVER, WRITER},
};

/// The most interfaces that one section may describe.
const MAX_INTERFACES: usize = 4096;

/// The bytes of a block besides its body: its kind, and its length before and after the body.
const AROUND: usize = 12;

mod blocks {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    /// The obsolete form of a packet.
    pub(super) const PACKET: u32 = 2;
    pub(super) const SIMPLE_PACKET: u32 = 3;
    pub(super) const NAMES: u32 = 4;
    pub(super) const STATISTICS: u32 = 5;
    pub(super) const ENHANCED_PACKET: u32 = 6;
    pub(super) const SECRETS: u32 = 10;
}

mod options {
    pub(super) const END: u16 = 0;
    pub(super) const COMMENT: u16 = 1;
    pub(super) const USER_APPLICATION: u16 = 4;
    pub(super) const RESOLUTION: u16 = 9;
    pub(super) const OFFSET: u16 = 14;
}

/// The current section and its interfaces.
#[derive(Debug, Default)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// Whether an export of the inspector wrote it.
    is_own: bool,
    /// The number of blocks of the file that could not be read.
    broken: u64,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    /// Timestamp units per second.
    resolution: u128,
    /// In seconds.
    offset: i64,
    snap: u32,
}

/// An inconsistent block.
struct Broken;

impl Section {
    /// The first bytes of a file, the same in both byte orders.
    pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

    pub(super) const fn is_own(&self) -> bool {
        self.is_own
    }

    pub(super) const fn broken(&self) -> u64 {
        self.broken
    }

    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, ReadError> {
        // The third word of a section header has its byte order.
        let is_header = bytes.starts_with(&Self::MAGIC);
        let order = match bytes.get(8..12) {
            Some([0x1a, 0x2b, 0x3c, 0x4d]) if is_header => Order::Big,
            Some(_) if is_header => Order::Little,
            None if is_header => return Ok(Step::Incomplete),
            _ => self.order,
        };
        let (Some(kind), Some(length)) = (order.u32(bytes, 0), order.u32(bytes, 4)) else {
            return Ok(Step::Incomplete);
        };
        let length = length as usize;
        if length > MAX_BLOCK {
            return Err(format!("a block of {length} bytes is announced, and at most {MAX_BLOCK} are read").into());
        }
        if length < AROUND {
            return Err(format!("a block of {length} bytes is announced, and none has less than {AROUND}").into());
        }
        // The length is repeated at the block's end. Some programs exclude the padding from it, and some do not pad.
        let ends_at = |end: usize| order.u32(bytes, end - 4).is_some_and(|again| again as usize == length);
        let padded = length.next_multiple_of(4);
        let used = match bytes.len() {
            have if have < length => return Ok(Step::Incomplete),
            _ if length == padded || ends_at(length) => length,
            have if have < padded => return Ok(Step::Incomplete),
            _ if ends_at(padded) => padded,
            _ => length,
        };
        let is_whole = ends_at(used) && length == padded;
        let body = bytes.get(8..used - 4).unwrap_or_default();
        let read = self.block(kind, order, body);
        if read.is_err() || !is_whole {
            self.broken += 1;
        }
        Ok(Step::Read(used, read.unwrap_or_default()))
    }

    fn block<'a>(&mut self, kind: u32, order: Order, body: &'a [u8]) -> Result<Option<Packet<'a>>, Broken> {
        let word = |at| order.u32(body, at).ok_or(Broken);
        match kind {
            blocks::SECTION => {
                let is_own = Options::new(order, body, 16)
                    .any(|(code, value)| code == options::USER_APPLICATION && value.starts_with(WRITER.as_bytes()));
                *self = Self { order, interfaces: Vec::new(), is_own, broken: self.broken };
            }
            blocks::INTERFACE => {
                if self.interfaces.len() == MAX_INTERFACES {
                    return Err(Broken);
                }
                // A damaged interface block counts too: interfaces are numbered in order.
                let link = order.u16(body, 0).map_or(-1, i32::from);
                let snap = word(4).unwrap_or_default();
                let mut interface = Interface { link, resolution: 1_000_000, offset: 0, snap };
                for (code, value) in Options::new(order, body, 8) {
                    match (code, value, order.u64(value, 0)) {
                        (options::RESOLUTION, [exponent, ..], _) => interface.resolution = resolution(*exponent),
                        (options::OFFSET, _, Some(seconds)) => interface.offset = seconds.cast_signed(),
                        _ => {}
                    }
                }
                self.interfaces.push(interface);
                word(4)?;
                check(Options::new(order, body, 8))?;
            }
            blocks::ENHANCED_PACKET | blocks::PACKET => {
                let number =
                    if kind == blocks::PACKET { order.u16(body, 0).map(u32::from) } else { order.u32(body, 0) };
                let interface = self.interface(number.ok_or(Broken)?)?;
                let units = u64::from(word(4)?) << 32 | u64::from(word(8)?);
                let (captured, length) = (word(12)? as usize, word(16)? as usize);
                let bytes = body.get(20..).and_then(|rest| rest.get(..captured)).ok_or(Broken)?;
                let mut packet = Packet {
                    time: interface.time(units),
                    length: length.max(captured),
                    ..Packet::new(interface.link, bytes)
                };
                for (code, value) in Options::new(order, body, 20 + captured.next_multiple_of(4)) {
                    if code == options::COMMENT {
                        packet.after_gap |= value.starts_with(GAP.as_bytes());
                        let reason = value.strip_prefix(OVER.as_bytes()).map(std::str::from_utf8);
                        packet.over = packet.over.or_else(|| reason?.ok().map(Into::into));
                    }
                }
                return Ok(Some(packet));
            }
            blocks::SIMPLE_PACKET => {
                let interface = self.interface(0)?;
                let length = word(0)?;
                let captured = if interface.snap == 0 { length } else { length.min(interface.snap) };
                let bytes = body.get(4..).and_then(|rest| rest.get(..captured as usize)).ok_or(Broken)?;
                return Ok(Some(Packet { length: length as usize, ..Packet::new(interface.link, bytes) }));
            }
            // Nothing of them is needed.
            blocks::NAMES => check(Options::new(order, body, 0))?,
            blocks::STATISTICS => {
                word(8)?;
                check(Options::new(order, body, 12))?;
            }
            blocks::SECRETS => {
                let length = word(4)? as usize;
                body.get(8..).and_then(|rest| rest.get(..length)).ok_or(Broken)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn interface(&self, number: u32) -> Result<Interface, Broken> {
        usize::try_from(number).ok().and_then(|number| self.interfaces.get(number)).copied().ok_or(Broken)
    }
}

impl Interface {
    fn time(&self, units: u64) -> Time {
        let (seconds, rest) = (u128::from(units) / self.resolution, u128::from(units) % self.resolution);
        let nanoseconds = i64::try_from(rest.saturating_mul(1_000_000_000) / self.resolution);
        let seconds = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_add(self.offset));
        match (seconds, nanoseconds) {
            (Some(seconds), Ok(nanoseconds)) => Time::from_parts(seconds, nanoseconds),
            _ => Time::UNKNOWN,
        }
    }
}

/// Units in a second: a decimal or, with the highest bit set, a binary fraction of it.
fn resolution(exponent: u8) -> u128 {
    let base = if exponent & 0x80 == 0 { 10_u128 } else { 2 };
    // No 64 bits count finer ones over a second.
    base.checked_pow((exponent & 0x7f).into()).unwrap_or(u128::MAX).min(1 << 90)
}

/// The options in a block, up to where they end or are broken.
struct Options<'a> {
    order: Order,
    rest: &'a [u8],
    /// A code that ends them.
    is_over: bool,
    is_broken: bool,
}

impl<'a> Options<'a> {
    fn new(order: Order, body: &'a [u8], at: usize) -> Self {
        Self { order, rest: body.get(at..).unwrap_or_default(), is_over: false, is_broken: false }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over || self.rest.is_empty() {
            return None;
        }
        let code = self.order.u16(self.rest, 0);
        let length = self.order.u16(self.rest, 2).map(usize::from);
        let (Some(code), Some(length)) = (code, length) else {
            self.is_broken = true;
            return None;
        };
        if code == options::END {
            self.is_over = true;
            return None;
        }
        let value = self.rest.get(4..4 + length);
        self.is_broken |= value.is_none();
        self.rest = self.rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value?))
    }
}

fn check(mut options: Options<'_>) -> Result<(), Broken> {
    while options.next().is_some() {}
    if options.is_broken { Err(Broken) } else { Ok(()) }
}
