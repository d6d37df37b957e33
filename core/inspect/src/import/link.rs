//! From a captured packet to the TCP segment in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice, ether_type};

use super::{container::Packet, tcp::Segment};

/// What a packet is.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Tcp {
        from: SocketAddr,
        to: SocketAddr,
        segment: Segment<'a>,
    },
    /// A part of an IP packet. What it carries is not put together.
    Fragment,
    /// Something else, or something broken.
    Other,
}

/// The kinds of links that are understood, as they are numbered in captures.
mod links {
    pub(super) const NULL: i32 = 0;
    pub(super) const ETHERNET: i32 = 1;
    pub(super) const RAW: [i32; 5] = [12, 14, 101, 228, 229];
    pub(super) const LOOP: i32 = 108;
    pub(super) const LINUX_COOKED: i32 = 113;
    pub(super) const LINUX_COOKED_2: i32 = 276;
}

/// Whether packets of this kind of link are understood.
pub(super) fn is_known(link: i32) -> bool {
    use links::{ETHERNET, LINUX_COOKED, LINUX_COOKED_2, LOOP, NULL, RAW};
    matches!(link, NULL | ETHERNET | LOOP | LINUX_COOKED | LINUX_COOKED_2) || RAW.contains(&link)
}

/// The segment in a packet.
pub(super) fn content<'a>(packet: &Packet<'a>) -> Content<'a> {
    content_of(packet).unwrap_or(Content::Other)
}

fn content_of<'a>(packet: &Packet<'a>) -> Option<Content<'a>> {
    use links::{ETHERNET, LINUX_COOKED, LINUX_COOKED_2, LOOP, NULL, RAW};
    let bytes = packet.bytes;
    let sliced = match packet.link {
        ETHERNET => LaxSlicedPacket::from_ethernet(bytes).ok()?,
        LINUX_COOKED => of_ether_type(bytes, 14, 16)?,
        LINUX_COOKED_2 => of_ether_type(bytes, 0, 20)?,
        // Four bytes of an address family that every system numbers its own way: the IP version tells as much.
        NULL | LOOP => LaxSlicedPacket::from_ip(bytes.get(4..)?).ok()?,
        link if RAW.contains(&link) => LaxSlicedPacket::from_ip(bytes).ok()?,
        _ => return None,
    };
    let net = sliced.net.as_ref()?;
    let (source, destination, payload) = match net {
        LaxNetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into(), ip.payload())
        }
        LaxNetSlice::Ipv6(ip) => {
            (IpAddr::from(ip.header().source_addr()), IpAddr::from(ip.header().destination_addr()), ip.payload())
        }
        LaxNetSlice::Arp(_) => return None,
    };
    if payload.fragmented {
        return Some(Content::Fragment);
    }
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { return None };
    // What was on the wire and not captured is missing from the segment's end.
    let missing = if payload.incomplete { packet.length.saturating_sub(bytes.len()) } else { 0 };
    Some(Content::Tcp {
        from: SocketAddr::new(source, tcp.source_port()),
        to: SocketAddr::new(destination, tcp.destination_port()),
        segment: segment(tcp, missing, packet.after_gap),
    })
}

/// A packet whose header says at `kind` what follows after `header` bytes.
fn of_ether_type(bytes: &[u8], kind: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let kind: [u8; 2] = bytes.get(kind..kind + 2)?.try_into().ok()?;
    Some(LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(kind)), bytes.get(header..)?))
}

fn segment<'a>(tcp: &TcpSlice<'a>, missing: usize, after_gap: bool) -> Segment<'a> {
    Segment {
        sequence: tcp.sequence_number(),
        acknowledges: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        reset: tcp.rst(),
        bytes: tcp.payload(),
        missing,
        after_gap,
    }
}

/// The kind of link that these bytes of one packet, copied from somewhere, are of: a TCP segment must come out.
pub(super) fn guess(bytes: &[u8]) -> Option<i32> {
    let is_packet = |link: &i32| {
        let exact = match *link {
            links::ETHERNET => bytes.get(12..14).is_some_and(|kind| {
                [ether_type::IPV4, ether_type::IPV6, ether_type::VLAN_TAGGED_FRAME]
                    .iter()
                    .any(|known| known.0.to_be_bytes() == kind)
            }),
            // The header's length must be what is there, or text that starts with E would be taken for a packet.
            101 => match bytes.first().map(|first| first >> 4) {
                Some(4) => bytes.get(2..4).is_some_and(|length| be16(length) == bytes.len()),
                Some(6) => bytes.get(4..6).is_some_and(|length| be16(length) + 40 == bytes.len()),
                _ => false,
            },
            links::NULL => {
                matches!(bytes.get(..4), Some([2 | 10 | 24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 2 | 10 | 24 | 28 | 30]))
            }
            links::LINUX_COOKED => bytes.get(14..16).is_some_and(|kind| kind == [8, 0] || kind == [0x86, 0xdd]),
            _ => bytes.get(..4).is_some_and(|kind| kind == [8, 0, 0, 0] || kind == [0x86, 0xdd, 0, 0]),
        };
        let packet = Packet { time: 0.0, link: *link, bytes, length: bytes.len(), after_gap: false, over: None };
        exact && !matches!(content(&packet), Content::Other)
    };
    [101, links::ETHERNET, links::LINUX_COOKED, links::LINUX_COOKED_2, links::NULL].into_iter().find(is_packet)
}

fn be16(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
