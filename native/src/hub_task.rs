//! The one task that owns the hub.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use chanwire_core::{
    endpoint::Ticket,
    hub::{ConnectionId, Effect, Hub, ListenerId, StoreCommand, StoreOutcome},
    wire::{Address, Request},
};
use tokio::sync::mpsc;

use crate::{clock::wall_time, mailbox::Mailbox};

/// How many inputs are taken before effects are looked at, at most.
const BATCH: usize = 1024;

/// What the hub is told.
pub(crate) enum Input {
    /// A connection was accepted.
    Connect { id: ConnectionId, peer: IpAddr, listener: ListenerId, mailbox: Arc<Mailbox> },
    /// A connection asks, all that one read gave.
    Requests(ConnectionId, Vec<(Ticket, Request)>),
    /// A connection is closed.
    Disconnect(ConnectionId),
    /// The store has done what it was told.
    Outcome(StoreOutcome),
    /// A listener's own addresses have changed.
    OwnAddresses(ListenerId, Vec<Address>),
    /// The server stops: connections are to finish what is owed, and close.
    StopConnections,
    /// No connection is left: finish what is with the store.
    Stop,
}

/// Tells the hub. It needs no bound: every connection may have only so many requests in flight.
pub(crate) type HubSender = mpsc::UnboundedSender<Input>;

/// Runs the hub until it is told to stop and nothing waits for the store.
///
/// `store` is given each command and must see to it that its outcome comes back as [`Input::Outcome`].
pub(crate) async fn run(mut hub: Hub, mut inputs: mpsc::UnboundedReceiver<Input>, mut store: impl FnMut(StoreCommand)) {
    let mut mailboxes: HashMap<ConnectionId, Arc<Mailbox>> = HashMap::new();
    let mut batch = Vec::new();
    let (mut stopping_connections, mut stopping) = (false, false);
    while !(stopping && hub.is_idle()) {
        if inputs.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let now = wall_time();
        for input in batch.drain(..) {
            let told = match input {
                Input::Connect { id, peer, listener, mailbox } => {
                    if stopping_connections {
                        mailbox.stop();
                    }
                    mailboxes.insert(id, mailbox);
                    hub.connect(id, peer, listener)
                }
                Input::Requests(id, requests) => {
                    requests.into_iter().try_for_each(|(ticket, request)| hub.handle_request(id, ticket, request, now))
                }
                Input::Disconnect(id) => {
                    mailboxes.remove(&id);
                    hub.disconnect(id);
                    Ok(())
                }
                Input::Outcome(outcome) => hub.handle_outcome(outcome),
                Input::OwnAddresses(listener, own) => {
                    hub.set_own_addresses(listener, own);
                    Ok(())
                }
                Input::StopConnections => {
                    stopping_connections = true;
                    mailboxes.values().for_each(|mailbox| mailbox.stop());
                    Ok(())
                }
                Input::Stop => {
                    stopping = true;
                    Ok(())
                }
            };
            if let Err(misuse) = told {
                tracing::error!(%misuse, "the hub was told something that cannot be: this is a bug");
            }
        }
        while let Some(effect) = hub.poll_effect() {
            match effect {
                Effect::Store(command) => store(command),
                Effect::Answer { connection, ticket, reply } => {
                    if let Some(mailbox) = mailboxes.get(&connection) {
                        mailbox.answer(ticket, reply);
                    }
                }
            }
        }
    }
}
