//! Checks the hub's writes and answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
};

use chanwire_core::{
    Time,
    endpoint::{Reply, Ticket},
    hub::{
        Act, ActKind, ChannelRecord, GivenRole, Moment, Peer, RoleSubject, SendKey, SendRecord, StoreCommand,
        StoreOutcome, Write,
    },
    wire::{
        AccountName, ChannelName, Command, ErrorResponse, HistoryRange, Host, Message, Request, Response, RoleTarget,
        Status, StoredMessage, Timestamp, Username,
    },
};

use super::{Client, DeliveredPage, Trial};
use crate::{
    hub_model::{Decision, Model, digest, is_key_of, not_stored, of_subscriber, plain, repeated_answer, same_place},
    store::Disk,
};

/// A request and its outcome.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) ticket: String,
    pub(super) request: Request,
    pub(super) at: Moment,
    /// Whether the client had said HELLO before.
    pub(super) said_hello: bool,
    pub(super) reply: Option<Vec<u8>>,
    /// Whether it is in the commit that is with the store.
    pub(super) storing: bool,
    /// The channels that it was right to append it to at some time while it was pending.
    pub(super) routes: BTreeSet<ChannelName>,
}

/// The contents of a store command, and the connections that may have asked for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    hosts: BTreeMap<ChannelName, Candidates>,
    unhosts: BTreeMap<ChannelName, Candidates>,
    deletes: BTreeMap<(ChannelName, u64), Candidates>,
    /// The roles and settings.
    moderated: BTreeMap<ChannelName, Candidates>,
    /// The acts that are to be logged if they are stored.
    acts: Vec<(ChannelName, ActKind)>,
    /// When the messages of each sender in channels with slow mode were received.
    pub(super) sent: BTreeMap<(ChannelName, Username), Option<Time>>,
    /// The contents of the messages.
    messages: BTreeSet<String>,
    /// The messages with keys.
    sends: Vec<SendRecord>,
}

/// The requests of which one is carried out. They are several where connections send the same, and where the outcome
/// of those whose connection was closed is unknown.
#[derive(Clone, Debug, Default)]
struct Candidates {
    /// The connections and their tickets.
    requests: Vec<(u64, String)>,
    /// Whether no request may have caused it: a lease may have ended.
    may_be_none: bool,
    /// The earliest that any of them was received.
    earliest: Option<Time>,
}

impl Candidates {
    fn are(clients: &BTreeMap<u64, Client>, such: impl Fn(&Client, &Request) -> bool) -> Self {
        let mut candidates = Self::default();
        for (id, client) in clients {
            let open = client.exchanges.iter().filter(|exchange| exchange.reply.is_none());
            // The first pending request of a closed connection is not known.
            let in_turn = open.take(if client.disconnected { usize::MAX } else { 1 });
            for exchange in in_turn.filter(|exchange| such(client, &exchange.request)) {
                candidates.requests.push((*id, exchange.ticket.clone()));
                candidates.earliest =
                    Some(candidates.earliest.map_or(exchange.at.time, |other| other.min(exchange.at.time)));
            }
        }
        candidates
    }

    fn has(&self, id: u64, ticket: &str) -> bool {
        self.requests.iter().any(|(other, shown)| *other == id && shown == ticket)
    }

    fn is_empty(&self) -> bool {
        self.requests.is_empty() && !self.may_be_none
    }
}

/// A command whose outcome the hub has just received.
#[derive(Debug)]
pub(super) struct Finished {
    outcome: StoreOutcome,
    /// Whether it was a load of the store's state.
    was_read: bool,
    /// The writes that were with the store and are not answered yet.
    unanswered: Carried,
}

impl Finished {
    pub(super) const fn new(outcome: StoreOutcome, was_read: bool, unanswered: Carried) -> Self {
        Self { outcome, was_read, unanswered }
    }

    /// Returns the answer to a request that was, or may have been, with the store, for the case that it succeeded.
    fn take_write(&mut self, id: u64, exchange: &Exchange, reply: &[u8], disk: &Disk) -> Option<Response> {
        // Another request for the same channel may have waited, and is decided by what is stored now.
        let may_be = |response: &Response| [response, &not_stored()].iter().any(|such| encode(such) == reply);
        let Carried { hosts, unhosts, deletes, moderated, messages, .. } = &mut self.unanswered;
        match &exchange.request {
            // Those with a key are looked up by it.
            Request::Message(message) if message.client_message_id.is_some() => None,
            Request::Message(message) => {
                let timestamp = disk.find(&message.message_content).map_or(exchange.at.wall, |stored| stored.timestamp);
                messages.remove(&message.message_content).then_some(Response::Delivered { timestamp, id: None })
            }
            Request::Host(Host { channel, .. }) => {
                let hosted = Response::Hosted { channel_name: channel.channel_name.clone() };
                let its = may_be(&hosted) && hosts.get(&channel.channel_name)?.has(id, &exchange.ticket);
                its.then(|| hosts.remove(&channel.channel_name)).map(|_| hosted)
            }
            Request::Unhost { channel_name } => {
                let removed = Response::Removed { channel_name: channel_name.clone() };
                let its = may_be(&removed) && unhosts.get(channel_name)?.has(id, &exchange.ticket);
                its.then(|| unhosts.remove(channel_name)).map(|_| removed)
            }
            Request::Delete { channel_name, id: message } => {
                let deleted = Response::Deleted { channel_name: channel_name.clone(), id: *message };
                let target = (channel_name.clone(), *message);
                let its = may_be(&deleted) && deletes.get(&target)?.has(id, &exchange.ticket);
                its.then(|| deletes.remove(&target)).map(|_| deleted)
            }
            Request::Role { channel_name, role, .. } => {
                let set = Response::RoleSet { channel_name: channel_name.clone(), role: *role };
                let its = may_be(&set) && moderated.get(channel_name)?.has(id, &exchange.ticket);
                its.then(|| moderated.remove(channel_name)).map(|_| set)
            }
            Request::Settings { channel_name, .. } => {
                let is_set = reply.starts_with(b"OK") || reply == encode(&not_stored());
                let its = is_set && moderated.get(channel_name)?.has(id, &exchange.ticket);
                moderated.remove(channel_name).filter(|_| its)?;
                // By what is stored now.
                Some(decode(Command::Settings, reply).unwrap_or_else(not_stored))
            }
            _ => None,
        }
    }
}

impl Exchange {
    pub(super) fn new(ticket: &Ticket, request: Request, at: Moment, said_hello: bool) -> Self {
        let (ticket, routes) = (format!("{ticket:?}"), BTreeSet::new());
        Self { ticket, request, at, said_hello, reply: None, storing: false, routes }
    }

