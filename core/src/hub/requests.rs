//! Decisions on requests, by what is durable.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use super::{
    ConnectionId, Effect, GivenRole, Hub, HubLimits, Log, Moment, Peer, Place, RoleSubject, Storage, Writer,
    access::Asker,
    changes::Changes,
    deletions::DELETE_BYTES,
    directory::{Directory, Entry, Meant},
    owners::Owners,
    refusal,
    roles::MODERATION_BYTES,
    turns::WRITE_OVERHEAD,
};
use crate::{
    Time,
    admission::of_subscriber,
    endpoint::{Listing, Reply, Ticket},
    rights::Action,
    wire::{
        AccountName, Address, Channel, ChannelName, ChannelSettings, ErrorResponse, Host, JoinFrom, Request, Response,
        StoredMessage, User, Username, who,
    },
};

/// The most requests of a connection that are looked at before another connection's.
const AT_ONCE: usize = 64;

/// A request that is not decided.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) ticket: Ticket,
    pub(super) request: Request,
    pub(super) at: Moment,
    /// Whether the client had sent HELLO before.
    pub(super) said_hello: bool,
}

/// A decision on a write, by what is known now.
pub(super) enum Verdict {
    Answer(Reply),
    Store(Change),
    /// It depends on the change of this name that is with the store.
    Wait(ChannelName),
    /// It depends on what the store has of this message of a channel.
    LookUp((ChannelName, u64)),
}

/// A change that is to be stored.
pub(super) enum Change {
    Put {
        channel: Channel,
        registered_from: Option<IpAddr>,
        account: Option<AccountName>,
        lease: Option<u32>,
    },
    Remove(ChannelName),
    /// This message is deleted, and its record stored under this name.
    Delete {
        message: StoredMessage,
        username: Username,
        account: Option<AccountName>,
    },
    /// The role of a subject is set.
    Role {
        channel_name: ChannelName,
        subject: RoleSubject,
        role: Option<GivenRole>,
    },
    /// The settings are set.
    Settings {
        channel_name: ChannelName,
        settings: ChannelSettings,
    },
    /// The request's message, in this channel.
    Append(ChannelName),
}

impl From<ErrorResponse> for Verdict {
    fn from(error: ErrorResponse) -> Self {
        Self::Answer(error.into())
    }
}

impl PendingRequest {
    /// Returns whether something may have to be stored for it.
    const fn is_write(&self) -> bool {
        match self.request {
            Request::Host(_)
            | Request::Unhost { .. }
            | Request::Message(_)
            | Request::Delete { .. }
            | Request::Role { .. } => true,
            Request::Settings { .. } => !is_look_at_settings(&self.request),
            _ => false,
        }
    }

    /// Returns whether it is decided without anything that is stored.
    const fn is_independent(&self) -> bool {
        self.request.is_about_connections() || matches!(self.request, Request::Auth(_))
    }

    /// Returns whether many channels may be looked at for it.
    pub(super) const fn is_page(&self) -> bool {
        matches!(self.request, Request::Channels { .. })
    }

    /// Returns its size in a commit, in bytes.
    pub(super) fn bytes(&self) -> usize {
        WRITE_OVERHEAD
            + match &self.request {
                Request::Message(message) => message.username.len() + message.message_content.len(),
                Request::Host(Host { channel, .. }) => channel.channel_name.len() + channel.address.host().len(),
                Request::Unhost { channel_name } => channel_name.len(),
                Request::Delete { channel_name, .. } => DELETE_BYTES + channel_name.len(),
                Request::Role { channel_name, .. } | Request::Settings { channel_name, .. } => {
                    MODERATION_BYTES + channel_name.len()
                }
                Request::List
                | Request::Join { .. }
                | Request::Leave { .. }
                | Request::History { .. }
                | Request::Hello { .. }
                | Request::Auth(_)
                | Request::Who { .. }
                | Request::Channels { .. }
                | Request::Connections { .. }
                | Request::Disconnect { .. } => 0,
            }
    }
}

