//! Reads of the store, and the connections that they are for.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use super::{ConnectionId, Effect, Found, Hub, Page, Query, refusal, storage};
use crate::{
    Time,
    endpoint::{Misuse, Ticket},
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

/// The reads whose pages have not come. A connection has one HISTORY and one page of a replay at most; those of either
/// kind have their turn in the order asked, and the kinds take turns, so that no crowd that asks for HISTORY keeps
/// readers from their next page.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// With the store.
    open: BTreeMap<ReadId, Purpose>,
    histories: VecDeque<Purpose>,
    replays: VecDeque<Purpose>,
    /// Whether it is the turn of the HISTORYs.
    histories_next: bool,
    next: u64,
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
}

impl Purpose {
    const fn connection(&self) -> ConnectionId {
        match self {
            Self::History { connection, .. } | Self::Replay { connection, .. } => *connection,
        }
    }
}

impl Reads {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.histories.is_empty() && self.replays.is_empty()
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
        self.histories.push_back(Purpose::History { connection, ticket, since, channel_name, range, limit });
    }

    /// Drops what the store was not asked for yet. Returns the connections of the HISTORYs.
    pub(super) fn drop_waiting(&mut self) -> Vec<ConnectionId> {
        self.replays.clear();
        self.histories.drain(..).map(|purpose| purpose.connection()).collect()
    }

    /// Takes the next read, if the store is to have more.
    fn take(&mut self) -> Option<Purpose> {
        if self.open.len() >= AT_ONCE {
            return None;
        }
        self.histories_next = !self.histories_next;
        let (first, then) = match self.histories_next {
            true => (&mut self.histories, &mut self.replays),
            false => (&mut self.replays, &mut self.histories),
        };
        first.pop_front().or_else(|| then.pop_front())
    }

    fn open(&mut self, purpose: Purpose) -> ReadId {
        let id = ReadId(self.next);
        self.next += 1;
        self.open.insert(id, purpose);
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
        match (self.reads.open.remove(&read).ok_or(Misuse::UnexpectedOutcome)?, page) {
            (Purpose::History { connection, ticket, since, .. }, page) => {
                let reply = match page {
                    Some(Found::History(reply)) => reply,
                    Some(Found::Replay(_)) | None => refusal::not_read().into(),
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
                    Some(Found::History(_)) | None => None,
                };
                self.joins.send_page(connection, &channel_name, after, replay, last_id, &mut self.effects);
                self.feed(connection);
            }
        }
        Ok(())
    }

    /// Gives the store its next reads.
    pub(super) fn start_reads(&mut self) {
        while let Some(purpose) = self.reads.take() {
            let connection = self.connections.get(&purpose.connection());
            if connection.is_some_and(|connection| !connection.closed) {
                let query = self.query(&purpose);
                let read = self.reads.open(purpose);
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
        }
    }
}
