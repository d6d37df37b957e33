//! Deadlines and closing. The limits are large here, so that what was read is decoded at once.

use super::*;

/// Deadlines and the way to the end, told from everything that has happened so far.
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
}

fn timed_op() -> impl Strategy<Value = Op> {
    let millis = prop_oneof![4 => 0..3_000_u64, 2 => 0..12_000_u64, 1 => 0..130_000_u64];
    prop_oneof![
        4 => prop_oneof![1..20_usize, 1..200_usize].prop_map(Op::Read),
        4 => any::<usize>().prop_map(Op::Respond),
        4 => prop_oneof![1..40_usize, Just(usize::MAX)].prop_map(Op::Write),
        5 => millis.prop_map(Op::Wait),
        1 => Just(Op::Eof),
        1 => Just(Op::Shutdown),
    ]
}

proptest! {
    #![proptest_config(times(3500))]

    #[test]
    fn deadlines_and_closing_are_what_the_history_says(
        stream in any_stream(), ops in vec(timed_op(), 1..50), start in 0..1_000_000_u64
    ) {
        let limits = Limits::server();
        let mut bench = Bench::new(limits.clone(), reply);
        let (mut now, mut fed) = (start, 0);
        let mut clock = Clock {
            read: Vec::new(),
            read_at: Vec::new(),
            stopped: None,
            eof: false,
            stalled: None,
            lingering: None,
            ended: None,
        };
        for op in ops {
            let at = Time::from_millis(now);
            let mut took = false;
            match op {
                Op::Read(most) => {
                    let bytes = &stream[fed..stream.len().min(fed + most)];
                    if bench.end.endpoint.wants_read() && !bytes.is_empty() {
                        fed += bytes.len();
                        bench.end.endpoint.handle_input(at, bytes);
                        if clock.stopped.is_none() {
                            clock.read.extend_from_slice(bytes);
                            clock.read_at.resize(clock.read.len(), now);
                        }
                    }
                }
                Op::Eof => if bench.end.endpoint.wants_read() {
                    bench.end.endpoint.handle_eof(at);
                    clock.eof = true;
                    clock.stopped = clock.stopped.or(Some(Stop::Eof));
                },
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
                        prop_assert_ne!(bench.end.endpoint.poll_timeout(), Some(deadline), "it asks again at once");
                    }
                    now = until;
                    bench.end.endpoint.handle_timeout(Time::from_millis(now));
                }
            }
            bench.take_events();
            clock.note(now, &bench, &limits, took);
            let turns = clock.turns(&limits);
            prop_assert_eq!(&bench.seen, &turns);
            prop_assert!(answers(&turns).starts_with(&bench.end.written));
            let deadline = bench.end.endpoint.poll_timeout().map(|due| (due.at.as_millis(), due.timer));
            let expected = clock.deadline(&limits);
            prop_assert_eq!(deadline.map(|(at, _)| at), expected.as_ref().map(|(at, _)| *at));
            if let (Some((_, timer)), Some((_, timers))) = (deadline, &expected) {
                prop_assert!(timers.contains(&timer), "{timer:?} and not {timers:?}");
            }
            let open = if clock.lingering.is_some() { Link::FinishWriting } else { Link::Open };
            prop_assert_eq!(bench.end.link(), clock.ended.unwrap_or(open));
            prop_assert_eq!(bench.end.endpoint.wants_read(), clock.ended.is_none() && !clock.eof
                && (clock.is_closing(&limits) || clock.stopped.is_none()));
            if clock.ended.is_some() {
                prop_assert!(clock.ended == Some(Link::Reset) || bench.end.written == answers(&turns));
                break;
            }
        }
    }
}