impl Hub {
    /// Answers the requests of a connection as far as their turn has come and nothing need be stored for them. The next
    /// that something must be stored for is given its turn.
    pub(super) fn advance(&mut self, id: ConnectionId) {
        for step in 0..AT_ONCE {
            let Some(connection) = self.connections.get(&id) else { return };
            let Some(first) = connection.pending.front() else { return self.remove_if_done(id) };
            if !connection.is_in_turn(first) {
                // It is looked at again when those before it are answered.
                return;
            } else if connection.given_up > 0 {
                self.give_up(id);
            } else if first.is_page() && step > 0 {
                // It looks at many channels: the other connections come before.
                break;
            } else if !first.is_write() {
                self.respond(id);
            } else {
                // No decision while the store's content is in doubt.
                let in_doubt = matches!(self.storage, Storage::Stale(_) | Storage::Loading(_));
                match if in_doubt { None } else { self.decide(id) } {
                    Some(Verdict::Answer(reply)) => self.answer_first(id, reply),
                    Some(Verdict::Wait(channel_name)) => return self.wait(id, channel_name),
                    Some(Verdict::LookUp(target)) => return self.look_up(id, target),
                    Some(Verdict::Store(_)) | None => return self.add_turn(id),
                }
            }
            self.looked_at += 1;
        }
        self.set_place(id, Place::Runnable);
        self.runnable.push_back(id);
    }

    /// Queues a connection whose first request was just taken, by the kind of its next one.
    pub(super) fn go_on(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.pending.front() {
            None => self.remove_if_done(id),
            Some(first) if !connection.is_in_turn(first) => {}
            Some(first) if first.is_write() => self.add_turn(id),
            Some(_) => {
                connection.place = Place::Runnable;
                self.runnable.push_back(id);
            }
        }
    }

