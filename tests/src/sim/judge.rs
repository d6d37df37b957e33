//! The one checker of every run: it watches requests, writes and answers, and knows the laws.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use chanwire_core::{
    Time,
    endpoint::{Listing, Pushes, Reply},
    hub::{ChannelRecord, Moment, Query, StoreOutcome, Write},
    wire::{
        Blame, ChannelName, Command, Decoder, ErrorResponse, HistoryRange, Host, Item, JoinFrom, Message, Request,
        Response, Status, StoredMessage, Timestamp, canonical,
    },
};

use super::{
    later,
    ledger::{Ledger, Slot},
    subscriptions,
    tally::Tally,
    versions::Versions,
};
use crate::{name::named, store::Disk};

/// Watches a run. Every event is reported to it, and it panics when a law is broken:
///
/// - each request is answered once and in order, or its connection has ended, also where it waits for a rate;
/// - `delivered` is answered when the message is in the store, with the timestamp that is stored, and it stays there;
/// - ids are dense in a channel and timestamps never run back ([`Disk`] checks it);
/// - messages of one connection to one channel are stored in the order sent, each once, as they were sent, and in a
///   channel that is known to live here then;
/// - nothing is stored that was answered already: SERVER_ERROR does not turn into a message later;
/// - LIST shows the directory as it was stored at one moment: not before any state that a client was shown or had
///   acknowledged before the request, and not later than now; errors follow the same rule;
/// - a directory is published before any client is shown it, so that a LIST that is answered at once shows it too;
/// - HOST is OK only while the store holds it;
/// - a channel is taken off the list by its host, or when its lease has ended, which counts from the last HOST and from
///   the server's start; and it is then, and kept for its host for a while;
/// - messages that are pushed or shown by HISTORY are in the store, unchanged;
/// - pushes come only to subscribers, from `first_id` on, each id once and in order, and all that are known in the
///   end; none comes after the answer to LEAVE, and an end of stream waits for all messages promised by JOIN;
/// - HISTORY shows the requested range of a channel, which ends not before the last id that any client was shown;
/// - `Slow consumer` goes to a subscriber that leaves more unread than the limit or whose page cannot be read,
///   `Channel removed` to one of a removed channel, after all its known messages; and both to no other connection;
/// - SERVER_ERROR is answered only to requests that were with the hub when the store failed.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) ledgers: BTreeMap<u64, Ledger>,
    pub(super) tally: Tally,
    versions: Versions,
    /// The latest version of the directory that anybody was shown.
    floor: usize,
    messages: Vec<Fact>,
    /// The HOSTs that reached a hub.
    hosts: Vec<(Host, IpAddr, Time)>,
    /// The time of the last HOST that was acknowledged to the host of each listed channel.
    hosted: BTreeMap<ChannelName, Time>,
    /// The channels that are kept for their hosts.
    kept: BTreeMap<ChannelName, Kept>,
    /// The UNHOSTs that reached a hub.
    unhosts: Vec<(ChannelName, IpAddr)>,
    /// The last id that anybody was shown of each channel.
    pub(super) known: BTreeMap<ChannelName, u64>,
    /// The channels that left this server, the version of the directory by which they did, and what was known of them.
    left: Vec<(usize, ChannelName, u64)>,
    /// The time when the server last started.
    pub(super) started: Time,
    /// The channels of the failed pages in the hub's last pass.
    pub(super) failed_pages: Vec<ChannelName>,
    /// The last message of a connection in a channel.
    order: BTreeMap<(u64, ChannelName), usize>,
    /// The number of channels that a connection may join.
    pub(super) max_joins: usize,
    /// The number of store failures reported to hubs.
    failures: u64,
}

/// A channel whose lease has ended.
#[derive(Debug)]
struct Kept {
    record: ChannelRecord,
    since: Time,
    /// The time before which only its host may host it.
    until: Time,
}

impl Kept {
    /// Checks that its hold ends no earlier than due. After a restart that depends on how the clock was set meanwhile.
    fn check_end(&self, now: Time, started: Time) {
        let early = started <= self.since && now < self.until;
        assert!(!early, "{:?} is not kept for its host until {:?}", self.record, self.until);
    }
}

