//! The client's end of a connection against any server.

use std::time::Duration;

use chanwire_core::{
    Limits, Time,
    endpoint::{Client, ClientEvent, ConnectionAction, Deadline, Endpoint as _, Misuse, ProtocolViolation},
    wire::{
        Address, Channel, ChannelName, Command, Decoder, HistoryRange, Host, Item, JoinFrom, Message, Notice, Request,
        Response, Role, RoleTarget, Status, StoredMessage,
    },
};

use super::{Input, amount};
use crate::{link::End, name::named, show};

/// Runs a client on arbitrary bytes of a server and an arbitrary order of requests, reads, writes, waits, an end of the
/// stream and a shutdown.
///
/// # Panics
/// If the events depend on the pieces that are read, an answer does not belong to the oldest open request, an event
/// follows the end, or the end does not come.
pub fn client(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.limit(1024, 1);
    let ops: Vec<_> = input.pairs(60).into_iter().map(|(kind, argument)| op(kind, argument)).collect();
    let stream = input.rest();
    let (mut whole, mut bytewise) = (Session::new(limit, stream), Session::new(limit, stream));
    for op in &ops {
        whole.take(*op, usize::MAX);
        bytewise.take(*op, 1);
        whole.compare(&mut bytewise, op);
    }
    whole.finish();
    check_all_asked_before(stream);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Send(u8),
    Read(usize),
    Write(usize),
    Wait(u64),
    Eof,
    Shutdown,
}

fn op(kind: u8, argument: u8) -> Op {
    match kind % 8 {
        0 | 1 => Op::Send(argument),
        2 | 3 => Op::Read(amount(argument)),
        4 => Op::Write(amount(argument)),
        5 => Op::Wait(512 * u64::from(argument)),
        6 => Op::Shutdown,
        _ => Op::Eof,
    }
}

fn some_request(which: u8) -> Request {
    let channel_name = named("test_channel");
    match which % 10 {
        0 => Request::List,
        1 => {
            let address = Address::new("127.0.0.1", 22_236).unwrap();
            Request::Host(Host { channel: Channel { channel_name, address }, lease: None })
        }
        2 => Request::Unhost { channel_name },
        3 => Request::Join { channel_name, from: JoinFrom::After(7), username: None },
        4 => Request::Leave { channel_name },
        6 => Request::Delete { channel_name, id: 7 },
        7 => {
            let target = RoleTarget::Account("ann".parse().unwrap());
            Request::Role { channel_name, target, role: Some(Role::Muted), seconds: None }
        }
        8 => Request::Settings { channel_name, members_only: None, slow_mode: None },
        5 => Request::History { channel_name, range: HistoryRange::Last, limit: 10 },
        _ => {
            let (username, message_content) = (named("user1"), "Hello, World!".into());
            Request::Message(Message { username, message_content, channel_name: None, client_message_id: None })
        }
    }
}

/// A client, its input and output, and its events.
struct Session<'a> {
    end: End<Client>,
    now: Time,
    limit: usize,
    stream: &'a [u8],
    sent: Vec<u8>,
    requests: u64,
    answered: u64,
    ended: bool,
    stopping: bool,
    events: Vec<ClientEvent>,
}

impl<'a> Session<'a> {
    fn new(limit: usize, stream: &'a [u8]) -> Self {
        let mut limits = Limits::client();
        limits.max_in_flight = limit;
        Self {
            end: End::new(Client::new(limits)),
            now: Time::from_millis(7),
            limit,
            stream,
            sent: Vec::new(),
            requests: 0,
            answered: 0,
            ended: false,
            stopping: false,
            events: Vec::new(),
        }
    }

