//! The whole server in memory: core's endpoint and hub over a store and a network that do what they are told, on a
//! clock that goes as one likes.
//!
//! The same settings and the same calls at the same times give the same bytes.
//!
//! ```
//! use chanwire_inspect::{
//!     Direction,
//!     plan::Step,
//!     sandbox::{Happening, Sandbox, Settings},
//! };
//!
//! let mut sandbox = Sandbox::new(Settings { cut_reads: false, ..Settings::default() });
//! let client = sandbox.connect("192.0.2.7".parse()?).unwrap();
//! sandbox.push(client, Step::Bytes(b"LIST\r\n".to_vec()));
//! sandbox.run(50);
//! let answer = b"OK\r\n{\"channels\": []}".to_vec();
//! let read = Happening::Bytes { direction: Direction::In, bytes: answer };
//! assert_eq!(sandbox.take_events().pop().unwrap().event, read);
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod accounts;
mod connection;
mod pipe;
mod scenario;
mod settings;
mod store;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

pub use accounts::ACCOUNTS;
use chanwire_core::{
    Time,
    admission::{Admission, Permit},
    endpoint::{Endpoint as _, Listing, ServerCommand, Timer, Traffic},
    hub::{ConnectionId, DrainPlan, Effect, Hub, ListenerId, Moment, Peer, Snapshot, VerificationId},
    wire::{AccountName, Address, Timestamp},
};
use fastrand::Rng;
pub use scenario::{Scenario, scenarios};
use serde::{Serialize, Serializer};
use settings::MAX_CONNECTIONS;
pub use settings::{Setting, Settings};
pub use store::StoreMode;
use store::{Done, Store};

use self::connection::{Connection, Surroundings};
use crate::{Direction, plan::Step};

/// The address at which the server of every sandbox listens, with the port of the protocol's examples.
pub const ADDRESS: &str = "127.0.0.1:22236";

/// The longest that the store takes for a job, in milliseconds.
const STORE_DELAY: u64 = 4;

/// The time that a verification takes: as long as hashing a password.
const VERIFICATION: Duration = Duration::from_millis(65);

/// The pace at which a server that stops closes its connections: few enough a second to be told apart.
const DRAIN: DrainPlan = DrainPlan { rate: NonZeroU32::new(10).unwrap(), within: Duration::from_secs(5) };

/// A server, its store, its clients and the network between them.
///
/// Tell it what clients do, then [`run`](Self::run) it to a moment and take the [events](Self::take_events). Times are
/// milliseconds since it was made.
#[derive(Debug)]
pub struct Sandbox {
    settings: Settings,
    rng: Rng,
    now: Time,
    hub: Hub,
    /// The list that the hub has published.
    published: Option<Listing>,
    listener: Option<ListenerId>,
    store: Store,
    /// The results of verifications, with the times at which they are known.
    verifications: VecDeque<(Time, VerificationId, Option<AccountName>)>,
    connections: BTreeMap<u32, Connection>,
    admission: Admission,
    /// The permits of open connections from an address.
    permits: BTreeMap<u32, Permit>,
    last: u32,
    /// Closed connections not yet reported to the hub, which takes no input while its effects are drained.
    closed: Vec<u32>,
    /// Whether the server was asked to stop.
    stops: bool,
    events: Vec<Event>,
}

/// Something that a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, in milliseconds.
    pub time: u64,
    /// Which connection's client.
    pub connection: u32,
    /// The event.
    pub event: Happening,
}

/// An event of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Happening {
    /// The connection stands.
    Opened {
        /// The client's end: an address and a port, or `unix` or `operator` and a number.
        local: String,
        /// The server's end.
        remote: &'static str,
    },
    /// One write, or one read.
    Bytes {
        /// Which.
        direction: Direction,
        /// The bytes written or read.
        #[serde(serialize_with = "byte_array")]
        bytes: Vec<u8>,
    },
    /// A sending half was shut down.
    Ended {
        /// Whose: the client's if `out`.
        direction: Direction,
    },
    /// The connection is over.
    Closed {
        /// The event, with the server's [`Ending`](crate::Ending) once it is decided.
        reason: String,
        /// Whether that is a failure.
        bad: bool,
    },
}

/// An event that only time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Due {
    /// When, in milliseconds.
    pub at: u64,
    /// Whose it is, if it is one connection's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<u32>,
    /// A description that completes "… is due".
    pub event: &'static str,
}

