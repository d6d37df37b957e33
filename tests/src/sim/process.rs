//! The server's process but for its sockets: the hub, what it is to be told, and the answers on their way to
//! connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
};

use chanwire_core::{
    Limits, Time,
    endpoint::{Endpoint as _, Listing, Server, ServerCommand, ServerEvent},
    hub::{
        ConnectionId, Effect, Hub, HubLimits, ListenerId, Moment, Page, Peer, Query, ReadId, StoreCommand, StoreOutcome,
    },
};
use fastrand::Rng;

use super::{
    judge::{self, Judge},
    plan::{self, Plan},
};
use crate::store::Disk;

/// An input of the hub.
#[derive(Debug)]
pub(super) enum Input {
    /// A connection was accepted.
    Connect(u64, IpAddr, usize),
    /// An event of a connection's endpoint; if it is a request, with its number there.
    Event(u64, usize, ServerEvent),
    /// A connection is closed.
    Disconnect(u64),
    /// The store has done something.
    Outcome(StoreOutcome),
    /// The store has read this.
    Page(ReadId, Query, Page),
}

/// A command on its way to a connection's endpoint.
#[derive(Debug)]
pub(super) struct Sent {
    /// The number of the request that it answers, if it does.
    pub(super) index: Option<usize>,
    pub(super) command: ServerCommand,
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
    /// Connections that have a place: those that are open, and those that the hub has something to carry out for.
    places: BTreeSet<u64>,
    /// The listing that the hub published last, and its bytes.
    published: Option<(Listing, Vec<u8>)>,
    lists_at_once: bool,
    /// It was asked to stop.
    pub(super) stopping: bool,
    /// When the hub will be asked whether time has brought anything.
    timer: Option<Time>,
}

/// A connection that the hub was told of.
#[derive(Debug)]
struct Open {
    peer: IpAddr,
    /// The tickets that are with the hub, and of which requests they are.
    tickets: Vec<(String, usize)>,
    /// The outputs that its endpoint was not given yet.
    sent: Vec<Sent>,
}

/// The outputs of one hub pass.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Connections that commands are on their way to.
    pub(super) sent: Vec<u64>,
    pub(super) command: Option<StoreCommand>,
    /// The reads that the hub asks for.
    pub(super) reads: Vec<(ReadId, Query)>,
    /// When the hub is to be asked next whether time has brought anything, if that is new.
    pub(super) timer: Option<Time>,
}

