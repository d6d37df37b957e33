//! A connection that answers each request to the task that made it.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use chanwire_core::{
    endpoint::ClientEvent,
    wire::{Hello, Request, Response, StoredMessage},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
};

use super::{
    Error, ErrorKind,
    carry::{Session, carry},
    connector::Connector,
    gate::Gate,
};
use crate::{clock::Clock, server_address::ServerAddress};

/// The most queued or pending requests of a connection; further ones wait to be submitted.
const MAX_OPEN: usize = 1024;

/// A connection to one server. When all handles are dropped, it closes after the last answer.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    server: Arc<str>,
    calls: mpsc::UnboundedSender<Call>,
    room: Arc<Semaphore>,
    /// The reason for the connection's end, once it has ended.
    ended: watch::Receiver<Option<ErrorKind>>,
    /// The server's retry window, once it was asked for.
    retry_window: Arc<OnceCell<Option<Duration>>>,
}

#[derive(Debug)]
enum Call {
    Request(Request, Reply),
    Close,
}

/// The answer's receiver, and the request's permit.
#[derive(Debug)]
struct Reply {
    to: oneshot::Sender<Result<Response, Unanswered>>,
    _room: OwnedSemaphorePermit,
}

/// A pending request.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: Error,
    /// Whether the server may have received it, so that its outcome is unknown.
    pub(crate) sent: bool,
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        unanswered.error
    }
}

/// An answer that is to come.
#[derive(Debug)]
pub(crate) struct Pending {
    answer: oneshot::Receiver<Result<Response, Unanswered>>,
    server: Arc<str>,
}

impl Future for Pending {
    type Output = Result<Response, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(match answer {
            Ok(Ok(Response::Error(error))) => {
                Err(Unanswered { error: Error::new(self.server.clone(), ErrorKind::Refused(error)), sent: true })
            }
            Ok(answer) => answer,
            // The task was dropped with its runtime.
            Err(_) => Err(Unanswered { error: Error::new(self.server.clone(), ErrorKind::ClientClosed), sent: true }),
        })
    }
}

impl Connection {
    /// Connects to a server, or to a peer on its list, for requests.
    pub(crate) async fn open(connector: &Connector, to: &ServerAddress) -> Result<Self, Error> {
        Ok(Self::over(connector.open_named(to).await?, to.to_string()))
    }

