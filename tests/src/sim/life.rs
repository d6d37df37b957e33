//! The server's life in a run: it starts, passes inputs to its hub, stops and crashes; and the faults around it.

use std::{sync::Arc, time::Duration};

use chanwire_core::{
    endpoint::{ConnectionAction, Endpoint as _, Server, ServerCommand},
    hub::{DrainPlan, Moment},
    wire::Timestamp,
};

use super::{
    later,
    ledger::Ledger,
    plan::Disturbance,
    process::{Input, Process, Sent},
    socket::Pace,
    storage::StoreFaults,
    world::{Event, Near, Side, World},
};

/// The drain timeout of a server that was asked to stop, in milliseconds.
const STOP: u64 = 30_000;

/// The wall time at which every run begins, in seconds since 1970.
const BEGINNING: i64 = 1_698_937_472;

impl World {
    /// Returns wall time, which may jump.
    pub(super) fn wall_time(&self) -> Timestamp {
        let elapsed = i64::try_from(self.now.as_millis() / 1000).unwrap_or(i64::MAX);
        Timestamp::from_unix(BEGINNING.saturating_add(elapsed).saturating_add(self.wall_skew))
    }

    pub(super) fn start(&mut self) {
        self.life += 1;
        self.trace.note(self.now, self.life, "the server starts", &[]);
        self.judge.check_stored(&self.storage.disk);
        let at = Moment { time: self.now, wall: self.wall_time() };
        self.judge.restarted(at, &self.plan.rights);
        // The limits may have been replaced while no server ran.
        self.judge.max_joins = self.judge.max_joins.min(self.plan.max_joins);
        self.process = Some(Process::start(&self.plan, &self.storage.disk, at));
        // Leases may be there to end.
        self.schedule(0, Event::Pass(self.life));
    }

    /// Passes the queued inputs to the hub, and begins the effects.
    pub(super) fn pass(&mut self) {
        let at = Moment { time: self.now, wall: self.wall_time() };
        let Some(process) = &mut self.process else { return };
        let passed = process.pass(&self.storage.disk, at, &mut self.judge);
        if let Some(at) = passed.timer {
            self.schedule_at(at.max(self.now), Event::Pass(self.life));
        }
        for (id, query) in passed.reads {
            let (done, reported, works) = self.storage.begin_read(self.now, &mut self.rng, &mut self.judge.tally);
            self.schedule_at(done, Event::Read(self.life, id, query, works, reported));
        }
        for (id, account) in passed.verified {
            self.schedule_within(300, Event::Verified(self.life, id, account));
        }
        for link in passed.sent {
            self.schedule_within(2, Event::Sent(link));
        }
        if let Some(command) = passed.command {
            self.trace.describe(self.now, self.life, "the hub wants", || format!("{command:?}"));
            let begun = self.storage.begin(self.now, command, &mut self.rng, &mut self.judge.tally);
            self.schedule_at(begun.done, Event::Done(begun.number, begun.reported));
        }
    }

    /// Hands a connection's endpoint its answers, in any order: it is the endpoint that keeps the order.
    pub(super) fn sent(&mut self, id: u64) {
        let at = Moment { time: self.now, wall: self.wall_time() };
        let Some(process) = &mut self.process else { return };
        let sent = process.take_sent(id, &mut self.rng);
        let Some(socket) = self.links.get_mut(&id).and_then(|link| link.far.as_mut()) else { return };
        socket.before_output(self.now);
        let server = &mut socket.end.endpoint;
        for Sent { answer, command } in sent {
            note(server, answer, &command, self.judge.ledger(id));
            assert_eq!(server.handle_command(self.now, command), Ok(()), "an endpoint refuses a command");
            process.take_events(id, server, at, &self.plan.server, &self.storage.disk, &mut self.judge);
            self.judge.ledger(id).check_slow(self.plan.server.max_pushed);
        }
        self.wake_when_due(id, Side::Far);
    }

