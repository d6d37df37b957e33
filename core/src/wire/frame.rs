//! Cuts bytes into frames, without reading their payloads.

use alloc::{string::String, vec::Vec};
use core::mem;

use memchr::memrchr;

use super::{
    brackets::{Brackets, Scan},
    fault::{Fault, FaultKind, Place},
    item::{Frame, Item, Skipped},
    start_line::{MAX_START_LINE, StartLine},
};
use crate::Span;

/// A frame that is still arriving.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a value that is compared as a whole")]
pub struct Partial<H> {
    /// Its bytes, from the first to the last that was looked at.
    pub span: Span,
    /// Its start line, once that is complete and if there is one.
    pub start_line: Option<H>,
    /// The part of it that is being read.
    pub place: Place,
}

/// A decoder of one direction of a connection, which cuts it into frames.
///
/// Bytes go in by [`feed`](Self::feed) in any pieces, the end of the stream by [`finish`](Self::finish); after
/// either, take items by [`next_item`](Self::next_item) until there is none. Whoever has a read at hand gives it to
/// [`next_item_of`](Self::next_item_of) instead: the payloads that stand whole in it are not copied.
///
/// - **Chunk invariance.** The items do not depend on how the stream was cut.
/// - **Tiling.** Each byte of the stream belongs to exactly one item.
/// - **Linear.** Each byte is looked at once, whatever the pieces.
/// - **Bounded.** What is kept is the payload being read, at most the limit, and what was fed and not yet looked at:
///   never more than the limit and one read.
///   White space and skipped objects are never kept, and an idle decoder keeps no buffer.
///
/// ```
/// use chanwire_core::wire::{Command, Decoder, Item};
///
/// let mut decoder = Decoder::<Command>::new(65_536);
/// decoder.feed(b"MESSAGE\r\n{\"username\": \"us");
/// assert_eq!(decoder.next_item(), None);
/// decoder.feed(b"er1\", \"message_content\": \"hi\"}LIST\r\n");
/// let Some(Item::Frame(message)) = decoder.next_item() else { panic!("a frame") };
/// assert_eq!((message.start_line, message.payload.len()), (Command::Message, 46));
/// let Some(Item::Frame(list)) = decoder.next_item() else { panic!("a frame") };
/// assert_eq!((list.start_line, list.span().start), (Command::List, 55));
/// ```
#[derive(Debug)]
pub struct Decoder<H> {
    /// The bytes that are kept of the stream, from position `base` on.
    buffer: Vec<u8>,
    base: u64,
    /// The position of the next byte to look at; at most `base + buffer.len()`.
    cursor: u64,
    state: State<H>,
    max_payload: usize,
    /// Whether the bytes of payloads are kept until they are whole.
    keeps: bool,
    ended: bool,
    /// Bytes taken in, looked at in payloads, and moved.
    #[cfg(test)]
    work: usize,
}

/// The position to go on decoding from: see [`Decoder::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a caller restores it by its fields")]
pub struct ResumeState {
    /// An object or array that comes next belongs to what came before, and is skipped with it.
    pub owns_next: bool,
}

#[derive(Debug)]
enum State<H> {
    /// Between frames; white space since `space`.
    Between { space: u64, skippable: bool },
    /// In a start line.
    StartLine { start: u64 },
    /// In a start line, after its CR.
    StartLineCr { start: u64 },
    /// Between the CRLF and the payload.
    BeforePayload(Opening<H>),
    /// In the payload.
    Payload { opening: Opening<H>, start: u64, array: bool, brackets: Brackets },
    /// In an object or array that is skipped; `owned` by the command before it, or a stray.
    Skip { start: u64, owned: bool, brackets: Brackets },
    /// After a fault that ends the connection.
    Closed { since: u64 },
    /// After the end of the stream, when every item was given.
    Finished,
}

/// A frame whose start line is complete.
#[derive(Clone, Copy, Debug)]
struct Opening<H> {
    start_line: H,
    start_line_span: Span,
    separator: Span,
}

const CRLF: usize = 2;

