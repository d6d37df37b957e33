//! A hub on trial: its connections, its store, and a judge that checks every effect against the laws of the protocol.
#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

mod answers;
mod judge;
mod subscriptions;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint as _, Listing, Pushes, Server, ServerCommand, ServerEvent, Traffic},
    hub::{
        ConnectionId, Effect, Hub, HubLimits, ListenerId, Moment, Page, Peer, Query, ReadId, StoreCommand,
        StoreOutcome, VerificationId,
    },
    wire::{
        AccountName, Address, Channel, ChannelName, Command, Credentials, Decoder, ErrorResponse, Item, Request,
        Response, Status, Timestamp, Username,
    },
};

use crate::{
    accounts::{self, Attempts},
    hub_model::Model,
    name::named,
    store::{Disk, Fate},
};
use judge::{Carried, Exchange, Finished};
use subscriptions::Subscriptions;

/// The most times that one step tells the hub of the time because something is due. Each tells some hundreds of
/// subscribers, or removes as many subscriptions.
const MAX_TIMEOUTS: usize = 100;

/// A hub, its store and its connections. Every step checks the laws:
///
/// - each request has exactly one answer, and none after its connection has disconnected;
/// - a message with a `client_message_id` is stored once for as long as its key is kept, each repetition has the answer
///   of the stored message, and another message under its id is refused;
/// - a request is answered when all before it on its connection are, but for MESSAGEs that follow each other;
/// - each answer is [`Model`]'s, by the state known to be stored;
/// - each acknowledged write is in the store, and LIST shows nothing that is not;
/// - the published list is up to date whenever a client is sent anything;
/// - a message is stored in a channel that is known to live here then, so that subscribers get it before the
///   channel's removal;
/// - the store has one command at a time, after a failure it is read before it is written, and a HOST that changes
///   nothing writes nothing;
/// - a subscriber is pushed every message from the first promised id on, once, in order, as it is stored, and other
///   connections are pushed nothing; a connection is closed for a channel only when that was removed and all of it was
///   pushed;
/// - a role or setting is stored for those who may set it, and logged; whoever it keeps out reads and writes nothing from
///   then on, its joins end, and the others in slow mode wait between messages;
/// - credentials are verified only as often as the limits of attempts allow, and of each
///   connection one at a time; the answers to all that are wrong are the same;
/// - the counters agree with what connections are sent;
/// - when the store is idle, every request is answered, every subscriber that reads has everything, and no closed
///   connection is kept.
#[derive(Debug)]
pub struct Trial {
    /// The hub.
    pub hub: Hub,
    /// The store.
    pub disk: Disk,
    /// The model of correct behaviour.
    pub model: Model,
    /// The store command that has no outcome yet.
    pub command: Option<StoreCommand>,
    /// Reads that the store was asked for and has not delivered.
    reads: VecDeque<Reading>,
    /// Credentials that are being verified.
    verifications: VecDeque<Verification>,
    /// The result that was just delivered, and its connection.
    verified: Option<(u64, Option<AccountName>)>,
    attempts: Attempts,
    setup: Setup,
    listeners: Vec<ListenerId>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Connections that were closed and for which nothing is left to carry out.
    pub released: BTreeSet<u64>,
    /// Connections that were given new limits.
    pub reconfigured: Vec<(u64, Arc<Limits>)>,
    /// The number of times messages were pushed, each to any number of connections.
    pub pushes: usize,
    last_pushes: Option<Arc<Pushes>>,
    /// The current time.
    pub now: Time,
    /// Whether the model is known to equal the stored state.
    trusted: bool,
    /// The contents of the store command without an outcome.
    carried: Carried,
    finished: Option<Finished>,
    /// When the last message of each sender in each channel with slow mode was received; `None` if that is not known.
    sent: BTreeMap<(ChannelName, Username), Option<Time>>,
    /// The page that was just delivered.
    delivered_page: Option<DeliveredPage>,
    /// Connections that the hub closed and does not yet know as disconnected.
    closed: BTreeSet<u64>,
    /// The list that was published last.
    published: Option<Listing>,
    /// The answers that were seen, by command and by whether they were OK, and the pushed messages and refusals.
    seen: BTreeMap<(Command, bool), u64>,
    seen_pushes: u64,
    seen_errors: u64,
    /// The number of answers that may have been joins, which numbers them.
    joins_made: u64,
}

/// A read that the store was asked for.
#[derive(Debug)]
struct Reading {
    id: ReadId,
    query: Query,
    /// The channel's last id, as it was known then.
    known: u64,
    /// The page that was read, and the channel's first id at that time.
    found: Option<(Page, u64)>,
}