    /// Kills the server, and with it all state that is not durable.
    pub(super) fn crash(&mut self) {
        if self.process.take().is_none() {
            return;
        }
        self.judge.tally.crashes += 1;
        let writes = self.storage.crash(&mut self.rng);
        self.judge.tally.crashes_that_kept += u64::from(!writes.is_empty());
        self.judge.became_durable(self.now, &writes, &self.storage.disk);
        self.judge.forget_undecided();
        self.trace.describe(self.now, self.life, "the server dies, and this is kept", || format!("{writes:?}"));
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.far.take().is_none() {
                continue;
            }
            link.clean = false;
            link.up.destroy();
            link.up.reader_closed = true;
            // A dead process's system ends its streams, or resets them; a dead machine does neither until it is back.
            if self.rng.bool() {
                link.down.finish(later(self.now, 20));
                let ready = link.down.ready_at().unwrap_or(self.now).max(self.now);
                self.wake(id, Side::Near, ready);
            } else {
                self.schedule_within(3000, Event::Reset(id, Side::Near));
            }
            self.remove_if_closed(id);
        }
        self.schedule_within(5000, Event::Start);
    }

    /// Ends a stopping server once no client is connected and all work is done.
    pub(super) fn stop_if_done(&mut self) {
        let stopping = self.process.as_ref().is_some_and(|process| process.stopping && process.is_finished());
        if stopping && !self.storage.is_busy() && self.links.values().all(|link| link.far.is_none()) {
            self.trace.note(self.now, self.life, "the server has stopped", &[]);
            self.process = None;
            self.judge.tally.stops += 1;
            self.schedule_within(2000, Event::Start);
        }
    }

    fn stop(&mut self) {
        let Some(process) = self.process.as_mut().filter(|process| !process.stopping) else { return };
        process.stopping = true;
        self.trace.note(self.now, self.life, "the server is asked to stop", &[]);
        let plan = DrainPlan { rate: self.plan.drain_rate, within: Duration::from_millis(STOP / 2) };
        process.queue_input(Input::Drain(plan));
        // The hub's next pass is soon.
        self.schedule(STOP / 2 + 100, Event::DrainBound(self.life));
        self.schedule(STOP, Event::StopBound(self.life));
    }

    /// Causes a random disturbance.
    pub(super) fn disturb(&mut self) {
        if self.calm.is_some() {
            return;
        }
        let ids: Vec<u64> = self.links.keys().copied().collect();
        let id = self.rng.choice(&ids).copied();
        let disturbance = self.rng.choice(&self.plan.disturbances).copied();
        self.trace.describe(self.now, id.unwrap_or_default(), "disturbance", || format!("{disturbance:?}"));
        match (disturbance, id) {
            (Some(Disturbance::Cut), Some(id)) => {
                self.judge.tally.cuts += 1;
                self.schedule_within(1000, Event::Reset(id, Side::Near));
                self.schedule_within(1000, Event::Reset(id, Side::Far));
            }
            (Some(Disturbance::Freeze), Some(id)) => {
                let until = later(self.now, self.rng.u64(100..=15_000));
                if let Some(link) = self.links.get_mut(&id) {
                    self.judge.tally.freezes += 1;
                    link.up.hold(self.now, until);
                    link.down.hold(self.now, until);
                }
            }
            (Some(Disturbance::Crash), _) => self.crash(),
            (Some(Disturbance::Stop), _) => self.stop(),
            (Some(Disturbance::Outage), _) => {
                self.storage.outage = later(self.now, self.rng.u64(10..=8000));
            }
            (Some(Disturbance::ClockJump), _) => {
                self.judge.tally.clock_jumps += 1;
                self.wall_skew += self.rng.i64(-100..=100);
            }
            (Some(Disturbance::Reconfigure), _) => {
                self.plan.reconfigure(&mut self.rng);
                if let Some(process) = &mut self.process {
                    let limits = Arc::new(self.plan.server.clone());
                    process.queue_input(Input::Reconfigure(self.plan.hub_limits(), limits));
                }
            }
            (Some(Disturbance::Reload), _) => {
                self.plan.reload(&mut self.rng);
                if let Some(process) = self.process.as_mut().filter(|_| self.plan.has_accounts) {
                    process.queue_input(Input::Rights(self.plan.rights.clone()));
                }
            }
            _ => {}
        }
        self.schedule_within(self.plan.disturbance_gap, Event::Disturb);
    }

    /// Stops the faults: slow ends become fast, and rogues leave soon.
    pub(super) fn calm_down(&mut self) {
        self.trace.note(self.now, 0, "nothing goes wrong any more", &[]);
        self.calm = Some(self.now);
        self.plan.calm_down();
        self.storage.faults = StoreFaults::NONE;
        self.storage.outage = self.now;
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            let until = later(self.now, self.rng.u64(0..=20_000));
            let Some(link) = self.links.get_mut(&id) else { continue };
            match &mut link.near {
                Some(Near::Honest(socket)) => socket.pace = Pace::PROMPT,
                Some(Near::Rogue(socket)) => socket.end.endpoint.hurry(until),
                None => {}
            }
            if let Some(socket) = &mut link.far {
                socket.pace = Pace::PROMPT;
            }
            self.wake_when_due(id, Side::Near);
        }
        for actor in 0..self.actors.len() {
            self.schedule_within(50, Event::Act(actor));
        }
    }
}

/// Notes a command that an endpoint is given.
fn note(server: &Server, answer: Option<(usize, Vec<u8>)>, command: &ServerCommand, ledger: &mut Ledger) {
    let is_open = server.action() == ConnectionAction::Open;
    match (command, answer) {
        (ServerCommand::Respond { .. }, Some((index, bytes))) => ledger.reply(index, bytes),
        (ServerCommand::Push(pushes), _) => ledger.pushed(pushes, true, is_open),
        (ServerCommand::Replay(pushes), _) => ledger.pushed(pushes, false, is_open),
        (ServerCommand::Close(error), _) => {
            // An endpoint that closes already ignores it.
            ledger.close_error.get_or_insert_with(|| error.clone());
        }
        (ServerCommand::CloseSlow(error), _) => {
            ledger.close_error = Some(error.clone());
            ledger.drop_pushes();
        }
        // A client that asked for no notices is not told.
        (ServerCommand::Revoke(error), _) => {
            ledger.close_error.get_or_insert_with(|| error.clone());
            ledger.drop_pushes();
            (ledger.sends_no_push, ledger.stopped) = (true, true);
        }
        (ServerCommand::Finish, _) => ledger.sends_no_push = true,
        (ServerCommand::Shutdown, _) => ledger.stopped = true,
        // It is sent when nothing else waits, and may be replaced before.
        (ServerCommand::Notify(_) | ServerCommand::Reconfigure(_), _) => {}
        (ServerCommand::Respond { .. }, None) | (ServerCommand::Disconnect | ServerCommand::Reset, _) => {
            unreachable!("no hub sends it")
        }
    }
}
