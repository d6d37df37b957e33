//! One run: clients, network, server and store on a virtual clock.

use std::{collections::BTreeMap, time::Duration};

use chanwire_core::{
    Limits, Time,
    endpoint::{Client, ConnectionAction, ConnectionId, Server},
    hub::{Moment, Page, Query, ReadId, VerificationId},
    wire::{AccountName, ErrorResponse},
};
use fastrand::Rng;

use super::{
    actor::Actor,
    judge::Judge,
    later,
    pipe::Pipe,
    plan::Plan,
    process::{Input, Process},
    queue::Queue,
    rogue::Rogue,
    socket::{Moved, Socket},
    storage::Storage,
    tally::Tally,
    trace::Trace,
};

/// Within this time after the faults have stopped, all must be answered and all connections closed: the longest stall,
/// a client that waits 30 s for an answer, a server that is given 30 s to stop, and then a last round of requests.
const BOUND: u64 = 150_000;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that connected.
    Near,
    /// The server.
    Far,
}

/// A scheduled event.
#[derive(Debug)]
pub(super) enum Event {
    /// An actor takes its next step.
    Act(usize),
    /// A connection reaches the server.
    Accept(u64),
    /// An end of a connection is driven.
    Drive(u64, Side),
    /// A reset arrives at an end of a connection.
    Reset(u64, Side),
    /// The hub, of the server's life of this number, takes its queued inputs.
    Pass(u64),
    /// A connection's endpoint is given its commands.
    Sent(u64),
    /// The store carries out its command, and reports that at this time.
    Done(u64, Time),
    /// The store reports the outcome of its command.
    Outcome(u64),
    /// The store reads a page for the server of this life, which works or not, and reports it at this time.
    Read(u64, ReadId, Query, bool, Time),
    /// The store delivers a page.
    Page(u64, ReadId, Query, Page),
    /// Credentials were verified for the server of this life.
    Verified(u64, VerificationId, Option<AccountName>),
    /// A disturbance occurs.
    Disturb,
    /// The server, if it still lives this life, has told every client by now that it stops.
    DrainBound(u64),
    /// The drain timeout of the server, if it still lives this life, has passed.
    StopBound(u64),
    /// The server starts.
    Start,
    /// The faults stop.
    Calm,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) actor: usize,
    pub(super) near: Option<Near>,
    pub(super) far: Option<Box<Socket<Server>>>,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// Whether it reached the server, or never will.
    arrived: bool,
    /// Whether the end of the server's stream means that the server closed in an orderly way.
    pub(super) clean: bool,
}

/// The end that connected.
#[derive(Debug)]
pub(super) enum Near {
    /// A client of the protocol.
    Honest(Box<Socket<Client>>),
    /// A peer that violates the protocol.
    Rogue(Box<Socket<Rogue>>),
}

impl Link {
    /// Describes its state in short.
    fn state(&self) -> String {
        let near = match &self.near {
            Some(Near::Honest(socket)) => format!("a client, {}", socket.state()),
            Some(Near::Rogue(socket)) => format!("a rogue, {}", socket.state()),
            None => "nobody".into(),
        };
        let far =
            self.far.as_ref().map_or_else(|| "no server".into(), |socket| format!("a server, {}", socket.state()));
        format!("{near}; {far}; unread up {}, down {}", self.up.unread(), self.down.unread())
    }
}

/// One run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) judge: Judge,
    pub(super) trace: Trace,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) actors: Vec<Actor>,
    pub(super) calm: Option<Time>,
    /// Whether the end of the faults is scheduled early.
    pub(super) calm_is_due: bool,
    queue: Queue<Event>,
    next_link: u64,
    pub(super) process: Option<Process>,
    /// The number of times a server has started.
    pub(super) life: u64,
    pub(super) storage: Storage,
    /// The offset of wall time from its beginning plus virtual time, in seconds.
    pub(super) wall_skew: i64,
}

