//! One connection's accounts: what was sent, what the server made of it, what it owes and what has come.

use std::time::Duration;

use chanwire_core::{
    Time,
    wire::{ErrorResponse, Request, Response},
};

/// The accounts of one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What the server must make of the bytes that the peer sends, in order.
    pub(super) expected: Vec<Expected>,
    /// The peer sends what it likes from here on.
    pub(super) anything: bool,
    /// The peer has broken off, or was broken off, so that frames may be cut.
    pub(super) broken_off: bool,
    /// The listener that accepted it.
    pub(super) listener: usize,
    /// When it was accepted.
    pub(super) accepted: Time,
    /// The latest version of the directory that an answer to it showed.
    pub(super) floor: usize,
    /// The server decodes nothing more: a frame took too long, or it was too busy from the start.
    deaf: bool,
    /// The server was asked to stop, and need not hear the peer out.
    pub(super) stopped: bool,
    slots: Vec<Slot>,
    /// What the server owes, as far as it can leave by now: the answers to the first requests.
    owed: Vec<u8>,
    /// How many answers that is.
    ready: usize,
    compared: usize,
    /// How many answers and notices the client took.
    taken: usize,
}

/// What the server must make of one thing that the peer sends.
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
    /// The latest version of the directory that anybody was shown when the hub was told of it.
    pub(super) floor: usize,
    /// How often the store had failed by then.
    pub(super) failures: u64,
    reply: Option<Vec<u8>>,
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
        self.slots.push(Slot { request: Some(request.clone()), floor: 0, failures: 0, reply: None });
        index
    }

    /// The server's endpoint answers a fault.
    pub(super) fn refused(&mut self, now: Time, error: &ErrorResponse, frame_timeout: Duration) {
        match (self.expected.get(self.slots.len()), &*error.error) {
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

    /// The server is too busy for this connection.
    pub(super) fn turned_away(&mut self, error: &ErrorResponse) {
        self.deaf = true;
        self.answer_itself(error);
    }

    fn answer_itself(&mut self, error: &ErrorResponse) {
        let mut bytes = Vec::new();
        error.encode(&mut bytes);
        self.slots.push(Slot { request: None, floor: 0, failures: 0, reply: Some(bytes) });
        self.make_ready();
    }

    /// A request is decided when all before it on its connection are answered, but for MESSAGEs that follow each other.
    pub(super) fn check_turn(&self, index: usize, request: &Request) {
        let is_message = |request: &Request| matches!(request, Request::Message(_));
        let open = self.slots.iter().take(index).filter(|slot| slot.reply.is_none());
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
            self.owed.extend_from_slice(bytes);
            self.ready += 1;
        }
    }

    /// All that the server wrote, from the first byte on.
    pub(super) fn check_written(&mut self, written: &[u8]) {
        let new = written.get(self.compared..).unwrap_or_default();
        let due = self.owed.get(self.compared..).unwrap_or_default();
        assert!(due.starts_with(new), "'{}' left where '{}' is due", new.escape_ascii(), due.escape_ascii());
        self.compared = written.len();
    }

    /// The server has closed in an orderly way: nothing is owed.
    pub(super) fn check_paid(&self) {
        assert_eq!(self.ready, self.slots.len(), "requests that are never answered: {:?}", self.slots.get(self.ready));
        assert_eq!(self.compared, self.owed.len(), "bytes of answers that never left");
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
        self.took(response);
    }

    /// The client was given what answers no request.
    pub(super) fn noticed(&mut self, error: &ErrorResponse) {
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
        assert_eq!(self.taken, self.slots.len(), "answers that did not come although the connection ended well");
    }
}
