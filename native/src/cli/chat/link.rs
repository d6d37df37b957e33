//! The connections of a session, with a task for each.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use chanwire_core::{
    endpoint::ClientEvent,
    wire::{Channel, Hello, Request, Response},
};
use tokio::sync::mpsc;

use super::session::{Link, Lost};
use crate::{
    client::{self, Connector, ErrorKind, Gate, Held, carry, is_cut},
    clock::Clock,
    server_address::ServerAddress,
    tls::TlsError,
};

/// An event of a connection.
pub(super) enum LinkEvent {
    Connected,
    /// The features and limits of the server; `None` of an older one. It comes before all answers.
    Hello(Option<Hello>),
    /// An event of its endpoint, which counts as unconsumed until it is dropped.
    Event(ClientEvent, Held),
    Lost(Lost),
}

/// Reports the events of all connections.
pub(super) type Events = mpsc::UnboundedSender<(Link, LinkEvent)>;

/// Connects, and carries requests until all their senders are dropped; then closes after the last answer.
pub(super) async fn run(
    link: Link,
    connector: Connector,
    to: ServerAddress,
    events: Events,
    requests: mpsc::UnboundedReceiver<Request>,
) {
    let lost = match connector.open(&to).await {
        Err(kind) => {
            let untrusted = match &kind {
                ErrorKind::Tls(TlsError::UnknownIssuer { pin }) => Some(*pin),
                _ => None,
            };
            let is_final = matches!(&kind, ErrorKind::SignIn(_)) && kind.is_permanent();
            Lost { retry_after: None, untrusted, is_final, reason: kind.to_string() }
        }
        Ok(stream) => {
            let _ = events.send((link, LinkEvent::Connected));
            let gate = Arc::<Gate>::default();
            let mut session = Session { link, events: &events, gate: gate.clone(), requests };
            lost(carry(stream, gate, &mut session, Clock::start()).await)
        }
    };
    // The chat may be over.
    let _ = events.send((link, LinkEvent::Lost(lost)));
}

fn lost(kind: ErrorKind) -> Lost {
    let retry_after = kind.retry_after();
    let reason = match kind {
        // The position of an incomplete frame is of no use to a user.
        ErrorKind::Violation(violation) if is_cut(&violation) => ErrorKind::Closed.to_string(),
        _ if retry_after.is_some() => "the server stops".into(),
        kind => kind.to_string(),
    };
    Lost { retry_after, untrusted: None, is_final: false, reason }
}

struct Session<'a> {
    link: Link,
    events: &'a Events,
    gate: Arc<Gate>,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl client::Session for Session<'_> {
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        self.requests.poll_recv(cx)
    }

    fn wants_notices(&self) -> bool {
        true
    }

    fn on_hello(&mut self, hello: Option<Hello>) {
        let _ = self.events.send((self.link, LinkEvent::Hello(hello)));
    }

    fn on_event(&mut self, event: ClientEvent) {
        let held = self.gate.hold(size(&event));
        let _ = self.events.send((self.link, LinkEvent::Event(event, held)));
    }
}

/// Estimates the memory of an unconsumed event in bytes.
fn size(event: &ClientEvent) -> usize {
    let more = match event {
        ClientEvent::Push(message) => client::size(message),
        ClientEvent::Answer { response: Response::History { messages, .. }, .. } => {
            messages.iter().map(client::size).sum()
        }
        ClientEvent::Answer { response: Response::Channels(channels), .. } => channels.len() * size_of::<Channel>(),
        _ => 0,
    };
    size_of::<ClientEvent>() + more
}