/// The known facts of one message.
#[derive(Debug)]
struct Fact {
    link: u64,
    message: Message,
    given: Option<Timestamp>,
    stored: Option<StoredMessage>,
    delivered: Option<Timestamp>,
    answered: bool,
}

impl Judge {
    /// Returns a judge of a server on which a connection may join so many channels.
    pub(super) fn new(max_joins: usize) -> Self {
        Self { max_joins, ..Self::default() }
    }

    /// Composes a message whose content is unique.
    pub(super) fn compose(&mut self, link: u64, channel_name: Option<ChannelName>, filler: &str) -> Request {
        let message_content = format!("{} {filler}", self.messages.len());
        let message = Message { username: named(&format!("user {link}")), message_content, channel_name };
        let fact = Fact { link, message: message.clone(), given: None, stored: None, delivered: None, answered: false };
        self.messages.push(fact);
        Request::Message(message)
    }

    pub(super) fn ledger(&mut self, link: u64) -> &mut Ledger {
        self.ledgers.entry(link).or_default()
    }

    /// Notes a request that reaches the hub.
    pub(super) fn requested(&mut self, link: u64, slot: usize, peer: IpAddr, at: Moment) {
        let (floor, failures) = (self.floor, self.failures);
        self.tally.requests += 1;
        let request = self.ledger(link).slot(slot).request.clone();
        let known = request.as_ref().and_then(joined_name).map_or(0, |name| self.known_of(name));
        let slot = self.ledger(link).slot(slot);
        (slot.at, slot.floor, slot.failures, slot.known) = (at.time, floor, failures, known);
        match request {
            Some(Request::Host(host)) => self.hosts.push((host, canonical(peer), at.time)),
            Some(Request::Unhost { channel_name }) => self.unhosts.push((channel_name, canonical(peer))),
            Some(Request::Message(message)) => {
                self.fact(&message.message_content).1.given = Some(at.wall);
            }
            _ => {}
        }
    }

    /// Notes the outcome of a command that reaches the hub.
    pub(super) fn store_answered(&mut self, outcome: &StoreOutcome) {
        self.failures += u64::from(matches!(outcome, StoreOutcome::Failed | StoreOutcome::Refused));
    }

    /// Notes a page that reaches the hub.
    pub(super) fn page_delivered(&mut self, query: &Query, works: bool) {
        if !works {
            self.failures += 1;
            self.failed_pages.push(query.channel_name.clone());
        }
    }

    /// Checks and notes writes that have just become durable.
    pub(super) fn became_durable(&mut self, now: Time, writes: &[Write], disk: &Disk) {
        let mut changed: BTreeSet<&str> = BTreeSet::new();
        for write in writes {
            match write {
                Write::PutChannel(record) => {
                    self.check_put(record);
                    let host = record.registered_from;
                    if let Some(kept) = self.kept.remove(&record.channel.channel_name)
                        && !host.is_some_and(|host| is_host(&kept.record, host))
                    {
                        kept.check_end(now, self.started);
                    }
                    changed.insert(&record.channel.channel_name);
                }
                Write::RemoveChannel(name) => {
                    match self.kept.remove(name) {
                        Some(kept) => kept.check_end(now, self.started),
                        None => self.check_remove(name),
                    }
                    self.hosted.remove(name);
                    changed.insert(name);
                }
                Write::ReleaseChannel { channel_name: name, .. } => {
                    self.check_release(now, name);
                    self.hosted.remove(name);
                    changed.insert(name);
                }
                Write::DropName(name) => panic!("'{name}' is forgotten, and nothing of it was dropped"),
                Write::Append(message) => {
                    let name = &message.channel_name;
                    let lives = self.versions.last().lives_here(name) && !changed.contains(&**name);
                    assert!(lives, "{message:?} is stored, and it is not known whether '{name}' lives here then");
                    self.check_append(message);
                }
            }
        }
        if writes.iter().any(|write| !matches!(write, Write::Append(_))) {
            self.tally.listed += 1;
            let before: Vec<ChannelName> = self.versions.last().names().cloned().collect();
            let was_here = before.into_iter().filter(|name| self.versions.last().lives_here(name));
            let was_here: Vec<ChannelName> = was_here.collect();
            self.versions.push(disk.snapshot());
            for name in was_here.into_iter().filter(|name| !self.versions.last().lives_here(name)) {
                let known = self.known_of(&name);
                self.left.push((self.versions.latest(), name, known));
            }
        }
    }

