//! The client's end of a connection.

use alloc::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use core::fmt;

use super::{
    ConnectionAction, Deadline, Endpoint, Misuse, Timer,
    connection::ConnectionCore,
    phase::{Phase, PhaseEvent},
};
use crate::{
    Limits, Time,
    wire::{
        ChannelName, Command, ErrorResponse, Fault, Frame, Item, Notice, PayloadFault, Request, Response, Status,
        StoredMessage,
    },
};

/// The number of a request of a connection. The first is 0, and each next one is greater by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

impl RequestId {
    /// Returns the number of the request, from 0.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The client's end of one connection: requests go in, their answers come out in the same order.
///
/// ```text
///            send                              bytes                 events
///   application ─────► bytes ──► peer ──► … ─────────► frames ─┬─► Answer, to the oldest open request
///                                                              ├─► Push and Notice, to none
///                                                              ├─► Closing, to none: the server is closing
///                                                              └─► Broken: the server broke the protocol
/// ```
///
/// Its phases, each with its [`action`](Endpoint::action) in brackets:
///
/// ```text
///           shutdown               all is written                     all is answered: Ended
///   Open ─────────────► Finishing ────────────────► Half closed ─────────────────────────────► Lingering
///  [Open]                [Open]                   [FinishWriting]                           [FinishWriting]
///    │                     │                           │                                           │
///    │ the server ends its stream, breaks the protocol, or gives no answer for answer_timeout      │ end of stream,
///    ├─────────────────────┴───────────────────────────┘                                           │ or linger
///    ▼                                                                                             ▼
///  Ended is told, and it is closed [Close] ◄───────────────────────────────────────────────────────┘
///
///  Where bytes wait and the server takes none for write_timeout: Ended is told, and it is reset [Reset].
/// ```
///
/// Any number of requests may be sent before their answers come, up to the [`Limits`]. When the connection ends,
/// [`ClientEvent::Ended`] is the last event; what is unanswered then has an unknown outcome.
///
/// ```
/// use chanwire_core::{
///     Limits, Time,
///     endpoint::{Client, ClientEvent, Endpoint},
///     wire::{Request, Response},
/// };
///
/// let now = Time::default();
/// let mut client = Client::new(Limits::client());
/// let list = client.send(now, &Request::List)?;
/// client.handle_input(now, b"OK\r\n{\"channels\": []}");
/// let Some(ClientEvent::Answer { id, response }) = client.poll_event() else { panic!("an answer") };
/// assert_eq!((id, response), (list, Response::Channels(Vec::new())));
/// # Ok::<(), chanwire_core::endpoint::Misuse>(())
/// ```
#[derive(Debug)]
pub struct Client {
    core: ConnectionCore<Status>,
    open: VecDeque<Open>,
    /// The channels that are joined, each with the id that the next push must exceed.
    joined: BTreeMap<ChannelName, u64>,
    /// Notices may come: a HELLO asked for them, and no later one that is answered did not.
    notices: bool,
    /// The number of the next request.
    next: u64,
    events: VecDeque<ClientEvent>,
    /// Bytes that came after the last whole frame.
    unframed: usize,
}

/// White space beside the largest frame that a server may send before it has sent a whole frame.
const MAX_PADDING: usize = 64 * 1024;

#[derive(Debug)]
struct Open {
    command: Command,
    /// The channel that is joined or left by it.
    channel_name: Option<ChannelName>,
    /// Whether a HELLO asks for notices.
    notices: Option<bool>,
    sent: Time,
}

/// Events that a client endpoint reports to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The answer to a request.
    Answer {
        /// The request.
        id: RequestId,
        /// The response, which may be an error.
        response: Response,
    },
    /// A message of a channel that this connection joined.
    Push(StoredMessage),
    /// News of a channel, after a HELLO that asked for notices.
    Notice(Notice),
    /// The server's reason for closing. It answers no request.
    Closing(ErrorResponse),
    /// The server broke the protocol. The connection is of no more use and closes.
    Broken(ProtocolViolation),
    /// Nothing more will come.
    Ended {
        /// The number of unanswered requests, the last ones sent: whether they were carried out is not known.
        unanswered: u64,
    },
}

/// A violation of the protocol by a server. The application is told [`ClientEvent::Broken`], sends nothing of it, and
/// closes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// It sent bytes that are no frame, or not the whole of one in time.
    Fault(Fault),
    /// It sent a frame whose payload is wrong.
    Payload(Status, PayloadFault),
    /// It sent an answer, and no request was open.
    Unasked(Status),
    /// It pushed a message of a channel that is not joined.
    ForeignPush {
        /// The channel.
        channel_name: ChannelName,
    },
    /// It pushed a message whose id is not above those before: repeated, or out of order.
    PushOutOfOrder {
        /// The message's id.
        id: u64,
        /// The id that it must exceed.
        last: u64,
    },
    /// It gave no answer in this many seconds.
    NoAnswer {
        /// The limit.
        seconds: u64,
    },
    /// It sent white space without end.
    NoFrame {
        /// The limit.
        bytes: usize,
    },
}

