//! All connections' requests as one single-writer state machine: directory, channels, ids, delivery.
//!
//! The hub does no I/O. Writes and reads leave as a [`StoreCommand`] or a [`Query`] and come back as a [`StoreOutcome`]
//! or a [`Page`]; commands for a connection leave as an [`Effect`]. So "delivered means durable" is logic that runs the
//! same over a database, in a browser tab and under a simulator.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "a driver carries out every effect and a store every command"
)]

mod access;
mod act;
mod changes;
mod channel_page;
mod commits;
mod connection_page;
mod counters;
mod deletions;
mod digest;
mod directory;
mod drafts;
mod drain;
mod effects;
mod joins;
mod listed;
mod lists;
mod look_ups;
mod moderation;
mod names;
mod owners;
mod presence;
mod reads;
mod refusal;
mod requests;
mod roles;
mod senders;
mod sends;
mod slow_mode;
mod storage;
mod turns;
mod verifications;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    sync::Arc,
    vec::Vec,
};
use core::{mem, net::IpAddr, time::Duration};

pub use crate::endpoint::ConnectionId;
pub use act::{Act, ActKind};
use changes::Changes;
use commits::Commit;
pub use connection_page::ConnectionPage;
pub use counters::{AuthResult, Counters, Histogram};
use directory::Directory;
use drain::Drain;
pub use drain::DrainPlan;
pub use effects::Effect;
use effects::Effects;
use joins::Joins;
use look_ups::LookUps;
use moderation::Moderation;
use owners::Owners;
pub use reads::ReadId;
use reads::Reads;
use requests::PendingRequest;
use senders::Senders;
use sends::RecentSends;
use slow_mode::SlowMode;
pub use storage::{
    ChannelLog, ChannelRecord, DamagedName, Found, GivenRole, MAX_COMMIT, ModerationRecord, Page, Purpose, Query,
    ReleasedChannel, Replay, RoleSubject, SendKey, SendRecord, Sender, Snapshot, StoreCommand, StoreOutcome, Write,
};
use turns::{TurnEnd, Turns, Writer};
pub use verifications::VerificationId;
use verifications::Verifications;

use crate::{
    Limits, Network, Time,
    attempts::Attempts,
    endpoint::{Misuse, Reply, ServerCommand, ServerEvent, Ticket},
    wire::{
        AccountName, Address, Channel, ChannelName, Command, Location, Request, Status, Timestamp, Username, canonical,
    },
};

/// One listener of a [`Hub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(usize);

impl ListenerId {
    /// Returns its number: listeners are counted from 0 in the order in which they were added.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// The rights of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client at this address. It has the rights of the host of each channel that is registered at or from there.
    Address(IpAddr),
    /// A client whose address gives it no rights, such as one behind a Unix socket. It is the host of no channel, and
    /// HOST and UNHOST are not allowed.
    NoAddressRights,
    /// The operator, who may move and remove every channel.
    Operator,
}

/// A moment in monotonic and in wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic time, by which leases end.
    pub time: Time,
    /// Wall time, the timestamps of messages.
    pub wall: Timestamp,
}

