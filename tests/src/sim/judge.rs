//! The one checker of every run: it watches requests, writes and answers, and knows the laws.

mod moderating;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use chanwire_core::{
    Time,
    endpoint::{Listing, Pushes, Reply},
    hub::{
        Act, ActKind, ChannelRecord, GivenRole, HubLimits, Moment, Peer, Query, RoleSubject, Sender, StoreOutcome,
        Write,
    },
    rights::{Action, ChannelAction, Rights, Standing},
    wire::{
        AccountName, Blame, Channel, ChannelName, ChannelSettings, ClientMessageId, Command, Credentials, Decoder,
        ErrorResponse, HistoryRange, Host, Item, JoinFrom, ListedChannel, Message, Notice, Presence, Request, Response,
        Role, RoleTarget, Status, StoredMessage, Timestamp, Username, canonical,
    },
};

use super::{
    later,
    ledger::{Ledger, Slot},
    moderation::{Asking, Moderation},
    rights::{Asked, RightsHistory},
    sends::Sends,
    subscriptions::{self, Texts},
    tally::Tally,
    versions::{Version, Versions},
};
use crate::{accounts, hub_model::of_subscriber, name::named, store::Disk};

/// Watches a run. Every event is reported to it, and it panics when a law is broken:
///
/// - each request is answered once and in order, or its connection has ended, also where it waits for a rate;
/// - `delivered` is answered when the message is in the store, with the timestamp that is stored, and it stays there;
/// - ids are dense in a channel and timestamps never run back ([`Disk`] checks it);
/// - messages of one connection to one channel are stored in the order sent, each once, as they were sent, and in a
///   channel that is known to live here then;
/// - of messages with one id of a client, one is stored as long as the id is kept, every acknowledgement gives its time and
///   number, also after cuts, crashes and failed commits, and another message under the id is refused;
/// - nothing else is stored that was answered already: SERVER_ERROR does not turn into a message later;
/// - LIST shows the directory as it was stored at one moment: not before any state that a client was shown or had
///   acknowledged before the request, and not later than now; errors follow the same rule;
/// - a directory is published before any client is shown it, so that a LIST that is answered at once shows it too;
/// - HOST is OK only while the store holds it;
/// - a channel is taken off the list by its host, or when its lease has ended, which counts from the last HOST and from
///   the server's start; and it is then, and kept for its host for a while;
/// - messages that are pushed or shown by HISTORY are in the store, unchanged;
/// - a message is deleted once, for a host of its channel, and its text is shown no more once the deletion's outcome is
///   known: no page that was read before is, either;
/// - pushes come only to subscribers, from `first_id` on, each id once and in order, and all that are known in the
///   end; none comes after the answer to LEAVE, and an end of stream waits for all messages promised by JOIN;
/// - HISTORY shows the requested range of a channel, which ends not before the last id that any client was shown;
/// - `Slow consumer` goes to a subscriber that leaves more unread than the limit or whose page cannot be read,
///   `Channel removed` to one of a removed channel, after all its known messages; and both to no other connection;
/// - what a connection is shown, told, allowed and refused is what it may by the rights of a moment between its request
///   and the answer, and pushes by those of their pass; a connection whose account changes, or that has joined what it may
///   no longer read, ends;
/// - a channel that an account has hosted is its own, also after UNHOST, a lease's end and a restart; messages carry the
///   account of their connection, and its name is nobody else's;
/// - a role or a setting is stored for one who may set it, and logged; from its commit on, whoever it keeps out reads and
///   writes nothing, joins end that it forbids, and a role ends in time, also after a restart; in slow mode a sender
///   waits; what is shown and refused is so by the roles and settings of a moment;
/// - AUTH is answered OK to right credentials and `Authentication failed` to wrong ones, whichever they are; too many
///   attempts are refused, and no other;
/// - SERVER_ERROR is answered only to requests that were with the hub when the store failed.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) ledgers: BTreeMap<u64, Ledger>,
    pub(super) tally: Tally,
    versions: Versions,
    /// The latest version of the directory that anybody was shown.
    floor: usize,
    messages: Vec<Fact>,
    sends: Sends,
    /// All rights that were in force, and the number of those at the beginning of the hub's pass.
    pub(super) rights: RightsHistory,
    pass_began: usize,
    /// The number of passes of hubs.
    pub(super) passes: u64,
    /// The HOSTs that reached a hub.
    hosts: Vec<(Host, From, Time)>,
    /// The time of the last HOST that was acknowledged to the host of each listed channel.
    hosted: BTreeMap<ChannelName, Time>,
    /// The channels that are kept for their hosts.
    kept: BTreeMap<ChannelName, Kept>,
    /// The UNHOSTs that reached a hub.
    unhosts: Vec<(ChannelName, From)>,
    /// The accounts that names belong to.
    owners: BTreeMap<ChannelName, AccountName>,
    /// The DELETEs that reached a hub.
    deletes: Vec<(ChannelName, u64, From)>,
    /// The messages whose deletion is stored, and its outcome not known to a hub.
    deleting: BTreeSet<(ChannelName, u64)>,
    /// All roles and settings that were stored, and the number of those that the hub knew at the beginning of its pass.
    moderation: Moderation,
    moderated_began: usize,
    /// The ROLEs and SETTINGS that reached a hub.
    moderating: Vec<(Request, From, Time)>,
    /// The last message of each sender in each channel in this life of the server, of those without an id.
    last_sent: BTreeMap<(ChannelName, Sender), usize>,
    /// The time of the hub's pass.
    now: Time,
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
    /// The attempts to authenticate of this server's life, by address and by account and address.
    attempts: BTreeMap<(Option<AccountName>, Option<IpAddr>), u64>,
    /// The number of store failures reported to hubs.
    failures: u64,
}

