//! The server's process but for its sockets: the hub, what it is to be told, and the answers on their way to
//! connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    sync::Arc,
};

use chanwire_core::{
    Limits, Time,
    admission::{Admission, Permit, Refusal},
    endpoint::{Endpoint as _, Listing, Server, ServerCommand, ServerEvent, Throttle},
    hub::{
        ConnectionId, DrainPlan, Effect, Hub, HubLimits, ListenerId, Moment, Page, Peer, Query, ReadId, StoreCommand,
        StoreOutcome, VerificationId,
    },
    rights::Rights,
    wire::{AccountName, Request},
};
use fastrand::Rng;

use super::{
    judge::{self, Judge},
    plan::{self, Plan},
};
use crate::{accounts, hub_model::of_subscriber, store::Disk};

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
    /// Credentials were verified.
    Verified(VerificationId, Option<AccountName>),
    /// The limits are replaced.
    Reconfigure(HubLimits, Arc<Limits>),
    /// The accounts and rules are replaced.
    Rights(Arc<Rights>),
    /// The server is to stop.
    Drain(DrainPlan),
}

/// A command on its way to a connection's endpoint.
#[derive(Debug)]
pub(super) struct Sent {
    /// The number of the request that it answers, and the answer's bytes, if it does. A list may be withdrawn until its
    /// endpoint is given it.
    pub(super) answer: Option<(usize, Vec<u8>)>,
    pub(super) command: ServerCommand,
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Process {
    hub: Hub,
    admission: Admission,
    /// The permits of open connections, and their addresses.
    permits: BTreeMap<u64, (Permit, IpAddr)>,
    /// The connects that each address has left, in nanoseconds of its rate, and the time of that count.
    connects: BTreeMap<IpAddr, (u64, Time)>,
    listeners: Vec<ListenerId>,
    inputs: Vec<Input>,
    /// Whether a pass over the inputs is scheduled.
    pub(super) pass_is_due: bool,
    open: BTreeMap<u64, Open>,
    /// The connections whose credentials are being verified, each with the number of the rights by then.
    verifying: BTreeMap<VerificationId, (u64, usize)>,
    /// The connections that the hub must track: open ones, and those whose work it is still carrying out.
    tracked: BTreeSet<u64>,
    /// The listing that the hub published last, and its bytes.
    published: Option<(Listing, Vec<u8>)>,
    lists_at_once: bool,
    /// Whether it was asked to stop.
    pub(super) stopping: bool,
    /// The time of the scheduled call of the hub's timeout handler.
    timer: Option<Time>,
}

/// A connection that the hub knows.
#[derive(Debug)]
struct Open {
    peer: IpAddr,
    /// The tickets that are with the hub, with the numbers of their requests.
    tickets: Vec<(String, usize)>,
    /// The outputs that its endpoint was not given yet.
    sent: Vec<Sent>,
}

/// The outputs of one hub pass.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The connections with commands on their way.
    pub(super) sent: Vec<u64>,
    pub(super) command: Option<StoreCommand>,
    /// The reads that the hub asks for.
    pub(super) reads: Vec<(ReadId, Query)>,
    /// The results of the verifications that the hub asks for.
    pub(super) verified: Vec<(VerificationId, Option<AccountName>)>,
    /// The next call of the hub's timeout handler, if it is new.
    pub(super) timer: Option<Time>,
}

impl Process {
    /// Starts a server over the durable state.
    pub(super) fn start(plan: &Plan, disk: &Disk, now: Moment) -> Self {
        let mut hub = Hub::new(plan.hub_limits(), disk.snapshot(), now);
        hub.set_rights(plan.rights.clone());
        let listeners = plan::local_addresses().into_iter().map(|own| hub.add_listener(&own)).collect();
        Self {
            hub,
            admission: Admission::new(plan.address_limits()),
            permits: BTreeMap::new(),
            connects: BTreeMap::new(),
            listeners,
            inputs: Vec::new(),
            pass_is_due: false,
            open: BTreeMap::new(),
            verifying: BTreeMap::new(),
            tracked: BTreeSet::new(),
            published: None,
            lists_at_once: plan.lists_at_once,
            stopping: false,
            timer: None,
        }
    }

