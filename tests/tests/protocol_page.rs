//! The protocol's page is true: each example on it is what a server answers, byte for byte, and its tables say what the
//! code does.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};

use chanwire_core::{
    AddressLimits, Limits, Rate, Time,
    endpoint::{ConnectionAction, Endpoint as _, Misuse, Server, ServerEvent},
    hub::{
        ConnectionId, DrainPlan, Effect, Hub, HubLimits, ListenerId, Moment, Peer as HubPeer, Snapshot, StoreCommand,
        StoreOutcome,
    },
    rights::{Rights, Rule},
    wire::{Address, Command, Decoder, ErrorResponse, Item, MAX_DEPTH, Response, Status, Timestamp},
};
use chanwire_tests::{
    accounts, show,
    store::{Disk, Fate},
    wire_examples::{Example, Start, Step, examples},
};

const PAGE: &str = include_str!("../../core/PROTOCOL.md");

/// Fewer examples than this, and the page was cut or its fences are not understood.
const FEWEST_EXAMPLES: usize = 25;

/// 2023-11-02T15:04:32Z
const NOW: i64 = 1_698_937_472;

const LISTENS_AT: &str = "127.0.0.1:22236";

/// A store in memory. It can be made to fail once, and to wait.
#[derive(Default)]
struct Store {
    disk: Disk,
    fails: bool,
    waits: bool,
    commands: VecDeque<StoreCommand>,
}

impl Store {
    /// Does the next thing, unless it waits.
    fn work(&mut self) -> Option<StoreOutcome> {
        let command = if self.waits { None } else { self.commands.pop_front() }?;
        let fate = if std::mem::take(&mut self.fails) { Fate::Lost } else { Fate::Done };
        Some(self.disk.carry_out(&command, fate))
    }
}

/// One connection of an example.
struct Peer {
    id: ConnectionId,
    server: Server,
    /// The bytes that the server has sent and the example has not shown yet.
    received: Vec<u8>,
    ended: bool,
    said_closed: bool,
}

/// The server of an example and all its connections.
struct World {
    hub: Hub,
    listener: ListenerId,
    has_address_rights: bool,
    limits: Limits,
    store: Store,
    now: Time,
    peers: BTreeMap<IpAddr, Peer>,
    accepted: u64,
    /// The largest piece in which bytes reach the server.
    piece: usize,
    /// The names of all errors that were received.
    errors: BTreeSet<String>,
}

impl World {
    fn start(example: &Example, piece: usize) -> Self {
        let mut limits = Limits::server();
        let mut hub_limits = HubLimits::default();
        let (mut fixed, mut has_address_rights) = (Vec::new(), true);
        for (_, step) in example {
            match step {
                Step::StartWith(Start::Host(channel)) => fixed.push(channel.clone()),
                Step::StartWith(Start::MaxPayload(bytes)) => limits.max_payload = *bytes,
                Step::StartWith(Start::MaxChannels(count)) => hub_limits.max_channels = *count,
                Step::StartWith(Start::Accounts) => limits.accounts = true,
                Step::StartWith(Start::NoAddressRights) => has_address_rights = false,
                _ => {}
            }
        }
        limits.retry_window = Some(hub_limits.retry_window);
        let mut hub = Hub::new(
            hub_limits,
            Snapshot::default(),
            Moment { time: Time::default(), wall: Timestamp::from_unix(NOW) },
        );
        let listener = hub.add_listener(&LISTENS_AT.parse::<Address>().into_iter().collect::<Vec<_>>());
        for channel in fixed {
            hub.fix_channel(channel);
        }
        Self {
            hub,
            listener,
            has_address_rights,
            limits,
            store: Store::default(),
            now: Time::default(),
            peers: BTreeMap::new(),
            accepted: 0,
            piece,
            errors: BTreeSet::new(),
        }
    }

    fn peer(&mut self, who: IpAddr) -> Result<&mut Peer, String> {
        if !self.peers.contains_key(&who) {
            let id = ConnectionId(self.accepted);
            self.accepted += 1;
            let rights = if self.has_address_rights { HubPeer::Address(who) } else { HubPeer::NoAddressRights };
            self.hub.connect(id, rights, Some(self.listener), self.now).map_err(|misuse| misuse.to_string())?;
            let server = Server::new(id, self.limits.clone());
            let server = if who.is_loopback() { server.with_local_peer() } else { server };
            self.peers.insert(who, Peer { id, server, received: Vec::new(), ended: false, said_closed: false });
        }
        self.peers.get_mut(&who).ok_or_else(|| format!("no connection of {who}"))
    }

