//! The users who have joined a channel, and what its subscribers are to be told of them.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, btree_map},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    Time,
    wire::{ChannelName, Presence, User},
};

/// The most subscriptions of a channel whose notices name users.
const MAX_NAMED: usize = 256;

/// The time between two notices of a channel, and of one with more than [`MAX_NAMED`] subscriptions.
const INTERVAL: Duration = Duration::from_secs(1);
const LONG_INTERVAL: Duration = Duration::from_secs(10);

/// The most users whose changes are kept for the next notice. Beyond it, the notice has the count alone.
const MAX_CHANGES: usize = 1024;

/// The most users in the answer to WHO.
const MAX_LISTED: usize = 1000;

/// A join under a name.
#[derive(Debug)]
pub(super) struct NamedJoin {
    user: User,
    /// Joins of a channel are numbered in their order.
    number: u64,
}

/// The users of one channel.
#[derive(Debug)]
pub(super) struct Users {
    /// The numbers of each user's joins.
    joins: BTreeSet<(User, u64)>,
    /// Each user, by the number of its oldest join.
    oldest: BTreeMap<u64, User>,
    next_number: u64,
    /// Users who have come or gone since the last notice, and whether they are here.
    changes: BTreeMap<User, bool>,
    /// Whether the changes are not all known.
    is_count_alone: bool,
    /// The number of subscriptions at the last notice.
    told: usize,
    /// Whether a WHO was answered since the last notice. Then a user who comes and goes is named: the client may have been
    /// shown the state in between.
    was_asked: bool,
    /// The time of the last notice, or of the first join.
    since: Time,
    /// The time of the next notice, if one is due.
    pub(super) due: Option<Time>,
}

impl Users {
    pub(super) const fn new(now: Time) -> Self {
        Self {
            joins: BTreeSet::new(),
            oldest: BTreeMap::new(),
            next_number: 0,
            changes: BTreeMap::new(),
            is_count_alone: false,
            told: 0,
            was_asked: false,
            since: now,
            due: None,
        }
    }

    /// Adds a join under a name.
    pub(super) fn join(&mut self, user: User) -> Box<NamedJoin> {
        let number = self.next_number;
        self.next_number += 1;
        if self.first_join(&user).is_none() {
            self.oldest.insert(number, user.clone());
            self.change(&user, true);
        }
        self.joins.insert((user.clone(), number));
        Box::new(NamedJoin { user, number })
    }

    /// Removes a join under a name.
    pub(super) fn leave(&mut self, join: NamedJoin) {
        let NamedJoin { user, number } = join;
        let join = (user, number);
        self.joins.remove(&join);
        let (user, number) = join;
        if self.oldest.remove(&number).is_some() {
            match self.first_join(&user) {
                Some(next) => drop(self.oldest.insert(next, user)),
                None => self.change(&user, false),
            }
        }
    }

    /// Returns the number of a user's oldest join.
    fn first_join(&self, user: &User) -> Option<u64> {
        let mut joins = self.joins.range((user.clone(), 0)..=(user.clone(), u64::MAX));
        joins.next().map(|(_, number)| *number)
    }

    fn change(&mut self, user: &User, is_here: bool) {
        if self.is_count_alone {
            return;
        }
        match self.changes.entry(user.clone()) {
            // The user is as at the last notice.
            btree_map::Entry::Occupied(entry) if !self.was_asked => drop(entry.remove()),
            btree_map::Entry::Occupied(mut entry) => drop(entry.insert(is_here)),
            btree_map::Entry::Vacant(entry) => drop(entry.insert(is_here)),
        }
        if self.changes.len() > MAX_CHANGES {
            self.count_alone();
        }
    }

    fn count_alone(&mut self) {
        self.is_count_alone = true;
        self.changes = BTreeMap::new();
    }

    /// Returns the time of the next notice of a channel with so many subscriptions, if something has changed.
    pub(super) fn next_notice(&mut self, count: usize) -> Time {
        if count > MAX_NAMED {
            self.count_alone();
            return self.since.after(LONG_INTERVAL);
        }
        self.since.after(INTERVAL)
    }

    /// Returns the next notice of a channel with so many subscriptions; `None` if it would say nothing new.
    pub(super) fn take_notice(&mut self, channel_name: &ChannelName, count: usize, now: Time) -> Option<Presence> {
        let is_new = count != self.told || !self.changes.is_empty() || self.was_asked || self.is_count_alone;
        (self.told, self.was_asked, self.is_count_alone) = (count, false, false);
        let changes = core::mem::take(&mut self.changes);
        if !is_new {
            return None;
        }
        self.since = now;
        let users = |is_here: bool| -> Vec<User> {
            let users = changes.iter().filter(|(_, is_here_now)| **is_here_now == is_here).map(|(user, _)| user);
            users.take(Presence::MAX_USERS).cloned().collect()
        };
        let (joined, left) = (users(true), users(false));
        Some(Presence { channel_name: channel_name.clone(), count: count as u64, joined, left })
    }

    /// Returns the users for the answer to WHO, oldest first, and whether these are all.
    pub(super) fn listed(&mut self) -> (Vec<User>, bool) {
        self.was_asked = true;
        let users = self.oldest.values().take(MAX_LISTED).cloned().collect();
        (users, self.oldest.len() <= MAX_LISTED)
    }
}
