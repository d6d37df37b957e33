//! The server's end of a connection.

use alloc::collections::VecDeque;

use super::{
    Deadline, Endpoint, Link, Misuse,
    line::Line,
    pipeline::{Pipeline, Reply, Ticket},
};
use crate::{
    Limits, Time,
    wire::{Command, ErrorResponse, Item, Request},
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
/// - Every request is answered exactly once, and answers leave in request order, faults' answers among them.
/// - It stops decoding, and wanting to read, while as many requests are in flight or as many bytes unsent as the
///   [`Limits`] allow. Retained input is at most the payload limit and one read.
/// - It closes as the protocol prescribes: what is owed is written, the sending half is shut down, what the peer
///   still sends is thrown away until its end of stream or for `linger`; only then is the connection closed.
///
/// ```
/// use chanwire_core::{
///     Limits, Time,
///     endpoint::{Endpoint, Link, Server, ServerEvent},
///     wire::{Request, Response},
/// };
///
/// let now = Time::default();
/// let mut server = Server::new(Limits::server());
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
/// assert_eq!(server.link(), Link::Close);
/// # Ok::<(), chanwire_core::endpoint::Misuse>(())
/// ```
#[derive(Debug)]
pub struct Server {
    line: Line<Command>,
    pipeline: Pipeline,
    events: VecDeque<ServerEvent>,
    stopping: bool,
}

/// What a server's application is told.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A request that it must answer with this ticket.
    Request {
        /// What [`Server::respond`] takes.
        ticket: Ticket,
        /// What is asked.
        request: Request,
    },
    /// The peer did wrong and has been answered. For the log.
    Refused {
        /// The answer.
        error: ErrorResponse,
        /// Whether the connection closes after it.
        closes: bool,
    },
}

impl Server {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { line: Line::new(limits), pipeline: Pipeline::new(), events: VecDeque::new(), stopping: false }
    }

    /// Answers a request, in any order.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownTicket`] if the ticket is of another connection.
    pub fn respond(&mut self, now: Time, ticket: Ticket, reply: impl Into<Reply>) -> Result<(), Misuse> {
        self.pipeline.answer(ticket, reply.into(), &mut self.line.outbox)?;
        self.pump(now);
        Ok(())
    }

    /// Sends an error that answers no request, and closes: for a connection that cannot be served at all.
    pub fn refuse(&mut self, now: Time, error: ErrorResponse) {
        self.pipeline.answer_next(error.into(), &mut self.line.outbox);
        self.shutdown(now);
    }

    /// Requests whose answers have not left.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pipeline.len()
    }

    fn has_room(&self) -> bool {
        let limits = &self.line.limits;
        self.pipeline.len() < limits.max_in_flight
            && self.pipeline.bytes() < limits.max_in_flight_bytes
            && self.line.outbox.len() < limits.max_unsent
    }

    /// Decodes as far as there is room for what comes out.
    fn pump(&mut self, now: Time) {
        let mut caught_up = false;
        while !caught_up && self.has_room() {
            match self.line.next_item() {
                Some(Item::Frame(frame)) => {
                    let bytes = weight(frame.head, frame.payload);
                    match Request::decode(frame.head, frame.payload) {
                        Ok(request) => {
                            let ticket = self.pipeline.open(bytes);
                            self.events.push_back(ServerEvent::Request { ticket, request });
                        }
                        Err(fault) => self.answer_fault(fault.reply(), false),
                    }
                }
                Some(Item::Fault(fault)) => self.answer_fault(fault.reply(), !fault.is_recoverable()),
                Some(Item::Skipped(..)) => {}
                None => caught_up = true,
            }
        }
        if caught_up && self.stopping {
            self.line.stop_listening();
        }
        let over = self.line.is_deaf() && self.pipeline.is_empty();
        self.line.settle(now, over, false);
    }

    fn answer_fault(&mut self, error: ErrorResponse, closes: bool) {
        self.pipeline.answer_next(error.clone().into(), &mut self.line.outbox);
        self.events.push_back(ServerEvent::Refused { error, closes });
    }
}

/// What a request counts in flight. The answer to LIST can be large whatever the request is, so LIST weighs as if it
/// were not small.
const fn weight(command: Command, payload: &[u8]) -> usize {
    match command {
        Command::List => 16 * 1024,
        Command::Host | Command::Message => payload.len(),
    }
}

impl Endpoint for Server {
    type Event = ServerEvent;

    fn handle_input(&mut self, now: Time, bytes: &[u8]) {
        if !self.stopping {
            self.line.input(bytes);
        }
        self.pump(now);
    }

    fn handle_eof(&mut self, now: Time) {
        self.line.input_ended();
        self.pump(now);
    }

    fn handle_written(&mut self, now: Time, count: usize) {
        self.line.written(count);
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Time) {
        if let Some(fault) = self.line.expire(now) {
            self.answer_fault(fault.reply(), true);
        }
        self.pump(now);
    }

    fn shutdown(&mut self, now: Time) {
        self.stopping = true;
        self.pump(now);
    }

    fn transmit<'a>(&'a self, out: &mut [&'a [u8]]) -> usize {
        self.line.outbox.slices(out)
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
        self.line.deadline()
    }

    fn wants_read(&self) -> bool {
        // What a closing connection reads is thrown away, so it costs nothing.
        let discards = self.line.is_deaf();
        self.line.can_read() && (discards || !self.stopping && self.line.unread() == 0 && self.has_room())
    }

    fn link(&self) -> Link {
        self.line.link()
    }
}
