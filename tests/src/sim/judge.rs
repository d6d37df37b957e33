//! The one checker of every run: it watches what is asked, stored and answered, and knows the laws.

use std::{collections::BTreeMap, net::IpAddr};

use chanwire_core::{
    endpoint::Reply,
    hub::{ChannelRecord, StoreOutcome, Write},
    wire::{Blame, Channel, ErrorResponse, Message, Request, Response, StoredMessage, Timestamp, canonical},
};

use super::{
    ledger::{Ledger, Slot},
    plan,
    tally::Tally,
    versions::Versions,
};
use crate::store::Disk;

/// Watches a run. Everything that happens is told to it, and it panics when a law is broken:
///
/// - each request is answered once and in order, or its connection has ended;
/// - `delivered` is answered when the message is in the store, with the timestamp that is stored, and it stays there;
/// - ids are dense in a channel and timestamps never run back ([`Disk`] checks it);
/// - messages of one connection to one channel are stored in the order sent, each once, as they were sent;
/// - nothing is stored that was answered already: SERVER_ERROR does not turn into a message later;
/// - LIST shows the directory as it was stored at one moment: not before anything that anybody was shown or had
///   acknowledged before it was asked, and not later than now; errors follow the same rule;
/// - HOST is OK only while the store holds it;
/// - SERVER_ERROR is answered only to what the hub had when the store failed.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) ledgers: BTreeMap<u64, Ledger>,
    pub(super) tally: Tally,
    versions: Versions,
    /// The latest version of the directory that anybody was shown.
    floor: usize,
    messages: Vec<Fact>,
    /// The HOSTs that a hub was told of.
    hosts: Vec<(Channel, IpAddr)>,
    /// The last message of a connection in a channel.
    order: BTreeMap<(u64, String), usize>,
    /// How often a hub was told that the store failed.
    failures: u64,
}

