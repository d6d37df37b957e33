//! Each byte of a capture's conversations is shown or counted.

use chanwire_inspect::{
    Direction::{self, In, Out},
    import::{ImportOptions, Summary},
};
use proptest::{prelude::*, sample::Index};

use crate::kit::{Imported, Segment, pcap, read, read_in, talk};

const ASKED: &[u8] = b"LIST\r\n";
const ANSWERED: &[u8] = b"OK\r\n{\"channels\": []}";
const SAID: &[u8] = b"MESSAGE\r\n{\"username\": \"ann\", \"message_content\": \"hello\"}";
const DELIVERED: &[u8] = b"OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";

fn capture(segments: &[Segment]) -> Vec<u8> {
    pcap(101, segments.iter().map(Segment::ipv4))
}

fn import(segments: &[Segment]) -> (Imported, Summary) {
    read(&capture(segments))
}

/// Returns the number of bytes that are shown, of all connections and both directions.
fn shown(imported: &Imported) -> u64 {
    imported.bytes
}

/// Checks that the packets' bytes are shown or counted.
fn account(segments: &[Segment], imported: &Imported, summary: &Summary) -> Result<(), String> {
    let carried: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
    let counted = summary.repeated + summary.reset_text + summary.passed_over_bytes;
    if carried as u64 == shown(imported) + counted {
        return Ok(());
    }
    Err(format!("{carried} bytes, {} shown, {counted} counted in '{summary}': {:#?}", shown(imported), imported.events))
}

