//! The keys of the messages that were stored last, and the decision on a MESSAGE with a key.

mod table;

use alloc::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    vec::Vec,
};
#[expect(deprecated, reason = "`core` has no other hash with a key")]
use core::hash::SipHasher;
use core::{
    hash::{Hash as _, Hasher as _},
    time::Duration,
};

use super::{
    Connection, ConnectionId, Hub, HubLimits, Log, SendKey, SendRecord, Sender, refusal, requests::PendingRequest,
};
use crate::{
    endpoint::Reply,
    wire::{ChannelName, Request, Response, Timestamp},
};
use table::Table;

/// The most keys that one more key drops as past, and the most that it evicts: more than one, so that a smaller window
/// or limit is reached, and few, so that no commit costs what an hour of messages left.
const MAX_DROPPED: usize = 4;

/// No slot.
const NONE: u32 = u32::MAX;

/// The keys of the messages that were stored last, within the window and the limit.
///
/// A message drops keys as past only in its own channel, where times never decrease: no later message could repeat
/// them. The times of another channel say nothing of them, since a wrong clock may have put them ahead. The keys of a
/// channel without new messages therefore stay until the limit evicts them, oldest first.
///
/// Which keys it has follows from the stored ones and their order, and a [decision](decide) from the key's record and
/// the time that the message would be stored with. Neither asks a clock, so a hub that starts over the same store
/// decides the same, and so do servers that carry out one log of commits.
#[derive(Debug)]
pub(super) struct RecentSends {
    /// All records. The slots of those that were dropped are free.
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// The slots of the oldest and the newest record.
    oldest: u32,
    newest: u32,
    /// The slots of the newest record of each key.
    by_key: Table,
    /// The slots of each channel's records, oldest first.
    by_channel: BTreeMap<ChannelName, VecDeque<u32>>,
}

/// A record, and the slots of those before and after it.
#[derive(Debug)]
struct Slot {
    record: SendRecord,
    /// The [hash](key_hash) of its key.
    hash: u64,
    before: u32,
    after: u32,
}

/// A message with a key in a commit that is being put together, or that is with the store.
#[derive(Debug)]
pub(super) struct NewSend {
    pub(super) record: SendRecord,
    /// The [hash](key_hash) of its key.
    hash: u64,
    /// Whether there may be a record of its key.
    is_again: bool,
    /// The number of its write.
    pub(super) write: usize,
}

/// The messages with keys of a commit, in the order of their writes.
#[derive(Debug, Default)]
pub(super) struct NewSends {
    sends: Vec<NewSend>,
    /// The numbers of the newest of each key.
    by_key: Table,
}

/// A decision on a MESSAGE whose channel is here, in a commit that is being put together.
pub(super) enum SendVerdict {
    /// It is answered by what is stored.
    Answer(Reply),
    /// It is answered so once the commit's write of this number is stored.
    Await(usize, Response),
    /// It is to be stored, and becomes this one, with this number of its write, if it has a key.
    Store(Option<NewSend>),
}

/// A decision on a MESSAGE with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// It is to be stored.
    New,
    /// It repeats a message, whose answer it gets.
    Repeated(Response),
    /// Its id belongs to another message.
    Reused,
}

/// Decides a MESSAGE with a key that would be stored as `send`, by the record of a message that was stored with this key
/// before. A record is of no account any more when its message is older than the one to be stored by the window.
fn decide(stored: Option<&SendRecord>, send: &SendRecord, window: Duration) -> Decision {
    match stored {
        Some(stored) if !is_past(stored.timestamp, send.timestamp, window) => {
            // The text of a deleted message is not known, so its key belongs to whatever is sent under it.
            if stored.key.digest == send.key.digest || stored.key.digest == 0 {
                Decision::Repeated(stored.answer())
            } else {
                Decision::Reused
            }
        }
        _ => Decision::New,
    }
}

/// Returns whether a message is older than a later one by the window.
fn is_past(earlier: Timestamp, later: Timestamp, window: Duration) -> bool {
    let seconds = later.as_unix().saturating_sub(earlier.as_unix());
    u64::try_from(seconds).is_ok_and(|seconds| seconds >= window.as_secs())
}