    /// Returns the connection, if the example has said all that it received so far.
    fn quiet_peer(&mut self, who: IpAddr) -> Result<&mut Peer, String> {
        let peer = self.peer(who)?;
        match peer.received.as_slice() {
            [] => Ok(peer),
            more => Err(format!("{who} has received what the page does not say: {}", show::bytes(more))),
        }
    }

    fn run(&mut self, step: &Step) -> Result<(), String> {
        let (now, piece) = (self.now, self.piece);
        match step {
            Step::Send(who, bytes) => {
                self.quiet_peer(*who)?;
                for piece in bytes.chunks(piece) {
                    let peer = self.peer(*who)?;
                    if peer.ended || !peer.server.wants_read() {
                        return Err(format!("{who} sends to a server that does not read"));
                    }
                    peer.server.handle_input(now, piece);
                    self.settle()?;
                }
            }
            Step::EndOfStream(who) => {
                let peer = self.peer(*who)?;
                peer.ended = true;
                peer.server.handle_eof(now);
            }
            Step::Receive(who, bytes) => {
                let error = error_of(bytes)?;
                self.errors.extend(error);
                let received = &mut self.peer(*who)?.received;
                match received.strip_prefix(bytes.as_slice()) {
                    Some(rest) => *received = rest.to_vec(),
                    None => return Err(format!("{who} received {}", show::bytes(received))),
                }
            }
            Step::Closed(who) => {
                let peer = self.quiet_peer(*who)?;
                peer.said_closed = true;
                if peer.server.action() == ConnectionAction::Open {
                    return Err(format!("the connection of {who} goes on"));
                }
            }
            Step::StartWith(_) if self.peers.is_empty() => {}
            Step::StartWith(_) => return Err("a server is started once".into()),
            Step::StoreFails => self.store.fails = true,
            Step::StoreWaits => self.store.waits = true,
            Step::StoreGoesOn => self.store.waits = false,
            Step::Pass(duration) => {
                self.now = now.after(*duration);
                self.peers.values_mut().for_each(|peer| peer.server.handle_timeout(self.now));
                self.hub.handle_timeout(self.now);
            }
            Step::Break(who) => {
                let peer = self.peers.remove(who).ok_or_else(|| format!("no connection of {who}"))?;
                self.hub.disconnect(peer.id);
            }
            Step::Hide(channels) => {
                let (channels, nobody) = (channels.clone(), Vec::new);
                let rule = Rule { channels, read: nobody(), write: nobody(), host: nobody() };
                self.hub.set_rights(Rights { rules: vec![rule], ..Rights::default() }.into());
            }
            Step::Stop => self.hub.drain(DrainPlan { rate: NonZeroU32::MIN, within: Duration::ZERO }, now),
        }
        self.settle()
    }

    /// Carries everything to where it belongs until nothing moves.
    fn settle(&mut self) -> Result<(), String> {
        while self.carry().map_err(|misuse| misuse.to_string())? {}
        Ok(())
    }

