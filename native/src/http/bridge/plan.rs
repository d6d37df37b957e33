//! What the page wants done to the TCP connection, in order, and when.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use bytes::Buf as _;
use tokio::time::Instant;

use super::end::End;

/// The most steps that may wait. A page that has given more is not read until some are done.
const MOST_STEPS: usize = 4096;
/// The most bytes that may wait with them, beside the last message. Twice what the page gives before it hears that some
/// have left (`source/outgoing.ts`): a page that keeps to that is always read.
const MOST_BYTES: usize = 2 << 20;
/// The longest wait: well above the two minutes that the protocol gives a frame.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Write these, apart from what stands before and after them.
    Write(Bytes),
    /// Do nothing until then.
    Wait(Until),
    /// Shut down the sending half.
    Finish,
    /// Reset the connection.
    Reset,
}

/// A wait counts from the moment at which the step before it was done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// It has not begun.
    After(Duration),
    /// It runs.
    At(Instant),
}

/// The steps that are not done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    steps: VecDeque<Step>,
    bytes: usize,
    /// A step was given after which there can be no other.
    is_complete: bool,
    /// TCP takes no more bytes: those to be written are dropped.
    is_deaf: bool,
}

impl Plan {
    /// Adds a step.
    ///
    /// # Errors
    ///
    /// A step after the last one, and a wait that is too long.
    pub(super) fn push(&mut self, step: Step) -> Result<(), End> {
        if self.is_complete {
            return Err(End::AFTER_EOF);
        }
        match &step {
            Step::Wait(Until::After(wait)) if *wait > LONGEST_WAIT => return Err(End::TOO_LONG),
            Step::Write(_) | Step::Wait(_) if self.is_deaf => return Ok(()),
            // An empty message writes nothing.
            Step::Write(bytes) if bytes.is_empty() => return Ok(()),
            Step::Write(bytes) => self.bytes += bytes.len(),
            Step::Wait(_) => {}
            Step::Finish | Step::Reset => self.is_complete = true,
        }
        self.steps.push_back(step);
        Ok(())
    }

    /// Whether the page may be read. It is, as far as there is room, whatever the step that stands first waits for:
    /// only in what the page sends stand its credit and its leave, and a peer that is owed credit takes no bytes
    /// either.
    pub(super) fn has_room(&self) -> bool {
        self.steps.len() < MOST_STEPS && self.bytes < MOST_BYTES
    }

    /// Returns the bytes to be written now.
    pub(super) fn to_write(&self) -> Option<&Bytes> {
        match self.steps.front() {
            Some(Step::Write(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Removes bytes that TCP has taken.
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

    /// Drops all that is to be written, after TCP takes nothing any more.
    pub(super) fn stop_writing(&mut self) {
        self.is_deaf = true;
        self.bytes = 0;
        self.steps.retain(|step| matches!(step, Step::Finish | Step::Reset));
    }

    /// Returns the end of the wait that stands first, if one does. It begins now if it has not begun.
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

    /// Removes the wait that stands first.
    pub(super) fn waited(&mut self) {
        if let Some(Step::Wait(_)) = self.steps.front() {
            self.steps.pop_front();
        }
    }

    /// Whether the sending half is to be shut down now. It is told once.
    pub(super) fn take_finish(&mut self) -> bool {
        self.steps.pop_front_if(|step| *step == Step::Finish).is_some()
    }

    /// Whether the connection is to be reset now.
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
            for step in 2..=MOST_STEPS {
                plan.push(wait(1)).unwrap();
                assert_eq!(plan.has_room(), step < MOST_STEPS);
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
            plan.push(Step::Write(vec![0; MOST_BYTES - 2].into())).unwrap();
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
    fn what_cannot_be_written_is_not_waited_for() {
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