/// The state of a sandbox, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// The time, in milliseconds.
    pub now: u64,
    /// The next deadline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// The behaviour of the store.
    pub store: StoreMode,
    /// The number of commits and reads that wait for it.
    pub waiting: usize,
    /// The number of channels that are stored.
    pub channels: usize,
    /// The number of messages that are stored.
    pub messages: usize,
    /// The connections whose clients do not read.
    pub paused: Vec<u32>,
    /// The connections that are not read, until their rate allows the next request.
    pub throttled: Vec<u32>,
}

impl Sandbox {
    /// Returns a server with an empty store, at time 0.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let at = Moment { time: Time::default(), wall: Timestamp::from_unix(settings.wall) };
        let mut hub = Hub::new(settings.hub_limits(), Snapshot::default(), at);
        hub.set_rights(settings.rights().into());
        let own: Option<Address> = ADDRESS.parse().ok();
        Self {
            rng: Rng::with_seed(settings.seed),
            admission: Admission::new(settings.address_limits()),
            permits: BTreeMap::new(),
            settings,
            now: Time::default(),
            listener: own.map(|own| hub.add_listener(&[own])),
            hub,
            published: None,
            store: Store::default(),
            verifications: VecDeque::new(),
            connections: BTreeMap::new(),
            last: 0,
            closed: Vec::new(),
            stops: false,
            events: Vec::new(),
        }
    }

    /// Connects a client from this address. `None` if so many are connected that no more can be.
    pub fn connect(&mut self, from: IpAddr) -> Option<u32> {
        self.admit(Peer::Address(from))
    }

    /// Connects a client without address rights, as through a Unix socket. `None` if so many are connected that no more
    /// can be.
    pub fn connect_without_rights(&mut self) -> Option<u32> {
        self.admit(Peer::NoAddressRights)
    }

    /// Connects the server's operator, as through the socket in its data directory. `None` if so many are connected
    /// that no more can be.
    pub fn connect_operator(&mut self) -> Option<u32> {
        self.admit(Peer::Operator)
    }

    fn admit(&mut self, peer: Peer) -> Option<u32> {
        if self.connections.len() >= 2 * MAX_CONNECTIONS {
            return None;
        }
        self.last += 1;
        let id = self.last;
        let (local, listener) = match peer {
            Peer::Address(from) => {
                let port = u16::try_from(50_000 + id % 10_000).unwrap_or(50_000);
                (SocketAddr::new(from, port).to_string(), self.listener)
            }
            Peer::NoAddressRights => (format!("unix:{id}"), self.listener),
            Peer::Operator => (format!("operator:{id}"), None),
        };
        let mut connection = Connection::new(hub_id(id), &self.settings, is_local(peer));
        let throttle = match peer {
            Peer::Address(from) => self.admission.admit(self.now, from).map(|(permit, throttle)| {
                self.permits.insert(id, permit);
                throttle
            }),
            Peer::NoAddressRights => Ok(Some(self.admission.throttle_without_address())),
            Peer::Operator => Ok(None),
        };
        let throttle = throttle.map(|throttle| throttle.filter(|_| self.settings.has_rate()));
        let served = self.connections.values().filter(|other| other.is_open() && other.is_served).count();
        let most = self.settings.max_connections;
        if let Err(refusal) = throttle {
            connection.refuse_address(self.now, refusal);
        } else if served >= most {
            self.release(id);
            connection.refuse_busy(self.now, most);
        } else if self.settings.requires_tls {
            connection.refuse_plain_text(self.now);
        } else {
            // The number is a new one, so the hub takes it.
            let known = self.hub.connect(hub_id(id), peer, listener, self.now);
            debug_assert_eq!(known, Ok(()));
            if peer == Peer::Operator {
                connection.set_own_list();
            }
            if let Ok(Some(throttle)) = throttle {
                connection.set_throttle(throttle);
            }
        }
        self.event(id, Happening::Opened { local, remote: ADDRESS });
        self.connections.insert(id, connection);
        Some(id)
    }

    /// Takes back the permit of a connection, if it has one.
    fn release(&mut self, id: u32) {
        if let Some(permit) = self.permits.remove(&id) {
            self.admission.release(self.now, permit);
        }
    }

    /// Queues a step of a client, to be done after all before it. False if it cannot: the connection is over or its
    /// sending half is shut down, or too much waits already.
    pub fn push(&mut self, connection: u32, step: Step) -> bool {
        self.connections.get_mut(&connection).is_some_and(|connection| connection.push(step))
    }

    /// Returns the reason why a client cannot take so many more steps with so many bytes, if it cannot, in words for
    /// the person. While there is none, each of them can be [pushed](Self::push).
    #[must_use]
    pub fn refusal(&self, connection: u32, steps: usize, bytes: usize) -> Option<String> {
        match self.connections.get(&connection) {
            Some(connection) => connection.refusal(steps, bytes),
            None => Some("Nothing of this was sent: the connection is over.".into()),
        }
    }

    /// Closes a client's connection, of which nothing more is reported. Bytes sent before are read all the same.
    pub fn close(&mut self, connection: u32) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.close(now);
        }
    }

    /// Makes a client read or stop reading.
    pub fn set_reading(&mut self, connection: u32, reading: bool) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.set_reading(reading);
        }
    }

    /// Replaces the settings of the running server, as a reload does. Open connections keep their rate and their
    /// network. The seed and the wall time stay.
    pub fn reconfigure(&mut self, settings: Settings) {
        let Settings { seed, wall, .. } = self.settings;
        self.settings = Settings { seed, wall, ..settings };
        self.admission.set_limits(self.settings.address_limits());
        self.hub.reconfigure(self.settings.hub_limits(), &self.settings.limits().into());
        self.hub.set_rights(self.settings.rights().into());
    }

    /// Sets the behaviour of the store.
    pub fn set_store(&mut self, mode: StoreMode) {
        self.store.set_mode(self.now, mode);
    }

    /// Stops the server, which closes every connection.
    pub fn stop(&mut self) {
        self.stops = true;
        self.hub.drain(DRAIN, self.now);
    }

    /// Lets time pass, and does all that is due until then.
    pub fn run(&mut self, until: u64) {
        let until = Time::from_millis(until).max(self.now);
        self.settle();
        while let Some(next) = self.next_time().filter(|next| *next <= until) {
            // Everything due has been done, so the next event is later.
            self.now = next.max(self.now.after(Duration::from_millis(1)));
            self.settle();
        }
        self.now = until.max(self.now);
    }

    /// Returns the time of the next event without further input, in milliseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.next_time().map(Time::as_millis)
    }

    /// Returns the time, in milliseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now.as_millis()
    }

    /// Returns the events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    /// Returns the state of the sandbox.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            now: self.now(),
            due: self.due(),
            store: self.store.mode(),
            waiting: self.store.waiting(),
            channels: self.store.channels(),
            messages: self.store.messages(),
            paused: self.those(|connection| !connection.reads()),
            throttled: self.those(Connection::is_throttled),
        }
    }

    /// Returns the connections for which this is true.
    fn those(&self, is_one: impl Fn(&Connection) -> bool) -> Vec<u32> {
        self.connections.iter().filter(|(_, connection)| is_one(connection)).map(|(id, _)| *id).collect()
    }

    fn due(&self) -> Option<Due> {
        let deadlines = self.connections.iter().filter_map(|(id, connection)| {
            let deadline = connection.deadline()?;
            let event = match deadline.timer {
                Timer::Frame => "the end of a request",
                Timer::Write => "a read by the client",
                Timer::Linger => "the end of a connection",
                Timer::Answer => "an answer",
                Timer::Rate => "the end of a pause",
            };
            Some(Due { at: deadline.at.as_millis(), connection: Some(*id), event })
        });
        let event = if self.stops { "the end of a connection" } else { "the end of a lease" };
        let hub = self.hub.poll_timeout().map(|at| Due { at: at.as_millis(), connection: None, event });
        deadlines.chain(hub).min_by_key(|due| due.at)
    }

    fn next_time(&self) -> Option<Time> {
        let connections = self.connections.values().filter_map(Connection::next);
        let verified = self.verifications.front().map(|(at, ..)| *at);
        connections.chain(self.store.next_done()).chain(verified).chain(self.hub.poll_timeout()).min()
    }

    /// Does all that is due now.
    fn settle(&mut self) {
        loop {
            let mut moved = self.advance_store() | self.advance_verifications();
            let ids: Vec<u32> = self.connections.keys().copied().collect();
            for id in ids {
                moved |= self.with(id, |connection, around| connection.advance(around));
                moved |= self.hear(id);
            }
            moved |= self.advance_hub();
            if !moved {
                return;
            }
        }
    }

    /// Does something with a connection, and tells what came of it.
    fn with(&mut self, id: u32, act: impl FnOnce(&mut Connection, &mut Surroundings) -> bool) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let was_open = connection.is_open();
        let mut around =
            Surroundings { now: self.now, settings: &self.settings, rng: &mut self.rng, happened: Vec::new() };
        let moved = act(connection, &mut around);
        let happened = around.happened;
        let has_closed = was_open && !connection.is_open();
        let closed = has_closed && connection.is_served;
        if connection.is_over {
            self.connections.remove(&id);
        }
        if has_closed {
            self.release(id);
        }
        if closed {
            self.closed.push(id);
        }
        happened.into_iter().for_each(|event| self.event(id, event));
        moved
    }

    /// Tells the hub what a connection's endpoint has to tell.
    fn hear(&mut self, id: u32) -> bool {
        let at = Moment { time: self.now, wall: self.wall() };
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Some(server) = connection.server() else { return false };
        let mut moved = false;
        while let Some(event) = server.poll_event() {
            moved = true;
            let published = || self.published.clone();
            let Some(event) = server.list_at_once(self.now, event, published) else { continue };
            let handled = self.hub.handle_event(hub_id(id), event, at);
            debug_assert!(handled.is_ok());
        }
        moved
    }

    fn advance_store(&mut self) -> bool {
        let done = self.store.take_done(self.now);
        let moved = !done.is_empty();
        for done in done {
            match done {
                Done::Outcome(outcome) => {
                    let handled = self.hub.handle_outcome(outcome, self.now);
                    debug_assert_eq!(handled, Ok(()));
                }
                Done::Page(read, page) => {
                    let handled = self.hub.handle_page(read, page);
                    debug_assert_eq!(handled, Ok(()));
                }
                Done::Trimmed(channel_name, first_id) => self.hub.handle_trimmed(&channel_name, first_id, self.now),
            }
        }
        moved
    }

    fn advance_verifications(&mut self) -> bool {
        let mut moved = false;
        while let Some((_, id, account)) = self.verifications.pop_front_if(|(at, ..)| *at <= self.now) {
            moved = true;
            let handled = self.hub.handle_verified(id, account);
            debug_assert_eq!(handled, Ok(()));
        }
        moved
    }

    /// Takes what the hub wants done.
    fn advance_hub(&mut self) -> bool {
        for id in mem::take(&mut self.closed) {
            self.hub.disconnect(hub_id(id));
        }
        self.hub.handle_timeout(self.now);
        let mut moved = false;
        while let Some(effect) = self.hub.poll_effect() {
            moved = true;
            self.carry_out(effect);
        }
        moved || !self.closed.is_empty()
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(list) => self.published = Some(list),
            Effect::Send(connection, command) => self.send(connection, command),
            Effect::Describe(connection, page) => {
                let answer = page.answer(|id| self.measure(id));
                self.send(connection, answer);
            }
            Effect::Disconnected(_) | Effect::Acted(_) => {}
            Effect::Store(command) => {
                let at = self.store_time();
                self.store.store(at, command);
            }
            Effect::Verify(verification, _, credentials) => {
                let at = self.now.after(VERIFICATION);
                self.verifications.push_back((at, verification, accounts::verify(&credentials)));
            }
            Effect::Read(read, query) => {
                let at = self.store_time();
                self.store.read(at, read, query);
            }
        }
    }

    /// Returns the traffic of a connection, and the number of bytes that wait until its peer reads.
    fn measure(&mut self, connection: ConnectionId) -> (Traffic, usize) {
        let id = u32::try_from(connection.0).ok();
        let server = id.and_then(|id| self.connections.get_mut(&id)).and_then(Connection::server);
        server.map(|server| (*server.traffic(), server.waiting_bytes())).unwrap_or_default()
    }

    /// Gives a command to a connection's endpoint. It is written before the next is given, as far as the network takes
    /// it.
    fn send(&mut self, connection: ConnectionId, command: ServerCommand) {
        let Ok(id) = u32::try_from(connection.0) else { return };
        let now = self.now;
        self.with(id, |connection, around| {
            if let Some(server) = connection.server() {
                let handled = server.handle_command(now, command);
                debug_assert_eq!(handled, Ok(()));
            }
            connection.write(around)
        });
    }

    fn store_time(&mut self) -> Time {
        self.now.after(Duration::from_millis(self.rng.u64(1..=STORE_DELAY)))
    }

    fn wall(&self) -> Timestamp {
        let seconds = i64::try_from(self.now() / 1000).unwrap_or(i64::MAX);
        Timestamp::from_unix(self.settings.wall.saturating_add(seconds))
    }

    fn event(&mut self, connection: u32, event: Happening) {
        self.events.push(Event { time: self.now(), connection, event });
    }
}

/// Returns whether a client is on the server's machine.
fn is_local(peer: Peer) -> bool {
    match peer {
        Peer::Address(from) => from.to_canonical().is_loopback(),
        Peer::NoAddressRights | Peer::Operator => true,
    }
}

const fn hub_id(id: u32) -> ConnectionId {
    ConnectionId(id as u64)
}

fn byte_array<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}
