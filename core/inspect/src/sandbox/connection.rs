//! One client, its server's end, and the network between them.

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    admission::Refusal,
    endpoint::{ConnectionAction, ConnectionId, Deadline, Endpoint as _, Reason, Server, Throttle},
    wire::ErrorResponse,
};
use fastrand::Rng;

use super::{Happening, Settings, pipe::Pipe};
use crate::{Direction, Ending, plan::Step};

/// The reasons for which a connection is over.
const CLOSED: &str = "the server closed the connection";
const SERVER_RESET: &str = "the server reset the connection";
const CLIENT_RESET: &str = "reset by the client";

/// The most steps that may wait for one client.
const MAX_STEPS: usize = 131_072;
/// The most bytes in them.
const MAX_BYTES: usize = 64 << 20;

/// The longest that bytes are on their way, in milliseconds.
const DELAY: u64 = 3;

/// A simulated connection. The client executes queued steps; the server's end is a real endpoint.
#[derive(Debug)]
pub(super) struct Connection {
    steps: VecDeque<Step>,
    step_bytes: usize,
    /// When the next step can be done.
    ready: Time,
    /// The client has shut down its sending half.
    finished: bool,
    /// The client has closed the connection: received bytes are discarded, and no event is reported.
    client_closed: bool,
    /// Whether the client reads.
    reading: bool,
    next_read: Time,
    /// The client has read the end of the stream.
    client_read_end: bool,
    up: Pipe,
    down: Pipe,
    /// Until the server has closed its end.
    server: Option<Box<Server>>,
    /// Whether the hub serves it: a connection over the limit is answered without it.
    pub(super) is_served: bool,
    server_next_read: Time,
    /// The reason for the end of the server's end.
    ending: Option<Ending>,
    /// There is nothing left of it.
    pub(super) is_over: bool,
}

/// The surroundings of a connection's parts: time, chance, and the list of events.
pub(super) struct Surroundings<'a> {
    pub(super) now: Time,
    pub(super) settings: &'a Settings,
    pub(super) rng: &'a mut Rng,
    pub(super) happened: Vec<Happening>,
}

impl Surroundings<'_> {
    /// Returns the time at which bytes that leave now arrive.
    fn arrival(&mut self) -> Time {
        self.now.after(Duration::from_millis(self.rng.u64(1..=DELAY)))
    }

    /// Returns the number of arrived bytes that the next read takes, and the time of the read after it.
    fn cut(&mut self, arrived: usize) -> (usize, Time) {
        if arrived > 1 && self.settings.cut_reads && self.rng.bool() {
            (self.rng.usize(1..arrived), self.now.after(Duration::from_millis(1)))
        } else {
            (arrived, self.now)
        }
    }

    fn happens(&mut self, happening: Happening) {
        self.happened.push(happening);
    }
}

impl Connection {
    pub(super) fn new(id: ConnectionId, settings: &Settings, is_local: bool) -> Self {
        let server = Server::new(id, settings.limits());
        Self {
            steps: VecDeque::new(),
            step_bytes: 0,
            ready: Time::default(),
            finished: false,
            client_closed: false,
            reading: true,
            next_read: Time::default(),
            client_read_end: false,
            up: Pipe::new(settings.network),
            down: Pipe::new(settings.network),
            server: Some(Box::new(if is_local { server.with_local_peer() } else { server })),
            is_served: true,
            server_next_read: Time::default(),
            ending: None,
            is_over: false,
        }
    }

    /// Gives the server's end a rate.
    pub(super) fn set_throttle(&mut self, throttle: Throttle) {
        self.server = self.server.take().map(|server| Box::new(server.with_throttle(throttle)));
    }

    /// Has the client's LISTs answered by the hub and not from the published list, as an operator's are.
    pub(super) fn set_own_list(&mut self) {
        self.server = self.server.take().map(|server| Box::new(server.with_own_list()));
    }

