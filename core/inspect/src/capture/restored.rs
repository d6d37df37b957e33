//! Rows that were recorded before, and kept.

use std::borrow::Cow;

use chanwire_core::wire::{Command, Decoder, Frame, Item, Request, StartLine, Status};

use super::{
    Capture,
    chunk::Extra,
    connection::{read_answer, read_unasked},
    flags::Flags,
    reads::{ReadMark, Reads},
    store::NewRow,
    words::Word,
};
use crate::{Direction, Fault, RowKind, Time, statistics::Kind, summary, time::milliseconds};

/// A row as it was kept, to be held again.
#[derive(Clone, Debug)]
pub struct Restored<'a> {
    /// Its connection, which must be open.
    pub connection: u32,
    /// See [`Entry::direction`](crate::Entry::direction).
    pub direction: Direction,
    /// See [`Entry::kind`](crate::Entry::kind).
    pub kind: RowKind,
    /// See [`Entry::time`](crate::Entry::time). `None` where it is not known.
    pub time: Option<f64>,
    /// See [`Capture::position`].
    pub position: u64,
    /// See [`Entry::bytes`](crate::Entry::bytes).
    pub bytes: Cow<'a, [u8]>,
    /// The head of a piece that is not a frame, safe to show.
    pub head: Cow<'a, str>,
    /// The text of a note or a gap, safe to show.
    pub says: Cow<'a, str>,
    /// Of a note: of a failure.
    pub bad: bool,
    /// The details of a fault, with the fault's own positions.
    pub fault: Option<Fault>,
    /// The command that an answer answers.
    pub asked: Option<Command>,
    /// The number of the request that it answers.
    pub answers: Option<u64>,
    /// Of an answer, its round trip, also where its request is not held.
    pub rtt: Option<f64>,
    /// A read begins at its first byte.
    pub begins: bool,
    /// A read ends with its last byte.
    pub ends: bool,
    /// The start and time of each read in it, unless one brought it at the row's own time.
    pub reads: Vec<(u32, f64)>,
}

/// No stream comes so far, and a page's numbers end there.
const MAX_POSITION: u64 = 1 << 53;

/// The meaning of a row's bytes.
struct Judged {
    word: Word,
    counted: Kind,
    bad: bool,
    push: bool,
    error: Option<Cow<'static, str>>,
    extra: Option<Extra>,
}

impl Capture {
    /// Adds a row that was kept. Returns its number.
    ///
    /// # Errors
    ///
    /// The reason why there can be no such row.
    pub fn restore(&mut self, row: &Restored<'_>) -> Result<u64, String> {
        if row.time.is_some_and(|time| !time.is_finite()) || row.rtt.is_some_and(|rtt| !rtt.is_finite()) {
            return Err("a time must be a number".into());
        }
        let at = row.fault.as_ref().and_then(|fault| fault.at).unwrap_or_default();
        if row.position.max(at) > MAX_POSITION {
            return Err(format!("a position is at most {MAX_POSITION}"));
        }
        let judged = judge(row)?;
        let number = self.store.end();
        let placed = self.change(row.connection, |connection, _| {
            connection.touch(number);
            connection.offset(row.direction, number, row.position)
        });
        let Some(start) = placed else {
            return Err(format!("connection {} is not open", row.connection));
        };
        let flags = Flags::new(row.kind, row.direction)
            .with_bad(judged.bad)
            .with_asked(row.asked)
            .with_untimed(row.time.is_none());
        let marks = row.reads.iter().map(|(offset, time)| ReadMark { offset: *offset, time: *time }).collect();
        let answers = row.answers.filter(|request| *request < number);
        self.store.statistics_mut().take(judged.counted, row.bytes.len(), judged.bad);
        if let (Kind::Answer(status), Some(command), Some(_)) = (judged.counted, row.asked, answers) {
            self.store.statistics_mut().answered(command, status, row.rtt, false);
        }
        self.store.add(NewRow {
            connection: row.connection,
            time: row.time.unwrap_or_else(|| milliseconds(self.clock.last)),
            flags: if judged.push { flags.with_push() } else { flags },
            start,
            word: judged.word,
            bytes: &row.bytes,
            reads: Reads { begins: row.begins, ends: row.ends, marks },
            error: judged.error.as_deref(),
            extra: judged.extra,
            answers,
            rtt: row.rtt,
        });
        if let Some(last) = row.time.and_then(|time| Time::from(time).nanoseconds()) {
            self.clock.last = last;
        }
        self.settle();
        Ok(number)
    }
}