    fn check_put(&mut self, record: &ChannelRecord) {
        let channel = &record.channel;
        let before = self.versions.last().record(&channel.channel_name);
        if let Some(before) = before
            && (&before.channel, before.registered_from) == (channel, record.registered_from)
        {
            // Its host sets the lease and nothing else.
            let sets = |(host, from, _): &(Host, IpAddr, Time)| {
                let same = host.channel.channel_name == channel.channel_name
                    && host.channel.address.same_place(&channel.address);
                same && host.lease == record.lease && is_host(before, *from)
            };
            assert!(self.hosts.iter().any(sets), "{before:?} becomes {record:?}, and nobody asked for it");
            return;
        }
        let asked = self.hosts.iter().any(|(host, from, _)| {
            (&host.channel, host.lease, Some(*from)) == (channel, record.lease, record.registered_from)
        });
        assert!(asked, "{record:?} is stored, and nobody asked for it");
        if let (Some(before), Some(peer)) = (before, record.registered_from) {
            let its_host = is_host(before, peer);
            assert!(its_host, "{before:?} becomes {record:?}, and not by its host");
        }
    }

    fn check_remove(&self, name: &str) {
        let Some(record) = self.versions.last().record(name) else { panic!("'{name}' is removed and was not there") };
        let asked = self.unhosts.iter().any(|(asked, from)| asked == name && is_host(record, *from));
        assert!(asked, "{record:?} is removed, and its host did not ask for it");
    }

    fn check_release(&mut self, now: Time, name: &ChannelName) {
        let Some(record) = self.versions.last().record(name) else { panic!("'{name}' is released and was not there") };
        let Some(lease) = record.lease else { panic!("{record:?} is released, and has no lease") };
        // Which of several HOSTs was carried out last is the hub's to say.
        let end = |at: Time| at.max(self.started).after(Duration::from_secs(lease.into()));
        let so = |(host, _, at): &(Host, IpAddr, Time)| {
            host.channel.channel_name == *name && host.lease == record.lease && end(*at) <= now
        };
        assert!(self.hosts.iter().any(so), "{record:?} is released before the end of its lease");
        let last = self.hosted.get(name).copied().unwrap_or_default();
        assert!(end(last) <= now, "{record:?} is released, and its host was told OK to a HOST of {last:?}");
        let until = end(last).after(Duration::from_secs(lease.clamp(60, 3600).into()));
        self.kept.insert(name.clone(), Kept { record: record.clone(), since: now, until });
        self.tally.ended_leases += 1;
    }

    /// Checks at the end that no channel is listed whose lease has long ended.
    pub(super) fn check_leases(&self, now: Time, calm: Option<Time>) {
        for record in self.versions.last().records() {
            let Some(lease) = record.lease else { continue };
            let name = &record.channel.channel_name;
            let hosts = self.hosts.iter().filter(|(host, _, _)| host.channel.channel_name == *name);
            let last = hosts.map(|(_, _, at)| *at).max().unwrap_or_default();
            let counted = last.max(self.started).max(later(calm.unwrap_or_default(), 25_000));
            let end = counted.after(Duration::from_secs(u64::from(lease) + 10));
            assert!(now <= end, "{record:?} is listed, and its lease ended before {end:?}");
        }
    }

    fn known_of(&self, name: &str) -> u64 {
        self.known.get(name).copied().unwrap_or(0)
    }

    /// Notes that a client is shown that a channel has messages up to this id.
    fn know(&mut self, name: &ChannelName, id: u64) {
        let known = self.known.entry(name.clone()).or_default();
        *known = id.max(*known);
    }