    /// Queues a connection for a commit, which decides its next request.
    pub(super) fn add_turn(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.place = Place::ToBeStored;
            let bytes = connection.pending.front().map_or(0, PendingRequest::bytes);
            self.turns.add(Writer::Connection(id), connection.last_turn_end, bytes);
        }
    }

    /// Queues a connection for a name whose change decides its next request.
    pub(super) fn wait(&mut self, id: ConnectionId, channel_name: ChannelName) {
        self.set_place(id, Place::ToBeStored);
        let awaited = self.connections.get_mut(&id).and_then(|connection| connection.awaited.take());
        self.changes.wait(channel_name, id);
        self.wake(awaited.as_ref());
    }

    /// Queues the first connection that waits for a name for a commit, if the name no longer changes. The others follow
    /// one after the other: they would only wait again if that one changes it.
    pub(super) fn wake(&mut self, channel_name: Option<&ChannelName>) {
        if let Some(channel_name) = channel_name
            && let Some(id) = self.changes.next_waiting(channel_name)
        {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.awaited = Some(channel_name.clone());
            }
            self.add_turn(id);
        }
    }

    /// Takes a connection's first request, which is decided.
    pub(super) fn take_first(&mut self, id: ConnectionId) -> Option<PendingRequest> {
        self.connections.get_mut(&id)?.pending.pop_front()
    }

    pub(super) fn answer_first(&mut self, id: ConnectionId, reply: Reply) {
        if let Some(PendingRequest { ticket, request, .. }) = self.take_first(id) {
            self.answer(id, ticket, request.command(), reply);
            self.end_if_look_up(id, &request);
        }
    }

    /// Answers a connection's first request, which was there when the store could not be read back.
    fn give_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.given_up -= 1;
        if connection.pending.front().is_some_and(PendingRequest::is_independent) {
            return self.respond(id);
        }
        let Some(PendingRequest { ticket, request, .. }) = connection.pending.pop_front() else { return };
        let command = request.command();
        self.end_if_look_up(id, &request);
        let is_look = is_look_at_settings(&request);
        let reply = match request {
            Request::List => self.list(id).into(),
            Request::History { .. } | Request::Join { .. } => refusal::not_read().into(),
            Request::Leave { channel_name } => self.leave(id, channel_name).into(),
            Request::Who { channel_name } => self.who(id, channel_name).into(),
            Request::Channels { after, limit, contains } => self.list_page(id, after, limit, contains.as_deref()),
            Request::Settings { channel_name, .. } if is_look => self.show_settings(id, &channel_name).into(),
            Request::Host(_)
            | Request::Message(_)
            | Request::Unhost { .. }
            | Request::Delete { .. }
            | Request::Role { .. }
            | Request::Settings { .. } => refusal::not_stored().into(),
            // These never come so far.
            Request::Hello { .. } | Request::Auth(_) | Request::Connections { .. } | Request::Disconnect { .. } => {
                return;
            }
        };
        self.answer(id, ticket, command, reply);
    }

    /// Answers a connection's first request, for which nothing is stored.
    fn respond(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (is_closed, is_revoked) = (connection.closed, connection.is_revoked);
        let is_operator = connection.peer == Peer::Operator;
        let Some(PendingRequest { ticket, request, at, said_hello }) = connection.pending.pop_front() else { return };
        // What a closed connection has sent behind it is carried out as the account's.
        if is_closed && !matches!(request, Request::Auth(_)) {
            return;
        }
        let (command, is_look) = (request.command(), is_look_at_settings(&request));
        if is_revoked {
            return self.answer(id, ticket, command, refusal::revoked().into());
        }
        let reply = match request {
            request if request.is_about_connections() && !is_operator => refusal::operator_only().into(),
            Request::Connections { after, limit } => {
                let page = self.connection_page(ticket, after, limit, at.time);
                self.counters.answered_elsewhere(command);
                return self.effects.add(Effect::Describe(id, page));
            }
            Request::Auth(credentials) => return self.authenticate(id, ticket, credentials, (at.time, said_hello)),
            Request::Disconnect { connection } => self.end_connection(ConnectionId(connection)),
            Request::List => self.list(id).into(),
            Request::Who { channel_name } => self.who(id, channel_name).into(),
            Request::Channels { after, limit, contains } => self.list_page(id, after, limit, contains.as_deref()),
            Request::Join { channel_name, from, username } => {
                match self.join(id, channel_name, from, username, at.time) {
                    Ok(response) => response.into(),
                    Err(error) => error.into(),
                }
            }
            Request::Leave { channel_name } => self.leave(id, channel_name).into(),
            Request::Settings { channel_name, .. } if is_look => self.show_settings(id, &channel_name).into(),
            Request::History { channel_name, range, limit } => match self.open_to(id, &channel_name) {
                Err(error) => error.into(),
                Ok(_) => {
                    self.wait_for_store(id, false);
                    return self.reads.history(id, ticket, at.time, channel_name, range, limit);
                }
            },
            // Writes are decided elsewhere, and a HELLO never comes so far.
            Request::Host(_)
            | Request::Message(_)
            | Request::Unhost { .. }
            | Request::Delete { .. }
            | Request::Role { .. }
            | Request::Settings { .. }
            | Request::Hello { .. } => return,
        };
        self.answer(id, ticket, command, reply);
        // A JOIN's first page follows its answer.
        self.feed(id);
    }

    /// Decides a connection's first request, which is a write, by what is known now. Rights come first: an answer by what
    /// exists is only for those who may know.
    pub(super) fn decide(&mut self, id: ConnectionId) -> Option<Verdict> {
        let connection = self.connections.get(&id)?;
        let first = connection.pending.front()?;
        if connection.is_revoked {
            return Some(refusal::revoked().into());
        }
        if let Request::Delete { channel_name, id: message } = &first.request {
            return Some(self.decide_delete(id, channel_name, *message));
        }
        if let Request::Role { channel_name, target, role, seconds } = &first.request {
            return Some(self.decide_role(id, channel_name, target, *role, *seconds));
        }
        if let Request::Settings { channel_name, members_only, slow_mode } = &first.request {
            return Some(self.decide_settings(id, channel_name, *members_only, *slow_mode));
        }
        if let Request::Message(message) = &first.request {
            let channel_name = message.channel_name.clone();
            return Some(match self.route(id, channel_name.as_ref()) {
                Ok(channel_name) if self.damaged.contains(&channel_name) => refusal::damaged(&channel_name).into(),
                // A message to a channel that is about to go would be stored where nobody who joined hears it.
                Ok(channel_name) if self.changes.contains(&channel_name) => Verdict::Wait(channel_name),
                Ok(channel_name) => Verdict::Store(Change::Append(channel_name)),
                Err(error) => error.into(),
            });
        }
        let connection = self.connections.get(&id)?;
        let PendingRequest { request, at, .. } = connection.pending.front()?;
        let (Request::Host(Host { channel: Channel { channel_name, .. }, .. }) | Request::Unhost { channel_name }) =
            request
        else {
            return None;
        };
        let (directory, changes) = (&mut self.directory, &self.changes);
        let asker = connection.asker(directory.rights());
        Some(match request {
            _ if asker.peer == Peer::NoAddressRights && asker.account.is_none() => refusal::no_address_rights().into(),
            _ if !directory.rights().may(connection.principal(), Action::Host, channel_name) => {
                refusal::may_not_host(channel_name).into()
            }
            _ if self.damaged.contains(channel_name) => refusal::damaged(channel_name).into(),
            _ if changes.contains(channel_name) => Verdict::Wait(channel_name.clone()),
            Request::Host(host) => {
                let now = self.leases.by.max(at.time);
                let is_for_members = self.moderation.settings(channel_name).members_only;
                let (names, owners) = (&self.logs, &self.owners);
                let known = Known { limits: &self.limits, names, owners, changes, is_for_members, now };
                decide_host(directory, &known, asker, host, at.time)
            }
            _ => decide_unhost(directory, asker, channel_name),
        })
    }

    /// Answers a CHANNELS. The channels that it looks at count as requests do, so that writes do not wait for many of
    /// them.
    fn list_page(&mut self, id: ConnectionId, after: u64, limit: u16, contains: Option<&str>) -> Reply {
        let (page, looked_at) = self.channel_page(id, after, limit, contains);
        self.looked_at += looked_at;
        page.into()
    }

    pub(super) fn wait_for_store(&mut self, id: ConnectionId, only_messages: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.storing += 1;
            connection.only_messages = only_messages;
        }
    }

    fn join(
        &mut self,
        id: ConnectionId,
        channel_name: ChannelName,
        from: JoinFrom,
        username: Option<Username>,
        at: Time,
    ) -> Result<Response, ErrorResponse> {
        let address = self.open_to(id, &channel_name)?.clone();
        if self.joins.is_joined(id, &channel_name) {
            return Err(refusal::already_joined(&channel_name));
        }
        if self.joins.count(id) >= self.limits.max_joins {
            return Err(refusal::too_many_joins(self.limits.max_joins));
        }
        let log = self.log(&channel_name);
        let wanted = match from {
            JoinFrom::After(after) if after > log.last_id => return Err(refusal::beyond_end(log.last_id)),
            JoinFrom::After(after) => after + 1,
            JoinFrom::Last(count) => (log.last_id + 1).saturating_sub(count.into()),
        };
        let (first_id, last_id) = (wanted.max(log.first_id), log.last_id);
        let user = self.user(id, username)?;
        // The request may have waited.
        let now = self.leases.by.max(at);
        self.joins.join(id, &channel_name, &address, first_id, last_id, user, now);
        Ok(Response::Joined { channel_name, first_id, last_id })
    }

    fn leave(&mut self, id: ConnectionId, channel_name: ChannelName) -> Response {
        if let Err(error) = self.visible_address(id, &channel_name) {
            return Response::Error(error);
        }
        if !self.joins.is_joined(id, &channel_name) {
            return Response::Error(refusal::not_joined(&channel_name));
        }
        self.joins.leave(id, &channel_name);
        Response::Left { channel_name }
    }

    /// Returns the user that a connection joins as: under the name that it gives, or else under its account's.
    fn user(&self, id: ConnectionId, username: Option<Username>) -> Result<Option<User>, ErrorResponse> {
        let Some(connection) = self.connections.get(&id) else { return Ok(None) };
        if let Some(username) = &username
            && !self.directory.rights().may_use_name(connection.principal(), username)
        {
            return Err(refusal::name_of_account(username));
        }
        let account = connection.account.clone();
        // An account's name can be a user's.
        let own_name = || account.as_deref().and_then(|name| Username::try_from(name).ok());
        Ok(username.or_else(own_name).map(|username| User { username, account }))
    }

    /// Answers a WHO.
    fn who(&mut self, id: ConnectionId, channel_name: ChannelName) -> Response {
        if let Err(error) = self.visible_address(id, &channel_name) {
            return Response::Error(error);
        }
        if !self.joins.is_joined(id, &channel_name) {
            return Response::Error(refusal::not_joined(&channel_name));
        }
        let (count, users, complete) = self.joins.who(&channel_name);
        who(channel_name, count as u64, users, complete)
    }

    /// Returns the address of the channel of this name, if the connection may read it, it lives here, and what is stored
    /// of it is sound. To one who may not read it, it does not exist.
    pub(super) fn readable(&self, id: ConnectionId, channel_name: &ChannelName) -> Result<&Address, ErrorResponse> {
        if self.damaged.contains(channel_name) && self.may(id, Action::Read, channel_name) {
            return Err(refusal::damaged(channel_name));
        }
        self.visible_address(id, channel_name)
    }

    /// Returns the address of the channel of this name, if it is [readable](Self::readable) and neither the connection's role
    /// nor the channel's settings forbid reading it.
    fn open_to(&self, id: ConnectionId, channel_name: &ChannelName) -> Result<&Address, ErrorResponse> {
        let address = self.readable(id, channel_name)?;
        self.refuse_to_read(id, channel_name).map_or(Ok(address), Err)
    }

    /// Returns the address of the channel of this name, if the connection may read it and it lives here.
    fn visible_address(&self, id: ConnectionId, channel_name: &ChannelName) -> Result<&Address, ErrorResponse> {
        if !self.may(id, Action::Read, channel_name) {
            return Err(refusal::not_found(channel_name));
        }
        local_address(&self.directory, channel_name)
    }

    /// Returns the list of the channels that a connection may read.
    fn list(&mut self, id: ConnectionId) -> Listing {
        let view = self.view(id);
        let (listing, cost) = self.directory.list(&view);
        // A list that is encoded whole counts as so many requests, so that commits have their turn.
        self.looked_at += cost;
        listing
    }

    /// Returns the name of the channel that a message goes to.
    fn route(&mut self, id: ConnectionId, channel_name: Option<&ChannelName>) -> Result<ChannelName, ErrorResponse> {
        if let Some(name) = channel_name {
            return self.readable(id, name).map(|_| name.clone());
        }
        let connection = self.connections.get(&id);
        let Some(listener) = connection.and_then(|connection| connection.listener) else {
            return Err(refusal::none_here("this connection's address"));
        };
        let view = self.view(id);
        match self.directory.meant_at(listener, &view) {
            Meant::One(name) => Ok(name),
            Meant::Several => Err(refusal::several_here()),
            Meant::None => Err(match self.directory.name_of(listener) {
                Some(address) => refusal::none_here(address),
                None => refusal::none_here("this server"),
            }),
        }
    }
}

