//! From a captured packet to the TCP segment in it, through links and tunnels.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, LaxIpSlice, TcpHeader, TcpSlice, err::ip::LaxHeaderSliceError, ether_type, ip_number};

use super::{packet::Packet, tcp::Segment};

/// The content of a packet.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Tcp { from: SocketAddr, to: SocketAddr, segment: Segment<'a> },
    Other(PacketKind),
}

/// The kind of a packet without TCP that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketKind {
    Udp,
    Icmp,
    Arp,
    /// Other protocols over IP.
    OtherIp,
    /// Neither IP nor ARP.
    OtherNetwork,
    Encrypted,
    /// A fragment of an IP packet. Fragments are not put together.
    Fragment,
    /// It ends before its TCP header does.
    Short,
    Broken,
    Deep,
    /// A kind of link that is not understood.
    Link,
}

impl PacketKind {
    pub(super) const ALL: [Self; 11] = [
        Self::Udp,
        Self::Icmp,
        Self::Arp,
        Self::OtherIp,
        Self::OtherNetwork,
        Self::Encrypted,
        Self::Fragment,
        Self::Short,
        Self::Broken,
        Self::Deep,
        Self::Link,
    ];

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Icmp => "ICMP",
            Self::Arp => "ARP",
            Self::OtherIp => "other IP",
            Self::OtherNetwork => "neither IP nor ARP",
            Self::Encrypted => "encrypted by IPsec or MACsec",
            Self::Fragment => "IP fragments, not put together",
            Self::Short => "captured too short",
            Self::Broken => "broken",
            Self::Deep => "in too many tunnels",
            Self::Link => "of link type",
        }
    }

    /// Returns whether TCP may be in it.
    pub(super) const fn may_be_tcp(self) -> bool {
        !matches!(self, Self::Udp | Self::Icmp | Self::Arp | Self::OtherIp | Self::OtherNetwork)
    }
}

/// The kinds of links that are understood, as they are numbered in captures.
mod links {
    pub(super) const NULL: i32 = 0;
    pub(super) const ETHERNET: i32 = 1;
    pub(super) const PPP: i32 = 9;
    pub(super) const PPP_HDLC: i32 = 50;
    pub(super) const PPP_ETHER: i32 = 51;
    pub(super) const RAW: [i32; 5] = [12, 14, 101, 228, 229];
    pub(super) const CISCO_HDLC: i32 = 104;
    pub(super) const LOOP: i32 = 108;
    pub(super) const LINUX_COOKED: i32 = 113;
    pub(super) const MPLS: i32 = 219;
    pub(super) const LINUX_COOKED_2: i32 = 276;
}

/// Returns the name of a kind of link that is not understood, to stand after its number.
pub(super) fn link_name(link: i32) -> &'static str {
    match link {
        6 => " (Token Ring)",
        10 => " (FDDI)",
        105 => " (802.11)",
        107 => " (Frame Relay)",
        117 => " (OpenBSD pflog)",
        119 => " (802.11 with Prism header)",
        122 => " (IP over Fibre Channel)",
        127 => " (802.11 with radiotap header)",
        138 => " (Apple IP over IEEE 1394)",
        147..=162 => " (for private use)",
        163 => " (802.11 with AVS header)",
        187 | 201 => " (Bluetooth HCI)",
        189 | 220 => " (USB, Linux)",
        192 => " (PPI)",
        195 | 215 | 230 | 283 => " (802.15.4)",
        227 => " (CAN, SocketCAN)",
        239 => " (nflog)",
        247 => " (InfiniBand)",
        249 => " (USB, Windows)",
        251 => " (Bluetooth Low Energy)",
        252 => " (Wireshark's exported PDUs)",
        253 => " (netlink)",
        _ => "",
    }
}

/// Headers within headers, no more than this.
const MAX_LAYERS: usize = 16;

/// The ports of UDP at which a tunnel ends.
mod ports {
    pub(super) const VXLAN: [u16; 2] = [4789, 8472];
    pub(super) const GENEVE: u16 = 6081;
    pub(super) const GTP: u16 = 2152;
    pub(super) const MPLS: u16 = 6635;
}

const PPPOE_SESSION: u16 = 0x8864;
const MPLS: [u16; 2] = [0x8847, 0x8848];
const BRIDGED: u16 = 0x6558;
const ERSPAN_2: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;
const MACSEC: u16 = 0x88e5;

/// The next header.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Ethernet,
    EtherType(u16),
    Ip,
    IpNumber(IpNumber),
    Mpls,
    Pppoe,
    Ppp,
}

