//! One accepted connection: connects a server endpoint to its stream and the hub.

mod ended;
mod outline;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    mem,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
};

use chanwire_core::{
    Limits,
    endpoint::{Server, ServerCommand, ServerEvent, Throttle},
    hub::{ConnectionId, ListenerId, Peer},
    wire::ErrorResponse,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{Level, Span};

use self::outline::Outline;
use crate::{
    admission::Place,
    clock::Clock,
    driver::{self, Application, Ending},
    hub_task::{HubSender, Input, PublishedList},
    mailbox::Mailbox,
    metrics::{ConnectionCounts, CountedWait},
};

/// The error for a command that the protocol does not have.
const UNKNOWN_COMMAND: &str = "Unknown command";

/// An accepted connection and its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: ConnectionId,
    /// `None` for the operator, who connects through a socket in the data directory.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) listener: Option<ListenerId>,
    /// Whether its address gives it rights.
    pub(crate) has_address_rights: bool,
}

impl Accepted {
    const fn rights(&self) -> Peer {
        match self.peer {
            None => Peer::Operator,
            Some(peer) if self.has_address_rights => Peer::Address(peer.ip()),
            Some(_) => Peer::NoAddressRights,
        }
    }

    /// Returns the span of events about this connection. Callers make it where they log: a span that lived as long as
    /// its connection would cost every idle one an entry in the subscriber's registry.
    pub(crate) fn span(&self) -> Span {
        match self.peer {
            Some(peer) => tracing::error_span!("connection", id = self.id.0, %peer),
            None => tracing::error_span!("connection", id = self.id.0, peer = "operator"),
        }
    }
}

/// The parts of the server that connections share: the way to the hub, its published list, and counts.
#[derive(Clone, Copy)]
pub(crate) struct HubLink<'a> {
    pub(crate) hub: &'a HubSender,
    pub(crate) published: &'a PublishedList,
    pub(crate) counts: &'a ConnectionCounts,
}

/// Serves one connection to its end. Its place is free once all its requests are carried out, too. `limits` are those in
/// force.
pub(crate) fn serve<'a, S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    accepted: Accepted,
    place: impl Into<Place>,
    throttle: Option<Box<Throttle>>,
    limits: impl FnOnce() -> Limits,
    link: HubLink<'a>,
    clock: Clock,
) -> impl Future<Output = Ending> {
    let mailbox = Arc::new(Mailbox::new(place.into()));
    let Accepted { id, listener, .. } = accepted;
    let rights = accepted.rights();
    let _ = link.hub.send(Input::Connect { id, peer: rights, listener, mailbox: mailbox.clone() });
    let wait = throttle.is_some().then(|| Box::new(CountedWait::new(link.counts)));
    let mut session = Session { accepted, link, mailbox, commands: VecDeque::new(), events: Vec::new(), wait, clock };
    // Taken when the hub knows the connection, which it gives all later ones.
    let mut server = Server::new(id, limits());
    if let Some(throttle) = throttle {
        server = server.with_throttle(throttle);
    }
    let begin = clock.now();
    async move {
        let ending = driver::drive(&mut server, stream, &mut session, clock).await;
        let end = server.ended(matches!(ending, Ending::Failed(_)));
        link.counts.end(end.reason);
        ended::log(accepted, &server, end, begin, clock.now());
        ending
    }
}

/// Sends an error to a connection that is not served, and closes it as the protocol prescribes.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    id: ConnectionId,
    error: ErrorResponse,
    limits: &Limits,
    clock: Clock,
) -> Ending {
    let mut server = Server::new(id, limits.clone());
    server.close(clock.now(), error);
    driver::drive(&mut server, stream, &mut Refused, clock).await
}

/// Passes events and commands between one endpoint and the hub.
struct Session<'a> {
    accepted: Accepted,
    link: HubLink<'a>,
    mailbox: Arc<Mailbox>,
    /// Commands taken from the mailbox and not carried out yet.
    commands: VecDeque<ServerCommand>,
    /// The events of one read, sent to the hub together.
    events: Vec<ServerEvent>,
    /// Counts the waits for a rate, if there is one.
    wait: Option<Box<CountedWait<'a>>>,
    clock: Clock,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let _ = self.link.hub.send(Input::Disconnect(self.accepted.id));
    }
}

impl Application<Server> for Session<'_> {
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
            event => self.events.push(event),
        }
    }

    fn on_drained(&mut self, server: &Server) {
        self.mailbox.set_traffic(server.traffic(), server.waiting_bytes());
        if let Some(wait) = &mut self.wait
            && let Some(times) = server.throttled(self.clock.now())
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
