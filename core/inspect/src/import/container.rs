//! The containers of packets: pcap and pcapng.

use super::{
    ReadError,
    packet::{MAX_BLOCK, Order, Packet, Step},
    pcapng::Section,
};
use crate::Time;

/// The file's header, and that of a packet.
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// The bytes that a packet's header has more in the format that Kuznetzov's libpcap wrote.
const MODIFIED: usize = 8;

/// The container of a file, and its properties that are needed to read on.
#[derive(Debug)]
pub(super) enum Container {
    /// The file's header is not read yet.
    Pcap,
    Records(Records),
    PcapNg(Section),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    link: i32,
    order: Order,
    /// The length of a packet's header.
    header: usize,
    /// The unit of the fraction of a second, in nanoseconds.
    unit: i64,
}

impl Container {
    /// Returns the container that starts with these bytes. Four are enough.
    pub(super) fn detect(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&Section::MAGIC) {
            return Some(Self::PcapNg(Section::default()));
        }
        Records::detect(bytes).map(|_| Self::Pcap)
    }

    /// Returns whether the section that is being read was written by an export.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self, Self::PcapNg(section) if section.is_own())
    }

    /// Returns the number of blocks that could not be read.
    pub(super) const fn broken(&self) -> u64 {
        match self {
            Self::Pcap | Self::Records(_) => 0,
            Self::PcapNg(section) => section.broken(),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pcap | Self::Records(_) => "pcap",
            Self::PcapNg(_) => "pcapng",
        }
    }

    /// Reads the header, packet or block at the front of `bytes`.
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, ReadError> {
        match self {
            Self::Pcap => {
                let Some(header) = bytes.get(..FILE_HEADER) else { return Ok(Step::Incomplete) };
                let mut records = Records::detect(header).ok_or("this is no header of a pcap file")?;
                // The upper bits may tell the length of a frame check sequence.
                records.link = records.order.u32(header, 20).map_or(0, |link| (link & 0xffff) as i32);
                *self = Self::Records(records);
                Ok(Step::Read(FILE_HEADER, None))
            }
            Self::Records(records) => records.step(bytes),
            Self::PcapNg(section) => section.step(bytes),
        }
    }
}

impl Records {
    /// Returns the form of a file, by its first four bytes.
    fn detect(bytes: &[u8]) -> Option<Self> {
        const MICROSECOND: i64 = 1_000;
        let (order, unit, more) = match bytes.get(..4)? {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, MICROSECOND, 0),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, MICROSECOND, 0),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1, 0),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1, 0),
            [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, MICROSECOND, MODIFIED),
            [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, MICROSECOND, MODIFIED),
            _ => return None,
        };
        Some(Self { link: 0, order, header: PACKET_HEADER + more, unit })
    }

    fn step<'a>(&self, bytes: &'a [u8]) -> Result<Step<'a>, ReadError> {
        let Self { link, order, header, unit } = *self;
        let word = |at| order.u32(bytes, at);
        let (Some(seconds), Some(fraction), Some(captured), Some(length)) = (word(0), word(4), word(8), word(12))
        else {
            return Ok(Step::Incomplete);
        };
        let captured = captured as usize;
        if captured > MAX_BLOCK {
            return Err(format!("a packet of {captured} bytes is announced, and at most {MAX_BLOCK} are read").into());
        }
        let Some(data) = bytes.get(header..header + captured) else { return Ok(Step::Incomplete) };
        let packet = Packet {
            time: Time::from_parts(seconds.into(), i64::from(fraction) * unit),
            length: captured.max(length as usize),
            ..Packet::new(link, data)
        };
        Ok(Step::Read(header + captured, Some(packet)))
    }
}
