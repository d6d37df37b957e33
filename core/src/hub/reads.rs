//! What is being read from the store, and for whom.

use alloc::{collections::BTreeMap, string::String};

use super::{ConnectionId, Effect, Hub, Page, Query, refusal};
use crate::{
    endpoint::{Misuse, Reply, Ticket},
    wire::{HistoryRange, MAX_HISTORY, encode_history},
};

/// A page of a replay: large enough that reading it costs little for each message, small enough that many connections
/// can have one.
const REPLAY_MESSAGES: usize = 1000;
const REPLAY_BYTES: usize = 128 * 1024;

/// Tells one read from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(u64);

/// The reads whose pages have not come.
#[derive(Debug, Default)]
pub(super) struct Reads {
    open: BTreeMap<ReadId, Purpose>,
    next: u64,
}

#[derive(Debug)]
enum Purpose {
    History { connection: ConnectionId, ticket: Ticket, channel_name: String, newest: bool },
    Replay { connection: ConnectionId, channel_name: String, after: u64 },
}

impl Reads {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Reads what a connection is to be pushed next.
    pub(super) fn replay(&mut self, connection: ConnectionId, channel_name: String, after: u64) -> (ReadId, Query) {
        let query = Query {
            channel_name: channel_name.clone(),
            range: HistoryRange::After(after),
            limit: REPLAY_MESSAGES,
            max_bytes: REPLAY_BYTES,
        };
        (self.open(Purpose::Replay { connection, channel_name, after }), query)
    }

    fn open(&mut self, purpose: Purpose) -> ReadId {
        let id = ReadId(self.next);
        self.next += 1;
        self.open.insert(id, purpose);
        id
    }
}

impl Hub {
    /// What an [`Effect::Read`] has found.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnexpectedOutcome`] if it was not asked for.
    pub fn handle_page(&mut self, read: ReadId, mut page: Page) -> Result<(), Misuse> {
        match self.reads.open.remove(&read).ok_or(Misuse::UnexpectedOutcome)? {
            Purpose::History { connection, ticket, channel_name, newest } => {
                self.cut(&channel_name, &mut page);
                let reply = match page {
                    Some(messages) => {
                        Reply::Encoded(encode_history(&channel_name, &messages, newest, MAX_HISTORY).into())
                    }
                    None => refusal::not_read().into(),
                };
                self.answer_stored(connection, ticket, reply);
                self.advance_blocked();
            }
            Purpose::Replay { connection, channel_name, after } => {
                self.cut(&channel_name, &mut page);
                let last_id = self.log(&channel_name).last_id;
                self.joins.page(connection, &channel_name, after, page.as_deref(), last_id, &mut self.effects);
                self.feed(connection);
            }
        }
        Ok(())
    }

    /// Drops what was stored by a commit whose outcome is not known yet: nobody may hear of it before.
    fn cut(&self, channel_name: &str, page: &mut Page) {
        let last_id = self.log(channel_name).last_id;
        if let Some(messages) = page {
            messages.retain(|message| message.id <= last_id);
        }
    }

    pub(super) fn read_history(
        &mut self,
        connection: ConnectionId,
        ticket: Ticket,
        channel_name: String,
        range: HistoryRange,
        limit: u16,
    ) {
        let newest = !matches!(range, HistoryRange::After(_));
        // From the end that is known: what was stored by a commit whose outcome is not must not take another's place.
        let end = self.log(&channel_name).last_id + 1;
        let range = match range {
            HistoryRange::After(id) => HistoryRange::After(id),
            HistoryRange::Before(id) => HistoryRange::Before(id.min(end)),
            HistoryRange::Last => HistoryRange::Before(end),
        };
        let query = Query { channel_name: channel_name.clone(), range, limit: limit.into(), max_bytes: MAX_HISTORY };
        let read = self.reads.open(Purpose::History { connection, ticket, channel_name, newest });
        self.effects.push_back(Effect::Read(read, query));
    }
}
