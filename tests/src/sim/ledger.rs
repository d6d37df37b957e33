//! One connection's accounts: what was sent, what the server made of it, what it owes and what has come.

use std::{collections::VecDeque, net::IpAddr};

use chanwire_core::{
    Limits, Time,
    endpoint::Pushes,
    wire::{ErrorResponse, Request, Response},
};

use super::hearing::{self, Hearing};

/// The accounts of one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The items that the server must decode from the peer's bytes, in order.
    pub(super) expected: Vec<Expected>,
    /// The peer sends what it likes from here on.
    pub(super) anything: bool,
    /// The peer has broken off, or was broken off, so that frames may be cut.
    pub(super) broken_off: bool,
    /// The listener that accepted it.
    pub(super) listener: usize,
    /// The address of the peer, once it was accepted.
    pub(super) peer: Option<IpAddr>,
    /// When it was accepted.
    pub(super) accepted: Time,
    /// The latest version of the directory that an answer to it showed.
    pub(super) floor: usize,
    /// The server decodes nothing more: a frame took too long, or it was too busy from the start.
    deaf: bool,
    /// The server was asked to stop, and need not hear the peer out.
    pub(super) stopped: bool,
    /// The list that it was being sent was withdrawn.
    pub(super) withdrawn: bool,
    slots: Vec<Slot>,
    /// The pushes that the hub has delivered of the joined channels.
    pub(super) given: Hearing,
    /// The pushes that the client has received of them.
    pub(super) heard: Hearing,
    /// The hub was told that the peer has ended its stream.
    pub(super) ended: bool,
    /// The error that the hub closes it with.
    pub(super) told_to_close: Option<ErrorResponse>,
    /// The server's endpoint takes no push any more.
    pub(super) sends_no_push: bool,
    /// The number of bytes of live pushes that were unsent when the endpoint was given the last ones.
    unread: Option<usize>,
    /// The frames that the server owes, as far as they can leave by now.
    due: VecDeque<Due>,
    /// The number of bytes of the first due frame that have left.
    begun: usize,
    /// The answers to how many requests can leave or have left.
    ready: usize,
    compared: usize,
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

/// One request, or one fault, in the order in which the server's endpoint told of them.
#[derive(Debug)]
pub(super) struct Slot {
    /// `None` if the endpoint answered by itself.
    pub(super) request: Option<Request>,
    /// When the hub was told of it.
    pub(super) at: Time,
    /// The latest version of the directory that anybody was shown by then.
    pub(super) floor: usize,
    /// The number of times the store had failed by then.
    pub(super) failures: u64,
    /// The last id of its channel that anybody was shown by then.
    pub(super) known: u64,
    /// The hub has answered.
    pub(super) is_decided: bool,
    reply: Option<Vec<u8>>,
}

impl Slot {
    const fn new(request: Option<Request>, reply: Option<Vec<u8>>) -> Self {
        Self { request, at: Time::from_millis(0), floor: 0, failures: 0, known: 0, is_decided: false, reply }
    }
}

impl Ledger {
    /// The slot of a request.
    pub(super) fn slot(&mut self, index: usize) -> &mut Slot {
        match self.slots.get_mut(index) {
            Some(slot) => slot,
            None => panic!("there is no request number {index}"),
        }
    }

    /// The server's endpoint gives out a request. Returns its number.
    pub(super) fn asked(&mut self, request: &Request) -> usize {
        let index = self.slots.len();
        assert!(!self.deaf, "{request:?} comes although nothing more is to be decoded");
        match self.expected.get(index) {
            Some(Expected::Request(sent)) => assert_eq!(request, sent, "the request is not what was sent"),
            Some(Expected::Refusal(error)) => panic!("{request:?} where '{error}' is due"),
            None => assert!(self.anything, "{request:?}, and nobody sent it"),
        }
        self.slots.push(Slot::new(Some(request.clone()), None));
        index
    }