/// Returns a hash of what a key is known by: the channel, the sender and the client's id.
///
/// Clients choose all of it, so it is a hash for which nobody can choose what falls together without the secret.
#[expect(deprecated, reason = "`core` has no other hash with a key")]
fn key_hash((one, two): (u64, u64), channel_name: &ChannelName, key: &SendKey) -> u64 {
    let mut hasher = SipHasher::new_with_keys(one, two);
    let SendKey { sender, client_message_id, .. } = key;
    client_message_id.hash(&mut hasher);
    sender.hash(&mut hasher);
    channel_name.hash(&mut hasher);
    hasher.finish()
}

impl RecentSends {
    /// Returns the number of records that are held.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the record of the message that was stored last with the key of this one.
    fn find(&self, hash: u64, send: &SendRecord) -> Option<&SendRecord> {
        self.record(self.find_slot(hash, send)?)
    }

    fn find_slot(&self, hash: u64, send: &SendRecord) -> Option<u32> {
        self.by_key.find(hash, |slot| self.record(slot).is_some_and(|record| record.has_key_of(send)))
    }

    /// Adds a message with a key that is stored. Drops the oldest of its channel where they are past the window, and
    /// evicts the oldest of all where they are too many. Returns the number of those that were evicted within the
    /// window by the wall clock.
    pub(super) fn add(&mut self, send: NewSend, limits: &HubLimits, now: Timestamp) -> u64 {
        let NewSend { mut record, hash, is_again, .. } = send;
        if let Some((name, _)) = self.by_channel.get_key_value(&record.channel_name) {
            // The records of one channel share its name.
            record.channel_name = name.clone();
        }
        let (channel_name, newest) = (record.channel_name.clone(), record.timestamp);
        if is_again && let Some(replaced) = self.find_slot(hash, &record) {
            self.by_key.remove(replaced, hash);
        }
        let slot = self.push(record, hash);
        self.by_key.add(slot, hash);
        for _ in 0..MAX_DROPPED {
            let oldest = self.by_channel.get(&channel_name).and_then(VecDeque::front).copied().unwrap_or(NONE);
            let is_due = |record: &SendRecord| is_past(record.timestamp, newest, limits.retry_window);
            if !self.record(oldest).is_some_and(is_due) {
                break;
            }
            self.remove(oldest);
        }
        let mut evicted = 0;
        for _ in 0..MAX_DROPPED {
            if self.len() <= limits.max_send_keys {
                break;
            }
            let Some(oldest) = self.record(self.oldest) else { break };
            evicted += u64::from(!is_past(oldest.timestamp, now, limits.retry_window));
            self.remove(self.oldest);
        }
        evicted
    }

    /// Sets the digest of a message's key to 0, if it has one here: it is deleted.
    pub(super) fn delete(&mut self, channel_name: &ChannelName, id: u64) {
        let Some(slots) = self.by_channel.get(channel_name) else { return };
        let id_of = |slot: &u32| self.record(*slot).map_or(0, |record| record.id);
        let found = slots.binary_search_by_key(&id, id_of).ok().and_then(|place| slots.get(place)).copied();
        if let Some(slot) = found.and_then(|slot| self.slot_mut(slot)) {
            slot.record.key.digest = 0;
        }
    }