fn judge(row: &Restored<'_>) -> Result<Judged, String> {
    let plain = |word, counted| Judged { word, counted, bad: false, push: false, error: None, extra: None };
    match (row.kind, row.direction) {
        (RowKind::Frame, Direction::Out) => one_frame(&row.bytes, |frame: &Frame<'_, Command>| {
            let wrong = Request::decode(frame.start_line, frame.payload).is_err();
            wrong_if(wrong, plain(Word::Command(frame.start_line), Kind::Request(frame.start_line)))
        }),
        (RowKind::Frame, Direction::In) => one_frame(&row.bytes, |frame: &Frame<'_, Status>| {
            if !frame.start_line.is_answer() {
                let (kind, wrong) = read_unasked(frame);
                let pushed = wrong_if(wrong, plain(Word::Status(frame.start_line), kind));
                return Judged { push: true, ..pushed };
            }
            let read = read_answer(frame, row.asked);
            let judged = wrong_if(read.is_err(), plain(Word::Status(frame.start_line), Kind::Answer(frame.start_line)));
            let error = read.ok().flatten().map(|error| Cow::Owned(summary::of_error(&error)));
            Judged { bad: judged.bad || frame.start_line != Status::Ok, error: error.or(judged.error), ..judged }
        }),
        (RowKind::Fault, _) => {
            let Some(fault) = row.fault.clone().filter(|_| !row.bytes.is_empty()) else {
                return Err("a fault needs its bytes, and what is wrong with them".into());
            };
            let error = crate::visible(&fault.error).into_owned();
            let details = crate::visible(&fault.details).into_owned();
            let shown = Fault { error: error.clone(), details, ..fault };
            let extra = Extra::Fault { fault: shown, head: row.head.clone().into() };
            let judged = plain(Word::Other, Kind::Fault);
            Ok(Judged { bad: true, error: Some(error.into()), extra: Some(extra), ..judged })
        }
        (RowKind::Skipped, _) => {
            let known = Word::skipped(&row.head).filter(|_| !row.bytes.is_empty());
            let word = known.ok_or("skipped bytes need their bytes, and a head that says why they are skipped")?;
            Ok(plain(word, Kind::Skipped))
        }
        (RowKind::Note | RowKind::Gap, _) => {
            if !row.bytes.is_empty() {
                return Err("a note and a gap have no bytes".into());
            }
            let extra = Extra::Note { head: row.head.clone().into(), text: row.says.clone().into() };
            let bad = row.bad || row.kind == RowKind::Gap;
            Ok(Judged { bad, extra: Some(extra), ..plain(Word::Other, Kind::Note) })
        }
    }
}

fn wrong_if(wrong: bool, judged: Judged) -> Judged {
    let error = wrong.then_some(Cow::Borrowed(chanwire_core::wire::PayloadFault::ERROR));
    Judged { bad: wrong, error, ..judged }
}

/// Judges bytes that must be one whole frame.
fn one_frame<H: StartLine>(bytes: &[u8], judge: impl FnOnce(&Frame<'_, H>) -> Judged) -> Result<Judged, String> {
    let mut decoder = Decoder::<H>::new(usize::MAX);
    decoder.feed(bytes);
    match decoder.next_item() {
        Some(Item::Frame(frame)) if frame.span().len() == bytes.len() as u64 => Ok(judge(&frame)),
        _ => Err("the bytes of a frame are not one whole frame".into()),
    }
}