    fn check_append(&mut self, stored: &StoredMessage) {
        let (number, fact) = self.fact(&stored.message_content);
        assert_eq!(fact.stored, None, "{stored:?} is stored a second time");
        assert!(!fact.answered, "{stored:?} is stored, and its answer was given before");
        assert_eq!(stored.username, fact.message.username);
        assert_eq!(stored.message_content, fact.message.message_content);
        let Some(given) = fact.given else { panic!("{stored:?} is stored, and no hub was asked for it") };
        assert!(stored.timestamp >= given, "{stored:?} was sent at {given}");
        if let Some(name) = &fact.message.channel_name {
            assert_eq!(stored.channel_name, *name, "the channel of {stored:?}");
        }
        fact.stored = Some(stored.clone());
        let link = fact.link;
        if let Some(before) = self.order.insert((link, stored.channel_name.clone()), number) {
            assert!(before < number, "message {number} of connection {link} is stored after message {before}");
        }
        self.tally.stored += 1;
    }

    /// Checks the hub's answer to a request.
    pub(super) fn replied(&mut self, link: u64, index: usize, reply: &Reply, disk: &Disk) {
        let ledger = self.ledgers.entry(link).or_default();
        let slot = ledger.slot(index);
        assert!(!slot.is_decided, "a second answer to {:?}", slot.request);
        let Slot { request, at, floor, failures, known, .. } = slot;
        let (at, floor, failures, known) = (*at, *floor, *failures, *known);
        let Some(request) = request.clone() else { panic!("slot {index} of connection {link} has no request") };
        ledger.check_turn(index, &request);
        ledger.slot(index).is_decided = true;
        let from = floor.max(ledger.floor);
        let shown = match (&request, reply) {
            (Request::Message(message), Reply::Response(Response::Delivered { timestamp })) => {
                self.tally.delivered += 1;
                let (_, fact) = self.fact(&message.message_content);
                let stored = fact.stored.clone();
                let at = stored.as_ref().map(|stored| stored.timestamp);
                assert_eq!(at, Some(*timestamp), "{message:?} is acknowledged, and this is what is stored");
                fact.delivered = Some(*timestamp);
                if let Some(stored) = stored {
                    self.know(&stored.channel_name, stored.id);
                }
                from
            }
            (Request::Host(Host { channel, lease }), Reply::Response(Response::Hosted { channel_name })) => {
                self.tally.hosted += 1;
                assert_eq!(channel_name, &channel.channel_name);
                let peer = self.ledger(link).peer;
                let stored = disk.channel(channel_name);
                if let (Some(record), Some(peer)) = (stored, peer)
                    && is_host(record, peer)
                {
                    assert_eq!(record.lease, *lease, "{channel:?} is acknowledged");
                    let hosted = self.hosted.entry(channel_name.clone()).or_default();
                    *hosted = at.max(*hosted);
                }
                let stored = stored.map(|record| &record.channel.address);
                let held = stored.is_some_and(|stored| stored.same_place(&channel.address));
                assert!(held, "{channel:?} is acknowledged, and {stored:?} is stored");
                self.find(from, &request, |version| version.hosts_at(channel_name, &channel.address))
            }
            (Request::List, Reply::Listed(_)) => {
                self.tally.lists += 1;
                let bytes = encode(reply);
                self.find(from, &request, |version| version.listed == bytes)
            }
            (Request::Unhost { channel_name }, Reply::Response(Response::Removed { channel_name: removed })) => {
                self.tally.unhosted += 1;
                assert_eq!(removed, channel_name);
                assert_eq!(disk.channel(removed), None, "'{removed}' is removed, and stored");
                self.find(from, &request, |version| version.record(removed).is_none())
            }
            (
                Request::Join { channel_name, from: start },
                Reply::Response(Response::Joined { first_id, last_id, .. }),
            ) => {
                let shown = self.find(from, &request, |version| version.lives_here(channel_name));
                self.joined(link, channel_name, *start, (*first_id, *last_id), (known, shown), disk);
                shown
            }
            (Request::Leave { channel_name }, Reply::Response(Response::Left { channel_name: left })) => {
                self.tally.leaves += 1;
                assert_eq!(left, channel_name);
                self.ledger(link).delivered.leave(left);
                self.find(from, &request, |version| version.lives_here(left))
            }
            (Request::History { channel_name, range, limit }, Reply::Encoded(bytes)) => {
                self.check_history(channel_name, *range, *limit, bytes, known, disk);
                self.find(from, &request, |version| version.lives_here(channel_name))
            }
            (_, Reply::Response(Response::Error(error))) => {
                self.check_error(&request, error, from, (failures, known), link)
            }
            _ => panic!("{request:?} is answered {reply:?}"),
        };
        self.floor = self.floor.max(shown);
        if let Request::Message(message) = &request {
            self.fact(&message.message_content).1.answered = true;
        }
        let ledger = self.ledger(link);
        ledger.floor = ledger.floor.max(shown);
    }