    /// Returns the message, if it has a key.
    fn send(&self) -> Option<&Message> {
        let Request::Message(message) = &self.request else { return None };
        message.client_message_id.is_some().then_some(message)
    }

    /// Returns whether it has the key of a message of a commit.
    fn is_repeat(&self, account: Option<&AccountName>, sends: &[SendRecord]) -> bool {
        let is_its =
            |send: &SendRecord, message| self.routes.iter().any(|name| is_key_of(send, name, account, message));
        self.send().is_some_and(|message| sends.iter().any(|send| is_its(send, message)))
    }

    /// Returns whether this is the answer to a message with a key of which one was kept when this one was decided, or which
    /// the commit has stored that has just finished. That commit may have stored others with the key, and later ones.
    fn is_repeated_answer(
        &self,
        account: Option<&AccountName>,
        model: &Model,
        disk: &Disk,
        finished: Option<&Finished>,
        reply: &[u8],
    ) -> bool {
        let Some(message) = self.send() else { return false };
        let new = finished.into_iter().flat_map(|finished| &finished.unanswered.sends).filter(|send| {
            let is_its = self.routes.iter().any(|name| is_key_of(send, name, account, message));
            is_its && model.has_stored(send) && !model.is_past(send.timestamp, self.at.wall)
        });
        let known = |name: &ChannelName| {
            let last = disk.last_timestamp(name).unwrap_or(self.at.wall);
            model.repeated(name, account, message, last.max(self.at.wall))
        };
        let mut answers = new.cloned().chain(self.routes.iter().filter_map(known));
        answers.any(|send| encode(&repeated_answer(&send, message)) == reply)
    }

    pub(super) fn note_route(&mut self, model: &Model, peer: Peer, listener: Option<usize>) {
        if let Decision::Append(name) = model.decide(peer, listener, &self.request) {
            self.routes.insert(name);
        }
    }
}

impl Trial {
    /// Counts the leases of these stored HOSTs from the earliest possible time: those of closed connections are
    /// not answered, and the answers to the others are seen.
    pub(super) fn count_leases(&mut self, carried: &Carried) {
        for (name, Candidates { earliest, .. }) in &carried.hosts {
            if let Some(from) = earliest {
                self.model.renew(name, *from);
            }
        }
    }