impl World {
    /// Builds the world of a seed.
    pub(super) fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::new(&mut rng);
        let mut trace = Trace::new(verbose);
        trace.describe(Time::default(), seed, "plan", || format!("{plan:#?}"));
        let actors =
            (0..plan.clients + plan.rogues).map(|number| Actor::new(number >= plan.clients, &plan, &mut rng)).collect();
        Self {
            now: Time::default(),
            judge: Judge::new(&plan.hub_limits(), &plan.rights),
            trace,
            links: BTreeMap::new(),
            actors,
            calm: None,
            calm_is_due: false,
            queue: Queue::new(),
            next_link: 0,
            process: None,
            life: 0,
            storage: Storage::new(plan.faults.clone()),
            wall_skew: 0,
            plan,
            rng,
        }
    }

    /// Runs all events. Returns the tally, and a hash of all that happened.
    ///
    /// # Panics
    ///
    /// If a law is broken.
    pub(super) fn run(mut self) -> (Tally, u64) {
        self.schedule(0, Event::Start);
        for actor in 0..self.actors.len() {
            self.schedule_within(50, Event::Act(actor));
        }
        if !self.plan.disturbances.is_empty() {
            self.schedule_within(self.plan.disturbance_gap, Event::Disturb);
        }
        self.schedule(self.plan.calm, Event::Calm);
        while !self.is_over() {
            let Some((at, event)) = self.queue.pop() else {
                panic!("nothing will happen any more, and this is unfinished: {:#?}", self.unfinished());
            };
            self.now = at;
            let patient = self.calm.is_none_or(|calm| at <= later(calm, BOUND));
            assert!(patient, "the faults stopped {BOUND} ms ago, and this is unfinished: {:#?}", self.unfinished());
            self.judge.tally.steps += 1;
            self.handle(event);
            self.stop_if_done();
        }
        self.judge.check_stored(&self.storage.disk);
        self.judge.check_leases(self.now, self.calm);
        self.judge.tally.seconds = self.now.as_millis() / 1000;
        (self.judge.tally, self.trace.hash())
    }

    fn is_over(&self) -> bool {
        self.calm.is_some()
            && self.links.is_empty()
            && self.actors.iter().all(|actor| actor.done)
            && !self.storage.is_busy()
            && self.process.as_ref().is_some_and(Process::is_finished)
    }

    /// Lists in short the things that the run waits for.
    fn unfinished(&self) -> Vec<String> {
        let link = |(id, link): (&u64, &Link)| format!("connection {id}: {}", link.state());
        let actor = |(number, actor): (usize, &Actor)| (!actor.done).then(|| format!("client {number}: {actor:?}"));
        let mut waits: Vec<String> = self.links.iter().map(link).collect();
        waits.extend(self.actors.iter().enumerate().filter_map(actor));
        waits.push(format!("the store is busy: {}", self.storage.is_busy()));
        waits.push(match &self.process {
            Some(process) => format!("the server has nothing to do: {}", process.is_finished()),
            None => "no server runs".into(),
        });
        waits
    }

    pub(super) fn schedule(&mut self, millis: u64, event: Event) {
        self.schedule_at(later(self.now, millis), event);
    }

    pub(super) fn schedule_at(&mut self, at: Time, event: Event) {
        let lot = self.rng.u16(..);
        self.queue.push(at, lot, event);
    }

    /// Schedules an event at a random time within so many milliseconds.
    pub(super) fn schedule_within(&mut self, millis: u64, event: Event) {
        let millis = self.rng.u64(0..=millis);
        self.schedule(millis, event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Act(actor) => self.act(actor),
            Event::Accept(link) => self.accept(link),
            Event::Drive(link, Side::Near) => self.drive_near(link),
            Event::Drive(link, Side::Far) => self.drive_far(link),
            Event::Reset(link, side) => self.reset(link, side),
            Event::Pass(life) if life == self.life => self.pass(),
            Event::Sent(link) => self.sent(link),
            Event::Done(job, reported) => {
                let writes = self.storage.carry_out(job);
                self.trace.describe(self.now, job, "the store has done", || format!("{writes:?}"));
                self.judge.became_durable(self.now, &writes, &self.storage.disk);
                self.schedule_at(reported, Event::Outcome(job));
            }
            Event::Outcome(job) => {
                if let (Some(outcome), Some(process)) = (self.storage.finish(job), &mut self.process) {
                    self.trace.describe(self.now, job, "the store says", || format!("{outcome:?}"));
                    process.queue_input(Input::Outcome(outcome));
                }
            }
            Event::Read(life, id, query, works, reported) => {
                let page = works.then(|| query.found(self.storage.disk.read(&query)));
                self.schedule_at(reported, Event::Page(life, id, query, page));
            }
            Event::Page(life, id, query, page) => {
                if let Some(process) = self.process.as_mut().filter(|_| life == self.life) {
                    self.trace.describe(self.now, life, "the store has read", || format!("{query:?}: {page:?}"));
                    process.queue_input(Input::Page(id, query, page));
                }
            }
            Event::Verified(life, id, account) => {
                if let Some(process) = self.process.as_mut().filter(|_| life == self.life) {
                    process.queue_input(Input::Verified(id, account));
                }
            }
            Event::Disturb => self.disturb(),
            Event::DrainBound(life) if life == self.life => {
                if let Some(process) = &self.process {
                    process.check_drained(&mut self.judge);
                }
            }
            Event::StopBound(life) if life == self.life => self.crash(),
            Event::Start => self.start(),
            Event::Calm if self.calm.is_none() => self.calm_down(),
            Event::Pass(_) | Event::DrainBound(_) | Event::StopBound(_) | Event::Calm => {}
        }
        if let Some(process) = self.process.as_mut().filter(|process| process.wants_pass()) {
            process.pass_is_due = true;
            self.schedule_within(2, Event::Pass(self.life));
        }
    }

    // Connections.

    /// Returns the number of the next connection.
    pub(super) const fn next_link(&self) -> u64 {
        self.next_link
    }

    /// Connects an actor.
    pub(super) fn connect(&mut self, actor: usize, near: Near) -> u64 {
        let id = self.next_link;
        self.next_link += 1;
        self.judge.tally.connections += 1;
        let (up, down) = (self.plan.capacity(&mut self.rng), self.plan.capacity(&mut self.rng));
        let (up, down) = (Pipe::new(up), Pipe::new(down));
        self.links.insert(id, Link { actor, near: Some(near), far: None, up, down, arrived: false, clean: true });
        self.schedule_within(40, Event::Accept(id));
        self.wake(id, Side::Near, self.now);
        id
    }

    fn accept(&mut self, id: u64) {
        let served = self.links.values().filter(|link| link.far.is_some()).count();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.arrived = true;
        // It may have been cut on its way.
        let reaches = link.near.is_some() && !link.up.reader_closed;
        let Some(process) = self.process.as_mut().filter(|process| !process.stopping && reaches) else {
            link.up.reader_closed = true;
            self.schedule_within(20, Event::Reset(id, Side::Near));
            self.remove_if_closed(id);
            return;
        };
        let pace = self.plan.pace(&mut self.rng);
        let Some(Actor { peer, listener, .. }) = self.actors.get(link.actor) else { return };
        let mut server = Server::new(ConnectionId(id), self.plan.server.clone());
        let ledger = self.judge.ledger(id);
        let refusal = match process.admit(id, *peer, self.now, &self.plan) {
            Ok(_) if served >= self.plan.max_connections => {
                process.release(id, self.now);
                Some(ErrorResponse::server("Server busy", "The server has reached its limit of connections"))
            }
            Ok(throttle) => {
                if let Some(throttle) = throttle {
                    ledger.rate = Some(throttle.rate());
                    server = server.with_throttle(throttle);
                }
                None
            }
            Err(refusal) => refusal.answer(),
        };
        let mut far = Box::new(Socket::new(server, pace, self.now));
        (ledger.accepted, ledger.listener, ledger.peer) = (self.now, *listener, Some(*peer));
        match refusal {
            Some(error) => {
                let is_of_address = error.details.ends_with("from your address");
                ledger.close_error = Some(error.clone());
                far.end.endpoint.close(self.now, error);
                self.judge.tally.busy += 1;
                self.judge.tally.busy_addresses += u64::from(is_of_address);
            }
            None => process.queue_input(Input::Connect(id, *peer, *listener)),
        }
        link.far = Some(far);
        self.trace.note(self.now, id, "is accepted", &[]);
        self.wake(id, Side::Far, self.now);
    }

    /// Schedules the driving of an end at this time, or earlier.
    pub(super) fn wake(&mut self, id: u64, side: Side, at: Time) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let wake = match (side, &mut link.near, &mut link.far) {
            (Side::Near, Some(Near::Honest(socket)), _) => &mut socket.wake,
            (Side::Near, Some(Near::Rogue(socket)), _) => &mut socket.wake,
            (Side::Far, _, Some(socket)) => &mut socket.wake,
            _ => return,
        };
        if wake.is_none_or(|wake| at < wake) {
            *wake = Some(at);
            self.schedule_at(at, Event::Drive(id, side));
        }
    }

    fn drive_far(&mut self, id: u64) {
        let at = Moment { time: self.now, wall: self.wall_time() };
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(socket) = link.far.as_mut().filter(|socket| socket.wake == Some(self.now)) else { return };
        let Some(process) = &mut self.process else { return };
        socket.wake = None;
        let moved = socket.step(self.now, &mut link.up, &mut link.down, &mut self.rng);
        process.take_events(id, &mut socket.end.endpoint, at, &self.plan.server, &self.storage.disk, &mut self.judge);
        let in_flight = socket.end.endpoint.in_flight();
        // A frame that takes too long is answered in any case.
        assert!(in_flight <= self.plan.most_in_flight + 1, "{in_flight} requests are in flight");
        self.judge.ledger(id).check_written(&socket.end.written);
        let written = socket.end.written.len() - moved.bytes;
        self.trace.note(self.now, id, "< ", socket.end.written.get(written..).unwrap_or_default());
        self.moved(id, Side::Far, moved);
    }

    fn drive_near(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (now, rng) = (self.now, &mut self.rng);
        let moved = match &mut link.near {
            Some(Near::Honest(socket)) if socket.wake == Some(now) => {
                socket.wake = None;
                let moved = socket.step(now, &mut link.down, &mut link.up, rng);
                let written = socket.end.written.len() - moved.bytes;
                self.trace.note(now, id, "> ", socket.end.written.get(written..).unwrap_or_default());
                self.deliver_client_events(id);
                moved
            }
            Some(Near::Rogue(socket)) if socket.wake == Some(now) => {
                socket.wake = None;
                let moved = socket.step(now, &mut link.down, &mut link.up, rng);
                let written = socket.end.written.len() - moved.bytes;
                self.trace.note(now, id, ">>", socket.end.written.get(written..).unwrap_or_default());
                moved
            }
            _ => return,
        };
        self.moved(id, Side::Near, moved);
    }

    /// Schedules what follows from a step of an end: steps of the other end, and of itself.
    fn moved(&mut self, id: u64, side: Side, moved: Moved) {
        if moved.link >= ConnectionAction::Close {
            self.close(id, side, moved.link);
            return;
        }
        let Some(link) = self.links.get(&id) else { return };
        let (outgoing, other) = match side {
            Side::Near => (&link.up, Side::Far),
            Side::Far => (&link.down, Side::Near),
        };
        let ready = outgoing.ready_at().unwrap_or(self.now).max(self.now);
        if outgoing.reader_closed && outgoing.unread() > 0 {
            self.schedule_within(20, Event::Reset(id, side));
        }
        if moved.wrote {
            self.wake(id, other, ready);
        }
        if moved.read {
            self.wake(id, other, self.now);
        }
        self.wake_when_due(id, side);
    }

    /// Schedules the next step of an end, if there is one.
    pub(super) fn wake_when_due(&mut self, id: u64, side: Side) {
        let Some(link) = self.links.get(&id) else { return };
        let next = match (side, &link.near, &link.far) {
            (Side::Near, Some(Near::Honest(socket)), _) => socket.next_step(self.now, &link.down, &link.up),
            (Side::Near, Some(Near::Rogue(socket)), _) => socket.next_step(self.now, &link.down, &link.up),
            (Side::Far, _, Some(socket)) => socket.next_step(self.now, &link.up, &link.down),
            _ => None,
        };
        if let Some(at) = next {
            self.wake(id, side, at);
        }
    }

    /// Closes an end. Unread bytes make the system send a reset, as it does when the end wants one.
    fn close(&mut self, id: u64, side: Side, wanted: ConnectionAction) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if side == Side::Far {
            check_closing(self.now, id, link, wanted, &self.plan.server, &mut self.judge);
        }
        let (incoming, outgoing, other) = match side {
            Side::Near => (&mut link.down, &mut link.up, Side::Far),
            Side::Far => (&mut link.up, &mut link.down, Side::Near),
        };
        let resets = wanted == ConnectionAction::Reset || incoming.unread() > 0;
        incoming.destroy();
        incoming.reader_closed = true;
        let at = later(self.now, self.rng.u64(0..=20));
        if resets {
            let lot = self.rng.u16(..);
            self.queue.push(at, lot, Event::Reset(id, other));
        } else {
            outgoing.finish(at);
        }
        let ready = outgoing.ready_at().unwrap_or(at).max(self.now);
        self.trace.note(self.now, id, if resets { "is reset" } else { "is closed" }, &[]);
        self.wake(id, other, ready);
        self.drop_end(id, side);
    }

    /// Resets an end: unread bytes are lost.
    pub(super) fn reset(&mut self, id: u64, side: Side) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let incoming = match side {
            Side::Near => &mut link.down,
            Side::Far => &mut link.up,
        };
        incoming.destroy();
        incoming.reader_closed = true;
        self.trace.note(self.now, id, "meets a reset", &[]);
        self.drop_end(id, side);
    }

    /// Drops a closed end.
    fn drop_end(&mut self, id: u64, side: Side) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match side {
            Side::Near => {
                self.judge.ledger(id).broken_off = true;
                if let Some(near) = link.near.take() {
                    let actor = link.actor;
                    self.client_disconnected(actor, near);
                }
            }
            Side::Far => {
                if let Some(far) = link.far.take() {
                    check_timeouts(self.now, id, &far, &self.plan.server);
                    let waited = far.end.endpoint.throttled(self.now).unwrap_or_default();
                    self.judge.tally.waited_for_connection += u64::from(waited.connection > Duration::ZERO);
                    self.judge.tally.waited_for_address += u64::from(waited.address > Duration::ZERO);
                    if let Some(process) = &mut self.process {
                        process.release(id, self.now);
                        process.queue_input(Input::Disconnect(id));
                    }
                }
            }
        }
        self.remove_if_closed(id);
    }

    pub(super) fn remove_if_closed(&mut self, id: u64) {
        if self.links.get(&id).is_some_and(|link| link.arrived && link.near.is_none() && link.far.is_none()) {
            self.links.remove(&id);
        }
    }
}

