//! The schedule of a tracker registration, without I/O: callers pass the time and carry out the requests.

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    wire::{Blame, Channel, ChannelName, Host, Request, Response},
};

/// The first and the longest wait between attempts.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The registration of some channels with one tracker.
///
/// While connected it sends rounds of HOST requests, one for each channel: the first at once, the next ones after about
/// a third of the lease each, so that two rounds may fail before the lease ends. Stopping sends a round of UNHOST.
#[derive(Debug)]
pub(super) struct Registration {
    entries: Vec<Entry>,
    lease: u32,
    random: fn() -> u32,
    /// Entries whose request in this round is not sent yet.
    queued: VecDeque<usize>,
    /// Requests without an answer so far, in the order sent.
    pending: VecDeque<(usize, RequestKind)>,
    connected: bool,
    /// The time of the next round or of the next attempt to connect.
    next: Option<Time>,
    /// Whether the tracker reported a failure of its own in this round.
    round_failed: bool,
    /// Failed attempts since a connection last completed two rounds.
    failures: u32,
    /// Rounds completed on this connection.
    rounds: u32,
    /// The loss of the connection that was reported since the last completed round.
    loss_reported: Option<Loss>,
    stopping: bool,
}

#[derive(Debug)]
struct Entry {
    channel: Channel,
    status: Status,
    /// Whether the tracker may list the channel on behalf of this registration.
    may_be_listed: bool,
}

/// The last reported status of a channel.
#[derive(Debug, PartialEq, Eq)]
enum Status {
    Unknown,
    Listed,
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestKind {
    Host,
    Unhost,
}

/// The kind of the loss of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// Another attempt may succeed.
    Temporary,
    /// Attempts fail until somebody changes a certificate or what is trusted.
    Permanent,
}

/// A change of status, reported once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The tracker lists the channel of this name.
    Listed(ChannelName),
    /// The tracker no longer lists the channel of this name.
    Removed(ChannelName),
    /// The tracker answered with an error.
    Refused { channel_name: ChannelName, reason: String },
    /// The connection failed, for this reason.
    Lost(String),
}

impl Registration {
    /// Creates a registration of these channels, with a lease in seconds. `random` returns a uniformly distributed
    /// number.
    pub(super) fn new(channels: Vec<Channel>, lease: u32, random: fn() -> u32) -> Self {
        let entry = |channel| Entry { channel, status: Status::Unknown, may_be_listed: false };
        Self {
            entries: channels.into_iter().map(entry).collect(),
            lease,
            random,
            queued: VecDeque::new(),
            pending: VecDeque::new(),
            connected: false,
            next: None,
            round_failed: false,
            failures: 0,
            rounds: 0,
            loss_reported: None,
            stopping: false,
        }
    }

    /// Returns the interval between rounds: a third of the lease.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(self.lease.into()) / 3
    }

    /// Starts a round on a new connection.
    pub(super) fn handle_connected(&mut self, now: Time) {
        self.connected = true;
        self.rounds = 0;
        if !self.stopping {
            self.next = Some(now);
        }
    }

    /// Schedules the next attempt after a connection failed or was lost. Returns a notice unless the loss was reported
    /// before; a permanent one is reported even after a temporary one.
    pub(super) fn handle_lost(&mut self, now: Time, loss: Loss, reason: String) -> Option<Notice> {
        self.connected = false;
        self.pending.clear();
        self.queued.clear();
        if self.stopping {
            return None;
        }
        for entry in &mut self.entries {
            entry.status = Status::Unknown;
        }
        self.fail(now);
        let is_news = self.loss_reported < Some(loss);
        self.loss_reported = self.loss_reported.max(Some(loss));
        is_news.then_some(Notice::Lost(reason))
    }

    /// Returns the next request to send, if one is due.
    pub(super) fn poll_request(&mut self, now: Time) -> Option<Request> {
        if !self.connected {
            return None;
        }
        if !self.stopping && self.next.is_some_and(|next| next <= now) {
            self.next = None;
            self.round_failed = false;
            self.queued = (0..self.entries.len()).collect();
        }
        let index = self.queued.pop_front()?;
        let entry = self.entries.get_mut(index)?;
        let (kind, request) = if self.stopping {
            (RequestKind::Unhost, Request::Unhost { channel_name: entry.channel.channel_name.clone() })
        } else {
            entry.may_be_listed = true;
            (RequestKind::Host, Request::Host(Host { channel: entry.channel.clone(), lease: Some(self.lease) }))
        };
        self.pending.push_back((index, kind));
        Some(request)
    }

    /// Handles the answer to the oldest pending request.
    pub(super) fn handle_answer(&mut self, now: Time, response: &Response) -> Option<Notice> {
        let (index, kind) = self.pending.pop_front()?;
        let entry = self.entries.get_mut(index)?;
        let channel_name = entry.channel.channel_name.clone();
        let status = match response {
            Response::Error(error) => {
                entry.may_be_listed &= error.blame == Blame::Server;
                self.round_failed |= error.blame == Blame::Server;
                Status::Refused(format!("{}: {}", error.error, error.details))
            }
            _ => {
                entry.may_be_listed = kind == RequestKind::Host;
                if kind == RequestKind::Host { Status::Listed } else { Status::Unknown }
            }
        };
        // A failed UNHOST is not reported: the lease ends the entry soon, or the name belongs to another server by now.
        let is_news = entry.status != status && !(kind == RequestKind::Unhost && status != Status::Unknown);
        let notice = is_news.then(|| match &status {
            Status::Listed => Notice::Listed(channel_name),
            Status::Unknown => Notice::Removed(channel_name),
            Status::Refused(reason) => Notice::Refused { channel_name, reason: reason.clone() },
        });
        entry.status = status;
        if !self.stopping && self.queued.is_empty() && self.pending.is_empty() {
            self.end_round(now);
        }
        notice
    }

    /// Schedules the next round.
    fn end_round(&mut self, now: Time) {
        self.loss_reported = None;
        if self.round_failed {
            self.fail(now);
        } else {
            self.rounds = self.rounds.saturating_add(1);
            // Two rounds, so that a tracker that answers once and then disconnects still meets growing waits.
            if self.rounds > 1 {
                self.failures = 0;
            }
            // Jitter spreads out the servers that registered at the same time after a tracker's restart.
            self.next = Some(now.after(self.shortened(self.interval(), 5)));
        }
    }

    /// Schedules the next attempt with exponential backoff.
    fn fail(&mut self, now: Time) {
        let doubled = BACK_OFF.0.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(BACK_OFF.1).min(self.interval());
        self.next = Some(now.after(self.shortened(wait, 2)));
    }

    /// Returns `time` shortened at random by up to one `part`th.
    fn shortened(&self, time: Duration, part: u32) -> Duration {
        let share = f64::from((self.random)()) / f64::from(u32::MAX);
        time - (time / part).mul_f64(share)
    }

    /// Stops the rounds and queues an UNHOST for each channel that may be listed.
    pub(super) fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.next = None;
            let listed = self.entries.iter().enumerate().filter(|(_, entry)| entry.may_be_listed);
            self.queued = listed.map(|(index, _)| index).collect();
        }
    }

    /// Returns whether [`stop`](Self::stop) was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Returns whether it is stopped and every request is answered.
    pub(super) fn is_done(&self) -> bool {
        self.stopping && self.queued.is_empty() && self.pending.is_empty()
    }

    /// Returns the time of the next round or of the next attempt to connect.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.next
    }
}

#[cfg(test)]
mod tests;
