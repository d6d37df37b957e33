//! When a tracker is asked for what. It knows no clock and no socket.

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    wire::{Blame, Channel, Host, Request, Response},
};

/// The first wait before another try, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The registration of some channels with one tracker.
///
/// While it is connected it asks in rounds: a HOST for each channel, at once and then whenever about a third of the
/// lease has passed, so that two may fail. When it is to stop, the last round is an UNHOST for each.
#[derive(Debug)]
pub(super) struct Registration {
    entries: Vec<Entry>,
    lease: u32,
    random: fn() -> u32,
    /// Entries that are to be asked for in this round.
    to_ask: VecDeque<usize>,
    /// Entries whose answers have not come, in the order asked.
    asked: VecDeque<(usize, Asked)>,
    connected: bool,
    /// When the next round begins, or the next connection is tried.
    next: Option<Time>,
    /// The tracker could not serve all of this round.
    unable: bool,
    /// Tries that failed since a connection served for more than one round.
    failures: u32,
    /// Rounds that went well on this connection.
    rounds: u32,
    /// That the tracker is out of reach was told.
    lost: bool,
    stopping: bool,
}

#[derive(Debug)]
struct Entry {
    channel: Channel,
    standing: Standing,
    /// Whether the tracker may list it because of this registration.
    may_be_listed: bool,
}

/// What was last told of a channel.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    Listed,
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Host,
    Unhost,
}

/// Something that has changed, told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The channel of this name is on the tracker's list.
    Listed(String),
    /// The channel of this name is no longer on it.
    Removed(String),
    /// The tracker does not do as it was asked.
    Refused { channel_name: String, why: String },
    /// There is no connection, for this reason.
    Lost(String),
}

impl Registration {
    /// A registration of these channels, each with a lease of so many seconds. `random` gives any number.
    pub(super) fn new(channels: Vec<Channel>, lease: u32, random: fn() -> u32) -> Self {
        let entry = |channel| Entry { channel, standing: Standing::Unknown, may_be_listed: false };
        Self {
            entries: channels.into_iter().map(entry).collect(),
            lease,
            random,
            to_ask: VecDeque::new(),
            asked: VecDeque::new(),
            connected: false,
            next: None,
            unable: false,
            failures: 0,
            rounds: 0,
            lost: false,
            stopping: false,
        }
    }

    /// A third of the lease.
    pub(super) fn third(&self) -> Duration {
        Duration::from_secs(self.lease.into()) / 3
    }

    /// There is a connection, and nothing was asked on it.
    pub(super) fn handle_connected(&mut self, now: Time) {
        self.connected = true;
        self.rounds = 0;
        if !self.stopping {
            self.next = Some(now);
        }
    }

    /// There is none any more, or none came about.
    pub(super) fn handle_lost(&mut self, now: Time, why: String) -> Option<Notice> {
        self.connected = false;
        self.asked.clear();
        self.to_ask.clear();
        if self.stopping {
            return None;
        }
        for entry in &mut self.entries {
            entry.standing = Standing::Unknown;
        }
        self.fail(now);
        let told = std::mem::replace(&mut self.lost, true);
        (!told).then_some(Notice::Lost(why))
    }

    /// What the tracker is asked next, if it is time.
    pub(super) fn poll_request(&mut self, now: Time) -> Option<Request> {
        if !self.connected {
            return None;
        }
        if !self.stopping && self.next.is_some_and(|next| next <= now) {
            self.next = None;
            self.unable = false;
            self.to_ask = (0..self.entries.len()).collect();
        }
        let index = self.to_ask.pop_front()?;
        let entry = self.entries.get_mut(index)?;
        let (asked, request) = if self.stopping {
            (Asked::Unhost, Request::Unhost { channel_name: entry.channel.channel_name.clone() })
        } else {
            entry.may_be_listed = true;
            (Asked::Host, Request::Host(Host { channel: entry.channel.clone(), lease: Some(self.lease) }))
        };
        self.asked.push_back((index, asked));
        Some(request)
    }

    /// The answer to the oldest request that has none.
    pub(super) fn handle_answer(&mut self, now: Time, response: &Response) -> Option<Notice> {
        let (index, asked) = self.asked.pop_front()?;
        let entry = self.entries.get_mut(index)?;
        let channel_name = entry.channel.channel_name.clone();
        let standing = match response {
            Response::Error(error) => {
                entry.may_be_listed &= error.blame == Blame::Server;
                self.unable |= error.blame == Blame::Server;
                Standing::Refused(format!("{}: {}", error.error, error.details))
            }
            _ => {
                entry.may_be_listed = asked == Asked::Host;
                if asked == Asked::Host { Standing::Listed } else { Standing::Unknown }
            }
        };
        // An UNHOST that fails leaves what the lease ends soon, or what another has by now.
        let is_news = entry.standing != standing && !(asked == Asked::Unhost && standing != Standing::Unknown);
        let notice = is_news.then(|| match &standing {
            Standing::Listed => Notice::Listed(channel_name),
            Standing::Unknown => Notice::Removed(channel_name),
            Standing::Refused(why) => Notice::Refused { channel_name, why: why.clone() },
        });
        entry.standing = standing;
        if !self.stopping && self.to_ask.is_empty() && self.asked.is_empty() {
            self.end_round(now);
        }
        notice
    }

    fn end_round(&mut self, now: Time) {
        self.lost = false;
        if self.unable {
            self.fail(now);
        } else {
            self.rounds = self.rounds.saturating_add(1);
            // A tracker that answers once and then breaks the connection is asked ever more seldom.
            if self.rounds > 1 {
                self.failures = 0;
            }
            // All servers that a tracker's restart has made register at one time spread out again.
            self.next = Some(now.after(self.up_to_a_part_less(self.third(), 5)));
        }
    }

    fn fail(&mut self, now: Time) {
        let doubled = BACK_OFF.0.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(BACK_OFF.1).min(self.third());
        self.next = Some(now.after(self.up_to_a_part_less(wait, 2)));
    }

    /// A time that is at random up to the `part`th part shorter than this one.
    fn up_to_a_part_less(&self, time: Duration, part: u32) -> Duration {
        let share = f64::from((self.random)()) / f64::from(u32::MAX);
        time - (time / part).mul_f64(share)
    }

    /// Takes the channels off the list, if they may be on it.
    pub(super) fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.next = None;
            let listed = self.entries.iter().enumerate().filter(|(_, entry)| entry.may_be_listed);
            self.to_ask = listed.map(|(index, _)| index).collect();
        }
    }

    /// Whether it was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether there is nothing more to ask and nothing to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.stopping && self.to_ask.is_empty() && self.asked.is_empty()
    }

    /// When something is to be asked, or a connection is to be tried.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.next
    }
}

#[cfg(test)]
mod tests;
