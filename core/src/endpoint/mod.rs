//! One connection as a state machine: limits, deadlines, answers in request order, backpressure and closing.
//!
//! [`Server`] and [`Client`] are the two ends. Both are driven by the same calls, [`Endpoint`]; what they carry is
//! exchanged by calls of their own. Neither knows what a channel is.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "an application and a driver handle everything that an endpoint reports"
)]

mod client;
mod connection;
mod listing;
mod notices;
mod outbox;
mod phase;
mod pipeline;
mod pushes;
mod reason;
mod server;
mod throttle;

use core::fmt;

pub use client::{Client, ClientEvent, ProtocolViolation, RequestId};
pub use listing::Listing;
#[cfg(test)]
pub(crate) use listing::Unread;
pub(crate) use listing::{Account, Group, Piece, Version};
pub use pipeline::{Reply, Ticket};
pub use pushes::Pushes;
pub use reason::{ConnectionEnd, Reason};
pub use server::{Server, ServerCommand, ServerEvent, Traffic};
pub use throttle::{RateScope, Throttle, Throttled};

use crate::Time;

/// One connection of a server, by a number that the caller picks and never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The interface between an endpoint and its driver, for both roles.
///
/// After any call that takes `&mut self`, ask again: [`poll_event`](Self::poll_event) until it is `None`, then
/// [`transmit`](Self::transmit), [`action`](Self::action), [`wants_read`](Self::wants_read) and
/// [`poll_timeout`](Self::poll_timeout). Their answers change at no other time.
///
/// `now` must never be less than in an earlier call.
pub trait Endpoint {
    /// The events for the application.
    type Event;

    /// Takes bytes that the peer sent. Never fails: a fault of the peer becomes an event and an answer.
    fn handle_input(&mut self, now: Time, bytes: &[u8]);

    /// Notes that the peer has shut down its sending half.
    fn handle_eof(&mut self, now: Time);

    /// Notes that the next `count` of the bytes that [`transmit`](Self::transmit) gives were written.
    fn handle_written(&mut self, now: Time, count: usize);

    /// Notes whether the transport holds bytes that it has accepted and cannot send yet, as TLS does. They count as
    /// unwritten: the write timeout runs.
    fn handle_flush(&mut self, now: Time, is_pending: bool);

    /// Carries out the deadlines that have come. Early or needless calls do nothing.
    fn handle_timeout(&mut self, now: Time);

    /// Takes nothing new, finishes what is owed, then closes.
    fn shutdown(&mut self, now: Time);

    /// Fills `out` with the slices to write next, for one vectored write, and returns their number; 0 when there is
    /// nothing to write.
    #[must_use = "the slices are to be written, and `handle_written` told"]
    fn transmit<'a>(&'a self, out: &mut [&'a [u8]]) -> usize;

    /// Returns the next event, in order.
    #[must_use = "an event that is dropped is never reported again"]
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// Returns the next deadline, if any.
    #[must_use = "`handle_timeout` is to be called then"]
    fn poll_timeout(&self) -> Option<Deadline>;

    /// Returns whether to read. While it is false, do not: requests in flight, unsent answers or the rate of requests
    /// have reached their bound.
    #[must_use]
    fn wants_read(&self) -> bool;

    /// Returns the action to take on the transport, once nothing waits to be written.
    #[must_use = "the transport is to be treated so"]
    fn action(&self) -> ConnectionAction;
}

/// An action on the transport of a connection. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionAction {
    /// Carry on.
    Open,
    /// Everything is written: shut down the sending half, and read on.
    FinishWriting,
    /// Close it.
    Close,
    /// Reset it: the peer takes nothing, or too little of a list that changes.
    Reset,
}

/// A moment at which [`Endpoint::handle_timeout`] has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time.
    pub at: Time,
    /// The reason.
    pub timer: Timer,
}

/// A reason for a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The frame that is arriving must be complete.
    Frame,
    /// The peer must take some of what waits for it.
    Write,
    /// The peer must end its stream.
    Linger,
    /// The server must have answered.
    Answer,
    /// The next request may be taken.
    Rate,
}

/// A wrong call: the application's doing, never the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// The ticket is of another connection.
    UnknownTicket,
    /// The hub knows no such connection.
    UnknownConnection,
    /// The hub knows such a connection already.
    DuplicateConnection,
    /// The request is one that the endpoint answers: a HELLO.
    NotForHub,
    /// The store was not asked for this outcome.
    UnexpectedOutcome,
    /// As many requests are unanswered as the limit allows: wait for an answer.
    TooManyInFlight,
    /// The connection is closing: nothing new can be sent on it.
    Closing,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownTicket => "the ticket belongs to another connection",
            Self::UnknownConnection => "the hub knows no such connection",
            Self::DuplicateConnection => "the hub knows a connection of this number already",
            Self::NotForHub => "the endpoint answers this request, and the hub does not",
            Self::UnexpectedOutcome => "the store was not asked for this outcome",
            Self::TooManyInFlight => "too many requests are unanswered: wait for an answer before sending more",
            Self::Closing => "the connection is closing: open another one",
        })
    }
}

impl core::error::Error for Misuse {}
