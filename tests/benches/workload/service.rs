//! A whole server without a socket: its endpoint, and if asked for its hub over a store that commits at once.

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint, Server, ServerEvent},
    hub::{ConnectionId, Effect, Hub, HubLimits, Moment, Peer, Snapshot, StoreCommand, StoreOutcome},
    wire::{Address, Channel, Request, Response, Timestamp},
};

/// One connection, many requests.
pub(crate) struct Service {
    server: Server,
    hub: Hub,
    at: Moment,
}

const CONNECTION: ConnectionId = ConnectionId(1);

impl Service {
    /// Returns a connection, and a hub with one channel at the listener's address.
    pub(crate) fn new() -> Self {
        let here = Address::new("127.0.0.1", 22_236).expect("the loopback address");
        let at = Moment { time: Time::default(), wall: Timestamp::from_unix(1_698_937_472) };
        let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), at);
        let listener = hub.add_listener(std::slice::from_ref(&here));
        hub.fix_channel(Channel { channel_name: "general".parse().expect("a name"), address: here });
        let peer = Peer::Address(std::net::Ipv4Addr::LOCALHOST.into());
        hub.connect(CONNECTION, peer, Some(listener), at.time).expect("the first connection");
        Self { server: Server::new(CONNECTION, Limits::server()), hub, at }
    }

    /// Answers all requests of one read from the endpoint alone, and returns their number.
    pub(crate) fn answer(&mut self, read: &[u8]) -> usize {
        self.server.handle_input(self.at.time, read);
        let mut count = 0;
        loop {
            let before = count;
            while let Some(event) = self.server.poll_event() {
                let ServerEvent::Request { ticket, request } = event else { panic!("{event:?}") };
                let response = match request {
                    Request::Message(_) => Response::Delivered { timestamp: self.at.wall, id: None },
                    other => panic!("{other:?}"),
                };
                self.server.respond(self.at.time, ticket, response).expect("its own ticket");
                count += 1;
            }
            self.write();
            if count == before {
                return count;
            }
        }
    }

    /// Answers all requests of one read from the hub once the store has them, and returns their number.
    pub(crate) fn serve(&mut self, read: &[u8]) -> usize {
        self.server.handle_input(self.at.time, read);
        let mut count = 0;
        loop {
            let before = count;
            while let Some(event) = self.server.poll_event() {
                self.hub.handle_event(CONNECTION, event, self.at).expect("it is connected");
            }
            while let Some(effect) = self.hub.poll_effect() {
                match effect {
                    Effect::Publish(_) => {}
                    Effect::Send(_, command) => {
                        self.server.handle_command(self.at.time, command).expect("its own ticket");
                        count += 1;
                    }
                    Effect::Store(StoreCommand::Commit(writes)) => {
                        drop(writes);
                        self.hub.handle_outcome(StoreOutcome::Committed, self.at.time).expect("it was asked for");
                    }
                    other => panic!("nothing has failed, and nothing was joined or read: {other:?}"),
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
            self.server.handle_written(self.at.time, count);
        }
    }
}
