//! One connection's accounts: the bytes sent, the items decoded from them, the answers owed and the answers received.

use std::{collections::VecDeque, net::IpAddr};

use chanwire_core::{
    Limits, Rate, Time,
    endpoint::Pushes,
    wire::{AccountName, Decoder, ErrorResponse, Hello, Item, Notice, Request, Response, Status},
};

use super::subscriptions::{self, Subscriptions};
use crate::examples;

/// The accounts of one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The items that the server must decode from the peer's bytes, in order.
    pub(super) expected: Vec<Expected>,
    /// Whether the peer sends arbitrary bytes from here on.
    pub(super) anything: bool,
    /// Whether the connection was cut at the peer's end, so that frames may be cut.
    pub(super) broken_off: bool,
    /// The listener that accepted it.
    pub(super) listener: usize,
    /// The address of the peer, once it was accepted.
    pub(super) peer: Option<IpAddr>,
    /// The rate of its requests, if there is one.
    pub(super) rate: Option<Rate>,
    /// The time when it was accepted.
    pub(super) accepted: Time,
    /// Whether the client has said HELLO.
    pub(super) said_hello: bool,
    /// The account that it has authenticated as.
    pub(super) account: Option<AccountName>,
    /// The latest version of the directory that an answer to it showed.
    pub(super) floor: usize,
    /// Whether the server decodes nothing more: a frame timed out, or the server was busy from the start.
    input_closed: bool,
    /// Whether the hub has ended it because its rights have changed.
    pub(super) is_revoked: bool,
    /// Whether the server was asked to stop or ended it, and need not read all that the peer sends.
    pub(super) stopped: bool,
    /// Whether the list that it was being sent was withdrawn.
    pub(super) withdrawn: bool,
    slots: Vec<Slot>,
    /// The pushes that the hub has delivered of the joined channels.
    pub(super) delivered: Subscriptions,
    /// The pushes that the client has received of them.
    pub(super) received: Subscriptions,
    /// Whether the hub knows that the peer has ended its stream.
    pub(super) ended: bool,
    /// Whether the hub knows that the peer wants notices.
    pub(super) notices: bool,
    /// The hub's pass in which it learnt that the peer wants none any more.
    pub(super) notices_until: u64,
    /// Whether the client may be told that the server stops, and whether its stream may end without it.
    pub(super) may_be_told: bool,
    pub(super) may_end_untold: bool,
    /// The error that the hub closes it with.
    pub(super) close_error: Option<ErrorResponse>,
    /// Whether the server's endpoint takes no more pushes.
    pub(super) sends_no_push: bool,
    /// The number of bytes of live pushes that were unsent when the endpoint was given the last ones.
    unread: Option<usize>,
    /// The frames that the server owes, as far as they can leave by now.
    due: VecDeque<Due>,
    /// The number of bytes of the first due frame that have left.
    begun: usize,
    /// The number of requests whose answers can leave or have left.
    ready: usize,
    compared: usize,
    /// The part of a notice that has left.
    notice: Vec<u8>,
    /// The number of answers and notices that the client received.
    taken: usize,
}

/// A frame that is to leave.
#[derive(Debug)]
struct Due {
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Answer,
    /// A push of a page.
    Replayed,
    /// A push of what is new.
    Live,
}

/// The item that the server must decode from one thing that the peer sends.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// This request.
    Request(Request),
    /// An error of this name.
    Refusal(&'static str),
}

/// One request, or one fault, in the order in which the server's endpoint reported them.
#[derive(Debug)]
pub(super) struct Slot {
    /// The request; `None` if the endpoint answered by itself.
    pub(super) request: Option<Request>,
    /// Whether the client had said HELLO before.
    pub(super) after_hello: bool,
    /// The time when it reached the hub.
    pub(super) at: Time,
    /// The latest version of the directory that any client was shown by then.
    pub(super) floor: usize,
    /// The number of times the store had failed by then.
    pub(super) failures: u64,
    /// The last id of its channel that any client was shown by then.
    pub(super) known: u64,
    /// The number of the rights that were in force then, and of the roles and settings that the hub knew.
    pub(super) rights: usize,
    pub(super) moderation: usize,
    /// Whether the hub has answered.
    pub(super) is_decided: bool,
    reply: Option<Vec<u8>>,
}

impl Slot {
    const fn new(request: Option<Request>, reply: Option<Vec<u8>>) -> Self {
        Self {
            request,
            after_hello: false,
            at: Time::from_millis(0),
            floor: 0,
            failures: 0,
            known: 0,
            rights: 0,
            moderation: 0,
            is_decided: false,
            reply,
        }
    }
}

impl Ledger {
    /// Returns whether the server decodes nothing more.
    pub(super) const fn input_closed(&self) -> bool {
        self.input_closed
    }

    /// Returns the slot of a request.
    pub(super) fn slot(&mut self, index: usize) -> &mut Slot {
        match self.slots.get_mut(index) {
            Some(slot) => slot,
            None => panic!("there is no request number {index}"),
        }
    }