    /// Checks an answer to LIST that a connection's endpoint gives itself, from the published list.
    pub(super) fn listed_at_once(&mut self, link: u64, index: usize, at: Moment, list: Option<&Listing>, disk: &Disk) {
        let Some(list) = list else { panic!("a LIST of connection {link} is answered, and nothing is published") };
        let Some(peer) = self.ledger(link).peer else { panic!("connection {link} was not accepted") };
        self.tally.lists_at_once += 1;
        let reply = Reply::from(list.clone());
        self.requested(link, index, peer, at);
        self.replied(link, index, &reply, disk);
        self.ledger(link).reply(index, encode(&reply));
    }

    /// Checks that everything a client was shown is published: a LIST that is answered at once shows it.
    pub(super) fn check_published(&self, listed: Option<&[u8]>) {
        let Some(listed) = listed else { panic!("something is answered, and nothing is published") };
        self.find(self.floor, &"what is published", |version| version.listed == listed);
    }

    /// Notes that the list which a connection was sending was withdrawn.
    pub(super) fn withdrawn(&mut self, link: u64) {
        self.tally.withdrawn += 1;
        self.ledger(link).withdrawn = true;
    }

    fn joined(
        &mut self,
        link: u64,
        name: &ChannelName,
        from: JoinFrom,
        (first_id, last_id): (u64, u64),
        (known, version): (u64, usize),
        disk: &Disk,
    ) {
        self.tally.joins += 1;
        let stored = disk.last_id(name);
        assert!((known..=stored).contains(&last_id), "the last id of '{name}' is {last_id}, not {known} to {stored}");
        let first = match from {
            JoinFrom::After(after) => {
                self.tally.rejoins += 1;
                assert!(after <= last_id, "'{name}' is joined after {after}, and ends at {last_id}");
                after + 1
            }
            JoinFrom::Last(count) => (last_id + 1).saturating_sub(count.into()).max(1),
        };
        assert_eq!(first_id, first, "the first id of '{name}', which ends at {last_id}, from {from:?} on");
        self.know(name, last_id);
        self.ledger(link).delivered.join(name, first_id, last_id, version);
    }