    /// Puts the newest record into a slot.
    fn push(&mut self, record: SendRecord, hash: u64) -> u32 {
        let number = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.by_channel.entry(record.channel_name.clone()).or_default().push_back(number);
        let slot = Some(Slot { record, hash, before: self.newest, after: NONE });
        match self.slots.get_mut(number as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        match self.slot_mut(self.newest) {
            Some(before) => before.after = number,
            None => self.oldest = number,
        }
        self.newest = number;
        number
    }

    /// Removes the record of a slot, which is the oldest of its channel.
    fn remove(&mut self, number: u32) {
        let removed = self.slots.get_mut(number as usize).and_then(Option::take);
        let Some(Slot { record, hash, before, after }) = removed else { return };
        self.free.push(number);
        // A newer record of the same key stays.
        self.by_key.remove(number, hash);
        match self.slot_mut(before) {
            Some(before) => before.after = after,
            None => self.oldest = after,
        }
        match self.slot_mut(after) {
            Some(after) => after.before = before,
            None => self.newest = before,
        }
        if let Entry::Occupied(mut slots) = self.by_channel.entry(record.channel_name) {
            slots.get_mut().pop_front();
            if slots.get().is_empty() {
                slots.remove();
            }
        }
    }

    fn record(&self, slot: u32) -> Option<&SendRecord> {
        Some(&self.slots.get(slot as usize)?.as_ref()?.record)
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }
}

impl Default for RecentSends {
    fn default() -> Self {
        let (slots, free, by_key, by_channel) = Default::default();
        Self { slots, free, oldest: NONE, newest: NONE, by_key, by_channel }
    }
}

impl NewSends {
    /// Returns the message with the key of this one that is to be stored last.
    fn find(&self, new: &NewSend) -> Option<&NewSend> {
        self.sends.get(self.find_number(new)? as usize)
    }

    fn find_number(&self, new: &NewSend) -> Option<u32> {
        let has_key = |send: &NewSend| send.record.has_key_of(&new.record);
        self.by_key.find(new.hash, |number| self.sends.get(number as usize).is_some_and(has_key))
    }

    /// Adds the message of the last write.
    pub(super) fn add(&mut self, new: NewSend) {
        // The window of an older one ends within the commit: the newer message counts.
        if new.is_again
            && let Some(older) = self.find_number(&new)
        {
            self.by_key.remove(older, new.hash);
        }
        self.by_key.add(self.sends.len() as u32, new.hash);
        self.sends.push(new);
    }

    /// Returns them in the order of their writes.
    pub(super) fn into_sends(self) -> impl Iterator<Item = NewSend> {
        self.sends.into_iter()
    }
}

impl Hub {
    /// Decides the first request of a connection, a MESSAGE to this channel, by the messages that were stored with its
    /// key, or that the commit stores. `log` is the channel's after the commit's writes so far, `new` has their keys, and
    /// `write` is the number of the next.
    pub(super) fn decide_send(
        &mut self,
        id: ConnectionId,
        channel_name: &ChannelName,
        log: Log,
        (new, write): (&NewSends, usize),
    ) -> SendVerdict {
        let Some(connection) = self.connections.get_mut(&id) else { return SendVerdict::Store(None) };
        let Connection { account, guest, pending, .. } = connection;
        let Some(PendingRequest { request: Request::Message(message), at, .. }) = pending.front() else {
            return SendVerdict::Store(None);
        };
        let Some(client_message_id) = message.client_message_id.clone() else { return SendVerdict::Store(None) };
        let sender = match account {
            Some(account) => Sender::Account(account.clone()),
            None => {
                // The records of a guest's messages share its name.
                let username = guest.take().filter(|guest| *guest == message.username);
                Sender::Guest(guest.insert(username.unwrap_or_else(|| message.username.clone())).clone())
            }
        };
        let digest = SendKey::digest(&message.username, &message.message_content);
        let key = SendKey { sender, client_message_id, digest };
        let timestamp = log.last_timestamp.max(at.wall);
        let hash = key_hash(self.limits.hash_secret, channel_name, &key);
        let record = SendRecord { channel_name: channel_name.clone(), id: log.last_id + 1, timestamp, key };
        let mut send = NewSend { record, hash, is_again: false, write };
        let new = new.find(&send);
        let known = new.map(|new| &new.record).or_else(|| self.sends.find(hash, &send.record));
        let (is_again, decision) = (known.is_some(), decide(known, &send.record, self.limits.retry_window));
        let response = match decision {
            Decision::New => {
                send.is_again = is_again;
                return SendVerdict::Store(Some(send));
            }
            Decision::Repeated(response) => response,
            Decision::Reused => Response::Error(refusal::message_id_reused()),
        };
        match new {
            Some(new) => SendVerdict::Await(new.write, response),
            None => {
                self.counters.repeated_messages += u64::from(!matches!(response, Response::Error(_)));
                SendVerdict::Answer(response.into())
            }
        }
    }
}

impl SendKey {
    /// Returns whether the key of a message stored at one time gets no answer any more at a later one: the window has
    /// passed.
    #[must_use]
    pub fn is_past(stored: Timestamp, later: Timestamp, window: Duration) -> bool {
        is_past(stored, later, window)
    }
}

impl SendRecord {
    /// Returns the answer to a MESSAGE that was stored so.
    pub(super) const fn answer(&self) -> Response {
        Response::Delivered { timestamp: self.timestamp, id: Some(self.id) }
    }