    pub(super) fn answered(&mut self, id: u64, ticket: Ticket, reply: Reply) {
        let in_doubt = !self.trusted;
        let (pending, hosting) = (self.pending_names(), self.pending_hosts(id));
        let open =
            self.clients.values().flat_map(|client| &client.exchanges).filter(|exchange| exchange.reply.is_none());
        let appends = |exchange: &&Exchange| matches!(exchange.request, Request::Message(_) | Request::Delete { .. });
        let messages = open.filter(appends).count() as u64;
        let joins = self.setup.joins;
        let listed = self.operators_answer(id, &format!("{ticket:?}"));
        let authenticated = self.authenticated(id, &format!("{ticket:?}"));
        let who = self.who_answer(id, &format!("{ticket:?}"));
        let client = self.clients.get_mut(&id).expect("an answer to a connection");
        assert!(!client.disconnected, "an answer to connection {id}, which is gone");
        let shown = format!("{ticket:?}");
        let index =
            client.exchanges.iter().position(|exchange| exchange.ticket == shown).expect("an answer to a request");
        let (before, rest) = client.exchanges.split_at_mut(index);
        let exchange = rest.first_mut().expect("a request");
        assert_eq!(exchange.reply, None, "a second answer to {:?}", exchange.request);
        let is_message = |request: &Request| matches!(request, Request::Message(_));
        assert!(
            before.iter().all(|earlier| {
                earlier.reply.is_some() || is_message(&earlier.request) && is_message(&exchange.request)
            }),
            "{:?} is answered before an earlier request is",
            exchange.request
        );

        let bytes = bytes(&reply);
        let is_ok = bytes.starts_with(b"OK");
        *self.seen.entry((exchange.request.command(), is_ok)).or_default() += 1;
        self.seen_errors += u64::from(!is_ok);
        let is_failure = |outcome: &StoreOutcome| matches!(outcome, StoreOutcome::Failed | StoreOutcome::Refused);
        let failed = self.finished.as_ref().is_some_and(|finished| is_failure(&finished.outcome));
        let part = self.finished.as_mut().and_then(|finished| finished.take_write(id, exchange, &bytes, &self.disk));
        let expected = match (&exchange.request, part) {
            (_, Some(_)) if failed => Decision::Answer(not_stored()),
            (request, Some(response)) => {
                if let Request::Host(host) = request {
                    self.model.renew(&host.channel.channel_name, exchange.at.time);
                }
                Decision::Answer(response)
            }
            (request, None) => self.model.decide(client.peer, client.listener, request),
        };
        // A page answers one HISTORY; others that it lets go on are decided by what is known.
        let give_up = failed && self.finished.as_ref().is_some_and(|finished| finished.was_read);
        let is_revoked = client.subscriptions.closed.as_ref().is_some_and(|error| error.error == "Access revoked");
        match (&expected, &exchange.request) {
            _ if is_revoked && bytes == encode(&revoked()) => {}
            (_, Request::Auth(_)) => {
                let expected = authenticated.unwrap_or_else(|| panic!("no answer is due to {:?}", exchange.request));
                assert_eq!(text(&bytes), text(&encode(&expected)), "{:?}", exchange.request);
                if let Response::Authenticated { account } = expected {
                    client.account = Some(account);
                }
            }
            // By what was stored when it was decided.
            (_, Request::Message(_))
                if exchange.is_repeated_answer(
                    client.account.as_ref(),
                    &self.model,
                    &self.disk,
                    self.finished.as_ref(),
                    &bytes,
                ) => {}
            // The store could not be read either.
            (
                _,
                Request::Host(_)
                | Request::Message(_)
                | Request::Unhost { .. }
                | Request::Delete { .. }
                | Request::Role { .. }
                | Request::Settings { .. },
            ) if failed && bytes == encode(&not_stored()) => {}
            (_, Request::Join { .. } | Request::History { .. })
                if give_up && bytes == encode(&Response::Error(history_failed())) => {}
            (_, Request::History { channel_name, range, limit })
                if let Some(page) = self.delivered_page.take_if(|page| {
                    page.query.channel_name == *channel_name && !bytes.starts_with(b"REQUEST_ERROR")
                }) =>
            {
                assert_eq!(self.model.refuse_to_read(client.peer, channel_name), None, "what is shown may not be read");
                let (_, known) = self.model.log(channel_name);
                let is_pending = |message: &StoredMessage| is_being_deleted(self.command.as_ref(), &self.disk, message);
                check_history(&bytes, &page, &self.disk, known, (channel_name, *range, *limit), is_pending);
            }
            (Decision::Answer(Response::Hosted { .. }), _) if in_doubt => {
                panic!("{:?} is acknowledged while it is not known what is stored", exchange.request)
            }
            (Decision::Answer(response), _) => assert_eq!(text(&bytes), text(&encode(response))),
            (Decision::Refuse(error), _) => check_error(&bytes, error),
            (Decision::Operator, request) => {
                let listed = listed.unwrap_or_else(|| panic!("{request:?} is not about connections"));
                assert_eq!(text(&bytes), text(&encode(&listed)), "{request:?}");
            }
            (Decision::Put, Request::Host(host)) => {
                check_error(&bytes, "Limit reached");
                let others = pending.iter().filter(|name| **name != host.channel.channel_name).count();
                let (names, limits) = (self.model.names(), &self.model.limits);
                let is_new = !names.contains(host.channel.channel_name.as_str());
                let is_full = is_new && names.len() + others >= limits.max_names;
                let is_full = is_full || self.model.listed().len() + others >= limits.max_channels;
                let name = &host.channel.channel_name;
                let hosting = hosting.iter().filter(|other| *other != name).count();
                let is_full = is_full || self.model.hosts_enough(client.peer, name, hosting);
                assert!(is_full, "the limit is not reached");
            }
            (Decision::Delete, Request::Delete { channel_name: name, id: message }) => {
                let page = self.delivered_page.as_ref().filter(|page| page.query.channel_name == *name);
                let is_unread = page.is_some_and(|page| !page.works);
                let stored = self.disk.messages(name).iter().find(|stored| stored.id == *message);
                let stored = stored.unwrap_or_else(|| panic!("'{name}' never had a message {message}"));
                let (_, last_id) = self.model.log(name);
                let is_dropped = self.disk.first_id(name) > *message;
                let details = match () {
                    () if bytes.starts_with(b"OK") => {
                        let deleted = Response::Deleted { channel_name: name.clone(), id: *message };
                        assert_eq!(text(&bytes), text(&encode(&deleted)));
                        assert!(stored.deleted, "{stored:?} is acknowledged as deleted, and nothing was stored now");
                        let is_known = !is_being_deleted(self.command.as_ref(), &self.disk, stored);
                        assert!(is_known, "{stored:?} is acknowledged as deleted before it is known to be stored");
                        None
                    }
                    () if stored.deletes.is_some() && !is_dropped => Some((
                        "Not allowed",
                        format!("Message {message} of '{name}' is the record of a deletion, which cannot be deleted"),
                    )),
                    () if is_unread && bytes == encode(&Response::Error(history_failed())) => None,
                    () if is_dropped => {
                        Some(("Message not found", format!("The channel '{name}' has no message {message}")))
                    }
                    () => {
                        check_error(&bytes, "Limit reached");
                        assert!(last_id + messages >= self.model.limits.max_id, "'{name}' may have more messages");
                        None
                    }
                };
                if let Some((error, details)) = details {
                    let refusal = Response::Error(ErrorResponse::request(error, details));
                    assert_eq!(text(&bytes), text(&encode(&refusal)), "{stored:?}");
                }
            }
            (Decision::Append(name), Request::Message(_))
                if let Some(refusal) = self.model.refuse_to_write(client.peer, name) =>
            {
                assert_eq!(text(&bytes), text(&encode(&refusal)), "{:?}", exchange.request);
            }
            (Decision::Append(name), Request::Message(message)) if bytes.starts_with(SLOW_MODE.as_bytes()) => {
                let most = self.model.slow_mode(client.peer, name);
                let sent = (name.clone(), message.username.clone());
                let Some(last) = self.sent.get(&sent) else { panic!("nothing was sent before {message:?}") };
                let left = |last: Time| u64::from(most).saturating_sub(exchange.at.time.since(last).as_secs());
                let is_so = |left: u64| left > 0 && encode(&slow_mode(name, left, exchange.said_hello)) == bytes;
                // Unless it was in the commit that has just stored another message of its sender.
                let is_right = match last {
                    Some(last) => is_so(left(*last)) || is_so(most.into()),
                    None => (1..=u64::from(most)).any(is_so),
                };
                assert!(is_right, "{message:?} of {:?} after {last:?}: {}", exchange.at, text(&bytes));
            }
            (Decision::Append(name), Request::Message(_)) => {
                check_error(&bytes, "Limit reached");
                let (_, last_id) = self.model.log(name);
                assert!(last_id + messages >= self.model.limits.max_id, "'{name}' may have more messages");
            }
            (Decision::Here(name), Request::Join { from, .. }) => {
                let expected = self.model.join(name, *from, &client.subscriptions.names(), joins);
                let Decision::Answer(response) = expected else { unreachable!("JOIN is always answered at once") };
                assert_eq!(text(&bytes), text(&encode(&response)), "{:?}", exchange.request);
            }
            (Decision::Here(name), Request::Leave { .. }) => {
                let joined = client.subscriptions.joined.contains_key(name);
                let details = format!("This connection has not joined '{name}'");
                let response = match joined {
                    true => Response::Left { channel_name: name.clone() },
                    false => Response::Error(ErrorResponse::request("Not joined", details)),
                };
                assert_eq!(text(&bytes), text(&encode(&response)));
            }
            (Decision::Here(_), Request::Who { .. }) => {
                let who = who.unwrap_or_else(|| panic!("{:?} is no WHO", exchange.request));
                assert_eq!(text(&bytes), text(&encode(&who)), "{:?}", exchange.request);
            }
            (Decision::Page, Request::Channels { after, limit, contains }) => {
                check_channels(&bytes, &self.model, client.peer, (*after, *limit, contains.as_deref()));
            }
            (
                Decision::Append(_)
                | Decision::Put
                | Decision::Remove
                | Decision::Delete
                | Decision::Moderate(_)
                | Decision::Here(_)
                | Decision::Page,
                request,
            ) => {
                panic!("{request:?} is answered {} and not carried out", text(&bytes))
            }
        }
        if let (Request::Host(host), true) = (&exchange.request, bytes.starts_with(b"OK"))
            && self.model.renews(client.peer, host)
        {
            self.model.renew(&host.channel.channel_name, exchange.at.time);
        }
        check_durable(&self.disk, &self.model, client.account.as_ref(), &exchange.request, &bytes);
        if let Some(response) = decode(exchange.request.command(), &bytes) {
            client.subscriptions.answered(&exchange.request, &response, self.joins_made);
            self.joins_made += 1;
        }
        exchange.reply = Some(bytes);
        client.server.respond(self.now, ticket, reply).expect("a ticket of this connection");
        client.write(self.now);
    }

