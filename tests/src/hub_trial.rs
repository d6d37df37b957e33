//! A hub on trial: its connections, its store, and a judge that checks every effect against the laws of the protocol.
#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint as _, Reply, Server, ServerEvent, Ticket},
    hub::{ConnectionId, Effect, Hub, HubLimits, ListenerId, StoreCommand, StoreOutcome, Write},
    wire::{Address, Channel, Decoder, Item, Request, Response, Status, Timestamp},
};

use crate::{
    hub_model::{Decision, Model, not_stored, plain, same_place},
    store::{Disk, Fate},
};

/// A hub, its store and its connections. Whatever is done with it, the laws are checked:
///
/// - each request has exactly one answer, and none after its connection is gone;
/// - a request is answered when all before it on its connection are, but for MESSAGEs that follow each other;
/// - what is answered is what [`Model`] says, by what is known to be stored;
/// - what is acknowledged is in the store, and LIST shows nothing that is not;
/// - the store has one command at a time, after a failure it is read before it is written, and a HOST that changes
///   nothing writes nothing;
/// - when the store has nothing to do, nothing is unanswered and no connection that left is kept.
#[derive(Debug)]
pub struct Trial {
    /// The hub.
    pub hub: Hub,
    /// The store.
    pub disk: Disk,
    /// What is right.
    pub model: Model,
    /// What the store was asked for and has not answered.
    pub command: Option<StoreCommand>,
    setup: Setup,
    listeners: Vec<ListenerId>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// The model is known to be what is stored.
    trusted: bool,
    finished: Option<Finished>,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The own addresses of each listener.
    pub own: Vec<Vec<Address>>,
    /// The channels that the operator fixes.
    pub fixed: Vec<Channel>,
    /// The most channels that are listed.
    pub limit: usize,
}

#[derive(Debug)]
struct Client {
    peer: IpAddr,
    listener: usize,
    server: Server,
    asked: Vec<Asked>,
    gone: bool,
    /// All that its server wrote, and how many bytes and answers of it the test has taken.
    written: Vec<u8>,
    taken: (usize, usize),
    /// How many bytes and answers were compared with what was to be written.
    compared: (usize, usize),
}

#[derive(Debug)]
struct Asked {
    ticket: String,
    request: Request,
    at: Timestamp,
    reply: Option<Vec<u8>>,
    /// It is in the commit that is with the store.
    storing: bool,
    /// The channels that it was ever right to append it to, by what was known while it waited.
    routes: BTreeSet<String>,
}

/// A command whose outcome has just been told.
#[derive(Debug)]
struct Finished {
    outcome: StoreOutcome,
    /// The HOSTs that were with the store and are not answered yet.
    puts: Vec<(Channel, IpAddr)>,
    /// What the messages say that were with the store and are not answered yet.
    messages: BTreeSet<String>,
}

const NOW: Time = Time::from_millis(0);

impl Trial {
    /// A server that starts over this store.
    #[must_use]
    pub fn start(setup: Setup, disk: Disk) -> Self {
        let mut limits = HubLimits::default();
        limits.max_channels = setup.limit;
        let mut hub = Hub::new(limits, disk.snapshot());
        let mut model = Model::new(setup.own.clone(), setup.limit);
        model.load(disk.snapshot());
        let listeners = setup.own.iter().map(|own| hub.add_listener(own.clone())).collect();
        for channel in &setup.fixed {
            hub.fix_channel(channel.clone());
            model.fix(channel.clone());
        }
        let clients = BTreeMap::new();
        Self {
            hub,
            disk,
            model,
            command: None,
            setup,
            listeners,
            clients,
            next_client: 0,
            trusted: true,
            finished: None,
        }
    }

    /// The server dies and starts again. What the store was doing then meets this fate; what it was told is lost.
    #[must_use]
    pub fn crash(mut self, fate: Fate) -> Self {
        if let Some(command) = self.command.take() {
            self.disk.carry_out(&command, fate);
        }
        Self { next_client: self.next_client, ..Self::start(self.setup, self.disk) }
    }

