//! Drain: the times at which a server that stops closes its connections.

use alloc::{collections::VecDeque, vec::Vec};
use core::{num::NonZeroU32, time::Duration};

use super::{ConnectionId, Hub};
use crate::{Time, endpoint::ServerCommand, wire::ErrorResponse};

/// The greatest number of seconds after which clients are asked to come back. The least is 1.
const MAX_RETRY_AFTER: u32 = 5;

/// The pace at which a server that stops closes the connections that asked for notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainPlan {
    /// Closings per second. All clients of a large server would else come back at one time.
    pub rate: NonZeroU32,
    /// The time within which all are closed, at a higher rate if there are so many.
    pub within: Duration,
}

/// The connections with notices that a server which stops has not closed yet.
#[derive(Debug)]
pub(super) struct Drain {
    since: Time,
    /// Closings, and the milliseconds in which there are so many.
    pace: (u64, u64),
    /// The number of connections with notices at the start.
    all: u64,
    /// Those that are not closed yet.
    waiting: VecDeque<ConnectionId>,
}

impl Drain {
    fn new(plan: DrainPlan, waiting: VecDeque<ConnectionId>, now: Time) -> Self {
        let all = waiting.len() as u64;
        let (rate, within) = (u64::from(plan.rate.get()), u64::try_from(plan.within.as_millis()).unwrap_or(u64::MAX));
        let is_in_time = all.saturating_mul(1000) <= rate.saturating_mul(within);
        Self { since: now, pace: if is_in_time { (rate, 1000) } else { (all, within) }, all, waiting }
    }

    /// Returns the number of connections that are closed.
    fn closed(&self) -> u64 {
        self.all - self.waiting.len() as u64
    }

    /// Returns the time of the next closing.
    pub(super) fn next_at(&self) -> Option<Time> {
        let (closings, millis) = self.pace;
        let after = self.closed().saturating_mul(millis).checked_div(closings)?;
        (!self.waiting.is_empty()).then(|| self.since.after(Duration::from_millis(after)))
    }

    /// Returns the next connection to close by now, and the seconds after which its client is to come back.
    fn next_due(&mut self, now: Time) -> Option<(ConnectionId, u32)> {
        self.next_at().filter(|at| *at <= now)?;
        // In turn, so that of the clients that are told together as many come back in each second.
        let turn = u32::try_from(self.closed() % u64::from(MAX_RETRY_AFTER)).unwrap_or_default();
        self.waiting.pop_front().map(|id| (id, turn + 1))
    }
}

impl Hub {
    /// Closes every connection, because the server stops. A client that asked for notices is told `Server stopping` and
    /// the seconds after which to come back, at the pace of the plan; all others are [shut
    /// down](ServerCommand::Shutdown) at once, and so is each that is connected from now on. Answers that are owed come
    /// before.
    pub fn drain(&mut self, plan: DrainPlan, now: Time) {
        if self.drain.is_some() {
            return;
        }
        let open = self.connections.iter().filter(|(_, connection)| !connection.closed);
        let (with_notices, others): (Vec<_>, Vec<_>) = open.partition(|(_, connection)| connection.notices);
        let with_notices = with_notices.into_iter().map(|(id, _)| *id).collect();
        others.into_iter().for_each(|(id, _)| self.effects.send(*id, ServerCommand::Shutdown));
        self.drain = Some(Drain::new(plan, with_notices, now));
        self.close_drained(now);
    }

    /// Resets every connection that is not closed yet. For a server that stops and has waited long enough.
    pub fn reset_connections(&mut self) {
        let open = self.connections.iter().filter(|(_, connection)| !connection.closed);
        let ids: Vec<_> = open.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.effects.send(id, ServerCommand::Reset));
    }

    /// Closes the connections whose turn has come.
    pub(super) fn close_drained(&mut self, now: Time) {
        while let Some((id, retry_after)) = self.drain.as_mut().and_then(|drain| drain.next_due(now)) {
            let Some(connection) = self.connections.get(&id).filter(|connection| !connection.closed) else { continue };
            let command = match connection.notices {
                true => ServerCommand::Close(ErrorResponse::server_stopping(retry_after)),
                // Its client has sent another HELLO meanwhile.
                false => ServerCommand::Shutdown,
            };
            self.effects.send(id, command);
        }
    }
}
