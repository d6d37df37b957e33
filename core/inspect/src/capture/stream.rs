//! One direction of a recorded connection, split into consecutive pieces without gaps, with their bytes and reads.

use std::collections::VecDeque;

use chanwire_core::{
    Span,
    wire::{self, Command, Decoder, Frame, Item, Place, ResumeState, StartLine, Status},
};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::{
    reads::{Reads, reads_of},
    words::SkipReason,
};

/// The longest piece of skipped bytes: longer runs become several pieces.
pub(super) const PIECE: usize = 65_536;

/// The most reads of one row that are distinguished. Later ones count as part of the last one.
pub(super) const MAX_READS: usize = 4096;

/// The longest word before a CRLF that may be a command or status, in bytes.
const LONGEST_WORD: usize = 32;

/// The largest buffer, in bytes, that an idle stream keeps.
const IDLE_ROOM: usize = 4096;

/// The most waiting bytes that are carried into another capture. Serialized as text, they take four times as much.
const MAX_CARRIED: usize = 1 << 20;

/// The kind of a piece.
#[derive(Debug)]
pub(super) enum PieceKind<'a> {
    Request(Frame<'a, Command>),
    Answer(Frame<'a, Status>),
    Fault(wire::Fault),
    Skipped(SkipReason),
}

/// A command or a status.
trait Sided: StartLine {
    fn kind(frame: Frame<'_, Self>) -> PieceKind<'_>;
}

impl Sided for Command {
    fn kind(frame: Frame<'_, Self>) -> PieceKind<'_> {
        PieceKind::Request(frame)
    }
}

impl Sided for Status {
    fn kind(frame: Frame<'_, Self>) -> PieceKind<'_> {
        PieceKind::Answer(frame)
    }
}

/// One piece of the stream.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// Its position in the stream.
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
    pub(super) kind: PieceKind<'a>,
    pub(super) reads: Reads,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Stream {
    side: Side,
    max_payload: usize,
    /// The position at which the decoder began.
    base: u64,
    /// The end of the last piece.
    cut: u64,
    /// The end of the received bytes.
    received: u64,
    /// The bytes from `cut` to `received`. They are kept here, because the decoder keeps no payload.
    waiting: Vec<u8>,
    /// The position and time of each read that is not in a piece yet.
    reads: VecDeque<(u64, f64)>,
    /// After a gap, how many of the waiting bytes are known to hold no frame's start.
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

/// A stream's state between two captures.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Carried {
    pub(super) max_payload: usize,
    cut: u64,
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
        Self::new(Side::Out(Decoder::new(max_payload).boundaries_only()), max_payload)
    }

    pub(super) fn answers(max_payload: usize) -> Self {
        Self::new(Side::In(Decoder::new(max_payload).boundaries_only()), max_payload)
    }

    fn new(side: Side, max_payload: usize) -> Self {
        let (waiting, reads) = (Vec::new(), VecDeque::new());
        Self { side, max_payload, base: 0, cut: 0, received: 0, waiting, reads, sought: 0, ended: false }
    }

    /// Returns the state from which another capture can continue; `None` if it cannot be serialized.
    pub(super) fn carried(&self) -> Option<Carried> {
        let owns_next = match &self.side {
            _ if self.waiting() > MAX_CARRIED => return None,
            _ if self.ended => false,
            Side::Out(decoder) => decoder.resume_state()?.owns_next,
            Side::In(decoder) => decoder.resume_state()?.owns_next,
            Side::Seeking(_) => return None,
        };
        let Self { max_payload, cut, received, ended, .. } = *self;
        let reads = self.reads.iter().copied().collect();
        Some(Carried { max_payload, cut, received, waiting: self.waiting.clone(), reads, owns_next, ended })
    }

    /// Continues from the state of another capture.
    pub(super) fn resume(&mut self, carried: Carried) {
        let Carried { max_payload: _, cut, received, waiting, reads, owns_next, ended } = carried;
        let rest = ResumeState { owns_next };
        match &mut self.side {
            Side::Out(decoder) => *decoder = resumed(self.max_payload, rest, &waiting),
            Side::In(decoder) => *decoder = resumed(self.max_payload, rest, &waiting),
            Side::Seeking(_) => {}
        }
        self.base = cut;
        self.cut = cut;
        self.received = received;
        self.waiting = waiting;
        self.reads = reads.into();
        self.ended = ended;
    }

    /// Returns the memory that it takes, without the few bytes of a start line in its decoder.
    pub(super) fn memory(&self) -> usize {
        self.waiting.capacity() + self.reads.capacity() * size_of::<(u64, f64)>()
    }

    /// Returns the position after the last received byte.
    pub(super) const fn position(&self) -> u64 {
        self.received
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns the number of bytes that are in no piece yet.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the bytes of one read. Passes the pieces that it completes to `sink`.
    pub(super) fn feed(&mut self, time: f64, bytes: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        if self.ended || bytes.is_empty() {
            return;
        }
        if self.reads.len() < MAX_READS {
            self.reads.push_back((self.received, time));
        }
        let fresh = Fresh { start: self.received, bytes };
        self.received += bytes.len() as u64;
        if let Side::Seeking(_) = self.side {
            self.waiting.extend_from_slice(bytes);
            return self.seek(time, &mut sink);
        }
        self.drain(time, fresh, &mut sink);
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, time: f64, mut sink: impl FnMut(Piece<'_>)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match &mut self.side {
            Side::Out(decoder) => decoder.finish(),
            Side::In(decoder) => decoder.finish(),
            Side::Seeking(_) => return self.flush(SkipReason::Unaligned, time, &mut sink),
        }
        self.drain(time, Fresh { start: self.received, bytes: &[] }, &mut sink);
        self.waiting = Vec::new();
        self.reads = VecDeque::new();
    }

    /// Skips missing bytes. `aligned`: the stream continues at the first byte of a frame.
    pub(super) fn skip(&mut self, time: f64, missing: u64, aligned: bool, mut sink: impl FnMut(Piece<'_>)) {
        if self.ended {
            return;
        }
        let (reason, closed) = match &self.side {
            Side::Out(decoder) => leftover(decoder),
            Side::In(decoder) => leftover(decoder),
            Side::Seeking(_) => (SkipReason::Unaligned, false),
        };
        self.flush(reason, time, &mut sink);
        self.received += missing;
        self.cut = self.received;
        self.waiting = Vec::new();
        self.reads.clear();
        if closed {
            // A closed decoder discards everything, so a gap only moves its positions.
            self.base += missing;
            return;
        }
        let role = match self.side {
            Side::Out(_) | Side::Seeking(Role::Client) => Role::Client,
            Side::In(_) | Side::Seeking(Role::Server) => Role::Server,
        };
        self.sought = 0;
        if aligned { self.begin(role) } else { self.side = Side::Seeking(role) }
    }

    /// Begins a decoder at the end of the last piece.
    fn begin(&mut self, role: Role) {
        self.base = self.cut;
        self.side = match role {
            Role::Client => Side::Out(Decoder::new(self.max_payload).boundaries_only()),
            Role::Server => Side::In(Decoder::new(self.max_payload).boundaries_only()),
        };
    }

    /// Returns the frame that is still arriving.
    pub(super) fn partial(&self) -> Option<Partial<'_>> {
        let (span, head, state) = match &self.side {
            Side::Out(decoder) => partial(decoder)?,
            Side::In(decoder) => partial(decoder)?,
            Side::Seeking(_) if self.waiting.is_empty() => return None,
            Side::Seeking(_) => {
                let span = Span::new(self.cut - self.base, self.received - self.base);
                (span, "", "after a gap, before the next frame".into())
            }
        };
        let span = Span::new(span.start + self.base, span.end + self.base);
        Some(Partial { span, head, state, bytes: &self.waiting })
    }

    fn drain(&mut self, time: f64, fresh: Fresh<'_>, sink: &mut impl FnMut(Piece<'_>)) {
        let Self { side, base, cut, received, waiting, reads, .. } = self;
        let mut cutter = Cutter { cut, received: *received, waiting, reads, fresh, joined: 0, time, sink };
        match side {
            Side::Out(decoder) => cutter.items(decoder, *base),
            Side::In(decoder) => cutter.items(decoder, *base),
            Side::Seeking(_) => {}
        }
        cutter.keep_rest();
        let reason = match &self.side {
            Side::Out(decoder) => leftover(decoder).0,
            Side::In(decoder) => leftover(decoder).0,
            Side::Seeking(_) => SkipReason::Unaligned,
        };
        // Skipped bytes are given in pieces before their end is known.
        if reason != SkipReason::Cut {
            self.give_pieces(reason, time, sink);
        }
    }

    /// Gives the waiting bytes in full pieces, and keeps the remainder.
    fn give_pieces(&mut self, reason: SkipReason, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        while self.waiting.len() >= PIECE {
            self.give_first(PIECE, reason, time, sink);
        }
    }

    /// Gives all waiting bytes.
    fn flush(&mut self, reason: SkipReason, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        if reason != SkipReason::Cut {
            self.give_pieces(reason, time, sink);
        }
        self.give_first(self.waiting.len(), reason, time, sink);
    }

    /// Gives the first waiting bytes as one piece.
    fn give_first(&mut self, length: usize, reason: SkipReason, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        let bytes = self.waiting.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        let end = self.cut + length as u64;
        let reads = reads_of(&mut self.reads, self.received, self.cut, end, time);
        sink(Piece { start: self.cut, bytes, kind: PieceKind::Skipped(reason), reads });
        self.waiting.drain(..length);
        self.cut = end;
    }

    /// Looks for the first frame in the waiting bytes.
    fn seek(&mut self, time: f64, sink: &mut impl FnMut(Piece<'_>)) {
        let Side::Seeking(role) = self.side else { return };
        // The last byte searched may be the first half of a CRLF.
        if let Some(at) = first_frame(&self.waiting, self.sought.saturating_sub(1), role) {
            self.sought = 0;
            self.give_first(at, SkipReason::Unaligned, time, sink);
            self.begin(role);
            let found = std::mem::take(&mut self.waiting);
            return self.drain(time, Fresh { start: self.cut, bytes: &found }, sink);
        }
        // The last bytes may be the beginning of a start line.
        while self.waiting.len() >= PIECE + LONGEST_WORD + 2 {
            self.give_first(PIECE, SkipReason::Unaligned, time, sink);
        }
        self.sought = self.waiting.len();
    }
}

/// Returns a decoder that has read the waiting bytes, which complete no item.
fn resumed<H: StartLine>(max_payload: usize, rest: ResumeState, waiting: &[u8]) -> Decoder<H> {
    let mut decoder = Decoder::resume(max_payload, rest).boundaries_only();
    let mut input = waiting;
    while decoder.next_item_of(&mut input).is_some() {}
    decoder
}

/// Returns the reason for skipping a decoder's waiting bytes if they never become an item, and whether it is closed.
fn leftover<H: StartLine>(decoder: &Decoder<H>) -> (SkipReason, bool) {
    match decoder.partial() {
        _ if decoder.is_closed() => (SkipReason::Discarded, true),
        None => (SkipReason::WhiteSpace, false),
        Some(_) => (SkipReason::Cut, false),
    }
}

fn partial<H: StartLine>(decoder: &Decoder<H>) -> Option<(Span, &'static str, String)> {
    let partial = decoder.partial()?;
    let state = match partial.place {
        Place::StartLine => format!("inside a {}", H::NOUN),
        place => place.to_string(),
    };
    Some((partial.span, partial.start_line.map(H::name).unwrap_or_default(), state))
}

/// Returns the position of the first known command or status before a CRLF, searching for the CRLF from `from`. A
/// payload has no CRLF after a word, because in a string it is escaped.
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

/// The bytes of a read.
#[derive(Clone, Copy, Debug)]
struct Fresh<'a> {
    start: u64,
    bytes: &'a [u8],
}

/// Cuts a read, and the bytes that waited for it, into pieces where the decoder finds items.
struct Cutter<'s, 'f, S> {
    cut: &'s mut u64,
    received: u64,
    waiting: &'s mut Vec<u8>,
    reads: &'s mut VecDeque<(u64, f64)>,
    fresh: Fresh<'f>,
    /// The number of fresh bytes that were added to the waiting ones.
    joined: usize,
    time: f64,
    sink: &'s mut S,
}

impl<S: FnMut(Piece<'_>)> Cutter<'_, '_, S> {
    fn items<H: Sided>(&mut self, decoder: &mut Decoder<H>, base: u64) {
        let mut input = self.fresh.bytes;
        while let Some(item) = decoder.next_item_of(&mut input) {
            let end = item.span().end + base;
            match item {
                Item::Frame(Frame { start_line, start_line_span, separator, payload_span, .. }) => {
                    let before = usize::try_from(payload_span.start - start_line_span.start).unwrap_or(usize::MAX);
                    self.give(end, |bytes| {
                        let payload = bytes.get(before..).unwrap_or_default();
                        H::kind(Frame { start_line, start_line_span, separator, payload_span, payload })
                    });
                }
                Item::Fault(fault) => self.give(end, |_| PieceKind::Fault(fault)),
                Item::Skipped(_, wire::Skipped::Object) => self.give(end, |_| PieceKind::Skipped(SkipReason::Object)),
                Item::Skipped(_, wire::Skipped::WhiteSpace) => self.pieces(end, SkipReason::WhiteSpace),
                Item::Skipped(_, wire::Skipped::Discarded) => self.pieces(end, SkipReason::Discarded),
            }
        }
    }

    /// Gives skipped bytes in pieces that do not depend on how the bytes are divided into reads.
    fn pieces(&mut self, end: u64, reason: SkipReason) {
        while end.saturating_sub(*self.cut) >= PIECE as u64 {
            self.give(*self.cut + PIECE as u64, |_| PieceKind::Skipped(reason));
        }
        if end > *self.cut {
            self.give(end, |_| PieceKind::Skipped(reason));
        }
    }

    fn give(&mut self, end: u64, kind: impl FnOnce(&[u8]) -> PieceKind<'_>) {
        let start = *self.cut;
        let reads = reads_of(self.reads, self.received, start, end, self.time);
        let place = |position: u64| usize::try_from(position.saturating_sub(self.fresh.start)).unwrap_or(usize::MAX);
        let bytes = if start >= self.fresh.start {
            self.fresh.bytes.get(place(start)..place(end)).unwrap_or_default()
        } else {
            // The piece begins in the waiting bytes, and the rest of it is in the fresh ones.
            let missing = self.fresh.bytes.get(self.joined..place(end)).unwrap_or_default();
            self.waiting.extend_from_slice(missing);
            self.joined += missing.len();
            let length = usize::try_from(end - start).unwrap_or(usize::MAX);
            let first = self.waiting.len() - self.waiting_from(start);
            self.waiting.get(first..).and_then(|rest| rest.get(..length)).unwrap_or_default()
        };
        (self.sink)(Piece { start, bytes, kind: kind(bytes), reads });
        *self.cut = end;
    }

    /// Returns the number of waiting bytes at or after this position.
    fn waiting_from(&self, start: u64) -> usize {
        usize::try_from(self.fresh.start + self.joined as u64 - start).unwrap_or(usize::MAX)
    }

    /// Keeps the bytes after the last piece.
    fn keep_rest(self) {
        let fresh_rest = |from: usize| self.fresh.bytes.get(from..).unwrap_or_default();
        if *self.cut < self.fresh.start {
            let waiting = self.waiting_from(*self.cut);
            self.waiting.drain(..self.waiting.len() - waiting);
            self.waiting.extend_from_slice(fresh_rest(self.joined));
            return;
        }
        let rest = fresh_rest(usize::try_from(*self.cut - self.fresh.start).unwrap_or(usize::MAX));
        self.waiting.clear();
        self.waiting.extend_from_slice(rest);
        if self.waiting.is_empty() && self.waiting.capacity() > IDLE_ROOM {
            *self.waiting = Vec::new();
        }
    }
}
