//! All connections' requests as one single-writer state machine: directory, channels, ids, delivery.
//!
//! Nothing here does anything. What must be stored leaves as a [`StoreCommand`] and comes back as a
//! [`StoreOutcome`]; what must be answered leaves as an [`Effect::Answer`]. So "delivered means durable" is logic that
//! runs the same over a database, in a browser tab and under a simulator.

mod directory;
mod refusal;
mod storage;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    string::{String, ToString},
    vec::Vec,
};
use core::{mem, net::IpAddr};

use directory::Directory;
pub use storage::{ChannelLog, ChannelRecord, Snapshot, StoreCommand, StoreOutcome, Write};

use crate::{
    endpoint::{Misuse, Reply, Ticket},
    wire::{Address, Channel, ErrorResponse, Message, Request, Response, StoredMessage, Timestamp, canonical},
};

/// The most requests that one commit carries: enough to make the cost of a sync small for each, and few enough that
/// the first of them does not wait long for the last.
const MAX_COMMIT: usize = 4096;

/// One connection of a [`Hub`], by a number that the caller picks and never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One listener of a [`Hub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(usize);

/// What a hub may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubLimits {
    /// The most channels that are listed.
    pub max_channels: usize,
}

impl Default for HubLimits {
    /// The protocol's: 100,000 channels.
    fn default() -> Self {
        Self { max_channels: 100_000 }
    }
}

/// What the hub wants done.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Give this answer to the connection's [`Server`](crate::endpoint::Server).
    Answer {
        /// The connection.
        connection: ConnectionId,
        /// The request.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// Give this to the store, and what becomes of it to [`Hub::handle_outcome`].
    Store(StoreCommand),
}

/// The server's whole domain.
///
/// Tell it of [connections](Self::connect), [requests](Self::handle_request) and [outcomes](Self::handle_outcome),
/// as many as are at hand; then take [effects](Self::poll_effect) until there is none. A commit is put together when
/// all else is taken, so whatever has come meanwhile shares it.
///
/// - **Order of effects.** A request is decided when the outcomes of all earlier requests of its connection are
///   known; only MESSAGEs that follow each other are with the store together, in order.
/// - **Delivered means durable.** LIST shows what is committed and nothing else. Only one command is with the store
///   at a time, so ids are given when all before them are known, and a commit that fails leaves no gap.
/// - **After a failure** its requests are answered SERVER_ERROR, and the state is read back before anything else is
///   stored. What waited meanwhile is decided anew.
///
/// ```text
///              poll_effect, something waits            Committed
///        Idle ──────────────────────────────► Committing ───────► Idle
///         ▲                                       │ Failed
///         │            Loaded                     ▼
///         └──────────────────────────────────── Loading ◄── poll_effect, something waits ── Stale
///                                                 │ Failed: what waits is answered            ▲
///                                                 └───────────────────────────────────────────┘
/// ```
#[derive(Debug)]
pub struct Hub {
    limits: HubLimits,
    directory: Directory,
    logs: BTreeMap<String, Log>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Connections that have requests which are not decided, first come first.
    blocked: VecDeque<ConnectionId>,
    /// Decided, and to be stored by the next commit.
    waiting: VecDeque<Intent>,
    /// Names that a HOST which waits or is with the store will change.
    hosting: BTreeSet<String>,
    storage: Storage,
    effects: VecDeque<Effect>,
}

/// How far the messages of a name go.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    last_id: u64,
    last_timestamp: Timestamp,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    listener: ListenerId,
    /// Requests that wait for a commit or are with the store.
    storing: usize,
    /// Whether all of those are MESSAGEs.
    only_messages: bool,
    /// Requests that are not decided.
    undecided: VecDeque<Asked>,
    /// Nobody hears its answers any more.
    gone: bool,
}

#[derive(Debug)]
struct Asked {
    ticket: Ticket,
    request: Request,
    at: Timestamp,
}

/// A request that is decided and must be stored before it is answered.
#[derive(Debug)]
struct Intent {
    connection: ConnectionId,
    ticket: Ticket,
    at: Timestamp,
    what: What,
}

#[derive(Debug)]
enum What {
    Host(Channel, IpAddr),
    Message { message: Message, channel_name: String },
}