    fn carry(&mut self) -> Result<bool, Misuse> {
        let mut moved = false;
        for peer in self.peers.values_mut() {
            while let Some(event) = peer.server.poll_event() {
                moved |= matches!(event, ServerEvent::Request { .. });
                let at = Moment { time: self.now, wall: Timestamp::from_unix(NOW) };
                self.hub.handle_event(peer.id, event, at)?;
            }
            let mut slices = [&[][..]; 4];
            let count = peer.server.transmit(&mut slices);
            let bytes = slices.iter().take(count).copied().flatten().copied().collect::<Vec<u8>>();
            if !bytes.is_empty() {
                peer.server.handle_written(self.now, bytes.len());
                peer.received.extend(bytes);
                moved = true;
            }
        }
        while let Some(effect) = self.hub.poll_effect() {
            moved = true;
            self.carry_out(effect)?;
        }
        if let Some(outcome) = self.store.work() {
            self.hub.handle_outcome(outcome, self.now)?;
            moved = true;
        }
        Ok(moved)
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Misuse> {
        match effect {
            Effect::Publish(_) | Effect::Disconnected(_) | Effect::Acted(_) => Ok(()),
            Effect::Describe(..) => unreachable!("no example is of the operator"),
            Effect::Send(id, command) => match self.peers.values_mut().find(|peer| peer.id == id) {
                Some(peer) => peer.server.handle_command(self.now, command),
                None => Ok(()),
            },
            Effect::Store(command) => {
                self.store.commands.push_back(command);
                Ok(())
            }
            Effect::Verify(verification, _, credentials) => {
                self.hub.handle_verified(verification, accounts::verify(&credentials))
            }
            Effect::Read(read, query) => {
                let found = query.found(self.store.disk.read(&query));
                self.hub.handle_page(read, Some(found))
            }
        }
    }

    /// Checks that the page has shown everything that happened.
    fn finish(&mut self) -> Result<(), String> {
        let all: Vec<IpAddr> = self.peers.keys().copied().collect();
        for who in all {
            let peer = self.quiet_peer(who)?;
            if peer.server.action() != ConnectionAction::Open && !peer.said_closed {
                return Err(format!("the connection of {who} has closed, and the page does not say so"));
            }
        }
        Ok(())
    }
}

/// Returns the name of the error that a line of an example receives, if it is one. The line must be one whole frame.
fn error_of(bytes: &[u8]) -> Result<Option<String>, String> {
    let mut decoder = Decoder::<Status>::new(Limits::client().max_payload);
    decoder.feed(bytes);
    let Some(Item::Frame(frame)) = decoder.next_item() else { return Err("no frame".into()) };
    if frame.span().end != bytes.len() as u64 {
        return Err("more than one frame on a line".into());
    }
    if matches!(frame.start_line, Status::Ok | Status::Push | Status::Notice) {
        return Ok(None);
    }
    match Response::decode(Command::List, frame.start_line, frame.payload) {
        Ok(Response::Error(error)) => Ok(Some(error.error.into_owned())),
        other => Err(format!("no error's payload: {other:?}")),
    }
}

/// Runs an example and tells which errors it received.
fn run(example: &Example, piece: usize) -> Result<BTreeSet<String>, String> {
    let mut world = World::start(example, piece);
    for (line, step) in example {
        world.run(step).map_err(|error| format!("PROTOCOL.md:{line}: {error}"))?;
    }
    let last = example.last().map_or(0, |(line, _)| *line);
    world.finish().map_err(|error| format!("PROTOCOL.md:{last}: {error}"))?;
    Ok(world.errors)
}

fn page() -> Vec<Example> {
    match examples(PAGE) {
        Ok(examples) => examples,
        Err(error) => panic!("PROTOCOL.md: {error}"),
    }
}

/// Returns the cells of the tables' rows.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect();
    PAGE.lines().filter(|line| line.starts_with('|')).map(cells)
}