    /// Admits a connection from this address, or says why not. Its requests are taken at the rate of the throttle, if
    /// there is one.
    ///
    /// # Panics
    ///
    /// If one within the limits is refused, or one beyond them admitted.
    pub(super) fn admit(
        &mut self,
        link: u64,
        peer: IpAddr,
        now: Time,
        plan: &Plan,
    ) -> Result<Option<Throttle>, Refusal> {
        const SECOND: u64 = 1_000_000_000;
        let address = of_subscriber(peer);
        let open = self.permits.values().filter(|(_, other)| *other == address).count();
        let (most, rate, burst) = plan.address_connections;
        let (period, is_limited) = (SECOND / u64::from(rate), plan.rates.is_some());
        let full = period * u64::from(burst);
        let (left, since) = self.connects.entry(address).or_insert((full, now));
        let passed = u64::try_from(now.since(*since).as_nanos()).unwrap_or(u64::MAX);
        (*left, *since) = (left.saturating_add(passed).min(full), now);
        let admitted = self.admission.admit(now, peer);
        match &admitted {
            Ok(_) if !is_limited => {}
            Ok(_) => {
                assert!(open < most, "{peer} has {open} connections");
                assert!(*left >= period, "{peer} connects too fast");
                *left -= period;
            }
            Err(Refusal::TooMany { .. }) => assert!(is_limited && open >= most, "{peer} has {open} connections"),
            Err(Refusal::TooFast { .. }) => assert!(is_limited && *left < period, "{peer} connects not too fast"),
            Err(refusal) => panic!("a connection is refused: {refusal:?}"),
        }
        admitted.map(|(permit, throttle)| {
            self.permits.insert(link, (permit, address));
            throttle
        })
    }

    /// Gives back the permit of a closed connection.
    pub(super) fn release(&mut self, link: u64, now: Time) {
        if let Some((permit, _)) = self.permits.remove(&link) {
            self.admission.release(now, permit);
        }
    }