    fn check_history(
        &mut self,
        name: &ChannelName,
        range: HistoryRange,
        limit: u16,
        bytes: &[u8],
        known: u64,
        disk: &Disk,
    ) {
        self.tally.histories += 1;
        let mut decoder = Decoder::<Status>::new(usize::MAX);
        decoder.feed(bytes);
        let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("no frame: '{}'", bytes.escape_ascii()) };
        let Ok(Response::History { channel_name, messages }) =
            Response::decode(Command::History, frame.start_line, frame.payload)
        else {
            panic!("no answer to HISTORY: '{}'", bytes.escape_ascii())
        };
        assert_eq!(channel_name, *name);
        messages.iter().for_each(|message| subscriptions::check_durable(message, disk));
        let ids: Vec<u64> = messages.iter().map(|message| message.id).collect();
        let limit = u64::from(limit);
        // The known end of the channel at the time of the read lies between the ids shown and the ids stored.
        let fits = |end: u64| {
            let (first, last) = match range {
                HistoryRange::After(id) => (id + 1, end.min(id + limit)),
                HistoryRange::Before(id) => (id.min(end + 1).saturating_sub(limit), end.min(id - 1)),
                HistoryRange::Last => ((end + 1).saturating_sub(limit), end),
            };
            ids.iter().copied().eq(first.max(1)..=last)
        };
        let so = (known..=disk.last_id(name)).any(fits);
        assert!(so, "HISTORY of '{name}', {range:?}, at most {limit}: {ids:?}, and {known} is known");
        if let Some(last) = ids.last() {
            self.know(name, *last);
        }
    }

    /// Checks the hub's pushes to a connection. Returns the number of messages.
    pub(super) fn pushed(&mut self, link: u64, pushes: &Pushes, disk: &Disk) -> u64 {
        let messages = subscriptions::messages(pushes);
        for message in &messages {
            self.ledger(link).delivered.push(message, disk);
            self.know(&message.channel_name, message.id);
        }
        messages.len() as u64
    }

    /// Checks that the hub may close a connection because a channel was removed.
    pub(super) fn removed(&mut self, link: u64, error: &ErrorResponse) {
        self.tally.removed_readers += 1;
        assert_eq!(error.error, "Channel removed");
        let Some(name) = error.details.split('\'').nth(1) else { panic!("{error} names no channel") };
        let joins = &mut self.ledgers.entry(link).or_default().delivered;
        let Some((next, version)) = joins.of(name) else { panic!("connection {link} has not joined '{name}'") };
        let left = self.left.iter().find(|(at, left, _)| *at > version && left == name);
        let Some((_, _, known)) = left else {
            panic!("connection {link} is told that '{name}' has gone, and it has not")
        };
        assert!(next > *known, "'{name}' has gone, and {known} is known of it, and connection {link} awaits {next}");
        joins.clear();
    }

    /// Checks that the hub may close a connection because a page cannot be read.
    pub(super) fn closed_slow(&mut self, link: u64, error: &ErrorResponse) {
        self.tally.unread_replays += 1;
        assert_eq!(error.error, "Slow consumer");
        let joins = &mut self.ledgers.entry(link).or_default().delivered;
        let page = self.failed_pages.iter().position(|name| joins.has_joined(name));
        let Some(page) = page else { panic!("connection {link} is told '{error}', and nothing has failed") };
        self.failed_pages.remove(page);
        joins.clear();
    }

    /// Checks that nothing promised is left for a connection whose peer has ended.
    pub(super) fn finished(&mut self, link: u64) {
        let ledger = self.ledger(link);
        assert!(ledger.ended, "connection {link} is finished, and its peer has not ended");
        ledger.delivered.check_promised();
        let had_joined = ledger.delivered.count() > 0;
        ledger.delivered.clear();
        self.tally.finished_readers += u64::from(had_joined);
    }

    /// Checks a push that a client receives.
    pub(super) fn received(&mut self, link: u64, message: &StoredMessage, disk: &Disk) {
        self.tally.received += 1;
        self.ledger(link).received.push(message, disk);
    }

    /// Returns the version of the directory that justifies the error.
    fn check_error(
        &mut self,
        request: &Request,
        error: &ErrorResponse,
        from: usize,
        (failures, known): (u64, u64),
        link: u64,
    ) -> usize {
        if error.blame == Blame::Server {
            self.tally.server_errors += 1;
            assert_eq!(error.error, "Database connection failed");
            let needs_none = matches!(request, Request::List | Request::Leave { .. });
            assert!(!needs_none, "{request:?} needs no store");
            assert!(self.failures > failures, "{request:?} is answered {error}, and the store has not failed since");
            return from;
        }
        self.tally.refused += 1;
        let ledger = self.ledgers.entry(link).or_default();
        let (listener, peer, delivered) = (ledger.listener, ledger.peer, &ledger.delivered);
        match (request, &*error.error) {
            (Request::Host(Host { channel, .. }), "Channel already exists")
                if error.details.contains(" is kept for its last host for ") =>
            {
                let kept = self.kept.get(&channel.channel_name);
                let from_it = |kept: &Kept| peer.is_none_or(|peer| !is_host(&kept.record, peer));
                assert!(kept.is_some_and(from_it), "{error}, and {kept:?}");
                from
            }
            (Request::Host(Host { channel, .. }), "Channel already exists") => self.find(from, error, |version| {
                let listed = version.record(&channel.channel_name);
                listed.is_some_and(|listed| error.details.ends_with(&listed.channel.address.to_string()))
            }),
            // Those that will be listed count too.
            (Request::Host(_), "Limit reached") => from,
            (Request::Message(Message { channel_name: Some(name), .. }), "Channel not found") => {
                self.find(from, error, |version| version.record(name).is_none())
            }
            (Request::Message(Message { channel_name: Some(name), .. }), "Channel hosted elsewhere") => {
                self.find(from, error, |version| version.record(name).is_some() && !version.lives_here(name))
            }
            (Request::Message(Message { channel_name: None, .. }), "Channel not found") => {
                self.find(from, error, |version| version.living_at(listener) == 0)
            }
            (Request::Message(Message { channel_name: None, .. }), "Invalid payload") => {
                self.find(from, error, |version| version.living_at(listener) > 1)
            }
            (Request::Unhost { channel_name }, "Channel not found") => {
                self.find(from, error, |version| version.record(channel_name).is_none())
            }
            (Request::Unhost { channel_name }, "Not the channel's host") => self.find(from, error, |version| {
                let listed = version.record(channel_name);
                listed.is_some_and(|listed| peer.is_none_or(|peer| !is_host(listed, peer)))
            }),
            (Request::Join { channel_name, .. }, "Already joined") if delivered.has_joined(channel_name) => from,
            (Request::Leave { channel_name }, "Not joined") if !delivered.has_joined(channel_name) => from,
            (Request::Join { .. }, "Limit reached") if delivered.count() >= self.max_joins => from,
            // The answer names the channel's end, which is at least the last id that any client was shown.
            (Request::Join { channel_name, from: JoinFrom::After(after) }, "Invalid payload") => {
                let end = error.details.rsplit(' ').next().and_then(|end| end.parse::<u64>().ok());
                let Some(end) = end else { panic!("{request:?} is answered {error}") };
                assert!(end < *after && end >= known, "{request:?} is answered {error}, and {known} is known");
                self.find(from, error, |version| version.lives_here(channel_name))
            }
            (request, "Channel not found") if let Some(name) = joined_name(request) => {
                self.find(from, error, |version| version.record(name).is_none())
            }
            (request, "Channel hosted elsewhere") if let Some(name) = joined_name(request) => {
                self.find(from, error, |version| version.record(name).is_some() && !version.lives_here(name))
            }
            _ => panic!("{request:?} is answered {error}"),
        }
    }

    /// Returns the first version of the directory, not below `from`, that meets the condition.
    fn find(
        &self,
        from: usize,
        subject: &impl std::fmt::Debug,
        so: impl Fn(&super::versions::Version) -> bool,
    ) -> usize {
        self.versions.find(from, so).unwrap_or_else(|| {
            panic!("{subject:?} fits no directory that was stored, from number {from} on: {:#?}", self.versions)
        })
    }

    /// Returns the number of a message and its known facts.
    fn fact(&mut self, content: &str) -> (usize, &mut Fact) {
        let number = content.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
        match self.messages.get_mut(number) {
            Some(fact) => (number, fact),
            None => panic!("nobody sent {content:?}"),
        }
    }

    /// Checks that every acknowledged message is in the store, and that every stored one was seen to become durable.
    pub(super) fn check_stored(&self, disk: &Disk) {
        for fact in &self.messages {
            let kept = fact.stored.as_ref().and_then(|stored| {
                let index = usize::try_from(stored.id).ok()?.checked_sub(1)?;
                disk.messages(&stored.channel_name).get(index)
            });
            assert_eq!(kept, fact.stored.as_ref(), "what became of a message");
            if let Some(delivered) = fact.delivered {
                assert_eq!(kept.map(|kept| kept.timestamp), Some(delivered), "{:?} is lost", fact.message);
            }
        }
    }
}

/// Returns the channel that a request joins, leaves or reads.
const fn joined_name(request: &Request) -> Option<&ChannelName> {
    match request {
        Request::Join { channel_name, .. }
        | Request::Leave { channel_name }
        | Request::History { channel_name, .. } => Some(channel_name),
        _ => None,
    }
}

/// Returns whether this peer is a channel's host.
fn is_host(record: &ChannelRecord, peer: IpAddr) -> bool {
    let peer = canonical(peer);
    record.registered_from == Some(peer) || record.channel.address.is_at(peer)
}

pub(super) fn encode(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    match reply.encode(&mut bytes) {
        Some(()) => bytes,
        None => panic!("a list that was withdrawn before it was given"),
    }
}
