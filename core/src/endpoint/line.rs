//! What both ends of a connection share: bytes in, bytes out, their deadlines and the way to the end.

use super::{Deadline, Link, Timer, outbox::Outbox};
use crate::{
    Limits, Time,
    wire::{Decoder, Fault, Head, Item},
};

/// ```text
///            over(): nothing more will be written
///   Open ──────────────────────────────────────────► FinishWriting ── end of stream, or linger ──► Close
///    │                                                                                               ▲
///    ├── the peer takes no byte for write_timeout ──► Reset                        abandon() ────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Line<H> {
    decoder: Decoder<H>,
    pub(crate) outbox: Outbox,
    pub(crate) limits: Limits,
    frame: Option<Arriving>,
    /// Whether more of it is read now.
    pub(crate) reads: bool,
    /// Since when the peer has taken nothing of what waits for it.
    stalled: Option<Time>,
    /// Everything is written, and nothing more will be.
    over: bool,
    /// Since when there is nothing to wait for but the peer's end of stream.
    lingering: Option<Time>,
    /// The peer has ended its stream.
    eof: bool,
    /// No byte that comes from now on is decoded.
    deaf: bool,
    end: Option<Link>,
}

/// The frame that is arriving.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    /// Where it starts.
    start: u64,
    clock: FrameClock,
}

/// How long a frame takes. An idle connection has room for one of these, so it is small.
#[derive(Clone, Copy, Debug)]
enum FrameClock {
    /// Since its first byte came, or later by as long as nothing was read.
    Runs(Time),
    /// Nothing is read, so that whether the rest of it has come cannot be known. Before, it took so many milliseconds.
    Rests(u64),
}

impl FrameClock {
    /// How it stands now, when more of the frame is read, or is not.
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

impl<H: Head> Line<H> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(limits.max_payload),
            outbox: Outbox::new(limits.list_ahead),
            limits,
            frame: None,
            reads: true,
            stalled: None,
            over: false,
            lingering: None,
            eof: false,
            deaf: false,
            end: None,
        }
    }

    /// Keeps what has come to look at it later.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        if !self.deaf {
            self.decoder.feed(bytes);
        }
    }

    pub(crate) fn input_ended(&mut self) {
        self.eof = true;
        if !self.deaf {
            self.decoder.finish();
        }
    }

    /// Decodes nothing of what comes from now on.
    pub(crate) fn stop_listening(&mut self) {
        self.deaf = true;
    }

    /// The next item of what has come before and of `input`, which comes now. `None` means that all of it is looked
    /// at; what is left of `input` otherwise is to be [put in](Self::input).
    pub(crate) fn next_item<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Item<'s, H>> {
        if self.deaf {
            *input = &[];
        }
        self.decoder.next_item_of(input)
    }

    /// Whether no item can come any more, once [`next_item`](Self::next_item) gave `None`.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf || self.decoder.is_closed()
    }

    /// Bytes that came and are not looked at yet.
    pub(crate) fn unread(&self) -> usize {
        self.decoder.unread()
    }

    /// Whether a frame has begun and not ended.
    pub(crate) const fn is_frame_arriving(&self) -> bool {
        self.frame.is_some()
    }

    /// Whether reading serves a purpose, if what has come is all looked at.
    pub(crate) fn can_read(&self) -> bool {
        !self.eof && self.end.is_none()
    }

    /// Sets the clocks by what stands now. Every call that changes anything ends with it.
    ///
    /// `over` says that nothing more will be put into the outbox, `owed` that the peer still owes an answer.
    pub(crate) fn settle(&mut self, now: Time, over: bool, owed: bool) {
        let partial = if self.is_deaf() || self.unread() > 0 { None } else { self.decoder.partial() };
        self.frame = partial.map(|partial| {
            let start = partial.span.start;
            let before = self.frame.filter(|frame| frame.start == start);
            let clock = before.map_or(FrameClock::Runs(now), |frame| frame.clock);
            Arriving { start, clock: clock.settled(now, self.reads) }
        });
        if self.outbox.is_empty() {
            self.stalled = None;
            self.over |= over;
            if self.over && !owed && self.lingering.is_none() {
                self.lingering = Some(now);
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

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        self.end = self.end.max(Some(Link::Reset));
    }

    /// Closes without anything more.
    pub(crate) fn abandon(&mut self) {
        self.end = self.end.max(Some(Link::Close));
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        if self.link() >= Link::Close {
            return None;
        }
        let frame = self
            .frame
            .and_then(Arriving::runs_since)
            .map(|since| Deadline { at: since.after(self.limits.frame_timeout), timer: Timer::Frame });
        let write =
            self.stalled.map(|since| Deadline { at: since.after(self.limits.write_timeout), timer: Timer::Write });
        let linger = self.lingering.map(|since| Deadline { at: since.after(self.limits.linger), timer: Timer::Linger });
        [frame, write, linger].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// Does what the deadlines that have come demand. A frame that took too long is the fault it gives.
    pub(crate) fn expire(&mut self, now: Time) -> Option<Fault> {
        if self.link() >= Link::Close {
            return None;
        }
        let due = |since: Option<Time>, after| since.is_some_and(|since| since.after(after) <= now);
        if due(self.stalled, self.limits.write_timeout) {
            self.end = Some(Link::Reset);
            return None;
        }
        if due(self.lingering, self.limits.linger) {
            self.abandon();
        }
        if due(self.frame.and_then(Arriving::runs_since), self.limits.frame_timeout) {
            self.frame = None;
            return self.decoder.time_out(self.limits.frame_timeout.as_secs());
        }
        None
    }

    pub(crate) fn link(&self) -> Link {
        match self.end {
            Some(end) => end,
            None if !self.over => Link::Open,
            None if self.eof => Link::Close,
            None => Link::FinishWriting,
        }
    }
}