    /// Returns the channels that pending HOSTs of this connection's subscriber would have it host.
    fn pending_hosts(&self, id: u64) -> BTreeSet<ChannelName> {
        let subscriber = |client: &Client| match client.peer {
            Peer::Address(ip) => Some(of_subscriber(ip)),
            Peer::Operator | Peer::NoAddressRights => None,
        };
        let asking = self.clients.get(&id).and_then(subscriber);
        let same = self.clients.values().filter(|client| subscriber(client) == asking);
        let open = same.flat_map(|client| &client.exchanges).filter(|exchange| exchange.reply.is_none());
        let name = |exchange: &Exchange| match &exchange.request {
            Request::Host(host) => Some(host.channel.channel_name.clone()),
            _ => None,
        };
        open.filter_map(name).collect()
    }

    /// Returns the names that pending HOSTs would add.
    fn pending_names(&self) -> BTreeSet<ChannelName> {
        let open =
            self.clients.values().flat_map(|client| &client.exchanges).filter(|exchange| exchange.reply.is_none());
        let name = |exchange: &Exchange| match &exchange.request {
            Request::Host(host) => Some(host.channel.channel_name.clone()),
            _ => None,
        };
        open.filter_map(name).filter(|name| self.model.find(name).is_none()).collect()
    }

    pub(super) fn commanded(&mut self, command: StoreCommand) {
        assert_eq!(self.command, None, "a second command for the store: {command:?}");
        // All that follows from the last one was taken before.
        if let Some(finished) = self.finished.take() {
            self.check_finished(finished);
        }
        self.carried = match &command {
            StoreCommand::Load(_) => {
                assert!(!self.trusted, "the store is read although what it holds is known");
                Carried::default()
            }
            StoreCommand::Commit(writes) => {
                assert!(self.trusted, "something is stored before the store was read after a failure");
                assert!(!writes.is_empty(), "a commit of nothing");
                self.check_commit(writes)
            }
        };
        self.command = Some(command);
    }

