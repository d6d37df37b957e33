//! The server's end of a connection.

use alloc::{boxed::Box, collections::VecDeque, format, sync::Arc};
use core::ops::AddAssign;

use super::{
    ConnectionAction, ConnectionId, Deadline, Endpoint, Listing, Misuse, Timer,
    connection::ConnectionCore,
    notices::WaitingNotices,
    phase::{Phase, PhaseEvent},
    pipeline::{Pipeline, Reply, Ticket},
    pushes::Pushes,
    reason::{ConnectionEnd, Reason},
    throttle::{Cost, RateScope, Throttle, Throttled},
};
use crate::{
    Limits, Span, Time,
    wire::{Command, ErrorResponse, Hello, Item, MAX_HISTORY, Notice, Request, Response},
};

/// The server's end of one connection: requests come out of it with a [`Ticket`], answers go in with it.
///
/// ```text
///              bytes                      events                  respond
///   peer ────────────────► frames ──────────────────► application ─────────► slots ─────► bytes ──► peer
///                            │                                                 ▲  in request order
///                            └── a fault is answered here, in its own slot ────┘
/// ```
///
/// Its phases, each with its [`action`](Endpoint::action) in brackets:
///
/// ```text
///             as much is in flight or unsent as the limits allow, or its rate is met
///   Serving ─────────────────────────────────────────────────────► Full: it wants no read
///   [Open]  ◄───────────────────────────────────────────────────── [Open]
///      │       an answer is given, bytes are written, or time passes  │
///      ├──────────────────────────────────────────────────────────────┘
///      │ end of stream, a fault that closes, a frame that took too long, close, close_slow, or shutdown
///      ▼
///   Owing   what is owed is answered, and all is written              the peer ends its stream, or linger passes
///   [Open] ──────────────────────────────────────────────► Lingering ─────────────────────────────► Closed
///      │                                                   [FinishWriting]                          [Close]
///      │ the peer takes no byte for write_timeout, or the rest of a list was withdrawn
///      ▼
///   Reset   from wherever bytes wait
///   [Reset]
/// ```
///
/// - Every request is answered exactly once, and answers leave in request order, faults' answers among them.
/// - It stops decoding, and wanting to read, while as many requests are in flight or as many bytes unsent as the
///   [`Limits`] allow. Retained input is at most the payload limit and one read; retained answers are at most
///   [`Limits::max_unsent`] and those to what is in flight then, of which a HISTORY counts as much as it may be
///   answered.
/// - Of the lists that it answers with, it keeps no more in memory than it writes next.
/// - The deadline of a frame rests while it does not want to read: the rest of it may have come long ago.
/// - It closes as the protocol prescribes: what is owed is written, the sending half is shut down, what the peer
///   still sends is thrown away until its end of stream or for `linger`; only then is the connection closed.
///
/// ```
/// use chanwire_core::{
///     Limits, Time,
///     endpoint::{ConnectionId, Endpoint, ConnectionAction, Server, ServerEvent},
///     wire::{Request, Response},
/// };
///
/// let now = Time::default();
/// let mut server = Server::new(ConnectionId(1), Limits::server());
/// server.handle_input(now, b"LIST\r\n");
/// server.handle_eof(now);
/// while let Some(event) = server.poll_event() {
///     if let ServerEvent::Request { ticket, request: Request::List } = event {
///         server.respond(now, ticket, Response::Channels(Vec::new()))?;
///     }
/// }
/// let mut slices = [&[][..]; 4];
/// let count = server.transmit(&mut slices);
/// assert_eq!(slices[..count].concat(), b"OK\r\n{\"channels\": []}");
/// server.handle_written(now, 20);
/// assert_eq!(server.action(), ConnectionAction::Close);
/// # Ok::<(), chanwire_core::endpoint::Misuse>(())
/// ```
#[derive(Debug)]
pub struct Server {
    core: ConnectionCore<Command>,
    pipeline: Pipeline,
    events: VecDeque<ServerEvent>,
    /// A replayed page was handed over and is not yet written far enough for the next.
    replaying: bool,
    /// The last HELLO asked for notices.
    notices: bool,
    /// Notices that were not sent yet.
    waiting_notices: WaitingNotices,
    /// The connection is encrypted.
    encrypted: bool,
    /// The peer may be shown other channels than guests.
    has_own_list: bool,
    /// The peer is on the same machine.
    is_local: bool,
    /// The reason for the end, once it is decided, and whether a limit of this connection is it.
    end: Option<(Reason, bool)>,
    traffic: Traffic,
    /// The rate of its requests, unless the peer is exempt.
    throttle: Option<Box<Throttle>>,
}