/// What is known of one message.
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
    /// A message that says something which no other says.
    pub(super) fn compose(&mut self, link: u64, channel_name: Option<String>, filler: &str) -> Request {
        let message_content = format!("{} {filler}", self.messages.len());
        let message = Message { username: format!("user {link}"), message_content, channel_name };
        let fact = Fact { link, message: message.clone(), given: None, stored: None, delivered: None, answered: false };
        self.messages.push(fact);
        Request::Message(message)
    }

    pub(super) fn ledger(&mut self, link: u64) -> &mut Ledger {
        self.ledgers.entry(link).or_default()
    }

    /// The hub is told of a request, at this wall time.
    pub(super) fn given(&mut self, link: u64, slot: usize, peer: IpAddr, at: Timestamp) {
        let (floor, failures) = (self.floor, self.failures);
        self.tally.requests += 1;
        let slot = self.ledger(link).slot(slot);
        (slot.floor, slot.failures) = (floor, failures);
        match slot.request.clone() {
            Some(Request::Host(channel)) => self.hosts.push((channel, canonical(peer))),
            Some(Request::Message(message)) => self.fact(&message.message_content).1.given = Some(at),
            _ => {}
        }
    }

    /// The hub is told what became of a command.
    pub(super) fn told(&mut self, outcome: &StoreOutcome) {
        self.failures += u64::from(*outcome == StoreOutcome::Failed);
    }

    /// These became durable just now.
    pub(super) fn became_durable(&mut self, writes: &[Write], disk: &Disk) {
        for write in writes {
            match write {
                Write::PutChannel(record) => self.check_put(record),
                Write::Append(message) => self.check_append(message),
            }
        }
        if writes.iter().any(|write| matches!(write, Write::PutChannel(_))) {
            self.tally.listed += 1;
            self.versions.push(disk.snapshot());
        }
    }

    fn check_put(&mut self, record: &ChannelRecord) {
        let channel = &record.channel;
        let asked = self.hosts.iter().any(|(asked, from)| asked == channel && *from == record.registered_from);
        assert!(asked, "{record:?} is stored, and nobody asked for it");
        if let Some(before) = self.versions.last().record(&channel.channel_name) {
            let peer = record.registered_from;
            let its_host = before.registered_from == peer || before.channel.address.is_at(peer);
            assert!(its_host, "{before:?} becomes {record:?}, and not by its host");
        }
    }

    fn check_append(&mut self, stored: &StoredMessage) {
        let here = self.versions.last().record(&stored.channel_name).is_some();
        let (number, fact) = self.fact(&stored.message_content);
        assert_eq!(fact.stored, None, "{stored:?} is stored a second time");
        assert!(!fact.answered, "{stored:?} is stored, and its answer was given before");
        assert_eq!(stored.username, fact.message.username);
        assert_eq!(stored.message_content, fact.message.message_content);
        let Some(given) = fact.given else { panic!("{stored:?} is stored, and no hub was asked for it") };
        assert!(stored.timestamp >= given, "{stored:?} was sent at {given}");
        match &fact.message.channel_name {
            Some(name) => assert_eq!(stored.channel_name, *name, "the channel of {stored:?}"),
            None => assert!(here, "{stored:?} is stored in a channel that is not listed"),
        }
        fact.stored = Some(stored.clone());
        let link = fact.link;
        if let Some(before) = self.order.insert((link, stored.channel_name.clone()), number) {
            assert!(before < number, "message {number} of connection {link} is stored after message {before}");
        }
        self.tally.stored += 1;
    }

    /// The hub answers.
    pub(super) fn replied(&mut self, link: u64, index: usize, reply: &Reply, disk: &Disk) {
        let ledger = self.ledgers.entry(link).or_default();
        let Slot { request, floor, failures, .. } = ledger.slot(index);
        let (floor, failures) = (*floor, *failures);
        let Some(request) = request.clone() else { panic!("slot {index} of connection {link} has no request") };
        ledger.check_turn(index, &request);
        let from = floor.max(ledger.floor);
        let shown = match (&request, reply) {
            (Request::Message(message), Reply::Response(Response::Delivered { timestamp })) => {
                self.tally.delivered += 1;
                let (_, fact) = self.fact(&message.message_content);
                let stored = fact.stored.as_ref().map(|stored| stored.timestamp);
                assert_eq!(stored, Some(*timestamp), "{message:?} is acknowledged, and this is what is stored");
                fact.delivered = Some(*timestamp);
                from
            }
            (Request::Host(channel), Reply::Response(Response::Hosted { channel_name })) => {
                self.tally.hosted += 1;
                assert_eq!(channel_name, &channel.channel_name);
                let stored = disk.channel(channel_name).map(|record| &record.channel.address);
                let held = stored.is_some_and(|stored| stored.same_place(&channel.address));
                assert!(held, "{channel:?} is acknowledged, and {stored:?} is stored");
                self.find(from, &request, |version| version.hosts_at(channel_name, &channel.address))
            }
            (Request::List, Reply::Encoded(bytes)) => {
                self.tally.lists += 1;
                self.find(from, &request, |version| version.listed == **bytes)
            }
            (_, Reply::Response(Response::Error(error))) => self.check_error(&request, error, from, failures, link),
            _ => panic!("{request:?} is answered {reply:?}"),
        };
        self.floor = self.floor.max(shown);
        if let Request::Message(message) = &request {
            self.fact(&message.message_content).1.answered = true;
        }
        let ledger = self.ledger(link);
        ledger.floor = ledger.floor.max(shown);
        ledger.reply(index, encode(reply));
    }

    /// Returns the version of the directory that justifies the error.
    fn check_error(
        &mut self,
        request: &Request,
        error: &ErrorResponse,
        from: usize,
        failures: u64,
        link: u64,
    ) -> usize {
        if error.blame == Blame::Server {
            self.tally.server_errors += 1;
            assert_eq!(error.error, "Database connection failed");
            assert_ne!(*request, Request::List, "LIST needs no store");
            assert!(self.failures > failures, "{request:?} is answered {error}, and the store has not failed since");
            return from;
        }
        self.tally.refused += 1;
        let listener = self.ledger(link).listener;
        match (request, &*error.error) {
            (Request::Host(channel), "Channel already exists") => self.find(from, error, |version| {
                let listed = version.record(&channel.channel_name);
                listed.is_some_and(|listed| error.details.ends_with(&listed.channel.address.to_string()))
            }),
            // Those that will be listed count too.
            (Request::Host(_), "Limit reached") => from,
            (Request::Message(Message { channel_name: Some(name), .. }), "Channel not found") => {
                self.find(from, error, |version| version.record(name).is_none())
            }
            (Request::Message(Message { channel_name: Some(name), .. }), "Channel hosted elsewhere") => {
                self.find(from, error, |version| {
                    let listed = version.record(name);
                    listed.is_some_and(|listed| {
                        (0..plan::LISTENERS).all(|listener| !plan::lives_at(listener, &listed.channel))
                    })
                })
            }
            (Request::Message(Message { channel_name: None, .. }), "Channel not found") => {
                self.find(from, error, |version| version.living_at(listener) == 0)
            }
            (Request::Message(Message { channel_name: None, .. }), "Invalid payload") => {
                self.find(from, error, |version| version.living_at(listener) > 1)
            }
            _ => panic!("{request:?} is answered {error}"),
        }
    }

    /// The first version of the directory, not below `from`, that is so.
    fn find(&self, from: usize, what: &impl std::fmt::Debug, so: impl Fn(&super::versions::Version) -> bool) -> usize {
        self.versions.find(from, so).unwrap_or_else(|| {
            panic!("{what:?} fits no directory that was stored, from number {from} on: {:#?}", self.versions)
        })
    }

    /// The number of a message, and what is known of it.
    fn fact(&mut self, content: &str) -> (usize, &mut Fact) {
        let number = content.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
        match self.messages.get_mut(number) {
            Some(fact) => (number, fact),
            None => panic!("nobody sent {content:?}"),
        }
    }

    /// All that was acknowledged is in the store, and all that is there became durable before our eyes.
    pub(super) fn sweep(&self, disk: &Disk) {
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

pub(super) fn encode(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Response(response) => {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            bytes
        }
        Reply::Encoded(bytes) => bytes.to_vec(),
    }
}