/// Returns the segment in a packet.
pub(super) fn content<'a>(packet: &Packet<'a>) -> Content<'a> {
    walk(packet).unwrap_or_else(Content::Other)
}

fn walk<'a>(packet: &Packet<'a>) -> Result<Content<'a>, PacketKind> {
    use links::{CISCO_HDLC, ETHERNET, LINUX_COOKED, LINUX_COOKED_2, LOOP, NULL, PPP, PPP_ETHER, PPP_HDLC, RAW};
    let bytes = packet.bytes;
    let (mut layer, mut bytes) = match packet.link {
        ETHERNET => (Layer::Ethernet, bytes),
        LINUX_COOKED => (Layer::EtherType(be16(bytes, 14)?), after(bytes, 16)?),
        LINUX_COOKED_2 => (Layer::EtherType(be16(bytes, 0)?), after(bytes, 20)?),
        // Four bytes of an address family that every system numbers its own way: the IP version tells as much.
        NULL | LOOP => (Layer::Ip, after(bytes, 4)?),
        PPP | PPP_HDLC => (Layer::Ppp, bytes),
        PPP_ETHER => (Layer::Pppoe, bytes),
        CISCO_HDLC => (Layer::EtherType(be16(bytes, 2)?), after(bytes, 4)?),
        links::MPLS => (Layer::Mpls, bytes),
        link if RAW.contains(&link) => (Layer::Ip, bytes),
        _ => return Err(PacketKind::Link),
    };
    for _ in 0..MAX_LAYERS {
        (layer, bytes) = match layer {
            Layer::Ethernet => (Layer::EtherType(be16(bytes, 12)?), after(bytes, 14)?),
            Layer::EtherType(kind) => of_ether_type(kind, bytes)?,
            Layer::Mpls => {
                let label = bytes.get(2).ok_or(PacketKind::Short)?;
                let rest = after(bytes, 4)?;
                match rest.first().map(|first| first >> 4) {
                    _ if label & 1 == 0 => (Layer::Mpls, rest),
                    Some(4 | 6) => (Layer::Ip, rest),
                    // A pseudowire: four bytes of control, and then Ethernet.
                    Some(0) => (Layer::Ethernet, after(rest, 4)?),
                    _ => return Err(PacketKind::OtherNetwork),
                }
            }
            Layer::Pppoe => (Layer::Ppp, after(bytes, 6)?),
            Layer::Ppp => of_ppp(bytes)?,
            Layer::Ip => match of_ip(bytes, packet)? {
                Inside::Tcp(content) => return Ok(content),
                Inside::Layer(layer, rest) => (layer, rest),
            },
            Layer::IpNumber(number) => of_ip_number(number, bytes)?,
        };
    }
    Err(PacketKind::Deep)
}

fn of_ether_type(kind: u16, bytes: &[u8]) -> Result<(Layer, &[u8]), PacketKind> {
    use ether_type::{ARP, IPV4, IPV6, PROVIDER_BRIDGING, VLAN_DOUBLE_TAGGED_FRAME, VLAN_TAGGED_FRAME};
    Ok(match kind {
        kind if kind == IPV4.0 || kind == IPV6.0 => (Layer::Ip, bytes),
        kind if [VLAN_TAGGED_FRAME.0, PROVIDER_BRIDGING.0, VLAN_DOUBLE_TAGGED_FRAME.0].contains(&kind) => {
            (Layer::EtherType(be16(bytes, 2)?), after(bytes, 4)?)
        }
        kind if MPLS.contains(&kind) => (Layer::Mpls, bytes),
        PPPOE_SESSION => (Layer::Pppoe, bytes),
        BRIDGED => (Layer::Ethernet, bytes),
        kind if kind == ARP.0 => return Err(PacketKind::Arp),
        MACSEC => return Err(PacketKind::Encrypted),
        // A length: 802.2, and in it perhaps an EtherType after all.
        ..=1500 if bytes.starts_with(&[0xaa, 0xaa, 3, 0, 0, 0]) => {
            (Layer::EtherType(be16(bytes, 6)?), after(bytes, 8)?)
        }
        _ => return Err(PacketKind::OtherNetwork),
    })
}

fn of_ppp(bytes: &[u8]) -> Result<(Layer, &[u8]), PacketKind> {
    let bytes = bytes.strip_prefix(&[0xff, 3]).unwrap_or(bytes);
    // A number whose first byte is odd has one byte.
    let (protocol, rest) = match bytes {
        [first, rest @ ..] if first & 1 == 1 => (u16::from(*first), rest),
        _ => (be16(bytes, 0)?, after(bytes, 2)?),
    };
    match protocol {
        0x21 | 0x57 => Ok((Layer::Ip, rest)),
        0x281 | 0x283 => Ok((Layer::Mpls, rest)),
        _ => Err(PacketKind::OtherNetwork),
    }
}