/// Credentials that are being verified.
#[derive(Debug)]
struct Verification {
    id: VerificationId,
    connection: u64,
    credentials: Credentials,
}

/// A page that was read.
#[derive(Debug)]
struct DeliveredPage {
    query: Query,
    known: u64,
    /// Whether it could be read.
    works: bool,
    first_id: u64,
}

impl Reading {
    fn read(&mut self, disk: &Disk, can: bool) {
        let page = can.then(|| self.query.found(disk.read(&self.query)));
        self.found.get_or_insert((page, disk.first_id(&self.query.channel_name)));
    }
}

/// The configuration a server starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The local addresses of each listener.
    pub own: Vec<Vec<Address>>,
    /// The channels that the operator fixes.
    pub fixed: Vec<Channel>,
    /// The most channels that are listed.
    pub limit: usize,
    /// The most listed channels that one address hosts.
    pub address_channels: usize,
    /// The most channels that a connection may join.
    pub joins: usize,
    /// The most names that are known.
    pub names: usize,
    /// The greatest id of a message.
    pub max_id: u64,
    /// The number of seconds after which a name is dropped.
    pub drop_names_after: u64,
    /// The number of seconds for which a message may be sent again.
    pub retry_window: u64,
    /// The most keys of messages that are kept.
    pub max_send_keys: usize,
}

impl Setup {
    fn limits(&self) -> HubLimits {
        let mut limits = HubLimits::default();
        (limits.max_channels, limits.max_joins, limits.max_names) = (self.limit, self.joins, self.names);
        limits.max_address_channels = self.address_channels;
        (limits.max_id, limits.drop_names_after) = (self.max_id, Duration::from_secs(self.drop_names_after));
        (limits.retry_window, limits.max_send_keys) = (Duration::from_secs(self.retry_window), self.max_send_keys);
        limits
    }
}

/// Returns the machine's wall time at this time. (Requests are stamped with another clock's time.)
fn wall(now: Time) -> Timestamp {
    Timestamp::from_unix(i64::try_from(now.as_millis() / 1000).unwrap_or(i64::MAX))
}

#[derive(Debug)]
struct Client {
    peer: Peer,
    /// The account that it has authenticated as.
    account: Option<AccountName>,
    /// Whether it has said HELLO.
    said_hello: bool,
    /// The time at which it was connected.
    since: Time,
    listener: Option<usize>,
    server: Server,
    exchanges: Vec<Exchange>,
    disconnected: bool,
    /// All bytes that its server wrote, and the number of bytes and answers of them that the test has taken.
    written: Vec<u8>,
    taken: (usize, usize),
    /// The number of bytes and answers compared with the expected ones.
    compared: (usize, usize),
    subscriptions: Subscriptions,
}

impl Client {
    /// Returns the address that it came from.
    const fn address(&self) -> Option<IpAddr> {
        match self.peer {
            Peer::Address(ip) => Some(ip),
            Peer::NoAddressRights | Peer::Operator => None,
        }
    }

    /// Returns its traffic, and the number of bytes that wait until its peer reads.
    fn measure(&self) -> (Traffic, usize) {
        (*self.server.traffic(), self.server.waiting_bytes())
    }
}

impl Trial {
    /// Starts a server over this store.
    #[must_use]
    pub fn start(setup: Setup, disk: Disk) -> Self {
        Self::start_at(setup, disk, Time::default())
    }

    fn start_at(setup: Setup, disk: Disk, now: Time) -> Self {
        let limits = setup.limits();
        let mut hub = Hub::new(limits.clone(), disk.snapshot(), Moment { time: now, wall: wall(now) });
        let mut model = Model::new(setup.own.clone(), limits, now);
        model.load(disk.snapshot(), now);
        let listeners = setup.own.iter().map(|own| hub.add_listener(own)).collect();
        for channel in &setup.fixed {
            hub.fix_channel(channel.clone());
            model.fix(channel.clone());
        }
        Self {
            hub,
            disk,
            model,
            command: None,
            reads: VecDeque::new(),
            verifications: VecDeque::new(),
            verified: None,
            attempts: Attempts::default(),
            setup,
            listeners,
            clients: BTreeMap::new(),
            next_client: 0,
            released: BTreeSet::new(),
            reconfigured: Vec::new(),
            pushes: 0,
            last_pushes: None,
            now,
            trusted: true,
            carried: Carried::default(),
            finished: None,
            sent: BTreeMap::new(),
            delivered_page: None,
            closed: BTreeSet::new(),
            published: None,
            seen: BTreeMap::new(),
            seen_pushes: 0,
            seen_errors: 0,
            joins_made: 0,
        }
    }

