//! The page's WebSocket, as the bridge uses it: one message on its way out at a time, so that what a page does not
//! take stays in TCP and not in this process.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::future::poll_fn;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;

use super::end::End;

pub(super) struct PageSocket {
    socket: WebSocket,
    /// Waits for room in front of it.
    outgoing: Option<Message>,
    /// Until everything is with the kernel.
    sending: bool,
}

/// An event of a WebSocket. Pings are answered by the library and not seen here.
#[derive(Debug)]
pub(super) enum Event {
    /// The message that was posted is with the kernel.
    Sent,
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl PageSocket {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self { socket, outgoing: None, sending: false }
    }

    /// Whether a posted message is still on its way. Until it is not, no other may be posted.
    pub(super) fn is_sending(&self) -> bool {
        self.sending
    }

    /// Gives one message to be sent; [`Self::event`] sends it and reports it.
    pub(super) fn post(&mut self, message: Message) {
        debug_assert!(!self.sending);
        self.outgoing = Some(message);
        self.sending = true;
    }

    /// Waits for the next event. Messages are read only if `read`. Nothing is lost when the future is dropped.
    pub(super) async fn event(&mut self, read: bool) -> Result<Event, End> {
        poll_fn(|context| self.poll_event(context, read)).await
    }

    /// Sends one message, after the one that is on its way, and waits until it is with the kernel.
    pub(super) async fn say(&mut self, message: Message) -> Result<(), End> {
        while self.sending {
            self.event(false).await?;
        }
        self.post(message);
        while self.sending {
            self.event(false).await?;
        }
        Ok(())
    }

    /// Ends the WebSocket in an orderly way. It waits for the page's own close frame, because closing a TCP connection
    /// that has unread input resets it, and the reset would overtake ours. It waits for so long at most.
    pub(super) async fn close(mut self, end: End, wait: Duration) {
        let farewell = async {
            if let Some(frame) = end.frame() {
                self.say(Message::Close(Some(frame))).await?;
            }
            loop {
                self.event(true).await?;
            }
        };
        let _: Result<Result<(), End>, _> = timeout(wait, farewell).await;
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
