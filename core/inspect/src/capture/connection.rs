//! One connection: its two streams, and the pairs of requests and answers.

use chanwire_core::wire::{
    self, Command, Frame, Notice, PayloadFault, Request, Response, Status, StoredMessage, json::Reader,
};

use super::{
    Arriving, Gap,
    chunk::Extra,
    clock::At,
    entry::Entry,
    flags::Flags,
    pairing::{self, OpenRequest, Pairing},
    store::{NewRow, Store},
    stream::{self, Partial, Piece, PieceKind, Stream},
    words::{SkipReason, Word},
};
use crate::{
    Direction, Fault, RowKind,
    ending::{Ending, Evidences},
    statistics::Kind,
    summary,
};

/// The memory that a connection takes in the maps that it is in, about.
const IN_MAPS: usize = 48;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    label: String,
    state: State,
    /// From which row on positions are counted from where, for each direction: a position is kept in 32 bits.
    bases: [Vec<(u64, u64)>; 2],
    last_row: u64,
    evidences: Evidences,
}

/// The form in which more of a connection may come.
#[derive(Debug)]
enum State {
    /// As bytes.
    Live(Box<Live>),
    /// As rows that were recorded before.
    Restored,
    /// Not at all.
    Closed,
}

#[derive(Debug)]
struct Live {
    out: Stream,
    r#in: Stream,
    pairing: Pairing,
}

impl Connection {
    pub(super) fn new(label: &str, max_request: usize, max_answer: usize) -> Self {
        let live =
            Live { out: Stream::requests(max_request), r#in: Stream::answers(max_answer), pairing: Pairing::default() };
        Self::in_state(label, State::Live(Box::new(live)))
    }

    /// Returns a connection whose rows are restored.
    pub(super) fn restored(label: &str) -> Self {
        Self::in_state(label, State::Restored)
    }

    fn in_state(label: &str, state: State) -> Self {
        let (bases, evidences) = ([Vec::new(), Vec::new()], Evidences::default());
        Self { label: label.into(), state, bases, last_row: 0, evidences }
    }

    /// Notes that the sender of a direction has ended its stream.
    pub(super) fn note_end(&mut self, direction: Direction) {
        self.evidences.end(direction);
    }

    /// Returns the reason for its end, if its traffic shows one.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.evidences.ending()
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    const fn live(&self) -> Option<&Live> {
        match &self.state {
            State::Live(live) => Some(live),
            State::Restored | State::Closed => None,
        }
    }

    const fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.state {
            State::Live(live) => Some(live),
            State::Restored | State::Closed => None,
        }
    }

    pub(super) const fn last_row(&self) -> u64 {
        self.last_row
    }

