//! Reassembly of one direction of a TCP connection.

use std::collections::BTreeMap;

/// The most bytes of one direction that may wait for those before them.
pub(super) const MAX_HELD: usize = 1 << 20;

/// The most segments of one direction that may wait for those before them.
const MAX_SEGMENTS: usize = 4096;

/// A segment farther than this from the current position belongs to another connection, or is forged.
const MAX_DISTANCE: i64 = 1 << 30;

/// A segment farther than this beyond the bytes seen belongs to another connection if its acknowledgement does not fit
/// either.
const FAR: u64 = 1 << 16;

/// An acknowledgement does not fit if it is farther than this beyond the bytes seen.
const UNSEEN: u64 = 1 << 20;

/// The time to wait for bytes that the peer has acknowledged, in nanoseconds: they arrived, so the capture has them
/// only a little late, or not at all.
const ACKNOWLEDGED_WAIT: i64 = 50_000_000;

/// The time to wait for the start of a connection whose SYN was not seen.
const START_WAIT: i64 = 1_000_000_000;

/// The position given to the first byte seen, so that earlier bytes that arrive later have positions too.
const MIDDLE: u64 = 1 << 32;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) acknowledges: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) reset: bool,
    pub(super) bytes: &'a [u8],
    /// The number of bytes after these that were not captured.
    pub(super) missing: usize,
    /// Whether the capture says that bytes missing before these are lost.
    pub(super) after_gap: bool,
}

impl Segment<'_> {
    /// Returns the number of bytes of the stream that it stands for.
    pub(super) const fn length(&self) -> u64 {
        self.bytes.len() as u64 + self.missing as u64
    }

    /// Returns the sequence number of its first byte.
    pub(super) const fn first(&self) -> u32 {
        if self.syn { self.sequence.wrapping_add(1) } else { self.sequence }
    }
}

/// The relation of a segment to the bytes seen of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It can be a part of it.
    Part,
    /// All of it was seen before.
    Seen,
    /// It would leave a large gap.
    Far,
    /// It cannot be a part of it.
    Foreign,
}

/// An output of a direction.
#[derive(Debug, PartialEq)]
pub(super) enum Out<'a> {
    Bytes(&'a [u8]),
    /// A number of bytes that are not in the capture.
    Gap(u64),
    /// A start in the middle: the next byte is not the stream's first one.
    Middle,
    End,
}

/// One direction. Bytes come out once each, in order; where there are two versions of a byte, the first one that was
/// taken counts.
#[derive(Debug, Default)]
pub(super) struct Stream {
    state: State,
    /// The sequence number of the byte at [`Self::position`].
    next: u32,
    position: u64,
    /// The position of its first byte, once the state is [`State::Known`].
    first: u64,
    /// Whether the position of the first byte is known from a SYN.
    has_start: bool,
    /// Segments that wait for bytes before them, by position.
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// The position of its end, once that is known.
    end: Option<u64>,
    /// Whether the end was emitted.
    ended: bool,
    /// The end of the bytes that the peer has acknowledged.
    acknowledged: u64,
    /// The last sequence number that the peer acknowledged.
    last_acknowledged: Option<u32>,
    /// The time since which something is waited for, in nanoseconds.
    waits_since: Option<i64>,
    /// The number of captured bytes that repeat earlier ones.
    repeated: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unseen,
    /// Bytes were seen, but they may not be the first ones.
    Unsure,
    Known,
}

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    missing: u64,
}

impl Held {
    fn length(&self) -> u64 {
        self.bytes.len() as u64 + self.missing
    }
}

impl Stream {
    /// Returns whether everything up to its end was emitted.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns the number of bytes that wait for those before them.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Returns the number of captured bytes that repeat earlier ones.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Counts the bytes of a segment that repeats earlier bytes.
    pub(super) fn repeat(&mut self, bytes: usize) {
        self.repeated += bytes as u64;
    }

    /// Returns whether this direction can have started with a SYN of this sequence number, which is shortly before the
    /// bytes seen.
    pub(super) fn may_start(&self, sequence: u32) -> bool {
        let first = sequence.wrapping_add(1);
        let shortly_before = |place: u64| {
            let distance = self.place(first).and_then(|start| place.checked_sub(start));
            distance.is_some_and(|distance| distance <= MAX_HELD as u64)
        };
        match self.state {
            // Nothing but the peer's acknowledgements is known.
            State::Unseen => self.last_acknowledged.is_none_or(|last| last.wrapping_sub(first) <= MAX_HELD as u32),
            State::Unsure => shortly_before(self.held.first_key_value().map_or(self.position, |(first, _)| *first)),
            State::Known => self.place(first) == Some(self.first),
        }
    }

