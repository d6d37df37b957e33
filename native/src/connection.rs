//! One accepted connection: connects a server endpoint to its stream and the hub.

mod ended;
mod outline;
mod sign_ins;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use chanwire_core::{
    Limits, Time,
    endpoint::{Reason, Reply, Server, ServerCommand, ServerEvent, Throttle},
    hub::{ConnectionId, ListenerId, Peer},
    wire::{ErrorResponse, Request},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{Level, Span};

use self::{outline::Outline, sign_ins::SignIns};
use crate::{
    admission::Place,
    clock::Clock,
    driver::{self, Application, Ending},
    hub_task::{HubSender, Input, PublishedList},
    mailbox::Mailbox,
    metrics::{ConnectionCounts, CountedWait, Kind},
    tls::IncompleteRecord,
};

/// The error for a command that the protocol does not have.
const UNKNOWN_COMMAND: &str = "Unknown command";

/// An accepted connection and its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: ConnectionId,
    /// `None` through a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) kind: Kind,
    /// `None` for the operator's.
    pub(crate) listener: Option<ListenerId>,
    /// Whether its address gives it rights.
    pub(crate) has_address_rights: bool,
}

impl Accepted {
    const fn rights(&self) -> Peer {
        match (self.kind, self.peer) {
            (Kind::Operator, _) => Peer::Operator,
            (_, Some(peer)) if self.has_address_rights => Peer::Address(peer.ip()),
            _ => Peer::NoAddressRights,
        }
    }

    /// Returns whether the peer is on this machine.
    fn is_local(&self) -> bool {
        match self.kind {
            Kind::Unix | Kind::Operator => true,
            Kind::Plain | Kind::Tls => self.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()),
        }
    }

    /// Returns the span of events about this connection. Callers make it where they log: a span that lived as long as
    /// its connection would cost every idle one an entry in the subscriber's registry.
    pub(crate) fn span(&self) -> Span {
        match self.peer {
            Some(peer) => tracing::error_span!("connection", id = self.id.0, %peer),
            None => tracing::error_span!("connection", id = self.id.0, peer = self.kind.name()),
        }
    }
}

/// The parts of the server that connections share: the way to the hub, its published list, counts, and the clock.
pub(crate) struct HubLink {
    pub(crate) hub: HubSender,
    pub(crate) published: PublishedList,
    pub(crate) counts: Arc<ConnectionCounts>,
    pub(crate) clock: Clock,
}

/// Serves one connection to its end, and then gives the stream to `at_end`. Its place is free once all its requests are
/// carried out, too. `limits` are those in force.
///
/// Not an `async fn`, which keeps its arguments twice: ten thousand idle connections are ten thousand of these.
pub(crate) fn serve<S: AsyncRead + AsyncWrite + Unpin, F: FnOnce(S, Ending)>(
    mut stream: S,
    accepted: Accepted,
    place: Place,
    throttle: Option<Box<Throttle>>,
    limits: &dyn Fn() -> Arc<Limits>,
    link: Arc<HubLink>,
    at_end: F,
) -> impl Future<Output = ()> + use<S, F> {
    let wait = throttle.is_some().then(|| Box::new(CountedWait::new(link.counts.clone())));
    let mut session = Session::begin(accepted, place, wait, link);
    // Taken when the hub knows the connection, which it gives all later ones.
    let mut server = Server::new(accepted.id, limits());
    if let Some(throttle) = throttle {
        server = server.with_throttle(throttle);
    }
    if accepted.kind == Kind::Tls {
        server = server.with_encryption();
    }
    if accepted.kind == Kind::Operator {
        server = server.with_own_list();
    }
    if accepted.is_local() {
        server = server.with_local_peer();
    }
    async move {
        let clock = session.link.clock;
        let ending = driver::drive(&mut server, &mut stream, &mut session, clock).await;
        let mut end = server.ended(matches!(ending, Ending::Failed(_)));
        if let Some(timeout) = incomplete_record(&ending) {
            (end.reason, end.limit) = (Reason::RequestTimedOut, Some(("request_timeout", timeout.as_secs())));
        }
        session.link.counts.end(end.reason);
        ended::log(&session, &server, end, clock.now());
        // The peer sees the end once the hub knows of it.
        drop(session);
        at_end(stream, ending);
    }
}

/// Returns the time within which the peer has not sent the rest of a TLS record, if that is the end.
fn incomplete_record(ending: &Ending) -> Option<Duration> {
    let Ending::Failed(error) = ending else { return None };
    error.get_ref()?.downcast_ref::<IncompleteRecord>().map(|record| record.timeout)
}

