//! The keys of the messages that were stored last, and the decision on a MESSAGE with a key.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    sync::Arc,
};
use core::{cmp::Ordering, mem, time::Duration};

use super::{
    ConnectionId, Hub, HubLimits, Log, SendKey, SendRecord, Sender, digest::digest, refusal, requests::PendingRequest,
};
use crate::{
    endpoint::Reply,
    wire::{ChannelName, Request, Response, Timestamp},
};

/// The most keys that one more key drops as past, and the most that it evicts: more than one, so that a smaller window
/// or limit is reached, and few, so that no commit costs what an hour of messages left.
const MAX_DROPPED: usize = 4;

/// The keys of the messages that were stored last, within the window and the limit.
///
/// A message drops keys as past only in its own channel, where times never decrease: no later message could repeat
/// them. The times of another channel say nothing of them, since a wrong clock may have put them ahead. The keys of a
/// channel without new messages therefore stay until the limit evicts them, oldest first.
///
/// Which keys it has follows from the stored ones and their order, and a [decision](decide) from the key's record and
/// the time that the message would be stored with. Neither asks a clock, so a hub that starts over the same store
/// decides the same, and so do servers that carry out one log of commits.
#[derive(Debug, Default)]
pub(super) struct RecentSends {
    /// The newest record of each key.
    by_key: BTreeSet<ByKey>,
    /// All records by their numbers, oldest first.
    order: BTreeMap<u64, ByKey>,
    /// The numbers and times of each channel's records, oldest first.
    by_channel: BTreeMap<ChannelName, VecDeque<(u64, Timestamp)>>,
    /// The number of the next record.
    next: u64,
}

/// A record, compared by the channel, the sender and the client's id alone. A clone shares the record.
#[derive(Clone, Debug)]
pub(super) struct ByKey {
    /// A hash of the client's id, which is compared first: a search among many records then reads few of them.
    hash: u64,
    record: Arc<SendRecord>,
}

/// The keys of a commit that is being put together, each with the number of its write.
pub(super) type NewSends = BTreeMap<ByKey, usize>;

/// A decision on a MESSAGE whose channel is here, in a commit that is being put together.
pub(super) enum SendVerdict {
    /// It is answered by what is stored.
    Answer(Reply),
    /// It is answered so once the commit's write of this number is stored.
    Await(usize, Response),
    /// It is to be stored, and becomes this record if it has a key.
    Store(Option<ByKey>),
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

impl RecentSends {
    /// Returns the number of records that are held.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns the record of the message that was stored last with this key.
    pub(super) fn find(&self, key: &ByKey) -> Option<&SendRecord> {
        self.by_key.get(key).map(ByKey::record)
    }

    /// Adds the key of a message that is stored. Drops the oldest of its channel where they are past the window, and
    /// evicts the oldest of all where they are too many. Returns the number of those that were evicted within the
    /// window by the wall clock.
    pub(super) fn add(&mut self, send: ByKey, limits: &HubLimits, now: Timestamp) -> u64 {
        let (number, newest) = (self.next, send.record.timestamp);
        self.next += 1;
        let channel_name = send.record.channel_name.clone();
        self.by_channel.entry(channel_name.clone()).or_default().push_back((number, newest));
        self.by_key.replace(send.clone());
        self.order.insert(number, send);
        for _ in 0..MAX_DROPPED {
            let oldest = self.by_channel.get(&channel_name).and_then(VecDeque::front).copied();
            let is_due = |(_, at): &(u64, Timestamp)| is_past(*at, newest, limits.retry_window);
            let Some((oldest, _)) = oldest.filter(is_due) else { break };
            self.remove(oldest);
        }
        let mut evicted = 0;
        for _ in 0..MAX_DROPPED {
            if self.len() <= limits.max_send_keys {
                break;
            }
            let Some((oldest, send)) = self.order.first_key_value() else { break };
            evicted += u64::from(!is_past(send.record.timestamp, now, limits.retry_window));
            self.remove(*oldest);
        }
        evicted
    }

    /// Sets the digest of a message's key to 0, if it has one here: it is deleted.
    pub(super) fn delete(&mut self, channel_name: &ChannelName, id: u64) {
        let Some(numbers) = self.by_channel.get(channel_name) else { return };
        let id_of = |(number, _): &(u64, Timestamp)| self.order.get(number).map_or(0, |send| send.record.id);
        let found = numbers.binary_search_by_key(&id, id_of).ok().and_then(|place| numbers.get(place)).copied();
        let Some((number, _)) = found else { return };
        let Some(send) = self.order.get_mut(&number) else { return };
        let mut record = SendRecord::clone(&send.record);
        record.key.digest = 0;
        let deleted = ByKey { hash: send.hash, record: record.into() };
        let before = mem::replace(send, deleted.clone());
        if self.by_key.get(&before).is_some_and(|found| Arc::ptr_eq(&found.record, &before.record)) {
            self.by_key.replace(deleted);
        }
    }