/// The limits on a hub's cost.
///
/// | limit | default | precedent |
/// |---|---|---|
/// | `max_channels` | 100,000 | the protocol; large IRC networks list some tens of thousands |
/// | `max_address_channels` | 100 | a server that hosts more registers them from several addresses, or is exempt |
/// | `max_account_names` | 1,000 | accounts are made by the operator, and a bot may host many channels |
/// | `exempt` | loopback | tools of the same machine |
/// | `max_names` | 1,000,000 | ten times what is listed; each takes about 200 bytes of memory |
/// | `max_id` | 2^38 - 1 | what the server's store can number: a million messages an hour for 30 years |
/// | `drop_names_after` | 30 days | a channel that nobody hosted for so long is over |
/// | `max_joins` | 1,000 | the protocol; IRC networks allow a client 10 to 250 |
/// | `retry_window` | 1 hour | JetStream remembers ids for 2 minutes, Redis streams for 100 s to a day |
/// | `max_send_keys` | 500,000 | 140 messages a second for an hour; each key takes about 200 bytes of memory |
/// | `max_roles` | 500,000 | 1,000 in each of 500 channels; each takes about 200 bytes of memory |
/// | `max_past_lists` | 16 MiB | the protocol; two lists of 100,000 usual channels |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubLimits {
    /// The most channels that are listed.
    pub max_channels: usize,
    /// The most listed channels whose HOST came from one address: an IPv4 address, or the /64 network of an IPv6 address.
    /// The operator has no such limit.
    pub max_address_channels: usize,
    /// The most channels that one account owns, listed or not. An operator's has no such limit.
    pub max_account_names: usize,
    /// Networks that [`max_address_channels`](Self::max_address_channels) is not for.
    pub exempt: Vec<Network>,
    /// The most known names: listed, kept for a host, or with messages in the past and not dropped.
    pub max_names: usize,
    /// The greatest id of a message.
    pub max_id: u64,
    /// The time after which a name is dropped that is neither listed nor keeps a message.
    pub drop_names_after: Duration,
    /// The most channels that one connection may join.
    pub max_joins: usize,
    /// The time for which a message that was sent with a `client_message_id` may be sent again without being stored twice.
    pub retry_window: Duration,
    /// The most keys of such messages that are kept. Beyond it, the oldest are evicted.
    pub max_send_keys: usize,
    /// The secret by which the keys of messages are hashed, so that clients cannot choose ids that are slow to find. It
    /// decides nothing. Random for a server that strangers reach; 0 by default.
    pub hash_secret: (u64, u64),
    /// The most roles that are kept, over all channels.
    pub max_roles: usize,
    /// The most bytes that unfinished answers to LIST hold beyond the current list. Beyond this limit, the answers
    /// whose readers made no progress for the longest time are withdrawn, and their connections reset.
    pub max_past_lists: usize,
}

impl Default for HubLimits {
    /// Returns the protocol's limits: 100,000 channels, of which 100 from one address but loopback and 1,000 of one account, 1,000,000 names, which
    /// are dropped after 30 days, 1,000 joins a connection, 500,000 keys of messages for an hour, 500,000 roles, 16 MiB of past lists.
    fn default() -> Self {
        Self {
            max_channels: 100_000,
            max_address_channels: 100,
            max_account_names: 1000,
            exempt: [Network::LOOPBACK_V4, Network::LOOPBACK_V6].into(),
            max_names: 1_000_000,
            max_id: (1 << 38) - 1,
            drop_names_after: Duration::from_secs(30 * 86_400),
            max_joins: 1000,
            retry_window: Duration::from_secs(3600),
            max_send_keys: 500_000,
            hash_secret: (0, 0),
            max_roles: 500_000,
            max_past_lists: 16 * 1024 * 1024,
        }
    }
}

