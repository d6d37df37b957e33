//! The server's end of a connection and the clock: deadlines, and the way to the end.

use chanwire_core::{
    Limits, Time,
    endpoint::{ConnectionAction, Endpoint as _, Timer},
    wire::{Command, ErrorResponse, FaultKind},
};

use super::{Bench, Input, Op, Turn, amount, answers, reply, turns};
use crate::{model, stream::Seen};

/// Runs a server on any stream, and any order of reads, answers, writes and waits, an end of the stream and a wish to
/// close, with limits so small that reading stops.
///
/// # Panics
///
/// If a law of [`check_deadlines`] is broken.
pub fn deadlines(data: &[u8]) {
    let mut input = Input::new(data);
    let mut limits = Limits::server();
    limits.max_in_flight = input.limit(limits.max_in_flight, 1);
    limits.max_unsent = input.limit(limits.max_unsent, 2);
    let ops: Vec<_> = input.pairs(40).into_iter().map(|(kind, argument)| op(kind, argument)).collect();
    check_deadlines(input.rest(), &limits, &ops, 7);
}

fn op(kind: u8, argument: u8) -> Op {
    match kind % 8 {
        0 | 1 => Op::Read(amount(argument)),
        2 => Op::Respond(argument.into()),
        3 => Op::Write(amount(argument)),
        // Up to a little more than the longest deadline.
        4 => Op::Wait(512 * u64::from(argument)),
        5 => Op::Wait(argument.into()),
        6 => Op::Eof,
        _ => Op::Shutdown,
    }
}

/// Deadlines and the way to the end, derived from the whole history.
struct Clock {
    limits: Limits,
    /// The bytes read.
    read: Vec<u8>,
    /// Why nothing more is decoded.
    stopped: Option<Stop>,
    /// Whether what comes is thrown away.
    input_closed: bool,
    eof: bool,
    /// The number of turns so far.
    seen: usize,
    frame: Option<Arriving>,
    /// When the last byte was taken, or began to wait.
    stalled: Option<u64>,
    lingering: Option<u64>,
    /// The action it ended with, once it has.
    ended: Option<ConnectionAction>,
}

/// The frame that is arriving: how long it took until its clock last rested, and since when that runs.
#[derive(Clone, Copy)]
struct Arriving {
    start: u64,
    spent: u64,
    since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    TimedOut,
    Shutdown,
    Eof,
}