fn streams(imported: &Imported, summary: &Summary) -> Vec<(String, String)> {
    (1..=summary.connections).map(|number| (imported.stream(number, Out), imported.stream(number, In))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Returns a conversation whose numbers are so much larger.
fn later(out: &[u8], back: &[u8], by: u32) -> Vec<Segment> {
    talk(out, back).into_iter().map(|segment| segment.moved(by)).collect()
}

fn reset(from: Direction, sequence: u32, bytes: &[u8]) -> Segment {
    Segment { reset: true, ..Segment::new(from, sequence, bytes) }
}

#[test]
fn a_syn_that_comes_again_after_a_reset_opens_another_connection() {
    let whole = talk(ASKED, ANSWERED);
    let refused = Segment { acknowledges: Some(101), ..reset(In, 0, b"") };
    let (imported, summary) = import(&[&[whole[0].clone(), refused], &whole[..]].concat());
    assert_eq!(streams(&imported, &summary), [(text(ASKED), text(ANSWERED))]);
    assert_eq!(summary.empty, 1, "{summary}");
    assert!(!summary.unlike, "{summary}");
}

#[test]
fn a_half_open_connection_gives_way_to_the_one_that_opens() {
    let old = talk(ASKED, ANSWERED);
    let new = later(SAID, DELIVERED, 3_000_000);
    // The server acknowledges what it knows, and the client resets that.
    let challenge = Segment { acknowledges: Some(107), ..Segment::new(In, 5021, b"") };
    let parts = [&old[..4], &[new[0].clone(), challenge, reset(Out, 107, b"")], &new[..]].concat();
    let (imported, summary) = import(&parts);
    assert_eq!(streams(&imported, &summary), [(text(ASKED), text(ANSWERED)), (text(SAID), text(DELIVERED))]);
    assert_eq!(summary.ignored_resets, 1, "{summary}");
}

#[test]
fn ports_that_are_used_again_are_another_connection_whatever_was_captured_of_its_handshake() {
    for by in [20_000, 800_000, 1_199_848, 900_000_000, u32::MAX - 50, 3_000_000_000] {
        for first in [0, 2, 3] {
            for begins in 0..4 {
                let (old, new) = (talk(ASKED, ANSWERED), later(SAID, DELIVERED, by));
                let (imported, summary) = import(&[&old[first..], &new[begins..]].concat());
                let of = format!("{by} later, from {first} and {begins} on: {summary} {:#?}", imported.events);
                assert_eq!(summary.connections, 2, "{of}");
                let (out, back) = (imported.stream(2, Out), imported.stream(2, In));
                assert!(out.ends_with(&text(SAID)) || begins == 3 && out.is_empty(), "{of}");
                assert!(back.ends_with(&text(DELIVERED)), "{of}");
                assert_eq!(summary.missing, 0, "{of}");
            }
        }
    }
}

#[test]
fn ports_that_are_used_again_without_an_end_are_another_connection_by_its_handshake() {
    for by in [20_000, 1_199_848, 3_000_000_000] {
        for (first, begins) in [(0, 0), (0, 1), (2, 0), (2, 1)] {
            let (old, new) = (talk(ASKED, ANSWERED), later(SAID, DELIVERED, by));
            let (imported, summary) = import(&[&old[first..4], &new[begins..]].concat());
            let of = format!("{by} later, from {first} and {begins} on: {summary} {:#?}", imported.events);
            assert_eq!((summary.connections, summary.missing), (2, 0), "{of}");
            assert_eq!((imported.stream(2, Out), imported.stream(2, In)), (text(SAID), text(DELIVERED)), "{of}");
        }
    }
}

#[test]
fn bytes_after_a_reset_are_shown() {
    let whole = talk(ASKED, ANSWERED);
    // The answer was on its way.
    let answer = [&whole[..3], &[reset(Out, 107, b"")], &whole[3..4]].concat();
    let (imported, summary) = import(&answer);
    assert_eq!(streams(&imported, &summary)[1].1, format!("[0 missing]{}", text(ANSWERED)), "{:#?}", imported.events);
    assert!(imported.events.iter().any(|event| event.contains("sent after the connection was reset")));
    // A reset that nobody accepts, and one that somebody forged: the connection goes on.
    for sequence in [107 - 7, 107 + 900, 107 + 2_000_000_000] {
        let more = Segment { acknowledges: Some(5021), ..Segment::new(Out, 107, SAID) };
        let goes_on = [&whole[..4], &[reset(Out, sequence, b""), more]].concat();
        let (imported, summary) = import(&goes_on);
        assert_eq!(imported.stream(1, Out), text(&[ASKED, SAID].concat()), "{:#?}", imported.events);
        assert_eq!((summary.connections, summary.ignored_resets), (1, 1), "{summary}");
        // A reset with nothing after it was the end.
        let (imported, summary) = import(&goes_on[..5]);
        assert_eq!(imported.events.last().unwrap(), "1 close reset by the client!");
        assert_eq!(summary.ignored_resets, 0);
    }
}

#[test]
fn the_text_of_a_reset_is_no_part_of_the_stream() {
    let whole = talk(ASKED, ANSWERED);
    let parts = [&whole[..4], &[reset(In, 5021, b"Go away, \x1b[2J")]].concat();
    let (imported, summary) = import(&parts);
    assert_eq!(imported.stream(1, In), text(ANSWERED));
    let last = imported.events.last().unwrap();
    assert!(last.starts_with("1 close reset by the server, with the text 'Go away, "), "{last}");
    assert!(!last.contains('\x1b'), "{last}");
    assert!(summary.to_string().contains("13 bytes of text in resets"), "{summary}");
    account(&parts, &imported, &summary).unwrap();
}

#[test]
fn probes_of_an_idle_connection_are_nothing_new() {
    let whole = talk(ASKED, ANSWERED);
    let probe =
        |from, sequence: u32, bytes: &[u8]| Segment { acknowledges: None, ..Segment::new(from, sequence, bytes) };
    let mut parts = whole[..4].to_vec();
    parts.extend([probe(Out, 106, b"\0"), probe(Out, 106, b""), probe(In, 5020, b"\0")]);
    parts.extend_from_slice(&whole[4..]);
    // After the end, the byte stands where the FIN does.
    parts.push(probe(Out, 107, b"\0"));
    let (imported, summary) = import(&parts);
    assert_eq!(streams(&imported, &summary), [(text(ASKED), text(ANSWERED))]);
    assert_eq!((summary.repeated, summary.missing), (3, 0), "{summary}");
    account(&parts, &imported, &summary).unwrap();
}

#[test]
fn a_fin_that_is_lost_or_comes_before_the_rest_is_no_byte() {
    let whole = talk(ASKED, ANSWERED);
    // The FIN comes first, then what it follows.
    let early = [&whole[..2], &[whole[4].clone()], &whole[2..4], &whole[5..]].concat();
    let (imported, summary) = import(&early);
    assert_eq!(streams(&imported, &summary), [(text(ASKED), text(ANSWERED))]);
    assert_eq!(summary.missing, 0);
    assert_eq!(imported.events.last().unwrap(), "1 close closed");
    // Bytes before it are lost.
    let lost = [&whole[..2], &whole[3..]].concat();
    let (imported, summary) = import(&lost);
    assert_eq!((imported.stream(1, Out), summary.missing), ("[6 missing]".into(), 6), "{:#?}", imported.events);
}

/// A change to a conversation on its way to the capture.
#[derive(Clone, Debug)]
enum Change {
    Lose(Index),
    Repeat(Index, Index),
    Swap(Index),
    Insert(Index, Box<Segment>),
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Out), Just(In)]
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop_oneof![Just(Vec::new()), Just(b"\0".to_vec()), "[ -~]{1,30}".prop_map(String::into_bytes)];
    let near = prop_oneof![90..400_u32, 4990..5200_u32, any::<u32>(), 0..3_u32];
    let flags = prop_oneof![Just((false, false, false)), any::<(bool, bool, bool)>()];
    let stray = (direction(), near.clone(), prop::option::of(near), flags, bytes).prop_map(
        |(from, sequence, acknowledges, (syn, fin, reset), bytes)| {
            Box::new(Segment { acknowledges, syn, fin, reset, ..Segment::new(from, sequence, &bytes) })
        },
    );
    prop_oneof![
        any::<Index>().prop_map(Change::Lose),
        any::<(Index, Index)>().prop_map(|(which, place)| Change::Repeat(which, place)),
        any::<Index>().prop_map(Change::Swap),
        (any::<Index>(), stray).prop_map(|(place, segment)| Change::Insert(place, segment)),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<Segment>> {
    let side = |frame: &'static [u8]| (0..4_usize).prop_map(move |count| frame.repeat(count));
    let by = prop_oneof![Just(0_u32), 0..3_000_u32, any::<u32>()];
    (side(SAID), side(DELIVERED), by, 1..80_usize).prop_map(|(out, back, by, size)| {
        let mut parts = Vec::new();
        for segment in later(&out, &back, by) {
            if segment.bytes.is_empty() {
                parts.push(segment);
                continue;
            }
            for (index, bytes) in segment.bytes.chunks(size).enumerate() {
                let sequence = segment.sequence.wrapping_add((index * size) as u32);
                parts.push(Segment { sequence, bytes: bytes.to_vec(), ..segment.clone() });
            }
        }
        parts
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_is_shown_or_counted(
        conversations in prop::collection::vec(conversation(), 1..4),
        changes in prop::collection::vec(change(), 0..12),
        everything in any::<bool>(),
    ) {
        let mut parts = conversations.concat();
        for change in changes {
            let length = parts.len();
            match change {
                _ if length == 0 => {}
                Change::Lose(which) => _ = parts.remove(which.index(length)),
                Change::Repeat(which, place) => {
                    let again = parts[which.index(length)].clone();
                    parts.insert(place.index(length + 1), again);
                }
                Change::Swap(which) if length > 1 => {
                    let which = which.index(length - 1);
                    parts.swap(which, which + 1);
                }
                Change::Swap(_) => {}
                Change::Insert(place, segment) => parts.insert(place.index(length + 1), *segment),
            }
        }
        let options = ImportOptions { everything, ..ImportOptions::default() };
        let (imported, summary) = read_in(&capture(&parts), &[usize::MAX], options);
        let summary = summary.unwrap();
        prop_assert_eq!(account(&parts, &imported, &summary), Ok(()));
        prop_assert_eq!(summary.packets, parts.len() as u64);
    }
}
