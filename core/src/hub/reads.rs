//! Reads of the store, and the connections that they are for.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::ops::RangeInclusive;

use super::{ConnectionId, Effect, Found, Hub, Page, Query, refusal, storage};
use crate::{
    Time,
    endpoint::{Misuse, Ticket},
    rights::Action,
    wire::{ChannelName, Command, HistoryRange, MAX_HISTORY},
};

/// A page of a replay: large enough that reading it costs little for each message, small enough that many connections
/// can have one.
const REPLAY_MESSAGES: usize = 400;
const REPLAY_BYTES: usize = 48 * 1024;

/// The most reads that are with the store at one time: enough that it need not wait for the hub. The others wait here,
/// where those of closed connections are dropped.
const AT_ONCE: usize = 16;

/// The number of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(u64);

/// The reads whose pages have not come. A connection has one HISTORY, or one DELETE whose message is read, and one page
/// of a replay at most. The reads for requests have their turn in the order asked, and so have those for replays; the
/// two kinds take turns, so that no crowd that asks for HISTORY keeps readers from their next page.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// With the store.
    open: BTreeMap<ReadId, Open>,
    /// Those for HISTORYs and DELETEs.
    requests: VecDeque<Purpose>,
    replays: VecDeque<Purpose>,
    /// Whether it is the turn of the requests.
    requests_next: bool,
    next: u64,
}

/// A read that is with the store.
#[derive(Debug)]
struct Open {
    purpose: Purpose,
    /// The ids of the messages that it may give.
    ids: RangeInclusive<u64>,
    /// Whether it may give the text of a message that was deleted since it began.
    is_outdated: bool,
}

#[derive(Debug)]
enum Purpose {
    History {
        connection: ConnectionId,
        ticket: Ticket,
        /// The time at which the request was received.
        since: Time,
        channel_name: ChannelName,
        range: HistoryRange,
        limit: u16,
    },
    Replay {
        connection: ConnectionId,
        channel_name: ChannelName,
        after: u64,
    },
    /// To decide a DELETE.
    LookUp {
        connection: ConnectionId,
        target: (ChannelName, u64),
    },
}

impl Purpose {
    const fn connection(&self) -> ConnectionId {
        match self {
            Self::History { connection, .. } | Self::Replay { connection, .. } | Self::LookUp { connection, .. } => {
                *connection
            }
        }
    }

    const fn channel_name(&self) -> &ChannelName {
        match self {
            Self::History { channel_name, .. }
            | Self::Replay { channel_name, .. }
            | Self::LookUp { target: (channel_name, _), .. } => channel_name,
        }
    }
}

impl Reads {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.requests.is_empty() && self.replays.is_empty()
    }

    /// Adds the read of a page that a connection is pushed next.
    pub(super) fn replay(&mut self, connection: ConnectionId, channel_name: ChannelName, after: u64) {
        self.replays.push_back(Purpose::Replay { connection, channel_name, after });
    }

    /// Adds the read of a HISTORY.
    pub(super) fn history(
        &mut self,
        connection: ConnectionId,
        ticket: Ticket,
        since: Time,
        channel_name: ChannelName,
        range: HistoryRange,
        limit: u16,
    ) {
        self.requests.push_back(Purpose::History { connection, ticket, since, channel_name, range, limit });
    }

    /// Adds the read of the message that a connection's DELETE is of.
    pub(super) fn look_up(&mut self, connection: ConnectionId, target: (ChannelName, u64)) {
        self.requests.push_back(Purpose::LookUp { connection, target });
    }

    /// Notes that a message was deleted: the reads that may give its text are repeated.
    pub(super) fn outdate(&mut self, channel_name: &ChannelName, id: u64) {
        for read in self.open.values_mut() {
            read.is_outdated |= read.purpose.channel_name() == channel_name && read.ids.contains(&id);
        }
    }

    /// Takes a read whose page has come; `None` in it if it is to be repeated.
    fn close(&mut self, read: ReadId) -> Option<Option<Purpose>> {
        let Open { purpose, is_outdated, .. } = self.open.remove(&read)?;
        if !is_outdated {
            return Some(Some(purpose));
        }
        match purpose {
            Purpose::Replay { .. } => self.replays.push_front(purpose),
            Purpose::History { .. } | Purpose::LookUp { .. } => self.requests.push_front(purpose),
        }
        Some(None)
    }

    /// Drops what the store was not asked for yet. Returns the connections of the HISTORYs.
    pub(super) fn drop_waiting(&mut self) -> Vec<ConnectionId> {
        self.replays.clear();
        let histories = self.requests.drain(..).filter(|purpose| matches!(purpose, Purpose::History { .. }));
        histories.map(|purpose| purpose.connection()).collect()
    }

    /// Takes the next read, if the store is to have more.
    fn take(&mut self) -> Option<Purpose> {
        if self.open.len() >= AT_ONCE {
            return None;
        }
        self.requests_next = !self.requests_next;
        let (first, then) = match self.requests_next {
            true => (&mut self.requests, &mut self.replays),
            false => (&mut self.replays, &mut self.requests),
        };
        first.pop_front().or_else(|| then.pop_front())
    }

    fn open(&mut self, purpose: Purpose, query: &Query) -> ReadId {
        let id = ReadId(self.next);
        self.next += 1;
        let limit = query.limit as u64;
        let ids = match query.range {
            // Where the next ones are kept no more, later ones are read; the other purposes do not take those.
            HistoryRange::After(id) if matches!(purpose, Purpose::History { .. }) => id + 1..=u64::MAX,
            HistoryRange::After(id) => id + 1..=id.saturating_add(limit),
            HistoryRange::Before(id) => id.saturating_sub(limit)..=id - 1,
            HistoryRange::Last => 0..=u64::MAX,
        };
        self.open.insert(id, Open { purpose, ids, is_outdated: false });
        id
    }
}