impl Clock {
    fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            read: Vec::new(),
            stopped: None,
            input_closed: false,
            eof: false,
            seen: 0,
            frame: None,
            stalled: None,
            lingering: None,
            ended: None,
        }
    }

    /// Returns all turns to answer in the bytes read.
    fn turns(&self) -> Vec<Turn> {
        let mut turns = turns(&self.read, self.limits.max_payload, self.stopped == Some(Stop::Eof));
        if self.stopped == Some(Stop::TimedOut) {
            let details = "The request was not complete after 120 seconds";
            turns.push(Turn::Refused(ErrorResponse::request("Request timed out", details), true));
        }
        turns
    }

    fn items(&self) -> Vec<Seen<Command>> {
        model::items::<Command>(&self.read, self.limits.max_payload)
    }

    fn is_closing(&self) -> bool {
        self.stopped.is_some() || matches!(self.turns().last(), Some(Turn::Refused(_, true)))
    }

    /// Returns whether the server has room for one more request: so much is in flight, and so much is not taken.
    fn has_room(&self, bench: &Bench) -> bool {
        let left = bench.open.iter().map(|(number, _)| *number).min().unwrap_or(bench.seen.len());
        let in_flight = bench.seen.len() - left;
        assert!(in_flight <= self.limits.max_in_flight, "{in_flight} requests are in flight");
        let weights: Vec<usize> = self.items().iter().filter_map(weight).collect();
        let bytes: usize = bench.open.iter().filter_map(|(number, _)| weights.get(*number)).sum();
        let unsent = answers(&bench.seen[..left]).len() - bench.end.written.len();
        in_flight < self.limits.max_in_flight
            && bytes < self.limits.max_in_flight_bytes
            && unsent < self.limits.max_unsent
    }

    /// Returns the start of the frame that is arriving.
    fn frame_start(&self) -> Option<u64> {
        match self.items().last() {
            _ if self.stopped.is_some() => None,
            Some(Seen::Fault { span, kind: FaultKind::Incomplete(_), .. }) => Some(span.start),
            _ => None,
        }
    }

    /// Updates its clock, which begins when its first byte is decoded, and pauses while there is no room for more.
    fn note_frame(&mut self, now: u64, bench: &Bench, room: bool) {
        let decoded = bench.seen.len() > self.seen;
        self.seen = bench.seen.len();
        let start = self.frame_start();
        self.frame = match (start, self.frame) {
            (Some(start), Some(frame)) if frame.start == start => match (room, frame.since) {
                (true, since) => Some(Arriving { since: since.or(Some(now)), ..frame }),
                (false, Some(since)) => Some(Arriving { spent: frame.spent + now - since, since: None, ..frame }),
                (false, None) => Some(frame),
            },
            (Some(start), _) if room => Some(Arriving { start, spent: 0, since: Some(now) }),
            // It has arrived and is not decoded yet.
            _ => None,
        };
        assert!(room || !decoded || self.frame.is_none(), "a frame is looked at for which there is no room");
    }

    fn deadline(&self) -> Option<(u64, Vec<Timer>)> {
        if self.ended.is_some() {
            return None;
        }
        let all = [
            (self.frame.and_then(|frame| Some(frame.since? - frame.spent)), 120_000, Timer::Frame),
            (self.stalled, 10_000, Timer::Write),
            (self.lingering, 2_000, Timer::Linger),
        ];
        let due: Vec<_> = all.into_iter().filter_map(|(since, after, timer)| Some((since? + after, timer))).collect();
        let first = due.iter().map(|(at, _)| *at).min()?;
        Some((first, due.into_iter().filter(|(at, _)| *at == first).map(|(_, timer)| timer).collect()))
    }

    /// Notes what stands after a step at this moment.
    fn note(&mut self, now: u64, bench: &Bench, took: bool) {
        let room = self.has_room(bench);
        self.note_frame(now, bench, room);
        self.input_closed |= bench.is_closing() || self.stopped.is_some() && room;
        let unsent = bench.end.unsent();
        if unsent == 0 {
            self.stalled = None;
        } else if took || self.stalled.is_none() {
            self.stalled = Some(now);
        }
        if self.is_closing() && bench.open.is_empty() && unsent == 0 {
            self.lingering = self.lingering.or(Some(now));
            if self.eof {
                self.ended = self.ended.or(Some(ConnectionAction::Close));
            }
        }
    }

    /// Does what the deadlines demand that have come by this moment.
    fn expire(&mut self, now: u64) {
        let Some((_, timers)) = self.deadline().filter(|(at, _)| *at <= now) else { return };
        if timers.contains(&Timer::Write) {
            self.ended = Some(ConnectionAction::Reset);
            return;
        }
        if timers.contains(&Timer::Linger) {
            self.ended = Some(ConnectionAction::Close);
        }
        if timers.contains(&Timer::Frame) {
            self.stopped = Some(Stop::TimedOut);
        }
    }

    /// Checks that the server has the state that the history demands.
    fn compare(&self, bench: &mut Bench) {
        let (turns, room) = (self.turns(), self.has_room(bench));
        let due = if room { turns.len() } else { bench.seen.len() };
        assert_eq!(Some(&*bench.seen), turns.get(..due));
        assert!(answers(&turns).starts_with(&bench.end.written));
        let deadline = bench.end.endpoint.poll_timeout().map(|due| (due.at.as_millis(), due.timer));
        let expected = self.deadline();
        assert_eq!(deadline.map(|(at, _)| at), expected.as_ref().map(|(at, _)| *at));
        if let (Some((_, timer)), Some((_, timers))) = (deadline, &expected) {
            assert!(timers.contains(&timer), "{timer:?} and not {timers:?}");
        }
        let open = if self.lingering.is_some() { ConnectionAction::FinishWriting } else { ConnectionAction::Open };
        assert_eq!(bench.end.action(), self.ended.unwrap_or(open));
        let listens = self.input_closed || self.stopped.is_none() && room;
        assert_eq!(bench.end.endpoint.wants_read(), self.ended.is_none() && !self.eof && listens);
        assert!(
            self.ended != Some(ConnectionAction::Close) || bench.end.written == answers(&turns),
            "an answer was cut off"
        );
    }
}

