//! A packet of a capture, and what any container of packets is read with.

use crate::Time;

/// The largest packet or block that is read. Wireshark's own bound on a packet is 256 KiB; a block may carry more.
pub(super) const MAX_BLOCK: usize = 16 << 20;

/// One packet as it was captured.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) time: Time,
    pub(super) link: i32,
    pub(super) bytes: &'a [u8],
    /// Its length on the wire.
    pub(super) length: usize,
    /// Its comment says that traffic is missing before it.
    pub(super) after_gap: bool,
    /// Its comment says why the connection is over.
    pub(super) over: Option<String>,
}

impl<'a> Packet<'a> {
    /// Returns a whole packet of which no more is known.
    pub(super) const fn new(link: i32, bytes: &'a [u8]) -> Self {
        Self { time: Time::UNKNOWN, link, bytes, length: bytes.len(), after_gap: false, over: None }
    }
}

/// A step of reading: the part at the front of the bytes.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// More bytes are needed to tell.
    Incomplete,
    /// So many bytes are read; they held a packet or something else.
    Read(usize, Option<Packet<'a>>),
}

/// The order of the bytes in a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let word = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self == Self::Big { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self == Self::Big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }

    pub(super) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let word = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(if self == Self::Big { u64::from_be_bytes(word) } else { u64::from_le_bytes(word) })
    }
}