    /// Returns the relation of a segment to the bytes seen.
    pub(super) fn fit(&self, sequence: u32, length: u64) -> Fit {
        if self.state == State::Unseen {
            return Fit::Part;
        }
        let Some(place) = self.place(sequence) else { return Fit::Foreign };
        let end = place.saturating_add(length);
        // A FIN takes one sequence number. So does the byte of a keep-alive, which is the one before the next byte.
        let last = self.end.map_or(u64::MAX, |end| end + 1);
        let is_after_start = place.saturating_add(1) >= self.first;
        if end > last || !is_after_start && (self.has_start || end < self.first) {
            Fit::Foreign
        } else if self.state == State::Known && is_after_start && end <= if self.ended { last } else { self.position } {
            Fit::Seen
        } else if place > self.reached().saturating_add(FAR) {
            Fit::Far
        } else {
            Fit::Part
        }
    }

    /// Returns whether the peer can acknowledge this sequence number, as far as is known.
    pub(super) fn can_be_acknowledged(&self, sequence: u32) -> bool {
        if self.state == State::Unseen {
            return true;
        }
        let most = self.reached().saturating_add(UNSEEN);
        self.place(sequence).is_some_and(|place| place.saturating_add(1) >= self.first && place <= most)
    }

    /// Returns whether a reset with this sequence number is certain to be accepted: it is between the acknowledged
    /// bytes and the end of the bytes seen.
    pub(super) fn can_reset(&self, sequence: u32) -> bool {
        if self.state != State::Known {
            return true;
        }
        let least = self.acknowledged.max(self.first).min(self.position);
        let most = self.end.map_or(0, |end| end + 1).max(self.reached());
        self.place(sequence).is_some_and(|place| (least..=most).contains(&place))
    }

    /// Returns the end of the bytes seen.
    fn reached(&self) -> u64 {
        self.held.last_key_value().map_or(0, |(place, held)| place + held.length()).max(self.position)
    }

    /// Takes the SYN of this direction.
    pub(super) fn start(&mut self, sequence: u32, out: &mut impl FnMut(Out<'_>)) {
        let first = sequence.wrapping_add(1);
        match self.state {
            State::Known => return,
            State::Unseen => (self.next, self.position) = (first, MIDDLE),
            State::Unsure => {
                // Nothing was emitted yet, so the position can be corrected.
                self.position = self.place(first).unwrap_or(self.position);
                self.next = first;
            }
        }
        self.state = State::Known;
        self.first = self.position;
        self.has_start = true;
        self.release(out);
    }

    /// Takes a segment of this direction that [fits](Self::fit).
    pub(super) fn take(&mut self, time: i64, segment: &Segment<'_>, out: &mut impl FnMut(Out<'_>)) {
        let (first, length) = (segment.first(), segment.length());
        if length == 0 && !segment.fin {
            return;
        }
        if self.state == State::Unseen {
            (self.state, self.next, self.position) = (State::Unsure, first, MIDDLE);
        }
        let Some(place) = self.place(first) else { return self.repeat(segment.bytes.len()) };
        // An end before bytes that were seen belongs to another connection.
        if segment.fin && self.end.is_none() && place + length >= self.reached() {
            self.end = Some(place + length);
        }
        if length > 0 || self.end == Some(place) {
            self.put(place, segment, out);
        }
        if segment.after_gap && self.state == State::Known {
            self.skip(out);
        }
        self.settle(time, out);
    }

    /// Notes that the peer acknowledges the bytes before this sequence number.
    pub(super) fn acknowledge(&mut self, sequence: u32) {
        self.last_acknowledged = Some(sequence);
        if let Some(place) = self.place(sequence).filter(|_| self.state != State::Unseen) {
            self.acknowledged = self.acknowledged.max(place);
        }
    }

    /// Advances time: gives up bytes that have been waited for long enough, as missing.
    pub(super) fn settle(&mut self, time: i64, out: &mut impl FnMut(Out<'_>)) {
        if self.held.is_empty() {
            self.waits_since = None;
            return;
        }
        let since = *self.waits_since.get_or_insert(time);
        let waited = time - since;
        if self.state == State::Unsure {
            let is_acknowledged = self.held.first_key_value().is_some_and(|(first, _)| self.acknowledged > *first);
            if waited < START_WAIT && self.held_bytes <= MAX_HELD / 16 && self.held.len() < 64 && !is_acknowledged {
                return;
            }
            self.decide(out);
        }
        while let Some((first, _)) = self.held.first_key_value() {
            let is_full = self.held_bytes > MAX_HELD || self.held.len() > MAX_SEGMENTS;
            if is_full || waited >= ACKNOWLEDGED_WAIT && self.acknowledged >= *first {
                self.skip(out);
            } else {
                return;
            }
        }
        self.waits_since = None;
    }

    /// Ends the direction: gives up all bytes that are still waited for, as missing.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Out<'_>)) {
        if self.state == State::Unsure {
            self.decide(out);
        }
        while !self.held.is_empty() {
            self.skip(out);
        }
        match self.end {
            Some(end) if end > self.position && !self.ended => {
                out(Out::Gap(end - self.position));
                self.position = end;
                self.release(out);
            }
            _ => {}
        }
    }