/// Sends an error to a connection that is not served, and closes it as the protocol prescribes.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    id: ConnectionId,
    error: ErrorResponse,
    limits: Arc<Limits>,
    clock: Clock,
) -> Ending {
    let mut server = Server::new(id, limits);
    server.close(clock.now(), error);
    driver::drive(&mut server, stream, &mut Refused, clock).await
}

/// Passes events and commands between one endpoint and the hub.
struct Session {
    accepted: Accepted,
    begin: Time,
    link: Arc<HubLink>,
    mailbox: Arc<Mailbox>,
    /// Commands taken from the mailbox and not carried out yet.
    commands: VecDeque<ServerCommand>,
    /// The events of one read, sent to the hub together.
    events: Vec<ServerEvent>,
    /// Counts the waits for a rate, if there is one.
    wait: Option<Box<CountedWait>>,
    sign_ins: SignIns,
}

impl Session {
    /// Tells the hub of a connection, and counts it until the session is dropped.
    fn begin(accepted: Accepted, place: Place, wait: Option<Box<CountedWait>>, link: Arc<HubLink>) -> Self {
        let mailbox = Arc::new(Mailbox::new(place));
        let Accepted { id, listener, kind, .. } = accepted;
        link.counts.open(kind);
        let _ = link.hub.send(Input::Connect {
            id,
            peer: accepted.rights(),
            from: accepted.peer.map(|peer| peer.ip()),
            listener,
            mailbox: mailbox.clone(),
        });
        let begin = link.clock.now();
        Self {
            accepted,
            begin,
            link,
            mailbox,
            commands: VecDeque::new(),
            events: Vec::new(),
            wait,
            sign_ins: SignIns::default(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.counts.close(self.accepted.kind);
        let _ = self.link.hub.send(Input::Disconnect(self.accepted.id));
    }
}

impl Application<Server> for Session {
    fn on_event(&mut self, server: &mut Server, clock: Clock, event: ServerEvent) {
        if tracing::enabled!(Level::TRACE)
            && let ServerEvent::Request { request, .. } | ServerEvent::Answered { request } = &event
        {
            self.accepted.span().in_scope(|| tracing::trace!(request = ?Outline(request), "request"));
        }
        let Some(event) = server.list_at_once(clock.now(), event, || self.link.published.get()) else { return };
        match event {
            ServerEvent::Refused { error, closes } => {
                self.link.counts.error(&error);
                let ErrorResponse { error, details, .. } = error;
                // The details of this error, and of no other, repeat what the peer has sent.
                let details = (error != UNKNOWN_COMMAND).then_some(&*details);
                self.accepted.span().in_scope(|| tracing::debug!(%error, details, closes, "refused"));
            }
            ServerEvent::Withdrawn => self.accepted.span().in_scope(|| {
                tracing::info!("past list withdrawn: it is read too slowly while the list changes");
            }),
            event => {
                if let ServerEvent::Request { request: Request::Auth(credentials), .. } = &event {
                    self.sign_ins.begin(credentials);
                }
                self.events.push(event);
            }
        }
    }

    fn on_drained(&mut self, server: &Server) {
        self.mailbox.set_traffic(server.traffic(), server.waiting_bytes());
        if let Some(wait) = &mut self.wait
            && let Some(times) = server.throttled(self.link.clock.now())
        {
            wait.update(server.waits_for_rate(), times);
        }
        if !self.events.is_empty() {
            let _ = self.link.hub.send(Input::Events(self.accepted.id, mem::take(&mut self.events)));
        }
    }

    fn has_more_calls(&self) -> bool {
        !self.commands.is_empty()
    }

    fn poll_call(&mut self, server: &mut Server, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock.now();
        if self.commands.is_empty() {
            self.commands = ready!(self.mailbox.poll_take(cx)).into();
        }
        while let Some(command) = self.commands.pop_front() {
            let is_push = matches!(command, ServerCommand::Push(_));
            if let ServerCommand::Respond { reply: Reply::Response(response), .. } = &command {
                self.sign_ins.end(&self.accepted, response);
            }
            if let Err(misuse) = server.handle_command(now, command) {
                let span = self.accepted.span();
                span.in_scope(|| tracing::error!(%misuse, "invalid command of the hub (a bug, please report)"));
            }
            if is_push {
                // Each push is written before the next one is queued, so that a delayed task does not make a fast peer
                // look slow.
                break;
            }
        }
        Poll::Ready(())
    }
}

/// The application of a refused connection, which ignores all events.
struct Refused;

impl Application<Server> for Refused {
    fn on_event(&mut self, _: &mut Server, _: Clock, _: ServerEvent) {}
}