impl fmt::Display for ProtocolViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "the server sent what is no frame of the protocol ({})", fault.details()),
            Self::Payload(status, fault) => {
                write!(f, "the server sent a wrong payload with {status} ({})", fault.kind)
            }
            Self::Unasked(status) => write!(f, "the server sent {status} although nothing was asked"),
            Self::ForeignPush { channel_name } => {
                write!(f, "the server pushed a message of the channel '{channel_name}', which is not joined")
            }
            Self::PushOutOfOrder { id, last } => {
                write!(f, "the server pushed message {id}, repeated or out of order: the next is above {last}")
            }
            Self::NoAnswer { seconds } => write!(f, "the server gave no answer for {seconds} seconds"),
            Self::NoFrame { bytes } => write!(f, "the server sent more than {bytes} bytes without a whole frame"),
        }
    }
}

impl core::error::Error for ProtocolViolation {}

impl Client {
    /// Makes the endpoint of a connection that was just opened.
    #[must_use]
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        Self {
            core: ConnectionCore::new(limits.into()),
            open: VecDeque::new(),
            joined: BTreeMap::new(),
            notices: false,
            next: 0,
            events: VecDeque::new(),
            unframed: 0,
        }
    }

    /// Sends a request. The server refuses what [`Request::validate`] finds wrong.
    ///
    /// # Errors
    ///
    /// [`Misuse::TooManyInFlight`] while as many requests are open as the limits allow, and [`Misuse::Closing`] once
    /// the connection is closing.
    pub fn send(&mut self, now: Time, request: &Request) -> Result<RequestId, Misuse> {
        if !matches!(self.core.phase(), Phase::Open { .. }) {
            return Err(Misuse::Closing);
        }
        if self.open.len() >= self.core.limits.max_in_flight {
            return Err(Misuse::TooManyInFlight);
        }
        let id = RequestId(self.next);
        self.next += 1;
        let channel_name = match request {
            Request::Join { channel_name, .. } | Request::Leave { channel_name } => Some(channel_name.clone()),
            _ => None,
        };
        let notices = match *request {
            Request::Hello { notices } => Some(notices),
            _ => None,
        };
        // They may come before the answer.
        self.notices |= notices == Some(true);
        self.open.push_back(Open { command: request.command(), channel_name, notices, sent: now });
        self.core.outbox.write(|out| request.encode(out));
        self.settle(now);
        Ok(id)
    }

    /// Returns the number of requests that are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// Decodes what was buffered, and then `input`.
    fn pump(&mut self, now: Time, mut input: &[u8]) {
        self.unframed = self.unframed.saturating_add(input.len());
        while self.core.phase().decodes()
            && !self.is_satisfied()
            && let Some(item) = self.core.next_item(&mut input)
        {
            let read = match item {
                Item::Frame(frame) => read(&frame, self.open.front().map(|open| open.command)),
                Item::Fault(fault) => Err(ProtocolViolation::Fault(fault)),
                Item::Skipped(..) => continue,
            };
            self.unframed = input.len();
            match read {
                Ok(Incoming::Push(message)) => match self.check_push(&message) {
                    Ok(()) => self.events.push_back(ClientEvent::Push(message)),
                    Err(violation) => self.give_up(violation, now),
                },
                Ok(Incoming::Notice(notice)) if self.notices => {
                    self.events.push_back(ClientEvent::Notice(notice));
                }
                Ok(Incoming::Notice(_)) => self.give_up(ProtocolViolation::Unasked(Status::Notice), now),
                Ok(Incoming::Closing(error)) => self.events.push_back(ClientEvent::Closing(error)),
                Ok(Incoming::Answer(response)) => {
                    let id = RequestId(self.next - self.open.len() as u64);
                    if let Some(asked) = self.open.pop_front() {
                        self.follow(asked, &response);
                    }
                    // The next one's wait begins when it becomes the oldest.
                    if let Some(next) = self.open.front_mut() {
                        next.sent = now;
                    }
                    self.events.push_back(ClientEvent::Answer { id, response });
                }
                Err(violation) => self.give_up(violation, now),
            }
        }
        self.core.buffer(input);
        let limit = self.core.limits.max_payload.saturating_add(MAX_PADDING);
        if self.unframed > limit && self.core.phase().decodes() {
            self.give_up(ProtocolViolation::NoFrame { bytes: limit }, now);
        }
        self.settle(now);
    }

    /// Takes note of a channel that was joined or left, and of notices that are no longer sent.
    fn follow(&mut self, asked: Open, response: &Response) {
        if asked.notices == Some(false) && matches!(response, Response::Hello(_)) {
            self.notices = self.open.iter().any(|open| open.notices == Some(true));
        }
        match (asked.channel_name, response) {
            (Some(channel_name), Response::Joined { first_id, .. }) => {
                self.joined.insert(channel_name, first_id.saturating_sub(1));
            }
            (Some(channel_name), Response::Left { .. }) => drop(self.joined.remove(&channel_name)),
            _ => {}
        }
    }

    /// Checks that a message was asked for, and is neither repeated nor out of order.
    fn check_push(&mut self, message: &StoredMessage) -> Result<(), ProtocolViolation> {
        let StoredMessage { channel_name, id, .. } = message;
        match self.joined.get_mut(channel_name) {
            None => Err(ProtocolViolation::ForeignPush { channel_name: channel_name.clone() }),
            Some(last) if id <= last => Err(ProtocolViolation::PushOutOfOrder { id: *id, last: *last }),
            Some(last) => {
                *last = *id;
                Ok(())
            }
        }
    }

    /// Returns whether the connection is closing and nothing but the server's end of stream is awaited.
    fn is_satisfied(&self) -> bool {
        let is_stopping = !matches!(self.core.phase(), Phase::Open { .. });
        is_stopping && self.open.is_empty() && self.core.outbox.is_empty()
    }

    fn give_up(&mut self, violation: ProtocolViolation, now: Time) {
        if !self.core.phase().is_over() {
            self.events.push_back(ClientEvent::Broken(violation));
        }
        self.change(PhaseEvent::Abandon, now);
    }

    /// Goes to the phase that follows from an event, and reports the end if it is one.
    fn change(&mut self, event: PhaseEvent, now: Time) {
        self.watch(|client| client.core.change(event, now));
    }

    fn settle(&mut self, now: Time) {
        self.watch(|client| {
            let is_done = !matches!(client.core.phase(), Phase::Open { .. });
            client.core.settle(now, is_done, !client.open.is_empty());
        });
    }

    /// Does some work, and reports the end if that follows from it.
    fn watch(&mut self, work: impl FnOnce(&mut Self)) {
        let was_over = self.core.phase().is_over();
        work(self);
        if !was_over && self.core.phase().is_over() {
            self.events.push_back(ClientEvent::Ended { unanswered: self.open.len() as u64 });
        }
    }
}