/// Counts of what has passed through the endpoint of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes that were received.
    pub received_bytes: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Requests that were decoded.
    pub requests: u64,
    /// Faults that were answered, and reasons for closing that the endpoint or the driver gave.
    pub refusals: u64,
    /// Messages that were pushed.
    pub pushes: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.requests += other.requests;
        self.refusals += other.refusals;
        self.pushes += other.pushes;
    }
}

/// The next page is asked for when no more of the last one than this waits.
const REPLAY_AHEAD: usize = 32 * 1024;

/// The bytes of notices that are encoded at once. More wait until these are written.
const NOTICES_AHEAD: usize = 16 * 1024;

/// Events that a server endpoint reports to the application.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A request that it must answer with this ticket.
    Request {
        /// The ticket for [`Server::respond`].
        ticket: Ticket,
        /// The request.
        request: Request,
    },
    /// A request that the endpoint has answered by itself: a HELLO. For the log.
    Answered {
        /// The request.
        request: Request,
    },
    /// A fault of the peer, which has been answered. For the log.
    Refused {
        /// The answer.
        error: ErrorResponse,
        /// Whether the connection closes after it.
        closes: bool,
    },
    /// The last [replayed](Server::replay) page is almost written: give the next.
    Drained,
    /// The peer, which has joined something, has ended its stream and all its requests are answered: push what was
    /// promised to it, then [finish](Server::finish).
    Ended,
    /// The rest of a [`Listing`] was withdrawn while it was sent: the connection is reset. For the log.
    Withdrawn,
}

/// A command to the endpoint of one connection, from the hub or the server's driver.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum ServerCommand {
    /// [Answer](Server::respond) a request.
    Respond {
        /// The request.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// [Push](Server::push) messages as they come.
    Push(Arc<Pushes>),
    /// [Replay](Server::replay) a page of stored messages.
    Replay(Arc<Pushes>),
    /// [Send](Server::notify) a notice.
    Notify(Arc<Notice>),
    /// Send what waits, then this error, and [close](Server::close).
    Close(ErrorResponse),
    /// Drop the pushes that are not begun, send this error, and [close](Server::close_slow).
    CloseSlow(ErrorResponse),
    /// [End](Server::disconnect) the connection for the operator.
    Disconnect,
    /// [End](Server::revoke) the connection, whose rights have changed, for this reason.
    Revoke(ErrorResponse),
    /// [Finish](Server::finish): everything that was promised to an ended peer is there.
    Finish,
    /// [Replace](Server::reconfigure) the limits.
    Reconfigure(Arc<Limits>),
    /// Take nothing new, finish what is owed, then [close](Endpoint::shutdown).
    Shutdown,
    /// [Reset](Server::reset) the connection.
    Reset,
}

impl Server {
    /// Makes the endpoint of a connection that was just accepted. Its tickets are told from those of other connections
    /// by its number.
    #[must_use]
    pub fn new(id: ConnectionId, limits: impl Into<Arc<Limits>>) -> Self {
        Self {
            core: ConnectionCore::new(limits.into()),
            pipeline: Pipeline::new(id),
            events: VecDeque::new(),
            replaying: false,
            notices: false,
            waiting_notices: WaitingNotices::default(),
            encrypted: false,
            has_own_list: false,
            is_local: false,
            end: None,
            traffic: Traffic::default(),
            throttle: None,
        }
    }

