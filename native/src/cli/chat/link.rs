//! The connections that the session asks for, each a task.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use chanwire_core::{
    Limits,
    endpoint::{Breach, Client, ClientEvent, Endpoint as _},
    wire::{Channel, FaultKind, Request, Response, StoredMessage},
};
use tokio::sync::mpsc;

use super::{
    gate::{Gate, Gated, Held},
    session::{Link, Lost},
};
use crate::{
    cli::link::Target,
    clock::Clock,
    driver::{self, Application, Ending},
    server_address::ServerAddress,
};

/// What a connection tells.
pub(super) enum Told {
    Connected,
    /// Until it is dropped, it counts as held.
    Event(ClientEvent, Held),
    Lost(Lost),
}

/// Tells of all connections.
pub(super) type Tell = mpsc::UnboundedSender<(Link, Told)>;

/// Connects, and carries requests until there are no more senders of them: then what is open is answered, and it closes.
pub(super) async fn run(
    link: Link,
    to: ServerAddress,
    tell: Tell,
    requests: mpsc::UnboundedReceiver<Request>,
    clock: Clock,
) {
    let lost = match Target::Server(to).connect().await {
        Err(why) => Lost { gone: true, why },
        Ok(stream) => {
            let _ = tell.send((link, Told::Connected));
            let gate = Arc::new(Gate::default());
            let mut stream = Gated { stream, gate: Arc::clone(&gate) };
            let mut carrier = Carrier { link, tell: &tell, gate, requests, closing: false, why: None, gone: true };
            let ending = driver::drive(&mut Client::new(Limits::client()), &mut stream, &mut carrier, clock).await;
            carrier.lost(&ending)
        }
    };
    // The session may be over.
    let _ = tell.send((link, Told::Lost(lost)));
}

struct Carrier<'a> {
    link: Link,
    tell: &'a Tell,
    gate: Arc<Gate>,
    requests: mpsc::UnboundedReceiver<Request>,
    closing: bool,
    /// What was said of the end.
    why: Option<String>,
    gone: bool,
}

impl Carrier<'_> {
    fn lost(self, ending: &Ending) -> Lost {
        // Only an end that the other side made says that it has nothing more to carry out.
        let gone = match ending {
            Ending::Closed => self.gone,
            Ending::Reset => false,
            Ending::Failed(error) => {
                self.gone
                    && matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
                    )
            }
        };
        let why = self.why.unwrap_or_else(|| match ending {
            Ending::Closed => "the server closed the connection".into(),
            Ending::Reset => "the server took nothing of what was sent".into(),
            Ending::Failed(error) => format!("the connection broke: {error}"),
        });
        Lost { gone, why }
    }
}

impl Application<Client> for Carrier<'_> {
    fn on_event(&mut self, _: &mut Client, _: Clock, event: ClientEvent) {
        match &event {
            ClientEvent::Notice(error) => {
                // The server goes on: what it had been sent may still be carried out.
                self.gone = false;
                self.why = Some(error.to_string());
            }
            ClientEvent::Broken(breach) => {
                let cut = matches!(breach, Breach::Fault(fault) if matches!(fault.kind, FaultKind::Incomplete(_)));
                self.gone &= cut;
                let why = if cut { "the server closed the connection".into() } else { breach.to_string() };
                self.why.get_or_insert(why);
            }
            _ => {}
        }
        let held = self.gate.hold(size(&event));
        let _ = self.tell.send((self.link, Told::Event(event, held)));
    }

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, client: &mut Client, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing {
            return Poll::Pending;
        }
        match ready!(self.requests.poll_recv(cx)) {
            // If it is closing, its end is told soon, and this was not answered.
            Some(request) => drop(client.send(clock.now(), &request)),
            None => {
                self.closing = true;
                client.shutdown(clock.now());
            }
        }
        Poll::Ready(())
    }
}

/// About how many bytes an event takes while it is held.
fn size(event: &ClientEvent) -> usize {
    let of = |message: &StoredMessage| {
        size_of::<StoredMessage>() + message.channel_name.len() + message.username.len() + message.message_content.len()
    };
    let more = match event {
        ClientEvent::Push(message) => of(message),
        ClientEvent::Answer { response: Response::History { messages, .. }, .. } => messages.iter().map(of).sum(),
        ClientEvent::Answer { response: Response::Channels(channels), .. } => channels.len() * size_of::<Channel>(),
        _ => 0,
    };
    size_of::<ClientEvent>() + more
}
