//! Counts of a hub's work, kept as plain integers and read when somebody asks.

use alloc::{borrow::Cow, collections::BTreeMap, vec, vec::Vec};
use core::time::Duration;

use crate::{
    endpoint::{Reply, ServerCommand},
    wire::{Command, ErrorResponse, Response, Status},
};

/// Upper bounds of [`Counters::request_milliseconds`].
const MILLISECONDS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// Upper bounds of [`Counters::commit_messages`].
const MESSAGES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Counts of a [`Hub`](super::Hub)'s work since its start, and its present sizes.
///
/// None of them is per channel, user or address, so their number does not depend on what clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests that were decided, by command and by the status of the answer. Faults of a frame, which the endpoint
    /// answers, are not among them.
    pub requests: BTreeMap<(Command, Status), u64>,
    /// Errors that were sent, by their name in the protocol: answers, and reasons for closing a connection.
    pub errors: BTreeMap<&'static str, u64>,
    /// AUTHs that were decided, by their result.
    pub authentications: BTreeMap<AuthResult, u64>,
    /// Messages that were stored.
    pub messages_stored: u64,
    /// MESSAGEs that were answered with the answer of the message that they repeat.
    pub repeated_messages: u64,
    /// Keys of stored messages that were evicted within their window, because there were too many.
    pub evicted_send_keys: u64,
    /// Messages that were pushed, once for each connection.
    pub pushes: u64,
    /// Commits that were stored, by their number of messages.
    pub commit_messages: Histogram,
    /// Requests that waited for the store, by command and by the time until their outcome was known.
    pub request_milliseconds: BTreeMap<Command, Histogram>,
    /// Listed channels that live here.
    pub channels_here: usize,
    /// Listed channels that live elsewhere.
    pub channels_elsewhere: usize,
    /// Joins over all connections.
    pub joins: usize,
    /// Keys of stored messages, by which repeated MESSAGEs are known.
    pub send_keys: usize,
}

/// The result of an AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AuthResult {
    /// The credentials are right.
    Authenticated,
    /// They are wrong.
    Failed,
    /// The connection was authenticated before.
    AlreadyAuthenticated,
    /// The client may not try so often.
    TooManyAttempts,
}

impl AuthResult {
    /// Every result.
    pub const ALL: &'static [Self] =
        &[Self::Authenticated, Self::Failed, Self::AlreadyAuthenticated, Self::TooManyAttempts];

    /// Returns its name as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Failed => "failed",
            Self::AlreadyAuthenticated => "already_authenticated",
            Self::TooManyAttempts => "too_many_attempts",
        }
    }
}

impl Default for Counters {
    /// Returns zeros, with an entry for each command that a hub decides and each status, so that a reader sees each of them from the start.
    fn default() -> Self {
        let statuses =
            |command: &Command| [Status::Ok, Status::RequestError, Status::ServerError].map(|it| (*command, it));
        let stored = [Command::Host, Command::Message, Command::Unhost, Command::History, Command::Delete];
        Self {
            requests: Command::ALL
                .iter()
                .filter(|command| **command != Command::Hello)
                .flat_map(statuses)
                .map(|key| (key, 0))
                .collect(),
            errors: ErrorResponse::NAMES.iter().map(|name| (*name, 0)).collect(),
            authentications: AuthResult::ALL.iter().map(|result| (*result, 0)).collect(),
            messages_stored: 0,
            repeated_messages: 0,
            evicted_send_keys: 0,
            pushes: 0,
            commit_messages: Histogram::new(MESSAGES),
            request_milliseconds: stored.map(|command| (command, Histogram::new(MILLISECONDS))).into(),
            channels_here: 0,
            channels_elsewhere: 0,
            joins: 0,
            send_keys: 0,
        }
    }
}

impl Counters {
    /// Counts the answer to a request.
    pub(super) fn answered(&mut self, command: Command, reply: &Reply) {
        let status = match reply {
            Reply::Response(response) => {
                if let Response::Error(error) = response {
                    self.error(error);
                }
                response.status()
            }
            Reply::Encoded(_) | Reply::Listed(_) => Status::Ok,
        };
        *self.requests.entry((command, status)).or_default() += 1;
    }

    /// Counts the result of an AUTH.
    pub(super) fn authentication(&mut self, result: AuthResult) {
        *self.authentications.entry(result).or_default() += 1;
    }

    /// Counts a request that is answered OK elsewhere.
    pub(super) fn answered_elsewhere(&mut self, command: Command) {
        *self.requests.entry((command, Status::Ok)).or_default() += 1;
    }

    /// Counts a command to a connection. Answers are counted where they are decided, and an error that closes it by its
    /// endpoint, which may not send it any more.
    pub(super) fn sent(&mut self, command: &ServerCommand) {
        match command {
            ServerCommand::Push(pushes) | ServerCommand::Replay(pushes) => self.pushes += pushes.len() as u64,
            ServerCommand::Respond { .. }
            | ServerCommand::Notify(_)
            | ServerCommand::Close(_)
            | ServerCommand::CloseSlow(_)
            | ServerCommand::Disconnect
            | ServerCommand::Revoke(_)
            | ServerCommand::Finish
            | ServerCommand::Reconfigure(_)
            | ServerCommand::Shutdown
            | ServerCommand::Reset => {}
        }
    }

    /// Counts an error. A hub makes none but those that have a name in the protocol.
    fn error(&mut self, error: &ErrorResponse) {
        if let Cow::Borrowed(name) = error.error {
            *self.errors.entry(name).or_default() += 1;
        }
    }

    /// Counts the time that a request waited for the store.
    pub(super) fn waited(&mut self, command: Command, time: Duration) {
        if let Some(histogram) = self.request_milliseconds.get_mut(&command) {
            histogram.observe(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
    }
}

/// Counts of values by fixed upper bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    /// The number of values up to each bound and above the one before; the last is of those above all bounds.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Makes an empty one with these bounds, the smallest first.
    fn new(bounds: &'static [u64]) -> Self {
        let counts = vec![0; bounds.len() + 1];
        Self { bounds, counts, sum: 0 }
    }

    /// Counts a value.
    pub(super) fn observe(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Returns each bound with the number of values up to it and above the one before. The last has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// Returns the number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all values.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_bucket_of_the_first_bound_that_is_not_below_it() {
        let mut histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, u64::MAX] {
            histogram.observe(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(Some(1), 2), (Some(10), 2), (None, 2)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, u64::MAX));
    }
}
