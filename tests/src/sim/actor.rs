//! The actors that connect: their next steps, and their reactions to events.

use std::{collections::BTreeMap, net::IpAddr};

use chanwire_core::{
    endpoint::{Client, ClientEvent, Endpoint as _, ProtocolViolation},
    wire::{ChannelName, FaultKind, Host, JoinFrom, Message, Notice, Request, Response},
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

/// LIST, HOST, MESSAGE, JOIN, HISTORY, LIST: the requests of every client once the faults have stopped.
const LAST_ROUND: usize = 6;

/// The interval at which a client checks whether it has received everything, in milliseconds.
const LISTEN: u64 = 300;

/// The longest pause before an actor connects again, in milliseconds; or longer, if the plan has longer ones.
const RECONNECT: u64 = 1000;

/// A client or rogue that connects, repeatedly if need be.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) peer: IpAddr,
    pub(super) listener: usize,
    is_rogue: bool,
    /// The number of requests, or scripts, that it will still begin before the faults stop.
    left: usize,
    /// Its connection.
    link: Option<u64>,
    /// Whether its next step is scheduled.
    is_due: bool,
    /// The number of requests of the last round that it has sent on this connection.
    sent_last: usize,
    /// Whether it has made its last change: HOST and MESSAGE are not repeated on another connection.
    has_changed: bool,
    /// Whether all of the last round was answered, and all messages of its joined channels were received.
    is_complete: bool,
    /// The last id that it was pushed of each channel.
    seen: BTreeMap<ChannelName, u64>,
    /// Its messages with ids, each with whether it was acknowledged.
    sends: Vec<(Message, bool)>,
    /// The number of them that it has looked at in the last round on this connection.
    sent_again: usize,
    /// Whether it is finished.
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
            sent_last: 0,
            has_changed: false,
            is_complete: false,
            seen: BTreeMap::new(),
            sends: Vec::new(),
            sent_again: 0,
            done: false,
        }
    }
}

impl Actor {
    /// Notes a message with an id that was sent, so that it may be sent again. Returns whether it was sent before.
    fn note_send(&mut self, request: Request) -> bool {
        let Request::Message(message) = request else { return false };
        let Some(id) = &message.client_message_id else { return false };
        let first = self.sends.iter().find(|(known, _)| known.client_message_id.as_ref() == Some(id));
        match first {
            Some((first, _)) => *first == message,
            None => {
                self.sends.push((message, false));
                false
            }
        }
    }

    /// Notes that a request was acknowledged.
    fn note_acknowledged(&mut self, sent: &Request) {
        for (message, is_acknowledged) in &mut self.sends {
            *is_acknowledged |= *sent == Request::Message(message.clone());
        }
    }
}