/// The state machine of all channels and connections of a server.
///
/// A request that is not carried out is answered with an error, and the connection continues:
///
/// | the client | is answered |
/// |---|---|
/// | names a channel that is not listed, or none where none lives | REQUEST_ERROR `Channel not found` |
/// | names none where several live, or a place beyond the channel's end | REQUEST_ERROR `Invalid payload` |
/// | writes to, joins, leaves or reads a channel that lives at a peer | REQUEST_ERROR `Channel hosted elsewhere` |
/// | hosts a channel that another hosts, at another address, or that is kept for another | REQUEST_ERROR `Channel already exists` |
/// | names a channel that it may not [read](crate::rights::Rights::may) | REQUEST_ERROR `Channel not found`, as if there were none |
/// | writes or hosts without the right to, hosts what is an account's, or uses an account's name | REQUEST_ERROR `Not allowed` |
/// | removes a channel that another hosts | REQUEST_ERROR `Not the channel's host` |
/// | hosts or removes a channel without address rights | REQUEST_ERROR `Not allowed` |
/// | joins what it has joined; leaves what it has not | REQUEST_ERROR `Already joined`; `Not joined` |
/// | lists, hosts, names or joins more than the [`HubLimits`] allow, or says more in a channel | REQUEST_ERROR `Limit reached` |
/// | asks for the server's connections or to end one, and is not the operator | REQUEST_ERROR `Not allowed` |
/// | gives credentials that are not right | REQUEST_ERROR `Authentication failed` |
/// | authenticates again; more often than is allowed | REQUEST_ERROR `Already authenticated`; `Too many attempts` |
/// | sends another message under a `client_message_id` | REQUEST_ERROR `Message id reused` |
/// | deletes in a channel that another hosts, or the record of a deletion | REQUEST_ERROR `Not allowed` |
/// | gives a role or changes a setting without the right to, or is kept out by a role or a setting | REQUEST_ERROR `Not allowed` |
/// | writes too soon after its last message in a channel with slow mode | REQUEST_ERROR `Slow mode` |
/// | deletes a message that is not kept | REQUEST_ERROR `Message not found` |
/// | ends a connection that is not open | REQUEST_ERROR `Connection not found` |
/// | asks for what the store does not do | SERVER_ERROR `Database connection failed` |
///
/// Three errors answer no request and close a connection: SERVER_ERROR `Channel removed` after a channel that it has
/// joined was removed, `Slow consumer` when the messages to push next cannot be read or were dropped, and `Access revoked`
/// when its account has changed, or it may no longer read what it has joined, by rule or because of a role or a setting.
///
/// Give it all available [connections](Self::connect), [requests](Self::handle_request),
/// [outcomes](Self::handle_outcome), [pages](Self::handle_page) and [results](Self::handle_verified); then poll [effects](Self::poll_effect) until there
/// is none. A commit is assembled when no other effect is left, so requests that arrived meanwhile share it.
///
/// - **Order of effects.** A request is decided when the outcomes of all earlier requests of its connection are known.
///   Only consecutive MESSAGEs share a commit, in order.
/// - **Fair.** A write waits in its connection's queue and is decided when a commit takes it. Commits take from
///   connections in turn, by bytes; ended leases have a turn like a connection.
/// - **Bounded work.** The cost of a call is bounded by a commit, by one connection's requests or by the output. It
///   does not grow with the stored messages.
/// - **Delivered means durable.** LIST, HISTORY, JOIN and pushes show committed state only. Only one store command is
///   outstanding, so an id is assigned when the outcome of all earlier ones is known, and a failed commit leaves no
///   gap.
/// - **A repeated MESSAGE is stored once.** One with the `client_message_id` of a stored message of its sender in its
///   channel gets that message's answer, also after a restart, after a failed commit and when the message is dropped,
///   for as long as [`HubLimits`] say. It is decided where ids are given.
/// - **Authentication.** Credentials leave as an [`Effect::Verify`], of which no more are open than can be verified in
///   two seconds. Later requests of the connection wait for the result, and are decided as the account's.
/// - **A deleted message is shown no more.** DELETE stores two things in one commit: what is left of the message, and
///   its record, which takes the next id. Its message is read before it is decided, and DELETEs of one message are
///   decided one after another. A page that was read before the commit and comes after it is read again.
/// - **A role or setting holds from its commit on.** MESSAGEs to its channel wait while one is pending, like those to a
///   channel that is moved, and are decided by its outcome, whatever came before them on their connections. Joins that
///   it forbids end with it, and pages that are read for those who may not read any more are not given. Roles end by
///   the hub's time, as leases do.
/// - **After a failed commit** its requests are answered SERVER_ERROR, and the stored state of its names is read back
///   before the next commit.
/// - **No message to a removed channel.** While a move or removal of a channel is pending, MESSAGEs to it wait and are
///   decided by its outcome; those to other channels do not wait.
/// - **JOIN has no gap and no duplicate.** A subscription knows its next id, whether its messages are read from the
///   store or come with commits.
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
    /// A log for each known name.
    logs: BTreeMap<ChannelName, Log>,
    /// The accounts that names belong to.
    owners: Owners,
    /// Names whose stored state is damaged. They are not in `logs`.
    damaged: BTreeSet<ChannelName>,
    /// The moment of the start.
    origin: Moment,
    connections: BTreeMap<ConnectionId, Connection>,
    joins: Joins,
    /// The connections and leases with pending writes.
    turns: Turns,
    /// The names that the current commit changes, and the connections waiting for them.
    changes: Changes,
    /// The keys of stored messages. They change with stored state only.
    sends: RecentSends,
    /// Connections whose next request may be answered without storing anything.
    runnable: VecDeque<ConnectionId>,
    /// The number of their requests, and of channels for CHANNELS, examined since the last store command.
    looked_at: usize,
    leases: EndedLeases,
    /// Locations that are no longer local. The subscriptions of their channels are closed once no store command is
    /// outstanding, because its messages are pushed first.
    lost: Vec<Location>,
    storage: Storage,
    reads: Reads,
    attempts: Attempts,
    verifications: Verifications,
    /// The requests about messages that are being decided.
    look_ups: LookUps,
    /// The roles and settings of channels.
    moderation: Moderation,
    /// From where the last messages came.
    senders: Senders,
    slow_mode: SlowMode,
    /// The latest time that it was given.
    now: Time,
    effects: Effects,
    counters: Counters,
    /// The closing of all connections, once the server stops.
    drain: Option<Drain>,
    /// Whether deciding has stopped.
    is_stopped: bool,
}