    /// Returns whether it has the key of another message.
    fn has_key_of(&self, other: &Self) -> bool {
        let (one, two) = (&self.key, &other.key);
        one.client_message_id == two.client_message_id
            && one.sender == two.sender
            && self.channel_name == other.channel_name
    }
}

impl NewSend {
    /// Returns a message with a key that is stored.
    pub(super) fn stored(record: SendRecord, limits: &HubLimits) -> Self {
        let hash = key_hash(limits.hash_secret, &record.channel_name, &record.key);
        Self { record, hash, is_again: true, write: 0 }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;
    use crate::hub::{SendKey, Sender};

    fn record(number: u64, at: i64) -> SendRecord {
        let key = SendKey {
            sender: Sender::Guest("ann".parse().unwrap()),
            client_message_id: format!("{number:016}").parse().unwrap(),
            digest: number,
        };
        SendRecord { channel_name: "general".parse().unwrap(), id: number, timestamp: Timestamp::from_unix(at), key }
    }

    fn limits(retry_window: u64, max_send_keys: usize) -> HubLimits {
        HubLimits { retry_window: Duration::from_secs(retry_window), max_send_keys, ..HubLimits::default() }
    }

    fn find(sends: &RecentSends, record: SendRecord) -> Option<&SendRecord> {
        let NewSend { record, hash, .. } = NewSend::stored(record, &HubLimits::default());
        sends.find(hash, &record)
    }

    fn known(sends: &RecentSends, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        numbers.into_iter().filter(|number| find(sends, record(*number, 0)).is_some()).collect()
    }

    #[test]
    fn a_message_is_repeated_until_it_is_older_by_the_window() {
        let (window, stored) = (Duration::from_secs(10), record(1, 100));
        for (at, is_repeated) in [(0, true), (100, true), (109, true), (110, false), (i64::MAX, false)] {
            let expected = if is_repeated { Decision::Repeated(stored.answer()) } else { Decision::New };
            assert_eq!(decide(Some(&stored), &record(1, at), window), expected, "{at}");
        }
        assert_eq!(decide(None, &record(1, 100), window), Decision::New);
    }

    #[test]
    fn an_id_with_another_digest_is_reused() {
        let mut other = record(1, 100);
        other.key.digest += 1;
        assert_eq!(decide(Some(&record(1, 100)), &other, Duration::from_secs(10)), Decision::Reused);
    }

    /// Adds records, and returns the number of keys that were evicted.
    fn add(sends: &mut RecentSends, records: impl IntoIterator<Item = SendRecord>, limits: &HubLimits) -> u64 {
        let now = Timestamp::from_unix(0);
        records.into_iter().map(|record| sends.add(NewSend::stored(record, limits), limits, now)).sum()
    }

    #[test]
    fn the_oldest_keys_are_evicted_first() {
        let mut sends = RecentSends::default();
        let evicted = add(&mut sends, (1..=5).map(|number| record(number, 0)), &limits(3600, 3));
        assert_eq!((known(&sends, 1..=5), sends.len(), evicted), ([3, 4, 5].into(), 3, 2));
    }

    #[test]
    fn keys_past_the_window_are_dropped_and_not_counted_as_evicted() {
        let mut sends = RecentSends::default();
        let records = [(1, 0), (2, 5), (3, 10), (4, 14)].map(|(number, at)| record(number, at));
        let evicted = add(&mut sends, records, &limits(10, 100));
        assert_eq!((known(&sends, 1..=4), sends.len(), evicted), ([2, 3, 4].into(), 3, 0));
    }

    #[test]
    fn a_channel_whose_times_are_ahead_drops_no_key_of_another() {
        let ahead = |number| SendRecord { channel_name: "ahead".parse().unwrap(), ..record(number, 86_400) };
        let (mut sends, limits) = (RecentSends::default(), limits(10, 100));
        add(&mut sends, [ahead(1), record(2, 0), ahead(3), record(4, 9), ahead(5), record(6, 10)], &limits);
        assert_eq!((known(&sends, 1..=6), sends.len()), ([4, 6].into(), 5));
        let later = SendRecord { timestamp: Timestamp::from_unix(86_410), ..ahead(7) };
        add(&mut sends, [later], &limits);
        assert_eq!((known(&sends, 1..=6), sends.len()), ([4, 6].into(), 3));
        assert_eq!(sends.by_channel.values().map(VecDeque::len).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn evicted_keys_are_counted_where_the_clock_has_them_within_the_window() {
        let (mut sends, limits) = (RecentSends::default(), limits(10, 1));
        let evicted = [(1, 0, 0), (2, 0, 9), (3, 9, 10), (4, 9, 5)].map(|(number, at, now)| {
            let record = SendRecord { channel_name: format!("c{number}").parse().unwrap(), ..record(number, at) };
            sends.add(NewSend::stored(record, &limits), &limits, Timestamp::from_unix(now))
        });
        assert_eq!((evicted, sends.len(), sends.by_channel.len()), ([0, 1, 0, 1], 1, 1));
    }

    #[test]
    fn a_key_that_is_stored_again_outlives_its_first_record() {
        let mut sends = RecentSends::default();
        let again = SendRecord { id: 7, ..record(1, 5) };
        add(&mut sends, [record(1, 0), again, record(2, 5)], &limits(10, 2));
        assert_eq!(find(&sends, record(1, 0)).map(|found| found.id), Some(7));
    }

    #[test]
    fn a_lower_limit_is_reached_in_steps() {
        let (mut sends, low) = (RecentSends::default(), limits(3600, 10));
        add(&mut sends, (0..100).map(|number| record(number, 0)), &limits(3600, 100));
        add(&mut sends, [record(100, 0)], &low);
        assert_eq!(sends.len(), 101 - MAX_DROPPED);
        add(&mut sends, (101..140).map(|number| record(number, 0)), &low);
        assert_eq!(known(&sends, 0..140), (130..140).collect::<Vec<_>>());
    }

    #[test]
    fn the_key_of_a_deleted_message_belongs_to_any_text() {
        let mut sends = RecentSends::default();
        add(&mut sends, (1..=3).map(|number| record(number, 0)), &limits(10, 10));
        let again = SendRecord { id: 7, ..record(1, 5) };
        add(&mut sends, [again.clone()], &limits(10, 10));
        for (id, digests) in [(2, [1, 0, 3]), (9, [1, 0, 3]), (1, [1, 0, 3]), (7, [0, 0, 3])] {
            sends.delete(&"general".parse().unwrap(), id);
            let found = [1, 2, 3].map(|number| find(&sends, record(number, 0)).unwrap().key.digest);
            assert_eq!(found, digests, "{id}");
        }
        sends.delete(&"art".parse().unwrap(), 3);
        let mut other = record(2, 0);
        other.key.digest = 77;
        let found = find(&sends, other.clone()).unwrap().clone();
        assert_eq!(decide(Some(&found), &other, Duration::from_secs(10)), Decision::Repeated(found.answer()));
    }

    #[test]
    fn another_channel_or_sender_has_ids_of_its_own() {
        let mut sends = RecentSends::default();
        add(&mut sends, [record(1, 0)], &limits(10, 10));
        let elsewhere = SendRecord { channel_name: "art".parse().unwrap(), ..record(1, 0) };
        let mut by_another = record(1, 0);
        by_another.key.sender = Sender::Guest("bob".parse().unwrap());
        assert_eq!([elsewhere, by_another].map(|send| find(&sends, send).is_some()), [false, false]);
    }
}
