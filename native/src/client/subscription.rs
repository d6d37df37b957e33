//! A joined channel as a stream of messages that survives the loss of its connection.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use chanwire_core::{
    endpoint::ClientEvent,
    wire::{Blame, ChannelName, ErrorResponse, Hello, JoinFrom, Request, Response, StoredMessage, Username},
};
use futures_util::Stream;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    Client, Error, ErrorKind,
    backoff::Backoff,
    carry::{Session, carry},
    gate::{Gate, Held},
    is_elsewhere,
};
use crate::{clock::Clock, server_address::ServerAddress};

/// Time after which a connection resets the backoff.
const GOOD: Duration = Duration::from_secs(10);

/// The error with which a server closes the connections that joined a removed channel.
const CHANNEL_REMOVED: &str = "Channel removed";

/// The messages of a channel from a chosen one on, in order, without gaps or duplicates.
///
/// Has a separate connection to the channel's host. It buffers some 128 KiB of messages; if they are not consumed, the
/// server closes the connection as too slow. After this and every other disconnect it reconnects, with a backoff from a
/// quarter of a second to 30 seconds, and joins after the last received message. A server that stops says when to come
/// back, and the first attempt is made then ([`Error::retry_after`]). Each disconnect and reconnect is an
/// event, and so are messages that the server no longer keeps.
///
/// Ends with an error when reconnecting cannot help: the channel is removed, the server refuses the JOIN, or its
/// certificate is not trusted any more. Dropping it closes the connection; [`leave`](Self::leave) also waits for the server's answer.
#[derive(Debug)]
pub struct Subscription {
    events: mpsc::UnboundedReceiver<Delivered>,
    leave: oneshot::Sender<oneshot::Sender<()>>,
    last_id: u64,
    over: bool,
}

type Delivered = (Result<SubscriptionEvent, Error>, Option<Held>);

/// An event of a joined channel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// The next message.
    Message(StoredMessage),
    /// The server no longer keeps the next messages, from `first` to `last`.
    Missed {
        /// The first of their ids.
        first: u64,
        /// The last of their ids.
        last: u64,
    },
    /// The connection was lost. The subscription reconnects and continues after the id `after`.
    Lost {
        /// The reason.
        error: Error,
        /// The id of the last received message; 0 before a channel's first.
        after: u64,
    },
    /// The channel is joined again.
    Resumed,
}

impl Subscription {
    /// Joins a channel at its host, and rejoins it after each disconnect.
    pub(super) async fn join(
        client: Client,
        channel_name: &ChannelName,
        from: JoinFrom,
        username: Option<Username>,
    ) -> Result<Self, Error> {
        let (deliver, events) = mpsc::unbounded_channel();
        let (leave, leaving) = oneshot::channel();
        let (joined, first) = oneshot::channel();
        let server = client.server().clone();
        let follower = Follower {
            host: server.clone(),
            client,
            channel_name: channel_name.clone(),
            username,
            output: Output { deliver, gate: Arc::default(), joined: Some(joined) },
            leaving,
            after: match from {
                JoinFrom::After(id) => Some(id),
                JoinFrom::Last(_) => None,
            },
            // Without a source of randomness there is no jitter.
            backoff: Backoff::new(getrandom::u64().unwrap_or_default()),
        };
        tokio::spawn(follower.run(from));
        match first.await {
            Ok(Ok(last_id)) => Ok(Self { events, leave, last_id, over: false }),
            Ok(Err(error)) => Err(error),
            // The task was dropped with its runtime.
            Err(_) => Err(Error::new(server.to_string(), ErrorKind::ClientClosed)),
        }
    }