/// The content of an IP packet.
enum Inside<'a> {
    Tcp(Content<'a>),
    Layer(Layer, &'a [u8]),
}

fn of_ip<'a>(bytes: &'a [u8], packet: &Packet<'_>) -> Result<Inside<'a>, PacketKind> {
    let (ip, _) = LaxIpSlice::from_slice(bytes).map_err(|error| match error {
        LaxHeaderSliceError::Len(_) => PacketKind::Short,
        LaxHeaderSliceError::Content(_) => PacketKind::Broken,
    })?;
    let (source, destination, announced): (IpAddr, IpAddr, usize) = match &ip {
        LaxIpSlice::Ipv4(ip) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into(), header.total_len().into())
        }
        LaxIpSlice::Ipv6(ip) => {
            let header = ip.header();
            let length = usize::from(header.payload_length());
            (header.source_addr().into(), header.destination_addr().into(), if length == 0 { 0 } else { 40 + length })
        }
    };
    let payload = ip.payload();
    if payload.fragmented {
        return Err(PacketKind::Fragment);
    }
    if payload.ip_number != IpNumber::TCP {
        return Ok(Inside::Layer(Layer::IpNumber(payload.ip_number), payload.payload));
    }
    // Bytes that the header announces and that were not captured are missing from the packet's end. A segment that the
    // network card has yet to cut announces none.
    let missing = match announced {
        0 => packet.length.saturating_sub(packet.bytes.len()),
        _ => announced.saturating_sub(bytes.len()),
    };
    let (from, to, segment) = segment(payload.payload, missing)?;
    Ok(Inside::Tcp(Content::Tcp {
        from: SocketAddr::new(source, from),
        to: SocketAddr::new(destination, to),
        segment: Segment { after_gap: packet.after_gap, ..segment },
    }))
}

/// Returns the header after an IP header.
fn of_ip_number(number: IpNumber, bytes: &[u8]) -> Result<(Layer, &[u8]), PacketKind> {
    Ok(match number {
        ip_number::IPV4 | ip_number::IPV6 => (Layer::Ip, bytes),
        ip_number::GRE => of_gre(bytes)?,
        ip_number::UDP => return of_udp(bytes),
        ip_number::MPLS_IN_IP => (Layer::Mpls, bytes),
        ip_number::ETHER_IP => (Layer::Ethernet, after(bytes, 2)?),
        ip_number::ENCAP_SEC => return Err(PacketKind::Encrypted),
        ip_number::ICMP | ip_number::IPV6_ICMP => return Err(PacketKind::Icmp),
        _ => return Err(PacketKind::OtherIp),
    })
}

fn of_gre(bytes: &[u8]) -> Result<(Layer, &[u8]), PacketKind> {
    let (flags, kind) = (be16(bytes, 0)?, be16(bytes, 2)?);
    let has = |bit: u16| flags & bit != 0;
    // Source routing is obsolete, so the remaining hops are not read.
    if has(0x4000) {
        return Err(PacketKind::OtherIp);
    }
    let words = 1 + usize::from(has(0x8000)) + usize::from(has(0x2000)) + usize::from(has(0x1000));
    // The version that PPTP uses may acknowledge.
    let words = if flags & 7 == 1 { words + usize::from(has(0x80)) } else { words };
    let rest = after(bytes, 4 * words)?;
    Ok(match kind {
        // Without a sequence number it is of the first type, which has no header.
        ERSPAN_2 => (Layer::Ethernet, after(rest, if has(0x1000) { 8 } else { 0 })?),
        ERSPAN_3 => {
            let optional = rest.get(11).is_some_and(|last| last & 1 == 1);
            (Layer::Ethernet, after(rest, if optional { 20 } else { 12 })?)
        }
        0x880b => (Layer::Ppp, rest),
        kind => (Layer::EtherType(kind), rest),
    })
}

