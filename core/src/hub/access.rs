//! The rights of connections: the one place that asks [`Rights`] for the requests of a hub.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::net::IpAddr;

use super::{Connection, ConnectionId, Hub, Peer, refusal};
use crate::{
    rights::{Action, Principal, Rights, View},
    wire::{AccountName, ChannelName, ErrorResponse, Request},
};

/// The client of a request that is to change who hosts what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) peer: Peer,
    pub(super) account: Option<&'a AccountName>,
    /// Whether it may move and remove every channel.
    pub(super) is_operator: bool,
}

impl Asker<'_> {
    /// Returns the address from which it hosts channels, for the limit on those of an address. Accounts and operators have
    /// another limit, or none.
    pub(super) const fn guest_address(&self) -> Option<IpAddr> {
        match (self.peer, self.account) {
            (Peer::Address(ip), None) if !self.is_operator => Some(ip),
            _ => None,
        }
    }

    /// Returns its address.
    pub(super) const fn address(&self) -> Option<IpAddr> {
        match self.peer {
            Peer::Address(ip) => Some(ip),
            Peer::NoAddressRights | Peer::Operator => None,
        }
    }
}

impl Connection {
    /// Returns the one who asks for what comes on it.
    pub(super) const fn principal(&self) -> Principal<'_> {
        match (&self.account, self.peer) {
            (_, Peer::Operator) => Principal::Operator,
            (Some(account), _) => Principal::Account(account),
            (None, _) => Principal::Guest,
        }
    }

    pub(super) fn asker<'a>(&'a self, rights: &Rights) -> Asker<'a> {
        let is_operator =
            self.peer == Peer::Operator || self.account.as_ref().is_some_and(|name| rights.is_operator(name));
        Asker { peer: self.peer, account: self.account.as_ref(), is_operator }
    }
}

impl Hub {
    /// Returns the accounts, and the rights to channels.
    #[must_use]
    pub fn rights(&self) -> &Arc<Rights> {
        self.directory.rights()
    }

    /// Replaces the accounts, and the rights to channels, for all that is decided from now on. Ends the connections whose
    /// account is another now, and those that have joined what they may no longer read.
    ///
    /// The work is bounded by the listed channels and the joins, each with the rules.
    pub fn set_rights(&mut self, rights: Arc<Rights>) {
        if **self.rights() == *rights {
            return;
        }
        let before = self.directory.set_rights(rights);
        let now = self.rights().clone();
        let mut rules = BTreeMap::new();
        let mut ended = Vec::new();
        let goes_on = |(_, connection): &(_, &Connection)| !connection.closed && !connection.is_revoked;
        for (id, connection) in self.connections.iter().filter(goes_on) {
            let is_other = |name: &&AccountName| before.accounts.get(*name) != now.accounts.get(*name);
            let changed = connection.account.as_ref().filter(is_other);
            let error = changed.map(refusal::account_changed).or_else(|| {
                let mut hidden = self.joins.channels_of(*id).filter(|name| {
                    let rule = *rules.entry(*name).or_insert_with(|| now.rule_of(name));
                    !now.may_by(rule, connection.principal(), Action::Read)
                });
                hidden.next().map(|name| refusal::no_longer_readable(name))
            });
            ended.extend(error.map(|error| (*id, error)));
        }
        for (id, error) in ended {
            self.revoke(id, error);
        }
    }

    /// Signs a connection in to an account, whose credentials were verified.
    pub(super) fn sign_in(&mut self, id: ConnectionId, account: AccountName) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.account = Some(account);
        }
    }

    /// Returns whether a connection has the right to this channel, whether or not the channel exists.
    pub(super) fn may(&self, id: ConnectionId, action: Action, channel_name: &ChannelName) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|connection| self.rights().may(connection.principal(), action, channel_name))
    }

    /// Returns the channels that a connection may read.
    pub(super) fn view(&self, id: ConnectionId) -> View {
        self.rights().view(self.connections.get(&id).map_or(Principal::Guest, Connection::principal))
    }

    /// Returns the answer to the first request of a connection, a MESSAGE to this channel, if it may not write there, by
    /// rule, by its role or by the channel's settings, or not under this name.
    pub(super) fn refuse_to_write(&self, id: ConnectionId, channel_name: &ChannelName) -> Option<ErrorResponse> {
        let connection = self.connections.get(&id)?;
        let Request::Message(message) = &connection.pending.front()?.request else { return None };
        let (rights, principal, username) = (self.rights(), connection.principal(), &message.username);
        if !rights.may(principal, Action::Write, channel_name) {
            return Some(refusal::may_not_write(channel_name));
        }
        if !rights.may_use_name(principal, username) {
            return Some(refusal::name_of_account(username));
        }
        self.refuse_by_role(id, channel_name)
    }
}
