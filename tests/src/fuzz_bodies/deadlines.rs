//! The server's end of a connection and the clock: deadlines, and the way to the end.

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint as _, Link, Timer},
    wire::{Command, ErrorResponse, FaultKind},
};

use super::{Bench, Input, Op, Turn, amount, answers, reply, turns};
use crate::{model, stream::Seen};

/// Any stream, and any order of reads, answers, writes and waits, an end of the stream and a wish to close.
///
/// # Panics
///
/// If a law of [`check_deadlines`] is broken.
pub fn deadlines(data: &[u8]) {
    let mut input = Input::new(data);
    let ops: Vec<_> = input.pairs(40).into_iter().map(|(kind, argument)| op(kind, argument)).collect();
    check_deadlines(input.rest(), &ops, 7);
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

/// Deadlines and the way to the end, told from everything that has happened so far.
#[derive(Default)]
struct Clock {
    /// What was read, and when each byte was.
    read: Vec<u8>,
    read_at: Vec<u64>,
    /// Why nothing more is decoded.
    stopped: Option<Stop>,
    eof: bool,
    /// When the last byte was taken, or began to wait.
    stalled: Option<u64>,
    lingering: Option<u64>,
    /// How it ended, once it has.
    ended: Option<Link>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    TimedOut,
    Shutdown,
    Eof,
}

impl Clock {
    /// All that there is to answer in what was read.
    fn turns(&self, limits: &Limits) -> Vec<Turn> {
        let mut turns = turns(&self.read, limits.max_payload, self.stopped == Some(Stop::Eof));
        if self.stopped == Some(Stop::TimedOut) {
            let details = "The request was not complete after 120 seconds";
            turns.push(Turn::Refused(ErrorResponse::request("Request timed out", details), true));
        }
        turns
    }

    fn is_closing(&self, limits: &Limits) -> bool {
        self.stopped.is_some() || matches!(self.turns(limits).last(), Some(Turn::Refused(_, true)))
    }

    /// When the first byte came of the frame that is arriving.
    fn frame_since(&self, limits: &Limits) -> Option<u64> {
        if self.stopped.is_some() {
            return None;
        }
        let items = model::items::<Command>(&self.read, limits.max_payload);
        match items.last() {
            Some(Seen::Fault { span, kind: FaultKind::Incomplete(_), .. }) => {
                self.read_at.get(usize::try_from(span.start).unwrap()).copied()
            }
            _ => None,
        }
    }

    fn deadline(&self, limits: &Limits) -> Option<(u64, Vec<Timer>)> {
        if self.ended.is_some() {
            return None;
        }
        let all = [
            (self.frame_since(limits), 120_000, Timer::Frame),
            (self.stalled, 10_000, Timer::Write),
            (self.lingering, 2_000, Timer::Linger),
        ];
        let due: Vec<_> = all.into_iter().filter_map(|(since, after, timer)| Some((since? + after, timer))).collect();
        let first = due.iter().map(|(at, _)| *at).min()?;
        Some((first, due.into_iter().filter(|(at, _)| *at == first).map(|(_, timer)| timer).collect()))
    }

    /// Notes what stands after a step at this moment.
    fn note(&mut self, now: u64, bench: &Bench, limits: &Limits, took: bool) {
        let unsent = bench.end.unsent();
        if unsent == 0 {
            self.stalled = None;
        } else if took || self.stalled.is_none() {
            self.stalled = Some(now);
        }
        if self.is_closing(limits) && bench.open.is_empty() && unsent == 0 {
            self.lingering = self.lingering.or(Some(now));
            if self.eof {
                self.ended = self.ended.or(Some(Link::Close));
            }
        }
    }

    /// What the deadlines demand that have come by this moment.
    fn expire(&mut self, now: u64, limits: &Limits) {
        let Some((_, timers)) = self.deadline(limits).filter(|(at, _)| *at <= now) else { return };
        if timers.contains(&Timer::Write) {
            self.ended = Some(Link::Reset);
            return;
        }
        if timers.contains(&Timer::Linger) {
            self.ended = Some(Link::Close);
        }
        if timers.contains(&Timer::Frame) {
            self.stopped = Some(Stop::TimedOut);
        }
    }

    /// That the server stands where the history says.
    fn compare(&self, bench: &mut Bench, limits: &Limits) {
        let turns = self.turns(limits);
        assert_eq!(bench.seen, turns);
        assert!(answers(&turns).starts_with(&bench.end.written));
        let deadline = bench.end.endpoint.poll_timeout().map(|due| (due.at.as_millis(), due.timer));
        let expected = self.deadline(limits);
        assert_eq!(deadline.map(|(at, _)| at), expected.as_ref().map(|(at, _)| *at));
        if let (Some((_, timer)), Some((_, timers))) = (deadline, &expected) {
            assert!(timers.contains(&timer), "{timer:?} and not {timers:?}");
        }
        let open = if self.lingering.is_some() { Link::FinishWriting } else { Link::Open };
        assert_eq!(bench.end.link(), self.ended.unwrap_or(open));
        let listens = self.is_closing(limits) || self.stopped.is_none();
        assert_eq!(bench.end.endpoint.wants_read(), self.ended.is_none() && !self.eof && listens);
        assert!(self.ended != Some(Link::Close) || bench.end.written == answers(&turns), "an answer was cut off");
    }
}

/// Drives a server through these steps from a moment on, and compares it after each with what the history says. The
/// limits are the protocol's, so that what was read is decoded at once.
///
/// # Panics
///
/// If there is a deadline too many or too few, if one comes early or late, or if the connection closes otherwise than it
/// must.
pub fn check_deadlines(stream: &[u8], ops: &[Op], start: u64) {
    let limits = Limits::server();
    let mut bench = Bench::new(limits.clone(), reply);
    let (mut now, mut fed) = (start, 0_usize);
    let mut clock = Clock::default();
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
                        clock.read_at.resize(clock.read.len(), now);
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
                    clock.expire(now, &limits);
                    bench.end.endpoint.handle_timeout(deadline.at);
                    bench.take_events();
                    clock.note(now, &bench, &limits, false);
                    assert_ne!(bench.end.endpoint.poll_timeout(), Some(deadline), "it asks again at once");
                }
                now = until;
                bench.end.endpoint.handle_timeout(Time::from_millis(now));
            }
        }
        bench.take_events();
        clock.note(now, &bench, &limits, took);
        clock.compare(&mut bench, &limits);
        if clock.ended.is_some() {
            break;
        }
    }
}
