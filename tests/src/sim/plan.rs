//! The parameters of a run, chosen by its seed: the size of the world and its kinds of faults.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use chanwire_core::{
    AddressLimits, Limits, Rate,
    hub::HubLimits,
    rights::Rights,
    wire::{Address, Channel, ChannelName, ClientMessageId, Credentials, RoleTarget, Username, canonical},
};
use fastrand::Rng;

use super::{rights, socket::Pace, storage::StoreFaults};
use crate::{accounts, name::named};

/// The number of listeners of the server.
pub(super) const LISTENERS: usize = 2;

const OWN: [&[(&str, u16)]; LISTENERS] =
    [&[("127.0.0.1", 22236), ("::1", 22236), ("10.0.0.1", 22236)], &[("127.0.0.1", 22240)]];
const PLACES: [(&str, u16); 7] = [
    ("127.0.0.1", 22236),
    ("LocalHost", 22236),
    ("::ffff:10.0.0.1", 22236),
    ("127.0.0.1", 22240),
    ("localhost", 22240),
    ("10.0.0.9", 5),
    ("peer.example", 6),
];
const PEERS: [&str; 4] = ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.9", "192.168.1.5"];
const NAMES: [&str; 5] = ["general", "ä b", "c\"", "d", "e"];

/// A fault of the whole server or network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// The network cuts a connection.
    Cut,
    /// A connection delivers nothing for a while.
    Freeze,
    /// The server is killed.
    Crash,
    /// The server is asked to stop.
    Stop,
    /// Every store command fails for a while.
    Outage,
    /// Wall time jumps.
    ClockJump,
    /// The server's limits are replaced.
    Reconfigure,
    /// The accounts and the rules are replaced.
    Reload,
}

/// The events that may happen in one run, and their frequencies.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// How many of a hundred connections of clients begin with a HELLO that asks for notices.
    pub(super) greeting: u8,
    /// The number of connections with notices that a server which stops closes per second.
    pub(super) drain_rate: NonZeroU32,
    pub(super) server: Limits,
    /// Whether clients give roles and change settings.
    pub(super) is_moderated: bool,
    /// Whether clients sign in, and the accounts and rules change.
    pub(super) has_accounts: bool,
    /// The accounts and rules.
    pub(super) rights: Arc<Rights>,
    /// The most requests that were ever allowed in flight.
    pub(super) most_in_flight: usize,
    pub(super) client: Limits,
    pub(super) max_channels: usize,
    pub(super) max_joins: usize,
    pub(super) max_connections: usize,
    /// The rate of each connection, and of all connections from an address, if there is one.
    pub(super) rates: Option<(Rate, Rate)>,
    /// The most connections from an address, and how many it may make a second and at once, where there are rates.
    pub(super) address_connections: (usize, u32, u32),
    pub(super) faults: StoreFaults,
    pub(super) clients: usize,
    pub(super) rogues: usize,
    /// The number of requests that each client makes before the faults stop.
    pub(super) requests: usize,
    /// The percentage of messages with an id of the client's.
    pub(super) keyed: u8,
    /// The seconds for which they may be sent again, and the most of their ids that are kept.
    pub(super) retries: (u64, usize),
    /// The number of bytes that past lists may hold.
    pub(super) max_past_lists: usize,
    /// Whether LISTs are answered from the published list where that is allowed.
    pub(super) lists_at_once: bool,
    /// The highest number of requests at once.
    pub(super) burst: usize,
    /// The longest pause of a client, in milliseconds.
    pub(super) think: u64,
    /// The time when the faults stop.
    pub(super) calm: u64,
    /// The kinds of disturbance, and the longest pause between two of them.
    pub(super) disturbances: Vec<Disturbance>,
    pub(super) disturbance_gap: u64,
    /// The number of names that are used.
    pub(super) names: usize,
    /// The longest filler of a message.
    pub(super) filler: usize,
    /// The percentage of requests about joins and history.
    pub(super) living: u8,
    /// The percentage of channels hosted with a lease.
    pub(super) leased: u8,
    /// The percentage of slow connection ends.
    pub(super) slow_ends: u8,
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T], otherwise: T) -> T {
    rng.choice(from).copied().unwrap_or(otherwise)
}