    /// Executes one step. Input is passed on in pieces of at most this length.
    fn take(&mut self, op: Op, piece: usize) {
        match op {
            Op::Send(which) => self.send(&some_request(which)),
            Op::Read(most) => {
                let (bytes, rest) = self.stream.split_at(most.min(self.stream.len()));
                self.stream = rest;
                self.end.arrive(bytes);
                while self.end.read(self.now, piece).is_some() {
                    self.take_events();
                }
            }
            Op::Write(most) => drop(self.end.write(self.now, most)),
            Op::Wait(millis) => {
                let until = self.now.after(Duration::from_millis(millis));
                while let Some(due) = self.deadline().filter(|due| due.at <= until) {
                    self.now = self.now.max(due.at);
                    self.end.endpoint.handle_timeout(self.now);
                    assert_ne!(self.deadline(), Some(due), "it asks again at once");
                }
                self.now = until;
                self.end.endpoint.handle_timeout(until);
            }
            Op::Shutdown => {
                self.stopping = true;
                self.end.endpoint.shutdown(self.now);
            }
            Op::Eof => {
                self.end.end_arrives();
                while self.end.read(self.now, piece).is_some() {}
            }
        }
        self.take_events();
        self.check();
    }

    fn deadline(&self) -> Option<Deadline> {
        self.end.endpoint.poll_timeout()
    }

