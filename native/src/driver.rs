//! Carries bytes between a stream and an endpoint of the protocol, and obeys it.
//!
//! The only place that reads, writes and waits on a connection, for the server and for the command line alike.

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use chanwire_core::endpoint::{Endpoint, Link};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::clock::Clock;

/// The most bytes that one read takes. What it asks for is decoded in one piece, so this also bounds how long a
/// connection keeps a thread from the others.
const READ: usize = 16 * 1024;

/// How many slices one write gives at most.
const SLICES: usize = 64;

thread_local! {
    /// One buffer for all connections of a thread, so that an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// What a connection is for: it takes what the endpoint tells, and has things to tell the endpoint.
pub(crate) trait Application<E: Endpoint> {
    /// The endpoint tells something.
    fn on_event(&mut self, endpoint: &mut E, clock: Clock, event: E::Event);

    /// All that the endpoint had to tell has been told.
    fn on_quiet(&mut self);

    /// Tells the endpoint what there is to tell; pending while there is nothing.
    fn poll_tell(&mut self, endpoint: &mut E, clock: Clock, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether more is at hand to tell, which has to be told before anything more is read.
    fn has_more_to_tell(&self) -> bool {
        false
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// As the endpoint wanted it.
    Closed,
    /// The endpoint wants it reset: the peer takes nothing.
    Reset,
    /// The stream failed.
    Failed(io::Error),
}

/// Drives a connection to its end. The stream is then to be dropped, or reset if the [`Ending`] says so.
pub(crate) async fn drive<E, S, A>(endpoint: &mut E, stream: &mut S, application: &mut A, clock: Clock) -> Ending
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Unpin,
    A: Application<E>,
{
    let mut finished = false;
    let mut turn = Turn::Read;
    loop {
        while let Some(event) = endpoint.poll_event() {
            application.on_event(endpoint, clock, event);
        }
        application.on_quiet();
        match endpoint.link() {
            Link::Open => {}
            Link::FinishWriting if finished => {}
            Link::FinishWriting => {
                finished = true;
                if let Err(error) = stream.shutdown().await {
                    return Ending::Failed(error);
                }
            }
            Link::Close => return Ending::Closed,
            Link::Reset => return Ending::Reset,
        }
        let deadline = endpoint.poll_timeout().map(|deadline| clock.instant(deadline.at));
        let timeout = async {
            match deadline {
                // Boxed, so that an idle connection, which has no deadline, has no room for one either.
                Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
                None => std::future::pending().await,
            }
        };
        let moved = poll_fn(|cx| poll_move(endpoint, stream, application, clock, &mut turn, cx));
        tokio::select! {
            // A timer is made only when there is nothing else to do.
            biased;
            moved = moved => {
                match moved {
                    Err(error) => return Ending::Failed(error),
                    // A peer that sends without end has its turn after all others that are ready.
                    Ok(Moved::Full) => tokio::task::yield_now().await,
                    Ok(Moved::Some) => {}
                }
                // The timer is not asked while a peer keeps the stream busy.
                if endpoint.poll_timeout().is_some_and(|deadline| deadline.at <= clock.now()) {
                    endpoint.handle_timeout(clock.now());
                }
            }
            () = timeout => endpoint.handle_timeout(clock.now()),
        }
    }
}

/// Which of the peer and the application is heard first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Read,
    Tell,
}

/// How much a connection got on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Something was written, read or told.
    Some,
    /// As much was read as one read takes: more may have come.
    Full,
}

/// Writes what waits, else reads what has come or hears the application. The two take turns, so that a peer that never
/// stops sending does not keep what the application has for it waiting in memory.
fn poll_move<E, S, A>(
    endpoint: &mut E,
    stream: &mut S,
    application: &mut A,
    clock: Clock,
    turn: &mut Turn,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Moved>>
where
    E: Endpoint,
    S: AsyncRead + AsyncWrite + Unpin,
    A: Application<E>,
{
    if let Poll::Ready(written) = poll_write(endpoint, stream, cx) {
        endpoint.handle_written(clock.now(), written?);
        return Poll::Ready(Ok(Moved::Some));
    }
    let order = if *turn == Turn::Read { [Turn::Read, Turn::Tell] } else { [Turn::Tell, Turn::Read] };
    for now in order {
        if now == Turn::Read {
            let read = poll_read(endpoint, stream, clock, cx);
            if read.is_ready() {
                *turn = Turn::Tell;
                return read;
            }
        } else if application.poll_tell(endpoint, clock, cx).is_ready() {
            *turn = if application.has_more_to_tell() { Turn::Tell } else { Turn::Read };
            return Poll::Ready(Ok(Moved::Some));
        }
    }
    Poll::Pending
}

/// One read. Pending when the endpoint wants none.
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
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        match buffer.filled() {
            [] => endpoint.handle_eof(clock.now()),
            bytes => endpoint.handle_input(clock.now(), bytes),
        }
        Poll::Ready(Ok(if buffer.remaining() == 0 { Moved::Full } else { Moved::Some }))
    })
}

/// One write. Pending when there is nothing to write.
fn poll_write<E: Endpoint, S: AsyncWrite + Unpin>(
    endpoint: &E,
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [&[][..]; SLICES];
    let count = endpoint.transmit(&mut slices);
    if count == 0 {
        return Poll::Pending;
    }
    let stream = Pin::new(stream);
    let written = match slices.get(..count) {
        // Most answers are in one piece, and a plain write costs the system less.
        Some([slice]) => ready!(stream.poll_write(cx, slice))?,
        _ => {
            let slices = slices.map(IoSlice::new);
            ready!(stream.poll_write_vectored(cx, slices.get(..count).unwrap_or_default()))?
        }
    };
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    Poll::Ready(Ok(written))
}