    /// Checks a request that the server's endpoint delivers. Returns its number.
    pub(super) fn requested(&mut self, request: &Request) -> usize {
        let index = self.slots.len();
        assert!(!self.input_closed, "{request:?} comes although nothing more is to be decoded");
        match self.expected.get(index) {
            Some(Expected::Request(sent)) => assert_eq!(request, sent, "the request is not what was sent"),
            Some(Expected::Refusal(error)) => panic!("{request:?} where '{error}' is due"),
            None => assert!(self.anything, "{request:?}, and nobody sent it"),
        }
        self.slots.push(Slot::new(Some(request.clone()), None));
        index
    }

    /// Checks the server endpoint's answer to a fault.
    pub(super) fn refused(&mut self, now: Time, error: &ErrorResponse, limits: &Limits) {
        let frame_timeout = limits.frame_timeout;
        match (self.expected.get(self.slots.len()), &*error.error) {
            _ if self.close_error.as_ref() == Some(error) => self.input_closed = true,
            (_, "Slow consumer") => {
                let live = self.live();
                let had_read = self.unread.is_none_or(|unread| unread == 0);
                assert!(!had_read && live > limits.max_pushed, "{live} bytes are unread, and that is too slow");
                self.input_closed = true;
                self.drop_pushes();
            }
            (_, "Request timed out") => {
                let open = now.since(self.accepted);
                assert!(open >= frame_timeout, "a frame took too long, and the connection is {open:?} old");
                self.input_closed = true;
            }
            (_, "Incomplete request") if self.broken_off => {}
            (Some(Expected::Refusal(name)), error) => assert_eq!(error, *name),
            (expected, _) => assert!(self.anything, "'{error}' where {expected:?} is due"),
        }
        self.answer_itself(error);
    }

    fn answer_itself(&mut self, error: &ErrorResponse) {
        let mut bytes = Vec::new();
        error.encode(&mut bytes);
        self.slots.push(Slot::new(None, Some(bytes)));
        self.make_ready();
    }

    /// Checks a request that the server's endpoint has answered by itself, and enters its answer.
    pub(super) fn answered_itself(&mut self, request: &Request, limits: &Limits) {
        assert!(matches!(request, Request::Hello { .. }), "{request:?} is the hub's to answer");
        let index = self.requested(request);
        self.slot(index).is_decided = true;
        let mut bytes = Vec::new();
        let mut hello = examples::hello(limits.max_payload);
        hello.units_per_second = self.rate.map(|rate| rate.units_per_second.get().into());
        hello.burst = self.rate.map(|rate| rate.burst.get().into());
        if let Some(window) = limits.retry_window {
            hello.features.insert(0, Hello::CLIENT_MESSAGE_ID.into());
            hello.retry_window = Some(window.as_secs());
        }
        hello.features.push("auth".into());
        Response::Hello(hello).encode(&mut bytes);
        self.reply(index, bytes);
    }

    /// Checks that all earlier requests of the connection are answered, but for MESSAGEs that follow each other.
    pub(super) fn check_turn(&self, index: usize, request: &Request) {
        let is_message = |request: &Request| matches!(request, Request::Message(_));
        let open = self.slots.iter().take(index).filter(|slot| !slot.is_decided);
        let mut open = open.filter_map(|slot| slot.request.as_ref());
        let early = open.find(|earlier| !is_message(earlier) || !is_message(request));
        assert!(early.is_none(), "{request:?} is answered before {early:?}");
    }

    /// Notes the answer to a request.
    pub(super) fn reply(&mut self, index: usize, bytes: Vec<u8>) {
        let slot = self.slot(index);
        assert!(slot.reply.is_none(), "a second answer to {:?}", slot.request);
        slot.reply = Some(bytes);
        self.make_ready();
    }

    fn make_ready(&mut self) {
        while let Some(bytes) = self.slots.get(self.ready).and_then(|slot| slot.reply.as_ref()) {
            self.due.push_back(Due { kind: Kind::Answer, bytes: bytes.clone() });
            self.ready += 1;
        }
    }

    /// Checks all bytes that the server has written, from the first one on.
    pub(super) fn check_written(&mut self, written: &[u8]) {
        let mut new = written.get(self.compared..).unwrap_or_default();
        self.compared = written.len();
        while !new.is_empty() {
            // A notice leaves between two frames. No other frame begins with its letter.
            if !self.notice.is_empty() || self.begun == 0 && new.starts_with(b"N") {
                new = self.notice_left(new);
                continue;
            }
            let Some(due) = self.due.front() else { panic!("'{}' left, and nothing is due", new.escape_ascii()) };
            let rest = due.bytes.get(self.begun..).unwrap_or_default();
            let (now, after) = new.split_at(rest.len().min(new.len()));
            assert!(rest.starts_with(now), "'{}' left where '{}' is due", new.escape_ascii(), rest.escape_ascii());
            self.begun += now.len();
            if self.begun == due.bytes.len() {
                self.begun = 0;
                self.due.pop_front();
            }
            new = after;
        }
    }