    fn check_commit(&mut self, writes: &[Write]) -> Carried {
        let (mut logs, mut carried, mut sends) = (BTreeMap::new(), Carried::default(), Vec::new());
        let (mut names, mut new, mut new_names) = (BTreeSet::new(), 0, 0);
        let mut hosts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for write in writes {
            match write {
                Write::Append { message, send_key } => {
                    let (name, account) = (&message.channel_name, message.account.as_ref());
                    let log = logs.entry(name).or_insert((self.disk.last_id(name), self.disk.last_timestamp(name)));
                    let exchange = find_message(&mut self.clients, message, send_key.as_ref(), *log, &sends);
                    assert!(exchange.routes.contains(name), "{message:?} is stored in the wrong channel");
                    let lives = self.model.is_here(name) && !names.contains(name);
                    assert!(lives, "{message:?} is stored, and it is not known whether '{name}' lives here then");
                    let Request::Message(request) = &exchange.request else {
                        panic!("{:?} is stored", exchange.request)
                    };
                    assert_eq!(message.username, request.username);
                    assert_eq!(message.id, log.0 + 1, "the id of {message:?}");
                    assert!(message.id <= self.model.limits.max_id, "'{name}' has had all its messages");
                    let expected = log.1.map_or(exchange.at.wall, |last| last.max(exchange.at.wall));
                    assert_eq!(message.timestamp, expected, "the time of {message:?}");
                    let (at, request, asked) = (exchange.at.time, request.clone(), exchange.request.clone());
                    let senders = self.clients.values().filter(|client| client.asks(&asked));
                    let may_write: Vec<Peer> = senders.map(|client| client.peer).collect();
                    let may_write =
                        may_write.into_iter().filter(|peer| self.model.refuse_to_write(*peer, name).is_none());
                    let slow = may_write.map(|peer| self.model.slow_mode(peer, name)).min();
                    let Some(slow) = slow else { panic!("{message:?} is stored, and its sender may not write") };
                    let sent = (name.clone(), message.username.clone());
                    let before = carried.sent.get(&sent).or_else(|| self.sent.get(&sent)).copied().flatten();
                    let passed = before.map(|before| at.since(before));
                    // Which of several messages with one key is stored is not known.
                    let is_slow = passed.is_none_or(|passed| passed.as_secs() >= slow.into()) || send_key.is_some();
                    assert!(is_slow, "{message:?} is stored {passed:?} after another, in slow mode of {slow} s");
                    if self.model.moderated(name).0.slow_mode > 0 {
                        carried.sent.insert(sent, send_key.is_none().then_some(at));
                    }
                    let request = &request;
                    *log = (message.id, Some(message.timestamp));
                    assert_eq!(send_key.is_some(), request.client_message_id.is_some(), "the key of {request:?}");
                    if let Some(key) = send_key {
                        let send = SendRecord::new(message, key.clone());
                        assert!(is_key_of(&send, name, account, request) && key.digest == digest(request), "{send:?}");
                        let before = self.model.repeated(name, account, request, message.timestamp);
                        assert_eq!(before, None, "{request:?} is stored again");
                        let is_same = |earlier: &SendRecord| {
                            is_key_of(earlier, name, account, request)
                                && !self.model.is_past(earlier.timestamp, message.timestamp)
                        };
                        assert!(!sends.iter().any(is_same), "{request:?} is stored twice in one commit");
                        sends.push(send);
                    } else {
                        carried.messages.insert(message.message_content.clone());
                    }
                }
                Write::Delete { tombstone, record } => {
                    let name = &tombstone.channel_name;
                    let lives = self.model.is_here(name) && !names.contains(name);
                    assert!(lives, "{tombstone:?} is deleted, and it is not known whether '{name}' lives here then");
                    let target = (name.clone(), tombstone.id);
                    assert!(!carried.deletes.contains_key(&target), "{tombstone:?} is deleted twice in one commit");
                    let log = logs.entry(name).or_insert((self.disk.last_id(name), self.disk.last_timestamp(name)));
                    let request = Request::Delete { channel_name: name.clone(), id: tombstone.id };
                    let candidates = Candidates::are(&self.clients, |client, asked| {
                        let is_host = self.model.is_host(client.peer, name);
                        let username = match client.peer {
                            Peer::Operator => "operator",
                            _ if is_host => "host",
                            _ => "moderator",
                        };
                        *asked == request
                            && *record.username == *username
                            && self.model.decide(client.peer, client.listener, asked) == Decision::Delete
                    });
                    assert!(!candidates.is_empty(), "nobody may delete {tombstone:?} now");
                    assert_eq!(record.id, log.0 + 1, "the id of {record:?}");
                    assert!(record.id <= self.model.limits.max_id, "'{name}' has had all its messages");
                    let open = self.clients.values().flat_map(|client| &client.exchanges);
                    let mut open = open.filter(|exchange| exchange.reply.is_none() && exchange.request == request);
                    let last = log.1;
                    let is_its = |at: Timestamp| last.map_or(at, |last| last.max(at)) == record.timestamp;
                    assert!(open.any(|exchange| is_its(exchange.at.wall)), "the time of {record:?}");
                    let content = format!("Deleted message {}", tombstone.id);
                    assert_eq!((record.deletes, &record.message_content), (Some(tombstone.id), &content));
                    *log = (record.id, Some(record.timestamp));
                    carried.acts.push((name.clone(), ActKind::Deleted { id: tombstone.id }));
                    carried.deletes.insert(target, candidates);
                }
                // Of a role that has ended.
                Write::SetRole { channel_name, subject, role: None }
                    if self.disk.moderation(channel_name).is_some_and(|record| {
                        let (_, in_force) = self.model.moderated(channel_name);
                        let is_it = |(other, _): &(RoleSubject, GivenRole)| other == subject;
                        record.roles.iter().any(is_it) && !in_force.iter().any(is_it)
                    }) => {}
                Write::SetRole { channel_name: name, .. } | Write::SetSettings { channel_name: name, .. } => {
                    assert!(names.insert(name), "'{name}' is changed twice in one commit");
                    let candidates = Candidates::are(&self.clients, |client, request| {
                        matches!(request, Request::Role { .. } | Request::Settings { .. })
                            && self.model.decide(client.peer, client.listener, request)
                                == Decision::Moderate(write.clone())
                    });
                    assert!(!candidates.is_empty(), "nobody may have {write:?} stored now");
                    let kind = match write {
                        Write::SetRole { subject, role, .. } => {
                            ActKind::RoleSet { subject: subject.clone(), role: *role }
                        }
                        Write::SetSettings { settings, .. } => ActKind::SettingsChanged(*settings),
                        other => unreachable!("{other:?}"),
                    };
                    carried.acts.push((name.clone(), kind));
                    carried.moderated.insert(name.clone(), candidates);
                }
                // The model knows when there is nothing more.
                Write::DropModeration(name) => {
                    let is_next = writes.iter().any(|write| match write {
                        Write::RemoveChannel(next) => next == name,
                        Write::PutChannel(record) => record.channel.channel_name == *name,
                        _ => false,
                    });
                    assert!(is_next, "'{name}' loses its roles, and stays as it is");
                }
                Write::PutChannel(record) => {
                    let name = &record.channel.channel_name;
                    assert!(names.insert(name), "'{name}' is changed twice in one commit");
                    new += usize::from(self.model.find(name).is_none());
                    new_names += usize::from(!self.model.names().contains(name.as_str()));
                    let host = |record: &ChannelRecord| record.registered_from.map(of_subscriber);
                    let before = self.model.find(name).and_then(|(_, record)| host(record?));
                    let is_exempt = |ip: IpAddr| self.model.limits.exempt.iter().any(|network| network.contains(ip));
                    if let Some(host) = host(record).filter(|host| before != Some(*host))
                        && !record.registered_from.is_some_and(is_exempt)
                    {
                        *hosts.entry(host).or_default() += 1;
                    }
                    let stored = (record.channel.clone(), record.registered_from, record.lease);
                    let candidates = Candidates::are(&self.clients, |client, request| {
                        let Request::Host(host) = request else { return false };
                        host.channel.channel_name == *name
                            && self.model.decide(client.peer, client.listener, request) == Decision::Put
                            && self.model.record(client.peer, host) == stored
                    });
                    assert!(!candidates.is_empty(), "nobody may have {record:?} stored now");
                    carried.hosts.insert(name.clone(), candidates);
                }
                Write::RemoveChannel(name) => {
                    assert!(names.insert(name), "'{name}' is changed twice in one commit");
                    let mut candidates = Candidates::are(&self.clients, |client, request| {
                        *request == Request::Unhost { channel_name: name.clone() }
                            && self.model.decide(client.peer, client.listener, request) == Decision::Remove
                    });
                    candidates.may_be_none = self.model.kept_until(name).is_some_and(|end| end <= self.now);
                    assert!(!candidates.is_empty(), "'{name}' is removed, and nobody may do that");
                    carried.unhosts.insert(name.clone(), candidates);
                }
                Write::ReleaseChannel { channel_name: name, until } => {
                    assert!(names.insert(name), "'{name}' is changed twice in one commit");
                    let ended = self.model.lease_end(name).is_some_and(|end| end <= self.now);
                    assert!(ended, "'{name}' is released, and its lease has not ended");
                    let lease = self.model.find(name).and_then(|(_, record)| record?.lease).unwrap_or_default();
                    let grace = std::time::Duration::from_secs(lease.clamp(60, 3600).into());
                    assert_eq!(*until, super::wall(self.now.after(grace)), "how long '{name}' is kept");
                }
                Write::DropName(name) => {
                    assert!(names.insert(name), "'{name}' is changed twice in one commit");
                    assert!(self.model.may_drop(name), "'{name}' is forgotten too early");
                    let received =
                        |client: &Client| !client.disconnected && client.subscriptions.joined.contains_key(name);
                    assert!(!self.clients.values().any(received), "'{name}' is forgotten, and somebody hears it");
                }
            }
        }
        let limits = &self.model.limits;
        assert!(new == 0 || self.model.listed().len() + new <= limits.max_channels, "the limit is passed");
        for (host, more) in hosts {
            let hosted = self.model.hosted_by(host) + more;
            assert!(hosted <= limits.max_address_channels, "{host} hosts more than its limit");
        }
        let known = self.model.names().len();
        assert!(new_names == 0 || known + new_names <= limits.max_names, "the limit of names is passed");
        carried.sends = sends;
        carried
    }

    /// Checks that an act which is logged is stored, and of a peer that may have asked for it.
    pub(super) fn acted(&mut self, Act { connection, peer, channel_name, kind, .. }: &Act) {
        let target = (channel_name.clone(), kind.clone());
        let acts = self.finished.as_mut().map(|finished| &mut finished.unanswered.acts);
        let is_its = acts.is_some_and(|acts| {
            let place = acts.iter().position(|act| *act == target);
            place.map(|place| acts.remove(place)).is_some()
        });
        assert!(is_its, "{target:?} is said to be done, and the commit did not do it");
        let client = self.clients.get(&connection.0).expect("a connection");
        let known = match client.peer {
            Peer::Address(ip) => Peer::Address(plain(ip)),
            other => other,
        };
        assert_eq!(*peer, known, "who did {target:?}");
    }

