//! The page's WebSocket. Sends one message at a time, so that a slow page's data stays in TCP and not in this process.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::future::poll_fn;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;

use super::end::End;

/// The WebSocket of a page.
pub(super) struct PageSocket {
    socket: WebSocket,
    /// The posted message, until the WebSocket accepts it.
    outgoing: Option<Message>,
    /// Whether the posted message is not flushed to the kernel yet.
    sending: bool,
}

/// An event of a WebSocket. The library answers pings.
#[derive(Debug)]
pub(super) enum Event {
    /// The posted message is flushed to the kernel.
    Sent,
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl PageSocket {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self { socket, outgoing: None, sending: false }
    }

    /// Returns whether a posted message is not flushed yet. No other may be posted meanwhile.
    pub(super) fn is_sending(&self) -> bool {
        self.sending
    }

    /// Posts a message, which [`Self::event`] sends and reports.
    pub(super) fn post(&mut self, message: Message) {
        debug_assert!(!self.sending);
        self.outgoing = Some(message);
        self.sending = true;
    }

    /// Waits for the next event. Messages are read only if `read`. Cancel safe.
    pub(super) async fn event(&mut self, read: bool) -> Result<Event, End> {
        poll_fn(|context| self.poll_event(context, read)).await
    }

    /// Sends a message after the posted one, and waits until it is flushed to the kernel.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), End> {
        while self.sending {
            self.event(false).await?;
        }
        self.post(message);
        while self.sending {
            self.event(false).await?;
        }
        Ok(())
    }

    /// Closes the WebSocket with a close frame. Waits for the page's close frame, at most `limit`, because closing a
    /// TCP connection with unread input resets it, and the reset could overtake the close frame.
    pub(super) async fn close(mut self, end: End, limit: Duration) {
        let handshake = async {
            if let Some(frame) = end.frame() {
                self.send(Message::Close(Some(frame))).await?;
            }
            loop {
                self.event(true).await?;
            }
        };
        let _: Result<Result<(), End>, _> = timeout(limit, handshake).await;
    }

    fn poll_event(&mut self, context: &mut Context<'_>, read: bool) -> Poll<Result<Event, End>> {
        if self.sending
            && let Poll::Ready(sent) = self.poll_send(context)
        {
            self.sending = false;
            return Poll::Ready(sent.map(|()| Event::Sent).map_err(|_| End::PageLeft));
        }
        if !read {
            return Poll::Pending;
        }
        loop {
            let event = match ready!(self.socket.poll_next_unpin(context)) {
                Some(Ok(Message::Text(text))) => Ok(Event::Text(text)),
                Some(Ok(Message::Binary(bytes))) => Ok(Event::Binary(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => Err(End::PageLeft),
                Some(Err(error)) => Err(End::of_error(error)),
            };
            return Poll::Ready(event);
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        if self.outgoing.is_some() {
            ready!(self.socket.poll_ready_unpin(context))?;
            if let Some(message) = self.outgoing.take() {
                self.socket.start_send_unpin(message)?;
            }
        }
        self.socket.poll_flush_unpin(context)
    }
}