    /// A connection from this address to this listener.
    ///
    /// # Panics
    ///
    /// If the hub refuses it.
    pub fn connect(&mut self, peer: IpAddr, listener: usize) -> u64 {
        let id = self.next_client;
        self.next_client += 1;
        let listener_id = self.listeners.get(listener).copied().expect("a listener");
        self.hub.connect(ConnectionId(id), peer, listener_id).expect("a connection of a new number");
        let server = Server::new(Limits::server());
        let (asked, written) = (Vec::new(), Vec::new());
        let client = Client { peer, listener, server, asked, gone: false, written, taken: (0, 0), compared: (0, 0) };
        self.clients.insert(id, client);
        id
    }

    /// The numbers of the connections that are open.
    #[must_use]
    pub fn open(&self) -> Vec<u64> {
        self.clients.iter().filter(|(_, client)| !client.gone).map(|(id, _)| *id).collect()
    }

    /// A connection goes away, whatever it has asked.
    pub fn disconnect(&mut self, id: u64) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.gone = true;
        }
        self.hub.disconnect(ConnectionId(id));
        self.drain();
    }

    /// The machine's interfaces have changed.
    pub fn set_own_addresses(&mut self, listener: usize, own: Vec<Address>) {
        self.hub.set_own_addresses(self.listeners.get(listener).copied().expect("a listener"), own.clone());
        if let Some(addresses) = self.model.own.get_mut(listener) {
            *addresses = own;
        }
        self.note_routes();
    }

    /// A connection asks, at this wall time, and nothing is taken from the hub yet.
    ///
    /// # Panics
    ///
    /// If the hub does not know the connection.
    pub fn ask(&mut self, id: u64, request: &Request, at: i64) {
        let client = self.clients.get_mut(&id).filter(|client| !client.gone).expect("an open connection");
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        client.server.handle_input(NOW, &bytes);
        let Some(ServerEvent::Request { ticket, request }) = client.server.poll_event() else {
            panic!("a server refuses {request:?}")
        };
        let (at, shown) = (Timestamp::from_unix(at), format!("{ticket:?}"));
        let (reply, storing, routes) = (None, false, BTreeSet::new());
        let mut asked = Asked { ticket: shown, request: request.clone(), at, reply, storing, routes };
        asked.note_route(&self.model, client.peer, client.listener);
        client.asked.push(asked);
        self.hub.handle_request(ConnectionId(id), ticket, request, at).expect("a connection that the hub knows");
    }

    /// The store does, or does not, what it was asked for. `false` if it was asked for nothing.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn store(&mut self, fate: Fate) -> bool {
        self.drain();
        let Some(command) = self.command.take() else { return false };
        let outcome = self.disk.carry_out(&command, fate);
        match (&command, &outcome) {
            (StoreCommand::Commit(writes), StoreOutcome::Committed) => self.model.commit(writes),
            (StoreCommand::Load, StoreOutcome::Loaded(stored)) => {
                self.model.load(stored.clone());
                self.trusted = true;
                self.clients.values_mut().flat_map(|client| &mut client.asked).for_each(|asked| asked.routes.clear());
            }
            _ => self.trusted = false,
        }
        let mut finished = Finished { outcome: outcome.clone(), puts: Vec::new(), messages: BTreeSet::new() };
        let StoreCommand::Commit(writes) = command else { return self.tell(finished) };
        for write in writes {
            match write {
                Write::PutChannel(record) => finished.puts.push((record.channel, record.registered_from)),
                Write::Append(message) => drop(finished.messages.insert(message.message_content)),
            }
        }
        self.clients.values_mut().flat_map(|client| &mut client.asked).for_each(|asked| asked.storing = false);
        self.tell(finished)
    }

    fn tell(&mut self, finished: Finished) -> bool {
        let outcome = finished.outcome.clone();
        self.note_routes();
        self.finished = Some(finished);
        self.hub.handle_outcome(outcome).expect("the outcome of what was asked");
        self.drain();
        true
    }

    /// The store works until it is asked for nothing.
    pub fn settle(&mut self) {
        while self.store(Fate::Done) {}
    }

    /// Takes and judges all that the hub wants done.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub fn drain(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Answer { connection, ticket, reply } => self.answered(connection.0, ticket, reply),
                Effect::Store(command) => self.commanded(command),
            }
        }
        if let Some(finished) = self.finished.take() {
            self.check_finished(finished);
        }
        self.check_rest();
    }

    /// The answers that a connection has been given since they were last asked for, in the order in which they left.
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
            let asked = client.asked.get(count).expect("an answer to a request");
            let response = Response::decode(asked.request.command(), frame.head, frame.payload);
            answers.push(response.expect("an answer to this request"));
            count += 1;
        }
        client.taken = (client.written.len(), count);
        answers
    }

    /// Notes, for each MESSAGE that waits, where it is right to store it now.
    fn note_routes(&mut self) {
        for client in self.clients.values_mut() {
            for asked in client.asked.iter_mut().filter(|asked| asked.reply.is_none() && !asked.storing) {
                asked.note_route(&self.model, client.peer, client.listener);
            }
        }
    }

    fn answered(&mut self, id: u64, ticket: Ticket, reply: Reply) {
        let in_doubt = !self.trusted;
        let pending = self.pending_names();
        let client = self.clients.get_mut(&id).expect("an answer to a connection");
        assert!(!client.gone, "an answer to connection {id}, which is gone");
        let shown = format!("{ticket:?}");
        let index = client.asked.iter().position(|asked| asked.ticket == shown).expect("an answer to a request");
        let (before, rest) = client.asked.split_at_mut(index);
        let asked = rest.first_mut().expect("a request");
        assert_eq!(asked.reply, None, "a second answer to {:?}", asked.request);
        let is_message = |request: &Request| matches!(request, Request::Message(_));
        assert!(
            before.iter().all(|earlier| {
                earlier.reply.is_some() || is_message(&earlier.request) && is_message(&asked.request)
            }),
            "{:?} is answered before an earlier request is",
            asked.request
        );

        let bytes = bytes(&reply);
        let failed = self.finished.as_ref().is_some_and(|finished| finished.outcome == StoreOutcome::Failed);
        let expected = match take_part(asked, plain(client.peer), self.finished.as_mut(), &self.disk) {
            Some(_) if failed => Decision::Answer(not_stored()),
            Some(response) => Decision::Answer(response),
            None => self.model.decide(client.peer, client.listener, &asked.request),
        };
        match (&expected, &asked.request) {
            // The store could not be read either.
            (_, Request::Host(_) | Request::Message(_)) if failed && bytes == encode(&not_stored()) => {}
            (Decision::Answer(Response::Hosted { .. }), _) if in_doubt => {
                panic!("{:?} is acknowledged while it is not known what is stored", asked.request)
            }
            (Decision::Answer(response), _) => assert_eq!(text(&bytes), text(&encode(response))),
            (Decision::Refuse(error), _) => check_error(&bytes, error),
            (Decision::Put, Request::Host(channel)) => {
                check_error(&bytes, "Limit reached");
                let others = pending.iter().filter(|name| **name != channel.channel_name).count();
                assert!(self.model.listed().len() + others >= self.model.limit, "the limit is not reached");
            }
            (Decision::Append(_) | Decision::Put, request) => {
                panic!("{request:?} is answered {} and not stored", text(&bytes))
            }
        }
        check_durable(&self.disk, &self.model, &asked.request, &bytes);
        asked.reply = Some(bytes);
        client.server.respond(NOW, ticket, reply).expect("a ticket of this connection");
        client.write();
    }

    /// Names that a HOST which is not answered would add.
    fn pending_names(&self) -> BTreeSet<String> {
        let asked = self.clients.values().flat_map(|client| &client.asked).filter(|asked| asked.reply.is_none());
        let name = |asked: &Asked| match &asked.request {
            Request::Host(channel) => Some(channel.channel_name.clone()),
            _ => None,
        };
        asked.filter_map(name).filter(|name| self.model.find(name).is_none()).collect()
    }

    fn commanded(&mut self, command: StoreCommand) {
        assert_eq!(self.command, None, "a second command for the store: {command:?}");
        match &command {
            StoreCommand::Load => assert!(!self.trusted, "the store is read although what it holds is known"),
            StoreCommand::Commit(writes) => {
                assert!(self.trusted, "something is stored before the store was read after a failure");
                assert!(!writes.is_empty(), "a commit of nothing");
                self.check_commit(writes);
            }
        }
        self.command = Some(command);
    }

    fn check_commit(&mut self, writes: &[Write]) {
        let mut logs = BTreeMap::new();
        let mut names = BTreeSet::new();
        for write in writes {
            match write {
                Write::Append(message) => {
                    let name = &message.channel_name;
                    let log = logs.entry(name).or_insert((self.disk.last_id(name), self.disk.last_timestamp(name)));
                    let asked = find_message(&mut self.clients, &message.message_content);
                    assert!(asked.routes.contains(name), "{message:?} is stored in the wrong channel");
                    let Request::Message(request) = &asked.request else { panic!("{:?} is stored", asked.request) };
                    assert_eq!(message.username, request.username);
                    assert_eq!(message.id, log.0 + 1, "the id of {message:?}");
                    let expected = log.1.map_or(asked.at, |last| last.max(asked.at));
                    assert_eq!(message.timestamp, expected, "the time of {message:?}");
                    *log = (message.id, Some(message.timestamp));
                }
                Write::PutChannel(record) => {
                    let name = &record.channel.channel_name;
                    assert!(names.insert(name), "'{name}' is stored twice in one commit");
                    let mut hosts = self.clients.values().filter(|client| {
                        plain(client.peer) == record.registered_from
                            && client.next_is(|request| *request == Request::Host(record.channel.clone()))
                    });
                    let client = hosts.next().unwrap_or_else(|| panic!("nobody may have {record:?} stored now"));
                    let request = Request::Host(record.channel.clone());
                    let decision = self.model.decide(client.peer, client.listener, &request);
                    assert_eq!(decision, Decision::Put, "{record:?} is stored");
                }
            }
        }
        let new = names.iter().filter(|name| self.model.find(name).is_none()).count();
        assert!(new == 0 || self.model.listed().len() + new <= self.model.limit, "the limit is passed");
    }

    /// Everything that was with the store is answered.
    fn check_finished(&mut self, finished: Finished) {
        let Finished { puts, mut messages, .. } = finished;
        for (channel, from) in puts {
            // Only of a connection that is gone nothing is heard.
            let request = Request::Host(channel);
            let mut gone = self.clients.values_mut().filter(|client| client.gone && plain(client.peer) == from);
            let asked = gone.find_map(|client| {
                client
                    .asked
                    .iter()
                    .position(|asked| asked.request == request)
                    .map(|index| client.asked.drain(..=index).next_back())
            });
            assert!(asked.is_some(), "{request:?} was with the store and is not answered");
        }
        for client in self.clients.values_mut().filter(|client| client.gone) {
            client.asked.retain(|asked| match &asked.request {
                Request::Message(message) => !messages.remove(&message.message_content),
                _ => true,
            });
        }
        assert!(messages.is_empty(), "{messages:?} were with the store and are not answered");
    }

    /// What must hold when the hub wants nothing more for now.
    fn check_rest(&mut self) {
        let open = self.open();
        match &self.command {
            None => {
                for client in self.clients.values().filter(|client| !client.gone) {
                    let open = client.asked.iter().find(|asked| asked.reply.is_none());
                    assert!(open.is_none(), "nothing is with the store, and {open:?} is not answered");
                }
                self.clients.retain(|_, client| !client.gone);
                assert!(self.hub.is_idle());
                assert_eq!(self.hub.connections(), open.len(), "connections that the hub knows");
            }
            Some(StoreCommand::Commit(_)) => {
                for client in self.clients.values().filter(|client| !client.gone) {
                    let waits = client.next_is(|request| *request == Request::List);
                    assert!(!waits, "LIST waits although all before it on its connection is answered");
                }
            }
            Some(StoreCommand::Load) => {}
        }
        assert!(self.hub.connections() >= open.len());
    }
}

