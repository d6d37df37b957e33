//! What becomes of a request, decided by what is durable.

use alloc::{
    collections::{BTreeSet, VecDeque},
    string::{String, ToString},
};
use core::{mem, net::IpAddr};

use super::{ConnectionId, Hub, Moment, Peer, Storage, refusal};
use crate::{
    Time,
    endpoint::{Reply, Ticket},
    hub::ListenerId,
    wire::{ErrorResponse, HistoryRange, Host, JoinFrom, Message, Request, Response, Timestamp},
};

/// A request that is not decided.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) request: Request,
    pub(super) at: Moment,
}

/// Something that is decided and must be stored.
#[derive(Debug)]
pub(super) struct Intent {
    /// Who is to be answered.
    pub(super) asker: Option<(ConnectionId, Ticket)>,
    pub(super) at: Moment,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Host { host: Host, registered_from: Option<IpAddr> },
    Unhost(String),
    Message { message: Message, channel_name: String },
}

impl Intent {
    /// Nobody asks for it: a channel was not hosted again in time.
    pub(super) fn lease_ended(channel_name: String, now: Time) -> Self {
        let at = Moment { time: now, wall: Timestamp::default() };
        Self { asker: None, at, what: What::Unhost(channel_name) }
    }
}

enum Decision {
    Answer(Reply),
    Store(What),
    /// The answer follows when the store has been read.
    Read {
        channel_name: String,
        range: HistoryRange,
        limit: u16,
    },
}

impl From<Response> for Decision {
    fn from(response: Response) -> Self {
        Self::Answer(response.into())
    }
}

impl Hub {
    /// Decides the requests of a connection as far as their turn has come.
    pub(super) fn advance(&mut self, id: ConnectionId) {
        while let Some(connection) = self.connections.get(&id)
            && let Some(asked) = connection.undecided.front()
        {
            let is_message = matches!(asked.request, Request::Message(_));
            let in_turn = connection.storing == 0 || connection.only_messages && is_message;
            // What the store may hold otherwise decides nothing that is to be stored.
            let in_doubt = matches!(self.storage, Storage::Stale | Storage::Loading);
            let must_wait = match &asked.request {
                Request::List | Request::Leave { .. } | Request::Join { .. } | Request::History { .. } => false,
                // A message to a channel that is about to go would be stored where nobody who joined hears it.
                Request::Message(message) => in_doubt || self.goes_to_a_changing(connection.listener, message),
                Request::Host(Host { channel, .. }) => in_doubt || self.changing.contains(&channel.channel_name),
                Request::Unhost { channel_name } => in_doubt || self.changing.contains(channel_name),
            };
            if !in_turn || must_wait {
                self.blocked.push_back(id);
                return;
            }
            let connection = self.connections.get_mut(&id);
            if let Some(asked) = connection.and_then(|connection| connection.undecided.pop_front()) {
                self.decide(id, asked);
            }
        }
        self.forget_if_done(id);
    }

