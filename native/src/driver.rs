//! A driver: moves bytes between a stream and a protocol endpoint, and carries out the endpoint's actions.
//!
//! The server and the client drive all their connections with it. Use it for another transport or another kind of
//! application; [`Client`](crate::Client) and [`Server`](crate::Server) need no driver.
//!
//! ```
//! use std::task::{Context, Poll};
//!
//! use chanwire::{
//!     Clock,
//!     driver::{self, Application, Ending},
//!     protocol::{
//!         Limits,
//!         endpoint::{Client, ClientEvent, Endpoint as _},
//!         wire::{Request, Response},
//!     },
//! };
//! use tokio::io::AsyncWriteExt as _;
//!
//! /// Waits for one answer.
//! #[derive(Default)]
//! struct One(Option<Response>);
//!
//! impl Application<Client> for One {
//!     fn on_event(&mut self, client: &mut Client, clock: Clock, event: ClientEvent) {
//!         if let ClientEvent::Answer { response, .. } = event {
//!             self.0 = Some(response);
//!             client.shutdown(clock.now());
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any stream will do: TCP, TLS, a pipe.
//! let (mut near, mut far) = tokio::io::duplex(1024);
//! far.write_all(b"OK\r\n{\"channels\": []}").await?;
//! far.shutdown().await?;
//!
//! let (clock, mut client, mut one) = (Clock::start(), Client::new(Limits::client()), One::default());
//! client.send(clock.now(), &Request::List)?;
//! let ending = driver::drive(&mut client, &mut near, &mut one, clock).await;
//! # let _: Ending = ending;
//! assert_eq!(one.0, Some(Response::Channels(Vec::new())));
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use chanwire_core::endpoint::{ConnectionAction, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Clock;

/// The most bytes per read. They are decoded without yielding, so this also bounds the time for which a connection
/// occupies a thread.
const READ: usize = 32 * 1024;

/// The most slices per write.
const SLICES: usize = 64;

thread_local! {
    /// One buffer for all connections of a thread, so that an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// The application of a connection: handles the endpoint's events, and calls the endpoint, for example to send
/// requests.
pub trait Application<E: Endpoint> {
    /// Handles an event.
    fn on_event(&mut self, endpoint: &mut E, clock: Clock, event: E::Event);

    /// Called when no event is left.
    fn on_drained(&mut self, _endpoint: &E) {}

    /// Calls the endpoint, for example to send a request. Returns pending, with the waker registered, while there is
    /// nothing to call.
    fn poll_call(&mut self, _endpoint: &mut E, _clock: Clock, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Returns whether to call the endpoint again before the next read.
    fn has_more_calls(&self) -> bool {
        false
    }
}

/// The end of a connection.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must treat the stream as each of them says")]
pub enum Ending {
    /// The endpoint has closed it.
    Closed,
    /// The endpoint wants the connection reset, because the peer reads nothing.
    Reset,
    /// The stream failed.
    Failed(io::Error),
}

/// Drives a connection to its end. The caller then drops the stream, or resets it if the [`Ending`] says so.
///
/// Must be polled in a tokio runtime with time enabled. Dropping the future leaves the connection open.
pub async fn drive<E, S, A>(endpoint: &mut E, stream: &mut S, application: &mut A, clock: Clock) -> Ending
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Unpin,
    A: Application<E>,
{
    let (mut turn, mut output) = (Turn::Read, Output::default());
    loop {
        while let Some(event) = endpoint.poll_event() {
            application.on_event(endpoint, clock, event);
        }
        application.on_drained(endpoint);
        match endpoint.action() {
            ConnectionAction::Open => {}
            ConnectionAction::FinishWriting => output.is_last = true,
            ConnectionAction::Close => return Ending::Closed,
            ConnectionAction::Reset => return Ending::Reset,
        }
        let deadline = endpoint.poll_timeout().map(|deadline| clock.instant(deadline.at));
        let timeout = async {
            match deadline {
                // Boxed, so that an idle connection, which has no deadline, has no memory for the timer.
                Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
                None => std::future::pending().await,
            }
        };
        let moved = poll_fn(|cx| poll_move(endpoint, stream, application, clock, (&mut turn, &mut output), cx));
        tokio::select! {
            // Biased, so that a timer is created only when there is nothing else to do.
            biased;
            moved = moved => {
                match moved {
                    Err(error) => return Ending::Failed(error),
                    // Yields, so that a peer that sends without end does not starve other tasks.
                    Ok(Moved::Full) => tokio::task::yield_now().await,
                    Ok(Moved::Some) => {}
                }
                // Checked here too, because a busy stream keeps the timer from being polled.
                if endpoint.poll_timeout().is_some_and(|deadline| deadline.at <= clock.now()) {
                    endpoint.handle_timeout(clock.now());
                }
            }
            () = timeout => endpoint.handle_timeout(clock.now()),
        }
    }
}

/// The side that is polled first: the peer or the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Read,
    Call,
}

/// The state of a connection's output.
#[derive(Clone, Copy, Debug, Default)]
struct Output {
    /// The stream holds bytes that it cannot send yet.
    is_held: bool,
    /// Nothing follows, so the sending half is to be shut down.
    is_last: bool,
    /// The sending half is shut down.
    is_shut: bool,
}

impl Output {
    /// Flushes the stream, or shuts it down if no output follows, and tells the endpoint whether the stream still holds
    /// bytes. Returns whether anything changed.
    fn flush<E: Endpoint, S: AsyncWrite + Unpin>(
        &mut self,
        endpoint: &mut E,
        stream: &mut S,
        clock: Clock,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        if self.is_shut {
            return Ok(false);
        }
        let stream = Pin::new(stream);
        let flushed = if self.is_last { stream.poll_shutdown(cx) } else { stream.poll_flush(cx) }?;
        self.is_shut = self.is_last && flushed.is_ready();
        let was_held = std::mem::replace(&mut self.is_held, flushed.is_pending());
        if was_held != self.is_held {
            endpoint.handle_flush(clock.now(), self.is_held);
        }
        Ok(was_held != self.is_held)
    }
}

/// The progress of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Something was written or read, or the application called the endpoint.
    Some,
    /// A read filled the buffer, so there may be more.
    Full,
}

/// Writes queued output, or else reads or polls the application. The latter two alternate, so that a peer that never
/// stops sending does not keep the application's output from being queued.
fn poll_move<E, S, A>(
    endpoint: &mut E,
    stream: &mut S,
    application: &mut A,
    clock: Clock,
    (turn, output): (&mut Turn, &mut Output),
    cx: &mut Context<'_>,
) -> Poll<io::Result<Moved>>
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Unpin,
    A: Application<E>,
{
    let mut slices = [&[][..]; SLICES];
    let count = endpoint.transmit(&mut slices);
    if let Some(slices) = slices.get(..count).filter(|slices| !slices.is_empty()) {
        if let Poll::Ready(written) = poll_write(slices, stream, cx) {
            let written = written?;
            // First, since the endpoint closes when all is written.
            output.flush(endpoint, stream, clock, cx)?;
            endpoint.handle_written(clock.now(), written);
            return Poll::Ready(Ok(Moved::Some));
        }
    } else if output.flush(endpoint, stream, clock, cx)? {
        return Poll::Ready(Ok(Moved::Some));
    }
    let order = if *turn == Turn::Read { [Turn::Read, Turn::Call] } else { [Turn::Call, Turn::Read] };
    for now in order {
        if now == Turn::Read {
            let read = poll_read(endpoint, stream, clock, cx);
            if read.is_ready() {
                *turn = Turn::Call;
                return read;
            }
        } else if application.poll_call(endpoint, clock, cx).is_ready() {
            *turn = if application.has_more_calls() { Turn::Call } else { Turn::Read };
            return Poll::Ready(Ok(Moved::Some));
        }
    }
    Poll::Pending
}

/// Reads once. Pending when the endpoint wants no input.
fn poll_read<E: Endpoint, S: AsyncRead + Unpin>(
    endpoint: &mut E,
    stream: &mut S,
    clock: Clock,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Moved>> {
    if !endpoint.wants_read() {
        return Poll::Pending;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
            // A TLS stream without its end. Frames say where they end, so nothing can be cut off unnoticed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => buffer.clear(),
            read => read?,
        }
        match buffer.filled() {
            [] => endpoint.handle_eof(clock.now()),
            bytes => endpoint.handle_input(clock.now(), bytes),
        }
        Poll::Ready(Ok(if buffer.remaining() == 0 { Moved::Full } else { Moved::Some }))
    })
}

/// Writes once.
fn poll_write<S: AsyncWrite + Unpin>(
    slices: &[&[u8]],
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    let written = match slices {
        // Most answers are one slice, and a plain write is cheaper.
        [slice] => ready!(stream.poll_write(cx, slice))?,
        _ => {
            let mut all = [IoSlice::new(&[]); SLICES];
            all.iter_mut().zip(slices).for_each(|(to, slice)| *to = IoSlice::new(slice));
            ready!(stream.poll_write_vectored(cx, all.get(..slices.len()).unwrap_or_default()))?
        }
    };
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    Poll::Ready(Ok(written))
}