enum Incoming {
    Answer(Response),
    Push(StoredMessage),
    Notice(Notice),
    Closing(ErrorResponse),
}

fn read(frame: &Frame<'_, Status>, asked: Option<Command>) -> Result<Incoming, ProtocolViolation> {
    let status = frame.start_line;
    let wrong = |fault| ProtocolViolation::Payload(status, fault);
    match status {
        Status::Push => return StoredMessage::decode(frame.payload).map(Incoming::Push).map_err(wrong),
        Status::Notice => return Notice::decode(frame.payload).map(Incoming::Notice).map_err(wrong),
        Status::Ok | Status::RequestError | Status::ServerError => {}
    }
    // An error's payload is the same whatever was asked.
    let response = Response::decode(asked.unwrap_or(Command::List), status, frame.payload);
    match (response, asked) {
        (Ok(Response::Error(error)), _) if error.is_closing() => Ok(Incoming::Closing(error)),
        (_, None) => Err(ProtocolViolation::Unasked(status)),
        (Ok(response), Some(_)) => Ok(Incoming::Answer(response)),
        (Err(fault), Some(_)) => Err(wrong(fault)),
    }
}

impl Endpoint for Client {
    type Event = ClientEvent;

    fn handle_input(&mut self, now: Time, bytes: &[u8]) {
        self.pump(now, bytes);
    }

    fn handle_eof(&mut self, now: Time) {
        self.core.finish_input();
        self.pump(now, &[]);
        self.change(PhaseEvent::Abandon, now);
    }

    fn handle_written(&mut self, now: Time, count: usize) {
        self.core.written(count);
        self.settle(now);
    }

    fn handle_flush(&mut self, now: Time, is_pending: bool) {
        self.core.flushing(now, is_pending);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Time) {
        let mut fault = None;
        self.watch(|client| fault = client.core.expire(now));
        if let Some(fault) = fault {
            self.give_up(ProtocolViolation::Fault(fault), now);
        }
        if self.poll_timeout().is_some_and(|deadline| deadline.timer == Timer::Answer && deadline.at <= now) {
            self.give_up(ProtocolViolation::NoAnswer { seconds: self.core.limits.answer_timeout.as_secs() }, now);
        }
        self.settle(now);
    }

    fn shutdown(&mut self, now: Time) {
        self.change(PhaseEvent::Shutdown, now);
        self.settle(now);
    }

    fn transmit<'a>(&'a self, out: &mut [&'a [u8]]) -> usize {
        self.core.outbox.slices(out)
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.action() >= ConnectionAction::Close {
            return None;
        }
        // While a frame arrives, its own deadline holds.
        let answer = self
            .open
            .front()
            .filter(|_| !self.core.is_frame_arriving())
            .map(|open| Deadline { at: open.sent.after(self.core.limits.answer_timeout), timer: Timer::Answer });
        [self.core.deadline(), answer].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    fn wants_read(&self) -> bool {
        self.core.phase().awaits_input()
    }

    fn action(&self) -> ConnectionAction {
        self.core.phase().action()
    }
}
