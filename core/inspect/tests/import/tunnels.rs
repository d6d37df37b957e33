//! Tunnels, and packets in which there is nothing to read: they are counted by what they are.

use chanwire_inspect::{
    Direction::{In, Out},
    import::ImportOptions,
};
use etherparse::{IpNumber, Ipv4Header, PacketBuilder};

use crate::kit::{Segment, pcap, read, read_in, talk};

const ASKED: &[u8] = b"LIST\r\n";
const ANSWERED: &[u8] = b"OK\r\n{\"channels\": []}";

fn before(front: &[u8], packet: &[u8]) -> Vec<u8> {
    [front, packet].concat()
}

fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    [&[4; 6][..], &[2; 6], &kind.to_be_bytes(), rest].concat()
}

/// Wraps it in UDP, between the ends of a tunnel.
fn udp(port: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(50_000, port).write_to_vec(&mut packet, rest).unwrap();
    packet
}

/// Wraps it in an IP packet of this protocol.
fn ip(number: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap();
    let header = Ipv4Header::new(length, 64, IpNumber(number), [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
    before(&header.to_bytes(), rest)
}

type Wrap = fn(&[u8]) -> Vec<u8>;

/// Kinds of links and tunnels, and how an IP packet is put into each.
const TUNNELS: [(&str, u32, Wrap); 22] = [
    ("VXLAN", 101, |ip| udp(4789, &before(&[8, 0, 0, 0, 0, 0, 7, 0], &ethernet(0x800, ip)))),
    ("VXLAN of Linux", 101, |ip| udp(8472, &before(&[8, 0, 0, 0, 0, 0, 7, 0], &ethernet(0x800, ip)))),
    ("Geneve with an option", 101, |ip| {
        udp(6081, &before(&[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 1, 9, 9, 9, 9], &ethernet(0x800, ip)))
    }),
    ("GTP", 101, |ip| udp(2152, &before(&[0x30, 255, 0, 0, 0, 0, 0, 7], ip))),
    ("GTP with a number", 101, |ip| udp(2152, &before(&[0x32, 255, 0, 0, 0, 0, 0, 7, 0, 1, 0, 0], ip))),
    ("MPLS in UDP", 101, |ip| udp(6635, &before(&[0, 1, 0x11, 64], ip))),
    ("MPLS, two labels", 1, |ip| ethernet(0x8847, &before(&[0, 1, 0x10, 64, 0, 2, 0x11, 64], ip))),
    ("a pseudowire", 1, |ip| ethernet(0x8847, &before(&[0, 1, 0x11, 64, 0, 0, 0, 0], &ethernet(0x800, ip)))),
    ("PPPoE", 1, |ip| ethernet(0x8864, &before(&[0x11, 0, 0, 7, 0, 0, 0, 0x21], ip))),
    ("PPP", 9, |ip| before(&[0xff, 3, 0, 0x21], ip)),
    ("PPP, compressed", 9, |ip| before(&[0x21], ip)),
    ("HDLC of Cisco", 104, |ip| before(&[15, 0, 8, 0], ip)),
    ("GRE", 101, |packet| ip(47, &before(&[0, 0, 8, 0], packet))),
    ("GRE with a sum, a key and a number", 101, |packet| {
        ip(47, &before(&[0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], packet))
    }),
    ("GRE with Ethernet", 101, |packet| ip(47, &before(&[0, 0, 0x65, 0x58], &ethernet(0x800, packet)))),
    ("ERSPAN", 101, |packet| {
        ip(47, &before(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 0], &ethernet(0x800, packet)))
    }),
    ("IP in IP", 101, |packet| ip(4, packet)),
    ("EtherIP", 101, |packet| ip(97, &before(&[0x30, 0], &ethernet(0x800, packet)))),
    ("two VLANs", 1, |ip| ethernet(0x88a8, &before(&[0, 7, 0x81, 0, 0, 8, 8, 0], ip))),
    ("802.2 with SNAP", 1, |ip| ethernet(200, &before(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip))),
    ("a tunnel in a tunnel", 101, |packet| ip(47, &before(&[0, 0, 8, 0], &ip(4, packet)))),
    ("AH", 101, |packet| {
        ip(51, &before(&[4, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9], packet))
    }),
];

#[test]
fn packets_in_a_tunnel_are_read_as_if_outside() {
    let plain = read(&pcap(101, talk(ASKED, ANSWERED).iter().map(Segment::ipv4))).0;
    for (name, link, wrap) in TUNNELS {
        let (imported, summary) = read(&pcap(link, talk(ASKED, ANSWERED).iter().map(|part| wrap(&part.ipv4()))));
        assert_eq!(imported, plain, "{name}: {summary}");
        assert_eq!(summary.other.total(), 0, "{name}: {summary}");
    }
    // 6in4.
    let (imported, _) = read(&pcap(101, talk(ASKED, ANSWERED).iter().map(|part| ip(41, &part.ipv6()))));
    assert_eq!((imported.stream(1, Out).as_bytes(), imported.stream(1, In).as_bytes()), (ASKED, ANSWERED));
}

#[test]
fn a_tunnel_that_is_cut_anywhere_is_counted_as_that() {
    for (name, link, wrap) in TUNNELS {
        let packet = wrap(&talk(ASKED, ANSWERED)[2].ipv4());
        for cut in 0..packet.len() {
            let (imported, summary) = read(&pcap(link, [packet[..cut].to_vec()]));
            let whole = imported.bytes + imported.events.iter().filter(|event| event.contains(" gap ")).count() as u64;
            assert!(summary.other.total() == 1 || whole > 0, "{name}, {cut} bytes: {summary} {imported:?}");
        }
    }
}

#[test]
fn packets_without_tcp_are_counted_by_what_they_are() {
    let fragment = {
        let mut packet = talk(ASKED, ANSWERED)[2].ipv4();
        packet[6] |= 0x20;
        packet
    };
    let nested = (0..20).fold(talk(ASKED, ANSWERED)[2].ipv4(), |packet, _| ip(4, &packet));
    for (packet, words, lacks) in [
        (ethernet(0x800, &udp(53, b"query")), "1 UDP", false),
        (ethernet(0x806, &[0; 28]), "1 ARP", false),
        (ethernet(0x800, &ip(1, &[8; 8])), "1 ICMP", false),
        (ethernet(0x800, &ip(132, &[8; 8])), "1 other IP", false),
        (ethernet(0x88cc, &[8; 8]), "1 neither IP nor ARP", false),
        (ethernet(0x800, &ip(50, &[8; 8])), "1 encrypted by IPsec or MACsec", true),
        (ethernet(0x800, &fragment), "1 IP fragments, not put together", true),
        (ethernet(0x800, &talk(ASKED, ANSWERED)[2].ipv4()[..30]), "1 captured too short", true),
        (ethernet(0x800, &[0x12; 40]), "1 broken", true),
        (ethernet(0x800, &nested), "1 in too many tunnels", true),
    ] {
        let conversation = talk(ASKED, ANSWERED);
        let mut packets = vec![packet];
        let (_, alone) = read(&pcap(1, packets.clone()));
        // Nothing is no answer, whatever it was.
        assert!(alone.lacks() && alone.to_string().contains(words), "{alone}");
        packets.extend(conversation.iter().map(|part| ethernet(0x800, &part.ipv4())));
        let (_, summary) = read(&pcap(1, packets));
        assert!(summary.to_string().ends_with(&format!("; no TCP to read in 1 packet ({words})")), "{summary}");
        assert_eq!((summary.connections, summary.lacks()), (1, lacks), "{summary}");
    }
    // Acknowledgements alone.
    let bare = Segment::new(Out, 5, b"");
    let (_, summary) = read(&pcap(101, [bare.ipv4()]));
    assert!(summary.lacks(), "{summary}");
    assert!(summary.to_string().contains("1 packet is of a TCP connection that carried nothing"), "{summary}");
}

#[test]
fn other_links_are_named() {
    for (link, name) in
        [(105, "105 (802.11)"), (127, "127 (802.11 with radiotap header)"), (147, "147 (for private use)")]
    {
        let (_, result) = read_in(&pcap(link, [vec![0; 60]]), &[7], ImportOptions::default());
        let error = result.unwrap_err();
        assert!(error.message.contains(&format!("link type {name}")), "{error}");
    }
}

/// Tests captures of any number of bytes of each packet, with a frame check sequence on the wire or without.
#[test]
fn a_gap_is_as_long_as_the_ip_header_says() {
    for snap in [40, 44, 54, 60, 64, 70] {
        for wire in [0, 4, 18] {
            let mut file = crate::kit::header(101);
            let conversation = talk(&ASKED.repeat(5), ANSWERED);
            for (index, segment) in conversation.iter().enumerate() {
                let packet = segment.ipv4();
                let cut = packet.len().min(snap);
                crate::kit::record(&mut file, index as u32, &packet[..cut], (packet.len() + wire) as u32);
            }
            let (imported, summary) = read(&file);
            let all: usize = conversation.iter().map(|segment| segment.bytes.len()).sum();
            assert_eq!(
                imported.bytes + summary.missing,
                all as u64,
                "{snap} bytes, {wire} more: {:#?}",
                imported.events
            );
            assert_eq!(imported.events.last().unwrap(), "1 close closed", "{:#?}", imported.events);
        }
    }
}

/// Options of TCP that are cut hide nothing of how long the segment was.
#[test]
fn a_segment_whose_options_are_cut_is_missing_as_a_whole() {
    let conversation = talk(ASKED, ANSWERED);
    let mut file = crate::kit::header(101);
    for (index, segment) in conversation.iter().enumerate() {
        let mut packet = segment.ipv4();
        // Twelve bytes of options, as nearly all segments have.
        let length = u16::try_from(packet.len() + 12).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[32] = 8 << 4;
        packet.splice(40..40, [1; 12]);
        let cut = if segment.bytes.is_empty() { packet.len() } else { 46 };
        crate::kit::record(&mut file, index as u32, &packet[..cut], packet.len() as u32);
    }
    let (imported, summary) = read(&file);
    assert_eq!(summary.missing, (ASKED.len() + ANSWERED.len()) as u64, "{:#?}", imported.events);
    assert_eq!(summary.other.total(), 0);
}