#[derive(Debug)]
enum Storage {
    Idle,
    Committing(Commit),
    /// The state is not known to be the store's.
    Stale,
    Loading,
}

/// What is with the store.
#[derive(Debug, Default)]
struct Commit {
    answers: Vec<(ConnectionId, Ticket, Response)>,
    records: Vec<ChannelRecord>,
    logs: BTreeMap<String, Log>,
}

impl Hub {
    /// A hub over a store that holds this.
    #[must_use]
    pub fn new(limits: HubLimits, stored: Snapshot) -> Self {
        let mut hub = Self {
            limits,
            directory: Directory::default(),
            logs: BTreeMap::new(),
            connections: BTreeMap::new(),
            blocked: VecDeque::new(),
            waiting: VecDeque::new(),
            hosting: BTreeSet::new(),
            storage: Storage::Idle,
            effects: VecDeque::new(),
        };
        hub.take(stored);
        hub
    }

    /// The server listens at these own addresses, the first being the one by which the listener is named.
    pub fn add_listener(&mut self, own: Vec<Address>) -> ListenerId {
        self.directory.add_listener(own)
    }

    /// A listener's own addresses have changed, as a machine's interfaces do.
    pub fn set_own_addresses(&mut self, listener: ListenerId, own: Vec<Address>) {
        self.directory.set_own_addresses(listener, own);
    }

    /// Lists a channel for as long as this hub lives. It is not stored, and no client may move it.
    pub fn fix_channel(&mut self, channel: Channel) {
        self.directory.fix(channel);
    }

    /// A listener accepted a connection from this address.
    ///
    /// # Errors
    ///
    /// [`Misuse::DuplicateConnection`] if the number is taken.
    pub fn connect(&mut self, id: ConnectionId, peer: IpAddr, listener: ListenerId) -> Result<(), Misuse> {
        let Entry::Vacant(place) = self.connections.entry(id) else { return Err(Misuse::DuplicateConnection) };
        place.insert(Connection {
            peer: canonical(peer),
            listener,
            storing: 0,
            only_messages: true,
            undecided: VecDeque::new(),
            gone: false,
        });
        Ok(())
    }