impl Process {
    /// A server that starts over what is durable.
    pub(super) fn start(plan: &Plan, disk: &Disk, now: Moment) -> Self {
        let mut limits = HubLimits::default();
        (limits.max_channels, limits.max_joins) = (plan.max_channels, plan.max_joins);
        limits.max_past_lists = plan.max_past_lists;
        let mut hub = Hub::new(limits, disk.snapshot(), now);
        let listeners = plan::own().into_iter().map(|own| hub.add_listener(&own)).collect();
        Self {
            hub,
            listeners,
            inputs: Vec::new(),
            pass_is_due: false,
            open: BTreeMap::new(),
            places: BTreeSet::new(),
            published: None,
            lists_at_once: plan.lists_at_once,
            stopping: false,
            timer: None,
        }
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Whether there is something to tell the hub, and nothing was done about it.
    pub(super) const fn wants_pass(&self) -> bool {
        !self.pass_is_due && !self.inputs.is_empty()
    }

    /// Takes what the endpoint of a connection has to tell, and answers what can be answered at once.
    pub(super) fn hear(
        &mut self,
        link: u64,
        server: &mut Server,
        at: Moment,
        limits: &Limits,
        disk: &Disk,
        judge: &mut Judge,
    ) {
        let now = at.time;
        while let Some(event) = server.poll_event() {
            let index = match &event {
                ServerEvent::Request { request, .. } => judge.ledger(link).asked(request),
                _ => 0,
            };
            let published = self.published.as_ref().filter(|_| self.lists_at_once).map(|(listing, _)| listing);
            let Some(event) = server.list_at_once(now, event, || published.cloned()) else {
                judge.listed_at_once(link, index, at, published, disk);
                continue;
            };
            match event {
                ServerEvent::Withdrawn => judge.withdrawn(link),
                ServerEvent::Refused { error, closes } => {
                    judge.tally.faults += 1;
                    judge.tally.frame_timeouts += u64::from(error.error == "Request timed out");
                    judge.tally.slow_readers += u64::from(error.details.starts_with("More than"));
                    let ledger = judge.ledger(link);
                    ledger.refused(now, &error, limits);
                    ledger.sends_no_push |= closes;
                }
                event => self.inputs.push(Input::Event(link, index, event)),
            }
        }
    }

    /// Tells the hub all that is at hand, then takes its effects.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub(super) fn pass(&mut self, disk: &Disk, at: Moment, judge: &mut Judge) -> Passed {
        self.pass_is_due = false;
        self.timer = self.timer.filter(|timer| *timer > at.time);
        judge.failed_pages.clear();
        self.hub.handle_timeout(at.time);
        let mut gone = Vec::new();
        for input in mem::take(&mut self.inputs) {
            let told = match input {
                Input::Connect(link, peer, listener) => {
                    let open = Open { peer, tickets: Vec::new(), sent: Vec::new() };
                    self.open.insert(link, open);
                    self.places.insert(link);
                    let Some(listener) = self.listeners.get(listener) else { panic!("no listener {listener}") };
                    self.hub.connect(ConnectionId(link), Peer::Address(peer), Some(*listener))
                }
                Input::Event(link, index, event) => {
                    match &event {
                        ServerEvent::Request { ticket, request } => {
                            let Some(open) = self.open.get_mut(&link) else {
                                panic!("a request of no connection: {request:?}")
                            };
                            open.tickets.push((format!("{ticket:?}"), index));
                            judge.given(link, index, open.peer, at);
                        }
                        ServerEvent::Ended => judge.ledger(link).ended = true,
                        _ => {}
                    }
                    self.hub.handle_event(ConnectionId(link), event, at)
                }
                Input::Disconnect(link) => {
                    // Decisions made before it disconnected may still be answered in this pass.
                    gone.push(link);
                    self.hub.disconnect(ConnectionId(link));
                    Ok(())
                }
                Input::Outcome(outcome) => {
                    judge.told(&outcome);
                    self.hub.handle_outcome(outcome, at.time)
                }
                Input::Page(id, query, page) => {
                    judge.told_page(&query, page.is_some());
                    self.hub.handle_page(id, page)
                }
            };
            assert_eq!(told, Ok(()), "the hub refuses what it is told");
        }
        let mut passed = Passed::default();
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Publish(listing) => {
                    let bytes = judge::encode(&listing.clone().into());
                    self.published = Some((listing, bytes));
                }
                Effect::Send(ConnectionId(link), command) => {
                    let index = self.judge(link, &command, disk, judge);
                    let Some(open) = self.open.get_mut(&link) else {
                        panic!("connection {link} is gone, and is to have {command:?}")
                    };
                    open.sent.push(Sent { index, command });
                    passed.sent.push(link);
                }
                Effect::Disconnected(connection) => {
                    let is_gone = gone.contains(&connection.0) || !self.open.contains_key(&connection.0);
                    assert!(is_gone && self.places.remove(&connection.0), "{connection:?} is disconnected: {is_gone}");
                }
                Effect::Store(command) => {
                    assert!(passed.command.is_none(), "a second command for the store: {command:?}");
                    passed.command = Some(command);
                }
                Effect::Read(id, query) => passed.reads.push((id, query)),
            }
        }
        if let Some(due) = self.hub.poll_timeout().filter(|due| self.timer.is_none_or(|timer| *due < timer)) {
            self.timer = Some(due);
            passed.timer = Some(due);
        }
        for link in gone {
            self.open.remove(&link);
        }
        passed
    }

    /// Judges what a connection is to be given. The number of the request that it answers, if it does.
    fn judge(&mut self, link: u64, command: &ServerCommand, disk: &Disk, judge: &mut Judge) -> Option<usize> {
        match command {
            ServerCommand::Respond { ticket, reply } => {
                let Some(open) = self.open.get_mut(&link) else {
                    panic!("an answer to connection {link}, which is gone: {reply:?}")
                };
                let shown = format!("{ticket:?}");
                let Some(at) = open.tickets.iter().position(|(ticket, _)| *ticket == shown) else {
                    panic!("an answer to no open request of connection {link}: {reply:?}")
                };
                let (_, index) = open.tickets.remove(at);
                judge.replied(link, index, reply, disk);
                judge.check_published(self.published.as_ref().map(|(_, bytes)| &**bytes));
                return Some(index);
            }
            ServerCommand::Push(pushes) => judge.tally.pushes += judge.pushed(link, pushes, disk),
            ServerCommand::Replay(pushes) => {
                judge.tally.replays += 1;
                judge.pushed(link, pushes, disk);
            }
            ServerCommand::Close(error) => judge.removed(link, error),
            ServerCommand::CloseSlow(error) => judge.gave_up(link, error),
            ServerCommand::Finish => judge.finished(link),
            ServerCommand::Shutdown => panic!("a hub shuts connection {link} down"),
        }
        None
    }

    /// Takes the commands for a connection's endpoint. Answers that stand together come in any order: it is the
    /// endpoint that keeps theirs.
    pub(super) fn take_sent(&mut self, link: u64, rng: &mut Rng) -> Vec<Sent> {
        let mut sent = self.open.get_mut(&link).map(|open| mem::take(&mut open.sent)).unwrap_or_default();
        for run in sent.chunk_by_mut(|one, next| one.index.is_some() && next.index.is_some()) {
            rng.shuffle(run);
        }
        sent
    }

    /// Whether all is carried out, and nobody is connected.
    ///
    /// # Panics
    ///
    /// If the hub keeps what is gone.
    pub(super) fn is_finished(&self) -> bool {
        let finished = self.inputs.is_empty() && self.open.is_empty() && self.hub.is_idle();
        let kept = (self.hub.connections(), self.hub.joins());
        assert!(!finished || kept == (0, 0), "the hub keeps connections and joins: {kept:?}");
        assert!(!finished || self.places.is_empty(), "places that are never free again: {:?}", self.places);
        finished
    }
}
