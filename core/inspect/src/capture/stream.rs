//! One direction of a recorded connection: cut into pieces that tile it, with their bytes and the reads that brought
//! them.

use std::collections::VecDeque;

use chanwire_core::{
    Span,
    wire::{self, Command, Decoder, Frame, Head, Item, Place, Rest, Status},
};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::chunk::ReadMark;

/// Bytes that mean nothing are not waited for until they end: a row has at most so many.
pub(super) const PIECE: usize = 65_536;

/// How many reads of one row are told apart. Those beyond count as part of the last one.
pub(super) const MAX_READS: usize = 4096;

/// How many bytes before a CRLF may be a first word.
const LONGEST_WORD: usize = 32;

/// An idle stream keeps no more room than this.
const IDLE_ROOM: usize = 4096;

/// More bytes that wait are not written down: as text they take four times as much.
const MOST_CARRIED: usize = 1 << 20;

/// Why bytes mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    WhiteSpace,
    Object,
    Discarded,
    /// The beginning of a frame whose rest is missing.
    Cut,
    /// What stands after a gap, before the first frame.
    Unaligned,
}

/// What a piece is.
#[derive(Debug)]
pub(super) enum What<'a> {
    Request(Frame<'a, Command>),
    Answer(Frame<'a, Status>),
    Fault(wire::Fault),
    Skipped(Why),
}

/// A first word of either side.
trait Sided: Head {
    fn what(frame: Frame<'_, Self>) -> What<'_>;
}

impl Sided for Command {
    fn what(frame: Frame<'_, Self>) -> What<'_> {
        What::Request(frame)
    }
}

impl Sided for Status {
    fn what(frame: Frame<'_, Self>) -> What<'_> {
        What::Answer(frame)
    }
}

/// One piece of the stream.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// Its position in the stream.
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
    pub(super) what: What<'a>,
    pub(super) reads: Reads,
}

/// How a piece lies among the reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// A read begins at its first byte.
    pub(super) begins: bool,
    /// A read ends with its last byte.
    pub(super) ends: bool,
    /// Where each of its reads begins, unless it is the one that completed it.
    pub(super) marks: Vec<ReadMark>,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Stream {
    side: Side,
    max_payload: usize,
    /// Where the decoder began.
    base: u64,
    /// Up to where pieces were given.
    told: u64,
    /// Up to where bytes have come.
    received: u64,
    /// The bytes from `told` on, but for those that are being taken.
    carry: Vec<u8>,
    reads: VecDeque<(u64, f64)>,
    /// How much of `carry` holds no first frame, after a gap.
    sought: usize,
    ended: bool,
}

#[derive(Debug)]
enum Side {
    Out(Decoder<Command>),
    In(Decoder<Status>),
    /// Looking for the first frame after a gap.
    Seeking(Role),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// A stream in the middle of whatever it says, to be written down.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Carried {
    pub(super) max_payload: usize,
    told: u64,
    received: u64,
    waiting: Vec<u8>,
    reads: Vec<(u64, f64)>,
    owns_next: bool,
    ended: bool,
}

/// A frame that is still arriving.
#[derive(Debug)]
pub(super) struct Partial<'a> {
    pub(super) span: Span,
    pub(super) head: &'static str,
    pub(super) state: String,
    pub(super) bytes: &'a [u8],
}

impl Stream {
    pub(super) fn requests(max_payload: usize) -> Self {
        Self::new(Side::Out(Decoder::new(max_payload)), max_payload)
    }

    pub(super) fn answers(max_payload: usize) -> Self {
        Self::new(Side::In(Decoder::new(max_payload)), max_payload)
    }

    fn new(side: Side, max_payload: usize) -> Self {
        let (carry, reads) = (Vec::new(), VecDeque::new());
        Self { side, max_payload, base: 0, told: 0, received: 0, carry, reads, sought: 0, ended: false }
    }

    /// What it is in the middle of; `None` where that cannot be written down.
    pub(super) fn carried(&self) -> Option<Carried> {
        let owns_next = match &self.side {
            _ if self.waiting() > MOST_CARRIED => return None,
            _ if self.ended => false,
            Side::Out(decoder) => decoder.rest()?.owns_next,
            Side::In(decoder) => decoder.rest()?.owns_next,
            Side::Seeking(_) => return None,
        };
        let Self { max_payload, told, received, ended, .. } = *self;
        let reads = self.reads.iter().copied().collect();
        Some(Carried { max_payload, told, received, waiting: self.carry.clone(), reads, owns_next, ended })
    }

    /// Goes on in the middle of it.
    pub(super) fn resume(&mut self, carried: Carried) {
        let Carried { max_payload: _, told, received, waiting, reads, owns_next, ended } = carried;
        let rest = Rest { owns_next };
        match &mut self.side {
            Side::Out(decoder) => *decoder = resumed(self.max_payload, rest, &waiting),
            Side::In(decoder) => *decoder = resumed(self.max_payload, rest, &waiting),
            Side::Seeking(_) => {}
        }
        self.base = told;
        self.told = told;
        self.received = received;
        self.carry = waiting;
        self.reads = reads.into();
        self.ended = ended;
    }

    /// What it keeps, the decoder's own buffer included, which holds at most the same bytes.
    pub(super) fn memory(&self) -> usize {
        2 * self.carry.capacity() + self.reads.capacity() * size_of::<(u64, f64)>()
    }

    /// Up to where bytes have come.
    pub(super) const fn position(&self) -> u64 {
        self.received
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes that no piece was given of yet.
    pub(super) const fn waiting(&self) -> usize {
        self.carry.len()
    }

    /// Takes one read and gives the pieces that it completes.
    pub(super) fn feed(&mut self, time: f64, bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        if self.ended || bytes.is_empty() {
            return;
        }
        if self.reads.len() < MAX_READS {
            self.reads.push_back((self.received, time));
        }
        let fresh = Fresh { start: self.received, bytes };
        self.received += bytes.len() as u64;
        match &mut self.side {
            Side::Out(decoder) => decoder.feed(bytes),
            Side::In(decoder) => decoder.feed(bytes),
            Side::Seeking(_) => {
                self.carry.extend_from_slice(bytes);
                return self.seek(time, &mut sink);
            }
        }
        self.drain(time, fresh, &mut sink);
    }

    /// The stream has ended.
    pub(super) fn finish(&mut self, time: f64, mut sink: impl FnMut(Piece<'_>)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match &mut self.side {
            Side::Out(decoder) => decoder.finish(),
            Side::In(decoder) => decoder.finish(),
            Side::Seeking(_) => return self.flush(Why::Unaligned, time, &mut sink),
        }
        self.drain(time, Fresh { start: self.received, bytes: &[] }, &mut sink);
        self.carry = Vec::new();
        self.reads = VecDeque::new();
    }

    /// So many bytes are missing here. If the stream goes on at a frame's first byte it is `aligned`.
    pub(super) fn skip(&mut self, time: f64, missing: u64, aligned: bool, mut sink: impl FnMut(Piece<'_>)) {
        if self.ended {
            return;
        }
        let (why, closed) = match &self.side {
            Side::Out(decoder) => leftover(decoder),
            Side::In(decoder) => leftover(decoder),
            Side::Seeking(_) => (Why::Unaligned, false),
        };
        self.flush(why, time, &mut sink);
        self.received += missing;
        self.told = self.received;
        self.carry = Vec::new();
        self.reads.clear();
        if closed {
            // What is discarded is discarded to the end, whatever is missing of it.
            return self.feed_closed(missing);
        }
        let role = match self.side {
            Side::Out(_) | Side::Seeking(Role::Client) => Role::Client,
            Side::In(_) | Side::Seeking(Role::Server) => Role::Server,
        };
        self.sought = 0;
        if aligned { self.begin(role) } else { self.side = Side::Seeking(role) }
    }

    /// A closed decoder counts positions and keeps nothing, so what is missing only moves where it stands.
    const fn feed_closed(&mut self, missing: u64) {
        self.base += missing;
    }

    /// A decoder that begins where nothing was told yet.
    fn begin(&mut self, role: Role) {
        self.base = self.told;
        self.side = match role {
            Role::Client => Side::Out(Decoder::new(self.max_payload)),
            Role::Server => Side::In(Decoder::new(self.max_payload)),
        };
    }

    /// The frame that is still arriving.
    pub(super) fn partial(&self) -> Option<Partial<'_>> {
        let (span, head, state) = match &self.side {
            Side::Out(decoder) => partial(decoder)?,
            Side::In(decoder) => partial(decoder)?,
            Side::Seeking(_) if self.carry.is_empty() => return None,
            Side::Seeking(_) => {
                let span = Span::new(self.told - self.base, self.received - self.base);
                (span, "", "after a gap, before the next frame".into())
            }
        };
        let span = Span::new(span.start + self.base, span.end + self.base);
        Some(Partial { span, head, state, bytes: &self.carry })
    }

    fn drain(&mut self, time: f64, fresh: Fresh<'_>, sink: &mut impl FnMut(Piece<'_>)) {
        let Self { side, base, told, received, carry, reads, .. } = self;
        let mut giver = Giver { told, received: *received, carry, reads, fresh, joined: 0, time, sink };
        match side {
            Side::Out(decoder) => giver.items(decoder, *base),
            Side::In(decoder) => giver.items(decoder, *base),
            Side::Seeking(_) => {}
        }
        giver.keep_rest();
        let why = match &self.side {
            Side::Out(decoder) => leftover(decoder).0,
            Side::In(decoder) => leftover(decoder).0,
            Side::Seeking(_) => Why::Unaligned,
        };
        // Only bytes that mean nothing are given before their end is known.
        if why != Why::Cut {
            self.give_pieces(why, time, sink);
        }
    }

    /// Gives whole pieces of bytes that mean nothing.
    fn give_pieces(&mut self, why: Why, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        while self.carry.len() >= PIECE {
            self.give_first(PIECE, why, time, sink);
        }
    }

    /// Gives all that waits.
    fn flush(&mut self, why: Why, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        if why != Why::Cut {
            self.give_pieces(why, time, sink);
        }
        self.give_first(self.carry.len(), why, time, sink);
    }

    /// Gives the first bytes that wait.
    fn give_first(&mut self, length: usize, why: Why, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        let bytes = self.carry.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        let end = self.told + length as u64;
        let reads = reads_of(&mut self.reads, self.received, self.told, end, time);
        sink(Piece { start: self.told, bytes, what: What::Skipped(why), reads });
        self.carry.drain(..length);
        self.told = end;
    }

    /// Looks for a first word that is known, in what waits.
    fn seek(&mut self, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        let Side::Seeking(role) = self.side else { return };
        // Half of a CRLF may have been the last byte.
        if let Some(at) = first_frame(&self.carry, self.sought.saturating_sub(1), role) {
            self.sought = 0;
            self.give_first(at, Why::Unaligned, time, sink);
            self.begin(role);
            let found = std::mem::take(&mut self.carry);
            match &mut self.side {
                Side::Out(decoder) => decoder.feed(&found),
                Side::In(decoder) => decoder.feed(&found),
                Side::Seeking(_) => {}
            }
            return self.drain(time, Fresh { start: self.told, bytes: &found }, sink);
        }
        // A word may have come in part.
        while self.carry.len() >= PIECE + LONGEST_WORD + 2 {
            self.give_first(PIECE, Why::Unaligned, time, sink);
        }
        self.sought = self.carry.len();
    }
}

/// A decoder that has been fed what waits, of which it tells nothing yet.
fn resumed<H: Head>(max_payload: usize, rest: Rest, waiting: &[u8]) -> Decoder<H> {
    let mut decoder = Decoder::after(max_payload, rest);
    decoder.feed(waiting);
    while decoder.next_item().is_some() {}
    decoder
}

/// What the bytes are that a decoder has not told of, and whether it is closed.
fn leftover<H: Head>(decoder: &Decoder<H>) -> (Why, bool) {
    match decoder.partial() {
        _ if decoder.is_closed() => (Why::Discarded, true),
        None => (Why::WhiteSpace, false),
        Some(_) => (Why::Cut, false),
    }
}

fn partial<H: Head>(decoder: &Decoder<H>) -> Option<(Span, &'static str, String)> {
    let partial = decoder.partial()?;
    let state = match partial.place {
        Place::Head => format!("inside a {}", H::NOUN),
        place => place.to_string(),
    };
    Some((partial.span, partial.head.map(H::name).unwrap_or_default(), state))
}

/// Where the first known first word stands that a CRLF follows. No payload has a CRLF after a word: in a string it is
/// escaped. No CRLF ends before `from`.
fn first_frame(bytes: &[u8], from: usize, role: Role) -> Option<usize> {
    let known = |word: &[u8]| match role {
        Role::Client => Command::parse(word).is_some(),
        Role::Server => Status::parse(word).is_some(),
    };
    memmem::find_iter(bytes.get(from..)?, b"\r\n").find_map(|end| {
        let before = bytes.get(..from + end)?;
        let letters = before.iter().rev().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
        let start = before.len() - letters;
        (letters <= LONGEST_WORD && known(before.get(start..)?)).then_some(start)
    })
}

/// The bytes that are being taken.
#[derive(Clone, Copy, Debug)]
struct Fresh<'a> {
    start: u64,
    bytes: &'a [u8],
}

/// Gives pieces while a decoder has items.
struct Giver<'s, 'f, S> {
    told: &'s mut u64,
    received: u64,
    carry: &'s mut Vec<u8>,
    reads: &'s mut VecDeque<(u64, f64)>,
    fresh: Fresh<'f>,
    /// How many of the fresh bytes were added to what waited.
    joined: usize,
    time: f64,
    sink: &'s mut S,
}

impl<S: FnMut(Piece<'_>)> Giver<'_, '_, S> {
    fn items<H: Sided>(&mut self, decoder: &mut Decoder<H>, base: u64) {
        while let Some(item) = decoder.next_item() {
            let end = item.span().end + base;
            let what = match item {
                Item::Frame(frame) => H::what(frame),
                Item::Fault(fault) => What::Fault(fault),
                Item::Skipped(_, wire::Skipped::Object) => What::Skipped(Why::Object),
                Item::Skipped(_, wire::Skipped::WhiteSpace) => {
                    self.pieces(end, Why::WhiteSpace);
                    continue;
                }
                Item::Skipped(_, wire::Skipped::Discarded) => {
                    self.pieces(end, Why::Discarded);
                    continue;
                }
            };
            self.give(end, what);
        }
    }

    /// Bytes that mean nothing, as they would have been given had they come one by one.
    fn pieces(&mut self, end: u64, why: Why) {
        while end.saturating_sub(*self.told) >= PIECE as u64 {
            self.give(*self.told + PIECE as u64, What::Skipped(why));
        }
        if end > *self.told {
            self.give(end, What::Skipped(why));
        }
    }

    fn give(&mut self, end: u64, what: What<'_>) {
        let start = *self.told;
        let reads = reads_of(self.reads, self.received, start, end, self.time);
        let place = |position: u64| usize::try_from(position.saturating_sub(self.fresh.start)).unwrap_or(usize::MAX);
        let bytes = if start >= self.fresh.start {
            self.fresh.bytes.get(place(start)..place(end)).unwrap_or_default()
        } else {
            // What waited begins where nothing was told; the rest of this piece has just come.
            let missing = self.fresh.bytes.get(self.joined..place(end)).unwrap_or_default();
            self.carry.extend_from_slice(missing);
            self.joined += missing.len();
            let length = usize::try_from(end - start).unwrap_or(usize::MAX);
            let first = self.carry.len() - self.waiting(start);
            self.carry.get(first..).and_then(|rest| rest.get(..length)).unwrap_or_default()
        };
        (self.sink)(Piece { start, bytes, what, reads });
        *self.told = end;
    }

    /// How many of the bytes that wait stand at or after this position.
    fn waiting(&self, start: u64) -> usize {
        usize::try_from(self.fresh.start + self.joined as u64 - start).unwrap_or(usize::MAX)
    }

    /// Keeps what nothing was told of.
    fn keep_rest(self) {
        let fresh_rest = |from: usize| self.fresh.bytes.get(from..).unwrap_or_default();
        if *self.told < self.fresh.start {
            let waiting = self.waiting(*self.told);
            self.carry.drain(..self.carry.len() - waiting);
            self.carry.extend_from_slice(fresh_rest(self.joined));
            return;
        }
        let rest = fresh_rest(usize::try_from(*self.told - self.fresh.start).unwrap_or(usize::MAX));
        self.carry.clear();
        self.carry.extend_from_slice(rest);
        if self.carry.is_empty() && self.carry.capacity() > IDLE_ROOM {
            *self.carry = Vec::new();
        }
    }
}

/// How the bytes from `start` to before `end` lie among the reads; forgets the reads that end before.
fn reads_of(reads: &mut VecDeque<(u64, f64)>, received: u64, start: u64, end: u64, time: f64) -> Reads {
    while reads.get(1).is_some_and(|(next, _)| *next <= start) {
        reads.pop_front();
    }
    let Some((first, first_time)) = reads.front().copied() else { return Reads::default() };
    let mut of_piece = Reads { begins: first == start, ends: end == received, marks: Vec::new() };
    let offset = |position: u64| u32::try_from(position - start).unwrap_or(u32::MAX);
    let begins = reads.iter().skip(1).take_while(|(begin, _)| *begin <= end);
    let mut later = Vec::new();
    for (begin, at) in begins {
        if *begin == end {
            of_piece.ends = true;
        } else {
            later.push(ReadMark { offset: offset(*begin), time: *at });
        }
    }
    if !later.is_empty() || first_time.to_bits() != time.to_bits() {
        of_piece.marks.push(ReadMark { offset: 0, time: first_time });
        of_piece.marks.append(&mut later);
    }
    of_piece
}
