//! A whole server without a socket: its endpoint, and if asked for its hub over a store that commits at once.

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint, Server, ServerEvent},
    hub::{ConnectionId, Effect, Hub, HubLimits, ListenerId, Snapshot, StoreCommand, StoreOutcome},
    wire::{Address, Channel, Request, Response, Timestamp},
};

/// One connection, many requests.
pub(crate) struct Service {
    server: Server,
    hub: Hub,
    now: Time,
    at: Timestamp,
}

const CONNECTION: ConnectionId = ConnectionId(1);

impl Service {
    /// A connection, and a hub with one channel at the listener's address.
    pub(crate) fn new() -> Self {
        let here = Address::new("127.0.0.1", 22_236).expect("the loopback address");
        let mut hub = Hub::new(HubLimits::default(), Snapshot::default());
        let listener: ListenerId = hub.add_listener(vec![here.clone()]);
        hub.fix_channel(Channel { channel_name: "general".into(), address: here });
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        hub.connect(CONNECTION, peer, listener).expect("the first connection");
        let at = Timestamp::from_unix(1_698_937_472);
        Self { server: Server::new(Limits::server()), hub, now: Time::default(), at }
    }

    /// Answers all that one read brought, from the endpoint alone. How many there were.
    pub(crate) fn answer(&mut self, read: &[u8]) -> usize {
        self.server.handle_input(self.now, read);
        let mut count = 0;
        loop {
            let before = count;
            while let Some(event) = self.server.poll_event() {
                let ServerEvent::Request { ticket, request } = event else { panic!("{event:?}") };
                let response = match request {
                    Request::Message(_) => Response::Delivered { timestamp: self.at },
                    other => panic!("{other:?}"),
                };
                self.server.respond(self.now, ticket, response).expect("its own ticket");
                count += 1;
            }
            self.write();
            if count == before {
                return count;
            }
        }
    }

    /// Answers all that one read brought, from the hub, when the store has it. How many there were.
    pub(crate) fn serve(&mut self, read: &[u8]) -> usize {
        self.server.handle_input(self.now, read);
        let mut count = 0;
        loop {
            let before = count;
            while let Some(event) = self.server.poll_event() {
                let ServerEvent::Request { ticket, request } = event else { panic!("{event:?}") };
                self.hub.handle_request(CONNECTION, ticket, request, self.at).expect("it is connected");
            }
            while let Some(effect) = self.hub.poll_effect() {
                match effect {
                    Effect::Answer { ticket, reply, .. } => {
                        self.server.respond(self.now, ticket, reply).expect("its own ticket");
                        count += 1;
                    }
                    Effect::Store(StoreCommand::Commit(writes)) => {
                        drop(writes);
                        self.hub.handle_outcome(StoreOutcome::Committed).expect("it was asked for");
                    }
                    Effect::Store(StoreCommand::Load) => panic!("nothing has failed"),
                }
            }
            self.write();
            if count == before {
                return count;
            }
        }
    }

    fn write(&mut self) {
        loop {
            let mut slices = [&[][..]; 16];
            let filled = self.server.transmit(&mut slices);
            let count: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            if count == 0 {
                return;
            }
            self.server.handle_written(self.now, count);
        }
    }
}
