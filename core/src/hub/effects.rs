//! Effects: the actions that a hub wants to be carried out.

use alloc::{
    collections::VecDeque,
    sync::Arc,
    vec::{IntoIter, Vec},
};

use super::{Act, ConnectionId, ConnectionPage, Query, ReadId, StoreCommand, VerificationId};
use crate::{
    endpoint::{Listing, Pushes, ServerCommand},
    wire::{Credentials, Notice},
};

/// An action that a [`Hub`](super::Hub) wants to be carried out.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Answer LIST of guests with this from now on, if the hub is elsewhere:
    /// [`Server::list_at_once`](crate::endpoint::Server::list_at_once) takes it. It comes before every effect that
    /// shows what has changed in it.
    Publish(Listing),
    /// Give this to the connection's [`Server`](crate::endpoint::Server): see
    /// [`handle_command`](crate::endpoint::Server::handle_command). Commands reach a connection in order.
    Send(ConnectionId, ServerCommand),
    /// The connection, which was [disconnected](super::Hub::disconnect), has nothing left to be carried out. Until then
    /// it counts among those that a server has room for: else a peer that disconnects and comes back could have the hub
    /// keep requests without bound.
    Disconnected(ConnectionId),
    /// [Complete](ConnectionPage::answer) the answer to this connection's CONNECTIONS by the traffic of the listed
    /// connections, and give it to the connection's endpoint.
    Describe(ConnectionId, ConnectionPage),
    /// Log this act, which is stored.
    Acted(Act),
    /// Give this to the store, and its outcome to [`Hub::handle_outcome`](super::Hub::handle_outcome).
    Store(StoreCommand),
    /// Read this from the store, and give what is found to [`Hub::handle_page`](super::Hub::handle_page).
    Read(ReadId, Query),
    /// Verify these credentials of a connection, and give the account that they are of to
    /// [`Hub::handle_verified`](super::Hub::handle_verified); none if they are wrong. An unknown account should take as
    /// long as a wrong password.
    Verify(VerificationId, ConnectionId, Credentials),
}

/// A queue of effects.
#[derive(Debug, Default)]
pub(super) struct Effects(VecDeque<Queued>);

#[derive(Debug)]
enum Queued {
    One(Effect),
    /// The same pushes for each of these connections.
    Pushes(IntoIter<ConnectionId>, Arc<Pushes>),
    /// The same notice for each of these connections.
    Notice(IntoIter<ConnectionId>, Arc<Notice>),
}

impl Effects {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, effect: Effect) {
        self.0.push_back(Queued::One(effect));
    }

    pub(super) fn send(&mut self, to: ConnectionId, command: ServerCommand) {
        self.add(Effect::Send(to, command));
    }

    pub(super) fn push(&mut self, to: Vec<ConnectionId>, pushes: Arc<Pushes>) {
        if !to.is_empty() {
            self.0.push_back(Queued::Pushes(to.into_iter(), pushes));
        }
    }

    pub(super) fn notify(&mut self, to: Vec<ConnectionId>, notice: Arc<Notice>) {
        if !to.is_empty() {
            self.0.push_back(Queued::Notice(to.into_iter(), notice));
        }
    }

    pub(super) fn pop(&mut self) -> Option<Effect> {
        match self.0.front_mut() {
            Some(Queued::Pushes(to, pushes)) if to.len() > 1 => {
                return Some(Effect::Send(to.next()?, ServerCommand::Push(Arc::clone(pushes))));
            }
            Some(Queued::Notice(to, notice)) if to.len() > 1 => {
                return Some(Effect::Send(to.next()?, ServerCommand::Notify(Arc::clone(notice))));
            }
            _ => {}
        }
        match self.0.pop_front()? {
            Queued::One(effect) => Some(effect),
            Queued::Notice(mut to, notice) => Some(Effect::Send(to.next()?, ServerCommand::Notify(notice))),
            Queued::Pushes(mut to, pushes) => Some(Effect::Send(to.next()?, ServerCommand::Push(pushes))),
        }
    }
}
