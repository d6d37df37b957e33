//! A whole server on `std::net`, with the real endpoint and the real hub, on one thread and no runtime. It keeps
//! channels and messages in memory, so what it calls delivered is lost when it ends.
//!
//! `cargo run --example server -- 127.0.0.1:22236`, and in another terminal the example `client`.

mod blocking;

use std::{
    collections::BTreeMap,
    error::Error,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use blocking::{Clock, turn};
use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint as _, Misuse, Server, ServerEvent},
    hub::{ConnectionId, Effect, Hub, HubLimits, Moment, Peer, Query, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{Address, HistoryRange, StoredMessage, Timestamp},
};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:22236".into());
    serve(&TcpListener::bind(address)?)
}

/// Each connection: its socket, and the state machine that knows what to do with it.
type Connections = BTreeMap<ConnectionId, (TcpStream, Server)>;

/// Serves connections for as long as there are any to accept.
pub(crate) fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    let own = listener.local_addr()?;
    let own = Address::from_ip(own.ip(), own.port()).ok_or("listen at one address, not at all of them")?;
    listener.set_nonblocking(true)?;
    let (clock, mut connections, mut store) = (Clock::start(), Connections::new(), Vec::new());
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), clock.now());
    let here = hub.add_listener(vec![own]);
    let mut ids = (0..).map(ConnectionId);
    loop {
        while let (Ok((stream, peer)), Some(id)) = (listener.accept(), ids.next()) {
            stream.set_nonblocking(true)?;
            hub.connect(id, Peer::Address(peer.ip()), Some(here))?;
            connections.insert(id, (stream, Server::new(Limits::server())));
        }
        hub.handle_timeout(clock.now());
        connections.retain(|id, (stream, server)| {
            // A socket that fails is a connection that has ended.
            let open = turn(server, stream, clock).unwrap_or(false) && ask(&mut hub, *id, server, clock.now()).is_ok();
            if !open {
                hub.disconnect(*id);
            }
            open
        });
        obey(&mut hub, &mut connections, &mut store, clock.now())?;
        // Waiting for all sockets at once is what a runtime is for.
        thread::sleep(Duration::from_micros(100));
    }
}

/// Tells the hub what a connection has to say.
fn ask(hub: &mut Hub, id: ConnectionId, server: &mut Server, now: Time) -> Result<(), Misuse> {
    while let Some(event) = server.poll_event() {
        match event {
            ServerEvent::Request { ticket, request } => {
                hub.handle_request(id, ticket, request, Moment { time: now, wall: wall_time() })?;
            }
            ServerEvent::Drained => hub.handle_drained(id),
            ServerEvent::Ended => hub.handle_ended(id),
            ServerEvent::Refused { .. } => {}
        }
    }
    Ok(())
}

/// Does what the hub wants done.
fn obey(hub: &mut Hub, connections: &mut Connections, store: &mut Vec<StoredMessage>, now: Time) -> Result<(), Misuse> {
    while let Some(effect) = hub.poll_effect() {
        let mut tell = |id: ConnectionId, told: &mut dyn FnMut(&mut Server)| {
            if let Some((_, server)) = connections.get_mut(&id) {
                told(server);
            }
        };
        match effect {
            Effect::Answer { connection, ticket, reply } => {
                if let Some((_, server)) = connections.get_mut(&connection) {
                    server.respond(now, ticket, reply)?;
                }
            }
            Effect::Push { to, pushes } => {
                to.into_iter().for_each(|id| tell(id, &mut |server| server.push(now, pushes.clone())));
            }
            Effect::Replay { connection, pushes } => tell(connection, &mut |server| server.replay(now, pushes.clone())),
            Effect::Close { connection, error } => tell(connection, &mut |server| server.close(now, error.clone())),
            Effect::CloseSlow { connection, error } => {
                tell(connection, &mut |server| server.close_slow(now, error.clone()));
            }
            Effect::Finish { connection } => tell(connection, &mut |server| server.finish(now)),
            Effect::Store(StoreCommand::Commit(writes)) => {
                // The directory is in the hub: a store that ends with it need not keep another.
                let messages = writes.iter().filter_map(|write| match write {
                    Write::Append(message) => Some(message.clone()),
                    Write::PutChannel(_) | Write::RemoveChannel(_) => None,
                });
                store.extend(messages);
                hub.handle_outcome(StoreOutcome::Committed, now)?;
            }
            Effect::Store(StoreCommand::Load) => unreachable!("it is asked only after a commit that failed"),
            Effect::Read(read, query) => hub.handle_page(read, Some(page(store, &query)))?,
        }
    }
    Ok(())
}

/// The messages that a query asks for.
fn page(store: &[StoredMessage], query: &Query) -> Vec<StoredMessage> {
    let wanted = |message: &&StoredMessage| {
        message.channel_name == query.channel_name
            && match query.range {
                HistoryRange::After(id) => message.id > id,
                HistoryRange::Before(id) => message.id < id,
                HistoryRange::Last => true,
            }
    };
    let found: Vec<_> = store.iter().filter(wanted).cloned().collect();
    let skipped = match query.range {
        HistoryRange::After(_) => 0,
        HistoryRange::Before(_) | HistoryRange::Last => found.len().saturating_sub(query.limit),
    };
    found.into_iter().skip(skipped).take(query.limit).collect()
}

fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs().try_into().unwrap_or(i64::MAX))
}
