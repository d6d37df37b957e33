//! DELETEs: the decision, and what follows.

use super::{
    ConnectionId, Hub, Write,
    access::Asker,
    refusal,
    requests::{Change, Verdict},
};
use crate::{
    rights::{ChannelAction, Standing},
    wire::{ChannelName, Response, StoredMessage, Username},
};

/// The size of a DELETE in a commit, in bytes: as much as a page of a database that it changes.
pub(super) const DELETE_BYTES: usize = 4096;

/// A decision on a DELETE of a message of a channel that lives here, by a peer that may delete it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// It is to be deleted.
    Delete,
    /// It is deleted already.
    Done,
    /// It is a record, which cannot be deleted.
    Record,
    /// The store does not have it.
    NotFound,
}

/// Decides a DELETE by what the store has of its message.
fn decide(found: Option<&StoredMessage>) -> Decision {
    match found {
        None => Decision::NotFound,
        Some(message) if message.deletes.is_some() => Decision::Record,
        Some(message) if message.deleted => Decision::Done,
        Some(_) => Decision::Delete,
    }
}

/// Returns the name under which the record of a deletion is stored.
fn username_of(asker: Asker<'_>, standing: Standing) -> Option<Username> {
    let name = match (asker.account, standing) {
        (Some(account), _) => account.as_str(),
        (None, Standing::Operator) => "operator",
        (None, Standing::Host) => "host",
        (None, Standing::Role(_) | Standing::Other) => "moderator",
    };
    name.parse().ok()
}

impl Hub {
    /// Decides the first request of a connection, a DELETE, by what is known now.
    pub(super) fn decide_delete(&self, id: ConnectionId, channel_name: &ChannelName, message: u64) -> Verdict {
        if let Err(error) = self.readable(id, channel_name) {
            return error.into();
        }
        if self.changes.contains(channel_name) {
            return Verdict::Wait(channel_name.clone());
        }
        let Some(asker) = self.connections.get(&id).map(|connection| connection.asker(self.rights())) else {
            return refusal::not_a_moderator(channel_name).into();
        };
        let (standing, settings) = (self.standing(id, channel_name), self.moderation.settings(channel_name));
        let may = |is_own| standing.may(ChannelAction::Delete { is_own }, settings);
        if !may(false) && (asker.account.is_none() || !may(true)) {
            return refusal::not_a_moderator(channel_name).into();
        }
        let (log, target) = (self.log(channel_name), (channel_name.clone(), message));
        if !(log.first_id..=log.last_id).contains(&message) {
            return refusal::no_message(channel_name, message).into();
        }
        let Some(found) = self.look_ups.found(&target, id) else { return Verdict::LookUp(target) };
        // An account may delete its own messages.
        let is_own = |found: &StoredMessage| found.account.is_some() && found.account.as_ref() == asker.account;
        if !may(false) && found.is_some_and(|found| !is_own(found)) {
            return refusal::not_a_moderator(channel_name).into();
        }
        match decide(found) {
            Decision::Done => Verdict::Answer(Response::Deleted { channel_name: target.0, id: message }.into()),
            Decision::Record => refusal::is_record(channel_name, message).into(),
            Decision::NotFound => refusal::no_message(channel_name, message).into(),
            Decision::Delete => match (found.cloned(), username_of(asker, standing)) {
                (Some(message), Some(username)) => {
                    let account = asker.account.cloned();
                    Verdict::Store(Change::Delete { message, username, account })
                }
                _ => refusal::no_message(channel_name, message).into(),
            },
        }
    }

    /// Has the pages read again that may have the text of messages which this commit has deleted, or may have.
    pub(super) fn outdate_pages(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Delete { tombstone, .. } = write {
                self.reads.outdate(&tombstone.channel_name, tombstone.id);
            }
        }
    }
}