    /// A connection is closed. What it asked for is still carried out; its answers are dropped.
    pub fn disconnect(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.gone = true;
            self.forget_if_done(id);
        }
    }

    /// A connection asks, at this wall time.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownConnection`] if it is not connected.
    pub fn handle_request(
        &mut self,
        id: ConnectionId,
        ticket: Ticket,
        request: Request,
        at: Timestamp,
    ) -> Result<(), Misuse> {
        let connection = self.connections.get_mut(&id).filter(|connection| !connection.gone);
        let connection = connection.ok_or(Misuse::UnknownConnection)?;
        let first = connection.undecided.is_empty();
        connection.undecided.push_back(Asked { ticket, request, at });
        if first {
            self.advance(id);
        }
        Ok(())
    }

    /// What became of the last [`Effect::Store`].
    ///
    /// # Errors
    ///
    /// [`Misuse::UnexpectedOutcome`] if the store was not asked for it.
    pub fn handle_outcome(&mut self, outcome: StoreOutcome) -> Result<(), Misuse> {
        match (mem::replace(&mut self.storage, Storage::Stale), outcome) {
            (Storage::Committing(commit), StoreOutcome::Committed) => {
                self.storage = Storage::Idle;
                self.logs.extend(commit.logs);
                for record in commit.records {
                    self.hosting.remove(&record.channel.channel_name);
                    self.directory.put(record);
                }
                for (connection, ticket, response) in commit.answers {
                    self.answer_stored(connection, ticket, response);
                }
            }
            (Storage::Committing(commit), StoreOutcome::Failed) => {
                for record in commit.records {
                    self.hosting.remove(&record.channel.channel_name);
                }
                for (connection, ticket, _) in commit.answers {
                    self.answer_stored(connection, ticket, Response::Error(refusal::not_stored()));
                }
                self.load();
            }
            (Storage::Loading, StoreOutcome::Loaded(stored)) => {
                self.storage = Storage::Idle;
                self.take(stored);
                self.hosting.clear();
                for intent in mem::take(&mut self.waiting) {
                    self.decide_anew(intent);
                }
            }
            (Storage::Loading, StoreOutcome::Failed) => {
                self.hosting.clear();
                for intent in mem::take(&mut self.waiting) {
                    let error = Response::Error(refusal::not_stored());
                    self.answer_stored(intent.connection, intent.ticket, error);
                }
                for id in mem::take(&mut self.blocked) {
                    self.give_up(id);
                }
            }
            (storage, _) => {
                self.storage = storage;
                return Err(Misuse::UnexpectedOutcome);
            }
        }
        for id in mem::take(&mut self.blocked) {
            self.advance(id);
        }
        Ok(())
    }

    /// The next thing to do. Take all of them before telling the hub more.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            match self.storage {
                Storage::Idle if !self.waiting.is_empty() => self.commit(),
                Storage::Stale if !self.waiting.is_empty() || !self.blocked.is_empty() => self.load(),
                _ => {}
            }
        }
        self.effects.pop_front()
    }

    /// Connections that the hub knows: those that are open, and those whose requests are not carried out yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether nothing waits for the store.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let resting = matches!(self.storage, Storage::Idle | Storage::Stale);
        resting && self.waiting.is_empty() && self.blocked.is_empty()
    }

    /// Decides the requests of a connection as far as their turn has come.
    fn advance(&mut self, id: ConnectionId) {
        while let Some(connection) = self.connections.get_mut(&id)
            && let Some(asked) = connection.undecided.front()
        {
            let is_message = matches!(asked.request, Request::Message(_));
            let in_turn = connection.storing == 0 || connection.only_messages && is_message;
            // What the store may hold otherwise decides nothing that is to be stored.
            let in_doubt = matches!(self.storage, Storage::Stale | Storage::Loading);
            let must_wait = match &asked.request {
                Request::List => false,
                Request::Host(channel) => in_doubt || self.hosting.contains(&channel.channel_name),
                Request::Message(_) => in_doubt,
            };
            if !in_turn || must_wait {
                self.blocked.push_back(id);
                return;
            }
            let (peer, listener) = (connection.peer, connection.listener);
            if let Some(Asked { ticket, request, at }) = connection.undecided.pop_front() {
                self.decide(id, peer, listener, Asked { ticket, request, at });
            }
        }
        self.forget_if_done(id);
    }

    /// Answers what a connection asked while the state could not be read back.
    fn give_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for Asked { ticket, request, .. } in mem::take(&mut connection.undecided) {
            let reply = match request {
                Request::List => Reply::Encoded(self.directory.list()),
                Request::Host(_) | Request::Message(_) => refusal::not_stored().into(),
            };
            self.answer(id, ticket, reply);
        }
        self.forget_if_done(id);
    }

    fn decide(&mut self, id: ConnectionId, peer: IpAddr, listener: ListenerId, asked: Asked) {
        let Asked { ticket, request, at } = asked;
        let decision = match request {
            Request::List => Ok(Decision::Answer(Reply::Encoded(self.directory.list()))),
            Request::Host(channel) => self.decide_host(peer, channel),
            Request::Message(message) => self
                .route(listener, &message)
                .map(|channel_name| Decision::Store(What::Message { message, channel_name })),
        };
        match decision {
            Ok(Decision::Store(what)) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.storing += 1;
                    connection.only_messages = matches!(what, What::Message { .. });
                }
                self.waiting.push_back(Intent { connection: id, ticket, at, what });
            }
            Ok(Decision::Answer(reply)) => self.answer(id, ticket, reply),
            Err(error) => self.answer(id, ticket, error.into()),
        }
    }

    /// What waited while the state was read back may be decided otherwise now.
    fn decide_anew(&mut self, intent: Intent) {
        let Intent { connection: id, ticket, at, what } = intent;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.storing -= 1;
        let (peer, listener) = (connection.peer, connection.listener);
        let request = match what {
            What::Host(channel, _) => Request::Host(channel),
            What::Message { message, .. } => Request::Message(message),
        };
        self.decide(id, peer, listener, Asked { ticket, request, at });
        self.forget_if_done(id);
    }

    fn decide_host(&mut self, peer: IpAddr, channel: Channel) -> Result<Decision, ErrorResponse> {
        let name = &channel.channel_name;
        match self.directory.get(name) {
            Some(entry) if entry.channel.address.same_place(&channel.address) => {
                let channel_name = name.clone();
                return Ok(Decision::Answer(Response::Hosted { channel_name }.into()));
            }
            Some(entry) if !entry.is_hosted_by(peer) => {
                return Err(refusal::already_exists(name, &entry.channel.address));
            }
            Some(_) => {}
            None => {
                let limit = self.limits.max_channels;
                let known = self.directory.len();
                let new = self.hosting.iter().filter(|name| self.directory.get(name).is_none());
                if known + self.hosting.len() >= limit && known + new.count() >= limit {
                    return Err(refusal::too_many_channels(limit));
                }
            }
        }
        self.hosting.insert(name.clone());
        Ok(Decision::Store(What::Host(channel, peer)))
    }

    /// The name of the channel that a message goes to.
    fn route(&self, listener: ListenerId, message: &Message) -> Result<String, ErrorResponse> {
        if let Some(name) = &message.channel_name {
            return match self.directory.get(name) {
                None => Err(refusal::not_found(name)),
                Some(entry) if !entry.is_here => Err(refusal::hosted_elsewhere(name, &entry.channel.address)),
                Some(_) => Ok(name.clone()),
            };
        }
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

    /// Puts what waits into one commit. Ids are given here, where all earlier outcomes are known.
    fn commit(&mut self) {
        let mut commit = Commit::default();
        let count = self.waiting.len().min(MAX_COMMIT);
        let mut writes = Vec::with_capacity(count);
        for intent in self.waiting.drain(..count) {
            let (write, response) = match intent.what {
                What::Host(channel, registered_from) => {
                    let position = self.directory.position_for(&channel.channel_name);
                    let response = Response::Hosted { channel_name: channel.channel_name.clone() };
                    let record = ChannelRecord { channel, registered_from, position };
                    commit.records.push(record.clone());
                    (Write::PutChannel(record), response)
                }
                What::Message { message, channel_name } => {
                    let before = commit.logs.get(&channel_name).or_else(|| self.logs.get(&channel_name));
                    let before = before.copied().unwrap_or_default();
                    let id = before.last_id + 1;
                    let timestamp = before.last_timestamp.max(intent.at);
                    let log = Log { last_id: id, last_timestamp: timestamp };
                    match commit.logs.get_mut(&channel_name) {
                        Some(last) => *last = log,
                        None => drop(commit.logs.insert(channel_name.clone(), log)),
                    }
                    let Message { username, message_content, .. } = message;
                    let stored = StoredMessage { channel_name, id, username, message_content, timestamp };
                    (Write::Append(stored), Response::Delivered { timestamp })
                }
            };
            writes.push(write);
            commit.answers.push((intent.connection, intent.ticket, response));
        }
        self.storage = Storage::Committing(commit);
        self.effects.push_back(Effect::Store(StoreCommand::Commit(writes)));
    }

    fn load(&mut self) {
        self.storage = Storage::Loading;
        self.effects.push_back(Effect::Store(StoreCommand::Load));
    }

    fn take(&mut self, stored: Snapshot) {
        self.directory.replace(stored.channels);
        let log =
            |log: ChannelLog| (log.channel_name, Log { last_id: log.last_id, last_timestamp: log.last_timestamp });
        self.logs = stored.logs.into_iter().map(log).collect();
    }

    fn answer_stored(&mut self, id: ConnectionId, ticket: Ticket, response: Response) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.storing -= 1;
        }
        self.answer(id, ticket, response.into());
        self.forget_if_done(id);
    }

    fn answer(&mut self, connection: ConnectionId, ticket: Ticket, reply: Reply) {
        if self.connections.get(&connection).is_some_and(|connection| !connection.gone) {
            self.effects.push_back(Effect::Answer { connection, ticket, reply });
        }
    }

    fn forget_if_done(&mut self, id: ConnectionId) {
        let done =
            |connection: &Connection| connection.gone && connection.storing == 0 && connection.undecided.is_empty();
        if self.connections.get(&id).is_some_and(done) {
            self.connections.remove(&id);
        }
    }
}

enum Decision {
    Answer(Reply),
    Store(What),
}
