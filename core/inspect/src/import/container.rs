//! The containers of packets: pcap and pcapng.

use pcap_parser::{
    Block, OptionCode, PcapError, PcapNGOption,
    nom::{self, IResult},
    parse_block_be, parse_block_le, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
    traits::PcapNGPacketBlock as _,
};

use super::Wrong;
use crate::export::{GAP, OVER, WRITER};

/// The largest packet or block that is read. Wireshark's own bound on a packet is 256 KiB; a block may carry more.
const MAX_BLOCK: usize = 16 << 20;

/// How many interfaces one section may describe.
const MAX_INTERFACES: usize = 4096;

/// Which container a file is in, and what of it must be known to read on.
#[derive(Debug)]
pub(super) enum Container {
    /// The file's header is not read yet.
    Pcap,
    Records(Records),
    PcapNg(Section),
}

#[derive(Debug)]
pub(super) struct Records {
    link: i32,
    big_endian: bool,
    modified: bool,
    /// How many of its fractions make a second.
    resolution: f64,
}

#[derive(Debug, Default)]
pub(super) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// It was written by an export: nothing in it is somebody else's.
    is_own: bool,
}

#[derive(Debug)]
struct Interface {
    link: i32,
    /// How many units make a second.
    resolution: f64,
    /// In seconds.
    offset: f64,
    snap: u32,
}

/// One packet as it was captured.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// Milliseconds since 1970.
    pub(super) time: f64,
    pub(super) link: i32,
    pub(super) bytes: &'a [u8],
    /// How many bytes it had on the wire.
    pub(super) length: usize,
    /// Its comment says that traffic is missing before it.
    pub(super) after_gap: bool,
    /// Its comment says why the connection is over.
    pub(super) over: Option<String>,
}

/// What stands at the front of the bytes.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// More bytes are needed to tell.
    Incomplete,
    /// So many bytes are read; they held a packet or something else.
    Read(usize, Option<Packet<'a>>),
}

impl Container {
    /// The container that starts with these bytes. Four are enough.
    pub(super) fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes.get(..4)? {
            [0x0a, 0x0d, 0x0d, 0x0a] => Some(Self::PcapNg(Section::default())),
            [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0xc3, 0xd4]
            | [0x4d, 0x3c, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x34, 0xcd, 0xb2, 0xa1] => Some(Self::Pcap),
            _ => None,
        }
    }

    /// What is read now was written by an export.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self, Self::PcapNg(Section { is_own: true, .. }))
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pcap | Self::Records(_) => "pcap",
            Self::PcapNg(_) => "pcapng",
        }
    }

    /// Reads what stands at the front of `bytes`.
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Wrong> {
        match self {
            Self::Pcap => {
                let (rest, header) = match parse_pcap_header(bytes) {
                    Ok(read) => read,
                    Err(nom::Err::Incomplete(_)) => return Ok(Step::Incomplete),
                    Err(_) => return Err("this is no header of a pcap file".into()),
                };
                *self = Self::Records(Records {
                    // The upper bits may tell the length of a frame check sequence.
                    link: header.network.0 & 0xffff,
                    big_endian: header.is_bigendian(),
                    modified: header.is_modified_format(),
                    resolution: if header.is_nanosecond_precision() { 1e9 } else { 1e6 },
                });
                Ok(Step::Read(bytes.len() - rest.len(), None))
            }
            Self::Records(records) => records.step(bytes),
            Self::PcapNg(section) => section.step(bytes),
        }
    }
}

impl Records {
    fn step<'a>(&self, bytes: &'a [u8]) -> Result<Step<'a>, Wrong> {
        if let Some(length) = word(bytes, 8, self.big_endian)
            && length > MAX_BLOCK
        {
            return Err(format!("a packet of {length} bytes is announced, and at most {MAX_BLOCK} are read").into());
        }
        let parsed = match (self.modified, self.big_endian) {
            (true, _) => parse_pcap_frame_modified(bytes),
            (false, true) => parse_pcap_frame_be(bytes),
            (false, false) => parse_pcap_frame(bytes),
        };
        let Some((used, frame)) = complete(bytes, parsed, "packet")? else { return Ok(Step::Incomplete) };
        let packet = Packet {
            time: (f64::from(frame.ts_sec) + f64::from(frame.ts_usec) / self.resolution) * 1000.0,
            link: self.link,
            bytes: frame.data,
            length: usize::try_from(frame.origlen).unwrap_or(usize::MAX).max(frame.data.len()),
            after_gap: false,
            over: None,
        };
        Ok(Step::Read(used, Some(packet)))
    }
}

