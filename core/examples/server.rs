//! A server on `std::net`, one thread and no runtime: about a hundred lines, and sixty of I/O shared with the example
//! `client`. It keeps channels and messages in memory only, so delivered messages are lost when it ends.
//!
//! `cargo run --example server -- 127.0.0.1:22236`, and in another terminal the example `client`.

mod blocking;

use std::{
    collections::BTreeMap,
    error::Error,
    net::TcpListener,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use blocking::{Clock, step};
use chanwire_core::{
    Limits,
    endpoint::{Endpoint as _, Server},
    hub::{ConnectionId, Effect, Hub, HubLimits, Moment, Peer, Query, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{Address, HistoryRange, StoredMessage, Timestamp},
};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:22236".into());
    serve(&TcpListener::bind(address)?)
}

/// Accepts and serves connections.
pub(crate) fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    let local = listener.local_addr()?;
    let local = Address::from_ip(local.ip(), local.port()).ok_or("listen at one address, not at all of them")?;
    listener.set_nonblocking(true)?;
    let (clock, mut connections, mut store) = (Clock::start(), BTreeMap::new(), Vec::new());
    let now = Moment { time: clock.now(), wall: wall_time() };
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), now);
    let (listener_id, mut ids) = (hub.add_listener(&[local]), (0..).map(ConnectionId));
    loop {
        while let (Ok((stream, peer)), Some(id)) = (listener.accept(), ids.next()) {
            stream.set_nonblocking(true)?;
            hub.connect(id, Peer::Address(peer.ip()), Some(listener_id), now.time)?;
            connections.insert(id, (stream, Server::new(id, Limits::server())));
        }
        let now = Moment { time: clock.now(), wall: wall_time() };
        hub.handle_timeout(now.time);
        for (id, (_, server)) in &mut connections {
            while let Some(event) = server.poll_event() {
                hub.handle_event(*id, event, now)?;
            }
        }
        while let Some(effect) = hub.poll_effect() {
            match effect {
                Effect::Send(id, command) => {
                    if let Some((_, server)) = connections.get_mut(&id) {
                        server.handle_command(now.time, command)?;
                    }
                }
                // Not used here: LISTs are answered by the hub, and the number of connections is not limited.
                Effect::Publish(_) | Effect::Describe(..) | Effect::Disconnected(_) | Effect::Acted(_) => {}
                // There are no accounts.
                Effect::Verify(verification, ..) => hub.handle_verified(verification, None)?,
                Effect::Read(read, query) => hub.handle_page(read, Some(query.found(page(&store, &query))))?,
                // Only messages are kept: the hub has the directory in memory, and nothing outlives the process.
                Effect::Store(StoreCommand::Commit(writes)) => {
                    store.extend(writes.iter().filter_map(message).cloned());
                    hub.handle_outcome(StoreOutcome::Committed, now.time)?;
                }
                Effect::Store(StoreCommand::Load(_)) => unreachable!("sent only after a failed commit"),
            }
        }
        // A connection with a failed socket has ended.
        let is_over = |_: &_, (stream, server): &mut _| !step(server, stream, clock).unwrap_or(false);
        connections.extract_if(.., is_over).for_each(|(id, _)| hub.disconnect(id));
        // A runtime would wait for all sockets at once.
        thread::sleep(Duration::from_micros(100));
    }
}

const fn message(write: &Write) -> Option<&StoredMessage> {
    match write {
        Write::Append { message, .. } => Some(message),
        _ => None,
    }
}

/// Returns the messages that a query selects.
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