impl<H> Opening<H> {
    /// Makes the opening of a start line of this length that starts at `start`.
    const fn at(start: u64, start_line: H, length: usize) -> Self
    where
        H: Copy,
    {
        let start_line_span = Span::new(start, start + length as u64);
        Self {
            start_line,
            start_line_span,
            separator: Span::new(start_line_span.end, start_line_span.end + CRLF as u64),
        }
    }
}

/// An item before the bytes that the decoder keeps are borrowed.
enum Found<'i, H> {
    Frame(Opening<H>, Span),
    /// A frame whose payload is here and is not kept.
    Whole(Opening<H>, Span, &'i [u8]),
    Fault(Fault),
    Skipped(Span, Skipped),
}

/// Bytes buffered per step.
const BUFFER_STEP: usize = 4096;

impl<H: StartLine> Decoder<H> {
    /// Makes a decoder at the start of a stream. It reads payloads of at most `max_payload` bytes.
    #[must_use]
    pub fn new(max_payload: usize) -> Self {
        Self {
            buffer: Vec::new(),
            base: 0,
            cursor: 0,
            state: State::Between { space: 0, skippable: false },
            max_payload,
            keeps: true,
            ended: false,
            #[cfg(test)]
            work: 0,
        }
    }

    /// Makes it a decoder that reports only the boundaries of frames and keeps no payloads, however large they are and
    /// however they come. Its items are the same, but for [`Frame::payload`], which is empty where the frame came in
    /// several pieces.
    #[must_use]
    pub fn boundaries_only(self) -> Self {
        Self { keeps: false, ..self }
    }

    /// Makes a decoder that goes on where another has given all its items: see [`resume_state`](Self::resume_state).
    /// Positions count from there.
    #[must_use]
    pub fn resume(max_payload: usize, state: ResumeState) -> Self {
        let state = State::Between { space: 0, skippable: state.owns_next };
        Self { state, ..Self::new(max_payload) }
    }

    /// Returns the state from which another decoder goes on with the bytes that are in no item yet. `None` while an
    /// object is skipped, and once only discarded bytes can come.
    #[must_use]
    pub const fn resume_state(&self) -> Option<ResumeState> {
        match self.state {
            State::Between { skippable, .. } => Some(ResumeState { owns_next: skippable }),
            // From its first byte on a frame is read the same whatever came before.
            State::StartLine { .. } | State::StartLineCr { .. } | State::BeforePayload(_) | State::Payload { .. } => {
                Some(ResumeState { owns_next: false })
            }
            State::Skip { .. } | State::Closed { .. } | State::Finished => None,
        }
    }

