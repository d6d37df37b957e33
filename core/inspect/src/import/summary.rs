//! The result of an import, in one line.

use std::fmt;

use super::{
    Format,
    link::{PacketKind, link_name},
};

/// The result of an import.
///
/// Nothing is dropped without being counted here: each byte that TCP packets carry is shown, came
/// [again](Self::repeated), is text of a [reset](Self::reset_text), or is of a connection that is [passed
/// over](Self::passed_over_bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The form it had.
    pub format: Format,
    /// It was compressed.
    pub compressed: bool,
    /// Connections that are shown.
    pub connections: u32,
    /// TCP connections that are not shown, since their bytes do not look like the protocol.
    pub passed_over: u64,
    /// The number of bytes that their packets carried.
    pub passed_over_bytes: u64,
    /// TCP connections that are not shown since they carried nothing.
    pub empty: u64,
    /// None of the TCP connections looks like the protocol, so that some are shown all the same.
    pub unlike: bool,
    /// Packets that were read.
    pub packets: u64,
    /// Packets without bytes, of connections of which nothing else was captured.
    pub bare: u64,
    /// Packets in which there is no TCP that can be read.
    pub other: OtherPackets,
    /// Blocks of a pcapng file that could not be read.
    pub broken_blocks: u64,
    /// Bytes that are missing from the connections shown.
    pub missing: u64,
    /// Bytes of the connections shown that came again.
    pub repeated: u64,
    /// Bytes of text in resets, which are none of the streams.
    pub reset_text: u64,
    /// Resets after which the connection went on.
    pub ignored_resets: u64,
    /// The capture stops inside a packet or a line.
    pub cut: bool,
    /// It is compressed, and its checksum is wrong or not there.
    pub unproven: bool,
}

/// Packets in which there is no TCP that can be read, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtherPackets {
    counts: [u64; PacketKind::ALL.len()],
    /// The last kind of link that is not understood.
    pub(super) link: Option<i32>,
}

/// Counts of TCP connections, by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) shown: u32,
    pub(super) unlike: bool,
    pub(super) passed_over: u64,
    pub(super) passed_over_bytes: u64,
    pub(super) empty: u64,
    pub(super) bare: u64,
    pub(super) missing: u64,
    pub(super) repeated: u64,
    pub(super) reset_text: u64,
    pub(super) ignored_resets: u64,
}

impl OtherPackets {
    pub(super) fn count(&mut self, kind: PacketKind) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count += 1;
        }
    }

    fn of(&self, kind: PacketKind) -> u64 {
        self.counts.get(kind as usize).copied().unwrap_or_default()
    }

    /// Returns the number of all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the number of those that may have carried TCP.
    #[must_use]
    pub fn lost(&self) -> u64 {
        PacketKind::ALL.iter().filter(|kind| kind.may_be_tcp()).map(|kind| self.of(*kind)).sum()
    }
}

impl Summary {
    pub(super) fn new(format: Format, cut: bool) -> Self {
        Self {
            format,
            compressed: false,
            connections: 1,
            passed_over: 0,
            passed_over_bytes: 0,
            empty: 0,
            unlike: false,
            packets: 0,
            bare: 0,
            other: OtherPackets::default(),
            broken_blocks: 0,
            missing: 0,
            repeated: 0,
            reset_text: 0,
            ignored_resets: 0,
            cut,
            unproven: false,
        }
    }

    pub(super) const fn add(&mut self, counts: &Counts) {
        self.connections = counts.shown;
        self.unlike = counts.unlike;
        self.passed_over = counts.passed_over;
        self.passed_over_bytes = counts.passed_over_bytes;
        self.empty = counts.empty;
        self.bare = counts.bare;
        self.missing = counts.missing;
        self.repeated = counts.repeated;
        self.reset_text = counts.reset_text;
        self.ignored_resets = counts.ignored_resets;
    }

    /// Returns whether the capture held more than is shown, or none of the protocol.
    #[must_use]
    pub fn lacks(&self) -> bool {
        let hidden = self.passed_over + self.broken_blocks + self.missing + self.other.lost();
        let nothing = self.connections == 0 && self.packets > 0;
        hidden > 0 || nothing || self.unlike || self.cut || self.unproven
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl fmt::Display for Summary {
    /// Writes one line, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compressed = if self.compressed { " in gzip" } else { "" };
        let connections = counted(self.connections.into(), "connection", "connections");
        write!(f, "{}{compressed}: {connections}", self.format)?;
        if self.packets > 0 {
            write!(f, " in {}", counted(self.packets, "packet", "packets"))?;
        }
        if self.unlike {
            let words = if self.connections == 1 { "it does" } else { "they do" };
            write!(f, ", shown though {words} not look like the protocol")?;
        }
        if self.passed_over > 0 {
            let words = counted(self.passed_over, "other TCP connection does", "other TCP connections do");
            let bytes = counted(self.passed_over_bytes, "byte", "bytes");
            write!(f, "; {words} not look like the protocol ({bytes})")?;
        }
        for (count, one, many) in [
            (self.empty, "other TCP connection carried nothing", "other TCP connections carried nothing"),
            (
                if self.connections == 0 { self.bare } else { 0 },
                "packet is of a TCP connection that carried nothing",
                "packets are of TCP connections that carried nothing",
            ),
            (self.missing, "byte is missing", "bytes are missing"),
            (self.repeated, "byte came again", "bytes came again"),
            (self.reset_text, "byte of text in resets", "bytes of text in resets"),
            (self.ignored_resets, "reset was not accepted", "resets were not accepted"),
            (self.broken_blocks, "block is broken and skipped", "blocks are broken and skipped"),
        ] {
            if count > 0 {
                write!(f, "; {}", counted(count, one, many))?;
            }
        }
        let other = self.other.total();
        if other > 0 {
            write!(f, "; no TCP to read in {} (", counted(other, "packet", "packets"))?;
            let kinds = PacketKind::ALL.iter().filter(|kind| self.other.of(**kind) > 0);
            for (index, kind) in kinds.enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                write!(f, "{comma}{} {}", self.other.of(*kind), kind.words())?;
                if let (PacketKind::Link, Some(link)) = (kind, self.other.link) {
                    write!(f, " {link}{}", link_name(link))?;
                }
            }
            f.write_str(")")?;
        }
        match self.format {
            Format::JsonLines if self.cut => f.write_str("; the file ends inside a line")?,
            _ if self.cut => f.write_str("; the file ends too early, inside a packet")?,
            _ => {}
        }
        if self.unproven {
            f.write_str("; the checksum of gzip is wrong or missing")?;
        }
        Ok(())
    }
}