/// The connection that a request came on, and its address.
#[derive(Clone, Copy, Debug)]
struct From {
    link: u64,
    ip: IpAddr,
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
    /// The earliest wall time at which it reached a hub.
    given: Option<Timestamp>,
    /// The time at which it did so, by the clock of leases.
    at: Time,
    /// The number of the rights that were in force then, and of the roles and settings that the hub knew.
    rights: usize,
    moderation: usize,
    stored: Option<StoredMessage>,
    delivered: Option<Timestamp>,
    answered: bool,
}

impl Judge {
    /// Returns a judge of a server with these limits.
    pub(super) fn new(limits: &HubLimits, rights: &Arc<Rights>) -> Self {
        Self {
            ledgers: BTreeMap::new(),
            tally: Tally::default(),
            versions: Versions::default(),
            floor: 0,
            messages: Vec::new(),
            sends: Sends::new(limits),
            rights: RightsHistory::new(rights.clone()),
            pass_began: 0,
            passes: 0,
            hosts: Vec::new(),
            hosted: BTreeMap::new(),
            kept: BTreeMap::new(),
            unhosts: Vec::new(),
            owners: BTreeMap::new(),
            deletes: Vec::new(),
            deleting: BTreeSet::new(),
            moderation: Moderation::new(),
            moderated_began: 0,
            moderating: Vec::new(),
            last_sent: BTreeMap::new(),
            now: Time::default(),
            known: BTreeMap::new(),
            left: Vec::new(),
            started: Time::default(),
            failed_pages: Vec::new(),
            order: BTreeMap::new(),
            max_joins: limits.max_joins,
            attempts: BTreeMap::new(),
            failures: 0,
        }
    }

    /// Composes a message whose content is unique, with an id of the client's or without.
    pub(super) fn compose(
        &mut self,
        link: u64,
        username: Username,
        channel_name: Option<ChannelName>,
        filler: &str,
        client_message_id: Option<ClientMessageId>,
    ) -> Request {
        let message = Message { username, message_content: String::new(), channel_name, client_message_id };
        self.compose_as(link, message, filler)
    }

    /// Composes a message like this one, whose content is unique.
    pub(super) fn compose_as(&mut self, link: u64, message: Message, filler: &str) -> Request {
        let message_content = format!("{} {filler}", self.messages.len());
        let message = Message { message_content, ..message };
        self.messages.push(Fact {
            link,
            message: message.clone(),
            given: None,
            at: Time::default(),
            rights: 0,
            moderation: 0,
            stored: None,
            delivered: None,
            answered: false,
        });
        Request::Message(message)
    }

    /// Notes that the server starts with these rights.
    pub(super) fn restarted(&mut self, at: Moment, rights: &Arc<Rights>) {
        self.rights.push(rights.clone());
        self.moderation.restarted(at);
        self.last_sent.clear();
        self.started = at.time;
        self.attempts.clear();
    }

    /// Notes that the hub begins a pass.
    pub(super) fn begin_pass(&mut self, now: Time) {
        self.now = now;
        self.moderated_began = self.moderation.known();
        self.failed_pages.clear();
        self.passes += 1;
        self.pass_began = self.rights.latest();
    }

    /// Returns what a connection asks and is given in this pass.
    fn asked_now(&self, link: u64) -> Asked {
        self.rights.asked(self.account_of(link), self.pass_began)
    }

    /// Returns the account that a connection is signed in to. It is that of its requests: no answer to AUTH comes before
    /// those to earlier requests.
    fn account_of(&self, link: u64) -> Option<&AccountName> {
        self.ledgers.get(&link).and_then(|ledger| ledger.account.as_ref())
    }

    /// Returns whether what came from there came from a channel's host.
    fn is_host(&self, record: &ChannelRecord, from: From) -> bool {
        is_host(record, from.ip, self.account_of(from.link))
    }

    /// Checks that credentials of a connection may be verified, and counts the attempt.
    pub(super) fn verifying(&mut self, link: u64, credentials: &Credentials) {
        let ledger = self.ledger(link);
        assert_eq!(ledger.account, None, "connection {link} has authenticated before");
        let peer = ledger.peer.map(of_subscriber);
        for account in [None, credentials.account().cloned()] {
            *self.attempts.entry((account, peer)).or_default() += 1;
        }
    }

    /// Notes the result of a verification for a connection that is closed: what it has sent behind its AUTH is carried out
    /// as the account's. The verification began by the rights of number `rights`.
    pub(super) fn verified_unseen(&mut self, link: u64, account: Option<&AccountName>, rights: usize) {
        let changed = account.is_some_and(|account| self.rights.asked(None, rights).account_changed(account));
        self.ledger(link).account = account.filter(|_| !changed).cloned();
    }

    /// Checks an answer to AUTH.
    fn authenticated(
        &mut self,
        link: u64,
        credentials: &Credentials,
        response: &Response,
        after_hello: bool,
        (asked, disk): (&Asked, &Disk),
    ) {
        let ledger = self.ledgers.entry(link).or_default();
        let peer = ledger.peer.map(of_subscriber);
        match response {
            Response::Authenticated { account } => {
                assert_eq!(accounts::verify(credentials), Some(account.clone()), "{credentials:?}");
                assert!(asked.has_account(account), "'{account}' is no account");
                self.tally.signed_in += 1;
                assert_eq!(ledger.account.replace(account.clone()), None, "connection {link} authenticates twice");
            }
            Response::Error(error) if error.error == "Authentication failed" => {
                let account = accounts::verify(credentials).filter(|account| !asked.account_changed(account));
                assert_eq!(account, None, "{credentials:?}");
                assert_eq!(error.details, "Unknown account, or wrong password or token");
                self.tally.wrong_credentials += 1;
            }
            Response::Error(error) if error.error == "Already authenticated" => {
                let account = ledger.account.as_ref().map(|account| format!("'{account}'"));
                assert!(account.is_some_and(|account| error.details.ends_with(&account)), "{error}");
            }
            Response::Error(error) if error.error == "Too many attempts" => {
                let attempts = |account| self.attempts.get(&(account, peer)).copied().unwrap_or(0);
                let most = attempts(credentials.account().cloned()).max(attempts(None));
                assert!(most >= 5, "{credentials:?} is refused after {most} attempts");
                assert_eq!(error.retry_after.is_some(), after_hello, "{error:?}");
                self.tally.too_many_attempts += 1;
            }
            Response::Error(error) if error.error == "Not allowed" => {
                self.check_not_allowed(&Request::Auth(credentials.clone()), error, link, (asked, disk));
            }
            _ => panic!("AUTH is answered {response:?}"),
        }
    }

