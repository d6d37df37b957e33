//! A hub whose connections' servers are at hand, as in one thread, a test or a browser's tab.

use alloc::sync::Arc;

use super::{ConnectionId, Effect, Hub, Moment, Query, ReadId, StoreCommand};
use crate::{
    Time,
    endpoint::{Misuse, Server, ServerEvent},
};

/// What an [`Effect`] wants of a store.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Errand {
    /// As [`Effect::Store`].
    Store(StoreCommand),
    /// As [`Effect::Read`].
    Read(ReadId, Query),
}

impl Hub {
    /// What the [`Server`] of a connection tells.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownConnection`] if it asks and is not connected.
    pub fn handle_event(&mut self, id: ConnectionId, event: ServerEvent, at: Moment) -> Result<(), Misuse> {
        match event {
            ServerEvent::Request { ticket, request } => return self.handle_request(id, ticket, request, at),
            ServerEvent::Drained => self.handle_drained(id),
            ServerEvent::Ended => self.handle_ended(id),
            ServerEvent::Refused { .. } | ServerEvent::Withdrawn => {}
        }
        Ok(())
    }
}

impl Effect {
    /// Does what is wanted of connections, and gives back what is wanted of the store. `reach` gives the function its
    /// connection's [`Server`], or leaves it alone if there is none any more.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownTicket`] if it gives an answer another connection's server.
    pub fn deliver(
        self,
        now: Time,
        mut reach: impl FnMut(ConnectionId, &mut dyn FnMut(&mut Server)),
    ) -> Result<Option<Errand>, Misuse> {
        match self {
            // The hub is at hand for every LIST; and a server that is gone has no place to give up.
            Self::Publish(_) | Self::Forget { .. } => {}
            Self::Store(command) => return Ok(Some(Errand::Store(command))),
            Self::Read(id, query) => return Ok(Some(Errand::Read(id, query))),
            Self::Answer { connection, ticket, reply } => {
                let (mut answer, mut given) = (Some((ticket, reply)), Ok(()));
                reach(connection, &mut |server| {
                    if let Some((ticket, reply)) = answer.take() {
                        given = server.respond(now, ticket, reply);
                    }
                });
                given?;
            }
            Self::Push { to, pushes } => {
                to.into_iter().for_each(|id| reach(id, &mut |server| server.push(now, Arc::clone(&pushes))));
            }
            Self::Replay { connection, pushes } => {
                reach(connection, &mut |server| server.replay(now, Arc::clone(&pushes)));
            }
            Self::Close { connection, error } => reach(connection, &mut |server| server.close(now, error.clone())),
            Self::CloseSlow { connection, error } => {
                reach(connection, &mut |server| server.close_slow(now, error.clone()));
            }
            Self::Finish { connection } => reach(connection, &mut |server| server.finish(now)),
        }
        Ok(None)
    }
}
