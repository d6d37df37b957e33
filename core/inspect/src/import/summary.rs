//! What an import came to, in one line.

use std::fmt;

use super::Format;

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The form it had.
    pub format: Format,
    /// Connections that are shown.
    pub connections: u32,
    /// TCP connections that are not, since what they carried does not look like the protocol.
    pub passed_over: u64,
    /// None of the TCP connections looks like the protocol, so that some are shown all the same.
    pub unlike: bool,
    /// TCP connections for which there was no room.
    pub beyond: u64,
    /// Packets that were read.
    pub packets: u64,
    /// Packets that carry no TCP, or nothing that could be understood.
    pub other: u64,
    /// Parts of IP packets, which are not put together.
    pub fragments: u64,
    /// Bytes that are missing from the connections shown.
    pub missing: u64,
    /// The capture stops inside a packet or a line.
    pub cut: bool,
}

impl Summary {
    /// There was more than is shown, or what is shown is not what was looked for.
    #[must_use]
    pub const fn lacks(&self) -> bool {
        self.passed_over + self.beyond + self.fragments + self.missing > 0 || self.unlike || self.cut
    }
}

impl fmt::Display for Summary {
    /// One line, without a stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        write!(f, "{}: {}", self.format, counted(self.connections.into(), "connection", "connections"))?;
        if self.packets > 0 {
            write!(f, " in {}", counted(self.packets, "packet", "packets"))?;
        }
        if self.unlike {
            let words = if self.connections == 1 { "it does" } else { "they do" };
            write!(f, ", shown though {words} not look like the protocol")?;
        }
        if self.passed_over > 0 {
            let words = counted(self.passed_over, "other TCP connection does", "other TCP connections do");
            write!(f, "; {words} not look like the protocol")?;
        }
        if self.beyond > 0 {
            write!(f, "; {} more than can be followed", counted(self.beyond, "connection", "connections"))?;
        }
        if self.fragments > 0 {
            write!(f, "; {} not put together", counted(self.fragments, "IP fragment", "IP fragments"))?;
        }
        if self.missing > 0 {
            write!(f, "; {} missing", counted(self.missing, "byte is", "bytes are"))?;
        }
        match self.format {
            Format::JsonLines if self.cut => f.write_str("; the file ends inside a line")?,
            _ if self.cut => f.write_str("; the file ends too early, inside a packet")?,
            _ => {}
        }
        Ok(())
    }
}