    /// Gives up the bytes before this sequence number that were not captured: the capture says that the stream reached
    /// it.
    pub(super) fn reach(&mut self, sequence: u32, out: &mut impl FnMut(Out<'_>)) {
        // A FIN takes a sequence number, but is not a byte.
        let most = self.end.unwrap_or(u64::MAX);
        let place = self.place(sequence).map(|place| place.min(most));
        if let Some(place) = place.filter(|place| self.state == State::Known && *place > self.position) {
            let gap = place - self.position;
            out(Out::Gap(gap));
            self.advance(gap);
            self.release(out);
        }
    }

    /// Emits all held bytes, and gaps for the bytes missing before them, to free memory.
    pub(super) fn emit_held(&mut self, out: &mut impl FnMut(Out<'_>)) {
        if self.state == State::Unsure && !self.held.is_empty() {
            self.decide(out);
        }
        while !self.held.is_empty() {
            self.skip(out);
        }
        self.waits_since = None;
    }

    /// Returns the position of the byte with this sequence number.
    fn place(&self, sequence: u32) -> Option<u64> {
        let distance = i64::from(sequence.wrapping_sub(self.next).cast_signed());
        if distance.abs() > MAX_DISTANCE {
            return None;
        }
        self.position.checked_add_signed(distance)
    }

    fn put(&mut self, place: u64, segment: &Segment<'_>, out: &mut impl FnMut(Out<'_>)) {
        // The byte of a keep-alive after the end is not part of the stream.
        let room = self.end.map_or(u64::MAX, |end| end.saturating_sub(place));
        let bytes = segment.bytes.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(segment.bytes);
        self.repeated += (segment.bytes.len() - bytes.len()) as u64;
        let missing = (segment.missing as u64).min(room - bytes.len() as u64);
        let end = place + bytes.len() as u64 + missing;
        if self.state == State::Known && place <= self.position && (self.held.is_empty() || end <= self.position) {
            // The usual case: it is emitted at once, without a copy.
            self.pass(place, bytes, missing, out);
            return self.release(out);
        }
        let held = Held { bytes: bytes.to_vec(), missing };
        match self.held.get(&place) {
            // The first version of each byte counts, and a longer segment adds bytes.
            Some(known) if known.length() >= held.length() && known.bytes.len() >= held.bytes.len() => {
                self.repeated += held.bytes.len() as u64;
            }
            Some(known) => {
                let mut bytes = known.bytes.clone();
                self.repeated += bytes.len().min(held.bytes.len()) as u64;
                bytes.extend(held.bytes.get(bytes.len()..).unwrap_or_default());
                let missing = (known.length().max(held.length())).saturating_sub(bytes.len() as u64);
                self.held_bytes += bytes.len() - known.bytes.len();
                self.held.insert(place, Held { bytes, missing });
            }
            None => {
                self.held_bytes += held.bytes.len();
                self.held.insert(place, held);
            }
        }
        self.release(out);
    }

    /// Emits the segments that continue the stream.
    fn release(&mut self, out: &mut impl FnMut(Out<'_>)) {
        if self.state != State::Known {
            return;
        }
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() > self.position {
                break;
            }
            let (place, held) = entry.remove_entry();
            self.held_bytes -= held.bytes.len();
            self.pass(place, &held.bytes, held.missing, out);
        }
        if self.end.is_some_and(|end| self.position >= end) && !self.ended {
            self.ended = true;
            out(Out::End);
        }
    }

    /// Emits the new part of these bytes, which start at or before the position.
    fn pass(&mut self, place: u64, bytes: &[u8], missing: u64, out: &mut impl FnMut(Out<'_>)) {
        let known = self.position.saturating_sub(place);
        self.repeated += known.min(bytes.len() as u64);
        if let Some(new) =
            usize::try_from(known).ok().and_then(|known| bytes.get(known..)).filter(|new| !new.is_empty())
        {
            out(Out::Bytes(new));
            self.advance(new.len() as u64);
        }
        let end = place + bytes.len() as u64 + missing;
        if missing > 0 && end > self.position {
            let gap = end - self.position;
            out(Out::Gap(gap));
            self.advance(gap);
        }
    }

    fn advance(&mut self, length: u64) {
        self.position += length;
        // Sequence numbers wrap around.
        self.next = self.next.wrapping_add(length as u32);
    }

    /// Gives up the bytes before the first held ones, and continues there.
    fn skip(&mut self, out: &mut impl FnMut(Out<'_>)) {
        if let Some((first, _)) = self.held.first_key_value()
            && *first > self.position
        {
            let gap = first - self.position;
            out(Out::Gap(gap));
            self.advance(gap);
        }
        self.release(out);
    }

    /// Takes the first held bytes as the start of the stream, because no SYN was seen.
    fn decide(&mut self, out: &mut impl FnMut(Out<'_>)) {
        self.state = State::Known;
        self.first = self.position;
        if let Some((first, held)) = self.held.first_key_value() {
            let distance = first.wrapping_sub(self.position);
            self.next = self.next.wrapping_add(distance as u32);
            self.position = *first;
            self.first = *first;
            if held.length() > 0 {
                out(Out::Middle);
            }
        }
        self.release(out);
    }
}
