//! Streams are reassembled from shuffled, repeated, overlapping and missing segments.

use chanwire_inspect::{
    Direction::{self, In, Out},
    import::ImportOptions,
};
use proptest::{prelude::*, sample::Index};

use crate::kit::{Imported, Segment, pcap, read, read_in, talk};

/// Cuts a stream into segments at these positions, each extended at both ends by an overlap.
fn segments(from: Direction, first: u32, stream: &[u8], cuts: &[(Index, usize, usize)]) -> Vec<Segment> {
    let mut places: Vec<(usize, usize, usize)> =
        cuts.iter().map(|(cut, before, after)| (cut.index(stream.len() + 1), *before, *after)).collect();
    places.sort_unstable();
    places.push((stream.len(), 0, 0));
    let mut start = 0;
    let mut segments = Vec::new();
    for (end, before, after) in places {
        let (a, b) = (start.max(before) - before, (end + after).min(stream.len()));
        segments.push(Segment::new(from, first.wrapping_add(a as u32), &stream[a..b]));
        start = end;
    }
    segments
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"LIST\r\n".repeat(40)),
        "[a-z]{0,200}".prop_map(|text| {
            format!("LIST\r\nMESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"x{text}\"}}").into_bytes()
        }),
    ]
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    (0..30_usize).prop_map(|count| b"OK\r\n{\"channels\": []}".repeat(count))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn segments_may_be_shuffled_doubled_and_overlap(
        out in stream(),
        back in answers(),
        start in any::<(u32, u32)>(),
        cuts in prop::collection::vec((any::<Index>(), 0..20_usize, 0..20_usize), 0..12),
        double in prop::collection::vec(any::<Index>(), 0..4),
        order in any::<u64>(),
    ) {
        let answer = Segment { acknowledges: Some(start.0.wrapping_add(1)), ..Segment::syn(In, start.1) };
        let mut all = vec![Segment::syn(Out, start.0), answer];
        for (from, start, peer, stream) in [(Out, start.0, start.1, &out), (In, start.1, start.0, &back)] {
            let mut parts = segments(from, start.wrapping_add(1), stream, &cuts);
            parts.push(Segment::fin(from, start.wrapping_add(1 + stream.len() as u32)));
            // No segment is acknowledged before it was captured.
            all.extend(parts.into_iter().map(|part| Segment { acknowledges: Some(peer.wrapping_add(1)), ..part }));
        }
        for index in &double {
            all.push(all[index.index(all.len())].clone());
        }
        let mut shuffled = all.clone();
        let mut state = order;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(index, (state >> 33) as usize % (index + 1));
        }
        let (imported, summary) = read(&pcap(101, shuffled.iter().map(Segment::ipv4)));
        prop_assert_eq!(summary.connections, 1);
        prop_assert_eq!(summary.missing, 0);
        prop_assert_eq!(&imported.streams[&(1, Out)], &out);
        prop_assert_eq!(imported.streams.get(&(1, In)).map_or(&[][..], Vec::as_slice), &back);
        prop_assert_eq!(imported.events.iter().filter(|event| event.ends_with(" shut down")).count(), 2);
    }

    #[test]
    fn a_lost_segment_is_a_gap_of_its_size_and_nothing_else_is_lost(
        out in stream(),
        cuts in prop::collection::vec((any::<Index>(), 0..1_usize, 0..1_usize), 1..8),
        lost in any::<Index>(),
    ) {
        let parts = segments(Out, 1, &out, &cuts);
        // The first one is there, since by it the connection is known.
        let lost = 1 + lost.index(parts.len() - 1);
        let mut all = vec![Segment::syn(Out, 0)];
        all.extend(parts.iter().enumerate().filter(|(index, _)| *index != lost).map(|(_, part)| part.clone()));
        all.push(Segment::fin(Out, 1 + out.len() as u32));
        let (imported, summary) = read(&pcap(101, all.iter().map(Segment::ipv4)));
        let at = (parts[lost].sequence - 1) as usize;
        let length = parts[lost].bytes.len();
        prop_assert_eq!(summary.missing, length as u64);
        let gap = if length == 0 { Vec::new() } else { format!("[{length} missing]").into_bytes() };
        prop_assert_eq!(imported.streams.get(&(1, Out)).cloned().unwrap_or_default(), [&out[..at], &gap, &out[at + length..]].concat());
    }

    #[test]
    fn the_pieces_in_which_a_capture_comes_do_not_matter(
        sizes in prop::collection::vec(1..200_usize, 1..8),
        form in 0..3,
    ) {
        let packets = talk(b"LIST\r\n", b"OK\r\n{\"channels\": []}");
        let capture = match form {
            0 => pcap(101, packets.iter().map(Segment::ipv4)),
            1 => exported(),
            _ => b"00000000: 4c49 5354 0d0a 4c49 5354 0d0a            LIST..LIST..\n".to_vec(),
        };
        let (imported, summary) = read_in(&capture, &sizes, ImportOptions::default());
        let whole: (Imported, _) = read(&capture);
        prop_assert_eq!(imported, whole.0);
        prop_assert_eq!(summary.unwrap(), whole.1);
    }

    #[test]
    fn any_change_to_a_capture_ends_well(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12),
        ng in any::<bool>(),
    ) {
        let packets = talk(b"LIST\r\n", b"OK\r\n{\"channels\": []}");
        let mut capture = if ng { exported() } else { pcap(1, packets.iter().map(Segment::ipv4)) };
        let length = capture.len();
        for (index, byte) in changes {
            capture[index.index(length)] = byte;
        }
        let (_, result) = read_in(&capture, &[64], ImportOptions::default());
        if let Err(error) = result {
            prop_assert!(error.at <= length as u64, "{error}");
        }
    }
}

fn exported() -> Vec<u8> {
    let mut file = chanwire_inspect::PcapNg::new();
    file.open(1, 5.0, None, None);
    file.bytes(1, Out, 6.0, b"LIST\r\n", Some("marked"));
    file.gap(1, In, 0, "a gap");
    file.bytes(1, In, 7.0, b"OK\r\n{\"channels\": []}", None);
    file.close(1, 8.0, Some(In), None);
    file.take()
}