    /// Waits for the next event; returns `None` after an error, which is the last one. It is cancel safe.
    ///
    /// # Errors
    ///
    /// The reason for which the channel cannot be followed any more.
    pub async fn next(&mut self) -> Option<Result<SubscriptionEvent, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Waits for the next message and skips other events; returns `None` after an error. It is cancel safe.
    ///
    /// # Errors
    ///
    /// The reason for which the channel cannot be followed any more.
    pub async fn next_message(&mut self) -> Option<Result<StoredMessage, Error>> {
        loop {
            match self.next().await? {
                Ok(SubscriptionEvent::Message(message)) => return Some(Ok(message)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Returns the id to go on after: of the last message that was returned, or else of the one before the first to
    /// come.
    #[must_use]
    pub const fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Leaves the channel and closes the connection. Unconsumed messages are dropped; a later
    /// [`join`](Client::join) after [`last_id`](Self::last_id) receives them again.
    pub async fn leave(self) {
        let Self { events, leave, .. } = self;
        // Opens the gate, so that the connection is read on.
        drop(events);
        let (done, left) = oneshot::channel();
        if leave.send(done).is_ok() {
            // An error says that it has ended already.
            let _ = left.await;
        }
    }
}

impl Stream for Subscription {
    type Item = Result<SubscriptionEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        // The event counts as unconsumed until it is returned here.
        self.events.poll_recv(cx).map(|delivered| {
            let event = delivered.map(|(event, _held)| event);
            match &event {
                Some(Ok(SubscriptionEvent::Message(message))) => self.last_id = message.id,
                Some(Ok(SubscriptionEvent::Missed { last, .. })) => self.last_id = *last,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.over = true,
            }
            event
        })
    }
}

/// Joins and rejoins a channel.
struct Follower {
    client: Client,
    /// The channel's host, as far as it is known.
    host: ServerAddress,
    channel_name: ChannelName,
    /// The name under which WHO shows the subscriber.
    username: Option<Username>,
    output: Output,
    leaving: oneshot::Receiver<oneshot::Sender<()>>,
    /// The id after which messages go on, where it is known.
    after: Option<u64>,
    backoff: Backoff,
}

/// The receiving half of a subscription.
struct Output {
    deliver: mpsc::UnboundedSender<Delivered>,
    /// Shared by all connections, so that there is one bound on unconsumed bytes.
    gate: Arc<Gate>,
    /// Waits for the outcome of the first JOIN.
    joined: Option<oneshot::Sender<Result<u64, Error>>>,
}

impl Output {
    fn event(&self, event: SubscriptionEvent) {
        let held = match &event {
            SubscriptionEvent::Message(message) => Some(self.gate.hold(size(message))),
            _ => None,
        };
        // The subscription may have been dropped.
        let _ = self.deliver.send((Ok(event), held));
    }

    /// Ends the subscription, or the wait for it.
    fn end(mut self, error: Error) {
        match self.joined.take() {
            Some(joined) => drop(joined.send(Err(error))),
            None => drop(self.deliver.send((Err(error), None))),
        }
    }
}

/// Estimates the memory of an unconsumed message.
pub(crate) fn size(message: &StoredMessage) -> usize {
    let StoredMessage { channel_name, username, message_content, .. } = message;
    size_of::<StoredMessage>() + channel_name.len() + username.len() + message_content.len()
}

/// The outcome of one connection.
enum Attempt {
    /// The server answered the JOIN with an error.
    Refused(ErrorResponse),
    /// The connection could not be made, or has ended.
    Lost(ErrorKind),
    /// The subscription has ended.
    Over,
}

impl Follower {
    async fn run(mut self, mut from: JoinFrom) {
        let mut is_lost = false;
        let mut has_looked = false;
        loop {
            let began = Instant::now();
            let (attempt, joined) = self.connect(from).await;
            if joined {
                (is_lost, has_looked) = (false, false);
                if began.elapsed() >= GOOD {
                    self.backoff.reset();
                }
            }
            let kind = match attempt {
                Attempt::Over => return,
                Attempt::Refused(error) if error.blame == Blame::Request && !has_looked => {
                    has_looked = true;
                    let found = self.find_host(&error).await;
                    match found {
                        Ok(true) => continue,
                        Ok(false) => return self.end(ErrorKind::Refused(error)),
                        Err(error) if self.output.joined.is_some() || error.kind().is_permanent() => {
                            return self.output.end(error);
                        }
                        Err(error) => error.kind().clone(),
                    }
                }
                Attempt::Refused(error) if error.blame == Blame::Request => {
                    return self.end(ErrorKind::Refused(error));
                }
                // A later attempt may succeed.
                Attempt::Refused(error) => ErrorKind::Refused(error),
                Attempt::Lost(ErrorKind::Closing(error)) if error.error == CHANNEL_REMOVED => {
                    return self.end(ErrorKind::Closing(error));
                }
                // Silent attempts would hide that somebody may stand between.
                Attempt::Lost(kind) if kind.is_permanent() => return self.end(kind),
                Attempt::Lost(kind) => kind,
            };
            let after = match self.after {
                Some(after) if self.output.joined.is_none() => after,
                _ => return self.end(kind),
            };
            let retry_after = kind.retry_after();
            if !mem::replace(&mut is_lost, true) {
                let error = Error::new(self.host.to_string(), kind);
                self.output.event(SubscriptionEvent::Lost { error, after });
            }
            from = JoinFrom::After(after);
            tokio::select! {
                () = sleep(self.backoff.wait(retry_after)) => has_looked = false,
                leave = &mut self.leaving => return left(leave.ok()),
            }
        }
    }

    /// Looks for another host, after this refusal of a JOIN. Returns whether there is one.
    async fn find_host(&mut self, refusal: &ErrorResponse) -> Result<bool, Error> {
        let server = self.client.server();
        if self.host != *server {
            // The channel may have moved on.
            self.host = server.clone();
            return Ok(true);
        }
        if !is_elsewhere(refusal) {
            return Ok(false);
        }
        let found = self.client.find_host(&self.channel_name).await?;
        Ok(found.map(|host| self.host = host).is_some())
    }

    fn end(self, kind: ErrorKind) {
        self.output.end(Error::new(self.host.to_string(), kind));
    }

    /// Connects, joins, and passes messages on until the connection ends. Returns also whether it joined.
    async fn connect(&mut self, from: JoinFrom) -> (Attempt, bool) {
        let connected = tokio::select! {
            connected = self.client.connector().open(&self.host) => connected,
            leave = &mut self.leaving => {
                left(leave.ok());
                return (Attempt::Over, false);
            }
        };
        let stream = match connected {
            Ok(stream) => stream,
            Err(kind) => return (Attempt::Lost(kind), false),
        };
        let gate = self.output.gate.clone();
        let mut tail = Tail {
            join: Some(from),
            // Without a name to tell, JOIN need not wait for the features.
            may_join: self.username.is_none(),
            has_presence: false,
            follower: self,
            joined: false,
            refused: None,
            over: false,
            left: None,
        };
        let kind = carry(stream, gate, &mut tail, Clock::start()).await;
        let Tail { joined, refused, over, left: done, .. } = tail;
        let attempt = match refused {
            _ if over => {
                left(done);
                Attempt::Over
            }
            Some(error) => Attempt::Refused(error),
            None => Attempt::Lost(kind),
        };
        (attempt, joined)
    }
}

/// Notifies a waiting caller that the channel is left.
fn left(done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        // The caller may have stopped waiting.
        let _ = done.send(());
    }
}

/// One connection of a subscription.
struct Tail<'a> {
    follower: &'a mut Follower,
    /// The position to join from, until JOIN is sent.
    join: Option<JoinFrom>,
    /// Whether JOIN may be sent: its `username` is for servers whose features name it.
    may_join: bool,
    /// Whether the server says who has joined a channel.
    has_presence: bool,
    joined: bool,
    refused: Option<ErrorResponse>,
    /// The subscription has ended, and the connection closes.
    over: bool,
    left: Option<oneshot::Sender<()>>,
}

impl Tail<'_> {
    fn join(&mut self, first_id: u64) {
        self.joined = true;
        let Follower { output, after, .. } = &mut *self.follower;
        let before = first_id.saturating_sub(1);
        match output.joined.take() {
            // The caller may have dropped the subscription.
            Some(joined) => drop(joined.send(Ok(after.unwrap_or(before).min(before)))),
            None => output.event(SubscriptionEvent::Resumed),
        }
        if let Some(first) = after.map(|after| after + 1).filter(|first| *first < first_id) {
            output.event(SubscriptionEvent::Missed { first, last: before });
        }
        *after = Some(before);
    }
}

