//! The queue of the page's steps for the TCP connection: writes, waits, end of stream and reset.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use bytes::Buf as _;
use tokio::time::Instant;

use super::end::End;

/// The most queued steps. While there are more, the page is not read.
const MAX_STEPS: usize = 4096;
/// The number of queued bytes at which the page is no longer read; the last message may exceed it. Twice the page's own
/// limit on unreported bytes (`source/outgoing.ts`), so that a page within its limit is always read.
const MAX_BYTES: usize = 2 << 20;
/// The longest wait, well above the protocol's frame timeout of two minutes.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// One step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes the bytes, not merged with other writes.
    Write(Bytes),
    /// Waits.
    Wait(Until),
    /// Shuts down the sending half.
    Finish,
    /// Resets the connection.
    Reset,
}

/// The end of a wait, which begins when the step before it is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// A wait that has not begun.
    After(Duration),
    /// A wait that has begun.
    At(Instant),
}

/// The steps that are not done yet.
#[derive(Debug, Default)]
pub(super) struct Plan {
    steps: VecDeque<Step>,
    bytes: usize,
    /// Whether the last step was `Finish` or `Reset`.
    is_complete: bool,
    /// Whether TCP accepts no more bytes, so that writes are dropped.
    output_closed: bool,
}

impl Plan {
    /// Adds a step.
    ///
    /// # Errors
    ///
    /// A step after `Finish` or `Reset`, or a wait that is too long.
    pub(super) fn push(&mut self, step: Step) -> Result<(), End> {
        if self.is_complete {
            return Err(End::AFTER_EOF);
        }
        match &step {
            Step::Wait(Until::After(wait)) if *wait > MAX_WAIT => return Err(End::TOO_LONG),
            Step::Write(_) | Step::Wait(_) if self.output_closed => return Ok(()),
            // An empty message writes nothing.
            Step::Write(bytes) if bytes.is_empty() => return Ok(()),
            Step::Write(bytes) => self.bytes += bytes.len(),
            Step::Wait(_) => {}
            Step::Finish | Step::Reset => self.is_complete = true,
        }
        self.steps.push_back(step);
        Ok(())
    }

    /// Returns whether the page may be read, also while the first step waits: the page's credit and its close arrive by
    /// the same messages, and a peer may accept bytes only once credit has arrived.
    pub(super) fn has_room(&self) -> bool {
        self.steps.len() < MAX_STEPS && self.bytes < MAX_BYTES
    }

    /// Returns the bytes to be written now.
    pub(super) fn to_write(&self) -> Option<&Bytes> {
        match self.steps.front() {
            Some(Step::Write(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Removes written bytes.
    pub(super) fn wrote(&mut self, count: usize) {
        if let Some(Step::Write(bytes)) = self.steps.front_mut() {
            let count = count.min(bytes.len());
            bytes.advance(count);
            self.bytes -= count;
            if bytes.is_empty() {
                self.steps.pop_front();
            }
        }
    }

    /// Drops all writes and waits, after TCP accepts no more bytes.
    pub(super) fn stop_writing(&mut self) {
        self.output_closed = true;
        self.bytes = 0;
        self.steps.retain(|step| matches!(step, Step::Finish | Step::Reset));
    }

    /// Returns the end of the wait if the first step is one. Begins the wait if it has not begun.
    pub(super) fn wait(&mut self) -> Option<Instant> {
        let Some(Step::Wait(until)) = self.steps.front_mut() else { return None };
        match *until {
            Until::At(at) => Some(at),
            Until::After(wait) => {
                let at = Instant::now() + wait;
                *until = Until::At(at);
                Some(at)
            }
        }
    }

    /// Removes the wait if the first step is one.
    pub(super) fn waited(&mut self) {
        if let Some(Step::Wait(_)) = self.steps.front() {
            self.steps.pop_front();
        }
    }

    /// Returns whether the sending half must be shut down now, and removes that step.
    pub(super) fn take_finish(&mut self) -> bool {
        self.steps.pop_front_if(|step| *step == Step::Finish).is_some()
    }

    /// Returns whether the connection must be reset now.
    pub(super) fn wants_reset(&self) -> bool {
        self.steps.front() == Some(&Step::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(ms: u64) -> Step {
        Step::Wait(Until::After(Duration::from_millis(ms)))
    }

    fn write(bytes: &'static [u8]) -> Step {
        Step::Write(Bytes::from_static(bytes))
    }

    #[test]
    fn steps_are_done_in_order_and_each_write_by_itself() {
        let mut plan = Plan::default();
        for step in [write(b"LI"), write(b"ST"), wait(0), Step::Finish] {
            plan.push(step).unwrap();
        }
        assert_eq!(plan.to_write().unwrap(), &b"LI"[..]);
        assert!(plan.wait().is_none() && !plan.take_finish());
        plan.wrote(1);
        assert_eq!(plan.to_write().unwrap(), &b"I"[..]);
        plan.wrote(1);
        assert_eq!(plan.to_write().unwrap(), &b"ST"[..]);
        plan.wrote(2);
        assert!(plan.to_write().is_none() && !plan.take_finish());
        assert!(plan.wait().is_some());
        plan.waited();
        assert!(plan.wait().is_none() && plan.take_finish());
        assert!(!plan.take_finish() && plan.has_room());
    }

    #[test]
    fn the_page_is_read_while_there_is_room_for_steps() {
        for first in [wait(1), write(b"x")] {
            let mut plan = Plan::default();
            plan.push(first).unwrap();
            for step in 2..=MAX_STEPS {
                plan.push(wait(1)).unwrap();
                assert_eq!(plan.has_room(), step < MAX_STEPS);
            }
            plan.waited();
            plan.wrote(1);
            assert!(plan.has_room());
        }
    }

    #[test]
    fn two_mebibytes_may_wait() {
        for first in [wait(1), write(b"x")] {
            let mut plan = Plan::default();
            plan.push(first).unwrap();
            plan.push(Step::Write(vec![0; MAX_BYTES - 2].into())).unwrap();
            assert!(plan.has_room());
            plan.push(write(b"yz")).unwrap();
            assert!(!plan.has_room());
        }
    }

    #[test]
    fn the_longest_wait_is_ten_minutes() {
        let mut plan = Plan::default();
        plan.push(wait(600_000)).unwrap();
        assert_eq!(plan.push(wait(600_001)), Err(End::TOO_LONG));
    }

    #[test]
    fn nothing_comes_after_the_last_step() {
        for last in [Step::Finish, Step::Reset] {
            let mut plan = Plan::default();
            plan.push(last).unwrap();
            for step in [write(b"x"), write(b""), wait(1), Step::Finish, Step::Reset] {
                assert_eq!(plan.push(step), Err(End::AFTER_EOF));
            }
        }
    }

    #[test]
    fn closed_output_drops_writes_and_waits() {
        let mut plan = Plan::default();
        for step in [write(b"a"), wait(1000), write(b"b"), Step::Finish] {
            plan.push(step).unwrap();
        }
        plan.stop_writing();
        assert!(plan.to_write().is_none() && plan.wait().is_none());
        assert!(plan.take_finish());
        let mut plan = Plan::default();
        plan.stop_writing();
        plan.push(write(b"more")).unwrap();
        assert!(plan.to_write().is_none() && plan.has_room());
    }
}
