//! A hub on trial: its connections, its store, and a judge that checks every effect against the laws of the protocol.
#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

mod client;
mod judge;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint as _, Server, ServerEvent},
    hub::{ConnectionId, Effect, Hub, HubLimits, ListenerId, StoreCommand, StoreOutcome, Write},
    wire::{Address, Channel, Decoder, Item, Request, Response, Status, Timestamp},
};

use self::client::{Asked, Client};
use crate::{
    hub_model::Model,
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
}