    /// Kills and restarts the server. The store's running command meets this fate; undelivered inputs are lost.
    #[must_use]
    pub fn crash(mut self, fate: Fate) -> Self {
        if let Some(command) = self.command.take() {
            self.disk.carry_out(&command, fate);
        }
        Self { next_client: self.next_client, ..Self::start_at(self.setup, self.disk, self.now) }
    }

    /// Opens a connection from this address to this listener.
    ///
    /// # Panics
    ///
    /// If the hub refuses it.
    pub fn connect(&mut self, peer: IpAddr, listener: usize) -> u64 {
        self.connect_as(Peer::Address(peer), Some(listener))
    }

    /// Opens a connection without address rights to this listener.
    ///
    /// # Panics
    ///
    /// If the hub refuses it.
    pub fn connect_without_rights(&mut self, listener: usize) -> u64 {
        self.connect_as(Peer::NoAddressRights, Some(listener))
    }

    /// Opens a connection of the operator.
    ///
    /// # Panics
    ///
    /// If the hub refuses it.
    pub fn connect_operator(&mut self) -> u64 {
        self.connect_as(Peer::Operator, None)
    }

    fn connect_as(&mut self, peer: Peer, listener: Option<usize>) -> u64 {
        let id = self.next_client;
        self.next_client += 1;
        let listener_id = listener.map(|listener| *self.listeners.get(listener).expect("a listener"));
        self.hub.connect(ConnectionId(id), peer, listener_id, self.now).expect("a connection of a new number");
        let mut limits = Limits::server();
        (limits.max_payload, limits.max_in_flight_bytes) = (usize::MAX, usize::MAX);
        let client = Client {
            peer,
            account: None,
            said_hello: false,
            since: self.now,
            listener,
            server: Server::new(ConnectionId(id), limits).with_local_peer(),
            exchanges: Vec::new(),
            disconnected: false,
            written: Vec::new(),
            taken: (0, 0),
            compared: (0, 0),
            subscriptions: Subscriptions::default(),
        };
        self.clients.insert(id, client);
        id
    }

    /// Returns the numbers of the open connections.
    #[must_use]
    pub fn open(&self) -> Vec<u64> {
        self.clients.iter().filter(|(_, client)| !client.disconnected).map(|(id, _)| *id).collect()
    }