    /// Uses a stream as a connection, for requests.
    pub(crate) fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        server: impl Into<Arc<str>>,
    ) -> Self {
        // Without a JOIN there are no pushes.
        Self::with_pushes(stream, server, Arc::default(), |_| {})
    }

    /// Uses a stream as a connection, for requests and pushed messages. Reads only while the gate is open.
    pub(crate) fn with_pushes<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        server: impl Into<Arc<str>>,
        gate: Arc<Gate>,
        push: impl FnMut(StoredMessage) + Send + 'static,
    ) -> Self {
        let server = server.into();
        let (calls, received) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let mut requests =
            Requests { server: server.clone(), calls: received, open: VecDeque::new(), reason: None, push };
        tokio::spawn(async move {
            let kind = carry(stream, gate, &mut requests, Clock::start()).await;
            requests.fail(&kind);
            // The caller may have dropped the receiver.
            let _ = end.send(Some(kind));
        });
        let room = Arc::new(Semaphore::new(MAX_OPEN));
        Self { server, calls, room, ended, retry_window: Arc::default() }
    }

    /// Submits a request; requests are sent in the order of submission. Waits while 1,024 are unanswered.
    pub(crate) async fn submit(&self, request: Request) -> Result<Pending, Unanswered> {
        let unsent = |kind| Unanswered { error: Error::new(self.server.clone(), kind), sent: false };
        // The semaphore is never closed.
        let room = self.room.clone().acquire_owned().await.map_err(|_| unsent(ErrorKind::ClientClosed))?;
        let (to, answer) = oneshot::channel();
        let call = Call::Request(request, Reply { to, _room: room });
        self.calls.send(call).map_err(|_| unsent(self.end().unwrap_or(ErrorKind::ClientClosed)))?;
        Ok(Pending { answer, server: self.server.clone() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, Unanswered> {
        self.submit(request).await?.await
    }

    /// Returns the time within which the server stores a message once that is sent again under its id; `None` of an
    /// older server. Asks by HELLO at the first call.
    pub(crate) async fn retry_window(&self) -> Result<Option<Duration>, Unanswered> {
        let ask = || async {
            match self.request(Request::Hello { notices: false }).await {
                Ok(Response::Hello(hello)) if hello.has(Hello::CLIENT_MESSAGE_ID) => {
                    Ok(hello.retry_window.map(Duration::from_secs))
                }
                Err(unanswered) if unanswered.error.refusal().is_none() => Err(unanswered),
                _ => Ok(None),
            }
        };
        self.retry_window.get_or_try_init(ask).await.copied()
    }

    /// Returns whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.calls.is_closed() || self.end().is_some()
    }

    fn end(&self) -> Option<ErrorKind> {
        self.ended.borrow().clone()
    }

    /// Waits until it has ended, and returns the reason.
    pub(crate) async fn closed(&self) -> Error {
        let mut ended = self.ended.clone();
        let kind = match ended.wait_for(Option::is_some).await {
            Ok(kind) => kind.clone(),
            Err(_) => None,
        };
        Error::new(self.server.clone(), kind.unwrap_or(ErrorKind::ClientClosed))
    }

    /// Closes it after the last answer, and waits until it has ended.
    pub(crate) async fn close(&self) {
        // It may have ended already.
        let _ = self.calls.send(Call::Close);
        self.closed().await;
    }
}

/// The requests of one connection.
struct Requests<F> {
    server: Arc<str>,
    calls: mpsc::UnboundedReceiver<Call>,
    /// Receivers of the answers that are to come, in order.
    open: VecDeque<Reply>,
    /// The reason that the server gave for the end to come.
    reason: Option<ErrorKind>,
    push: F,
}

impl<F> Requests<F> {
    /// Fails every request that has no answer.
    fn fail(&mut self, kind: &ErrorKind) {
        self.fail_sent(kind);
        self.calls.close();
        while let Ok(call) = self.calls.try_recv() {
            if let Call::Request(_, reply) = call {
                let error = Error::new(self.server.clone(), kind.clone());
                // The caller may have dropped the receiver.
                let _ = reply.to.send(Err(Unanswered { error, sent: false }));
            }
        }
    }

    fn fail_sent(&mut self, kind: &ErrorKind) {
        for reply in self.open.drain(..) {
            let error = Error::new(self.server.clone(), kind.clone());
            let _ = reply.to.send(Err(Unanswered { error, sent: true }));
        }
    }
}

impl<F: FnMut(StoredMessage)> Session for Requests<F> {
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        loop {
            match ready!(self.calls.poll_recv(cx)) {
                // A request whose caller has dropped the receiver is not sent.
                Some(Call::Request(_, reply)) if reply.to.is_closed() => {}
                Some(Call::Request(request, reply)) => {
                    self.open.push_back(reply);
                    return Poll::Ready(Some(request));
                }
                Some(Call::Close) | None => return Poll::Ready(None),
            }
        }
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response, .. } => {
                if let Some(reply) = self.open.pop_front() {
                    // The caller may have dropped the receiver.
                    let _ = reply.to.send(Ok(response));
                }
            }
            ClientEvent::Push(message) => (self.push)(message),
            // No method tells of them yet, and only a HELLO that is sent as a bare request asks for them.
            ClientEvent::Notice(_) => {}
            ClientEvent::Closing(error) => {
                let kind = ErrorKind::Closing(error);
                self.fail_sent(&kind);
                self.reason = Some(kind);
            }
            ClientEvent::Broken(violation) => {
                self.reason.get_or_insert(ErrorKind::Violation(violation));
            }
            ClientEvent::Ended { .. } => {
                // The connection may linger.
                let kind = self.reason.clone().unwrap_or(ErrorKind::Closed);
                self.fail_sent(&kind);
            }
        }
    }
}