    /// Answers what a connection asked while the state could not be read back.
    pub(super) fn give_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.storing > 0 {
            // Something before it is still being read.
            self.blocked.push_back(id);
            return;
        }
        let undecided: VecDeque<Asked> = mem::take(&mut connection.undecided);
        for Asked { ticket, request, .. } in undecided {
            let reply = match request {
                Request::List => Reply::Encoded(self.directory.list()),
                Request::History { .. } | Request::Join { .. } => refusal::not_read().into(),
                Request::Leave { channel_name } => self.leave(id, channel_name).into(),
                Request::Host(_) | Request::Message(_) | Request::Unhost { .. } => refusal::not_stored().into(),
            };
            self.answer(id, ticket, reply);
        }
        self.forget_if_done(id);
    }

    /// What waits for the next commit may be decided otherwise now: it is undecided again, before what came later.
    pub(super) fn recall(&mut self) {
        let mut before = VecDeque::new();
        for Intent { asker, at, what } in mem::take(&mut self.waiting).into_iter().rev() {
            let request = match what {
                What::Host { host, .. } => {
                    self.changing.remove(&host.channel.channel_name);
                    Request::Host(host)
                }
                What::Unhost(channel_name) => {
                    self.changing.remove(&channel_name);
                    Request::Unhost { channel_name }
                }
                What::Message { message, .. } => Request::Message(message),
            };
            // A lease that has ended is found again.
            let Some((id, ticket)) = asker else { continue };
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.storing -= 1;
            connection.undecided.push_front(Asked { ticket, request, at });
            before.push_front(id);
        }
        let mut known = BTreeSet::new();
        before.append(&mut self.blocked);
        before.retain(|id| known.insert(*id));
        self.blocked = before;
    }

    fn goes_to_a_changing(&self, listener: Option<ListenerId>, message: &Message) -> bool {
        !self.changing.is_empty() && self.route(listener, message).is_ok_and(|name| self.changing.contains(&name))
    }

    fn decide(&mut self, id: ConnectionId, asked: Asked) {
        let Asked { ticket, request, at } = asked;
        let Some(connection) = self.connections.get(&id) else { return };
        let only_answers = !matches!(request, Request::Host(_) | Request::Unhost { .. } | Request::Message(_));
        if connection.gone && only_answers {
            return;
        }
        let (peer, listener) = (connection.peer, connection.listener);
        let decision = match request {
            Request::List => Ok(Decision::Answer(Reply::Encoded(self.directory.list()))),
            Request::Host(host) => self.decide_host(peer, host, at.time),
            Request::Unhost { channel_name } => self.decide_unhost(peer, channel_name),
            Request::Message(message) => self
                .route(listener, &message)
                .map(|channel_name| Decision::Store(What::Message { message, channel_name })),
            Request::Join { channel_name, from } => self.join(id, channel_name, from).map(Into::into),
            Request::Leave { channel_name } => Ok(self.leave(id, channel_name).into()),
            Request::History { channel_name, range, limit } => {
                self.is_here(&channel_name).map(|()| Decision::Read { channel_name, range, limit })
            }
        };
        match decision {
            Ok(Decision::Store(what)) => {
                let only_messages = matches!(what, What::Message { .. });
                self.wait_for_store(id, only_messages);
                self.waiting.push_back(Intent { asker: Some((id, ticket)), at, what });
            }
            Ok(Decision::Read { channel_name, range, limit }) => {
                self.wait_for_store(id, false);
                self.reads.history(id, ticket, channel_name, range, limit);
            }
            Ok(Decision::Answer(reply)) => {
                self.answer(id, ticket, reply);
                // A JOIN's first page follows its answer.
                self.feed(id);
            }
            Err(error) => self.answer(id, ticket, error.into()),
        }
    }

    fn wait_for_store(&mut self, id: ConnectionId, only_messages: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.storing += 1;
            connection.only_messages = only_messages;
        }
    }

    fn decide_host(&mut self, peer: Peer, mut host: Host, now: Time) -> Result<Decision, ErrorResponse> {
        let name = &host.channel.channel_name;
        let mut registered_from = match peer {
            Peer::Address(ip) => Some(ip),
            Peer::Operator => None,
        };
        match self.directory.get(name) {
            Some(entry) if entry.channel.address.same_place(&host.channel.address) => {
                let sets_lease = !entry.is_fixed() && entry.is_hosted_by(peer);
                let lease = entry.lease.map(|lease| lease.seconds);
                if !sets_lease || lease == host.lease {
                    if sets_lease {
                        self.directory.renew(name, now);
                    }
                    return Ok(Response::Hosted { channel_name: name.clone() }.into());
                }
                // Only the lease changes: it stays listed as it was registered, and by whom.
                registered_from = entry.registered_from();
                host.channel = entry.channel.clone();
            }
            // What the command line fixed stays where it is, whoever asks.
            Some(entry) if entry.is_fixed() || !entry.is_hosted_by(peer) => {
                return Err(refusal::already_exists(name, &entry.channel.address));
            }
            Some(_) => {}
            None => {
                let limit = self.limits.max_channels;
                let known = self.directory.len();
                let new = self.changing.iter().filter(|name| self.directory.get(name).is_none());
                if known + self.changing.len() >= limit && known + new.count() >= limit {
                    return Err(refusal::too_many_channels(limit));
                }
            }
        }
        self.changing.insert(host.channel.channel_name.clone());
        Ok(Decision::Store(What::Host { host, registered_from }))
    }

    fn decide_unhost(&mut self, peer: Peer, channel_name: String) -> Result<Decision, ErrorResponse> {
        match self.directory.get(&channel_name) {
            None => Err(refusal::not_found(&channel_name)),
            Some(entry) if !entry.is_hosted_by(peer) => Err(refusal::not_the_host(&channel_name)),
            Some(_) => {
                self.changing.insert(channel_name.clone());
                Ok(Decision::Store(What::Unhost(channel_name)))
            }
        }
    }

    fn join(&mut self, id: ConnectionId, channel_name: String, from: JoinFrom) -> Result<Response, ErrorResponse> {
        self.is_here(&channel_name)?;
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
        self.joins.join(id, &channel_name, first_id, last_id);
        Ok(Response::Joined { channel_name, first_id, last_id })
    }

    fn leave(&mut self, id: ConnectionId, channel_name: String) -> Response {
        if let Err(error) = self.is_here(&channel_name) {
            return Response::Error(error);
        }
        if !self.joins.is_joined(id, &channel_name) {
            return Response::Error(refusal::not_joined(&channel_name));
        }
        self.joins.leave(id, &channel_name);
        Response::Left { channel_name }
    }

    /// Whether a channel of this name lives here.
    fn is_here(&self, channel_name: &str) -> Result<(), ErrorResponse> {
        match self.directory.get(channel_name) {
            None => Err(refusal::not_found(channel_name)),
            Some(entry) if !entry.is_here => Err(refusal::hosted_elsewhere(channel_name, &entry.channel.address)),
            Some(_) => Ok(()),
        }
    }

    /// The name of the channel that a message goes to.
    fn route(&self, listener: Option<ListenerId>, message: &Message) -> Result<String, ErrorResponse> {
        if let Some(name) = &message.channel_name {
            return self.is_here(name).map(|()| name.clone());
        }
        let Some(listener) = listener else { return Err(refusal::none_here("this connection's address")) };
        let mut here = self.directory.channels_at(listener);
        match (here.next(), here.next()) {
            (Some(name), None) => Ok(name.to_string()),
            (Some(_), Some(_)) => Err(refusal::several_here()),
            (None, _) => Err(match self.directory.name_of(listener) {
                Some(address) => refusal::none_here(address),
                None => refusal::none_here("this server"),
            }),
        }
    }
}