    /// Checks that everything that was with the store is answered.
    pub(super) fn check_finished(&mut self, finished: Finished) {
        let Carried { hosts, unhosts, deletes, moderated, acts, mut messages, .. } = finished.unanswered;
        let is_stored = finished.outcome == StoreOutcome::Committed;
        assert!(!is_stored || acts.is_empty(), "{acts:?} are done, and that is not logged");
        for (name, candidates) in &moderated {
            assert!(self.drop_disconnected(candidates), "the ROLE or SETTINGS of '{name}' is not answered");
        }
        for (target, candidates) in &deletes {
            assert!(self.drop_disconnected(candidates), "the DELETE of {target:?} is not answered");
        }
        for (name, candidates) in hosts.iter().chain(&unhosts) {
            assert!(
                self.drop_disconnected(candidates) || candidates.may_be_none,
                "what was stored of '{name}' is not answered"
            );
        }
        for client in self.clients.values_mut().filter(|client| client.disconnected) {
            client.exchanges.retain(|exchange| match &exchange.request {
                Request::Message(message) => !messages.remove(&message.message_content),
                _ => true,
            });
        }
        assert!(messages.is_empty(), "{messages:?} were with the store and are not answered");
    }

    /// Returns whether one of these unanswered requests is of a closed connection. If it is only one, it is
    /// dropped, with all earlier requests of that connection.
    fn drop_disconnected(&mut self, Candidates { requests, may_be_none, .. }: &Candidates) -> bool {
        let is_disconnected = |(id, _): &&(u64, String)| self.clients.get(id).is_some_and(|client| client.disconnected);
        let mut disconnected = requests.iter().filter(is_disconnected);
        let (Some((id, ticket)), another) = (disconnected.next(), disconnected.next()) else { return false };
        if another.is_none() && !may_be_none {
            let exchanges = self.clients.get_mut(id).map(|client| &mut client.exchanges).into_iter();
            exchanges.for_each(|exchanges| {
                let index = exchanges.iter().position(|exchange| exchange.ticket == *ticket);
                exchanges.drain(..index.map_or(0, |index| index + 1));
            });
        }
        true
    }

    /// Checks that the counters agree with what connections were sent.
    fn check_counters(&mut self) {
        let counters = self.hub.counters();
        let mut counted = BTreeMap::new();
        for ((command, status), count) in counters.requests {
            *counted.entry((command, status == Status::Ok)).or_insert(0) += count;
        }
        // Endpoints count the lists that they send.
        counted.retain(|(command, _), count| *count > 0 && *command != Command::List);
        self.seen.retain(|(command, _), _| *command != Command::List);
        assert_eq!(counted, self.seen, "answers that were counted");
        assert_eq!(counters.errors.values().sum::<u64>(), self.seen_errors, "errors that were counted");
        assert_eq!(counters.pushes, self.seen_pushes, "pushes that were counted");
        assert_eq!(counters.channels_here + counters.channels_elsewhere, self.model.listed().len());
        assert_eq!(counters.joins, self.hub.joins());
        if self.trusted {
            assert_eq!(counters.send_keys, self.model.send_keys(), "keys that are kept");
        }
    }

    /// Checks that the store has the roles and settings that are in force, and that nobody has joined what it may not read.
    fn check_moderation(&self) {
        if !self.trusted {
            return;
        }
        let names: BTreeSet<&str> = self.model.names().into_iter().chain(self.disk.moderated_names()).collect();
        for name in names {
            let (settings, roles) = self.model.moderated(name);
            let stored = self.disk.moderation(name);
            assert_eq!(settings, stored.map(|record| record.settings).unwrap_or_default(), "the settings of '{name}'");
            let stored = stored.map_or(&[][..], |record| &record.roles);
            assert!(roles.iter().all(|role| stored.contains(role)), "{roles:?} of '{name}', and {stored:?} is stored");
            let is_over = |given: &GivenRole| given.until.is_some_and(|until| until <= super::wall(self.now));
            let extra = stored.iter().find(|role| !roles.contains(role) && !is_over(&role.1));
            assert_eq!(extra, None, "a role of '{name}' that is stored");
            for (id, client) in self.clients.iter().filter(|(_, client)| !client.disconnected) {
                let is_in = client.subscriptions.joined.contains_key(name);
                let may_read = self.model.refuse_to_read(client.peer, name).is_none();
                assert!(!is_in || may_read, "connection {id} has joined '{name}' and may not read it");
            }
        }
    }

    /// Checks the laws that hold when the hub has no output left.
    pub(super) fn check_idle(&mut self) {
        let open = self.open();
        match &self.command {
            None if self.reads.is_empty() => {
                let is_verified = |id: &u64| self.verifications.iter().any(|other| other.connection == *id);
                let settled = self.clients.iter().filter(|(id, client)| !client.disconnected && !is_verified(id));
                for (_, client) in settled {
                    let open = client.exchanges.iter().find(|exchange| exchange.reply.is_none());
                    assert!(open.is_none(), "nothing is with the store, and {open:?} is not answered");
                }
                assert_eq!(self.hub.is_idle(), self.verifications.is_empty());
                if !self.verifications.is_empty() {
                    return;
                }
                self.check_moderation();
                if self.clients.values().all(|client| client.disconnected || !client.subscriptions.has_page) {
                    self.check_pushes();
                }
                self.check_counters();
                assert_eq!(self.hub.connections(), open.len(), "connections that the hub knows");
                let disconnected = self.clients.iter().filter(|(_, client)| client.disconnected).map(|(id, _)| id);
                assert!(disconnected.eq(&self.released), "connections that keep their places: {:?}", self.released);
            }
            Some(StoreCommand::Commit(_)) => {
                for client in self.clients.values().filter(|client| !client.disconnected) {
                    let waits = client.next_is(|request| {
                        matches!(request, Request::List | Request::Join { .. } | Request::Leave { .. })
                    });
                    assert!(!waits, "LIST, JOIN or LEAVE waits although all before it on its connection is answered");
                }
            }
            None | Some(StoreCommand::Load(_)) => {}
        }
        assert!(self.hub.connections() >= open.len());
        let due = self.hub.poll_timeout().filter(|at| *at <= self.now);
        assert!(due.is_none() || !self.trusted, "{due:?} is due at {:?} although it was handled", self.now);
    }
}

impl Client {
    /// Returns whether the first unanswered request is such a one. Of a closed connection it is not known
    /// which one that is.
    fn next_is(&self, such: impl Fn(&Request) -> bool) -> bool {
        let mut open = self.exchanges.iter().filter(|exchange| exchange.reply.is_none());
        if self.disconnected {
            return open.any(|exchange| such(&exchange.request));
        }
        open.next().is_some_and(|exchange| such(&exchange.request))
    }