impl Asked {
    fn note_route(&mut self, model: &Model, peer: IpAddr, listener: usize) {
        if let Decision::Append(name) = model.decide(peer, listener, &self.request) {
            self.routes.insert(name);
        }
    }
}

impl Client {
    /// Whether the first request that is not answered is such a one. Of a connection that is gone it is not known
    /// which one that is.
    fn next_is(&self, such: impl Fn(&Request) -> bool) -> bool {
        let mut open = self.asked.iter().filter(|asked| asked.reply.is_none());
        if self.gone {
            return open.any(|asked| such(&asked.request));
        }
        open.next().is_some_and(|asked| such(&asked.request))
    }

    /// Writes what is to be written: the answers to the first requests, in order, and nothing else.
    fn write(&mut self) {
        loop {
            let mut slices = [&[][..]; 64];
            let count = self.server.transmit(&mut slices);
            let bytes = slices.iter().take(count).copied().collect::<Vec<_>>().concat();
            if bytes.is_empty() {
                break;
            }
            self.server.handle_written(NOW, bytes.len());
            self.written.extend(bytes);
        }
        let (mut start, mut count) = self.compared;
        while let Some(reply) = self.asked.get(count).and_then(|asked| asked.reply.as_deref()) {
            let left = self.written.get(start..).unwrap_or_default();
            assert!(left.starts_with(reply), "{} left where {} is due", text(left), text(reply));
            (start, count) = (start + reply.len(), count + 1);
        }
        assert_eq!(start, self.written.len(), "what left before its turn");
        self.compared = (start, count);
    }
}

