//! Packets that are exported: each is as long as it says, and its checksums are right.

use std::net::{IpAddr, SocketAddr};

use chanwire_inspect::{
    Direction::{In, Out},
    PcapNg,
};

/// Returns the packets of an export, which begin with IP.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut packets) = (0, Vec::new());
    while at < file.len() {
        let length = word(at + 4);
        assert_eq!(word(at + length - 4), length, "the length at the block's end");
        if word(at) == 6 {
            assert_eq!(word(at + 20), word(at + 24), "a packet is captured whole");
            packets.push(file[at + 28..at + 28 + word(at + 20)].to_vec());
        }
        at += length;
    }
    packets
}

/// Returns the sum of RFC 1071, which is 0xffff of parts that include their own checksum.
fn sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn be16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

/// Checks a packet; gives its ends and its segment.
fn check(packet: &[u8]) -> ((IpAddr, IpAddr), &[u8]) {
    let (ends, source_and_destination, segment): ((IpAddr, IpAddr), &[u8], &[u8]) = match packet[0] >> 4 {
        4 => {
            assert_eq!((packet[0], packet[9], be16(packet, 2)), (0x45, 6, packet.len()), "the header of IPv4");
            assert_eq!(sum(&[&packet[..20]]), 0xffff, "the checksum of IPv4");
            let [a, b] = [12, 16].map(|at| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
            ((a.into(), b.into()), &packet[12..20], &packet[20..])
        }
        _ => {
            assert_eq!((packet[6], be16(packet, 4)), (6, packet.len() - 40), "the header of IPv6");
            let [a, b] = [8, 24].map(|at| <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
            ((a.into(), b.into()), &packet[8..40], &packet[40..])
        }
    };
    let length = u32::try_from(segment.len()).unwrap().to_be_bytes();
    assert_eq!(sum(&[source_and_destination, &length, &[0, 0, 0, 6], segment]), 0xffff, "the checksum of TCP");
    (ends, segment)
}

#[test]
fn every_packet_has_the_right_checksums_lengths_and_numbers() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (client, server) in [
        ("192.0.2.1:40000", "198.51.100.255:22236"),
        ("[2001:db8::1]:40000", "[2001:db8:ffff::2]:22236"),
        ("192.0.2.1:40000", "[2001:db8::2]:22236"),
    ] {
        let mut file = PcapNg::new();
        file.open(3, 1e12, Some(address(client)), Some(address(server)));
        for length in [1_usize, 2, 3, 255, 1_000, 32_767, 32_768, 32_769, 70_001] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
            file.bytes(3, Out, 1e12, &bytes, (length % 2 == 0).then_some("a comment"));
            file.bytes(3, In, 1e12, &vec![0xff; length], None);
            file.gap(3, In, length as u64, "missing");
        }
        file.end(3, Out, 1e12);
        file.close(3, 1e12, Some(In), Some("reset"));
        let packets = packets(&file.take());
        // The next number of each direction; the handshake tells the first.
        let mut next: [Option<u32>; 2] = [None, None];
        let mut carried = [0; 2];
        for packet in &packets {
            let ((source, _), segment) = check(packet);
            let side = usize::from(be16(segment, 0) == 22236);
            assert_eq!(be16(segment, if side == 0 { 2 } else { 0 }), 22236, "the port of the server");
            assert_eq!(source.to_canonical(), address(if side == 0 { client } else { server }).ip(), "who sends it");
            let sequence = u32::from_be_bytes(segment[4..8].try_into().unwrap());
            let acknowledged = u32::from_be_bytes(segment[8..12].try_into().unwrap());
            let header = 4 * usize::from(segment[12] >> 4);
            let (flags, bytes) = (segment[13], &segment[header..]);
            let missing = next[side].map_or(0, |next| sequence.wrapping_sub(next));
            assert!(side == 1 && missing < 80_000 || missing == 0, "{missing} bytes are missing");
            if flags & 0x10 != 0 {
                assert!(
                    next[1 - side].is_none_or(|next| acknowledged.wrapping_sub(next) < 80_000),
                    "what it acknowledges"
                );
            }
            carried[side] += bytes.len();
            let counted = bytes.len() as u32 + u32::from(flags & 3 != 0);
            next[side] = Some(sequence.wrapping_add(counted));
        }
        let all = 1 + 2 + 3 + 255 + 1_000 + 32_767 + 32_768 + 32_769 + 70_001;
        assert_eq!(carried, [all, all]);
    }
}