    /// Returns whether it has sent this request, which is not answered.
    fn asks(&self, request: &Request) -> bool {
        let mut open = self.exchanges.iter().filter(|exchange| exchange.reply.is_none());
        open.any(|exchange| exchange.request == *request)
    }

    /// Writes the pending output: the answers to the first requests, in order, and nothing else.
    fn write(&mut self, now: Time) {
        use chanwire_core::endpoint::Endpoint as _;
        loop {
            let mut slices = [&[][..]; 64];
            let count = self.server.transmit(&mut slices);
            let bytes = slices.iter().take(count).copied().collect::<Vec<_>>().concat();
            if bytes.is_empty() {
                break;
            }
            self.server.handle_written(now, bytes.len());
            self.written.extend(bytes);
        }
        let (mut start, mut count) = self.compared;
        while let Some(reply) = self.exchanges.get(count).and_then(|exchange| exchange.reply.as_deref()) {
            let left = self.written.get(start..).unwrap_or_default();
            assert!(left.starts_with(reply), "{} left where {} is due", text(left), text(reply));
            (start, count) = (start + reply.len(), count + 1);
        }
        assert_eq!(start, self.written.len(), "what left before its turn");
        self.compared = (start, count);
    }
}

/// Finds the request for a message that is about to be stored, and marks it. `log` is the last id and time of its channel,
/// and `sends` are the messages with keys that the commit stores before it.
///
/// Of several requests with one key that may be stored so, each is marked: the others are answered by the outcome.
fn find_message<'a>(
    clients: &'a mut BTreeMap<u64, Client>,
    message: &StoredMessage,
    key: Option<&SendKey>,
    (_, last): (u64, Option<Timestamp>),
    sends: &[SendRecord],
) -> &'a Exchange {
    let content = &message.message_content;
    let carries = |exchange: &Exchange| match &exchange.request {
        Request::Message(request) => {
            let is_key = request.client_message_id.as_ref() == key.map(|key| &key.client_message_id);
            let is_open = exchange.reply.is_none() && exchange.routes.contains(&message.channel_name);
            let at = last.map_or(exchange.at.wall, |last| last.max(exchange.at.wall));
            let may_be = key.is_none() || is_open && message.timestamp == at;
            is_key && request.message_content == *content && may_be
        }
        _ => false,
    };
    let mut found = None;
    let its = clients.iter_mut().filter(|(_, client)| client.account == message.account);
    for (id, Client { account, disconnected, exchanges, .. }) in its {
        let account = account.as_ref();
        for index in 0..exchanges.len() {
            let (before, rest) = exchanges.split_at_mut(index);
            let Some(exchange) = rest.first_mut().filter(|exchange| carries(exchange)) else { continue };
            let decided =
                |earlier: &Exchange| earlier.reply.is_some() || earlier.storing || earlier.is_repeat(account, sends);
            let in_turn = *disconnected || before.iter().all(decided);
            assert!(in_turn || key.is_some(), "{content:?} is stored before an earlier request is decided");
            assert!(exchange.reply.is_none(), "{content:?} was answered");
            if in_turn {
                assert!(!mem::replace(&mut exchange.storing, true) || key.is_some(), "{content:?} is stored twice");
                found = Some((*id, index));
            }
        }
    }
    let found = found.and_then(|(id, index)| clients.get(&id)?.exchanges.get(index));
    found.unwrap_or_else(|| panic!("{content:?} is stored, and nobody sent it"))
}

/// Checks that an acknowledged change is in the store.
fn check_durable(disk: &Disk, model: &Model, account: Option<&AccountName>, request: &Request, bytes: &[u8]) {
    if !bytes.starts_with(b"OK") {
        return;
    }
    match request {
        Request::Message(message) => {
            // The text of a deleted message is not known, so another one under its key has its answer.
            let is_deleted =
                |send: &SendRecord| send.key.digest == 0 && is_key_of(send, &send.channel_name, account, message);
            let is_known = disk.find(&message.message_content).is_some() || disk.sends().iter().any(is_deleted);
            assert!(is_known, "{message:?} is acknowledged and not stored");
        }
        Request::Host(Host { channel, .. }) => {
            let name = &channel.channel_name;
            let fixed = model.find(name).filter(|(_, record)| record.is_none()).map(|(channel, _)| channel);
            let stored = fixed.or_else(|| disk.channel(name).map(|record| &record.channel));
            let kept = stored.is_some_and(|stored| same_place(&stored.address, &channel.address));
            assert!(kept, "{channel:?} is acknowledged, and {stored:?} is stored");
        }
        Request::Unhost { channel_name } => {
            assert_eq!(disk.channel(channel_name), None, "the removal is acknowledged and not stored");
        }
        Request::Delete { channel_name, id } => {
            let stored = disk.messages(channel_name).iter().find(|stored| stored.id == *id);
            assert!(stored.is_some_and(|stored| stored.deleted), "{stored:?} is acknowledged as deleted");
        }
        Request::Role { channel_name, target: RoleTarget::Address(ip), role, seconds } => {
            let subject = RoleSubject::Address(of_subscriber(*ip));
            let (_, roles) = model.moderated(channel_name);
            let given = roles.iter().find(|(other, _)| *other == subject).map(|(_, given)| given);
            let stored = disk.moderation(channel_name).map_or(&[][..], |record| &record.roles);
            let kept = given.is_none_or(|given| stored.contains(&(subject, *given)));
            // It may have ended while it was being stored.
            let is_over = given.is_none() && seconds.is_some();
            let is_it = given.map(|given| given.role) == *role || is_over;
            assert!(kept && is_it, "{given:?} is acknowledged, and {stored:?} is stored");
        }
        Request::Settings { channel_name, .. } => {
            let settings = disk.moderation(channel_name).map(|record| record.settings).unwrap_or_default();
            let Some(Response::Settings { settings: shown, .. }) = decode(Command::Settings, bytes) else {
                panic!("SETTINGS is answered {}", text(bytes))
            };
            assert_eq!(shown, settings, "what is shown of '{channel_name}' and what is stored");
        }
        _ => {}
    }
}

