//! Requests that are owed an answer, in the order in which they came.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use super::{ConnectionId, Listing, Misuse, outbox::Outbox};
use crate::wire::{ErrorResponse, Response};

/// Permission to answer one request of one connection, exactly once.
///
/// It can be neither copied nor used twice, so answering a request twice does not compile.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request whose ticket is dropped is never answered, nor is any request after it"]
pub struct Ticket {
    connection: ConnectionId,
    number: u64,
}

/// An answer on its way to its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To be encoded for this connection.
    Response(Response),
    /// A whole encoded frame, shared with all connections that are sent it.
    Encoded(Arc<[u8]>),
    /// The list of channels.
    Listed(Listing),
}

impl Reply {
    /// Appends the frame; `None` if it is a [`Listing`] that was withdrawn.
    #[must_use = "a list that was withdrawn is not appended"]
    pub fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Response(response) => response.encode(out),
            Self::Encoded(bytes) => out.extend_from_slice(bytes),
            Self::Listed(listing) => return listing.append_to(out).then_some(()),
        }
        Some(())
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<Listing> for Reply {
    fn from(listing: Listing) -> Self {
        Self::Listed(listing)
    }
}

impl From<ErrorResponse> for Reply {
    fn from(error: ErrorResponse) -> Self {
        Self::Response(Response::Error(error))
    }
}

/// The requests of a connection and their answers, which may be given in any order and leave in the order of the
/// requests.
#[derive(Debug)]
pub(crate) struct Pipeline {
    connection: ConnectionId,
    slots: VecDeque<Slot>,
    /// The number of the first slot.
    first: u64,
    /// The payload bytes of the requests that are not answered.
    bytes: usize,
}

#[derive(Debug)]
enum Slot {
    Open { bytes: usize },
    Answered(Reply),
}

impl Pipeline {
    pub(crate) const fn new(connection: ConnectionId) -> Self {
        Self { connection, slots: VecDeque::new(), first: 0, bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the number of requests whose answers have not left.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns the payload bytes of the requests that are not answered.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether every request before that of this ticket is answered, and this one is not.
    pub(crate) fn is_next(&self, ticket: &Ticket) -> bool {
        ticket.connection == self.connection && ticket.number == self.first
    }

    /// Gives the next slot to a request of `bytes` payload bytes.
    pub(crate) fn open(&mut self, bytes: usize) -> Ticket {
        let number = self.first + self.slots.len() as u64;
        self.bytes += bytes;
        self.slots.push_back(Slot::Open { bytes });
        Ticket { connection: self.connection, number }
    }

    /// Gives the next slot to an answer that the endpoint gives by itself.
    pub(crate) fn answer_next(&mut self, reply: Reply, outbox: &mut Outbox) {
        self.slots.push_back(Slot::Answered(reply));
        self.leave(outbox);
    }

    /// Answers the request of this ticket.
    pub(crate) fn answer(&mut self, ticket: Ticket, reply: Reply, outbox: &mut Outbox) -> Result<(), Misuse> {
        if ticket.connection != self.connection {
            return Err(Misuse::UnknownTicket);
        }
        let index = ticket.number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(slot @ Slot::Open { .. }) => {
                if let Slot::Open { bytes } = *slot {
                    self.bytes -= bytes;
                }
                *slot = Slot::Answered(reply);
                self.leave(outbox);
                Ok(())
            }
            _ => Err(Misuse::UnknownTicket),
        }
    }

    fn leave(&mut self, outbox: &mut Outbox) {
        while let Some(slot) = self.slots.pop_front_if(|slot| matches!(slot, Slot::Answered(_))) {
            self.first += 1;
            match slot {
                Slot::Answered(Reply::Response(response)) => outbox.write(|out| response.encode(out)),
                Slot::Answered(Reply::Encoded(bytes)) => outbox.share(bytes),
                Slot::Answered(Reply::Listed(listing)) => outbox.list(listing),
                Slot::Open { .. } => {}
            }
        }
        if self.slots.is_empty() {
            // An idle connection keeps no queue.
            self.slots = VecDeque::new();
        }
    }
}