#[test]
fn every_example_is_what_a_server_answers_however_the_bytes_arrive() {
    let examples = page();
    assert!(examples.len() >= FEWEST_EXAMPLES, "only {} examples", examples.len());
    let mut wrong = Vec::new();
    for piece in [usize::MAX, 7, 1] {
        wrong.extend(examples.iter().filter_map(|example| run(example, piece).err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Exchanges of the first release's server.
const SESSIONS: &str = include_str!("exchanges/sessions.md");

/// Exchanges of the first release's server and command line, with one server for all of them.
const COMMANDS: &str = include_str!("exchanges/commands.md");

#[test]
fn a_client_of_the_first_release_is_answered_as_it_was() {
    let sessions = examples(SESSIONS).unwrap();
    assert!(sessions.len() >= 12, "only {} sessions", sessions.len());
    for piece in [usize::MAX, 7, 1] {
        for session in &sessions {
            run(session, piece).unwrap();
        }
    }
}

#[test]
fn a_command_of_the_first_release_is_answered_as_it_was() {
    let commands = examples(COMMANDS).unwrap();
    assert!(commands.len() >= 16, "only {} commands", commands.len());
    let mut world = World::start(&Vec::new(), usize::MAX);
    for (line, step) in commands.iter().flatten() {
        world.run(step).map_err(|why| format!("commands.md:{line}: {why}")).unwrap();
        if let Step::Closed(who) = step {
            // The next command has a connection of its own.
            world.run(&Step::Break(*who)).unwrap();
        }
    }
}

#[test]
fn the_table_of_errors_has_those_that_the_examples_show_and_no_other() {
    let mut shown: BTreeSet<String> =
        page().iter().flat_map(|example| run(example, usize::MAX).unwrap_or_default()).collect();
    // No connection's state machine decides the first two, the readers of the examples read all that they are sent, and
    // none of them is the operator. The sandbox has a scenario of each.
    shown.extend(
        ["Server busy", "Encryption required", "Slow consumer", "Connection not found", "Disconnected"]
            .map(String::from),
    );
    let listed: BTreeSet<String> = rows()
        .filter(|row| row.first().is_some_and(|status| status.ends_with("_ERROR`")))
        .filter_map(|row| Some(row.get(1)?.trim_matches('`').to_string()))
        .collect();
    assert_eq!(listed, shown);
}

#[test]
fn the_table_of_errors_has_the_names_that_a_server_sends() {
    let row = |line: &'static str| line.strip_prefix("| `")?.split_once("_ERROR` | `")?.1.split('`').next();
    let names: Vec<&str> = PAGE.lines().filter_map(row).collect();
    assert_eq!(names, ErrorResponse::NAMES);
}

#[test]
fn the_table_of_limits_has_the_defaults() {
    let limits = Limits::server();
    let grouped = |number: usize| match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    };
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let addresses = AddressLimits::default();
    let rate = |rate: Rate| {
        let [units, burst] = [rate.units_per_second, rate.burst].map(|number| grouped(number.get() as usize));
        format!("{units}, {burst}")
    };
    for (name, value) in [
        ("connections from one address", grouped(addresses.max_connections)),
        ("connections a second from one address, and at once", rate(addresses.connects)),
        ("channels listed that were registered from one address", grouped(HubLimits::default().max_address_channels)),
        ("units a second of a connection, and at once", rate(addresses.connection_rate)),
        ("units a second of all connections from one address, and at once", rate(addresses.address_rate)),
        ("payload, from its first bracket to its last", format!("{} bytes", grouped(limits.max_payload))),
        ("levels of brackets in a payload", MAX_DEPTH.to_string()),
        ("a frame, from its first byte to its last", seconds(limits.frame_timeout)),
        ("a peer takes no byte of what waits for it", seconds(limits.write_timeout)),
        ("reading on after the last answer", seconds(limits.linger)),
        ("requests of a connection without an answer", grouped(limits.max_in_flight)),
        ("their payloads, a LIST and a HISTORY counting as 256 KiB", kib(limits.max_in_flight_bytes)),
        ("answers of a connection not yet sent", kib(limits.max_unsent)),
        ("live pushes of a connection not yet sent", format!("{} MiB", limits.max_pushed / (1024 * 1024))),
        (
            "time for which a message may be sent again under its `client_message_id`",
            format!("{} s", grouped(usize::try_from(HubLimits::default().retry_window.as_secs()).unwrap_or_default())),
        ),
        ("ids by which messages may be sent again", grouped(HubLimits::default().max_send_keys)),
        ("channels listed", grouped(HubLimits::default().max_channels)),
        ("names that belong to one account", grouped(HubLimits::default().max_account_names)),
        ("channels that a connection has joined", grouped(HubLimits::default().max_joins)),
        (
            "past lists that are still being sent",
            format!("{} MiB", HubLimits::default().max_past_lists / (1024 * 1024)),
        ),
    ] {
        let row = rows().find(|row| row.first() == Some(&name));
        assert_eq!(row.as_ref().and_then(|row| row.get(1).copied()), Some(value.as_str()), "{name}");
    }
}

#[test]
fn an_unparsable_or_untrue_page_is_reported() {
    let read = |body: &str| examples(&format!("```wire\n{body}\n```\n"));
    for body in ["LIST", "> LIST\\q", "! the moon falls", ">LIST", "1.2.3> a", "", "> a\n```text"] {
        assert!(read(body).is_err(), "{body}");
    }
    assert!(examples("```wire\n> a\n").is_err());
    assert!(examples("```text\n> a\n```\n").is_err());
    let fails = |body: &str| read(body).map(|examples| examples.iter().all(|example| run(example, 1).is_err()));
    for body in [
        "> LIST\\r\\n\n< OK\\r\\n{\"channels\":[]}",
        "> LIST\\r\\n",
        "< OK\\r\\n{}",
        "> LIST\\r\\n\n< OK\\r\\n{\"channels\": []}\n<.",
        "> LIST\\r\\n\n>.\n< OK\\r\\n{\"channels\": []}",
        "> !\n< OK\\r\\n{}OK\\r\\n{}",
    ] {
        assert_eq!(fails(body), Ok(true), "{body}");
    }
}
