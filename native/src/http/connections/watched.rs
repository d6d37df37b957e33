//! A TCP stream that tracks its activity and detects a stalled peer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, sleep, sleep_until},
};

use super::pool::Activity;
use crate::socket::{self, AcceptedStream as _};

/// A stream that reports its activity to a pool.
#[derive(Debug)]
pub(in crate::http) struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
}

/// A handle to observe and reset a stream that is in use elsewhere.
#[derive(Debug)]
pub(in crate::http) struct Watch {
    activity: Activity,
    /// The time since which writes are blocked.
    blocked: Mutex<Option<Instant>>,
    reset: AtomicBool,
}

impl Watched {
    pub(in crate::http) fn new(stream: TcpStream, activity: Activity) -> (Self, Arc<Watch>) {
        let watch = Arc::new(Watch { activity, blocked: Mutex::new(None), reset: AtomicBool::new(false) });
        (Self { stream, watch: Arc::clone(&watch) }, watch)
    }

    /// Waits for the next byte and leaves it there. `None`: the stream ended or failed.
    pub(in crate::http) async fn first_byte(&self) -> Option<u8> {
        self.stream.first_byte().await
    }

    fn written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut blocked = self.watch.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_pending() {
            blocked.get_or_insert_with(Instant::now);
        } else {
            *blocked = None;
            self.watch.activity.touch();
        }
        written
    }
}

impl Watch {
    /// Waits until writes have been blocked for the timeout, or up to twice as long.
    pub(in crate::http) async fn stalled(&self, write_timeout: Duration) {
        loop {
            let blocked = *self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
            match blocked {
                Some(since) if since.elapsed() >= write_timeout => return,
                Some(since) => sleep_until(since + write_timeout).await,
                None => sleep(write_timeout).await,
            }
        }
    }

    /// Makes closing the stream reset it, so that the kernel keeps no data for a stalled peer.
    pub(in crate::http) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.watch.reset.load(Ordering::Relaxed) {
            socket::reset_on_close(&self.stream);
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.watch.activity.touch();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