impl Section {
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, Wrong> {
        // A section header tells its own byte order, by its third word.
        let is_header = bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]);
        let big_endian = match bytes.get(8..12) {
            Some(order) if is_header => order == [0x1a, 0x2b, 0x3c, 0x4d],
            _ => self.big_endian,
        };
        let Some(length) = word(bytes, 4, big_endian) else { return Ok(Step::Incomplete) };
        if is_header && bytes.len() < 12 {
            return Ok(Step::Incomplete);
        }
        if length > MAX_BLOCK {
            return Err(format!("a block of {length} bytes is announced, and at most {MAX_BLOCK} are read").into());
        }
        // A whole block is always given, so that one that asks for more contradicts itself.
        let Some(block) = bytes.get(..length) else { return Ok(Step::Incomplete) };
        let parsed = if big_endian { parse_block_be(block) } else { parse_block_le(block) };
        let Some((used, parsed)) = complete(block, parsed, "block")? else {
            return Err("a block of this file is shorter than what is in it".into());
        };
        let packet = match parsed {
            Block::SectionHeader(header) => {
                let is_own = header.options.iter().any(is_writer);
                *self = Self { big_endian, interfaces: Vec::new(), is_own };
                None
            }
            Block::InterfaceDescription(described) => {
                if self.interfaces.len() == MAX_INTERFACES {
                    return Err(format!("more than {MAX_INTERFACES} interfaces are described").into());
                }
                let offset = if big_endian { described.if_tsoffset.swap_bytes() } else { described.if_tsoffset };
                self.interfaces.push(Interface {
                    link: described.linktype.0,
                    resolution: resolution(described.if_tsresol),
                    offset: offset as f64,
                    snap: described.snaplen,
                });
                None
            }
            Block::EnhancedPacket(packet) => {
                let interface = self.interface(packet.if_id)?;
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                Some(Packet {
                    time: (units as f64 / interface.resolution + interface.offset) * 1000.0,
                    link: interface.link,
                    bytes: packet_of(block, 28, packet.caplen),
                    length: usize::try_from(packet.orig_len()).unwrap_or(usize::MAX),
                    after_gap: packet.options.iter().any(is_gap),
                    over: packet.options.iter().find_map(over),
                })
            }
            Block::SimplePacket(packet) => {
                let interface = self.interface(0)?;
                let captured = match interface.snap {
                    0 => packet.origlen,
                    snap => packet.origlen.min(snap),
                };
                Some(Packet {
                    time: 0.0,
                    link: interface.link,
                    bytes: packet_of(block, 12, captured),
                    length: usize::try_from(packet.orig_len()).unwrap_or(usize::MAX),
                    after_gap: false,
                    over: None,
                })
            }
            _ => None,
        };
        Ok(Step::Read(used, packet))
    }

    fn interface(&self, number: u32) -> Result<&Interface, Wrong> {
        let interface = usize::try_from(number).ok().and_then(|number| self.interfaces.get(number));
        interface.ok_or_else(|| {
            let known = self.interfaces.len();
            format!("a packet is of interface {number}, and only {known} interfaces are described before it").into()
        })
    }
}

/// The captured bytes in a block: what the parser gives borrows from its own structure.
fn packet_of(block: &[u8], start: usize, captured: u32) -> &[u8] {
    let room = block.len().saturating_sub(start + 4);
    let captured = usize::try_from(captured).unwrap_or(usize::MAX).min(room);
    block.get(start..start + captured).unwrap_or_default()
}

/// A comment that an export writes.
fn is_gap(option: &PcapNGOption<'_>) -> bool {
    option.code == OptionCode::Comment && option.value().starts_with(GAP.as_bytes())
}

/// Why the connection is over, in a comment that an export writes.
fn over(option: &PcapNGOption<'_>) -> Option<String> {
    let text = Some(option.value()).filter(|_| option.code == OptionCode::Comment)?;
    // The text is as long as the option says, and what fills up its block is not part of it.
    let reason = text.get(..usize::from(option.len))?.strip_prefix(OVER.as_bytes())?;
    std::str::from_utf8(reason).ok().map(Into::into)
}

/// The program that wrote the section is this one.
fn is_writer(option: &PcapNGOption<'_>) -> bool {
    option.code == OptionCode::ShbUserAppl && option.value().starts_with(WRITER.as_bytes())
}

/// A decimal or, with the highest bit set, a binary fraction of a second.
fn resolution(exponent: u8) -> f64 {
    let base = if exponent & 0x80 == 0 { 10.0 } else { 2.0 };
    f64::powi(base, i32::from(exponent & 0x7f))
}

fn complete<'a, T>(
    bytes: &'a [u8],
    parsed: IResult<&'a [u8], T, PcapError<&'a [u8]>>,
    what: &str,
) -> Result<Option<(usize, T)>, Wrong> {
    match parsed {
        Ok((rest, read)) => Ok(Some((bytes.len() - rest.len(), read))),
        Err(nom::Err::Incomplete(_)) => Ok(None),
        Err(_) => Err(format!("a {what} of this file contradicts itself").into()),
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> Option<usize> {
    let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }).ok()
}
