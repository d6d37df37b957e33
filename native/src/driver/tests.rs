use std::time::{Duration, Instant};

use chanwire_core::{
    Limits,
    endpoint::{ConnectionId, Server, ServerEvent},
};

use super::*;

const SHORT: Duration = Duration::from_millis(20);

/// The time after which the peer gives up.
const LONG: Duration = Duration::from_secs(20);

/// A peer that sends without end, and reads everything or nothing.
struct Torrent {
    /// The first bytes that it sends.
    first: &'static [u8],
    /// The bytes that it then sends over and over.
    then: &'static [u8],
    since: Instant,
    takes: bool,
    taken: Vec<u8>,
    ended: bool,
}

impl Torrent {
    fn new(first: &'static [u8], then: &'static [u8]) -> Self {
        Self { first, then, since: Instant::now(), takes: true, taken: Vec::new(), ended: false }
    }
}

impl AsyncRead for Torrent {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.since.elapsed() > LONG {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let then = self.then;
        buffer.put_slice(std::mem::replace(&mut self.first, then));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Torrent {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.takes {
            return Poll::Pending;
        }
        self.taken.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Nobody;

impl Application<Server> for Nobody {
    fn on_event(&mut self, _: &mut Server, _: Clock, _: ServerEvent) {}
}

/// Runs a server's connection with short timeouts to such a peer, and returns its ending.
async fn end(peer: &mut Torrent) -> Ending {
    let mut limits = Limits::server();
    (limits.frame_timeout, limits.write_timeout, limits.linger) = (SHORT, SHORT, SHORT);
    let ending = drive(&mut Server::new(ConnectionId(0), limits), peer, &mut Nobody, Clock::start()).await;
    assert!(!peer.ended, "no deadline has ended it");
    ending
}

#[tokio::test]
async fn a_peer_that_goes_on_after_its_fault_is_closed_when_the_linger_is_over() {
    let mut peer = Torrent::new(b"!", b"and so on");
    assert!(matches!(end(&mut peer).await, Ending::Closed));
    assert!(peer.taken.starts_with(b"REQUEST_ERROR\r\n{\"error\": \"Malformed command\""));
}

#[tokio::test]
async fn a_peer_that_takes_nothing_and_goes_on_is_reset() {
    let mut peer = Torrent { takes: false, ..Torrent::new(b"!", b"and so on") };
    assert!(matches!(end(&mut peer).await, Ending::Reset));
}

#[tokio::test]
async fn a_frame_of_endless_spaces_has_its_deadline() {
    let mut peer = Torrent::new(b"HOST\r\n", b"        ");
    assert!(matches!(end(&mut peer).await, Ending::Closed));
    assert!(peer.taken.starts_with(b"REQUEST_ERROR\r\n{\"error\": \"Request timed out\""));
}

/// A stream that accepts bytes and sends them when it is flushed, as TLS does. Its peer sends one command.
#[derive(Default)]
struct Holding {
    has_sent: bool,
    held: Vec<u8>,
    sent: Vec<u8>,
    /// The flushes that find the peer's window closed.
    stuck_flushes: usize,
    /// The peer takes no end of the stream.
    ends_stuck: bool,
    is_shut: bool,
}

impl AsyncRead for Holding {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            // As a peer does that ends its stream without TLS's farewell.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if std::mem::replace(&mut self.has_sent, true) {
            return Poll::Pending;
        }
        buffer.put_slice(b"!");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Holding {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stuck_flushes > 0 && !self.held.is_empty() {
            self.stuck_flushes = self.stuck_flushes.saturating_sub(1);
            if self.stuck_flushes < 1_000 {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let held = std::mem::take(&mut self.held);
        self.sent.extend(held);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ends_stuck {
            return Poll::Pending;
        }
        self.is_shut = true;
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }
}

/// Runs a server's connection over such a stream, whose peer sends a fault, and returns its ending.
async fn end_held(stream: &mut Holding) -> Ending {
    let mut limits = Limits::server();
    (limits.write_timeout, limits.linger) = (SHORT, LONG);
    let mut server = Server::new(ConnectionId(0), limits);
    tokio::time::timeout(LONG, drive(&mut server, stream, &mut Nobody, Clock::start())).await.unwrap()
}

#[tokio::test]
async fn bytes_that_the_stream_holds_are_flushed_before_the_end() {
    for stuck_flushes in [0, 1, 5] {
        let mut stream = Holding { stuck_flushes, ..Holding::default() };
        assert!(matches!(end_held(&mut stream).await, Ending::Closed));
        assert!(stream.sent.starts_with(b"REQUEST_ERROR") && stream.held.is_empty() && stream.is_shut);
    }
}

#[tokio::test]
async fn a_stream_that_is_never_flushed_is_reset_after_the_write_timeout() {
    let mut stream = Holding { stuck_flushes: usize::MAX, ..Holding::default() };
    assert!(matches!(end_held(&mut stream).await, Ending::Reset));
    assert!(stream.sent.is_empty() && !stream.is_shut);
}

#[tokio::test]
async fn a_stream_whose_end_is_never_sent_is_reset_after_the_write_timeout() {
    let mut stream = Holding { ends_stuck: true, ..Holding::default() };
    assert!(matches!(end_held(&mut stream).await, Ending::Reset));
    assert!(stream.sent.starts_with(b"REQUEST_ERROR"));
}
