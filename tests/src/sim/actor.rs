//! Those who connect: what they do next, and what they make of what they hear.

use std::{collections::BTreeMap, net::IpAddr};

use chanwire_core::{
    endpoint::{Client, ClientEvent, Endpoint as _, ProtocolViolation},
    wire::{FaultKind, Host, JoinFrom, Request},
};
use fastrand::Rng;

use super::{
    ledger::Expected,
    plan::{self, Plan},
    rogue::Rogue,
    socket::Socket,
    workload,
    world::{Event, Near, Side, World},
};

/// LIST, HOST, MESSAGE, JOIN, HISTORY, LIST: what every client asks when nothing goes wrong any more.
const LAST_ROUND: usize = 6;

/// The interval at which a client checks whether it has received everything, in milliseconds.
const LISTEN: u64 = 300;

/// The longest pause before somebody connects again, in milliseconds; or longer, if the plan has longer ones.
const RECONNECT: u64 = 1000;

/// Somebody who connects, again and again if need be.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) peer: IpAddr,
    pub(super) listener: usize,
    is_rogue: bool,
    /// The number of requests, or scripts, that it will still begin before the faults stop.
    left: usize,
    /// Its connection.
    link: Option<u64>,
    /// It will be asked what to do next.
    is_due: bool,
    /// The number of requests of the last round that it has sent on this connection.
    asked_last: usize,
    /// It has made its last change: HOST and MESSAGE are not asked for again on another connection.
    has_changed: bool,
    /// All of the last round was answered, and all that it joined was heard.
    has_heard: bool,
    /// The last id that it was pushed of each channel.
    seen: BTreeMap<String, u64>,
    /// It has seen enough.
    pub(super) done: bool,
}

impl Actor {
    pub(super) fn new(is_rogue: bool, plan: &Plan, rng: &mut Rng) -> Self {
        let listener = usize::from(rng.u8(0..4) == 0);
        let left = if is_rogue { rng.usize(1..=3) } else { plan.requests };
        let peer = plan::peer(rng);
        Self {
            peer,
            listener,
            is_rogue,
            left,
            link: None,
            is_due: false,
            asked_last: 0,
            has_changed: false,
            has_heard: false,
            seen: BTreeMap::new(),
            done: false,
        }
    }
}

impl World {
    /// Somebody is to act in a while; who has lost a connection waits longer, so as not to knock at a closed door.
    fn act_soon(&mut self, number: usize) {
        if let Some(actor) = self.actors.get_mut(number).filter(|actor| !actor.is_due) {
            actor.is_due = true;
            let pause = if actor.link.is_some() { self.plan.think } else { self.plan.think.max(RECONNECT) };
            self.within(pause, Event::Act(number));
        }
    }

    pub(super) fn act(&mut self, number: usize) {
        let calm = self.calm.is_some();
        let Some(actor) = self.actors.get_mut(number) else { return };
        actor.is_due = false;
        let is_rogue = actor.is_rogue;
        match actor.link {
            _ if actor.done => {}
            // It has nothing to ask before the last round.
            None if !calm && actor.left == 0 => self.calm_soon_if_idle(),
            None if is_rogue && calm => actor.done = true,
            None => {
                let link = self.next_link();
                let near = if is_rogue {
                    let rogue = Rogue::new(self.now, link, &self.plan, &mut self.judge, &mut self.rng);
                    let pace = self.plan.pace(&mut self.rng);
                    Near::Rogue(Box::new(Socket::new(rogue, pace, self.now)))
                } else {
                    let pace = self.plan.pace(&mut self.rng);
                    Near::Honest(Box::new(Socket::new(Client::new(self.plan.client.clone()), pace, self.now)))
                };
                self.connect(number, near);
                if let Some(actor) = self.actors.get_mut(number) {
                    (actor.link, actor.asked_last, actor.has_heard) = (Some(link), 0, false);
                    actor.left = actor.left.saturating_sub(usize::from(is_rogue));
                }
                if !is_rogue {
                    self.act_soon(number);
                }
            }
            Some(_) if is_rogue => {}
            Some(link) if calm => self.ask_last(number, link),
            Some(link) => self.ask_some(number, link),
        }
    }

    /// When nobody has anything to ask any more, there is nothing left to disturb.
    fn calm_soon_if_idle(&mut self) {
        if !self.calm_is_due && self.actors.iter().all(|actor| actor.left == 0) {
            self.calm_is_due = true;
            self.within(3000, Event::Calm);
        }
    }

    /// A burst of requests, or another way to spend one's time.
    fn ask_some(&mut self, number: usize, link: u64) {
        let Some(actor) = self.actors.get_mut(number) else { return };
        if actor.left == 0 {
            return self.calm_soon_if_idle();
        }
        let count = self.rng.usize(1..=self.plan.burst.min(actor.left));
        actor.left -= count;
        match self.rng.u8(0..20) {
            // It leaves when all is answered, and comes back.
            0 => self.with_client(link, |client, now| client.shutdown(now)),
            // It dies.
            1 => {
                self.reset(link, Side::Near);
                self.within(20, Event::Reset(link, Side::Far));
            }
            _ => {
                for _ in 0..count {
                    let Some(actor) = self.actors.get(number) else { return };
                    let request = workload::request(&self.plan, &mut self.judge, link, &actor.seen, &mut self.rng);
                    self.ask(link, &request);
                }
            }
        }
        self.act_soon(number);
    }