    /// Returns whether the peer asked for notices. None is sent otherwise.
    #[must_use]
    pub const fn wants_notices(&self) -> bool {
        self.notices
    }

    /// Sets the rate at which it takes requests. Without one, it takes them as fast as they come.
    #[must_use]
    pub fn with_throttle(self, throttle: impl Into<Box<Throttle>>) -> Self {
        Self { throttle: Some(throttle.into()), ..self }
    }

    /// Has each LIST answered by the hub, because the peer may be shown other channels than guests: for an operator. So it is
    /// after an AUTH that succeeds.
    #[must_use]
    pub fn with_own_list(self) -> Self {
        Self { has_own_list: true, ..self }
    }

    /// Has HELLO answered that the connection is encrypted.
    #[must_use]
    pub fn with_encryption(self) -> Self {
        Self { encrypted: true, ..self }
    }

    /// Has AUTH accepted without encryption, because the peer is on the same machine.
    #[must_use]
    pub fn with_local_peer(self) -> Self {
        Self { is_local: true, ..self }
    }

    /// Carries out a command.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownTicket`] if it is an answer to a request of another connection.
    pub fn handle_command(&mut self, now: Time, command: ServerCommand) -> Result<(), Misuse> {
        match command {
            ServerCommand::Respond { ticket, reply } => return self.respond(now, ticket, reply),
            ServerCommand::Push(pushes) => self.push(now, pushes),
            ServerCommand::Replay(pushes) => self.replay(now, pushes),
            ServerCommand::Notify(notice) => self.notify(now, notice),
            ServerCommand::Close(error) => self.close(now, error),
            ServerCommand::CloseSlow(error) => self.close_slow(now, error),
            ServerCommand::Disconnect => self.disconnect(now),
            ServerCommand::Revoke(error) => self.revoke(now, error),
            ServerCommand::Finish => self.finish(now),
            ServerCommand::Reconfigure(limits) => self.reconfigure(now, limits),
            ServerCommand::Shutdown => self.shutdown(now),
            ServerCommand::Reset => self.reset(now),
        }
        Ok(())
    }

    /// Answers a request, in any order.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownTicket`] if the ticket is of another connection.
    pub fn respond(&mut self, now: Time, ticket: Ticket, reply: impl Into<Reply>) -> Result<(), Misuse> {
        let reply = reply.into();
        let joins = matches!(reply, Reply::Response(Response::Joined { .. }));
        self.has_own_list |= matches!(reply, Reply::Response(Response::Authenticated { .. }));
        match &reply {
            Reply::Response(Response::Left { channel_name }) => self.waiting_notices.drop_of(channel_name, |_| true),
            // It says more than a notice of before, which would be taken for news.
            Reply::Response(Response::Who { channel_name, .. }) => {
                self.waiting_notices.drop_of(channel_name, |notice| matches!(notice, Notice::Presence(_)));
            }
            _ => {}
        }
        self.pipeline.answer(ticket, reply, &mut self.core.outbox)?;
        if joins {
            self.core.change(PhaseEvent::Joined, now);
        }
        self.pump(now);
        Ok(())
    }

    /// Answers a LIST at once from the list of guests that the hub has [published](crate::hub::Effect::Publish), if every
    /// earlier request of this connection is answered and the list is its. Gives back any event that is for the hub.
    ///
    /// So a LIST needs no turn of the hub's. It shows all that was acknowledged before, to whomever, since the hub
    /// publishes a list before it acknowledges what is in it.
    #[must_use = "what is given back is for the hub"]
    pub fn list_at_once(
        &mut self,
        now: Time,
        event: ServerEvent,
        published: impl FnOnce() -> Option<Listing>,
    ) -> Option<ServerEvent> {
        match event {
            ServerEvent::Request { ticket, request: Request::List }
                if !self.has_own_list && self.pipeline.is_next(&ticket) =>
            {
                let Some(listing) = published() else {
                    return Some(ServerEvent::Request { ticket, request: Request::List });
                };
                // The ticket is this connection's, so the answer is taken.
                let _ = self.respond(now, ticket, listing);
                None
            }
            event => Some(event),
        }
    }

