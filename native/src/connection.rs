//! One accepted connection: a server endpoint between its stream and the hub.

use std::{
    mem,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
};

use chanwire_core::{
    Limits,
    endpoint::{Endpoint as _, Server, ServerEvent, Ticket},
    hub::{ConnectionId, ListenerId},
    wire::{ErrorResponse, Request},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
    hub_task::{HubSender, Input},
    mailbox::Mailbox,
};

/// Who connected, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: ListenerId,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    accepted: Accepted,
    limits: &Limits,
    hub: &HubSender,
    clock: Clock,
) -> Ending {
    let mailbox = Arc::new(Mailbox::default());
    let Accepted { id, peer, listener } = accepted;
    let _ = hub.send(Input::Connect { id, peer: peer.ip(), listener, mailbox: mailbox.clone() });
    let mut session = Session { id, peer, hub, mailbox, asked: Vec::new() };
    driver::drive(&mut Server::new(limits.clone()), stream, &mut session, clock).await
}

/// Tells a connection why it cannot be served, and closes it as the protocol prescribes.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    error: ErrorResponse,
    limits: &Limits,
    clock: Clock,
) -> Ending {
    let mut server = Server::new(limits.clone());
    server.refuse(clock.now(), error);
    driver::drive(&mut server, stream, &mut Refused, clock).await
}

/// What stands between one endpoint and the hub.
struct Session<'a> {
    id: ConnectionId,
    peer: SocketAddr,
    hub: &'a HubSender,
    mailbox: Arc<Mailbox>,
    /// What one read asked for, to be told in one piece.
    asked: Vec<(Ticket, Request)>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let _ = self.hub.send(Input::Disconnect(self.id));
    }
}

impl Application<Server> for Session<'_> {
    fn on_event(&mut self, _: &mut Server, _: Clock, event: ServerEvent) {
        match event {
            ServerEvent::Request { ticket, request } => {
                tracing::trace!(peer = %self.peer, ?request, "asked");
                self.asked.push((ticket, request));
            }
            ServerEvent::Refused { error, closes } => {
                tracing::debug!(peer = %self.peer, error = %error.error, details = ?error.details, closes, "refused");
            }
        }
    }

    fn on_quiet(&mut self) {
        if !self.asked.is_empty() {
            let _ = self.hub.send(Input::Requests(self.id, mem::take(&mut self.asked)));
        }
    }

    fn poll_tell(&mut self, server: &mut Server, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        let mail = ready!(self.mailbox.poll_take(cx));
        let now = clock.now();
        for (ticket, reply) in mail.answers {
            if let Err(misuse) = server.respond(now, ticket, reply) {
                tracing::error!(peer = %self.peer, %misuse, "an answer that belongs nowhere: this is a bug");
            }
        }
        if mail.stop {
            server.shutdown(now);
        }
        Poll::Ready(())
    }
}

/// A connection that is not served has nothing to say.
struct Refused;

impl Application<Server> for Refused {
    fn on_event(&mut self, _: &mut Server, _: Clock, _: ServerEvent) {}

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, _: &mut Server, _: Clock, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