/// Finds the request for a message that is about to be stored, and marks it.
fn find_message<'a>(clients: &'a mut BTreeMap<u64, Client>, content: &str) -> &'a mut Asked {
    let says =
        |asked: &Asked| matches!(&asked.request, Request::Message(message) if message.message_content == content);
    let mut found = None;
    for client in clients.values_mut() {
        if let Some(index) = client.asked.iter().position(says) {
            let (before, rest) = client.asked.split_at_mut(index);
            let turn = before.iter().all(|earlier| earlier.reply.is_some() || earlier.storing);
            assert!(turn || client.gone, "{content:?} is stored before an earlier request is decided");
            found = rest.first_mut();
        }
    }
    let asked = found.unwrap_or_else(|| panic!("{content:?} is stored, and nobody sent it"));
    assert!(asked.reply.is_none() && !asked.storing, "{content:?} is stored twice or was answered");
    asked.storing = true;
    asked
}

/// If the request was with the store in the command that has just come back: what it is answered if that went well.
fn take_part(asked: &Asked, peer: IpAddr, finished: Option<&mut Finished>, disk: &Disk) -> Option<Response> {
    match &asked.request {
        Request::Message(message) => {
            if !finished?.messages.remove(&message.message_content) {
                return None;
            }
            let timestamp = disk.find(&message.message_content).map_or(asked.at, |stored| stored.timestamp);
            Some(Response::Delivered { timestamp })
        }
        Request::Host(channel) => {
            let puts = &mut finished?.puts;
            let index = puts.iter().position(|(put, from)| put == channel && *from == peer)?;
            puts.remove(index);
            Some(Response::Hosted { channel_name: channel.channel_name.clone() })
        }
        _ => None,
    }
}

/// What is acknowledged is in the store.
fn check_durable(disk: &Disk, model: &Model, request: &Request, bytes: &[u8]) {
    if !bytes.starts_with(b"OK") {
        return;
    }
    match request {
        Request::Message(message) => {
            assert!(disk.find(&message.message_content).is_some(), "{message:?} is acknowledged and not stored");
        }
        Request::Host(channel) => {
            let name = &channel.channel_name;
            let fixed = model.find(name).filter(|(_, from)| from.is_none()).map(|(channel, _)| channel);
            let stored = fixed.or_else(|| disk.channel(name).map(|record| &record.channel));
            let kept = stored.is_some_and(|stored| same_place(&stored.address, &channel.address));
            assert!(kept, "{channel:?} is acknowledged, and {stored:?} is stored");
        }
        _ => {}
    }
}

fn check_error(bytes: &[u8], error: &str) {
    let start = format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", ");
    assert!(bytes.starts_with(start.as_bytes()), "{} where '{error}' is due", text(bytes));
}

fn encode(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    bytes
}

fn bytes(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Response(response) => encode(response),
        Reply::Encoded(bytes) => bytes.to_vec(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