/// Returns whether a request is a SETTINGS that changes nothing.
const fn is_look_at_settings(request: &Request) -> bool {
    matches!(request, Request::Settings { members_only: None, slow_mode: None, .. })
}

impl super::Connection {
    /// Returns whether all earlier requests are answered, but for MESSAGEs that follow each other.
    fn is_in_turn(&self, first: &PendingRequest) -> bool {
        self.storing == 0 || self.only_messages && matches!(first.request, Request::Message(_))
    }
}

/// The facts by which a HOST of a new name is decided.
struct Known<'a> {
    limits: &'a HubLimits,
    names: &'a BTreeMap<ChannelName, Log>,
    owners: &'a Owners,
    changes: &'a Changes,
    /// Whether only members may read what is stored under the name.
    is_for_members: bool,
    /// The time of the decision. The request may have come long before.
    now: Time,
}

impl Known<'_> {
    /// Returns the answer if there is no room for this name, which is not listed.
    fn refuse(&self, listed: usize, channel_name: &ChannelName) -> Option<ErrorResponse> {
        let HubLimits { max_channels, max_names, .. } = *self.limits;
        let new = self.changes.new_names();
        if listed + new >= max_channels {
            return Some(refusal::too_many_channels(max_channels));
        }
        let is_new = !self.names.contains_key(channel_name);
        (is_new && self.names.len() + new >= max_names).then(|| refusal::too_many_names(max_names))
    }

    /// Returns the answer if this client may host no channel beyond those that it hosts. `entry` is the channel that it
    /// wants to host, if that is listed.
    fn refuse_host(
        &self,
        directory: &Directory,
        asker: Asker<'_>,
        channel_name: &ChannelName,
        entry: Option<&Entry>,
    ) -> Option<ErrorResponse> {
        if let Some(account) = asker.account.filter(|_| !asker.is_operator) {
            let limit = self.limits.max_account_names;
            let owned = self.owners.count(account) + self.changes.new_names_of(account);
            let is_new = self.owners.of(channel_name) != Some(account);
            return (is_new && owned >= limit).then(|| refusal::too_many_names_of_account(limit));
        }
        let ip = asker.guest_address()?;
        let host = of_subscriber(ip);
        let HubLimits { max_address_channels, exempt, .. } = self.limits;
        let hosted = directory.hosted_by(host) + self.changes.new_channels_of(host);
        let is_refused = hosted >= *max_address_channels
            && entry.and_then(Entry::host) != Some(host)
            && !exempt.iter().any(|network| network.contains(ip));
        is_refused.then(|| refusal::too_many_channels_of_address(*max_address_channels))
    }
}