    /// Sends messages as they come. A reader that leaves more of them unread than the limit is told that it is too
    /// slow, and the connection closes.
    pub fn push(&mut self, now: Time, pushes: Arc<Pushes>) {
        if !self.core.phase().takes_pushes() {
            return;
        }
        self.traffic.pushes += pushes.len() as u64;
        let before = self.core.outbox.live();
        self.core.outbox.push(pushes, true);
        let limit = self.core.limits.max_pushed;
        // A peer with nothing unread is never slow, however large the new output is.
        if before > 0 && self.core.outbox.live() > limit {
            let details = format!("More than {limit} bytes are waiting to be read");
            self.decide_end(Reason::SlowConsumer, true);
            self.close_slow(now, ErrorResponse::server("Slow consumer", details));
        } else {
            self.pump(now);
        }
    }

    /// Sends a page of stored messages. The next one is due at [`ServerEvent::Drained`].
    pub fn replay(&mut self, now: Time, pushes: Arc<Pushes>) {
        if self.core.phase().takes_pushes() {
            self.traffic.pushes += pushes.len() as u64;
            self.core.outbox.push(pushes, false);
            self.replaying = true;
            self.pump(now);
        }
    }

    /// Sends a notice to a peer that asked for notices, once nothing else waits to be written. Until then, a later one of
    /// its kind and channel [replaces](Notice::replacing) it. It does not make a reader slow.
    pub fn notify(&mut self, now: Time, notice: Arc<Notice>) {
        if self.notices && self.core.phase().takes_pushes() {
            self.waiting_notices.add(notice);
            self.pump(now);
        }
    }

    /// Encodes the notices that wait, if nothing else does.
    fn send_notices(&mut self) {
        if self.core.outbox.is_empty() && self.core.phase().takes_pushes() {
            while self.core.outbox.answers() < NOTICES_AHEAD
                && let Some(notice) = self.waiting_notices.pop()
            {
                self.core.outbox.write(|out| notice.encode(out));
            }
        }
    }

    /// Drops the pushes that are not begun, says why, and closes.
    pub fn close_slow(&mut self, now: Time, error: ErrorResponse) {
        self.core.outbox.drop_pushes();
        self.close(now, error);
        // A closing connection may have no other output left.
        self.pump(now);
    }

    /// Sends what waits, an error that answers no request, and closes.
    pub fn close(&mut self, now: Time, error: ErrorResponse) {
        if self.core.phase().takes_pushes() {
            self.refuse(error, true, now);
            self.pump(now);
        }
    }

    /// Ends the connection because the operator wants it: drops the pushes that are not begun, writes the owed answers,
    /// and closes. A peer that asked for notices is told; another would take an error for an answer.
    pub fn disconnect(&mut self, now: Time) {
        let details = "The server's operator has ended this connection";
        self.end(now, Reason::Disconnected, ErrorResponse::server("Disconnected", details));
    }

    /// Ends the connection because its rights have changed, as [`disconnect`](Self::disconnect) does.
    pub fn revoke(&mut self, now: Time, error: ErrorResponse) {
        self.end(now, Reason::AccessRevoked, error);
    }

    fn end(&mut self, now: Time, reason: Reason, error: ErrorResponse) {
        self.decide_end(reason, false);
        self.core.outbox.drop_pushes();
        if self.notices && self.core.phase().takes_pushes() {
            self.refuse(error, true, now);
        } else {
            self.core.change(PhaseEvent::Close, now);
        }
        self.pump(now);
    }

    /// Finishes a connection whose peer has [ended](ServerEvent::Ended) its stream, and to which everything promised is
    /// pushed.
    pub fn finish(&mut self, now: Time) {
        self.core.change(PhaseEvent::Close, now);
        self.pump(now);
    }