    /// The last round, of which every answer must come on one connection.
    fn ask_last(&mut self, number: usize, link: u64) {
        let Some(actor) = self.actors.get(number) else { return };
        for asked in actor.asked_last..LAST_ROUND {
            let name = self.plan.name(&mut self.rng);
            let Some(actor) = self.actors.get(number) else { return };
            let request = match asked {
                1 if !actor.has_changed => Request::Host(Host {
                    channel: self.plan.channel(&mut self.rng),
                    lease: self.plan.lease(&mut self.rng),
                }),
                2 if !actor.has_changed => self.judge.compose(link, Some(name), "the last"),
                3 if self.plan.living > 0 => {
                    let from = actor.seen.get(&name).map_or(JoinFrom::Last(1000), |seen| JoinFrom::After(*seen));
                    Request::Join { channel_name: name, from }
                }
                4 if self.plan.living > 0 => workload::history(name, &mut self.rng),
                _ => Request::List,
            };
            if !self.ask(link, &request) {
                // It has as many open as it may, or its connection is closing.
                return self.act_soon(number);
            }
            if let Some(actor) = self.actors.get_mut(number) {
                actor.asked_last = asked + 1;
                actor.has_changed |= asked == 2;
            }
        }
        if !self.has_heard_all(link) {
            if let Some(actor) = self.actors.get_mut(number).filter(|actor| !actor.is_due) {
                actor.is_due = true;
                self.within(LISTEN, Event::Act(number));
            }
            return;
        }
        if let Some(actor) = self.actors.get_mut(number) {
            actor.has_heard = true;
        }
        self.with_client(link, |client, now| client.shutdown(now));
    }

    /// Whether everything is answered on a connection, and all is pushed that is known of the channels it joined.
    fn has_heard_all(&mut self, link: u64) -> bool {
        let near = self.links.get(&link).and_then(|link| link.near.as_ref());
        let Some(Near::Honest(socket)) = near else { return false };
        let answered = socket.end.endpoint.in_flight() == 0;
        let known = self.judge.known.clone();
        answered && self.judge.ledger(link).heard.has_all(&known)
    }

    /// `false` if the client must not send now.
    fn ask(&mut self, link: u64, request: &Request) -> bool {
        let Some(Near::Honest(socket)) = self.links.get_mut(&link).and_then(|link| link.near.as_mut()) else {
            return false;
        };
        if socket.end.endpoint.send(self.now, request).is_err() {
            return false;
        }
        self.trace.tell(self.now, link, "asks", || format!("{request:?}"));
        self.judge.ledger(link).expected.push(Expected::Request(request.clone()));
        self.client_hears(link);
        self.wake_when_due(link, Side::Near);
        true
    }

    fn with_client(&mut self, link: u64, what: impl FnOnce(&mut Client, chanwire_core::Time)) {
        if let Some(Near::Honest(socket)) = self.links.get_mut(&link).and_then(|link| link.near.as_mut()) {
            what(&mut socket.end.endpoint, self.now);
            self.client_hears(link);
            self.wake_when_due(link, Side::Near);
        }
    }

    /// A client is told what its endpoint has to tell.
    pub(super) fn client_hears(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(Near::Honest(socket)) = &mut link.near else { return };
        let mut broken = false;
        while let Some(event) = socket.end.endpoint.poll_event() {
            self.trace.tell(self.now, id, "hears", || format!("{event:?}"));
            match event {
                ClientEvent::Answer { id: request, response } => {
                    self.judge.tally.answers += 1;
                    self.judge.ledger(id).answered(request.number(), &response);
                }
                ClientEvent::Notice(error) => self.judge.ledger(id).noticed(&error),
                ClientEvent::Broken(ProtocolViolation::NoAnswer { .. }) => broken = true,
                // A server that died in the middle of an answer.
                ClientEvent::Broken(ProtocolViolation::Fault(fault))
                    if !link.clean && matches!(fault.kind, FaultKind::Incomplete(_)) =>
                {
                    broken = true;
                }
                ClientEvent::Broken(violation) => panic!("connection {id}: {violation}"),
                ClientEvent::Push(message) => {
                    self.judge.heard(id, &message, &self.storage.disk);
                    if let Some(actor) = self.actors.get_mut(link.actor) {
                        actor.seen.insert(message.channel_name, message.id);
                    }
                }
                ClientEvent::Ended { unanswered } => {
                    self.judge.tally.unknown += unanswered;
                    // An end of the stream, and nothing was cut, lost or given up.
                    if link.clean && !broken && link.down.is_at_end(self.now) {
                        self.judge.ledger(id).check_complete();
                    }
                }
            }
        }
    }

    /// Somebody has no connection any more.
    pub(super) fn near_is_gone(&mut self, number: usize, near: Near) {
        let unanswered = match near {
            Near::Honest(socket) => socket.end.endpoint.in_flight(),
            Near::Rogue(_) => 0,
        };
        let calm = self.calm.is_some();
        if let Some(actor) = self.actors.get_mut(number) {
            actor.link = None;
            actor.done |= calm && actor.has_heard && unanswered == 0;
            actor.done |= calm && actor.is_rogue;
        }
        self.act_soon(number);
    }
}