fn decide_host(directory: &mut Directory, known: &Known<'_>, asker: Asker<'_>, host: &Host, now: Time) -> Verdict {
    let Host { channel, lease } = host;
    let name = &channel.channel_name;
    let (mut registered_from, mut account) = (asker.address(), asker.account);
    let mut channel = channel;
    match directory.get(name) {
        Some(entry) if entry.channel.address.same_place(&channel.address) => {
            let sets_lease = !entry.is_fixed() && entry.is_hosted_by(asker);
            let claims = entry.claimed_by(asker);
            let keeps_lease = !sets_lease || entry.lease.map(|lease| lease.seconds) == *lease;
            if keeps_lease && claims.is_none() {
                if sets_lease {
                    directory.renew(name, now);
                }
                return Verdict::Answer(Response::Hosted { channel_name: name.clone() }.into());
            }
            if claims.is_some()
                && let Some(error) = known.refuse_host(directory, asker, name, Some(entry))
            {
                return error.into();
            }
            // Only the lease or the account changes: it stays listed as it was registered, and from where.
            registered_from = entry.registered_from();
            account = claims.or(entry.account());
            channel = &entry.channel;
        }
        // Channels fixed by the configuration cannot be moved by any peer.
        Some(entry) if entry.is_fixed() || !entry.is_hosted_by(asker) => {
            return refusal::already_exists(name, &entry.channel.address).into();
        }
        Some(entry) => {
            if let Some(error) = known.refuse_host(directory, asker, name, Some(entry)) {
                return error.into();
            }
            // An operator moves what is an account's, and it stays the account's.
            account = entry.account().or(account);
        }
        None => {
            if known.owners.of(name).is_some_and(|owner| !asker.is_operator && asker.account != Some(owner)) {
                return refusal::owned(name).into();
            }
            if known.is_for_members && known.owners.of(name).is_none() && !asker.is_operator {
                return refusal::kept_for_members(name).into();
            }
            if let Some(released) = directory.released(name)
                && released.until > known.now
                && !released.was_hosted_by(asker)
            {
                let seconds = released.until.since(known.now).as_millis().div_ceil(1000);
                return refusal::kept_for_host(name, u64::try_from(seconds).unwrap_or(u64::MAX)).into();
            }
            let error = known.refuse(directory.len(), name);
            if let Some(error) = error.or_else(|| known.refuse_host(directory, asker, name, None)) {
                return error.into();
            }
        }
    }
    let account = account.cloned();
    let change = Change::Put { channel: channel.clone(), registered_from, account, lease: *lease };
    // It may wait long for its turn, and its lease does not end meanwhile.
    directory.renew(name, now);
    Verdict::Store(change)
}

fn decide_unhost(directory: &Directory, asker: Asker<'_>, channel_name: &ChannelName) -> Verdict {
    match directory.get(channel_name) {
        None => refusal::not_found(channel_name).into(),
        Some(entry) if !entry.is_hosted_by(asker) => refusal::not_the_host(channel_name).into(),
        Some(_) => Verdict::Store(Change::Remove(channel_name.clone())),
    }
}

/// Returns the address of the channel of this name, if it lives here.
fn local_address<'a>(directory: &'a Directory, channel_name: &ChannelName) -> Result<&'a Address, ErrorResponse> {
    match directory.get(channel_name) {
        None => Err(refusal::not_found(channel_name)),
        Some(entry) if !directory.is_local(&entry.channel.address) => {
            Err(refusal::hosted_elsewhere(channel_name, &entry.channel.address))
        }
        Some(entry) => Ok(&entry.channel.address),
    }
}
