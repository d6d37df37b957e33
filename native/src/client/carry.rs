//! Drives one client connection: sends requests and reports events until it ends.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _, ProtocolViolation, RequestId},
    wire::{ErrorResponse, FaultKind, Request},
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

    /// Takes an event.
    fn on_event(&mut self, event: ClientEvent);
}

/// The end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) kind: ErrorKind,
    /// Whether the server ended it, so that it carries out no further request.
    pub(crate) ended_by_server: bool,
}

/// Carries requests and events until the connection ends. Reads only while the gate is open.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    gate: Arc<Gate>,
    session: &mut impl Session,
    clock: Clock,
) -> End {
    let limits = Limits::client();
    let max_in_flight = limits.max_in_flight;
    let mut client = Client::new(limits);
    let hello = session
        .wants_notices()
        .then(|| client.send(clock.now(), &Request::Hello { notices: true }))
        // A connection without a request takes one.
        .and_then(Result::ok);
    let mut carrier = Carrier { session, hello, max_in_flight, closing: false, reason: None, ended_by_server: true };
    let ending = driver::drive(&mut client, &mut Gated { stream, gate }, &mut carrier, clock).await;
    carrier.end(ending)
}

struct Carrier<'a, S> {
    session: &'a mut S,
    /// The request for notices, of which the session sees nothing.
    hello: Option<RequestId>,
    max_in_flight: usize,
    closing: bool,
    /// The reason for the end, where an event gave one.
    reason: Option<ErrorKind>,
    ended_by_server: bool,
}

impl<S> Carrier<'_, S> {
    fn end(self, ending: Ending) -> End {
        let ended_by_server = self.ended_by_server
            && match &ending {
                Ending::Closed => true,
                Ending::Reset => false,
                Ending::Failed(error) => matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
                ),
            };
        let kind = self.reason.unwrap_or_else(|| match ending {
            Ending::Closed => ErrorKind::Closed,
            Ending::Reset => ErrorKind::WriteTimeout,
            Ending::Failed(error) => ErrorKind::Broken(Arc::new(error)),
        });
        End { kind, ended_by_server }
    }
}

/// Returns whether the violation is that the stream ended inside a frame.
pub(crate) const fn is_cut(violation: &ProtocolViolation) -> bool {
    matches!(violation, ProtocolViolation::Fault(fault) if matches!(fault.kind, FaultKind::Incomplete(_)))
}

impl<S: Session> Application<Client> for Carrier<'_, S> {
    fn on_event(&mut self, _: &mut Client, _: Clock, event: ClientEvent) {
        match &event {
            ClientEvent::Answer { id, .. } if self.hello == Some(*id) => return,
            ClientEvent::Closing(error) => {
                // Otherwise the server may still carry out the requests that it received.
                self.ended_by_server = error.error == ErrorResponse::SERVER_STOPPING;
                self.reason = Some(ErrorKind::Closing(error.clone()));
            }
            ClientEvent::Broken(violation) => {
                self.ended_by_server &= is_cut(violation);
                self.reason.get_or_insert_with(|| ErrorKind::Violation(violation.clone()));
            }
            _ => {}
        }
        self.session.on_event(event);
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