/// Checks a page of channels: the listed ones after a position whose names contain a part, at most so many, as LIST has
/// them. What the operator fixed has no position that the model knows.
fn check_channels(bytes: &[u8], model: &Model, peer: Peer, (after, limit, contains): (u64, u16, Option<&str>)) {
    let Some(Response::ChannelPage { channels, next }) = decode(Command::Channels, bytes) else {
        panic!("CHANNELS is answered {}", text(bytes))
    };
    let listed = model.listed();
    let position_of = |name: &str| model.find(name).and_then(|(_, record)| Some(record?.position + 1));
    for row in &channels {
        let name = &row.channel.channel_name;
        assert!(listed.contains(&row.channel), "{row:?} is not listed");
        assert!(position_of(name).is_none_or(|position| position == row.position), "{row:?}");
        let may_read = model.is_here(name) && model.refuse_to_read(peer, name).is_none();
        assert_eq!(row.last_id, may_read.then(|| model.log(name).1), "{row:?}");
        assert_eq!(row.members_only, model.is_here(name) && model.moderated(name).0.members_only, "{row:?}");
    }
    let last = channels.last().map_or(after, |row| row.position);
    let positions = std::iter::once(after).chain(channels.iter().map(|row| row.position));
    assert!(positions.is_sorted_by(|one, other| one < other), "{channels:?} after {after}");
    let part = contains.unwrap_or_default().to_ascii_lowercase();
    let is_wanted = |name: &str| name.to_ascii_lowercase().contains(&part);
    let end = if next.is_some() { last } else { u64::MAX };
    let due = listed.iter().map(|channel| &channel.channel_name).filter(|name| {
        is_wanted(name) && position_of(name).is_some_and(|position| position > after && position <= end)
    });
    let shown = channels.iter().map(|row| &row.channel.channel_name).filter(|name| position_of(name).is_some());
    assert!(due.eq(shown), "{channels:?} of {listed:?}, after {after}");
    assert!(channels.iter().all(|row| is_wanted(&row.channel.channel_name)), "{channels:?} contain {contains:?}");
    assert!(channels.len() <= limit.into(), "more than {limit}: {channels:?}");
    assert!(next.is_none_or(|next| next == last && channels.len() == usize::from(limit)), "{next:?} of {channels:?}");
}

/// Checks that an answer to HISTORY has the requested messages: all that were known when it was decided, and none that
/// is not known now.
fn check_history(
    bytes: &[u8],
    page: &DeliveredPage,
    disk: &Disk,
    known: u64,
    request: (&str, HistoryRange, u16),
    is_being_deleted: impl Fn(&StoredMessage) -> bool,
) {
    let (channel_name, range, limit) = request;
    assert_eq!(page.query.channel_name, channel_name);
    if !page.works {
        assert_eq!(text(bytes), text(&encode(&Response::Error(history_failed()))));
        return;
    }
    let Some(Response::History { channel_name: name, messages }) = decode(Command::History, bytes) else {
        panic!("HISTORY is answered {}", text(bytes))
    };
    assert_eq!(name, channel_name);
    let ids: Vec<u64> = messages.iter().map(|message| message.id).collect();
    let stored: Vec<_> = disk.messages(channel_name).iter().filter(|message| ids.contains(&message.id)).collect();
    let is_so = |(shown, stored): (&StoredMessage, &&StoredMessage)| shown == *stored || is_being_deleted(shown);
    let all = messages.len() == stored.len() && messages.iter().zip(&stored).all(is_so);
    assert!(all, "what is shown is what is stored: {ids:?}");
    let limit = u64::from(limit);
    assert!(ids.last().is_none_or(|last| *last <= known), "{ids:?} shows what is not known to be stored");
    let (first, count) = (page.first_id, ids.len() as u64);
    match range {
        HistoryRange::After(id) => {
            let first = first.max(id + 1);
            assert!(ids.first().is_none_or(|shown| *shown == first), "{ids:?} begins after {id}, {first} is kept");
            let due = limit.min((page.known + 1).saturating_sub(first));
            assert!(count >= due || is_full(bytes, disk, channel_name, first + count), "{ids:?} is too short");
        }
        HistoryRange::Last | HistoryRange::Before(_) => {
            let before = if let HistoryRange::Before(id) = range { id - 1 } else { u64::MAX };
            assert!(ids.last().is_none_or(|last| *last <= before), "{ids:?} is not before {before}");
            let last = ids.last().copied().unwrap_or_default().max(page.known.min(before));
            let due = limit.min((last + 1).saturating_sub(first));
            let full = count < due && is_full(bytes, disk, channel_name, last - count);
            assert!(count == due || full, "{ids:?} of {first} to {last}");
        }
    }
    assert!(count <= limit, "{ids:?} is more than {limit}");
}

/// Returns whether this is a message as it was before the commit that is with the store deletes it: of its outcome nobody
/// knows yet.
pub(super) fn is_being_deleted(command: Option<&StoreCommand>, disk: &Disk, message: &StoredMessage) -> bool {
    let Some(StoreCommand::Commit(writes)) = command else { return false };
    let deletes = |write: &Write| match write {
        Write::Delete { tombstone, .. } => {
            (&tombstone.channel_name, tombstone.id) == (&message.channel_name, message.id)
        }
        _ => false,
    };
    writes.iter().any(deletes)
        && (message.deleted || disk.original(&message.channel_name, message.id).is_some_and(|text| text == message))
}

/// Returns whether this answer to HISTORY has at least one message, and no room for the one of this id.
fn is_full(bytes: &[u8], disk: &Disk, channel_name: &str, id: u64) -> bool {
    let next = disk.messages(channel_name).iter().find(|message| message.id == id).expect("a message");
    let mut one = Vec::new();
    next.encode_push(&mut one);
    let payload = bytes.len() - "OK\r\n".len() + ", ".len() + one.len() - "MESSAGE\r\n".len();
    payload > 262_144 && !text(bytes).ends_with("\"messages\": []}")
}

const SLOW_MODE: &str = "REQUEST_ERROR\r\n{\"error\": \"Slow mode\", ";

/// Returns the answer to a message that comes so many seconds too early.
fn slow_mode(name: &str, left: u64, said_hello: bool) -> Response {
    let unit = if left == 1 { "second" } else { "seconds" };
    let error = ErrorResponse::request("Slow mode", format!("Wait {left} {unit} before the next message in '{name}'"));
    let retry_after = u32::try_from(left).ok().filter(|_| said_hello);
    Response::Error(ErrorResponse { retry_after, ..error })
}

/// Returns the answer to what waited when its connection was ended.
fn revoked() -> Response {
    Response::Error(ErrorResponse::request("Not allowed", "The rights of this connection have changed"))
}

/// Returns the answer when messages cannot be read.
fn history_failed() -> ErrorResponse {
    ErrorResponse::server("Database connection failed", "Unable to read messages from channel database")
}

fn check_error(bytes: &[u8], error: &str) {
    let start = format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", ");
    assert!(bytes.starts_with(start.as_bytes()), "{} where '{error}' is due", text(bytes));
}

/// Decodes an answer that is no error.
fn decode(command: Command, bytes: &[u8]) -> Option<Response> {
    let payload = bytes.strip_prefix(b"OK\r\n")?;
    Some(Response::decode(command, Status::Ok, payload).expect("an answer to this request"))
}

pub(super) fn encode(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    bytes
}

fn bytes(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes).expect("what is answered was not withdrawn");
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