    /// Checks bytes of a notice that have left, and returns those after it.
    fn notice_left<'a>(&mut self, new: &'a [u8]) -> &'a [u8] {
        let before = self.notice.len();
        self.notice.extend_from_slice(new);
        let mut decoder = Decoder::<Status>::new(usize::MAX);
        decoder.feed(&self.notice);
        let end = match decoder.next_item() {
            None => return &[],
            Some(Item::Frame(frame)) if frame.start_line == Status::Notice => {
                let Ok(Notice::Presence(_) | Notice::Settings { .. } | Notice::Role { .. }) =
                    Notice::decode(frame.payload)
                else {
                    panic!("'{}' is no notice that is known", frame.payload.escape_ascii())
                };
                usize::try_from(frame.span().end).unwrap_or(usize::MAX)
            }
            Some(item) => panic!("a frame that is no notice left: {item:?}"),
        };
        self.notice.clear();
        new.get(end - before..).unwrap_or_default()
    }

    /// Checks that nothing is owed when the server has closed in an orderly way.
    pub(super) fn check_all_sent(&self) {
        assert_eq!(self.ready, self.slots.len(), "requests that are never answered: {:?}", self.slots.get(self.ready));
        assert!(self.due.is_empty(), "bytes that never left: {:?}", self.due);
    }

    /// Checks that everything was decoded, once the server has read to the end of the peer's stream.
    pub(super) fn check_all_decoded(&self) {
        if !self.anything && !self.input_closed && !self.stopped {
            assert_eq!(self.slots.len(), self.expected.len(), "not all was heard that was sent: {:?}", self.expected);
        }
    }

    /// Returns the request of this number that the peer has sent.
    pub(super) fn sent(&self, number: u64) -> Option<&Request> {
        match self.expected.get(usize::try_from(number).ok()?)? {
            Expected::Request(request) => Some(request),
            Expected::Refusal(_) => None,
        }
    }

    /// Checks the answer that a client receives to the request of this number.
    pub(super) fn answered(&mut self, number: u64, response: &Response) {
        assert_eq!(number, self.taken as u64, "an answer is not to the oldest open request");
        match response {
            Response::Joined { channel_name, first_id, last_id } => {
                // The notice of closing follows the answers to all pending requests, and one of these may have joined
                // anew.
                if self.close_error.is_some() && self.received.has_joined(channel_name) {
                    self.received.leave(channel_name);
                }
                self.received.join(channel_name, *first_id, *last_id, 0);
            }
            Response::Left { channel_name } => self.received.leave(channel_name),
            _ => {}
        }
        self.took(response);
    }

    /// Checks a notice, which answers no request and ends the connection.
    pub(super) fn noticed(&mut self, error: &ErrorResponse) {
        self.received.clear();
        self.took(&Response::Error(error.clone()));
    }

    fn took(&mut self, response: &Response) {
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        let given = self.slots.get(self.taken).and_then(|slot| slot.reply.as_ref());
        assert_eq!(given, Some(&bytes), "{response:?} came, and it is not what was given");
        self.taken += 1;
    }

    /// Checks that no answer is missing, once a client has read to the end of an uncut stream.
    pub(super) fn check_complete(&self) {
        // A client that leaves after all its answers does not wait for a notice.
        let owed = self.slots.iter().skip(self.taken).find(|slot| slot.request.is_some());
        assert!(owed.is_none(), "an answer that did not come although the connection ended well: {owed:?}");
    }

    /// Notes pushes that an endpoint is given; `open` says whether it has not closed by itself.
    pub(super) fn pushed(&mut self, pushes: &Pushes, live: bool, open: bool) {
        if open && !self.sends_no_push {
            self.unread = live.then(|| self.live());
            let kind = if live { Kind::Live } else { Kind::Replayed };
            for message in subscriptions::messages(pushes) {
                let mut bytes = Vec::new();
                message.encode_push(&mut bytes);
                self.due.push_back(Due { kind, bytes });
            }
        }
    }

    /// Checks that an endpoint given pushes has closed if its subscriber leaves too much unread.
    pub(super) fn check_slow(&mut self, max_pushed: usize) {
        let unread = self.unread.take().unwrap_or(0);
        let live = self.live();
        let is_slow = unread > 0 && live > max_pushed && !self.sends_no_push;
        assert!(!is_slow, "{live} bytes are unread, and the reader is not told that it is too slow");
    }

    /// Returns the number of bytes of live pushes that have not left.
    fn live(&self) -> usize {
        let live = self.due.iter().filter(|due| due.kind == Kind::Live);
        let begun = self.due.front().filter(|due| due.kind == Kind::Live).map_or(0, |_| self.begun);
        live.map(|due| due.bytes.len()).sum::<usize>() - begun
    }

    /// Drops the due pushes that are not begun.
    pub(super) fn drop_pushes(&mut self) {
        let begun = self.due.pop_front_if(|_| self.begun > 0);
        self.due.retain(|due| due.kind == Kind::Answer);
        if let Some(begun) = begun {
            self.due.push_front(begun);
        }
    }
}