    /// Resets a connection that is not closed, because the server stops and has waited long enough for it.
    pub fn reset(&mut self, now: Time) {
        self.decide_end(Reason::ServerStopping, false);
        if self.core.phase() != Phase::Closed {
            self.core.change(PhaseEvent::Reset, now);
        }
    }

    /// Returns the reason for the connection's end, once it is over; `is_lost` says that its stream failed.
    #[must_use]
    pub fn ended(&self, is_lost: bool) -> ConnectionEnd {
        let (reason, is_limit) = match self.end {
            None | Some((Reason::ClientClosed, _)) if is_lost => (Reason::ClientLost, false),
            None => (Reason::ServerClosed, false),
            Some(end) => end,
        };
        let limits = &self.core.limits;
        let limit = match reason {
            Reason::PayloadTooLarge => Some(("max_payload", limits.max_payload as u64)),
            Reason::RequestTimedOut => Some(("request_timeout", limits.frame_timeout.as_secs())),
            Reason::NotReading => Some(("write_timeout", limits.write_timeout.as_secs())),
            Reason::SlowConsumer => Some(("max_pushed", limits.max_pushed as u64)),
            _ => None,
        };
        ConnectionEnd { reason, limit: limit.filter(|_| is_limit) }
    }

    /// Notes the reason for the end. The first one counts, but that the client or the server was to end the connection
    /// gives way to what then ended it.
    const fn decide_end(&mut self, reason: Reason, is_limit: bool) {
        let is_open = matches!(self.end, None | Some((Reason::ClientClosed | Reason::ServerStopping, _)));
        let is_mild = matches!(reason, Reason::ClientClosed | Reason::ServerStopping);
        if self.end.is_none() || is_open && !is_mild {
            self.end = Some((reason, is_limit));
        }
    }