/// The ids and the last time of a name's messages.
#[derive(Clone, Copy, Debug)]
struct Log {
    last_id: u64,
    /// The id of the oldest message that is kept.
    first_id: u64,
    last_timestamp: Timestamp,
    /// The bytes of the texts that were stored since the start.
    stored_bytes: u64,
    /// The time at which it is dropped, if it is neither listed nor keeps a message.
    drop_at: Option<Time>,
}

impl Default for Log {
    fn default() -> Self {
        Self { last_id: 0, first_id: 1, last_timestamp: Timestamp::default(), stored_bytes: 0, drop_at: None }
    }
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    /// The address that it came from, by which attempts to authenticate are limited.
    address: Option<IpAddr>,
    /// The account that it has authenticated as.
    account: Option<AccountName>,
    /// The username of the last message with an id that a guest has sent on it.
    guest: Option<Username>,
    /// The listener that accepted it; `None` for the operator's.
    listener: Option<ListenerId>,
    /// The time at which it was accepted.
    since: Time,
    /// The number of decided requests whose commit has no outcome yet.
    storing: usize,
    /// Whether all of them are MESSAGEs.
    only_messages: bool,
    /// Requests that are not decided.
    pending: VecDeque<PendingRequest>,
    /// The number of pending requests to answer with a failure of the store.
    given_up: usize,
    place: Place,
    last_turn_end: TurnEnd,
    /// The name that it has waited for. The next connection in line for that name waits until this one's request is
    /// decided.
    awaited: Option<ChannelName>,
    /// Whether its rights have changed, so that it is being ended and nothing more is carried out for it.
    is_revoked: bool,
    /// Whether its last HELLO asked for notices.
    notices: bool,
    /// Whether it has sent HELLO.
    said_hello: bool,
    /// Whether it is closed, so that its answers are dropped.
    closed: bool,
}

/// The queue in which a connection with an undecided request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// None: there is no pending request, or those before it are not answered.
    None,
    /// In [`Hub::runnable`].
    Runnable,
    /// In [`Hub::turns`], or for a name of [`Hub::changes`].
    ToBeStored,
    /// In [`Hub::look_ups`]: its message is read, or another request about it comes first.
    LookingUp,
}

