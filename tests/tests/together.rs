//! Servers and a hub together, in memory: what a peer sees that joins, reads as slowly as it likes, and ends.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "together/churn.rs"]
mod churn;
#[path = "together/sessions.rs"]
mod sessions;

use std::collections::BTreeMap;

use chanwire_core::{
    Limits, Time,
    endpoint::{ConnectionAction, Endpoint as _, Pushes, Server, ServerCommand},
    hub::{ConnectionId, Effect, Hub, HubLimits, ListenerId, Moment, Peer, Snapshot, StoreCommand},
    wire::{Channel, Decoder, Item, Request, Response, Status, StoredMessage, Timestamp},
};
use chanwire_tests::{
    accounts,
    link::End,
    store::{Disk, Fate},
};

const NOW: Time = Time::from_millis(0);

/// A hub, its store, and the servers of its connections.
struct World {
    hub: Hub,
    disk: Disk,
    listener: ListenerId,
    servers: BTreeMap<u64, End<Server>>,
    next: u64,
    limits: Limits,
    command: Option<StoreCommand>,
    /// The pushes that went to at least one connection, as long as any keeps them.
    pushes: Vec<std::sync::Weak<Pushes>>,
}

/// An item that a connection received.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Push(u64),
    Answer(String),
}

impl World {
    /// Returns a server that hosts `here`.
    fn new() -> Self {
        let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment { time: NOW, ..Moment::default() });
        let own: chanwire_core::wire::Address = "127.0.0.1:22236".parse().unwrap();
        let listener = hub.add_listener(std::slice::from_ref(&own));
        hub.fix_channel(Channel { channel_name: "here".parse().unwrap(), address: own });
        let (servers, pushes, limits) = (BTreeMap::new(), Vec::new(), Limits::server());
        Self { hub, disk: Disk::default(), listener, servers, next: 0, limits, command: None, pushes }
    }

    fn connect(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        let peer = Peer::Address([192, 0, 2, 7].into());
        self.hub.connect(ConnectionId(id), peer, Some(self.listener), NOW).unwrap();
        self.servers.insert(id, End::new(Server::new(ConnectionId(id), self.limits.clone())));
        id
    }

    fn server(&mut self, id: u64) -> &mut End<Server> {
        self.servers.get_mut(&id).unwrap()
    }

    /// Sends a request from a connection's peer.
    fn send(&mut self, id: u64, request: &Request) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        self.server(id).endpoint.handle_input(NOW, &bytes);
        self.deliver_events(id);
    }

    /// Ends the stream of a connection's peer.
    fn end(&mut self, id: u64) {
        self.server(id).endpoint.handle_eof(NOW);
        self.deliver_events(id);
    }

    /// Reads at most so many bytes at a connection's peer.
    fn take(&mut self, id: u64, most: usize) {
        self.server(id).write(NOW, most);
        self.deliver_events(id);
    }

    /// Closes and drops a connection.
    fn disconnect(&mut self, id: u64) {
        self.servers.remove(&id);
        self.hub.disconnect(ConnectionId(id));
        self.carry();
    }

    /// Delivers the events of a server to the hub.
    fn deliver_events(&mut self, id: u64) {
        while let Some(event) = self.servers.get_mut(&id).and_then(|end| end.endpoint.poll_event()) {
            let at = Moment { time: NOW, wall: Timestamp::from_unix(0) };
            self.hub.handle_event(ConnectionId(id), event, at).unwrap();
        }
        self.carry();
    }

    /// Carries out the effects of the hub, but for its writes.
    fn carry(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Publish(_) | Effect::Describe(..) | Effect::Disconnected(_) | Effect::Acted(_) => {}
                Effect::Send(ConnectionId(id), command) => {
                    if let ServerCommand::Push(pushes) | ServerCommand::Replay(pushes) = &command {
                        self.pushes.push(std::sync::Arc::downgrade(pushes));
                    }
                    self.server(id).endpoint.handle_command(NOW, command).unwrap();
                    self.deliver_events(id);
                }
                Effect::Store(command) => self.command = Some(command),
                Effect::Verify(verification, _, credentials) => {
                    self.hub.handle_verified(verification, accounts::verify(&credentials)).unwrap();
                }
                Effect::Read(read, query) => {
                    let page = Some(query.found(self.disk.read(&query)));
                    self.hub.handle_page(read, page).unwrap();
                }
            }
        }
    }

    /// Carries out the command of the store.
    fn store(&mut self) {
        while let Some(command) = self.command.take() {
            let outcome = self.disk.carry_out(&command, Fate::Done);
            self.hub.handle_outcome(outcome, NOW).unwrap();
            self.carry();
        }
    }

    /// Sends a message.
    fn say(&mut self, id: u64, content: &str) {
        let (username, message_content) = ("user1".parse().unwrap(), content.into());
        let channel_name = Some("here".parse().unwrap());
        self.send(
            id,
            &Request::Message(chanwire_core::wire::Message {
                username,
                message_content,
                channel_name,
                client_message_id: None,
            }),
        );
    }

    /// Decodes everything that a connection's peer has read.
    fn got(&mut self, id: u64) -> Vec<Got> {
        let mut decoder = Decoder::<Status>::new(usize::MAX);
        decoder.feed(&self.server(id).written);
        let mut got = Vec::new();
        while let Some(item) = decoder.next_item() {
            let Item::Frame(frame) = item else { panic!("no frame: {item:?}") };
            got.push(match frame.start_line {
                Status::Push => Got::Push(StoredMessage::decode(frame.payload).unwrap().id),
                Status::Ok => Got::Answer("OK".into()),
                status => {
                    let error = Response::decode(chanwire_core::wire::Command::List, status, frame.payload);
                    let Ok(Response::Error(error)) = error else { panic!("no error") };
                    Got::Answer(error.error.into_owned())
                }
            });
        }
        got
    }
}