/// Returns a connection's rate with its burst, and an address's.
/// No limit of an address's connections.
const UNLIMITED: (usize, u32, u32) = (usize::MAX, u32::MAX, u32::MAX);

fn rates((units, burst, address_units, address_burst): (u32, u32, u32, u32)) -> Option<(Rate, Rate)> {
    Rate::new(units, burst).zip(Rate::new(address_units, address_burst))
}

impl Plan {
    /// Chooses a plan. Each kind of fault is in some worlds and not in others, so that one cannot mask another in all
    /// runs.
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut server = Limits::server();
        server.max_payload = pick(rng, &[1000, 2000, 65_536], 65_536);
        server.max_in_flight = pick(rng, &[1, 2, 5, 1024], 1024);
        server.max_in_flight_bytes = pick(rng, &[1, 300, 40_000, 262_144], 262_144);
        server.max_unsent = pick(rng, &[1, 100, 1000, 262_144], 262_144);
        server.list_ahead = pick(rng, &[1, 100, 65_536], 65_536);
        server.max_pushed = pick(rng, &[1, 200, 1024 * 1024], 1024 * 1024);
        server.frame_timeout = Duration::from_secs(pick(rng, &[5, 30, 120], 120));
        let retries = pick(rng, &[(3600, 500_000), (3600, 500_000), (60, 500_000), (3600, 3)], (3600, 3));
        server.accounts = true;
        server.plaintext_auth = true;
        server.retry_window = Some(Duration::from_secs(retries.0));
        let mut client = Limits::client();
        client.max_in_flight = pick(rng, &[1, 4, 32], 32);
        let all = [
            Disturbance::Cut,
            Disturbance::Cut,
            Disturbance::Freeze,
            Disturbance::Crash,
            Disturbance::Stop,
            Disturbance::Outage,
            Disturbance::ClockJump,
            Disturbance::Reconfigure,
            Disturbance::Reload,
        ];
        let disturbances = all.into_iter().filter(|_| rng.bool()).collect();
        let has_accounts = rng.u8(0..3) == 0;
        // Not drawn from this one, so that worlds without moderation are as they were.
        let is_moderated = rng.clone().u8(0..2) == 0;
        let faults = StoreFaults {
            fail: pick(rng, &[0, 3, 15, 40], 0),
            keep: pick(rng, &[0, 50, 100], 50),
            stall: pick(rng, &[0, 0, 4, 15], 0),
            slow: pick(rng, &[0, 5, 50, 400], 5),
        };
        Self {
            most_in_flight: server.max_in_flight,
            server,
            is_moderated,
            has_accounts,
            rights: if has_accounts { rights::draw(&NAMES, rng) } else { Arc::default() },
            client,
            max_channels: pick(rng, &[2, 100, 100, 100], 100),
            max_joins: pick(rng, &[1, 2, 1000], 1000),
            keyed: pick(rng, &[0, 50, 100], 50),
            retries,
            max_past_lists: pick(rng, &[0, 1500, 16 * 1024 * 1024], 1500),
            lists_at_once: pick(rng, &[true, true, false], true),
            max_connections: pick(rng, &[2, 64, 64, 64], 64),
            rates: pick(rng, &[None, None, Some((20, 5, 100, 50)), Some((100, 30, 40, 10))], None).and_then(rates),
            address_connections: pick(rng, &[UNLIMITED, (1, u32::MAX, u32::MAX), (3, 1, 2), (64, 5, 3)], UNLIMITED),
            faults,
            clients: rng.usize(1..=5),
            rogues: pick(rng, &[0, 0, 1, 2], 0),
            requests: rng.usize(2..=40),
            burst: rng.usize(1..=8),
            think: pick(rng, &[5, 200, 3000], 200),
            calm: rng.u64(200..=25_000),
            disturbances,
            disturbance_gap: pick(rng, &[300, 2000, 10_000], 2000),
            names: pick(rng, &[1, 1, 2, NAMES.len()], 1),
            filler: pick(rng, &[0, 20, 150], 20),
            living: pick(rng, &[0, 30, 60], 30),
            leased: pick(rng, &[0, 10, 60], 10),
            slow_ends: pick(rng, &[0, 10, 40], 10),
            greeting: pick(rng, &[0, 50, 100], 100),
            drain_rate: NonZeroU32::MIN.saturating_add(pick(rng, &[0, 1, 1999], 1999)),
        }
    }

    /// Draws other limits for the server, of those that no answer depends on, and of joins.
    pub(super) fn reconfigure(&mut self, rng: &mut Rng) {
        self.server.max_in_flight = pick(rng, &[1, 2, 5, 1024], 1024);
        self.most_in_flight = self.most_in_flight.max(self.server.max_in_flight);
        self.server.max_in_flight_bytes = pick(rng, &[1, 300, 40_000, 262_144], 262_144);
        self.server.max_unsent = pick(rng, &[1, 100, 1000, 262_144], 262_144);
        self.max_joins = pick(rng, &[1, 2, 1000], 1000);
    }

    /// Returns the limits of the server's hub.
    pub(super) fn hub_limits(&self) -> HubLimits {
        let mut limits = HubLimits::default();
        (limits.max_channels, limits.max_joins) = (self.max_channels, self.max_joins);
        limits.max_past_lists = self.max_past_lists;
        (limits.retry_window, limits.max_send_keys) = (Duration::from_secs(self.retries.0), self.retries.1);
        limits
    }

    /// Returns the limits of addresses. Where there is no rate, all are exempt.
    pub(super) fn address_limits(&self) -> AddressLimits {
        let mut limits = AddressLimits::default();
        let (max_connections, connects, burst) = self.address_connections;
        limits.max_connections = max_connections;
        if let Some(connects) = Rate::new(connects, burst) {
            limits.connects = connects;
        }
        match self.rates {
            Some((connection_rate, address_rate)) => {
                (limits.connection_rate, limits.address_rate) = (connection_rate, address_rate);
                limits.exempt.clear();
            }
            None => limits.exempt = ["0.0.0.0/0", "::/0"].iter().filter_map(|all| all.parse().ok()).collect(),
        }
        limits
    }

    /// Removes the faults from the plan.
    pub(super) fn calm_down(&mut self) {
        self.faults = StoreFaults::NONE;
        self.disturbances.clear();
        self.slow_ends = 0;
        self.think = 5;
    }

    /// Draws the pace at which one end of a connection reads and writes.
    pub(super) fn pace(&self, rng: &mut Rng) -> Pace {
        if rng.u8(0..100) >= self.slow_ends {
            let most = pick(rng, &[40, 1000, 65_536], 1000);
            return Pace { read: most, read_gap: 0, write: most, write_gap: 0, delay: pick(rng, &[0, 10, 60], 10) };
        }
        Pace {
            read: pick(rng, &[4, 40, 300], 40),
            read_gap: pick(rng, &[3, 100, 1500], 100),
            write: pick(rng, &[4, 40, 300], 40),
            write_gap: pick(rng, &[0, 20, 200], 20),
            delay: pick(rng, &[10, 100, 900], 100),
        }
    }

    /// Draws the highest number of bytes between the two ends.
    pub(super) fn capacity(&self, rng: &mut Rng) -> usize {
        pick(rng, &[50, 400, 65_536, 65_536], 65_536)
    }

    /// A channel to be hosted.
    pub(super) fn channel(&self, rng: &mut Rng) -> Channel {
        // Most channels live at the first listener.
        let place = if rng.bool() { 0 } else { rng.usize(..PLACES.len()) };
        Channel { channel_name: self.name(rng), address: address(PLACES.get(place)) }
    }

    /// For how long a channel is hosted, in seconds.
    pub(super) fn lease(&self, rng: &mut Rng) -> Option<u32> {
        (rng.u8(0..100) < self.leased).then(|| pick(rng, &[10, 11, 20], 10))
    }

    /// The name of a channel.
    pub(super) fn name(&self, rng: &mut Rng) -> ChannelName {
        named(NAMES.get(rng.usize(..self.names)).copied().unwrap_or_default())
    }

    /// An id of the client's for a message, or none.
    pub(super) fn client_message_id(&self, rng: &mut Rng) -> Option<ClientMessageId> {
        (rng.u8(0..100) < self.keyed).then(|| ClientMessageId::from_random(rng.u128(..)))
    }

    /// Draws other accounts and rules, where there are any.
    pub(super) fn reload(&mut self, rng: &mut Rng) {
        if self.has_accounts {
            self.rights = rights::draw(&NAMES, rng);
        }
    }

    /// Credentials, all of them wrong where nobody signs in.
    pub(super) fn credentials(&self, rng: &mut Rng) -> Credentials {
        if self.has_accounts && rng.bool() {
            return match rng.choice(&accounts::ACCOUNTS) {
                Some((name, password)) if rng.bool() => accounts::password(name, password),
                _ => accounts::token(accounts::TOKEN),
            };
        }
        match rng.u8(0..8) {
            0 => accounts::token("wrong"),
            1 => accounts::password("nobody", "wrong"),
            _ => accounts::password("ann", "wrong"),
        }
    }

    /// Draws one to whom a role is given, of those who have sent the messages up to an id.
    pub(super) fn role_target(&self, seen: u64, rng: &mut Rng) -> RoleTarget {
        match rng.u8(0..6) {
            0 => RoleTarget::SenderOf(rng.u64(1..=seen + 1)),
            1 if self.has_accounts => RoleTarget::Account(named(pick(rng, &["ann", "bob"], "ann"))),
            // Most channels have their hosts at the others.
            2 => RoleTarget::Address(canonical(peer(rng))),
            _ => RoleTarget::Address(if rng.bool() { [10, 0, 0, 9].into() } else { [192, 168, 1, 5].into() }),
        }
    }

    /// The username of a message of connection `link`; now and then, the name of an account.
    pub(super) fn username(&self, link: u64, rng: &mut Rng) -> Username {
        let is_account = self.has_accounts && rng.u8(0..4) == 0;
        if is_account { named(pick(rng, &["ann", "Bob"], "ann")) } else { named(&format!("user {link}")) }
    }

    /// Something to say.
    pub(super) fn filler(&self, rng: &mut Rng) -> String {
        let length = rng.usize(0..=self.filler);
        (0..length).map(|_| pick(rng, &['a', 'b', ' ', '"', '\\', '{', ']', '\n', 'é', '\u{1}'], 'a')).collect()
    }
}

/// Draws the address that a client connects from.
pub(super) fn peer(rng: &mut Rng) -> IpAddr {
    match pick(rng, &PEERS, "127.0.0.1").parse() {
        Ok(ip) => ip,
        Err(error) => panic!("an IP address of the plan: {error}"),
    }
}

/// The own addresses of each listener.
pub(super) fn local_addresses() -> Vec<Vec<Address>> {
    OWN.iter().map(|own| own.iter().map(|place| address(Some(place))).collect()).collect()
}

/// Returns whether a channel is registered at a local address of this server.
pub(super) fn lives_here(channel: &Channel) -> bool {
    (0..LISTENERS).any(|listener| lives_at(listener, channel))
}

/// Returns whether a channel is registered at a local address of this listener.
pub(super) fn lives_at(listener: usize, channel: &Channel) -> bool {
    OWN.get(listener).is_some_and(|own| own.iter().any(|place| channel.address.same_place(&address(Some(place)))))
}

fn address(place: Option<&(&str, u16)>) -> Address {
    match place.and_then(|(host, port)| Address::new(*host, *port)) {
        Some(address) => address,
        None => panic!("an address of the plan: {place:?}"),
    }
}