/// Ended leases. Their channels are removed from the list a few at a time.
#[derive(Debug, Default)]
struct EndedLeases {
    /// Leases that end up to this time are processed.
    by: Time,
    /// Whether they have a place among the [writers](Turns).
    has_turn: bool,
    last_turn_end: TurnEnd,
    /// The earliest time of the next attempt after a failure.
    not_before: Time,
}

#[derive(Debug)]
enum Storage {
    Idle,
    Committing(Commit),
    /// The stored state of these names is unknown.
    Stale(Vec<ChannelName>),
    /// The state of these names is being read back.
    Loading(Vec<ChannelName>),
}

impl Hub {
    /// Creates a hub over a store with the state `stored`. Leases count from `now`. Wall time is assumed to advance
    /// with monotonic time, so a jump of the clock ends no lease early.
    #[must_use]
    pub fn new(limits: HubLimits, stored: Snapshot, now: Moment) -> Self {
        let mut hub = Self {
            directory: Directory::new(limits.max_past_lists),
            limits,
            logs: BTreeMap::new(),
            owners: Owners::default(),
            damaged: BTreeSet::new(),
            origin: now,
            connections: BTreeMap::new(),
            joins: Joins::default(),
            turns: Turns::default(),
            changes: Changes::default(),
            sends: RecentSends::default(),
            runnable: VecDeque::new(),
            looked_at: 0,
            leases: EndedLeases::default(),
            lost: Vec::new(),
            storage: Storage::Idle,
            reads: Reads::default(),
            attempts: Attempts::default(),
            verifications: Verifications::default(),
            look_ups: LookUps::default(),
            moderation: Moderation::default(),
            senders: Senders::default(),
            slow_mode: SlowMode::default(),
            now: now.time,
            effects: Effects::default(),
            counters: Counters::default(),
            drain: None,
            is_stopped: false,
        };
        hub.restore(stored, now.time);
        // Keys that were evicted before the start are not counted again.
        hub.counters = Counters::default();
        hub
    }

    /// Adds a listener with these local addresses, of which the first names it.
    pub fn add_listener(&mut self, addresses: &[Address]) -> ListenerId {
        self.directory.add_listener(addresses)
    }

    /// Replaces a listener's local addresses, as when a machine's interfaces change.
    pub fn set_local_addresses(&mut self, listener: ListenerId, addresses: &[Address]) {
        self.lost.extend(self.directory.set_local_addresses(listener, addresses));
        if matches!(self.storage, Storage::Idle | Storage::Stale(_)) {
            self.close_lost();
        }
    }

    /// Lists a channel for the lifetime of this hub. It is not stored, and no client may move or remove it.
    pub fn fix_channel(&mut self, channel: Channel) {
        let channel_name = channel.channel_name.clone();
        self.directory.fix(channel);
        self.mark_in_use(&channel_name);
    }

    /// Replaces the limits of the hub for the requests that are decided from now on, and of every connection for those
    /// that begin. Of the hub's limits, `max_id`, `hash_secret` and `max_past_lists` stay.
    ///
    /// Nothing ends: channels, joins and connections beyond a lower limit stay, and more are refused.
    pub fn reconfigure(&mut self, hub_limits: HubLimits, limits: &Arc<Limits>) {
        let HubLimits { max_id, hash_secret, max_past_lists, .. } = self.limits;
        self.limits = HubLimits { max_id, hash_secret, max_past_lists, ..hub_limits };
        let open = self.connections.iter().filter(|(_, connection)| !connection.closed);
        for (id, _) in open {
            self.effects.send(*id, ServerCommand::Reconfigure(limits.clone()));
        }
    }