    /// Returns whether the client's requests wait for the rate.
    pub(super) fn is_throttled(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.waits_for_rate().is_some())
    }

    pub(super) const fn reads(&self) -> bool {
        self.reading
    }

    /// Returns whether the server's end is open.
    pub(super) const fn is_open(&self) -> bool {
        self.server.is_some()
    }

    pub(super) fn server(&mut self) -> Option<&mut Server> {
        self.server.as_deref_mut()
    }

    /// Refuses the connection, because the server serves so many others.
    pub(super) fn refuse_busy(&mut self, now: Time, limit: usize) {
        let details = format!("The server has reached its limit of {limit} connections");
        let ending = Ending { reason: Reason::ServerBusy, limit: Some(("max_connections", limit as u64)) };
        self.refuse(now, ending, ErrorResponse::server("Server busy", details));
    }

    /// Refuses the connection, because of a limit of its address.
    pub(super) fn refuse_address(&mut self, now: Time, refusal: Refusal) {
        let ending = Ending { reason: refusal.reason(), limit: refusal.limit() };
        // The sandbox denies no address, which would be told nothing.
        if let Some(error) = refusal.answer() {
            self.refuse(now, ending, error);
        }
    }

    /// Refuses the connection, because the server takes TLS alone.
    pub(super) fn refuse_plain_text(&mut self, now: Time) {
        let ending = Ending { reason: Reason::EncryptionRequired, limit: None };
        self.refuse(now, ending, ErrorResponse::encryption_required());
    }

    fn refuse(&mut self, now: Time, ending: Ending, error: ErrorResponse) {
        self.is_served = false;
        self.ending = Some(ending);
        if let Some(server) = self.server() {
            server.close(now, error);
        }
    }

    /// Returns the reason why more steps with this many bytes cannot be pushed.
    pub(super) fn refusal(&self, steps: usize, bytes: usize) -> Option<String> {
        if self.finished || matches!(self.steps.back(), Some(Step::End | Step::Reset)) {
            return Some("Nothing of this was sent: the client's sending half is shut down.".into());
        }
        let waiting = (self.steps.len(), self.step_bytes);
        if waiting.0.saturating_add(steps) <= MAX_STEPS && waiting.1.saturating_add(bytes) <= MAX_BYTES {
            return None;
        }
        Some(format!(
            "Nothing of this was sent: {} B in {} steps still wait to leave. Let time pass, or disconnect.",
            waiting.1, waiting.0
        ))
    }

    /// Queues a step of the client, to be done after all before it. False if too much waits already, or nothing can be
    /// done any more.
    pub(super) fn push(&mut self, step: Step) -> bool {
        let bytes = if let Step::Bytes(bytes) = &step { bytes.len() } else { 0 };
        let can_be = self.refusal(1, bytes).is_none();
        if can_be {
            self.step_bytes += bytes;
            self.steps.push_back(step);
        }
        can_be
    }

    /// Makes the client read or stop reading.
    pub(super) fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// Closes the connection from the client's end. Bytes sent before are read all the same.
    pub(super) fn close(&mut self, now: Time) {
        self.steps.clear();
        self.finished = true;
        self.client_closed = true;
        self.up.finish(now);
        self.is_over = self.server.is_none();
    }

    /// Returns the time of the next work, if it is known.
    pub(super) fn next(&self) -> Option<Time> {
        let step = self
            .steps
            .front()
            .filter(|step| !matches!(step, Step::Bytes(_)) || self.up.room() > 0 || self.server.is_none());
        let wants_read = self.server.as_ref().is_some_and(|server| server.wants_read());
        let times = [
            step.map(|_| self.ready),
            self.up.ready_at().filter(|_| wants_read).map(|at| at.max(self.server_next_read)),
            self.deadline().map(|deadline| deadline.at),
            self.down.ready_at().filter(|_| self.reading || self.client_closed).map(|at| at.max(self.next_read)),
        ];
        times.into_iter().flatten().min()
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.server.as_ref()?.poll_timeout()
    }

    /// Does what the client and the network do now. Says whether anything was done.
    pub(super) fn advance(&mut self, around: &mut Surroundings) -> bool {
        let sent = self.send(around);
        let served = self.serve(around);
        let read = self.read(around);
        sent || served || read
    }

    /// Does the client's steps.
    fn send(&mut self, around: &mut Surroundings) -> bool {
        let mut moved = false;
        while self.ready <= around.now
            && !self.is_over
            && let Some(step) = self.steps.front_mut()
        {
            match step {
                Step::Wait(wait) => {
                    self.ready = around.now.after(Duration::from_millis(*wait));
                    self.steps.pop_front();
                }
                Step::Bytes(_) if self.server.is_none() => self.end(around, CLOSED, !self.client_read_end),
                Step::Bytes(bytes) => {
                    let room = self.up.room().min(bytes.len());
                    if room == 0 && !bytes.is_empty() {
                        break;
                    }
                    let rest = bytes.split_off(room);
                    let left = std::mem::replace(bytes, rest);
                    self.step_bytes -= left.len();
                    if bytes.is_empty() {
                        self.steps.pop_front();
                    }
                    if !left.is_empty() {
                        around.happens(Happening::Bytes { direction: Direction::Out, bytes: left.clone() });
                        self.up.push(around.arrival(), left);
                    }
                }
                Step::End => {
                    self.steps.pop_front();
                    self.finished = true;
                    self.up.finish(around.arrival());
                    around.happens(Happening::Ended { direction: Direction::Out });
                    if self.server.is_none() && self.client_read_end {
                        self.end(around, CLOSED, false);
                    }
                }
                Step::Reset => {
                    self.drop_server(true);
                    self.end(around, CLIENT_RESET, false);
                }
            }
            moved = true;
        }
        moved
    }

    /// Lets the server's end read, and advances its time.
    fn serve(&mut self, around: &mut Surroundings) -> bool {
        let Some(server) = &mut self.server else { return false };
        let mut moved = false;
        if server.wants_read() && self.server_next_read <= around.now {
            let arrived = self.up.arrived(around.now);
            if arrived > 0 {
                let (count, next) = around.cut(arrived);
                self.server_next_read = next;
                server.handle_input(around.now, &self.up.take(count));
                moved = true;
            } else if self.up.take_end(around.now) {
                server.handle_eof(around.now);
                moved = true;
            }
        }
        let deadline = server.poll_timeout();
        if deadline.is_some_and(|deadline| deadline.at <= around.now) {
            server.handle_timeout(around.now);
            moved |= server.poll_timeout() != deadline;
        }
        self.write(around) || moved
    }

    /// Lets the server's end write as much as the network takes, and carries out its actions on the connection.
    pub(super) fn write(&mut self, around: &mut Surroundings) -> bool {
        let Some(server) = &mut self.server else { return false };
        let mut moved = false;
        loop {
            let mut slices = [&[][..]; 64];
            let count = server.transmit(&mut slices);
            let mut bytes = slices.get(..count).unwrap_or_default().concat();
            bytes.truncate(self.down.room());
            if bytes.is_empty() {
                break;
            }
            server.handle_written(around.now, bytes.len());
            self.down.push(around.arrival(), bytes);
            moved = true;
        }
        match server.action() {
            ConnectionAction::Open => {}
            ConnectionAction::FinishWriting if self.down.is_finished() => {}
            ConnectionAction::FinishWriting => {
                self.down.finish(around.arrival());
                moved = true;
            }
            ConnectionAction::Close => {
                self.down.finish(around.arrival());
                self.drop_server(false);
                moved = true;
            }
            ConnectionAction::Reset => {
                self.end(around, SERVER_RESET, true);
                moved = true;
            }
        }
        moved
    }

    /// Lets the client read.
    fn read(&mut self, around: &mut Surroundings) -> bool {
        if !(self.reading || self.client_closed) || self.is_over || self.next_read > around.now {
            return false;
        }
        let arrived = self.down.arrived(around.now);
        if arrived > 0 {
            let (count, next) = around.cut(arrived);
            self.next_read = next;
            let bytes = self.down.take(count);
            if !self.client_closed {
                around.happens(Happening::Bytes { direction: Direction::In, bytes });
            }
            // The server may have waited for the room.
            self.write(around);
            return true;
        }
        let ended = self.down.take_end(around.now);
        if ended {
            self.client_read_end = true;
            if !self.client_closed {
                around.happens(Happening::Ended { direction: Direction::In });
            }
        }
        if self.client_read_end && self.finished && self.server.is_none() {
            self.end(around, CLOSED, false);
            return true;
        }
        ended
    }

    /// Ends the connection.
    fn end(&mut self, around: &mut Surroundings, reason: &'static str, bad: bool) {
        self.is_over = true;
        self.steps.clear();
        self.drop_server(false);
        if !self.client_closed {
            let reason = self.ending.map_or_else(|| reason.into(), |ending| format!("{reason}: {ending}"));
            around.happens(Happening::Closed { reason, bad });
        }
    }

    /// Drops the server's end, and notes the reason. `is_lost`: its stream failed.
    fn drop_server(&mut self, is_lost: bool) {
        if let Some(server) = self.server.take() {
            // A refused connection has its reason already.
            self.ending.get_or_insert_with(|| server.ended(is_lost).into());
        }
    }
}