/// Checks that the server closes when nothing is owed, and destroys no written bytes by a reset: it reads to its
/// peer's end, or lingers.
fn check_closing(now: Time, id: u64, link: &Link, wanted: ConnectionAction, limits: &Limits, judge: &mut Judge) {
    let Some(far) = &link.far else { return };
    if wanted == ConnectionAction::Reset && judge.ledger(id).withdrawn {
        return;
    }
    if wanted == ConnectionAction::Reset {
        let stuck = now.since(far.flowed);
        assert!(stuck >= limits.write_timeout, "connection {id} is reset, and could write {stuck:?} ago");
        judge.tally.write_timeouts += 1;
        return;
    }
    let ledger = judge.ledger(id);
    ledger.check_all_sent();
    let lingered = far.finished.is_some_and(|finished| now.since(finished) >= limits.linger);
    assert!(lingered || link.up.unread() == 0, "connection {id} closes at once, and has not read what was sent");
    assert!(lingered || link.up.is_at_end(now), "connection {id} closes at once, and its peer has not");
    let peer_has_sent_all = match &link.near {
        Some(Near::Honest(socket)) => socket.finished.is_some(),
        Some(Near::Rogue(socket)) => socket.finished.is_some(),
        None => false,
    };
    if peer_has_sent_all && link.up.is_at_end(now) {
        ledger.check_all_decoded();
    }
}

/// Checks that the server has waited for its peer no longer than its timeouts allow.
fn check_timeouts(now: Time, id: u64, far: &Socket<Server>, limits: &Limits) {
    if let Some(finished) = far.finished {
        let lingered = now.since(finished);
        assert!(lingered <= limits.linger, "connection {id} lingered for {lingered:?}");
    }
    if far.has_output() {
        let stuck = now.since(far.flowed);
        assert!(stuck <= limits.write_timeout, "connection {id} was there for {stuck:?} and took nothing");
    }
}