    /// Adds a connection that was accepted at `now`. `listener` is `None` for the operator's socket.
    ///
    /// # Errors
    ///
    /// [`Misuse::DuplicateConnection`] if the number is taken.
    pub fn connect(
        &mut self,
        id: ConnectionId,
        peer: Peer,
        listener: Option<ListenerId>,
        now: Time,
    ) -> Result<(), Misuse> {
        let Entry::Vacant(place) = self.connections.entry(id) else { return Err(Misuse::DuplicateConnection) };
        let peer = match peer {
            Peer::Address(ip) => Peer::Address(canonical(ip)),
            Peer::NoAddressRights | Peer::Operator => peer,
        };
        let address = match peer {
            Peer::Address(ip) => Some(ip),
            Peer::NoAddressRights | Peer::Operator => None,
        };
        place.insert(Connection {
            peer,
            address,
            account: None,
            guest: None,
            listener,
            since: now,
            storing: 0,
            only_messages: true,
            pending: VecDeque::new(),
            given_up: 0,
            place: Place::None,
            last_turn_end: TurnEnd::default(),
            awaited: None,
            is_revoked: false,
            notices: false,
            said_hello: false,
            closed: false,
        });
        if self.drain.is_some() {
            self.effects.send(id, ServerCommand::Shutdown);
        }
        Ok(())
    }