    /// The server's endpoint answers a fault.
    pub(super) fn refused(&mut self, now: Time, error: &ErrorResponse, limits: &Limits) {
        let frame_timeout = limits.frame_timeout;
        match (self.expected.get(self.slots.len()), &*error.error) {
            _ if self.told_to_close.as_ref() == Some(error) => self.deaf = true,
            (_, "Slow consumer") => {
                let live = self.live();
                let had_read = self.unread.is_none_or(|unread| unread == 0);
                assert!(!had_read && live > limits.max_pushed, "{live} bytes are unread, and that is too slow");
                self.deaf = true;
                self.drop_pushes();
            }
            (_, "Request timed out") => {
                let open = now.since(self.accepted);
                assert!(open >= frame_timeout, "a frame took too long, and the connection is {open:?} old");
                self.deaf = true;
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

    /// A request is decided when all before it on its connection are answered, but for MESSAGEs that follow each other.
    pub(super) fn check_turn(&self, index: usize, request: &Request) {
        let is_message = |request: &Request| matches!(request, Request::Message(_));
        let open = self.slots.iter().take(index).filter(|slot| !slot.is_decided);
        let mut open = open.filter_map(|slot| slot.request.as_ref());
        let early = open.find(|earlier| !is_message(earlier) || !is_message(request));
        assert!(early.is_none(), "{request:?} is answered before {early:?}");
    }

    /// A request is answered.
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

    /// All that the server wrote, from the first byte on.
    pub(super) fn check_written(&mut self, written: &[u8]) {
        let mut new = written.get(self.compared..).unwrap_or_default();
        self.compared = written.len();
        while !new.is_empty() {
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

    /// The server has closed in an orderly way: nothing is owed.
    pub(super) fn check_paid(&self) {
        assert_eq!(self.ready, self.slots.len(), "requests that are never answered: {:?}", self.slots.get(self.ready));
        assert!(self.due.is_empty(), "bytes that never left: {:?}", self.due);
    }

    /// The server has read all that the peer sent, to the end of the stream.
    pub(super) fn check_heard(&self) {
        if !self.anything && !self.deaf && !self.stopped {
            assert_eq!(self.slots.len(), self.expected.len(), "not all was heard that was sent: {:?}", self.expected);
        }
    }

    /// The client was given an answer to the request of this number.
    pub(super) fn answered(&mut self, number: u64, response: &Response) {
        assert_eq!(number, self.taken as u64, "an answer is not to the oldest open request");
        match response {
            Response::Joined { channel_name, first_id, last_id } => {
                // The notice of closing follows the answers to all pending requests, and one of these may have joined
                // anew.
                if self.told_to_close.is_some() && self.heard.has_joined(channel_name) {
                    self.heard.leave(channel_name);
                }
                self.heard.join(channel_name, *first_id, *last_id, 0);
            }
            Response::Left { channel_name } => self.heard.leave(channel_name),
            _ => {}
        }
        self.took(response);
    }

    /// The client was given what answers no request: the connection ends.
    pub(super) fn noticed(&mut self, error: &ErrorResponse) {
        self.heard.clear();
        self.took(&Response::Error(error.clone()));
    }

    fn took(&mut self, response: &Response) {
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        let given = self.slots.get(self.taken).and_then(|slot| slot.reply.as_ref());
        assert_eq!(given, Some(&bytes), "{response:?} came, and it is not what was given");
        self.taken += 1;
    }

    /// The client has seen the server's end of stream, and nothing has cut the connection.
    pub(super) fn check_complete(&self) {
        // A client that leaves after all its answers does not wait for a notice.
        let owed = self.slots.iter().skip(self.taken).find(|slot| slot.request.is_some());
        assert!(owed.is_none(), "an answer that did not come although the connection ended well: {owed:?}");
    }

    /// The endpoint is given pushes; `open` says whether it has not closed by itself.
    pub(super) fn pushed(&mut self, pushes: &Pushes, live: bool, open: bool) {
        if open && !self.sends_no_push {
            self.unread = live.then(|| self.live());
            let kind = if live { Kind::Live } else { Kind::Replayed };
            for message in hearing::messages(pushes) {
                let mut bytes = Vec::new();
                message.encode_push(&mut bytes);
                self.due.push_back(Due { kind, bytes });
            }
        }
    }

    /// A reader that leaves too much unread is closed: an endpoint that was given pushes has seen to it.
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

    /// The pushes that are not begun will not leave.
    pub(super) fn drop_pushes(&mut self) {
        let begun = self.due.pop_front_if(|_| self.begun > 0);
        self.due.retain(|due| due.kind == Kind::Answer);
        if let Some(begun) = begun {
            self.due.push_front(begun);
        }
    }
}