impl World {
    /// Schedules an actor's next step, later for one that has lost its connection, so as not to reconnect too often.
    fn schedule_act(&mut self, number: usize) {
        if let Some(actor) = self.actors.get_mut(number).filter(|actor| !actor.is_due) {
            actor.is_due = true;
            let pause = if actor.link.is_some() { self.plan.think } else { self.plan.think.max(RECONNECT) };
            self.schedule_within(pause, Event::Act(number));
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
                    (actor.link, actor.sent_last, actor.is_complete) = (Some(link), 0, false);
                    actor.sent_again = 0;
                    actor.left = actor.left.saturating_sub(usize::from(is_rogue));
                }
                if !is_rogue {
                    if self.rng.u8(0..100) < self.plan.greeting {
                        self.send(link, &Request::Hello { notices: true });
                    }
                    if self.plan.has_accounts && self.rng.bool() {
                        let credentials = self.plan.credentials(&mut self.rng);
                        self.send(link, &Request::Auth(credentials));
                    }
                    self.schedule_act(number);
                }
            }
            Some(_) if is_rogue => {}
            Some(link) if calm => self.send_last_round(number, link),
            Some(link) => self.send_some(number, link),
        }
    }

    /// Stops the faults soon when no actor has requests left: there is nothing left to disturb.
    fn calm_soon_if_idle(&mut self) {
        if !self.calm_is_due && self.actors.iter().all(|actor| actor.left == 0) {
            self.calm_is_due = true;
            self.schedule_within(3000, Event::Calm);
        }
    }

    /// Sends a burst of requests, closes the connection, or resets it.
    fn send_some(&mut self, number: usize, link: u64) {
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
                self.schedule_within(20, Event::Reset(link, Side::Far));
            }
            _ => {
                for _ in 0..count {
                    let Some(actor) = self.actors.get(number) else { return };
                    let request = match self.rng.u8(0..4) {
                        0 | 1 if let Some((message, _)) = self.rng.choice(&actor.sends).cloned() => {
                            self.send_again(link, message)
                        }
                        _ => workload::request(&self.plan, &mut self.judge, link, &actor.seen, &mut self.rng),
                    };
                    if self.send(link, &request)
                        && let Some(actor) = self.actors.get_mut(number)
                    {
                        self.judge.tally.retries += u64::from(actor.note_send(request));
                    }
                }
            }
        }
        self.schedule_act(number);
    }

    /// Returns a request that sends a message again; now and then, another message under its id.
    fn send_again(&mut self, link: u64, message: Message) -> Request {
        if self.rng.u8(0..10) == 0 {
            let filler = self.plan.filler(&mut self.rng);
            return self.judge.compose_as(link, message, &filler);
        }
        Request::Message(message)
    }

    /// Sends again, once on this connection, what an actor does not know to be stored. Returns `false` if the client must
    /// not send now.
    fn send_unacknowledged(&mut self, number: usize, link: u64) -> bool {
        while let Some(actor) = self.actors.get_mut(number)
            && let Some((message, is_acknowledged)) = actor.sends.get(actor.sent_again).cloned()
        {
            if !is_acknowledged && !self.send(link, &Request::Message(message)) {
                return false;
            }
            self.judge.tally.retries += u64::from(!is_acknowledged);
            if let Some(actor) = self.actors.get_mut(number) {
                actor.sent_again += 1;
            }
        }
        true
    }

    /// Sends the last round, whose answers must all come on one connection.
    fn send_last_round(&mut self, number: usize, link: u64) {
        if !self.send_unacknowledged(number, link) {
            return self.schedule_act(number);
        }
        let Some(actor) = self.actors.get(number) else { return };
        for step in actor.sent_last..LAST_ROUND {
            let name = self.plan.name(&mut self.rng);
            let Some(actor) = self.actors.get(number) else { return };
            let request = match step {
                1 if !actor.has_changed => Request::Host(Host {
                    channel: self.plan.channel(&mut self.rng),
                    lease: self.plan.lease(&mut self.rng),
                }),
                2 if !actor.has_changed => {
                    self.judge.compose(link, self.plan.username(link, &mut self.rng), Some(name), "the last", None)
                }
                3 if self.plan.living > 0 => {
                    let from = actor.seen.get(&name).map_or(JoinFrom::Last(1000), |seen| JoinFrom::After(*seen));
                    Request::Join { channel_name: name, from, username: None }
                }
                4 if self.plan.living > 0 => workload::history(name, &mut self.rng),
                _ => Request::List,
            };
            if !self.send(link, &request) {
                // It has as many open as it may, or its connection is closing.
                return self.schedule_act(number);
            }
            if let Some(actor) = self.actors.get_mut(number) {
                actor.sent_last = step + 1;
                actor.has_changed |= step == 2;
            }
        }
        if !self.has_received_all(link) {
            if let Some(actor) = self.actors.get_mut(number).filter(|actor| !actor.is_due) {
                actor.is_due = true;
                self.schedule_within(LISTEN, Event::Act(number));
            }
            return;
        }
        if let Some(actor) = self.actors.get_mut(number) {
            actor.is_complete = true;
        }
        self.with_client(link, |client, now| client.shutdown(now));
    }

    /// Returns whether all requests of a connection are answered, and all known messages of its joined channels pushed.
    fn has_received_all(&mut self, link: u64) -> bool {
        let near = self.links.get(&link).and_then(|link| link.near.as_ref());
        let Some(Near::Honest(socket)) = near else { return false };
        let answered = socket.end.endpoint.in_flight() == 0;
        let known = self.judge.known.clone();
        answered && self.judge.ledger(link).received.has_all(&known)
    }

    /// Sends a request. Returns `false` if the client must not send now.
    fn send(&mut self, link: u64, request: &Request) -> bool {
        let Some(Near::Honest(socket)) = self.links.get_mut(&link).and_then(|link| link.near.as_mut()) else {
            return false;
        };
        if socket.end.endpoint.send(self.now, request).is_err() {
            return false;
        }
        self.trace.describe(self.now, link, "asks", || format!("{request:?}"));
        self.judge.ledger(link).expected.push(Expected::Request(request.clone()));
        self.deliver_client_events(link);
        self.wake_when_due(link, Side::Near);
        true
    }

    fn with_client(&mut self, link: u64, call: impl FnOnce(&mut Client, chanwire_core::Time)) {
        if let Some(Near::Honest(socket)) = self.links.get_mut(&link).and_then(|link| link.near.as_mut()) {
            call(&mut socket.end.endpoint, self.now);
            self.deliver_client_events(link);
            self.wake_when_due(link, Side::Near);
        }
    }

    /// Delivers the events of a client's endpoint.
    pub(super) fn deliver_client_events(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(Near::Honest(socket)) = &mut link.near else { return };
        let mut broken = false;
        while let Some(event) = socket.end.endpoint.poll_event() {
            self.trace.describe(self.now, id, "hears", || format!("{event:?}"));
            match event {
                ClientEvent::Answer { id: request, response } => {
                    self.judge.tally.answers += 1;
                    if let Response::Delivered { id: Some(_), .. } = &response
                        && let Some(sent) = self.judge.ledger(id).sent(request.number())
                        && let Some(actor) = self.actors.get_mut(link.actor)
                    {
                        actor.note_acknowledged(sent);
                    }
                    self.judge.ledger(id).answered(request.number(), &response);
                }
                ClientEvent::Notice(Notice::Presence(_) | Notice::Settings { .. } | Notice::Role { .. }) => {
                    self.judge.tally.notices_received += 1
                }
                ClientEvent::Notice(notice) => panic!("connection {id}: {notice:?}"),
                ClientEvent::Closing(error) => self.judge.ledger(id).noticed(&error),
                ClientEvent::Broken(ProtocolViolation::NoAnswer { .. }) => broken = true,
                // A server that died in the middle of an answer.
                ClientEvent::Broken(ProtocolViolation::Fault(fault))
                    if !link.clean && matches!(fault.kind, FaultKind::Incomplete(_)) =>
                {
                    broken = true;
                }
                ClientEvent::Broken(violation) => panic!("connection {id}: {violation}"),
                ClientEvent::Push(message) => {
                    self.judge.received(id, &message, &self.storage.disk);
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

    /// Notes that an actor has lost its connection.
    pub(super) fn client_disconnected(&mut self, number: usize, near: Near) {
        let unanswered = match near {
            Near::Honest(socket) => socket.end.endpoint.in_flight(),
            Near::Rogue(_) => 0,
        };
        let calm = self.calm.is_some();
        if let Some(actor) = self.actors.get_mut(number) {
            actor.link = None;
            actor.done |= calm && actor.is_complete && unanswered == 0;
            actor.done |= calm && actor.is_rogue;
        }
        self.schedule_act(number);
    }
}