    /// Disconnects a connection, whatever it has pending.
    pub fn disconnect(&mut self, id: u64) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.disconnected = true;
        }
        self.hub.disconnect(ConnectionId(id));
        self.drain();
    }

    /// Replaces the limits of the hub, and of the connections.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Setup), limits: &Arc<Limits>) {
        self.drain();
        change(&mut self.setup);
        self.model.limits = self.setup.limits();
        self.hub.reconfigure(self.setup.limits(), limits);
        self.drain();
    }

    /// Changes the local addresses of a listener.
    pub fn set_local_addresses(&mut self, listener: usize, own: Vec<Address>) {
        self.drain();
        self.hub.set_local_addresses(self.listeners.get(listener).copied().expect("a listener"), &own);
        if let Some(addresses) = self.model.own.get_mut(listener) {
            *addresses = own;
        }
        self.note_routes();
        self.note_removed();
        self.drain();
    }

    /// Drops a channel's messages below this id, as retention does; the hub is told at once or not at all.
    pub fn trim(&mut self, name: &str, first_id: u64, tell: bool) {
        // Drained first, so that earlier outputs precede this input.
        self.drain();
        let name = &named(name);
        self.disk.trim(name, first_id);
        if tell {
            let first_id = self.disk.first_id(name);
            self.model.trim(name, first_id);
            self.hub.handle_trimmed(name, first_id, self.now);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        (self.model.now, self.disk.wall) = (self.now, wall(self.now));
        self.hub.handle_timeout(self.now);
        self.drain();
    }

    /// Sends a request on a connection, at this wall time, without draining the hub.
    ///
    /// # Panics
    ///
    /// If the hub does not know the connection.
    pub fn ask(&mut self, id: u64, request: &Request, at: i64) {
        let client = self.clients.get_mut(&id).filter(|client| !client.disconnected).expect("an open connection");
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        client.server.handle_input(self.now, &bytes);
        let Some(ServerEvent::Request { ticket, request }) = client.server.poll_event() else {
            panic!("a server refuses {request:?}")
        };
        let at = Moment { time: self.now, wall: Timestamp::from_unix(at) };
        let mut exchange = Exchange::new(&ticket, request.clone(), at, client.said_hello);
        exchange.note_route(&self.model, client.peer, client.listener);
        client.exchanges.push(exchange);
        self.hub.handle_request(ConnectionId(id), ticket, request, at).expect("a connection that the hub knows");
    }

    /// Carries out the store's command, with this fate. Returns `false` if there is none.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn store(&mut self, fate: Fate) -> bool {
        self.store_and(fate, |_| {})
    }

    /// Does as [`store`](Self::store), with a step after the store is done and before the hub is told.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn store_and(&mut self, fate: Fate, meanwhile: impl FnOnce(&mut Self)) -> bool {
        self.drain();
        let Some(command) = self.command.clone() else { return false };
        let outcome = self.disk.carry_out(&command, fate);
        meanwhile(self);
        self.command = None;
        self.finish_command(&command, outcome);
        true
    }

    /// Reads the next page that was asked for, without delivering it; the read fails unless `can`.
    pub fn read(&mut self, can: bool) {
        self.drain();
        let disk = &self.disk;
        if let Some(reading) = self.reads.iter_mut().find(|reading| reading.found.is_none()) {
            reading.read(disk, can);
        }
    }

    /// Delivers the next page to the hub, and reads it now if it was not. Returns `false` if none was asked for.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn page(&mut self) -> bool {
        self.drain();
        let Some(mut reading) = self.reads.pop_front() else { return false };
        reading.read(&self.disk, true);
        let Reading { id, query, known, found } = reading;
        let (page, first_id) = found.expect("it was just read");
        self.delivered_page = Some(DeliveredPage { query, known, works: page.is_some(), first_id });
        self.hub.handle_page(id, page).expect("a page that was asked for");
        self.drain();
        self.delivered_page = None;
        true
    }

    /// Has a connection say HELLO, which the hub learns of.
    ///
    /// # Panics
    ///
    /// If the connection is closed.
    pub fn say_hello(&mut self, id: u64) {
        let client = self.clients.get_mut(&id).filter(|client| !client.disconnected).expect("an open connection");
        client.said_hello = true;
        *self.seen.entry((Command::Hello, true)).or_default() += 1;
        let event = ServerEvent::Answered { request: Request::Hello { notices: false } };
        let at = Moment { time: self.now, wall: wall(self.now) };
        self.hub.handle_event(ConnectionId(id), event, at).expect("an event of an open connection");
    }

    /// Verifies the credentials that were given first, and delivers the result. Returns `false` if there are none.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn verify(&mut self) -> bool {
        self.drain();
        let Some(Verification { id, connection, credentials }) = self.verifications.pop_front() else { return false };
        let account = accounts::verify(&credentials);
        if account.is_some() {
            let from = self.clients.get(&connection).and_then(Client::address);
            self.attempts.succeed(from, &credentials);
            // A closed connection is sent no answer, and what it has sent is the account's all the same.
            if let Some(client) = self.clients.get_mut(&connection).filter(|client| client.disconnected) {
                client.account = account.clone();
            }
        }
        self.verified = Some((connection, account.clone()));
        self.hub.handle_verified(id, account).expect("a result that was asked for");
        self.drain();
        self.verified = None;
        true
    }

    /// Returns the number of credentials that are being verified.
    #[must_use]
    pub fn verifications(&self) -> usize {
        self.verifications.len()
    }

    /// Returns the number of pages that the store was asked for and has not delivered.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Marks a connection's page as read. Returns `false` if it had none.
    pub fn read_on(&mut self, id: u64) -> bool {
        self.drain();
        let Some(client) = self.clients.get_mut(&id).filter(|client| !client.disconnected) else { return false };
        if !mem::take(&mut client.subscriptions.has_page) {
            return false;
        }
        self.hub.handle_drained(ConnectionId(id));
        self.drain();
        true
    }

    /// Ends the stream of a connection's peer. As with a real server, the hub is told once all is answered.
    ///
    /// # Panics
    ///
    /// If the connection is closed.
    pub fn end(&mut self, id: u64) {
        let client = self.clients.get_mut(&id).filter(|client| !client.disconnected).expect("an open connection");
        client.subscriptions.ending = true;
        self.drain();
    }

    /// Returns whether a connection's peer has ended its stream, or the connection is closed.
    #[must_use]
    pub fn has_ended(&self, id: u64) -> bool {
        self.clients.get(&id).is_none_or(|client| client.disconnected || client.subscriptions.ending)
    }

    /// Runs the store and reads on every connection until there is nothing to do.
    pub fn settle(&mut self) {
        loop {
            let mut moved = self.store(Fate::Done);
            while self.page() || self.verify() {
                moved = true;
            }
            for id in self.open() {
                moved |= self.read_on(id);
            }
            if !moved {
                return;
            }
        }
    }

    /// Takes and judges all effects of the hub.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn drain(&mut self) {
        let mut timeouts = 0;
        loop {
            while let Some(effect) = self.hub.poll_effect() {
                self.carry_out(effect);
            }
            if let Some(finished) = self.finished.take() {
                self.check_finished(finished);
            }
            let moved = self.report_ends() | self.report_disconnects();
            // As a driver does at once: a JOIN may be told of without delay, for one.
            let is_due = self.hub.poll_timeout().is_some_and(|at| at <= self.now);
            if is_due && timeouts < MAX_TIMEOUTS {
                timeouts += 1;
                self.hub.handle_timeout(self.now);
            } else if !moved {
                break;
            }
        }
        self.check_published();
        self.check_idle();
    }

    /// Checks that a change is in the published list before anything is sent about it.
    fn check_published(&self) {
        let published = self.published.as_ref().and_then(Listing::to_vec).expect("a published list");
        let mut listed = Vec::new();
        Response::Channels(self.model.listed()).encode(&mut listed);
        assert_eq!(String::from_utf8_lossy(&published), String::from_utf8_lossy(&listed), "what is published");
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(listing) => self.published = Some(listing),
            Effect::Send(ConnectionId(id), command) => self.sent(id, command),
            Effect::Disconnected(connection) => {
                let client = self.clients.get(&connection.0).expect("a connection");
                assert!(client.disconnected, "an open connection is disconnected");
                assert!(self.released.insert(connection.0), "a connection is disconnected twice");
            }
            Effect::Describe(ConnectionId(id), page) => {
                let answer = page.answer(|id| self.clients.get(&id.0).map(Client::measure).unwrap_or_default());
                self.sent(id, answer);
            }
            Effect::Verify(id, ConnectionId(connection), credentials) => {
                self.verifying(connection, &credentials);
                self.verifications.push_back(Verification { id, connection, credentials });
            }
            Effect::Acted(act) => self.acted(&act),
            Effect::Store(command) => self.commanded(command),
            Effect::Read(id, query) => {
                let (_, known) = self.model.log(&query.channel_name);
                self.reads.push_back(Reading { id, query, known, found: None });
            }
        }
    }

    /// Judges a command for a connection.
    fn sent(&mut self, id: u64, command: ServerCommand) {
        if let ServerCommand::Push(pushes) | ServerCommand::Replay(pushes) = &command {
            self.seen_pushes += pushes.len() as u64;
        }
        match command {
            ServerCommand::Respond { ticket, reply } => {
                self.check_published();
                self.answered(id, ticket, reply);
            }
            ServerCommand::Push(pushes) => {
                self.pushed(id, &pushes, true);
                let is_last = self.last_pushes.as_ref().is_some_and(|last| Arc::ptr_eq(last, &pushes));
                self.pushes += usize::from(!is_last);
                self.last_pushes = Some(pushes);
            }
            ServerCommand::Replay(pushes) => {
                self.pushed(id, &pushes, false);
                let client = self.clients.get_mut(&id).expect("a page for a connection");
                assert!(!mem::replace(&mut client.subscriptions.has_page, true), "a page before the last one was read");
            }
            ServerCommand::Revoke(error) => self.revoked(id, error),
            ServerCommand::Notify(notice) => panic!("connection {id} is notified: {notice:?}"),
            ServerCommand::Close(error) => self.removed(id, error),
            ServerCommand::CloseSlow(error) => self.slow(id, error),
            ServerCommand::Disconnect => self.ended_by_operator(id),
            ServerCommand::Finish => self.finish_subscriber(id),
            ServerCommand::Reconfigure(limits) => self.reconfigured.push((id, limits)),
            ServerCommand::Shutdown | ServerCommand::Reset => {
                panic!("a hub that is not drained closes connection {id}")
            }
        }
    }

    /// Reports to the hub the connections whose peers have ended and have all their answers.
    fn report_ends(&mut self) -> bool {
        let all_answered = |client: &Client| client.exchanges.iter().all(|exchange| exchange.reply.is_some());
        let ready = |client: &&mut Client| {
            !client.disconnected
                && client.subscriptions.ending
                && !client.subscriptions.reported_end
                && all_answered(client)
        };
        let ids: Vec<u64> = self
            .clients
            .iter_mut()
            .filter_map(|(id, client)| {
                ready(&client).then(|| {
                    client.subscriptions.reported_end = true;
                    *id
                })
            })
            .collect();
        ids.iter().for_each(|id| self.hub.handle_ended(ConnectionId(*id)));
        !ids.is_empty()
    }

    /// Reports to the hub that connections which it closed are disconnected.
    fn report_disconnects(&mut self) -> bool {
        let closed = mem::take(&mut self.closed);
        for id in &closed {
            if let Some(client) = self.clients.get_mut(id) {
                client.disconnected = true;
            }
            self.hub.disconnect(ConnectionId(*id));
        }
        !closed.is_empty()
    }

    /// Returns the answers that a connection was given since the last call, in the order in which they left.
    ///
    /// # Panics
    ///
    /// If the bytes are not answers.
    pub fn answers(&mut self, id: u64) -> Vec<Response> {
        let client = self.clients.get_mut(&id).expect("a connection");
        let (start, mut count) = client.taken;
        let mut decoder = Decoder::<Status>::new(usize::MAX);
        decoder.feed(client.written.get(start..).unwrap_or_default());
        let mut answers = Vec::new();
        while let Some(item) = decoder.next_item() {
            let Item::Frame(frame) = item else { panic!("no frame: {item:?}") };
            let exchange = client.exchanges.get(count).expect("an answer to a request");
            let response = Response::decode(exchange.request.command(), frame.start_line, frame.payload);
            answers.push(response.expect("an answer to this request"));
            count += 1;
        }
        client.taken = (client.written.len(), count);
        answers
    }

    /// Returns the ids that a connection was pushed since the last call, each with its channel.
    ///
    /// # Panics
    ///
    /// If there is no such connection.
    pub fn received(&mut self, id: u64) -> Vec<(ChannelName, u64)> {
        mem::take(&mut self.clients.get_mut(&id).expect("a connection").subscriptions.received)
    }

    /// Returns the error that a connection was closed with, if any; an orderly end has none.
    ///
    /// # Panics
    ///
    /// If there is no such connection.
    #[must_use]
    pub fn closed(&self, id: u64) -> Option<&ErrorResponse> {
        self.clients.get(&id).expect("a connection").subscriptions.closed.as_ref()
    }

    /// Returns whether a connection whose peer has ended was pushed everything that was promised.
    ///
    /// # Panics
    ///
    /// If there is no such connection.
    #[must_use]
    pub fn has_finished(&self, id: u64) -> bool {
        self.clients.get(&id).expect("a connection").subscriptions.finished
    }

    fn finish_command(&mut self, command: &StoreCommand, outcome: StoreOutcome) {
        let carried = mem::take(&mut self.carried);
        match (command, &outcome) {
            (StoreCommand::Commit(writes), StoreOutcome::Committed) => {
                self.model.commit(writes);
                self.count_leases(&carried);
                self.sent.extend(carried.sent.clone());
            }
            (StoreCommand::Load(names), StoreOutcome::Loaded(stored)) => {
                self.model.restore(names, stored.clone(), self.now);
                self.trusted = true;
                self.clients
                    .values_mut()
                    .flat_map(|client| &mut client.exchanges)
                    .for_each(|exchange| exchange.routes.clear());
            }
            // A refused commit leaves the stored state as it was.
            (StoreCommand::Commit(_), StoreOutcome::Refused) => {}
            _ => self.trusted = false,
        }
        self.clients
            .values_mut()
            .flat_map(|client| &mut client.exchanges)
            .for_each(|exchange| exchange.storing = false);
        self.note_routes();
        self.note_removed();
        self.finished = Some(Finished::new(outcome.clone(), matches!(command, StoreCommand::Load(_)), carried));
        self.hub.handle_outcome(outcome, self.now).expect("the outcome of what was asked");
        self.drain();
    }

    /// Notes, for each pending MESSAGE, the channel where it is right to store it now.
    fn note_routes(&mut self) {
        for client in self.clients.values_mut() {
            for exchange in client.exchanges.iter_mut().filter(|exchange| exchange.reply.is_none() && !exchange.storing)
            {
                exchange.note_route(&self.model, client.peer, client.listener);
            }
        }
    }
}
