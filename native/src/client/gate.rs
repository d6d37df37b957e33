//! Backpressure: a connection is read only as fast as its events are consumed.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Unconsumed bytes at which reading stops. One more read may exceed the limit.
const MAX_HELD: usize = 128 * 1024;

/// A count of the received bytes that are not consumed yet.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: AtomicUsize,
    waker: AtomicWaker,
}

/// A part of that count, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    gate: Arc<Gate>,
    size: usize,
}

impl Gate {
    /// Counts these bytes until the returned value is dropped.
    pub(crate) fn hold(self: &Arc<Self>, size: usize) -> Held {
        self.held.fetch_add(size, Ordering::Relaxed);
        Held { gate: Arc::clone(self), size }
    }

    fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.held.load(Ordering::Relaxed) < MAX_HELD { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.held.fetch_sub(self.size, Ordering::Relaxed);
        self.gate.waker.wake();
    }
}

/// A stream that is read only while its gate is open.
#[derive(Debug)]
pub(crate) struct Gated<S> {
    pub(crate) stream: S,
    pub(crate) gate: Arc<Gate>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_open(cx));
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn nothing_is_read_while_too_much_is_held() {
        let (mut far, near) = duplex(1 << 20);
        let gate = Arc::new(Gate::default());
        let mut near = Gated { stream: near, gate: Arc::clone(&gate) };
        far.write_all(&[b'a'; 64]).await.unwrap();
        let few = gate.hold(MAX_HELD - 1);
        assert_eq!(near.read(&mut [0; 32]).await.unwrap(), 32);
        let more = gate.hold(1);
        let mut rest = [0; 32];
        let mut read = Box::pin(near.read(&mut rest));
        assert!(futures_util::poll!(&mut read).is_pending());
        drop(more);
        assert_eq!(read.await.unwrap(), 32);
        drop(few);
        assert_eq!(gate.held.load(Ordering::Relaxed), 0);
    }
}