    /// Notes that a row about it was added.
    pub(super) const fn touch(&mut self, row: u64) {
        self.last_row = row;
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Forgets the requests that are open, where they take much memory: their answers will have no pair.
    pub(super) fn drop_requests(&mut self) {
        if let Some(live) = self.live_mut() {
            live.pairing.drop_open();
        }
    }

    /// Returns the memory that it takes beside its rows.
    pub(super) fn memory(&self) -> usize {
        let live = self.live().map_or(0, |_| size_of::<Live>());
        let bases: usize = self.bases.iter().map(Vec::capacity).sum();
        let streams = self.live().map_or(0, |live| live.out.memory() + live.r#in.memory() + live.pairing.memory());
        IN_MAPS + size_of::<Self>() + self.label.capacity() + live + bases * size_of::<(u64, u64)>() + streams
    }

    /// Returns the part of that memory that is free once its arriving frames are given up and its requests dropped.
    pub(super) fn unfinished(&self) -> usize {
        self.live().map_or(0, |live| 2 * (live.out.waiting() + live.r#in.waiting()) + live.pairing.droppable())
    }

    fn stream(&self, direction: Direction) -> Option<&Stream> {
        let live = self.live()?;
        Some(if direction == Direction::Out { &live.out } else { &live.r#in })
    }

    /// Returns the end of the bytes of a direction of which more may come.
    pub(super) fn position(&self, direction: Direction) -> u64 {
        self.stream(direction).map_or(0, Stream::position)
    }

    /// Returns whether a direction has ended.
    pub(super) fn has_ended(&self, direction: Direction) -> bool {
        self.stream(direction).is_none_or(Stream::has_ended)
    }

    /// Returns how many bytes of each direction are in no row yet.
    pub(super) fn waiting(&self) -> [(usize, Direction); 2] {
        let (out, r#in) = self.live().map_or((0, 0), |live| (live.out.waiting(), live.r#in.waiting()));
        [(out, Direction::Out), (r#in, Direction::In)]
    }

    /// Returns a row's position in the form in which it is kept.
    pub(super) fn offset(&mut self, direction: Direction, row: u64, position: u64) -> u32 {
        let [out, r#in] = &mut self.bases;
        offset(if direction == Direction::Out { out } else { r#in }, row, position)
    }

    /// Returns the base that the position of a row counts from.
    pub(super) fn base_of(&self, entry: &Entry<'_>) -> u64 {
        let [out, r#in] = &self.bases;
        let bases = if entry.direction() == Direction::Out { out } else { r#in };
        let after = bases.partition_point(|(row, _)| *row <= entry.number());
        after.checked_sub(1).and_then(|index| bases.get(index)).map_or(0, |(_, base)| *base)
    }

    pub(super) fn arriving(&self, connection: u32) -> impl Iterator<Item = Arriving<'_>> {
        let live = self.live();
        let out = live.and_then(|live| live.out.partial()).map(|partial| (Direction::Out, partial));
        let r#in = live.and_then(|live| live.r#in.partial()).map(|partial| (Direction::In, partial));
        out.into_iter().chain(r#in).map(move |(direction, Partial { span, head, state, bytes })| Arriving {
            connection,
            direction,
            span,
            head,
            state,
            bytes,
        })
    }

    /// Returns the state for another capture to go on from; `None` if it is closed or the state cannot be serialized.
    pub(super) fn carried(&self) -> Option<(stream::Carried, stream::Carried, pairing::Carried)> {
        let live = self.live()?;
        Some((live.out.carried()?, live.r#in.carried()?, live.pairing.carried()))
    }

    /// Goes on in the middle of it.
    pub(super) fn resume(&mut self, out: stream::Carried, r#in: stream::Carried, pairing: pairing::Carried) {
        if let State::Live(live) = &mut self.state {
            live.out.resume(out);
            live.r#in.resume(r#in);
            live.pairing = Pairing::resumed(pairing);
        }
    }

    pub(super) fn recording<'a>(&'a mut self, connection: u32, store: &'a mut Store) -> Option<Recording<'a>> {
        let State::Live(live) = &mut self.state else { return None };
        let Live { out, r#in, pairing } = &mut **live;
        let [out_bases, in_bases] = &mut self.bases;
        let (last_row, evidences) = (&mut self.last_row, &mut self.evidences);
        Some(Recording { connection, out, r#in, out_bases, in_bases, pairing, store, last_row, evidences })
    }
}

/// A connection on which something is being recorded.
pub(super) struct Recording<'a> {
    connection: u32,
    out: &'a mut Stream,
    r#in: &'a mut Stream,
    out_bases: &'a mut Vec<(u64, u64)>,
    in_bases: &'a mut Vec<(u64, u64)>,
    pairing: &'a mut Pairing,
    store: &'a mut Store,
    last_row: &'a mut u64,
    evidences: &'a mut Evidences,
}

impl Recording<'_> {
    pub(super) fn bytes(&mut self, direction: Direction, time: At, bytes: &[u8]) {
        let (stream, mut sink) = self.split(direction, time);
        stream.feed(time.time, bytes, |piece| sink.take(piece));
    }

    pub(super) fn end(&mut self, direction: Direction, time: At) {
        let (stream, mut sink) = self.split(direction, time);
        stream.finish(time.time, |piece| sink.take(piece));
    }

    pub(super) fn skip(&mut self, direction: Option<Direction>, time: At, gap: Gap) {
        for way in [Direction::Out, Direction::In] {
            if direction.is_none_or(|direction| direction == way) {
                let (stream, mut sink) = self.split(way, time);
                stream.skip(time.time, gap.bytes, gap.frames.is_some(), |piece| sink.take(piece));
            }
        }
        match (direction, gap.paired) {
            (Some(Direction::Out), Some(requests)) => self.pairing.count(requests),
            (Some(Direction::In), Some(answers)) => self.pairing.miss(answers),
            _ => self.pairing.stop(),
        }
    }

    fn split(&mut self, direction: Direction, time: At) -> (&mut Stream, Sink<'_>) {
        let (stream, bases) = match direction {
            Direction::Out => (&mut *self.out, &mut *self.out_bases),
            Direction::In => (&mut *self.r#in, &mut *self.in_bases),
        };
        let Self { connection, pairing, store, last_row, evidences, .. } = self;
        (stream, Sink { connection: *connection, direction, time, bases, pairing, store, last_row, evidences })
    }
}

/// Makes rows of the pieces of one direction.
struct Sink<'a> {
    connection: u32,
    direction: Direction,
    time: At,
    bases: &'a mut Vec<(u64, u64)>,
    pairing: &'a mut Pairing,
    store: &'a mut Store,
    last_row: &'a mut u64,
    evidences: &'a mut Evidences,
}

/// The properties of a piece that are recorded without looking at its fields.
struct Verdict<'a> {
    flags: Flags,
    word: Word,
    error: Option<&'a str>,
    extra: Option<Extra>,
    answers: Option<(u64, Option<f64>)>,
    kind: Kind,
}

impl Sink<'_> {
    fn take(&mut self, piece: Piece<'_>) {
        let Piece { start, bytes, kind, reads } = piece;
        let name;
        let verdict = match kind {
            PieceKind::Request(frame) => self.request(&frame),
            PieceKind::Answer(frame) if !frame.start_line.is_answer() => self.unasked(&frame),
            PieceKind::Answer(frame) => {
                let verdict;
                (verdict, name) = self.answer(&frame);
                Verdict { error: name.as_deref(), ..verdict }
            }
            PieceKind::Fault(fault) => self.fault(fault),
            PieceKind::Skipped(reason) => self.skipped(reason),
        };
        let number = self.store.end();
        let row = NewRow {
            connection: self.connection,
            time: self.time.time,
            flags: verdict.flags.with_untimed(!self.time.is_known),
            start: offset(self.bases, number, start),
            word: verdict.word,
            bytes,
            reads,
            error: verdict.error,
            extra: verdict.extra,
            answers: verdict.answers.map(|(request, _)| request),
            rtt: verdict.answers.and_then(|(_, rtt)| rtt),
        };
        self.store.statistics_mut().take(verdict.kind, bytes.len(), verdict.flags.bad());
        self.store.add(row);
        *self.last_row = number;
    }

    fn verdict(&self, kind: RowKind, word: Word, counted: Kind) -> Verdict<'static> {
        let flags = Flags::new(kind, self.direction);
        Verdict { flags, word, error: None, extra: None, answers: None, kind: counted }
    }

    fn frame(&self, word: Word, counted: Kind, wrong: bool) -> Verdict<'static> {
        let verdict = self.verdict(RowKind::Frame, word, counted);
        Verdict { flags: verdict.flags.with_bad(wrong), error: wrong.then_some(PayloadFault::ERROR), ..verdict }
    }

    fn request(&mut self, frame: &Frame<'_, Command>) -> Verdict<'static> {
        let wrong = Request::decode(frame.start_line, frame.payload).is_err();
        self.ask(Some(frame.start_line), wrong);
        self.frame(Word::Command(frame.start_line), Kind::Request(frame.start_line), wrong)
    }

    fn ask(&mut self, command: Option<Command>, wrong: bool) {
        self.pairing.ask(OpenRequest { number: self.store.end(), command, time: self.known_time(), wrong });
    }

    fn known_time(&self) -> Option<f64> {
        self.time.is_known.then_some(self.time.time)
    }

    /// Returns the verdict on a push or a notice.
    fn unasked(&mut self, frame: &Frame<'_, Status>) -> Verdict<'static> {
        self.evidences.frame(None);
        let (kind, wrong) = read_unasked(frame);
        let verdict = self.frame(Word::Status(frame.start_line), kind, wrong);
        Verdict { flags: verdict.flags.with_push(), ..verdict }
    }

    /// Returns the verdict on an answer, and the error's name if it is one.
    fn answer(&mut self, frame: &Frame<'_, Status>) -> (Verdict<'static>, Option<String>) {
        let asked = self.pairing.asked();
        let read = read_answer(frame, asked);
        let mut verdict = self.frame(Word::Status(frame.start_line), Kind::Answer(frame.start_line), read.is_err());
        if frame.start_line != Status::Ok {
            verdict.flags = verdict.flags.with_bad(true);
        }
        let error = read.ok().flatten();
        self.evidences.frame(error.as_ref());
        if error.as_ref().is_some_and(|error| error.is_closing()) {
            return (verdict, error.map(|error| summary::of_error(&error)));
        }
        verdict.flags = verdict.flags.with_asked(asked);
        if let Some(asked) = self.pairing.answer() {
            // Without both times there is no round trip.
            let rtt = self.known_time().zip(asked.time).map(|(answered, asked)| (answered - asked).max(0.0));
            verdict.answers = Some((asked.number, rtt));
            if let Some(command) = asked.command {
                let spoilt = frame.start_line != Status::Ok && !asked.wrong;
                self.store.statistics_mut().answered(command, frame.start_line, rtt, spoilt);
            }
        }
        let error = match error {
            Some(error) => Some(summary::of_error(&error)),
            None => verdict.error.map(Into::into),
        };
        (verdict, error)
    }

    fn fault(&mut self, fault: wire::Fault) -> Verdict<'static> {
        let shown = Fault::of_frame(&fault);
        match self.direction {
            Direction::Out => {
                self.evidences.fault(shown.closes);
                self.ask(None, true);
            }
            Direction::In => self.pairing.stop(),
        }
        let error = fault.error();
        // Counted from the row's own first byte. Its decoder began perhaps later than its stream did.
        let at = fault.at.map(|at| at - fault.span.start);
        let extra = Extra::Fault { fault: Fault { at, ..shown }, head: fault.start_line };
        let verdict = self.verdict(RowKind::Fault, Word::Other, Kind::Fault);
        Verdict { flags: verdict.flags.with_bad(true), error: Some(error), extra: Some(extra), ..verdict }
    }

    fn skipped(&self, reason: SkipReason) -> Verdict<'static> {
        self.verdict(RowKind::Skipped, Word::Skipped(reason), Kind::Skipped)
    }
}

/// Returns a position in 32 bits, relative to a base that the row's number leads to.
fn offset(bases: &mut Vec<(u64, u64)>, row: u64, position: u64) -> u32 {
    let base = bases.last().map_or(0, |(_, base)| *base);
    let offset = position.checked_sub(base).and_then(|offset| u32::try_from(offset).ok());
    offset.unwrap_or_else(|| {
        bases.push((row, position));
        0
    })
}

/// Returns what a push or a notice is counted as, and whether it is wrong.
pub(super) fn read_unasked(frame: &Frame<'_, Status>) -> (Kind, bool) {
    match frame.start_line {
        Status::Notice => (Kind::Notice, Notice::decode(frame.payload).is_err()),
        _ => (Kind::Push, StoredMessage::decode(frame.payload).is_err()),
    }
}

/// Returns whether an answer is right, and the error that it is.
pub(super) fn read_answer(
    frame: &Frame<'_, Status>,
    asked: Option<Command>,
) -> Result<Option<wire::ErrorResponse>, ()> {
    let command = match (asked, frame.start_line) {
        (Some(command), _) => command,
        // An error's fields are the same whatever was asked.
        (None, Status::RequestError | Status::ServerError) => Command::List,
        (None, _) => {
            // Without a known command, any JSON is right.
            let mut reader = Reader::new(frame.payload);
            while reader.next_token().map_err(drop)?.is_some() {}
            return Ok(None);
        }
    };
    match Response::decode(command, frame.start_line, frame.payload) {
        Ok(Response::Error(error)) => Ok(Some(error)),
        Ok(_) => Ok(None),
        Err(_) => Err(()),
    }
}
