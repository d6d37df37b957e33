//! A TCP connection, in plain text or by TLS, of which both directions are used at one time.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

/// The most bytes that one read takes.
const READ: usize = 64 << 10;

thread_local! {
    /// One buffer for all connections of a thread, so that an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection that is read and written at one time, and whose socket can be watched and reset. Its bytes are those of
/// the protocol, also where it is encrypted. Its futures are cancel safe.
#[derive(Debug)]
pub(crate) struct SharedStream {
    tcp: Arc<TcpStream>,
    /// Locked for the time of one poll only.
    tls: Option<Mutex<Encrypted>>,
}

#[derive(Debug)]
struct Encrypted {
    stream: TlsStream<SharedTcp>,
    /// A byte that was read by [`SharedStream::peek`].
    ahead: Option<u8>,
    /// The bytes of the current write that are encrypted, and perhaps not all in the kernel.
    accepted: usize,
}

impl SharedStream {
    pub(crate) fn plain(tcp: impl Into<Arc<TcpStream>>) -> Self {
        Self { tcp: tcp.into(), tls: None }
    }

    /// Returns the connection of an encrypted stream.
    pub(crate) fn encrypted(stream: impl Into<TlsStream<SharedTcp>>) -> Self {
        let stream = stream.into();
        let tcp = Arc::clone(&stream.get_ref().0.0);
        Self { tcp, tls: Some(Mutex::new(Encrypted { stream, ahead: None, accepted: 0 })) }
    }

    /// Returns its socket.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Returns whether it is encrypted.
    pub(crate) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads once, at most so many bytes. Returns no bytes at the end of the stream.
    pub(crate) async fn read(&self, most: usize) -> io::Result<Bytes> {
        if let Some(tls) = &self.tls {
            return poll_fn(|cx| lock(tls).poll_read(cx, most)).await;
        }
        loop {
            self.tcp.readable().await?;
            let read = with_scratch(most, |scratch| {
                let read = self.tcp.try_read(scratch)?;
                Ok(Bytes::copy_from_slice(scratch.get(..read).unwrap_or_default()))
            });
            match read {
                Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Waits until there is something to read. Returns whether it is a byte, and not the end of the stream.
    pub(crate) async fn peek(&self) -> io::Result<bool> {
        if let Some(tls) = &self.tls {
            return poll_fn(|cx| lock(tls).poll_peek(cx)).await;
        }
        loop {
            self.tcp.readable().await?;
            let peek = || SockRef::from(&*self.tcp).peek(&mut [MaybeUninit::uninit()]);
            match self.tcp.try_io(Interest::READABLE, peek) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                seen => return seen.map(|seen| seen > 0),
            }
        }
    }

    /// Writes once, and returns how many bytes are with the kernel. A call that is dropped may have written some: the
    /// next one is to have the same bytes.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(tls) = &self.tls {
            return poll_fn(|cx| lock(tls).poll_write(cx, bytes)).await;
        }
        loop {
            self.tcp.writable().await?;
            match self.tcp.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    /// Writes all bytes.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the stream that is written, by TLS with its closing alert.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        match &self.tls {
            Some(tls) => poll_fn(|cx| Pin::new(&mut lock(tls).stream).poll_shutdown(cx)).await,
            None => SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write),
        }
    }
}

impl Encrypted {
    fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Ok(Bytes::copy_from_slice(&[ahead])));
        }
        with_scratch(most, |scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                // An end without TLS's closing alert is an end: frames say where they end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read?,
            }
            Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
        })
    }

    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.ahead.is_none() {
            self.ahead = ready!(self.poll_read(cx, 1))?.first().copied();
        }
        Poll::Ready(Ok(self.ahead.is_some()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.accepted == 0 {
            self.accepted = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        }
        // Encrypted bytes wait in the session until they are flushed.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(mem::take(&mut self.accepted)))
    }
}

fn with_scratch<T>(most: usize, read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| read(scratch.get_mut(..most.min(READ)).unwrap_or_default()))
}

fn lock(tls: &Mutex<Encrypted>) -> MutexGuard<'_, Encrypted> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A TCP stream under TLS that can also be watched for failures and reset.
#[derive(Clone, Debug)]
pub(crate) struct SharedTcp(pub(crate) Arc<TcpStream>);

impl SharedTcp {
    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for SharedTcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for SharedTcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |tcp| tcp.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |tcp| tcp.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}