fn of_udp(bytes: &[u8]) -> Result<(Layer, &[u8]), PacketKind> {
    let (source, destination, rest) = (be16(bytes, 0)?, be16(bytes, 2)?, after(bytes, 8)?);
    let is_for = |port: u16| destination == port || source == port;
    if ports::VXLAN.into_iter().any(is_for) && rest.first().is_some_and(|flags| flags & 0x08 != 0) {
        return Ok((Layer::Ethernet, after(rest, 8)?));
    }
    if is_for(ports::GENEVE) && rest.first().is_some_and(|first| first >> 6 == 0) {
        let options = 4 * usize::from(rest.first().copied().unwrap_or_default() & 0x3f);
        return Ok((Layer::EtherType(be16(rest, 2)?), after(rest, 8 + options)?));
    }
    // Version 1 with a user's packet; of its options there may be a sequence number.
    if is_for(ports::GTP) && rest.first().is_some_and(|first| first >> 4 == 3) && rest.get(1) == Some(&255) {
        let flags = rest.first().copied().unwrap_or_default();
        // Options that follow each other are not looked for.
        let has_more = flags & 4 != 0 && rest.get(11).is_none_or(|next| *next != 0);
        let header = if flags & 7 == 0 { 8 } else { 12 };
        return if has_more { Err(PacketKind::Udp) } else { Ok((Layer::Ip, after(rest, header)?)) };
    }
    if is_for(ports::MPLS) {
        return Ok((Layer::Mpls, rest));
    }
    Err(PacketKind::Udp)
}

fn be16(bytes: &[u8], at: usize) -> Result<u16, PacketKind> {
    match bytes.get(at..at + 2) {
        Some([high, low]) => Ok(u16::from(*high) << 8 | u16::from(*low)),
        _ => Err(PacketKind::Short),
    }
}

fn after(bytes: &[u8], length: usize) -> Result<&[u8], PacketKind> {
    bytes.get(length..).ok_or(PacketKind::Short)
}

/// Returns a segment and its ports. `missing` bytes of it were not captured.
fn segment(bytes: &[u8], missing: usize) -> Result<(u16, u16, Segment<'_>), PacketKind> {
    let tcp = match TcpSlice::from_slice(bytes) {
        Ok(tcp) => tcp,
        // The options are cut. The length of what follows them is known all the same.
        Err(_) if bytes.len() >= TcpHeader::MIN_LEN => {
            let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, ..] = *bytes else {
                return Err(PacketKind::Short);
            };
            let header = 4 * usize::from(offset >> 4);
            if header < TcpHeader::MIN_LEN {
                return Err(PacketKind::Broken);
            }
            let has = |bit: u8| flags & bit != 0;
            let segment = Segment {
                sequence: u32::from_be_bytes([s0, s1, s2, s3]),
                acknowledges: has(0x10).then_some(u32::from_be_bytes([a0, a1, a2, a3])),
                syn: has(2),
                fin: has(1),
                reset: has(4),
                bytes: &[],
                missing: (bytes.len() + missing).saturating_sub(header),
                after_gap: false,
            };
            return Ok((be16(bytes, 0)?, be16(bytes, 2)?, segment));
        }
        Err(_) => return Err(PacketKind::Short),
    };
    let segment = Segment {
        sequence: tcp.sequence_number(),
        acknowledges: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        reset: tcp.rst(),
        bytes: tcp.payload(),
        missing,
        after_gap: false,
    };
    Ok((tcp.source_port(), tcp.destination_port(), segment))
}

/// Returns the kind of link that these bytes of one packet, copied from somewhere, are of: a TCP segment must come out.
pub(super) fn guess(bytes: &[u8]) -> Option<i32> {
    let is_packet = |link: &i32| {
        let word = |at| be16(bytes, at).ok();
        let exact = match *link {
            links::ETHERNET => [ether_type::IPV4, ether_type::IPV6, ether_type::VLAN_TAGGED_FRAME]
                .iter()
                .any(|known| Some(known.0) == word(12)),
            // The header's length must match the bytes, or text that starts with E would count as a packet.
            101 => match bytes.first().map(|first| first >> 4) {
                Some(4) => word(2).is_some_and(|length| usize::from(length) == bytes.len()),
                Some(6) => word(4).is_some_and(|length| usize::from(length) + 40 == bytes.len()),
                _ => false,
            },
            links::NULL => {
                matches!(bytes.get(..4), Some([2 | 10 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 2 | 10 | 24 | 28 | 30]))
            }
            links::LINUX_COOKED => matches!(word(14), Some(0x0800 | 0x86dd)),
            _ => matches!((word(0), word(2)), (Some(0x0800 | 0x86dd), Some(0))),
        };
        let packet = Packet::new(*link, bytes);
        exact && matches!(content(&packet), Content::Tcp { .. } | Content::Other(PacketKind::Fragment))
    };
    [101, links::ETHERNET, links::LINUX_COOKED, links::LINUX_COOKED_2, links::NULL].into_iter().find(is_packet)
}