    pub(super) fn ledger(&mut self, link: u64) -> &mut Ledger {
        self.ledgers.entry(link).or_default()
    }

    /// Notes a request that reaches the hub.
    pub(super) fn requested(&mut self, link: u64, slot: usize, peer: IpAddr, at: Moment) {
        let (floor, failures, rights) = (self.floor, self.failures, self.rights.latest());
        let known_moderation = self.moderation.known();
        let from = From { link, ip: canonical(peer) };
        self.tally.requests += 1;
        let request = self.ledger(link).slot(slot).request.clone();
        let known = request.as_ref().and_then(joined_name).map_or(0, |name| self.known_of(name));
        let after_hello = self.ledger(link).said_hello;
        let slot = self.ledger(link).slot(slot);
        (slot.after_hello, slot.rights, slot.moderation) = (after_hello, rights, known_moderation);
        (slot.at, slot.floor, slot.failures, slot.known) = (at.time, floor, failures, known);
        match request {
            Some(Request::Host(host)) => self.hosts.push((host, from, at.time)),
            Some(Request::Unhost { channel_name }) => self.unhosts.push((channel_name, from)),
            Some(Request::Delete { channel_name, id }) => self.deletes.push((channel_name, id, from)),
            Some(request @ (Request::Role { .. } | Request::Settings { .. })) => {
                self.moderating.push((request, from, at.time));
            }
            Some(Request::Message(message)) => {
                let (_, fact) = self.fact(&message.message_content);
                if fact.given.is_none() {
                    (fact.rights, fact.moderation, fact.at) = (rights, known_moderation, at.time);
                }
                fact.given = Some(fact.given.map_or(at.wall, |before| before.min(at.wall)));
            }
            _ => {}
        }
    }