    /// Returns the counts of what has passed through it.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the number of bytes that wait to be written.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        let outbox = &self.core.outbox;
        outbox.answers() + outbox.replayed() + outbox.live()
    }

    /// Replaces the limits. A frame that is arriving keeps those with which it began, so that they do not depend on how
    /// the stream is cut, and a lower [`write_timeout`](Limits::write_timeout) runs from now on.
    pub fn reconfigure(&mut self, now: Time, limits: Arc<Limits>) {
        self.core.reconfigure(limits, now);
        self.pump(now);
    }

    /// Returns the number of requests whose answers have not left.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pipeline.len()
    }

    /// Returns the times for which requests have waited because they came too fast; `None` without a
    /// [throttle](Self::with_throttle).
    #[must_use]
    pub fn throttled(&self, now: Time) -> Option<Throttled> {
        self.throttle.as_ref().map(|throttle| throttle.paused(now))
    }

    /// Returns the rate for which requests wait now, if they do.
    #[must_use]
    pub fn waits_for_rate(&self) -> Option<RateScope> {
        self.throttle.as_ref().and_then(|throttle| throttle.waits_for())
    }

    /// Returns whether the rate allows the next request. A connection that is stopping has no time to wait, and at most
    /// one read to decode.
    fn is_admitted(&mut self, now: Time) -> bool {
        let is_stopping = matches!(self.core.phase(), Phase::Stopping { .. });
        self.throttle.as_mut().is_none_or(|throttle| throttle.admits(now)) || is_stopping
    }

    fn charge(&mut self, now: Time, cost: Cost) {
        if let Some(throttle) = &mut self.throttle {
            throttle.charge(now, cost);
        }
    }

    fn charge_skipped(&mut self, now: Time, span: Option<Span>) {
        if let (Some(throttle), Some(span)) = (&mut self.throttle, span) {
            throttle.charge_skipped(now, span);
        }
    }

    fn has_room(&self) -> bool {
        let limits = &self.core.limits;
        self.pipeline.len() < limits.max_in_flight
            && self.pipeline.bytes() < limits.max_in_flight_bytes
            && self.core.outbox.answers() < limits.max_unsent
    }

    fn pump(&mut self, now: Time) {
        self.pump_input(now, &[]);
    }

    /// Decodes what was buffered, and then `input`, as far as there is room for requests and answers.
    fn pump_input(&mut self, now: Time, mut input: &[u8]) {
        let mut caught_up = false;
        // Once it closes, what is held back is thrown away undecoded.
        while !caught_up && self.core.phase().decodes() && self.is_admitted(now) && self.has_room() {
            self.core.adopt_limits(now);
            match self.core.next_item(&mut input) {
                Some(Item::Frame(frame)) => {
                    let (command, payload) = (frame.start_line, frame.payload.len());
                    let (bytes, space) = (weight(command, payload), frame.separator.end..frame.payload_span.start);
                    match Request::decode(command, frame.payload) {
                        Ok(request @ Request::Hello { notices }) => {
                            self.charge(now, Cost::Request(command, payload));
                            self.traffic.requests += 1;
                            self.notices = notices;
                            if !notices {
                                self.waiting_notices.clear();
                            }
                            let hello = Response::Hello(self.hello());
                            self.pipeline.answer_next(hello.into(), &mut self.core.outbox);
                            self.events.push_back(ServerEvent::Answered { request });
                        }
                        Ok(Request::Auth(credentials)) if !self.accepts_auth() => {
                            self.traffic.requests += 1;
                            self.charge(now, Cost::Request(command, payload));
                            self.refuse(ErrorResponse::credentials_not_encrypted(&credentials), false, now);
                        }
                        Ok(request) => {
                            self.traffic.requests += 1;
                            self.charge(now, Cost::Request(command, payload));
                            let ticket = self.pipeline.open(bytes);
                            self.events.push_back(ServerEvent::Request { ticket, request });
                        }
                        Err(fault) => {
                            self.charge(now, Cost::Fault(payload));
                            self.refuse(fault.reply(), false, now);
                        }
                    }
                    self.charge_skipped(now, Some(Span::new(space.start, space.end)));
                }
                Some(Item::Fault(fault)) => {
                    self.charge(now, Cost::Fault(0));
                    self.charge_skipped(now, Some(fault.span));
                    self.refuse(fault.reply(), !fault.is_recoverable(), now);
                }
                Some(Item::Skipped(span, _)) => self.charge_skipped(now, Some(span)),
                None => {
                    caught_up = true;
                    self.charge_skipped(now, self.core.skipping());
                }
            }
        }
        self.core.buffer(input);
        if caught_up {
            self.core.change(PhaseEvent::Decoded, now);
        }
        if self.replaying && self.core.outbox.replayed() <= REPLAY_AHEAD {
            self.replaying = false;
            self.events.push_back(ServerEvent::Drained);
        }
        let is_answered = self.core.is_input_closed() && self.pipeline.is_empty();
        if is_answered && matches!(self.core.phase(), Phase::PeerEnded { .. }) {
            self.core.change(PhaseEvent::Answered, now);
            if self.core.phase() == Phase::Promised {
                self.events.push_back(ServerEvent::Ended);
            }
        }
        if self.core.outbox.take_withdrawn() {
            self.core.change(PhaseEvent::Reset, now);
            self.decide_end(Reason::NotReading, false);
            self.events.push_back(ServerEvent::Withdrawn);
        }
        self.send_notices();
        self.core.reads = self.is_admitted(now) && self.has_room();
        self.core.settle(now, is_answered, false);
    }

    /// Returns the answer to HELLO.
    fn hello(&self) -> Hello {
        let rate = self.throttle.as_ref().map(|throttle| throttle.rate());
        let retry_window = self.core.limits.retry_window.map(|window| window.as_secs());
        let client_message_id = retry_window.map(|_| Hello::CLIENT_MESSAGE_ID);
        let auth = self.core.limits.accounts.then_some(Hello::AUTH);
        let features = [client_message_id, Some(Hello::PRESENCE), Some(Hello::CHANNELS), Some(Hello::MODERATION), auth];
        Hello {
            encrypted: self.encrypted,
            features: features.into_iter().flatten().map(Into::into).collect(),
            retry_window,
            units_per_second: rate.map(|rate| rate.units_per_second.get().into()),
            burst: rate.map(|rate| rate.burst.get().into()),
            ..Hello::new(self.core.limits.max_payload as u64)
        }
    }

    /// Returns whether nobody between the peer and this server could read its credentials, or that is to be accepted.
    fn accepts_auth(&self) -> bool {
        self.encrypted || self.is_local || self.core.limits.plaintext_auth
    }

    /// Answers a fault of the peer, or gives the reason for closing.
    fn refuse(&mut self, error: ErrorResponse, closes: bool, now: Time) {
        self.traffic.refusals += 1;
        self.pipeline.answer_next(error.clone().into(), &mut self.core.outbox);
        if closes {
            let reason = Reason::of_error(&error.error);
            self.decide_end(reason, matches!(reason, Reason::PayloadTooLarge | Reason::RequestTimedOut));
            self.core.change(PhaseEvent::Close, now);
        }
        self.events.push_back(ServerEvent::Refused { error, closes });
    }
}

