//! CONNECTIONS and DISCONNECT, for the operator.

use alloc::{string::ToString, vec::Vec};
use core::ops::Bound;

use super::{Connection, ConnectionId, Hub, refusal};
use crate::{
    Time,
    endpoint::{Reply, ServerCommand, Ticket, Traffic},
    wire::{ConnectionRow, connection_page},
};

/// The greatest number on the wire.
pub(super) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The answer to a CONNECTIONS, which lacks what the hub does not know: the traffic of each connection.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ConnectionPage {
    ticket: Ticket,
    rows: Vec<ConnectionRow>,
    /// The number after which the next page begins.
    next: Option<u64>,
}

impl ConnectionPage {
    /// Returns the answer. `measure` returns the traffic of a connection, and how many bytes wait until its peer reads.
    pub fn answer(mut self, mut measure: impl FnMut(ConnectionId) -> (Traffic, usize)) -> ServerCommand {
        for row in &mut self.rows {
            let (traffic, waiting) = measure(ConnectionId(row.connection));
            row.requests = traffic.requests.min(MAX_NUMBER);
            row.received_bytes = traffic.received_bytes.min(MAX_NUMBER);
            row.sent_bytes = traffic.sent_bytes.min(MAX_NUMBER);
            row.pushes = traffic.pushes.min(MAX_NUMBER);
            row.waiting_bytes = (waiting as u64).min(MAX_NUMBER);
        }
        let reply = connection_page(self.rows, self.next).into();
        ServerCommand::Respond { ticket: self.ticket, reply }
    }
}

impl Hub {
    /// Looks up a page of connections: of `limit` from the one after `after` on, those that are not closed.
    pub(super) fn connection_page(&self, ticket: Ticket, after: u64, limit: u16, now: Time) -> ConnectionPage {
        let mut listed = self.connections.range((Bound::Excluded(ConnectionId(after)), Bound::Unbounded));
        let (mut rows, mut last) = (Vec::new(), after);
        for (id, connection) in listed.by_ref().take(limit.into()) {
            last = id.0;
            if !connection.closed {
                rows.push(self.row(*id, connection, now));
            }
        }
        let next = listed.next().is_some().then_some(last);
        ConnectionPage { ticket, rows, next }
    }

    fn row(&self, id: ConnectionId, connection: &Connection, now: Time) -> ConnectionRow {
        let Connection { peer, listener, since, .. } = connection;
        ConnectionRow {
            connection: id.0,
            peer: peer.to_string(),
            listener: listener.and_then(|listener| self.directory.name_of(listener)).map(ToString::to_string),
            seconds: now.since(*since).as_secs(),
            requests: 0,
            received_bytes: 0,
            sent_bytes: 0,
            pushes: 0,
            joined: self.joins.count(id) as u64,
            waiting_bytes: 0,
        }
    }

    /// Ends a connection for the operator. Nothing more is pushed to it.
    pub(super) fn end_connection(&mut self, id: ConnectionId) -> Reply {
        if self.connections.get(&id).is_none_or(|connection| connection.closed) {
            return refusal::no_connection(id.0).into();
        }
        self.joins.remove_subscriber(id);
        self.effects.send(id, ServerCommand::Disconnect);
        crate::wire::Response::Disconnected { connection: id.0 }.into()
    }
}