    /// Notes the outcome of a command that reaches the hub.
    pub(super) fn store_answered(&mut self, outcome: &StoreOutcome) {
        self.failures += u64::from(matches!(outcome, StoreOutcome::Failed | StoreOutcome::Refused));
        self.deleting.clear();
        if matches!(outcome, StoreOutcome::Committed | StoreOutcome::Loaded(_)) {
            self.moderation.learn();
        }
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
        self.sends.begin_commit();
        let mut changed: BTreeSet<&str> = BTreeSet::new();
        for write in writes {
            match write {
                Write::PutChannel(record) => {
                    self.check_put(record);
                    let host = record.registered_from;
                    if let Some(kept) = self.kept.remove(&record.channel.channel_name)
                        && !host.is_some_and(|host| is_host(&kept.record, host, record.account.as_ref()))
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
                Write::SetRole { channel_name: name, .. } | Write::SetSettings { channel_name: name, .. } => {
                    let lives = self.versions.last().lives_here(name);
                    assert!(lives, "{write:?} is stored, and it is not known whether '{name}' lives here then");
                    self.check_moderating(write, now, disk);
                    changed.insert(name);
                }
                Write::DropModeration(_) => self.check_moderating(write, now, disk),
                Write::DropName(name) => panic!("'{name}' is forgotten, and nothing of it was dropped"),
                Write::Append { message, .. } => {
                    let name = &message.channel_name;
                    let lives = self.versions.last().lives_here(name) && !changed.contains(&**name);
                    assert!(lives, "{message:?} is stored, and it is not known whether '{name}' lives here then");
                    self.check_append(message, now);
                }
                Write::Delete { tombstone, record } => {
                    let name = &tombstone.channel_name;
                    let lives = self.versions.last().lives_here(name) && !changed.contains(&**name);
                    assert!(lives, "{tombstone:?} is deleted, and it is not known whether '{name}' lives here then");
                    self.check_delete(tombstone, record, now, disk);
                }
            }
        }
        self.check_kept(writes, disk);
        if writes.iter().any(|write| !matches!(write, Write::Append { .. } | Write::Delete { .. })) {
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
        if let Some(owner) = self.owners.get(&channel.channel_name) {
            assert_eq!(record.account.as_ref(), Some(owner), "{record:?} is stored, and its name is an account's");
        } else if let Some(account) = &record.account {
            self.owners.insert(channel.channel_name.clone(), account.clone());
        }
        let before = self.versions.last().record(&channel.channel_name);
        let account = |from: &From| self.account_of(from.link);
        if let Some(before) = before
            && (&before.channel, before.registered_from) == (channel, record.registered_from)
        {
            // Its host sets the lease, or has signed in since, and nothing else.
            let sets = |(host, from, _): &(Host, From, Time)| {
                let same = host.channel.channel_name == channel.channel_name
                    && host.channel.address.same_place(&channel.address);
                let keeps = record.account == before.account || record.account.as_ref() == account(from);
                same && host.lease == record.lease && self.is_host(before, *from) && keeps
            };
            assert!(self.hosts.iter().any(sets), "{before:?} becomes {record:?}, and nobody asked for it");
            return;
        }
        let asked = self.hosts.iter().any(|(host, from, _)| {
            (&host.channel, host.lease, Some(from.ip)) == (channel, record.lease, record.registered_from)
                && account(from) == record.account.as_ref()
        });
        assert!(asked, "{record:?} is stored, and nobody asked for it");
        if let (Some(before), Some(peer)) = (before, record.registered_from) {
            let its_host = is_host(before, peer, record.account.as_ref());
            assert!(its_host, "{before:?} becomes {record:?}, and not by its host");
        }
    }

    fn check_remove(&self, name: &str) {
        let Some(record) = self.versions.last().record(name) else { panic!("'{name}' is removed and was not there") };
        let asked = self.unhosts.iter().any(|(asked, from)| asked == name && self.is_host(record, *from));
        assert!(asked, "{record:?} is removed, and its host did not ask for it");
    }

    fn check_release(&mut self, now: Time, name: &ChannelName) {
        let Some(record) = self.versions.last().record(name) else { panic!("'{name}' is released and was not there") };
        let Some(lease) = record.lease else { panic!("{record:?} is released, and has no lease") };
        // Which of several HOSTs was carried out last is the hub's to say.
        let end = |at: Time| at.max(self.started).after(Duration::from_secs(lease.into()));
        let so = |(host, _, at): &(Host, From, Time)| {
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

    fn check_delete(&mut self, tombstone: &StoredMessage, record: &StoredMessage, now: Time, disk: &Disk) {
        let (name, id) = (&tombstone.channel_name, tombstone.id);
        let Some(host) = self.versions.last().record(name) else {
            panic!("'{name}' is not there, and {id} is deleted")
        };
        let Some(original) = disk.original(name, id) else { panic!("{tombstone:?} was not there") };
        let asked = |(asked, of, from): &(ChannelName, u64, From)| {
            let account = self.account_of(from.link);
            let is_own = account.is_some() && account == original.account.as_ref();
            let is_host = self.is_host(host, *from);
            let word = if is_host { "host" } else { "moderator" };
            let username = account.map_or(word, |account| account.as_str());
            let is_its = (asked, *of, &*record.username, record.account.as_ref()) == (name, id, username, account);
            let asking = self.asking_now(*from, Time::default(), now, name);
            is_its && self.moderation.is_allowed(ChannelAction::Delete { is_own }, name, asking)
        };
        assert!(self.deletes.iter().any(asked), "{tombstone:?} is deleted, and nobody asked for it who may");
        self.sends.deleted(tombstone);
        self.fact(&original.message_content).1.stored = Some(tombstone.clone());
        self.deleting.insert((name.clone(), id));
        self.tally.deleted += 1;
    }

    /// Checks that an act which the server logs is one that was asked for.
    pub(super) fn acted(&mut self, act: &Act) {
        let Act { channel_name, kind, peer, account, connection } = act;
        self.tally.acts += 1;
        let ActKind::Deleted { id } = kind else { return self.acted_on(act) };
        let asked = |(name, of, from): &(ChannelName, u64, From)| {
            (name, of, Peer::Address(from.ip), from.link) == (channel_name, id, *peer, connection.0)
        };
        assert!(self.deletes.iter().any(asked), "{peer:?} is said to have deleted {id} of '{channel_name}'");
        assert_eq!(account.as_ref(), self.account_of(connection.0), "who deleted {id} of '{channel_name}'");
    }

    /// Notes that the server has crashed or stopped. The next one reads what is stored.
    pub(super) fn forget_undecided(&mut self) {
        self.deleting.clear();
    }

    fn known_of(&self, name: &str) -> u64 {
        self.known.get(name).copied().unwrap_or(0)
    }

    /// Notes that a client is shown that a channel has messages up to this id.
    fn know(&mut self, name: &ChannelName, id: u64) {
        let known = self.known.entry(name.clone()).or_default();
        *known = id.max(*known);
    }

    fn check_append(&mut self, stored: &StoredMessage, now: Time) {
        let asked = self.fact(&stored.message_content).1.message.clone();
        let has_id = asked.client_message_id.is_some();
        self.tally.stored_again += u64::from(self.sends.stored(&asked, stored));
        let (number, fact) = self.fact(&stored.message_content);
        assert!(has_id || fact.stored.is_none(), "{stored:?} is stored a second time");
        assert!(has_id || !fact.answered, "{stored:?} is stored, and its answer was given before");
        assert_eq!(stored.username, fact.message.username);
        assert_eq!(stored.message_content, fact.message.message_content);
        let Some(given) = fact.given else { panic!("{stored:?} is stored, and no hub was asked for it") };
        assert!(stored.timestamp >= given, "{stored:?} was sent at {given}");
        if let Some(name) = &fact.message.channel_name {
            assert_eq!(stored.channel_name, *name, "the channel of {stored:?}");
        }
        fact.stored = Some(stored.clone());
        let (link, rights) = (fact.link, fact.rights);
        self.check_writer(stored, link, has_id, rights);
        if has_id {
            // It may have been sent again after others, and from elsewhere.
            let sender = Sender::of(stored.account.as_ref(), &stored.username);
            self.last_sent.remove(&(stored.channel_name.clone(), sender));
            self.tally.stored += 1;
            return;
        }
        self.check_moderated(stored, number, now);
        if let Some(before) = self.order.insert((link, stored.channel_name.clone()), number) {
            assert!(before < number, "message {number} of connection {link} is stored after message {before}");
        }
        self.tally.stored += 1;
    }

    /// Checks the account of a message that is stored, and its rights since those of number `rights`.
    fn check_writer(&self, stored: &StoredMessage, link: u64, may_be_sent_again: bool, rights: usize) {
        let account = stored.account.as_ref();
        let is_its = if may_be_sent_again {
            account.is_none() || self.ledgers.values().any(|ledger| ledger.account.as_ref() == account)
        } else {
            self.account_of(link) == account
        };
        assert!(is_its, "{stored:?} is stored, and connection {link} is {:?}", self.account_of(link));
        let asked = self.rights.asked(account, rights);
        let may = |action| asked.is_allowed(action, &stored.channel_name);
        assert!(may(Action::Read) && may(Action::Write), "{stored:?} is stored, and may not be written");
        assert!(asked.is_name_allowed(&stored.username), "{stored:?} has the name of another account");
    }

    /// Checks the hub's answer to a request.
    pub(super) fn replied(&mut self, link: u64, index: usize, reply: &Reply, disk: &Disk) {
        let ledger = self.ledgers.entry(link).or_default();
        let account = ledger.account.clone();
        let slot = ledger.slot(index);
        assert!(!slot.is_decided, "a second answer to {:?}", slot.request);
        let Slot { request, after_hello, at, floor, failures, known, rights, moderation, .. } = slot;
        let moderation = *moderation;
        let asked = self.rights.asked(account.as_ref(), *rights);
        let (after_hello, at, floor, failures, known) = (*after_hello, *at, *floor, *failures, *known);
        let Some(request) = request.clone() else { panic!("slot {index} of connection {link} has no request") };
        ledger.check_turn(index, &request);
        ledger.slot(index).is_decided = true;
        let from = floor.max(ledger.floor);
        let shown = match (&request, reply) {
            (Request::Message(message), Reply::Response(Response::Delivered { timestamp, id: Some(id) })) => {
                assert!(message.client_message_id.is_some(), "{message:?} is answered with a number");
                let account = self.ledgers.get(&link).and_then(|ledger| ledger.account.as_ref());
                let stored = self.sends.acknowledged(message, account, *timestamp, *id);
                let (_, fact) = self.fact(&message.message_content);
                let is_again = fact.delivered.replace(*timestamp).is_some();
                self.tally.delivered += u64::from(!is_again);
                self.tally.repeated += u64::from(is_again);
                self.know(&stored.channel_name, stored.id);
                from
            }
            (Request::Message(message), Reply::Response(Response::Delivered { timestamp, id: None })) => {
                assert_eq!(message.client_message_id, None, "{message:?} is answered without a number");
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
                    && is_host(record, peer, self.account_of(link))
                {
                    assert_eq!(record.lease, *lease, "{channel:?} is acknowledged");
                    let hosted = self.hosted.entry(channel_name.clone()).or_default();
                    *hosted = at.max(*hosted);
                }
                let stored = stored.map(|record| &record.channel.address);
                let held = stored.is_some_and(|stored| stored.same_place(&channel.address));
                assert!(held, "{channel:?} is acknowledged, and {stored:?} is stored");
                assert!(asked.is_allowed(Action::Host, channel_name), "connection {link} may not host {channel:?}");
                self.find(from, &request, |version| version.hosts_at(channel_name, &channel.address))
            }
            (Request::List, Reply::Listed(_)) => {
                self.tally.lists += 1;
                let bytes = encode(reply);
                self.find(from, &request, |version| asked.is_view(|is_shown| version.listed_to(is_shown) == bytes))
            }
            (
                Request::Channels { after, limit, contains },
                Reply::Response(Response::ChannelPage { channels, next }),
            ) => {
                self.tally.pages += 1;
                for ListedChannel { channel, last_id, .. } in channels {
                    let (name, last_id) = (&channel.channel_name, last_id.unwrap_or_default());
                    assert!(last_id <= disk.last_id(name), "'{name}' ends at {last_id}, and {}", disk.last_id(name));
                    self.know(name, last_id);
                }
                let wanted = (*after, usize::from(*limit), contains.as_deref());
                let is_page =
                    |version: &Version| asked.is_view(|is_shown| version.is_page(wanted, channels, *next, is_shown));
                self.find(from, &request, is_page)
            }
            (Request::Unhost { channel_name }, Reply::Response(Response::Removed { channel_name: removed })) => {
                self.tally.unhosted += 1;
                assert_eq!(removed, channel_name);
                assert!(asked.is_allowed(Action::Host, removed), "connection {link} may not remove '{removed}'");
                assert_eq!(disk.channel(removed), None, "'{removed}' is removed, and stored");
                self.find(from, &request, |version| version.record(removed).is_none())
            }
            (
                Request::Join { channel_name, from: start, username },
                Reply::Response(Response::Joined { first_id, last_id, .. }),
            ) => {
                assert!(
                    asked.is_allowed(Action::Read, channel_name),
                    "connection {link} may not join '{channel_name}'"
                );
                assert!(username.as_ref().is_none_or(|name| asked.is_name_allowed(name)), "{username:?} is another's");
                let asking = self.asking(link, channel_name, (moderation, from), at);
                let may_read = self.moderation.is_allowed(ChannelAction::Read, channel_name, asking);
                assert!(may_read, "connection {link} may not join '{channel_name}': {asking:?}");
                let shown = self.find(from, &request, |version| version.lives_here(channel_name));
                self.joined(link, channel_name, *start, (*first_id, *last_id), (known, shown), disk);
                shown
            }
            (
                Request::Who { channel_name },
                Reply::Response(Response::Who { channel_name: shown, count, users, complete }),
            ) => {
                self.tally.whos += 1;
                assert_eq!((shown, *complete), (channel_name, true));
                assert!(self.ledger(link).delivered.has_joined(channel_name), "connection {link} has not joined");
                let names: BTreeSet<_> = users.iter().map(|user| (&user.username, &user.account)).collect();
                assert!(names.len() == users.len() && names.len() as u64 <= *count, "{users:?} of {count}");
                let joined = self.ledgers.values().filter(|ledger| ledger.delivered.has_joined(channel_name));
                let joined = joined.count() as u64;
                assert!((1..=joined).contains(count), "{count} have joined '{channel_name}', of {joined}");
                self.find(from, &request, |version| version.lives_here(channel_name))
            }
            (Request::Leave { channel_name }, Reply::Response(Response::Left { channel_name: left })) => {
                self.tally.leaves += 1;
                assert_eq!(left, channel_name);
                self.ledger(link).delivered.leave(left);
                self.find(from, &request, |version| version.lives_here(left))
            }
            (
                Request::Delete { channel_name, id },
                Reply::Response(Response::Deleted { channel_name: name, id: deleted }),
            ) => {
                self.tally.deletes += 1;
                assert_eq!((name, deleted), (channel_name, id));
                let stored = usize::try_from(*id - 1).ok().and_then(|index| disk.messages(name).get(index));
                assert!(stored.is_some_and(|stored| stored.deleted), "{stored:?} is acknowledged as deleted");
                let is_known = !self.deleting.contains(&(name.clone(), *id));
                assert!(is_known, "{stored:?} is acknowledged as deleted before the outcome is known");
                self.find(from, &request, |version| version.lives_here(channel_name))
            }
            (
                Request::Role { channel_name, target, role, seconds },
                Reply::Response(Response::RoleSet { channel_name: name, role: set }),
            ) => {
                self.tally.roles_set += 1;
                assert_eq!((name, set), (channel_name, role));
                self.role_set((name, target, *role, *seconds), disk);
                self.find(from, &request, |version| version.lives_here(channel_name))
            }
            (
                Request::Settings { channel_name, members_only, slow_mode },
                Reply::Response(Response::Settings { channel_name: name, settings, roles }),
            ) => {
                self.tally.settings_shown += 1;
                assert_eq!(name, channel_name);
                let is_set = members_only.is_none_or(|it| it == settings.members_only)
                    && slow_mode.is_none_or(|it| it == settings.slow_mode);
                let were = self.moderation.were_settings(name, *settings, moderation);
                assert!(is_set && were, "{request:?} is answered {settings:?}");
                let asking = self.asking(link, name, (moderation, from), at);
                let may_see = self.moderation.is_allowed(ChannelAction::ShowRoles, name, asking);
                assert!(roles.is_empty() || may_see, "connection {link} is shown the roles of '{name}'");
                self.find(from, &request, |version| version.lives_here(channel_name))
            }
            (Request::History { channel_name, range, limit }, Reply::Encoded(bytes)) => {
                self.check_reads(link, channel_name);
                // It is decided when the page was read.
                let may_read = self.asked_now(link).is_allowed(Action::Read, channel_name);
                assert!(may_read, "connection {link} may not read '{channel_name}'");
                self.check_history(channel_name, *range, *limit, bytes, known, disk);
                self.find(from, &request, |version| version.lives_here(channel_name))
            }
            (Request::Auth(credentials), Reply::Response(response)) => {
                self.authenticated(link, credentials, response, after_hello, (&asked, disk));
                from
            }
            (_, Reply::Response(Response::Error(error))) => {
                let at = (from, moderation, at, after_hello);
                self.check_error(&request, error, at, (failures, known), link, (&asked, disk))
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
        let guests = self.rights.asked(None, self.pass_began);
        let is_shown = |version: &Version| guests.is_view(|is_shown| version.listed_to(is_shown) == listed);
        self.find(self.floor, &"what is published", is_shown);
    }

    /// Checks a notice that the hub sends a connection.
    pub(super) fn notified(&mut self, link: u64, notice: &Notice) {
        self.tally.notices += 1;
        let channel_name = notice.channel_name();
        let passes = self.passes;
        let ledger = self.ledger(link);
        let wants = ledger.notices || ledger.notices_until == passes;
        assert!(wants, "connection {link} asked for no notices: {notice:?}");
        assert!(self.ledger(link).delivered.has_joined(channel_name), "connection {link} has not joined: {notice:?}");
        let may_read = self.asked_now(link).is_allowed(Action::Read, channel_name);
        assert!(may_read, "connection {link} may not read '{channel_name}': {notice:?}");
        self.check_reads(link, channel_name);
        let Presence { count, joined, left, .. } = match notice {
            Notice::Presence(presence) => presence,
            Notice::Settings { settings, .. } => {
                let were = self.moderation.were_settings(channel_name, *settings, self.moderated_began);
                return assert!(were, "connection {link} is sent {notice:?}");
            }
            Notice::Role { role, until, .. } => {
                let asking = self.asking(link, channel_name, (self.moderated_began, 0), self.now);
                let was = self.moderation.was_role(channel_name, *role, *until, asking);
                return assert!(was, "connection {link} is sent {notice:?}");
            }
            _ => panic!("connection {link} is sent {notice:?}"),
        };
        assert!(joined.iter().all(|user| !left.contains(user)), "who joined has left: {notice:?}");
        let subscribers = self.ledgers.values().filter(|ledger| ledger.delivered.has_joined(channel_name));
        let subscribers = subscribers.count() as u64;
        assert!((1..=subscribers).contains(count), "{notice:?}, of {subscribers}");
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
        let texts = Texts::Undecided(&self.deleting);
        messages.iter().for_each(|message| subscriptions::check_durable(message, disk, texts));
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

    /// Checks that the roles and settings of this pass let a connection read a channel.
    fn check_reads(&self, link: u64, channel_name: &ChannelName) {
        let asking = self.asking(link, channel_name, (self.moderated_began, 0), self.now);
        let may_read = self.moderation.is_allowed(ChannelAction::Read, channel_name, asking);
        assert!(may_read, "connection {link} may not read '{channel_name}', and is shown it: {asking:?}");
    }

    /// Checks the hub's pushes to a connection. Returns the number of messages.
    pub(super) fn pushed(&mut self, link: u64, pushes: &Pushes, disk: &Disk) -> u64 {
        let messages = subscriptions::messages(pushes);
        let asked = self.asked_now(link);
        for message in &messages {
            let may_read = asked.is_allowed(Action::Read, &message.channel_name);
            assert!(may_read, "connection {link} may not read what it is pushed: {message:?}");
            self.check_reads(link, &message.channel_name);
            let ledger = self.ledgers.entry(link).or_default();
            ledger.delivered.push(message, disk, Texts::Undecided(&self.deleting));
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

    /// Checks that a client which is told that the server stops has asked for notices, and is told when to come back.
    pub(super) fn told_of_stop(&mut self, link: u64, error: &ErrorResponse) {
        self.tally.told_of_stops += 1;
        let ledger = self.ledger(link);
        assert!(ledger.may_be_told, "connection {link} is told '{error}' once more, or unasked");
        ledger.may_be_told = false;
        assert!((1..=5).contains(&error.retry_after.unwrap_or_default()), "{error:?}");
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

    /// Checks that the hub may end a connection because its rights have changed.
    pub(super) fn revoked(&mut self, link: u64, error: &ErrorResponse) {
        self.tally.revoked += 1;
        assert_eq!(error.error, ErrorResponse::ACCESS_REVOKED);
        let asked = self.asked_now(link);
        let name = error.details.split('\'').nth(1).unwrap_or_default();
        let asking = self.asking(link, name, (self.moderated_began, 0), self.now);
        let by_role = self.moderation.is_refused(ChannelAction::Read, &named(name), asking);
        self.tally.ended_joins += u64::from(by_role);
        let ledger = self.ledger(link);
        assert!(!ledger.is_revoked, "connection {link} is revoked twice");
        let is_right = match &ledger.account {
            Some(account) if error.details.starts_with("The account") => {
                account == name && asked.account_changed(account)
            }
            _ => ledger.delivered.has_joined(name) && (by_role || asked.is_refused(Action::Read, &named(name))),
        };
        assert!(is_right, "connection {link} is ended, and its rights are as they were: {error}");
        ledger.is_revoked = true;
        ledger.delivered.clear();
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
        self.ledger(link).received.push(message, disk, Texts::OnTheirWay);
    }

    /// Returns the version of the directory that justifies the error.
    fn check_error(
        &mut self,
        request: &Request,
        error: &ErrorResponse,
        (from, moderation, at, after_hello): (usize, usize, Time, bool),
        (failures, known): (u64, u64),
        link: u64,
        (asked, disk): (&Asked, &Disk),
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
        if error.error == "Not allowed" {
            if let Some(is_right) = self.refused_by_role(request, error, link, (moderation, from), at) {
                assert!(is_right, "{request:?} of connection {link} is answered {error}, and it is allowed");
                self.tally.refused_by_role += 1;
                return from;
            }
            self.check_not_allowed(request, error, link, (asked, disk));
            return from;
        }
        if error.error == "Channel not found"
            && let Some(name) = named_channel(request)
            && asked.is_refused(Action::Read, name)
        {
            // Whether or not there is one.
            assert_eq!(error.details, format!("The requested channel '{name}' does not exist"));
            self.tally.hidden += 1;
            return from;
        }
        if let Request::Message(message) = request
            && error.error == "Slow mode"
        {
            self.slowed_down(message, error, (moderation, after_hello));
            return from;
        }
        self.ledgers.entry(link).or_default();
        let Some(ledger) = self.ledgers.get(&link) else { panic!("connection {link} has no ledger") };
        let (listener, peer, delivered) = (ledger.listener, ledger.peer, &ledger.delivered);
        match (request, &*error.error) {
            (Request::Host(Host { channel, .. }), "Channel already exists")
                if error.details.contains(" is kept for its last host for ") =>
            {
                let kept = self.kept.get(&channel.channel_name);
                let account = ledger.account.as_ref();
                let from_it = |kept: &Kept| peer.is_none_or(|peer| !is_host(&kept.record, peer, account));
                assert!(kept.is_some_and(from_it), "{error}, and {kept:?}");
                from
            }
            (Request::Host(Host { channel, .. }), "Channel already exists") => self.find(from, error, |version| {
                let listed = version.record(&channel.channel_name);
                listed.is_some_and(|listed| error.details.ends_with(&listed.channel.address.to_string()))
            }),
            (Request::Role { target: RoleTarget::SenderOf(id), channel_name, .. }, "Message not found") => {
                // Or its address is not known.
                let is_unknown = error.details.starts_with("The address");
                assert!(*id > known || is_unknown, "{request:?} is answered {error}, and {known} is known");
                self.find(from, error, |version| version.lives_here(channel_name))
            }
            (Request::Message(message), "Message id reused") => {
                self.tally.reused += 1;
                let account = self.ledgers.get(&link).and_then(|ledger| ledger.account.as_ref());
                assert!(self.sends.is_reused(message, account), "{message:?} is refused, and its id is its own");
                from
            }
            // Those that will be listed count too.
            (Request::Host(_), "Limit reached") => from,
            (Request::Message(Message { channel_name: Some(name), .. }), "Channel not found") => {
                self.find(from, error, |version| version.record(name).is_none())
            }
            (Request::Message(Message { channel_name: Some(name), .. }), "Channel hosted elsewhere") => {
                self.find(from, error, |version| version.record(name).is_some() && !version.lives_here(name))
            }
            (Request::Message(Message { channel_name: None, .. }), "Channel not found") => {
                let none = |version: &Version| asked.is_view(|is_shown| version.living_at(listener, is_shown) == 0);
                self.find(from, error, none)
            }
            (Request::Message(Message { channel_name: None, .. }), "Invalid payload") => {
                let several = |version: &Version| asked.is_view(|is_shown| version.living_at(listener, is_shown) > 1);
                self.find(from, error, several)
            }
            (Request::Unhost { channel_name }, "Channel not found") => {
                self.find(from, error, |version| version.record(channel_name).is_none())
            }
            (Request::Unhost { channel_name }, "Not the channel's host") => self.find(from, error, |version| {
                let listed = version.record(channel_name);
                let account = ledger.account.as_ref();
                listed.is_some_and(|listed| peer.is_none_or(|peer| !is_host(listed, peer, account)))
            }),
            (Request::Delete { channel_name, id }, "Message not found") => {
                assert!(*id > known, "{request:?} is answered {error}, and {known} is known");
                self.find(from, error, |version| version.lives_here(channel_name))
            }
            (Request::Join { channel_name, .. }, "Already joined") if delivered.has_joined(channel_name) => from,
            (Request::Leave { channel_name } | Request::Who { channel_name }, "Not joined")
                if !delivered.has_joined(channel_name) =>
            {
                from
            }
            (Request::Join { .. }, "Limit reached") if delivered.count() >= self.max_joins => from,
            // The answer names the channel's end, which is at least the last id that any client was shown.
            (Request::Join { channel_name, from: JoinFrom::After(after), .. }, "Invalid payload") => {
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

    /// Checks that a request was refused for want of rights.
    fn check_not_allowed(
        &mut self,
        request: &Request,
        error: &ErrorResponse,
        link: u64,
        (asked, disk): (&Asked, &Disk),
    ) {
        self.tally.not_allowed += 1;
        if error.details == "The rights of this connection have changed" {
            let is_revoked = self.ledger(link).is_revoked;
            return assert!(is_revoked, "connection {link} has the rights that it had, and {request:?} is refused");
        }
        let is_right = match request {
            Request::Host(Host { channel: Channel { channel_name, .. }, .. }) | Request::Unhost { channel_name } => {
                let owner = self.owners.get(channel_name);
                let is_owned = error.details.ends_with("belongs to another account");
                if is_owned {
                    owner.is_some() && owner != self.account_of(link)
                } else {
                    asked.is_refused(Action::Host, channel_name)
                }
            }
            Request::Message(Message { username, .. }) if error.details.starts_with("The username") => {
                asked.is_name_refused(username)
            }
            Request::Message(Message { channel_name, .. }) => {
                let name = error.details.split('\'').nth(1).unwrap_or_default();
                channel_name.as_ref().is_none_or(|asked| asked == name) && asked.is_refused(Action::Write, &named(name))
            }
            Request::Join { username: Some(username), .. } => asked.is_name_refused(username),
            Request::Delete { channel_name, id } => {
                let stored = usize::try_from(*id - 1).ok().and_then(|index| disk.messages(channel_name).get(index));
                let account = self.account_of(link);
                let is_own = account.is_some() && stored.is_some_and(|stored| stored.account.as_ref() == account);
                match error.details.contains(" is the record of ") {
                    true => stored.is_some_and(|stored| stored.deletes.is_some()),
                    false => {
                        let peer = self.ledgers.get(&link).and_then(|ledger| ledger.peer);
                        let is_others =
                            |listed: &ChannelRecord| peer.is_none_or(|peer| !is_host(listed, peer, account));
                        // Its own it may not delete either where it is kept out.
                        let asking = self.asking(link, channel_name, (0, 0), Time::default());
                        let action = ChannelAction::Delete { is_own };
                        let may_not = self.moderation.is_refused(action, channel_name, asking);
                        let was_others = |version: &Version| version.record(channel_name).is_some_and(is_others);
                        may_not && self.versions.find(0, was_others).is_some()
                    }
                }
            }
            _ => false,
        };
        assert!(is_right, "{request:?} of connection {link} is answered {error}, and it is allowed");
    }

    /// Returns the first version of the directory, not below `from`, that meets the condition.
    fn find(&self, from: usize, subject: &impl std::fmt::Debug, so: impl Fn(&Version) -> bool) -> usize {
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
        self.sends.check_stored(disk);
        for fact in &self.messages {
            let kept = fact.stored.as_ref().and_then(|stored| {
                let index = usize::try_from(stored.id).ok()?.checked_sub(1)?;
                disk.messages(&stored.channel_name).get(index)
            });
            assert_eq!(kept, fact.stored.as_ref(), "what became of a message");
            // One with an id may have been stored again, when the id was no longer kept.
            if let Some(delivered) = fact.delivered.filter(|_| fact.message.client_message_id.is_none()) {
                assert_eq!(kept.map(|kept| kept.timestamp), Some(delivered), "{:?} is lost", fact.message);
            }
        }
    }
}

/// Returns the channel that a request joins, leaves or reads, or in which it deletes.
const fn joined_name(request: &Request) -> Option<&ChannelName> {
    match request {
        Request::Join { channel_name, .. }
        | Request::Leave { channel_name }
        | Request::Who { channel_name }
        | Request::History { channel_name, .. }
        | Request::Delete { channel_name, .. }
        | Request::Role { channel_name, .. }
        | Request::Settings { channel_name, .. } => Some(channel_name),
        _ => None,
    }
}

/// Returns the channel that a request names and that one must be allowed to read for it.
const fn named_channel(request: &Request) -> Option<&ChannelName> {
    match request {
        Request::Message(Message { channel_name: Some(name), .. }) => Some(name),
        request => joined_name(request),
    }
}

/// Returns whether this peer, a guest's or an account's, is a channel's host.
fn is_host(record: &ChannelRecord, peer: IpAddr, account: Option<&AccountName>) -> bool {
    let peer = canonical(peer);
    match &record.account {
        Some(owner) => account == Some(owner),
        None => record.registered_from == Some(peer) || record.channel.address.is_at(peer),
    }
}

pub(super) fn encode(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    match reply.encode(&mut bytes) {
        Some(()) => bytes,
        None => panic!("a list that was withdrawn before it was given"),
    }
}
