//! The server's process but for its sockets: the hub, what it is to be told, and the answers on their way to connections.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    net::IpAddr,
    time::Duration,
};

use chanwire_core::{
    Time,
    endpoint::{Endpoint as _, Reply, Server, ServerEvent, Ticket},
    hub::{ConnectionId, Effect, Hub, HubLimits, ListenerId, StoreCommand, StoreOutcome},
    wire::{Request, Timestamp},
};
use fastrand::Rng;

use super::{
    judge::Judge,
    plan::{self, Plan},
};
use crate::store::Disk;

/// What the hub is told.
#[derive(Debug)]
pub(super) enum Input {
    /// A connection was accepted.
    Connect(u64, IpAddr, usize),
    /// A connection asks, and this is the number of the request there.
    Request(u64, usize, Ticket, Request),
    /// A connection is closed.
    Disconnect(u64),
    /// The store has done something.
    Outcome(StoreOutcome),
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Process {
    hub: Hub,
    listeners: Vec<ListenerId>,
    inputs: Vec<Input>,
    /// The hub will be told of the inputs.
    pub(super) pass_is_due: bool,
    open: BTreeMap<u64, Open>,
    /// It was asked to stop.
    pub(super) stopping: bool,
}

/// A connection that the hub was told of.
#[derive(Debug)]
struct Open {
    peer: IpAddr,
    /// The tickets that are with the hub, and of which requests they are.
    tickets: Vec<(String, usize)>,
    /// Answers that its endpoint was not given yet.
    mail: Vec<(Ticket, Reply)>,
}

/// What came of telling the hub.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Connections that have mail.
    pub(super) mail: Vec<u64>,
    pub(super) command: Option<StoreCommand>,
}

impl Process {
    /// A server that starts over what is durable.
    pub(super) fn start(plan: &Plan, disk: &Disk) -> Self {
        let mut limits = HubLimits::default();
        limits.max_channels = plan.max_channels;
        let mut hub = Hub::new(limits, disk.snapshot());
        let listeners = plan::own().into_iter().map(|own| hub.add_listener(own)).collect();
        Self { hub, listeners, inputs: Vec::new(), pass_is_due: false, open: BTreeMap::new(), stopping: false }
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Whether there is something to tell the hub, and nothing was done about it.
    pub(super) const fn wants_pass(&self) -> bool {
        !self.pass_is_due && !self.inputs.is_empty()
    }

    /// Takes what the endpoint of a connection has to tell.
    pub(super) fn hear(
        &mut self,
        link: u64,
        server: &mut Server,
        now: Time,
        frame_timeout: Duration,
        judge: &mut Judge,
    ) {
        while let Some(event) = server.poll_event() {
            match event {
                ServerEvent::Request { ticket, request } => {
                    let index = judge.ledger(link).asked(&request);
                    self.inputs.push(Input::Request(link, index, ticket, request));
                }
                ServerEvent::Refused { error, .. } => {
                    judge.tally.faults += 1;
                    judge.tally.frame_timeouts += u64::from(error.error == "Request timed out");
                    judge.ledger(link).refused(now, &error, frame_timeout);
                }
            }
        }
    }

    /// Tells the hub all that is at hand, then takes its effects.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub(super) fn pass(&mut self, disk: &Disk, at: Timestamp, judge: &mut Judge) -> Passed {
        self.pass_is_due = false;
        let mut gone = Vec::new();
        for input in mem::take(&mut self.inputs) {
            let told = match input {
                Input::Connect(link, peer, listener) => {
                    let open = Open { peer, tickets: Vec::new(), mail: Vec::new() };
                    self.open.insert(link, open);
                    let Some(listener) = self.listeners.get(listener) else { panic!("no listener {listener}") };
                    self.hub.connect(ConnectionId(link), peer, *listener)
                }
                Input::Request(link, index, ticket, request) => {
                    let Some(open) = self.open.get_mut(&link) else {
                        panic!("a request of no connection: {request:?}")
                    };
                    open.tickets.push((format!("{ticket:?}"), index));
                    judge.given(link, index, open.peer, at);
                    self.hub.handle_request(ConnectionId(link), ticket, request, at)
                }
                Input::Disconnect(link) => {
                    // What was decided before it left may still be answered in this pass.
                    gone.push(link);
                    self.hub.disconnect(ConnectionId(link));
                    Ok(())
                }
                Input::Outcome(outcome) => {
                    judge.told(&outcome);
                    self.hub.handle_outcome(outcome)
                }
            };
            assert_eq!(told, Ok(()), "the hub refuses what it is told");
        }
        let mut passed = Passed::default();
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Answer { connection, ticket, reply } => {
                    let link = connection.0;
                    let Entry::Occupied(mut open) = self.open.entry(link) else {
                        panic!("an answer to connection {link}, which is gone: {reply:?}")
                    };
                    let open = open.get_mut();
                    let shown = format!("{ticket:?}");
                    let Some(at) = open.tickets.iter().position(|(ticket, _)| *ticket == shown) else {
                        panic!("an answer to no open request of connection {link}: {reply:?}")
                    };
                    let (_, index) = open.tickets.remove(at);
                    judge.replied(link, index, &reply, disk);
                    open.mail.push((ticket, reply));
                    passed.mail.push(link);
                }
                Effect::Store(command) => {
                    assert!(passed.command.is_none(), "a second command for the store: {command:?}");
                    passed.command = Some(command);
                }
            }
        }
        for link in gone {
            self.open.remove(&link);
        }
        passed
    }

    /// Gives a connection's endpoint its mail, in any order: it is the endpoint that keeps the order.
    pub(super) fn take_mail(&mut self, link: u64, rng: &mut Rng) -> Vec<(Ticket, Reply)> {
        let mut mail = self.open.get_mut(&link).map(|open| mem::take(&mut open.mail)).unwrap_or_default();
        rng.shuffle(&mut mail);
        mail
    }

    /// Whether all is carried out, and nobody is connected.
    ///
    /// # Panics
    ///
    /// If the hub keeps what is gone.
    pub(super) fn is_finished(&self) -> bool {
        let finished = self.inputs.is_empty() && self.open.is_empty() && self.hub.is_idle();
        assert!(!finished || self.hub.connections() == 0, "the hub keeps {} connections", self.hub.connections());
        finished
    }
}
