//! The connection core, shared by both roles: input, output, deadlines and closing.

use alloc::sync::Arc;

use super::{
    Deadline, Timer,
    outbox::Outbox,
    phase::{Phase, PhaseEvent},
};
use crate::{
    Limits, Span, Time,
    wire::{Decoder, Fault, Item, StartLine},
};

/// State shared by both roles of a connection.
#[derive(Debug)]
pub(crate) struct ConnectionCore<H> {
    decoder: Decoder<H>,
    pub(crate) outbox: Outbox,
    pub(crate) limits: Arc<Limits>,
    /// Limits that take effect when the frame that is arriving has ended.
    next_limits: Option<Arc<Limits>>,
    phase: Phase,
    frame: Option<Arriving>,
    /// Whether the endpoint wants to read.
    pub(crate) reads: bool,
    /// The time since which the peer has accepted no byte of the waiting output.
    stalled: Option<Time>,
    /// Whether the transport holds output that it cannot send yet.
    unflushed: bool,
}

/// The frame that is arriving.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    /// The position of its first byte.
    start: u64,
    clock: FrameClock,
}

/// The time spent on receiving a frame. Each idle connection has one, so it is small.
#[derive(Clone, Copy, Debug)]
enum FrameClock {
    /// Running since the first byte arrived, plus the time for which nothing was read.
    Runs(Time),
    /// Paused while nothing is read, because the rest of the frame may have arrived. Holds the milliseconds spent
    /// before.
    Rests(u64),
}

impl FrameClock {
    /// Returns the clock, started or paused as needed.
    const fn settled(self, now: Time, reads: bool) -> Self {
        let now = now.as_millis();
        match self {
            Self::Runs(since) if !reads => Self::Rests(now.saturating_sub(since.as_millis())),
            Self::Rests(spent) if reads => Self::Runs(Time::from_millis(now.saturating_sub(spent))),
            same => same,
        }
    }
}

impl Arriving {
    const fn runs_since(self) -> Option<Time> {
        match self.clock {
            FrameClock::Runs(since) => Some(since),
            FrameClock::Rests(_) => None,
        }
    }
}

impl<H: StartLine> ConnectionCore<H> {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self {
            decoder: Decoder::new(limits.max_payload),
            outbox: Outbox::new(limits.list_ahead),
            limits,
            next_limits: None,
            phase: Phase::START,
            frame: None,
            reads: true,
            stalled: None,
            unflushed: false,
        }
    }

    /// Replaces the limits for the frames that begin from now on.
    pub(crate) fn reconfigure(&mut self, limits: Arc<Limits>, now: Time) {
        self.next_limits = Some(limits);
        self.adopt_limits(now);
    }

    /// Puts the next limits into effect, if there are any and no frame is arriving.
    pub(crate) fn adopt_limits(&mut self, now: Time) {
        if let Some(limits) = self.next_limits.take_if(|limits| self.decoder.set_max_payload(limits.max_payload)) {
            if limits.write_timeout < self.limits.write_timeout {
                // Else a peer that is not slow by the old limit could be by the new one.
                self.stalled = self.stalled.map(|_| now);
            }
            self.limits = limits;
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Changes to the phase that follows from an event.
    pub(crate) const fn change(&mut self, event: PhaseEvent, now: Time) {
        self.phase = self.phase.after(event, now);
    }

    /// Buffers input to decode it later, unless the input is closed.
    pub(crate) fn buffer(&mut self, input: &[u8]) {
        if self.phase.decodes() {
            self.decoder.feed(input);
        }
    }

    /// Ends the input stream.
    pub(crate) fn finish_input(&mut self) {
        if self.phase.decodes() {
            self.decoder.finish();
        }
    }

    /// Decodes the next item of the buffered bytes and then `input`. Returns `None` once all of `input` is decoded;
    /// otherwise the caller [buffers](Self::buffer) the remaining `input`.
    pub(crate) fn next_item<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Item<'s, H>> {
        self.decoder.next_item_of(input)
    }

    /// Returns whether no item can come any more.
    pub(crate) const fn is_input_closed(&self) -> bool {
        !self.phase.decodes() || self.decoder.is_closed()
    }

    /// Returns the bytes that the decoder is skipping, as far as they have come.
    pub(super) const fn skipping(&self) -> Option<Span> {
        self.decoder.skipping()
    }

    /// Returns the number of bytes that are buffered and not decoded.
    pub(crate) fn unread(&self) -> usize {
        self.decoder.unread()
    }

    /// Returns whether a frame has begun and not ended.
    pub(crate) const fn is_frame_arriving(&self) -> bool {
        self.frame.is_some()
    }

    /// Starts and stops the clocks by the current state. Every call that changes the state ends with this one.
    ///
    /// `is_done`: all output is queued. `is_owed`: the peer still owes answers.
    pub(crate) fn settle(&mut self, now: Time, is_done: bool, is_owed: bool) {
        let partial = if self.is_input_closed() || self.unread() > 0 { None } else { self.decoder.partial() };
        self.frame = partial.map(|partial| {
            let start = partial.span.start;
            let before = self.frame.filter(|frame| frame.start == start);
            let clock = before.map_or(FrameClock::Runs(now), |frame| frame.clock);
            Arriving { start, clock: clock.settled(now, self.reads) }
        });
        if self.outbox.is_empty() && !self.unflushed {
            self.stalled = None;
            if is_done {
                self.change(PhaseEvent::OutputDone { is_owed }, now);
            }
        } else if self.stalled.is_none() {
            self.stalled = Some(now);
        }
    }

    pub(crate) fn written(&mut self, count: usize) {
        self.outbox.advance(count);
        if count > 0 {
            self.stalled = None;
        }
    }

    /// Notes whether the transport holds output that it cannot send yet.
    pub(crate) const fn flushing(&mut self, now: Time, is_pending: bool) {
        if self.unflushed && !is_pending {
            self.stalled = None;
            // The peer has just been told that nothing follows.
            self.change(PhaseEvent::Flushed, now);
        }
        self.unflushed = is_pending;
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let linger = match self.phase {
            Phase::Closed | Phase::Reset => return None,
            // The end of the output has not reached the peer.
            Phase::Lingering { .. } if self.unflushed => None,
            Phase::Lingering { since } => Some(since),
            _ => None,
        };
        let frame = self
            .frame
            .and_then(Arriving::runs_since)
            .map(|since| Deadline { at: since.after(self.limits.frame_timeout), timer: Timer::Frame });
        let write =
            self.stalled.map(|since| Deadline { at: since.after(self.limits.write_timeout), timer: Timer::Write });
        let linger = linger.map(|since| Deadline { at: since.after(self.limits.linger), timer: Timer::Linger });
        [frame, write, linger].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// Carries out the deadlines that have come. Returns the fault of a frame that took too long.
    pub(crate) fn expire(&mut self, now: Time) -> Option<Fault> {
        let due = |since: Option<Time>, after| since.is_some_and(|since| since.after(after) <= now);
        match self.phase {
            Phase::Closed | Phase::Reset => return None,
            _ if due(self.stalled, self.limits.write_timeout) => {
                self.change(PhaseEvent::Reset, now);
                return None;
            }
            Phase::Lingering { since } if !self.unflushed && due(Some(since), self.limits.linger) => {
                self.change(PhaseEvent::Abandon, now);
            }
            _ => {}
        }
        if due(self.frame.and_then(Arriving::runs_since), self.limits.frame_timeout) {
            self.frame = None;
            return self.decoder.time_out(self.limits.frame_timeout.as_secs());
        }
        None
    }
}
