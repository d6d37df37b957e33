//! Drives one client connection: sends requests and reports events until it ends.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _, ProtocolViolation, RequestId},
    wire::{FaultKind, Hello, Request, Response},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    ErrorKind,
    gate::{Gate, Gated},
};
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
};

/// The user of one connection.
pub(crate) trait Session {
    /// Returns the next request to send; `None` when there is none any more, and the connection is to be closed after
    /// the last answer.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Request>>;

    /// Returns whether to ask for notices before the first request. An older server answers `Unknown command`, and the
    /// connection goes on.
    fn wants_notices(&self) -> bool {
        false
    }

    /// Takes the server's answer to the request for notices, before any other; `None` of an older server.
    fn on_hello(&mut self, _: Option<Hello>) {}

    /// Takes an event.
    fn on_event(&mut self, event: ClientEvent);
}

/// Carries requests and events until the connection ends, and returns the reason. Reads only while the gate is open.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    gate: Arc<Gate>,
    session: &mut impl Session,
    clock: Clock,
) -> ErrorKind {
    let limits = Limits::client();
    let max_in_flight = limits.max_in_flight;
    let mut client = Client::new(limits);
    let hello = session
        .wants_notices()
        .then(|| client.send(clock.now(), &Request::Hello { notices: true }))
        // A connection without a request takes one.
        .and_then(Result::ok);
    let mut carrier = Carrier { session, hello, max_in_flight, closing: false, reason: None };
    let ending = driver::drive(&mut client, &mut Gated { stream, gate }, &mut carrier, clock).await;
    carrier.end(ending)
}

struct Carrier<'a, S> {
    session: &'a mut S,
    /// The request for notices.
    hello: Option<RequestId>,
    max_in_flight: usize,
    closing: bool,
    /// The reason for the end, where an event gave one.
    reason: Option<ErrorKind>,
}

impl<S> Carrier<'_, S> {
    fn end(self, ending: Ending) -> ErrorKind {
        self.reason.unwrap_or_else(|| match ending {
            Ending::Closed => ErrorKind::Closed,
            Ending::Reset => ErrorKind::WriteTimeout,
            Ending::Failed(error) => ErrorKind::Broken(Arc::new(error)),
        })
    }
}

/// Returns whether the violation is that the stream ended inside a frame.
pub(crate) const fn is_cut(violation: &ProtocolViolation) -> bool {
    matches!(violation, ProtocolViolation::Fault(fault) if matches!(fault.kind, FaultKind::Incomplete(_)))
}

impl<S: Session> Application<Client> for Carrier<'_, S> {
    fn on_event(&mut self, _: &mut Client, _: Clock, event: ClientEvent) {
        match &event {
            ClientEvent::Closing(error) => self.reason = Some(ErrorKind::Closing(error.clone())),
            ClientEvent::Broken(violation) => {
                self.reason.get_or_insert_with(|| ErrorKind::Violation(violation.clone()));
            }
            _ => {}
        }
        match event {
            ClientEvent::Answer { id, response } if self.hello == Some(id) => self.session.on_hello(match response {
                Response::Hello(hello) => Some(hello),
                _ => None,
            }),
            event => self.session.on_event(event),
        }
    }

    fn poll_call(&mut self, client: &mut Client, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        // Polled again after an answer.
        if self.closing || client.in_flight() >= self.max_in_flight {
            return Poll::Pending;
        }
        match ready!(self.session.poll_request(cx)) {
            // A closing connection refuses requests; its end is reported soon, without an answer to this one.
            Some(request) => drop(client.send(clock.now(), &request)),
            None => {
                self.closing = true;
                client.shutdown(clock.now());
            }
        }
        Poll::Ready(())
    }
}
