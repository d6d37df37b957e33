//! Answers that follow from the connections: to AUTH, WHO and the operator's requests.

use std::net::IpAddr;

use chanwire_core::{
    Time,
    hub::Peer,
    wire::{ConnectionRow, Credentials, ErrorResponse, Request, Response, User},
};

use super::{Client, Trial, Verification, judge::encode};
use crate::hub_model::{of_subscriber, plain};

impl Trial {
    /// Checks that the credentials of a connection may be verified, and counts the attempt.
    pub(super) fn verifying(&mut self, id: u64, credentials: &Credentials) {
        let client = self.clients.get(&id).expect("a connection");
        assert_eq!(client.account, None, "credentials that are of no use");
        assert!(self.verifications.iter().all(|other| other.connection != id), "two verifications of a connection");
        let is_disconnected = client.disconnected;
        let open = client.exchanges.iter().filter(|exchange| exchange.reply.is_none());
        // Which request of a closed connection is the next is not known.
        let mut in_turn = open.take(if is_disconnected { usize::MAX } else { 1 });
        let exchange = in_turn.find(|exchange| exchange.request == Request::Auth(credentials.clone()));
        let exchange = exchange.expect("credentials that were given");
        let from = client.address();
        assert!(self.has_room(from, credentials), "more passwords wait than may");
        assert_eq!(self.attempts.wait(exchange.at.time, from, credentials), 0, "an attempt too many");
        self.attempts.begin(exchange.at.time, from, credentials);
    }

    /// Returns whether these credentials may wait with those that are being verified.
    fn has_room(&self, from: Option<IpAddr>, credentials: &Credentials) -> bool {
        let is_password = |verification: &&Verification| verification.credentials.account().is_some();
        let passwords = || self.verifications.iter().filter(is_password);
        let place = |verification: &Verification| self.clients.get(&verification.connection).and_then(Client::address);
        let same = passwords().filter(|other| place(other).map(of_subscriber) == from.map(of_subscriber)).count();
        credentials.account().is_none() || passwords().count() < 64 && same < 32
    }

    /// Returns the right answer to an AUTH that is answered now.
    pub(super) fn authenticated(&mut self, id: u64, ticket: &str) -> Option<Response> {
        let client = self.clients.get(&id)?;
        let exchange = client.exchanges.iter().find(|exchange| exchange.ticket == ticket)?;
        let Request::Auth(credentials) = &exchange.request else { return None };
        if let Some(account) = &client.account {
            let details = format!("This connection is authenticated as '{account}'");
            return Some(Response::Error(ErrorResponse::request("Already authenticated", details)));
        }
        let details = "Unknown account, or wrong password or token";
        let failed = || Response::Error(ErrorResponse::request("Authentication failed", details));
        // The result answers one AUTH, behind which another may be refused at once.
        if let Some((_, account)) = self.verified.take_if(|(connection, _)| *connection == id) {
            return Some(account.map_or_else(failed, |account| Response::Authenticated { account }));
        }
        let from = client.address();
        let wait = match self.has_room(from, credentials) {
            true => self.attempts.wait(exchange.at.time, from, credentials),
            false => 2,
        };
        assert!(wait > 0, "{:?} is refused, and may be tried", exchange.request);
        let unit = if wait == 1 { "second" } else { "seconds" };
        let error = ErrorResponse::request("Too many attempts", format!("Try again in {wait} {unit}"));
        let retry_after = u32::try_from(wait).ok().filter(|_| exchange.said_hello);
        Some(Response::Error(ErrorResponse { retry_after, ..error }))
    }

    /// Returns the right answer to a request of the operator about connections.
    pub(super) fn operators_answer(&self, id: u64, ticket: &str) -> Option<Response> {
        let exchange = self.clients.get(&id)?.exchanges.iter().find(|exchange| exchange.ticket == ticket)?;
        Some(match exchange.request {
            Request::Connections { after, limit } => {
                // A closed connection whose requests are not carried out takes a place, and has no row.
                let known = self.clients.iter().filter(|(id, _)| **id > after && !self.released.contains(id));
                let (page, rest): (Vec<_>, Vec<_>) = known.enumerate().partition(|(place, _)| *place < limit.into());
                let last = page.last().map(|(_, (id, _))| **id);
                let open = page.into_iter().map(|(_, known)| known).filter(|(_, client)| !client.disconnected);
                let rows = open.map(|(id, client)| self.row(*id, client, exchange.at.time)).collect();
                cut(rows, last.filter(|_| !rest.is_empty()))
            }
            Request::Disconnect { connection } => {
                let is_open = self.clients.get(&connection).is_some_and(|client| !client.disconnected);
                let details = format!("No open connection has the number {connection}");
                match is_open {
                    true => Response::Disconnected { connection },
                    false => Response::Error(ErrorResponse::request("Connection not found", details)),
                }
            }
            _ => return None,
        })
    }

    /// Returns the right answer to a WHO about a channel that lives here: the connections that have joined, and their
    /// users in the order of their joins.
    pub(super) fn who_answer(&self, id: u64, ticket: &str) -> Option<Response> {
        let client = self.clients.get(&id)?;
        let exchange = client.exchanges.iter().find(|exchange| exchange.ticket == ticket)?;
        let Request::Who { channel_name } = &exchange.request else { return None };
        if !client.subscriptions.joined.contains_key(channel_name) {
            let details = format!("This connection has not joined '{channel_name}'");
            return Some(Response::Error(ErrorResponse::request("Not joined", details)));
        }
        let open = self.clients.values().filter(|client| !client.disconnected);
        let mut joins: Vec<_> = open.filter_map(|client| client.subscriptions.joined.get(channel_name)).collect();
        joins.sort_by_key(|join| join.number);
        let mut users: Vec<User> = Vec::new();
        for username in joins.iter().filter_map(|join| join.username.clone()) {
            if !users.iter().any(|user| user.username == username) {
                users.push(User { username, account: None });
            }
        }
        Some(Response::Who { channel_name: channel_name.clone(), count: joins.len() as u64, users, complete: true })
    }

    fn row(&self, id: u64, client: &Client, at: Time) -> ConnectionRow {
        let (traffic, waiting) = client.measure();
        ConnectionRow {
            connection: id,
            peer: match client.peer {
                Peer::Address(ip) => plain(ip).to_string(),
                Peer::NoAddressRights => "unknown".into(),
                Peer::Operator => "operator".into(),
            },
            listener: client.listener.and_then(|at| self.model.own.get(at)?.first()).map(ToString::to_string),
            seconds: at.since(client.since).as_secs(),
            requests: traffic.requests,
            received_bytes: traffic.received_bytes,
            sent_bytes: traffic.sent_bytes,
            pushes: traffic.pushes,
            joined: client.subscriptions.joined.len() as u64,
            waiting_bytes: waiting as u64,
        }
    }
}

/// Returns the largest page of these rows that is no larger than a page may be.
fn cut(mut connections: Vec<ConnectionRow>, mut next: Option<u64>) -> Response {
    loop {
        let page = Response::Connections { connections: connections.clone(), next };
        if connections.len() < 2 || encode(&page).len() <= "OK\r\n".len() + 262_144 {
            return page;
        }
        connections.pop();
        next = connections.last().map(|row| row.connection);
    }
}