    /// Returns whether no frame has begun that is not given. Only white space may be there of what comes next.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Between { .. } | State::Closed { .. } | State::Finished)
    }

    /// Sets the largest payload of the frames that begin from now on. Does nothing and returns `false` while a frame
    /// is arriving, whose limit stays.
    pub const fn set_max_payload(&mut self, max_payload: usize) -> bool {
        let is_set = self.is_between_frames();
        if is_set {
            self.max_payload = max_payload;
        }
        is_set
    }

    /// Takes the next bytes of the stream. Bytes after [`finish`](Self::finish) are no part of it and ignored.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        if let State::Closed { .. } = self.state {
            self.base += bytes.len() as u64;
            self.cursor = self.base;
            return;
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.release();
        self.buffer.extend_from_slice(bytes);
        self.count(bytes.len());
    }

    /// Ends the stream.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// Decodes the next item, if the bytes so far complete one.
    #[must_use = "an item that is dropped is never given again"]
    pub fn next_item(&mut self) -> Option<Item<'_, H>> {
        self.next_item_of(&mut &[][..])
    }

    /// Decodes the next item of the bytes that were fed, and then of `input`, from which it takes those that it looks
    /// at. `None` means that all of it is taken; [`feed`](Self::feed) what is left if no further item is wanted now.
    #[must_use = "an item that is dropped is never given again"]
    pub fn next_item_of<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Item<'s, H>> {
        if self.ended {
            *input = &[];
        }
        if let Some(frame) = self.whole_frame(input) {
            return Some(Item::Frame(frame));
        }
        let found = self.find(input)?;
        Some(match found {
            Found::Frame(Opening { start_line, start_line_span, separator }, payload_span) => {
                let payload = self.bytes(payload_span);
                Item::Frame(Frame { start_line, start_line_span, separator, payload_span, payload })
            }
            Found::Whole(Opening { start_line, start_line_span, separator }, payload_span, payload) => {
                Item::Frame(Frame { start_line, start_line_span, separator, payload_span, payload })
            }
            Found::Fault(fault) => Item::Fault(fault),
            Found::Skipped(span, reason) => Item::Skipped(span, reason),
        })
    }

    /// Returns the frame that is still arriving. It is right only once [`next_item`](Self::next_item) gave `None`.
    #[must_use]
    pub fn partial(&self) -> Option<Partial<H>> {
        let (start, start_line, place) = match &self.state {
            State::StartLine { start } | State::StartLineCr { start } => (*start, None, Place::StartLine),
            State::BeforePayload(opening) => {
                (opening.start_line_span.start, Some(opening.start_line), Place::BeforePayload)
            }
            State::Payload { opening, .. } => (opening.start_line_span.start, Some(opening.start_line), Place::Payload),
            State::Skip { start, .. } => (*start, None, Place::Skipped),
            State::Between { .. } | State::Closed { .. } | State::Finished => return None,
        };
        Some(Partial { span: Span::new(start, self.cursor), start_line, place })
    }

    /// Returns the bytes that are being skipped, as far as they have come: white space, or an object that no command is
    /// for. It is right only once [`next_item`](Self::next_item) gave `None`.
    #[must_use]
    pub const fn skipping(&self) -> Option<Span> {
        match &self.state {
            State::Between { space: start, .. } | State::Skip { start, .. } => Some(Span::new(*start, self.cursor)),
            State::BeforePayload(opening) => Some(Span::new(opening.separator.end, self.cursor)),
            _ => None,
        }
    }

    /// Gives up the frame that is still arriving, because it took longer than `seconds`. `None` between frames.
    pub fn time_out(&mut self, seconds: u64) -> Option<Fault> {
        let partial = self.partial()?;
        let kind = FaultKind::TimedOut { seconds };
        Some(self.fault(partial.span, None, kind))
    }

    /// Returns whether nothing can come any more but discarded bytes.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. } | State::Finished)
    }

    /// Returns the number of bytes that are kept.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the number of bytes that were fed and are not yet looked at.
    #[must_use]
    pub fn unread(&self) -> usize {
        usize::try_from(self.received() - self.cursor).unwrap_or(usize::MAX)
    }

    fn received(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Returns the bytes of a span, if all of them are kept.
    fn bytes(&self, span: Span) -> &[u8] {
        let index = |position: u64| position.checked_sub(self.base).and_then(|index| usize::try_from(index).ok());
        let (Some(start), Some(end)) = (index(span.start), index(span.end)) else { return &[] };
        self.buffer.get(start..end).unwrap_or_default()
    }

    /// Drops the bytes that no state needs any more.
    fn release(&mut self) {
        let needed = match &self.state {
            State::StartLine { start } | State::StartLineCr { start } => *start,
            State::Payload { start, .. } if self.keeps => *start,
            _ => self.cursor,
        };
        let done = usize::try_from(needed - self.base).unwrap_or(usize::MAX);
        if done >= self.buffer.len() {
            // An idle connection keeps no buffer.
            self.buffer = Vec::new();
            self.base = needed;
        } else if done > self.buffer.len() / 2 || done > 0 && self.holds_all_it_may() {
            // Only when it moves fewer bytes than it frees, or once for a large frame, so that the work stays linear.
            self.buffer.drain(..done);
            self.count(self.buffer.len());
            self.base = needed;
        }
    }

    /// Returns whether there is no room before the next read for anything but the frame that is arriving.
    fn holds_all_it_may(&self) -> bool {
        self.unread() == 0 && self.buffer.len() > self.max_payload
    }

    /// Notes work done, for the test that it is linear in the bytes.
    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    const fn count(&mut self, _: usize) {}

    /// Decodes a frame that stands whole at the start of `input`, as most frames do, if nothing is before it: this is
    /// the fast path.
    #[inline(always)]
    fn whole_frame<'i>(&mut self, input: &mut &'i [u8]) -> Option<Frame<'i, H>> {
        let State::Between { space, .. } = self.state else { return None };
        if space != self.cursor || space != self.received() {
            return None;
        }
        let opening = self.whole_start(input)?;
        let start = opening.separator.end;
        let length = usize::try_from(start - space).unwrap_or(usize::MAX);
        let payload = input.get(length..).unwrap_or_default();
        let mut brackets = Brackets::new();
        let scan = brackets.scan(payload.get(..self.max_payload).unwrap_or(payload));
        if let Scan::End(length) = scan {
            let (payload, rest) = payload.split_at(length);
            *input = rest;
            self.count(length);
            let payload_span = Span::new(start, start + length as u64);
            self.skip_to(payload_span.end);
            self.state = State::Between { space: payload_span.end, skippable: false };
            let Opening { start_line, start_line_span, separator } = opening;
            return Some(Frame { start_line, start_line_span, separator, payload_span, payload });
        }
        self.skip_to(start);
        *input = payload;
        if scan == Scan::More && payload.len() <= self.max_payload {
            self.keep_payload(input, opening, start, brackets);
        } else {
            // It is wrong, as looking at it again tells.
            self.state = State::Payload { opening, start, array: false, brackets: Brackets::new() };
        }
        None
    }

    /// Keeps all of `input`, which was looked at and is of a payload that goes on.
    fn keep_payload(&mut self, input: &mut &[u8], opening: Opening<H>, start: u64, brackets: Brackets) {
        self.count(input.len());
        self.state = State::Payload { opening, start, array: false, brackets };
        let piece = mem::take(input);
        if self.keeps {
            self.keep(piece);
            self.cursor = self.received();
        } else {
            self.skip_to(self.cursor + piece.len() as u64);
        }
    }

    /// Looks at the start of `input`, when all that was fed is looked at. A payload is looked at where it stands, and
    /// copied only if it came in part before or goes on in the next read. Bytes of anything else are fed.
    fn look<'i>(&mut self, input: &mut &'i [u8]) -> Option<Found<'i, H>> {
        let (opening, start, mut brackets) = match &self.state {
            State::BeforePayload(opening) if input.first() == Some(&b'{') => (*opening, self.cursor, Brackets::new()),
            State::Payload { opening, start, array: false, brackets } => (*opening, *start, brackets.clone()),
            _ => return self.buffer_step(input),
        };
        let room = room(self.max_payload, start, self.cursor);
        match brackets.scan(input.get(..room).unwrap_or(input)) {
            Scan::End(length) => {
                let (end, rest) = input.split_at(length);
                *input = rest;
                self.count(length);
                let span = Span::new(start, self.cursor + length as u64);
                let is_whole = start == self.cursor;
                if is_whole {
                    self.skip_to(span.end);
                } else {
                    self.keep(end);
                    self.cursor = span.end;
                }
                self.state = State::Between { space: span.end, skippable: false };
                Some(if is_whole { Found::Whole(opening, span, end) } else { Found::Frame(opening, span) })
            }
            Scan::More if input.len() <= room => {
                self.keep_payload(input, opening, start, brackets);
                None
            }
            _ => {
                // It is wrong, which the payload's own state tells, from what is fed.
                if start == self.cursor {
                    self.state = State::Payload { opening, start, array: false, brackets: Brackets::new() };
                }
                self.feed_from(input, input.len());
                None
            }
        }
    }

    /// Returns the opening of a frame whose start line, and the first byte of whose payload, are the first of these
    /// bytes, which are at the cursor.
    #[inline(always)]
    fn whole_start(&self, bytes: &[u8]) -> Option<Opening<H>> {
        let longest = bytes.get(..MAX_START_LINE).unwrap_or(bytes);
        let (word, rest) = bytes.split_at_checked(longest.iter().position(|byte| *byte == b'\r')?)?;
        let start_line = H::parse(word).filter(|start_line| start_line.takes_payload())?;
        rest.starts_with(b"\r\n{").then(|| Opening::at(self.cursor, start_line, word.len()))
    }

    /// Feeds the start of `input`, up to the end of a line, where most likely a payload begins.
    fn buffer_step(&mut self, input: &mut &[u8]) -> Option<Found<'static, H>> {
        let step = input.get(..BUFFER_STEP).unwrap_or(input);
        let length = memrchr(b'\n', step).map_or(step.len(), |at| at + 1);
        self.feed_from(input, length);
        None
    }

    /// Goes on at this position, up to which nothing is needed any more.
    fn skip_to(&mut self, position: u64) {
        if !self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        (self.base, self.cursor) = (position, position);
    }

    fn feed_from(&mut self, input: &mut &[u8], length: usize) {
        let (piece, rest) = input.split_at_checked(length).unwrap_or((input, &[]));
        *input = rest;
        self.feed(piece);
    }

    fn find<'i>(&mut self, input: &mut &'i [u8]) -> Option<Found<'i, H>> {
        loop {
            let found = match (self.unread() > 0, input.is_empty()) {
                (true, _) => self.step(),
                (false, false) => self.look(input),
                (false, true) => {
                    let last = if self.ended { self.end() } else { None };
                    if last.is_none() {
                        self.release();
                    }
                    return last;
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// Looks at some of the unread bytes that were fed, of which there is one at least, as the state demands.
    fn step(&mut self) -> Option<Found<'static, H>> {
        match &self.state {
            State::Between { space, skippable } => self.between(*space, *skippable),
            State::StartLine { start } => self.start_line(*start),
            State::StartLineCr { start } => self.start_line_end(*start),
            State::BeforePayload(opening) => self.before_payload(*opening),
            State::Payload { opening, start, array, .. } => self.payload(*opening, *start, *array),
            State::Skip { start, owned, .. } => self.skip(*start, *owned),
            State::Closed { .. } | State::Finished => {
                self.cursor = self.received();
                None
            }
        }
    }

    /// Returns the bytes that were fed and not looked at.
    fn unread_bytes(&self) -> &[u8] {
        let looked_at = usize::try_from(self.cursor - self.base).unwrap_or(usize::MAX);
        self.buffer.get(looked_at..).unwrap_or_default()
    }

    /// Passes over white space. Returns the first byte after it, which stays unread.
    fn pass_space(&mut self) -> Option<u8> {
        let unread = self.unread_bytes();
        let run = unread.iter().take_while(|byte| is_space(**byte)).count();
        let first = unread.get(run).copied();
        self.cursor += run as u64;
        first
    }

    fn between(&mut self, space: u64, owned: bool) -> Option<Found<'static, H>> {
        if space == self.cursor
            && let Some(opening) = self.whole_start(self.unread_bytes())
        {
            let start = opening.separator.end;
            self.cursor = start;
            self.state = State::Payload { opening, start, array: false, brackets: Brackets::new() };
            return None;
        }
        let first = self.pass_space()?;
        let start = self.cursor;
        self.state = match first {
            b'{' | b'[' => State::Skip { start, owned, brackets: Brackets::new() },
            _ => State::StartLine { start },
        };
        let space = Span::new(space, start);
        (!space.is_empty()).then_some(Found::Skipped(space, Skipped::WhiteSpace))
    }

    fn start_line(&mut self, start: u64) -> Option<Found<'static, H>> {
        let unread = self.unread_bytes();
        let letters = unread.iter().take_while(|byte| is_letter(**byte)).count();
        let next = unread.get(letters).copied();
        let length = self.cursor - start + letters as u64;
        if length > MAX_START_LINE as u64 {
            let at = start + MAX_START_LINE as u64;
            self.cursor = at + 1;
            return Some(self.wrong(start, at, FaultKind::LongStartLine));
        }
        self.cursor = start + length;
        let byte = next?;
        let at = self.cursor;
        self.cursor += 1;
        let kind = match byte {
            b'\r' if length > 0 => {
                self.state = State::StartLineCr { start };
                return None;
            }
            b'\n' if length > 0 => FaultKind::BareLf,
            _ if length == MAX_START_LINE as u64 => FaultKind::LongStartLine,
            _ => FaultKind::BadByte { byte, offset: length },
        };
        Some(self.wrong(start, at, kind))
    }

    fn start_line_end(&mut self, start: u64) -> Option<Found<'static, H>> {
        let carriage_return = self.cursor - 1;
        if self.unread_bytes().first() != Some(&b'\n') {
            return Some(self.wrong(start, carriage_return, FaultKind::BareCr));
        }
        self.cursor += 1;
        let start_line_span = Span::new(start, carriage_return);
        let separator = Span::new(carriage_return, self.cursor);
        let Some(start_line) = H::parse(self.bytes(start_line_span)) else {
            return Some(Found::Fault(self.fault(Span::new(start, self.cursor), None, FaultKind::UnknownStartLine)));
        };
        let opening = Opening { start_line, start_line_span, separator };
        if start_line.takes_payload() {
            self.state = State::BeforePayload(opening);
            return None;
        }
        self.state = State::Between { space: self.cursor, skippable: true };
        Some(Found::Frame(opening, Span::new(self.cursor, self.cursor)))
    }

    fn before_payload(&mut self, opening: Opening<H>) -> Option<Found<'static, H>> {
        let byte = self.pass_space()?;
        let start = self.cursor;
        if let b'{' | b'[' = byte {
            self.state = State::Payload { opening, start, array: byte == b'[', brackets: Brackets::new() };
            return None;
        }
        self.cursor += 1;
        Some(self.wrong(opening.start_line_span.start, start, FaultKind::PayloadNotObject { byte }))
    }

    fn payload(&mut self, opening: Opening<H>, start: u64, array: bool) -> Option<Found<'static, H>> {
        let frame_start = opening.start_line_span.start;
        let end = match self.scan(start, frame_start) {
            Advance::More => return None,
            Advance::Wrong(fault) => return Some(fault),
            Advance::End => self.cursor,
        };
        if array {
            let whole = Span::new(frame_start, end);
            return Some(Found::Fault(self.fault(whole, Some(start), FaultKind::PayloadIsArray)));
        }
        self.state = State::Between { space: end, skippable: false };
        Some(Found::Frame(opening, Span::new(start, end)))
    }

    fn skip(&mut self, start: u64, owned: bool) -> Option<Found<'static, H>> {
        let span = match self.scan(start, start) {
            Advance::More => return None,
            Advance::Wrong(fault) => return Some(fault),
            Advance::End => Span::new(start, self.cursor),
        };
        if !owned {
            return Some(Found::Fault(self.fault(span, Some(start), FaultKind::Stray)));
        }
        self.state = State::Between { space: span.end, skippable: false };
        Some(Found::Skipped(span, Skipped::Object))
    }

    /// Scans more of the object or array that starts at `start`, as far as was fed.
    #[inline(always)]
    fn scan(&mut self, start: u64, frame_start: u64) -> Advance<H> {
        let looked_at = usize::try_from(self.cursor - self.base).unwrap_or(usize::MAX);
        let unread = self.buffer.get(looked_at..).unwrap_or_default();
        let room = room(self.max_payload, start, self.cursor);
        let (State::Payload { brackets, .. } | State::Skip { brackets, .. }) = &mut self.state else {
            return Advance::More;
        };
        let scan = brackets.scan(unread.get(..room).unwrap_or(unread));
        let in_array = brackets.in_array();
        self.advance(scan, room, start, frame_start, in_array)
    }

    /// Takes what a scan of at most `room` bytes of an object found.
    #[inline(always)]
    fn advance(&mut self, scan: Scan, room: usize, start: u64, frame_start: u64, in_array: bool) -> Advance<H> {
        self.count(match scan {
            Scan::More => self.unread().min(room),
            Scan::End(index) | Scan::Mismatch(index) | Scan::TooDeep(index) => index,
        });
        let (index, kind) = match scan {
            Scan::End(index) => {
                self.cursor += index as u64;
                return Advance::End;
            }
            Scan::More if self.unread() <= room => {
                self.cursor = self.received();
                return Advance::More;
            }
            Scan::More => {
                // The byte after the limit is there, and is not looked at.
                self.cursor += room as u64;
                let kind = FaultKind::TooLarge { limit: self.max_payload };
                let span = Span::new(frame_start, self.cursor);
                return Advance::Wrong(Found::Fault(self.fault(span, Some(self.cursor), kind)));
            }
            Scan::Mismatch(index) => {
                let expected = if in_array { ']' } else { '}' };
                (index, FaultKind::Mismatch { offset: self.cursor + index as u64 - start, expected })
            }
            Scan::TooDeep(index) => (index, FaultKind::TooDeep { offset: self.cursor + index as u64 - start }),
        };
        let at = self.cursor + index as u64;
        self.cursor = at + 1;
        Advance::Wrong(self.wrong(frame_start, at, kind))
    }

    /// Makes the fault of a frame that starts at `start` and was decided at the byte `at`, the last one looked at.
    fn wrong(&mut self, start: u64, at: u64, kind: FaultKind) -> Found<'static, H> {
        Found::Fault(self.fault(Span::new(start, at + 1), Some(at), kind))
    }

    /// Makes the fault and goes to where it leads.
    #[cold]
    fn fault(&mut self, span: Span, at: Option<u64>, kind: FaultKind) -> Fault {
        let start_line = match &self.state {
            State::StartLine { start } => self.word(Span::new(*start, at.unwrap_or(self.cursor))),
            State::StartLineCr { start } => {
                let letters = self.bytes(Span::new(*start, self.cursor));
                let length = letters.iter().take_while(|byte| is_letter(**byte)).count();
                self.word(Span::new(*start, start + length as u64))
            }
            State::BeforePayload(opening) | State::Payload { opening, .. } => opening.start_line.name().into(),
            _ => String::new(),
        };
        let fault = Fault { span, at, start_line, kind, noun: H::NOUN };
        if fault.is_recoverable() {
            // An object right after a refused line still belongs to it.
            let skippable = matches!(kind, FaultKind::BareLf | FaultKind::BareCr | FaultKind::UnknownStartLine);
            self.state = State::Between { space: self.cursor, skippable };
        } else {
            self.state = State::Closed { since: span.end };
            self.base = self.received();
            self.cursor = self.base;
            self.buffer = Vec::new();
        }
        fault
    }

    /// Returns the letters of a start line.
    fn word(&self, span: Span) -> String {
        self.bytes(span).iter().map(|byte| char::from(*byte)).collect()
    }

    /// Returns the last item, if the end of the stream completes one.
    fn end(&mut self) -> Option<Found<'static, H>> {
        match &self.state {
            State::Between { space, .. } => {
                let space = Span::new(*space, self.cursor);
                self.state = State::Finished;
                (!space.is_empty()).then_some(Found::Skipped(space, Skipped::WhiteSpace))
            }
            State::Closed { since } => {
                let rest = Span::new(*since, self.received());
                self.state = State::Finished;
                (!rest.is_empty()).then_some(Found::Skipped(rest, Skipped::Discarded))
            }
            State::Finished => None,
            _ => {
                let Partial { span, place, .. } = self.partial()?;
                Some(Found::Fault(self.fault(span, None, FaultKind::Incomplete(place))))
            }
        }
    }
}

enum Advance<H> {
    More,
    End,
    Wrong(Found<'static, H>),
}

/// Returns the number of bytes that may still be looked at of an object that starts at `start`.
fn room(max_payload: usize, start: u64, cursor: u64) -> usize {
    let looked_at = usize::try_from(cursor - start).unwrap_or(usize::MAX);
    max_payload.saturating_sub(looked_at)
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

#[cfg(test)]
mod tests;