/// Returns a request's weight in flight; none for a refused one.
fn weight(item: &Seen<Command>) -> Option<usize> {
    match item {
        Seen::Frame {
            head:
                Command::List
                | Command::History
                | Command::Who
                | Command::Channels
                | Command::Settings
                | Command::Connections,
            ..
        } => Some(262_144),
        // The server refuses it itself, over plain text.
        Seen::Frame { head: Command::Auth, .. } => Some(0),
        Seen::Frame { payload, .. } => Some(payload.len()),
        Seen::Fault { .. } => Some(0),
        Seen::Skipped(..) => None,
    }
}

/// Drives a server through these steps from a moment on, and compares it after each with what the history says. Its
/// deadlines are the protocol's.
///
/// # Panics
///
/// If there is a deadline too many or too few, if one comes early or late, or if the connection closes otherwise than
/// it must.
pub fn check_deadlines(stream: &[u8], limits: &Limits, ops: &[Op], start: u64) {
    let mut bench = Bench::new(limits.clone(), reply);
    let (mut now, mut fed) = (start, 0_usize);
    let mut clock = Clock::new(limits);
    for op in ops {
        let at = Time::from_millis(now);
        let mut took = false;
        match *op {
            Op::Read(most) => {
                let bytes = &stream[fed..stream.len().min(fed.saturating_add(most))];
                if bench.end.endpoint.wants_read() && !bytes.is_empty() {
                    fed += bytes.len();
                    bench.end.endpoint.handle_input(at, bytes);
                    if clock.stopped.is_none() {
                        clock.read.extend_from_slice(bytes);
                    }
                }
            }
            Op::Eof => {
                if bench.end.endpoint.wants_read() {
                    bench.end.endpoint.handle_eof(at);
                    clock.eof = true;
                    clock.stopped = clock.stopped.or(Some(Stop::Eof));
                }
            }
            Op::Shutdown => {
                bench.end.endpoint.shutdown(at);
                clock.stopped = clock.stopped.or(Some(Stop::Shutdown));
            }
            Op::Respond(which) => bench.respond(at, which),
            Op::Write(most) => took = !bench.end.write(at, most).is_empty(),
            Op::Wait(millis) => {
                let until = now + millis;
                // As a driver does: it wakes when the endpoint asked it to, and sometimes for nothing.
                while let Some(deadline) = bench.end.endpoint.poll_timeout().filter(|due| due.at.as_millis() <= until) {
                    now = deadline.at.as_millis();
                    clock.expire(now);
                    bench.end.endpoint.handle_timeout(deadline.at);
                    bench.take_events();
                    clock.note(now, &bench, false);
                    assert_ne!(bench.end.endpoint.poll_timeout(), Some(deadline), "it asks again at once");
                }
                now = until;
                bench.end.endpoint.handle_timeout(Time::from_millis(now));
            }
        }
        bench.take_events();
        clock.note(now, &bench, took);
        clock.compare(&mut bench);
        if clock.ended.is_some() {
            break;
        }
    }
}