    fn send(&mut self, request: &Request) {
        let open = self.end.endpoint.in_flight();
        match self.end.endpoint.send(self.now, request) {
            Ok(id) => {
                assert_eq!(id.number(), self.requests);
                assert!(open < self.limit && !self.stopping && !self.ended, "{id:?} is sent on {:?}", self.end);
                self.requests += 1;
                request.encode(&mut self.sent);
            }
            Err(Misuse::TooManyInFlight) => assert_eq!(open, self.limit),
            Err(misuse) => assert_eq!((misuse, self.stopping || self.ended), (Misuse::Closing, true)),
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.end.endpoint.poll_event() {
            assert!(!self.ended, "{event:?} after the end");
            match &event {
                ClientEvent::Answer { id, .. } => {
                    assert!(id.number() == self.answered && self.answered < self.requests, "{event:?} out of turn");
                    self.answered += 1;
                }
                ClientEvent::Ended { unanswered } => {
                    assert_eq!(*unanswered, self.requests - self.answered);
                    self.ended = true;
                }
                ClientEvent::Push(_) | ClientEvent::Notice(_) | ClientEvent::Closing(_) | ClientEvent::Broken(_) => {}
            }
            self.events.push(event);
        }
    }

    /// Checks the laws that hold after every step.
    fn check(&mut self) {
        let open = self.end.endpoint.in_flight();
        assert!(open <= self.limit && open as u64 == self.requests - self.answered, "{open} are open");
        assert!(self.sent.starts_with(&self.end.written), "{}", show::bytes(&self.end.written));
        let closed = self.end.action() >= ConnectionAction::Close;
        assert!(!closed || self.ended, "it closed and did not say so");
        assert!(!closed || !self.end.endpoint.wants_read(), "it reads although it is closed");
        assert!(!closed || self.deadline().is_none(), "it waits although it is closed");
        assert!(closed || open == 0 || self.deadline().is_some(), "nothing ends the wait for an answer");
    }

    /// Checks that another session, which read the same in other pieces, has the same state.
    fn compare(&mut self, other: &mut Self, op: &Op) {
        assert_eq!(self.events, other.events, "{op:?}");
        assert_eq!(self.end.written, other.end.written, "{op:?}");
        let state = |session: &mut Self| (session.end.action(), session.end.endpoint.wants_read(), session.deadline());
        assert_eq!(state(self), state(other), "{op:?}");
    }

    /// Closes the client, which must end, whatever the server does.
    fn finish(&mut self) {
        self.take(Op::Shutdown, usize::MAX);
        // An answer may be missing; then the peer's end of stream; each has its deadline.
        for _ in 0..=self.requests + 2 {
            self.take(Op::Write(usize::MAX), usize::MAX);
            self.take(Op::Wait(200_000), usize::MAX);
        }
        assert!(self.ended && self.end.action() >= ConnectionAction::Close, "it stays: {:?}", self.end);
    }
}

/// Asks a few things at once, and reads a whole stream that may answer them: the client tells what the stream says.
fn check_all_asked_before(stream: &[u8]) {
    let requests = [0, 1, 2].map(some_request);
    let now = Time::from_millis(1);
    let mut client = Client::new(Limits::client());
    for request in &requests {
        client.send(now, request).unwrap();
    }
    client.handle_input(now, stream);
    client.handle_eof(now);
    let seen: Vec<_> = std::iter::from_fn(|| client.poll_event()).map(describe).collect();
    assert_eq!(seen, expected_events(stream, &requests));
}

/// Returns the events that a client must report of a whole stream that answers these requests.
#[must_use]
pub fn expected_events(stream: &[u8], requests: &[Request]) -> Vec<String> {
    let mut decoder = Decoder::<Status>::new(Limits::client().max_payload);
    decoder.feed(stream);
    decoder.finish();
    let (mut events, mut answered) = (Vec::new(), 0);
    let mut joined: Vec<(ChannelName, u64)> = Vec::new();
    while let Some(item) = decoder.next_item() {
        let violation = match item {
            Item::Skipped(..) => None,
            Item::Fault(fault) => Some(ProtocolViolation::Fault(fault)),
            Item::Frame(frame) if frame.start_line == Status::Push => match StoredMessage::decode(frame.payload) {
                Ok(message) => match joined.iter_mut().find(|(channel, _)| *channel == message.channel_name) {
                    None => Some(ProtocolViolation::ForeignPush { channel_name: message.channel_name }),
                    Some((_, last)) if message.id <= *last => {
                        Some(ProtocolViolation::PushOutOfOrder { id: message.id, last: *last })
                    }
                    Some((_, last)) => {
                        *last = message.id;
                        events.push(format!("push {message:?}"));
                        None
                    }
                },
                Err(fault) => Some(ProtocolViolation::Payload(frame.start_line, fault)),
            },
            // No request asks for them.
            Item::Frame(frame) if frame.start_line == Status::Notice => {
                let fault = Notice::decode(frame.payload).err();
                Some(fault.map_or(ProtocolViolation::Unasked(frame.start_line), |fault| {
                    ProtocolViolation::Payload(frame.start_line, fault)
                }))
            }
            Item::Frame(frame) => {
                let asked = requests.get(answered);
                let command = asked.map_or(Command::Host, Request::command);
                match Response::decode(command, frame.start_line, frame.payload) {
                    Ok(Response::Error(error)) if CLOSING.contains(&&*error.error) => {
                        events.push(format!("closing {error:?}"));
                        None
                    }
                    _ if asked.is_none() => Some(ProtocolViolation::Unasked(frame.start_line)),
                    Ok(response) => {
                        events.push(format!("{answered}: {response:?}"));
                        if let Some(Request::Join { channel_name, .. } | Request::Leave { channel_name }) = asked {
                            match response {
                                Response::Joined { first_id, .. } => {
                                    joined.retain(|(channel, _)| channel != channel_name);
                                    joined.push((channel_name.clone(), first_id.saturating_sub(1)));
                                }
                                Response::Left { .. } => joined.retain(|(channel, _)| channel != channel_name),
                                _ => {}
                            }
                        }
                        answered += 1;
                        None
                    }
                    Err(fault) => Some(ProtocolViolation::Payload(frame.start_line, fault)),
                }
            }
        };
        if let Some(violation) = violation {
            events.push(format!("broken {violation:?}"));
            break;
        }
    }
    events.push(format!("ended {}", requests.len() - answered));
    events
}

/// The errors that answer no request, as the protocol names them.
const CLOSING: [&str; 6] =
    ["Slow consumer", "Server busy", "Server stopping", "Request timed out", "Channel removed", "Disconnected"];

/// Describes an event in the words of [`expected_events`].
#[must_use]
pub fn describe(event: ClientEvent) -> String {
    match event {
        ClientEvent::Answer { id, response } => format!("{}: {response:?}", id.number()),
        ClientEvent::Push(message) => format!("push {message:?}"),
        ClientEvent::Notice(notice) => format!("notice {notice:?}"),
        ClientEvent::Closing(error) => format!("closing {error:?}"),
        ClientEvent::Broken(violation) => format!("broken {violation:?}"),
        ClientEvent::Ended { unanswered } => format!("ended {unanswered}"),
    }
}