    pub(super) fn queue_input(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Returns whether inputs are queued and no pass is scheduled.
    pub(super) const fn wants_pass(&self) -> bool {
        !self.pass_is_due && !self.inputs.is_empty()
    }

    /// Takes the events of a connection's endpoint, and answers LIST at once where possible.
    pub(super) fn take_events(
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
                ServerEvent::Request { request, .. } => judge.ledger(link).requested(request),
                _ => 0,
            };
            let published = self.published.as_ref().filter(|_| self.lists_at_once).map(|(listing, _)| listing);
            let Some(event) = server.list_at_once(now, event, || published.cloned()) else {
                judge.listed_at_once(link, index, at, published, disk);
                continue;
            };
            match event {
                ServerEvent::Answered { request } => {
                    judge.ledger(link).answered_itself(&request, limits);
                    // The hub learns of it that the peer wants notices.
                    self.inputs.push(Input::Event(link, index, ServerEvent::Answered { request }));
                }
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

    /// Passes all queued inputs to the hub, then takes its effects.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub(super) fn pass(&mut self, disk: &Disk, at: Moment, judge: &mut Judge) -> Passed {
        self.pass_is_due = false;
        self.timer = self.timer.filter(|timer| *timer > at.time);
        judge.begin_pass(at.time);
        self.hub.handle_timeout(at.time);
        let mut disconnected = Vec::new();
        for input in mem::take(&mut self.inputs) {
            let accepted = match input {
                Input::Connect(link, peer, listener) => {
                    let open = Open { peer, tickets: Vec::new(), sent: Vec::new() };
                    self.open.insert(link, open);
                    self.tracked.insert(link);
                    judge.ledger(link).may_end_untold = true;
                    let Some(listener) = self.listeners.get(listener) else { panic!("no listener {listener}") };
                    self.hub.connect(ConnectionId(link), Peer::Address(peer), Some(*listener), at.time)
                }
                Input::Reconfigure(hub_limits, limits) => {
                    // Joins from before are counted by the limit of then, and requests by that of now.
                    judge.max_joins = judge.max_joins.min(hub_limits.max_joins);
                    self.hub.reconfigure(hub_limits, &limits);
                    judge.tally.reconfigured += 1;
                    Ok(())
                }
                Input::Rights(rights) => {
                    judge.tally.reloads += 1;
                    judge.rights.push(rights.clone());
                    self.hub.set_rights(rights);
                    Ok(())
                }
                Input::Drain(plan) => {
                    for link in self.open.keys() {
                        let ledger = judge.ledger(*link);
                        (ledger.may_be_told, ledger.may_end_untold) = (ledger.notices, !ledger.notices);
                    }
                    self.hub.drain(plan, at.time);
                    Ok(())
                }
                Input::Event(link, index, event) => {
                    match &event {
                        ServerEvent::Request { ticket, request } => {
                            let Some(open) = self.open.get_mut(&link) else {
                                panic!("a request of no connection: {request:?}")
                            };
                            open.tickets.push((format!("{ticket:?}"), index));
                            judge.requested(link, index, open.peer, at);
                        }
                        ServerEvent::Ended => judge.ledger(link).ended = true,
                        ServerEvent::Answered { request: Request::Hello { notices } } => {
                            let pass = judge.passes;
                            let ledger = judge.ledger(link);
                            if ledger.notices {
                                ledger.notices_until = pass;
                            }
                            ledger.notices = *notices;
                            ledger.said_hello = true;
                            ledger.may_end_untold |= !notices;
                        }
                        _ => {}
                    }
                    self.hub.handle_event(ConnectionId(link), event, at)
                }
                Input::Disconnect(link) => {
                    // Decisions made before it disconnected may still be answered in this pass.
                    disconnected.push(link);
                    self.hub.disconnect(ConnectionId(link));
                    Ok(())
                }
                Input::Outcome(outcome) => {
                    judge.store_answered(&outcome);
                    self.hub.handle_outcome(outcome, at.time)
                }
                Input::Verified(id, account) => {
                    if let Some((link, rights)) = self.verifying.remove(&id)
                        && (!self.open.contains_key(&link) || disconnected.contains(&link))
                    {
                        judge.verified_unseen(link, account.as_ref(), rights);
                    }
                    self.hub.handle_verified(id, account)
                }
                Input::Page(id, query, page) => {
                    judge.page_delivered(&query, page.is_some());
                    self.hub.handle_page(id, page)
                }
            };
            assert_eq!(accepted, Ok(()), "the hub refuses what it is told");
        }
        let mut passed = Passed::default();
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Publish(listing) => {
                    let bytes = judge::encode(&listing.clone().into());
                    self.published = Some((listing, bytes));
                }
                Effect::Send(ConnectionId(link), command) => {
                    let answer = self.judge(link, &command, disk, judge);
                    let Some(open) = self.open.get_mut(&link) else {
                        panic!("connection {link} is gone, and is to have {command:?}")
                    };
                    open.sent.push(Sent { answer, command });
                    passed.sent.push(link);
                }
                Effect::Describe(connection, _) => panic!("{connection:?} is not the operator's"),
                Effect::Disconnected(connection) => {
                    let is_gone = disconnected.contains(&connection.0) || !self.open.contains_key(&connection.0);
                    assert!(is_gone && self.tracked.remove(&connection.0), "{connection:?} is disconnected: {is_gone}");
                }
                Effect::Acted(act) => judge.acted(&act),
                Effect::Store(command) => {
                    assert!(passed.command.is_none(), "a second command for the store: {command:?}");
                    passed.command = Some(command);
                }
                Effect::Verify(id, ConnectionId(link), credentials) => {
                    judge.verifying(link, &credentials);
                    self.verifying.insert(id, (link, judge.rights.latest()));
                    let is_known = |account: &AccountName| self.hub.rights().accounts.contains_key(account);
                    passed.verified.push((id, accounts::verify(&credentials).filter(is_known)));
                }
                Effect::Read(id, query) => passed.reads.push((id, query)),
            }
        }
        if let Some(due) = self.hub.poll_timeout().filter(|due| self.timer.is_none_or(|timer| *due < timer)) {
            self.timer = Some(due);
            passed.timer = Some(due);
        }
        for link in disconnected {
            self.open.remove(&link);
        }
        passed
    }

    /// Judges a command for a connection. Returns the number of the request that it answers, and the answer's bytes, if
    /// it does.
    fn judge(
        &mut self,
        link: u64,
        command: &ServerCommand,
        disk: &Disk,
        judge: &mut Judge,
    ) -> Option<(usize, Vec<u8>)> {
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
                return Some((index, judge::encode(reply)));
            }
            ServerCommand::Push(pushes) => judge.tally.pushes += judge.pushed(link, pushes, disk),
            ServerCommand::Replay(pushes) => {
                judge.tally.replays += 1;
                judge.pushed(link, pushes, disk);
            }
            ServerCommand::Close(error) if self.stopping && error.error == "Server stopping" => {
                judge.told_of_stop(link, error);
            }
            ServerCommand::Close(error) => judge.removed(link, error),
            ServerCommand::CloseSlow(error) => judge.closed_slow(link, error),
            ServerCommand::Finish => judge.finished(link),
            ServerCommand::Reconfigure(_) => {}
            ServerCommand::Shutdown => {
                assert!(self.stopping, "connection {link} ends, and the server does not stop");
                assert!(judge.ledger(link).may_end_untold, "connection {link} is not told that the server stops");
            }
            ServerCommand::Notify(notice) => judge.notified(link, notice),
            ServerCommand::Revoke(error) => judge.revoked(link, error),
            ServerCommand::Disconnect | ServerCommand::Reset => {
                panic!("no operator closes connection {link}")
            }
        }
        None
    }

    /// Takes the commands for a connection's endpoint. Answers that stand together come in any order: it is the
    /// endpoint that keeps theirs.
    pub(super) fn take_sent(&mut self, link: u64, rng: &mut Rng) -> Vec<Sent> {
        let mut sent = self.open.get_mut(&link).map(|open| mem::take(&mut open.sent)).unwrap_or_default();
        for run in sent.chunk_by_mut(|one, next| one.answer.is_some() && next.answer.is_some()) {
            rng.shuffle(run);
        }
        sent
    }

    /// Checks that a server which stops has ended every connection, or told its client of it.
    ///
    /// # Panics
    ///
    /// If it has not.
    pub(super) fn check_drained(&self, judge: &mut Judge) {
        for link in self.open.keys() {
            let ledger = judge.ledger(*link);
            let is_over = ledger.stopped || ledger.input_closed() || ledger.close_error.is_some();
            assert!(is_over, "the server has stopped, and connection {link} does not know it");
        }
    }

    /// Returns whether all work is done and no client is connected.
    ///
    /// # Panics
    ///
    /// If the hub keeps state of a closed connection.
    pub(super) fn is_finished(&self) -> bool {
        let finished = self.inputs.is_empty() && self.open.is_empty() && self.hub.is_idle();
        let kept = (self.hub.connections(), self.hub.joins());
        assert!(!finished || kept == (0, 0), "the hub keeps connections and joins: {kept:?}");
        assert!(!finished || self.tracked.is_empty(), "places that are never free again: {:?}", self.tracked);
        finished
    }
}