    /// Removes the record of a number, which is the oldest of its channel.
    fn remove(&mut self, number: u64) {
        let Some(send) = self.order.remove(&number) else { return };
        // A newer record of the same key stays.
        if let Some(newest) = self.by_key.take(&send)
            && !Arc::ptr_eq(&newest.record, &send.record)
        {
            self.by_key.insert(newest);
        }
        if let Entry::Occupied(mut numbers) = self.by_channel.entry(send.record.channel_name.clone()) {
            numbers.get_mut().pop_front();
            if numbers.get().is_empty() {
                numbers.remove();
            }
        }
    }
}

impl Hub {
    /// Decides the first request of a connection, a MESSAGE to this channel, by the messages that were stored with its
    /// key, or that the commit stores. `log` is the channel's after the commit's writes so far, and `new` has their keys.
    pub(super) fn decide_send(
        &mut self,
        id: ConnectionId,
        channel_name: &ChannelName,
        log: Log,
        new: &NewSends,
    ) -> SendVerdict {
        let connection = self.connections.get(&id);
        let account = connection.and_then(|connection| connection.account.as_ref());
        let first = connection.and_then(|connection| connection.pending.front());
        let Some(PendingRequest { request: Request::Message(message), at, .. }) = first else {
            return SendVerdict::Store(None);
        };
        let Some(client_message_id) = message.client_message_id.clone() else { return SendVerdict::Store(None) };
        let key = SendKey {
            sender: account.map_or_else(|| Sender::guest(&message.username), Sender::account),
            client_message_id,
            digest: SendKey::digest(&message.username, &message.message_content),
        };
        // The records of one channel share its name.
        let channel_name = self.logs.get_key_value(channel_name).map_or(channel_name, |(name, _)| name).clone();
        let timestamp = log.last_timestamp.max(at.wall);
        let send = ByKey::new(SendRecord { channel_name, id: log.last_id + 1, timestamp, key });
        let new = new.get_key_value(&send);
        let known = new.map(|(new, _)| new.record()).or_else(|| self.sends.find(&send));
        let response = match decide(known, &send.record, self.limits.retry_window) {
            Decision::New => return SendVerdict::Store(Some(send)),
            Decision::Repeated(response) => response,
            Decision::Reused => Response::Error(refusal::message_id_reused()),
        };
        match new {
            Some((_, write)) => SendVerdict::Await(*write, response),
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

    /// Returns the texts by which a message is known.
    fn texts(&self) -> (&str, &str, &str) {
        (&self.key.client_message_id, self.key.sender.as_str(), &self.channel_name)
    }
}

impl ByKey {
    pub(super) fn new(record: SendRecord) -> Self {
        // Ids that a client chooses to have one hash are then compared as texts.
        let hash = digest(&[&record.key.client_message_id]);
        Self { hash, record: record.into() }
    }

    pub(super) fn record(&self) -> &SendRecord {
        &self.record
    }
}

impl Ord for ByKey {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (&self.record, &other.record);
        self.hash.cmp(&other.hash).then_with(|| one.texts().cmp(&two.texts()))
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByKey {}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;
    use crate::hub::{SendKey, Sender};

    fn record(number: u64, at: i64) -> SendRecord {
        let key = SendKey {
            sender: Sender::from_stored("guest:ann"),
            client_message_id: format!("{number:016}").parse().unwrap(),
            digest: number,
        };
        SendRecord { channel_name: "general".parse().unwrap(), id: number, timestamp: Timestamp::from_unix(at), key }
    }

    fn limits(retry_window: u64, max_send_keys: usize) -> HubLimits {
        HubLimits { retry_window: Duration::from_secs(retry_window), max_send_keys, ..HubLimits::default() }
    }

    fn known(sends: &RecentSends, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        numbers.into_iter().filter(|number| sends.find(&ByKey::new(record(*number, 0))).is_some()).collect()
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
        records.into_iter().map(|record| sends.add(ByKey::new(record), limits, Timestamp::from_unix(0))).sum()
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
            sends.add(ByKey::new(record), &limits, Timestamp::from_unix(now))
        });
        assert_eq!((evicted, sends.len(), sends.by_channel.len()), ([0, 1, 0, 1], 1, 1));
    }

    #[test]
    fn a_key_that_is_stored_again_outlives_its_first_record() {
        let mut sends = RecentSends::default();
        let again = SendRecord { id: 7, ..record(1, 5) };
        add(&mut sends, [record(1, 0), again, record(2, 5)], &limits(10, 2));
        assert_eq!(sends.find(&ByKey::new(record(1, 0))).map(|found| found.id), Some(7));
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
            let found = [1, 2, 3].map(|number| sends.find(&ByKey::new(record(number, 0))).unwrap().key.digest);
            assert_eq!(found, digests, "{id}");
        }
        sends.delete(&"art".parse().unwrap(), 3);
        let mut other = record(2, 0);
        other.key.digest = 77;
        let found = sends.find(&ByKey::new(other.clone())).unwrap().clone();
        assert_eq!(decide(Some(&found), &other, Duration::from_secs(10)), Decision::Repeated(found.answer()));
    }

    #[test]
    fn another_channel_or_sender_has_ids_of_its_own() {
        let mut sends = RecentSends::default();
        add(&mut sends, [record(1, 0)], &limits(10, 10));
        let elsewhere = SendRecord { channel_name: "art".parse().unwrap(), ..record(1, 0) };
        let mut by_another = record(1, 0);
        by_another.key.sender = Sender::from_stored("guest:bob");
        assert_eq!([elsewhere, by_another].map(|send| sends.find(&ByKey::new(send)).is_some()), [false, false]);
    }
}