impl Session for Tail<'_> {
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        if !self.may_join {
            // Polled again after the answer to HELLO.
            return Poll::Pending;
        }
        if let Some(from) = self.join.take() {
            let username = self.follower.username.clone().filter(|_| self.has_presence);
            return Poll::Ready(Some(Request::Join {
                channel_name: self.follower.channel_name.clone(),
                from,
                username,
            }));
        }
        if self.over || self.refused.is_some() {
            return Poll::Ready(None);
        }
        let leave = ready!(Pin::new(&mut self.follower.leaving).poll(cx));
        self.over = true;
        self.left = leave.ok();
        Poll::Ready(self.left.is_some().then(|| Request::Leave { channel_name: self.follower.channel_name.clone() }))
    }

    fn wants_notices(&self) -> bool {
        true
    }

    fn on_hello(&mut self, hello: Option<Hello>) {
        self.may_join = true;
        self.has_presence = hello.is_some_and(|hello| hello.has(Hello::PRESENCE));
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response: Response::Joined { first_id, .. }, .. } => self.join(first_id),
            ClientEvent::Answer { response: Response::Error(error), .. } if !self.over => self.refused = Some(error),
            ClientEvent::Push(message) => {
                self.follower.after = Some(message.id);
                self.follower.output.event(SubscriptionEvent::Message(message));
            }
            // Reported with the end of the connection.
            _ => {}
        }
    }
}
