//! A whole server on `std::net`, with the real endpoint and the real hub, one thread for each connection, and no
//! runtime. It keeps channels and messages in memory, so what it calls delivered is lost when it ends.
//!
//! `cargo run --example server -- 127.0.0.1:22236`, and in another terminal the example `client`.

mod blocking;

use std::{
    error::Error,
    net::{TcpListener, TcpStream},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use blocking::{Clock, turn};
use chanwire_core::{
    Limits,
    endpoint::{Endpoint as _, Misuse, Server, ServerEvent},
    hub::{ConnectionId, Effect, Hub, HubLimits, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{Address, Timestamp},
};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:22236".into());
    serve(&TcpListener::bind(address)?)
}

/// What all connections share: the hub that decides, and the store that it commands.
struct Shared {
    hub: Hub,
    store: Vec<Write>,
}

/// Serves connections for as long as there are any to accept.
pub(crate) fn serve(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    let own = listener.local_addr()?;
    let own = Address::from_ip(own.ip(), own.port()).ok_or("listen at one address, not at all of them")?;
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default());
    let here = hub.add_listener(vec![own]);
    let shared = Mutex::new(Shared { hub, store: Vec::new() });
    std::thread::scope(|scope| {
        for (id, stream) in (0..).map(ConnectionId).zip(listener.incoming()) {
            let (mut stream, shared) = (stream?, &shared);
            let peer = stream.peer_addr()?.ip();
            lock(shared).hub.connect(id, peer, here)?;
            scope.spawn(move || {
                if let Err(error) = carry(&mut stream, id, shared) {
                    eprintln!("the connection from {peer} failed: {error}");
                }
                lock(shared).hub.disconnect(id);
            });
        }
        Ok(())
    })
}

/// One connection from its first byte to its last.
fn carry(stream: &mut TcpStream, id: ConnectionId, shared: &Mutex<Shared>) -> Result<(), Box<dyn Error>> {
    let (clock, mut server) = (Clock::start(), Server::new(Limits::server()));
    while turn(&mut server, stream, clock)? {
        answer(&mut server, id, clock, &mut lock(shared))?;
    }
    Ok(())
}

/// Answers all that a connection asks. This store commits at once, so no answer waits for another thread.
fn answer(server: &mut Server, id: ConnectionId, clock: Clock, shared: &mut Shared) -> Result<(), Misuse> {
    while let Some(event) = server.poll_event() {
        if let ServerEvent::Request { ticket, request } = event {
            shared.hub.handle_request(id, ticket, request, wall_time())?;
        }
    }
    while let Some(effect) = shared.hub.poll_effect() {
        match effect {
            Effect::Answer { ticket, reply, .. } => server.respond(clock.now(), ticket, reply)?,
            Effect::Store(StoreCommand::Commit(writes)) => {
                shared.store.extend(writes);
                shared.hub.handle_outcome(StoreOutcome::Committed)?;
            }
            Effect::Store(StoreCommand::Load) => unreachable!("it is asked only after a commit that failed"),
        }
    }
    Ok(())
}

fn wall_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs().try_into().unwrap_or(i64::MAX))
}

/// A thread that panicked has left nothing half done that another could not go on from.
fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
