//! One direction of a TCP connection, put in order again.

use std::collections::BTreeMap;

/// How many bytes of one direction may wait for those before them.
pub(super) const MAX_HELD: usize = 1 << 20;

/// How many segments of one direction may wait for those before them.
const MAX_SEGMENTS: usize = 4096;

/// A segment this far off is of another connection, or forged.
const MAX_DISTANCE: i64 = 1 << 30;

/// How long what the peer has acknowledged is waited for, in milliseconds: it arrived, so the capture has it only a
/// little late, or not at all.
const PATIENCE: f64 = 50.0;

/// How long the start of a connection whose SYN was not seen is waited for.
const START: f64 = 1000.0;

/// Where the first byte is put that was seen of a direction whose start is not known: there is room before it.
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
    /// How many bytes it had after these, which were not captured.
    pub(super) missing: usize,
    /// Whoever wrote the capture says that what is missing before these bytes will not come.
    pub(super) after_gap: bool,
}

/// What comes out of a direction.
#[derive(Debug, PartialEq)]
pub(super) enum Out<'a> {
    Bytes(&'a [u8]),
    /// So many bytes are not in the capture.
    Gap(u64),
    /// What comes next is not the stream's first byte.
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
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// Where it ends, once that is known.
    end: Option<u64>,
    ended: bool,
    /// Up to here the peer has everything.
    acknowledged: u64,
    /// Since when something is waited for.
    waits_since: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unseen,
    /// Bytes came, and it is not known whether they are the first.
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
    /// Whether everything came, up to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// How many bytes wait for those before them.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The SYN of this direction.
    pub(super) fn start(&mut self, sequence: u32, out: &mut impl FnMut(Out<'_>)) {
        let first = sequence.wrapping_add(1);
        match self.state {
            State::Known => return,
            State::Unseen => (self.next, self.position) = (first, MIDDLE),
            State::Unsure => {
                // Nothing came out yet, so its place is corrected.
                self.position = self.place(first).unwrap_or(self.position);
                self.next = first;
            }
        }
        self.state = State::Known;
        self.release(out);
    }

    /// A segment of this direction.
    pub(super) fn take(&mut self, time: f64, segment: &Segment<'_>, out: &mut impl FnMut(Out<'_>)) {
        let first = if segment.syn { segment.sequence.wrapping_add(1) } else { segment.sequence };
        let length = segment.bytes.len() as u64 + segment.missing as u64;
        if length == 0 && !segment.fin {
            return;
        }
        if self.state == State::Unseen {
            (self.state, self.next, self.position) = (State::Unsure, first, MIDDLE);
        }
        let Some(place) = self.place(first) else { return };
        if segment.fin && self.end.is_none() {
            self.end = Some(place + length);
        }
        self.put(place, segment, out);
        if segment.after_gap && self.state == State::Known {
            self.skip(out);
        }
        self.settle(time, out);
    }

    /// The peer says that it has everything before this sequence number.
    pub(super) fn acknowledge(&mut self, sequence: u32) {
        if let Some(place) = self.place(sequence).filter(|_| self.state != State::Unseen) {
            self.acknowledged = self.acknowledged.max(place);
        }
    }

    /// Time goes on: what was waited for long enough is missing.
    pub(super) fn settle(&mut self, time: f64, out: &mut impl FnMut(Out<'_>)) {
        if self.held.is_empty() {
            self.waits_since = None;
            return;
        }
        let since = *self.waits_since.get_or_insert(time);
        let waited = time - since;
        if self.state == State::Unsure {
            let is_acknowledged = self.held.first_key_value().is_some_and(|(first, _)| self.acknowledged > *first);
            if waited < START && self.held_bytes <= MAX_HELD / 16 && self.held.len() < 64 && !is_acknowledged {
                return;
            }
            self.decide(out);
        }
        while let Some((first, _)) = self.held.first_key_value() {
            let is_full = self.held_bytes > MAX_HELD || self.held.len() > MAX_SEGMENTS;
            if is_full || waited >= PATIENCE && self.acknowledged >= *first {
                self.skip(out);
            } else {
                return;
            }
        }
        self.waits_since = None;
    }

    /// Nothing more comes: what is still waited for is missing.
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

    /// What does not reach this sequence number is missing: whoever wrote the capture says that the stream came so far.
    pub(super) fn reach(&mut self, sequence: u32, out: &mut impl FnMut(Out<'_>)) {
        if let Some(place) = self.place(sequence).filter(|place| self.state == State::Known && *place > self.position) {
            let gap = place - self.position;
            out(Out::Gap(gap));
            self.advance(gap);
            self.release(out);
        }
    }

    /// Lets everything that waits pass, and what is missing before it with it.
    pub(super) fn relieve(&mut self, out: &mut impl FnMut(Out<'_>)) {
        if self.state == State::Unsure && !self.held.is_empty() {
            self.decide(out);
        }
        while !self.held.is_empty() {
            self.skip(out);
        }
        self.waits_since = None;
    }

    /// Where a byte with this sequence number stands.
    fn place(&self, sequence: u32) -> Option<u64> {
        let distance = i64::from(sequence.wrapping_sub(self.next).cast_signed());
        if distance.abs() > MAX_DISTANCE {
            return None;
        }
        self.position.checked_add_signed(distance)
    }

    fn put(&mut self, place: u64, segment: &Segment<'_>, out: &mut impl FnMut(Out<'_>)) {
        let end = place + segment.bytes.len() as u64 + segment.missing as u64;
        if self.state == State::Known && place <= self.position && (self.held.is_empty() || end <= self.position) {
            // As nearly always: it comes out at once, without a copy.
            self.pass(place, segment.bytes, segment.missing as u64, out);
            return self.release(out);
        }
        let held = Held { bytes: segment.bytes.to_vec(), missing: segment.missing as u64 };
        match self.held.get(&place) {
            // The first version counts; a longer one brings more.
            Some(known) if known.length() >= held.length() && known.bytes.len() >= held.bytes.len() => {}
            Some(known) => {
                let mut bytes = known.bytes.clone();
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

    /// Lets out what is next.
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

    /// Lets out what is new in these bytes, which start at or before the position.
    fn pass(&mut self, place: u64, bytes: &[u8], missing: u64, out: &mut impl FnMut(Out<'_>)) {
        let known = self.position.saturating_sub(place);
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

    /// Goes on at the first bytes that wait.
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

    /// No SYN came: the first bytes that wait are the first there are.
    fn decide(&mut self, out: &mut impl FnMut(Out<'_>)) {
        self.state = State::Known;
        if let Some((first, held)) = self.held.first_key_value() {
            let distance = first.wrapping_sub(self.position);
            self.next = self.next.wrapping_add(distance as u32);
            self.position = *first;
            if held.length() > 0 {
                out(Out::Middle);
            }
        }
        self.release(out);
    }
}