    /// Removes a connection that is closed. Its requests are still carried out, and their answers dropped.
    /// [`Effect::Disconnected`] follows when that is done.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.joins.remove_subscriber(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.closed = true;
            self.remove_if_done(id);
        }
    }

    /// Handles an event of a connection's [`Server`](crate::endpoint::Server).
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownConnection`] if it is a request, and the connection is not connected.
    pub fn handle_event(&mut self, id: ConnectionId, event: ServerEvent, at: Moment) -> Result<(), Misuse> {
        match event {
            ServerEvent::Request { ticket, request } => return self.handle_request(id, ticket, request, at),
            ServerEvent::Drained => self.handle_drained(id),
            ServerEvent::Ended => self.handle_ended(id),
            ServerEvent::Answered { request } => {
                self.counters.answered_elsewhere(request.command());
                if let (Request::Hello { notices }, Some(connection)) = (request, self.connections.get_mut(&id)) {
                    connection.notices = notices;
                    connection.said_hello = true;
                }
            }
            ServerEvent::Refused { .. } | ServerEvent::Withdrawn => {}
        }
        Ok(())
    }

    /// Takes a request of a connection.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownConnection`] if it is not connected, and [`Misuse::NotForHub`] if it is a HELLO, which the
    /// connection's endpoint answers.
    pub fn handle_request(
        &mut self,
        id: ConnectionId,
        ticket: Ticket,
        request: Request,
        at: Moment,
    ) -> Result<(), Misuse> {
        if matches!(request, Request::Hello { .. }) {
            return Err(Misuse::NotForHub);
        }
        let connection = self.connections.get_mut(&id).filter(|connection| !connection.closed);
        let connection = connection.ok_or(Misuse::UnknownConnection)?;
        self.now = self.now.max(at.time);
        if self.is_stopped {
            return Ok(());
        }
        let is_first = connection.pending.is_empty();
        let said_hello = connection.said_hello;
        let pending = PendingRequest { ticket, request, at, said_hello };
        let is_page = pending.is_page();
        connection.pending.push_back(pending);
        if is_first && is_page && connection.storing == 0 {
            // Many that come at one time take turns with the requests of others.
            connection.place = Place::Runnable;
            self.runnable.push_back(id);
        } else if is_first {
            self.advance(id);
        }
        Ok(())
    }

    /// Handles [`ServerEvent::Drained`]: a connection has read its page.
    pub fn handle_drained(&mut self, id: ConnectionId) {
        self.joins.drained(id);
        self.feed(id);
    }

    /// Handles [`ServerEvent::Ended`]: a connection's peer has ended its stream, and all its requests are answered.
    pub fn handle_ended(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|connection| !connection.closed) {
            self.joins.peer_ended(id, &mut self.effects);
        }
    }

    /// Notes that retention has dropped a channel's messages below `first_id`.
    pub fn handle_trimmed(&mut self, channel_name: &ChannelName, first_id: u64, now: Time) {
        if let Some(log) = self.logs.get_mut(channel_name)
            && log.last_id > 0
            && log.first_id < first_id
        {
            log.first_id = first_id;
            self.idle(channel_name, now);
        }
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) has something to do next. Ask when every
    /// effect is taken.
    #[must_use = "`handle_timeout` is to be called then"]
    pub fn poll_timeout(&self) -> Option<Time> {
        if !self.joins.is_clean() {
            return Some(Time::default());
        }
        let drain = self.drain.as_ref().and_then(Drain::next_at);
        [self.lease_timeout(), drain, self.joins.next_notice(), self.moderation.next_end()].into_iter().flatten().min()
    }

    fn lease_timeout(&self) -> Option<Time> {
        match self.storage {
            Storage::Idle | Storage::Stale(_) if !self.leases.has_turn && !self.is_stopped => {
                self.directory.next_end().map(|end| end.max(self.leases.not_before))
            }
            // A lease that ends while the store has something is looked at afterwards.
            _ => None,
        }
    }

    /// Ends leases and roles, closes the connections whose turn it is in a [drain](Self::drain), sends notices of presence, and cleans
    /// up a bounded part of what was left to be. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.joins.clean_up_some();
        self.end_roles(now);
        self.close_drained(now);
        let connections = &self.connections;
        let wants = |id| connections.get(&id).is_some_and(|connection| connection.notices && !connection.closed);
        self.joins.notify(now, wants, &mut self.effects);
        self.leases.by = now;
        let due = |end: Time| end <= now && self.leases.not_before <= now;
        if !self.is_stopped && !self.leases.has_turn && self.directory.next_end().is_some_and(due) {
            self.add_ended_leases();
        }
    }

    /// Drops all pending requests without an answer, and every one that comes from now on; no lease ends any more. The
    /// requests of the commit that is with the store are still answered, and so are the reads. Verifications are dropped. For a server that stops
    /// and has waited long enough: afterwards nothing but the store's current command keeps it from being
    /// [idle](Self::is_idle).
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.turns = Turns::default();
        self.runnable.clear();
        self.leases.has_turn = false;
        drop(self.changes.take_waiting());
        self.look_ups = LookUps::default();
        let waiting = self.reads.drop_waiting().into_iter().chain(self.verifications.drop_all());
        for id in waiting {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.storing -= 1;
            }
        }
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.pending.clear();
                (connection.given_up, connection.place, connection.awaited) = (0, Place::None, None);
            }
            self.remove_if_done(id);
        }
    }

    /// Takes the next effect. Take all of them, unless there are so many that inputs should be handled first.
    #[must_use = "an effect that is dropped is never given again"]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        while self.effects.is_empty() && self.work() {}
        // The list is published before anything else is sent about a change.
        if let Some(list) = self.directory.unpublished_list() {
            return Some(Effect::Publish(list));
        }
        let effect = self.effects.pop();
        if let Some(Effect::Send(_, command)) = &effect {
            self.counters.sent(command);
        }
        effect
    }

    /// Does a bounded part of the work. Returns `false` if there is none.
    fn work(&mut self) -> bool {
        self.start_reads();
        if !self.effects.is_empty() {
            return true;
        }
        // Connections that were just answered share the next commit, but cannot delay the others' writes.
        let is_due = !self.turns.is_empty() && (self.runnable.is_empty() || self.looked_at >= MAX_COMMIT);
        match &mut self.storage {
            Storage::Idle if is_due => self.commit(),
            Storage::Stale(names) if is_due => {
                let names = mem::take(names);
                self.load(names);
            }
            _ => {
                let Some(id) = self.runnable.pop_front() else { return false };
                self.set_place(id, Place::None);
                self.advance(id);
                return true;
            }
        }
        self.looked_at = 0;
        true
    }

    /// Returns the number of connections that are open, or whose requests are not carried out yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Returns the number of joins, over all connections.
    #[must_use]
    pub fn joins(&self) -> usize {
        self.joins.len()
    }

    /// Returns the counts of its work and its present sizes. The first call after the listed channels or the local
    /// addresses have changed costs as much as there are channels that live here.
    #[must_use]
    pub fn counters(&mut self) -> Counters {
        let mut counters = self.counters.clone();
        counters.requests.insert((Command::List, Status::Ok), self.lists_answered() as u64);
        counters.channels_here = self.directory.local_count();
        counters.channels_elsewhere = self.directory.len() - counters.channels_here;
        counters.joins = self.joins.len();
        counters.send_keys = self.sends.len();
        counters
    }

    /// Returns the number of LISTs that were answered, by the hub or [at once](crate::endpoint::Server::list_at_once).
    #[must_use]
    pub fn lists_answered(&self) -> usize {
        self.directory.lists.answers()
    }

    /// Returns the number of bytes that the encoded lists hold, and of those that only their past versions do.
    #[must_use]
    pub fn list_memory(&self) -> (usize, usize) {
        self.directory.lists.held()
    }

    /// Returns whether nothing waits for the store or for a verification.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let resting = matches!(self.storage, Storage::Idle | Storage::Stale(_));
        resting && !self.has_pending() && self.reads.is_empty() && self.verifications.is_empty()
    }

    /// Reads the next page for a connection, if one is due.
    fn feed(&mut self, id: ConnectionId) {
        if let Some((channel_name, after)) = self.joins.next_page(id) {
            self.reads.replay(id, channel_name, after);
        }
    }

    /// Closes the joins of channels at locations that are local no more.
    fn close_lost(&mut self) {
        for location in mem::take(&mut self.lost) {
            let names: Vec<ChannelName> = self.joins.channels_at(&location).cloned().collect();
            names.iter().for_each(|name| self.settle_joins(name));
        }
    }

    /// Closes the joins of a channel that is not here, or notes where it is.
    fn settle_joins(&mut self, channel_name: &ChannelName) {
        match self.directory.get(channel_name).map(|entry| &entry.channel.address) {
            Some(address) if self.directory.is_local(address) => self.joins.relocate(channel_name, address),
            _ => {
                let last_id = self.log(channel_name).last_id;
                self.joins.remove_channel(channel_name, last_id, &mut self.effects);
            }
        }
    }

    fn log(&self, channel_name: &ChannelName) -> Log {
        self.logs.get(channel_name).copied().unwrap_or_default()
    }

    fn answer(&mut self, connection: ConnectionId, ticket: Ticket, command: Command, reply: Reply) {
        if self.connections.get(&connection).is_some_and(|connection| !connection.closed) {
            self.counters.answered(command, &reply);
            self.effects.send(connection, ServerCommand::Respond { ticket, reply });
        }
    }

    /// Answers a request that was with the store.
    fn answer_stored(&mut self, id: ConnectionId, ticket: Ticket, command: Command, reply: Reply) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.storing -= 1;
        }
        self.answer(id, ticket, command, reply);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.storing == 0 && connection.place == Place::None && !connection.pending.is_empty() {
            connection.place = Place::Runnable;
            self.runnable.push_back(id);
        }
        self.remove_if_done(id);
    }

    fn set_place(&mut self, id: ConnectionId, place: Place) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.place = place;
        }
    }

    /// Returns whether a request waits that can be decided when the store has done what it was given.
    fn has_pending(&self) -> bool {
        !self.turns.is_empty() || !self.runnable.is_empty() || self.changes.is_awaited()
    }

    fn remove_if_done(&mut self, id: ConnectionId) {
        let done =
            |connection: &Connection| connection.closed && connection.storing == 0 && connection.pending.is_empty();
        if self.connections.get(&id).is_some_and(done) {
            self.connections.remove(&id);
            self.effects.add(Effect::Disconnected(id));
        }
    }
}