impl Hub {
    /// Handles the page of an [`Effect::Read`].
    ///
    /// # Errors
    ///
    /// [`Misuse::UnexpectedOutcome`] if it was not asked for.
    pub fn handle_page(&mut self, read: ReadId, page: Page) -> Result<(), Misuse> {
        let Some(purpose) = self.reads.close(read).ok_or(Misuse::UnexpectedOutcome)? else { return Ok(()) };
        match (purpose, page) {
            (Purpose::History { connection, ticket, since, channel_name, .. }, page) => {
                let reply = match page {
                    // Its rights may have been taken away since it asked.
                    _ if !self.may(connection, Action::Read, &channel_name) => refusal::not_found(&channel_name).into(),
                    _ if let Some(error) = self.refuse_to_read(connection, &channel_name) => error.into(),
                    Some(Found::History(reply)) => reply,
                    Some(Found::Replay(_) | Found::Message(_)) | None => refusal::not_read().into(),
                };
                // Pages come between two calls of `handle_timeout`, which gave the time.
                self.counters.waited(Command::History, self.leases.by.since(since));
                self.answer_stored(connection, ticket, Command::History, reply);
            }
            (Purpose::Replay { connection, channel_name, after }, page) => {
                let last_id = self.log(&channel_name).last_id;
                let replay = match page {
                    Some(Found::Replay(mut replay)) => {
                        // Nobody may hear yet of what was stored by a commit whose outcome is not known.
                        let known = (last_id + 1).saturating_sub(replay.first_id);
                        replay.pushes.truncate(usize::try_from(known).unwrap_or(usize::MAX));
                        Some(replay)
                    }
                    Some(Found::History(_) | Found::Message(_)) | None => None,
                };
                self.joins.send_page(connection, &channel_name, after, replay, last_id, &mut self.effects);
                self.feed(connection);
            }
            (Purpose::LookUp { connection, target }, page) => {
                let found = match page {
                    Some(Found::Message(found)) => Some(found),
                    Some(Found::History(_) | Found::Replay(_)) | None => None,
                };
                self.looked_up(connection, &target, found);
            }
        }
        Ok(())
    }

    /// Gives the store its next reads.
    pub(super) fn start_reads(&mut self) {
        while let Some(purpose) = self.reads.take() {
            let connection = self.connections.get(&purpose.connection());
            let is_open = connection.is_some_and(|connection| !connection.closed);
            // The DELETE of a closed connection is carried out.
            if is_open || matches!(purpose, Purpose::LookUp { .. }) {
                let query = self.query(&purpose);
                let read = self.reads.open(purpose, &query);
                self.effects.add(Effect::Read(read, query));
            } else if let Purpose::History { connection, ticket, .. } = purpose {
                // Nobody hears the answer.
                self.answer_stored(connection, ticket, Command::History, refusal::not_read().into());
            }
        }
    }

    fn query(&self, purpose: &Purpose) -> Query {
        match purpose {
            Purpose::History { channel_name, range, limit, .. } => {
                // From the end that is known: what was stored by a commit whose outcome is not must not take another's
                // place.
                let last_id = self.log(channel_name).last_id;
                let end = last_id + 1;
                let range = match *range {
                    HistoryRange::After(id) => HistoryRange::After(id),
                    HistoryRange::Before(id) => HistoryRange::Before(id.min(end)),
                    HistoryRange::Last => HistoryRange::Before(end),
                };
                let (channel_name, limit) = (channel_name.clone(), (*limit).into());
                let purpose = storage::Purpose::History { last_id };
                Query { channel_name, range, limit, max_bytes: MAX_HISTORY, purpose }
            }
            Purpose::Replay { channel_name, after, .. } => Query {
                channel_name: channel_name.clone(),
                range: HistoryRange::After(*after),
                limit: REPLAY_MESSAGES,
                max_bytes: REPLAY_BYTES,
                purpose: storage::Purpose::Replay,
            },
            Purpose::LookUp { target: (channel_name, id), .. } => Query {
                channel_name: channel_name.clone(),
                range: HistoryRange::After(id - 1),
                limit: 1,
                max_bytes: 1,
                purpose: storage::Purpose::LookUp { id: *id },
            },
        }
    }
}