/// Returns the weight of a request in flight: the bytes that it holds, or that its answer may.
const fn weight(command: Command, payload: usize) -> usize {
    match command {
        // A list can be larger, and counts as much as it has once it is given.
        Command::List
        | Command::History
        | Command::Who
        | Command::Channels
        | Command::Settings
        | Command::Connections => MAX_HISTORY,
        Command::Host
        | Command::Message
        | Command::Unhost
        | Command::Join
        | Command::Leave
        | Command::Hello
        | Command::Auth
        | Command::Delete
        | Command::Role
        | Command::Disconnect => payload,
    }
}

impl Endpoint for Server {
    type Event = ServerEvent;

    fn handle_input(&mut self, now: Time, bytes: &[u8]) {
        self.traffic.received_bytes += bytes.len() as u64;
        let is_stopping = matches!(self.core.phase(), Phase::Stopping { .. });
        self.pump_input(now, if is_stopping { &[] } else { bytes });
    }

    fn handle_eof(&mut self, now: Time) {
        self.core.finish_input();
        self.core.change(PhaseEvent::PeerEnded, now);
        self.decide_end(Reason::ClientClosed, false);
        self.pump(now);
    }

    fn handle_written(&mut self, now: Time, count: usize) {
        self.traffic.sent_bytes = self.traffic.sent_bytes.saturating_add(count as u64);
        self.core.written(count);
        self.pump(now);
    }

    fn handle_flush(&mut self, now: Time, is_pending: bool) {
        self.core.flushing(now, is_pending);
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Time) {
        if let Some(fault) = self.core.expire(now) {
            self.refuse(fault.reply(), true, now);
        }
        if self.core.phase() == Phase::Reset {
            self.decide_end(Reason::NotReading, true);
        }
        self.pump(now);
    }

    fn shutdown(&mut self, now: Time) {
        self.core.change(PhaseEvent::Shutdown, now);
        self.decide_end(Reason::ServerStopping, false);
        self.pump(now);
    }

    fn transmit<'a>(&'a self, out: &mut [&'a [u8]]) -> usize {
        self.core.outbox.slices(out)
    }

    fn poll_event(&mut self) -> Option<ServerEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // An idle connection keeps no queue.
            self.events = VecDeque::new();
        }
        event
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let rate = self.throttle.as_ref().and_then(|throttle| throttle.paused_until());
        let rate = rate.filter(|_| self.core.phase().decodes()).map(|at| Deadline { at, timer: Timer::Rate });
        [self.core.deadline(), rate].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    fn wants_read(&self) -> bool {
        let phase = self.core.phase();
        phase.awaits_input()
            && match phase {
                Phase::Open { .. } => self.core.unread() == 0 && self.core.reads,
                Phase::Stopping { .. } => false,
                // A closing connection discards its input.
                _ => true,
            }
    }

    fn action(&self) -> ConnectionAction {
        self.core.phase().action()
    }
}
